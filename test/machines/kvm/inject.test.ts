/** Exceptions that L0 takes for its guest, to virtual EL2 and to EL1, from every mode: as a bare board takes them. */

import { describe, expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { load } from '../../support/guest-program.ts';
import { el1Vectors, probe, type Case, type Seen } from '../../support/probe.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));
const Hcr = { VI: 1n << 7n, IMO: 1n << 4n, VSE: 1n << 8n, AMO: 1n << 5n, TWI: 1n << 13n, TID1: 1n << 16n, TID3: 1n << 18n, TSC: 1n << 19n, TIDCP: 1n << 20n, TVM: 1n << 26n, TGE: 1n << 27n, HCD: 1n << 29n, TRVM: 1n << 30n };
const FLAGS = 0x6100_0000;
const MODES: Readonly<Record<string, number>> = { EL0t: 0, EL1t: 4, EL1h: 5, EL2t: 8, EL2h: 9 };
const BELOW_EL2 = ['EL0t', 'EL1t', 'EL1h'];
const all = Object.keys(MODES);

/** A type of exception, and the modes that it is taken from. S3_0_C15_C0_0 is IMPLEMENTATION DEFINED, and L0 traps it. */
const TYPES: readonly { readonly name: string; readonly code: string; readonly from: readonly string[]; readonly hcr?: bigint; readonly masks?: number }[] = [
  { name: 'HVC', code: 'hvc #0x1234', from: all },
  { name: 'HVC with HCD', code: 'hvc #0', from: ['EL2t', 'EL2h'], hcr: Hcr.HCD },
  { name: 'SMC with TSC', code: 'smc #0', from: BELOW_EL2, hcr: Hcr.TSC },
  { name: 'WFI with TWI', code: 'wfi', from: BELOW_EL2, hcr: Hcr.TWI },
  { name: 'a write with TVM', code: 'msr TTBR0_EL1, x3', from: ['EL1t', 'EL1h'], hcr: Hcr.TVM },
  { name: 'a read with TRVM', code: 'nop; mrs x4, SCTLR_EL1', from: ['EL1t', 'EL1h'], hcr: Hcr.TRVM },
  { name: 'a read with TID3', code: 'mrs x4, ID_AA64PFR0_EL1', from: ['EL1t', 'EL1h'], hcr: Hcr.TID3 },
  { name: 'a read with TIDCP', code: '.inst 0xd538f001', from: ['EL1t', 'EL1h'], hcr: Hcr.TIDCP },
  { name: 'UNDEFINED, found by L0', code: 'nop; .inst 0xd538f001', from: all },
  { name: 'UNDEFINED, found by the hardware', code: 'udf #0', from: all },
  { name: 'SVC', code: 'svc #7', from: all },
  { name: 'an external abort of a load', code: `${load('x5', 0x0f00_0000)}\nldr x6, [x5]`, from: all },
  { name: 'an external abort of a store', code: `${load('x5', 0x0f00_0008)}\nstr x6, [x5]`, from: all },
  { name: 'an external abort of a fetch', code: `${load('x5', 0x0f00_0000)}\nbr x5`, from: all },
  { name: 'a virtual interrupt of HCR_EL2.VI', code: 'nop', from: BELOW_EL2, hcr: Hcr.VI | Hcr.IMO, masks: 0x340 },
  { name: 'no virtual interrupt of HCR_EL2.VI without IMO', code: 'hvc #0', from: ['EL1h'], hcr: Hcr.VI, masks: 0x340 },
  { name: 'a virtual SError', code: 'nop; nop', from: BELOW_EL2, hcr: Hcr.VSE | Hcr.AMO, masks: 0x2c0 },
];

const casesFor = (l1: Flavour): Case[] =>
  TYPES.flatMap(({ name, code, from, hcr, masks }) => from.flatMap((mode) => [false, true].flatMap((tge): Case[] => {
    // The EL0 of a VHE host is the only thing below EL2 that TGE allows.
    if (tge && (mode !== 'EL0t' || l1 === 'nvhe' || hcr !== undefined)) return [];
    const bits = (hcr ?? 0n) | (tge ? Hcr.TGE : 0n);
    return [{ name: `${name} from ${mode}${tge ? ' of the host' : ''}`, code: `${code}\nhvc #0xbad`, spsr: FLAGS | (masks ?? 0x3c0) | MODES[mode]!, hcr: bits, setup: el1Vectors(l1) }];
  })));

function outcomes(l1: Flavour, options: { el2?: 'guest'; nested?: Mechanism }): Record<string, Seen[]> {
  const cases = casesFor(l1);
  const seen = probe(cases, { ...options, l1 });
  return Object.fromEntries(cases.map(({ name }, index) => [name, seen[index]!]));
}

const bare = { vhe: outcomes('vhe', { el2: 'guest' }), nvhe: outcomes('nvhe', { el2: 'guest' }) };

describe('on a bare board', () => {
  test.each([
    ['HVC from EL1h', 2, '400', '5a001234', 4], ['HVC from EL2h', 2, '200', '5a001234', 4], ['HVC from EL2t', 2, '0', '5a001234', 4], ['HVC from EL0t', 1, '400', '2000000', 0],
    ['HVC with HCD from EL2h', 2, '200', '2000000', 0], ['SMC with TSC from EL1h', 2, '400', '5e000000', 0], ['WFI with TWI from EL0t', 2, '400', '7e00000', 0],
    ['UNDEFINED, found by L0 from EL1t', 1, '0', '2000000', 4], ['UNDEFINED, found by L0 from EL1h', 1, '200', '2000000', 4], ['a virtual interrupt of HCR_EL2.VI from EL1h', 1, '280', undefined, 0],
    ['a virtual interrupt of HCR_EL2.VI from EL0t', 1, '480', undefined, 0], ['a virtual SError from EL1h', 1, '380', 'be000000', 0],
    ['an external abort of a store from EL1h', 1, '200', '96000050', 16], ['an external abort of a load from EL0t', 1, '400', '92000010', 16],
  ] as const)('%s goes to EL%i, vector %s', (name, el, vector, esr, elr) => {
    const [first] = bare.vhe[name]!;
    expect(first).toMatchObject({ el, vector, elr, ...(esr === undefined ? {} : { esr }), daif: '3c0', spsel: '1', currentEl: el === 2 ? '8' : '4' });
  });

  test('the host\'s EL0 takes its exceptions to EL2', () => {
    for (const name of ['SVC', 'UNDEFINED, found by the hardware', 'an external abort of a load', 'HVC']) expect(bare.vhe[`${name} from EL0t of the host`]![0], name).toMatchObject({ el: 2, vector: '400' });
  });
});

test.each(SETTINGS)('under %s for %s each exception is taken as on a bare board', (nested, l1) => {
  expect(outcomes(l1, { nested })).toEqual(bare[l1]);
});
