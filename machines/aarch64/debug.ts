/** Self-hosted debug: which breakpoint, watchpoint and software step exceptions are enabled now, and what they match. Arm ARM D2. */

import { e2h, inHost, tge } from './controls.ts';
import { type Core, Pstate, Word, elOf } from './state.ts';
import { slot } from './sysregs.ts';

/** ID_AA64DFR0_EL1.BRPs, CTX_CMPs and WRPs, each less one there. The context-aware breakpoints are the highest ones. */
export const BREAKPOINTS = 6;
export const CONTEXT_AWARE = 2;
export const WATCHPOINTS = 4;

const MDSCR = 2 * slot('MDSCR_EL1');
const MDCR = 2 * slot('MDCR_EL2');
const OSLSR = 2 * slot('OSLSR_EL1');
const PSTATE = 2 * Word.PSTATE;
const CONTEXTIDR_EL1 = 2 * slot('CONTEXTIDR_EL1');
const CONTEXTIDR_EL2 = 2 * slot('CONTEXTIDR_EL2');
const VTTBR = 2 * slot('VTTBR_EL2');
const VTCR = 2 * slot('VTCR_EL2');
const numbered = (name: string, count: number): readonly number[] => Array.from({ length: count }, (_, n) => slot(name.replace('#', String(n))));
const DBGBVR = numbered('DBGBVR#_EL1', BREAKPOINTS);
const DBGBCR = numbered('DBGBCR#_EL1', BREAKPOINTS);
const DBGWVR = numbered('DBGWVR#_EL1', WATCHPOINTS);
const DBGWCR = numbered('DBGWCR#_EL1', WATCHPOINTS);

const Mdscr = { SS: 1, KDE: 1 << 13, MDE: 1 << 15 } as const;
const MDCR_TDE = 1 << 8;
const OSLK = 1 << 1;
/** VTCR_EL2.VS: 16-bit VMIDs. */
const VTCR_VS = 1 << 19;
const ENABLE = 1;

/**
 * Whether an instruction attempted now may have to take a debug exception, so that each goes through the checks of debug-checks.ts.
 * It can become true only by what sets `core.attention`: exception entry and return, and writes to PSTATE.D, MDSCR_EL1, DBGBCR, DBGWCR,
 * OSLAR_EL1, MDCR_EL2 and HCR_EL2. An engine asks where it looks at `attention` and nowhere else; fast ones leave the core to the
 * reference engine while it holds.
 */
export function needsCheckedExecution(core: Core): boolean {
  const mdscr = core.ints[MDSCR]!;
  if ((mdscr & (Mdscr.SS | Mdscr.MDE)) === 0) return false;
  const enabled = debugExceptionsEnabled(core);
  if ((mdscr & Mdscr.SS) !== 0 && (enabled || (core.ints[PSTATE]! & Pstate.SS) !== 0)) return true;
  return enabled && (mdscr & Mdscr.MDE) !== 0 && (DBGBCR.some((word) => isEnabled(core, word)) || DBGWCR.some((word) => isEnabled(core, word)));
}

const isEnabled = (core: Core, word: number): boolean => (core.ints[2 * word]! & ENABLE) !== 0;

/** AArch64.DebugTarget: the level that debug exceptions from EL0 and EL1 are taken to. */
export const debugTarget = (core: Core): 1 | 2 => (core.board.el2 !== 'none' && (tge(core) || (core.ints[MDCR]! & MDCR_TDE) !== 0) ? 2 : 1);

/** AArch64.GenerateDebugExceptionsFrom: never with the OS Lock locked; from the target level only with MDSCR_EL1.KDE and PSTATE.D clear. */
function enabledFrom(core: Core, el: number, masked: boolean): boolean {
  if ((core.ints[OSLSR]! & OSLK) !== 0) return false;
  const target = debugTarget(core);
  return el === target ? (core.ints[MDSCR]! & Mdscr.KDE) !== 0 && !masked : target > el;
}

/** AArch64.GenerateDebugExceptions. */
export const debugExceptionsEnabled = (core: Core): boolean => enabledFrom(core, elOf(core), (core.ints[PSTATE]! & Pstate.D) !== 0);

// ---- software step -------------------------------------------------------------------------------------------------------------------------

/** The step is active and pending: CheckSoftwareStep takes the exception before the next instruction. */
export const stepPending = (core: Core): boolean =>
  (core.ints[MDSCR]! & Mdscr.SS) !== 0 && (core.ints[PSTATE]! & Pstate.SS) === 0 && debugExceptionsEnabled(core);

/** The step is active and not pending: the next instruction is the one that is stepped. */
export const stepping = (core: Core): boolean => (core.ints[MDSCR]! & Mdscr.SS) !== 0 && (core.ints[PSTATE]! & Pstate.SS) !== 0;

/** SSAdvance: the stepped instruction is done, or takes the exception that it is for (SVC, HVC, SMC). */
export function advanceStep(core: Core): void {
  if (stepping(core)) core.ints[PSTATE] = core.ints[PSTATE]! & ~Pstate.SS;
}

/** DebugExceptionReturnSS: PSTATE.SS after a return to `el` with `spsr`, asked before PSTATE changes. Only a return that enables debug exceptions sets it. */
export function stepOfReturn(core: Core, spsr: number, el: number): number {
  if ((core.ints[MDSCR]! & Mdscr.SS) === 0 || debugExceptionsEnabled(core) || !enabledFrom(core, el, (spsr & Pstate.D) !== 0)) return 0;
  return spsr & Pstate.SS;
}

// ---- breakpoints ---------------------------------------------------------------------------------------------------------------------------

/** AArch64.CheckBreakpoint: whether a breakpoint matches the instruction at PC. */
export function breakpointMatches(core: Core): boolean {
  if ((core.ints[MDSCR]! & Mdscr.MDE) === 0 || !debugExceptionsEnabled(core)) return false;
  for (let n = 0; n < BREAKPOINTS; n++) {
    const control = core.ints[2 * DBGBCR[n]!]!;
    if ((control & ENABLE) === 0) continue;
    const type = (control >> 20) & 15;
    if (valueMatches(core, n, false) && stateMatches(core, control, elOf(core), type === 1)) return true;
  }
  return false;
}

/** Breakpoint types by BT[3:1]; bit 0 says linked. */
const Type = { ADDRESS: 0, CONTEXT: 1, CONTEXT_EL1: 3, VMID: 4, VMID_CONTEXT_EL1: 5, CONTEXT_EL2: 6, FULL_CONTEXT: 7 } as const;

/** Whether BT names a type that breakpoint `n` has. A reserved one behaves as disabled, which is a choice (CONSTRAINED UNPREDICTABLE). */
function hasType(core: Core, n: number, type: number): boolean {
  if (type === Type.ADDRESS) return true;
  // Address mismatch is AArch32's.
  if (type === 2 || n < BREAKPOINTS - CONTEXT_AWARE) return false;
  if (type >= Type.VMID && core.board.el2 === 'none') return false;
  const virtualised = type === Type.CONTEXT_EL1 || type >= Type.CONTEXT_EL2;
  return !virtualised || core.board.features.vhe;
}

/** AArch64.BreakpointValueMatch. `linkedTo`: asked by the breakpoint or watchpoint that is linked to `n`. */
function valueMatches(core: Core, n: number, linkedTo: boolean): boolean {
  const control = core.ints[2 * DBGBCR[n]!]!;
  const type = (control >> 21) & 7;
  const linked = (control & (1 << 20)) !== 0;
  if ((control & ENABLE) === 0 || !hasType(core, n, type)) return false;
  // A linked context breakpoint matches only for what is linked to it, and an address breakpoint is nothing to link to.
  if (linkedTo ? !linked || type === Type.ADDRESS : linked && type !== Type.ADDRESS) return false;
  if (type === Type.ADDRESS) return BigInt.asUintN(ADDRESS_BITS, core.words[Word.PC]! ^ core.words[DBGBVR[n]!]!) >> 2n === 0n;

  const low = core.ints[2 * DBGBVR[n]!]!;
  const high = core.ints[2 * DBGBVR[n]! + 1]!;
  const el = elOf(core);
  const host = el === 2 ? e2h(core) : el === 0 && inHost(core);
  const guest = el < 2 && !host;
  const context1 = (): boolean => guest && core.ints[CONTEXTIDR_EL1] === low;
  const context2 = (): boolean => core.board.el2 !== 'none' && core.ints[CONTEXTIDR_EL2] === high;
  const vmid = (): boolean => guest && vmidMask(core, core.ints[VTTBR + 1]! >>> 16) === vmidMask(core, high & 0xffff);
  switch (type) {
    case Type.CONTEXT: return host ? core.ints[CONTEXTIDR_EL2] === low : context1();
    case Type.CONTEXT_EL1: return context1();
    case Type.VMID: return vmid();
    case Type.VMID_CONTEXT_EL1: return vmid() && context1();
    case Type.CONTEXT_EL2: return context2();
    default: return context1() && context2();
  }
}

/** Address comparators hold VA[48:2] and the sign. */
const ADDRESS_BITS = 49;

const vmidMask = (core: Core, vmid: number): number => ((core.ints[VTCR]! & VTCR_VS) === 0 ? vmid & 0xff : vmid);

/** AArch64.StateMatch for Non-secure state without EL3: SSC, HMC and PMC or PAC lie in the same bits of DBGBCR and DBGWCR. `el` is the access's level. */
function stateMatches(core: Core, control: number, el: number, linked: boolean): boolean {
  const pxc = (control >> 1) & 3;
  const hmc = (control >> 13) & 1;
  const ssc = (control >> 14) & 3;
  if (!isValidState(core, hmc, ssc, pxc)) return false;
  if (el === 2 ? hmc === 0 : (pxc & (el === 1 ? 1 : 2)) === 0) return false;
  if (!linked) return true;
  // A link to what is not context-aware gives no match, which is a choice.
  const n = (control >> 16) & 15;
  return n >= BREAKPOINTS - CONTEXT_AWARE && n < BREAKPOINTS && valueMatches(core, n, true);
}

/** CheckValidStateMatch without EL3, Secure EL2 and AArch32. A reserved combination behaves as disabled, which is a choice. */
function isValidState(core: Core, hmc: number, ssc: number, pxc: number): boolean {
  if (core.board.el2 === 'none' && (hmc !== 0 || ssc !== 0)) return false;
  // SSC 1 and 2 tell Security states apart. Of SSC 3 there is "EL2" (HMC 1, PxC 0) alone.
  if (ssc !== 0) return ssc === 3 && hmc === 1 && pxc === 0;
  return hmc === 0 ? pxc !== 0 : (pxc & 1) !== 0;
}

// ---- watchpoints ---------------------------------------------------------------------------------------------------------------------------

/** An access as a watchpoint sees it. */
export interface WatchedAccess {
  readonly va: bigint;
  readonly bytes: number;
  readonly read: boolean;
  readonly write: boolean;
  /** The level it acts as: EL0 for unprivileged ones, EL2 for those of FEAT_NV2 to the VNCR page. */
  readonly el: number;
  /** Made by FEAT_NV2 for EL1. */
  readonly vncr?: boolean;
}

/** What a watchpoint exception reports: FAR_ELx and ISS.WnR. */
export interface WatchpointHit {
  readonly far: bigint;
  readonly write: boolean;
}

/** AArch64.CheckWatchpoint: the lowest-numbered watchpoint that the access hits. */
export function watchpointHit(core: Core, access: WatchedAccess): WatchpointHit | undefined {
  if ((core.ints[MDSCR]! & Mdscr.MDE) === 0) return undefined;
  // Accesses to the VNCR page are EL2's, whatever PSTATE.D says at EL1.
  if (!(access.vncr === true ? enabledFrom(core, 2, false) : debugExceptionsEnabled(core))) return undefined;
  for (let n = 0; n < WATCHPOINTS; n++) {
    const control = core.ints[2 * DBGWCR[n]!]!;
    if ((control & ENABLE) === 0) continue;
    const loads = access.read && (control & (1 << 3)) !== 0;
    const stores = access.write && (control & (1 << 4)) !== 0;
    if (!loads && !stores) continue;
    const far = watchedByte(core, n, access.va, access.bytes);
    // An atomic access reports WnR = 0 where its read alone would have been caught (ESR_ELx, ISS of a Watchpoint exception).
    if (far !== undefined && stateMatches(core, control, access.el, (control & (1 << 20)) !== 0)) return { far, write: !loads };
  }
  return undefined;
}

/**
 * AArch64.WatchpointByteMatch over the access: the lowest byte of it that watchpoint `n` watches. What is CONSTRAINED UNPREDICTABLE is as QEMU has
 * it: MASK 1 and 2 watch nothing; with a MASK, BAS and the masked bits of DBGWVR do not count; of a BAS with gaps the lowest run counts.
 */
function watchedByte(core: Core, n: number, va: bigint, bytes: number): bigint | undefined {
  const control = core.ints[2 * DBGWCR[n]!]!;
  const value = core.words[DBGWVR[n]!]!;
  const mask = (control >> 24) & 31;
  let first: bigint;
  let length: number;
  if (mask !== 0) {
    if (mask < 3) return undefined;
    length = 2 ** mask;
    first = value & ~(BigInt(length) - 1n);
  } else {
    let select = (control >> 5) & 0xff;
    // DBGWVR of a word: BAS[7:4] is ignored.
    if ((value & 4n) !== 0n) select &= 15;
    if (select === 0) return undefined;
    const lowest = 31 - Math.clz32(select & -select);
    length = 31 - Math.clz32(~(select >> lowest) & -~(select >> lowest));
    first = value + BigInt(lowest);
  }
  // Distances in the space that the comparators see, where addresses may wrap around.
  const ahead = BigInt.asIntN(ADDRESS_BITS, first - va);
  if (ahead >= 0n) return ahead < BigInt(bytes) ? BigInt.asUintN(64, va + ahead) : undefined;
  return -ahead < BigInt(length) ? va : undefined;
}
