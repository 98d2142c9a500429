/** Going back on real runs: whatever way a history was walked, forward from there it comes to where it would have come. */

import { describe, expect, test } from 'vitest';
import type { Choice } from '../../actors/choices.ts';
import type { World, WorldEvent } from '../../actors/world.ts';
import { diffBranches, diffPlaces } from '../../snapshots/diff.ts';
import { fork, forward, framesOf, goTo, openHistory, placeOf, stepBack, stepForward, worldOf, type History } from '../../snapshots/history.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { goToPosition, resolve } from '../../snapshots/timeline.ts';
import { plainRun, scenarioNamed, seedOr, start, textOf, THOROUGH, type Setting } from '../support/scenario.ts';

type ZenoHistory = History<World, Choice, WorldEvent>;

const SEED = seedOr(20_260_802);
const TIMES = THOROUGH ? 60 : 5;
const system = systemOf();
const print = (history: ZenoHistory): string => system.fingerprint(worldOf(history));

const SETTINGS: readonly Setting[] = [
  { scenario: scenarioNamed('virtual-ipi'), nested: 'nv2', l1: 'nvhe', vcpus: 2 },
  { scenario: scenarioNamed('stage2-fault'), nested: 'nv2', l1: 'vhe', vcpus: 1 },
  { scenario: scenarioNamed('timer-interrupt'), nested: 'nv', l1: 'vhe', vcpus: 1 },
  { scenario: scenarioNamed('forward-exception'), nested: 'pv', l1: 'nvhe', vcpus: 1 },
];

/** A history run to its end, with few kept worlds so that going back means replaying. */
function atEnd(setting: Setting): { readonly history: ZenoHistory; readonly nested: number } {
  const history: ZenoHistory = openHistory(system, start(setting).world, undefined, { keptMax: 12, keepFrames: 100 });
  let nested = 0;
  forward(history, ({ events }) => {
    for (const event of events) if (event.event === 'kvm_exit' && event.level === 'L2') nested++;
    return false;
  });
  return { history, nested };
}

/** Steps forward to the end of what is known, and one more time, which must not go on. */
function onToTheEnd(history: ZenoHistory): string {
  for (let frame = stepForward(history); frame !== undefined; frame = stepForward(history));
  return print(history);
}

describe.each(SETTINGS.map((setting, index) => [textOf(setting), SEED + index, setting] as const))('%s (seed %d)', (_, seed, setting) => {
  test('its history ends as it does without one', () => {
    const { history, nested } = atEnd(setting);
    expect({ frames: framesOf(history), fingerprint: print(history) }).toEqual({ frames: plainRun(setting).frames, fingerprint: plainRun(setting).fingerprint });
    expect(nested).toBeGreaterThan(4);
  });

  test('rewound to nested:N-1 for random N and stepped forward, it ends as if it had never gone back', () => {
    const draw = generator(seed);
    const { history, nested } = atEnd(setting);
    for (let time = 0; time < TIMES; time++) {
      const number = 2 + draw(nested - 1);
      const place = goToPosition(history, `nested:${number}-1`);
      expect(place).toEqual(resolve(history, `nested:${number - 1}`));
      expect(placeOf(history)).toEqual(place);
      // The instant after the trap was taken: L0 has it all before it.
      const next = stepForward(history)!;
      expect(next.choice).toMatchObject({ type: 'l0' });
      expect(onToTheEnd(history)).toBe(plainRun(setting).fingerprint);
      expect(framesOf(history)).toBe(plainRun(setting).frames);
    }
  });

  test('every instant that is gone to by any way is the instant that was there', () => {
    const draw = generator(seed + 1000);
    const { frames } = plainRun(setting);
    const prints: string[] = [];
    const history: ZenoHistory = openHistory(system, start(setting).world, undefined, { keptMax: 8, keepFrames: 150 });
    do prints.push(print(history)); while (stepForward(history) !== undefined);
    for (let time = 0; time < 4 * TIMES; time++) {
      const what = draw(4);
      if (what === 0) goTo(history, { branch: 'main', frame: draw(frames + 1), insns: 0 });
      else if (what === 1) for (let back = draw(20); back > 0; back--) stepBack(history);
      else if (what === 2) for (let on = draw(20); on > 0; on--) stepForward(history);
      else goToPosition(history, `nested:${1 + draw(5)}`);
      expect(print(history)).toBe(prints[history.cursor]);
    }
    goTo(history, { branch: 'main', frame: 30, insns: 0 });
    for (let frame = 29; frame >= 0; frame--) {
      expect(stepBack(history)).toBe(true);
      expect(print(history)).toBe(prints[frame]);
    }
    expect(stepBack(history)).toBe(false);
  });

  test('entered inside a frame, at random instructions, it goes on to the same end', () => {
    const draw = generator(seed + 2000);
    const { history } = atEnd(setting);
    const { insns, fingerprint } = plainRun(setting);
    for (let time = 0; time < TIMES; time++) {
      const at = draw(insns);
      goToPosition(history, `insn:${at}`);
      expect(worldOf(history).engine.board.cores.reduce((sum, core) => sum + Number(core.words[37]), 0)).toBe(at);
      expect(onToTheEnd(history)).toBe(fingerprint);
    }
  });

  test('a fork that changes nothing ends where the original ends, and differs in nothing', () => {
    const draw = generator(seed + 3000);
    const { history } = atEnd(setting);
    const end = placeOf(history);
    for (let time = 0; time < 3; time++) {
      if (time === 2) goToPosition(history, `main@insn:${draw(plainRun(setting).insns)}`);
      else goTo(history, { branch: 'main', frame: draw(plainRun(setting).frames), insns: 0 });
      fork(history, `fork${time}`);
      forward(history, () => false);
      expect(print(history)).toBe(plainRun(setting).fingerprint);
      expect(diffPlaces(history, end, placeOf(history))).toEqual({ values: [], pages: [[]] });
      // A fork from inside a frame cuts it in two, and is one frame longer.
      if (time === 0) expect(diffBranches(history, 'main', `fork${time}`)).toBeUndefined();
    }
    expect(history.lines.all.map(({ name }) => name)).toEqual(['main', 'fork0', 'fork1', 'fork2']);
  });
});
