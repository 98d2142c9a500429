/** Advanced SIMD, its loads and stores and ciphers in the reference engine against qemu-aarch64: every row, random operands and memory. */

import { expect, test } from 'vitest';
import { VECTOR } from '../../machines/aarch64/a64.ts';
import { randomNumbers } from './user-oracle.ts';
import { QEMU, compareVectorCases, makeVectorCases } from './vector-oracle.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_102);
/** Cases in one run of QEMU. */
const BATCH = 20_000;
/** `ZENO_VECTOR_BATCHES=15` for some 500 cases a row. */
const BATCHES = Number(process.env['ZENO_VECTOR_BATCHES'] ?? 3);

test.skipIf(QEMU === undefined)(`${BATCH * BATCHES} random vector instructions leave the state that qemu-aarch64 leaves (needs qemu-aarch64; seed ${SEED})`, () => {
  const random = randomNumbers(SEED);
  const counts = new Map<string, number>();
  let saturated = 0;
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const cases = makeVectorCases(BATCH, random);
    for (const { row } of cases) counts.set(row.name, (counts.get(row.name) ?? 0) + 1);
    const { differing, saturations } = compareVectorCases(cases, random);
    expect(differing.slice(0, 3), `${differing.length} differ`).toEqual([]);
    saturated += saturations;
  }
  const least = Math.min(...VECTOR.map(({ name }) => counts.get(name) ?? 0));
  console.log(`seed ${SEED}: ${BATCH * BATCHES} cases of ${VECTOR.length} rows, at least ${least} each; ${saturated} saturated`);
  expect(least).toBeGreaterThanOrEqual(20 * BATCHES);
  expect(saturated).toBeGreaterThan(BATCH * BATCHES / 30);
}, 300_000);
