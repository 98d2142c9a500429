/** The emitter's general-purpose part: operations on 64-bit words, flags, memory and branches. */

import type { AtomicOperation, BranchType, Builder, Exception, PointerOperation } from '../builder.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { GRANULE_BYTES } from '../monitor.ts';
import { Pstate, Word } from '../state.ts';
import { CONDITIONS } from './conditions.ts';
import { Flags, HANDLER, importIndex, Local, PARAMETERS, PC_OFFSET, REFERENCE, far, near, next, noteBranch, pushPc } from './handler.ts';
import { INDEX_MASK, Scratch } from './layout.ts';
import { emitPointerCode, Pointers, pushPointerAction } from './pointer-codes.ts';
import { DAIF, DC_ZVA, operationPlace, readPlace } from './permitted.ts';
import { isBaked, isNarrow, isOrdered } from './shape.ts';
import { Access as Memory, Code, I32, I64, Op } from './wasm/code.ts';

export const NZCV_OFFSET = Word.NZCV * 8;
const PSTATE_OFFSET = Word.PSTATE * 8;
const MASKS = Pstate.D | Pstate.A | Pstate.I | Pstate.F;
const MONITOR_OFFSET = Word.MONITOR * 8;
const MONITOR_BYTES_OFFSET = Word.MONITOR_BYTES * 8;
const EXTENSIONS = { 1: 8, 2: 16, 4: 32 } as const;
export const LOADS = { 1: Memory.i64_load8_u, 2: Memory.i64_load16_u, 4: Memory.i64_load32_u, 8: Memory.i64_load } as const;
export const STORES = { 1: Memory.i64_store8, 2: Memory.i64_store16, 4: Memory.i64_store32, 8: Memory.i64_store } as const;

export class ScalarEmitter implements Builder<number, number> {
  readonly code: Code;
  protected baked: boolean;
  protected offset: number;
  private operands = 0;
  /** Of the jump that follows. */
  protected branch: BranchType | undefined;

  /** `offset` is the representative instruction's place in its page, which decides what branches are near. */
  constructor(offset: number, baked: boolean, parameters: number = PARAMETERS) {
    this.code = new Code(parameters);
    this.offset = offset;
    this.baked = baked;
  }

  /** Begins with another instruction, whose record is in hand by then. */
  protected start(offset: number, baked: boolean): void {
    this.offset = offset;
    this.baked = baked;
    this.operands = 0;
    this.branch = undefined;
  }

  /** The body, after the semantics ran; `ends` where they have jumped away. */
  finish(ends: boolean): Uint8Array {
    if (!ends) next(this.code);
    return this.code.finish();
  }

  /** Has the reference engine execute the instruction in hand, of which nothing was done that it would not do again. */
  protected bail(): void {
    const { code } = this;
    code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET); code.i32(REFERENCE);
    code.tailCallIndirect(HANDLER, 0);
  }
  /** The same where the number on the stack is 0. */
  protected bailUnless(): void {
    this.code.op(Op.i32_eqz);
    this.bailWhen();
  }
  protected bailWhen(): void {
    this.code.if();
    this.bail();
    this.code.end();
  }

  /** Puts the next operand on the stack, 32 bits. */
  protected operand(): void {
    this.code.get(Local.RECORD);
    this.code.access(Memory.i32_load, 4 + 4 * this.operands++);
  }
  protected two(a: number, b: number, ...operations: readonly number[]): number {
    const { code } = this;
    code.get(a); code.get(b);
    for (const operation of operations) code.op(operation);
    return code.keep(I64);
  }

  private shifted(a: number, amount: bigint, operation: number): number {
    const { code } = this;
    code.get(a); code.i64(amount); code.op(operation);
    return code.keep(I64);
  }

  x(): number {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); code.access(Memory.i64_load, 0);
    return code.keep(I64);
  }
  setX(_register: number, value: number): void {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); code.get(value); code.access(Memory.i64_store, 0);
  }
  stackPointer(): number {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.STACK); code.access(Memory.i64_load, 0);
    return code.keep(I64);
  }
  setStackPointer(value: number): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.STACK); code.get(value); code.access(Memory.i64_store, 0);
  }
  alignedStackPointer(): number {
    const { code } = this;
    const pointer = this.stackPointer();
    code.get(pointer); code.i64(15n); code.op(Op.i64_and); code.op(Op.i64_eqz); code.op(Op.i32_eqz);
    code.if();
    code.get(Local.RECORD); code.get(Local.BUDGET); code.call(importIndex('checkStack')); code.op(Op.drop);
    code.end();
    return pointer;
  }
  pc(): number {
    const { code } = this;
    pushPc(code);
    this.operand(); code.op(Op.i64_extend_i32_s); code.op(Op.i64_add);
    return code.keep(I64);
  }

  number(value: number): number {
    const { code } = this;
    if (isBaked(this.baked, value)) code.i64(BigInt(value));
    else if ((value | 0) !== value) return this.constant(BigInt.asUintN(64, BigInt(value)));
    else { this.operand(); code.op(Op.i64_extend_i32_s); }
    return code.keep(I64);
  }
  constant(value: bigint): number {
    const { code } = this;
    if (this.baked) code.i64(value);
    else if (isNarrow(value)) { this.operand(); code.op(Op.i64_extend_i32_s); }
    else {
      this.operand(); code.op(Op.i64_extend_i32_u);
      this.operand(); code.op(Op.i64_extend_i32_u); code.i64(32n); code.op(Op.i64_shl); code.op(Op.i64_or);
    }
    return code.keep(I64);
  }
  add(a: number, b: number): number { return this.two(a, b, Op.i64_add); }
  subtract(a: number, b: number): number { return this.two(a, b, Op.i64_sub); }
  multiply(a: number, b: number): number { return this.two(a, b, Op.i64_mul); }
  /** That of unsigned numbers, less the other operand for each that is negative. */
  multiplyHighSigned(a: number, b: number): number {
    const { code } = this;
    code.get(this.multiplyHighUnsigned(a, b));
    for (const [one, other] of [[a, b], [b, a]] as const) {
      code.get(one); code.i64(63n); code.op(Op.i64_shr_s); code.get(other); code.op(Op.i64_and); code.op(Op.i64_sub);
    }
    return code.keep(I64);
  }
  /** Of four products of halves. */
  multiplyHighUnsigned(a: number, b: number): number {
    const { code } = this;
    const half = (value: number, high: boolean): number => high ? this.shifted(value, 32n, Op.i64_shr_u) : this.zeroExtend(value, 32);
    const [aHigh, aLow, bHigh, bLow] = [half(a, true), half(a, false), half(b, true), half(b, false)];
    const product = (one: number, other: number): void => { code.get(one); code.get(other); code.op(Op.i64_mul); };
    // middle = aHigh * bLow + (aLow * bLow >> 32); other = aLow * bHigh + the low half of middle.
    product(aHigh, bLow); product(aLow, bLow); code.i64(32n); code.op(Op.i64_shr_u); code.op(Op.i64_add);
    const middle = code.keep(I64);
    product(aLow, bHigh); code.get(half(middle, false)); code.op(Op.i64_add);
    const other = code.keep(I64);
    product(aHigh, bHigh); code.get(half(middle, true)); code.op(Op.i64_add); code.get(half(other, true)); code.op(Op.i64_add);
    return code.keep(I64);
  }
  /** WebAssembly traps on division by zero, and of the most negative number by -1. */
  divideSigned(a: number, b: number): number {
    const { code } = this;
    code.get(b); code.i64(1n); code.op(Op.i64_add); code.i64(2n); code.op(Op.i64_lt_u);
    code.if(I64);
    // 0 or -1: a * b is 0 or -a.
    code.get(a); code.get(b); code.op(Op.i64_mul);
    code.else();
    code.get(a); code.get(b); code.op(Op.i64_div_s);
    code.end();
    return code.keep(I64);
  }
  divideUnsigned(a: number, b: number): number {
    const { code } = this;
    code.get(b); code.op(Op.i64_eqz);
    code.if(I64);
    code.i64(0n);
    code.else();
    code.get(a); code.get(b); code.op(Op.i64_div_u);
    code.end();
    return code.keep(I64);
  }
  and(a: number, b: number): number { return this.two(a, b, Op.i64_and); }
  or(a: number, b: number): number { return this.two(a, b, Op.i64_or); }
  exclusiveOr(a: number, b: number): number { return this.two(a, b, Op.i64_xor); }
  not(a: number): number {
    const { code } = this;
    code.get(a); code.i64(-1n); code.op(Op.i64_xor);
    return code.keep(I64);
  }
  shiftLeft(a: number, amount: number): number { return this.two(a, amount, Op.i64_shl); }
  shiftRight(a: number, amount: number): number { return this.two(a, amount, Op.i64_shr_u); }
  shiftRightSigned(a: number, amount: number): number { return this.two(a, amount, Op.i64_shr_s); }
  rotateRight(a: number, amount: number): number { return this.two(a, amount, Op.i64_rotr); }
  zeroExtend(a: number, width: 8 | 16 | 32): number {
    const { code } = this;
    code.get(a);
    if (width === 32) { code.op(Op.i32_wrap_i64); code.op(Op.i64_extend_i32_u); }
    else { code.i64(width === 8 ? 0xffn : 0xffffn); code.op(Op.i64_and); }
    return code.keep(I64);
  }
  signExtend(a: number, width: 8 | 16 | 32): number {
    const { code } = this;
    code.get(a); code.op(width === 8 ? Op.i64_extend8_s : width === 16 ? Op.i64_extend16_s : Op.i64_extend32_s);
    return code.keep(I64);
  }
  countLeadingZeros(a: number): number {
    const { code } = this;
    code.get(a); code.op(Op.i64_clz);
    return code.keep(I64);
  }
  /** Swaps neighbours of `distance` bits, whose lower ones `mask` names. */
  private swap(value: number, distance: bigint, mask: bigint): number {
    const { code } = this;
    code.get(value); code.i64(distance); code.op(Op.i64_shr_u); code.i64(mask); code.op(Op.i64_and);
    code.get(value); code.i64(mask); code.op(Op.i64_and); code.i64(distance); code.op(Op.i64_shl);
    code.op(Op.i64_or);
    return code.keep(I64);
  }
  reverseBits(a: number): number {
    let value = this.reverseBytes(a);
    value = this.swap(value, 4n, 0x0f0f_0f0f_0f0f_0f0fn);
    value = this.swap(value, 2n, 0x3333_3333_3333_3333n);
    return this.swap(value, 1n, 0x5555_5555_5555_5555n);
  }
  reverseBytes(a: number): number {
    const { code } = this;
    let value = this.swap(a, 8n, 0x00ff_00ff_00ff_00ffn);
    value = this.swap(value, 16n, 0x0000_ffff_0000_ffffn);
    code.get(value); code.i64(32n); code.op(Op.i64_rotr);
    return code.keep(I64);
  }
  crc32(accumulator: number, data: number, bytes: Bytes, castagnoli: boolean): number {
    const { code } = this;
    code.get(accumulator); code.op(Op.i32_wrap_i64); code.get(data); code.i32(2 * bytes + (castagnoli ? 1 : 0)); code.call(importIndex('crc32'));
    code.op(Op.i64_extend_i32_u);
    return code.keep(I64);
  }

  equal(a: number, b: number): number {
    const { code } = this;
    code.get(a); code.get(b); code.op(Op.i64_eq);
    return code.keep(I32);
  }
  invert(a: number): number {
    const { code } = this;
    code.get(a); code.op(Op.i32_eqz);
    return code.keep(I32);
  }
  select(condition: number, whenTrue: number, whenFalse: number): number {
    const { code } = this;
    code.get(whenTrue); code.get(whenFalse); code.get(condition); code.op(Op.select);
    return code.keep(I64);
  }

  /** Puts NZCV on the stack: from its word, or from what a region has left. */
  protected nzcv(): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.FLAGS);
    code.if(I32);
    code.get(Local.CORE); code.get(Local.SCRATCH); code.i32(Flags.BEFORE); code.i64(0n); code.i64(0n); code.call(importIndex('flagsOf'));
    code.else();
    code.get(Local.CORE); code.access(Memory.i32_load, NZCV_OFFSET);
    code.end();
  }
  flags(): number {
    this.nzcv();
    this.code.op(Op.i64_extend_i32_u);
    return this.code.keep(I64);
  }
  setFlags(nzcv: number): void {
    const { code } = this;
    code.get(Local.CORE); code.get(nzcv); code.op(Op.i32_wrap_i64); code.access(Memory.i32_store, NZCV_OFFSET);
    code.get(Local.SCRATCH); code.i32(Flags.STORED); code.access(Memory.i32_store, Scratch.FLAGS);
  }
  carry(): number {
    const { code } = this;
    this.nzcv();
    code.i32(1); code.op(Op.i32_shr_u); code.i32(1); code.op(Op.i32_and); code.op(Op.i64_extend_i32_u);
    return code.keep(I64);
  }
  flagsOfAdd(wide: number, a: number, b: number): number {
    const { code } = this;
    const result = this.add(a, b);
    const sum = wide ? result : this.zeroExtend(result, 32);
    // Carry: the sum is below an operand. Overflow: the sum's sign is neither operand's.
    code.get(sum); code.get(a); code.op(Op.i64_lt_u);
    const carry = code.keep(I32);
    code.get(a); code.get(sum); code.op(Op.i64_xor); code.get(b); code.get(sum); code.op(Op.i64_xor); code.op(Op.i64_and);
    return this.nzcvOf(wide, sum, carry, code.keep(I64));
  }
  flagsOfSubtract(wide: number, a: number, b: number): number {
    const { code } = this;
    const result = this.subtract(a, b);
    const difference = wide ? result : this.zeroExtend(result, 32);
    code.get(a); code.get(b); code.op(Op.i64_ge_u);
    const carry = code.keep(I32);
    code.get(a); code.get(b); code.op(Op.i64_xor); code.get(a); code.get(difference); code.op(Op.i64_xor); code.op(Op.i64_and);
    return this.nzcvOf(wide, difference, carry, code.keep(I64));
  }
  flagsOfAddCarry(wide: number, a: number, b: number, carryIn: number): number {
    const { code } = this;
    const result = this.add(this.add(a, b), carryIn);
    const sum = wide ? result : this.zeroExtend(result, 32);
    // A carry out: below the first operand, or equal to it with a carry in.
    code.get(sum); code.get(a); code.op(Op.i64_lt_u);
    code.get(sum); code.get(a); code.op(Op.i64_eq); code.get(carryIn); code.op(Op.i32_wrap_i64); code.op(Op.i32_and);
    code.op(Op.i32_or);
    const carry = code.keep(I32);
    code.get(a); code.get(sum); code.op(Op.i64_xor); code.get(b); code.get(sum); code.op(Op.i64_xor); code.op(Op.i64_and);
    return this.nzcvOf(wide, sum, carry, code.keep(I64));
  }
  flagsOfLogical(wide: number, result: number): number {
    const { code } = this;
    code.get(result); code.i64(wide ? 60n : 28n); code.op(Op.i64_shr_u); code.i64(8n); code.op(Op.i64_and);
    code.get(result); code.op(Op.i64_eqz); code.i32(2); code.op(Op.i32_shl); code.op(Op.i64_extend_i32_u);
    code.op(Op.i64_or);
    return code.keep(I64);
  }
  /** N and Z of `result`, which is zero-extended; C; V is the sign of `overflow`. */
  private nzcvOf(wide: number, result: number, carry: number, overflow: number): number {
    const { code } = this;
    code.get(result); code.i64(wide ? 60n : 28n); code.op(Op.i64_shr_u); code.i64(8n); code.op(Op.i64_and);
    code.get(overflow); code.i64(wide ? 63n : 31n); code.op(Op.i64_shr_u);
    if (!wide) { code.i64(1n); code.op(Op.i64_and); }
    code.op(Op.i64_or);
    code.get(result); code.op(Op.i64_eqz); code.i32(2); code.op(Op.i32_shl);
    code.get(carry); code.i32(1); code.op(Op.i32_shl); code.op(Op.i32_or); code.op(Op.i64_extend_i32_u);
    code.op(Op.i64_or);
    return code.keep(I64);
  }
  condition(code: number): number {
    this.code.i32(CONDITIONS[code]!); this.nzcv(); this.code.op(Op.i32_shr_u); this.code.i32(1); this.code.op(Op.i32_and);
    return this.code.keep(I32);
  }

  /** The entry of `va`'s page in the array at `array` of the scratch area; leaves it in a local. */
  protected entry(array: number, va: number): number {
    const { code } = this;
    code.get(va); code.op(Op.i32_wrap_i64); code.i32(8); code.op(Op.i32_shr_u); code.i32(INDEX_MASK); code.op(Op.i32_and);
    code.get(Local.SCRATCH); code.access(Memory.i32_load, array); code.op(Op.i32_add);
    return code.keep(I32);
  }
  /** Whether the entry is that of `va`, which has to be aligned: its low bits are left in the comparison. */
  protected hit(entry: number, va: number, bytes: number): void {
    const { code } = this;
    code.get(entry); code.access(Memory.i64_load, 0);
    code.get(va); code.i64(BigInt.asUintN(64, ~0xfffn | BigInt(bytes - 1))); code.op(Op.i64_and); code.op(Op.i64_eq);
  }
  /** Whether the access may be made by the entry: aligned to its size as nearly all are, or as mayLoad and mayStore say. */
  protected found(entry: number, va: number, bytes: number, more: 'mayLoad' | 'mayStore', access: Access): void {
    const { code } = this;
    this.hit(entry, va, bytes);
    if (isOrdered(access)) return;
    code.if(I32);
    code.i32(1);
    code.else();
    code.get(entry); code.get(va); code.i32(bytes); code.call(importIndex(more));
    code.end();
  }
  protected linear(entry: number, va: number): void {
    const { code } = this;
    code.get(entry); code.access(Memory.i32_load, 8); code.get(va); code.op(Op.i32_wrap_i64); code.op(Op.i32_add);
  }
  /** The access operand with the number of bytes: access * 16 + bytes. */
  private specification(bytes: number): void {
    this.operand();
    this.code.i32(4); this.code.op(Op.i32_shl); this.code.i32(bytes); this.code.op(Op.i32_or);
  }
  load(address: number, bytes: Bytes, access: Access): number {
    const { code } = this;
    const entry = this.entry(Scratch.READ, address);
    this.found(entry, address, bytes, 'mayLoad', access);
    code.if(I64);
    this.linear(entry, address); code.access(LOADS[bytes], 0);
    code.else();
    code.get(Local.RECORD); code.get(Local.BUDGET); code.get(address); this.specification(bytes); code.call(importIndex('load'));
    code.end();
    return code.keep(I64);
  }
  store(address: number, bytes: Bytes, value: number, access: Access): void {
    const { code } = this;
    const entry = this.entry(Scratch.WRITE, address);
    this.found(entry, address, bytes, 'mayStore', access);
    code.if();
    this.linear(entry, address); code.get(value); code.access(STORES[bytes], 0);
    code.else();
    code.get(Local.RECORD); code.get(Local.BUDGET); code.get(address); code.get(value); this.specification(bytes); code.call(importIndex('store')); code.set(Local.BUDGET);
    code.end();
  }
  storePair(address: number, bytes: 4 | 8, first: number, second: number, _access: Access): void {
    const { code } = this;
    const entry = this.entry(Scratch.WRITE, address);
    code.get(address); code.i64(BigInt(bytes)); code.op(Op.i64_add);
    const last = code.keep(I64);
    this.foundPair(entry, address, last, bytes);
    code.if();
    this.linear(entry, address); code.get(first); code.access(STORES[bytes], 0);
    this.linear(entry, address); code.get(second); code.access(STORES[bytes], bytes);
    code.else();
    code.get(Local.RECORD); code.get(Local.BUDGET); code.get(address); code.get(first); code.get(second); this.specification(bytes); code.call(importIndex('storePair')); code.set(Local.BUDGET);
    code.end();
  }

  /** Both in the page of the entry. */
  private foundPair(entry: number, first: number, last: number, bytes: number): void {
    const { code } = this;
    this.hit(entry, first, bytes);
    this.hit(entry, last, bytes);
    code.op(Op.i32_and);
    code.if(I32);
    code.i32(1);
    code.else();
    for (const va of [first, last]) { code.get(entry); code.get(va); code.i32(bytes); code.call(importIndex('mayStore')); }
    code.op(Op.i32_and);
    code.end();
  }

  // ---- exclusives and atomics: aligned, in RAM, and while no other core has its monitor set (the array for stores is empty then); else the reference engine

  /** The offset in linear memory of `bytes` at `va`, which have to be in both arrays when `write`, else in that for loads. */
  private aligned(va: number, bytes: number, write: boolean): number {
    const { code } = this;
    const entry = this.entry(Scratch.READ, va);
    this.hit(entry, va, bytes);
    if (write) {
      this.hit(this.entry(Scratch.WRITE, va), va, bytes);
      code.op(Op.i32_and);
    }
    this.bailUnless();
    this.linear(entry, va);
    return code.keep(I32);
  }
  /** The monitor's word for the granule of an offset in RAM: its physical address and 1. */
  private granule(offset: number): number {
    const { code } = this;
    code.get(offset); code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.RAM_FIRST); code.op(Op.i32_sub);
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.RAM_BYTES); code.op(Op.i32_lt_u);
    this.bailUnless();
    code.get(offset); code.op(Op.i64_extend_i32_u); code.get(Local.SCRATCH); code.access(Memory.i64_load, Scratch.RAM_DELTA); code.op(Op.i64_add);
    code.i64(BigInt(-GRANULE_BYTES)); code.op(Op.i64_and); code.i64(1n); code.op(Op.i64_add);
    return code.keep(I64);
  }
  private mark(offset: number, bytes: number): void {
    const { code } = this;
    const granule = this.granule(offset);
    code.get(Local.CORE); code.get(granule); code.access(Memory.i64_store, MONITOR_OFFSET);
    code.get(Local.CORE); code.i64(BigInt(bytes)); code.access(Memory.i64_store, MONITOR_BYTES_OFFSET);
  }
  /** Whether the monitor has `bytes` at an offset marked; opens it. */
  private passes(offset: number, bytes: number): number {
    const { code } = this;
    const granule = this.granule(offset);
    code.get(Local.CORE); code.access(Memory.i64_load, MONITOR_OFFSET); code.get(granule); code.op(Op.i64_eq);
    code.get(Local.CORE); code.access(Memory.i64_load, MONITOR_BYTES_OFFSET); code.i64(BigInt(bytes)); code.op(Op.i64_eq); code.op(Op.i32_and);
    const passes = code.keep(I32);
    this.clearExclusive();
    return passes;
  }
  private loaded(offset: number, bytes: Bytes, displacement = 0): number {
    const { code } = this;
    code.get(offset); code.access(LOADS[bytes], displacement);
    return code.keep(I64);
  }
  private status(passes: number): number {
    const { code } = this;
    code.get(passes); code.op(Op.i32_eqz); code.op(Op.i64_extend_i32_u);
    return code.keep(I64);
  }
  loadExclusive(address: number, bytes: Bytes, _access: Access): number {
    const offset = this.aligned(address, bytes, false);
    this.mark(offset, bytes);
    return this.loaded(offset, bytes);
  }
  loadExclusivePair(address: number, _access: Access): readonly [number, number] {
    const offset = this.aligned(address, 16, false);
    this.mark(offset, 16);
    return [this.loaded(offset, 8), this.loaded(offset, 8, 8)];
  }
  storeExclusive(address: number, bytes: Bytes, value: number, _access: Access): number {
    const { code } = this;
    const offset = this.aligned(address, bytes, true);
    const passes = this.passes(offset, bytes);
    code.get(passes);
    code.if();
    code.get(offset); code.get(value); code.access(STORES[bytes], 0);
    code.end();
    return this.status(passes);
  }
  storeExclusivePair(address: number, low: number, high: number, _access: Access): number {
    const { code } = this;
    const offset = this.aligned(address, 16, true);
    const passes = this.passes(offset, 16);
    code.get(passes);
    code.if();
    code.get(offset); code.get(low); code.access(Memory.i64_store, 0);
    code.get(offset); code.get(high); code.access(Memory.i64_store, 8);
    code.end();
    return this.status(passes);
  }
  clearExclusive(): void {
    const { code } = this;
    code.get(Local.CORE); code.i64(0n); code.access(Memory.i64_store, MONITOR_OFFSET);
  }
  atomic(operation: AtomicOperation, address: number, bytes: Bytes, operand: number, _access: Access): number {
    const { code } = this;
    const offset = this.aligned(address, bytes, true);
    const before = this.loaded(offset, bytes);
    code.get(offset);
    this.combined(operation, bytes, before, operand);
    code.access(STORES[bytes], 0);
    return before;
  }
  /** What the operation makes of a value in memory, on the stack; only its low `bytes` matter. */
  private combined(operation: AtomicOperation, bytes: Bytes, before: number, operand: number): void {
    const { code } = this;
    const both = (opcode: number): void => { code.get(before); code.get(operand); code.op(opcode); };
    switch (operation) {
      case 'swap': code.get(operand); return;
      case 'add': both(Op.i64_add); return;
      case 'set': both(Op.i64_or); return;
      case 'exclusive-or': both(Op.i64_xor); return;
      case 'clear': code.get(before); code.get(operand); code.i64(-1n); code.op(Op.i64_xor); code.op(Op.i64_and); return;
      default: {
        const signed = operation.startsWith('signed');
        const extended = (value: number): number => (bytes === 8 ? value : signed ? this.signExtend(value, EXTENSIONS[bytes]) : this.zeroExtend(value, EXTENSIONS[bytes]));
        const [one, other] = [extended(before), extended(operand)];
        code.get(one); code.get(other); code.get(one); code.get(other);
        code.op(operation.endsWith('maximum') ? (signed ? Op.i64_gt_s : Op.i64_gt_u) : signed ? Op.i64_lt_s : Op.i64_lt_u);
        code.op(Op.select);
      }
    }
  }
  compareAndSwap(address: number, bytes: Bytes, expected: number, replacement: number, _access: Access): number {
    const { code } = this;
    const offset = this.aligned(address, bytes, true);
    const before = this.loaded(offset, bytes);
    code.get(before); code.get(bytes === 8 ? expected : this.zeroExtend(expected, EXTENSIONS[bytes])); code.op(Op.i64_eq);
    code.if();
    code.get(offset); code.get(replacement); code.access(STORES[bytes], 0);
    code.end();
    return before;
  }
  compareAndSwapPair(address: number, expected: readonly [number, number], replacement: readonly [number, number], _access: Access): readonly [number, number] {
    const { code } = this;
    const offset = this.aligned(address, 16, true);
    const before = [this.loaded(offset, 8), this.loaded(offset, 8, 8)] as const;
    code.get(before[0]); code.get(expected[0]); code.op(Op.i64_eq); code.get(before[1]); code.get(expected[1]); code.op(Op.i64_eq); code.op(Op.i32_and);
    code.if();
    code.get(offset); code.get(replacement[0]); code.access(Memory.i64_store, 0);
    code.get(offset); code.get(replacement[1]); code.access(Memory.i64_store, 8);
    code.end();
    return before;
  }

  // ---- branches ------------------------------------------------------------------------------------------------------------------------------

  branchType(type: BranchType): void { this.branch = type; }
  jump(target: number): void {
    const { code } = this;
    code.get(Local.CORE); code.get(target); code.access(Memory.i64_store, PC_OFFSET);
    if (this.branch !== undefined) noteBranch(code, this.branch, () => { code.get(Local.BUDGET); code.i32(1); code.op(Op.i32_sub); });
    far(code, importIndex(this.branch === undefined ? 'go' : 'land'));
  }
  jumpBy(offset: number): void {
    const { code } = this;
    const target = this.offset + offset;
    if (target >= 0 && target < 4096) {
      this.operand();
      near(code, importIndex('begin'));
    } else {
      code.get(Local.CORE);
      pushPc(code);
      this.operand(); code.op(Op.i64_extend_i32_s); code.op(Op.i64_add); code.access(Memory.i64_store, PC_OFFSET);
      far(code, importIndex('go'));
    }
  }
  jumpWhen(condition: number, offset: number): void {
    const { code } = this;
    code.get(condition);
    code.if();
    this.jumpBy(offset);
    code.end();
  }
  barrier(): void {}
  readSystemRegister(encoding: number, _rt: number): number {
    const { code } = this;
    if (encoding === DAIF) {
      this.mayMask(1);
      code.get(Local.CORE); code.access(Memory.i64_load32_u, PSTATE_OFFSET); code.i64(BigInt(MASKS)); code.op(Op.i64_and);
      return code.keep(I64);
    }
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.READS + 4 * readPlace(encoding));
    const place = code.keep(I32);
    code.get(place); code.i32(0); code.op(Op.i32_ne);
    this.bailUnless();
    code.get(place); code.access(Memory.i64_load, 0);
    return code.keep(I64);
  }
  /** Whether PSTATE's masks may be read and set (1), or cleared too (2). */
  private mayMask(least: 1 | 2): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.MASKS); code.i32(least); code.op(Op.i32_ge_u);
    this.bailUnless();
  }
  /** Puts what is on the stack, of MASKS, into PSTATE. D stays: debug exceptions would have to be looked for. */
  private setMasks(masks: number): void {
    const { code } = this;
    code.get(masks); code.get(Local.CORE); code.access(Memory.i32_load, PSTATE_OFFSET); code.op(Op.i32_xor); code.i32(Pstate.D); code.op(Op.i32_and);
    this.bailWhen();
    code.get(Local.CORE);
    code.get(Local.CORE); code.access(Memory.i32_load, PSTATE_OFFSET); code.i32(~MASKS); code.op(Op.i32_and); code.get(masks); code.op(Op.i32_or);
    code.access(Memory.i32_store, PSTATE_OFFSET);
  }
  /** MSR DAIF. */
  writeSystemRegister(_encoding: number, value: number, _rt: number): void {
    const { code } = this;
    this.mayMask(2);
    code.get(value); code.op(Op.i32_wrap_i64); code.i32(MASKS); code.op(Op.i32_and);
    this.setMasks(code.keep(I32));
  }
  /** DAIFSet and DAIFClr. */
  setPstateField(_op1: number, crm: number, op2: number): void {
    const { code } = this;
    const set = op2 === 6;
    this.mayMask(set ? 1 : 2);
    code.get(Local.CORE); code.access(Memory.i32_load, PSTATE_OFFSET); code.i32(MASKS); code.op(Op.i32_and);
    code.i32(set ? crm << 6 : ~(crm << 6)); code.op(set ? Op.i32_or : Op.i32_and);
    this.setMasks(code.keep(I32));
  }
  /** DC ZVA, and maintenance of caches by address, which does nothing where the address can be read. */
  systemInstruction(encoding: number, value: number, _rt: number, _hasResult: boolean): number {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.OPERATIONS + 4 * operationPlace(encoding));
    this.bailUnless();
    if (encoding === DC_ZVA) return this.zeroBlock(value);
    code.get(this.entry(Scratch.READ, value)); code.access(Memory.i64_load, 0); code.get(value); code.i64(~0xfffn); code.op(Op.i64_and); code.op(Op.i64_eq);
    this.bailUnless();
    return value;
  }
  /** In Device memory it faults, which the entry does not say apart from SCTLR_ELx.A. */
  private zeroBlock(value: number): number {
    const { code } = this;
    code.get(value); code.i64(-64n); code.op(Op.i64_and);
    const address = code.keep(I64);
    const entry = this.entry(Scratch.WRITE, address);
    this.hit(entry, address, 16);
    code.get(entry); code.access(Memory.i32_load, 12); code.op(Op.i32_and);
    this.bailUnless();
    this.linear(entry, address);
    const offset = code.keep(I32);
    for (let at = 0; at < 64; at += 8) { code.get(offset); code.i64(0n); code.access(Memory.i64_store, at); }
    return value;
  }
  authenticatePointer(operation: PointerOperation, pointer: number, modifier: number): number {
    const { code } = this;
    pushPointerAction(code, operation); code.i32(Pointers.REFERENCE); code.op(Op.i32_ne);
    this.bailUnless();
    const result = code.local(I64);
    code.get(pointer); code.set(result);
    pushPointerAction(code, operation); code.i32(Pointers.COMPUTE); code.op(Op.i32_eq);
    code.if();
    code.get(emitPointerCode(code, operation, pointer, modifier)); code.set(result);
    code.end();
    return result;
  }

  // What shape.ts leaves to the reference engine never gets here.
  protected never(): never { throw new Error('this operation is the reference engine\'s'); }
  waitForInterrupt(): void { this.never(); }
  waitForEvent(): void { this.never(); }
  sendEvent(): void { this.never(); }
  except(_kind: Exception): void { this.never(); }
  exceptionReturn(): void { this.never(); }
  undefinedInstruction(): void { this.never(); }
  hole(): void { this.never(); }
}
