/** Recordings on a disk that fails: whatever was acknowledged is there after a crash, and nothing is there that never was. */

import { describe, expect, test } from 'vitest';
import type { Manifest } from '../../snapshots/compatibility.ts';
import { generator } from '../../snapshots/explore.ts';
import { memoryFiles, type Files } from '../../snapshots/files.ts';
import { close, fork, forward, framesOf, goTo, mark, openHistory, patch, take, worldOf, type History } from '../../snapshots/history.ts';
import { createRecording, openRecording, RecordingError, type Recording } from '../../snapshots/recording.ts';
import { nodeFiles } from '../../snapshots/store/node-files.ts';
import { verify } from '../../snapshots/verify.ts';
import { counterSystem, counterWorld, ENDLESS, type CounterChoice, type CounterEvent, type CounterWorld } from '../support/counter.ts';
import { Crash, DiskFull, faultyFiles } from '../support/faulty-files.ts';

const MANIFEST: Manifest = { semantics: '1', scenario: 'counters', options: {}, images: [], seed: 1 };
type Counters = History<CounterWorld, CounterChoice, CounterEvent>;
const on = (recording: Recording<CounterChoice>): Counters => openHistory(counterSystem(ENDLESS), counterWorld(ENDLESS), recording, { printFrames: 20, keepFrames: 16 });

/** Something that returned, and so must be found again. */
type Acknowledged = { readonly branch: string } & (
  | { readonly type: 'input'; readonly frame: number; readonly text: string }
  | { readonly type: 'patch'; readonly frame: number }
  | { readonly type: 'mark'; readonly frame: number; readonly name: string }
  | { readonly type: 'fork'; readonly frame: number });

/** Does forty things at random to a new recording, and says after each what it was promised. */
function session(files: Files, seed: number, promise: (done: Acknowledged) => void, survive: (error: unknown) => void): Counters {
  const draw = generator(seed);
  const history = on(createRecording<CounterChoice>(files, 'r', MANIFEST));
  for (let act = 0; act < 40; act++) {
    const what = draw(6);
    const amount = draw(40);
    const end = (): void => goTo(history, { branch: history.branch, frame: framesOf(history), insns: 0 });
    try {
      if (what <= 1) { end(); forward(history, () => false, amount); }
      else if (what === 2) { end(); take(history, { type: 'input', text: `t${act}` }); promise({ type: 'input', branch: history.branch, frame: history.cursor - 1, text: `t${act}` }); }
      else if (what === 3) { goTo(history, { branch: history.branch, frame: draw(framesOf(history) + 1), insns: 0 }); mark(history, `m${act}`); promise({ type: 'mark', branch: history.branch, frame: history.cursor, name: `m${act}` }); }
      else if (what === 4) { end(); patch(history, { typed: `p${act}` }); promise({ type: 'patch', branch: history.branch, frame: history.cursor - 1 }); }
      else if (history.lines.all.length < 5) {
        goTo(history, { branch: history.branch, frame: draw(framesOf(history) + 1), insns: 0 });
        fork(history, `b${act}`);
        promise({ type: 'fork', branch: `b${act}`, frame: history.cursor });
      }
    } catch (error) {
      survive(error);
    }
  }
  return history;
}

/** Opens what is left and checks that it is what was promised. */
function examine(files: Files, promised: readonly Acknowledged[]): Counters {
  const recording = openRecording<CounterChoice>(files, 'r');
  const history = on(recording);
  for (const { name } of recording.all) {
    goTo(history, { branch: name, frame: 0, insns: 0 });
    expect(verify(history)).toMatchObject({ identical: true });
  }
  for (const done of promised) {
    const line = recording.line(done.branch);
    if (done.type === 'input') expect(line.move(done.frame)).toEqual({ type: 'choice', choice: { type: 'input', text: done.text } });
    if (done.type === 'patch') expect(line.move(done.frame)).toMatchObject({ type: 'patch' });
    if (done.type === 'fork') expect(line.first).toBe(done.frame);
    if (done.type === 'mark') expect(recording.all.flatMap((other) => other.marks)).toContainEqual({ name: done.name, frame: done.frame, insns: 0 });
  }
  return history;
}

describe('a crash', () => {
  test.each([1, 2, 3, 4])('at any operation of session %d loses nothing that was acknowledged', (seed) => {
    const calm = faultyFiles({ seed });
    session(calm, seed, () => {}, (error) => { throw error; });
    expect(calm.operations).toBeGreaterThan(20);
    for (let crashAt = 0; crashAt < calm.operations; crashAt++) {
      const files = faultyFiles({ seed: seed * 1000 + crashAt, crashAt });
      const promised: Acknowledged[] = [];
      try {
        session(files, seed, (done) => promised.push(done), (error) => { throw error; });
        expect.unreachable('the crash did not come');
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
      const left = memoryFiles(new Map(files.files));
      let history: Counters;
      try {
        history = examine(left, promised);
      } catch (error) {
        // Only a crash before the recording was made leaves none; then it can be made.
        if (!(error instanceof RecordingError)) throw error;
        expect(crashAt).toBeLessThan(2);
        createRecording(left, 'r', MANIFEST);
        continue;
      }
      // It goes on from there as if nothing had been.
      goTo(history, { branch: 'main', frame: history.lines.line('main').frames, insns: 0 });
      forward(history, () => false, 30);
      close(history);
      examine(left, promised);
    }
  }, 60_000);

  test('of the program alone loses at most what was not handed over', () => {
    const files = memoryFiles();
    let frames = 0;
    const recording = createRecording<CounterChoice>(files, 'r', MANIFEST);
    const history = openHistory(counterSystem(ENDLESS), counterWorld(ENDLESS), recording, { flushDue: () => ++frames % 10 === 0 });
    forward(history, () => false, 1234);
    expect(openRecording(files, 'r').line('main').frames).toBe(1230);
  });
});

describe('a full disk', () => {
  test.each([1, 2, 3, 4, 5, 6])('session %d goes on when there is room again, and its recording is whole', (seed) => {
    const draw = generator(seed);
    const files = faultyFiles({ seed, full: () => draw(3) === 0 });
    let failures = 0;
    const promised: Acknowledged[] = [];
    const history = session(files, seed, (done) => promised.push(done), (error) => {
      if (!(error instanceof DiskFull)) throw error;
      failures++;
    });
    expect(failures).toBeGreaterThan(0);
    const sum = history.system.fingerprint(worldOf(history));
    const at = { branch: history.branch, frame: history.cursor, insns: 0 };
    for (const line of history.lines.all) {
      for (let attempt = 0; ; attempt++) {
        try { line.sync(); break; } catch (error) { if (!(error instanceof DiskFull) || attempt > 50) throw error; }
      }
    }
    const again = examine(memoryFiles(new Map(files.files)), promised);
    expect(again.lines.all.map((line) => [line.name, line.frames])).toEqual(history.lines.all.map((line) => [line.name, line.frames]));
    goTo(again, at);
    expect(again.system.fingerprint(worldOf(again))).toBe(sum);
  });
});

test('after a sync that failed nothing more is promised', () => {
  let isBroken = false;
  const files = faultyFiles({ seed: 1, syncFails: () => isBroken });
  const history = on(createRecording<CounterChoice>(files, 'r', MANIFEST));
  forward(history, () => false, 10);
  isBroken = true;
  expect(() => mark(history, 'here')).toThrow('r/main.log: input/output error');
  isBroken = false;
  expect(() => mark(history, 'here')).toThrow('r/main.log: nothing more can be recorded: a sync failed (r/main.log: input/output error)');
});

test('a write that takes only some of the bytes is taken on until all are written', async () => {
  const { mkdtempSync, readFileSync, rmSync, writeSync } = await import('node:fs');
  const directory = mkdtempSync('/tmp/zeno-short-');
  try {
    const draw = generator(9);
    const files = nodeFiles({ write: (descriptor, bytes, offset) => writeSync(descriptor, bytes, offset, 1 + draw(Math.min(7, bytes.length - offset))), sync() {} });
    const bytes = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);
    files.append(`${directory}/a`, bytes);
    files.replace(`${directory}/b`, bytes);
    files.close();
    expect(Buffer.compare(readFileSync(`${directory}/a`), bytes)).toBe(0);
    expect(Buffer.compare(readFileSync(`${directory}/b`), bytes)).toBe(0);
    const stuck = nodeFiles({ write: () => 0, sync() {} });
    expect(() => stuck.append(`${directory}/c`, bytes)).toThrow('wrote 0 of 5000 bytes');
    stuck.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
