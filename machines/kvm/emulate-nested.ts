/**
 * Which of L2's trapped accesses L1 asked for. L0 programs the hardware with what it wants trapped and what L1 wants; an
 * access that trapped is L1's when L1's own controls, on real hardware, would have trapped it. That question is put to the
 * rows of aarch64/traps.ts themselves, with a core whose EL2 controls are L1's virtual ones. Linux keeps a second table for it
 * (emulate-nested.c); ours cannot disagree with the hardware's.
 */

import type { Board } from '../aarch64/board.ts';
import { addressTranslate } from '../aarch64/memory-access.ts';
import { hasFeature } from '../aarch64/registers/features.ts';
import { type Core, Word } from '../aarch64/state.ts';
import { registerByName, slot } from '../aarch64/sysregs.ts';
import { trapTarget, trapsOf } from '../aarch64/traps.ts';
import { readVirtual } from './context.ts';
import { Hcr } from './controls.ts';
import type { KvmState } from './state.ts';
import { virtualHardware } from './virtual-hardware.ts';

/** EL2 controls that the trap rows read. */
const CONTROLS = [
  'HCR_EL2', 'CPTR_EL2', 'MDCR_EL2', 'CNTHCTL_EL2', 'HSTR_EL2', 'ICH_HCR_EL2', 'HCRX_EL2', 'HFGRTR_EL2', 'HFGWTR_EL2', 'HFGITR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2',
].filter((name) => registerByName(name) !== undefined);
/** EL1 controls over EL0 are live in the hardware while L2 runs. */
const LIVE = ['SCTLR_EL1', 'CNTKCTL_EL1', 'MDSCR_EL1', 'CPACR_EL1'];

/** Whether L1 traps the access `name` ('SCTLR_EL1', 'TLBI VAE1IS') of the code below virtual EL2 that has just exited. */
export function trappedByL1(state: KvmState, board: Board, name: string, direction: 'read' | 'write'): boolean {
  // What L1's hardware lacks is UNDEFINED there, which comes before its traps.
  const needs = registerByName(name)?.needs;
  if (needs !== undefined && !hasFeature(virtualHardware(state, board), needs)) return false;
  return trapTarget(asSeenByL1(state, board), trapsOf(name, direction)) === 2;
}

/** HCR_EL2.TIDCP of L1: over op0 1 and 3 with CRn 11 and 15 at EL1, where nothing is implemented and no row says so. */
export const reservedByL1 = (state: KvmState, board: Board, encoding: number): boolean =>
  (encoding & (1 << 14)) !== 0 && ((encoding >> 7) & 11) === 11 && elOf(board, state) === 1n && (readVirtual(state, board, 'HCR_EL2') & Hcr.TIDCP) !== 0n;

const elOf = (board: Board, state: KvmState): bigint => (board.cores[state.index]!.words[slot('SPSR_EL2')]! >> 2n) & 3n;

/** The registers of L1's own regime and of its guest's, which translations read. */
const REGIMES = [
  'SCTLR_EL2', 'TCR_EL2', 'TTBR0_EL2', 'TTBR1_EL2', 'MAIR_EL2', 'VTTBR_EL2', 'VTCR_EL2', 'SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'MAIR_EL1', 'CONTEXTIDR_EL1',
];

/**
 * PAR_EL1 after AT `operation` in virtual EL2: what the hardware would answer with L1 on it, walking L1's own tables. (KVM tries a
 * real AT first and walks when a shadow lacks the entry; a walk is always right.) Linux: at.c.
 */
export function translateAsL1(state: KvmState, board: Board, operation: string, value: bigint): bigint {
  const core = asSeenByL1(state, board);
  for (const name of REGIMES) core.words[slot(name)] = readVirtual(state, board, name);
  // PSTATE.PAN counts for S1E1RP and S1E1WP.
  core.words[Word.PSTATE] = 0x3c9n | (core.words[Word.PSTATE]! & (1n << 22n));
  return addressTranslate({ ...core, translation: undefined }, operation, value);
}

/** A core with L1's controls in place of L0's: a question, not a state. */
export function asSeenByL1(state: KvmState, board: Board): Core {
  const core = board.cores[state.index]!;
  const words = new BigUint64Array(core.words.length);
  const { el2, features } = virtualHardware(state, board);
  for (const name of CONTROLS) words[slot(name)] = readVirtual(state, board, name);
  for (const name of LIVE) words[slot(name)] = core.words[slot(name)]!;
  words[Word.PSTATE] = core.words[slot('SPSR_EL2')]! & 0x0fff_ffffn;
  return { ...core, words, ints: new Int32Array(words.buffer), board: { ...board, el2, features } };
}
