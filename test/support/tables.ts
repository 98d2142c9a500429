/** Builds translation tables in a bare board's RAM for unit tests, independently of the walker. */

import { type Memory, readWord, writeWord } from '../../machines/memory/memory.ts';

export interface Tables {
  readonly memory: Memory;
  readonly root: number;
  readonly pageShift: number;
  readonly inputBits: number;
  readonly startLevel: number;
  /** Where the next table goes. */
  next: number;
}

/** Tables rooted at `root`; tables below it follow it. `startLevel` defaults to stage 1's. */
export function tablesAt(memory: Memory, root: number, pageShift = 12, inputBits = 48, startLevel = 4 - Math.ceil((inputBits - pageShift) / (pageShift - 3))): Tables {
  const shift = pageShift + (pageShift - 3) * (3 - startLevel);
  const rootBytes = Math.max(2 ** pageShift, 2 ** (3 + inputBits - shift));
  return { memory, root, pageShift, inputBits, startLevel, next: root + rootBytes };
}

/** Maps `input` by a descriptor at `level`: its address, `leaf` (attributes), and the type bits. Tables made on the way get `table`. Returns the descriptor's address. */
export function map(tables: Tables, input: number, output: number, leaf: bigint, level = 3, table = 0n): number {
  const { memory, pageShift } = tables;
  const stride = pageShift - 3;
  let at = tables.root;
  for (let each = tables.startLevel; ; each++) {
    const shift = pageShift + stride * (3 - each);
    const low = input % 2 ** tables.inputBits;
    const index = each === tables.startLevel ? Math.floor(low / 2 ** shift) : Math.floor(low / 2 ** shift) % 2 ** stride;
    const descriptor = at + 8 * index;
    if (each === level) {
      writeWord(memory, descriptor, BigInt(output - (output % 2 ** shift)) | leaf | (level === 3 ? 3n : 1n));
      return descriptor;
    }
    let entry = readWord(memory, descriptor);
    if ((entry & 1n) === 0n) {
      entry = BigInt(tables.next) | table | 3n;
      tables.next += 2 ** pageShift;
      writeWord(memory, descriptor, entry);
    }
    at = Number(entry & 0xffff_ffff_f000n);
  }
}

/** Attribute bits of descriptors. */
export const S1 = {
  AF: 1n << 10n, INNER: 3n << 8n, NG: 1n << 11n, USER: 1n << 6n, READ_ONLY: 1n << 7n, PXN: 1n << 53n, UXN: 1n << 54n,
  /** Tables. */
  PXN_TABLE: 1n << 59n, UXN_TABLE: 1n << 60n, NO_USER_TABLE: 1n << 61n, READ_ONLY_TABLE: 1n << 62n,
} as const;
export const S2 = { AF: 1n << 10n, READ: 1n << 6n, WRITE: 1n << 7n, NORMAL: 0xfn << 2n, XN: 1n << 54n } as const;
/** MAIR index as attribute bits. */
export const attr = (index: number): bigint => BigInt(index) << 2n;
export const S2_ALL = S2.AF | S2.READ | S2.WRITE | S2.NORMAL;
