/** A branch in a log file: moves are read when asked for, and appended in batches. */

import { concat, sealed, unsealed } from './bytes.ts';
import { decode, encode } from './codec.ts';
import type { Files } from './files.ts';
import { encodeFrame, encodeHeader, HEADER_BYTES, LogError, readFrame, readHeader, readLog, type ByteSource, type Entry, type LogFrame } from './log.ts';
import { placeMark, type Line, type Mark, type Move, type Print } from './lines.ts';

/** A line whose first entry, `opening`, says what it is: a manifest or a branch; undefined when the file was cut inside it. */
export interface LogLine<Choice> extends Line<Choice> {
  readonly opening: Opening | undefined;
  /** Writes the index that lets the next opening read only what was added since. It can be deleted at any time. */
  saveIndex(): void;
}
export type Opening = Extract<Entry, { kind: 'manifest' | 'branch' }>;

/** Moves in one log frame. */
const BATCH_MOVES = 256;
/** Batches of read moves held. */
const CACHED_BATCHES = 32;
const INDEX_VERSION = 1;

/** What opening a log has to find out, and all that it finds out. Derived from the log. */
interface Index {
  opening: Opening | undefined;
  first: number;
  frames: number;
  closed: boolean;
  /** Own frames at which batches begin, and the offsets of their log frames. */
  readonly starts: number[];
  readonly offsets: number[];
  readonly prints: Print[];
  readonly marks: Mark[];
  /** Where the indexed bytes end, and the last log frame in them. */
  end: number;
  sequence: number;
  lastOffset: number;
  lastSum: bigint;
}
interface Batch { readonly moves: readonly Move<unknown>[]; readonly sums: ArrayLike<number> }

/**
 * Opens the log at `path`. What was torn off is told in `notes`, and cut away by the first write. `fallback` stands in for
 * an opening that was lost. Throws LogError.
 */
export function openLogLine<Choice>(files: Files, path: string, name: string, notes: string[], fallback: Opening | undefined): LogLine<Choice> {
  const source: ByteSource = { name: path, get size() { return files.size(path) ?? 0; }, read: (offset, length) => files.read(path, offset, length) };
  const indexPath = `${path.slice(0, -'.log'.length)}.index`;
  const index = readIndex(files, indexPath, source) ?? emptyIndex();
  // With an index reading begins at the tail, and the header is to be right all the same.
  if (index.end > 0) readHeader(source);
  const read = readLog(source, (frame) => note(index, frame, path), index.end, index.sequence);
  index.end = read.end;
  index.sequence = read.sequence;
  if (read.torn !== undefined) notes.push(`${path}: the last ${read.torn.bytes} bytes, from byte ${read.torn.offset}, are a torn frame and do not count`);

  /** Encoded log frames that are not in the file yet, the batches in them, and moves that are not encoded yet. */
  let buffer: Uint8Array[] = [];
  let bufferBytes = 0;
  const unwritten = new Map<number, Batch>();
  let choices: unknown[] = [];
  let sums: number[] = [];
  let batched = index.frames;
  /** True when bytes beyond index.end may be in the file. */
  let tailTorn = read.torn !== undefined;
  /** Why nothing more can be written. */
  let failure: string | undefined;
  const cache = new Map<number, Batch>();

  if (index.opening === undefined && fallback !== undefined) {
    index.opening = fallback;
    if (index.end === 0) push(encodeHeader());
    put(fallback);
  }

  function push(bytes: Uint8Array): void {
    buffer.push(bytes);
    bufferBytes += bytes.length;
  }

  function put(entry: Entry): number {
    const bytes = encodeFrame(entry, index.sequence);
    const offset = index.end + bufferBytes;
    push(bytes);
    index.sequence++;
    index.lastOffset = offset;
    index.lastSum = new DataView(bytes.buffer).getBigUint64(12, true);
    index.closed = entry.kind === 'end';
    return offset;
  }

  function putMoves(): void {
    if (choices.length === 0) return;
    const offset = put({ kind: 'moves', value: { first: batched, choices, sums: Uint32Array.from(sums) } });
    unwritten.set(index.starts.length, { moves: choices.map((choice) => ({ type: 'choice', choice })), sums });
    index.starts.push(batched);
    index.offsets.push(offset);
    batched = index.frames;
    choices = [];
    sums = [];
  }

  function assertWritable(): void {
    if (failure !== undefined) throw new Error(`${path}: nothing more can be recorded: ${failure}`);
  }

  /** A log that somebody else cut, removed or wrote to is not appended to: what is whole of it is to stay readable. */
  function assertOurs(): void {
    const size = files.size(path);
    if (size === undefined && index.end > 0) throw new LogError('damaged', path, 0, 'the file was removed while it was being recorded');
    if (size !== undefined && (tailTorn ? size < index.end : size !== index.end)) throw new LogError('damaged', path, Math.min(size, index.end), `the file has ${size} bytes where ${index.end} were recorded: something else changed it`);
  }

  function flush(): void {
    assertWritable();
    assertOurs();
    putMoves();
    if (buffer.length === 0) return;
    if (tailTorn) files.truncate(path, index.end);
    tailTorn = true;
    try {
      files.append(path, concat(buffer));
    } catch (error) {
      cutTail();
      throw error;
    }
    tailTorn = false;
    index.end += bufferBytes;
    buffer = [];
    bufferBytes = 0;
    for (const [at, batch] of unwritten) remember(at, batch);
    unwritten.clear();
  }

  /** A write that failed half-way left bytes behind the last whole frame. If they cannot be cut now, the next attempt does it, or the next opening leaves them out. */
  function cutTail(): void {
    try {
      files.truncate(path, index.end);
      tailTorn = false;
    } catch { /* the write's own error is told */ }
  }

  function sync(): void {
    flush();
    try {
      files.sync(path);
    } catch (error) {
      // A second sync may report success for pages that the first one dropped.
      failure = `a sync failed (${error instanceof Error ? error.message : String(error)})`;
      throw error;
    }
  }

  function remember(at: number, batch: Batch): void {
    cache.delete(at);
    cache.set(at, batch);
    if (cache.size > CACHED_BATCHES) cache.delete(cache.keys().next().value!);
  }

  function batchAt(at: number): Batch {
    const held = unwritten.get(at) ?? cache.get(at);
    if (held !== undefined) return held;
    const offset = index.offsets[at]!;
    const { entry } = readFrame(source, offset);
    const batch = batchOf(entry);
    if (batch === undefined) throw new LogError('damaged', path, offset, `the index expects moves here, not a ${entry.kind}: delete ${indexPath}`);
    remember(at, batch);
    return batch;
  }

  function locate(frame: number): { batch: Batch; at: number } {
    if (!Number.isInteger(frame) || frame < index.first || frame >= index.frames) throw new RangeError(`branch ${name} owns frames ${index.first} to ${index.frames - 1}, not ${frame}`);
    if (frame >= batched) return { batch: { moves: choices.map((choice) => ({ type: 'choice', choice })), sums }, at: frame - batched };
    let [low, high] = [0, index.starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (index.starts[middle]! <= frame) low = middle; else high = middle - 1;
    }
    return { batch: batchAt(low), at: frame - index.starts[low]! };
  }

  return {
    name,
    get opening() { return index.opening; },
    get parent() { return index.opening?.kind === 'branch' ? { branch: index.opening.value.parent, frame: index.opening.value.frame } : undefined; },
    get first() { return index.first; },
    get frames() { return index.frames; },
    get closed() { return index.closed; },
    get buffered() { return bufferBytes; },
    get prints() { return index.prints; },
    get marks() { return index.marks; },
    move(frame) {
      if (frame >= batched && frame < index.frames) return { type: 'choice', choice: choices[frame - batched] as Choice };
      const { batch, at } = locate(frame);
      return batch.moves[at] as Move<Choice>;
    },
    sumOf(frame) {
      const { batch, at } = locate(frame);
      return batch.sums[at]!;
    },
    append(move, sum) {
      assertWritable();
      if (move.type === 'patch') {
        putMoves();
        const offset = put({ kind: 'patch', value: { frame: index.frames, patch: move.patch, sum } });
        unwritten.set(index.starts.length, { moves: [move], sums: [sum] });
        index.starts.push(index.frames);
        index.offsets.push(offset);
        batched = ++index.frames;
        return;
      }
      choices.push(move.choice);
      sums.push(sum);
      index.frames++;
      index.closed = false;
      if (choices.length >= BATCH_MOVES) putMoves();
    },
    print(print) {
      assertWritable();
      putMoves();
      put({ kind: 'print', value: print });
      index.prints.push(print);
    },
    mark(mark) {
      assertWritable();
      putMoves();
      placeMark(index.marks, mark);
      put({ kind: 'mark', value: mark });
    },
    flush, sync,
    close() {
      putMoves();
      if (!index.closed) put({ kind: 'end', value: { frame: index.frames } });
      sync();
    },
    saveIndex() {
      if (failure === undefined && !tailTorn && buffer.length === 0 && choices.length === 0 && index.end > HEADER_BYTES) files.replace(indexPath, sealed(encode({ version: INDEX_VERSION, ...index })));
    },
  };
}

const emptyIndex = (): Index =>
  ({ opening: undefined, first: 0, frames: 0, closed: false, starts: [], offsets: [], prints: [], marks: [], end: 0, sequence: 0, lastOffset: 0, lastSum: 0n });

/** Takes one log frame into the index. Throws LogError when it does not follow from those before it. */
function note(index: Index, { entry, offset, end, sum }: LogFrame, path: string): void {
  const assertNext = (frame: number): void => {
    if (frame !== index.frames) throw new LogError('damaged', path, offset, `a ${entry.kind} for frame ${frame} is here, where frame ${index.frames} comes next`);
  };
  index.closed = entry.kind === 'end';
  switch (entry.kind) {
    case 'manifest': index.opening ??= entry; break;
    case 'branch':
      index.opening ??= entry;
      index.first = index.frames = entry.value.frame;
      break;
    case 'moves':
    case 'patch': {
      const frame = entry.kind === 'moves' ? entry.value.first : entry.value.frame;
      assertNext(frame);
      index.starts.push(frame);
      index.offsets.push(offset);
      index.frames += entry.kind === 'moves' ? entry.value.choices.length : 1;
      break;
    }
    case 'print': index.prints.push(entry.value); break;
    case 'mark': placeMark(index.marks, entry.value); break;
    case 'end': assertNext(entry.value.frame); break;
  }
  index.end = end;
  index.lastOffset = offset;
  index.lastSum = sum;
}

function batchOf(entry: Entry): Batch | undefined {
  if (entry.kind === 'moves') return { moves: entry.value.choices.map((choice) => ({ type: 'choice', choice })), sums: entry.value.sums };
  if (entry.kind === 'patch') return { moves: [{ type: 'patch', patch: entry.value.patch }], sums: [entry.value.sum] };
  return undefined;
}

/** The saved index, if it is whole and of this log: the last log frame that it knows must be where it says. */
function readIndex(files: Files, path: string, source: ByteSource): Index | undefined {
  const size = files.size(path);
  const bytes = size === undefined ? undefined : unsealed(files.read(path, 0, size));
  if (bytes === undefined) return undefined;
  const { version, ...index } = decode(bytes) as Index & { version: number };
  if (version !== INDEX_VERSION || index.end > source.size) return undefined;
  try {
    const last = readFrame(source, index.lastOffset);
    return last.sum === index.lastSum && last.end === index.end ? index : undefined;
  } catch (error) {
    if (error instanceof LogError) return undefined;
    throw error;
  }
}
