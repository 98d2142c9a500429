/** The core against qemu-aarch64, which shares no line of code with it: random user-level instructions on random state. The long form is oracle.ts. */

import { expect, test } from 'vitest';
import type { Row } from '../../machines/aarch64/row.ts';
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
    differences.push(...result.differences.filter(({ known }) => known === undefined));
    unexplained += result.unexplained;
  }
  console.log(`seed ${SEED}: ${[...executed.values()].reduce((sum, count) => sum + count, 0)} instructions executed; by row: ${[...executed].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  expect(differences.slice(0, 3), `${differences.length + unexplained} differ`).toEqual([]);
  expect(USER_ROWS.filter(({ name }) => (executed.get(name) ?? 0) < 50).map(({ name }) => name)).toEqual([]);
}, 300_000);

test.skipIf(QEMU === undefined)('an instruction with a wrong semantics is found, by name, among the others of its block (needs qemu-aarch64)', async () => {
  const names = ['ADD (immediate)', 'SUBS (shifted register)', 'UDIV', 'EXTR', 'LDR (immediate, unsigned offset)', 'STP (signed offset)', 'CSEL', 'MOVK', 'BLR', 'CBZ'];
  const rows = USER_ROWS.filter(({ name }) => names.includes(name));
  const wrong = rows.find(({ name }) => name === 'UDIV')!;
  const { semantics } = wrong;
  Object.assign(wrong, { semantics: ((b, f) => b.setX(f.d, b.add(b.x(f.n), b.x(f.m)))) satisfies Row['semantics'] });
  try {
    const { differences, unexplained } = await runBatch('reference', SEED, 0, { blocks: 20, units: 12, states: 3, runs: 2 }, rows);
    expect(differences.length + unexplained).toBeGreaterThan(5);
    expect(new Set(differences.map(({ row, alone }) => `${row}${alone ? ' alone' : ''}`))).toEqual(new Set(['UDIV alone']));
  } finally {
    Object.assign(wrong, { semantics });
  }
});
