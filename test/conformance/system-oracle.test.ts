/** The core in lock-step with qemu-system-aarch64. The long form is oracle-system.ts. */

import { expect, test } from 'vitest';
import { QEMU_SYSTEM, compilerIsThere, runRandomProgram, runWrittenProgram } from './system-oracle.ts';

const SEED = Number(process.env['ZENO_SEED'] ?? 20_260_101);

test('qemu-system-aarch64 and a compiler are there wherever tests run for a merge', () => {
  expect((QEMU_SYSTEM !== undefined && compilerIsThere()) || process.env['CI'] === undefined).toBe(true);
});

test.skipIf(QEMU_SYSTEM === undefined || !compilerIsThere())('a program that builds tables and takes faults has QEMU\'s registers after every step (needs qemu-system-aarch64, aarch64-linux-gnu-gcc)', () => {
  const { difference, steps, taken } = runWrittenProgram('reference', 'translation', 12_000);
  expect(difference).toBeUndefined();
  expect(steps).toBe(12_000);
  expect(taken.size).toBeGreaterThan(0);
}, 120_000);

test.skipIf(QEMU_SYSTEM === undefined)(`random programs at EL2, EL1 and EL0 have QEMU's registers after every step (needs qemu-system-aarch64; seed ${SEED})`, () => {
  for (let number = 0; number < 6; number += 1) expect(runRandomProgram('reference', SEED, number, 2000).difference, `program ${number}`).toBeUndefined();
}, 120_000);
