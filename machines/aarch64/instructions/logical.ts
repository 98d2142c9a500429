/** Logic, moves, bitfields and single bits: rows of the A64 data-processing groups. */

import { alias, instruction, type Fields, type Row, type Semantics } from '../row.ts';
import type { Builder } from '../builder.ts';
import { bitmaskImmediate } from './bitmask.ts';
import { MASKS, get, set, setOrSp, shift, shiftedRegister, signExtendFrom } from './common.ts';

type Operation = 'and' | 'or' | 'exclusiveOr';

const logicalImmediate = (operation: Operation, flags: boolean): Semantics => (b, f) => {
  const immediate = bitmaskImmediate(f.N, f.r, f.j)!;
  const result = b[operation](get(b, f.s, f.n), b.constant(f.s ? immediate : immediate & 0xffff_ffffn));
  if (flags) {
    b.setFlags(b.flagsOfLogical(f.s, result));
    set(b, f.s, f.d, result);
  } else setOrSp(b, f.s, f.d, result);
};

const logicalShifted = (operation: Operation, invert: boolean, flags: boolean): Semantics => (b, f) => {
  const plain = shiftedRegister(b, f);
  const inverted = invert ? b.not(plain) : plain;
  const right = invert && !f.s ? b.zeroExtend(inverted, 32) : inverted;
  const result = b[operation](get(b, f.s, f.n), right);
  if (flags) b.setFlags(b.flagsOfLogical(f.s, result));
  set(b, f.s, f.d, result);
};

/** A 32-bit form with N set, or a pattern that stands for nothing. */
const reservedBitmask = (f: Fields): boolean => (f.s === 0 && f.N === 1) || bitmaskImmediate(f.N, f.r, f.j) === undefined;

/**
 * MOVZ or MOVN could make this constant, so that `mov` stands for them. GNU's rule; MoveWidePreferred of the manual
 * leaves out constants with 15 or 16 zeros, for which the text would then mean two words. Into SP neither can move.
 */
function isWideConstant(f: Fields): boolean {
  const width = f.s ? 64 : 32;
  const value = BigInt.asUintN(width, bitmaskImmediate(f.N, f.r, f.j) ?? 0n);
  return oneHalfword(value) || oneHalfword(BigInt.asUintN(width, ~value));
}

const oneHalfword = (value: bigint): boolean => [0n, 16n, 32n, 48n].some((distance) => (value & ~(0xffffn << distance)) === 0n);

const LOGICAL_IMMEDIATE: readonly Row[] = ([['AND', '00', 'and', false], ['ORR', '01', 'or', false], ['EOR', '10', 'exclusiveOr', false], ['ANDS', '11', 'and', true]] as const).map(([name, opc, operation, flags]) =>
  instruction(`${name} (immediate)`, `s ${opc} 100100 N rrrrrr jjjjjj nnnnn ddddd`, logicalImmediate(operation, flags), [
    ...(name === 'ORR' ? [alias('mov <Rd|SP>, #<bitmask>', { n: 31 }, (f) => f.d === 31 || !isWideConstant(f))] : []),
    ...(name === 'ANDS' ? [alias('tst <Rn>, #<bitmask>', { d: 31 })] : []),
    `${name.toLowerCase()} ${flags ? '<Rd>' : '<Rd|SP>'}, <Rn>, #<bitmask>`,
  ], { unallocated: reservedBitmask }));

const LOGICAL_SHIFTED: readonly Row[] = ([
  ['AND', '00', 0, 'and', false], ['BIC', '00', 1, 'and', false], ['ORR', '01', 0, 'or', false], ['ORN', '01', 1, 'or', false],
  ['EOR', '10', 0, 'exclusiveOr', false], ['EON', '10', 1, 'exclusiveOr', false], ['ANDS', '11', 0, 'and', true], ['BICS', '11', 1, 'and', true],
] as const).map(([name, opc, invert, operation, flags]) =>
  instruction(`${name} (shifted register)`, `s ${opc} 01010 kk ${invert} mmmmm iiiiii nnnnn ddddd`, logicalShifted(operation, invert === 1, flags), [
    ...(name === 'ORR' ? [alias('mov <Rd>, <Rm>', { n: 31, k: 0, i: 0 })] : []),
    ...(name === 'ORN' ? [alias('mvn <Rd>, <Rm><, rotate k i>', { n: 31 })] : []),
    ...(name === 'ANDS' ? [alias('tst <Rn>, <Rm><, rotate k i>', { d: 31 })] : []),
    `${name.toLowerCase()} <Rd>, <Rn>, <Rm><, rotate k i>`,
  ], { unallocated: (f) => f.s === 0 && f.i >= 32 }));

const wideConstant = (f: Fields): bigint => BigInt(f.i) << BigInt(16 * f.h);
const shiftTooWide = (f: Fields): boolean => f.s === 0 && f.h >= 2;
const zeroShifted = (f: Fields): boolean => f.i === 0 && f.h !== 0;

/** All ones but for halfword h. */
const HALFWORD_HOLES: readonly bigint[] = [0n, 16n, 32n, 48n].map((distance) => MASKS[64]! & ~(0xffffn << distance));

const MOVE_WIDE: readonly Row[] = [
  instruction('MOVN', 's 00 100101 hh iiiiiiiiiiiiiiii ddddd', (b, f) => set(b, f.s, f.d, b.not(b.constant(wideConstant(f)))), [
    alias('mov <Rd>, #<movn>', {}, (f) => !zeroShifted(f) && !(f.s === 0 && f.i === 0xffff)), 'movn <Rd>, #<i:hex><, shift16 h>'], { unallocated: shiftTooWide }),
  instruction('MOVZ', 's 10 100101 hh iiiiiiiiiiiiiiii ddddd', (b, f) => b.setX(f.d, b.constant(wideConstant(f))), [
    alias('mov <Rd>, #<movz>', {}, (f) => !zeroShifted(f)), 'movz <Rd>, #<i:hex><, shift16 h>'], { unallocated: shiftTooWide }),
  instruction('MOVK', 's 11 100101 hh iiiiiiiiiiiiiiii ddddd', (b, f) => {
    const kept = b.and(get(b, f.s, f.d), b.constant(HALFWORD_HOLES[f.h]!));
    b.setX(f.d, b.or(kept, b.constant(wideConstant(f))));
  }, 'movk <Rd>, #<i:hex><, shift16 h>', { unallocated: shiftTooWide }),
];

type Bitfield = 'signed' | 'insert' | 'unsigned';

const bitfield = (kind: Bitfield): Semantics => (b, f) => {
  const size = f.s ? 64 : 32;
  const source = get(b, f.s, f.n);
  // imms >= immr moves bits imms:immr down to bit 0; otherwise bits imms:0 go up to bit size - immr.
  const extract = f.j >= f.r;
  const width = extract ? f.j - f.r + 1 : f.j + 1;
  const position = extract ? 0 : size - f.r;
  const field = b.and(extract ? b.shiftRight(source, b.number(f.r)) : source, b.constant(MASKS[width]!));
  if (kind === 'insert') set(b, f.s, f.d, insertField(b, get(b, f.s, f.d), field, position, width));
  else set(b, f.s, f.d, b.shiftLeft(kind === 'signed' ? signExtendFrom(b, field, width) : field, b.number(position)));
};

function insertField<V, B>(b: Builder<V, B>, into: V, field: V, position: number, width: number): V {
  const inPlace = b.shiftLeft(b.constant(MASKS[width]!), b.number(position));
  return b.or(b.and(into, b.not(inPlace)), b.shiftLeft(field, b.number(position)));
}

const badBitfield = (f: Fields): boolean => f.N !== f.s || (f.s === 0 && (f.r >= 32 || f.j >= 32));
const size = (f: Fields): number => (f.s ? 64 : 32);
const extractsUnsigned = (f: Fields): boolean => f.j >= f.r;

const BITFIELD: readonly Row[] = [
  instruction('SBFM', 's 00 100110 N rrrrrr jjjjjj nnnnn ddddd', bitfield('signed'), [
    alias('asr <Rd>, <Rn>, #<r><top j><sf N>', {}, (f) => f.j === size(f) - 1),
    alias('sxtb <Rd>, <Wn><sf N>', { r: 0, j: 7 }), alias('sxth <Rd>, <Wn><sf N>', { r: 0, j: 15 }), alias('sxtw <Xd>, <Wn>', { s: 1, N: 1, r: 0, j: 31 }),
    alias('sbfiz <Rd>, <Rn>, <field up><sf N>', {}, (f) => f.j < f.r), alias('sbfx <Rd>, <Rn>, <field down><sf N>', {}, (f) => f.j >= f.r),
  ], { unallocated: badBitfield }),
  instruction('BFM', 's 01 100110 N rrrrrr jjjjjj nnnnn ddddd', bitfield('insert'), [
    alias('bfc <Rd>, <field up><sf N>', { n: 31 }, (f) => f.j < f.r),
    alias('bfi <Rd>, <Rn>, <field up><sf N>', {}, (f) => f.j < f.r), alias('bfxil <Rd>, <Rn>, <field down><sf N>', {}, (f) => f.j >= f.r),
  ], { unallocated: badBitfield }),
  instruction('UBFM', 's 10 100110 N rrrrrr jjjjjj nnnnn ddddd', bitfield('unsigned'), [
    alias('lsl <Rd>, <Rn>, #<left shift><sf N>', {}, (f) => f.j !== size(f) - 1 && f.j + 1 === f.r),
    alias('lsr <Rd>, <Rn>, #<r><top j><sf N>', {}, (f) => f.j === size(f) - 1),
    alias('uxtb <Wd>, <Wn>', { s: 0, N: 0, r: 0, j: 7 }), alias('uxth <Wd>, <Wn>', { s: 0, N: 0, r: 0, j: 15 }),
    alias('ubfiz <Rd>, <Rn>, <field up><sf N>', {}, (f) => f.j < f.r), alias('ubfx <Rd>, <Rn>, <field down><sf N>', {}, extractsUnsigned),
  ], { unallocated: badBitfield }),
  instruction('EXTR', 's 00 100111 N 0 mmmmm iiiiii nnnnn ddddd', (b, f) => {
    const low = get(b, f.s, f.m);
    if (f.i === 0) set(b, f.s, f.d, low);
    else set(b, f.s, f.d, b.or(b.shiftRight(low, b.number(f.i)), b.shiftLeft(get(b, f.s, f.n), b.number(size(f) - f.i))));
  }, [alias('ror <Rd>, <Rn=m>, #<i><sf N>', {}, (f) => f.n === f.m), 'extr <Rd>, <Rn>, <Rm>, #<i><sf N>'], { unallocated: (f) => f.N !== f.s || (f.s === 0 && f.i >= 32) }),
];

const shiftVariable = (kind: number): Semantics => (b, f) => {
  const amount = b.and(b.x(f.m), b.number(f.s ? 63 : 31));
  set(b, f.s, f.d, shift(b, f.s, get(b, f.s, f.n), kind, amount));
};

const SHIFT_VARIABLE: readonly Row[] = ['LSLV', 'LSRV', 'ASRV', 'RORV'].map((name, kind) =>
  instruction(name, `s 0 0 11010110 mmmmm 0010 ${kind >> 1}${kind & 1} nnnnn ddddd`, shiftVariable(kind), `${name.slice(0, 3).toLowerCase()} <Rd>, <Rn>, <Rm>`));

/** Reverses the bytes within each 16-bit element of `value`. */
function reverseBytesIn16<V, B>(b: Builder<V, B>, value: V): V {
  const low = b.constant(0x00ff_00ff_00ff_00ffn);
  const eight = b.number(8);
  return b.or(b.shiftLeft(b.and(value, low), eight), b.and(b.shiftRight(value, eight), low));
}

const countLeadingSigns: Semantics = (b, f) => {
  const value = f.s ? b.x(f.n) : b.signExtend(b.x(f.n), 32);
  const differing = b.exclusiveOr(value, b.shiftRightSigned(value, b.number(63)));
  b.setX(f.d, b.subtract(b.countLeadingZeros(differing), b.number(f.s ? 1 : 33)));
};

const ONE_SOURCE: readonly Row[] = [
  instruction('RBIT', 's 1 0 11010110 00000 000000 nnnnn ddddd', (b, f) => {
    const reversed = b.reverseBits(b.x(f.n));
    b.setX(f.d, f.s ? reversed : b.shiftRight(reversed, b.number(32)));
  }, 'rbit <Rd>, <Rn>'),
  instruction('REV16', 's 1 0 11010110 00000 000001 nnnnn ddddd', (b, f) => set(b, f.s, f.d, reverseBytesIn16(b, b.x(f.n))), 'rev16 <Rd>, <Rn>'),
  instruction('REV (32-bit)', '0 1 0 11010110 00000 000010 nnnnn ddddd', (b, f) => b.setX(f.d, b.shiftRight(b.reverseBytes(b.x(f.n)), b.number(32))), 'rev <Wd>, <Wn>'),
  instruction('REV32', '1 1 0 11010110 00000 000010 nnnnn ddddd', (b, f) => b.setX(f.d, b.rotateRight(b.reverseBytes(b.x(f.n)), b.number(32))), 'rev32 <Xd>, <Xn>'),
  instruction('REV (64-bit)', '1 1 0 11010110 00000 000011 nnnnn ddddd', (b, f) => b.setX(f.d, b.reverseBytes(b.x(f.n))), 'rev <Xd>, <Xn>'),
  instruction('CLZ', 's 1 0 11010110 00000 000100 nnnnn ddddd', (b, f) => {
    const zeros = b.countLeadingZeros(get(b, f.s, f.n));
    b.setX(f.d, f.s ? zeros : b.subtract(zeros, b.number(32)));
  }, 'clz <Rd>, <Rn>'),
  instruction('CLS', 's 1 0 11010110 00000 000101 nnnnn ddddd', countLeadingSigns, 'cls <Rd>, <Rn>'),
];

const CRC32: readonly Row[] = ([['B', '0', '00', 1], ['H', '0', '01', 2], ['W', '0', '10', 4], ['X', '1', '11', 8]] as const).flatMap(([letter, sf, sz, bytes]) =>
  ([['CRC32', 0], ['CRC32C', 1]] as const).map(([name, C]) =>
    instruction(`${name}${letter}`, `${sf} 0 0 11010110 mmmmm 010 ${C} ${sz} nnnnn ddddd`,
      (b, f) => b.setX(f.d, b.crc32(b.zeroExtend(b.x(f.n), 32), b.x(f.m), bytes, C === 1)),
      `${name.toLowerCase()}${letter.toLowerCase()} <Wd>, <Wn>, <${bytes === 8 ? 'X' : 'W'}m>`)));

export const LOGICAL: readonly Row[] = [
  ...LOGICAL_IMMEDIATE, ...LOGICAL_SHIFTED, ...MOVE_WIDE, ...BITFIELD, ...SHIFT_VARIABLE, ...ONE_SOURCE, ...CRC32,
];
