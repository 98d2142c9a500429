/** Registers that are views of something else, or whose writes are noticed. */

import { beforeEach, expect, test } from 'vitest';
import { Pstate, Word } from '../../../machines/aarch64/state.ts';
import { resetSystemRegisters } from '../../../machines/aarch64/sysregs.ts';
import { type Bare, type BareOptions, bareCore, get, set } from '../../support/core.ts';
import { mrs, msr } from '../../support/system-access.ts';

let t: Bare;
const start = (options: BareOptions = {}): void => {
  t = bareCore({ ramBytes: 0x1_0000, el2: 'guest', el: 2, cores: 2, ...options });
  for (const core of t.cores) resetSystemRegisters(core.words, t.board, core.index);
};
const el = (level: 0 | 1 | 2): void => { t.core.words[Word.PSTATE] = (t.core.words[Word.PSTATE]! & ~0xcn) | BigInt(level << 2); };
beforeEach(() => start());

test('PSTATE shows through NZCV, DAIF, SPSel, PAN, UAO, DIT and SSBS, each in its SPSR bits', () => {
  for (const [name, bits] of [['NZCV', 0xf000_0000n], ['DAIF', 0x3c0n], ['SPSel', 1n], ['PAN', 1n << 22n], ['UAO', 1n << 23n], ['DIT', 1n << 24n], ['SSBS', 1n << 12n]] as const) {
    expect(msr(t.core, name, (1n << 64n) - 1n)).toBe('done');
    expect(`${name} ${mrs(t.core, name)}`).toBe(`${name} ${bits}`);
    expect(msr(t.core, name, 0n)).toBe('done');
    expect(`${name} ${mrs(t.core, name)}`).toBe(`${name} 0`);
  }
  expect(t.core.ints[2 * Word.PSTATE]! & ~0xc).toBe(0);
});

test('writing DAIF looks for interrupts', () => {
  t.core.attention = false;
  msr(t.core, 'DAIF', 0n);
  expect(t.core.attention).toBe(true);
});

test('EL1 reads the identity that EL2 chose, EL2 the real one', () => {
  msr(t.core, 'VPIDR_EL2', 0x1234n);
  msr(t.core, 'VMPIDR_EL2', 0x5n);
  expect(mrs(t.core, 'MIDR_EL1')).toBe(0x410f_d0f0n);
  expect(mrs(t.core, 'MPIDR_EL1')).toBe(0x8000_0000n);
  el(1);
  expect(mrs(t.core, 'MIDR_EL1')).toBe(0x1234n);
  expect(mrs(t.core, 'MPIDR_EL1')).toBe(0x8000_0005n);
  start({ el2: 'none', el: 1 });
  expect(mrs(t.cores[1]!, 'MPIDR_EL1')).toBe(0x8000_0001n);
});

test('CCSIDR_EL1 describes the cache that CSSELR_EL1 selects', () => {
  msr(t.core, 'CSSELR_EL1', 0n);
  expect(mrs(t.core, 'CCSIDR_EL1')).toBe(0xfe01an);
  msr(t.core, 'CSSELR_EL1', 2n);
  expect(mrs(t.core, 'CCSIDR_EL1')).toBe(0x7f_e07an);
});

test('DCZID_EL0.DZP says whether DC ZVA is allowed here', () => {
  expect(mrs(t.core, 'DCZID_EL0')).toBe(4n);
  el(1);
  set(t.core, 'HCR_EL2', get(t.core, 'HCR_EL2') | (1n << 28n));
  expect(mrs(t.core, 'DCZID_EL0')).toBe(0x14n);
  set(t.core, 'HCR_EL2', 1n << 31n);
  el(0);
  expect(mrs(t.core, 'DCZID_EL0')).toBe(0x14n);
  set(t.core, 'SCTLR_EL1', get(t.core, 'SCTLR_EL1') | (1n << 14n));
  expect(mrs(t.core, 'DCZID_EL0')).toBe(4n);
});

test('ISR_EL1 shows virtual interrupts where EL2 takes the physical ones', () => {
  el(1);
  set(t.core, 'HCR_EL2', (1n << 31n) | (1n << 7n));
  expect(mrs(t.core, 'ISR_EL1')).toBe(0n);
  set(t.core, 'HCR_EL2', (1n << 31n) | (1n << 7n) | (1n << 4n));
  expect(mrs(t.core, 'ISR_EL1')).toBe(BigInt(Pstate.I));
  set(t.core, 'HCR_EL2', (1n << 31n) | (7n << 6n) | (7n << 3n));
  expect(mrs(t.core, 'ISR_EL1')).toBe(BigInt(Pstate.I | Pstate.F | Pstate.A));
  el(2);
  expect(mrs(t.core, 'ISR_EL1')).toBe(0n);
});

test('OSLAR_EL1 locks the OS Lock that OSLSR_EL1 shows, and MDSCR_EL1 opens with it', () => {
  expect(mrs(t.core, 'OSLSR_EL1')).toBe(0xan);
  msr(t.core, 'MDSCR_EL1', 1n << 30n);
  expect(mrs(t.core, 'MDSCR_EL1')).toBe(1n << 30n);
  msr(t.core, 'OSLAR_EL1', 0n);
  expect(mrs(t.core, 'OSLSR_EL1')).toBe(8n);
  msr(t.core, 'MDSCR_EL1', 0n);
  expect(mrs(t.core, 'MDSCR_EL1')).toBe(1n << 30n);
});

test('claim tags are set and cleared apart', () => {
  msr(t.core, 'DBGCLAIMSET_EL1', 0x5n);
  expect(mrs(t.core, 'DBGCLAIMCLR_EL1')).toBe(5n);
  msr(t.core, 'DBGCLAIMCLR_EL1', 0x1n);
  expect(mrs(t.core, 'DBGCLAIMCLR_EL1')).toBe(4n);
  expect(mrs(t.core, 'DBGCLAIMSET_EL1')).toBe(0xffn);
});

test('writing what debug exceptions depend on has the run look at them again', () => {
  for (const name of ['MDSCR_EL1', 'DBGBCR0_EL1', 'DBGWCR3_EL1', 'OSLAR_EL1', 'MDCR_EL2', 'HCR_EL2', 'DAIF']) {
    t.core.attention = false;
    expect(`${name} ${msr(t.core, name, 1n)}`).toBe(`${name} done`);
    expect(`${name} ${t.core.attention}`).toBe(`${name} true`);
  }
});

test('writing HCR_EL2 looks for interrupts, and ends the run where {E2H,TGE} change what a timer counts from', () => {
  t.core.attention = false;
  expect(msr(t.core, 'HCR_EL2', 1n << 4n)).toBe('done');
  expect(t.core.attention).toBe(true);
  expect(t.core.end).toBeUndefined();
  expect(msr(t.core, 'HCR_EL2', 1n << 34n)).toBe('done');
  expect(t.core.end).toEqual({ type: 'effect' });
});

test('timer and interrupt registers are reached through their machines', () => {
  t.board.now = 1_000_000;
  expect(mrs(t.core, 'CNTPCT_EL0')).toBe(62_500n);
  expect((mrs(t.core, 'ICH_VTR_EL2') as bigint) & 0x1fn).toBe(3n);
  expect(mrs(t.core, 'ICC_IAR1_EL1')).toBe(1023n);
  expect(msr(t.core, 'ICC_PMR_EL1', 0xffn)).toBe('done');
  expect(mrs(t.core, 'ICC_PMR_EL1')).toBe(0xf8n);
});
