/** The emitter's vector part: 128-bit vectors are v128 locals, most operations one SIMD instruction. */

import type { Access } from '../memory-access.ts';
import { slot } from '../sysregs.ts';
import type { CipherOperation, Lane, LaneOperation, LaneShift, LaneUnary } from '../vector-builder.ts';
import { ScalarEmitter } from './emitter-scalar.ts';
import { BY_LANE, UNARY } from './forms.ts';
import { Local } from './handler.ts';
import { Scratch } from './layout.ts';
import { Access as Memory, I64, Op, Simd, V128 } from './wasm/code.ts';

const FPSR_OFFSET = slot('FPSR') * 8;
/** FPSR.QC. */
const QC = 1 << 27;

const SHIFTS: Readonly<Record<LaneShift, Readonly<Record<Lane, number>>>> = {
  left: { 8: Simd.i8x16_shl, 16: Simd.i16x8_shl, 32: Simd.i32x4_shl, 64: Simd.i64x2_shl },
  right: { 8: Simd.i8x16_shr_u, 16: Simd.i16x8_shr_u, 32: Simd.i32x4_shr_u, 64: Simd.i64x2_shr_u },
  'right-signed': { 8: Simd.i8x16_shr_s, 16: Simd.i16x8_shr_s, 32: Simd.i32x4_shr_s, 64: Simd.i64x2_shr_s },
};
const SPLATS: Readonly<Record<Lane, number>> = { 8: Simd.i8x16_splat, 16: Simd.i16x8_splat, 32: Simd.i32x4_splat, 64: Simd.i64x2_splat };
const EXTRACTS: Readonly<Record<Lane, number>> = { 8: Simd.i8x16_extract_lane_u, 16: Simd.i16x8_extract_lane_u, 32: Simd.i32x4_extract_lane, 64: Simd.i64x2_extract_lane };
const REPLACES: Readonly<Record<Lane, number>> = { 8: Simd.i8x16_replace_lane, 16: Simd.i16x8_replace_lane, 32: Simd.i32x4_replace_lane, 64: Simd.i64x2_replace_lane };
const EXTENDS = {
  8: [Simd.i16x8_extend_low_i8x16_u, Simd.i16x8_extend_low_i8x16_s], 16: [Simd.i32x4_extend_low_i16x8_u, Simd.i32x4_extend_low_i16x8_s],
  32: [Simd.i64x2_extend_low_i32x4_u, Simd.i64x2_extend_low_i32x4_s],
} as const;

export class VectorEmitter extends ScalarEmitter {
  checkFloatingPoint(): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.FLOATING_POINT);
    this.bailUnless();
  }

  vector(_register: number): number {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); code.simdAccess(Simd.v128_load, 0);
    return code.keep(V128);
  }
  setVector(_register: number, value: number): void {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); code.get(value); code.simdAccess(Simd.v128_store, 0);
  }
  vectorLow(_register: number): number {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); code.access(Memory.i64_load, 0);
    return code.keep(I64);
  }
  setVectorLow(_register: number, value: number): void {
    const { code } = this;
    code.get(Local.CORE); this.operand(); code.op(Op.i32_add); this.zeroExtended(value); code.simdAccess(Simd.v128_store, 0);
  }
  /** A vector of a word and zero on the stack. One store of 16 bytes is read back faster than two of 8. */
  protected zeroExtended(value: number): void {
    const { code } = this;
    code.i64(0n); code.simd(Simd.i64x2_splat); code.get(value); code.simdLane(Simd.i64x2_replace_lane, 0);
  }

  private one(a: number, operation: number): number {
    const { code } = this;
    code.get(a); code.simd(operation);
    return code.keep(V128);
  }
  private both(a: number, b: number, operation: number): number {
    const { code } = this;
    code.get(a); code.get(b); code.simd(operation);
    return code.keep(V128);
  }
  vectorOf(low: number, high: number): number {
    const { code } = this;
    code.get(low); code.simd(Simd.i64x2_splat); code.get(high); code.simdLane(Simd.i64x2_replace_lane, 1);
    return code.keep(V128);
  }
  low(vector: number): number { return this.lane(64, vector, 0); }
  high(vector: number): number { return this.lane(64, vector, 1); }
  splat(lane: Lane, value: number): number {
    const { code } = this;
    code.get(value);
    if (lane !== 64) code.op(Op.i32_wrap_i64);
    code.simd(SPLATS[lane]);
    return code.keep(V128);
  }
  lane(lane: Lane, vector: number, index: number): number {
    const { code } = this;
    code.get(vector); code.simdLane(EXTRACTS[lane], index);
    if (lane !== 64) code.op(Op.i64_extend_i32_u);
    return code.keep(I64);
  }
  withLane(lane: Lane, vector: number, index: number, value: number): number {
    const { code } = this;
    code.get(vector); code.get(value);
    if (lane !== 64) code.op(Op.i32_wrap_i64);
    code.simdLane(REPLACES[lane], index);
    return code.keep(V128);
  }
  vectorAnd(a: number, b: number): number { return this.both(a, b, Simd.v128_and); }
  vectorOr(a: number, b: number): number { return this.both(a, b, Simd.v128_or); }
  vectorExclusiveOr(a: number, b: number): number { return this.both(a, b, Simd.v128_xor); }
  vectorNot(a: number): number { return this.one(a, Simd.v128_not); }
  bitSelect(mask: number, ones: number, zeros: number): number {
    const { code } = this;
    code.get(ones); code.get(zeros); code.get(mask); code.simd(Simd.v128_bitselect);
    return code.keep(V128);
  }

  lanes(operation: LaneOperation, lane: Lane, a: number, b: number): number {
    const direct = BY_LANE[operation]?.[lane];
    if (direct !== undefined) return this.both(a, b, direct);
    if (operation === 'multiply') return this.multiplyBytes(a, b);
    if (operation === 'greater-unsigned') return this.both(this.biased(a), this.biased(b), Simd.i64x2_gt_s);
    const greater = operation.startsWith('unsigned') ? this.lanes('greater-unsigned', lane, a, b) : this.lanes('greater-signed', lane, a, b);
    return operation.endsWith('maximum') ? this.bitSelect(greater, a, b) : this.bitSelect(greater, b, a);
  }
  /** 64-bit elements with the sign bit inverted: unsigned order becomes signed. */
  private biased(a: number): number {
    const { code } = this;
    code.get(a); code.i64(1n << 63n); code.simd(Simd.i64x2_splat); code.simd(Simd.v128_xor);
    return code.keep(V128);
  }
  /** Even and odd bytes apart, as halfwords. */
  private multiplyBytes(a: number, b: number): number {
    const { code } = this;
    code.get(a); code.get(b); code.simd(Simd.i16x8_mul); code.i32(0xff); code.simd(Simd.i16x8_splat); code.simd(Simd.v128_and);
    code.get(a); code.i32(8); code.simd(Simd.i16x8_shr_u); code.get(b); code.i32(8); code.simd(Simd.i16x8_shr_u); code.simd(Simd.i16x8_mul); code.i32(8); code.simd(Simd.i16x8_shl);
    code.simd(Simd.v128_or);
    return code.keep(V128);
  }
  lanesUnary(operation: LaneUnary, lane: Lane, a: number): number { return this.one(a, UNARY[operation]![lane]!); }
  shiftLanes(operation: LaneShift, lane: Lane, a: number, amount: number): number {
    const { code } = this;
    if (amount === lane && operation !== 'right-signed') {
      code.i64(0n); code.simd(Simd.i64x2_splat);
      return code.keep(V128);
    }
    code.get(a); code.i32(Math.min(amount, lane - 1)); code.simd(SHIFTS[operation][lane]);
    return code.keep(V128);
  }
  extendLow(lane: 8 | 16 | 32, a: number, signed: boolean): number { return this.one(a, EXTENDS[lane][signed ? 1 : 0]); }
  shuffle(a: number, b: number, indices: readonly number[]): number {
    const { code } = this;
    code.get(a); code.get(b); code.simd(Simd.i8x16_shuffle);
    for (const index of indices) code.byte(index);
    return code.keep(V128);
  }
  lookUp(table: number, indices: number): number { return this.both(table, indices, Simd.i8x16_swizzle); }
  saturation(differs: number): void {
    const { code } = this;
    code.get(differs); code.op(Op.i64_eqz); code.op(Op.i32_eqz);
    code.if();
    code.get(Local.CORE); code.get(Local.CORE); code.access(Memory.i32_load, FPSR_OFFSET); code.i32(QC); code.op(Op.i32_or); code.access(Memory.i32_store, FPSR_OFFSET);
    code.end();
  }

  loadVector(address: number, access: Access): number {
    const { code } = this;
    const entry = this.entry(Scratch.READ, address);
    this.found(entry, address, 16, 'mayLoad', access);
    this.bailUnless();
    this.linear(entry, address); code.simdAccess(Simd.v128_load, 0);
    return code.keep(V128);
  }
  storeVector(address: number, value: number, access: Access): void {
    const { code } = this;
    const entry = this.entry(Scratch.WRITE, address);
    this.found(entry, address, 16, 'mayStore', access);
    this.bailUnless();
    this.linear(entry, address); code.get(value); code.simdAccess(Simd.v128_store, 0);
  }

  polynomialMultiplyLong(): number { return this.never(); }
  cipher(_operation: CipherOperation): number { return this.never(); }
}
