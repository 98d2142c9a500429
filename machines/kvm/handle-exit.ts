/** What L0 does about each exit: the table of exception classes, and which exits of L2 belong to L1. Linux: handle_exit.c. */

import type { Board } from '../aarch64/board.ts';
import { timeOfCount } from '../aarch64/generic-timer.ts';
import { Word, type Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import { hex } from '../bits.ts';
import type { Out } from '../messages.ts';
import { Hcr } from './controls.ts';
import { Ec, ecOf, esrOf, getX, injectSync, setX, skipInstruction, virtualHcr } from './exit.ts';
import { handleAbort } from './fault.ts';
import { guestPc, guestPstate, setGuestPc, takeToEl1, UNKNOWN_ESR } from './inject.ts';
import { handleEret, keyOfEret } from './nested-eret.ts';
import { decodePv } from './pv.ts';
import { drawRandom, firmwareCall, NOT_SUPPORTED, PSCI_SUCCESS, type FirmwareRequest } from './psci.ts';
import type { KvmState, Step } from './state.ts';
import { emulateOperation, emulateRegister, handleSystemTrap } from './sys-regs.ts';

/** Decides one exit. Returns the steps that follow before the vCPU goes back in. */
export function handleExit(state: KvmState, board: Board, out: Out): Step[] {
  const core = board.cores[state.index]!;
  hostInterrupts(state, core, out);
  if (state.vector !== 'sync') return [];
  const ec = ecOf(core);
  switch (ec) {
    case Ec.WFX: return handleWfx(state, board, core, out);
    case Ec.HVC: return handleHvc(state, board, core, out);
    case Ec.SMC: return handleSmc(state, board, core, out);
    case Ec.SYSREG: return handleSystemTrap(state, board, out);
    case Ec.ERET: return state.hyp ? handleEret(state, board, out, keyOfEret(esrOf(core))) : injectSync(state, board, out, esrOf(core));
    case Ec.IABT_LOWER: case Ec.DABT_LOWER: return handleAbort(state, board, out);
    // L1 has MDCR_EL2.TDE: debug exceptions of what it runs are its own. Of these a watchpoint's reports an address.
    case Ec.WATCHPOINT_LOWER: return injectSync(state, board, out, esrOf(core), core.words[slot('FAR_EL2')]!);
    default:
      if (!state.hyp && state.mechanism !== 'none') return injectSync(state, board, out, esrOf(core));
      throw new Error(`L0 has no handler for exception class ${hex(ec, 2)} (ESR_EL2 ${hex(esrOf(core))}) at ${hex(guestPc(core))}`);
  }
}

/** Timer lines of the hardware that L0 owns: each rising line is one host interrupt, masked (forwarded) until the guest has dealt with it. */
function hostInterrupts(state: KvmState, core: Core, out: Out): void {
  const lines = Number(core.words[Word.TIMER_LINES]! & ~core.words[Word.FORWARDED]! & 3n);
  for (const line of [0, 1]) if ((lines & (1 << line)) !== 0) out.send(`timer:${state.index}`, { type: 'host-irq', line });
}

function handleWfx(state: KvmState, board: Board, core: Core, out: Out): Step[] {
  const esr = esrOf(core);
  const isWfe = (esr & 1n) === 1n;
  const hcr = virtualHcr(state, board);
  out.event('kvm_wfx_arm64', { vcpu: state.index, pc: guestPc(core), is_wfe: isWfe });
  if (!state.hyp && (hcr & (isWfe ? Hcr.TWE : Hcr.TWI)) !== 0n) return injectSync(state, board, out, esr);
  const until = timeoutOf(core, esr);
  skipInstruction(core);
  return isWfe || until === 'up' ? [] : [{ step: 'wait-prepare', ...(until === undefined ? {} : { untilNs: until }) }];
}

/** ISS of WFIT and WFET: TI bit 1, and RV, with which RN is the register that holds the virtual count to wait for. */
const WFXT = 2n;
const RV = 4n;

/** When the time of a WFIT or WFET is up, in virtual nanoseconds: never for other waits, and perhaps already. Linux: kvm_handle_wfx, wfit_delay_ns. */
function timeoutOf(core: Core, esr: bigint): number | 'up' | undefined {
  if ((esr & (WFXT | RV)) !== (WFXT | RV)) return undefined;
  // What the guest would read: the hardware's offset is right for the context that is loaded.
  const at = timeOfCount(core, getX(core, Number((esr >> 5n) & 31n)));
  return at !== undefined && at <= core.board.now ? 'up' : at;
}

function handleHvc(state: KvmState, board: Board, core: Core, out: Out): Step[] {
  const esr = esrOf(core);
  const imm = Number(esr & 0xffffn);
  if (state.mechanism === 'pv' && inEl2Mode(state, core)) {
    const steps = handlePv(state, board, core, out, imm);
    if (steps) return steps;
  }
  out.event('kvm_hvc_arm64', { vcpu: state.index, pc: guestPc(core), r0: core.words[0]!, imm });
  if (state.mechanism === 'none') return firmware(state, board, core, out);
  return hypercall(state, board, core, out, esr);
}

/** An HVC of L1 or of what it runs, for virtual EL2. L1's HCR_EL2.HCD makes it UNDEFINED at EL1 and EL2, but under TGE. */
function hypercall(state: KvmState, board: Board, core: Core, out: Out, esr: bigint): Step[] {
  if ((virtualHcr(state, board) & (Hcr.HCD | Hcr.TGE)) !== Hcr.HCD) return injectSync(state, board, out, esr);
  // The preferred return of an UNDEFINED HVC is the HVC itself.
  setGuestPc(core, guestPc(core) - 4n);
  takeToEl1(state, board, UNKNOWN_ESR);
  return [];
}

/** Virtual EL2 proper, not the EL0 of a VHE host. */
const inEl2Mode = (state: KvmState, core: Core): boolean => state.hyp && (guestPstate(state, core) & 0xcn) === 8n;

/** An HVC that stands for another instruction. PC is already behind it. Undefined: an HVC after all. */
function handlePv(state: KvmState, board: Board, core: Core, out: Out, imm: number): Step[] | undefined {
  const operation = decodePv(imm);
  switch (operation.kind) {
    case 'mrs': case 'msr': return emulateRegister(state, board, out, operation.register, operation.kind === 'msr', operation.rt);
    case 'tlbi': case 'at': return emulateOperation(state, board, out, operation.encoding, getX(core, operation.rt));
    case 'eret': return handleEret(state, board, out, operation.key);
    case 'psci': return firmware(state, board, core, out);
    // L1's own hypercall, which goes to virtual EL2 itself.
    case 'hvc': return hypercall(state, board, core, out, (esrOf(core) & ~0xffffn) | BigInt(operation.immediate));
    default: return undefined;
  }
}

function handleSmc(state: KvmState, board: Board, core: Core, out: Out): Step[] {
  const esr = esrOf(core);
  if (!state.hyp && (virtualHcr(state, board) & Hcr.TSC) !== 0n) return injectSync(state, board, out, esr);
  skipInstruction(core);
  out.event('kvm_smc_arm64', { vcpu: state.index, r0: core.words[0]!, imm: Number(esr & 0xffffn) });
  if ((esr & 0xffffn) !== 0n) {
    setX(core, 0, NOT_SUPPORTED);
    return [];
  }
  return firmware(state, board, core, out);
}

/** A PSCI or SMCCC call by the guest, through SMC, or through HVC where there is no virtual EL2. */
function firmware(state: KvmState, board: Board, core: Core, out: Out): Step[] {
  const request: FirmwareRequest = firmwareCall([0, 1, 2, 3].map((register) => getX(core, register)), board.cores.length);
  out.event('kvm_psci', { vcpu: state.index, request: request.type, function: core.words[0]! });
  switch (request.type) {
    case 'answer': answer(core, request.value, request.more); return [];
    case 'cpu-on':
      out.send(`kvm:${request.target}`, { type: 'power-on', entry: request.entry, context: request.context, from: `kvm:${state.index}` });
      return [{ step: 'finish-power-on' }];
    // A vCPU's power state is read from its block: 0 ON, 1 OFF.
    case 'affinity-info': setX(core, 0, board.cores[request.target]!.words[Word.POWER] === 0n ? 1n : 0n); return [];
    case 'cpu-suspend': setX(core, 0, 0n); return [{ step: 'wait-prepare' }];
    case 'cpu-off': return [{ step: 'power-off' }];
    case 'random': {
      const drawn = drawRandom(state.entropy, request);
      state.entropy = drawn.entropy;
      answer(core, PSCI_SUCCESS, drawn.values);
      return [];
    }
    case 'power':
      out.send('psci', { type: 'power', request: request.request });
      return [];
  }
}

/** The results of a firmware call, from X0 on. */
function answer(core: Core, value: bigint, more: readonly bigint[] = []): void {
  for (const [register, result] of [value, ...more].entries()) setX(core, register, result);
}
