/** Advanced SIMD on one vector: counting, reversing, negation, comparison with zero, narrowing, sums in pairs and across, estimates. */

import type { Builder } from '../builder.ts';
import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { Lane, LaneOperation, LaneUnary, VectorBuilder } from '../vector-builder.ts';
import { addPairsLong } from './vector-arithmetic.ts';
import {
  clamp, countOf, doubled, each, evens, everywhere, extend, laneOf, pick, put, putNarrow, saturate, signBit, sizesOtherThan, zero,
  type Narrow, type Range,
} from './vector.ts';

type Unary = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, d: () => Q) => Q;
type SaturatingUnary = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, d: () => Q) => readonly [value: Q, differs: Q];

const lanes = (operation: LaneUnary): Unary => (b, lane, n) => b.lanesUnary(operation, lane, n);
/** Compares n with zero, or zero with n. */
const compare = (operation: LaneOperation, swapped: boolean, inverted: boolean): Unary => (b, lane, n) => {
  const result = swapped ? b.lanes(operation, lane, zero(b), n) : b.lanes(operation, lane, n, zero(b));
  return inverted ? b.vectorNot(result) : result;
};
const not: Unary = (b, _lane, n) => b.vectorNot(n);
/** Leading zeros of where neighbouring bits differ; the first bit of that is always 0. */
const leadingSigns: Unary = (b, lane, n) =>
  b.lanes('subtract', lane, b.lanesUnary('count-leading-zeros', lane, b.vectorExclusiveOr(n, b.shiftLanes('right-signed', lane, n, 1))), everywhere(b, lane, 1n));
const pairs = (signed: boolean, accumulating: boolean): Unary => (b, lane, n, d) => {
  const sums = addPairsLong(b, lane as Narrow, n, signed);
  return accumulating ? b.lanes('add', doubled(lane), d(), sums) : sums;
};
/** Elements in reverse order within each `container` bits. */
const reverse = (container: Lane): Unary => (b, lane, n) => {
  const last = container / lane - 1;
  return pick(b, lane, 128 / lane, n, n, (index) => index ^ last);
};

/** A vector of 16 bytes given one by one. */
function bytes<V, B, Q>(b: VectorBuilder<V, B, Q>, value: (index: number) => number): Q {
  const half = (first: number): V => b.constant(Array.from({ length: 8 }, (_, index) => BigInt(value(first + index)) << BigInt(8 * index)).reduce((sum, byte) => sum | byte, 0n));
  return b.vectorOf(half(0), half(8));
}
const reversedNibble = (value: number): number => ((value & 1) << 3) | ((value & 2) << 1) | ((value & 4) >> 1) | ((value & 8) >> 3);
/** The bits of each byte, by a table of nibbles. */
const reverseBits: Unary = (b, _lane, n) => b.vectorOr(
  b.lookUp(bytes(b, (index) => reversedNibble(index) << 4), b.vectorAnd(n, everywhere(b, 8, 15n))), b.lookUp(bytes(b, reversedNibble), b.shiftLanes('right', 8, n, 4)));

const negateSaturating: SaturatingUnary = (b, lane, n) => {
  const value = b.lanes('saturating-subtract-signed', lane, zero(b), n);
  return [value, b.vectorExclusiveOr(value, b.lanesUnary('negate', lane, n))];
};
const absoluteSaturating: SaturatingUnary = (b, lane, n) => {
  const plain = b.lanesUnary('absolute', lane, n);
  const over = b.lanes('equal', lane, plain, everywhere(b, lane, signBit(lane)));
  return [b.vectorExclusiveOr(plain, over), over];
};
/** SUQADD: with the sign bit turned over, a signed number is an unsigned one that can only be too great. */
const addUnsigned: SaturatingUnary = (b, lane, n, d) => {
  const before = d();
  const bias = everywhere(b, lane, signBit(lane));
  const value = b.vectorExclusiveOr(b.lanes('saturating-add-unsigned', lane, b.vectorExclusiveOr(before, bias), n), bias);
  return [value, b.vectorExclusiveOr(value, b.lanes('add', lane, before, n))];
};
/** USQADD: a negative number is subtracted by its magnitude. */
const addSigned: SaturatingUnary = (b, lane, n, d) => {
  const before = d();
  const value = b.bitSelect(b.shiftLanes('right-signed', lane, n, lane - 1),
    b.lanes('saturating-subtract-unsigned', lane, before, b.lanesUnary('negate', lane, n)), b.lanes('saturating-add-unsigned', lane, before, n));
  return [value, b.vectorExclusiveOr(value, b.lanes('add', lane, before, n))];
};

const semantics = (operation: Unary, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z);
  put(b, f, operation(b, lane, b.vector(f.n), () => b.vector(f.d)), scalar ? lane : undefined);
};
const saturating = (operation: SaturatingUnary, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z);
  const [value, differs] = operation(b, lane, b.vector(f.n), () => b.vector(f.d));
  put(b, f, value, scalar ? lane : undefined);
  saturate(b, f, differs, scalar ? lane : undefined);
};

type Misc = readonly [name: string, opcode: string, U: 0 | 1, sizes: string, scalar: '' | 'd' | 'bhsd', operation: Unary | undefined, text: string, saturates?: SaturatingUnary];
const same = '<Vd.T>, <Vn.T>';
const MISC: readonly Misc[] = [
  ['REV64', '00000', 0, 'bhs', '', reverse(64), same], ['REV32', '00000', 1, 'bh', '', reverse(32), same], ['REV16', '00001', 0, 'b', '', reverse(16), same],
  ['SADDLP', '00010', 0, 'bhs', '', pairs(true, false), '<Vd.P>, <Vn.T>'], ['UADDLP', '00010', 1, 'bhs', '', pairs(false, false), '<Vd.P>, <Vn.T>'],
  ['SUQADD', '00011', 0, 'bhsd', 'bhsd', undefined, same, addUnsigned], ['USQADD', '00011', 1, 'bhsd', 'bhsd', undefined, same, addSigned],
  ['CLS', '00100', 0, 'bhs', '', leadingSigns, same], ['CLZ', '00100', 1, 'bhs', '', lanes('count-leading-zeros'), same], ['CNT', '00101', 0, 'b', '', lanes('count-ones'), same],
  ['SADALP', '00110', 0, 'bhs', '', pairs(true, true), '<Vd.P>, <Vn.T>'], ['UADALP', '00110', 1, 'bhs', '', pairs(false, true), '<Vd.P>, <Vn.T>'],
  ['SQABS', '00111', 0, 'bhsd', 'bhsd', undefined, same, absoluteSaturating], ['SQNEG', '00111', 1, 'bhsd', 'bhsd', undefined, same, negateSaturating],
  ['CMGT', '01000', 0, 'bhsd', 'd', compare('greater-signed', false, false), `${same}, #0`], ['CMGE', '01000', 1, 'bhsd', 'd', compare('greater-signed', true, true), `${same}, #0`],
  ['CMEQ', '01001', 0, 'bhsd', 'd', compare('equal', false, false), `${same}, #0`], ['CMLE', '01001', 1, 'bhsd', 'd', compare('greater-signed', false, true), `${same}, #0`],
  ['CMLT', '01010', 0, 'bhsd', 'd', compare('greater-signed', true, false), `${same}, #0`],
  ['ABS', '01011', 0, 'bhsd', 'd', lanes('absolute'), same], ['NEG', '01011', 1, 'bhsd', 'd', lanes('negate'), same],
];
/** Three of these share a mnemonic with a row of three registers. */
const title = (name: string, text: string): string => (text.endsWith('#0') ? `${name} (zero` : `${name} (`);
const MISC_ROWS: readonly Row[] = MISC.flatMap(([name, opcode, U, sizes, scalar, operation, text, saturates]) => {
  const make = (isScalar: boolean): Semantics => (saturates === undefined ? semantics(operation!, isScalar) : saturating(saturates, isScalar));
  const kind = title(name, text) + (text.endsWith('#0') ? ', ' : '');
  const mnemonic = name.toLowerCase();
  const vector = instruction(`${kind}vector)`, `0 q ${U} 01110 zz 10000 ${opcode} 10 nnnnn ddddd`, make(false), `${mnemonic} ${text}`, { unallocated: sizesOtherThan(sizes) });
  if (scalar === '') return [vector];
  return [vector, instruction(`${kind}scalar)`, `01 ${U} 11110 zz 10000 ${opcode} 10 nnnnn ddddd`, make(true), `${mnemonic} ${text.replace('Vd.T', 'Zd').replace('Vn.T', 'Zn')}`, { unallocated: sizesOtherThan(scalar, true) })];
});
const BYTE_ROWS: readonly Row[] = [
  instruction('NOT', '0 q 1 01110 00 10000 00101 10 nnnnn ddddd', semantics(not, false), ['mvn <Vd.B>, <Vn.B>', 'not <Vd.B>, <Vn.B>']),
  instruction('RBIT (vector)', '0 q 1 01110 01 10000 00101 10 nnnnn ddddd', semantics(reverseBits, false), 'rbit <Vd.B>, <Vn.B>'),
];

// ---- narrowing and widening -----------------------------------------------------------------------------------------------------------------

const narrow = (range: Range | undefined, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z) as Narrow;
  const n = b.vector(f.n);
  if (range === undefined) {
    putNarrow(b, f, evens(b, lane, 128 / lane, n, n));
    return;
  }
  const [value, differs] = clamp(b, lane, n, range);
  if (scalar) {
    b.setVectorLow(f.d, b.lane(lane, value, 0));
    b.saturation(b.lane(doubled(lane), differs, 0));
  } else {
    putNarrow(b, f, evens(b, lane, 128 / lane, value, value));
    b.saturation(b.or(b.low(differs), b.high(differs)));
  }
};
const noDoubleword = { unallocated: (f: Fields) => f.z === 3 };
const NARROW_ROWS: readonly Row[] = ([['XTN', 0, '10010', undefined], ['SQXTN', 0, '10100', 'signed'], ['SQXTUN', 1, '10010', 'signed to unsigned'], ['UQXTN', 1, '10100', 'unsigned']] as const).flatMap(([name, U, opcode, range]) => [
  instruction(`${name} (vector)`, `0 q ${U} 01110 zz 10000 ${opcode} 10 nnnnn ddddd`, narrow(range, false), `${name.toLowerCase()}<2> <Vd.T>, <Vn.W>`, noDoubleword),
  ...(range === undefined ? [] : [instruction(`${name} (scalar)`, `01 ${U} 11110 zz 10000 ${opcode} 10 nnnnn ddddd`, narrow(range, true), `${name.toLowerCase()} <Zd>, <Z2n>`, noDoubleword)]),
]);

const SHIFT_LONG = instruction('SHLL', '0 q 1 01110 zz 10000 10011 10 nnnnn ddddd', (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z) as Narrow;
  b.setVector(f.d, b.shiftLanes('left', doubled(lane), extend(b, f.q, lane, b.vector(f.n), false), lane));
}, 'shll<2> <Vd.W>, <Vn.T>, #<lane width>', noDoubleword);

// ---- across a vector --------------------------------------------------------------------------------------------------------------------------

/** `operation` of all elements, by halves: in element 0. */
function across<V, B, Q>(b: VectorBuilder<V, B, Q>, operation: LaneOperation, lane: Lane, count: number, value: Q): Q {
  let result = value;
  for (let left = count / 2; left >= 1; left /= 2) {
    const half = left;
    result = b.lanes(operation, lane, result, pick(b, lane, 128 / lane, result, result, (index) => (index + half) % (128 / lane)));
  }
  return result;
}
const reduce = (operation: LaneOperation): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z);
  b.setVectorLow(f.d, b.lane(lane, across(b, operation, lane, countOf(lane, f.q), b.vector(f.n)), 0));
};
/** Sums of pairs have room for the sum of all. */
const sumLong = (signed: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z) as Narrow;
  const wide = doubled(lane);
  b.setVectorLow(f.d, b.lane(wide, across(b, 'add', wide, countOf(wide, f.q), addPairsLong(b, lane, b.vector(f.n), signed)), 0));
};
const tooFew = { unallocated: (f: Fields) => f.z === 3 || (f.z === 2 && f.q === 0) };
const ACROSS_ROWS: readonly Row[] = [
  ...([['ADDV', 0, '11011', 'add'], ['SMAXV', 0, '01010', 'signed-maximum'], ['SMINV', 0, '11010', 'signed-minimum'], ['UMAXV', 1, '01010', 'unsigned-maximum'], ['UMINV', 1, '11010', 'unsigned-minimum']] as const)
    .map(([name, U, opcode, operation]) => instruction(name, `0 q ${U} 01110 zz 11000 ${opcode} 10 nnnnn ddddd`, reduce(operation), `${name.toLowerCase()} <Zd>, <Vn.T>`, tooFew)),
  ...([['SADDLV', 0, true], ['UADDLV', 1, false]] as const)
    .map(([name, U, signed]) => instruction(name, `0 q ${U} 01110 zz 11000 00011 10 nnnnn ddddd`, sumLong(signed), `${name.toLowerCase()} <Z2d>, <Vn.T>`, tooFew)),
  instruction('ADDP (scalar)', '01 0 11110 11 11000 11011 10 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const n = b.vector(f.n);
    b.setVectorLow(f.d, b.add(b.low(n), b.high(n)));
  }, 'addp <Dd>, <Vn.2d>'),
];

// ---- estimates: nine bits of a reciprocal -----------------------------------------------------------------------------------------------------

/** Arm ARM: UnsignedRecipEstimate, of a number from 1/2 to 1 with 32 bits below the point. */
function reciprocal<V, B>(b: Builder<V, B>, operand: V): V {
  const one = b.number(1);
  const a = b.or(b.shiftLeft(b.shiftRight(operand, b.number(23)), one), one);
  const estimate = b.shiftRight(b.add(b.divideUnsigned(b.number(2 ** 19), a), one), one);
  return b.select(b.equal(b.shiftRight(operand, b.number(31)), b.number(0)), b.constant(0xffff_ffffn), b.shiftLeft(estimate, b.number(23)));
}

/** Arm ARM: UnsignedRSqrtEstimate, of a number from 1/4 to 1. The greatest root of ten bits whose square times the operand is below 2^28, bit by bit. */
function reciprocalSquareRoot<V, B>(b: Builder<V, B>, operand: V): V {
  const none = b.number(0), one = b.number(1);
  const top = b.shiftRight(operand, b.number(23));
  const low = b.equal(b.and(top, b.number(256)), none);
  const a = b.select(low, b.add(b.shiftLeft(top, one), one), b.shiftLeft(b.add(b.and(top, b.number(-2)), one), one));
  let root = b.number(512);
  for (let bit = 256; bit >= 1; bit /= 2) {
    const next = b.or(root, b.number(bit));
    root = b.select(b.equal(b.shiftRight(b.multiply(a, b.multiply(next, next)), b.number(28)), none), next, root);
  }
  const estimate = b.shiftRight(b.add(root, one), one);
  return b.select(b.equal(b.shiftRight(operand, b.number(30)), none), b.constant(0xffff_ffffn), b.shiftLeft(estimate, b.number(23)));
}

const ESTIMATE_ROWS: readonly Row[] = ([['URECPE', 0, reciprocal], ['URSQRTE', 1, reciprocalSquareRoot]] as const).map(([name, U, estimate]) =>
  instruction(name, `0 q ${U} 01110 10 10000 11100 10 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    const n = b.vector(f.n);
    put(b, f, each(b, 32, f.q ? 4 : 2, (index) => estimate(b, b.lane(32, n, index))), undefined);
  }, `${name.toLowerCase()} <Vd.S>, <Vn.S>`));

export const VECTOR_UNARY: readonly Row[] = [...MISC_ROWS, ...BYTE_ROWS, ...NARROW_ROWS, SHIFT_LONG, ...ACROSS_ROWS, ...ESTIMATE_ROWS];
