/** Operand helpers that the semantics of Advanced SIMD rows share. */

import type { Fields } from '../row.ts';
import type { Lane, VectorBuilder } from '../vector-builder.ts';
import { MASKS } from './common.ts';

export type Narrow = 8 | 16 | 32;

/** What an instruction makes of its operands element by element. `d` gives the destination's old value; `count` is the number of elements that are used. */
export type Operation = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, m: Q, d: () => Q, count: number) => Q;
/** The same with what is not zero in an element that saturated. */
export type Saturating = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, m: Q, d: () => Q, count: number) => readonly [value: Q, differs: Q];

/** The element width that a size field says. */
export const laneOf = (size: number): Lane => (8 << size) as Lane;
/** Elements in 128 bits, in 64 with q 0, or the one of a scalar instruction. */
export const countOf = (lane: Lane, q: number, scalar = false): number => (scalar ? 1 : (q ? 128 : 64) / lane);
export const doubled = (lane: Lane): Lane => (2 * lane) as Lane;

/** Sizes that a row has; a vector of one 64-bit element is none. */
export const sizesOtherThan = (sizes: string, scalar = false) => (f: Fields): boolean => !sizes.includes('bhsd'[f.z]!) || (f.z === 3 && f.q === 0 && !scalar);

/** Writes V[d]: 128 bits, 64 with q 0, or one element; the rest is zero. */
export function put<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, value: Q, scalar: Lane | undefined): void {
  if (scalar !== undefined) b.setVectorLow(f.d, b.lane(scalar, value, 0));
  else if (f.q) b.setVector(f.d, value);
  else b.setVectorLow(f.d, b.low(value));
}

/** Sets FPSR.QC where an element that is used differs from zero. */
export function saturate<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, differs: Q, scalar: Lane | undefined): void {
  if (scalar !== undefined) b.saturation(b.lane(scalar, differs, 0));
  else b.saturation(f.q ? b.or(b.low(differs), b.high(differs)) : b.low(differs));
}

/** Writes what the operation makes of Vn and `m`. */
export function combine<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, lane: Lane, scalar: boolean, m: Q, operation: Operation | undefined, saturates: Saturating | undefined): void {
  const n = b.vector(f.n);
  const d = (): Q => b.vector(f.d);
  const count = countOf(lane, f.q, scalar);
  const only = scalar ? lane : undefined;
  if (saturates !== undefined) {
    const [value, differs] = saturates(b, lane, n, m, d, count);
    put(b, f, value, only);
    saturate(b, f, differs, only);
  } else put(b, f, operation!(b, lane, n, m, d, count), only);
}

export const zero = <V, B, Q>(b: VectorBuilder<V, B, Q>): Q => b.vectorOf(b.number(0), b.number(0));
/** A constant in every element. */
export const everywhere = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, value: bigint): Q => b.splat(lane, b.constant(BigInt.asUintN(64, value)));
export const allOnes = (width: number): bigint => MASKS[width]!;
export const signBit = (lane: Lane): bigint => 1n << BigInt(lane - 1);

/** A vector of `count` elements, made one by one; what is above them is not meant to be used. */
export function each<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, element: (index: number) => V): Q {
  let vector = zero(b);
  for (let index = 0; index < count; index += 1) vector = b.withLane(lane, vector, index, element(index));
  return vector;
}

/** Elements of `n` and `m` together: element i of the result is element `choose(i)` of the two after one another, each with `count` elements. */
export function pick<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, n: Q, m: Q, choose: (index: number) => number): Q {
  const bytes = lane / 8;
  const indices: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const chosen = choose(index);
    const first = chosen < count ? chosen * bytes : 16 + (chosen - count) * bytes;
    for (let byte = 0; byte < bytes; byte += 1) indices.push(first + byte);
  }
  while (indices.length < 16) indices.push(0);
  return b.shuffle(n, m, indices);
}

/** The even and the odd elements of `n` and `m` together. */
export const evens = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, n: Q, m: Q): Q => pick(b, lane, count, n, m, (index) => 2 * index);
export const odds = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, n: Q, m: Q): Q => pick(b, lane, count, n, m, (index) => 2 * index + 1);

const UPPER: readonly number[] = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];

/** The lower half, or with `upper` 1 the upper, of elements of `lane` bits extended to twice that. */
export const extend = <V, B, Q>(b: VectorBuilder<V, B, Q>, upper: number, lane: Narrow, vector: Q, signed: boolean): Q =>
  b.extendLow(lane, upper ? b.shuffle(vector, vector, UPPER) : vector, signed);

/** Writes elements of `lane` bits, which are the low 64 bits of `value`, into the lower half and clears the upper; or with q 1 into the upper half alone. */
export function putNarrow<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, value: Q): void {
  if (f.q) b.setVector(f.d, b.vectorOf(b.vectorLow(f.d), b.low(value)));
  else b.setVectorLow(f.d, b.low(value));
}

export type Range = 'signed' | 'unsigned' | 'signed to unsigned';

/** Elements of twice `lane` bits brought into the range of `lane` bits, and all ones where that changed them. `unsigned`: of an unsigned number. */
export function clamp<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Narrow, value: Q, range: Range): readonly [value: Q, differs: Q] {
  const wide = doubled(lane);
  const greatest = everywhere(b, wide, allOnes(range === 'signed' ? lane - 1 : lane));
  let clamped: Q;
  if (range === 'unsigned') clamped = b.lanes('unsigned-minimum', wide, value, greatest);
  else {
    const least = range === 'signed' ? everywhere(b, wide, -signBit(lane)) : zero(b);
    clamped = b.lanes('signed-maximum', wide, b.lanes('signed-minimum', wide, value, greatest), least);
  }
  return [clamped, b.vectorNot(b.lanes('equal', wide, clamped, value))];
}

/** Right shift by a constant, 1 to `lane`, rounded to nearest: the bit shifted out last is added, so that nothing can overflow. */
export function shiftRightRounded<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, value: Q, amount: number, signed: boolean): Q {
  const shifted = b.shiftLanes(signed ? 'right-signed' : 'right', lane, value, amount);
  const last = b.vectorAnd(b.shiftLanes('right', lane, value, amount - 1), everywhere(b, lane, 1n));
  return b.lanes('add', lane, shifted, last);
}
