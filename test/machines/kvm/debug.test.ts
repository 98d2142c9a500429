/** Self-hosted debug in and below virtual EL2: what L1 finds is what it finds on real EL2. Arm ARM D2; Linux: debug.c. */

import { describe, expect, test } from 'vitest';
import { BEGIN, BELOW, OFF, keep, load, runProgram } from '../../support/guest-program.ts';
import { FLAVOURS, MECHANISMS } from '../../support/scenario.ts';

const SS = 1 << 21;
const Mdscr = { SS: 1, KDE: 1 << 13, MDE: 1 << 15 };
const TDE = 1 << 8;
const EL1H = 5;
const EL2H = 9;
const D = 1 << 9;

/** Vectors at CODE + 0x8000: exceptions of EL2 itself go to `own`, those from below to `lower`. */
const VECTORS = 'irq: b {irq}\n.org 0x8200\nb {own}\n.org 0x8280\nb {irq}\n.org 0x8400\nb {lower}\n.org 0x8480\nb {irq}';
/** Keeps what an exception to EL2 reports; `FAR` only where it is one with an address. */
const report = ['ESR_EL2', 'ELR_EL2', 'SPSR_EL2'].map((name) => `mrs x0, ${name}; ${keep('x0')}`).join('\n');
const set = (name: string, value: number): string => `${load('x1', value)}; msr ${name}, x1`;
const leave = (at: string, spsr: number): string => `${at}; msr ELR_EL2, x1; ${set('SPSR_EL2', spsr)}; eret`;

/** Programs with the exceptions that they have to report, as [class, ISS, return address, SPSR.SS]. */
const PROGRAMS: Readonly<Record<string, { readonly text: string; readonly below?: string; readonly reports: readonly (readonly [number, number, number, number])[] }>> = {
  'software step of EL1 by EL2, twice, and once with SPSR.SS clear': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.SS)}; movz x20, #0; ${leave(load('x1', BELOW), EL1H | SS)}
      lower: ${report}; add x20, x20, #1; cmp x20, #3; b.eq {off}; mrs x1, SPSR_EL2; movz x2, #0x20, lsl #16; orr x2, x1, x2; cmp x20, #2; csel x1, x1, x2, eq; msr SPSR_EL2, x1; eret
      off: ${OFF}
      own: b {own}`,
    below: 'nop; b {there}; nop; there: nop; nop',
    reports: [[0x32, 0x100_0022, BELOW + 4, 0], [0x32, 0x100_0022, BELOW + 12, 0], [0x32, 0x22, BELOW + 12, 0]],
  },
  'software step over an instruction that L0 emulates, and over an HVC': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.SS)}; ${leave(load('x1', BELOW), EL1H | SS)}
      lower: ${report}; mrs x1, SPSR_EL2; movz x2, #0x20, lsl #16; orr x1, x1, x2; msr SPSR_EL2, x1; mrs x0, ESR_EL2; lsr x0, x0, #26; cmp x0, #0x16; b.eq {off}; eret
      off: ${OFF}
      own: b {own}`,
    below: 'mrs x0, ID_AA64PFR0_EL1; hvc #7; nop',
    // What L0 emulates was not stepped by the hardware: ISV is not looked at (see below).
    reports: [[0x32, 0x22, BELOW + 4, 0], [0x16, 7, BELOW + 8, 0]],
  },
  'EL1 steps itself in EL0': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDSCR_EL1', Mdscr.SS)}; ${leave(load('x1', BELOW), EL1H)}
      lower: ${report}; ${OFF}
      own: b {own}`,
    // EL1 keeps what it got in the place of the first report, SPSR_EL1 aside.
    below: `${load('x1', BELOW + 0x800)}; msr VBAR_EL1, x1; movz x1, #0x20, lsl #16; msr SPSR_EL1, x1; adr x1, {user}; msr ELR_EL1, x1; eret; user: nop; nop
      .org 0xc00
      mrs x0, ESR_EL1; mrs x1, ELR_EL1; str x0, [x28], #8; str x1, [x28], #16; hvc #0`,
    reports: [[0x32, 0x100_0022, BELOW + 44, 0], [0x16, 0, BELOW + 0xc14, 0]],
  },
  'a breakpoint in what EL2 runs': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.MDE)}; ${set('DBGBVR1_EL1', BELOW + 8)}; ${set('DBGBCR1_EL1', 0x1e7)}; ${leave(load('x1', BELOW), EL1H | D)}
      lower: ${report}; ${OFF}
      own: b {own}`,
    below: 'nop; nop; nop; nop',
    reports: [[0x30, 0x22, BELOW + 8, 0]],
  },
  'a watchpoint in what EL2 runs': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.MDE)}; ${set('DBGWVR2_EL1', BELOW + 0x108)}; ${set('DBGWCR2_EL1', 0x1ff7)}; ${leave(load('x1', BELOW), EL1H | D)}
      lower: ${report}; mrs x0, FAR_EL2; ${load('x1', BELOW + 0x108)}; sub x0, x0, x1; ${keep('x0')}; ${OFF}
      own: b {own}`,
    below: `${load('x2', BELOW + 0x108)}; str x2, [x2]`,
    reports: [[0x34, 0x62, BELOW + 16, 0]],
  },
  'the PMU, which neither EL1 nor EL0 has: UNDEFINED': {
    text: `${BEGIN}; ${leave(load('x1', BELOW), EL1H)}
      lower: ${report}; ${OFF}
      own: b {own}`,
    // EL1's own exception first, then EL0's, each kept by EL1.
    below: `${load('x1', BELOW + 0x800)}; msr VBAR_EL1, x1; mrs x3, PMCR_EL0; msr SPSR_EL1, xzr; adr x1, {user}; msr ELR_EL1, x1; eret; user: mrs x3, PMCCNTR_EL0; nop
      .org 0xa00
      mrs x0, ESR_EL1; mrs x1, ELR_EL1; str x0, [x28], #8; str x1, [x28], #16; add x1, x1, #4; msr ELR_EL1, x1; eret
      .org 0xc00
      mrs x0, ESR_EL1; mrs x1, ELR_EL1; str x0, [x28], #8; str x1, [x28], #16; hvc #0`,
    reports: [[0, 0, BELOW + 20, 0], [0, 0, BELOW + 40, 0], [0x16, 0, BELOW + 0xc14, 0]],
  },
  'a breakpoint that EL2 has on itself': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.MDE | Mdscr.KDE)}; adr x2, {there}; msr DBGBVR0_EL1, x2; ${set('DBGBCR0_EL1', 0x21e3)}; ${leave('adr x1, {here}', EL2H)}
      here: nop
      there: nop; nop
      own: mrs x0, ESR_EL2; ${keep('x0')}; adr x0, {there}; mrs x1, ELR_EL2; sub x1, x1, x0; ${load('x0', BELOW)}; add x1, x1, x0; ${keep('x1')}; mrs x0, SPSR_EL2; ${keep('x0')}; ${OFF}
      lower: b {lower}`,
    reports: [[0x31, 0x22, BELOW, 0]],
  },
  'EL2 steps itself': {
    text: `${BEGIN}; msr OSLAR_EL1, xzr; ${set('MDCR_EL2', TDE)}; ${set('MDSCR_EL1', Mdscr.SS | Mdscr.KDE)}; ${leave('adr x1, {here}', EL2H | SS)}
      here: nop; nop; nop
      own: mrs x0, ESR_EL2; ${keep('x0')}; adr x0, {here}; mrs x1, ELR_EL2; sub x1, x1, x0; ${load('x0', BELOW)}; add x1, x1, x0; ${keep('x1')}; mrs x0, SPSR_EL2; ${keep('x0')}; ${OFF}
      lower: b {lower}`,
    reports: [[0x33, 0x100_0022, BELOW + 4, 0]],
  },
};

const boards = [...FLAVOURS.map((l1) => ['guest', 'none', l1] as const), ...MECHANISMS.filter((nested) => nested !== 'none').flatMap((nested) => FLAVOURS.map((l1) => ['kvm', nested, l1] as const))];

describe.each(boards)('EL2 owned by %s, mechanism %s, a %s hypervisor', (el2, nested, l1) => {
  test.each(Object.entries(PROGRAMS))('%s', (name, { text, below, reports }) => {
    const ran = runProgram(`${text}\n${VECTORS}`, { el2, nested, l1, ...(below === undefined ? {} : { below }) });
    expect(ran.world.state.ended).toMatchObject({ by: 'off' });
    const found = reports.map((_, index) => {
      const [esr, elr, spsr] = [0, 1, 2].map((word) => ran.results(3 * reports.length)[3 * index + word]!) as [bigint, bigint, bigint];
      return [Number(esr >> 26n), Number(esr & 0x1ff_ffffn), Number(elr), Number((spsr >> 21n) & 1n)];
    });
    // Whether ISV is set after an instruction that L0 did for its guest is not said: hardware would have stepped it on a bare board.
    const seen = name.includes('emulates') ? found.map(([ec, iss, ...rest]) => [ec, ec === 0x32 ? iss! & ~0x100_0000 : iss, ...rest]) : found;
    expect(seen).toEqual(reports);
  });
});
