/** Self-hosted debug as virtual EL2 has it, by the rules of real EL2. Linux: debug.c. */

import type { Board } from '../aarch64/board.ts';
import { slot } from '../aarch64/sysregs.ts';
import type { KvmState } from './state.ts';
import { readPage } from './vncr.ts';

/** MDSCR_EL1. */
export const Mdscr = { SS: 1n << 0n, KDE: 1n << 13n, MDE: 1n << 15n } as const;
const MDCR_TDE = 1n << 8n;
const HCR_TGE = 1n << 27n;
const OSLK = 1n << 1n;
const PSTATE_D = 1n << 9n;
const SPSR_SS = 1n << 21n;

/** Whether virtual EL2 is the target of debug exceptions: HCR_EL2.TGE or MDCR_EL2.TDE of L1. */
export const debugIsOwn = (state: KvmState, board: Board): boolean =>
  (readPage(state, board, 'HCR_EL2') & HCR_TGE) !== 0n || (state.registers.MDCR_EL2! & MDCR_TDE) !== 0n;

/**
 * The `spsr` that an ERET from virtual EL2 goes by: SS counts only where debug exceptions were disabled before it (DebugExceptionReturnSS). L0's own
 * ERET, which does it in the hardware, applies the rule for the level that it goes to.
 */
export function stepOfReturn(state: KvmState, board: Board, spsr: bigint): bigint {
  const core = board.cores[state.index]!;
  const masked = (core.words[slot('SPSR_EL2')]! & PSTATE_D) !== 0n || (state.registers.OSLSR_EL1! & OSLK) !== 0n;
  const mdscr = state.mechanism === 'nv2' ? readPage(state, board, 'MDSCR_EL1') : core.words[slot('MDSCR_EL1')]!;
  return !masked && (mdscr & Mdscr.KDE) !== 0n && debugIsOwn(state, board) ? spsr & ~SPSR_SS : spsr;
}
