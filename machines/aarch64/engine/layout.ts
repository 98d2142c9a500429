/** Where the engines' code finds things in linear memory: a core's scratch words and fast arrays, and the records of decoded instructions. None of it is state. */

import { ENGINE_BYTES, PAGE_BYTES, RECORD_BYTES, type Memory } from '../../memory/memory.ts';
import type { Core } from '../board.ts';
import { EMPTY, ENTRY_WORDS, FAST_BYTES, SETS } from '../tlb.ts';

/** Bytes behind the start of a core's scratch area. Words of 32 bits, but for PAGE_VIRTUAL. */
export const Scratch = {
  /** Where the run ended: the record of the next instruction, and what is left of the budget. */
  RECORD: 0,
  BUDGET: 4,
  /** VA of the page of code in hand (64 bits), and where its records are. */
  PAGE_VIRTUAL: 8,
  PAGE_RECORDS: 16,
  /** Offsets of the arrays of the current mode: loads, stores (a set without entries while another core's monitor is set), fetches. */
  READ: 20,
  WRITE: 24,
  FETCH: 28,
  /** Offset of the stack pointer that is selected. */
  STACK: 32,
  /** 1 when FP and Advanced SIMD instructions do not trap. */
  FLOATING_POINT: 36,
  /** What was left of the budget when a region had to leave for its sake; 0 when none did. */
  LEFT: 40,
  /** NZCV: a kind of handler.ts's Flags, and its operands (64 bits each). */
  FLAGS: 44,
  FLAGS_A: 48,
  FLAGS_B: 56,
  /** Whether the page of code in hand is guarded (FEAT_BTI). */
  PAGE_GUARDED: 64,
  /** PSTATE.BTYPE of the indirect branch taken last, and the budget behind it: in force for as long as that is what is left. */
  BRANCH_TYPE: 68,
  BRANCH_BUDGET: 72,
  /** Instructions attempted in regions, where a profile asks. */
  TRANSLATED: 76,
  /** RAM: its first offset and its bytes in linear memory, and what to add to an offset to get its physical address (64 bits). */
  RAM_FIRST: 80,
  RAM_BYTES: 84,
  RAM_DELTA: 88,
  /** Pointer authentication (pointer-codes.ts): what to do by key; the bit that tells the halves apart, for addresses of instructions and of data; by kind, bit 55 and that bit, the field of the code (64 bits). */
  POINTERS: 96,
  POINTER_SELECT: 120,
  POINTER_FIELDS: 128,
  /** By place (permitted.ts): where in linear memory MRS finds its value, 0 where only the reference engine may; and values that are no register's (64 bits). */
  READS: 192,
  VALUES: 256,
  /** By place (permitted.ts): 1 where a system instruction does nothing but what it is for. */
  OPERATIONS: 384,
  /** What code may do to PSTATE.A, I and F: 0 nothing, 1 read and set them, 2 clear them too, since no interrupt pends. */
  MASKS: 416,
} as const;

/** A VA shifted right by 8 and masked so is the offset of its entry in an array. */
export const INDEX_MASK = (SETS - 1) * 4 * ENTRY_WORDS;

/** In the first page of linear memory, which no region has: the offsets of `codePages`, and of the counts of how often plain handlers were branched to. */
export const CODE_PAGES_POINTER = 16;
export const COUNTS_POINTER = 20;
/** Counts are of 32 bits, by the low bits of a record's number: records may share one. */
export const COUNTS = 1 << 14;

/** The fast arrays, then one set that is empty always. */
const ARRAYS = 4096;
const SET_BYTES = SETS * ENTRY_WORDS * 4;
const SCRATCH_BYTES = ARRAYS + 3 * FAST_BYTES + SET_BYTES;
const CORES_MAX = 16;

export const scratchOf = (core: Core): number => core.board.memory.engineOffset + core.index * SCRATCH_BYTES;
/** Offset of a core's three fast arrays. */
export const fastArrays = (core: Core): number => scratchOf(core) + ARRAYS;
/** Offset of the array of `kind` (0 loads, 1 stores, 2 fetches) for `mode` (tlb.ts). */
export const modeArray = (core: Core, kind: number, mode: number): number => fastArrays(core) + kind * FAST_BYTES + mode * SET_BYTES;

/** Offset of the set that is empty always. */
export function emptySet(core: Core): number {
  const offset = fastArrays(core) + 3 * FAST_BYTES;
  const { view } = core.board.memory;
  if (view.getInt32(offset, true) !== EMPTY) for (let at = 0; at < SET_BYTES; at += 4 * ENTRY_WORDS) view.setInt32(offset + at, EMPTY, true);
  return offset;
}

/** Operands of a record: words behind the handler. */
export const OPERANDS_MAX = RECORD_BYTES / 4 - 2;
/** Where a record has the handler of its instruction alone; the first word may be that of a region that begins with it. */
export const PLAIN = 28;
if (PLAIN !== RECORD_BYTES - 4) throw new Error('the plain handler is the last word of a record');
export const INSTRUCTIONS = PAGE_BYTES / 4;
/** The records of one page: one an instruction, and one behind the last that goes on to the next page. */
export const RECORDS_BYTES = (INSTRUCTIONS + 1) * RECORD_BYTES;

export const countsOffset = (memory: Memory): number => memory.engineOffset + CORES_MAX * SCRATCH_BYTES;
const poolOffset = (memory: Memory): number => countsOffset(memory) + 4 * COUNTS;
/** How many pages of records there is room for. */
export const RECORD_PAGES = Math.floor((ENGINE_BYTES - CORES_MAX * SCRATCH_BYTES - 4 * COUNTS) / RECORDS_BYTES);
/** Offset of the records of the `index`th page that has some. */
export const recordsAt = (memory: Memory, index: number): number => poolOffset(memory) + index * RECORDS_BYTES;
export const recordIndex = (memory: Memory, records: number): number => (records - poolOffset(memory)) / RECORDS_BYTES;
