/** The reference engine's vector part: 128-bit vectors as bigints, element by element. */

import { MASK64, mask } from '../../bits.ts';
import { loadVector, storeVector, type Access } from '../memory-access.ts';
import { Word } from '../state.ts';
import { slot } from '../sysregs.ts';
import type { CipherOperation, Lane, LaneOperation, LaneShift, LaneUnary } from '../vector-builder.ts';
import { cipher } from './cipher.ts';
import { checkFloatingPoint } from './floating-point.ts';
import { ScalarReference } from './reference-scalar.ts';

const FPSR = 2 * slot('FPSR');
/** FPSR.QC: some saturating operation saturated. */
const QC = 1 << 27;
const MASK128 = mask(128);

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
  splat(lane: Lane, value: bigint): bigint { return BigInt.asUintN(lane, value) * ONES[lane]; }
  lane(lane: Lane, vector: bigint, index: number): bigint { return BigInt.asUintN(lane, vector >> BigInt(lane * index)); }
  withLane(lane: Lane, vector: bigint, index: number, value: bigint): bigint {
    const shift = BigInt(lane * index);
    return (vector & ~(mask(lane) << shift)) | (BigInt.asUintN(lane, value) << shift);
  }

  vectorAnd(a: bigint, b: bigint): bigint { return a & b; }
  vectorOr(a: bigint, b: bigint): bigint { return a | b; }
  vectorExclusiveOr(a: bigint, b: bigint): bigint { return a ^ b; }
  vectorNot(a: bigint): bigint { return a ^ MASK128; }
  bitSelect(bits: bigint, ones: bigint, zeros: bigint): bigint { return zeros ^ ((ones ^ zeros) & bits); }

  lanes(operation: LaneOperation, lane: Lane, a: bigint, b: bigint): bigint {
    const compute = BINARY[operation];
    return each(lane, (shift) => compute(BigInt.asUintN(lane, a >> shift), BigInt.asUintN(lane, b >> shift), lane));
  }
  lanesUnary(operation: LaneUnary, lane: Lane, a: bigint): bigint {
    const compute = UNARY[operation];
    return each(lane, (shift) => compute(BigInt.asUintN(lane, a >> shift), lane));
  }
  shiftLanes(operation: LaneShift, lane: Lane, a: bigint, amount: number): bigint {
    const distance = BigInt(amount);
    if (operation === 'left') return each(lane, (shift) => (a >> shift) << distance);
    if (operation === 'right') return each(lane, (shift) => BigInt.asUintN(lane, a >> shift) >> distance);
    return each(lane, (shift) => BigInt.asIntN(lane, a >> shift) >> distance);
  }
  extendLow(lane: 8 | 16 | 32, a: bigint, signed: boolean): bigint {
    return each((2 * lane) as Lane, (shift) => (signed ? BigInt.asIntN(lane, a >> (shift / 2n)) : BigInt.asUintN(lane, a >> (shift / 2n))));
  }
  shuffle(a: bigint, b: bigint, indices: readonly number[]): bigint {
    const bytes = a | (b << 128n);
    return each(8, (shift) => bytes >> BigInt(8 * indices[Number(shift) / 8]!));
  }
  lookUp(table: bigint, indices: bigint): bigint {
    return each(8, (shift) => {
      const index = (indices >> shift) & 0xffn;
      return index < 16n ? table >> (8n * index) : 0n;
    });
  }
  polynomialMultiplyLong(a: bigint, b: bigint): bigint { return polynomialProduct(a, b); }
  cipher(operation: CipherOperation, a: bigint, b: bigint, c: bigint): bigint { return cipher(operation, a, b, c); }
  saturation(differs: bigint): void { if (differs !== 0n) this.ints[FPSR]! |= QC; }
  loadVector(address: bigint, access: Access): bigint { return loadVector(this.core, address, access); }
  storeVector(address: bigint, value: bigint, access: Access): void { storeVector(this.core, address, value, access); }
}

/** 1 in every element. */
const ONES: Readonly<Record<Lane, bigint>> = { 8: MASK128 / 0xffn, 16: MASK128 / 0xffffn, 32: MASK128 / 0xffff_ffffn, 64: MASK128 / MASK64 };

/** A vector whose element at bit `shift` is the low bits of what `value` gives. */
function each(lane: Lane, value: (shift: bigint) => bigint): bigint {
  let result = 0n;
  for (let shift = 0n; shift < 128n; shift += BigInt(lane)) result |= BigInt.asUintN(lane, value(shift)) << shift;
  return result;
}

type Binary = (a: bigint, b: bigint, lane: Lane) => bigint;
const greaterSigned: Binary = (a, b, lane) => (BigInt.asIntN(lane, a) > BigInt.asIntN(lane, b) ? 1n : 0n);

/** Of elements as unsigned numbers; the results are cut to the element. */
const BINARY: Readonly<Record<LaneOperation, Binary>> = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  'polynomial-multiply': polynomialProduct,
  'signed-maximum': (a, b, lane) => (greaterSigned(a, b, lane) === 0n ? b : a),
  'signed-minimum': (a, b, lane) => (greaterSigned(a, b, lane) === 0n ? a : b),
  'unsigned-maximum': (a, b) => (a > b ? a : b),
  'unsigned-minimum': (a, b) => (a > b ? b : a),
  'saturating-add-signed': (a, b, lane) => clamp(BigInt.asIntN(lane, a) + BigInt.asIntN(lane, b), lane),
  'saturating-subtract-signed': (a, b, lane) => clamp(BigInt.asIntN(lane, a) - BigInt.asIntN(lane, b), lane),
  'saturating-add-unsigned': (a, b, lane) => (a + b > mask(lane) ? mask(lane) : a + b),
  'saturating-subtract-unsigned': (a, b) => (a > b ? a - b : 0n),
  'rounding-average-unsigned': (a, b) => (a + b + 1n) >> 1n,
  equal: (a, b) => (a === b ? -1n : 0n),
  'greater-signed': (a, b, lane) => -greaterSigned(a, b, lane),
  'greater-unsigned': (a, b) => (a > b ? -1n : 0n),
};

const UNARY: Readonly<Record<LaneUnary, (a: bigint, lane: Lane) => bigint>> = {
  negate: (a) => -a,
  absolute: (a, lane) => (BigInt.asIntN(lane, a) < 0n ? -a : a),
  'count-ones': (a) => {
    let count = 0n;
    for (let rest = a; rest !== 0n; rest &= rest - 1n) count += 1n;
    return count;
  },
  'count-leading-zeros': (a, lane) => BigInt(a === 0n ? lane : lane - a.toString(2).length),
};

/** Into the range of a signed element. */
function clamp(value: bigint, lane: Lane): bigint {
  const limit = 1n << BigInt(lane - 1);
  return value >= limit ? limit - 1n : value < -limit ? -limit : value;
}

/** The carry-less product. */
function polynomialProduct(a: bigint, b: bigint): bigint {
  let result = 0n;
  for (let rest = b, shifted = a; rest !== 0n; rest >>= 1n, shifted <<= 1n) if ((rest & 1n) !== 0n) result ^= shifted;
  return result;
}
