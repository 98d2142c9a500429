/** A recording opened for a verb: its World set up again, checked against the manifest, with a history over its lines. */

import { existsSync } from 'node:fs';
import type { Choice } from '../actors/choices.ts';
import { InputError } from '../actors/input-error.ts';
import type { World, WorldEvent } from '../actors/world.ts';
import { ENGINE, type EngineName } from '../machines/aarch64/board.ts';
import { assertReplayable, type Manifest } from '../snapshots/compatibility.ts';
import { DEFAULTS, goTo, openHistory, timelineOf, worldOf, type History, type HistoryOptions, type Place } from '../snapshots/history.ts';
import type { Files } from '../snapshots/files.ts';
import { lineage, memoryLines } from '../snapshots/lines.ts';
import { LogError } from '../snapshots/log.ts';
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
  const recording = directory === undefined ? undefined : recordingIn(files, trimmed(directory), opened.manifest);
  const history = openHistory(systemOf(), opened.world, recording ?? memoryLines<Choice>(), { ...historyOptions(), ...options });
  return { opened, history, recording, close() { try { recording?.close(); } finally { files.close(); } } };
}

function recordingIn(files: Files, directory: string, manifest: Manifest): Recording<Choice> {
  if (directory === '') throw new InputError('--record "": name a directory');
  try {
    return createRecording<Choice>(files, directory, manifest);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new InputError(`--record ${directory}: nothing can be recorded there: ${error.message}`);
  }
}

/** Does `work`, which runs `session` on, and closes it, however that ends. Where the world outside ended a run that is recorded, the InputError says what is left. */
export async function untilClosed<Result>(session: Session, work: () => Promise<Result>): Promise<Result> {
  try {
    return await closing(session, work);
  } catch (error) {
    const directory = session.recording?.directory;
    if (directory === undefined || !(isRefusal(error) || error instanceof InputError || error instanceof LogError)) throw error;
    const left = existsSync(`${directory}/main.log`) ? `what ran before is recorded in ${directory}` : `nothing of it is left in ${directory}`;
    throw new InputError(`${userMessage(error)!}: the run ended there; ${left}`);
  }
}

/** Does `work` and closes `session`. Of two errors the first is told. */
async function closing<Result>(session: Session, work: () => Result | Promise<Result>): Promise<Result> {
  let result: Result;
  try {
    result = await work();
  } catch (error) {
    try { session.close(); } catch { /* it follows from the first */ }
    throw error;
  }
  session.close();
  return result;
}

/** What the operating system refused. */
const isRefusal = (error: unknown): error is Error => error instanceof Error && 'syscall' in error;

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
  return closing(session, () => work(session));
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
