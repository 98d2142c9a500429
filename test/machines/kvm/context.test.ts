/** Where virtual registers are: what L1 writes by one name, L2 finds under another, under every mechanism as on a bare board. */

import { describe, expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, BELOW, keep, load, OFF, runProgram, VECTORS } from '../../support/guest-program.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));

/** Registers that L1 switches for its guest: by their _EL12 name with VHE, else by their own. */
const SWITCHED = ['SCTLR', 'CPACR', 'TTBR0', 'TTBR1', 'TCR', 'SPSR', 'ELR', 'AFSR0', 'AFSR1', 'ESR', 'FAR', 'MAIR', 'AMAIR', 'VBAR', 'CONTEXTIDR', 'CNTKCTL'];
const SAME = ['SP_EL1', 'TPIDR_EL0', 'TPIDRRO_EL0', 'TPIDR_EL1', 'PAR_EL1', 'CSSELR_EL1', 'MDSCR_EL1', 'ACTLR_EL1'];
const ALL = [...SWITCHED, ...SAME];
const below = (name: string): string => (name.includes('_') ? name : `${name}_EL1`);
const own = (name: string, l1: Flavour): string => (name.includes('_') ? name : `${name}_EL1${l1 === 'vhe' ? '2' : ''}`);

/** A value of its own for each register, with bits that the register does not have. */
function value(name: string, place: number, by: 'L1' | 'L2'): bigint {
  const first = by === 'L1';
  if (name === 'SCTLR') return 0x30d0_0980n | (first ? 1n << 26n : 0n);
  if (name === 'MDSCR_EL1') return first ? 1n << 12n : 0n;
  // CNTKCTL_EL1.EVNTIS is FEAT_ECV's, which L0 has and does not show.
  if (name === 'CNTKCTL') return first ? 0x301n : 0x102n;
  return (first ? 0x1122_3344_5566_0000n : 0x5566_7788_99aa_0000n) + BigInt((place * 0x123) & 0xfff8);
}

const hcr = (l1: Flavour): bigint => (1n << 31n) | (l1 === 'vhe' ? 1n << 34n : 0n);
const enter = (l1: Flavour, spsr = 0x3c5): string => [load('x0', hcr(l1)), 'msr HCR_EL2, x0', load('x0', BELOW), 'msr ELR_EL2, x0', load('x0', spsr), 'msr SPSR_EL2, x0; eret'].join('\n');

function exchange(l1: Flavour, options: { el2?: 'guest'; nested?: Mechanism }): Record<string, bigint> {
  const text = [
    BEGIN, ...ALL.map((name, place) => `${load('x0', value(name, place, 'L1'))}\nmsr ${own(name, l1)}, x0`), enter(l1),
    'lower:', ...ALL.map((name) => `mrs x0, ${own(name, l1)}\n${keep('x0')}`), OFF, 'irq: b {irq}', VECTORS,
  ].join('\n');
  const l2 = [
    ...ALL.map((name) => `${name === 'SP_EL1' ? 'add x0, sp, #0' : `mrs x0, ${below(name)}`}\n${keep('x0')}`),
    ...ALL.map((name, place) => `${load('x0', value(name, place, 'L2'))}\n${name === 'SP_EL1' ? 'add sp, x0, #0' : `msr ${below(name)}, x0`}`), 'hvc #1',
  ].join('\n');
  const found = runProgram(text, { ...options, l1, below: l2 }).results(2 * ALL.length);
  return Object.fromEntries([...ALL.map((name, place) => [`L2 reads ${below(name)}`, found[place]!]), ...ALL.map((name, place) => [`L1 reads ${own(name, l1)}`, found[ALL.length + place]!])]) as Record<string, bigint>;
}

describe('what L1 writes for its guest, the guest finds, and what the guest writes, L1 finds', () => {
  const bare = { vhe: exchange('vhe', { el2: 'guest' }), nvhe: exchange('nvhe', { el2: 'guest' }) };

  test('on a bare board: each register keeps of a value what it has bits for', () => {
    expect(bare.vhe['L2 reads MAIR_EL1']).toBe(value('MAIR', ALL.indexOf('MAIR'), 'L1'));
    expect(bare.nvhe['L1 reads ELR_EL1']).toBe(value('ELR', ALL.indexOf('ELR'), 'L2'));
    expect(bare.vhe['L2 reads ACTLR_EL1']).toBe(0n);
    expect(new Set(Object.values(bare.vhe)).size).toBeGreaterThan(32);
  });

  test.each(SETTINGS)('under %s for %s as on a bare board', (nested, l1) => {
    expect(exchange(l1, { nested })).toEqual(bare[l1]);
  });
});

test.each(SETTINGS)('under %s for %s: L1\'s CNTHCTL_EL2 leaves its guest\'s CNTKCTL_EL1 alone', (nested, l1) => {
  const text = [BEGIN, load('x0', 0x302), `msr ${own('CNTKCTL', l1)}, x0`, load('x0', 0xc03), 'msr CNTHCTL_EL2, x0', enter(l1), `lower: ${OFF}`, 'irq: b {irq}', VECTORS].join('\n');
  expect(runProgram(text, { nested, l1, below: `mrs x0, CNTKCTL_EL1\n${keep('x0')}\nhvc #0` }).results(1)).toEqual([0x302n]);
});

/** SPSR_EL2 in virtual EL2: what an exception within it leaves there, what L1 writes there, and that one is not taken for the other (bug B30). */
function spsr(l1: Flavour, options: { el2?: 'guest'; nested?: Mechanism }): bigint[] {
  const text = [
    BEGIN, load('x1', 0x400), 'msr SP_EL0, x1',
    // Written and read back: modes of L2, an illegal one, the marker's own value, virtual EL2's.
    ...[0x3c5, 0x3c4, 0x3c0, 0x3c9, 0x3c8, 0x3c1, 0x3c2, 0x8000_03c5].flatMap((mode) => [load('x0', mode), 'msr SPSR_EL2, x0; movz x0, #0; mrs x0, SPSR_EL2', keep('x0')]),
    // Exceptions within EL2h and EL2t: UNDEFINED. The handler keeps what it found and returns by it.
    load('x0', 0x3c5), 'msr SPSR_EL2, x0; udf #0; udf #0; msr SPSel, xzr; udf #0', 'mrs x0, CurrentEL', keep('x0'), OFF,
    'taken: mrs x0, SPSR_EL2', keep('x0'), 'mrs x26, ELR_EL2; add x26, x26, #4; msr ELR_EL2, x26; eret',
    'lower: irq: b {irq}', VECTORS.replace('.org 0x8200\nsame: mrs x26', '.org 0x8200\nb {taken}\nsame: mrs x26').replace('b {same}', 'b {taken}'),
  ].join('\n');
  return runProgram(text, { ...options, l1 }).results(12);
}

describe('SPSR_EL2 in virtual EL2 (bug B30)', () => {
  test('on a bare board says EL2 after an exception from it, and else what was written', () => {
    expect(spsr('vhe', { el2: 'guest' }).slice(0, 11).map((found) => found & 0x1fn)).toEqual([5n, 4n, 0n, 9n, 8n, 1n, 2n, 5n, 9n, 9n, 8n]);
  });
  test.each(SETTINGS)('under %s for %s is the same', (nested, l1) => expect(spsr(l1, { nested })).toEqual(spsr(l1, { el2: 'guest' })));
});
