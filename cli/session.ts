/** A recording opened for a verb: its World set up again, checked against the manifest, with a history over its lines. */

import type { Choice } from '../actors/choices.ts';
import { InputError } from '../actors/input-error.ts';
import type { World, WorldEvent } from '../actors/world.ts';
import { ENGINE, type EngineName } from '../machines/aarch64/board.ts';
import { assertReplayable, type Manifest } from '../snapshots/compatibility.ts';
import { DEFAULTS, goTo, openHistory, timelineOf, worldOf, type History, type HistoryOptions, type Place } from '../snapshots/history.ts';
import { lineage, memoryLines } from '../snapshots/lines.ts';
import { systemOf, type ZenoSystem } from '../snapshots/machine.ts';
import { createRecording, openRecording, type Recording } from '../snapshots/recording.ts';
import { nodeFiles } from '../snapshots/store/node-files.ts';
import { countBelow } from '../snapshots/timeline-index.ts';
import { goToPosition } from '../snapshots/timeline.ts';
import { enter } from '../actors/world.ts';
import { userMessage } from './errors.ts';
import { rebuild, type Opened } from './open.ts';
import { note, progress } from './output.ts';

export type ZenoHistory = History<World, Choice, WorldEvent>;

export interface Session {
  readonly opened: Opened;
  readonly history: ZenoHistory;
  /** Undefined: nothing is recorded. */
  readonly recording: Recording<Choice> | undefined;
  /** Hands over what is buffered and leaves the files. */
  close(): void;
}

/** A killed process loses at most this much of what can be recomputed. */
const FLUSH_MS = 10;
/** Scenarios are short: a fingerprint every so many frames costs little and narrows a difference down. */
const PRINT_FRAMES = 64;

function historyOptions(): HistoryOptions {
  let flushed = performance.now();
  return {
    printFrames: PRINT_FRAMES,
    flushDue() {
      const now = performance.now();
      if (now - flushed < FLUSH_MS) return false;
      flushed = now;
      return true;
    },
  };
}

/** Of a run that goes to its end and is long: no world is kept on the way, and fingerprints, which a recording alone needs, are far apart. */
export const onward = (isRecorded: boolean): HistoryOptions => ({
  keepFrames: Infinity, keepInsns: Infinity, keptPagesMax: Infinity, ...(isRecorded ? { printFrames: DEFAULTS.printFrames } : { printFrames: Infinity, printInsns: Infinity }),
});

/** A run about to begin, recorded in `directory` if there is one. */
export function startSession(opened: Opened, directory: string | undefined, options: HistoryOptions = {}): Session {
  const files = nodeFiles();
  const recording = directory === undefined ? undefined : createRecording<Choice>(files, trimmed(directory), opened.manifest);
  const history = openHistory(systemOf(), opened.world, recording ?? memoryLines<Choice>(), { ...historyOptions(), ...options });
  return { opened, history, recording, close() { try { recording?.close(); } finally { files.close(); } } };
}

/** Does `work`, which runs `session` on, and closes it, however that ends. Where the system refused to record more, the InputError says what is left. */
export async function untilClosed<Result>(session: Session, work: () => Promise<Result>): Promise<Result> {
  let isOpen = true;
  try {
    const result = await work();
    isOpen = false;
    session.close();
    return result;
  } catch (error) {
    try { if (isOpen) session.close(); } catch { /* the first error is told */ }
    const refusal = session.recording === undefined || !(error instanceof Error && 'syscall' in error) ? undefined : userMessage(error);
    if (refusal === undefined) throw error;
    throw new InputError(`${refusal}: the run ended there; what ran before is recorded in ${session.recording!.directory}`);
  }
}

export interface SessionOptions { readonly edit?: boolean; readonly engine?: EngineName }

/** A session on a recording: always has one. */
export interface RecordedSession extends Session { readonly recording: Recording<Choice> }

/**
 * The recording in `directory`, its cursor's branch current. `edit: true` where the verb adds to it. Throws what userMessage
 * knows: no recording, damage, another build's.
 */
export async function openSession(directory: string, options: SessionOptions = {}): Promise<RecordedSession> {
  const files = nodeFiles();
  const recording = openRecording<Choice>(files, trimmed(directory));
  for (const text of recording.notes) amiss(text);
  assertManifest(recording.manifest, directory);
  const opened = await rebuild(recording.manifest, options.engine ?? ENGINE);
  for (const mismatch of assertReplayable(recording.manifest, opened.manifest)) amiss(`${directory}: ${mismatch.message}`);
  const history = openHistory(watched(systemOf()), opened.world, recording, historyOptions());
  const { cursor } = recording;
  if (cursor !== undefined && recording.all.some((line) => line.name === cursor.branch)) goTo(history, { branch: cursor.branch, frame: 0, insns: 0 });
  return { opened, history, recording, close() { if (options.edit) recording.close(); files.close(); } };
}

/** The system, showing how far it is when a place is a long replay away. */
function watched(system: ZenoSystem): ZenoSystem {
  const bar = progress('replaying', 'frames');
  let steps = 0;
  return { ...system, step(world, choice) { bar.update(++steps); return system.step(world, choice); } };
}

/** Does `work` on an open recording and closes it, however that ends. */
export async function withSession<Result>(directory: string, options: SessionOptions, work: (session: RecordedSession) => Result | Promise<Result>): Promise<Result> {
  const session = await openSession(directory, options);
  try {
    return await work(session);
  } finally {
    session.close();
  }
}

/** Puts the cursor at `position`; without one where `rewind` left it, or at the end. */
export function goToOrCursor({ history, recording }: RecordedSession, position: string | undefined): Place {
  if (position !== undefined) return goToPosition(history, position);
  const { cursor } = recording;
  const line = cursor && recording.all.find((candidate) => candidate.name === cursor.branch);
  if (cursor === undefined || line === undefined || cursor.frame > line.frames) return goToPosition(history, 'end');
  goTo(history, cursor);
  return cursor;
}

/** The World at the cursor, in the linear memory, so that registers and RAM can be read. */
export function liveWorld(history: ZenoHistory): World {
  const world = worldOf(history);
  enter(world);
  return world;
}

export interface Totals { readonly insns: number; readonly timeNs: number; readonly exits: number; readonly nestedExits: number }

/** What the cursor's branch did up to the cursor; all of it has been run. */
export function totalsOf(history: ZenoHistory): Totals {
  let [insns, exits, nestedExits] = [history.insns, 0, 0];
  for (const { line, to } of lineage(history.lines, history.branch)) {
    const timeline = timelineOf(history, line);
    const end = Math.min(to, history.cursor);
    if (end <= line.first) continue;
    insns += timeline.insnsTo[end - line.first - 1] ?? 0;
    exits += countBelow(timeline.landmarks.get('exit') ?? [], end);
    nestedExits += countBelow(timeline.landmarks.get('nested') ?? [], end);
  }
  return { insns, timeNs: worldOf(history).state.clock, exits, nestedExits };
}

let somethingAmiss = false;

/** Tells of bad input that was got over: the verb goes on with what is whole, and its status is 2. */
function amiss(text: string): void {
  somethingAmiss = true;
  note(text);
}

/** Whether a recording was opened, since this was asked last, that is not whole or not of this version. */
export function wasAmiss(): boolean {
  const was = somethingAmiss;
  somethingAmiss = false;
  return was;
}

/** A manifest comes from a file that anyone may have edited. */
function assertManifest(manifest: Manifest, directory: string): void {
  const { options, images, scenario, seed } = manifest;
  if (typeof scenario !== 'string' || typeof options !== 'object' || options === null || !Array.isArray(images) || typeof seed !== 'number') {
    throw new InputError(`${directory}: the manifest does not name a scenario, its options, images and seed: this is no recording of a run`);
  }
}

const trimmed = (directory: string): string => (directory.length > 1 ? directory.replace(/\/+$/, '') : directory);
