/** Recordings of real scenarios: read back they replay to every keyframe, and one that was cut goes on from what is whole. */

import { describe, expect, test } from 'vitest';
import type { Choice } from '../../actors/choices.ts';
import type { World, WorldEvent } from '../../actors/world.ts';
import { SCENARIOS } from '../../scenarios/all.ts';
import { generator } from '../../snapshots/explore.ts';
import { memoryFiles, type Files } from '../../snapshots/files.ts';
import { close, forward, framesOf, goTo, openHistory, worldOf, type History } from '../../snapshots/history.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { createRecording, openRecording } from '../../snapshots/recording.ts';
import { verify } from '../../snapshots/verify.ts';
import { FLAVOURS, plainRun, scenarioNamed, seedOr, start, textOf, type Setting } from '../support/scenario.ts';

const SEED = seedOr(20_260_803);
const PRINT_FRAMES = 25;
const system = systemOf();

const SETTINGS: readonly Setting[] = SCENARIOS.map((scenario, row) => ({ scenario, nested: 'nv2', l1: FLAVOURS[row % 2]!, vcpus: scenario.vcpus }));

/** Records a whole run; from frame `singly` on each frame is handed over by itself, and `after` is told how many have been. */
function record(setting: Setting, files: Files, singly = Infinity, after: (frames: number) => void = () => {}): void {
  const { world, manifest } = start(setting);
  let frames = 0;
  const history = openHistory(system, world, createRecording<Choice>(files, 'r', manifest), { printFrames: PRINT_FRAMES, flushDue: () => ++frames >= singly });
  forward(history, () => {
    if (frames >= singly) after(frames);
    return false;
  });
  close(history);
}

/** The recording opened on a machine just booted, as another process would. */
const reopened = (setting: Setting, files: Files): History<World, Choice, WorldEvent> =>
  openHistory(system, start(setting).world, openRecording<Choice>(files, 'r'), { printFrames: PRINT_FRAMES });

describe('recorded, closed and opened again', () => {
  test.each(SETTINGS.map((setting) => [textOf(setting), setting] as const))('%s replays identically at every keyframe', (_, setting) => {
    const files = memoryFiles();
    record(setting, files);
    const history = reopened(setting, files);
    expect(framesOf(history)).toBe(plainRun(setting).frames);
    const keyframes = Math.floor(plainRun(setting).frames / PRINT_FRAMES);
    const verdict = verify(history);
    expect(verdict).toMatchObject({ frames: plainRun(setting).frames, identical: true, firstDifference: undefined });
    expect(verdict.keyframes).toBeGreaterThanOrEqual(keyframes);
    // The last keyframe is the end.
    expect(history.lines.line('main').prints.at(-1)).toEqual({ frame: plainRun(setting).frames, fingerprint: plainRun(setting).fingerprint });
  });
});

describe('a recording of two vCPUs', () => {
  const setting: Setting = { scenario: scenarioNamed('virtual-ipi'), nested: 'nv2', l1: 'vhe', vcpus: 2 };
  const files = memoryFiles();
  const total = plainRun(setting).frames;
  /** Frames that had been handed over, and the bytes of the log then. */
  const boundaries: { readonly frames: number; readonly bytes: number }[] = [];
  record(setting, files, total - 150, (frames) => boundaries.push({ frames, bytes: files.size('r/main.log')! }));
  const log = files.files.get('r/main.log')!;

  test('cut at any byte of its last 4 KiB opens, and loses only the frames that are not whole', () => {
    for (const withIndex of [true, false]) {
      for (let size = log.length; size > log.length - 4096; size -= withIndex ? 1 : 16) {
        const cut = memoryFiles(new Map(files.files));
        for (const path of cut.list('r')) if (!withIndex && path !== 'main.log' && path !== 'manifest.json') cut.remove(`r/${path}`);
        cut.truncate('r/main.log', size);
        const whole = boundaries.findLast(({ bytes }) => bytes <= size)!.frames;
        const { frames } = openRecording<Choice>(cut, 'r').line('main');
        if (frames !== whole) expect.fail(`cut at byte ${size} of ${log.length}: ${frames} frames, ${whole} are whole`);
      }
    }
    expect(boundaries.filter(({ bytes }) => bytes > log.length - 4096).length).toBeGreaterThan(20);
  });

  test(`cut anywhere goes on to the end that it had (seed ${SEED})`, () => {
    const draw = generator(SEED);
    for (let time = 0; time < 4; time++) {
      const cut = memoryFiles(new Map(files.files));
      cut.truncate('r/main.log', log.length - 1 - draw(time < 2 ? 4096 : log.length - 4096));
      const history = reopened(setting, cut);
      goTo(history, { branch: 'main', frame: framesOf(history), insns: 0 });
      forward(history, () => false);
      close(history);
      expect(system.fingerprint(worldOf(history))).toBe(plainRun(setting).fingerprint);
      // What was appended behind the cut is as good as what was there.
      expect(verify(reopened(setting, cut))).toMatchObject({ frames: plainRun(setting).frames, identical: true });
    }
  });

  test('with one choice changed is found out, at the frame', () => {
    const recording = openRecording<Choice>(memoryFiles(new Map(files.files)), 'r');
    const main = recording.line('main');
    const frame = Array.from({ length: main.frames }, (_, at) => at).find((at) => at > 200 && (main.move(at) as { choice: Choice }).choice.type === 'run')!;
    const { world } = start(setting);
    const changed = { ...main, frames: main.frames, move: (at: number) => (at === frame ? { type: 'choice' as const, choice: { type: 'run' as const, vcpu: 0, insns: 1 } } : main.move(at)) };
    const lines = { ...recording, get all() { return [changed]; }, line: () => changed };
    expect(verify(openHistory(system, world, lines))).toMatchObject({ identical: false, firstDifference: { frame } });
  });
});
