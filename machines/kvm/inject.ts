/** Taking an exception to virtual EL2 or to a guest's EL1 on its behalf. Arm ARM: AArch64.TakeException. Linux: hyp/exception.c, inject_fault.c. */

import type { Board } from '../aarch64/board.ts';
import { setRegister, type Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import { bit } from '../bits.ts';
import { Hcr } from './controls.ts';
import { readVirtual, toHardwareMode, toVirtualMode, writeVirtual } from './context.ts';
import type { KvmState, NestedException } from './state.ts';
import { readPage } from './vncr.ts';

/** The guest's program counter and PSTATE while L0 works are the hardware's ELR_EL2 and SPSR_EL2. */
export const guestPc = (core: Core): bigint => core.words[slot('ELR_EL2')]!;
export const setGuestPc = (core: Core, pc: bigint): void => setRegister(core, slot('ELR_EL2'), pc);

/** PSTATE as the guest sees it: EL2 in virtual EL2. */
export function guestPstate(state: KvmState, core: Core): bigint {
  const pstate = core.words[slot('SPSR_EL2')]!;
  return state.hyp ? toVirtualMode(pstate) : pstate;
}

export function setGuestPstate(state: KvmState, core: Core, pstate: bigint): void {
  setRegister(core, slot('SPSR_EL2'), state.hyp ? toHardwareMode(pstate) : pstate);
}

const MODE = 0x1fn;
const EL2H = 0b01001n;
const DAIF = 0x3c0n;
/** Bits that an exception leaves alone: N, Z, C, V, TCO (FEAT_MTE would set it), DIT, PAN. */
const KEPT = 0xf000_0000n | (1n << 25n) | (1n << 24n) | (1n << 22n);
const PAN = 1n << 22n;
const SSBS = 1n << 12n;
/** PSTATE.SSBS is SCTLR_ELx.DSSBS at every exception to ELx. */
const ssbsOnEntry = (sctlr: bigint): bigint => (bit(sctlr, 44) ? SSBS : 0n);

/** Whether the vCPU is in virtual EL2, or in the EL0 of a VHE host ({E2H,TGE}={1,1}). */
export const inVirtualEl2 = (state: KvmState, core: Core): boolean => state.hyp && (guestPstate(state, core) & 0xcn) === 8n;

/** Takes `exception` to virtual EL2. The vCPU's context must be virtual EL2's (`state.hyp`), PC and PSTATE those of the interrupted code. */
export function takeToVirtualEl2(state: KvmState, board: Board, exception: NestedException, from: bigint): void {
  const core = board.cores[state.index]!;
  writeVirtual(state, board, 'ELR_EL2', guestPc(core));
  writeVirtual(state, board, 'SPSR_EL2', from);
  if (exception.type !== 'irq') writeVirtual(state, board, 'ESR_EL2', exception.esr);
  if (exception.far !== undefined) writeVirtual(state, board, 'FAR_EL2', exception.far);
  if (exception.hpfar !== undefined) writeVirtual(state, board, 'HPFAR_EL2', exception.hpfar);
  const source = from & MODE;
  const base = source === EL2H ? 0x200n : source === 0b01000n ? 0n : 0x400n;
  const offset = base + (exception.type === 'irq' ? 0x80n : exception.type === 'serror' ? 0x180n : 0n);
  setGuestPc(core, (readVirtual(state, board, 'VBAR_EL2') & ~0x7ffn) + offset);
  setRegister(core, slot('SPSR_EL2'), toHardwareMode((from & KEPT) | panOnEntry(state, board) | ssbsOnEntry(readVirtual(state, board, 'SCTLR_EL2')) | DAIF | EL2H));
}

/** PAN is set on exceptions to EL2 with {E2H,TGE}={1,1} and SCTLR_EL2.SPAN=0 (FEAT_PAN). */
function panOnEntry(state: KvmState, board: Board): bigint {
  const hcr = readPage(state, board, 'HCR_EL2');
  const host = (hcr & Hcr.E2H) !== 0n && (hcr & Hcr.TGE) !== 0n;
  return host && !bit(readVirtual(state, board, 'SCTLR_EL2'), 23) ? PAN : 0n;
}

/** Takes a synchronous exception to the EL1 of the context in hand: an UNDEFINED or abort that L0 answers itself. */
export function takeToEl1(state: KvmState, board: Board, esr: bigint, far?: bigint): void {
  const core = board.cores[state.index]!;
  const from = core.words[slot('SPSR_EL2')]!;
  const set = (name: string, value: bigint): void => setRegister(core, slot(name), value);
  if (state.hyp) return takeToVirtualEl2(state, board, { type: 'sync', esr, ...(far === undefined ? {} : { far }) }, guestPstate(state, core));
  set('ELR_EL1', guestPc(core));
  set('SPSR_EL1', from);
  set('ESR_EL1', esr);
  if (far !== undefined) set('FAR_EL1', far);
  const mode = from & MODE;
  const base = mode === 0b00101n ? 0x200n : mode === 0b00100n ? 0n : 0x400n;
  setGuestPc(core, core.words[slot('VBAR_EL1')]! + base);
  const sctlr = core.words[slot('SCTLR_EL1')]!;
  set('SPSR_EL2', (from & KEPT) | (bit(sctlr, 23) ? 0n : PAN) | ssbsOnEntry(sctlr) | DAIF | 0b00101n);
}

/** ESR for an UNDEFINED instruction: EC 0x00, IL. */
export const UNKNOWN_ESR = 1n << 25n;
