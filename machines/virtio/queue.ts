/** The split virtqueue as a device sees it: chains of buffers taken from the driver, given back used. Virtio 1.2, 2.7. */

import type { DirectMemory } from '../messages.ts';
import { Feature, type QueueState } from './state.ts';

/** The driver left something in memory that no driver may: the device then needs a reset. */
export class RingFault extends Error { override readonly name = 'RingFault'; }

/** Where one buffer of a chain lies. */
export interface Segment { readonly address: number; readonly bytes: number }

/** A request: what the device may read, then what it may write. */
export interface Chain {
  /** Index of its first descriptor, by which it is given back. */
  readonly head: number;
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
}

const DESCRIPTOR_BYTES = 16;
/** Descriptor flags. */
const NEXT = 1, WRITE = 2, INDIRECT = 4;
/** VIRTQ_AVAIL_F_NO_INTERRUPT. */
const NO_INTERRUPT = 1;
/** What a queue's parts must be multiples of. */
const ALIGNMENT = { descriptors: DESCRIPTOR_BYTES, available: 2, used: 4 } as const;
/** Bytes copied at a time. */
const PIECE_BYTES = 1 << 16;

const indexAfter = (index: number, count = 1): number => (index + count) & 0xffff;

/** Throws RingFault for a queue that the driver must not make ready. */
export function checkQueue(queue: QueueState, sizeMax: number): void {
  const { size } = queue;
  if (size < 1 || size > sizeMax || (size & (size - 1)) !== 0) throw new RingFault(`the queue size is ${size}: it must be a power of two, at most ${sizeMax}`);
  for (const part of ['descriptors', 'available', 'used'] as const) {
    if (queue[part] % ALIGNMENT[part] !== 0) throw new RingFault(`the queue's ${part} at 0x${queue[part].toString(16)} are not aligned to ${ALIGNMENT[part]} bytes`);
  }
}

/** The next chain that the driver has made available, or undefined. It counts as taken. */
export function takeChain(queue: QueueState, features: bigint, memory: DirectMemory): Chain | undefined {
  const waiting = (half(memory, queue.available + 2) - queue.taken) & 0xffff;
  if (waiting === 0) return undefined;
  if (waiting > queue.size) throw new RingFault(`${waiting} chains are available in a queue of ${queue.size}`);
  const head = half(memory, queue.available + 4 + 2 * (queue.taken % queue.size));
  const chain = readChain(queue, features, memory, head);
  queue.taken = indexAfter(queue.taken);
  return chain;
}

/** Gives `chain` back with `written` bytes written into its buffers. */
export function giveBack(queue: QueueState, chain: Chain, written: number, memory: DirectMemory): void {
  const element = new DataView(new ArrayBuffer(8));
  element.setUint32(0, chain.head, true);
  element.setUint32(4, written, true);
  store(memory, queue.used + 4 + 8 * (queue.usedIndex % queue.size), new Uint8Array(element.buffer));
  queue.usedIndex = indexAfter(queue.usedIndex);
  store(memory, queue.used + 2, littleHalf(queue.usedIndex));
}

/** Asks to be notified of the next chain, and says whether the driver wants an interrupt for those given back since the used index was `before`. */
export function finishBatch(queue: QueueState, features: bigint, memory: DirectMemory, before: number): boolean {
  const eventIndex = (features & Feature.EVENT_IDX) !== 0n;
  if (eventIndex) store(memory, queue.used + 4 + 8 * queue.size, littleHalf(half(memory, queue.available + 2)));
  const done = (queue.usedIndex - before) & 0xffff;
  if (done === 0) return false;
  if (!eventIndex) return (half(memory, queue.available) & NO_INTERRUPT) === 0;
  const wanted = half(memory, queue.available + 4 + 2 * queue.size);
  return ((queue.usedIndex - wanted - 1) & 0xffff) < done;
}

function readChain(queue: QueueState, features: bigint, memory: DirectMemory, head: number): Chain {
  const readable: Segment[] = [];
  const writable: Segment[] = [];
  let [table, entries, at] = [queue.descriptors, queue.size, head];
  let nested = false;
  let total = 0;
  // A chain has at most as many descriptors as its table: what has more goes round in circles.
  for (let left = entries; ;) {
    if (at >= entries) throw new RingFault(`descriptor ${at} is beyond the ${nested ? 'indirect ' : ''}table of ${entries}`);
    if (left-- === 0) throw new RingFault(`the chain from descriptor ${head} has no end`);
    const view = viewOf(bytesAt(memory, table + DESCRIPTOR_BYTES * at, DESCRIPTOR_BYTES));
    const address = view.getUint32(0, true) + 2 ** 32 * view.getUint32(4, true);
    const bytes = view.getUint32(8, true);
    const flags = view.getUint16(12, true);
    if ((flags & INDIRECT) !== 0) {
      if ((features & Feature.INDIRECT_DESC) === 0n) throw new RingFault('an indirect descriptor, which was not negotiated');
      if (nested || (flags & NEXT) !== 0) throw new RingFault(nested ? 'an indirect table in an indirect table' : 'an indirect descriptor that has a next one');
      if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0) throw new RingFault(`an indirect table of ${bytes} bytes`);
      nested = true;
      [table, entries, at] = [address, bytes / DESCRIPTOR_BYTES, 0];
      left = Math.min(entries, INDIRECT_MAX);
      continue;
    }
    total += bytes;
    if (total > CHAIN_BYTES_MAX) throw new RingFault(`the chain from descriptor ${head} has more than ${CHAIN_BYTES_MAX} bytes`);
    if ((flags & WRITE) !== 0) writable.push({ address, bytes });
    else if (writable.length > 0) throw new RingFault('a buffer to be read stands behind one to be written');
    else readable.push({ address, bytes });
    if ((flags & NEXT) === 0) return { head, readable, writable };
    at = view.getUint16(14, true);
  }
}
/** Descriptors of an indirect table that may be followed: as many as the longest queue can have. */
const INDIRECT_MAX = 32768;

/** As Virtio 1.2, 2.7.5 limits it. */
const CHAIN_BYTES_MAX = 2 ** 32;

export const lengthOf = (segments: readonly Segment[]): number => segments.reduce((sum, { bytes }) => sum + bytes, 0);

/** The part of `segments` from byte `from` on, `bytes` long or up to the end. */
export function part(segments: readonly Segment[], from: number, bytes = Infinity): Segment[] {
  const found: Segment[] = [];
  let skip = from;
  let left = bytes;
  for (const segment of segments) {
    const here = Math.min(segment.bytes - skip, left);
    if (here > 0) {
      found.push({ address: segment.address + skip, bytes: here });
      left -= here;
    }
    skip = Math.max(0, skip - segment.bytes);
  }
  return found;
}

/** `segments` in pieces that are not too large to be copied, in order, each with its offset from the first. */
export function* pieces(segments: readonly Segment[]): Generator<Segment & { readonly offset: number }> {
  let offset = 0;
  for (const { address, bytes } of segments) {
    for (let at = 0; at < bytes; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, bytes - at);
      yield { address: address + at, bytes: length, offset };
      offset += length;
    }
  }
}

/** The bytes that `segments` hold. For headers and frames; what may be long goes by `pieces`. */
export function gather(memory: DirectMemory, segments: readonly Segment[]): Uint8Array {
  const bytes = new Uint8Array(lengthOf(segments));
  for (const piece of pieces(segments)) bytes.set(bytesAt(memory, piece.address, piece.bytes), piece.offset);
  return bytes;
}

/** Puts `bytes` into `segments`, from the first on. Returns how many found room. */
export function scatter(memory: DirectMemory, segments: readonly Segment[], bytes: Uint8Array): number {
  const fitting = part(segments, 0, bytes.length);
  for (const piece of pieces(fitting)) store(memory, piece.address, bytes.subarray(piece.offset, piece.offset + piece.bytes));
  return lengthOf(fitting);
}

/** A copy of RAM. Throws RingFault where there is none. */
export function bytesAt(memory: DirectMemory, address: number, bytes: number): Uint8Array {
  const found = memory.read(address, bytes);
  if (found === undefined) throw new RingFault(`${bytes} bytes at 0x${address.toString(16)} are not RAM`);
  return found;
}

/** Stores to RAM. Throws RingFault where there is none. */
export function store(memory: DirectMemory, address: number, bytes: Uint8Array): void {
  if (!memory.write(address, bytes)) throw new RingFault(`${bytes.length} bytes at 0x${address.toString(16)} are not RAM`);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const half = (memory: DirectMemory, address: number): number => viewOf(bytesAt(memory, address, 2)).getUint16(0, true);
const littleHalf = (value: number): Uint8Array => Uint8Array.of(value & 0xff, value >> 8);
