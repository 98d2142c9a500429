/** Adding, subtracting, comparing, selecting, multiplying, dividing and addresses: rows of the A64 data-processing groups. */

import { alias, instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { extendedRegister, get, getOrSp, set, setOrSp, shiftedRegister, signed } from './common.ts';

const addSubtractImmediate = (subtract: boolean, flags: boolean): Semantics => (b, f) => {
  const left = getOrSp(b, f.s, f.n);
  const right = b.number(f.h ? f.i * 4096 : f.i);
  const result = subtract ? b.subtract(left, right) : b.add(left, right);
  if (flags) {
    b.setFlags(subtract ? b.flagsOfSubtract(f.s, left, right) : b.flagsOfAdd(f.s, left, right));
    set(b, f.s, f.d, result);
  } else setOrSp(b, f.s, f.d, result);
};

const addSubtractShifted = (subtract: boolean, flags: boolean): Semantics => (b, f) => {
  const left = get(b, f.s, f.n);
  const right = shiftedRegister(b, f);
  if (flags) b.setFlags(subtract ? b.flagsOfSubtract(f.s, left, right) : b.flagsOfAdd(f.s, left, right));
  set(b, f.s, f.d, subtract ? b.subtract(left, right) : b.add(left, right));
};

const addSubtractExtended = (subtract: boolean, flags: boolean): Semantics => (b, f) => {
  const left = getOrSp(b, f.s, f.n);
  const extended = extendedRegister(b, f.m, f.p, f.i);
  const right = f.s ? extended : b.zeroExtend(extended, 32);
  const result = subtract ? b.subtract(left, right) : b.add(left, right);
  if (flags) {
    b.setFlags(subtract ? b.flagsOfSubtract(f.s, left, right) : b.flagsOfAdd(f.s, left, right));
    set(b, f.s, f.d, result);
  } else setOrSp(b, f.s, f.d, result);
};

const addSubtractCarry = (subtract: boolean, flags: boolean): Semantics => (b, f) => {
  const left = get(b, f.s, f.n);
  const plain = get(b, f.s, f.m);
  const inverted = subtract ? b.not(plain) : plain;
  const right = subtract && !f.s ? b.zeroExtend(inverted, 32) : inverted;
  const carry = b.carry();
  if (flags) b.setFlags(b.flagsOfAddCarry(f.s, left, right, carry));
  set(b, f.s, f.d, b.add(b.add(left, right), carry));
};

/** The four of ADD, ADDS, SUB, SUBS: op and S of the encoding. */
const FOUR = [['ADD', 0, 0], ['ADDS', 0, 1], ['SUB', 1, 0], ['SUBS', 1, 1]] as const;
const usesSp = (f: Fields): boolean => f.d === 31 || f.n === 31;

const ADD_SUBTRACT: readonly Row[] = FOUR.flatMap(([name, op, S]) => {
  const text = name.toLowerCase();
  const compare = op ? 'cmp' : 'cmn';
  const destination = S ? '<Rd>' : '<Rd|SP>';
  const negate = S ? 'negs' : 'neg';
  return [
    instruction(`${name} (immediate)`, `s ${op} ${S} 100010 h iiiiiiiiiiii nnnnn ddddd`, addSubtractImmediate(op === 1, S === 1), [
      ...(S ? [alias(`${compare} <Rn|SP>, #<i:hex><, shift12 h>`, { d: 31 })] : []),
      ...(name === 'ADD' ? [alias('mov <Rd|SP>, <Rn|SP>', { h: 0, i: 0 }, usesSp)] : []),
      `${text} ${destination}, <Rn|SP>, #<i:hex><, shift12 h>`,
    ]),
    instruction(`${name} (shifted register)`, `s ${op} ${S} 01011 kk 0 mmmmm iiiiii nnnnn ddddd`, addSubtractShifted(op === 1, S === 1), [
      ...(S ? [alias(`${compare} <Rn>, <Rm><, shift k i>`, { d: 31 })] : []),
      ...(op ? [alias(`${negate} <Rd>, <Rm><, shift k i>`, { n: 31 })] : []),
      `${text} <Rd>, <Rn>, <Rm><, shift k i>`,
    ], { unallocated: (f) => f.k === 3 || (f.s === 0 && f.i >= 32) }),
    instruction(`${name} (extended register)`, `s ${op} ${S} 01011 00 1 mmmmm ppp iii nnnnn ddddd`, addSubtractExtended(op === 1, S === 1), [
      ...(S ? [alias(`${compare} <Rn|SP>, <Rm by s p><, extend n>`, { d: 31 })] : []),
      `${text} ${destination}, <Rn|SP>, <Rm by s p><, extend ${S ? 'n' : 'd n'}>`,
    ], { unallocated: (f) => f.i > 4 }),
  ];
});

const ADD_SUBTRACT_CARRY: readonly Row[] = ([['ADC', 0, 0], ['ADCS', 0, 1], ['SBC', 1, 0], ['SBCS', 1, 1]] as const).map(([name, op, S]) =>
  instruction(name, `s ${op} ${S} 11010000 mmmmm 000000 nnnnn ddddd`, addSubtractCarry(op === 1, S === 1), [
    ...(op ? [alias(`${S ? 'ngcs' : 'ngc'} <Rd>, <Rm>`, { n: 31 })] : []),
    `${name.toLowerCase()} <Rd>, <Rn>, <Rm>`,
  ]));

const conditionalCompare = (subtract: boolean, immediate: boolean): Semantics => (b, f) => {
  const left = get(b, f.s, f.n);
  const right = immediate ? b.number(f.i) : get(b, f.s, f.m);
  const compared = subtract ? b.flagsOfSubtract(f.s, left, right) : b.flagsOfAdd(f.s, left, right);
  b.setFlags(b.select(b.condition(f.c), compared, b.number(f.f)));
};

const CONDITIONAL_COMPARE: readonly Row[] = ([['CCMN', 0], ['CCMP', 1]] as const).flatMap(([name, op]) => [
  instruction(`${name} (immediate)`, `s ${op} 1 11010010 iiiii cccc 1 0 nnnnn 0 ffff`, conditionalCompare(op === 1, true), `${name.toLowerCase()} <Rn>, #<i:hex>, #<f:hex>, <cond c>`),
  instruction(`${name} (register)`, `s ${op} 1 11010010 mmmmm cccc 0 0 nnnnn 0 ffff`, conditionalCompare(op === 1, false), `${name.toLowerCase()} <Rn>, <Rm>, #<f:hex>, <cond c>`),
]);

const conditionalSelect = (invert: boolean, increment: boolean): Semantics => (b, f) => {
  const second = get(b, f.s, f.m);
  const inverted = invert ? b.not(second) : second;
  const other = increment ? b.add(inverted, b.number(1)) : inverted;
  set(b, f.s, f.d, b.select(b.condition(f.c), get(b, f.s, f.n), other));
};

/** The conditional aliases need a condition that has an inverse, and one source. */
const oneSource = (f: Fields): boolean => f.c < 14 && f.n === f.m && f.n !== 31;
const conditional = (f: Fields): boolean => f.c < 14;

const CONDITIONAL_SELECT: readonly Row[] = [
  instruction('CSEL', 's 0 0 11010100 mmmmm cccc 0 0 nnnnn ddddd', conditionalSelect(false, false), 'csel <Rd>, <Rn>, <Rm>, <cond c>'),
  instruction('CSINC', 's 0 0 11010100 mmmmm cccc 0 1 nnnnn ddddd', conditionalSelect(false, true), [
    alias('cset <Rd>, <inverse c>', { m: 31, n: 31 }, conditional), alias('cinc <Rd>, <Rn=m>, <inverse c>', {}, oneSource), 'csinc <Rd>, <Rn>, <Rm>, <cond c>']),
  instruction('CSINV', 's 1 0 11010100 mmmmm cccc 0 0 nnnnn ddddd', conditionalSelect(true, false), [
    alias('csetm <Rd>, <inverse c>', { m: 31, n: 31 }, conditional), alias('cinv <Rd>, <Rn=m>, <inverse c>', {}, oneSource), 'csinv <Rd>, <Rn>, <Rm>, <cond c>']),
  instruction('CSNEG', 's 1 0 11010100 mmmmm cccc 0 1 nnnnn ddddd', conditionalSelect(true, true), [
    alias('cneg <Rd>, <Rn=m>, <inverse c>', {}, (f) => f.c < 14 && f.n === f.m), 'csneg <Rd>, <Rn>, <Rm>, <cond c>']),
];

const multiplyAdd = (subtract: boolean): Semantics => (b, f) => {
  const product = b.multiply(get(b, f.s, f.n), get(b, f.s, f.m));
  const addend = get(b, f.s, f.a);
  set(b, f.s, f.d, subtract ? b.subtract(addend, product) : b.add(addend, product));
};

const multiplyAddLong = (subtract: boolean, signedOperands: boolean): Semantics => (b, f) => {
  const left = signedOperands ? b.signExtend(b.x(f.n), 32) : b.zeroExtend(b.x(f.n), 32);
  const right = signedOperands ? b.signExtend(b.x(f.m), 32) : b.zeroExtend(b.x(f.m), 32);
  const product = b.multiply(left, right);
  b.setX(f.d, subtract ? b.subtract(b.x(f.a), product) : b.add(b.x(f.a), product));
};

const divide = (signedOperands: boolean): Semantics => (b, f) => {
  const left = get(b, f.s, f.n);
  const right = get(b, f.s, f.m);
  if (!signedOperands) set(b, f.s, f.d, b.divideUnsigned(left, right));
  else if (f.s) b.setX(f.d, b.divideSigned(left, right));
  else set(b, 0, f.d, b.divideSigned(b.signExtend(left, 32), b.signExtend(right, 32)));
};

const MULTIPLY_DIVIDE: readonly Row[] = [
  instruction('MADD', 's 00 11011 000 mmmmm 0 aaaaa nnnnn ddddd', multiplyAdd(false), [alias('mul <Rd>, <Rn>, <Rm>', { a: 31 }), 'madd <Rd>, <Rn>, <Rm>, <Ra>']),
  instruction('MSUB', 's 00 11011 000 mmmmm 1 aaaaa nnnnn ddddd', multiplyAdd(true), [alias('mneg <Rd>, <Rn>, <Rm>', { a: 31 }), 'msub <Rd>, <Rn>, <Rm>, <Ra>']),
  instruction('SMADDL', '1 00 11011 001 mmmmm 0 aaaaa nnnnn ddddd', multiplyAddLong(false, true), [alias('smull <Xd>, <Wn>, <Wm>', { a: 31 }), 'smaddl <Xd>, <Wn>, <Wm>, <Xa>']),
  instruction('SMSUBL', '1 00 11011 001 mmmmm 1 aaaaa nnnnn ddddd', multiplyAddLong(true, true), [alias('smnegl <Xd>, <Wn>, <Wm>', { a: 31 }), 'smsubl <Xd>, <Wn>, <Wm>, <Xa>']),
  instruction('UMADDL', '1 00 11011 101 mmmmm 0 aaaaa nnnnn ddddd', multiplyAddLong(false, false), [alias('umull <Xd>, <Wn>, <Wm>', { a: 31 }), 'umaddl <Xd>, <Wn>, <Wm>, <Xa>']),
  instruction('UMSUBL', '1 00 11011 101 mmmmm 1 aaaaa nnnnn ddddd', multiplyAddLong(true, false), [alias('umnegl <Xd>, <Wn>, <Wm>', { a: 31 }), 'umsubl <Xd>, <Wn>, <Wm>, <Xa>']),
  instruction('SMULH', '1 00 11011 010 mmmmm 0 (1)(1)(1)(1)(1) nnnnn ddddd', (b, f) => b.setX(f.d, b.multiplyHighSigned(b.x(f.n), b.x(f.m))), 'smulh <Xd>, <Xn>, <Xm>'),
  instruction('UMULH', '1 00 11011 110 mmmmm 0 (1)(1)(1)(1)(1) nnnnn ddddd', (b, f) => b.setX(f.d, b.multiplyHighUnsigned(b.x(f.n), b.x(f.m))), 'umulh <Xd>, <Xn>, <Xm>'),
  instruction('UDIV', 's 0 0 11010110 mmmmm 000010 nnnnn ddddd', divide(false), 'udiv <Rd>, <Rn>, <Rm>'),
  instruction('SDIV', 's 0 0 11010110 mmmmm 000011 nnnnn ddddd', divide(true), 'sdiv <Rd>, <Rn>, <Rm>'),
];

const ADDRESSES: readonly Row[] = [
  instruction('ADR', '0 kk 10000 hhhhhhhhhhhhhhhhhhh ddddd', (b, f) => b.setX(f.d, b.pc(signed(f.h * 4 + f.k, 21))), 'adr <Xd>, <address>'),
  instruction('ADRP', '1 kk 10000 hhhhhhhhhhhhhhhhhhh ddddd', (b, f) => {
    const page = b.and(b.pc(0), b.constant(0xffff_ffff_ffff_f000n));
    b.setX(f.d, b.add(page, b.number(signed(f.h * 4 + f.k, 21) * 4096)));
  }, 'adrp <Xd>, <page>'),
];

/** FEAT_FlagM: flags as data. */
const FLAGS: readonly Row[] = [
  instruction('RMIF', '1 0 1 11010000 iiiiii 00001 nnnnn 0 ffff', (b, f) => {
    const rotated = b.and(b.rotateRight(b.x(f.n), b.number(f.i)), b.number(f.f));
    b.setFlags(b.or(rotated, b.and(b.flags(), b.number(~f.f & 15))));
  }, 'rmif <Xn>, #<i>, #<f>'),
  ...([['SETF8', 0, 8], ['SETF16', 1, 16]] as const).map(([name, z, width]) =>
    instruction(name, `0 0 1 11010000 00000 0 ${z} 0010 nnnnn 0 1101`, (b, f) => {
      const value = b.x(f.n);
      const low = b.zeroExtend(value, width);
      const negative = b.and(b.shiftRight(value, b.number(width - 4)), b.number(8));
      const zero = b.select(b.equal(low, b.number(0)), b.number(4), b.number(0));
      const top = b.shiftRight(value, b.number(width));
      const overflow = b.and(b.exclusiveOr(top, b.shiftRight(value, b.number(width - 1))), b.number(1));
      b.setFlags(b.or(b.or(negative, zero), b.or(overflow, b.and(b.flags(), b.number(2)))));
    }, `${name.toLowerCase()} <Wn>`)),
];

export const ARITHMETIC: readonly Row[] = [
  ...ADD_SUBTRACT, ...ADD_SUBTRACT_CARRY, ...CONDITIONAL_COMPARE, ...CONDITIONAL_SELECT, ...MULTIPLY_DIVIDE, ...ADDRESSES, ...FLAGS,
];
