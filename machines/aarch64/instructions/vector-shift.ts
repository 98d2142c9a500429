/** Advanced SIMD shifts by an immediate: right, left, inserting, saturating, narrowing and long, vector and scalar. One row for each element size, since immh tells it. */

import { alias, instruction, type Fields, type Row, type RowOptions, type Semantics } from '../row.ts';
import type { Lane, VectorBuilder } from '../vector-builder.ts';
import { allOnes, clamp, doubled, evens, everywhere, extend, put, putNarrow, saturate, shiftRightRounded, zero, type Narrow, type Range } from './vector.ts';

interface Size { readonly name: 'B' | 'H' | 'S' | 'D'; readonly bits: string; readonly lane: Lane }
/** immh's leading one says the size; what follows, with immb, the amount: i to the left, `lane` - i to the right. */
const SIZES: readonly Size[] = [
  { name: 'B', bits: '0001 iii', lane: 8 }, { name: 'H', bits: '001 iiii', lane: 16 }, { name: 'S', bits: '01 iiiii', lane: 32 }, { name: 'D', bits: '1 iiiiii', lane: 64 },
];
const WIDER: Readonly<Record<Size['name'], string>> = { B: 'H', H: 'S', S: 'D', D: '' };
const WHOLE: Readonly<Record<Size['name'], string>> = { B: '8h', H: '4s', S: '2d', D: '' };

type Shift = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, amount: number, d: () => Q) => Q;
type SaturatingShift = <V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, amount: number) => readonly [value: Q, differs: Q];

const right = (signed: boolean, rounded: boolean): Shift => (b, lane, n, amount) =>
  (rounded ? shiftRightRounded(b, lane, n, amount, signed) : b.shiftLanes(signed ? 'right-signed' : 'right', lane, n, amount));
const accumulate = (shift: Shift): Shift => (b, lane, n, amount, d) => b.lanes('add', lane, d(), shift(b, lane, n, amount, d));
const left: Shift = (b, lane, n, amount) => b.shiftLanes('left', lane, n, amount);
/** What the shift leaves empty keeps d's bits. */
const insertLeft: Shift = (b, lane, n, amount, d) =>
  b.bitSelect(everywhere(b, lane, allOnes(lane) << BigInt(amount)), b.shiftLanes('left', lane, n, amount), d());
const insertRight: Shift = (b, lane, n, amount, d) =>
  b.bitSelect(everywhere(b, lane, allOnes(lane) >> BigInt(amount)), b.shiftLanes('right', lane, n, amount), d());

/** Whatever a shift back does not restore was lost. */
function leftLosing<V, B, Q>(b: VectorBuilder<V, B, Q>, lane: Lane, n: Q, amount: number, signed: boolean): readonly [plain: Q, lost: Q] {
  const plain = b.shiftLanes('left', lane, n, amount);
  return [plain, b.vectorNot(b.lanes('equal', lane, b.shiftLanes(signed ? 'right-signed' : 'right', lane, plain, amount), n))];
}
const saturatingSigned: SaturatingShift = (b, lane, n, amount) => {
  const [plain, lost] = leftLosing(b, lane, n, amount, true);
  const limit = b.vectorExclusiveOr(b.shiftLanes('right-signed', lane, n, lane - 1), everywhere(b, lane, allOnes(lane - 1)));
  return [b.bitSelect(lost, limit, plain), lost];
};
const saturatingUnsigned: SaturatingShift = (b, lane, n, amount) => {
  const [plain, lost] = leftLosing(b, lane, n, amount, false);
  return [b.vectorOr(lost, plain), lost];
};
/** SQSHLU: a negative number gives zero. */
const saturatingToUnsigned: SaturatingShift = (b, lane, n, amount) => {
  const negative = b.shiftLanes('right-signed', lane, n, lane - 1);
  const [value, lost] = saturatingUnsigned(b, lane, n, amount);
  return [b.bitSelect(negative, zero(b), value), b.vectorOr(lost, negative)];
};

const semantics = (shift: Shift, lane: Lane, amount: (f: Fields) => number, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  put(b, f, shift(b, lane, b.vector(f.n), amount(f), () => b.vector(f.d)), scalar ? lane : undefined);
};
const saturatingSemantics = (shift: SaturatingShift, lane: Lane, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const [value, differs] = shift(b, lane, b.vector(f.n), f.i);
  put(b, f, value, scalar ? lane : undefined);
  saturate(b, f, differs, scalar ? lane : undefined);
};

/** Bits 31 to 23 of a vector or scalar row. There is no vector of one doubleword. */
const head = (U: number, scalar: boolean): string => (scalar ? `01 ${U} 111110` : `0 q ${U} 011110`);
const operands = ({ name }: Size, scalar: boolean): string => (scalar ? `<${name}d>, <${name}n>` : `<Vd.${name}>, <Vn.${name}>`);
const options = ({ name }: Size, scalar: boolean): RowOptions => (name === 'D' && !scalar ? { unallocated: (f) => f.q === 0 } : {});

type Plain = readonly [name: string, opcode: string, U: 0 | 1, shift: Shift, leftwards: boolean];
const PLAIN: readonly Plain[] = [
  ['SSHR', '00000', 0, right(true, false), false], ['USHR', '00000', 1, right(false, false), false], ['SSRA', '00010', 0, accumulate(right(true, false)), false], ['USRA', '00010', 1, accumulate(right(false, false)), false],
  ['SRSHR', '00100', 0, right(true, true), false], ['URSHR', '00100', 1, right(false, true), false], ['SRSRA', '00110', 0, accumulate(right(true, true)), false], ['URSRA', '00110', 1, accumulate(right(false, true)), false],
  ['SRI', '01000', 1, insertRight, false], ['SHL', '01010', 0, left, true], ['SLI', '01010', 1, insertLeft, true],
];
const PLAIN_ROWS: readonly Row[] = PLAIN.flatMap(([name, opcode, U, shift, leftwards]) => {
  const amount = (lane: Lane) => (f: Fields): number => (leftwards ? f.i : lane - f.i);
  const text = (size: Size, scalar: boolean): string => `${name.toLowerCase()} ${operands(size, scalar)}, #<${leftwards ? 'i' : `${size.lane}-i`}>`;
  const row = (size: Size, scalar: boolean): Row => instruction(`${name} (${scalar ? 'scalar' : `vector, ${size.name}`})`, `${head(U, scalar)} ${size.bits} ${opcode} 1 nnnnn ddddd`, semantics(shift, size.lane, amount(size.lane), scalar), text(size, scalar), options(size, scalar));
  return [...SIZES.map((size) => row(size, false)), row(SIZES[3]!, true)];
});

const SATURATING: readonly (readonly [name: string, opcode: string, U: 0 | 1, shift: SaturatingShift])[] = [
  ['SQSHLU', '01100', 1, saturatingToUnsigned], ['SQSHL', '01110', 0, saturatingSigned], ['UQSHL', '01110', 1, saturatingUnsigned],
];
const SATURATING_ROWS: readonly Row[] = SATURATING.flatMap(([name, opcode, U, shift]) => SIZES.flatMap((size) => [false, true].map((scalar) =>
  instruction(`${name} (immediate, ${scalar ? 'scalar' : 'vector'}, ${size.name})`, `${head(U, scalar)} ${size.bits} ${opcode} 1 nnnnn ddddd`,
    saturatingSemantics(shift, size.lane, scalar), `${name.toLowerCase()} ${operands(size, scalar)}, #<i>`, options(size, scalar)))));

const narrow = (lane: Narrow, rounded: boolean, signed: boolean, range: Range | undefined, scalar: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const wide = doubled(lane);
  const shifted = right(signed, rounded)(b, wide, b.vector(f.n), lane - f.i, () => b.vector(f.d));
  if (range === undefined) {
    putNarrow(b, f, evens(b, lane, 128 / lane, shifted, shifted));
    return;
  }
  const [value, differs] = clamp(b, lane, shifted, range);
  if (scalar) {
    b.setVectorLow(f.d, b.lane(lane, value, 0));
    b.saturation(b.lane(wide, differs, 0));
  } else {
    putNarrow(b, f, evens(b, lane, 128 / lane, value, value));
    b.saturation(b.or(b.low(differs), b.high(differs)));
  }
};
const NARROW: readonly (readonly [name: string, opcode: string, U: 0 | 1, rounded: boolean, range: Range | undefined])[] = [
  ['SHRN', '10000', 0, false, undefined], ['RSHRN', '10001', 0, true, undefined], ['SQSHRUN', '10000', 1, false, 'signed to unsigned'], ['SQRSHRUN', '10001', 1, true, 'signed to unsigned'],
  ['SQSHRN', '10010', 0, false, 'signed'], ['UQSHRN', '10010', 1, false, 'unsigned'], ['SQRSHRN', '10011', 0, true, 'signed'], ['UQRSHRN', '10011', 1, true, 'unsigned'],
];
const NARROW_ROWS: readonly Row[] = NARROW.flatMap(([name, opcode, U, rounded, range]) => SIZES.slice(0, 3).flatMap((size) => (range === undefined ? [false] : [false, true]).map((scalar) =>
  instruction(`${name} (${scalar ? 'scalar' : 'vector'}, ${size.name})`, `${head(U, scalar)} ${size.bits} ${opcode} 1 nnnnn ddddd`, narrow(size.lane as Narrow, rounded, range !== 'unsigned' && range !== undefined, range, scalar),
    scalar ? `${name.toLowerCase()} <${size.name}d>, <${WIDER[size.name]}n>, #<${size.lane}-i>` : `${name.toLowerCase()}<2> <Vd.${size.name}>, <Vn.${WHOLE[size.name]}>, #<${size.lane}-i>`))));

const LONG_ROWS: readonly Row[] = ([['SSHLL', 0, 'sxtl'], ['USHLL', 1, 'uxtl']] as const).flatMap(([name, U, plain]) => SIZES.slice(0, 3).map((size) => {
  const vectors = `<Vd.${WHOLE[size.name]}>, <Vn.${size.name}>`;
  return instruction(`${name} (${size.name})`, `0 q ${U} 011110 ${size.bits} 10100 1 nnnnn ddddd`, (b, f) => {
    b.checkFloatingPoint();
    const lane = size.lane as Narrow;
    b.setVector(f.d, b.shiftLanes('left', doubled(lane), extend(b, f.q, lane, b.vector(f.n), U === 0), f.i));
  }, [alias(`${plain}<2> ${vectors}`, { i: 0 }), `${name.toLowerCase()}<2> ${vectors}, #<i>`]);
}));

export const VECTOR_SHIFT: readonly Row[] = [...PLAIN_ROWS, ...SATURATING_ROWS, ...NARROW_ROWS, ...LONG_ROWS];
