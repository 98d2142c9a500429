/** FEAT_BTI: PSTATE.BTYPE, which indirect branches set, and the check of where they land in guarded pages. Arm ARM D8.4.3 (guarded pages), AArch64.BranchTargetCheck. */

import type { BranchType } from './builder.ts';
import { sctlrIndex, pstateOf } from './controls.ts';
import { raise } from './exception.ts';
import { inGuardedPage } from './memory-access.ts';
import { type Core, Pstate, Word } from './state.ts';
import { Ec } from './syndrome.ts';

const PSTATE = 2 * Word.PSTATE;
const BTYPE = 3 << Pstate.BTYPE_SHIFT;
const TYPES: Readonly<Record<BranchType, number>> = { 'jump by X16 or X17': 1, call: 2, jump: 3 };

/** What the branch in hand leaves in PSTATE.BTYPE for the next instruction. BR by another register than X16 and X17 counts as 0b11 where it is in a guarded page itself. */
export function setBranchType(core: Core, type: BranchType): void {
  const value = type === 'jump' && !inGuardedPage(core) ? 1 : TYPES[type];
  core.ints[PSTATE] = (core.ints[PSTATE]! & ~BTYPE) | (value << Pstate.BTYPE_SHIFT);
}

/**
 * The first instruction behind an indirect branch, `word`, fetched from PC: in a guarded page it has to be one that the branch may land on. Clears
 * PSTATE.BTYPE, but for BRK, whose exception saves it; for other exceptions of the instruction whether SPSR_ELx.BTYPE is 0 is
 * CONSTRAINED UNPREDICTABLE, and ours is (AArch64.TakeException).
 */
export function landBranch(core: Core, word: number): void {
  const type = (core.ints[PSTATE]! >> Pstate.BTYPE_SHIFT) & 3;
  if (inGuardedPage(core) && !accepts(core, word, type)) raise(core, { ec: Ec.BRANCH_TARGET, iss: type });
  if (!isBreakpoint(word)) core.ints[PSTATE]! &= ~BTYPE;
}

const isBreakpoint = (word: number): boolean => (word & 0xffe0_001f) >>> 0 === 0xd420_0000;
const isHalt = (word: number): boolean => (word & 0xffe0_001f) >>> 0 === 0xd440_0000;

/** SCTLR_ELx.BT0 for EL0, BT1 and BT above: bits 35 and 36. */
const SCTLR_HIGH_BT = [1 << 3, 1 << 4, 1 << 4] as const;

/** BTypeCompatible: BTI by what it names, PACIASP and PACIBSP but for jumps where SCTLR_ELx.BT says so, BRK and HLT. */
function accepts(core: Core, word: number, type: number): boolean {
  switch (word >>> 0) {
    case 0xd503_241f: return false;
    case 0xd503_245f: return type !== 3;
    case 0xd503_249f: return type !== 2;
    case 0xd503_24df: return true;
    case 0xd503_233f: case 0xd503_237f: {
      if (type !== 3) return true;
      const el = (pstateOf(core) >> 2) & 3;
      return (core.ints[sctlrIndex(core, el) + 1]! & SCTLR_HIGH_BT[el]!) === 0;
    }
    default: return isBreakpoint(word) || isHalt(word);
  }
}
