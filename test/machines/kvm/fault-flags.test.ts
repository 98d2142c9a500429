/** Access flags and dirty state of L1's stage 2 and L2's stage 1 (FEAT_HAFDBS), and XN[1:0] (FEAT_XNX), with L0 in between as on a bare board. Arm ARM D8.5. */

import { expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, BELOW, keep, load, OFF, runProgram, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));

/** L1's stage 2: one GiB by two blocks of 2 MiB; L2's stage 1: one block of a GiB. Code is in the first 2 MiB, with L2's table; data in the second. */
const STAGE2 = 0x4030_0000;
const STAGE2_NEXT = 0x4030_1000;
const STAGE1 = 0x4018_0000;
const DATA = 0x4038_0000;
const DBM = 1n << 51n;
const AF = 1n << 10n;
const block2 = (address: number, more: bigint): bigint => BigInt(address) | 0x3cn | (3n << 8n) | 1n | more;
const READ = 1n << 6n, WRITE = 1n << 7n;
const block1 = 0x4000_0000n | (3n << 8n) | 1n;
const HD_HA = 3n;

const put = (address: number, value: bigint): string => `${load('x1', BigInt(address))}\n${load('x2', value)}\nstr x2, [x1]`;
const see = (address: number): string => `${load('x1', BigInt(address))}\nldr x2, [x1]\n${keep('x2')}`;
const el1 = (name: string, l1: Flavour): string => `${name}_EL1${l1 === 'vhe' ? '2' : ''}`;

interface Setup { readonly first: bigint; readonly second: bigint; readonly leaf: bigint; readonly vtcr: bigint; readonly below: string }

/** L2 comes back by HVC or a fault; each time L1 writes down why, where, and the three descriptors, and goes on behind the instruction. */
const program = (l1: Flavour, { first, second, leaf, vtcr }: Setup): string => `${BEGIN}
${put(STAGE2 + 8, BigInt(STAGE2_NEXT) | 3n)}
${put(STAGE2_NEXT, block2(0x4000_0000, first))}
${put(STAGE2_NEXT + 8, block2(0x4020_0000, second))}
${put(STAGE1 + 8, block1 | leaf)}
${load('x1', 0x8000_0000n | (5n << 16n) | (1n << 6n) | 25n | (vtcr << 21n))}; msr VTCR_EL2, x1
${load('x1', BigInt(STAGE2) | (7n << 48n))}; msr VTTBR_EL2, x1
${load('x1', 25n | (1n << 23n) | (5n << 32n) | (HD_HA << 39n))}; msr ${el1('TCR', l1)}, x1
movz x1, #0xff; msr ${el1('MAIR', l1)}, x1
${load('x1', BigInt(STAGE1))}; msr ${el1('TTBR0', l1)}, x1
${load('x1', 0x30d0_0981n)}; msr ${el1('SCTLR', l1)}, x1
${load('x1', (1n << 31n) | 1n | (l1 === 'vhe' ? 1n << 34n : 0n))}; msr HCR_EL2, x1
${load('x1', BELOW)}; msr ELR_EL2, x1; movz x1, #0x3c5; msr SPSR_EL2, x1
isb; eret
lower: mrs x2, ESR_EL2; ${keep('x2')}; mrs x3, FAR_EL2; lsr x4, x2, #26; sub x5, x4, #0x16; cbnz x5, {fault}; movz x3, #0; b {show}
fault: mrs x5, ELR_EL2; add x5, x5, #4; msr ELR_EL2, x5
show: ${keep('x3')}
${see(STAGE2_NEXT)}\n${see(STAGE2_NEXT + 8)}\n${see(STAGE1 + 8)}
mrs x2, ESR_EL2; and x2, x2, #0xffff; sub x2, x2, #0xff; cbz x2, {end}; eret
end: ${OFF}
irq: b {irq}
${VECTORS}`;

const STOPS = 4;
const seen = (l1: Flavour, setup: Setup, options: ProgramOptions): string[] => runProgram(program(l1, setup), { ...options, l1, below: setup.below }).results(5 * STOPS).map((value) => value.toString(16));

const access = (what: string): string => `${load('x0', DATA)}\n${what}`;
const CASES: Readonly<Record<string, Setup>> = {
  'both stages, clean and never accessed': { first: READ | DBM, second: READ | DBM, leaf: DBM | (1n << 7n), vtcr: HD_HA, below: `hvc #0\n${access('ldr x1, [x0]')}\nhvc #1\nstr x0, [x0]\nhvc #2\nhvc #0xff` },
  'Access flags only': { first: READ | WRITE, second: READ | DBM, leaf: AF, vtcr: 1n, below: `hvc #0\n${access('ldr x1, [x0]')}\nhvc #1\nstr x0, [x0]\nhvc #0xff` },
  'stage 2 that is read-only under L2\'s table': { first: READ | AF, second: READ | WRITE | AF, leaf: AF | DBM | (1n << 7n), vtcr: HD_HA, below: `hvc #0\n${access('ldr x1, [x0]')}\nhvc #1\nstr x0, [x0]\nhvc #0xff` },
};

const bare = Object.fromEntries(Object.entries(CASES).flatMap(([name, setup]) => (['vhe', 'nvhe'] as const).map((l1) => [`${name} ${l1}`, seen(l1, setup, { el2: 'guest' })] as const)));

test('on a bare board the flags are set as the accesses say', () => {
  const found = bare['both stages, clean and never accessed nvhe']!.map((value) => BigInt(`0x${value}`));
  const flags = (stop: number): bigint[] => [found[5 * stop + 2]! & (AF | WRITE), found[5 * stop + 3]! & (AF | WRITE), found[5 * stop + 4]! & (AF | (1n << 7n))];
  // The fetch has marked stage 1, whose table is in the first block; then a load marks the second block, then a store makes it dirty, and stage 1's block.
  expect([flags(0), flags(1), flags(2)]).toEqual([[AF | WRITE, 0n, AF | (1n << 7n)], [AF | WRITE, AF, AF | (1n << 7n)], [AF | WRITE, AF | WRITE, AF]]);
  const refused = bare['stage 2 that is read-only under L2\'s table nvhe']!;
  // A stage-2 Permission fault of level 2 on the walk.
  expect(BigInt(`0x${refused[10]!}`) & 0xbfn).toBe(0x8en);
});

test.each(SETTINGS)('under %s for %s the same flags, at the same stops', (nested, l1) => {
  for (const [name, setup] of Object.entries(CASES)) expect(`${name}: ${seen(l1, setup, { nested }).join(' ')}`).toBe(`${name}: ${bare[`${name} ${l1}`]!.join(' ')}`);
});
