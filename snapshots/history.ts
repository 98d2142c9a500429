/** A run that can be wound back: one live world, kept worlds near it, and the moves that lead from each to the next. */

import { createTimeline, noteFrame, type Timeline } from './timeline-index.ts';
import { frameSum, memoryLines, ownerOf, type Line, type Lines, type Move } from './lines.ts';
import { pagesApart, type PageTree } from '../machines/memory/page-tree.ts';
import type { Frame, System } from './system.ts';

/** An instant of a branch: `insns` instructions into `frame`; 0 is the instant before it. */
export interface Place { readonly branch: string; readonly frame: number; readonly insns: number }

export interface HistoryOptions {
  /** Most kept worlds held at once. */
  readonly keptMax?: number;
  /** Most pages of 4 KiB that kept worlds hold beside those of the live one. */
  readonly keptPagesMax?: number;
  /** A world is kept when this many frames, or instructions, have passed since the last. */
  readonly keepFrames?: number;
  readonly keepInsns?: number;
  /** A fingerprint goes into the line when this many frames, or instructions, have passed since the last. */
  readonly printFrames?: number;
  readonly printInsns?: number;
  /** Asked after each recorded frame: true when what is buffered should be handed over now (a caller's clock decides). */
  readonly flushDue?: () => boolean;
}

interface Kept<World> {
  readonly branch: string;
  readonly frame: number;
  readonly world: World;
  /** The pages that it has and `beside`, the next kept world, has not: what it costs. */
  alone?: { readonly beside: Kept<World>; readonly pages: number };
}

/** The cursor and what makes it quick to move. The counters here are outside the world. */
export interface History<World, Choice, Event> {
  readonly system: System<World, Choice, Event>;
  readonly lines: Lines<Choice>;
  readonly options: Required<HistoryOptions>;
  /** Kept worlds; the first is the origin, instant 0 of main. */
  readonly kept: Kept<World>[];
  /** What is known of each branch's own frames, filled in as they are first run. */
  readonly timelines: Map<string, Timeline>;
  branch: string;
  /** Frames before the cursor; the next one to run. */
  cursor: number;
  /** Instructions into that frame. */
  insns: number;
  /** The world at the cursor, or undefined after a step that threw: it is then remade when asked for. */
  world: World | undefined;
  sinceKept: Progress;
  /** What the system's pagesCopied was when a world was kept last. */
  copiedThen: number;
  sincePrint: Progress;
}
/** Encoded bytes that a line may hold before they are handed over unasked. */
const BUFFER_BYTES = 1 << 16;
interface Progress { frames: number; insns: number }

export const DEFAULTS: Required<HistoryOptions> = {
  keptMax: 128, keptPagesMax: 16_384, keepFrames: 64, keepInsns: 2_000_000, printFrames: 4096, printInsns: 20_000_000, flushDue: () => false,
};

/**
 * A history that starts at `origin`, on branch main of `lines`: new lines, or those of a recording, which are then replayed
 * as far as is asked. `origin` is consumed.
 */
export function openHistory<World, Choice, Event>(
  system: System<World, Choice, Event>, origin: World, lines: Lines<Choice> = memoryLines(), options: HistoryOptions = {},
): History<World, Choice, Event> {
  const world = system.keep(origin);
  return {
    system, lines, options: { ...DEFAULTS, ...options }, kept: [{ branch: 'main', frame: 0, world }], timelines: new Map(),
    branch: 'main', cursor: 0, insns: 0, world, sinceKept: { frames: 0, insns: 0 }, copiedThen: 0, sincePrint: { frames: 0, insns: 0 },
  };
}

/** The world at the cursor: to be read, not stepped. */
export function worldOf<World, Choice, Event>(history: History<World, Choice, Event>): World {
  if (history.world === undefined) goTo(history, placeOf(history));
  return history.world!;
}

export const placeOf = (history: { readonly branch: string; readonly cursor: number; readonly insns: number }): Place =>
  ({ branch: history.branch, frame: history.cursor, insns: history.insns });

/** Frames known on the cursor's branch. */
export const framesOf = <World, Choice, Event>(history: History<World, Choice, Event>): number => history.lines.line(history.branch).frames;

/** Runs the next frame: the recorded one, or, at the end of the line, the default choice, which is then recorded. Undefined when the run has ended. */
export function stepForward<World, Choice, Event>(history: History<World, Choice, Event>): Frame<Choice, Event> | undefined {
  if (history.insns > 0) goTo(history, { branch: history.branch, frame: history.cursor, insns: 0 });
  const world = worldOf(history);
  if (history.cursor < framesOf(history)) return run(history, moveAt(history, history.cursor), false);
  const choice = history.system.next(world);
  return choice === undefined ? undefined : run(history, { type: 'choice', choice }, true);
}

/** As stepForward, but never past the recorded frames. */
export const replayForward = <World, Choice, Event>(history: History<World, Choice, Event>): Frame<Choice, Event> | undefined =>
  (history.cursor < framesOf(history) ? stepForward(history) : undefined);

/** Takes `choice` at the end of the line, and records it; on disk at once when it came from outside. Throws RangeError when the line goes on. */
export function take<World, Choice, Event>(history: History<World, Choice, Event>, choice: Choice): Frame<Choice, Event> {
  assertAtEnd(history);
  worldOf(history);
  const frame = run(history, { type: 'choice', choice }, true);
  if (history.system.external?.(choice)) history.lines.line(history.branch).sync();
  return frame;
}

/** Edits the world at the end of the line, as a frame of its own, on disk before this returns. */
export function patch<World, Choice, Event>(history: History<World, Choice, Event>, edit: unknown): void {
  assertAtEnd(history);
  if (!history.system.patch) throw new RangeError('worlds of this kind cannot be edited');
  worldOf(history);
  run(history, { type: 'patch', patch: edit }, true);
  history.lines.line(history.branch).sync();
}

export interface Forward { readonly reason: 'reached' | 'ended' | 'limit'; readonly frames: number }

/** Runs until `until` holds of a frame (the cursor is then just after it), the run ends, or `frames` more have run. */
export function forward<World, Choice, Event>(
  history: History<World, Choice, Event>, until: (frame: Frame<Choice, Event>, history: History<World, Choice, Event>) => boolean, frames = Infinity,
): Forward {
  for (let count = 0; count < frames; count++) {
    const frame = stepForward(history);
    if (frame === undefined) return { reason: 'ended', frames: count };
    if (until(frame, history)) return { reason: 'reached', frames: count + 1 };
  }
  return { reason: 'limit', frames };
}

/** Puts the cursor at `place`: the nearest kept world before it, and replay from there. Throws RangeError for a place that is not known. */
export function goTo<World, Choice, Event>(history: History<World, Choice, Event>, place: Place): void {
  const line = history.lines.line(place.branch);
  if (!Number.isInteger(place.frame) || place.frame < 0 || place.frame > line.frames) throw new RangeError(`branch ${line.name} has frames 0 to ${line.frames}, not ${place.frame}`);
  const here = history.world !== undefined && history.insns === 0 && sameLine(history, history.branch, place.branch, history.cursor) ? history.cursor : -1;
  const nearest = nearestKept(history, place);
  history.branch = place.branch;
  if (here > place.frame || here < nearest.frame) {
    history.world = nearest.world;
    history.cursor = nearest.frame;
    history.sinceKept = { frames: 0, insns: 0 };
  }
  history.insns = 0;
  while (history.cursor < place.frame) {
    // Halving distances: the next steps back find a kept world close by.
    const left = place.frame - history.cursor;
    if ((left & (left - 1)) === 0 && left < history.options.keepFrames && history.sinceKept.frames > 0) keepHere(history);
    run(history, moveAt(history, history.cursor), false);
  }
  if (place.insns > 0) enterFrame(history, place);
}

/** Steps back one frame, or to the start of the frame that the cursor is inside. False at the start. */
export function stepBack<World, Choice, Event>(history: History<World, Choice, Event>): boolean {
  if (history.insns === 0 && history.cursor === 0) return false;
  goTo(history, { branch: history.branch, frame: history.insns > 0 ? history.cursor : history.cursor - 1, insns: 0 });
  return true;
}

/** A new branch from the cursor, and goes onto it. From inside a frame, the part of the frame before the cursor is the branch's first. */
export function fork<World, Choice, Event>(history: History<World, Choice, Event>, name: string): Line<Choice> {
  const { branch, frame, insns } = placeOf(history);
  const part = insns > 0 ? splitMove(history, frame, insns) : undefined;
  const line = history.lines.fork(branch, frame, name);
  goTo(history, { branch: name, frame, insns: 0 });
  if (part !== undefined) take(history, part);
  line.sync();
  return line;
}

/** Names the cursor's instant, in the line that owns it, on disk before this returns. */
export function mark<World, Choice, Event>(history: History<World, Choice, Event>, name: string, place: Place = placeOf(history)): void {
  const line = ownerOf(history.lines, place.branch, place.frame);
  line.mark({ name, frame: place.frame, insns: place.insns });
  line.sync();
}

/** Does `look`, which may move the cursor, and puts the cursor back. */
export function aside<World, Choice, Event, Result>(history: History<World, Choice, Event>, look: () => Result): Result {
  const place = placeOf(history);
  if (place.insns === 0) keepHere(history);
  try {
    return look();
  } finally {
    goTo(history, place);
  }
}

/** Writes the fingerprint of the end and closes the cursor's line. */
export function close<World, Choice, Event>(history: History<World, Choice, Event>): void {
  const line = history.lines.line(history.branch);
  if (history.insns === 0 && history.cursor === line.frames) printHere(history, line);
  line.close();
}

/** The move of `frame` on the cursor's branch. */
export const moveAt = <World, Choice, Event>(history: History<World, Choice, Event>, frame: number): Move<Choice> =>
  ownerOf(history.lines, history.branch, frame).move(frame);

/** Keeps the world at the cursor, if it is not kept already. */
export function keepHere<World, Choice, Event>(history: History<World, Choice, Event>): World {
  const world = worldOf(history);
  if (history.insns > 0) return history.world = history.system.keep(world);
  history.sinceKept = { frames: 0, insns: 0 };
  history.copiedThen = history.system.pagesCopied?.(world) ?? 0;
  const branch = ownerOf(history.lines, history.branch, history.cursor - 1).name;
  const old = history.kept.find((kept) => kept.frame === history.cursor && kept.branch === branch);
  if (old !== undefined) return history.world = old.world;
  const kept = history.system.keep(world);
  history.world = kept;
  history.kept.push({ branch, frame: history.cursor, world: kept });
  while ((history.kept.length > history.options.keptMax || pagesHeld(history) > history.options.keptPagesMax) && thin(history));
  return kept;
}

function run<World, Choice, Event>(history: History<World, Choice, Event>, move: Move<Choice>, isNew: boolean): Frame<Choice, Event> {
  const { system } = history;
  if (history.sinceKept.frames >= history.options.keepFrames || history.sinceKept.insns >= history.options.keepInsns || manyCopied(history)) keepHere(history);
  const line = ownerOf(history.lines, history.branch, history.cursor);
  if (isNew && (history.sincePrint.frames >= history.options.printFrames || history.sincePrint.insns >= history.options.printInsns)) printHere(history, line);
  const world = history.world!;
  // Until the step has come back whole there is no world here: a throw leaves the cursor where it was.
  history.world = undefined;
  const timeline = timelineOf(history, line);
  const step = move.type === 'choice' ? system.step(world, move.choice)
    : { world: system.patch!(world, move.patch), frame: { choice: undefined as unknown as Choice, timeNs: timeBefore(history, history.cursor), insns: 0, events: [] } };
  history.world = step.world;
  if (isNew) {
    // What the frame says was done, not what was asked: a search asks for more general choices than a log may hold.
    line.append(move.type === 'choice' ? { type: 'choice', choice: step.frame.choice } : move, frameSum(step.frame));
    count(history.sincePrint, step.frame.insns);
  }
  noteFrame(timeline, history.cursor, step.frame, move.type === 'choice' ? system.vcpuOf?.(step.frame.choice) : undefined, system.landmarks);
  history.cursor++;
  count(history.sinceKept, step.frame.insns);
  // Last, so that a disk that is full leaves the cursor and the line agreeing.
  if (isNew && (line.buffered >= BUFFER_BYTES || history.options.flushDue())) line.flush();
  return step.frame;
}

/** The virtual clock at the instant before `frame` of the cursor's branch; the frame before it has been run. */
export function timeBefore<World, Choice, Event>(history: History<World, Choice, Event>, frame: number): number {
  if (frame === 0) return 0;
  const line = ownerOf(history.lines, history.branch, frame - 1);
  return timelineOf(history, line).timesNs[frame - 1 - line.first] ?? 0;
}

/** What is known of a line's own frames. */
export function timelineOf<World, Choice, Event>(history: History<World, Choice, Event>, line: Line<Choice>): Timeline {
  let timeline = history.timelines.get(line.name);
  if (timeline === undefined) history.timelines.set(line.name, timeline = createTimeline(line.first));
  return timeline;
}

function printHere<World, Choice, Event>(history: History<World, Choice, Event>, line: Line<Choice>): void {
  history.sincePrint = { frames: 0, insns: 0 };
  if (line.prints.at(-1)?.frame === history.cursor) return;
  line.print({ frame: history.cursor, fingerprint: history.system.fingerprint(worldOf(history)) });
}

function count(progress: Progress, insns: number): void {
  progress.frames++;
  progress.insns += insns;
}

function enterFrame<World, Choice, Event>(history: History<World, Choice, Event>, place: Place): void {
  const part = splitMove(history, place.frame, place.insns);
  const kept = keepHere(history);
  const { world, frame } = history.system.step(kept, part);
  if (frame.insns !== place.insns) throw new RangeError(`frame ${place.frame} cut to ${place.insns} instructions attempted ${frame.insns}`);
  history.world = world;
  history.insns = place.insns;
}

function splitMove<World, Choice, Event>(history: History<World, Choice, Event>, frame: number, insns: number): Choice {
  const move = moveAt(history, frame);
  const part = move.type === 'choice' ? history.system.split?.(move.choice, insns) : undefined;
  if (part === undefined) throw new RangeError(`frame ${frame} cannot be entered: only a run of a vCPU can be cut`);
  return part;
}

function nearestKept<World, Choice, Event>(history: History<World, Choice, Event>, place: Place): Kept<World> {
  let best = history.kept[0]!;
  for (const kept of history.kept) if (kept.frame <= place.frame && kept.frame >= best.frame && isOn(history, kept, place.branch)) best = kept;
  return best;
}

/** Whether a kept world, filed under the line that owns the frame before it, lies on `branch`. */
const isOn = <World, Choice, Event>(history: History<World, Choice, Event>, kept: Kept<World>, branch: string): boolean =>
  kept.frame === 0 || ownerOf(history.lines, branch, kept.frame - 1).name === kept.branch;

const sameLine = <World, Choice, Event>(history: History<World, Choice, Event>, a: string, b: string, frame: number): boolean =>
  frame === 0 || a === b || ownerOf(history.lines, a, frame - 1) === ownerOf(history.lines, b, frame - 1);

/** Whether so many pages were copied for kept worlds since the last was kept that it is time to count them, and to thin. */
function manyCopied<World, Choice, Event>({ system, world, copiedThen, options }: History<World, Choice, Event>): boolean {
  return system.pagesCopied !== undefined && system.pagesCopied(world!) - copiedThen > options.keptPagesMax / 4;
}

/** Pages that the kept worlds hold and the last of them does not. Each pair of neighbours is compared once. */
function pagesHeld<World, Choice, Event>({ kept, system }: History<World, Choice, Event>): number {
  if (system.pages === undefined) return 0;
  const order = kept.toSorted((a, b) => a.frame - b.frame);
  let pages = 0;
  for (let at = 0; at + 1 < order.length; at++) {
    const [one, beside] = [order[at]!, order[at + 1]!];
    if (one.alone?.beside !== beside) one.alone = { beside, pages: apart(system.pages(beside.world), system.pages(one.world)) };
    pages += one.alone.pages;
  }
  return pages;
}

const apart = (a: readonly PageTree[], b: readonly PageTree[]): number => a.reduce((sum, tree, machine) => sum + pagesApart(tree, b[machine]!), 0);

/** Drops the kept world that is least missed: its neighbours are close to each other, measured by the distance from the cursor. False when none can go. */
function thin<World, Choice, Event>(history: History<World, Choice, Event>): boolean {
  const order = history.kept.map((kept, index) => ({ kept, index })).sort((a, b) => a.kept.frame - b.kept.frame);
  let drop = -1;
  let least = Infinity;
  for (let at = 1; at < order.length; at++) {
    const { kept, index } = order[at]!;
    if (kept.frame === history.cursor) continue;
    const after = order[at + 1]?.kept.frame ?? kept.frame;
    const gap = after - order[at - 1]!.kept.frame;
    const cost = gap / (1 + Math.abs(history.cursor - kept.frame));
    if (cost < least) { least = cost; drop = index; }
  }
  if (drop > 0) history.kept.splice(drop, 1);
  return drop > 0;
}

function assertAtEnd<World, Choice, Event>(history: History<World, Choice, Event>): void {
  if (history.insns > 0 || history.cursor !== framesOf(history)) throw new RangeError(`the cursor is at frame ${history.cursor} of ${framesOf(history)} on branch ${history.branch}: fork to go another way from here`);
}
