/** What a replayed branch's frames did, packed: clocks, instruction counts and the frames that positions count. */

import type { Frame } from './system.ts';

/** Entry i is own frame first+i. Filled in order, each frame once. */
export interface Timeline {
  readonly first: number;
  /** The virtual clock after each frame. */
  readonly timesNs: number[];
  /** Instructions attempted in the own frames up to and with each. */
  readonly insnsTo: number[];
  /** For each vCPU, the own frames that ran it, and its instructions up to and with each of those. */
  readonly vcpus: Map<number, { readonly frames: number[]; readonly insnsTo: number[] }>;
  /** For each landmark name, the own frames in which it happened, once for each time it did. */
  readonly landmarks: Map<string, number[]>;
}

export const createTimeline = (first: number): Timeline => ({ first, timesNs: [], insnsTo: [], vcpus: new Map(), landmarks: new Map() });

/** Own frames that have been taken in. */
export const ranIn = (timeline: Timeline): number => timeline.timesNs.length;

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
  timeline.insnsTo.push((timeline.insnsTo.at(-1) ?? 0) + frame.insns);
  if (vcpu !== undefined && frame.insns > 0) {
    let own = timeline.vcpus.get(vcpu);
    if (own === undefined) timeline.vcpus.set(vcpu, own = { frames: [], insnsTo: [] });
    own.frames.push(at);
    own.insnsTo.push((own.insnsTo.at(-1) ?? 0) + frame.insns);
  }
  if (landmarksOf === undefined) return;
  for (const event of frame.events) {
    for (const name of landmarksOf(event)) {
      const frames = timeline.landmarks.get(name);
      if (frames === undefined) timeline.landmarks.set(name, [at]);
      else frames.push(at);
    }
  }
}

/** How many of the ascending `values` are below `limit`. */
export function countBelow(values: readonly number[], limit: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! < limit) low = middle + 1; else high = middle;
  }
  return low;
}
