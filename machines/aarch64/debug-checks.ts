/** The checks that each instruction passes while self-hosted debug is on, in the order of Arm ARM D1.3.5.3, and the exceptions that they raise. */

import { type WatchedAccess, advanceStep, breakpointMatches, debugTarget, needsCheckedExecution, stepPending, stepping, watchpointHit } from './debug.ts';
import { raise } from './exception.ts';
import { type Core, Word, elOf } from './state.ts';
import { Ec, Iss } from './syndrome.ts';
import { type Translation, forgetFast } from './tlb.ts';

/** ISS of a debug exception: IFSC or DFSC 0b100010. */
const DEBUG_FAULT = 0x22;
/** ISS of a Software Step exception. */
const Step = { ISV: 1 << 24, EX: 1 << 6 } as const;

/** Word.STEPPED: no instruction was stepped; one was, and which kind; one is being stepped. */
export const Stepped = { NONE: 0, PLAIN: 1, LOAD_EXCLUSIVE: 2, IN_HAND: 3 } as const;

/** Looks again whether instructions need checks, and says so: where a run loop has looked at `core.attention`. While they do, data accesses go past the fast path. */
export function lookAtDebug(core: Core): boolean {
  const checked = needsCheckedExecution(core);
  if (checked && !core.checked && core.translation !== undefined) forgetFast(core.translation as Translation);
  if (!checked && core.ints[2 * Word.STEPPED] !== Stepped.NONE) core.words[Word.STEPPED] = BigInt(Stepped.NONE);
  core.checked = checked;
  return checked;
}

/** AArch64.CheckSoftwareStep: before anything else of an instruction. ISV = 1 only where the instruction before was itself stepped. */
export function checkSoftwareStep(core: Core): void {
  if (!stepPending(core)) return;
  const stepped = core.ints[2 * Word.STEPPED]!;
  const syndrome = stepped === Stepped.LOAD_EXCLUSIVE ? Step.ISV | Step.EX : stepped === Stepped.PLAIN ? Step.ISV : 0;
  raise(core, { ec: Ec.SOFTWARE_STEP, iss: syndrome | DEBUG_FAULT, target: targetOf(core) });
}

/** After the instruction's Instruction Aborts, before its Illegal Execution state exception. */
export function checkBreakpoint(core: Core): void {
  if (breakpointMatches(core)) raise(core, { ec: Ec.BREAKPOINT, iss: DEBUG_FAULT, target: targetOf(core) });
}

/** Before a checked instruction runs. */
export function beginStep(core: Core): void {
  core.ints[2 * Word.STEPPED] = stepping(core) ? Stepped.IN_HAND : Stepped.NONE;
}

/** After a checked instruction that was completed. An exception return has set PSTATE.SS for what follows it: nothing is in hand then. */
export function finishStep(core: Core, loadExclusive: boolean): void {
  if (core.ints[2 * Word.STEPPED] !== Stepped.IN_HAND) return;
  advanceStep(core);
  core.ints[2 * Word.STEPPED] = loadExclusive ? Stepped.LOAD_EXCLUSIVE : Stepped.PLAIN;
}

/** After the access's Data Aborts, before it is made. `iss` adds bits: CM for cache maintenance. */
export function checkWatchpoints(core: Core, access: WatchedAccess, iss = 0): void {
  const hit = watchpointHit(core, access);
  if (hit === undefined) return;
  const vncr = access.vncr === true;
  // What FEAT_NV2 does for EL1 is reported to EL2 as from EL2.
  raise(core, { ec: vncr ? Ec.WATCHPOINT + 1 : Ec.WATCHPOINT, iss: DEBUG_FAULT | iss | (hit.write ? Iss.WNR : 0) | (vncr ? Iss.VNCR : 0), far: hit.far, target: vncr ? 2 : targetOf(core) });
}

/** Debug exceptions from EL2 stay there. */
const targetOf = (core: Core): 1 | 2 => (elOf(core) === 2 ? 2 : debugTarget(core));
