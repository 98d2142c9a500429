/** Registers that L1 reads at its start and after writing them: as on a bare board of its flavour, but for what is stated. */

import { describe, expect, test } from 'vitest';
import { IMPLEMENTED_REGISTERS } from '../../../machines/aarch64/sysregs.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, keep, load, OFF, runProgram, UNDEFINED, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));
const rows = IMPLEMENTED_REGISTERS.filter((row) => row.access !== 'W' && row.el < 3 && row.hole === undefined);
const END = `${OFF}\nlower: irq: b {irq}\n${VECTORS}`;

/** What moves by itself, and what an UNDEFINED read before it has left behind. */
const MOVES = /^CNT(PCT|VCT)(SS)?_EL0$|_TVAL_|^(E?SR|ELR|SPSR|ESR)_EL/;
/** FEAT_NV2 turns these into memory whether L1 is shown their features or not; on the core of `pv` FEAT_FGT, HCX and ECV are not there. */
const shownOtherwise = (name: string, nested: Mechanism): boolean =>
  (nested === 'nv2' && /^(VNCR_EL2|CNTPOFF_EL2)$/.test(name)) || (nested === 'pv' && /^(HF|HDF|HCRX_|ID_AA64MMFR[01]_|ID_AA64DFR0_)/.test(name));

const read = (options: ProgramOptions): Record<string, bigint> => {
  const text = `${BEGIN}\n${rows.map(({ name }) => `movz x0, #0xdead; mrs x0, ${name}\n${keep('x0')}`).join('\n')}\n${END}`;
  const found = runProgram(text, options).results(rows.length);
  return Object.fromEntries(rows.map(({ name }, place) => [name, found[place]!]));
};

const bareAtStart = { vhe: read({ el2: 'guest', l1: 'vhe' }), nvhe: read({ el2: 'guest', l1: 'nvhe' }) };

describe.each(SETTINGS)('under %s for %s', (nested, l1) => {
  test('every register reads at the start as on a bare board', () => {
    const bare = bareAtStart[l1];
    const found = read({ nested, l1 });
    const differ = rows.filter(({ name }) => found[name] !== bare[name] && !MOVES.test(name) && !shownOtherwise(name, nested)).map(({ name }) => `${name}: ${found[name]!.toString(16)}, on a bare board ${bare[name]!.toString(16)}`);
    expect(differ).toEqual([]);
    expect(Object.values(bare).filter((value) => value !== UNDEFINED && value !== 0n).length).toBeGreaterThan(30);
  });

  test('the registers of virtual EL2 keep of what is written what they keep on a bare board', () => {
    // Under FEAT_NV2 what is in the page is read as it was written: nothing looks at reserved bits there but L0.
    const written = rows.filter(({ access, el, name, vncr, alias }) => access === 'RW' && el === 2 && alias === undefined && !(nested === 'nv2' && vncr !== undefined) && !/^(HCR|SCTLR|VBAR|CNT.*TVAL|SPSR|ELR|ESR)/.test(name) && !MOVES.test(name) && !shownOtherwise(name, nested));
    for (const value of [0xffff_ffff_ffff_ffffn, 0x1234_5678_9abc_def0n]) {
      const text = `${BEGIN}\n${load('x1', value)}\n${written.map(({ name }) => `mov x0, x1; msr ${name}, x0; mrs x0, ${name}\n${keep('x0')}\nmsr ${name}, xzr`).join('\n')}\n${END}`;
      const keptBy = (options: ProgramOptions): string[] => runProgram(text, options).results(written.length).map((found, place) => `${written[place]!.name} ${found.toString(16)}`);
      // MDCR_EL2.TDCC is FEAT_FGT's.
      const same = (line: string): boolean => nested === 'pv' && line.startsWith('MDCR_EL2');
      expect(keptBy({ nested, l1 }).filter((line) => !same(line))).toEqual(keptBy({ el2: 'guest', l1 }).filter((line) => !same(line)));
    }
  });
});
