/** What a replayed branch's frames did, packed: clocks, instruction counts and the frames that positions count. */

import type { Frame } from './system.ts';

/** Entry i is own frame first+i. Filled in order, each frame once. */
export interface Timeline {
  readonly first: number;
  /** The virtual clock after each frame. */
  readonly timesNs: number[];
  /** Instructions attempted in each frame. */
  readonly insns: number[];
  /** The vCPU that each frame ran, or -1. */
  readonly vcpus: number[];
  /** For each landmark name, the own frames in which it happened, once for each time it did. */
  readonly landmarks: Map<string, number[]>;
}

export const createTimeline = (first: number): Timeline => ({ first, timesNs: [], insns: [], vcpus: [], landmarks: new Map() });

/** Takes in frame number `at`, unless it was taken in before. */
export function noteFrame<Choice, Event>(
  timeline: Timeline, at: number, frame: Frame<Choice, Event>, vcpu: number | undefined, landmarksOf: ((event: Event) => readonly string[]) | undefined,
): void {
  const index = at - timeline.first;
  if (index !== timeline.timesNs.length) {
    if (index > timeline.timesNs.length) throw new Error(`frame ${at} was run before frame ${timeline.first + timeline.timesNs.length}`);
    return;
  }
  timeline.timesNs.push(frame.timeNs);
  timeline.insns.push(frame.insns);
  timeline.vcpus.push(vcpu ?? -1);
  if (landmarksOf === undefined) return;
  for (const event of frame.events) {
    for (const name of landmarksOf(event)) {
      const frames = timeline.landmarks.get(name);
      if (frames === undefined) timeline.landmarks.set(name, [at]);
      else frames.push(at);
    }
  }
}
