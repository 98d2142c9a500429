/** ERET by the guest hypervisor: back within virtual EL2, or down into what it runs. Arm ARM: AArch64.ExceptionReturn. Linux: emulate-nested.c (kvm_emulate_nested_eret). */

import type { Board } from '../aarch64/board.ts';
import { setRegister } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import type { Out } from '../messages.ts';
import { readVirtual, toHardwareMode } from './context.ts';
import { Hcr } from './controls.ts';
import { stepOfReturn } from './debug.ts';
import { guestPc, setGuestPc } from './inject.ts';
import type { KvmState, Step } from './state.ts';
import { readPage } from './vncr.ts';

const IL = 1n << 20n;
/** N, Z, C, V, PAN, SS and DAIF: an illegal return reinstates them all the same (Arm ARM: SetPSTATEFromSPSR). KVM keeps them. */
const REINSTATED = 0xf000_0000n | (1n << 22n) | (1n << 21n) | 0x3c0n;

/** What follows an ERET trapped from virtual EL2. A return that stays in virtual EL2, or goes to a VHE host's EL0, needs no world switch. */
export function handleEret(state: KvmState, board: Board, out: Out): Step[] {
  const core = board.cores[state.index]!;
  const written = readVirtual(state, board, 'SPSR_EL2');
  const spsr = stepOfReturn(state, board, written);
  const elr = readVirtual(state, board, 'ELR_EL2');
  const hcr = readPage(state, board, 'HCR_EL2');
  out.event('kvm_nested_eret', { vcpu: state.index, elr, spsr: written, hcr, from: guestPc(core) });
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
  return [{ step: 'put', blocking: false }, { step: 'nested-eret' }, { step: 'load' }];
}

/** The switch itself, between put and load: PC and PSTATE from virtual EL2's ELR and SPSR, which put has just stored. */
export function finishNestedEret(state: KvmState, board: Board, _out: Out): void {
  const core = board.cores[state.index]!;
  setGuestPc(core, readVirtual(state, board, 'ELR_EL2'));
  const spsr = stepOfReturn(state, board, readVirtual(state, board, 'SPSR_EL2'));
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

