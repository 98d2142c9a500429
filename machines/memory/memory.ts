/** Physical memory: one WebAssembly linear memory that holds the vCPU blocks, L0's own pages, flash and RAM, with its dirty pages known. */

import { hex } from '../bits.ts';

export const PAGE_BYTES = 4096;
const WASM_PAGE_BYTES = 65536;
/** Decoded instructions are kept in records of 32 bytes, whose first and last words are handlers: 0 means not decoded. */
export const RECORD_BYTES = 32;

/** A range that guests, or only L0, can address. `base` and `bytes` are multiples of 4096; `base` is a physical address below 2^48. */
export interface RegionSpec {
  readonly name: string;
  readonly base: number;
  readonly bytes: number;
  /** `ram` and `rom` are in the guest's physical map, and stores to `rom` are for its device; `l0` pages are seen by L0 and the hardware only (vCPU blocks, VNCR pages). */
  readonly kind: 'ram' | 'rom' | 'l0';
}

export interface Region extends RegionSpec {
  /** Byte offset of the region's first byte in linear memory. */
  readonly offset: number;
  /** Derived from the state of a flash bank's device: it answers reads at present, and there is no memory for guests here. */
  hidden: boolean;
}

export interface Memory {
  readonly regions: readonly Region[];
  /** The linear memory itself, which the engines' code imports. */
  readonly wasm: WebAssembly.Memory;
  /** Where in linear memory the engines' own area begins, behind all regions: caches that are no state. ENGINE_BYTES long. */
  readonly engineOffset: number;
  /** One word a page of linear memory: where the records of its instructions are, 0 when none were decoded. Lies in the engines' area. */
  readonly codePages: Uint32Array;
  /** The regions. `bytesAll` has the engines' area as well. */
  readonly bytes: Uint8Array;
  readonly bytesAll: Uint8Array;
  /** Records that were forgotten because their bytes changed: what was made of them has to go as well. */
  readonly staleCode: number[];
  readonly view: DataView;
  readonly words: BigUint64Array;
  /** Number of 4 KiB pages of linear memory in use. */
  readonly pages: number;
  /** One byte a page of linear memory: 1 when written since the last capture. */
  readonly dirty: Uint8Array;
  /** The indices of the dirty pages, in the order in which they became dirty. */
  readonly dirtyPages: number[];
  /** Pages that trees of kept Worlds have without a copy of their own, by index: the copy is made before the page changes. */
  readonly lent: Map<number, LentPage>;
  /** How many such copies were made. */
  copies: number;
  /** One byte a page of linear memory: 1 when a cached translation was made from a descriptor in it. `descriptorPages` has their indices. */
  readonly holdsDescriptors: Uint8Array;
  readonly descriptorPages: number[];
  /** Counts the times that the dirty pages were taken: what knows a page to be dirty has to look again. */
  cleaned: number;
}

/** A page whose bytes are those in linear memory for as long as `bytes` is undefined. */
export interface LentPage { bytes: Uint8Array | undefined }

/** Bytes of the engines' area but for the page table of decoded pages: 128 MiB, of which the host gives what is touched. */
export const ENGINE_BYTES = 1 << 27;

/** Lays regions out in one new linear memory. Throws RangeError on overlap or misalignment, and where the host has no room for it. */
export function createMemory(specs: readonly RegionSpec[]): Memory {
  let offset = PAGE_BYTES;
  const regions: Region[] = [];
  for (const spec of specs) {
    if (spec.base % PAGE_BYTES !== 0 || spec.bytes % PAGE_BYTES !== 0) throw new RangeError(`region ${spec.name} at ${hex(spec.base)} is not a whole number of 4 KiB pages`);
    const clash = regions.find((other) => spec.base < other.base + other.bytes && other.base < spec.base + spec.bytes);
    if (clash) throw new RangeError(`regions ${clash.name} and ${spec.name} overlap at ${hex(Math.max(spec.base, clash.base))}`);
    regions.push({ ...spec, offset, hidden: false });
    offset += spec.bytes;
  }
  const pages = offset / PAGE_BYTES;
  const codePagesOffset = offset + ENGINE_BYTES;
  // Zero, and not in the host's memory before it is touched; the same holds of the bytes a page below.
  const memory = new WebAssembly.Memory({ initial: Math.ceil((codePagesOffset + 4 * pages) / WASM_PAGE_BYTES) });
  return {
    regions, pages, wasm: memory, engineOffset: offset, codePages: new Uint32Array(memory.buffer, codePagesOffset, pages), cleaned: 0, staleCode: [],
    bytes: new Uint8Array(memory.buffer, 0, offset), bytesAll: new Uint8Array(memory.buffer), view: new DataView(memory.buffer), words: new BigUint64Array(memory.buffer),
    dirty: new Uint8Array(pages), dirtyPages: [], lent: new Map(), copies: 0, holdsDescriptors: new Uint8Array(pages), descriptorPages: [],
  };
}

/** The region that holds physical address `pa`, or undefined: a device or nothing. */
export function regionAt(memory: Memory, pa: number): Region | undefined {
  for (const region of memory.regions) if (pa >= region.base && pa < region.base + region.bytes) return region;
  return undefined;
}

/** The region called `name`. Throws when there is none. */
export function regionNamed(memory: Memory, name: string): Region {
  const region = memory.regions.find((candidate) => candidate.name === name);
  if (!region) throw new RangeError(`memory has no region ${name}`);
  return region;
}

/** The linear-memory offset of physical address `pa`, or -1 where there is no memory. */
export function locate(memory: Memory, pa: number): number {
  const region = regionAt(memory, pa);
  return region === undefined ? -1 : region.offset + (pa - region.base);
}

/**
 * Notes that the page at linear-memory `offset` is about to change. Every store into linear memory, by guest, device or L0, calls it:
 * before it stores, since kept Worlds may have no other copy of the page.
 */
export function markDirty(memory: Memory, offset: number): void {
  const page = offset >>> 12;
  if (memory.dirty[page] === 0) {
    copyOut(memory, page);
    memory.dirty[page] = 1;
    memory.dirtyPages.push(page);
  }
}

/** Notes that `bytes` at linear-memory `offset`, within one page, changed: instructions decoded from them are decoded again. Every store calls it, but for those of the engines' own code. */
export function forgetCode(memory: Memory, offset: number, bytes: number): void {
  const records = memory.codePages[offset >>> 12]!;
  if (records === 0) return;
  const first = (offset & 0xffc) >> 2;
  const last = ((offset & 0xfff) + bytes - 1) >> 2;
  for (let index = first; index <= last; index++) {
    const record = records + index * RECORD_BYTES;
    if (memory.view.getInt32(record, true) === 0) continue;
    memory.view.setInt32(record, 0, true);
    memory.view.setInt32(record + RECORD_BYTES - 4, 0, true);
    memory.staleCode.push(record);
  }
}

/** Gives the tree that has `page` on loan a copy of its own. */
export function copyOut(memory: Memory, page: number): void {
  const lent = memory.lent.get(page);
  if (lent === undefined) return;
  lent.bytes = memory.bytes.slice(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
  memory.lent.delete(page);
  memory.copies += 1;
}

/** Notes that a cached translation was made from a descriptor in `page`. Returns whether that is news. */
export function holdDescriptors(memory: Memory, page: number): boolean {
  if (memory.holdsDescriptors[page] !== 0) return false;
  memory.holdsDescriptors[page] = 1;
  memory.descriptorPages.push(page);
  return true;
}

/** No cached translation is left. */
export function forgetDescriptors(memory: Memory): void {
  for (const page of memory.descriptorPages) memory.holdsDescriptors[page] = 0;
  memory.descriptorPages.length = 0;
}

/** Copies `bytes` to physical address `pa`. Throws RangeError when they do not lie within one region. */
export function writeBytes(memory: Memory, pa: number, bytes: Uint8Array): void {
  const region = regionAt(memory, pa);
  if (!region || pa + bytes.length > region.base + region.bytes) throw new RangeError(`${bytes.length} bytes at ${hex(pa)} do not fit in memory`);
  const offset = region.offset + (pa - region.base);
  for (let at = offset; at < offset + bytes.length; at += PAGE_BYTES - (at % PAGE_BYTES)) {
    markDirty(memory, at);
    forgetCode(memory, at, Math.min(offset + bytes.length - at, PAGE_BYTES - (at % PAGE_BYTES)));
  }
  memory.bytes.set(bytes, offset);
}

/** The `length` bytes at physical address `pa`, as a copy. Throws RangeError when they do not lie within one region. */
export function readBytes(memory: Memory, pa: number, length: number): Uint8Array {
  const region = regionAt(memory, pa);
  if (!region || pa + length > region.base + region.bytes) throw new RangeError(`${length} bytes at ${hex(pa)} are not in memory`);
  const offset = region.offset + (pa - region.base);
  return memory.bytes.slice(offset, offset + length);
}

/** The little-endian 64-bit word at physical address `pa`, 8-byte aligned. */
export function readWord(memory: Memory, pa: number): bigint {
  const offset = locate(memory, pa);
  if (offset < 0 || offset % 8 !== 0) throw new RangeError(`no aligned word at ${hex(pa)}`);
  return memory.words[offset / 8]!;
}

/** Stores a little-endian 64-bit word at physical address `pa`, 8-byte aligned. */
export function writeWord(memory: Memory, pa: number, value: bigint): void {
  const offset = locate(memory, pa);
  if (offset < 0 || offset % 8 !== 0) throw new RangeError(`no aligned word at ${hex(pa)}`);
  markDirty(memory, offset);
  forgetCode(memory, offset, 8);
  memory.words[offset / 8] = value;
}
