/** The block device as its driver sees it. */

import { describe, expect, test } from 'vitest';
import { initialBlock } from '../../../machines/virtio/block.ts';
import { describeVirtio } from '../../../machines/virtio/describe.ts';
import { arrayDisk, driver, EVENT_INDEX, INDIRECT, RAM, REGISTER, VERSION_1, type Buffer } from '../../support/virtio-driver.ts';

const [IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES] = [0, 1, 4, 8, 11, 13];
const [OK, IOERR, UNSUPP] = [0, 1, 2];
const SECTORS = 64;
const [HEADER, STATUS, DATA] = [RAM, RAM + 0x100, RAM + 0x1000];

function disk(options: { readonly readOnly?: boolean; readonly full?: boolean } = {}) {
  const bytes = Uint8Array.from({ length: 512 * SECTORS }, (_, at) => (at >> 9) + at);
  const whole = arrayDisk(bytes);
  const d = driver(initialBlock(0, bytes.length, options.readOnly === true), 1, [options.full ? { ...whole, write: () => false, clear: () => false } : whole]);
  expect(d.negotiate(d.offered())).toBe(true);
  d.setUp(0, 8);
  d.go();
  /** One request: its status, and how many bytes were written. */
  const ask = (type: number, sector: number, buffers: readonly Buffer[] = []): { status: number; written: number } => {
    const header = new DataView(new ArrayBuffer(16));
    header.setUint32(0, type, true);
    header.setBigUint64(8, BigInt(sector), true);
    d.put(HEADER, new Uint8Array(header.buffer));
    d.put(STATUS, [0xee]);
    d.offer(0, d.chain(0, [0, 1, 2, 3, 4], [{ address: HEADER, bytes: 16 }, ...buffers, { address: STATUS, bytes: 1, write: true }]));
    d.notify(0);
    return { status: d.bytes(STATUS, 1)[0]!, written: d.used(0)[0]!.written };
  };
  return { ...d, bytes: d.bytes, disk: bytes, ask };
}

test('it is device 2, with its capacity and limits in its configuration', () => {
  const d = disk();
  expect([d.read(REGISTER.magic), d.read(REGISTER.version), d.read(REGISTER.deviceId), d.read(REGISTER.queueNumMax)]).toEqual([0x7472_6976, 2, 2, 1024]);
  expect([d.read(0x100), d.read(0x104), d.read(0x114), d.read(0x122, 2)]).toEqual([SECTORS, 0, 512, 1]);
  expect(d.offered() & (1n << 5n)).toBe(0n);
  expect(disk({ readOnly: true }).offered() & ((1n << 5n) | (1n << 13n) | (1n << 14n))).toBe(1n << 5n);
});

test('sectors are read into whatever buffers there are, and the line rises', () => {
  const d = disk();
  expect(d.ask(IN, 3, [{ address: DATA, bytes: 100, write: true }, { address: DATA + 0x800, bytes: 924, write: true }])).toEqual({ status: OK, written: 1025 });
  expect([...d.bytes(DATA, 100), ...d.bytes(DATA + 0x800, 924)]).toEqual(Array.from(d.disk.slice(3 * 512, 5 * 512)));
  expect([d.lines(), d.read(REGISTER.interruptStatus)]).toEqual([[true], 1]);
  d.write(REGISTER.interruptAck, 1);
  expect([d.lines(), d.read(REGISTER.interruptStatus)]).toEqual([[false], 0]);
});

test('sectors are written', () => {
  const d = disk();
  const bytes = Uint8Array.from({ length: 1024 }, (_, at) => at * 3);
  d.put(DATA, bytes);
  expect(d.ask(OUT, 5, [{ address: DATA, bytes: 512 }, { address: DATA + 512, bytes: 512 }])).toEqual({ status: OK, written: 1 });
  expect(d.disk.slice(5 * 512, 7 * 512)).toEqual(bytes);
  expect(d.ask(FLUSH, 0)).toEqual({ status: OK, written: 1 });
});

test('it says who it is', () => {
  const d = disk();
  expect(d.ask(GET_ID, 0, [{ address: DATA, bytes: 20, write: true }])).toEqual({ status: OK, written: 21 });
  expect(new TextDecoder().decode(d.bytes(DATA, 10))).toBe('zeno-disk0');
});

test.each([['discarded', DISCARD], ['to be zero', WRITE_ZEROES]])('sectors that are %s read as zero, range by range', (_, type) => {
  const d = disk();
  const ranges = new DataView(new ArrayBuffer(32));
  for (const [at, sector, count] of [[0, 1, 2], [16, 8, 8]] as const) {
    ranges.setBigUint64(at, BigInt(sector), true);
    ranges.setUint32(at + 8, count, true);
  }
  d.put(DATA, new Uint8Array(ranges.buffer));
  const before = d.disk.slice();
  expect(d.ask(type, 0, [{ address: DATA, bytes: 32 }]).status).toBe(OK);
  before.fill(0, 512, 3 * 512).fill(0, 8 * 512, 16 * 512);
  expect(d.disk).toEqual(before);
  // A flag that there is not, a range that leaves the disk, half a range.
  ranges.setUint32(12, 2, true);
  d.put(DATA, new Uint8Array(ranges.buffer));
  expect(d.ask(type, 0, [{ address: DATA, bytes: 32 }]).status).toBe(UNSUPP);
  ranges.setUint32(12, 0, true);
  ranges.setUint32(8, SECTORS, true);
  d.put(DATA, new Uint8Array(ranges.buffer));
  expect([d.ask(type, 0, [{ address: DATA, bytes: 32 }]).status, d.ask(type, 0, [{ address: DATA, bytes: 8 }]).status, d.ask(type, 0).status]).toEqual([IOERR, IOERR, IOERR]);
  expect(d.disk).toEqual(before);
});

describe('what it refuses is an I/O error and changes nothing', () => {
  const sector: Buffer = { address: DATA, bytes: 512 };
  test('beyond the last sector, and part of one', () => {
    const d = disk();
    const before = d.disk.slice();
    expect([d.ask(IN, SECTORS, [{ ...sector, write: true }]), d.ask(OUT, SECTORS - 1, [{ ...sector, bytes: 1024 }]), d.ask(OUT, 0, [{ ...sector, bytes: 100 }]), d.ask(IN, 2 ** 52, [{ ...sector, write: true }])].map(({ status }) => status)).toEqual([IOERR, IOERR, IOERR, IOERR]);
    expect(d.disk).toEqual(before);
  });
  test('writes to a read-only disk', () => {
    const d = disk({ readOnly: true });
    expect([d.ask(OUT, 0, [sector]), d.ask(DISCARD, 0, [{ ...sector, bytes: 16 }]), d.ask(IN, 0, [{ ...sector, write: true }])].map(({ status }) => status)).toEqual([IOERR, IOERR, OK]);
  });
  test('a disk that has no more room, and an event says so', () => {
    const d = disk({ full: true });
    expect(d.ask(OUT, 0, [sector]).status).toBe(IOERR);
    expect(d.events().map(({ event }) => event)).toEqual(['virtio_blk_full', 'virtio_blk_request']);
  });
  test('a request that it does not know', () => {
    expect(disk().ask(99, 0).status).toBe(UNSUPP);
  });
  test('a request without a header', () => {
    const d = disk();
    d.put(STATUS, [0xee]);
    d.offer(0, d.chain(0, [0, 1], [{ address: HEADER, bytes: 8 }, { address: STATUS, bytes: 1, write: true }]));
    d.notify(0);
    expect([d.bytes(STATUS, 1)[0], d.used(0)]).toEqual([IOERR, [{ head: 0, written: 1 }]]);
  });
});

test('data that lie outside RAM make it need a reset, which says so by an interrupt, and a reset makes it whole', () => {
  const d = disk();
  d.put(HEADER, new Uint8Array(16));
  d.offer(0, d.chain(0, [0, 1, 2], [{ address: HEADER, bytes: 16 }, { address: 0x1000, bytes: 512, write: true }, { address: STATUS, bytes: 1, write: true }]));
  d.notify(0);
  expect([d.read(REGISTER.status), d.read(REGISTER.interruptStatus), d.read(REGISTER.generation), d.lines()]).toEqual([15 | 64, 2, 1, [true]]);
  expect(d.events()).toEqual([{ event: 'virtio_needs_reset', device: 0, kind: 'block', reason: '512 bytes at 0x1000 are not RAM' }]);
  // Until then it does nothing more.
  d.notify(0);
  expect(d.used(0)).toEqual([]);
  d.write(REGISTER.status, 0);
  expect([d.read(REGISTER.status), d.read(REGISTER.interruptStatus), d.lines(), d.state.queues[0]!.ready]).toEqual([0, 0, [false], false]);
});

test('nothing happens before the driver is ready, and everything that waits is done at one notification', () => {
  const d = driver(initialBlock(0, 512, false), 1, [arrayDisk(new Uint8Array(512))]);
  d.negotiate(VERSION_1);
  d.setUp(0, 4);
  d.put(HEADER, [8]);
  d.offer(0, d.chain(0, [0, 1], [{ address: HEADER, bytes: 16 }, { address: DATA, bytes: 21, write: true }]));
  d.offer(0, d.chain(0, [2, 3], [{ address: HEADER, bytes: 16 }, { address: DATA, bytes: 21, write: true }]));
  d.notify(0);
  expect(d.used(0)).toEqual([]);
  d.go();
  d.notify(0);
  expect(d.used(0)).toEqual([{ head: 0, written: 21 }, { head: 2, written: 21 }]);
  expect(d.lines()).toEqual([true]);
});

test('features: only what was offered, VERSION_1 always, and none after FEATURES_OK', () => {
  const d = driver(initialBlock(0, 512, false), 1);
  expect(d.offered() & (VERSION_1 | INDIRECT | EVENT_INDEX)).toBe(VERSION_1 | INDIRECT | EVENT_INDEX);
  expect([d.negotiate(0n), d.negotiate(INDIRECT), d.negotiate(VERSION_1 | (1n << 40n)), d.negotiate(VERSION_1)]).toEqual([false, false, false, true]);
  d.write(REGISTER.driverFeaturesSel, 0);
  d.write(REGISTER.driverFeatures, 0xffff_ffff);
  expect(d.state.driverFeatures).toBe(VERSION_1);
  d.write(REGISTER.deviceFeaturesSel, 2);
  expect(d.read(REGISTER.deviceFeatures)).toBe(0);
});

test('it tells what it is', () => {
  const d = disk();
  d.ask(FLUSH, 0);
  expect(describeVirtio(d.state)).toMatch(/^virtio 0 \(disk 0 of 64 sectors, mmio\): ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK, features 0x130006e44, queues 0: 1 of 8 taken, 1 given back, interrupt status 1$/);
});
