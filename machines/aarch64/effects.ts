/** System registers that do more than keep a value: views of PSTATE, timers, the GIC CPU interface, and controls whose change must be noticed. */

import { bit, insert } from '../bits.ts';
import { Hcr, e2h, hcrHigh, hcrLow, HcrHigh, inHost, sctlrIndex } from './controls.ts';
import { CPU_INTERFACE, physicalInterruptPending, virtualInterruptPending } from './cpu-interface.ts';
import { TIMER_REGISTERS, timersChanged } from './generic-timer.ts';
import { type Core, Pstate, Word, elOf } from './state.ts';
import { slot } from './sysregs.ts';
import { invalidateContext } from './translate.ts';

/** How a register is read and written once the access is allowed. `write` gets the value with RES0 and RES1 bits as they are. */
export interface Effect {
  readonly read?: (core: Core) => bigint;
  readonly write?: (core: Core, value: bigint) => void;
  /** What a write of `value` would switch on that has no model: the run ends there by that name. */
  readonly unmodelled?: (core: Core, value: bigint) => string | undefined;
}

const PSTATE = 2 * Word.PSTATE;
const DAIF = Pstate.D | Pstate.A | Pstate.I | Pstate.F;

/** A register that shows some bits of PSTATE where PSTATE has them. */
const pstateBits = (bits: number, changed?: (core: Core) => void): Effect => ({
  read: (core) => BigInt(core.ints[PSTATE]! & bits),
  write: (core, value) => {
    core.ints[PSTATE] = (core.ints[PSTATE]! & ~bits) | (Number(value & 0xffff_ffffn) & bits);
    changed?.(core);
  },
});
const attend = (core: Core): void => { core.attention = true; };

const VPIDR = slot('VPIDR_EL2');
const VMPIDR = slot('VMPIDR_EL2');
const MIDR = slot('MIDR_EL1');
const MPIDR = slot('MPIDR_EL1');
const OSLSR = slot('OSLSR_EL1');
const CLAIM = slot('DBGCLAIMCLR_EL1');
const MDSCR = slot('MDSCR_EL1');
const CSSELR = slot('CSSELR_EL1');
const HCR = slot('HCR_EL2');
const CNTKCTL = slot('CNTKCTL_EL1');

/** What EL1 reads of an identity: the virtual one when there is an EL2. */
const identity = (real: number, virtual: number): Effect => ({
  read: (core) => core.words[elOf(core) === 1 && core.board.el2 !== 'none' ? virtual : real]!,
});

const DISR = slot('DISR_EL1');
const VDISR = slot('VDISR_EL2');
const deferredWord = (core: Core): number => (elOf(core) === 1 && core.board.el2 !== 'none' && (hcrLow(core) & Hcr.AMO) !== 0 ? VDISR : DISR);

/** Keeps the value and has translation look at its controls again. */
function translationControl(name: string): Effect {
  const word = slot(name);
  return { write: (core, value) => { core.words[word] = value; invalidateContext(core); } };
}

/** Number of sets less one, ways less one, and log2 of the line in bytes less four: 32 KiB four-way level 1, 1 MiB sixteen-way level 2. */
const CACHES: Readonly<Record<number, bigint>> = {
  0b000: (127n << 13n) | (3n << 3n) | 2n, 0b001: (127n << 13n) | (3n << 3n) | 2n, 0b010: (1023n << 13n) | (15n << 3n) | 2n,
};

const MDE = 1n << 15n;
/** DBGBCR<n>_EL1 and DBGWCR<n>_EL1: enabled by bit 0. */
const DEBUG_CONTROLS = [...[0, 1, 2, 3, 4, 5].map((n) => `DBGBCR${n}_EL1`), ...[0, 1, 2, 3].map((n) => `DBGWCR${n}_EL1`)];
const NO_DEBUG_EVENTS = 'breakpoint and watchpoint exceptions (MDSCR_EL1.MDE)';

/** MDSCR_EL1 bits that can be written only while the OS Lock is locked. */
const MDSCR_EXTERNAL = 0x6c68_4040n;

export const EFFECTS: Readonly<Record<string, Effect>> = {
  NZCV: {
    read: (core) => BigInt((core.ints[2 * Word.NZCV]! << 28) >>> 0),
    write: (core, value) => { core.ints[2 * Word.NZCV] = Number((value >> 28n) & 15n); },
  },
  DAIF: pstateBits(DAIF, attend),
  SPSel: pstateBits(Pstate.SP),
  PAN: pstateBits(Pstate.PAN, invalidateContext),
  UAO: pstateBits(Pstate.UAO, invalidateContext),
  DIT: pstateBits(Pstate.DIT),
  SSBS: pstateBits(Pstate.SSBS),
  // Under FEAT_NV virtual EL2 sees EL2 (Arm ARM D8.14.1).
  CurrentEL: { read: (core) => BigInt((elOf(core) === 1 && (hcrHigh(core) & HcrHigh.NV) !== 0 ? 2 : elOf(core)) << 2) },

  MIDR_EL1: identity(MIDR, VPIDR),
  MPIDR_EL1: identity(MPIDR, VMPIDR),
  CCSIDR_EL1: { read: (core) => CACHES[Number(core.words[CSSELR]! & 15n)] ?? 0n },
  DCZID_EL0: {
    read: (core) => {
      const el = elOf(core);
      const byEl0 = el === 0 && (core.ints[sctlrIndex(core, 0)]! & (1 << 14)) === 0;
      const byEl2 = el < 2 && !(el === 0 && inHost(core)) && (hcrLow(core) & (1 << 28)) !== 0;
      return byEl0 || byEl2 ? 0x14n : 4n;
    },
  },
  // Virtual interrupts where EL2 routes the physical ones (Arm ARM, ISR_EL1).
  ISR_EL1: {
    read: (core) => {
      const el1 = elOf(core) === 1;
      const hcr = el1 ? hcrLow(core) : 0;
      const physical = physicalInterruptPending(core);
      const listed = virtualInterruptPending(core);
      const irq = (hcr & Hcr.IMO) !== 0 ? (hcr & Hcr.VI) !== 0 || listed === 'irq' : physical === 'irq';
      const fiq = (hcr & Hcr.FMO) !== 0 ? (hcr & Hcr.VF) !== 0 || listed === 'fiq' : physical === 'fiq';
      const serror = core.ints[2 * Word.SERROR]!;
      const abort = (hcr & Hcr.AMO) !== 0 ? (hcr & Hcr.VSE) !== 0 || (serror & 1) !== 0 : (serror & 2) !== 0;
      return BigInt((irq ? Pstate.I : 0) | (fiq ? Pstate.F : 0) | (abort ? Pstate.A : 0));
    },
  },

  // Where EL2 has physical SErrors, EL1 sees what was deferred of its virtual ones (FEAT_RAS).
  DISR_EL1: {
    read: (core) => core.words[deferredWord(core)]!,
    write: (core, value) => { core.words[deferredWord(core)] = value; },
  },

  OSLAR_EL1: { write: (core, value) => { core.words[OSLSR] = insert(core.words[OSLSR]!, 1, 1, value); } },
  DBGCLAIMSET_EL1: { read: () => 0xffn, write: (core, value) => { core.words[CLAIM] = core.words[CLAIM]! | value; } },
  DBGCLAIMCLR_EL1: { write: (core, value) => { core.words[CLAIM] = core.words[CLAIM]! & ~value; } },
  MDSCR_EL1: {
    write: (core, value) => {
      const kept = bit(core.words[OSLSR]!, 1) ? 0n : MDSCR_EXTERNAL;
      core.words[MDSCR] = (value & ~kept) | (core.words[MDSCR]! & kept);
    },
    unmodelled: (core, value) => {
      if ((value & 1n) !== 0n) return 'software step (MDSCR_EL1.SS)';
      return (value & MDE) !== 0n && DEBUG_CONTROLS.some((name) => (core.words[slot(name)]! & 1n) !== 0n) ? NO_DEBUG_EVENTS : undefined;
    },
  },
  ...Object.fromEntries(
    DEBUG_CONTROLS.map((name): [string, Effect] => [name, { unmodelled: (core, value) => ((value & 1n) !== 0n && (core.words[MDSCR]! & MDE) !== 0n ? NO_DEBUG_EVENTS : undefined) }]),
  ),
  // No debugger is there: nothing was sent, and what is sent goes nowhere.
  DBGDTR_EL0: { read: () => 0n, write: () => {} },
  DBGDTRRX_EL0: { read: () => 0n, write: () => {} },

  ...Object.fromEntries(
    [
      'SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'MAIR_EL1', 'SCTLR_EL2', 'TCR_EL2', 'TTBR0_EL2', 'TTBR1_EL2', 'MAIR_EL2', 'VTCR_EL2', 'VTTBR_EL2', 'VNCR_EL2',
    ].map((name) => [name, translationControl(name)]),
  ),
  HCR_EL2: {
    write: (core, value) => {
      const host = inHost(core);
      const layout = e2h(core);
      core.words[HCR] = value;
      core.attention = true;
      invalidateContext(core);
      // {E2H, TGE} decide which offset a timer has.
      if (host !== inHost(core) || layout !== e2h(core)) timersChanged(core);
    },
  },
  CNTKCTL_EL1: { write: (core, value) => { core.words[CNTKCTL] = value; timersChanged(core); } },
  ...TIMER_REGISTERS,
  ...CPU_INTERFACE,
};
