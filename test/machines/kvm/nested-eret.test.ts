/** Which returns from virtual EL2 are legal, and what an illegal one leaves: every mode of SPSR_EL2, under every mechanism as on a bare board. */

import { describe, expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { el1Vectors, probe, type Case, type Seen } from '../../support/probe.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));
const TGE = 1n << 27n;
/** N and V, DIT, PAN, D and F: what each return reinstates. */
const MORE = 0x9140_0240;

const casesFor = (l1: Flavour): Case[] =>
  [false, true].flatMap((tge) => Array.from({ length: 32 }, (_, mode): Case => ({
    name: `M = 0b${mode.toString(2).padStart(5, '0')}${tge ? ', TGE' : ''}`, code: 'hvc #5', spsr: MORE | mode, ...(tge ? { hcr: TGE } : {}), setup: el1Vectors(l1),
  })));

const outcomes = (l1: Flavour, options: { el2?: 'guest'; nested?: Mechanism }): Record<string, Seen[]> => {
  const cases = casesFor(l1);
  const seen = probe(cases, { ...options, l1 });
  return Object.fromEntries(cases.map(({ name }, index) => [name, seen[index]!]));
};

const bare = { vhe: outcomes('vhe', { el2: 'guest' }), nvhe: outcomes('nvhe', { el2: 'guest' }) };

/** EL0t, EL1t, EL1h, EL2t, EL2h. */
const LEGAL: readonly number[] = [0b00000, 0b00100, 0b00101, 0b01000, 0b01001];

describe.each(['vhe', 'nvhe'] as const)('a return from EL2 on a bare board of the %s flavour', (l1) => {
  test.each([false, true])('is legal to EL0, EL1 and EL2 in AArch64 state, and not to EL1 under TGE (TGE: %s)', (tge) => {
    const legal = casesFor(l1).filter(({ hcr }) => (hcr !== undefined) === tge).filter(({ name }) => (BigInt(`0x${bare[l1][name]![0]!.esr}`) >> 26n) !== 0x0en).map(({ spsr }) => spsr & 31);
    expect(legal).toEqual(LEGAL.filter((mode) => !tge || (mode & 0xc) !== 4));
  });

  test('that is illegal stays at EL2h, sets PSTATE.IL and takes flags, masks and PAN from SPSR_EL2', () => {
    const [seen] = bare[l1]['M = 0b01101']!;
    expect(seen).toMatchObject({ el: 2, vector: '200', esr: '3a000000', elr: 0 });
    // DIT becomes UNKNOWN: it stays as it was.
    expect(BigInt(`0x${seen!.spsr}`) & ~(1n << 24n)).toBe((BigInt(MORE >>> 0) & 0xf040_03c0n) | 0x10_0009n);
  });
});

test.each(SETTINGS)('under %s for %s each return does what it does on a bare board', (nested, l1) => {
  expect(outcomes(l1, { nested })).toEqual(bare[l1]);
});
