/** Runs a history on to its end, to a position or to the first claim that does not hold, so that Ctrl-C is heard on the way. */

import type { WorldEvent } from '../actors/world.ts';
import { close as closeLine, keepHere, mark, placeOf, stepForward, worldOf, type Place } from '../snapshots/history.ts';
import { brokenAtEnd, brokenBy, type Broken } from '../snapshots/property.ts';
import { landmarkCounts, PositionError, runUntil } from '../snapshots/timeline.ts';
import { progress } from './output.ts';
import { totalsOf, type Session, type Totals, type ZenoHistory } from './session.ts';

export interface RunOptions {
  /** A position at which to stop. */
  readonly until?: string;
  /** Told each event, as it happens. */
  readonly each?: (event: WorldEvent) => void;
}

export interface RunEnd extends Totals {
  readonly outcome: 'passed' | 'failed' | 'stopped';
  readonly reason: string;
  /** `end` of its own, a claim, `--until`, Ctrl-C. */
  readonly by: 'end' | 'claim' | 'until' | 'interrupt';
  readonly broken: Broken | undefined;
  /** The vCPU that did it, and its last exit from L2: what to look at. 0: it never was in L2. */
  readonly vcpu: number | undefined;
  readonly nested: number;
  readonly place: Place;
  readonly fingerprint: string;
}

/** The mark that a claim leaves where it broke. */
export const VIOLATION = 'violation';
/** Time between looks at whether Ctrl-C was pressed. */
const SLICE_MS = 25;

class Pause extends Error {}

/** Runs `session` on. Its recording is closed when the run has ended, and marked `violation` where a claim broke. */
export async function runOn(session: Session, options: RunOptions = {}): Promise<RunEnd> {
  const { history, opened } = session;
  const bar = progress('running', 'frames');
  let interrupted = false;
  const onSignal = (): void => { interrupted = true; };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  let broken: Broken | undefined;
  let vcpu: number | undefined;
  let sliceEnds = 0;
  let lineOpen = false;
  const lastNested = new Map<number, number>();
  let nestedExits = landmarkCounts(history).get('nested') ?? 0;
  const each = (frame: { readonly events: readonly WorldEvent[]; readonly choice: unknown; readonly timeNs: number; readonly insns: number }): void => {
    if (frame.events.some((event) => event.event === 'console')) bar.clear();
    for (const event of frame.events) {
      if (event.event === 'kvm_exit' && event.level === 'L2') lastNested.set(event.vcpu as number, ++nestedExits);
      options.each?.(event);
      if (event.event === 'console') lineOpen = event.text !== '\n';
    }
    broken = brokenBy(opened.claims, worldOf(history), frame as never);
    if (broken) vcpu = frame.events.find((event) => event.vcpu !== undefined)?.vcpu as number | undefined;
    // Half a line of the console is not to be drawn over.
    if (!lineOpen) bar.update(history.cursor);
    if (broken || performance.now() > sliceEnds) throw new Pause();
  };
  let reached = false;
  try {
    for (;;) {
      sliceEnds = performance.now() + SLICE_MS;
      try {
        reached = await slice(history, options.until, each);
        break;
      } catch (error) {
        if (!(error instanceof Pause)) throw error;
      }
      if (broken) break;
      await new Promise((go) => { setImmediate(go); });
      if (interrupted) break;
    }
  } finally {
    bar.end();
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
  const by = broken ? 'claim' : reached ? 'until' : interrupted ? 'interrupt' : 'end';
  if (by === 'end' && options.until !== undefined) {
    finish(session, by);
    throw new PositionError(`--until ${options.until} was not reached: the run ended at frame:${history.cursor}${lastOf(history)}${session.recording ? `; it is recorded in ${session.recording.directory}` : ''}`);
  }
  const atEnd = by === 'end' ? brokenAtEnd(opened.claims, worldOf(history)) : undefined;
  const verdict = by === 'end' ? opened.judge(worldOf(history)) : undefined;
  // The World does not count its frames: which one it stopped in is history's to say.
  const judged = verdict?.outcome === 'stopped' ? { ...verdict, reason: `${verdict.reason}, in frame:${history.cursor - 1}` } : verdict;
  const found = broken ?? (judged?.outcome === 'stopped' ? undefined : atEnd);
  const outcome = found ? 'failed' : judged?.outcome ?? 'stopped';
  const reason = broken ? `${broken.property}: ${broken.message}` : judged && (judged.outcome !== 'passed' || !atEnd) ? judged.reason : atEnd ? `${atEnd.property}: ${atEnd.message}` : by === 'until' ? `reached ${options.until!}` : 'interrupted';
  if (broken) mark(history, VIOLATION);
  const end: RunEnd = {
    outcome, reason, by, broken: found, vcpu, nested: vcpu === undefined ? 0 : (lastNested.get(vcpu) ?? 0), place: placeOf(history),
    ...totalsOf(history), fingerprint: history.system.fingerprint(worldOf(history)),
  };
  finish(session, by);
  return end;
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** Runs until `each` pauses it, the position is there (true) or the run ends (false). */
async function slice(history: ZenoHistory, until: string | undefined, each: (frame: never) => void): Promise<boolean> {
  if (until !== undefined && until !== 'end') return runUntil(history, until, each as never);
  for (let frame = stepForward(history); frame !== undefined; frame = stepForward(history)) each(frame as never);
  return false;
}

/** An ended run's line is closed; one that was stopped can go on, and what it has is handed over. */
function finish({ history, recording }: Session, by: RunEnd['by']): void {
  if (by === 'end' || by === 'claim') closeLine(history);
  else {
    keepHere(history);
    recording?.line(history.branch).sync();
  }
}

function lastOf(history: ZenoHistory): string {
  const counts = [...landmarkCounts(history)].map(([name, count]) => (name.includes(':') ? `${name}#${count}` : `${name}:${count}`));
  return counts.length === 0 ? '' : ` (the last are ${counts.join(', ')})`;
}
