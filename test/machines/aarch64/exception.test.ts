/** Exceptions: what is saved, where they go, what traps, what returns are illegal. Arm ARM D1.3 and D8.11. */

import { describe, expect, test } from 'vitest';
import { receiveOffer } from '../../../machines/aarch64/cpu-interface.ts';
import {
  breakpoint, checkStackAlignment, hypervisorCall, pcAlignmentFault, raise, returnTo, secureMonitorCall, sendEvent, supervisorCall,
  takeInterrupt, undefinedInstruction, waitForEvent, waitForInterrupt,
} from '../../../machines/aarch64/exception.ts';
import { exceptionReturn } from '../../../machines/aarch64/exception-return.ts';
import { fetchInstruction } from '../../../machines/aarch64/memory-access.ts';
import { type Core, Power, Pstate, Word, elOf } from '../../../machines/aarch64/state.ts';
import { RAM, bareCore, get, outcome, set, setPstate } from '../../support/core.ts';

const PC = BigInt(RAM) + 0x100n;
const VBAR1 = 0x4001_0000n;
const VBAR2 = 0x4002_0000n;
const Hcr = { FMO: 8n, IMO: 16n, AMO: 32n, VF: 64n, VI: 128n, VSE: 256n, TWI: 1n << 13n, TWE: 1n << 14n, TSC: 1n << 19n, TGE: 1n << 27n, HCD: 1n << 29n, RW: 1n << 31n, E2H: 1n << 34n, NV: 1n << 42n, NV1: 1n << 43n, NV2: 1n << 45n };
const NO_MASKS = 0;

/** A guest-owned board at `el` with vectors and a PC, HCR_EL2 = RW | hcr. */
function at(el: number, hcr = 0n, more: number = NO_MASKS, sp?: 0 | 1): Core {
  const { core } = bareCore();
  setPstate(core, el, more, sp);
  set(core, 'HCR_EL2', Hcr.RW | hcr);
  set(core, 'VBAR_EL1', VBAR1);
  set(core, 'VBAR_EL2', VBAR2);
  core.words[Word.PC] = PC;
  core.attention = false;
  return core;
}

describe('the vector is the base of the target level plus an offset by origin and kind (Arm ARM Table D1-7)', () => {
  test.each([
    ['EL1 with SP_EL0', 1, 0, 0n, VBAR1 + 0x000n],
    ['EL1 with SP_EL1', 1, 1, 0n, VBAR1 + 0x200n],
    ['EL0 to EL1', 0, 0, 0n, VBAR1 + 0x400n],
    ['EL0 to EL2 under TGE', 0, 0, Hcr.TGE, VBAR2 + 0x400n],
    ['EL2 with SP_EL0', 2, 0, 0n, VBAR2 + 0x000n],
    ['EL2 with SP_EL2', 2, 1, 0n, VBAR2 + 0x200n],
  ] as const)('synchronous, %s', (_name, el, sp, hcr, vector) => {
    const core = at(el, hcr, 0, sp);
    expect(outcome(core, () => undefinedInstruction(core))).toMatch(/ec=00 iss=0$/);
    expect(core.words[Word.PC]).toBe(vector);
  });

  test('VBAR_ELx bits 10 to 0 are not part of the base', () => {
    const core = at(1);
    set(core, 'VBAR_EL1', VBAR1 | 0x7ffn);
    outcome(core, () => undefinedInstruction(core));
    expect(core.words[Word.PC]).toBe(VBAR1 + 0x200n);
  });
});

const pstateAfter = (core: Core): number => {
  outcome(core, () => undefinedInstruction(core));
  return core.ints[2 * Word.PSTATE]!;
};

describe('PSTATE on entry (Arm ARM D1.3.1.4, AArch64.TakeException)', () => {
  const masks = Pstate.D | Pstate.A | Pstate.I | Pstate.F;

  test('DAIF are set and SP_ELx is selected', () => expect(pstateAfter(at(0)) & (masks | 0x1f)).toBe(masks | 5));
  test('UAO, IL, SS and BTYPE are cleared, DIT is kept', () => {
    expect(pstateAfter(at(1, 0n, Pstate.UAO | Pstate.IL | Pstate.SS | 0xc00 | Pstate.DIT)) & (Pstate.UAO | Pstate.IL | Pstate.SS | 0xc00 | Pstate.DIT)).toBe(Pstate.DIT);
  });
  test.each([
    ['EL1, SPAN = 0: PAN is set', 1, 0n, 'SCTLR_EL1', 0n, 0, true],
    ['EL1, SPAN = 1: PAN stays clear', 1, 0n, 'SCTLR_EL1', 1n << 23n, 0, false],
    ['EL1, SPAN = 1: PAN stays set', 1, 0n, 'SCTLR_EL1', 1n << 23n, Pstate.PAN, true],
    ['EL2 without E2H: SPAN is not looked at', 2, 0n, 'SCTLR_EL2', 0n, 0, false],
    ['EL2 with E2H but not TGE: SPAN is not looked at', 2, Hcr.E2H, 'SCTLR_EL2', 0n, 0, false],
    ['EL2 with E2H and TGE, SPAN = 0: PAN is set', 2, Hcr.E2H | Hcr.TGE, 'SCTLR_EL2', 0n, 0, true],
    ['EL2 with E2H and TGE, SPAN = 1: PAN stays clear', 2, Hcr.E2H | Hcr.TGE, 'SCTLR_EL2', 1n << 23n, 0, false],
  ] as const)('%s', (_name, el, hcr, register, sctlr, pan, expected) => {
    const core = at(el, hcr, pan);
    set(core, register, sctlr);
    expect((pstateAfter(core) & Pstate.PAN) !== 0).toBe(expected);
  });
  test.each([[1, 'SCTLR_EL1'], [2, 'SCTLR_EL2']] as const)('SSBS takes the value of DSSBS at EL%i', (el, register) => {
    const core = at(el, 0n, Pstate.SSBS);
    expect(pstateAfter(core) & Pstate.SSBS).toBe(0);
    const other = at(el);
    set(other, register, 1n << 44n);
    expect(pstateAfter(other) & Pstate.SSBS).toBe(Pstate.SSBS);
  });
});

describe('SPSR_ELx is PSTATE before', () => {
  test('flags, masks, PAN, IL and mode are all there', () => {
    const core = at(1, 0n, Pstate.I | Pstate.PAN | Pstate.IL);
    core.words[Word.NZCV] = 0b1010n;
    outcome(core, () => undefinedInstruction(core));
    expect(get(core, 'SPSR_EL1')).toBe(0xa000_0000n | BigInt(Pstate.I | Pstate.PAN | Pstate.IL) | 5n);
  });

  // Arm ARM D8.11.1 and D8.11.6 (IDBTLM): SPSR_EL1.M says EL2 when {NV, NV1, NV2} is 1,0,0 or 1,x,1.
  test.each([
    ['NV = 0', 0n, 5n], ['NV', Hcr.NV, 9n], ['NV and NV1', Hcr.NV | Hcr.NV1, 5n], ['NV and NV2', Hcr.NV | Hcr.NV2, 9n],
    ['NV, NV1 and NV2', Hcr.NV | Hcr.NV1 | Hcr.NV2, 9n], ['NV2 without NV', Hcr.NV2, 5n], ['NV1 without NV', Hcr.NV1, 5n],
  ] as const)('an exception from EL1 to EL1 under %s shows M = %s', (_name, hcr, mode) => {
    const core = at(1, hcr);
    outcome(core, () => undefinedInstruction(core));
    expect(get(core, 'SPSR_EL1') & 15n).toBe(mode);
  });
  test('one from EL1t under NV shows EL2t', () => {
    const core = at(1, Hcr.NV, 0, 0);
    outcome(core, () => undefinedInstruction(core));
    expect(get(core, 'SPSR_EL1') & 15n).toBe(8n);
  });
  test('one from EL0 under NV shows EL0, and one from EL1 to EL2 shows EL1', () => {
    const user = at(0, Hcr.NV);
    outcome(user, () => undefinedInstruction(user));
    expect(get(user, 'SPSR_EL1') & 15n).toBe(0n);
    const kernel = at(1, Hcr.NV);
    outcome(kernel, () => hypervisorCall(kernel, 0));
    expect(get(kernel, 'SPSR_EL2') & 15n).toBe(5n);
  });
  test('a core without FEAT_NV ignores the bits', () => {
    const { core } = bareCore({ features: { nv: 0 }, el: 1 });
    set(core, 'HCR_EL2', Hcr.RW | Hcr.NV);
    outcome(core, () => undefinedInstruction(core));
    expect(get(core, 'SPSR_EL1') & 15n).toBe(5n);
  });
});

const NEXT = PC + 4n;
describe('exception-generating instructions', () => {
  test.each([
    ['SVC at EL0', 0, 0n, 0n, supervisorCall, 'EL1 ec=15 iss=2a', NEXT],
    ['SVC at EL0 under TGE', 0, Hcr.TGE, 0n, supervisorCall, 'EL2 ec=15 iss=2a', NEXT],
    ['SVC at EL1', 1, 0n, 0n, supervisorCall, 'EL1 ec=15 iss=2a', NEXT],
    ['SVC at EL2', 2, 0n, 0n, supervisorCall, 'EL2 ec=15 iss=2a', NEXT],
    ['SVC at EL0 with HFGITR_EL2.SVC_EL0 traps, to return to itself', 0, 0n, 1n << 52n, supervisorCall, 'EL2 ec=15 iss=2a', PC],
    ['SVC at EL0 with HFGITR_EL2.SVC_EL1', 0, 0n, 1n << 53n, supervisorCall, 'EL1 ec=15 iss=2a', NEXT],
    ['SVC at EL1 with HFGITR_EL2.SVC_EL1', 1, 0n, 1n << 53n, supervisorCall, 'EL2 ec=15 iss=2a', PC],
    ['SVC of a host application is not trapped by HFGITR_EL2', 0, Hcr.TGE | Hcr.E2H, 1n << 52n, supervisorCall, 'EL2 ec=15 iss=2a', NEXT],
    ['HVC at EL1', 1, 0n, 0n, hypervisorCall, 'EL2 ec=16 iss=2a', NEXT],
    ['HVC at EL2', 2, 0n, 0n, hypervisorCall, 'EL2 ec=16 iss=2a', NEXT],
    ['HVC at EL1 under NV is an ordinary HVC', 1, Hcr.NV, 0n, hypervisorCall, 'EL2 ec=16 iss=2a', NEXT],
    ['HVC at EL0 is UNDEFINED', 0, 0n, 0n, hypervisorCall, 'EL1 ec=00 iss=0', PC],
    ['HVC at EL1 with HCD is UNDEFINED at EL1', 1, Hcr.HCD, 0n, hypervisorCall, 'EL1 ec=00 iss=0', PC],
    ['HVC at EL2 with HCD is UNDEFINED at EL2', 2, Hcr.HCD, 0n, hypervisorCall, 'EL2 ec=00 iss=0', PC],
    ['SMC at EL1 with TSC traps', 1, Hcr.TSC, 0n, secureMonitorCall, 'EL2 ec=17 iss=2a', PC],
    ['SMC at EL1 with TSC and NV traps', 1, Hcr.TSC | Hcr.NV, 0n, secureMonitorCall, 'EL2 ec=17 iss=2a', PC],
    ['SMC at EL0 is UNDEFINED whatever TSC says', 0, Hcr.TSC, 0n, secureMonitorCall, 'EL1 ec=00 iss=0', PC],
    ['BRK at EL1 returns to itself', 1, 0n, 0n, breakpoint, 'EL1 ec=3c iss=2a', PC],
    ['BRK at EL0 under TGE', 0, Hcr.TGE, 0n, breakpoint, 'EL2 ec=3c iss=2a', PC],
  ] as const)('%s', (_name, el, hcr, hfgitr, act, expected, elr) => {
    const core = at(el, hcr);
    set(core, 'HFGITR_EL2', hfgitr);
    expect(outcome(core, () => act(core, 42))).toBe(expected);
    expect(get(core, `ELR_EL${elOf(core)}`)).toBe(elr);
  });

  test.each([['EL1', 1, 0n], ['EL2, where TSC does not reach', 2, Hcr.TSC]] as const)('SMC at %s calls the board\'s firmware, and PC is past it', (_name, el, hcr) => {
    const core = at(el, hcr);
    core.words[0] = 0x8400_0000n;
    expect(outcome(core, () => secureMonitorCall(core, 0))).toBe('firmware');
    expect(core.board.outbox).toEqual([{ to: 'psci', message: { type: 'call', from: 'vcpu:0', arguments: [0x8400_0000n, 0n, 0n, 0n] } }]);
    expect(core.words[Word.PC]).toBe(NEXT);
  });
  test('SMC that L0 does not trap is UNDEFINED', () => {
    const { core } = bareCore({ el2: 'kvm' });
    expect(outcome(core, () => secureMonitorCall(core, 0))).toBe('EL1 ec=00 iss=0');
  });
  test('HVC at EL0 without EL2 is UNDEFINED', () => {
    const { core } = bareCore({ el2: 'none', el: 0 });
    expect(outcome(core, () => hypervisorCall(core, 0))).toBe('EL1 ec=00 iss=0');
  });
  test('BRK at EL1 goes to EL2 under MDCR_EL2.TDE', () => {
    const core = at(1);
    set(core, 'MDCR_EL2', 1n << 8n);
    expect(outcome(core, () => breakpoint(core, 7))).toBe('EL2 ec=3c iss=7');
  });
  test('an exception at the current level reports the same-level class', () => {
    const core = at(1);
    expect(outcome(core, () => raise(core, { ec: 0x24, iss: 7, far: 0x123n }))).toBe('EL1 ec=25 iss=7');
    expect(get(core, 'FAR_EL1')).toBe(0x123n);
    const user = at(0);
    expect(outcome(user, () => raise(user, { ec: 0x20, iss: 7 }))).toBe('EL1 ec=20 iss=7');
  });
  test('ESR_ELx.IL is 1 and bits above it are 0', () => {
    const core = at(1);
    outcome(core, () => hypervisorCall(core, 0xffff));
    expect(get(core, 'ESR_EL2')).toBe(0x5a00_ffffn);
  });
});

describe('where L0 owns EL2, an exception to EL2 ends the run', () => {
  test('with ESR, ELR, SPSR and an EL2h PSTATE written, and PC where it was', () => {
    const { core } = bareCore({ el2: 'kvm' });
    setPstate(core, 1);
    core.words[Word.PC] = PC;
    expect(outcome(core, () => hypervisorCall(core, 1))).toBe('EL2 ec=16 iss=1');
    expect(core.end).toEqual({ type: 'exit', vector: 'sync' });
    expect([get(core, 'ELR_EL2'), get(core, 'SPSR_EL2'), core.words[Word.PC]]).toEqual([NEXT, 5n, PC]);
  });
  test('a request to L0 is an IRQ exit even with PSTATE.I set', () => {
    const { core } = bareCore({ el2: 'kvm' });
    setPstate(core, 1, Pstate.I | Pstate.F);
    core.words[Word.HOST_INTERRUPTS] = 1n;
    expect(takeInterrupt(core)).toBe(true);
    expect(core.end).toEqual({ type: 'exit', vector: 'irq' });
    expect(elOf(core)).toBe(2);
  });
  test('a timer line is L0\'s until it is forwarded', () => {
    const { core } = bareCore({ el2: 'kvm' });
    setPstate(core, 0);
    core.words[Word.TIMER_LINES] = 2n;
    core.words[Word.FORWARDED] = 2n;
    expect(takeInterrupt(core)).toBe(false);
    core.words[Word.FORWARDED] = 0n;
    expect(takeInterrupt(core)).toBe(true);
  });
});

/** Makes an interrupt of `group` pend at the CPU interface: group 0 as FIQ, group 1 as IRQ. */
function pend(core: Core, group: 0 | 1): void {
  set(core, 'ICC_PMR_EL1', 0xffn);
  set(core, 'ICC_IGRPEN0_EL1', 1n);
  set(core, 'ICC_IGRPEN1_EL1', 1n);
  receiveOffer(core, { type: 'offer', interrupts: [{ intid: 32, priority: 0x80, group, pending: true, active: false, level: true }] });
}

describe('physical interrupts: routing and masks (Arm ARM Tables D1-12 and D1-14)', () => {
  const { I, F } = Pstate;
  test.each([
    ['IRQ at EL0 goes to EL1', 1, 0, 0n, 0, VBAR1 + 0x480n],
    ['IRQ at EL0 is masked by PSTATE.I', 1, 0, 0n, I, undefined],
    ['IRQ at EL1 goes to EL1', 1, 1, 0n, 0, VBAR1 + 0x280n],
    ['IRQ at EL1 is masked by PSTATE.I', 1, 1, 0n, I, undefined],
    ['IRQ at EL1 with IMO goes to EL2', 1, 1, Hcr.IMO, 0, VBAR2 + 0x480n],
    ['IRQ at EL1 with IMO cannot be masked', 1, 1, Hcr.IMO, I, VBAR2 + 0x480n],
    ['IRQ at EL0 with IMO cannot be masked', 1, 0, Hcr.IMO, I, VBAR2 + 0x480n],
    ['IRQ at EL1 with FMO only stays at EL1', 1, 1, Hcr.FMO, 0, VBAR1 + 0x280n],
    ['IRQ at EL2 without IMO waits', 1, 2, 0n, 0, undefined],
    ['IRQ at EL2 with IMO', 1, 2, Hcr.IMO, 0, VBAR2 + 0x280n],
    ['IRQ at EL2 with IMO is masked by PSTATE.I', 1, 2, Hcr.IMO, I, undefined],
    ['IRQ at EL0 under TGE goes to EL2 and cannot be masked', 1, 0, Hcr.TGE, I, VBAR2 + 0x480n],
    ['IRQ of a host application goes to EL2', 1, 0, Hcr.TGE | Hcr.E2H, 0, VBAR2 + 0x480n],
    ['IRQ of a host application is masked by PSTATE.I', 1, 0, Hcr.TGE | Hcr.E2H, I, undefined],
    ['IRQ at EL2 of a VHE host needs no IMO', 1, 2, Hcr.TGE | Hcr.E2H, 0, VBAR2 + 0x280n],
    ['IRQ at EL2 of a VHE host is masked by PSTATE.I', 1, 2, Hcr.TGE | Hcr.E2H, I, undefined],
    ['FIQ at EL1', 0, 1, 0n, I, VBAR1 + 0x300n],
    ['FIQ at EL1 is masked by PSTATE.F', 0, 1, 0n, F, undefined],
    ['FIQ at EL1 with FMO goes to EL2', 0, 1, Hcr.FMO, F, VBAR2 + 0x500n],
  ] as const)('%s', (_name, group, el, hcr, masks, vector) => {
    const core = at(el, hcr, masks);
    pend(core, group);
    set(core, 'ESR_EL1', 0x77n);
    expect(takeInterrupt(core)).toBe(vector !== undefined);
    expect(core.words[Word.PC]).toBe(vector ?? PC);
    // IRQ and FIQ leave ESR_ELx alone.
    expect(get(core, 'ESR_EL1')).toBe(0x77n);
    if (vector !== undefined) expect(get(core, `ELR_EL${elOf(core)}`)).toBe(PC);
  });
});

describe('virtual interrupts are taken at EL0 and EL1 to EL1', () => {
  const { I, F, A } = Pstate;
  test.each([
    ['VI with IMO', 1, Hcr.VI | Hcr.IMO, 0, VBAR1 + 0x280n],
    ['VI without IMO does nothing', 1, Hcr.VI, 0, undefined],
    ['VI is masked by PSTATE.I', 1, Hcr.VI | Hcr.IMO, I, undefined],
    ['VI at EL0', 0, Hcr.VI | Hcr.IMO, 0, VBAR1 + 0x480n],
    ['VI at EL2 waits', 2, Hcr.VI | Hcr.IMO, 0, undefined],
    ['VI under TGE waits', 0, Hcr.VI | Hcr.IMO | Hcr.TGE, 0, undefined],
    ['VF with FMO', 1, Hcr.VF | Hcr.FMO, 0, VBAR1 + 0x300n],
    ['VF is masked by PSTATE.F', 1, Hcr.VF | Hcr.FMO, F, undefined],
    ['VSE with AMO', 1, Hcr.VSE | Hcr.AMO, 0, VBAR1 + 0x380n],
    ['VSE is masked by PSTATE.A', 1, Hcr.VSE | Hcr.AMO, A, undefined],
    ['VF goes before VI, an order that is ours', 1, Hcr.VF | Hcr.FMO | Hcr.VI | Hcr.IMO, 0, VBAR1 + 0x300n],
  ] as const)('%s', (_name, el, hcr, masks, vector) => {
    const core = at(el, hcr, masks);
    expect(takeInterrupt(core)).toBe(vector !== undefined);
    expect(core.words[Word.PC]).toBe(vector ?? PC);
  });
  test('a virtual SError clears HCR_EL2.VSE and reports VSESR_EL2', () => {
    const core = at(1, Hcr.VSE | Hcr.AMO);
    set(core, 'VSESR_EL2', (1n << 24n) | 0x123n);
    takeInterrupt(core);
    expect(get(core, 'HCR_EL2') & Hcr.VSE).toBe(0n);
    expect(get(core, 'ESR_EL1')).toBe((0x2fn << 26n) | (1n << 25n) | (1n << 24n) | 0x123n);
  });
  test('a physical SError goes by AMO and PSTATE.A', () => {
    const core = at(1, 0n, A);
    core.words[Word.SERROR] = 2n;
    expect(takeInterrupt(core)).toBe(false);
    set(core, 'HCR_EL2', Hcr.AMO | Hcr.RW);
    expect(takeInterrupt(core)).toBe(true);
    expect([elOf(core), core.words[Word.SERROR], core.words[Word.PC]]).toEqual([2, 0n, VBAR2 + 0x580n]);
  });
});

const eret = (core: Core, spsr: number, elr = 0x4000_2000n): string => {
  const el = Math.max(1, elOf(core));
  set(core, `SPSR_EL${el}`, BigInt(spsr >>> 0));
  set(core, `ELR_EL${el}`, elr);
  return outcome(core, () => exceptionReturn(core));
};

describe('ERET', () => {

  test.each([
    ['EL2h to EL2h', 2, 9, 0n], ['EL2h to EL2t', 2, 8, 0n], ['EL2 to EL1h', 2, 5, 0n], ['EL2 to EL1t', 2, 4, 0n], ['EL2 to EL0', 2, 0, 0n], ['EL1 to EL1t', 1, 4, 0n], ['EL1 to EL0', 1, 0, 0n],
    ['EL2 to EL0 under TGE', 2, 0, Hcr.TGE],
  ] as const)('%s', (_name, el, mode, hcr) => {
    const core = at(el, hcr);
    expect(eret(core, mode | Pstate.I | Pstate.PAN | 0x6000_0000)).toBe('done');
    expect(core.ints[2 * Word.PSTATE]! & ~Pstate.PAN).toBe(mode | Pstate.I);
    expect([core.words[Word.PC], core.words[Word.NZCV]]).toEqual([0x4000_2000n, 6n]);
  });

  // Arm ARM D1.3.4.1 IllegalExceptionReturn.
  test.each([
    ['to AArch32 (M[4] = 1)', 2, 0x10, 0n], ['to EL3', 2, 0xd, 0n], ['to a higher level', 1, 9, 0n], ['with M[1] = 1', 2, 6, 0n], ['to EL0 with M[0] = 1', 2, 1, 0n],
    ['to EL1 under TGE', 2, 5, Hcr.TGE], ['to EL3 from EL1', 1, 0xc, 0n],
  ] as const)('%s is illegal: IL is set, the level stays, flags and masks are restored', (_name, el, mode, hcr) => {
    const core = at(el, hcr, Pstate.D);
    expect(eret(core, mode | Pstate.A | 0x9000_0000)).toBe('done');
    expect(core.ints[2 * Word.PSTATE]).toBe((el << 2) | 1 | Pstate.A | Pstate.IL);
    expect([core.words[Word.PC], core.words[Word.NZCV]]).toEqual([0x4000_2000n, 9n]);
    // The next instruction takes the Illegal Execution state exception, whose SPSR has IL.
    expect(outcome(core, () => fetchInstruction(core))).toBe(`EL${el} ec=0e iss=0`);
    expect(get(core, `SPSR_EL${el}`) & BigInt(Pstate.IL)).toBe(BigInt(Pstate.IL));
    expect(core.ints[2 * Word.PSTATE]! & Pstate.IL).toBe(0);
  });
  test('EL2 is illegal where it is not implemented', () => {
    const { core } = bareCore({ el2: 'none', el: 1 });
    eret(core, 9);
    expect(core.ints[2 * Word.PSTATE]! & Pstate.IL).toBe(Pstate.IL);
  });
  test('a legal return takes IL from SPSR', () => {
    const core = at(2);
    eret(core, 5 | Pstate.IL);
    expect(core.ints[2 * Word.PSTATE]).toBe(5 | Pstate.IL);
  });
  test('at EL0 it is UNDEFINED', () => expect(eret(at(0), 0)).toBe('EL1 ec=00 iss=0'));
  test.each([
    ['under NV', Hcr.NV, 0n], ['under NV and NV2', Hcr.NV | Hcr.NV2, 0n], ['with HFGITR_EL2.ERET', 0n, 1n << 51n],
  ] as const)('at EL1 it traps %s', (_name, hcr, hfgitr) => {
    const core = at(1, hcr);
    set(core, 'HFGITR_EL2', hfgitr);
    expect(eret(core, 0)).toBe('EL2 ec=1a iss=0');
    expect(get(core, 'ELR_EL2')).toBe(PC);
  });
  test('it opens the exclusive monitor and sets the event register', () => {
    const core = at(1);
    core.words[Word.MONITOR] = 0x4000_0041n;
    core.words[Word.EVENT] = 0n;
    eret(core, 5);
    expect([core.words[Word.MONITOR], core.words[Word.EVENT]]).toEqual([0n, 1n]);
  });
  // AArch64.BranchAddr: TBI of the level returned to.
  test.each([
    ['TBI1 sign-extends bit 55', 1n << 38n, 0x12ff_0000_0000_0000n, 0xffff_0000_0000_0000n],
    ['TBI0 zero-extends', 1n << 37n, 0x1200_0000_4000_0000n, 0x4000_0000n],
    ['without TBI the address stays', 0n, 0x1200_0000_4000_0000n, 0x1200_0000_4000_0000n],
  ] as const)('to EL1, %s', (_name, tcr, elr, pc) => {
    const core = at(2);
    set(core, 'TCR_EL1', tcr);
    eret(core, 5, elr);
    expect(core.words[Word.PC]).toBe(pc);
  });
  test('L0 enters its guest by the same rules', () => {
    const { core } = bareCore({ el2: 'kvm' });
    setPstate(core, 2);
    returnTo(core, 5, PC);
    expect([elOf(core), core.words[Word.PC]]).toEqual([1, PC]);
  });
});

describe('WFI and WFE (AArch64.CheckForWFxTrap)', () => {
  const TWI_OFF = 1n << 16n;
  const TWE_OFF = 1n << 18n;
  test.each([
    ['WFI at EL1 waits', waitForInterrupt, 1, 0n, 0n, 'done'],
    ['WFI at EL1 with TWI traps', waitForInterrupt, 1, Hcr.TWI, 0n, 'EL2 ec=01 iss=1e00000'],
    ['WFI at EL1 with TWE only waits', waitForInterrupt, 1, Hcr.TWE, 0n, 'done'],
    ['WFE at EL1 with TWE traps', waitForEvent, 1, Hcr.TWE, 0n, 'EL2 ec=01 iss=1e00001'],
    ['WFI at EL0 with nTWI = 0 traps to EL1', waitForInterrupt, 0, Hcr.TWI, 0n, 'EL1 ec=01 iss=1e00000'],
    ['WFI at EL0 with nTWI = 1 and TWI traps to EL2', waitForInterrupt, 0, Hcr.TWI, TWI_OFF, 'EL2 ec=01 iss=1e00000'],
    ['WFI at EL0 with nTWI = 1 waits', waitForInterrupt, 0, 0n, TWI_OFF, 'done'],
    ['WFE at EL0 with nTWE = 0 traps to EL1', waitForEvent, 0, 0n, TWI_OFF, 'EL1 ec=01 iss=1e00001'],
    ['WFE at EL0 with nTWE = 1 waits', waitForEvent, 0, 0n, TWE_OFF, 'done'],
    ['WFI at EL0 under TGE with nTWI = 0 traps to EL2', waitForInterrupt, 0, Hcr.TGE, 0n, 'EL2 ec=01 iss=1e00000'],
    ['WFI at EL2 waits', waitForInterrupt, 2, Hcr.TWI, 0n, 'done'],
    ['WFI under NV has no trap of its own', waitForInterrupt, 1, Hcr.NV, 0n, 'done'],
  ] as const)('%s', (_name, act, el, hcr, sctlr, expected) => {
    const core = at(el, hcr);
    set(core, 'SCTLR_EL1', sctlr);
    expect(outcome(core, () => act(core))).toBe(expected);
    if (expected === 'done') expect([core.end?.type, core.ints[2 * Word.POWER]]).toEqual(['wait', act === waitForInterrupt ? Power.WFI : Power.WFE]);
  });
  test('a pending interrupt completes WFI though PSTATE masks it, and even where TWI would trap', () => {
    const core = at(1, Hcr.TWI, Pstate.I);
    pend(core, 1);
    expect(outcome(core, () => waitForInterrupt(core))).toBe('done');
    expect([core.end, core.ints[2 * Word.POWER]]).toEqual([undefined, Power.ON]);
  });
  test('so does a masked virtual interrupt', () => {
    const core = at(1, Hcr.VI | Hcr.IMO, Pstate.I);
    waitForInterrupt(core);
    expect(core.end).toBeUndefined();
  });
  test('WFE waits, or traps, though a masked interrupt pends', () => {
    const core = at(1, 0n, Pstate.I);
    pend(core, 1);
    waitForEvent(core);
    expect(core.end).toEqual({ type: 'wait' });
    set(core, 'HCR_EL2', Hcr.RW | Hcr.TWE);
    core.end = undefined;
    expect(outcome(core, () => waitForEvent(core))).toBe('EL2 ec=01 iss=1e00001');
  });
  test('WFE with the event register set clears it and goes on', () => {
    const core = at(1, Hcr.TWE);
    core.words[Word.EVENT] = 1n;
    expect(outcome(core, () => waitForEvent(core))).toBe('done');
    expect([core.end, core.words[Word.EVENT]]).toEqual([undefined, 0n]);
  });
  test('SEV wakes another core in WFE, and leaves one in WFI', () => {
    const { cores } = bareCore({ cores: 3 });
    cores[1]!.words[Word.POWER] = BigInt(Power.WFE);
    cores[2]!.words[Word.POWER] = BigInt(Power.WFI);
    sendEvent(cores[0]!);
    expect(cores.map((core) => core.ints[2 * Word.POWER])).toEqual([Power.ON, Power.ON, Power.WFI]);
    expect(cores.map((core) => core.words[Word.EVENT])).toEqual([1n, 1n, 1n]);
  });
});

describe('alignment of PC and SP', () => {
  test('a misaligned PC is EC 0x22 with the PC in FAR', () => {
    const core = at(1);
    core.words[Word.PC] = PC + 2n;
    expect(outcome(core, () => fetchInstruction(core))).toBe('EL1 ec=22 iss=0');
    expect([get(core, 'FAR_EL1'), get(core, 'ELR_EL1')]).toEqual([PC + 2n, PC + 2n]);
    const user = at(0, Hcr.TGE);
    expect(outcome(user, () => pcAlignmentFault(user))).toBe('EL2 ec=22 iss=0');
  });
  test('PC alignment comes before the Illegal Execution state', () => {
    const core = at(1, 0n, Pstate.IL);
    core.words[Word.PC] = PC + 1n;
    expect(outcome(core, () => fetchInstruction(core))).toBe('EL1 ec=22 iss=0');
  });
  test.each([
    ['EL1, SA = 1', 1, 'SCTLR_EL1', 8n, 'SP_EL1', 'EL1 ec=26 iss=0'], ['EL1, SA = 0', 1, 'SCTLR_EL1', 16n, 'SP_EL1', 'done'],
    ['EL0, SA0 = 1', 0, 'SCTLR_EL1', 16n, 'SP_EL0', 'EL1 ec=26 iss=0'], ['EL0, SA0 = 0', 0, 'SCTLR_EL1', 8n, 'SP_EL0', 'done'],
    ['EL2, SA = 1', 2, 'SCTLR_EL2', 8n, 'SP_EL2', 'EL2 ec=26 iss=0'],
  ] as const)('a misaligned SP at %s', (_name, el, register, sctlr, stack, expected) => {
    const core = at(el);
    set(core, register, sctlr);
    set(core, stack, 0x4000_0008n);
    expect(outcome(core, () => checkStackAlignment(core))).toBe(expected);
  });
});
