/** The core against qemu-aarch64, which shares no line of code with it: random user-level instructions on random state. The long form is oracle.ts. */

import { expect, test } from 'vitest';
import { QEMU, USER_ROWS, runBatch, type Difference } from './user-oracle.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_101);
const BATCHES = 3;

test('qemu-aarch64 is there wherever tests run for a merge', () => {
  expect(QEMU !== undefined || process.env['CI'] === undefined).toBe(true);
});

test.skipIf(QEMU === undefined)(`random user-level instructions of every row leave the state that qemu-aarch64 leaves (needs qemu-aarch64; seed ${SEED})`, async () => {
  const executed = new Map<string, number>();
  const differences: Difference[] = [];
  let unexplained = 0;
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const result = await runBatch('reference', SEED, batch);
    for (const [name, count] of result.executed) executed.set(name, (executed.get(name) ?? 0) + count);
    differences.push(...result.differences);
    unexplained += result.unexplained;
  }
  console.log(`seed ${SEED}: ${[...executed.values()].reduce((sum, count) => sum + count, 0)} instructions executed; by row: ${[...executed].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  expect(differences.slice(0, 3), `${differences.length + unexplained} differ`).toEqual([]);
  expect(USER_ROWS.filter(({ name }) => (executed.get(name) ?? 0) < 50).map(({ name }) => name)).toEqual([]);
}, 300_000);
