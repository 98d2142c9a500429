/** Taking exceptions and returning from them, for EL0, EL1 and EL2 in AArch64 state. Arm ARM D1.3; pseudocode AArch64.TakeException, AArch64.ExceptionReturn. */

import { MASK64 } from '../bits.ts';
import { Hcr, HcrHigh, Sctlr, SCTLR_HIGH_DSSBS, e2h, hcrHigh, hcrLow, inHost, pstateOf, sctlrIndex, tge } from './controls.ts';
import { advanceStep, stepOfReturn, stepping } from './debug.ts';
import type { Vector } from './exit.ts';
import { timeOfVirtualCount } from './generic-timer.ts';
import { interruptPending, maskedOrTaken } from './interrupts.ts';
import { setEvent } from './monitor.ts';
import { accountCounters, countersActive } from './pmu.ts';
import { type Core, Power, Pstate, Word, elOf, stackWord } from './state.ts';
import { Ec, esr, hasSameLevelClass, wfxIss } from './syndrome.ts';
import { slot } from './sysregs.ts';
import { branchAddress, invalidateContext } from './translate.ts';

export { setEvent } from './monitor.ts';

/** Thrown, once every architectural change is made, to leave the instruction in hand. The run loop catches it. */
export const UNWIND = new Error('the instruction in hand ended early: an exception was taken or the run has to end');

/** A synchronous exception. `iss` is ISS[24:0]; `ec` the class for a lower level (`raise` adds 1 where the class has a same-level code). */
export interface SyncException {
  readonly ec: number;
  readonly iss: number;
  /** The level that takes it. Default: EL1 from EL0, EL2 when HCR_EL2.TGE; else the current level. */
  readonly target?: 1 | 2;
  /** FAR_ELx. Left as it is when absent: the Arm ARM has it UNKNOWN. */
  readonly far?: bigint;
  /** HPFAR_EL2, as the register holds it. */
  readonly hpfar?: bigint;
  /** What ELR_ELx gets; default this instruction. */
  readonly preferredReturn?: bigint;
}

/** Takes a synchronous exception, then unwinds. */
export function raise(core: Core, exception: SyncException): never {
  const el = elOf(core);
  const target = exception.target ?? defaultTarget(core, el);
  // What is returned to is attempted again: this attempt retires nothing.
  if (exception.preferredReturn === undefined) core.words[Word.UNRETIRED] = core.words[Word.UNRETIRED]! + 1n;
  const ec = target === el && hasSameLevelClass(exception.ec) ? exception.ec + 1 : exception.ec;
  takeException(core, target, 'sync', esr(ec, exception.iss), exception.preferredReturn ?? core.words[Word.PC]!, exception.far, exception.hpfar);
  throw UNWIND;
}

/** UNDEFINED: EC 0. */
export function undefinedInstruction(core: Core): never {
  raise(core, { ec: Ec.UNKNOWN, iss: 0 });
}

/** The level that takes a synchronous exception without a rule of its own: EL1 from EL0 unless HCR_EL2.TGE, never lower than the current level. */
export function defaultTarget(core: Core, el: number): 1 | 2 {
  return el === 2 || (el === 0 && tge(core)) ? 2 : 1;
}

const ESR = [0, slot('ESR_EL1'), slot('ESR_EL2')] as const;
const ELR = [0, slot('ELR_EL1'), slot('ELR_EL2')] as const;
const SPSR = [0, slot('SPSR_EL1'), slot('SPSR_EL2')] as const;
const FAR = [0, slot('FAR_EL1'), slot('FAR_EL2')] as const;
const VBAR = [0, slot('VBAR_EL1'), slot('VBAR_EL2')] as const;
const HPFAR = slot('HPFAR_EL2');
const HFGITR_HIGH = 2 * slot('HFGITR_EL2') + 1;
const MDCR = 2 * slot('MDCR_EL2');
const VSESR = slot('VSESR_EL2');
const HCR_WORD = slot('HCR_EL2');
const VECTOR_OFFSET: Readonly<Record<Vector, bigint>> = { sync: 0x000n, irq: 0x080n, fiq: 0x100n, serror: 0x180n };
const DAIF = Pstate.D | Pstate.A | Pstate.I | Pstate.F;
/** HFGITR_EL2 bits 51 to 53, in its high half. */
const HfgitrHigh = { ERET: 1 << 19, SVC_EL0: 1 << 20, SVC_EL1: 1 << 21 } as const;
/** MDCR_EL2.TDE. */
const MDCR_TDE = 1 << 8;
/** HCR_EL2.VSE as a bigint, to clear it. */
const HCR_VSE = BigInt(Hcr.VSE);

/** PSTATE as SPSR_ELx holds it. */
export const spsrFromPstate = (core: Core): number => (pstateOf(core) | (core.ints[2 * Word.NZCV]! << 28)) >>> 0;

/**
 * AArch64.TakeException. Writes ESR (unless undefined: IRQ and FIQ), ELR, SPSR, FAR and HPFAR (where given) and PSTATE, and vectors.
 * Where L0 owns EL2, an exception to EL2 ends the run instead of vectoring; PC stays, ELR_EL2 holds the return address.
 */
function takeException(core: Core, target: 1 | 2, vector: Vector, syndrome: bigint | undefined, preferredReturn: bigint, far?: bigint, hpfar?: bigint): void {
  const { words, ints } = core;
  // The instruction that takes an exception belongs to the level it leaves; an interrupt comes between two.
  if (countersActive(core)) accountCounters(core, vector === 'sync' ? 1 : 0);
  const pstate = pstateOf(core);
  const el = (pstate >> 2) & 3;
  let spsr = spsrFromPstate(core);
  if (el === 1 && target === 1 && reportsVirtualEl2(core)) spsr = ((spsr & ~0xc) | 0x8) >>> 0;
  if (syndrome !== undefined) words[ESR[target]] = syndrome;
  if (far !== undefined) words[FAR[target]] = far;
  if (hpfar !== undefined) words[HPFAR] = hpfar;
  words[ELR[target]] = preferredReturn;
  words[SPSR[target]] = BigInt(spsr);

  // UAO, BTYPE, SS and IL are cleared; DIT and TCO (no FEAT_MTE) stay. Arm ARM D1.3.1.4.
  const sctlr = sctlrIndex(core, target);
  let next = (pstate & (Pstate.DIT | Pstate.TCO | Pstate.PAN)) | DAIF | (target << 2) | Pstate.SP;
  if ((core.ints[sctlr]! & Sctlr.SPAN) === 0 && (target === 1 || inHost(core))) next |= Pstate.PAN;
  if ((core.ints[sctlr + 1]! & SCTLR_HIGH_DSSBS) !== 0) next |= Pstate.SSBS;
  ints[2 * Word.PSTATE] = next;
  ints[2 * Word.STEPPED] = 0;
  core.attention = true;

  if (target === 2 && core.board.el2 === 'kvm') {
    core.end = { type: 'exit', vector };
    return;
  }
  const from = target > el ? 0x400n : (pstate & Pstate.SP) !== 0 ? 0x200n : 0n;
  words[Word.PC] = (words[VBAR[target]]! & ~0x7ffn) + from + VECTOR_OFFSET[vector];
}

/** FEAT_NV: an exception from EL1 to EL1 says in SPSR_EL1.M that it came from EL2, when NV1 = 0 or under FEAT_NV2 (Arm ARM D8.11.1, IDBTLM). */
function reportsVirtualEl2(core: Core): boolean {
  const high = hcrHigh(core);
  return (high & HcrHigh.NV) !== 0 && ((high & HcrHigh.NV1) === 0 || (high & HcrHigh.NV2) !== 0);
}

/**
 * Takes the interrupt that is due, if any, and says whether it did. Called before the first instruction of a run and whenever `core.attention` is set.
 * The order among interrupts is IMPLEMENTATION DEFINED (Arm ARM D1.3.6.1), so it is stated: see interrupts.ts.
 */
export function takeInterrupt(core: Core): boolean {
  core.attention = false;
  invalidateContext(core);
  const due = maskedOrTaken(core);
  if (due === undefined) return false;
  let syndrome: bigint | undefined;
  if (due.vector === 'serror') {
    if (due.virtual) {
      // A virtual SError reports VSESR_EL2.{IDS, ISS} (FEAT_RAS), and taking it clears HCR_EL2.VSE.
      syndrome = esr(Ec.SERROR, Number(core.words[VSESR]! & 0x1ff_ffffn));
      core.words[HCR_WORD] = core.words[HCR_WORD]! & ~HCR_VSE & MASK64;
      core.ints[2 * Word.SERROR]! &= ~1;
    } else {
      syndrome = esr(Ec.SERROR, 0);
      core.ints[2 * Word.SERROR]! &= ~2;
    }
  }
  core.words[Word.POWER] = BigInt(Power.ON);
  takeException(core, due.target, due.vector, syndrome, core.words[Word.PC]!);
  return true;
}

/** SVC. Arm ARM: AArch64.CheckForSVCTrap, AArch64.CallSupervisor. */
export function supervisorCall(core: Core, imm16: number): never {
  const el = elOf(core);
  const trap = el === 0 ? HfgitrHigh.SVC_EL0 : HfgitrHigh.SVC_EL1;
  if (el < 2 && fineGrainedTrap(core, trap)) raise(core, { ec: Ec.SVC, iss: imm16, target: 2 });
  advanceStep(core);
  raise(core, { ec: Ec.SVC, iss: imm16, preferredReturn: nextInstruction(core) });
}

/** HVC: UNDEFINED at EL0, without EL2, and when HCR_EL2.HCD (no EL3, so HCD is not RES0). FEAT_NV does not trap it. */
export function hypervisorCall(core: Core, imm16: number): never {
  const el = elOf(core);
  if (el === 1 && core.board.el2 === 'none') firmwareCall(core);
  if (el === 0 || core.board.el2 === 'none' || (hcrLow(core) & Hcr.HCD) !== 0) undefinedInstruction(core);
  advanceStep(core);
  raise(core, { ec: Ec.HVC, iss: imm16, target: 2, preferredReturn: nextInstruction(core) });
}

/**
 * SMC without EL3: UNDEFINED, unless at EL1 with HCR_EL2.TSC, which traps it. With HCR_EL2.NV the trap is architected;
 * without, whether TSC is RES0 is IMPLEMENTATION DEFINED, and ours traps, as a hypervisor expects of hardware with EL3.
 */
export function secureMonitorCall(core: Core, imm16: number): never {
  const el = elOf(core);
  if (el === 1 && (hcrLow(core) & Hcr.TSC) !== 0) raise(core, { ec: Ec.SMC, iss: imm16, target: 2 });
  if (el === 0 || core.board.el2 === 'kvm') undefinedInstruction(core);
  if (imm16 !== 0) unknownCall(core);
  return firmwareCall(core);
}

/** SMCCC has no calls with an immediate: NOT_SUPPORTED, at once. */
function unknownCall(core: Core): never {
  core.words[0] = 0xffff_ffff_ffff_ffffn;
  core.words[Word.PC] = core.words[Word.PC]! + 4n;
  advanceStep(core);
  throw UNWIND;
}

/**
 * The board's firmware takes the place of EL3: X0 to X3 go to the `psci` actor, and the vCPU waits for X0. SMC is its conduit
 * where guests start at EL2, HVC where they start at EL1 (QEMU's virt board does the same).
 */
function firmwareCall(core: Core): never {
  const [x0, x1, x2, x3] = core.words as unknown as [bigint, bigint, bigint, bigint];
  core.board.outbox.push({ to: 'psci', message: { type: 'call', from: `vcpu:${core.index}`, arguments: [x0, x1, x2, x3] } });
  core.words[Word.PC] = core.words[Word.PC]! + 4n;
  advanceStep(core);
  core.end = { type: 'firmware' };
  throw UNWIND;
}

/** BRK: to EL2 when HCR_EL2.TGE or MDCR_EL2.TDE. Arm ARM: AArch64.SoftwareBreakpoint. */
export function breakpoint(core: Core, imm16: number): never {
  const debug = elOf(core) < 2 && core.board.el2 !== 'none' && (tge(core) || (core.ints[MDCR]! & MDCR_TDE) !== 0);
  raise(core, debug ? { ec: Ec.BRK, iss: imm16, target: 2 } : { ec: Ec.BRK, iss: imm16 });
}

/** Illegal Execution state exception: PSTATE.IL was set when the instruction was reached. */
export function illegalExecutionState(core: Core): never {
  raise(core, { ec: Ec.ILLEGAL_STATE, iss: 0 });
}

/** PC alignment fault; FAR_ELx holds the PC. */
export function pcAlignmentFault(core: Core): never {
  raise(core, { ec: Ec.PC_ALIGNMENT, iss: 0, far: core.words[Word.PC]! });
}

/** CheckSPAlignment: called by every load or store whose base is SP. SCTLR_ELx.SA, or SA0 at EL0. */
export function checkStackAlignment(core: Core): void {
  if ((core.ints[2 * stackWord(core)]! & 15) === 0) return;
  const el = elOf(core);
  const enabled = core.ints[sctlrIndex(core, el)]! & (el === 0 ? Sctlr.SA0 : Sctlr.SA);
  if (enabled !== 0) raise(core, { ec: Ec.SP_ALIGNMENT, iss: 0 });
}

/** The local timeout of WFIT and WFET: the virtual count at which the wait is over, and the register that holds it. */
export interface Timeout { readonly count: bigint; readonly register: number }

/** WFI and WFIT: done at once when an interrupt pends or the time is up; else trapped by SCTLR_ELx.nTWI or HCR_EL2.TWI; else the vCPU waits. */
export function waitForInterrupt(core: Core, until?: Timeout): void {
  if (interruptPending(core)) return;
  wait(core, Power.WFI, until);
}

/** Waits, if the time is not up, and if nothing traps that (AArch64.CheckForWFxTrap: only a WFx that would have suspended traps). */
function wait(core: Core, power: typeof Power.WFI | typeof Power.WFE, until: Timeout | undefined): void {
  const deadline = until === undefined ? undefined : timeOfVirtualCount(core, until.count);
  if (deadline !== undefined && deadline <= core.board.now) return;
  trapWait(core, power === Power.WFE, until);
  // A step that is then due is a debug event, which wakes it.
  if (stepping(core)) return;
  core.words[Word.POWER] = BigInt(power);
  core.words[Word.WAIT_UNTIL] = BigInt(deadline ?? 0);
  core.end = { type: 'wait' };
}

/** WFE: done at once when the event register is set, which it clears; else as WFI, by nTWE and TWE. Only an interrupt that is not masked wakes it, and that is taken before it. */
export function waitForEvent(core: Core, until?: Timeout): void {
  if (core.ints[2 * Word.EVENT]! !== 0) {
    core.ints[2 * Word.EVENT] = 0;
    return;
  }
  wait(core, Power.WFE, until);
}

function trapWait(core: Core, event: boolean, until: Timeout | undefined): void {
  const el = elOf(core);
  const iss = wfxIss(event, until?.register);
  if (el === 0 && (core.ints[sctlrIndex(core, 0)]! & (event ? Sctlr.NTWE : Sctlr.NTWI)) === 0) raise(core, { ec: Ec.WFX, iss });
  if (el < 2 && !inHost(core) && (hcrLow(core) & (event ? Hcr.TWE : Hcr.TWI)) !== 0) raise(core, { ec: Ec.WFX, iss, target: 2 });
}

/** SEV: sets every core's event register, and wakes those in WFE. */
export function sendEvent(core: Core): void {
  for (const other of core.board.cores) setEvent(other);
}

/** AArch64.ExceptionReturn to `address` with `spsr`: also how L0 enters its guest, from EL2. */
export function returnTo(core: Core, spsr: number, address: bigint): void {
  const { ints, words } = core;
  const pstate = pstateOf(core);
  const el = (pstate >> 2) & 3;
  const illegal = isIllegalReturn(core, el, spsr);
  const step = stepOfReturn(core, spsr, illegal ? el : (spsr >> 2) & 3);
  let next: number;
  if (illegal) {
    // EL, SP and nRW stay and IL is set; DAIF, PAN and the flags come from SPSR all the same (SetPSTATEFromSPSR). SSBS, BTYPE,
    // UAO, DIT and TCO become UNKNOWN: we keep them.
    const reinstated = DAIF | Pstate.PAN;
    next = (pstate & ~reinstated) | (spsr & reinstated) | Pstate.IL;
  } else {
    const reinstated = 0xc0d | DAIF | Pstate.SSBS | Pstate.IL | Pstate.PAN | Pstate.UAO | Pstate.DIT | Pstate.TCO;
    next = spsr & reinstated;
  }
  ints[2 * Word.PSTATE] = (next & ~Pstate.SS) | step;
  ints[2 * Word.STEPPED] = 0;
  ints[2 * Word.NZCV] = spsr >>> 28;
  // ClearExclusiveLocal, SendEventLocal.
  words[Word.MONITOR] = 0n;
  ints[2 * Word.EVENT] = 1;
  core.attention = true;
  words[Word.PC] = branchAddress(core, address);
}

/** IllegalExceptionReturn for an implementation without AArch32 and EL3. */
export function isIllegalReturn(core: Core, el: number, spsr: number): boolean {
  if ((spsr & 0x10) !== 0) return true;
  const target = (spsr >> 2) & 3;
  if ((spsr & 2) !== 0 || target === 3 || (target === 0 && (spsr & 1) !== 0)) return true;
  if (target === 2 && core.board.el2 === 'none') return true;
  if (target > el) return true;
  return target === 1 && tge(core);
}

/** HFGITR_EL2 is in force at EL1 and EL0 unless {E2H, TGE} = {1, 1}. */
function fineGrainedTrap(core: Core, highBit: number): boolean {
  return core.board.features.fgt && core.board.el2 !== 'none' && !(e2h(core) && tge(core)) && (core.ints[HFGITR_HIGH]! & highBit) !== 0;
}

/** HFGITR_EL2.ERET. */
export const eretTrapped = (core: Core): boolean => fineGrainedTrap(core, HfgitrHigh.ERET);

const nextInstruction = (core: Core): bigint => BigInt.asUintN(64, core.words[Word.PC]! + 4n);
