/** ERET by the guest hypervisor: back within virtual EL2, or down into what it runs. Arm ARM: AArch64.ExceptionReturn. Linux: emulate-nested.c (kvm_emulate_nested_eret). */

import type { Board } from '../aarch64/board.ts';
import { authenticateAddress } from '../aarch64/pointer-authentication.ts';
import { setRegister } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import type { Out } from '../messages.ts';
import { readVirtual, toHardwareMode } from './context.ts';
import { Hcr } from './controls.ts';
import { guestPc, setGuestPc } from './inject.ts';
import type { KvmState, Step } from './state.ts';
import { readPage } from './vncr.ts';

const IL = 1n << 20n;
/** N, Z, C, V, PAN and DAIF: an illegal return reinstates them all the same (Arm ARM: SetPSTATEFromSPSR). KVM keeps them. */
const REINSTATED = 0xf000_0000n | (1n << 22n) | 0x3c0n;

/** What follows an ERET trapped from virtual EL2. A return that stays in virtual EL2, or goes to a VHE host's EL0, needs no world switch. */
export function handleEret(state: KvmState, board: Board, out: Out, key?: 'IA' | 'IB'): Step[] {
  const core = board.cores[state.index]!;
  const spsr = readVirtual(state, board, 'SPSR_EL2');
  const elr = returnAddress(state, board, key);
  const hcr = readPage(state, board, 'HCR_EL2');
  out.event('kvm_nested_eret', { vcpu: state.index, elr, spsr, hcr, from: guestPc(core) });
  if (isIllegal(spsr, hcr)) {
    // PSTATE keeps M and gains IL; PC moves on all the same.
    setGuestPc(core, elr);
    setRegister(core, slot('SPSR_EL2'), (core.words[slot('SPSR_EL2')]! & ~REINSTATED) | (spsr & REINSTATED) | IL);
    return [];
  }
  if (staysInHost(spsr, hcr)) {
    setGuestPc(core, elr);
    setRegister(core, slot('SPSR_EL2'), toHardwareMode(spsr));
    return [];
  }
  return [{ step: 'put', blocking: false }, { step: 'nested-eret', address: elr }, { step: 'load' }];
}

/** ISS of a trapped ERET: bit 1 says ERETAA or ERETAB, bit 0 which. */
export const keyOfEret = (esr: bigint): 'IA' | 'IB' | undefined => ((esr & 2n) === 0n ? undefined : (esr & 1n) === 0n ? 'IA' : 'IB');

/**
 * Where ERET goes: virtual EL2's ELR, which ERETAA and ERETAB check by L1's key and stack pointer, both in the hardware, where virtual
 * EL2's controls are those of EL1. Linux: pauth.c (kvm_auth_eretax).
 */
function returnAddress(state: KvmState, board: Board, key: 'IA' | 'IB' | undefined): bigint {
  const core = board.cores[state.index]!;
  const elr = readVirtual(state, board, 'ELR_EL2');
  if (key === undefined) return elr;
  const stack = (core.words[slot('SPSR_EL2')]! & 1n) === 0n ? 'SP_EL0' : 'SP_EL1';
  return authenticateAddress(core, 1, elr, core.words[slot(stack)]!, key);
}

/** The switch itself, between put and load: PC as handleEret found it and PSTATE from virtual EL2's SPSR, which put has just stored. */
export function finishNestedEret(state: KvmState, board: Board, step: Extract<Step, { step: 'nested-eret' }>): void {
  const core = board.cores[state.index]!;
  setGuestPc(core, step.address);
  const spsr = readVirtual(state, board, 'SPSR_EL2');
  state.hyp = false;
  setRegister(core, slot('SPSR_EL2'), spsr);
}

/** M[4:0] that no return from virtual EL2 may have, and EL1 while TGE sends EL1 away. */
function isIllegal(spsr: bigint, hcr: bigint): boolean {
  const mode = spsr & 0x1fn;
  if (mode === 0n) return false;
  if ((mode & 0x10n) !== 0n || (mode & 2n) !== 0n || mode === 1n || (mode & 0xcn) === 0xcn) return true;
  return (mode & 0xcn) === 4n && (hcr & Hcr.TGE) !== 0n;
}

function staysInHost(spsr: bigint, hcr: bigint): boolean {
  const el = (spsr & 0xcn) >> 2n;
  return el === 2n || (el === 0n && (hcr & Hcr.TGE) !== 0n);
}

