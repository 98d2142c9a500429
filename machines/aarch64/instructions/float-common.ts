/** Operands of floating-point instructions, how vector ones are made of operations on elements, and the patterns that both come in. */

import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { FloatSize, Lane, VectorBuilder } from '../vector-builder.ts';

/** An operation on elements or scalars of one format. */
export type Unary = <V, B, Q>(b: VectorBuilder<V, B, Q>, size: FloatSize, a: V) => V;
export type Binary = <V, B, Q>(b: VectorBuilder<V, B, Q>, size: FloatSize, a: V, c: V) => V;
/** One that has the destination's old value too. */
export type Ternary = <V, B, Q>(b: VectorBuilder<V, B, Q>, size: FloatSize, addend: V, a: V, c: V) => V;

/** The format of a row, by its fields: ftype of scalar rows and sz of vector rows, which agree; or half. */
export type SizeOf = (f: Fields) => FloatSize;
export const sized: SizeOf = (f) => (f.z === 3 ? 16 : f.z === 1 ? 64 : 32);
export const half: SizeOf = () => 16;
/** ftype 2 is no format. */
export const reservedType = (f: Fields): boolean => f.z === 2;
/** Vectors of one double are reserved. */
export const oneDouble = (f: Fields): boolean => f.z === 1 && f.q === 0;

export const signBit = (size: FloatSize): bigint => 1n << BigInt(size - 1);
const allOnes = (size: FloatSize): bigint => (1n << BigInt(size)) - 1n;

export const getFloat = <V, B, Q>(b: VectorBuilder<V, B, Q>, size: FloatSize, register: number): V =>
  size === 64 ? b.vectorLow(register) : b.zeroExtend(b.vectorLow(register), size);

export const negate: Unary = (b, size, a) => b.exclusiveOr(a, b.constant(signBit(size)));
export const absolute: Unary = (b, size, a) => b.and(a, b.constant(signBit(size) - 1n));
/** All ones or zero, as the vector comparisons give. */
export const truth = <V, B, Q>(b: VectorBuilder<V, B, Q>, size: FloatSize, condition: B): V => b.select(condition, b.constant(allOnes(size)), b.number(0));

/** `count` elements in one word, the first one lowest. */
export function pack<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, count: number, element: (index: number) => V): V {
  let word = element(0);
  for (let index = 1; index < count; index += 1) word = b.or(word, b.shiftLeft(element(index), b.number(index * lane)));
  return word;
}

/** V[register] made of elements: 128 bits with `full` 1, else 64. */
export function setLanes<V, B, Q>(b: VectorBuilder<V, B, Q>, register: number, lane: Lane, full: number, element: (index: number) => V): void {
  const count = 64 / lane;
  const low = pack(b, lane, count, element);
  if (full) b.setVector(register, b.vectorOf(low, pack(b, lane, count, (index) => element(count + index))));
  else b.setVectorLow(register, low);
}

export const scalarUnary = (operation: Unary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  b.setVectorLow(f.d, operation(b, size, getFloat(b, size, f.n)));
};

export const scalarBinary = (operation: Binary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  b.setVectorLow(f.d, operation(b, size, getFloat(b, size, f.n), getFloat(b, size, f.m)));
};

export const vectorUnary = (operation: Unary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const source = b.vector(f.n);
  setLanes(b, f.d, size, f.q, (index) => operation(b, size, b.lane(size, source, index)));
};

export const vectorBinary = (operation: Binary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const left = b.vector(f.n), right = b.vector(f.m);
  setLanes(b, f.d, size, f.q, (index) => operation(b, size, b.lane(size, left, index), b.lane(size, right, index)));
};

export const vectorTernary = (operation: Ternary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const addend = b.vector(f.d), left = b.vector(f.n), right = b.vector(f.m);
  setLanes(b, f.d, size, f.q, (index) => operation(b, size, b.lane(size, addend, index), b.lane(size, left, index), b.lane(size, right, index)));
};

/** A row of the Advanced SIMD groups that have half precision apart: single and double precision by sz (z), and half precision. `form` has `.T` for arrangements. */
export function vectorRows(name: string, single: string, halves: string, form: string, semantics: (sizeOf: SizeOf) => Semantics): readonly Row[] {
  const text = `${name.toLowerCase()} ${form}`;
  return [
    instruction(`${name} (vector)`, single, semantics(sized), text.replaceAll('.T', '.f'), { unallocated: oneDouble }),
    ...(halves === '' ? [] : [instruction(`${name} (vector, half)`, halves, semantics(half), text.replaceAll('.T', '.h'))]),
  ];
}

/** The scalar rows of those groups. `form` has `<F?>` for registers. */
export function scalarRows(name: string, single: string, halves: string, form: string, semantics: (sizeOf: SizeOf) => Semantics): readonly Row[] {
  const text = `${name.toLowerCase()} ${form}`;
  return [
    instruction(`${name} (SIMD scalar)`, single, semantics(sized), text),
    instruction(`${name} (SIMD scalar, half)`, halves, semantics(half), text.replaceAll('<F', '<H')),
  ];
}
