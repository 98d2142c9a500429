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
  splat(lane: Lane, value: bigint): bigint {
    let result = 0n;
    for (let at = 0; at < 128; at += lane) result |= BigInt.asUintN(lane, value) << BigInt(at);
    return result;
  }
  lane(lane: Lane, vector: bigint, index: number): bigint { return BigInt.asUintN(lane, vector >> BigInt(lane * index)); }
  withLane(lane: Lane, vector: bigint, index: number, value: bigint): bigint {
    const place = BigInt(lane * index);
    return (vector & ~(((1n << BigInt(lane)) - 1n) << place)) | (BigInt.asUintN(lane, value) << place);
  }
  vectorAnd(a: bigint, b: bigint): bigint { return a & b; }
  vectorOr(a: bigint, b: bigint): bigint { return a | b; }
  vectorExclusiveOr(a: bigint, b: bigint): bigint { return a ^ b; }
  vectorNot(a: bigint): bigint { return BigInt.asUintN(128, ~a); }
  bitSelect(mask: bigint, ones: bigint, zeros: bigint): bigint { return (ones & mask) | (zeros & BigInt.asUintN(128, ~mask)); }
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
