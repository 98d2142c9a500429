/** Every floating-point operation that the engines have a fast form of, on operands that matter, against the reference engine's exact arithmetic: results and FPSR. */

import { expect, test } from 'vitest';
import { generator } from '../../snapshots/explore.ts';
import { seedOr } from '../support/scenario.ts';
import { compareLoop, compareOne, OPERATIONS } from './float-fast.ts';

/** Cases of each operation; a million for the long form, which takes some twenty minutes. */
const CASES = Number(process.env['ZENO_FLOAT_FAST'] ?? 3000);
const SEED = seedOr(20_261_127);

test.each(OPERATIONS.map((operation, index) => [operation.text, operation, SEED + index] as const))('%s', (_, operation, seed) => {
  const differing = compareOne(operation, CASES, generator(seed));
  expect(differing.slice(0, 3), `${differing.length} of ${CASES} differ, seed ${seed}`).toEqual([]);
  const inLoops = compareLoop(operation, CASES / 8, generator(seed + 10_000));
  expect(inLoops.slice(0, 3), `${inLoops.length} differ in loops, seed ${seed}`).toEqual([]);
}, 3_600_000);
