/** What is allocated to nothing: UNDEFINED encodings raise EC 0 and change nothing, unallocated hints do nothing. Arm ARM C4.1; one table each. */

import { expect, test } from 'vitest';
import { disassemble } from '../../../machines/aarch64/disassemble.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import { RAM, bareCore, get, program, set, setPstate } from '../../support/core.ts';

/** Words of base encodings that Armv8.6-A with FEAT_HCX and FEAT_WFxT leaves unallocated, or gives to features that are absent, by the group of C4.1. */
const UNDEFINED: readonly (readonly [what: string, word: number])[] = [
  ['UDF', 0x0000_0000], ['UDF with an immediate', 0x0000_ffff], ['reserved, op1 not 0', 0x0001_0000], ['unallocated between SME and data processing', 0x2000_0000],
  ['ADD (immediate) with tags (FEAT_MTE is a hole) and S', 0xb180_0000], ['min and max of an immediate (FEAT_CSSC)', 0x91c0_0000],
  ['logical immediate of 32 bits with N', 0x1240_0000], ['move wide, opc 1', 0x3280_0000], ['32-bit MOVZ with hw 2', 0x52c0_0000], ['bitfield whose N is not sf', 0x1340_0000],
  ['bitfield, opc 3', 0x7300_0000], ['EXTR of 32 bits with imms 32', 0x1380_8000], ['conditional branch with o1', 0x5500_0000], ['conditional branch BC.cond (FEAT_HBC)', 0x5400_0010],
  ['exception generation, opc 0 LL 0', 0xd400_0000], ['exception generation, opc 3', 0xd460_0000], ['exception generation, op2 not 0', 0xd400_0005], ['BRK, LL 1', 0xd420_0001],
  ['barrier, op2 0', 0xd503_301f], ['barrier DSB nXS (FEAT_XS)', 0xd503_323f], ['TCOMMIT (FEAT_TME)', 0xd503_307f], ['MSR (immediate), op1 1', 0xd501_401f], ['MSR (immediate), Rt not 31', 0xd500_4000], ['MSR of ALLINT (FEAT_NMI)', 0xd501_411f],
  ['branch to a register, op2 not 31', 0xd61e_0000], ['branch to a register, opc 3', 0xd67f_0000], ['branch to a register, op3 1', 0xd61f_0400], ['RET with op4', 0xd65f_03c1], ['ERET with Rn 0', 0xd69f_0000], ['BRAAZ with op4 not 31', 0xd61f_0800], ['DRPS', 0xd6bf_03e0],
  ['data processing of two sources, opcode 0', 0x1ac0_0000], ['data processing of two sources, opcode 1', 0x1ac0_0400], ['CRC32X of 32 bits', 0x1ac0_4c00], ['CRC32B with sf', 0x9ac0_4000], ['data processing of two sources with S', 0xbac0_0800],
  ['REV of 32 bits, opcode 3', 0x5ac0_0c00], ['CTZ (FEAT_CSSC)', 0x5ac0_1800], ['one source, opcode2 2', 0xdac2_0000], ['XPACI, Rn not 31', 0xdac1_4000], ['PACIZA, Rn not 31', 0xdac1_2000], ['one source, opcode 18', 0xdac1_4be0], ['logical shifted of 32 bits by 32', 0x0a00_8000],
  ['ADD (shifted) with ROR', 0x0bc0_0000], ['ADD (extended) by 5', 0x0b20_1400], ['ADD (extended), opt 1', 0x0b60_0000], ['ADC with op2', 0x1a00_0400], ['CCMP with o2', 0x7a40_0400], ['CCMP without S', 0x1a40_0000], ['CSEL with op2 2', 0x1a80_0800], ['CSEL with S', 0x3a80_0000],
  ['three sources, op54 1', 0x3b00_0000], ['SMADDL of 32 bits', 0x1b20_0000], ['SMULH of 32 bits', 0x1b40_0000],
  ['load or store pair, opc 3', 0xe900_0000], ['STNP, opc 1', 0x6800_0000], ['load register (register), option 0', 0xf860_0800], ['atomic, o3 opc 1', 0x3820_b000], ['LDAPR with A', 0x38ff_c000], ['CASP of an odd register', 0x0821_7c00], ['unscaled store-release of a signed word', 0xd9c0_0000],
];

test.each(UNDEFINED)('%s (%#x) is UNDEFINED at EL0, EL1 and EL2, and changes no register', (_what, word) => {
  for (const el of [0, 1, 2] as const) {
    const { core, memory } = bareCore({ el2: 'guest' });
    setPstate(core, el);
    set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
    set(core, 'VBAR_EL2', BigInt(RAM + 0x1000));
    for (let register = 0; register < 31; register++) core.words[register] = BigInt(RAM + 0x2000 + 0x100 * register);
    const before = core.words.slice(0, 31);
    program(memory, RAM, [word]);
    run(core, 1);
    const level = el === 2 ? 2 : 1;
    expect([get(core, `ESR_EL${level}`), get(core, `ELR_EL${level}`), core.words.slice(0, 31)], disassemble(word)).toEqual([0x0200_0000n, BigInt(RAM), before]);
  }
});

test('every hint that is allocated to nothing does nothing, at every level', () => {
  /** CRm:op2 of those with an effect: WFE, WFI, SEV, SEVL; those that sign, check or strip; ESB. */
  const effective = new Set([2, 3, 4, 5, 7, 8, 10, 12, 14, 16, ...Array.from({ length: 8 }, (_, place) => 24 + place)]);
  let done = 0;
  for (let number = 0; number < 128; number++) {
    if (effective.has(number)) continue;
    for (const el of [0, 1, 2] as const) {
      const { core, memory } = bareCore({ el2: 'guest' });
      setPstate(core, el);
      const before = core.words.slice();
      program(memory, RAM, [(0xd503_201f | (number << 5)) >>> 0]);
      const { end } = run(core, 1);
      before[Word.PC] = BigInt(RAM + 4);
      before[Word.ATTEMPTED] = 1n;
      expect(`hint ${number} at EL${el}: ${end.type}`).toBe(`hint ${number} at EL${el}: budget`);
      expect(core.words.slice()).toEqual(before);
      done++;
    }
  }
  expect(done).toBe(3 * (128 - effective.size));
});
