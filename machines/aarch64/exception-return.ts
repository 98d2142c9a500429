/** ERET, ERETAA and ERETAB: their traps, the check of the address, and the return. Arm ARM: AArch64.CheckForERetTrap, AArch64.ExceptionReturn. */

import type { PointerKey } from './builder.ts';
import { HcrHigh, hcrHigh } from './controls.ts';
import { eretTrapped, raise, returnTo, undefinedInstruction } from './exception.ts';
import { authenticatePointer } from './pointer-authentication.ts';
import { type Core, elOf, stackWord } from './state.ts';
import { Ec } from './syndrome.ts';
import { slot } from './sysregs.ts';

const ELR = [0, slot('ELR_EL1'), slot('ELR_EL2')] as const;
const SPSR = [0, slot('SPSR_EL1'), slot('SPSR_EL2')] as const;

/** ISS of a trapped ERET: ERET (bit 1) for those with a key, ERETA (bit 0) for the B key. */
const eretIss = (key: PointerKey | undefined): number => (key === undefined ? 0 : key === 'IB' ? 3 : 2);

/** Traps (HCR_EL2.NV, HFGITR_EL2.ERET), then the check of ELR_ELx where `key` says so, then the return with its illegal cases. Sets PC. */
export function exceptionReturn(core: Core, key?: PointerKey): void {
  const el = elOf(core);
  if (el === 0 || (key !== undefined && core.board.features.pauth === 'none')) undefinedInstruction(core);
  if (el === 1 && ((hcrHigh(core) & HcrHigh.NV) !== 0 || eretTrapped(core))) raise(core, { ec: Ec.ERET, iss: eretIss(key), target: 2 });
  const level = el as 1 | 2;
  const elr = core.words[ELR[level]]!;
  const address = key === undefined ? elr : authenticatePointer(core, { act: 'authenticate', key }, elr, core.words[stackWord(core)]!);
  core.board.observe?.(core, 'eret', 0, elr);
  returnTo(core, Number(core.words[SPSR[level]]! & 0xffff_ffffn), address);
}
