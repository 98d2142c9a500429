/** Replay compared with what was recorded: every frame's sum, every keyframe's fingerprint, and the first frame that differs. */

import { frameSum, lineage, ownerOf } from './lines.ts';
import { aside, framesOf, goTo, stepForward, worldOf, type History } from './history.ts';

export interface Verdict {
  /** Frames replayed, and fingerprints compared. */
  readonly frames: number;
  readonly keyframes: number;
  readonly identical: boolean;
  readonly firstDifference: Difference | undefined;
}

export interface Difference {
  /** The first frame known to do something else. Its cause lies in frames `lastSame` to `frame`. */
  readonly frame: number;
  /** The last instant known to be as recorded. */
  readonly lastSame: number;
  readonly what: 'frame' | 'fingerprint' | 'error';
  readonly message: string;
}

export interface VerifyOptions {
  /** Told after each frame; false ends the replay there. */
  readonly progress?: (frame: number, frames: number) => boolean;
  /** The right fingerprint of any instant, from another build or engine: narrows a difference down to its frame. */
  readonly reference?: (frame: number) => string;
}

/** Replays the cursor's branch from its start. The cursor stays. */
export function verify<World, Choice, Event>(history: History<World, Choice, Event>, options: VerifyOptions = {}): Verdict {
  const { branch } = history;
  const total = framesOf(history);
  const prints = new Map<number, string>();
  for (const { line, to } of lineage(history.lines, branch)) for (const print of line.prints) if (print.frame <= to) prints.set(print.frame, print.fingerprint);
  // Kept worlds came from this process; what is proved here is that the origin and the moves alone lead there.
  const replay: History<World, Choice, Event> = {
    ...history, kept: [history.kept[0]!], timelines: new Map(), branch, cursor: 0, insns: 0, world: history.kept[0]!.world,
    sinceKept: { frames: 0, insns: 0 }, sincePrint: { frames: 0, insns: 0 },
  };
  let keyframes = 0;
  let lastSame = 0;
  const verdict = (firstDifference: Difference | undefined): Verdict =>
    ({ frames: replay.cursor, keyframes, identical: firstDifference === undefined, firstDifference: firstDifference && narrowed(replay, firstDifference, options.reference) });
  return aside(history, () => {
    for (;;) {
      const frame = replay.cursor;
      const print = prints.get(frame);
      if (print !== undefined) {
        keyframes++;
        const actual = history.system.fingerprint(worldOf(replay));
        if (actual !== print) return verdict({ frame: Math.max(0, frame - 1), lastSame, what: 'fingerprint', message: `the instant before frame ${frame} has fingerprint ${actual}, recorded was ${print}` });
        lastSame = frame;
      }
      if (frame === total || options.progress?.(frame, total) === false) return verdict(undefined);
      const line = ownerOf(history.lines, branch, frame);
      try {
        const done = stepForward(replay)!;
        if (frameSum(done) !== line.sumOf(frame)) return verdict({ frame, lastSame, what: 'frame', message: `frame ${frame} ends at ${done.timeNs} ns after ${done.insns} instructions with ${done.events.length} events, which is not what was recorded` });
      } catch (error) {
        return verdict({ frame, lastSame, what: 'error', message: `frame ${frame} cannot be run: ${error instanceof Error ? error.message : String(error)}` });
      }
    }
  });
}

function narrowed<World, Choice, Event>(replay: History<World, Choice, Event>, difference: Difference, reference: ((frame: number) => string) | undefined): Difference {
  if (reference === undefined) return difference;
  const first = bisect(difference.lastSame, difference.frame + 1, (frame) => {
    if (frame > replay.cursor && difference.what === 'error') return false;
    goTo(replay, { branch: replay.branch, frame, insns: 0 });
    return replay.system.fingerprint(worldOf(replay)) === reference(frame);
  });
  return { ...difference, frame: first - 1, lastSame: first - 1 };
}

/** The first instant after `same` that differs, where `same` is known not to, `different` is known to, and instants stay different. */
export function bisect(same: number, different: number, isSame: (instant: number) => boolean): number {
  let [low, high] = [same, different];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (isSame(middle)) low = middle; else high = middle;
  }
  return high;
}
