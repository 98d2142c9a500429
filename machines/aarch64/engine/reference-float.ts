/** The reference engine's floating-point part: exact arithmetic in bigint, rounded by FPCR. */

import type { FloatBinary, FloatComparison, FloatSize, FloatUnary, Rounding } from '../vector-builder.ts';
import { VectorReference } from './reference-vector.ts';

export class FloatReference extends VectorReference {
  floatBinary(_operation: FloatBinary, _size: FloatSize, _a: bigint, _b: bigint): bigint { throw new Error('floatBinary: being written'); }
  floatMultiplyAdd(_size: FloatSize, _addend: bigint, _a: bigint, _b: bigint): bigint { throw new Error('floatMultiplyAdd: being written'); }
  floatUnary(_operation: FloatUnary, _size: FloatSize, _a: bigint): bigint { throw new Error('floatUnary: being written'); }
  floatCompare(_size: FloatSize, _a: bigint, _b: bigint, _signalling: boolean): bigint { throw new Error('floatCompare: being written'); }
  floatTest(_comparison: FloatComparison, _size: FloatSize, _a: bigint, _b: bigint): boolean { throw new Error('floatTest: being written'); }
  floatRound(_size: FloatSize, _a: bigint, _rounding: Rounding, _exact: boolean, _integerBits?: 32 | 64): bigint { throw new Error('floatRound: being written'); }
  floatConvert(_from: FloatSize, _to: FloatSize, _a: bigint, _rounding?: Rounding): bigint { throw new Error('floatConvert: being written'); }
  floatToInteger(_size: FloatSize, _a: bigint, _width: 16 | 32 | 64, _signed: boolean, _fraction: number, _rounding: Rounding): bigint { throw new Error('floatToInteger: being written'); }
  integerToFloat(_size: FloatSize, _a: bigint, _width: 16 | 32 | 64, _signed: boolean, _fraction: number): bigint { throw new Error('integerToFloat: being written'); }
  floatToJavaScript(_a: bigint): readonly [bigint, boolean] { throw new Error('floatToJavaScript: being written'); }
  floatToBrain(_a: bigint): bigint { throw new Error('floatToBrain: being written'); }
  brainDot(_addend: bigint, _a: bigint, _b: bigint): bigint { throw new Error('brainDot: being written'); }
}
