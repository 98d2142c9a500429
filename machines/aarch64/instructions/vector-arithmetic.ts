/** Advanced SIMD on three vectors of one shape, and the scalar forms: integer arithmetic, comparison, logic, shifts by a register, dot products. */

import type { Builder } from '../builder.ts';
import { alias, instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { Lane, LaneOperation, VectorBuilder } from '../vector-builder.ts';
import {
  clamp, combine, doubled, each, evens, everywhere, extend, laneOf, odds, put, signBit, sizesOtherThan, zero,
  type Narrow, type Operation, type Saturating,
} from './vector.ts';

export const lanes = (operation: LaneOperation): Operation => (b, lane, n, m) => b.lanes(operation, lane, n, m);
const compare = (operation: LaneOperation, swapped: boolean, inverted: boolean): Operation => (b, lane, n, m) => {
  const result = swapped ? b.lanes(operation, lane, m, n) : b.lanes(operation, lane, n, m);
  return inverted ? b.vectorNot(result) : result;
};
const test: Operation = (b, lane, n, m) => b.vectorNot(b.lanes('equal', lane, b.vectorAnd(n, m), zero(b)));

/** Without a wider element: what two numbers share, and half of what they do not. */
const halvingAdd = (signed: boolean): Operation => (b, lane, n, m) =>
  b.lanes('add', lane, b.vectorAnd(n, m), b.shiftLanes(signed ? 'right-signed' : 'right', lane, b.vectorExclusiveOr(n, m), 1));
const halvingSubtract = (signed: boolean): Operation => (b, lane, n, m) =>
  b.lanes('subtract', lane, b.shiftLanes(signed ? 'right-signed' : 'right', lane, b.vectorExclusiveOr(n, m), 1), b.vectorAnd(b.vectorNot(n), m));
const roundingHalvingAddSigned: Operation = (b, lane, n, m) =>
  b.lanes('subtract', lane, b.vectorOr(n, m), b.shiftLanes('right-signed', lane, b.vectorExclusiveOr(n, m), 1));

const difference = (signed: boolean): Operation => (b, lane, n, m) => b.lanes('subtract', lane,
  b.lanes(signed ? 'signed-maximum' : 'unsigned-maximum', lane, n, m), b.lanes(signed ? 'signed-minimum' : 'unsigned-minimum', lane, n, m));
/** d plus or minus what `operation` gives. */
export const accumulate = (operation: Operation, sign: 'add' | 'subtract' = 'add'): Operation => (b, lane, n, m, d, count) => b.lanes(sign, lane, d(), operation(b, lane, n, m, d, count));
const pairwise = (operation: LaneOperation): Operation => (b, lane, n, m, _d, count) => b.lanes(operation, lane, evens(b, lane, count, n, m), odds(b, lane, count, n, m));

const saturating = (operation: 'add' | 'subtract', signed: boolean): Saturating => (b, lane, n, m) => {
  const value = b.lanes(`saturating-${operation}-${signed ? 'signed' : 'unsigned'}`, lane, n, m);
  return [value, b.vectorExclusiveOr(value, b.lanes(operation, lane, n, m))];
};

/** SQDMULH, SQRDMULH: only the square of the least number does not fit, and what is cut of it is the sign bit alone. */
export const doublingHigh = (rounded: boolean): Saturating => <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, m: Q) => {
  const narrow = lane as Narrow;
  const wide = doubled(lane);
  const part = (half: number): Q => {
    const product = b.lanes('multiply', wide, extend(b, half, narrow, n, true), extend(b, half, narrow, m, true));
    return b.shiftLanes('right-signed', wide, rounded ? b.lanes('add', wide, product, everywhere(b, wide, 1n << BigInt(lane - 2))) : product, lane - 1);
  };
  const value = evens(b, lane, 128 / lane, part(0), part(1));
  const over = b.lanes('equal', lane, value, everywhere(b, lane, signBit(lane)));
  return [b.vectorExclusiveOr(value, over), over] as const;
};

/** SQRDMLAH, SQRDMLSH: d and the product have one guard bit in the wide element, so that nothing is lost before the only saturation. */
export const doublingHighAccumulate = (sign: 'add' | 'subtract'): Saturating => <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, m: Q, d: () => Q) => {
  const narrow = lane as Narrow;
  const wide = doubled(lane);
  const before = d();
  const part = (half: number): readonly [Q, Q] => {
    const product = b.lanes('multiply', wide, extend(b, half, narrow, n, true), extend(b, half, narrow, m, true));
    const start = b.lanes('add', wide, b.shiftLanes('left', wide, extend(b, half, narrow, before, true), lane - 1), everywhere(b, wide, 1n << BigInt(lane - 2)));
    return clamp(b, narrow, b.shiftLanes('right-signed', wide, b.lanes(sign, wide, start, product), lane - 1), 'signed');
  };
  const [lower, upper] = [part(0), part(1)];
  return [evens(b, lane, 128 / lane, lower[0], upper[0]), evens(b, lane, 128 / lane, lower[1], upper[1])] as const;
};

// ---- shifts by a register: the low byte of each element of m, signed; negative is to the right ----------------------------------------------

interface RegisterShift { readonly signed: boolean; readonly rounded: boolean }

/**
 * One element, at the top of the word `top`. `amount` is zero-extended from a byte: 0 to 127 to the left, 1 to 128 to the right. From 64 on
 * nothing is left of the element but its sign.
 */
function shiftElement<V, B>(b: Builder<V, B>, { signed, rounded }: RegisterShift, top: V, align: V, amount: V): V {
  const none = b.number(0);
  const down = (value: V, distance: V): V => (signed ? b.shiftRightSigned(value, distance) : b.shiftRight(value, distance));
  const value = down(top, align);
  const beyond = signed ? b.shiftRightSigned(top, b.number(63)) : none;
  const far = (distance: V): B => b.invert(b.equal(b.and(distance, b.number(192)), none));
  const distance = b.zeroExtend(b.subtract(none, amount), 8);
  const left = b.select(far(amount), none, b.shiftLeft(value, amount));
  let right = b.select(far(distance), beyond, down(value, distance));
  if (rounded) {
    const before = b.subtract(distance, b.number(1));
    right = b.add(right, b.and(b.select(far(before), beyond, down(value, before)), b.number(1)));
  }
  return b.select(b.equal(b.and(amount, b.number(128)), none), left, right);
}

/** What a left shift pushes out of the top of the word and cannot be had back, 0 when nothing; and the word that stands for it. */
function shiftedOut<V, B>(b: Builder<V, B>, signed: boolean, top: V, amount: V): readonly [over: V, limit: V] {
  const none = b.number(0);
  const shifted = b.shiftLeft(top, amount);
  const back = b.select(b.equal(b.and(amount, b.number(64)), none), signed ? b.shiftRightSigned(shifted, amount) : b.shiftRight(shifted, amount), none);
  const over = b.select(b.equal(b.and(amount, b.number(128)), none), b.exclusiveOr(back, top), none);
  return [over, signed ? b.exclusiveOr(b.shiftRightSigned(top, b.number(63)), b.constant((1n << 63n) - 1n)) : b.number(-1)];
}

const shift = (kind: RegisterShift): Operation => (b, lane, n, m, _d, count) => each(b, lane, count, (index) => {
  const align = b.number(64 - lane);
  return shiftElement(b, kind, b.shiftLeft(b.lane(lane, n, index), align), align, b.zeroExtend(b.lane(lane, m, index), 8));
});

const shiftSaturating = (kind: RegisterShift): Saturating => (b, lane, n, m, _d, count) => {
  const none = b.number(0);
  const align = b.number(64 - lane);
  const elements = Array.from({ length: count }, (_, index) => {
    const top = b.shiftLeft(b.lane(lane, n, index), align);
    const amount = b.zeroExtend(b.lane(lane, m, index), 8);
    const [over, limit] = shiftedOut(b, kind.signed, top, amount);
    const fits = b.equal(over, none);
    // Which bits were lost does not matter, and they need not lie in the element.
    return [b.select(fits, shiftElement(b, kind, top, align, amount), b.shiftRight(limit, align)), b.select(fits, none, b.number(1))] as const;
  });
  return [each(b, lane, count, (index) => elements[index]![0]), each(b, lane, count, (index) => elements[index]![1])];
};

// ---- rows ----------------------------------------------------------------------------------------------------------------------------------

/** Opcode, U, sizes of the vector form, sizes of the scalar form. */
type Same = readonly [name: string, opcode: string, U: 0 | 1, sizes: string, scalar: '' | 'd' | 'hs' | 'bhsd', operation: Operation | undefined, saturating?: Saturating];

const registerShift = (name: string, opcode: string, U: 0 | 1, rounded: boolean, saturates: boolean): Same => {
  const kind = { signed: U === 0, rounded };
  return saturates ? [name, opcode, U, 'bhsd', 'bhsd', undefined, shiftSaturating(kind)] : [name, opcode, U, 'bhsd', 'd', shift(kind)];
};

const SAME: readonly Same[] = [
  ['SHADD', '00000', 0, 'bhs', '', halvingAdd(true)], ['UHADD', '00000', 1, 'bhs', '', halvingAdd(false)],
  ['SQADD', '00001', 0, 'bhsd', 'bhsd', undefined, saturating('add', true)], ['UQADD', '00001', 1, 'bhsd', 'bhsd', undefined, saturating('add', false)],
  ['SRHADD', '00010', 0, 'bhs', '', roundingHalvingAddSigned], ['URHADD', '00010', 1, 'bhs', '', lanes('rounding-average-unsigned')],
  ['SHSUB', '00100', 0, 'bhs', '', halvingSubtract(true)], ['UHSUB', '00100', 1, 'bhs', '', halvingSubtract(false)],
  ['SQSUB', '00101', 0, 'bhsd', 'bhsd', undefined, saturating('subtract', true)], ['UQSUB', '00101', 1, 'bhsd', 'bhsd', undefined, saturating('subtract', false)],
  ['CMGT', '00110', 0, 'bhsd', 'd', compare('greater-signed', false, false)], ['CMHI', '00110', 1, 'bhsd', 'd', compare('greater-unsigned', false, false)],
  ['CMGE', '00111', 0, 'bhsd', 'd', compare('greater-signed', true, true)], ['CMHS', '00111', 1, 'bhsd', 'd', compare('greater-unsigned', true, true)],
  registerShift('SSHL', '01000', 0, false, false), registerShift('USHL', '01000', 1, false, false),
  registerShift('SQSHL', '01001', 0, false, true), registerShift('UQSHL', '01001', 1, false, true),
  registerShift('SRSHL', '01010', 0, true, false), registerShift('URSHL', '01010', 1, true, false),
  registerShift('SQRSHL', '01011', 0, true, true), registerShift('UQRSHL', '01011', 1, true, true),
  ['SMAX', '01100', 0, 'bhs', '', lanes('signed-maximum')], ['UMAX', '01100', 1, 'bhs', '', lanes('unsigned-maximum')],
  ['SMIN', '01101', 0, 'bhs', '', lanes('signed-minimum')], ['UMIN', '01101', 1, 'bhs', '', lanes('unsigned-minimum')],
  ['SABD', '01110', 0, 'bhs', '', difference(true)], ['UABD', '01110', 1, 'bhs', '', difference(false)],
  ['SABA', '01111', 0, 'bhs', '', accumulate(difference(true))], ['UABA', '01111', 1, 'bhs', '', accumulate(difference(false))],
  ['ADD', '10000', 0, 'bhsd', 'd', lanes('add')], ['SUB', '10000', 1, 'bhsd', 'd', lanes('subtract')],
  ['CMTST', '10001', 0, 'bhsd', 'd', test], ['CMEQ', '10001', 1, 'bhsd', 'd', lanes('equal')],
  ['MLA', '10010', 0, 'bhs', '', accumulate(lanes('multiply'))], ['MLS', '10010', 1, 'bhs', '', accumulate(lanes('multiply'), 'subtract')],
  ['MUL', '10011', 0, 'bhs', '', lanes('multiply')], ['PMUL', '10011', 1, 'b', '', lanes('polynomial-multiply')],
  ['SMAXP', '10100', 0, 'bhs', '', pairwise('signed-maximum')], ['UMAXP', '10100', 1, 'bhs', '', pairwise('unsigned-maximum')],
  ['SMINP', '10101', 0, 'bhs', '', pairwise('signed-minimum')], ['UMINP', '10101', 1, 'bhs', '', pairwise('unsigned-minimum')],
  ['SQDMULH', '10110', 0, 'hs', 'hs', undefined, doublingHigh(false)], ['SQRDMULH', '10110', 1, 'hs', 'hs', undefined, doublingHigh(true)],
  ['ADDP', '10111', 0, 'bhsd', '', pairwise('add')],
];

function same(operation: Operation | undefined, saturates: Saturating | undefined, scalar: boolean): Semantics {
  return (b, f) => {
    b.checkFloatingPoint();
    const lane = laneOf(f.z);
    combine(b, f, lane, scalar, b.vector(f.m), operation, saturates);
  };
}

const SAME_ROWS: readonly Row[] = SAME.flatMap(([name, opcode, U, sizes, scalar, operation, saturates]) => {
  const text = name.toLowerCase();
  const vector = instruction(`${name} (vector)`, `0 q ${U} 01110 zz 1 mmmmm ${opcode} 1 nnnnn ddddd`, same(operation, saturates, false), `${text} <Vd.T>, <Vn.T>, <Vm.T>`, { unallocated: sizesOtherThan(sizes) });
  if (scalar === '') return [vector];
  const pattern = `01 ${U} 11110 zz 1 mmmmm ${opcode} 1 nnnnn ddddd`;
  return [vector, instruction(`${name} (scalar)`, pattern, same(operation, saturates, true), `${text} <Zd>, <Zn>, <Zm>`, { unallocated: sizesOtherThan(scalar, true) })];
});

/** FEAT_RDM, in the space of three same-shaped vectors with bit 21 clear. */
const ROUNDING_DOUBLING: readonly (readonly [name: string, opcode: string, saturating: Saturating])[] = [
  ['SQRDMLAH', '10000', doublingHighAccumulate('add')], ['SQRDMLSH', '10001', doublingHighAccumulate('subtract')],
];
const ROUNDING_DOUBLING_ROWS: readonly Row[] = ROUNDING_DOUBLING.flatMap(([name, opcode, saturates]) => [
  instruction(`${name} (vector)`, `0 q 1 01110 zz 0 mmmmm ${opcode} 1 nnnnn ddddd`, same(undefined, saturates, false), `${name.toLowerCase()} <Vd.T>, <Vn.T>, <Vm.T>`, { unallocated: sizesOtherThan('hs') }),
  instruction(`${name} (scalar)`, `01 1 11110 zz 0 mmmmm ${opcode} 1 nnnnn ddddd`, same(undefined, saturates, true), `${name.toLowerCase()} <Zd>, <Zn>, <Zm>`, { unallocated: sizesOtherThan('hs', true) }),
]);

/** Of n, m and d, whatever the element. */
type Logic = <V, B, Q>(b: VectorBuilder<V, B, Q>, n: Q, m: Q, d: () => Q) => Q;
const LOGIC: readonly (readonly [name: string, bits: string, operation: Logic])[] = [
  ['AND', '0 01110 00', (b, n, m) => b.vectorAnd(n, m)], ['BIC', '0 01110 01', (b, n, m) => b.vectorAnd(n, b.vectorNot(m))],
  ['ORR', '0 01110 10', (b, n, m) => b.vectorOr(n, m)], ['ORN', '0 01110 11', (b, n, m) => b.vectorOr(n, b.vectorNot(m))],
  ['EOR', '1 01110 00', (b, n, m) => b.vectorExclusiveOr(n, m)], ['BSL', '1 01110 01', (b, n, m, d) => b.bitSelect(d(), n, m)],
  ['BIT', '1 01110 10', (b, n, m, d) => b.bitSelect(m, n, d())], ['BIF', '1 01110 11', (b, n, m, d) => b.bitSelect(m, d(), n)],
];
const LOGIC_ROWS: readonly Row[] = LOGIC.map(([name, bits, operation]) => instruction(`${name} (vector, register)`, `0 q ${bits} 1 mmmmm 00011 1 nnnnn ddddd`, (b, f) => {
  b.checkFloatingPoint();
  put(b, f, operation(b, b.vector(f.n), b.vector(f.m), () => b.vector(f.d)), undefined);
}, [
  ...(name === 'ORR' ? [alias('mov <Vd.B>, <Vn=m.B>', {}, (f) => f.n === f.m)] : []),
  `${name.toLowerCase()} <Vd.B>, <Vn.B>, <Vm.B>`,
]));

// ---- dot products and matrices of bytes (FEAT_DotProd, FEAT_I8MM) -----------------------------------------------------------------------------

/** Products of bytes, 16 bits each, of the lower or upper half; added in pairs to words. Signs differ for USDOT: the product fits as a signed number. */
function products<V, B, Q>(b: VectorBuilder<V, B, Q>, n: Q, m: Q, halfN: number, halfM: number, signedN: boolean, signedM: boolean): Q {
  const product = b.lanes('multiply', 16, extend(b, halfN, 8, n, signedN), extend(b, halfM, 8, m, signedM));
  return addPairsLong(b, 16, product, signedN || signedM);
}

/** Neighbouring elements of `lane` bits added to one of twice the width. */
export function addPairsLong<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Narrow, value: Q, signed: boolean): Q {
  const wide = doubled(lane);
  const shift = signed ? 'right-signed' : 'right';
  return b.lanes('add', wide, b.shiftLanes(shift, wide, b.shiftLanes('left', wide, value, lane), lane), b.shiftLanes(shift, wide, value, lane));
}

const addPairs = <V, B, Q>(b: VectorBuilder<V, B, Q>, n: Q, m: Q): Q => b.lanes('add', 32, evens(b, 32, 4, n, m), odds(b, 32, 4, n, m));

/** d plus, in each word, the sum of four products of bytes. */
export function dot<V, B, Q>(b: VectorBuilder<V, B, Q>, d: Q, n: Q, m: Q, signedN: boolean, signedM: boolean): Q {
  return b.lanes('add', 32, d, addPairs(b, products(b, n, m, 0, 0, signedN, signedM), products(b, n, m, 1, 1, signedN, signedM)));
}

const dotVector = (signedN: boolean, signedM: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  put(b, f, dot(b, b.vector(f.d), b.vector(f.n), b.vector(f.m), signedN, signedM), undefined);
};

/** Two rows of eight bytes times two columns of eight: word 2i + j is the product of row i of n and row j of m. */
const matrix = (signedN: boolean, signedM: boolean): Semantics => <V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields) => {
  b.checkFloatingPoint();
  const n = b.vector(f.n), m = b.vector(f.m);
  const row = (half: number): Q => addPairs(b, products(b, n, m, half, 0, signedN, signedM), products(b, n, m, half, 1, signedN, signedM));
  b.setVector(f.d, b.lanes('add', 32, b.vector(f.d), addPairs(b, row(0), row(1))));
};

const BYTE_ROWS: readonly Row[] = [
  ...([['SDOT', 0, '00101', true, true], ['UDOT', 1, '00101', false, false], ['USDOT', 0, '00111', false, true]] as const).map(([name, U, opcode, signedN, signedM]) =>
    instruction(`${name} (vector)`, `0 q ${U} 01110 10 0 mmmmm 1 ${opcode} nnnnn ddddd`, dotVector(signedN, signedM), `${name.toLowerCase()} <Vd.S>, <Vn.B>, <Vm.B>`)),
  ...([['SMMLA', 0, '01001', true, true], ['UMMLA', 1, '01001', false, false], ['USMMLA', 0, '01011', false, true]] as const).map(([name, U, opcode, signedN, signedM]) =>
    instruction(name, `01 ${U} 01110 10 0 mmmmm 1 ${opcode} nnnnn ddddd`, matrix(signedN, signedM), `${name.toLowerCase()} <Vd.4s>, <Vn.16b>, <Vm.16b>`)),
];

export const VECTOR_ARITHMETIC: readonly Row[] = [...SAME_ROWS, ...ROUNDING_DOUBLING_ROWS, ...LOGIC_ROWS, ...BYTE_ROWS];
