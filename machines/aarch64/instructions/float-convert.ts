/** Conversions between floating-point formats and to and from integers, of scalars and vectors. */

import { instruction, type Row, type Semantics } from '../row.ts';
import type { FloatSize, Rounding, VectorBuilder } from '../vector-builder.ts';
import { getFloat, pack, reservedType, scalarRows, scalarUnary, setLanes, sized, vectorRows, vectorUnary, type Unary } from './float-common.ts';
import { miscellaneous, miscellaneousScalar } from './float-vector.ts';

const typed = { unallocated: reservedType };

type ToInteger = readonly [name: string, rmode: string, opcode: string, signed: boolean, rounding: Rounding];
/** By rmode and opcode of the scalar encodings. */
const TO_INTEGER: readonly ToInteger[] = [
  ['FCVTNS', '00', '000', true, 'even'], ['FCVTNU', '00', '001', false, 'even'], ['FCVTAS', '00', '100', true, 'away'], ['FCVTAU', '00', '101', false, 'away'],
  ['FCVTPS', '01', '000', true, 'plus'], ['FCVTPU', '01', '001', false, 'plus'], ['FCVTMS', '10', '000', true, 'minus'], ['FCVTMU', '10', '001', false, 'minus'],
  ['FCVTZS', '11', '000', true, 'zero'], ['FCVTZU', '11', '001', false, 'zero'],
];

const toGeneral = (signed: boolean, rounding: Rounding, fraction: (scale: number) => number): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sized(f);
  b.setX(f.d, b.floatToInteger(size, getFloat(b, size, f.n), f.s ? 64 : 32, signed, fraction(f.i), rounding));
};
const fromGeneral = (signed: boolean, fraction: (scale: number) => number): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVectorLow(f.d, b.integerToFloat(sized(f), b.x(f.n), f.s ? 64 : 32, signed, fraction(f.i)));
};
const none = (): number => 0;
const scaled = (scale: number): number => 64 - scale;
/** A 32-bit register has 32 fraction bits at most. */
const fixed = { unallocated: (f: { z: number; s: number; i: number }): boolean => f.z === 2 || (f.s === 0 && f.i < 32) };

const GENERAL: readonly Row[] = [
  ...TO_INTEGER.map(([name, rmode, opcode, signed, rounding]) =>
    instruction(`${name} (scalar)`, `s 0 0 11110 zz 1 ${rmode} ${opcode} 000000 nnnnn ddddd`, toGeneral(signed, rounding, none), `${name.toLowerCase()} <Rd>, <Fn>`, typed)),
  ...([['FCVTZS', '000', true], ['FCVTZU', '001', false]] as const).map(([name, opcode, signed]) =>
    instruction(`${name} (scalar, fixed-point)`, `s 0 0 11110 zz 0 11 ${opcode} iiiiii nnnnn ddddd`, toGeneral(signed, 'zero', scaled), `${name.toLowerCase()} <Rd>, <Fn>, #<fraction 64>`, fixed)),
  ...([['SCVTF', '010', true], ['UCVTF', '011', false]] as const).flatMap(([name, opcode, signed]) => [
    instruction(`${name} (scalar)`, `s 0 0 11110 zz 1 00 ${opcode} 000000 nnnnn ddddd`, fromGeneral(signed, none), `${name.toLowerCase()} <Fd>, <Rn>`, typed),
    instruction(`${name} (scalar, fixed-point)`, `s 0 0 11110 zz 0 00 ${opcode} iiiiii nnnnn ddddd`, fromGeneral(signed, scaled), `${name.toLowerCase()} <Fd>, <Rn>, #<fraction 64>`, fixed),
  ]),
  // N, C and V are cleared: Z says whether the number was the integer.
  instruction('FJCVTZS', '0 0 0 11110 01 1 11 110 000000 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const [integer, exact] = b.floatToJavaScript(b.vectorLow(f.n));
    b.setX(f.d, integer);
    b.setFlags(b.select(exact, b.number(4), b.number(0)));
  }, 'fjcvtzs <Wd>, <Dn>'),
];

const toInteger = (signed: boolean, rounding: Rounding): Unary => (b, size, a) => b.floatToInteger(size, a, size, signed, 0, rounding);
const fromInteger = (signed: boolean): Unary => (b, size, a) => b.integerToFloat(size, a, size, signed, 0);

/** U, bit 23 and opcode of "two registers, miscellaneous". */
const VECTOR_CONVERSIONS: readonly (readonly [name: string, U: 0 | 1, a: 0 | 1, opcode: string, operation: Unary])[] = [
  ...([['N', 0, '11010', 'even'], ['M', 0, '11011', 'minus'], ['A', 0, '11100', 'away'], ['P', 1, '11010', 'plus'], ['Z', 1, '11011', 'zero']] as const).flatMap(([mode, a, opcode, rounding]) => [
    [`FCVT${mode}S`, 0, a, opcode, toInteger(true, rounding)] as const, [`FCVT${mode}U`, 1, a, opcode, toInteger(false, rounding)] as const]),
  ['SCVTF', 0, 0, '11101', fromInteger(true)], ['UCVTF', 1, 0, '11101', fromInteger(false)],
];

const VECTOR: readonly Row[] = VECTOR_CONVERSIONS.flatMap(([name, U, a, opcode, operation]) => [
  ...vectorRows(name, ...miscellaneous(U, a, opcode), '<Vd.T>, <Vn.T>', (sizeOf) => vectorUnary(operation, sizeOf)),
  ...scalarRows(name, ...miscellaneousScalar(U, a, opcode), '<Fd>, <Fn>', (sizeOf) => scalarUnary(operation, sizeOf)),
]);

/** The width of the elements is where immh:immb has its first one; what is below counts the fraction bits down. */
const SHIFTS = [[16, '001 iiii', 'h', 'H'], [32, '01 iiiii', 's', 'S'], [64, '1 iiiiii', 'd', 'D']] as const;
const fixedToInteger = (signed: boolean) => (fraction: number): Unary => (b, size, a) => b.floatToInteger(size, a, size, signed, fraction, 'zero');
const fixedFromInteger = (signed: boolean) => (fraction: number): Unary => (b, size, a) => b.integerToFloat(size, a, size, signed, fraction);

const FIXED: readonly Row[] = ([
  ['SCVTF', 0, '11100', fixedFromInteger(true)], ['UCVTF', 1, '11100', fixedFromInteger(false)], ['FCVTZS', 0, '11111', fixedToInteger(true)], ['FCVTZU', 1, '11111', fixedToInteger(false)],
] as const).flatMap(([name, U, opcode, conversion]) => SHIFTS.flatMap(([size, shift, lane, scalar]) => {
  const text = name.toLowerCase();
  const more = size === 64 ? { unallocated: (f: { q: number }) => f.q === 0 } : {};
  return [
    instruction(`${name} (vector, fixed-point, ${size})`, `0 q ${U} 011110 ${shift} ${opcode} 1 nnnnn ddddd`, (b, f) => vectorUnary(conversion(size - f.i), () => size)(b, f),
      `${text} <Vd.${lane}>, <Vn.${lane}>, #<fraction ${size}>`, more),
    instruction(`${name} (SIMD scalar, fixed-point, ${size})`, `01 ${U} 111110 ${shift} ${opcode} 1 nnnnn ddddd`, (b, f) => scalarUnary(conversion(size - f.i), () => size)(b, f),
      `${text} <${scalar}d>, <${scalar}n>, #<fraction ${size}>`),
  ];
}));

const convert = (from: FloatSize, to: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVectorLow(f.d, b.floatConvert(from, to, getFloat(b, from, f.n)));
};

const FORMATS = [['S', '00', 32], ['D', '01', 64], ['H', '11', 16]] as const;
const BETWEEN_FORMATS: readonly Row[] = FORMATS.flatMap(([source, type, from]) => FORMATS.filter(([target]) => target !== source).map(([target, opc, to]) =>
  instruction(`FCVT (${source} to ${target})`, `0 0 0 11110 ${type} 1 0001 ${opc} 10000 nnnnn ddddd`, convert(from, to), `fcvt <${target}d>, <${source}n>`)));

/** What a narrowing instruction writes: the low half, or with Q the high half beside what is there. */
function setNarrow<V, B, Q>(b: VectorBuilder<V, B, Q>, register: number, high: number, word: V): void {
  if (high) b.setVector(register, b.vectorOf(b.vectorLow(register), word));
  else b.setVectorLow(register, word);
}

const narrow = (operation: Unary, sizeOf: (f: { z: number }) => 32 | 64): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sizeOf(f);
  const source = b.vector(f.n);
  setNarrow(b, f.d, f.q, pack(b, size === 64 ? 32 : 16, 128 / size, (index) => operation(b, size, b.lane(size, source, index))));
};

const toNarrow: Unary = (b, size, a) => b.floatConvert(size, size === 64 ? 32 : 16, a);
const toOdd: Unary = (b, _size, a) => b.floatConvert(64, 32, a, 'odd');

const NARROW_AND_LONG: readonly Row[] = [
  instruction('FCVTN', '0 q 0 01110 0 z 10000 10110 10 nnnnn ddddd', narrow(toNarrow, (f) => (f.z ? 64 : 32)), 'fcvtn<2 q> <Vd.narrow>, <Vn.wide>'),
  instruction('FCVTL', '0 q 0 01110 0 z 10000 10111 10 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const from = f.z ? 32 : 16;
    const to = f.z ? 64 : 32;
    const source = b.vector(f.n);
    setLanes(b, f.d, to, 1, (index) => b.floatConvert(from, to, b.lane(from, source, (f.q * 64) / from + index)));
  }, 'fcvtl<2 q> <Vd.wide>, <Vn.narrow>'),
  instruction('FCVTXN (vector)', '0 q 1 01110 0 1 10000 10110 10 nnnnn ddddd', narrow(toOdd, () => 64), 'fcvtxn<2 q> <Vd.s>, <Vn.2d>'),
  instruction('FCVTXN (scalar)', '01 1 11110 0 1 10000 10110 10 nnnnn ddddd', scalarUnary(toOdd, () => 64), 'fcvtxn <Sd>, <Dn>'),
  instruction('BFCVT', '0 0 0 11110 01 1 000110 10000 nnnnn ddddd', scalarUnary((b, _size, a) => b.floatToBrain(a), () => 32), 'bfcvt <Hd>, <Sn>'),
  instruction('BFCVTN', '0 q 0 01110 1 0 10000 10110 10 nnnnn ddddd', narrow((b, _size, a) => b.floatToBrain(a), () => 32), 'bfcvtn<2 q> <Vd.h>, <Vn.4s>'),
];

const INTEGRAL: readonly Row[] = ([['FRINT32Z', '010000', 'zero', 32], ['FRINT32X', '010001', 'current', 32], ['FRINT64Z', '010010', 'zero', 64], ['FRINT64X', '010011', 'current', 64]] as const).map(
  ([name, opcode, rounding, bits]) =>
    instruction(`${name} (scalar)`, `0 0 0 11110 0z 1 ${opcode} 10000 nnnnn ddddd`, scalarUnary((b, size, a) => b.floatRound(size, a, rounding, true, bits), sized), `${name.toLowerCase()} <Fd>, <Fn>`));

export const FLOAT_CONVERT: readonly Row[] = [...GENERAL, ...VECTOR, ...FIXED, ...BETWEEN_FORMATS, ...NARROW_AND_LONG, ...INTEGRAL];
