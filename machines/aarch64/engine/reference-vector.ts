/** The reference engine's vector part: 128-bit vectors as bigints, element by element. */

import type { Access } from '../memory-access.ts';
import { Word } from '../state.ts';
import type { CipherOperation, Lane, LaneOperation, LaneShift, LaneUnary } from '../vector-builder.ts';
import { checkFloatingPoint } from './floating-point.ts';
import { ScalarReference } from './reference-scalar.ts';

export class VectorReference extends ScalarReference {
  checkFloatingPoint(): void { checkFloatingPoint(this.core); }
  vector(register: number): bigint { return this.words[Word.VECTOR + 2 * register]! | (this.words[Word.VECTOR + 2 * register + 1]! << 64n); }
  setVector(register: number, value: bigint): void {
    this.words[Word.VECTOR + 2 * register] = value;
    this.words[Word.VECTOR + 2 * register + 1] = value >> 64n;
  }
  vectorLow(register: number): bigint { return this.words[Word.VECTOR + 2 * register]!; }
  setVectorLow(register: number, value: bigint): void { this.setVector(register, value); }
  vectorOf(low: bigint, high: bigint): bigint { return low | (high << 64n); }
  low(vector: bigint): bigint { return BigInt.asUintN(64, vector); }
  high(vector: bigint): bigint { return vector >> 64n; }
  splat(_lane: Lane, _value: bigint): bigint { throw new Error('splat: being written'); }
  lane(_lane: Lane, _vector: bigint, _index: number): bigint { throw new Error('lane: being written'); }
  withLane(_lane: Lane, _vector: bigint, _index: number, _value: bigint): bigint { throw new Error('withLane: being written'); }
  vectorAnd(_a: bigint, _b: bigint): bigint { throw new Error('vectorAnd: being written'); }
  vectorOr(_a: bigint, _b: bigint): bigint { throw new Error('vectorOr: being written'); }
  vectorExclusiveOr(_a: bigint, _b: bigint): bigint { throw new Error('vectorExclusiveOr: being written'); }
  vectorNot(_a: bigint): bigint { throw new Error('vectorNot: being written'); }
  bitSelect(_mask: bigint, _ones: bigint, _zeros: bigint): bigint { throw new Error('bitSelect: being written'); }
  lanes(_operation: LaneOperation, _lane: Lane, _a: bigint, _b: bigint): bigint { throw new Error('lanes: being written'); }
  lanesUnary(_operation: LaneUnary, _lane: Lane, _a: bigint): bigint { throw new Error('lanesUnary: being written'); }
  shiftLanes(_operation: LaneShift, _lane: Lane, _a: bigint, _amount: number): bigint { throw new Error('shiftLanes: being written'); }
  extendLow(_lane: 8 | 16 | 32, _a: bigint, _signed: boolean): bigint { throw new Error('extendLow: being written'); }
  shuffle(_a: bigint, _b: bigint, _indices: readonly number[]): bigint { throw new Error('shuffle: being written'); }
  lookUp(_table: bigint, _indices: bigint): bigint { throw new Error('lookUp: being written'); }
  polynomialMultiplyLong(_a: bigint, _b: bigint): bigint { throw new Error('polynomialMultiplyLong: being written'); }
  cipher(_operation: CipherOperation, _a: bigint, _b: bigint, _c: bigint): bigint { throw new Error('cipher: being written'); }
  saturation(_differs: bigint): void { throw new Error('saturation: being written'); }
  loadVector(_address: bigint, _access: Access): bigint { throw new Error('loadVector: being written'); }
  storeVector(_address: bigint, _value: bigint, _access: Access): void { throw new Error('storeVector: being written'); }
}
