/**
 * The builder that emits WebAssembly: values are locals, operands come from the record (a handler) or are constants (region.ts). Floating
 * point is the host's where the host's is Arm's: round to nearest, nothing flushed, finite normal results, and no flag of FPSR that would
 * change. Everything else, NaNs and subnormals among it, is left to the reference engine.
 */

import { slot } from '../sysregs.ts';
import type { FloatBinary, FloatComparison, FloatSize, FloatUnary, Rounding, VectorBuilder } from '../vector-builder.ts';
import { VectorEmitter } from './emitter-vector.ts';
import { Fpcr, Fpsr } from './float/format.ts';
import { ARITHMETIC, COMPARISONS, EXTREMA, ROUNDINGS } from './forms.ts';
import { importIndex, Local } from './handler.ts';
import { Access as Memory, F64, I32, I64, Op } from './wasm/code.ts';

const FPCR_OFFSET = slot('FPCR') * 8;
const FPSR_OFFSET = slot('FPSR') * 8;
/** FPCR bits that must be 0: RMode (nearest) and FZ. */
const OTHER_MODES = (3 << Fpcr.RMODE_SHIFT) | Fpcr.FZ;

export class Emitter extends VectorEmitter implements VectorBuilder<number, number, number> {
  /** Whether FPCR says nearest and nothing flushed: on the stack. */
  protected plainMode(): void {
    const { code } = this;
    code.get(Local.CORE); code.access(Memory.i32_load, FPCR_OFFSET); code.i32(OTHER_MODES); code.op(Op.i32_and); code.op(Op.i32_eqz);
  }
  /** Whether FPSR says Inexact already. */
  protected inexact(): void {
    const { code } = this;
    code.get(Local.CORE); code.access(Memory.i32_load, FPSR_OFFSET); code.i32(Fpsr.IXC); code.op(Op.i32_and);
  }
  private needs(inexact: boolean): void {
    this.plainMode();
    this.bailUnless();
    if (!inexact) return;
    this.inexact();
    this.bailUnless();
  }

  /** Emits within one more WebAssembly structure than those around. */
  protected inner(inside: () => void): void { inside(); }

  private float(size: FloatSize, value: number): void {
    const { code } = this;
    code.get(value);
    if (size === 64) code.op(Op.f64_reinterpret_i64);
    else { code.op(Op.i32_wrap_i64); code.op(Op.f32_reinterpret_i32); }
  }
  /** The number on the stack as a value. */
  private bits(size: FloatSize): number {
    const { code } = this;
    if (size === 64) code.op(Op.i64_reinterpret_f64);
    else { code.op(Op.i32_reinterpret_f32); code.op(Op.i64_extend_i32_u); }
    return code.keep(I64);
  }
  /** Whether a value is a finite normal number, and not the least: a result that was rounded up to that is told as an underflow (Arm ARM: FPRound looks before it rounds). */
  private normal(size: FloatSize, value: number): void {
    const { code } = this;
    const [fraction, top] = size === 64 ? [53n, 0x7ffn] : [24n, 0xffn];
    // Without the sign, above the least and below infinity.
    code.get(value);
    if (size === 64) { code.i64(1n); code.op(Op.i64_shl); }
    else { code.i64(1n); code.op(Op.i64_shl); code.i64(0xffff_ffffn); code.op(Op.i64_and); }
    code.i64((1n << fraction) + 2n); code.op(Op.i64_sub); code.i64(((top - 1n) << fraction) - 2n); code.op(Op.i64_lt_u);
  }
  /** Whether a value is zero, of either sign. */
  private isZero(size: FloatSize, value: number): void {
    const { code } = this;
    code.get(value); code.i64(size === 64 ? (1n << 63n) - 1n : 0x7fff_ffffn); code.op(Op.i64_and); code.op(Op.i64_eqz);
  }
  private isNumber(size: FloatSize, value: number): void {
    const { code } = this;
    this.float(size, value); this.float(size, value); code.op(size === 64 ? Op.f64_eq : Op.f32_eq);
  }

  floatBinary(operation: FloatBinary, size: FloatSize, a: number, b: number): number {
    const { code } = this;
    const wide = size === 64 ? 1 : 0;
    if (operation in EXTREMA) {
      this.needs(false);
      this.isNumber(size, a); this.isNumber(size, b); code.op(Op.i32_and);
      this.bailUnless();
      this.float(size, a); this.float(size, b); code.op(EXTREMA[operation as keyof typeof EXTREMA][wide]);
      return this.bits(size);
    }
    this.needs(true);
    this.float(size, a); this.float(size, b); code.op(ARITHMETIC[operation as keyof typeof ARITHMETIC][wide]);
    const result = this.bits(size);
    this.normal(size, result);
    // A sum of zero is exact; a product or quotient is when a factor or the dividend is.
    this.isZero(size, result);
    if (operation === 'multiply' || operation === 'multiply-extended') { this.isZero(size, a); this.isZero(size, b); code.op(Op.i32_or); code.op(Op.i32_and); }
    if (operation === 'divide') { this.isZero(size, a); code.op(Op.i32_and); }
    code.op(Op.i32_or);
    this.bailUnless();
    return result;
  }

  floatMultiplyAdd(size: FloatSize, addend: number, a: number, b: number): number {
    const { code } = this;
    this.needs(true);
    if (size === 32) {
      // The product of singles is exact in double. Their sum is rounded twice, which matters only where the first rounding made a tie.
      this.float(32, a); code.op(Op.f64_promote_f32); this.float(32, b); code.op(Op.f64_promote_f32); code.op(Op.f64_mul);
      const product = code.keep(F64);
      this.float(32, addend); code.op(Op.f64_promote_f32);
      const added = code.keep(F64);
      code.get(product); code.get(added); code.op(Op.f64_add);
      const sum = code.keep(F64);
      code.get(sum); code.op(Op.i64_reinterpret_f64); code.i64(0x1fff_ffffn); code.op(Op.i64_and); code.i64(0x1000_0000n); code.op(Op.i64_eq);
      code.if();
      // A tie that is exact is one. Knuth's two-sum gives the error.
      code.get(sum); code.get(product); code.op(Op.f64_sub);
      const second = code.keep(F64);
      code.get(product); code.get(sum); code.get(second); code.op(Op.f64_sub); code.op(Op.f64_sub);
      code.get(added); code.get(second); code.op(Op.f64_sub);
      code.op(Op.f64_add); code.f64(0); code.op(Op.f64_eq);
      this.inner(() => this.bailUnless());
      code.end();
      code.get(sum); code.op(Op.f32_demote_f64);
      const result = this.bits(32);
      this.normal(32, result);
      this.bailUnless();
      return result;
    }
    code.get(addend); code.get(a); code.get(b); code.call(importIndex('multiplyAdd'));
    const result = code.keep(I64);
    this.normal(64, result); this.isZero(64, result); code.op(Op.i32_or);
    this.bailUnless();
    return result;
  }

  floatUnary(_operation: FloatUnary, size: FloatSize, a: number): number {
    const { code } = this;
    this.needs(true);
    this.float(size, a); code.op(size === 64 ? Op.f64_sqrt : Op.f32_sqrt);
    const result = this.bits(size);
    this.normal(size, result); this.isZero(size, a); code.op(Op.i32_or);
    this.bailUnless();
    return result;
  }

  floatCompare(size: FloatSize, a: number, b: number, _signalling: boolean): number {
    const { code } = this;
    const wide = size === 64 ? 1 : 0;
    this.needs(false);
    this.isNumber(size, a); this.isNumber(size, b); code.op(Op.i32_and);
    this.bailUnless();
    // Less: N. Equal: Z and C. Greater: C.
    this.float(size, a); this.float(size, b); code.op(COMPARISONS.equal[wide]); code.i32(2); code.op(Op.i32_shl);
    this.float(size, a); this.float(size, b); code.op(COMPARISONS['greater-or-equal'][wide]); code.i32(1); code.op(Op.i32_shl);
    code.op(Op.i32_or);
    this.float(size, b); this.float(size, a); code.op(COMPARISONS.greater[wide]); code.i32(3); code.op(Op.i32_shl);
    code.op(Op.i32_or); code.op(Op.i64_extend_i32_u);
    return code.keep(I64);
  }
  floatTest(comparison: FloatComparison, size: FloatSize, a: number, b: number): number {
    const { code } = this;
    this.needs(false);
    this.isNumber(size, a); this.isNumber(size, b); code.op(Op.i32_and);
    this.bailUnless();
    this.float(size, a); this.float(size, b); code.op(COMPARISONS[comparison][size === 64 ? 1 : 0]);
    return code.keep(I32);
  }

  floatRound(size: FloatSize, a: number, rounding: Rounding, exact: boolean): number {
    const { code } = this;
    this.needs(exact);
    this.isNumber(size, a);
    this.bailUnless();
    this.float(size, a); code.op(ROUNDINGS[rounding]![size === 64 ? 1 : 0]);
    return this.bits(size);
  }
  floatConvert(from: FloatSize, to: FloatSize, a: number): number {
    const { code } = this;
    this.needs(to === 32);
    if (to === 64) {
      this.isNumber(32, a);
      this.bailUnless();
      this.float(32, a); code.op(Op.f64_promote_f32);
      return this.bits(64);
    }
    this.float(from, a); code.op(Op.f32_demote_f64);
    const result = this.bits(32);
    this.normal(32, result); this.isZero(64, a); code.op(Op.i32_or);
    this.bailUnless();
    return result;
  }
  /** `fraction` is 0. Results beyond 63 bits, and what is not a number, are left alone. */
  floatToInteger(size: FloatSize, a: number, width: 16 | 32 | 64, signed: boolean, _fraction: number, rounding: Rounding): number {
    const { code } = this;
    this.needs(false);
    this.float(size, a);
    if (size === 32) code.op(Op.f64_promote_f32);
    code.op(ROUNDINGS[rounding]![1]);
    const whole = code.keep(F64);
    // Exact, or Inexact is told already.
    code.get(whole); this.float(size, a); if (size === 32) code.op(Op.f64_promote_f32); code.op(Op.f64_eq); this.inexact(); code.op(Op.i32_or);
    const [least, limit] = signed ? [-(2 ** (width - 1)), 2 ** (width - 1)] : [0, width === 64 ? 2 ** 63 : 2 ** width];
    const within = code.keep(I32);
    code.get(within); code.i32(0); code.op(Op.i32_ne);
    code.get(whole); code.f64(least); code.op(Op.f64_ge); code.op(Op.i32_and);
    code.get(whole); code.f64(limit); code.op(Op.f64_lt); code.op(Op.i32_and);
    this.bailUnless();
    code.get(whole); code.op(Op.i64_trunc_f64_s);
    const integer = code.keep(I64);
    return width === 64 ? integer : this.cut(integer, width);
  }
  private cut(value: number, width: 16 | 32): number { return this.zeroExtend(value, width); }
  integerToFloat(size: FloatSize, a: number, width: 16 | 32 | 64, signed: boolean): number {
    const { code } = this;
    // A double holds every integer of 32 bits.
    this.needs(!(size === 64 && width <= 32));
    const source = width === 64 ? a : signed ? this.signExtend(a, width) : this.zeroExtend(a, width);
    code.get(source);
    code.op(size === 64 ? (signed ? Op.f64_convert_i64_s : Op.f64_convert_i64_u) : signed ? Op.f32_convert_i64_s : Op.f32_convert_i64_u);
    return this.bits(size);
  }
  floatToJavaScript(): readonly [number, number] { return this.never(); }
  floatToBrain(): number { return this.never(); }
  brainDot(): number { return this.never(); }
}
