/** What every exit handler works with: the syndrome, the guest's registers, the way past the instruction, and the way to L1. Linux: kvm_emulate.h. */

import type { Board } from '../aarch64/board.ts';
import { setRegister, Word, type Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import type { Out } from '../messages.ts';
import { guestPc, guestPstate, setGuestPc } from './inject.ts';
import type { KvmState, Step } from './state.ts';
import { readPage } from './vncr.ts';

/** Exception classes that reach L0 (ESR_EL2.EC). Arm ARM: ESR_EL2. */
export const Ec = { UNKNOWN: 0x00, WFX: 0x01, FP: 0x07, ILLEGAL: 0x0e, HVC: 0x16, SMC: 0x17, SYSREG: 0x18, ERET: 0x1a, IABT_LOWER: 0x20, IABT_SAME: 0x21, DABT_LOWER: 0x24, DABT_SAME: 0x25, WATCHPOINT_LOWER: 0x34 } as const;

export const esrOf = (core: Core): bigint => core.words[slot('ESR_EL2')]!;
export const ecOf = (core: Core): number => Number((esrOf(core) >> 26n) & 0x3fn);

export const getX = (core: Core, register: number): bigint => (register === 31 ? 0n : core.words[register]!);
export function setX(core: Core, register: number, value: bigint): void {
  if (register !== 31) setRegister(core, Word.X + register, value);
}

/** Moves the guest past the trapped instruction: PC, and the state that the instruction would have consumed (BTYPE, SS). */
export function skipInstruction(core: Core): void {
  setGuestPc(core, BigInt.asUintN(64, guestPc(core) + 4n));
  setRegister(core, slot('SPSR_EL2'), core.words[slot('SPSR_EL2')]! & ~((3n << 10n) | (1n << 21n)));
}

/** L1's HCR_EL2 as it stands in the VNCR page. */
export const virtualHcr = (state: KvmState, board: Board): bigint => (state.mechanism === 'none' ? 0n : readPage(state, board, 'HCR_EL2'));

/** An exception for L1, from whatever it runs: through a world switch, or at once when virtual EL2's registers are in the hardware. */
export function injectSync(state: KvmState, board: Board, out: Out, esr: bigint, far?: bigint, hpfar?: bigint): Step[] {
  const core = board.cores[state.index]!;
  out.event('kvm_inject_nested_exception', { vcpu: state.index, type: 'sync', esr, pc: guestPc(core), pstate: guestPstate(state, core) });
  const exception = { type: 'sync' as const, esr, ...(far === undefined ? {} : { far }), ...(hpfar === undefined ? {} : { hpfar }) };
  if (state.hyp) return [{ step: 'inject', exception }];
  return [{ step: 'put', blocking: false }, { step: 'inject', exception }, { step: 'load' }];
}
