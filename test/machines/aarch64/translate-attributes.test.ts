/** The memory type of both stages together where it is Device: the stricter of two, or the one that there is (Arm ARM: S2CombineS1MemAttrs, S2ApplyFWBMemAttrs). */

import { expect, test } from 'vitest';
import { RAM, bareCore, get, set } from '../../support/core.ts';
import { sys } from '../../support/system-access.ts';
import { S1, S2, attr, map, tablesAt } from '../../support/tables.ts';

const VA = 0x1234_5678_9000n;
const IPA = 0x8000_3000;
/** nGnRnE, nGnRE, nGRE, GRE; Normal Non-cacheable and write-back. */
const MAIR = 0xff44_0c08_0400n;

function combined(first: number, second: number, fwb: boolean): bigint {
  const { core, memory } = bareCore({ el: 2 });
  const one = tablesAt(memory, RAM + 0x10_0000);
  const two = tablesAt(memory, RAM + 0x20_0000);
  map(one, Number(VA), IPA, S1.AF | attr(first));
  map(two, IPA, RAM, S2.AF | S2.READ | S2.WRITE | (BigInt(second) << 2n));
  map(two, RAM, RAM, S2.AF | S2.READ | S2.WRITE | S2.NORMAL, 1);
  set(core, 'HCR_EL2', (1n << 31n) | 1n | (fwb ? 1n << 46n : 0n));
  set(core, 'TCR_EL1', 16n | (16n << 16n) | (5n << 32n));
  set(core, 'MAIR_EL1', MAIR);
  set(core, 'TTBR0_EL1', BigInt(one.root));
  set(core, 'SCTLR_EL1', 1n);
  set(core, 'VTCR_EL2', 0x8000_0000n | (5n << 16n) | (2n << 6n) | 16n);
  set(core, 'VTTBR_EL2', BigInt(two.root));
  expect(sys(core, 'AT S12E1R', VA)).toBe('done');
  return get(core, 'PAR_EL1') >> 56n;
}

test.each([false, true])('Device of stage 2 over Device of stage 1 is the stricter, over Normal its own (FWB %s)', (fwb) => {
  for (let second = 0; second < 4; second++) {
    for (let first = 0; first < 4; first++) expect(combined(first, second, fwb)).toBe(BigInt(4 * Math.min(first, second)));
    expect([combined(4, second, fwb), combined(5, second, fwb)]).toEqual([BigInt(4 * second), BigInt(4 * second)]);
  }
});
