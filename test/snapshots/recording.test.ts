/** Recordings: opened again they replay to the same instants, cut or damaged they say what is lost. */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { assertReplayable, mismatches, type Manifest } from '../../snapshots/compatibility.ts';
import { diffBranches, diffPlaces } from '../../snapshots/diff.ts';
import { memoryFiles, type Files } from '../../snapshots/files.ts';
import { close, fork, forward, framesOf, goTo, mark, openHistory, patch, stepForward, take, worldOf, type History } from '../../snapshots/history.ts';
import { LogError } from '../../snapshots/log.ts';
import { createRecording, openRecording, type Recording } from '../../snapshots/recording.ts';
import { nodeFiles } from '../../snapshots/store/node-files.ts';
import { resolve } from '../../snapshots/timeline.ts';
import { verify } from '../../snapshots/verify.ts';
import { counterSystem, counterWorld, ENDLESS, type CounterChoice, type CounterEvent, type CounterOptions, type CounterWorld } from '../support/counter.ts';

const MANIFEST: Manifest = { semantics: '1', scenario: 'counters', options: { threads: 2 }, images: [{ name: 'kernel', sum: 'ab'.repeat(32), bytes: 12 }], seed: 1 };
type Counters = History<CounterWorld, CounterChoice, CounterEvent>;
const on = (recording: Recording<CounterChoice>, options: CounterOptions = ENDLESS): Counters =>
  openHistory(counterSystem(options), counterWorld(options), recording, { printFrames: 50, keepFrames: 32 });
const sum = (history: Counters): string => history.system.fingerprint(worldOf(history));
const run = (history: Counters, frames: number): void => { forward(history, () => false, frames); };

/** A run with an input, a mark, two branches and an edit, as the files that it leaves, and its instants' fingerprints. */
function recorded(files: Files = memoryFiles()): { files: Files; sums: Map<string, string[]> } {
  const recording = createRecording<CounterChoice>(files, 'r', MANIFEST);
  const history = on(recording);
  run(history, 300);
  take(history, { type: 'input', text: 'go' });
  run(history, 400);
  mark(history, 'middle');
  run(history, 99);
  goTo(history, { branch: 'main', frame: 420, insns: 2 });
  fork(history, 'other');
  patch(history, { counter: 77 });
  run(history, 120);
  fork(history, 'third');
  run(history, 30);
  close(history);
  goTo(history, { branch: 'main', frame: 800, insns: 0 });
  close(history);
  recording.close();
  return { files, sums: sumsOf(history) };
}
function sumsOf(history: Counters): Map<string, string[]> {
  const sums = new Map<string, string[]>();
  for (const { name } of history.lines.all) {
    goTo(history, { branch: name, frame: 0, insns: 0 });
    const own = [sum(history)];
    while (history.cursor < framesOf(history)) { stepForward(history); own.push(sum(history)); }
    sums.set(name, own);
  }
  return sums;
}
const copy = (files: Files): ReturnType<typeof memoryFiles> => memoryFiles(new Map((files as ReturnType<typeof memoryFiles>).files));
const WHOLE = recorded();

describe('opened again', () => {
  test('a recording replays to the same instants on every branch', () => {
    const recording = openRecording<CounterChoice>(copy(WHOLE.files), 'r');
    expect(recording).toMatchObject({ manifest: MANIFEST, notes: [], cursor: undefined });
    expect(recording.all.map((line) => [line.name, line.first, line.frames, line.closed])).toEqual([['main', 0, 800, true], ['other', 420, 542, false], ['third', 542, 572, true]]);
    const history = on(recording);
    expect(sumsOf(history)).toEqual(WHOLE.sums);
    expect(resolve(history, 'main@mark:middle')).toEqual({ branch: 'main', frame: 701, insns: 0 });
  });

  test('it grows where it ended, with and without its index', () => {
    for (const indexed of [true, false]) {
      const files = copy(WHOLE.files);
      if (!indexed) for (const name of files.list('r')) if (name.endsWith('.index')) files.remove(`r/${name}`);
      const recording = openRecording<CounterChoice>(files, 'r');
      const history = on(recording);
      goTo(history, { branch: 'main', frame: 800, insns: 0 });
      run(history, 500);
      recording.close();
      const again = on(openRecording(files, 'r'));
      expect(framesOf(again)).toBe(1300);
      expect(verify(again)).toMatchObject({ frames: 1300, identical: true });
      goTo(again, { branch: 'main', frame: 1300, insns: 0 });
      expect(sum(again)).toBe(sum(history));
    }
  });

  test('opening it with its index reads only what came after', () => {
    const files = copy(WHOLE.files);
    let bytesRead = 0;
    const counting: Files = { ...files, read: (path, offset, length) => { const bytes = files.read(path, offset, length); if (path.endsWith('.log')) bytesRead += bytes.length; return bytes; } };
    openRecording(counting, 'r');
    const withIndex = bytesRead;
    for (const name of files.list('r')) if (name.endsWith('.index')) files.remove(`r/${name}`);
    bytesRead = 0;
    openRecording(counting, 'r');
    expect(withIndex).toBeLessThan(bytesRead / 10);
  });

  test('an index that is damaged, or of another log, is not believed', () => {
    const files = copy(WHOLE.files);
    const index = files.files.get('r/main.index')!;
    for (const at of [0, 9, index.length >> 1, index.length - 1]) {
      const bent = index.slice();
      bent[at]! ^= 4;
      files.files.set('r/main.index', bent);
      expect(openRecording(files, 'r').line('main').frames).toBe(800);
    }
    files.files.set('r/main.index', files.files.get('r/other.index')!);
    expect(openRecording(files, 'r').line('main')).toMatchObject({ frames: 800, first: 0 });
  });

  test('the cursor is where it was left', () => {
    const files = copy(WHOLE.files);
    openRecording(files, 'r').saveCursor({ branch: 'other', frame: 430, insns: 1 });
    expect(openRecording(files, 'r').cursor).toEqual({ branch: 'other', frame: 430, insns: 1 });
  });

  test('a file that cannot be replaced on a real disk leaves nothing beside it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'zeno-'));
    const files = nodeFiles({ write: () => { throw new Error('no room'); }, sync() {} });
    files.makeDirectory(join(directory, 'a/b'));
    expect(() => { files.replace(join(directory, 'a/b/c'), new Uint8Array(3)); }).toThrow('no room');
    expect(files.list(join(directory, 'a/b'))).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  test('on a real disk it is the same', () => {
    const directory = mkdtempSync(join(tmpdir(), 'zeno-'));
    try {
      const files = nodeFiles();
      const path = join(directory, 'deep', 'r');
      const history = on(createRecording<CounterChoice>(files, path, MANIFEST));
      run(history, 700);
      take(history, { type: 'input', text: 'x' });
      goTo(history, { branch: 'main', frame: 9, insns: 0 });
      fork(history, 'side');
      run(history, 20);
      (history.lines as Recording<CounterChoice>).close();
      files.close();
      const log = join(path, 'main.log');
      const size = statSync(log).size;
      writeFileSync(log, readFileSync(log).subarray(0, size - 3));
      const again = nodeFiles();
      const recording = openRecording<CounterChoice>(again, path);
      expect(recording.notes).toHaveLength(1);
      expect(recording.notes[0]).toContain('are a torn frame and do not count');
      const reopened = on(recording);
      expect(verify(reopened).identical).toBe(true);
      goTo(reopened, { branch: 'side', frame: 29, insns: 0 });
      expect(sum(reopened)).toBe(sum(history));
      again.close();
      expect(() => createRecording(nodeFiles(), path, MANIFEST)).toThrow('holds a recording already');
      expect(() => openRecording(nodeFiles(), directory)).toThrow('is not a recording: it has no main.log');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('whose files are not ours alone', () => {
  test.each<[string, (files: ReturnType<typeof memoryFiles>) => void, RegExp, number]>([
    ['cut', (files) => { files.truncate('r/main.log', files.size('r/main.log')! - 5); }, /^r\/main\.log: byte \d+: the file has \d+ bytes where \d+ were recorded: something else changed it$/, 1],
    ['written to', (files) => { files.append('r/main.log', new Uint8Array(3)); }, /something else changed it$/, 1],
    ['removed', (files) => { files.remove('r/main.log'); }, /^r\/main\.log: byte 0: the file was removed while it was being recorded$/, 0],
  ])('a log that was %s is not appended to, and what is whole of it replays', (_, change, message, isLeft) => {
    const files = memoryFiles();
    const recording = createRecording<CounterChoice>(files, 'r', MANIFEST);
    const history = on(recording);
    run(history, 600);
    recording.line('main').sync();
    change(files);
    const size = files.size('r/main.log');
    run(history, 10);
    expect(() => { recording.line('main').flush(); }).toThrow(message);
    expect(() => { recording.close(); }).toThrow(message);
    expect(files.size('r/main.log')).toBe(size);
    if (isLeft === 0) return;
    const again = openRecording<CounterChoice>(files, 'r');
    expect(again.notes).toEqual([expect.stringContaining('torn frame')]);
    expect(verify(on(again))).toMatchObject({ identical: true });
  });

  test('an index that cannot be written costs the next opening time, and nothing else', () => {
    const files = memoryFiles();
    const full: Files = { ...files, replace(path, bytes) { if (path.endsWith('.index')) throw new Error('no room'); files.replace(path, bytes); } };
    const recording = createRecording<CounterChoice>(full, 'r', MANIFEST);
    const history = on(recording);
    run(history, 300);
    recording.close();
    expect(files.list('r')).not.toContain('main.index');
    expect(framesOf(on(openRecording<CounterChoice>(files, 'r')))).toBe(300);
  });
});

describe('cut and damaged', () => {
  const main = (WHOLE.files as ReturnType<typeof memoryFiles>).files.get('r/main.log')!;

  test('main cut at every byte of its last 4 KiB opens, and what is left replays as before', () => {
    const sums = WHOLE.sums.get('main')!;
    let last = -1;
    for (let length = main.length; length >= Math.max(0, main.length - 4096); length--) {
      const files = copy(WHOLE.files);
      files.files.set('r/main.log', main.slice(0, length));
      const recording = openRecording<CounterChoice>(files, 'r');
      const { frames } = recording.line('main');
      if (frames === last) continue;
      last = frames;
      const history = on(recording);
      expect(verify(history)).toMatchObject({ frames, identical: true });
      goTo(history, { branch: 'main', frame: frames, insns: 0 });
      expect(sum(history)).toBe(sums[frames]);
      // The torn bytes are cut away by what is written next.
      run(history, 5);
      (history.lines as Recording<CounterChoice>).close();
      const again = openRecording<CounterChoice>(files, 'r');
      expect(again.line('main').frames).toBe(frames + 5);
      expect(verify(on(again)).identical).toBe(true);
    }
    expect(last).toBeLessThan(700);
  }, 60_000);

  test('a branch whose fork was cut away is left out and named', () => {
    const files = copy(WHOLE.files);
    files.files.set('r/main.log', main.slice(0, 200));
    const recording = openRecording(files, 'r');
    expect(recording.all.map((line) => line.name)).toEqual(['main']);
    expect(recording.notes.join('\n')).toMatch(/r\/other\.log: the branch is left out: it leaves main at frame 420, which is not there\n.*third\.log/);
    expect(() => recording.fork('main', 0, 'other')).toThrow('r/other.log is in the way');
  });

  test('a log cut inside its manifest takes it from manifest.json', () => {
    const files = copy(WHOLE.files);
    files.files.set('r/main.log', main.slice(0, 30));
    const recording = openRecording<CounterChoice>(files, 'r');
    expect(recording.manifest).toEqual(MANIFEST);
    run(on(recording), 3);
    recording.close();
    expect(openRecording(files, 'r')).toMatchObject({ manifest: MANIFEST, notes: expect.arrayContaining([expect.stringContaining('other.log')]) });
    expect(openRecording(files, 'r').line('main').frames).toBe(3);
    files.files.set('r/main.log', main.slice(0, 30));
    files.remove('r/manifest.json');
    expect(() => openRecording(files, 'r')).toThrow('r/main.log was cut inside its first frame');
  });

  test('one flipped bit in any file is an error, a note, or changes nothing', () => {
    let silent = 0;
    for (const [path, whole] of (WHOLE.files as ReturnType<typeof memoryFiles>).files) {
      for (let at = 0; at < whole.length; at += path === 'r/main.log' ? 29 : 31) {
        const files = copy(WHOLE.files);
        const bytes = whole.slice();
        bytes[at]! ^= 1 << (at % 8);
        files.files.set(path, bytes);
        try {
          const recording = openRecording<CounterChoice>(files, 'r');
          if (recording.notes.length > 0) continue;
          expect(recording.manifest).toEqual(MANIFEST);
          for (const { name, first, frames, prints, marks } of recording.all) {
            const right = originals.line(name);
            expect({ name, first, frames, prints, marks }).toEqual({ name, first: right.first, frames: right.frames, prints: right.prints, marks: right.marks });
            for (let frame = first; frame < frames; frame++) if (JSON.stringify(recording.line(name).move(frame)) !== JSON.stringify(right.move(frame))) throw new Error(`${path} byte ${at}: frame ${frame} of ${name} is another`);
          }
          silent++;
        } catch (error) {
          if (!(error instanceof LogError)) throw error;
          expect(error.file).toBe(path);
        }
      }
    }
    // Only an index can be damaged without a word: it is remade.
    expect(silent).toBeGreaterThan(0);
  }, 60_000);
  const originals = openRecording<CounterChoice>(copy(WHOLE.files), 'r');
});

describe('verify', () => {
  test('counts what it compared, and leaves the cursor', () => {
    const history = on(openRecording(copy(WHOLE.files), 'r'));
    goTo(history, { branch: 'other', frame: 450, insns: 1 });
    const verdict = verify(history);
    expect(verdict).toMatchObject({ frames: 542, identical: true, firstDifference: undefined });
    expect(verdict.keyframes).toBeGreaterThan(8);
    expect(history).toMatchObject({ branch: 'other', cursor: 450, insns: 1 });
  });

  test('another build is told apart at the keyframe after, and at the frame itself when the right build is at hand', () => {
    // Something that was never typed from frame 233 on, without any other sign.
    const glitchy: CounterOptions = { ...ENDLESS, glitchAtNs: () => 234 * 3 };
    const history = on(openRecording(copy(WHOLE.files), 'r'), glitchy);
    const plain = verify(history);
    expect(plain).toMatchObject({ identical: false, firstDifference: { what: 'fingerprint', lastSame: 200 } });
    expect(plain.firstDifference!.frame).toBeGreaterThanOrEqual(233);
    const right = on(openRecording(copy(WHOLE.files), 'r'));
    const reference = (frame: number): string => { goTo(right, { branch: 'main', frame, insns: 0 }); return sum(right); };
    expect(verify(history, { reference }).firstDifference).toMatchObject({ frame: 233, lastSame: 233 });
  });

  test('a frame that takes another time is told at once', () => {
    const shorter: CounterOptions = { programs: [['load', 'increment', 'store', 'random', 'loop'], ['load', 'increment', 'store', 'random']] };
    const { firstDifference } = verify(on(openRecording(copy(WHOLE.files), 'r'), shorter));
    // Thread 1 ends after its fourth instruction, in frame 3.
    expect(firstDifference).toMatchObject({ frame: 3, what: 'frame' });
  });
});

describe('diff', () => {
  test('branches part at the first frame whose end differs, and the state there is compared by name', () => {
    const history = on(openRecording(copy(WHOLE.files), 'r'));
    const found = diffBranches(history, 'main', 'other')!;
    expect(found.frame).toBe(420);
    expect(found.a).toEqual({ type: 'choice', choice: { type: 'run', thread: expect.any(Number), insns: 3 } });
    expect(found.b).toMatchObject({ type: 'choice', choice: { insns: 2 } });
    expect(found.state!.values.map((change) => change.path)).toContain('now');
    expect(diffBranches(history, 'third', 'third')).toBeUndefined();
    expect(diffBranches(history, 'other', 'third')).toEqual({ frame: 542, a: undefined, b: expect.objectContaining({ type: 'choice' }), state: undefined });
    expect(history.cursor).toBe(0);
  });

  test('two places differ in the values that changed between them', () => {
    const history = on(openRecording(copy(WHOLE.files), 'r'));
    expect(diffPlaces(history, { branch: 'main', frame: 0, insns: 0 }, { branch: 'main', frame: 0, insns: 3 - 1 }).values).toEqual([
      { path: 'now', a: 0, b: 2 }, { path: 'turn', a: -1, b: 0 }, { path: 'threads[0].pc', a: 0, b: 2 }, { path: 'threads[0].register', a: 0, b: 1 },
    ]);
  });
});

test('what a recording needs and does not find is said in plain words', () => {
  expect(mismatches(MANIFEST, MANIFEST)).toEqual([]);
  const other: Manifest = { ...MANIFEST, semantics: '2', options: { threads: 3 }, images: [{ name: 'kernel', sum: 'cd'.repeat(32), bytes: 13 }], seed: 2 };
  expect(() => assertReplayable(MANIFEST, other)).toThrow('recorded with threads 2, now 3: set it to 2\nthe image kernel is another: recorded with abababababab (12 bytes), now cdcdcdcdcdcd (13 bytes)\nrecorded with seed 1, now 2');
  expect(assertReplayable(MANIFEST, { ...MANIFEST, semantics: '2' })).toMatchObject([{ what: 'semantics', fatal: false }]);
});
