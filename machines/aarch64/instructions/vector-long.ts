/** Advanced SIMD whose operands and result differ in width, and the forms that take one element of a vector: long, wide and narrowing arithmetic. */

import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { Lane, VectorBuilder } from '../vector-builder.ts';
import { accumulate, dot, doublingHigh, doublingHighAccumulate, lanes } from './vector-arithmetic.ts';
import {
  combine, doubled, everywhere, extend, laneOf, odds, put, putNarrow, sizesOtherThan,
  type Narrow, type Operation, type Saturating,
} from './vector.ts';

/** Of elements already extended to `lane` bits. */
type Wide = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, m: Q, d: () => Q) => Q;

const add: Wide = (b, lane, n, m) => b.lanes('add', lane, n, m);
const subtract: Wide = (b, lane, n, m) => b.lanes('subtract', lane, n, m);
/** The operands have a bit to spare, so that a signed comparison with zero serves unsigned ones too. */
const difference: Wide = (b, lane, n, m) => b.lanesUnary('absolute', lane, b.lanes('subtract', lane, n, m));
const multiply: Wide = (b, lane, n, m) => b.lanes('multiply', lane, n, m);
const accumulateWide = (operation: Wide, sign: 'add' | 'subtract' = 'add'): Wide => (b, lane, n, m, d) => b.lanes(sign, lane, d(), operation(b, lane, n, m, d));

/** SQDMULL, and with a sign SQDMLAL and SQDMLSL: the doubled product saturates, then the sum. */
const doublingLong = (sign: 'add' | 'subtract' | undefined): Saturating => (b, lane, n, m, d) => {
  const product = b.lanes('multiply', lane, n, m);
  const twice = b.lanes('saturating-add-signed', lane, product, product);
  const lost = b.vectorExclusiveOr(twice, b.lanes('add', lane, product, product));
  if (sign === undefined) return [twice, lost];
  const before = d();
  const value = b.lanes(`saturating-${sign}-signed`, lane, before, twice);
  return [value, b.vectorOr(lost, b.vectorExclusiveOr(value, b.lanes(sign, lane, before, twice)))];
};

/** Extends the halves of n (unless it is `wide` already) and m that bit q chooses, and writes 128 bits, or one element. */
function long<V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, lane: Narrow, scalar: boolean, signed: boolean, wide: boolean, m: Q, operation: Wide | undefined, saturates: Saturating | undefined): void {
  const upper = scalar ? 0 : f.q;
  const n = wide ? b.vector(f.n) : extend(b, upper, lane, b.vector(f.n), signed);
  const d = (): Q => b.vector(f.d);
  const extended = extend(b, upper, lane, m, signed);
  const result = doubled(lane);
  if (saturates === undefined) {
    b.setVector(f.d, operation!(b, result, n, extended, d));
    return;
  }
  const [value, differs] = saturates(b, result, n, extended, d, 128 / result);
  if (scalar) b.setVectorLow(f.d, b.lane(result, value, 0));
  else b.setVector(f.d, value);
  b.saturation(scalar ? b.lane(result, differs, 0) : b.or(b.low(differs), b.high(differs)));
}

// ---- three vectors ------------------------------------------------------------------------------------------------------------------------

const LONG: readonly (readonly [name: string, opcode: string, kind: 'L' | 'W', operation: Wide])[] = [
  ['ADDL', '0000', 'L', add], ['ADDW', '0001', 'W', add], ['SUBL', '0010', 'L', subtract], ['SUBW', '0011', 'W', subtract],
  ['ABAL', '0101', 'L', accumulateWide(difference)], ['ABDL', '0111', 'L', difference],
  ['MLAL', '1000', 'L', accumulateWide(multiply)], ['MLSL', '1010', 'L', accumulateWide(multiply, 'subtract')], ['MULL', '1100', 'L', multiply],
];
const LONG_ROWS: readonly Row[] = LONG.flatMap(([stem, opcode, kind, operation]) => ([['S', 0], ['U', 1]] as const).map(([sign, U]) => {
  const name = sign + stem;
  const operands = kind === 'L' ? '<Vd.W>, <Vn.T>, <Vm.T>' : '<Vd.W>, <Vn.W>, <Vm.T>';
  return instruction(`${name} (vector)`, `0 q ${U} 01110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    long(b, f, laneOf(f.z) as Narrow, false, U === 0, kind === 'W', b.vector(f.m), operation, undefined);
  }, `${name.toLowerCase()}<2> ${operands}`, { unallocated: (f) => f.z === 3 });
}));

const DOUBLING: readonly (readonly [name: string, opcode: string, saturates: Saturating])[] = [
  ['SQDMLAL', '10 01', doublingLong('add')], ['SQDMLSL', '10 11', doublingLong('subtract')], ['SQDMULL', '11 01', doublingLong(undefined)],
];
const DOUBLING_ROWS: readonly Row[] = DOUBLING.flatMap(([name, opcode, saturates]) => [false, true].map((scalar) => {
  const semantics: Semantics = (b, f) => {
    b.checkFloatingPoint();
    long(b, f, laneOf(f.z) as Narrow, scalar, true, false, b.vector(f.m), undefined, saturates);
  };
  return instruction(`${name} (${scalar ? 'scalar' : 'vector'})`, `${scalar ? '01 0 11110' : '0 q 0 01110'} zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, semantics,
    scalar ? `${name.toLowerCase()} <Z2d>, <Zn>, <Zm>` : `${name.toLowerCase()}<2> <Vd.W>, <Vn.T>, <Vm.T>`, { unallocated: sizesOtherThan('hs', true) });
}));

/** ADDHN and its kin: the upper half of each sum or difference. */
const highNarrow = (operation: 'add' | 'subtract', rounded: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const lane = laneOf(f.z);
  const wide = doubled(lane);
  const whole = b.lanes(operation, wide, b.vector(f.n), b.vector(f.m));
  const value = rounded ? b.lanes('add', wide, whole, everywhere(b, wide, 1n << BigInt(lane - 1))) : whole;
  putNarrow(b, f, odds(b, lane, 128 / lane, value, value));
};
const HIGH_NARROW_ROWS: readonly Row[] = ([['ADDHN', 0, '0100', 'add', false], ['SUBHN', 0, '0110', 'subtract', false], ['RADDHN', 1, '0100', 'add', true], ['RSUBHN', 1, '0110', 'subtract', true]] as const)
  .map(([name, U, opcode, operation, rounded]) => instruction(name, `0 q ${U} 01110 zz 1 mmmmm ${opcode} 00 nnnnn ddddd`, highNarrow(operation, rounded), `${name.toLowerCase()}<2> <Vd.T>, <Vn.W>, <Vm.W>`, { unallocated: (f) => f.z === 3 }));

/** Bytes to 16-bit products, or doublewords to one of 128 bits (with FEAT_PMULL). */
const polynomial: Semantics = (b, f) => {
  b.checkFloatingPoint();
  const n = b.vector(f.n), m = b.vector(f.m);
  if (f.z === 0) b.setVector(f.d, b.lanes('polynomial-multiply', 16, extend(b, f.q, 8, n, false), extend(b, f.q, 8, m, false)));
  else b.setVector(f.d, f.q ? b.polynomialMultiplyLong(b.high(n), b.high(m)) : b.polynomialMultiplyLong(b.low(n), b.low(m)));
};
const POLYNOMIAL = instruction('PMULL', '0 q 0 01110 zz 1 mmmmm 1110 00 nnnnn ddddd', polynomial, 'pmull<2> <Vd.W>, <Vn.T>, <Vm.T>', { unallocated: (f) => f.z === 1 || f.z === 2 });

// ---- by element: m is V[m]'s element h:i:r of 16 bits, or h:i of 32 ------------------------------------------------------------------------------

interface Element { readonly size: 'h' | 's'; readonly bits: string; readonly lane: 16 | 32; readonly text: string; readonly index: (f: Fields) => number }
const ELEMENTS: readonly Element[] = [
  { size: 'h', bits: '01 i r mmmm', lane: 16, text: '<Vm.h[hir]>', index: (f) => f.h * 4 + f.i * 2 + f.r },
  { size: 's', bits: '10 i mmmmm', lane: 32, text: '<Vm.s[hi]>', index: (f) => f.h * 2 + f.i },
];
/** The element in every place. */
const chosen = <V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields, { lane, index }: Element): Q => b.splat(lane, b.lane(lane, b.vector(f.m), index(f)));

const SAME: readonly (readonly [name: string, U: 0 | 1, opcode: string, scalar: boolean, operation: Operation | undefined, saturates?: Saturating])[] = [
  ['MUL', 0, '1000', false, lanes('multiply')], ['MLA', 1, '0000', false, accumulate(lanes('multiply'))], ['MLS', 1, '0100', false, accumulate(lanes('multiply'), 'subtract')],
  ['SQDMULH', 0, '1100', true, undefined, doublingHigh(false)], ['SQRDMULH', 0, '1101', true, undefined, doublingHigh(true)],
  ['SQRDMLAH', 1, '1101', true, undefined, doublingHighAccumulate('add')], ['SQRDMLSH', 1, '1111', true, undefined, doublingHighAccumulate('subtract')],
];
const SAME_ELEMENT_ROWS: readonly Row[] = SAME.flatMap(([name, U, opcode, hasScalar, operation, saturates]) => ELEMENTS.flatMap((element) => (hasScalar ? [false, true] : [false]).map((scalar) => {
  const { size, bits, lane, text } = element;
  const upper = size.toUpperCase();
  return instruction(`${name} (${scalar ? 'scalar, ' : ''}by element, ${upper})`, `${scalar ? `01 ${U} 11111` : `0 q ${U} 01111`} ${bits} ${opcode} h 0 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    combine(b, f, lane, scalar, chosen(b, f, element), operation, saturates);
  }, scalar ? `${name.toLowerCase()} <${upper}d>, <${upper}n>, ${text}` : `${name.toLowerCase()} <Vd.${upper}>, <Vn.${upper}>, ${text}`);
})));

const LONG_ELEMENT: readonly (readonly [name: string, U: 0 | 1, opcode: string, scalar: boolean, operation: Wide | undefined, saturates?: Saturating])[] = [
  ...([['S', 0], ['U', 1]] as const).flatMap(([sign, U]) => [
    [`${sign}MLAL`, U, '0010', false, accumulateWide(multiply)], [`${sign}MLSL`, U, '0110', false, accumulateWide(multiply, 'subtract')], [`${sign}MULL`, U, '1010', false, multiply],
  ] as const),
  ['SQDMLAL', 0, '0011', true, undefined, doublingLong('add')], ['SQDMLSL', 0, '0111', true, undefined, doublingLong('subtract')], ['SQDMULL', 0, '1011', true, undefined, doublingLong(undefined)],
];
const LONG_ELEMENT_ROWS: readonly Row[] = LONG_ELEMENT.flatMap(([name, U, opcode, hasScalar, operation, saturates]) => ELEMENTS.flatMap((element) => (hasScalar ? [false, true] : [false]).map((scalar) => {
  const { size, bits, lane, text } = element;
  const upper = size.toUpperCase();
  return instruction(`${name} (${scalar ? 'scalar, ' : ''}by element, ${upper})`, `${scalar ? `01 ${U} 11111` : `0 q ${U} 01111`} ${bits} ${opcode} h 0 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    long(b, f, lane, scalar, U === 0, false, chosen(b, f, element), operation, saturates);
  }, scalar ? `${name.toLowerCase()} <${size === 'h' ? 'S' : 'D'}d>, <${upper}n>, ${text}` : `${name.toLowerCase()}<2> <Vd.${size === 'h' ? '4s' : '2d'}>, <Vn.${upper}>, ${text}`);
})));

const DOT_ELEMENT_ROWS: readonly Row[] = ([['SDOT', 0, '10', '1110', true, true], ['UDOT', 1, '10', '1110', false, false], ['USDOT', 0, '10', '1111', false, true], ['SUDOT', 0, '00', '1111', true, false]] as const)
  .map(([name, U, size, opcode, signedN, signedM]) => instruction(`${name} (by element)`, `0 q ${U} 01111 ${size} i mmmmm ${opcode} h 0 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    put(b, f, dot(b, b.vector(f.d), b.vector(f.n), b.splat(32, b.lane(32, b.vector(f.m), f.h * 2 + f.i)), signedN, signedM), undefined);
  }, `${name.toLowerCase()} <Vd.S>, <Vn.B>, <Vm.4b[hi]>`));

export const VECTOR_LONG: readonly Row[] = [
  ...LONG_ROWS, ...DOUBLING_ROWS, ...HIGH_NARROW_ROWS, POLYNOMIAL, ...SAME_ELEMENT_ROWS, ...LONG_ELEMENT_ROWS, ...DOT_ELEMENT_ROWS,
];
