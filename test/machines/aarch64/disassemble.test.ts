/** Disassembly against GNU objdump, and the round trip through the assembler. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROWS } from '../../../machines/aarch64/a64.ts';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { decode } from '../../../machines/aarch64/decode.ts';
import { disassemble } from '../../../machines/aarch64/disassemble.ts';
import { bitmaskImmediate } from '../../../machines/aarch64/instructions/bitmask.ts';
import { OPERATIONS } from '../../../machines/aarch64/registers/operations.ts';
import type { Row } from '../../../machines/aarch64/row.ts';
import { randomNumbers } from '../../conformance/user-oracle.ts';

const OBJDUMP = 'aarch64-linux-gnu-objdump';
const installed = spawnSync(OBJDUMP, ['--version']).status === 0;

interface Sample { readonly row: Row; readonly word: number }

/** `count` words of each row, with registers 31, zeros and ones more often than chance has them. */
function samples(count: number, seed: number): readonly Sample[] {
  const random = randomNumbers(seed);
  return ROWS.filter((row) => row.hole === undefined).flatMap((row) => Array.from({ length: count }, () => {
    let word = random();
    for (const { lsb, width } of row.spans) {
      const kind = random() % 8;
      const field = (2 ** width - 1) << lsb;
      if (kind === 0) word |= field;
      else if (kind === 1) word &= ~field;
    }
    return { row, word: ((word & ~row.mask & ~row.shouldMask) | row.value | row.shouldValue) >>> 0 };
  }));
}

/** Where our text differs from objdump's (binutils 2.40) on purpose. */
const DIFFERENCES: readonly (readonly [name: string, holds: (sample: Sample, ours: string, theirs: string) => boolean])[] = [
  ['objdump refuses LDPSW with equal registers, which is CONSTRAINED UNPREDICTABLE only', ({ row }, ours, theirs) => row.name.startsWith('LDPSW') && theirs.startsWith('.inst') && ours.startsWith('ldpsw')],
  ['objdump prints a PSTATE field of one bit set to more than 1 as a register', ({ row, word }, _ours, theirs) => row.name.startsWith('MSR (immediate)') && ((word >>> 8) & 15) > 1 && theirs.startsWith('msr s0_')],
  ['objdump prints DGH by its number unless told of Armv8.6', (_sample, ours, theirs) => ours === 'dgh' && theirs === 'hint #0x6'],
  ['register names that are newer than binutils 2.40', ({ row }, _ours, theirs) => /^M[RS][RS]/.test(row.name) && /\bs[23]_[0-7]_c\d+_c\d+_[0-7]\b/.test(theirs)],
  ['objdump names a SYS operation without a register whatever Rt is, and those of EL3 and of features that are absent', ({ row }, ours, theirs) => row.name === 'SYS' && ours.startsWith('sys #') && /^(at|cfp|cpp|dc|dvp|ic|tlbi) /.test(theirs)],
  ['registers that objdump knows and no row of sysregs names', ({ row }, ours) => /^M[RS][RS]/.test(row.name) && /\bs[23]_[0-7]_c\d+_c\d+_[0-7]\b/.test(ours)],
];

test.skipIf(!installed)(`disassembly is objdump's text, but for ${DIFFERENCES.length} named differences (needs ${OBJDUMP})`, () => {
  const words = samples(400, 3);
  const theirs = objdump(words.map(({ word }) => word));
  expect(theirs).toHaveLength(words.length);
  const differing = words.flatMap((sample, index) => {
    const ours = disassemble(sample.word, BigInt(4 * index));
    const their = theirs[index]!;
    if (ours === their || DIFFERENCES.some(([, holds]) => holds(sample, ours, their))) return [];
    return [{ row: sample.row.name, word: sample.word.toString(16), ours, objdump: their }];
  });
  expect(differing).toEqual([]);
});

test('assembling the disassembly of a word gives the word', () => {
  for (const [index, { row, word }] of samples(40, 4).entries()) {
    const at = BigInt(0x4000_0000 + 4 * index);
    const text = disassemble(word, at);
    const again = assemble(text, at);
    // Logical immediates have several encodings of one value, which the text cannot tell apart.
    if (again !== word && row.name.endsWith(' (immediate)')) expect(sameBitmask(again, word), text).toBe(true);
    else expect(again, text).toBe(word);
  }
});

test.skipIf(!installed)(`every system instruction has objdump's name (needs ${OBJDUMP})`, () => {
  const words = OPERATIONS.map(({ name, encoding }) => 0xd500_0000 + encoding * 32 + (/ALLU|MALL|ALLE/.test(name) ? 31 : 7));
  const theirs = objdump(words);
  expect(words.map((word) => disassemble(word))).toEqual(theirs);
  expect(words.map((word) => assemble(disassemble(word)))).toEqual(words);
});

test('holes, reserved encodings and bits that should be other are printed as data', () => {
  expect(disassemble(0x0420_0000)).toBe('.inst 0x04200000');
  expect(disassemble(0x1ea0_4020)).toBe('.inst 0x1ea04020');
  expect(disassemble(0x0000_0001)).toBe('udf #1');
  expect(disassemble(0x0001_0000)).toBe('.inst 0x00010000');
  expect(disassemble(0x9b40_0000)).toBe('.inst 0x9b400000');
  expect(disassemble(0xd503_39bf)).toBe('dmb ishld');
});

/** Equal but for N, immr and imms, which stand for one immediate. */
function sameBitmask(one: number, other: number): boolean {
  const first = decode(one).fields;
  const second = decode(other).fields;
  const fields = 0x007f_fc00;
  return ((one ^ other) & ~fields) === 0 && bitmaskImmediate(first.N, first.r, first.j) === bitmaskImmediate(second.N, second.r, second.j);
}

/** objdump's text of each word, placed from address 0; comments dropped, one space between words. */
function objdump(words: readonly number[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-objdump-'));
  try {
    const path = join(folder, 'words.bin');
    writeFileSync(path, new Uint8Array(Uint32Array.from(words).buffer));
    const output = execFileSync(OBJDUMP, ['-D', '-z', '-b', 'binary', '-maarch64', path], { maxBuffer: 2 ** 28 }).toString();
    return output.split('\n').filter((line) => /^\s*[0-9a-f]+:\t/.test(line))
      .map((line) => line.split('\t').slice(2).join(' ').replace(/\s*(?:\/\/|;).*$/, '').replaceAll(/\s+/g, ' ').trim());
  } finally {
    rmSync(folder, { recursive: true });
  }
}
