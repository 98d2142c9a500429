/** History over counters: keeping, going back, forking and replaying change nothing but where one is. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { aside, fork, forward, framesOf, goTo, keepHere, openHistory, patch, placeOf, stepBack, stepForward, take, worldOf, type History } from '../../snapshots/history.ts';
import type { CounterChoice, CounterEvent, CounterWorld } from '../support/counter.ts';
import { counterSystem, counterWorld, ENDLESS } from '../support/counter.ts';

const SEED = 20_260_101;
const counters = (options = {}): History<CounterWorld, CounterChoice, CounterEvent> =>
  openHistory(counterSystem(ENDLESS), counterWorld(ENDLESS), undefined, { keepFrames: 16, ...options });
const sum = (history: History<CounterWorld, CounterChoice, CounterEvent>): string => history.system.fingerprint(worldOf(history));
const run = (history: History<CounterWorld, CounterChoice, CounterEvent>, frames: number): void => { forward(history, () => false, frames); };

/** Fingerprints of instants 0 to `frames` of an unbroken run in which nothing was ever kept. */
function unbroken(frames: number): string[] {
  const system = counterSystem(ENDLESS);
  let world = counterWorld(ENDLESS);
  const sums = [system.fingerprint(world)];
  for (let count = 0; count < frames; count++) {
    world = system.step(world, system.next(world)!).world;
    sums.push(system.fingerprint(world));
  }
  return sums;
}

describe('going back', () => {
  test('run, keep, restore, run is the same as run, at every frame', () => {
    const sums = unbroken(60);
    for (let at = 0; at < 60; at++) {
      const history = counters();
      run(history, at);
      keepHere(history);
      run(history, 7);
      goTo(history, { branch: 'main', frame: at, insns: 0 });
      expect(sum(history)).toBe(sums[at]);
      run(history, 60 - at);
      expect(sum(history)).toBe(sums[60]);
    }
  });

  test('stepping back and forth at random is the same as never having gone back', () => {
    const sums = unbroken(400);
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('forward', 'back', 'goto'), fc.nat(120)), { maxLength: 25 }), (moves) => {
      const history = counters({ keptMax: 6 });
      for (const [move, amount] of moves) {
        if (move === 'forward') run(history, Math.min(amount, 400 - history.cursor));
        else if (move === 'goto') goTo(history, { branch: 'main', frame: amount % (framesOf(history) + 1), insns: 0 });
        else for (let count = 0; count < amount % 9; count++) stepBack(history);
        expect(sum(history)).toBe(sums[history.cursor]);
        expect(history.kept.length).toBeLessThanOrEqual(6);
      }
    }), { seed: SEED, numRuns: 150 });
  });

  test('winding all the way back by single steps runs each frame only a few times', () => {
    const history = counters({ keptMax: 64, keepFrames: 256 });
    run(history, 1000);
    const system = history.system as ReturnType<typeof counterSystem>;
    system.steps = 0;
    while (stepBack(history));
    expect(history.cursor).toBe(0);
    expect(system.steps).toBeLessThan(12_000);
  });

  test('the start is as far back as one can step', () => {
    const history = counters();
    expect(stepBack(history)).toBe(false);
    expect(() => goTo(history, { branch: 'main', frame: 1, insns: 0 })).toThrow('branch main has frames 0 to 0, not 1');
  });

  test('a place inside a frame is the run that stopped there, and stepping leaves it by the frame\'s ends', () => {
    const history = counters();
    run(history, 20);
    const whole = sum(history);
    goTo(history, { branch: 'main', frame: 10, insns: 2 });
    const atTen = unbroken(10)[10];
    expect(sum(history)).not.toBe(atTen);
    expect(history.system.view!(worldOf(history))).toMatchObject({ now: 32 });
    stepBack(history);
    expect(placeOf(history)).toEqual({ branch: 'main', frame: 10, insns: 0 });
    expect(sum(history)).toBe(atTen);
    goTo(history, { branch: 'main', frame: 10, insns: 2 });
    stepForward(history);
    expect(history.cursor).toBe(11);
    run(history, 9);
    expect(sum(history)).toBe(whole);
  });

  test('a look aside leaves the cursor where it was', () => {
    const history = counters();
    run(history, 33);
    const before = sum(history);
    aside(history, () => goTo(history, { branch: 'main', frame: 2, insns: 1 }));
    expect(placeOf(history)).toEqual({ branch: 'main', frame: 33, insns: 0 });
    expect(sum(history)).toBe(before);
  });

  test('a step that throws leaves the cursor and the world as they were', () => {
    const history = counters();
    run(history, 9);
    const before = sum(history);
    expect(() => take(history, { type: 'run', thread: 7, insns: 1 })).toThrow();
    expect(history.cursor).toBe(9);
    expect(sum(history)).toBe(before);
    run(history, 5);
    expect(sum(history)).toBe(unbroken(14)[14]);
  });
});

describe('branches', () => {
  test('a branch shares all before its fork, and neither changes the other', () => {
    const sums = unbroken(100);
    const history = counters();
    run(history, 100);
    goTo(history, { branch: 'main', frame: 40, insns: 0 });
    fork(history, 'other');
    take(history, { type: 'input', text: 'hello' });
    run(history, 30);
    const other = sum(history);
    expect(history.lines.line('other').first).toBe(40);
    expect(framesOf(history)).toBe(71);
    goTo(history, { branch: 'main', frame: 100, insns: 0 });
    expect(sum(history)).toBe(sums[100]);
    goTo(history, { branch: 'other', frame: 71, insns: 0 });
    expect(sum(history)).toBe(other);
    for (const frame of [0, 12, 40]) {
      goTo(history, { branch: 'other', frame, insns: 0 });
      expect(sum(history)).toBe(sums[frame]);
    }
  });

  test('a fork inside a frame begins with the part that had run', () => {
    const history = counters();
    run(history, 10);
    goTo(history, { branch: 'main', frame: 4, insns: 1 });
    const inside = sum(history);
    fork(history, 'cut');
    expect(placeOf(history)).toEqual({ branch: 'cut', frame: 5, insns: 0 });
    expect(sum(history)).toBe(inside);
  });

  test('branches of branches, and edits, replay to the same instants', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(60), fc.nat(20), fc.boolean()), { minLength: 1, maxLength: 6 }), (forks) => {
      const history = counters({ keptMax: 5 });
      run(history, 50);
      const ends: { branch: string; frame: number; sum: string }[] = [];
      forks.forEach(([frame, frames, edit], index) => {
        goTo(history, { branch: history.branch, frame: Math.min(frame, framesOf(history)), insns: 0 });
        fork(history, `b${index}`);
        if (edit) patch(history, { counter: 1000 + index });
        run(history, frames);
        ends.push({ branch: history.branch, frame: history.cursor, sum: sum(history) });
      });
      const fresh = openHistory(counterSystem(ENDLESS), counterWorld(ENDLESS), history.lines, { keptMax: 3 });
      for (const end of ends.reverse()) {
        goTo(fresh, { branch: end.branch, frame: end.frame, insns: 0 });
        expect(sum(fresh)).toBe(end.sum);
      }
    }), { seed: SEED, numRuns: 100 });
  });

  test('going another way than the line went asks for a fork', () => {
    const history = counters();
    run(history, 10);
    goTo(history, { branch: 'main', frame: 5, insns: 0 });
    expect(() => take(history, { type: 'input', text: 'x' })).toThrow('the cursor is at frame 5 of 10 on branch main: fork to go another way from here');
    expect(() => fork(history, 'main')).toThrow('there is already a branch main');
    expect(() => fork(history, '../evil')).toThrow('a branch cannot be called');
  });
});
