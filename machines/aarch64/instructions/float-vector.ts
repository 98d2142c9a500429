/** Floating point in vectors and SIMD scalars: arithmetic, comparisons, pairs, reductions, by element, and immediates. Half precision has encodings of its own. */

import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { FloatBinary, FloatComparison, FloatSize, FloatUnary, Rounding, VectorBuilder } from '../vector-builder.ts';
import {
  absolute, getFloat, half, negate, scalarBinary, scalarRows, scalarUnary, setLanes, signBit, sized, truth, vectorBinary, vectorRows, vectorTernary, vectorUnary,
  type Binary, type SizeOf, type Ternary, type Unary,
} from './float-common.ts';
import { expandImmediate } from './float-scalar.ts';

const binary = (operation: FloatBinary): Binary => (b, size, a, c) => b.floatBinary(operation, size, a, c);
const unary = (operation: FloatUnary): Unary => (b, size, a) => b.floatUnary(operation, size, a);
const test = (comparison: FloatComparison): Binary => (b, size, a, c) => truth(b, size, b.floatTest(comparison, size, a, c));
const testAbsolute = (comparison: FloatComparison): Binary => (b, size, a, c) => truth(b, size, b.floatTest(comparison, size, absolute(b, size, a), absolute(b, size, c)));
const difference: Binary = (b, size, a, c) => absolute(b, size, b.floatBinary('subtract', size, a, c));
export const multiplyAdd: Ternary = (b, size, addend, a, c) => b.floatMultiplyAdd(size, addend, a, c);
export const multiplySubtract: Ternary = (b, size, addend, a, c) => b.floatMultiplyAdd(size, addend, negate(b, size, a), c);

const SAME = '<Vd.T>, <Vn.T>, <Vm.T>';
const SCALAR = '<Fd>, <Fn>, <Fm>';

/** Patterns of "three registers of the same type", where half precision has the last three bits of the opcode. */
const same = (U: number, a: number, opcode: string): readonly [string, string] => [
  `0 q ${U} 01110 ${a} z 1 mmmmm ${opcode} 1 nnnnn ddddd`, `0 q ${U} 01110 ${a} 10 mmmmm 00 ${opcode.slice(2)} 1 nnnnn ddddd`];
const sameScalar = (U: number, a: number, opcode: string): readonly [string, string] => [
  `01 ${U} 11110 ${a} z 1 mmmmm ${opcode} 1 nnnnn ddddd`, `01 ${U} 11110 ${a} 10 mmmmm 00 ${opcode.slice(2)} 1 nnnnn ddddd`];

type SameRow = readonly [name: string, U: 0 | 1, a: 0 | 1, opcode: string, operation: Binary, scalar?: 'scalar'];
const THREE_SAME_TABLE: readonly SameRow[] = [
  ['FMAXNM', 0, 0, '11000', binary('maximum-number')], ['FMINNM', 0, 1, '11000', binary('minimum-number')],
  ['FADD', 0, 0, '11010', binary('add')], ['FSUB', 0, 1, '11010', binary('subtract')],
  ['FMULX', 0, 0, '11011', binary('multiply-extended'), 'scalar'], ['FMUL', 1, 0, '11011', binary('multiply')], ['FDIV', 1, 0, '11111', binary('divide')],
  ['FMAX', 0, 0, '11110', binary('maximum')], ['FMIN', 0, 1, '11110', binary('minimum')],
  ['FRECPS', 0, 0, '11111', binary('reciprocal-step'), 'scalar'], ['FRSQRTS', 0, 1, '11111', binary('reciprocal-square-root-step'), 'scalar'],
  ['FABD', 1, 1, '11010', difference, 'scalar'],
  ['FCMEQ', 0, 0, '11100', test('equal'), 'scalar'], ['FCMGE', 1, 0, '11100', test('greater-or-equal'), 'scalar'], ['FCMGT', 1, 1, '11100', test('greater'), 'scalar'],
  ['FACGE', 1, 0, '11101', testAbsolute('greater-or-equal'), 'scalar'], ['FACGT', 1, 1, '11101', testAbsolute('greater'), 'scalar'],
];

const THREE_SAME: readonly Row[] = THREE_SAME_TABLE.flatMap(([name, U, a, opcode, operation, scalar]) => [
  ...vectorRows(name, ...same(U, a, opcode), SAME, (sizeOf) => vectorBinary(operation, sizeOf)),
  ...(scalar ? scalarRows(name, ...sameScalar(U, a, opcode), SCALAR, (sizeOf) => scalarBinary(operation, sizeOf)) : []),
]);

const MULTIPLY_ADD: readonly Row[] = [
  ...vectorRows('FMLA', ...same(0, 0, '11001'), SAME, (sizeOf) => vectorTernary(multiplyAdd, sizeOf)),
  ...vectorRows('FMLS', ...same(0, 1, '11001'), SAME, (sizeOf) => vectorTernary(multiplySubtract, sizeOf)),
];

/** Pairs of the two sources put together, the first source low. */
const pairs = (operation: FloatBinary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const sources = [b.vector(f.n), b.vector(f.m)] as const;
  const count = (f.q ? 128 : 64) / size;
  setLanes(b, f.d, size, f.q, (index) => {
    const first = 2 * index;
    const source = first < count ? sources[0] : sources[1];
    return b.floatBinary(operation, size, b.lane(size, source, first % count), b.lane(size, source, (first + 1) % count));
  });
};

const pairOf = (operation: FloatBinary, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const source = b.vector(f.n);
  b.setVectorLow(f.d, b.floatBinary(operation, size, b.lane(size, source, 0), b.lane(size, source, 1)));
};

const PAIRWISE: readonly Row[] = ([
  ['FMAXNMP', 0, '11000', '01100', 'maximum-number'], ['FMINNMP', 1, '11000', '01100', 'minimum-number'], ['FADDP', 0, '11010', '01101', 'add'],
  ['FMAXP', 0, '11110', '01111', 'maximum'], ['FMINP', 1, '11110', '01111', 'minimum'],
] as const).flatMap(([name, a, opcode, scalarOpcode, operation]) => [
  ...vectorRows(name, ...same(1, a, opcode), SAME, (sizeOf) => pairs(operation, sizeOf)),
  instruction(`${name} (scalar)`, `01 1 11110 ${a} z 11000 ${scalarOpcode} 10 nnnnn ddddd`, pairOf(operation, sized), `${name.toLowerCase()} <Fd>, <Vn.pair>`),
  instruction(`${name} (scalar, half)`, `01 0 11110 ${a} 0 11000 ${scalarOpcode} 10 nnnnn ddddd`, pairOf(operation, half), `${name.toLowerCase()} <Hd>, <Vn.2h>`),
]);

/** Reduce: halves against halves, the low half first. */
function reduce<V, B, Q>(b: VectorBuilder<V, B, Q>, operation: FloatBinary, size: FloatSize, source: Q, from: number, count: number): V {
  if (count === 1) return b.lane(size, source, from);
  const low = reduce(b, operation, size, source, from, count / 2);
  const high = reduce(b, operation, size, source, from + count / 2, count / 2);
  return b.floatBinary(operation, size, low, high);
}

const ACROSS: readonly Row[] = ([
  ['FMAXNMV', 0, '01100', 'maximum-number'], ['FMINNMV', 1, '01100', 'minimum-number'], ['FMAXV', 0, '01111', 'maximum'], ['FMINV', 1, '01111', 'minimum'],
] as const).flatMap(([name, a, opcode, operation]) => [
  instruction(name, `0 1 1 01110 ${a} 0 11000 ${opcode} 10 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    b.setVectorLow(f.d, reduce(b, operation, 32, b.vector(f.n), 0, 4));
  }, `${name.toLowerCase()} <Sd>, <Vn.4s>`),
  instruction(`${name} (half)`, `0 q 0 01110 ${a} 0 11000 ${opcode} 10 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    b.setVectorLow(f.d, reduce(b, operation, 16, b.vector(f.n), 0, f.q ? 8 : 4));
  }, `${name.toLowerCase()} <Hd>, <Vn.h>`),
]);

const withZero = (comparison: FloatComparison, zeroFirst: boolean): Unary => (b, size, a) =>
  truth(b, size, zeroFirst ? b.floatTest(comparison, size, b.number(0), a) : b.floatTest(comparison, size, a, b.number(0)));
const rounded = (rounding: Rounding, exact: boolean, integerBits?: 32 | 64): Unary => (b, size, a) => b.floatRound(size, a, rounding, exact, integerBits);

/** Patterns of "two registers, miscellaneous". */
export const miscellaneous = (U: number, a: number, opcode: string): readonly [string, string] => [
  `0 q ${U} 01110 ${a} z 10000 ${opcode} 10 nnnnn ddddd`, `0 q ${U} 01110 ${a} 111100 ${opcode} 10 nnnnn ddddd`];
export const miscellaneousScalar = (U: number, a: number, opcode: string): readonly [string, string] => [
  `01 ${U} 11110 ${a} z 10000 ${opcode} 10 nnnnn ddddd`, `01 ${U} 11110 ${a} 111100 ${opcode} 10 nnnnn ddddd`];

type UnaryRow = readonly [name: string, U: 0 | 1, a: 0 | 1, opcode: string, operation: Unary, kind?: 'scalar' | 'no half'];
const ONE_SOURCE_TABLE: readonly UnaryRow[] = [
  ['FRINTN', 0, 0, '11000', rounded('even', false)], ['FRINTM', 0, 0, '11001', rounded('minus', false)], ['FRINTP', 0, 1, '11000', rounded('plus', false)],
  ['FRINTZ', 0, 1, '11001', rounded('zero', false)], ['FRINTA', 1, 0, '11000', rounded('away', false)], ['FRINTX', 1, 0, '11001', rounded('current', true)],
  ['FRINTI', 1, 1, '11001', rounded('current', false)],
  ['FRINT32Z', 0, 0, '11110', rounded('zero', true, 32), 'no half'], ['FRINT64Z', 0, 0, '11111', rounded('zero', true, 64), 'no half'],
  ['FRINT32X', 1, 0, '11110', rounded('current', true, 32), 'no half'], ['FRINT64X', 1, 0, '11111', rounded('current', true, 64), 'no half'],
  ['FSQRT', 1, 1, '11111', unary('square-root')],
  ['FRECPE', 0, 1, '11101', unary('reciprocal-estimate'), 'scalar'], ['FRSQRTE', 1, 1, '11101', unary('reciprocal-square-root-estimate'), 'scalar'],
];
const COMPARE_ZERO_TABLE: readonly UnaryRow[] = [
  ['FCMGT', 0, 1, '01100', withZero('greater', false)], ['FCMEQ', 0, 1, '01101', withZero('equal', false)], ['FCMLT', 0, 1, '01110', withZero('greater', true)],
  ['FCMGE', 1, 1, '01100', withZero('greater-or-equal', false)], ['FCMLE', 1, 1, '01101', withZero('greater-or-equal', true)],
];

const ONE_SOURCE: readonly Row[] = ONE_SOURCE_TABLE.flatMap(([name, U, a, opcode, operation, kind]) => {
  const [single, halves] = miscellaneous(U, a, opcode);
  return [
    ...vectorRows(name, single, kind === 'no half' ? '' : halves, '<Vd.T>, <Vn.T>', (sizeOf) => vectorUnary(operation, sizeOf)),
    ...(kind === 'scalar' ? scalarRows(name, ...miscellaneousScalar(U, a, opcode), '<Fd>, <Fn>', (sizeOf) => scalarUnary(operation, sizeOf)) : []),
  ];
});

const COMPARE_ZERO: readonly Row[] = COMPARE_ZERO_TABLE.flatMap(([name, U, a, opcode, operation]) => [
  ...vectorRows(name, ...miscellaneous(U, a, opcode), '<Vd.T>, <Vn.T>, #0.0', (sizeOf) => vectorUnary(operation, sizeOf)),
  ...scalarRows(name, ...miscellaneousScalar(U, a, opcode), '<Fd>, <Fn>, #0.0', (sizeOf) => scalarUnary(operation, sizeOf)),
].map((row) => ({ ...row, name: row.name.replace('(', '(zero, ') })));

const RECIPROCAL_EXPONENT = scalarRows('FRECPX', ...miscellaneousScalar(0, 1, '11111'), '<Fd>, <Fn>', (sizeOf) => scalarUnary(unary('reciprocal-exponent'), sizeOf));

/** Signs are bits: no number is looked at. */
const signs = (negated: boolean, sizeOf: SizeOf): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const bits = signBit(size);
  const source = b.vector(f.n);
  const result = negated ? b.vectorExclusiveOr(source, b.splat(size, b.constant(bits))) : b.vectorAnd(source, b.splat(size, b.constant(bits - 1n)));
  if (f.q) b.setVector(f.d, result);
  else b.setVectorLow(f.d, b.low(result));
};

const SIGNS: readonly Row[] = [
  ...vectorRows('FABS', ...miscellaneous(0, 1, '01111'), '<Vd.T>, <Vn.T>', (sizeOf) => signs(false, sizeOf)),
  ...vectorRows('FNEG', ...miscellaneous(1, 1, '01111'), '<Vd.T>, <Vn.T>', (sizeOf) => signs(true, sizeOf)),
];

/** The element of V[m] that a row "by element" names: H:L:M of half precision, H:L of single, H of double. */
const indexOf = (f: Fields, size: FloatSize): number => (size === 16 ? 4 * f.h + 2 * f.L + f.y : size === 32 ? 2 * f.h + f.L : f.h);

const byElement = (operation: Ternary, size: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const addend = b.vector(f.d), left = b.vector(f.n);
  const right = b.lane(size, b.vector(f.m), indexOf(f, size));
  setLanes(b, f.d, size, f.q, (index) => operation(b, size, b.lane(size, addend, index), b.lane(size, left, index), right));
};

const byElementScalar = (operation: Ternary, size: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVectorLow(f.d, operation(b, size, getFloat(b, size, f.d), getFloat(b, size, f.n), b.lane(size, b.vector(f.m), indexOf(f, size))));
};

/** Without the addend. */
const ignoring = (operation: Binary): Ternary => (b, size, _addend, a, c) => operation(b, size, a, c);

const BY_ELEMENT: readonly Row[] = ([
  ['FMLA', 0, '0001', multiplyAdd], ['FMLS', 0, '0101', multiplySubtract], ['FMUL', 0, '1001', ignoring(binary('multiply'))], ['FMULX', 1, '1001', ignoring(binary('multiply-extended'))],
] as const satisfies readonly (readonly [string, 0 | 1, string, Ternary])[]).flatMap(([name, U, opcode, operation]: readonly [string, 0 | 1, string, Ternary]) => {
  const text = name.toLowerCase();
  return [
    instruction(`${name} (by element, half)`, `0 q ${U} 01111 00 L y mmmm ${opcode} h 0 nnnnn ddddd`, byElement(operation, 16), `${text} <Vd.h>, <Vn.h>, <Vm.h[hLy]>`),
    instruction(`${name} (by element)`, `0 q ${U} 01111 10 L mmmmm ${opcode} h 0 nnnnn ddddd`, byElement(operation, 32), `${text} <Vd.s>, <Vn.s>, <Vm.s[hL]>`),
    instruction(`${name} (by element, double)`, `0 q ${U} 01111 11 0 mmmmm ${opcode} h 0 nnnnn ddddd`, byElement(operation, 64), `${text} <Vd.d>, <Vn.d>, <Vm.d[h]>`, { unallocated: (f) => f.q === 0 }),
    instruction(`${name} (scalar by element, half)`, `01 ${U} 11111 00 L y mmmm ${opcode} h 0 nnnnn ddddd`, byElementScalar(operation, 16), `${text} <Hd>, <Hn>, <Vm.h[hLy]>`),
    instruction(`${name} (scalar by element)`, `01 ${U} 11111 10 L mmmmm ${opcode} h 0 nnnnn ddddd`, byElementScalar(operation, 32), `${text} <Sd>, <Sn>, <Vm.s[hL]>`),
    instruction(`${name} (scalar by element, double)`, `01 ${U} 11111 11 0 mmmmm ${opcode} h 0 nnnnn ddddd`, byElementScalar(operation, 64), `${text} <Dd>, <Dn>, <Vm.d[h]>`),
  ];
});

const immediate = (size: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const value = b.splat(size, b.constant(expandImmediate(size, f.i * 32 + f.j)));
  if (f.q || size === 64) b.setVector(f.d, value);
  else b.setVectorLow(f.d, b.low(value));
};

const IMMEDIATE: readonly Row[] = [
  instruction('FMOV (vector, immediate)', '0 q 0 0111100000 iii 1111 01 jjjjj ddddd', immediate(32), 'fmov <Vd.s>, #<float ij>'),
  instruction('FMOV (vector, immediate, half)', '0 q 0 0111100000 iii 1111 11 jjjjj ddddd', immediate(16), 'fmov <Vd.h>, #<float ij>'),
  instruction('FMOV (vector, immediate, double)', '0 1 1 0111100000 iii 1111 01 jjjjj ddddd', immediate(64), 'fmov <Vd.2d>, #<float ij>'),
];

export const FLOAT_VECTOR: readonly Row[] = [
  ...THREE_SAME, ...MULTIPLY_ADD, ...PAIRWISE, ...ACROSS, ...ONE_SOURCE, ...COMPARE_ZERO, ...RECIPROCAL_EXPONENT, ...SIGNS, ...BY_ELEMENT, ...IMMEDIATE,
];
