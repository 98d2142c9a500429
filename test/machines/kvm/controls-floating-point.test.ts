/** FP and Advanced SIMD of what L1 runs: it traps to L1 where L1's CPTR_EL2 says so, to L2's EL1 where CPACR_EL1 says so, and nowhere otherwise. Arm ARM: CPTR_EL2, AArch64.CheckFPAdvSIMDEnabled. Linux: __activate_cptr_traps. */

import { expect, test } from 'vitest';
import { decode } from '../../../machines/aarch64/decode.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { load, type ProgramOptions } from '../../support/guest-program.ts';
import { el1Vectors, probe, type Case, type Seen } from '../../support/probe.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));

/** FADD D0, D0, D0: UNDEFINED on a processor without FP, which is then what every machine says alike. */
const FADD = 0x1e60_2800;
const HAS_FP = decode(FADD).row !== undefined && decode(FADD).row?.hole === undefined;

/** L1's CPTR_EL2 by flavour, and whether it traps; L2's CPACR_EL1.FPEN, and whether that traps at EL1 and at EL0. */
const CPTR: Readonly<Record<Flavour, readonly (readonly [value: bigint, traps: boolean])[]>> = {
  vhe: [[0n, true], [1n << 20n, false], [2n << 20n, true], [3n << 20n, false]],
  nvhe: [[0x33ffn & ~(1n << 10n), false], [0x33ffn | (1n << 10n), true]],
};
const FPEN = [[true, true], [false, true], [true, true], [false, false]] as const;

interface Asked { readonly each: Case; readonly expected: 'L1' | 'EL1' | 'done' }

const asked = (l1: Flavour): Asked[] => CPTR[l1].flatMap(([cptr, byL1]) => FPEN.flatMap((traps, fpen) => [1, 0].map((el): Asked => ({
  each: {
    name: `CPTR_EL2 ${cptr.toString(16)}, FPEN ${fpen}, EL${el}`, code: `.inst 0x${FADD.toString(16)}\n${el === 1 ? 'hvc #1' : 'svc #1'}`, spsr: el === 1 ? 0x3c5 : 0x3c0,
    setup: `${load('x1', cptr)}\nmsr CPTR_EL2, x1\n${load('x1', fpen << 20)}\nmsr CPACR_EL1${l1 === 'vhe' ? '2' : ''}, x1\n${el1Vectors(l1)}`,
  },
  // CPACR_EL1 is asked first.
  expected: traps[1 - el]! ? 'EL1' : byL1 ? 'L1' : 'done',
}))));

function seen(l1: Flavour, options: ProgramOptions): Record<string, Seen[]> {
  const cases = asked(l1).map(({ each }) => each);
  const lists = probe(cases, { ...options, l1 });
  return Object.fromEntries(cases.map(({ name }, index) => [name, lists[index]!]));
}
const bare = { vhe: seen('vhe', { el2: 'guest' }), nvhe: seen('nvhe', { el2: 'guest' }) };

test.each(['vhe', 'nvhe'] as const)('on a bare board of the %s flavour an FP instruction ends where the controls say, with EC 7, or is UNDEFINED where there is no FP', (l1) => {
  for (const { each, expected } of asked(l1)) {
    const [first] = bare[l1][each.name]!;
    const ec = Number(BigInt(`0x${first!.esr}`) >> 26n);
    const found = ec === 7 ? (first!.el === 2 ? 'L1' : 'EL1') : ec === 0 ? 'UNDEFINED' : 'done';
    expect(`${each.name}: ${found}`).toBe(`${each.name}: ${HAS_FP ? expected : 'UNDEFINED'}`);
  }
});

test.each(SETTINGS)('under %s for %s it ends as on a bare board', (nested, l1) => {
  expect(seen(l1, { nested })).toEqual(bare[l1]);
});
