/** The reference engine's floating-point part: exact arithmetic in bigint (float/), rounded by FPCR, with its exceptions kept in FPSR. */

import { slot } from '../sysregs.ts';
import type { FloatBinary, FloatComparison, FloatSize, FloatUnary, Rounding } from '../vector-builder.ts';
import * as arithmetic from './float/arithmetic.ts';
import { brainDot } from './float/brain.ts';
import * as convert from './float/convert.ts';
import { floatUnary } from './float/estimate.ts';
import type { FloatEnvironment } from './float/format.ts';
import { VectorReference } from './reference-vector.ts';

const FPCR = 2 * slot('FPCR');
const FPSR = 2 * slot('FPSR');

export class FloatReference extends VectorReference {
  /** Adds cumulative exceptions to FPSR: everything that a floating-point operation changes goes through here. */
  accumulate(flags: number): void { this.ints[FPSR] = this.ints[FPSR]! | flags; }

  private under<T>(operation: (env: FloatEnvironment) => T): T {
    const env: FloatEnvironment = { fpcr: this.ints[FPCR]!, flags: 0 };
    const result = operation(env);
    if (env.flags !== 0) this.accumulate(env.flags);
    return result;
  }

  floatBinary(operation: FloatBinary, size: FloatSize, a: bigint, b: bigint): bigint { return this.under((env) => arithmetic.floatBinary(operation, size, a, b, env)); }
  floatMultiplyAdd(size: FloatSize, addend: bigint, a: bigint, b: bigint): bigint { return this.under((env) => arithmetic.floatMultiplyAdd(size, addend, a, b, env)); }
  floatUnary(operation: FloatUnary, size: FloatSize, a: bigint): bigint { return this.under((env) => floatUnary(operation, size, a, env)); }
  floatCompare(size: FloatSize, a: bigint, b: bigint, signalling: boolean): bigint { return this.under((env) => arithmetic.floatCompare(size, a, b, signalling, env)); }
  floatTest(comparison: FloatComparison, size: FloatSize, a: bigint, b: bigint): boolean { return this.under((env) => arithmetic.floatTest(comparison, size, a, b, env)); }
  floatRound(size: FloatSize, a: bigint, rounding: Rounding, exact: boolean, integerBits?: 32 | 64): bigint {
    return this.under((env) => convert.floatRound(size, a, rounding, exact, integerBits, env));
  }
  floatConvert(from: FloatSize, to: FloatSize, a: bigint, rounding: Rounding = 'current'): bigint { return this.under((env) => convert.floatConvert(from, to, a, rounding, env)); }
  floatToInteger(size: FloatSize, a: bigint, width: 16 | 32 | 64, signed: boolean, fraction: number, rounding: Rounding): bigint {
    return this.under((env) => convert.floatToInteger(size, a, width, signed, fraction, rounding, env));
  }
  integerToFloat(size: FloatSize, a: bigint, width: 16 | 32 | 64, signed: boolean, fraction: number): bigint {
    return this.under((env) => convert.integerToFloat(size, a, width, signed, fraction, env));
  }
  floatToJavaScript(a: bigint): readonly [bigint, boolean] { return this.under((env) => convert.floatToJavaScript(a, env)); }
  floatToBrain(a: bigint): bigint { return this.under((env) => convert.floatToBrain(a, env)); }
  brainDot(addend: bigint, a: bigint, b: bigint): bigint { return brainDot(addend, a, b); }
}
