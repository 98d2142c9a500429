/** Split virtqueues: whatever chains a driver makes are found and given back once, in order, and what no driver may do is a fault and never more. */

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkQueue, finishBatch, gather, giveBack, lengthOf, part, RingFault, scatter, takeChain } from '../../../machines/virtio/queue.ts';
import { QUEUE_SIZE_MAX, type QueueState } from '../../../machines/virtio/state.ts';
import { EVENT_INDEX, INDIRECT, RAM, RAM_BYTES, ram, VERSION_1, type Buffer } from '../../support/virtio-driver.ts';

const [DESCRIPTORS, AVAILABLE, USED, TABLES, DATA] = [RAM, RAM + 0x8000, RAM + 0xa000, RAM + 0x10000, RAM + 0x40000];
const ALL = VERSION_1 | INDIRECT | EVENT_INDEX;
const NEXT = 1, WRITE = 2, NESTED = 4;

const queueOf = (size: number): QueueState => ({ size, ready: true, descriptors: DESCRIPTORS, available: AVAILABLE, used: USED, taken: 0, usedIndex: 0 });

function bench(size: number) {
  const memory = ram();
  const { view } = memory;
  const queue = queueOf(size);
  const place = (address: number): number => address - RAM;
  const descriptor = (table: number, slot: number, address: number, bytes: number, flags: number, next: number): void => {
    view.setBigUint64(place(table) + 16 * slot, BigInt(address), true);
    view.setUint32(place(table) + 16 * slot + 8, bytes, true);
    view.setUint16(place(table) + 16 * slot + 12, flags, true);
    view.setUint16(place(table) + 16 * slot + 14, next, true);
  };
  let offered = 0;
  return {
    memory, queue, view, descriptor,
    offer(head: number): void {
      view.setUint16(place(AVAILABLE) + 4 + 2 * (offered % size), head, true);
      offered = (offered + 1) & 0xffff;
      view.setUint16(place(AVAILABLE) + 2, offered, true);
    },
    setAvailable(index: number): void { view.setUint16(place(AVAILABLE) + 2, index, true); },
    setWanted(index: number): void { view.setUint16(place(AVAILABLE) + 4 + 2 * size, index, true); },
    avoidInterrupts(): void { view.setUint16(place(AVAILABLE), 1, true); },
    usedAt: (index: number) => ({ head: view.getUint32(place(USED) + 4 + 8 * (index % size), true), written: view.getUint32(place(USED) + 8 + 8 * (index % size), true) }),
    usedIndex: () => view.getUint16(place(USED) + 2, true),
    notifyAt: () => view.getUint16(place(USED) + 4 + 8 * size, true),
  };
}

interface Request { readonly readable: readonly number[]; readonly writable: readonly number[]; readonly indirect: boolean; readonly scramble: number }
const lengths = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 4 });
const request: fc.Arbitrary<Request> = fc.record({ readable: lengths, writable: lengths, indirect: fc.boolean(), scramble: fc.nat() }).filter(({ readable, writable }) => readable.length + writable.length > 0);

test('any chain, direct or indirect, in any descriptors, comes out as it went in, round and round the rings', () => {
  fc.assert(fc.property(fc.array(request, { minLength: 1, maxLength: 30 }), fc.constantFrom(8, 16, 64), fc.integer({ min: 0, max: 0xffff }), (requests, size, start) => {
    const { memory, queue, view, descriptor, setAvailable, usedAt, usedIndex } = bench(size);
    // Anywhere in the 16 bits that the rings count: the state says so, and the driver's ring with it.
    Object.assign(queue, { taken: start, usedIndex: start });
    let available = start;
    for (const { readable, writable, indirect, scramble } of requests) {
      const buffers: Buffer[] = [...readable.map((bytes, at) => ({ address: DATA + 512 * at, bytes })), ...writable.map((bytes, at) => ({ address: DATA + 0x2000 + 512 * at, bytes, write: true }))];
      const step = 2 * (scramble % size) + 1;
      const slot = (at: number): number => (scramble + step * at) % size;
      const table = indirect ? TABLES : DESCRIPTORS;
      const place = (at: number): number => (indirect ? at : slot(at));
      buffers.forEach((buffer, at) => descriptor(table, place(at), buffer.address, buffer.bytes, (at < buffers.length - 1 ? NEXT : 0) | (buffer.write ? WRITE : 0), at < buffers.length - 1 ? place(at + 1) : 0));
      if (indirect) descriptor(DESCRIPTORS, slot(0), TABLES, 16 * buffers.length, NESTED, 0);
      view.setUint16(AVAILABLE - RAM + 4 + 2 * (available % size), slot(0), true);
      available = (available + 1) & 0xffff;
      setAvailable(available);
      const chain = takeChain(queue, ALL, memory)!;
      expect(chain).toEqual({ head: slot(0), readable: buffers.filter(({ write }) => !write).map(({ address, bytes }) => ({ address, bytes })), writable: buffers.filter(({ write }) => write).map(({ address, bytes }) => ({ address, bytes })) });
      expect(takeChain(queue, ALL, memory)).toBeUndefined();
      giveBack(queue, chain, lengthOf(chain.writable), memory);
      expect([usedIndex(), usedAt((available - 1) & 0xffff)]).toEqual([available, { head: slot(0), written: writable.reduce((sum, bytes) => sum + bytes, 0) }]);
    }
  }), { numRuns: 200 });
});

test('whatever bytes lie in the rings, the outcome is chains of the driver\'s or a RingFault, soon', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), fc.array(fc.nat(0xffff), { minLength: 6, maxLength: 6 }), fc.constantFrom(ALL, VERSION_1), (noise, ring, features) => {
    const { memory, queue, view } = bench(8);
    // Descriptors that look like ones: small flags, addresses that are now and then RAM.
    memory.bytes.set(noise, DESCRIPTORS - RAM);
    for (let slot = 0; slot < 16; slot++) {
      view.setUint16(16 * slot + 12, view.getUint16(16 * slot + 12, true) & 7, true);
      view.setUint16(16 * slot + 14, view.getUint16(16 * slot + 14, true) % 10, true);
      if (noise[slot]! % 2 === 0) { view.setBigUint64(16 * slot, BigInt(DESCRIPTORS + 16 * (noise[slot + 1]! % 16)), true); view.setUint32(16 * slot + 8, 16 * (noise[slot + 2]! % 5), true); }
    }
    ring.forEach((value, at) => view.setUint16(AVAILABLE - RAM + 2 * at, at === 1 ? value % 12 : value % 10, true));
    try {
      for (let chains = 0; takeChain(queue, features, memory) !== undefined; chains++) expect(chains).toBeLessThan(8);
    } catch (error) {
      expect(error).toBeInstanceOf(RingFault);
    }
  }), { numRuns: 2000 });
});

test.each<[string, RegExp, (b: ReturnType<typeof bench>) => void]>([
  ['a chain that goes round in circles', /no end/, (b) => { b.descriptor(DESCRIPTORS, 0, DATA, 4, NEXT, 1); b.descriptor(DESCRIPTORS, 1, DATA, 4, NEXT, 0); b.offer(0); }],
  ['a head beyond the table', /descriptor 8 is beyond the table of 8/, (b) => b.offer(8)],
  ['a next beyond the table', /descriptor 200 is beyond/, (b) => { b.descriptor(DESCRIPTORS, 0, DATA, 4, NEXT, 200); b.offer(0); }],
  ['more chains than the queue is long', /9 chains are available in a queue of 8/, (b) => b.setAvailable(9)],
  ['a buffer to be read behind one to be written', /stands behind/, (b) => { b.descriptor(DESCRIPTORS, 0, DATA, 4, NEXT | WRITE, 1); b.descriptor(DESCRIPTORS, 1, DATA, 4, 0, 0); b.offer(0); }],
  ['an indirect table of no whole descriptors', /an indirect table of 24 bytes/, (b) => { b.descriptor(DESCRIPTORS, 0, TABLES, 24, NESTED, 0); b.offer(0); }],
  ['an empty indirect table', /an indirect table of 0 bytes/, (b) => { b.descriptor(DESCRIPTORS, 0, TABLES, 0, NESTED, 0); b.offer(0); }],
  ['an indirect table that is not RAM', /16 bytes at 0x1000 are not RAM/, (b) => { b.descriptor(DESCRIPTORS, 0, 0x1000, 16, NESTED, 0); b.offer(0); }],
  ['an indirect table in an indirect table', /in an indirect table/, (b) => { b.descriptor(DESCRIPTORS, 0, TABLES, 16, NESTED, 0); b.descriptor(TABLES, 0, TABLES, 16, NESTED, 0); b.offer(0); }],
  ['an indirect descriptor with a next one', /has a next one/, (b) => { b.descriptor(DESCRIPTORS, 0, TABLES, 16, NESTED | NEXT, 1); b.offer(0); }],
  ['a chain of more than 4 GiB', /more than 4294967296 bytes/, (b) => { for (const slot of [0, 1]) b.descriptor(DESCRIPTORS, slot, DATA, 0xffff_ffff, 1 - slot, 1); b.offer(0); }],
  ['a circle in an indirect table', /no end/, (b) => { b.descriptor(DESCRIPTORS, 0, TABLES, 32, NESTED, 0); b.descriptor(TABLES, 0, DATA, 4, NEXT, 1); b.descriptor(TABLES, 1, DATA, 4, NEXT, 0); b.offer(0); }],
])('%s is a fault', (_, message, make) => {
  const b = bench(8);
  make(b);
  expect(() => takeChain(b.queue, ALL, b.memory)).toThrow(message);
  expect(() => takeChain(b.queue, ALL, b.memory)).toThrow(RingFault);
});

test('an indirect descriptor that was not negotiated is a fault', () => {
  const b = bench(8);
  b.descriptor(DESCRIPTORS, 0, TABLES, 16, NESTED, 0);
  b.offer(0);
  expect(() => takeChain(b.queue, VERSION_1, b.memory)).toThrow(/not negotiated/);
});

test('rings that are not RAM are faults, at the end of RAM too', () => {
  for (const available of [0, RAM + RAM_BYTES - 2, 2 ** 60]) {
    const { memory, queue } = bench(8);
    expect(() => takeChain({ ...queue, available }, ALL, memory)).toThrow(RingFault);
  }
  const { memory, queue } = bench(8);
  expect(() => giveBack({ ...queue, used: RAM - 4 }, { head: 0, readable: [], writable: [] }, 0, memory)).toThrow(RingFault);
});

test('a queue is made ready with a power of two up to the most, and aligned parts', () => {
  const sizes = [0, 1, 2, 3, 6, 256, QUEUE_SIZE_MAX, QUEUE_SIZE_MAX + 1, 2 * QUEUE_SIZE_MAX];
  const taken = sizes.filter((size) => { try { checkQueue(queueOf(size), QUEUE_SIZE_MAX); return true; } catch { return false; } });
  expect(taken).toEqual([1, 2, 256, QUEUE_SIZE_MAX]);
  for (const misplaced of [{ descriptors: DESCRIPTORS + 8 }, { available: AVAILABLE + 1 }, { used: USED + 2 }]) expect(() => checkQueue({ ...queueOf(8), ...misplaced }, QUEUE_SIZE_MAX)).toThrow(/not aligned/);
});

test('the driver is interrupted by its flag, or with event indices when the one that it waits for is passed, across the wrap', () => {
  const { memory, queue, avoidInterrupts } = bench(8);
  expect(finishBatch(queue, VERSION_1, memory, 0)).toBe(false);
  queue.usedIndex = 1;
  expect(finishBatch(queue, VERSION_1, memory, 0)).toBe(true);
  avoidInterrupts();
  expect(finishBatch(queue, VERSION_1, memory, 0)).toBe(false);
  fc.assert(fc.property(fc.nat(0xffff), fc.integer({ min: 0, max: 8 }), fc.nat(0xffff), fc.nat(0xffff), (before, done, wanted, available) => {
    const b = bench(8);
    b.queue.usedIndex = (before + done) & 0xffff;
    b.setWanted(wanted);
    b.setAvailable(available);
    // One of the elements given back is the one behind `wanted`.
    const passed = Array.from({ length: done }, (_, at) => (before + at) & 0xffff).includes(wanted);
    expect([finishBatch(b.queue, ALL, b.memory, before), b.notifyAt()]).toEqual([passed, available]);
  }), { numRuns: 500 });
});

test('parts of segments are cut where they are asked for', () => {
  const segments = [{ address: 100, bytes: 4 }, { address: 200, bytes: 0 }, { address: 300, bytes: 6 }];
  const flat = segments.flatMap(({ address, bytes }) => Array.from({ length: bytes }, (_, at) => address + at));
  for (let from = 0; from <= 11; from++) {
    for (let bytes = 0; bytes <= 11; bytes++) expect(part(segments, from, bytes).flatMap((segment) => Array.from({ length: segment.bytes }, (_, at) => segment.address + at))).toEqual(flat.slice(from, from + bytes));
  }
});

test('bytes that are scattered are gathered again, over segments longer than a piece', () => {
  const memory = ram();
  const segments = [{ address: DATA, bytes: 3 }, { address: DATA + 0x100, bytes: 70_000 }, { address: DATA + 0x20000, bytes: 5 }];
  const bytes = Uint8Array.from({ length: lengthOf(segments) }, (_, at) => at * 7);
  expect(scatter(memory, segments, bytes)).toBe(bytes.length);
  expect(gather(memory, segments)).toEqual(bytes);
  expect(scatter(memory, segments, bytes.subarray(0, 10))).toBe(10);
});
