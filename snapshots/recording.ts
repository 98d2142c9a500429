/** A recording: a directory with a manifest and one log a branch, opened as the lines that a history runs on. */

import { concat, sealed, unsealed } from './bytes.ts';
import { decode, encode } from './codec.ts';
import type { Manifest } from './compatibility.ts';
import type { Files } from './files.ts';
import { openLogLine, type LogLine } from './log-line.ts';
import { encodeFrame, encodeHeader } from './log.ts';
import { assertFork, found, inOrder, type Line, type Lines } from './lines.ts';
import type { Place } from './history.ts';

export interface Recording<Choice> extends Lines<Choice> {
  readonly directory: string;
  readonly manifest: Manifest;
  /** What opening it found amiss and got over: torn tails, a branch whose start was lost. For people. */
  readonly notes: readonly string[];
  /** Where `rewind` left the cursor. */
  readonly cursor: Place | undefined;
  saveCursor(place: Place): void;
  /** Hands over what is buffered and writes the indices that make the next opening quick, where that can be done. */
  close(): void;
}

/** There is no recording here, or one is in the way. */
export class RecordingError extends Error { override readonly name = 'RecordingError'; }

/** A new recording. Throws RecordingError when the directory has one already. */
export function createRecording<Choice>(files: Files, directory: string, manifest: Manifest): Recording<Choice> {
  if (files.size(`${directory}/main.log`) !== undefined) throw new RecordingError(`${directory} holds a recording already: name another directory`);
  files.makeDirectory(directory);
  files.replace(`${directory}/manifest.json`, manifestText(manifest));
  files.replace(`${directory}/main.log`, concat([encodeHeader(), encodeFrame({ kind: 'manifest', value: manifest }, 0)]));
  return openRecording(files, directory);
}

/**
 * The recording in `directory`. Only reads. Throws RecordingError when there is none, and LogError, with the byte, when a
 * log is damaged. A log that was cut, at any byte, opens without its torn frame.
 */
export function openRecording<Choice>(files: Files, directory: string): Recording<Choice> {
  const main = `${directory}/main.log`;
  if (files.size(main) === undefined) throw new RecordingError(`${directory} is not a recording: it has no main.log`);
  const notes: string[] = [];
  const lines = new Map<string, LogLine<Choice>>();
  const written = readManifest(files, directory);
  const mainLine = openLogLine<Choice>(files, main, 'main', notes, written === undefined ? undefined : { kind: 'manifest', value: written });
  const opening = mainLine.opening;
  if (opening === undefined) throw new RecordingError(`${main} was cut inside its first frame and ${directory}/manifest.json cannot be read: restore either`);
  if (opening.kind !== 'manifest') throw new RecordingError(`${main} does not begin with a manifest but with a ${opening.kind}: another log has its name`);
  const manifest = opening.value as Manifest;
  if (written === undefined || !same(manifestText(written), manifestText(manifest))) notes.push(`${directory}/manifest.json is missing or was changed: the manifest in main.log counts`);
  lines.set('main', mainLine);
  const logs = files.list(directory).filter((file) => file.endsWith('.log') && file !== 'main.log');
  const waiting = logs.map((file) => openLogLine<Choice>(files, `${directory}/${file}`, file.slice(0, -'.log'.length), notes, undefined));
  // Parents first: a branch hangs on one that is already there.
  for (let progress = true; progress;) {
    progress = false;
    for (const line of waiting) {
      if (lines.has(line.name) || line.opening?.kind !== 'branch') continue;
      const parent = lines.get(line.opening.value.parent);
      if (parent === undefined || line.first > parent.frames) continue;
      lines.set(line.name, line);
      progress = true;
    }
  }
  for (const line of waiting) if (!lines.has(line.name)) notes.push(`${directory}/${line.name}.log: the branch is left out: ${lostBecause(line)}`);
  return {
    directory, manifest, notes,
    get all(): readonly Line<Choice>[] { return inOrder([...lines.values()]); },
    line: (name) => found<Choice>(lines, name),
    fork(parent, frame, name) {
      assertFork<Choice>(lines, parent, frame, name);
      // The frames before the fork must be on disk before the branch that needs them.
      lines.get(parent)!.sync();
      const path = `${directory}/${name}.log`;
      if (files.size(path) !== undefined) throw new RangeError(`${path} is in the way: it belongs to a branch that was left out`);
      files.replace(path, concat([encodeHeader(), encodeFrame({ kind: 'branch', value: { name, parent, frame } }, 0)]));
      const line = openLogLine<Choice>(files, path, name, [], undefined);
      lines.set(name, line);
      return line;
    },
    get cursor() { return readCursor(files, directory); },
    saveCursor(place) { files.replace(`${directory}/cursor`, sealed(encode(place))); },
    close() {
      for (const line of lines.values()) line.flush();
      // An index is derived: where there is no room for one, the next opening reads the whole log.
      try { for (const line of lines.values()) line.saveIndex(); } catch { /* nothing is lost */ }
    },
  };
}

function lostBecause(line: LogLine<unknown>): string {
  if (line.opening?.kind !== 'branch') return 'it was cut before it says where it comes from';
  const { parent, frame } = line.opening.value;
  return `it leaves ${parent} at frame ${frame}, which is not there`;
}

function readManifest(files: Files, directory: string): Manifest | undefined {
  const path = `${directory}/manifest.json`;
  const size = files.size(path);
  if (size === undefined) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(files.read(path, 0, size))) as Manifest;
  } catch {
    return undefined;
  }
}

/** The manifest as people read it. */
const manifestText = (manifest: Manifest): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(manifest, (_, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value), 2)}\n`);

function readCursor(files: Files, directory: string): Place | undefined {
  const path = `${directory}/cursor`;
  const size = files.size(path);
  const bytes = size === undefined ? undefined : unsealed(files.read(path, 0, size));
  return bytes === undefined ? undefined : decode(bytes) as Place;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, index) => byte === b[index]);
