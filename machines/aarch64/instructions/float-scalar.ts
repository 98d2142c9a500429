/** Scalar floating point: moves, arithmetic, comparisons, selects. A64 groups floatdp1, floatdp2, floatdp3, floatcmp, floatccmp, floatsel, floatimm, and FMOV of float2int. */

import { instruction, type Row, type Semantics } from '../row.ts';
import type { FloatBinary, FloatSize } from '../vector-builder.ts';
import { absolute, getFloat, negate, reservedType, scalarBinary, scalarUnary, signBit, sized, type Binary, type Unary } from './float-common.ts';

/** VFPExpandImm: sign, exponent of three bits, fraction of four. */
export function expandImmediate(size: FloatSize, imm8: number): bigint {
  const exponentBits = size === 64 ? 11 : size === 32 ? 8 : 5;
  const high = (imm8 >> 6) & 1;
  const exponent = ((1 - high) << (exponentBits - 1)) | (high ? (2 ** (exponentBits - 3) - 1) << 2 : 0) | ((imm8 >> 4) & 3);
  const fraction = BigInt(imm8 & 15) << BigInt(size - exponentBits - 5);
  return ((imm8 & 0x80) === 0 ? 0n : signBit(size)) | (BigInt(exponent) << BigInt(size - 1 - exponentBits)) | fraction;
}

const typed = { unallocated: reservedType };

const ONE_SOURCE: readonly Row[] = ([
  ['FMOV', '000000', (_b, _size, a) => a],
  ['FABS', '000001', absolute],
  ['FNEG', '000010', negate],
  ['FSQRT', '000011', (b, size, a) => b.floatUnary('square-root', size, a)],
  ['FRINTN', '001000', (b, size, a) => b.floatRound(size, a, 'even', false)],
  ['FRINTP', '001001', (b, size, a) => b.floatRound(size, a, 'plus', false)],
  ['FRINTM', '001010', (b, size, a) => b.floatRound(size, a, 'minus', false)],
  ['FRINTZ', '001011', (b, size, a) => b.floatRound(size, a, 'zero', false)],
  ['FRINTA', '001100', (b, size, a) => b.floatRound(size, a, 'away', false)],
  ['FRINTX', '001110', (b, size, a) => b.floatRound(size, a, 'current', true)],
  ['FRINTI', '001111', (b, size, a) => b.floatRound(size, a, 'current', false)],
] as const satisfies readonly (readonly [string, string, Unary])[]).map(([name, opcode, operation]: readonly [string, string, Unary]) =>
  instruction(`${name} (${name === 'FMOV' ? 'register' : 'scalar'})`, `0 0 0 11110 zz 1 ${opcode} 10000 nnnnn ddddd`, scalarUnary(operation, sized), `${name.toLowerCase()} <Fd>, <Fn>`, typed));

const binary = (operation: FloatBinary): Binary => (b, size, a, c) => b.floatBinary(operation, size, a, c);

const TWO_SOURCE: readonly Row[] = ([
  ['FMUL', '0000', binary('multiply')], ['FDIV', '0001', binary('divide')], ['FADD', '0010', binary('add')], ['FSUB', '0011', binary('subtract')],
  ['FMAX', '0100', binary('maximum')], ['FMIN', '0101', binary('minimum')], ['FMAXNM', '0110', binary('maximum-number')], ['FMINNM', '0111', binary('minimum-number')],
  // The product is negated, a NaN too.
  ['FNMUL', '1000', (b, size, a, c) => negate(b, size, b.floatBinary('multiply', size, a, c))],
] as const satisfies readonly (readonly [string, string, Binary])[]).map(([name, opcode, operation]: readonly [string, string, Binary]) =>
  instruction(`${name} (scalar)`, `0 0 0 11110 zz 1 mmmmm ${opcode} 10 nnnnn ddddd`, scalarBinary(operation, sized), `${name.toLowerCase()} <Fd>, <Fn>, <Fm>`, typed));

/** Signs are changed before the operation: of a NaN as well. */
const multiplyAdd = (negateProduct: boolean, negateAddend: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sized(f);
  const addend = getFloat(b, size, f.a);
  const left = getFloat(b, size, f.n);
  b.setVectorLow(f.d, b.floatMultiplyAdd(size, negateAddend ? negate(b, size, addend) : addend, negateProduct ? negate(b, size, left) : left, getFloat(b, size, f.m)));
};

const THREE_SOURCE: readonly Row[] = ([['FMADD', 0, 0, false, false], ['FMSUB', 0, 1, true, false], ['FNMADD', 1, 0, true, true], ['FNMSUB', 1, 1, false, true]] as const).map(
  ([name, o1, o0, negateProduct, negateAddend]) =>
    instruction(name, `0 0 0 11111 zz ${o1} mmmmm ${o0} aaaaa nnnnn ddddd`, multiplyAdd(negateProduct, negateAddend), `${name.toLowerCase()} <Fd>, <Fn>, <Fm>, <Fa>`, typed));

const compare = (signalling: boolean, withZero: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sized(f);
  b.setFlags(b.floatCompare(size, getFloat(b, size, f.n), withZero ? b.number(0) : getFloat(b, size, f.m), signalling));
};

/** Where the condition does not hold nothing is compared: zeros stand in for the operands, which raise nothing. */
const conditionalCompare = (signalling: boolean): Semantics => (b, f) => {
  b.checkFloatingPoint();
  const size = sized(f);
  const holds = b.condition(f.c);
  const left = b.select(holds, getFloat(b, size, f.n), b.number(0));
  const right = b.select(holds, getFloat(b, size, f.m), b.number(0));
  b.setFlags(b.select(holds, b.floatCompare(size, left, right, signalling), b.number(f.f)));
};

const COMPARE: readonly Row[] = ([['FCMP', 'FCCMP', 0], ['FCMPE', 'FCCMPE', 1]] as const).flatMap(([name, conditional, e]) => [
  instruction(name, `0 0 0 11110 zz 1 mmmmm 00 1000 nnnnn ${e} 0 000`, compare(e === 1, false), `${name.toLowerCase()} <Fn>, <Fm>`, typed),
  instruction(`${name} (zero)`, `0 0 0 11110 zz 1 (0)(0)(0)(0)(0) 00 1000 nnnnn ${e} 1 000`, compare(e === 1, true), `${name.toLowerCase()} <Fn>, #0.0`, typed),
  instruction(conditional, `0 0 0 11110 zz 1 mmmmm cccc 01 nnnnn ${e} ffff`, conditionalCompare(e === 1), `${conditional.toLowerCase()} <Fn>, <Fm>, #<f:hex>, <cond c>`, typed),
]);

const SELECT = instruction('FCSEL', '0 0 0 11110 zz 1 mmmmm cccc 11 nnnnn ddddd', (b, f) => {
  b.checkFloatingPoint();
  const size = sized(f);
  b.setVectorLow(f.d, b.select(b.condition(f.c), getFloat(b, size, f.n), getFloat(b, size, f.m)));
}, 'fcsel <Fd>, <Fn>, <Fm>, <cond c>', typed);

const IMMEDIATE = instruction('FMOV (scalar, immediate)', '0 0 0 11110 zz 1 iiiiiiii 100 00000 ddddd', (b, f) => {
  b.checkFloatingPoint();
  b.setVectorLow(f.d, b.constant(expandImmediate(sized(f), f.i)));
}, 'fmov <Fd>, #<float i>', typed);

const toGeneral = (size: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setX(f.d, getFloat(b, size, f.n));
};
const fromGeneral = (size: FloatSize): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVectorLow(f.d, size === 64 ? b.x(f.n) : b.zeroExtend(b.x(f.n), size));
};

const GENERAL: readonly Row[] = [
  ...([['half', 's', 3, 'H', 'R'], ['single', '0', 0, 'S', 'W'], ['double', '1', 1, 'D', 'X']] as const).flatMap(([format, sf, type, vector, general]) => {
    const size = format === 'half' ? 16 : format === 'single' ? 32 : 64;
    const head = `${sf} 0 0 11110 ${type === 3 ? '11' : `0${type}`} 1 00`;
    return [
      instruction(`FMOV (general, from ${format})`, `${head} 110 000000 nnnnn ddddd`, toGeneral(size), `fmov <${general}d>, <${vector}n>`),
      instruction(`FMOV (general, to ${format})`, `${head} 111 000000 nnnnn ddddd`, fromGeneral(size), `fmov <${vector}d>, <${general}n>`),
    ];
  }),
  instruction('FMOV (general, from top half)', '1 0 0 11110 10 1 01 110 000000 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    b.setX(f.d, b.high(b.vector(f.n)));
  }, 'fmov <Xd>, <Vn>.d[1]'),
  instruction('FMOV (general, to top half)', '1 0 0 11110 10 1 01 111 000000 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    b.setVector(f.d, b.vectorOf(b.vectorLow(f.d), b.x(f.n)));
  }, 'fmov <Vd>.d[1], <Xn>'),
];

export const FLOAT_SCALAR: readonly Row[] = [...ONE_SOURCE, ...TWO_SOURCE, ...THREE_SOURCE, ...COMPARE, SELECT, IMMEDIATE, ...GENERAL];
