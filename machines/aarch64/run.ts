/** Running a core: attempts instructions up to an exact budget, takes interrupts and exceptions, and says why it stopped. */

import { Interpreter } from './engine/interpreter.ts';
import { landBranch } from './branch-target.ts';
import { beginStep, checkBreakpoint, checkSoftwareStep, finishStep, lookAtDebug } from './debug-checks.ts';
import { ReferenceEngine } from './engine/reference.ts';
import { decoding } from './engine/shapes.ts';
import { stopBefore } from './engine/stops.ts';
import { UNWIND, takeInterrupt } from './exception.ts';
import type { RunEnd, RunResult, Stops } from './exit.ts';
import { maskedOrTaken } from './interrupts.ts';
import { fetchInstruction, fetchOffset } from './memory-access.ts';
import { limitOf } from './pmu.ts';
import { Power, Pstate, Word, type Core } from './state.ts';

/**
 * Attempts at most `budget` instructions of `core`. One that takes an exception counts; one that waits for a device's
 * reply does not, since it is attempted again. With `stops`, ends before an instruction they name, but never before the first
 * of the run, so that resuming makes progress; the pages touched are in `board.footprint`.
 */
export function run(core: Core, budget: number, stops?: Stops): RunResult {
  const power = core.ints[2 * Word.POWER];
  core.end = undefined;
  core.attention = true;
  if (power === Power.WFI || power === Power.WFE) {
    core.words[Word.POWER] = BigInt(Power.ON);
    core.words[Word.WAIT_UNTIL] = 0n;
  }
  const checked = lookAtDebug(core);
  if (stops !== undefined || checked || core.board.engine === 'reference') return runReference(core, budget, stops);
  core.board.footprint = undefined;
  const result = ((core.board.execution ??= new Interpreter(core.board)) as Interpreter).run(core, budget);
  if (result.end !== undefined) return { attempted: result.attempted, end: result.end };
  // Debug was switched on: the rest is checked instruction by instruction.
  const rest = runReference(core, budget - result.attempted, stops);
  return { attempted: result.attempted + rest.attempted, end: rest.end };
}

function runReference(core: Core, budget: number, stops: Stops | undefined): RunResult {
  const { ints, board } = core;
  const engine = new ReferenceEngine(core);
  let attempted = 0;
  let checked = lookAtDebug(core);
  let limit = limitOf(core, budget, 0);
  board.footprint = stops === undefined ? undefined : { read: new Set(), written: new Set() };

  for (;;) {
    try {
      while (attempted < limit) {
        // A load that has its answer is done with before an interrupt is looked at: what the device gave is not given twice.
        if (core.attention && (attempted > 0 || core.deviceReplies.length === 0)) {
          if (stops !== undefined && attempted > 0 && vectors(core)) return { attempted, end: BUDGET };
          while (core.attention && core.end === undefined) takeInterrupt(core);
          if (core.end !== undefined) return ended(core, attempted);
          checked = lookAtDebug(core);
          limit = limitOf(core, budget, attempted);
        }
        const decoded = decoding(checked ? fetchChecked(core) : fetchInstruction(core));
        if (stops !== undefined && attempted > 0) {
          const stop = stopBefore(core, decoded, stops);
          if (stop !== undefined) return { attempted, end: stop };
        }
        if ((ints[2 * Word.PSTATE]! & BTYPE) !== 0) landBranch(core, decoded.word);
        engine.jumped = false;
        if (checked) beginStep(core);
        decoded.semantics(engine, decoded.fields);
        if (!engine.jumped) {
          const low = ints[2 * Word.PC]! + 4;
          ints[2 * Word.PC] = low;
          if (low === 0) ints[2 * Word.PC + 1]! += 1;
        }
        if (checked) finishStep(core, LOAD_EXCLUSIVE.test(decoded.row?.name ?? ''));
        attempted += 1;
        count(core);
        if (core.end !== undefined) return ended(core, attempted);
      }
      return { attempted, end: attempted < budget ? EFFECT : BUDGET };
    } catch (error) {
      if (error !== UNWIND) throw error;
      if (endOf(core)?.type !== 'device') {
        attempted += 1;
        count(core);
      }
      if (core.end !== undefined) return ended(core, attempted);
    }
  }
}

/**
 * Whether an interrupt is due that is taken without ending the run. A run to a stop ends before it: behind it, it could stop where no number
 * of instructions ends, and the run that repeats it names a number.
 */
function vectors(core: Core): boolean {
  const due = maskedOrTaken(core);
  return due !== undefined && !(due.target === 2 && core.board.el2 === 'kvm');
}

/** PSTATE.BTYPE: not 0 behind an indirect branch. */
const BTYPE = 3 << Pstate.BTYPE_SHIFT;

const BUDGET: RunEnd = { type: 'budget' };
const EFFECT: RunEnd = { type: 'effect' };

/** Through a call, since TypeScript does not see that the calls above assign `core.end`. */
const endOf = (core: Core): RunEnd | undefined => core.end;

/** Takes the reason out of the core. */
function ended(core: Core, attempted: number): RunResult {
  const end = endOf(core) ?? BUDGET;
  core.end = undefined;
  return { attempted, end };
}

/** LDXR, LDAXR, LDXP and LDAXP: Software Step exceptions report them. */
const LOAD_EXCLUSIVE = /^LDA?X/;

/** The instruction word at PC, where debug exceptions may come before it and between its checks. */
function fetchChecked(core: Core): number {
  checkSoftwareStep(core);
  fetchOffset(core);
  checkBreakpoint(core);
  return fetchInstruction(core);
}

/** One attempt is one virtual nanosecond. */
function count(core: Core): void {
  core.board.now += 1;
  const low = (core.ints[2 * Word.ATTEMPTED]! + 1) | 0;
  core.ints[2 * Word.ATTEMPTED] = low;
  if (low === 0) core.ints[2 * Word.ATTEMPTED + 1]! += 1;
}
