/** Floating point against qemu-aarch64: results and FPSR, in every rounding mode, with and without flushing, default NaNs and alternative half precision. */

import { expect, test } from 'vitest';
import { FLOAT_ROWS, OPERATIONS, compareGroups, operationGroup, randomWord, type Difference, type Group } from './float-oracle.ts';
import { QEMU, randomNumbers } from './user-oracle.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_102);
/** A million for the long form, which takes some twenty minutes. */
const CASES = Number(process.env['ZENO_FLOAT_CASES'] ?? 15_000);
const BATCH = 150_000;
/** Words of each row, and cases of each word. */
const ROW_WORDS = 20;
const ROW_CASES = Math.ceil(CASES / 500);

/** Compares groups cut and gathered into batches; `flags` gets the bits of FPSR that qemu set. */
function compareAll(groups: readonly Group[], random: () => number, flags = { seen: 0 }): readonly Difference[] {
  const differences: Difference[] = [];
  let batch: Group[] = [];
  let held = 0;
  const flush = (): void => {
    if (held > 0) differences.push(...compareGroups(batch, random, 1, flags));
    batch = [];
    held = 0;
  };
  for (const group of groups) {
    for (let left = group.count; left > 0; left -= BATCH) {
      const count = Math.min(left, BATCH);
      if (held + count > BATCH) flush();
      batch.push({ ...group, count });
      held += count;
    }
  }
  flush();
  return differences;
}

test.skipIf(QEMU === undefined)(`each of ${OPERATIONS.length} floating-point operations gives what qemu-aarch64 gives, ${CASES} times (needs qemu-aarch64; seed ${SEED})`, () => {
  const flags = { seen: 0 };
  const differing = compareAll(OPERATIONS.map((operation) => operationGroup(operation, CASES)), randomNumbers(SEED), flags);
  expect(differing.slice(0, 3), `${differing.length} differ`).toEqual([]);
  // Invalid Operation, Divide by Zero, Overflow, Underflow, Inexact and Input Denormal have all been met.
  expect(flags.seen).toBe(0x9f);
}, 7_200_000);

test.skipIf(QEMU === undefined)(`every floating-point row, ${ROW_WORDS} random words of it, leaves the registers that qemu-aarch64 leaves (needs qemu-aarch64; seed ${SEED})`, () => {
  const random = randomNumbers(SEED + 1);
  const sizes = [16, 32, 64] as const;
  const groups = FLOAT_ROWS.flatMap((row) => Array.from({ length: ROW_WORDS }, () => randomWord(row, random)).flatMap((word) =>
    (word === undefined ? [] : [{ word, size: sizes[random() % 3]!, count: ROW_CASES, scalar: false }])));
  expect(groups.length).toBe(FLOAT_ROWS.length * ROW_WORDS);
  const differing = compareAll(groups, random);
  expect(differing.slice(0, 3), `${differing.length} differ`).toEqual([]);
}, 7_200_000);
