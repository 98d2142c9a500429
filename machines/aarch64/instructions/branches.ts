/** Branches: rows that choose the next instruction. */

import type { BranchType } from '../builder.ts';
import { instruction, type Fields, type Row, type Semantics } from '../row.ts';
import { get, signed } from './common.ts';

const compareAndBranch = (whenZero: boolean): Semantics => (b, f) => {
  const zero = b.equal(get(b, f.s, f.t), b.number(0));
  b.jumpWhen(whenZero ? zero : b.invert(zero), offset19(f));
};

/** TBZ and TBNZ: s is the top bit of the bit number, as it is in the width of the register. */
const testAndBranch = (whenZero: boolean): Semantics => (b, f) => {
  const bit = b.and(b.shiftRight(b.x(f.t), b.number(f.s * 32 + f.b)), b.number(1));
  const zero = b.equal(bit, b.number(0));
  b.jumpWhen(whenZero ? zero : b.invert(zero), signed(f.i, 14) * 4);
};

/** FEAT_BTI: BR and its kin tell X16 and X17 apart, by which a procedure linkage table jumps. */
export const jumpType = (register: number): BranchType => (register === 16 || register === 17 ? 'jump by X16 or X17' : 'jump');

const offset19 = (f: Fields): number => signed(f.i, 19) * 4;

export const BRANCHES: readonly Row[] = [
  instruction('B', '0 00101 iiiiiiiiiiiiiiiiiiiiiiiiii', (b, f) => b.jumpBy(signed(f.i, 26) * 4), 'b <label 26>'),
  instruction('BL', '1 00101 iiiiiiiiiiiiiiiiiiiiiiiiii', (b, f) => {
    b.setX(30, b.pc(4));
    b.jumpBy(signed(f.i, 26) * 4);
  }, 'bl <label 26>'),
  instruction('B.cond', '0101010 0 iiiiiiiiiiiiiiiiiii 0 cccc', (b, f) => b.jumpWhen(b.condition(f.c), offset19(f)), 'b.<cond c> <label 19>'),
  instruction('CBZ', 's 011010 0 iiiiiiiiiiiiiiiiiii ttttt', compareAndBranch(true), 'cbz <Rt>, <label 19>'),
  instruction('CBNZ', 's 011010 1 iiiiiiiiiiiiiiiiiii ttttt', compareAndBranch(false), 'cbnz <Rt>, <label 19>'),
  instruction('TBZ', 's 011011 0 bbbbb iiiiiiiiiiiiii ttttt', testAndBranch(true), 'tbz <Rt>, #<bit>, <label 14>'),
  instruction('TBNZ', 's 011011 1 bbbbb iiiiiiiiiiiiii ttttt', testAndBranch(false), 'tbnz <Rt>, #<bit>, <label 14>'),
  instruction('BR', '1101011 0000 11111 000000 nnnnn 00000', (b, f) => {
    b.branchType(jumpType(f.n));
    b.jump(b.x(f.n));
  }, 'br <Xn>'),
  instruction('BLR', '1101011 0001 11111 000000 nnnnn 00000', (b, f) => {
    const target = b.x(f.n);
    b.setX(30, b.pc(4));
    b.branchType('call');
    b.jump(target);
  }, 'blr <Xn>'),
  instruction('RET', '1101011 0010 11111 000000 nnnnn 00000', (b, f) => b.jump(b.x(f.n)), 'ret< Xn=30>'),
  instruction('ERET', '1101011 0100 11111 000000 11111 00000', (b) => b.exceptionReturn(), 'eret'),
  // DRPS is defined in Debug state only, which is not simulated.
  instruction('DRPS', '1101011 0101 11111 000000 11111 00000', (b) => b.undefinedInstruction(), 'drps'),
];
