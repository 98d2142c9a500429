/** The reference engine against qemu-aarch64, which shares no line of code with it: random user-level instructions on random state. */

import { expect, test } from 'vitest';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import { QEMU, USER_ROWS, compareCases, makeCases, randomNumbers } from './user-oracle.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_101);
const BATCH = 20_500;
const BATCHES = 10;

test('qemu-aarch64 is there wherever tests run for a merge', () => {
  expect(QEMU !== undefined || process.env['CI'] === undefined).toBe(true);
});

test.skipIf(QEMU === undefined)(`${BATCH * BATCHES} random user-level instructions leave the state that qemu-aarch64 leaves (needs qemu-aarch64; seed ${SEED})`, () => {
  const random = randomNumbers(SEED);
  const counts = new Map<string, number>();
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const cases = makeCases(BATCH, random);
    for (const { row } of cases) counts.set(row.name, (counts.get(row.name) ?? 0) + 1);
    const differing = compareCases(cases, random).map(({ name, words, theirs, ours }) => ({
      name, text: words.map((word) => disassemble(word)).join('; '), qemu: [...theirs].map(hexadecimal), ours: [...ours].map(hexadecimal),
    }));
    expect(differing.slice(0, 3), `${differing.length} differ`).toEqual([]);
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  console.log(`seed ${SEED}: ${total} cases; by row: ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  expect(total).toBeGreaterThanOrEqual(200_000);
  expect(USER_ROWS.filter((row) => (counts.get(row.name) ?? 0) < 100).map((row) => row.name)).toEqual([]);
}, 300_000);

const hexadecimal = (value: bigint): string => value.toString(16);
