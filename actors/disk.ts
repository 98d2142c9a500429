/** Disks that are written copy-on-write: what a guest wrote lies in linear memory, captured and restored as RAM is; the image behind it is only read. */

import { PAGE_BYTES, readBytes, regionNamed, writeBytes, type Memory, type RegionSpec } from '../machines/memory/memory.ts';
import type { Disk } from '../machines/messages.ts';
import { InputError } from './input-error.ts';

/** An image as the host has it. It must not change while a machine runs on it: `read` throws InputError when it did. */
export interface DiskSource {
  /** For messages. */
  readonly name: string;
  /** A multiple of 512, and not 0. */
  readonly bytes: number;
  /** `length` bytes from byte `offset` on, which lie within it. */
  read(offset: number, length: number): Uint8Array;
}

export interface DiskOptions { readonly source: DiskSource; readonly readOnly?: boolean }

/** Physical addresses that only L0 and devices see, below its other pages. */
const DISKS_BASE = 0xd000_0000_0000;
const DISK_STRIDE = 2 ** 40;

/** A disk's table: first the number of slots in use, then a word for each page of the disk. */
const HEADER_BYTES = 4;
/** Words of the table: the page is the image's, or zero, or in slot n - FIRST_SLOT of the overlay. */
const IMAGE = 0, ZERO = 1, FIRST_SLOT = 2;

const whole = (bytes: number): number => Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
const tableName = (index: number): string => `disk${index}-table`;
const overlayName = (index: number): string => `disk${index}-overlay`;
/** Whether a region of memory is part of a disk. */
export const isDiskRegion = (name: string): boolean => /^disk\d+-/.test(name);

/**
 * The regions that the disks need, within `room` bytes of linear memory. A disk that is written has room for all of it, or for
 * its even share of what there is. Throws InputError for a disk of an impossible size.
 */
export function diskRegions(disks: readonly DiskOptions[], room: number): RegionSpec[] {
  let left = room;
  let sharers = disks.filter(({ readOnly }) => readOnly !== true).length;
  return disks.flatMap(({ source, readOnly }, index): RegionSpec[] => {
    if (source.bytes <= 0 || source.bytes % 512 !== 0) throw new InputError(`${source.name}: it has ${source.bytes} bytes; a disk image is a whole number of 512-byte sectors`);
    if (readOnly === true) return [];
    const table = whole(HEADER_BYTES + 4 * Math.ceil(source.bytes / PAGE_BYTES));
    const overlay = Math.min(whole(source.bytes), Math.floor((Math.floor(left / sharers) - table) / PAGE_BYTES) * PAGE_BYTES);
    if (overlay <= 0) throw new InputError(`${source.name}: a disk of ${source.bytes} bytes leaves no room for what is written to it; give it read-only, or less --mem`);
    left -= table + overlay;
    sharers--;
    const base = DISKS_BASE + 2 * index * DISK_STRIDE;
    return [{ name: tableName(index), base, bytes: table, kind: 'l0' }, { name: overlayName(index), base: base + DISK_STRIDE, bytes: overlay, kind: 'l0' }];
  });
}

/** The disks over the regions that diskRegions gave. */
export const disksOf = (memory: Memory, disks: readonly DiskOptions[]): Disk[] =>
  disks.map(({ source, readOnly }, index) => (readOnly === true ? readOnlyDisk(source) : writtenDisk(memory, source, index)));

const readOnlyDisk = (source: DiskSource): Disk => ({ bytes: source.bytes, read: (offset, length) => source.read(offset, length), write: () => false, clear: () => false });

function writtenDisk(memory: Memory, source: DiskSource, index: number): Disk {
  const table = regionNamed(memory, tableName(index));
  const overlay = regionNamed(memory, overlayName(index));
  const slots = overlay.bytes / PAGE_BYTES;
  const wordAt = (address: number): number => memory.view.getUint32(table.offset + (address - table.base), true);
  const setWord = (address: number, value: number): void => {
    const word = new Uint8Array(4);
    new DataView(word.buffer).setUint32(0, value, true);
    writeBytes(memory, address, word);
  };
  const entryOf = (page: number): number => table.base + HEADER_BYTES + 4 * page;
  const slotOf = (entry: number): number => overlay.base + (entry - FIRST_SLOT) * PAGE_BYTES;
  const image = (offset: number, length: number): Uint8Array => source.read(offset, length);

  /** The bytes of one page from `from` to `to`, offsets in the disk. */
  const readPage = (page: number, from: number, to: number): Uint8Array => {
    const entry = wordAt(entryOf(page));
    if (entry === IMAGE) return image(from, to - from);
    return entry === ZERO ? new Uint8Array(to - from) : readBytes(memory, slotOf(entry) + (from - page * PAGE_BYTES), to - from);
  };

  /** The disk's parts of `offset` to `offset + length`, page by page. */
  const eachPage = (offset: number, length: number, act: (page: number, from: number, to: number) => void): void => {
    for (let from = offset; from < offset + length;) {
      const page = Math.floor(from / PAGE_BYTES);
      const to = Math.min(offset + length, (page + 1) * PAGE_BYTES);
      act(page, from, to);
      from = to;
    }
  };
  const isWhole = (page: number, from: number, to: number): boolean => from === page * PAGE_BYTES && to === Math.min(source.bytes, (page + 1) * PAGE_BYTES);

  /** Whether there is room for the pages that `needs` picks of those from `offset` on. */
  const fits = (offset: number, length: number, needs: (page: number, from: number, to: number) => boolean): boolean => {
    let more = 0;
    eachPage(offset, length, (page, from, to) => { if (needs(page, from, to)) more++; });
    return wordAt(table.base) + more <= slots;
  };
  const hasSlot = (page: number): boolean => wordAt(entryOf(page)) >= FIRST_SLOT;

  /** Puts `bytes` at `from`, within `page`. */
  const writePage = (page: number, from: number, bytes: Uint8Array): void => {
    const start = page * PAGE_BYTES;
    if (!hasSlot(page)) {
      const end = Math.min(source.bytes, start + PAGE_BYTES);
      const before = isWhole(page, from, from + bytes.length) ? undefined : readPage(page, start, end);
      const slot = wordAt(table.base);
      setWord(table.base, slot + 1);
      setWord(entryOf(page), FIRST_SLOT + slot);
      if (before !== undefined) writeBytes(memory, overlay.base + slot * PAGE_BYTES, before);
    }
    writeBytes(memory, slotOf(wordAt(entryOf(page))) + (from - start), bytes);
  };

  return {
    bytes: source.bytes,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      // What lies in the image side by side is read at once.
      let [from, to] = [0, 0];
      const flush = (): void => { if (to > from) bytes.set(image(from, to - from), from - offset); };
      eachPage(offset, length, (page, start, end) => {
        if (wordAt(entryOf(page)) !== IMAGE) bytes.set(readPage(page, start, end), start - offset);
        else if (start === to) to = end;
        else {
          flush();
          [from, to] = [start, end];
        }
      });
      flush();
      return bytes;
    },
    write(offset, bytes) {
      if (!fits(offset, bytes.length, (page) => !hasSlot(page))) return false;
      eachPage(offset, bytes.length, (page, from, to) => writePage(page, from, bytes.subarray(from - offset, to - offset)));
      return true;
    },
    clear(offset, length) {
      const partial = (page: number, from: number, to: number): boolean => !hasSlot(page) && wordAt(entryOf(page)) !== ZERO && !isWhole(page, from, to);
      if (!fits(offset, length, partial)) return false;
      eachPage(offset, length, (page, from, to) => {
        if (hasSlot(page) || partial(page, from, to)) writePage(page, from, new Uint8Array(to - from));
        else if (wordAt(entryOf(page)) !== ZERO) setWord(entryOf(page), ZERO);
      });
      return true;
    },
  };
}
