/** The module that every machine has first: the table of handlers, the way into it, and the handlers that no instruction has. */

import { RECORD_BYTES } from '../../memory/memory.ts';
import { CODE_PAGE } from '../tlb.ts';
import { NZCV_OFFSET, ScalarEmitter } from './emitter-scalar.ts';
import { multiplyAdd } from './multiply-add.ts';
import { Ending, FIRST_REGION, Flags, HANDLER, Local, PARAMETERS, PC_OFFSET, SIGNATURES, dispatch } from './handler.ts';
import { CODE_PAGES_POINTER, COUNTS, COUNTS_POINTER, INDEX_MASK, INSTRUCTIONS, PLAIN, Scratch } from './layout.ts';
import { pointerCode } from './pointer-codes.ts';
import { Access, Code, I32, I64, Op } from './wasm/code.ts';
import { moduleBytes } from './wasm/module.ts';

/** Entries of the table to begin with; it grows. */
export const TABLE_ENTRIES = 1024;

/**
 * Exports `table`; as handlers `enter` (goes to the record's handler), `begin` (the same where a region may begin), `go` (goes to PC) and `land` (the
 * same behind an indirect branch); `flagsOf`, `settle`, `mayLoad`, `mayStore`, `multiplyAdd`, `pointerCode`. It tells `hot` of records without a region that are
 * branched to often.
 */
export function runtimeBytes(): Uint8Array<ArrayBuffer> {
  const decode = 0, reference = 1, hot = 2;
  const imports = [{ name: 'decode', type: SIGNATURES.length }, { name: 'reference', type: 4 }, { name: 'hot', type: SIGNATURES.length }];
  const first = imports.length;
  const functions = [
    { type: HANDLER, body: undecoded(decode) },
    { type: HANDLER, body: pageEnd(first + 4) },
    { type: HANDLER, body: byReference(reference) },
    { type: HANDLER, body: enter(), exportName: 'enter' },
    { type: HANDLER, body: go(false, hot), exportName: 'go' },
    { type: 6, body: flagsOf(first + 5), exportName: 'flagsOf' },
    { type: 7, body: mayLoad(), exportName: 'mayLoad' },
    { type: 7, body: mayStore(), exportName: 'mayStore' },
    { type: 8, body: settle(first + 5), exportName: 'settle' },
    { type: 9, body: multiplyAdd(), exportName: 'multiplyAdd' },
    { type: HANDLER, body: go(true, hot), exportName: 'land' },
    { type: HANDLER, body: begin(hot), exportName: 'begin' },
    { type: 10, body: pointerCode(), exportName: 'pointerCode' },
  ];
  const types = [...SIGNATURES, { parameters: [I32] as const, results: [] }];
  return moduleBytes({ types, tableType: HANDLER, tableEntries: TABLE_ENTRIES, imports, functions, elements: [{ start: 0, functions: [first, first + 1, first + 2, first] }] });
}

/** Decodes the record and goes to its plain handler: whoever wanted a region there has been sent away by it. */
function undecoded(decode: number): Uint8Array {
  const code = new Code(PARAMETERS);
  code.get(Local.RECORD); code.call(decode);
  dispatch(code, PLAIN);
  return code.finish();
}

/** Behind the last record of a page. */
function pageEnd(goFunction: number): Uint8Array {
  const code = new Code(PARAMETERS);
  code.get(Local.CORE);
  code.get(Local.SCRATCH); code.access(Access.i64_load, Scratch.PAGE_VIRTUAL); code.i64(BigInt(INSTRUCTIONS * 4)); code.op(Op.i64_add);
  code.access(Access.i64_store, PC_OFFSET);
  code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET);
  code.tailCall(goFunction);
  return code.finish();
}

/** Has the reference engine execute the instruction. It answers with the budget, or below 0 where the run has to leave, everything told. */
function byReference(reference: number): Uint8Array {
  const code = new Code(PARAMETERS);
  code.get(Local.RECORD); code.get(Local.BUDGET); code.call(reference); code.tee(Local.BUDGET);
  code.i32(0); code.op(Op.i32_lt_s);
  code.if(); code.i32(Ending.PC); code.op(Op.return); code.end();
  code.get(Local.RECORD); code.i32(RECORD_BYTES); code.op(Op.i32_add); code.set(Local.RECORD);
  dispatch(code);
  return code.finish();
}

function enter(): Uint8Array {
  const code = new Code(PARAMETERS);
  dispatch(code);
  return code.finish();
}

/** By the fetch array to the record of PC; back to the run loop where the page is not in it, and with `land` where it is guarded and the instruction there is no plain landing pad. */
function go(land: boolean, hot: number): Uint8Array {
  const code = new Code(PARAMETERS);
  const pc = code.local(I64);
  const entry = code.local(I32);
  const records = code.local(I32);
  const guarded = code.local(I32);
  code.get(Local.CORE); code.access(Access.i64_load, PC_OFFSET); code.tee(pc);
  code.op(Op.i32_wrap_i64); code.i32(8); code.op(Op.i32_shr_u); code.i32(INDEX_MASK); code.op(Op.i32_and);
  code.get(Local.SCRATCH); code.access(Access.i32_load, Scratch.FETCH); code.op(Op.i32_add); code.tee(entry);
  // The two low bits stay, so that an address that is not aligned is not found.
  code.access(Access.i64_load, 0); code.get(pc); code.i64(~0xffcn); code.op(Op.i64_and); code.op(Op.i64_eq);
  code.if();
  code.get(entry); code.access(Access.i32_load, 12); code.tee(records);
  code.i32(1); code.op(Op.i32_gt_u);
  code.if();
  code.get(Local.SCRATCH); code.get(pc); code.i64(~0xfffn); code.op(Op.i64_and); code.access(Access.i64_store, Scratch.PAGE_VIRTUAL);
  code.get(records); code.i32(1); code.op(Op.i32_and); code.set(guarded);
  code.get(records); code.i32(-2); code.op(Op.i32_and); code.set(records);
  if (land) {
    code.get(guarded);
    code.if();
    pushLands(code, entry, pc);
    code.op(Op.i32_eqz);
    code.if(); leave(code); code.end();
    code.end();
  }
  code.get(Local.SCRATCH); code.get(guarded); code.access(Access.i32_store, Scratch.PAGE_GUARDED);
  code.get(Local.SCRATCH); code.get(records); code.access(Access.i32_store, Scratch.PAGE_RECORDS);
  code.get(records); code.get(pc); code.op(Op.i32_wrap_i64); code.i32(0xffc); code.op(Op.i32_and); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add); code.set(Local.RECORD);
  countArrival(code, hot);
  dispatch(code);
  code.end();
  code.end();
  leave(code);
  return code.finish();
}

function begin(hot: number): Uint8Array {
  const code = new Code(PARAMETERS);
  countArrival(code, hot);
  dispatch(code);
  return code.finish();
}

/** Branches to a plain handler before `hot` is told. */
const HOT = 512;

function countArrival(code: Code, hot: number): void {
  const place = code.local(I32);
  code.get(Local.RECORD); code.access(Access.i32_load, 0); code.i32(FIRST_REGION); code.op(Op.i32_lt_u);
  code.if();
  code.get(Local.RECORD); code.i32(3); code.op(Op.i32_shr_u); code.i32(4 * (COUNTS - 1)); code.op(Op.i32_and); code.i32(COUNTS_POINTER); code.access(Access.i32_load, 0); code.op(Op.i32_add); code.tee(place);
  code.get(place); code.access(Access.i32_load, 0); code.i32(1); code.op(Op.i32_add); code.access(Access.i32_store, 0);
  code.get(place); code.access(Access.i32_load, 0); code.i32(HOT); code.op(Op.i32_ge_u);
  code.if();
  code.get(place); code.i32(0); code.access(Access.i32_store, 0);
  code.get(Local.RECORD); code.call(hot);
  code.end();
  code.end();
}

function leave(code: Code): void {
  code.get(Local.SCRATCH); code.get(Local.BUDGET); code.access(Access.i32_store, Scratch.BUDGET);
  code.i32(Ending.BRANCH); code.op(Op.return);
}

/** Whether the instruction at `pc`, in the page of `entry`, is one that a branch of the type in force may land on whatever SCTLR says (branch-target.ts has the rest). */
function pushLands(code: Code, entry: number, pc: number): void {
  const word = code.local(I32);
  const type = code.local(I32);
  code.get(entry); code.access(Access.i32_load, 8); code.get(pc); code.op(Op.i32_wrap_i64); code.op(Op.i32_add); code.access(Access.i32_load, 0); code.set(word);
  code.get(Local.SCRATCH); code.access(Access.i32_load, Scratch.BRANCH_TYPE); code.set(type);
  const isWord = (value: number): void => { code.get(word); code.i32(value | 0); code.op(Op.i32_eq); };
  const isNot = (value: number): void => { code.get(type); code.i32(value); code.op(Op.i32_ne); code.op(Op.i32_and); code.op(Op.i32_or); };
  // BTI jc; BTI c, PACIASP and PACIBSP for all but jumps; BTI j for all but calls.
  isWord(0xd503_24df);
  isWord(0xd503_245f); isNot(3);
  isWord(0xd503_233f); isNot(3);
  isWord(0xd503_237f); isNot(3);
  isWord(0xd503_249f); isNot(2);
}

/** NZCV: of a kind of `Flags` and its operands; of the scratch area's for BEFORE; of its word for STORED. Parameters: core, scratch, kind, a, b. */
function flagsOf(self: number): Uint8Array {
  const emitter = new ScalarEmitter(0, true, 5);
  const { code } = emitter;
  const [core, scratch, kind, a, b] = [0, 1, 2, 3, 4];
  const kinds: readonly (() => number)[] = [
    () => emitter.flagsOfAdd(0, a, b), () => emitter.flagsOfAdd(1, a, b), () => emitter.flagsOfSubtract(0, a, b), () => emitter.flagsOfSubtract(1, a, b),
    () => emitter.flagsOfLogical(0, a), () => emitter.flagsOfLogical(1, a),
  ];
  for (const [index, flags] of kinds.entries()) {
    code.get(kind); code.i32(index + 1); code.op(Op.i32_eq);
    code.if();
    code.get(flags()); code.op(Op.i32_wrap_i64); code.op(Op.return);
    code.end();
  }
  code.get(kind); code.i32(Flags.VALUE); code.op(Op.i32_eq);
  code.if(); code.get(a); code.op(Op.i32_wrap_i64); code.op(Op.return); code.end();
  code.get(kind); code.i32(Flags.BEFORE); code.op(Op.i32_eq);
  code.if();
  code.get(core); code.get(scratch); code.get(scratch); code.access(Access.i32_load, Scratch.FLAGS);
  code.get(scratch); code.access(Access.i64_load, Scratch.FLAGS_A); code.get(scratch); code.access(Access.i64_load, Scratch.FLAGS_B);
  code.tailCall(self);
  code.end();
  code.get(core); code.access(Access.i32_load, NZCV_OFFSET);
  return code.finish();
}

/** Puts NZCV into its word, where regions have left it otherwise. */
function settle(flags: number): Uint8Array {
  const code = new Code(2);
  const [core, scratch] = [0, 1];
  code.get(scratch); code.access(Access.i32_load, Scratch.FLAGS);
  code.if();
  code.get(core);
  code.get(core); code.get(scratch); code.i32(Flags.BEFORE); code.i64(0n); code.i64(0n); code.call(flags);
  code.access(Access.i32_store, NZCV_OFFSET);
  code.get(scratch); code.i32(Flags.STORED); code.access(Access.i32_store, Scratch.FLAGS);
  code.end();
  return code.finish();
}

/** Whether `bytes` at `va`, which is on the stack's page of the entry but not aligned, may be accessed all the same. Parameters: entry, va, bytes. */
function pushLoose(code: Code): void {
  const [entry, va, bytes] = [0, 1, 2];
  // Aligned, or unaligned accesses are fine and all of it is in the page.
  code.get(va); code.op(Op.i32_wrap_i64); code.get(bytes); code.i32(1); code.op(Op.i32_sub); code.op(Op.i32_and); code.op(Op.i32_eqz);
  code.get(entry); code.access(Access.i32_load, 12); code.i32(1); code.op(Op.i32_eq);
  code.get(va); code.op(Op.i32_wrap_i64); code.i32(0xfff); code.op(Op.i32_and); code.get(bytes); code.op(Op.i32_add); code.i32(4096); code.op(Op.i32_le_u);
  code.op(Op.i32_and);
  code.op(Op.i32_or);
}

function mayLoad(): Uint8Array {
  const code = new Code(3);
  const [entry, va] = [0, 1];
  code.get(entry); code.access(Access.i64_load, 0); code.get(va); code.i64(~0xfffn); code.op(Op.i64_and); code.op(Op.i64_eq);
  code.if();
  pushLoose(code);
  code.op(Op.return);
  code.end();
  code.i32(0);
  return code.finish();
}

/** As `mayLoad`; in a page that holds decoded instructions, where none was decoded from the bytes. */
function mayStore(): Uint8Array {
  const code = new Code(3);
  const [entry, va, bytes] = [0, 1, 2];
  const record = code.local(I32);
  const last = code.local(I32);
  code.get(entry); code.access(Access.i64_load, 0); code.get(va); code.i64(~0xfffn); code.op(Op.i64_and); code.op(Op.i64_eq);
  code.if();
  pushLoose(code);
  code.op(Op.return);
  code.end();
  code.get(entry); code.access(Access.i64_load, 0); code.get(va); code.i64(~0xfffn); code.op(Op.i64_and); code.i64(BigInt(CODE_PAGE)); code.op(Op.i64_or); code.op(Op.i64_eq); code.op(Op.i32_eqz);
  code.if(); code.i32(0); code.op(Op.return); code.end();
  pushLoose(code); code.op(Op.i32_eqz);
  code.if(); code.i32(0); code.op(Op.return); code.end();
  // The record of the first byte, up to that of the last.
  code.get(entry); code.access(Access.i32_load, 8); code.get(va); code.op(Op.i32_wrap_i64); code.op(Op.i32_add); code.i32(12); code.op(Op.i32_shr_u); code.i32(2); code.op(Op.i32_shl);
  code.i32(CODE_PAGES_POINTER); code.access(Access.i32_load, 0); code.op(Op.i32_add); code.access(Access.i32_load, 0); code.set(record);
  code.get(record); code.get(va); code.op(Op.i32_wrap_i64); code.get(bytes); code.op(Op.i32_add); code.i32(1); code.op(Op.i32_sub);
  code.i32(0xffc); code.op(Op.i32_and); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add); code.set(last);
  code.get(record); code.get(va); code.op(Op.i32_wrap_i64); code.i32(0xffc); code.op(Op.i32_and); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add); code.set(record);
  code.loop();
  code.get(record); code.access(Access.i32_load, 0);
  code.if(); code.i32(0); code.op(Op.return); code.end();
  code.get(record); code.i32(RECORD_BYTES); code.op(Op.i32_add); code.tee(record);
  code.get(last); code.op(Op.i32_le_u); code.branchIf(0);
  code.end();
  code.i32(1);
  return code.finish();
}
