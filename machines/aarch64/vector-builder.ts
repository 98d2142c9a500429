/** The operations that FP and Advanced SIMD semantics are written in, beside those of `Builder`. */

import type { Builder } from './builder.ts';
import type { Access } from './memory-access.ts';

/** Width of a vector element in bits. */
export type Lane = 8 | 16 | 32 | 64;
/** Width of a floating-point format in bits: half, single, double precision. */
export type FloatSize = 16 | 32 | 64;
/** How a result is rounded; `current` is FPCR.RMode. `odd` is FCVTXN's, `away` ties away from zero. */
export type Rounding = 'current' | 'even' | 'plus' | 'minus' | 'zero' | 'away' | 'odd';

/** Element by element on two vectors, modulo the element's width. Comparisons give all ones or zero. */
export type LaneOperation =
  | 'add' | 'subtract' | 'multiply' | 'polynomial-multiply'
  | 'signed-maximum' | 'signed-minimum' | 'unsigned-maximum' | 'unsigned-minimum'
  | 'saturating-add-signed' | 'saturating-add-unsigned' | 'saturating-subtract-signed' | 'saturating-subtract-unsigned'
  | 'rounding-average-unsigned'
  | 'equal' | 'greater-signed' | 'greater-unsigned';
export type LaneUnary = 'negate' | 'absolute' | 'count-ones' | 'count-leading-zeros';
export type LaneShift = 'left' | 'right' | 'right-signed';

/** One round, or part of one, of a cipher or hash: what the instruction of that name makes of Vd, Vn and Vm; AESMC, AESIMC and SHA1H take Vn alone, as the first. */
export type CipherOperation =
  | 'AESE' | 'AESD' | 'AESMC' | 'AESIMC'
  | 'SHA1C' | 'SHA1P' | 'SHA1M' | 'SHA1H' | 'SHA1SU0' | 'SHA1SU1' | 'SHA256H' | 'SHA256H2' | 'SHA256SU0' | 'SHA256SU1'
  | 'SHA512H' | 'SHA512H2' | 'SHA512SU0' | 'SHA512SU1';

export type FloatBinary =
  | 'add' | 'subtract' | 'multiply' | 'divide' | 'multiply-extended'
  | 'maximum' | 'minimum' | 'maximum-number' | 'minimum-number'
  | 'reciprocal-step' | 'reciprocal-square-root-step';
export type FloatUnary = 'square-root' | 'reciprocal-estimate' | 'reciprocal-square-root-estimate' | 'reciprocal-exponent';
export type FloatComparison = 'equal' | 'greater' | 'greater-or-equal';

/**
 * `Q` is an opaque 128-bit vector. A floating-point value is a `V` that holds its bits, zero-extended; floating-point
 * operations obey FPCR (RMode, FZ, FZ16, DN, AHP) and set the cumulative flags of FPSR.
 *
 * Rules for rows beside those of Builder: `checkFloatingPoint` comes first; faults come before any change of a register
 * or of FPSR; operations of an element are used with constant indices only. Rarely used operations need none here: compose them
 * of `lane` and `vectorOf` a lane at a time. An operation is added here when an engine has, or could have, something
 * better for it than that.
 */
export interface VectorBuilder<V, B, Q> extends Builder<V, B> {
  /** Raises the trap of CPACR_EL1.FPEN or CPTR_EL2. Arm ARM: CheckFPAdvSIMDEnabled64. */
  checkFloatingPoint(): void;

  vector(register: number): Q;
  setVector(register: number, value: Q): void;
  /** Bits 63 to 0 of V[register]. */
  vectorLow(register: number): V;
  /** V[register] = the value, bits 127 to 64 zero. */
  setVectorLow(register: number, value: V): void;

  vectorOf(low: V, high: V): Q;
  low(vector: Q): V;
  high(vector: Q): V;
  /** The low `lane` bits of `value` in every element. */
  splat(lane: Lane, value: V): Q;
  /** Element `index`, zero-extended. */
  lane(lane: Lane, vector: Q, index: number): V;
  withLane(lane: Lane, vector: Q, index: number, value: V): Q;

  vectorAnd(a: Q, b: Q): Q;
  vectorOr(a: Q, b: Q): Q;
  vectorExclusiveOr(a: Q, b: Q): Q;
  vectorNot(a: Q): Q;
  /** Bits of `ones` where `mask` is set, of `zeros` elsewhere. */
  bitSelect(mask: Q, ones: Q, zeros: Q): Q;

  lanes(operation: LaneOperation, lane: Lane, a: Q, b: Q): Q;
  lanesUnary(operation: LaneUnary, lane: Lane, a: Q): Q;
  /** By a constant, 0 to `lane`: a shift by the whole width gives zeros, or the sign. */
  shiftLanes(operation: LaneShift, lane: Lane, a: Q, amount: number): Q;
  /** The elements of the low half extended to twice their width. `lane` is the narrow width. */
  extendLow(lane: 8 | 16 | 32, a: Q, signed: boolean): Q;
  /** Byte i of the result is byte indices[i] of a (0 to 15) or of b (16 to 31). */
  shuffle(a: Q, b: Q, indices: readonly number[]): Q;
  /** Byte i of the result is the byte of `table` that byte i of `indices` names, 0 when it is 16 or more. */
  lookUp(table: Q, indices: Q): Q;
  /** The 128-bit carry-less product of two 64-bit words. */
  polynomialMultiplyLong(a: V, b: V): Q;
  cipher(operation: CipherOperation, a: Q, b: Q, c: Q): Q;
  /** Sets FPSR.QC where `differs` is not zero: pass the exclusive-or of what saturated and what did not. */
  saturation(differs: V): void;

  /** 16 bytes, the first in bits 7 to 0; aligned as `access.element` says, without it as one quantity of 16 bytes. */
  loadVector(address: V, access: Access): Q;
  storeVector(address: V, value: Q, access: Access): void;

  floatBinary(operation: FloatBinary, size: FloatSize, a: V, b: V): V;
  /** addend + a * b, rounded once. Arm ARM: FPMulAdd. */
  floatMultiplyAdd(size: FloatSize, addend: V, a: V, b: V): V;
  floatUnary(operation: FloatUnary, size: FloatSize, a: V): V;
  /** N:Z:C:V of a comparison, as FCMP; `signalling` (FCMPE): any NaN is an Invalid Operation. */
  floatCompare(size: FloatSize, a: V, b: V, signalling: boolean): V;
  floatTest(comparison: FloatComparison, size: FloatSize, a: V, b: V): B;
  /** To an integral value in the same format. `exact`: Inexact is reported. With `integerBits`, values beyond that many bits give the most negative one (FRINT32, FRINT64). */
  floatRound(size: FloatSize, a: V, rounding: Rounding, exact: boolean, integerBits?: 32 | 64): V;
  floatConvert(from: FloatSize, to: FloatSize, a: V, rounding?: Rounding): V;
  /** Saturating; `fraction` bits below the point; the result has `width` bits, zero-extended. */
  floatToInteger(size: FloatSize, a: V, width: 16 | 32 | 64, signed: boolean, fraction: number, rounding: Rounding): V;
  /** Of the low `width` bits of `a`, with `fraction` bits below the point. */
  integerToFloat(size: FloatSize, a: V, width: 16 | 32 | 64, signed: boolean, fraction: number): V;
  /** FJCVTZS: the low 32 bits of the integer, and whether the conversion was exact (PSTATE.Z). */
  floatToJavaScript(a: V): readonly [V, B];
  /** Single precision to BFloat16. */
  floatToBrain(a: V): V;
  /** BFDOT's and BFMMLA's arithmetic: addend + a0 * b0 + a1 * b1 on pairs of BFloat16 (element 0 in the low half of `a` and `b`), single-precision addend. Sets no flags. */
  brainDot(addend: V, a: V, b: V): V;
}
