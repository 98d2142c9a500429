/** AES, SHA-1, SHA-256, SHA-512 and the three-way logic of SHA-3 on vectors (FEAT_AES, FEAT_SHA1, FEAT_SHA256, FEAT_SHA512, FEAT_SHA3). */

import { instruction, type Row, type Semantics } from '../row.ts';
import type { CipherOperation } from '../vector-builder.ts';
import { zero } from './vector.ts';

/** Of Vd and Vn; of Vn alone; of Vd, Vn and Vm. */
const two = (operation: CipherOperation): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVector(f.d, b.cipher(operation, b.vector(f.d), b.vector(f.n), zero(b)));
};
const one = (operation: CipherOperation): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVector(f.d, b.cipher(operation, b.vector(f.n), zero(b), zero(b)));
};
const three = (operation: CipherOperation): Semantics => (b, f) => {
  b.checkFloatingPoint();
  b.setVector(f.d, b.cipher(operation, b.vector(f.d), b.vector(f.n), b.vector(f.m)));
};

const TWO_OPERANDS: readonly (readonly [name: CipherOperation, bits: string, semantics: (operation: CipherOperation) => Semantics, operands: string])[] = [
  ['AESE', '01001110 00 10100 00100 10', two, '<Vd.16b>, <Vn.16b>'], ['AESD', '01001110 00 10100 00101 10', two, '<Vd.16b>, <Vn.16b>'],
  ['AESMC', '01001110 00 10100 00110 10', one, '<Vd.16b>, <Vn.16b>'], ['AESIMC', '01001110 00 10100 00111 10', one, '<Vd.16b>, <Vn.16b>'],
  ['SHA1H', '01011110 00 10100 00000 10', one, '<Sd>, <Sn>'], ['SHA1SU1', '01011110 00 10100 00001 10', two, '<Vd.4s>, <Vn.4s>'],
  ['SHA256SU0', '01011110 00 10100 00010 10', two, '<Vd.4s>, <Vn.4s>'], ['SHA512SU0', '11001110 11 00000 01000 00', two, '<Vd.2d>, <Vn.2d>'],
];
const THREE_OPERANDS: readonly (readonly [name: CipherOperation, bits: readonly [string, string], operands: string])[] = [
  ['SHA1C', ['01011110 00 0', '0 000 00'], '<Qd>, <Sn>, <Vm.4s>'], ['SHA1P', ['01011110 00 0', '0 001 00'], '<Qd>, <Sn>, <Vm.4s>'],
  ['SHA1M', ['01011110 00 0', '0 010 00'], '<Qd>, <Sn>, <Vm.4s>'], ['SHA1SU0', ['01011110 00 0', '0 011 00'], '<Vd.4s>, <Vn.4s>, <Vm.4s>'],
  ['SHA256H', ['01011110 00 0', '0 100 00'], '<Qd>, <Qn>, <Vm.4s>'], ['SHA256H2', ['01011110 00 0', '0 101 00'], '<Qd>, <Qn>, <Vm.4s>'],
  ['SHA256SU1', ['01011110 00 0', '0 110 00'], '<Vd.4s>, <Vn.4s>, <Vm.4s>'],
  ['SHA512H', ['11001110 011', '1 0 00 00'], '<Qd>, <Qn>, <Vm.2d>'], ['SHA512H2', ['11001110 011', '1 0 00 01'], '<Qd>, <Qn>, <Vm.2d>'],
  ['SHA512SU1', ['11001110 011', '1 0 00 10'], '<Vd.2d>, <Vn.2d>, <Vm.2d>'],
];

const LOGIC_ROWS: readonly Row[] = [
  instruction('EOR3', '11001110 000 mmmmm 0 aaaaa nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    b.setVector(f.d, b.vectorExclusiveOr(b.vectorExclusiveOr(b.vector(f.n), b.vector(f.m)), b.vector(f.a)));
  }, 'eor3 <Vd.16b>, <Vn.16b>, <Vm.16b>, <Va.16b>'),
  instruction('BCAX', '11001110 001 mmmmm 0 aaaaa nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    b.setVector(f.d, b.vectorExclusiveOr(b.vector(f.n), b.vectorAnd(b.vector(f.m), b.vectorNot(b.vector(f.a)))));
  }, 'bcax <Vd.16b>, <Vn.16b>, <Vm.16b>, <Va.16b>'),
  instruction('RAX1', '11001110 011 mmmmm 1 0 00 11 nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const m = b.vector(f.m);
    const rotated = b.vectorOr(b.shiftLanes('left', 64, m, 1), b.shiftLanes('right', 64, m, 63));
    b.setVector(f.d, b.vectorExclusiveOr(b.vector(f.n), rotated));
  }, 'rax1 <Vd.2d>, <Vn.2d>, <Vm.2d>'),
  instruction('XAR', '11001110 100 mmmmm iiiiii nnnnn ddddd', (b, f) => {
    b.checkFloatingPoint();
    const both = b.vectorExclusiveOr(b.vector(f.n), b.vector(f.m));
    b.setVector(f.d, b.vectorOr(b.shiftLanes('right', 64, both, f.i), b.shiftLanes('left', 64, both, 64 - f.i)));
  }, 'xar <Vd.2d>, <Vn.2d>, <Vm.2d>, #<i>'),
];

export const CIPHER: readonly Row[] = [
  ...TWO_OPERANDS.map(([name, bits, semantics, operands]) => instruction(name, `${bits} nnnnn ddddd`, semantics(name), `${name.toLowerCase()} ${operands}`)),
  ...THREE_OPERANDS.map(([name, [before, after], operands]) => instruction(name, `${before} mmmmm ${after} nnnnn ddddd`, three(name), `${name.toLowerCase()} ${operands}`)),
  ...LOGIC_ROWS,
];
