/** What all code of the engines shares: the signature of handlers, the functions they import, and how one handler goes on to the next. */

import { RECORD_BYTES } from '../../memory/memory.ts';
import type { BranchType } from '../builder.ts';
import { Word } from '../state.ts';
import { PLAIN, Scratch } from './layout.ts';
import { Access, I32, I64, Op, type Code } from './wasm/code.ts';
import type { FunctionImport, Signature } from './wasm/module.ts';

/**
 * A handler executes the instruction of a record and calls, as a tail call, the handler of the next. Its parameters: the core's
 * block, its scratch area, the record, and the budget, which counts this instruction and is never 0. It returns an `Ending`.
 */
export const HANDLER = 0;
export const Local = { CORE: 0, SCRATCH: 1, RECORD: 2, BUDGET: 3 } as const;
export const PARAMETERS = 4;

/** How a run of handlers came back; what is left of the budget is in the scratch area. */
export const Ending = {
  /** PC is that of the record in the scratch area. */
  RECORD: 0,
  /** PC is in its word. */
  PC: 1,
  /** The same after a branch: its top byte is still to be looked at. */
  BRANCH: 2,
} as const;

export const SIGNATURES: readonly Signature[] = [
  { parameters: [I32, I32, I32, I32], results: [I32] },
  { parameters: [I32, I32, I64, I32], results: [I64] },
  { parameters: [I32, I32, I64, I64, I32], results: [I32] },
  { parameters: [I32, I32, I64, I64, I64, I32], results: [I32] },
  { parameters: [I32, I32], results: [I32] },
  { parameters: [I32, I64, I32], results: [I32] },
  { parameters: [I32, I32, I32, I64, I64], results: [I32] },
  { parameters: [I32, I64, I32], results: [I32] },
  { parameters: [I32, I32], results: [] },
  { parameters: [I64, I64, I64], results: [I64] },
  { parameters: [I32, I64, I64, I64, I64, I32], results: [I64] },
];

/** Imported functions, by their order. `load` and its like get the access's number and size: access * 16 + bytes. */
export const IMPORTS = [
  { name: 'load', type: 1 }, { name: 'store', type: 2 }, { name: 'storePair', type: 3 }, { name: 'reference', type: 4 }, { name: 'checkStack', type: 4 },
  { name: 'crc32', type: 5 }, { name: 'go', type: HANDLER }, { name: 'land', type: HANDLER }, { name: 'begin', type: HANDLER }, { name: 'flagsOf', type: 6 },
  { name: 'mayLoad', type: 7 }, { name: 'mayStore', type: 7 }, { name: 'multiplyAdd', type: 9 }, { name: 'pointerCode', type: 10 },
] as const satisfies readonly FunctionImport[];
export type ImportName = (typeof IMPORTS)[number]['name'];
export const importIndex = (name: ImportName): number => IMPORTS.findIndex((one) => one.name === name);

/** Handlers that are always there, by their numbers in the table. */
export const UNDECODED = 0, PAGE_END = 1, REFERENCE = 2, FIRST_SHAPE = 4;
/** As UNDECODED, for an instruction that a region holds: a store to it is seen. */
export const COVERED = 3;

/** Handlers of shapes are numbered below this (random words of all rows have some 13,000 shapes), those of regions from here on. */
export const FIRST_REGION = 1 << 16;

/** How NZCV is kept between regions (in the scratch area) and within one: stored in its word, as the operands of what sets it, zero-extended from 32 bits for the narrow kinds, or as a value. In a region BEFORE stands for what was found. */
export const Flags = { BEFORE: -1, STORED: 0, ADD32: 1, ADD64: 2, SUBTRACT32: 3, SUBTRACT64: 4, LOGICAL32: 5, LOGICAL64: 6, VALUE: 7 } as const;

export const PC_OFFSET = Word.PC * 8;

/** Tail-calls the handler of the record in RECORD: the one that comes first, or with PLAIN that of its instruction alone. */
export function dispatch(code: Code, place: 0 | typeof PLAIN = 0): void {
  code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET);
  code.get(Local.RECORD); code.access(Access.i32_load, place);
  code.tailCallIndirect(HANDLER, 0);
}

/** Counts the instruction in hand, of which RECORD or PC is behind it already, and returns with `ending` where that was the last of the budget. */
export function count(code: Code, ending: number): void {
  code.get(Local.BUDGET); code.i32(1); code.op(Op.i32_sub); code.tee(Local.BUDGET); code.op(Op.i32_eqz);
  code.if();
  if (ending === Ending.RECORD) {
    code.get(Local.SCRATCH); code.get(Local.RECORD); code.access(Access.i32_store, Scratch.RECORD);
  }
  code.get(Local.SCRATCH); code.i32(0); code.access(Access.i32_store, Scratch.BUDGET);
  code.i32(ending); code.op(Op.return);
  code.end();
}

/** On to the instruction behind this one. */
export function next(code: Code): void {
  code.get(Local.RECORD); code.i32(RECORD_BYTES); code.op(Op.i32_add); code.set(Local.RECORD);
  count(code, Ending.RECORD);
  dispatch(code);
}

/** On to the instruction whose record is the number on the stack away from this one: by `begin` where it has its plain handler. */
export function near(code: Code, beginFunction: number): void {
  code.get(Local.RECORD); code.op(Op.i32_add); code.set(Local.RECORD);
  count(code, Ending.RECORD);
  code.get(Local.RECORD); code.access(Access.i32_load, 0); code.i32(FIRST_REGION); code.op(Op.i32_lt_u);
  code.if();
  code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET);
  code.tailCall(beginFunction);
  code.end();
  dispatch(code);
}

/** On to the address that was written to PC, by `go`, or by `land` where a branch type is in force. */
export function far(code: Code, goFunction: number): void {
  count(code, Ending.BRANCH);
  code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET);
  code.tailCall(goFunction);
}

/** Notes the branch type that is in force once the branch in hand is counted; `pushLeft` puts what is left of the budget then on the stack. */
export function noteBranch(code: Code, type: BranchType, pushLeft: () => void): void {
  code.get(Local.SCRATCH);
  if (type === 'jump') { code.i32(3); code.i32(1); code.get(Local.SCRATCH); code.access(Access.i32_load, Scratch.PAGE_GUARDED); code.op(Op.select); }
  else code.i32(type === 'call' ? 2 : 1);
  code.access(Access.i32_store, Scratch.BRANCH_TYPE);
  code.get(Local.SCRATCH); pushLeft(); code.access(Access.i32_store, Scratch.BRANCH_BUDGET);
}

/** Puts the address of the instruction in hand on the stack. */
export function pushPc(code: Code): void {
  code.get(Local.SCRATCH); code.access(Access.i64_load, Scratch.PAGE_VIRTUAL);
  code.get(Local.RECORD); code.get(Local.SCRATCH); code.access(Access.i32_load, Scratch.PAGE_RECORDS); code.op(Op.i32_sub);
  code.i32(3); code.op(Op.i32_shr_u); code.op(Op.i64_extend_i32_u); code.op(Op.i64_add);
}
