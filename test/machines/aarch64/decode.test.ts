/** Decoding: the fast tables against a plain search, and what is UNDEFINED. */

import { expect, test } from 'vitest';
import { ROWS } from '../../../machines/aarch64/a64.ts';
import { decode, rowOf } from '../../../machines/aarch64/decode.ts';
import { encode, fieldsOf } from '../../../machines/aarch64/row.ts';
import { randomNumbers } from '../../conformance/user-oracle.ts';

test('the tables find the row that a search over all rows finds', () => {
  const random = randomNumbers(1);
  for (let turn = 0; turn < 20_000; turn += 1) {
    const seed = ROWS[turn % ROWS.length]!;
    const word = turn % 3 === 0 ? random() : ((random() & ~seed.mask) | seed.value) >>> 0;
    expect(rowOf(word)).toBe(ROWS.find((row) => ((word ^ row.value) & row.mask) === 0));
  }
});

test('fields put together again are the word, but for bits that should be other', () => {
  const random = randomNumbers(2);
  for (const row of ROWS.filter((candidate) => candidate.hole === undefined)) {
    for (let turn = 0; turn < 20; turn += 1) {
      const word = ((random() & ~row.mask & ~row.shouldMask) | row.value | row.shouldValue) >>> 0;
      expect(encode(row, fieldsOf(row, word))).toBe(word);
    }
  }
});

/** Reserved values of allocated patterns: UNDEFINED by the decode pseudocode of the Arm ARM. */
test.each([
  ['a 32-bit shift by 32 or more', 0x0b00_8020], ['ROR in ADD (shifted register)', 0x8bc0_0020], ['an extend shifted by 5', 0x8b20_1420],
  ['a bitfield whose N is not sf', 0x9300_0000], ['a 32-bit bitfield with immr of 32', 0x1320_0000], ['EXTR of 32 bits with a lsb of 32', 0x1380_8000],
  ['a logical immediate of all ones', 0x9240_fc00], ['a 32-bit logical immediate with N', 0x1240_0000], ['MOVZ of 32 bits at bit 32', 0x52c0_0000],
  ['a byte index register extended from a byte', 0x3820_0820], ['CASP from an odd register', 0x4821_7c00], ['DRPS\'s neighbour', 0xd6bf_03e1], ['word 1 in a branch', 0x5400_0010],
  ['LDPSW\'s store', 0x6800_0000 | 0], ['FEAT_CSSC\'s ABS', 0xdac0_2000],
])('%s is UNDEFINED', (_name, word) => {
  const decoded = decode(word >>> 0);
  const isHole = decoded.row?.hole !== undefined;
  expect(decoded.row === undefined || isHole).toBe(true);
  // STGP lies where a store of LDPSW's kind would.
  if (isHole) expect(decoded.row!.hole).toBe('Memory tagging');
});
