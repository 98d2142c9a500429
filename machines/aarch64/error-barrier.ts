/** FEAT_RAS: ESB, which takes what it synchronises out of the way of exceptions: a masked SError that pends becomes a record in DISR_EL1 or VDISR_EL2. Arm ARM: AArch64.ESBOperation, AArch64.vESBOperation. */

import { MASK64 } from '../bits.ts';
import { Hcr, e2h, hcrLow, pstateOf, tge } from './controls.ts';
import { type Core, Pstate, Word, elOf } from './state.ts';
import { slot } from './sysregs.ts';

const DISR = slot('DISR_EL1');
const VDISR = slot('VDISR_EL2');
const VSESR = slot('VSESR_EL2');
const HCR = slot('HCR_EL2');
const PHYSICAL = 2;
const VIRTUAL = 1;

/** ESB. An SError that is not masked is taken before the next instruction. */
export function errorBarrier(core: Core): void {
  const el = elOf(core);
  const pending = core.ints[2 * Word.SERROR]!;
  if ((pending & PHYSICAL) !== 0 && isMasked(core, el)) {
    core.words[DISR] = deferred(0n);
    core.ints[2 * Word.SERROR] = pending & ~PHYSICAL;
  }
  if (el < 2 && core.board.el2 !== 'none') deferVirtual(core);
  core.attention = true;
}

/** Whether a physical SError is masked: its target is lower, or the level's PSTATE.A counts for it. */
function isMasked(core: Core, el: number): boolean {
  const hypervisor = core.board.el2 !== 'none' && (tge(core) || (hcrLow(core) & Hcr.AMO) !== 0);
  const target = hypervisor ? 2 : 1;
  if (target < el) return true;
  const counts = target === 1 ? el < 2 : tge(core) && e2h(core) ? el !== 1 : el === 2;
  return counts && (pstateOf(core) & Pstate.A) !== 0;
}

/** A virtual SError pends where physical ones are routed to EL2 and TGE is 0. */
function deferVirtual(core: Core): void {
  const hcr = hcrLow(core);
  if (tge(core) || (hcr & Hcr.AMO) === 0 || (pstateOf(core) & Pstate.A) === 0) return;
  if ((hcr & Hcr.VSE) === 0 && (core.ints[2 * Word.SERROR]! & VIRTUAL) === 0) return;
  core.words[VDISR] = deferred(core.words[VSESR]!);
  core.words[HCR] = core.words[HCR]! & ~BigInt(Hcr.VSE) & MASK64;
  core.ints[2 * Word.SERROR]! &= ~VIRTUAL;
}

/** DISR_EL1: A, and IDS and ISS of the syndrome. */
const deferred = (syndrome: bigint): bigint => (1n << 31n) | (syndrome & 0x1ff_ffffn);
