/** FEAT_PAuth below L0: L1's keys and traps, ERETAA of virtual EL2, and what L2 sees, under every mechanism as on a bare board. Arm ARM: HCR_EL2.API, APK. Linux: pauth.c. */

import { expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, BELOW, keep, load, OFF, runProgram, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';
import { el1Vectors, probe, type Case } from '../../support/probe.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));
const API = 1n << 41n;
const APK = 1n << 40n;
/** EnIA and EnIB, EnDA and EnDB. */
const ENABLES = 0xc800_2000n;

const enable = (l1: Flavour): string => `${load('x1', 0x30d0_0980n | ENABLES)}\nmsr SCTLR_EL1${l1 === 'vhe' ? '2' : ''}, x1\n${load('x1', 0x10_0010n)}\nmsr TCR_EL1${l1 === 'vhe' ? '2' : ''}, x1\n${el1Vectors(l1)}`;

const CODES = ['pacia x0, x1', 'autdb x0, x1', 'pacga x0, x1, x2', 'paciasp', 'xpaci x0', 'braaz x0', 'mrs x0, APIAKeyLo_EL1', 'msr APGAKeyHi_EL1, x0'];

const cases = (l1: Flavour): Case[] => [0n, API, APK, API | APK].flatMap((hcr) => CODES.map((code): Case => ({
  name: `HCR_EL2 ${hcr.toString(16)}: ${code}`, code: `adr x0, {next}\n${code}\nnext: hvc #1`, spsr: 0x3c5, hcr, setup: enable(l1),
})));
/** Labels are those of one program. */
const named = (l1: Flavour): Case[] => cases(l1).map((each, index) => ({ ...each, code: each.code.replaceAll('next', `next${index}`) }));

const seen = (l1: Flavour, options: ProgramOptions): Record<string, unknown> => {
  const all = named(l1);
  const lists = probe(all, { ...options, l1 });
  return Object.fromEntries(all.map(({ name }, index) => [name, lists[index]]));
};
const bare = { vhe: seen('vhe', { el2: 'guest' }), nvhe: seen('nvhe', { el2: 'guest' }) };

test('on a bare board API traps what signs and checks, with EC 9, and APK the keys, with EC 0x18', () => {
  const classOf = (name: string): bigint => BigInt(`0x${(bare.nvhe[name] as { esr: string }[])[0]!.esr}`) >> 26n;
  expect(CODES.map((code) => classOf(`HCR_EL2 0: ${code}`))).toEqual([9n, 9n, 9n, 9n, 0x16n, 9n, 0x18n, 0x18n]);
  expect(CODES.map((code) => classOf(`HCR_EL2 ${API.toString(16)}: ${code}`)).slice(6)).toEqual([0x18n, 0x18n]);
});

test.each(SETTINGS)('under %s for %s L1 gets of L2 what it traps, and L2 has the rest', (nested, l1) => {
  expect(seen(l1, { nested })).toEqual(bare[l1]);
});

/** Virtual EL2 signs with its own keys, returns by ERETAA within EL2 and by ERETAB to EL1, whose EL1 checks what EL2 signed with the same key. */
const program = (l1: Flavour): string => `${BEGIN}
${load('x0', (1n << 31n) | API | APK | (l1 === 'vhe' ? 1n << 34n : 0n))}\nmsr HCR_EL2, x0
${load('x0', 0x30c5_0830n | ENABLES)}\nmsr SCTLR_EL2, x0
${load('x0', l1 === 'vhe' ? 0x10_0010n : 0x8080_0010n)}\nmsr TCR_EL2, x0
${enable(l1)}
${load('x0', 0x1122_3344_5566_7788n)}
msr APIAKeyLo_EL1, x0; msr APIBKeyHi_EL1, x0; msr APIBKeyLo_EL1, x0
adr x1, {inside}; mov x2, sp; pacia x1, x2; ${keep('x1')}; msr ELR_EL2, x1; movz x1, #0x3c9; msr SPSR_EL2, x1
eretaa
inside: mrs x3, CurrentEL; ${keep('x3')}
${load('x1', BELOW)}; ${keep('x1')}; pacib x1, sp; ${keep('x1')}; msr ELR_EL2, x1; movz x1, #0x3c5; msr SPSR_EL2, x1
${load('x4', 0x4000_1234n)}; paciza x4; ${keep('x4')}
eretab
lower: mrs x5, ESR_EL2; ${keep('x5')}; ${keep('x4')}; ${keep('x6')}
${OFF}
irq: b {irq}
${VECTORS}`;
const BELOW_CODE = 'autiza x4; mrs x6, APIAKeyLo_EL1; hvc #3';

test.each(SETTINGS)('under %s for %s ERETAA and ERETAB check with L1\'s keys, which EL1 below has too', (nested, l1) => {
  const run = (options: ProgramOptions): bigint[] => runProgram(program(l1), { ...options, l1, below: BELOW_CODE }).results(8);
  const expected = run({ el2: 'guest' });
  expect(expected.slice(1, 3)).toEqual([8n, BigInt(BELOW)]);
  expect(expected.slice(5, 8)).toEqual([0x5a00_0003n, 0x4000_1234n, 0x1122_3344_5566_7788n]);
  expect(run({ nested })).toEqual(expected);
});
