/** Running a core: attempts instructions up to an exact budget, takes interrupts and exceptions, and says why it stopped. */

import { Interpreter, decoding } from './engine/interpreter.ts';
import { landBranch } from './branch-target.ts';
import { ReferenceEngine } from './engine/reference.ts';
import { stopBefore } from './engine/stops.ts';
import { UNWIND, takeInterrupt } from './exception.ts';
import type { RunEnd, RunResult, Stops } from './exit.ts';
import { maskedOrTaken } from './interrupts.ts';
import { fetchInstruction } from './memory-access.ts';
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
  if (stops === undefined && core.board.engine !== 'reference') {
    core.board.footprint = undefined;
    return ((core.board.execution ??= new Interpreter(core.board)) as Interpreter).run(core, budget);
  }
  return runReference(core, budget, stops);
}

function runReference(core: Core, budget: number, stops: Stops | undefined): RunResult {
  const { ints, board } = core;
  const engine = new ReferenceEngine(core);
  let attempted = 0;
  board.footprint = stops === undefined ? undefined : { read: new Set(), written: new Set() };

  for (;;) {
    try {
      while (attempted < budget) {
        // A load that has its answer is done with before an interrupt is looked at: what the device gave is not given twice.
        if (core.attention && (attempted > 0 || core.deviceReplies.length === 0)) {
          if (stops !== undefined && attempted > 0 && vectors(core)) return { attempted, end: BUDGET };
          while (core.attention && core.end === undefined) takeInterrupt(core);
          if (core.end !== undefined) return ended(core, attempted);
        }
        const decoded = decoding(fetchInstruction(core));
        if (stops !== undefined && attempted > 0) {
          const stop = stopBefore(core, decoded, stops);
          if (stop !== undefined) return { attempted, end: stop };
        }
        if ((ints[2 * Word.PSTATE]! & BTYPE) !== 0) landBranch(core, decoded.word);
        engine.jumped = false;
        decoded.semantics(engine, decoded.fields);
        if (!engine.jumped) {
          const low = ints[2 * Word.PC]! + 4;
          ints[2 * Word.PC] = low;
          if (low === 0) ints[2 * Word.PC + 1]! += 1;
        }
        attempted += 1;
        count(core);
        if (core.end !== undefined) return ended(core, attempted);
      }
      return { attempted, end: BUDGET };
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

/** Through a call, since TypeScript does not see that the calls above assign `core.end`. */
const endOf = (core: Core): RunEnd | undefined => core.end;

/** Takes the reason out of the core. */
function ended(core: Core, attempted: number): RunResult {
  const end = endOf(core) ?? BUDGET;
  core.end = undefined;
  return { attempted, end };
}

/** One attempt is one virtual nanosecond. */
function count(core: Core): void {
  core.board.now += 1;
  const low = (core.ints[2 * Word.ATTEMPTED]! + 1) | 0;
  core.ints[2 * Word.ATTEMPTED] = low;
  if (low === 0) core.ints[2 * Word.ATTEMPTED + 1]! += 1;
}
