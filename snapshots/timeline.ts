/** Positions: what people write for an instant, what it means, and, for one that does not exist, which ones are near. */

import { lineage } from './lines.ts';
import { framesOf, goTo, replayForward, timelineOf, aside, stepForward, type History, type Place } from './history.ts';
import { countBelow, ranIn, type Timeline } from './timeline-index.ts';
import type { Frame } from './system.ts';

/*
 * position = [branch '@'] anchor [('+' | '-') steps]
 * anchor   = 'start' | 'end' | 'frame:' N | 'insn:' N | 'vcpu' K ':insn:' N | 'time:' T ('ns' | 'us' | 'µs' | 'ms' | 's')
 *          | 'exit:' N | 'nested:' N | 'irq:' INTID ['#' N] | 'mark:' NAME
 * Frames and instructions count from 0 and mean the instant before them; events count from 1 and mean the instant after
 * the frame in which they happened. Steps count in the anchor's own unit; after start, end and a mark, in frames.
 */

/** A position as written, steps folded in where the unit allows. */
export type Position = { readonly branch: string | undefined } & (
  | { readonly kind: 'start' | 'end'; readonly steps: number }
  | { readonly kind: 'frame'; readonly at: number }
  /** Of one vCPU, or of the whole machine. */
  | { readonly kind: 'insn'; readonly vcpu: number | undefined; readonly at: number }
  | { readonly kind: 'time'; readonly atNs: number }
  /** `name` is the landmark: exit, nested, irq:27. `at` counts from 1. */
  | { readonly kind: 'event'; readonly name: string; readonly at: number }
  | { readonly kind: 'mark'; readonly name: string; readonly steps: number });

/** A position that is not written right, or that does not exist. */
export class PositionError extends Error { override readonly name = 'PositionError'; }

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };
const FORMS = 'exit:42, nested:7, frame:1001, insn:2000000, vcpu1:insn:5000, time:1.5ms, irq:27#3, mark:NAME, start or end';

/** Reads a position. Throws PositionError for text that is none. */
export function parsePosition(text: string): Position {
  const [, branchName, anchor, signed] = /^(?:([^@]*)@)?(.*?)([+-]\d+)?$/s.exec(text)!;
  const steps = signed === undefined ? 0 : Number(signed);
  const branch = branchName;
  const wrong = (why: string): PositionError => new PositionError(`${JSON.stringify(text)} is not a position: ${why}`);
  if (branch === '') throw wrong('a branch name comes before the @');
  if (anchor === 'start' || anchor === 'end') return { branch, kind: anchor, steps };
  const plain = /^(frame|insn|exit|nested):(.*)$/s.exec(anchor!);
  if (plain) {
    const kind = plain[1] as 'frame' | 'insn' | 'exit' | 'nested';
    const at = whole(plain[2]!, wrong, `${kind}:`) + steps;
    if (kind === 'insn') return { branch, kind, vcpu: undefined, at };
    return kind === 'frame' ? { branch, kind, at } : { branch, kind: 'event', name: kind, at };
  }
  const ofVcpu = /^vcpu(\d+):insn:(.*)$/s.exec(anchor!);
  if (ofVcpu) return { branch, kind: 'insn', vcpu: Number(ofVcpu[1]), at: whole(ofVcpu[2]!, wrong, `vcpu${ofVcpu[1]}:insn:`) + steps };
  const irq = /^irq:(\d+)(?:#(.*))?$/s.exec(anchor!);
  if (irq) return { branch, kind: 'event', name: `irq:${Number(irq[1])}`, at: (irq[2] === undefined ? 1 : whole(irq[2], wrong, `irq:${irq[1]}#`)) + steps };
  const time = /^time:(\d+(?:\.\d+)?)(ns|us|µs|ms|s)?$/s.exec(anchor!);
  if (time) {
    const unit = UNITS[time[2] ?? ''];
    if (unit === undefined) throw wrong('a time has a unit: ns, us, ms or s');
    const atNs = nanoseconds(time[1]!, unit);
    if (atNs === undefined) throw wrong('a time is a whole number of nanoseconds');
    return { branch, kind: 'time', atNs: atNs + steps * unit };
  }
  const mark = /^mark:(.+)$/s.exec(anchor!);
  if (mark) return { branch, kind: 'mark', name: mark[1]!, steps };
  throw wrong(`write ${FORMS}`);
}

/** The place that a position names on the cursor's branch, or on its own. Replays as far as it must; the cursor stays. Throws PositionError. */
export function resolve<World, Choice, Event>(history: History<World, Choice, Event>, text: string): Place {
  const position = parsePosition(text);
  const branch = position.branch ?? history.branch;
  if (!history.lines.all.some((line) => line.name === branch)) throw new PositionError(`${text}: there is no branch ${branch}: the branches are ${history.lines.all.map((line) => line.name).join(', ')}`);
  // Most positions are known from what was run already; only a look further needs the world.
  const known = find(history, branch, position, text);
  if (known !== undefined) return known;
  return aside(history, () => {
    goTo(history, { branch, frame: Math.min(ranTo(history, branch), framesOn(history, branch)), insns: 0 });
    for (;;) {
      const place = find(history, branch, position, text);
      if (place !== undefined) return place;
      if (replayForward(history) === undefined) throw absent(history, branch, position, text);
    }
  });
}

/** Puts the cursor at a position and returns its place. */
export function goToPosition<World, Choice, Event>(history: History<World, Choice, Event>, text: string): Place {
  const place = resolve(history, text);
  goTo(history, place);
  return place;
}

/** Runs on, past the recorded frames if need be, until `text` has come to be, and goes there. False when the run ended first: the cursor is then at its end. */
export function runUntil<World, Choice, Event>(history: History<World, Choice, Event>, text: string, each: (frame: Frame<Choice, Event>) => void = () => {}): boolean {
  const position = parsePosition(text);
  if (position.branch !== undefined && position.branch !== history.branch) throw new PositionError(`${text}: the run is on branch ${history.branch}`);
  if (position.kind === 'mark' || position.kind === 'start') { goToPosition(history, text); return true; }
  for (;;) {
    const place = position.kind === 'end' ? undefined : find(history, history.branch, position, text);
    if (place !== undefined) { goTo(history, place); return true; }
    const frame = stepForward(history);
    if (frame === undefined) {
      if (position.kind !== 'end') return false;
      goToPosition(history, text);
      return true;
    }
    each(frame);
  }
}

/** How a place is written when nothing shorter is known. */
export const placeText = (place: Place): string => `${place.branch}@frame:${place.frame}${place.insns > 0 ? ` and ${place.insns} instructions` : ''}`;

/** One event with where it happened. */
export interface Entry<Event> { readonly frame: number; readonly timeNs: number; readonly vcpu: number | undefined; readonly event: Event }

/** Calls `visit` with the events of frames `from` to before `to` of the cursor's branch, in order, until it returns false. The cursor stays. */
export function eachEvent<World, Choice, Event>(history: History<World, Choice, Event>, from: number, to: number, visit: (entry: Entry<Event>) => boolean | void): void {
  aside(history, () => {
    goTo(history, { branch: history.branch, frame: Math.min(from, framesOf(history)), insns: 0 });
    while (history.cursor < to) {
      const at = history.cursor;
      const frame = replayForward(history);
      if (frame === undefined) return;
      const vcpu = frame.choice === undefined ? undefined : history.system.vcpuOf?.(frame.choice);
      for (const event of frame.events) if (visit({ frame: at, timeNs: frame.timeNs, vcpu, event }) === false) return;
    }
  });
}

/** How often each landmark has happened in the frames of the cursor's branch that have been run, by name in order of first sight. */
export function landmarkCounts<World, Choice, Event>(history: History<World, Choice, Event>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const part of parts(history, history.branch)) {
    for (const [name, frames] of part.timeline.landmarks) counts.set(name, (counts.get(name) ?? 0) + countBelow(frames, part.to));
  }
  return counts;
}

const framesOn = <World, Choice, Event>(history: History<World, Choice, Event>, branch: string): number => history.lines.line(branch).frames;

interface Part { readonly timeline: Timeline; readonly from: number; readonly to: number }

/** The own frames of each line that a branch runs through, as far as they have been run. */
function parts<World, Choice, Event>(history: History<World, Choice, Event>, branch: string): Part[] {
  const known: Part[] = [];
  for (const { line, from, to } of lineage(history.lines, branch)) {
    const timeline = timelineOf(history, line);
    const ran = Math.min(to, timeline.first + ranIn(timeline));
    known.push({ timeline, from, to: ran });
    if (ran < to) break;
  }
  return known;
}

/** How many frames of a branch have been run. */
const ranTo = <World, Choice, Event>(history: History<World, Choice, Event>, branch: string): number => parts(history, branch).at(-1)?.to ?? 0;

/** The place, if what has been run so far settles it. */
function find<World, Choice, Event>(history: History<World, Choice, Event>, branch: string, position: Position, text: string): Place | undefined {
  const frames = framesOn(history, branch);
  const at = (frame: number, insns = 0): Place => ({ branch, frame, insns });
  const within = (frame: number): Place | undefined => {
    if (frame < 0) throw new PositionError(`${text} does not exist: it lies ${-frame} frames before start`);
    return frame <= frames ? at(frame) : undefined;
  };
  switch (position.kind) {
    case 'start': return within(position.steps);
    case 'end': return within(frames + position.steps);
    case 'frame': return within(position.at);
    case 'mark': return markPlace(history, branch, position, text, within);
    case 'event': {
      if (position.at < 1) throw new PositionError(`${text} does not exist: ${position.name} counts from 1`);
      let before = 0;
      for (const part of parts(history, branch)) {
        const happened = part.timeline.landmarks.get(position.name) ?? [];
        const here = countBelow(happened, part.to);
        if (before + here >= position.at) return at(happened[position.at - before - 1]! + 1);
        before += here;
      }
      return undefined;
    }
    case 'insn': {
      if (position.at < 0) throw new PositionError(`${text} does not exist: instructions count from 0`);
      let before = 0;
      for (const part of parts(history, branch)) {
        const run = runsIn(part, position);
        const wanted = position.at - before;
        if (run.total > wanted) {
          const index = countBelow(run.insnsTo, wanted + 1);
          return at(run.frameOf(index), wanted - (run.insnsTo[index - 1] ?? 0));
        }
        before += run.total;
      }
      // The instruction after the last that ran: the end is before it.
      return before === position.at && before > 0 && ranTo(history, branch) === frames ? at(frames) : undefined;
    }
    case 'time': {
      if (position.atNs < 0) throw new PositionError(`${text} does not exist: the clock starts at 0`);
      if (position.atNs === 0) return at(0);
      let before = 0;
      for (const { timeline, from, to } of parts(history, branch)) {
        const index = countBelow(timeline.timesNs, position.atNs);
        const frame = timeline.first + index;
        if (frame < to) {
          const insns = position.atNs - (timeline.timesNs[index - 1] ?? before);
          // Each instruction takes a nanosecond; what L0 charges after the last one lies beyond the cut.
          return insns < timeline.insnsTo[index]! - (timeline.insnsTo[index - 1] ?? 0) ? at(frame, insns) : at(frame + 1);
        }
        if (to > from) before = timeline.timesNs[to - 1 - timeline.first]!;
      }
      return undefined;
    }
  }
}

/** The frames of a part that attempted instructions, of one vCPU or of all, and how many up to and with each. */
function runsIn({ timeline, to }: Part, position: Extract<Position, { kind: 'insn' }>): { readonly insnsTo: readonly number[]; readonly total: number; frameOf(index: number): number } {
  if (position.vcpu === undefined) return { insnsTo: timeline.insnsTo, total: timeline.insnsTo[to - 1 - timeline.first] ?? 0, frameOf: (index) => timeline.first + index };
  const own = timeline.vcpus.get(position.vcpu) ?? { frames: [], insnsTo: [] };
  return { insnsTo: own.insnsTo, total: own.insnsTo[countBelow(own.frames, to) - 1] ?? 0, frameOf: (index) => own.frames[index]! };
}

function markPlace<World, Choice, Event>(
  history: History<World, Choice, Event>, branch: string, position: Extract<Position, { kind: 'mark' }>, text: string, within: (frame: number) => Place | undefined,
): Place | undefined {
  for (const { line, to } of lineage(history.lines, branch).reverse()) {
    const mark = line.marks.find((candidate) => candidate.name === position.name && candidate.frame <= to);
    if (mark === undefined) continue;
    return position.steps === 0 ? { branch, frame: mark.frame, insns: mark.insns } : within(mark.frame + position.steps);
  }
  const all = history.lines.all.flatMap((line) => line.marks.map((mark) => ({ name: mark.name, text: `${line.name}@mark:${mark.name}` })));
  const elsewhere = all.filter((mark) => mark.name === position.name);
  throw new PositionError(`${text} does not exist: ${elsewhere.length > 0 ? `it is ${elsewhere.map((mark) => mark.text).join(', ')}` : all.length > 0 ? `the marks are ${all.map((mark) => mark.text).join(', ')}` : 'there are no marks'}`);
}

function absent<World, Choice, Event>(history: History<World, Choice, Event>, branch: string, position: Position, text: string): PositionError {
  const frames = framesOn(history, branch);
  const known = parts(history, branch);
  const near = (): string => {
    switch (position.kind) {
      case 'event': {
        const count = known.reduce((sum, part) => sum + countBelow(part.timeline.landmarks.get(position.name) ?? [], part.to), 0);
        const last = position.name.startsWith('irq:') ? `${position.name}#${count}` : `${position.name}:${count}`;
        if (count > 0) return `the last is ${last}`;
        const others = [...new Set(known.flatMap((part) => [...part.timeline.landmarks.keys()]))].sort();
        return `${position.name} never happened${others.length > 0 ? `; these did: ${others.join(', ')}` : ''}`;
      }
      case 'insn': {
        const total = known.reduce((sum, part) => sum + runsIn(part, position).total, 0);
        const prefix = position.vcpu === undefined ? 'insn' : `vcpu${position.vcpu}:insn`;
        return total === 0 ? `no ${prefix} was attempted` : `the last is ${prefix}:${total - 1}`;
      }
      case 'time': {
        const last = known.filter((part) => part.to > part.from).at(-1);
        return `the end is at time:${last === undefined ? 0 : last.timeline.timesNs[last.to - 1 - last.timeline.first]}ns`;
      }
      case 'start': case 'end': case 'frame': case 'mark': return `the end of ${branch} is frame:${frames}`;
    }
  };
  return new PositionError(`${text} does not exist: ${near()}`);
}

function whole(digits: string, wrong: (why: string) => PositionError, before: string): number {
  if (!/^\d+$/.test(digits) || !Number.isSafeInteger(Number(digits))) throw wrong(`a whole number comes after ${before}`);
  return Number(digits);
}

/** `digits` times `unit`, without the rounding of fractions; undefined when that is not whole. */
function nanoseconds(digits: string, unit: number): number | undefined {
  const [integer, fraction = ''] = digits.split('.');
  const scaled = BigInt(integer! + fraction) * BigInt(unit);
  const scale = 10n ** BigInt(fraction.length);
  return scaled % scale === 0n ? Number(scaled / scale) : undefined;
}

