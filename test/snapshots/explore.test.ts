/** Exploration over counters: races are found and told shortly, counts are what one gets by hand. */

import { describe, expect, test } from 'vitest';
import { explore } from '../../snapshots/explore.ts';
import { openHistory, take, worldOf } from '../../snapshots/history.ts';
import { followPath, minimise } from '../../snapshots/path.ts';
import type { Claims } from '../../snapshots/property.ts';
import type { System } from '../../snapshots/system.ts';
import { counterSystem, counterWorld, LOCKED, RACE, type CounterChoice, type CounterEvent, type CounterOptions, type CounterWorld, type Instruction } from '../support/counter.ts';

const total = (expected: number): Claims<CounterWorld, CounterChoice, CounterEvent> => ({
  atEnd: [{ name: 'no update is lost', check: ({ state }) => (state.counter === expected ? undefined : `the counter is ${state.counter}, not ${expected}`) }],
});
const noDeadlock: Claims<CounterWorld, CounterChoice, CounterEvent> = {
  atEnd: [{ name: 'every thread ends', check: ({ state }) => (state.owner < 0 ? undefined : `thread ${state.owner} holds the lock for ever`) }],
};
const search = (options: CounterOptions, claims: Claims<CounterWorld, CounterChoice, CounterEvent>, how: Partial<Parameters<typeof explore>[3]> = {}) =>
  explore(counterSystem(options), counterWorld(options), claims, { strategy: 'exhaustive', ...how });
const steps = (count: number): readonly Instruction[] => Array.from<Instruction>({ length: count }).fill('increment');

const seeded = (seed: number) => search(RACE, total(2), { strategy: 'random', seed, schedulesMax: 200 });
const run = (thread: number): CounterChoice => ({ type: 'run', thread, insns: 1 });

describe('exhaustive search', () => {
  // Two threads of m and n private steps: a grid of (m+1)(n+1) states and m(n+1)+n(m+1) steps between them. Depth first,
  // each step but those that found a new state with choices ends a schedule: (steps) - (states - 1 - 1 terminal).
  test.each([[1, 1], [2, 2], [3, 2], [4, 4], [5, 1]])('%d and %d independent steps make the grid one counts by hand', (m, n) => {
    const explored = search({ programs: [steps(m), steps(n)], quantum: 1 }, {});
    const transitions = m * (n + 1) + n * (m + 1);
    const states = (m + 1) * (n + 1);
    expect(explored).toMatchObject({ states, transitions, depth: m + n, schedules: transitions - (states - 2), complete: true, violations: [] });
  });

  test('three threads of one step make a cube', () => {
    expect(search({ programs: [steps(1), steps(1), steps(1)], quantum: 1 }, {})).toMatchObject({ states: 8, transitions: 12, depth: 3, complete: true });
  });

  test('two unlocked updates: one of the two is lost in some order, and the story is two turns long', () => {
    const explored = search(RACE, total(2));
    expect(explored.violations).toHaveLength(1);
    const [violation] = explored.violations;
    expect(violation).toMatchObject({ property: 'no update is lost', message: 'the counter is 1, not 2' });
    expect(violation!.choices.length).toBe(6);
    // By default thread 0 runs to its end: one preemption is enough.
    expect(violation!.deviations).toBe(1);
    const system = counterSystem(RACE);
    const replayed = followPath(system, system.keep(counterWorld(RACE)), violation!.choices, total(2));
    expect(replayed.broken).toEqual({ property: 'no update is lost', message: 'the counter is 1, not 2' });
    const found = followPath(system, system.keep(counterWorld(RACE)), violation!.found, total(2));
    expect(found.broken).toEqual(replayed.broken);
  });

  test('with a lock no update is lost, and that is known of all orders', () => {
    expect(search(LOCKED, total(2))).toMatchObject({ violations: [], complete: true });
  });

  test('a lock that is not given back ends the run where it should not end', () => {
    const forgetful: CounterOptions = { ...LOCKED, programs: [['lock', 'increment'], ['lock', 'increment', 'unlock']] };
    const { violations } = search(forgetful, noDeadlock);
    expect(violations).toMatchObject([{ property: 'every thread ends', message: 'thread 0 holds the lock for ever' }]);
    expect(search({ ...LOCKED, programs: [['lock', 'unlock'], ['lock', 'unlock']] }, noDeadlock).violations).toEqual([]);
  });

  test('a claim about each frame is broken at the frame', () => {
    const claims: Claims<CounterWorld, CounterChoice, CounterEvent> = { always: [{ name: 'below two', check: ({ state }, frame) => (state.counter < 2 ? undefined : `the counter is ${state.counter} after ${frame.timeNs} ns`) }] };
    const [violation] = search(RACE, claims).violations;
    expect(violation).toMatchObject({ message: 'the counter is 2 after 6 ns', deviations: 0 });
  });

  test('programs that go round are searched to the end once the counter is bounded', () => {
    const explored = search({ programs: [['load', 'loop'], ['increment']], quantum: 1 }, {});
    // Thread 0 has two places, thread 1 two: four states, and in each thread 0 goes on.
    expect(explored).toMatchObject({ states: 4, transitions: 6, complete: true });
  });
});

describe('budgets', () => {
  test('what is cut is not called complete', () => {
    const big = { programs: [steps(6), steps(6)], quantum: 1 };
    expect(search(big, {}, { depthMax: 5 })).toMatchObject({ complete: false, depth: 5 });
    expect(search(big, {}, { transitionsMax: 10 })).toMatchObject({ complete: false, transitions: 10 });
    let asked = 0;
    expect(search(big, {}, { deadline: () => ++asked > 7 })).toMatchObject({ complete: false, transitions: 7 });
    expect(search(big, {}, { depthMax: 12 })).toMatchObject({ complete: true, states: 49 });
  });

  test('with a depth, a state first met deep down is looked into again from nearer', () => {
    // Depth first, t is met three steps down, where u no longer fits; from the start it is one step away and `bad` is three.
    const ways: Readonly<Record<string, readonly string[]>> = { start: ['a', 't'], a: ['b'], b: ['t'], t: ['u'], u: ['bad'], bad: [] };
    const graph: System<string, string, never> = {
      next: (at) => ways[at]![0], choices: (at) => ways[at]!, keep: (at) => at, fingerprint: (at) => at, stateKey: (at) => at, describeChoice: (to) => to,
      step: (_, to) => ({ world: to, frame: { choice: to, timeNs: 0, insns: 0, events: [] } }),
    };
    const claims: Claims<string, string, never> = { always: [{ name: 'not bad', check: (at) => (at === 'bad' ? 'it is bad' : undefined) }] };
    const look = (depthMax: number) => explore(graph, 'start', claims, { strategy: 'exhaustive', depthMax });
    expect(look(2)).toMatchObject({ violations: [], complete: false });
    for (const depth of [3, 4]) expect(look(depth).violations).toMatchObject([{ found: ['t', 'u', 'bad'] }]);
    expect(search(RACE, total(2), { depthMax: 6 }).violations).toHaveLength(1);
  });
});

describe('random search', () => {
  test('the same seed finds the same, and the race is found', () => {
    expect(seeded(4)).toEqual(seeded(4));
    expect(seeded(4).violations).toHaveLength(1);
    expect(seeded(4).complete).toBe(false);
    expect(new Set([1, 2, 3, 4, 5, 6].map((seed) => JSON.stringify(seeded(seed).violations[0]!.found))).size).toBeGreaterThan(1);
  });

  test('a search that could go on for ever asks for a budget', () => {
    expect(() => search(RACE, total(2), { strategy: 'random' })).toThrow('a random search needs a budget');
  });
});

describe('paths', () => {
  const system = counterSystem(RACE);

  test('a long and winding path becomes as short as the shortest', () => {
    const winding: CounterOptions = { programs: [[...steps(5), ...RACE.programs[0]!, ...steps(5)], [...steps(5), ...RACE.programs[1]!, ...steps(5)]], quantum: 1, greedy: true };
    const winder = counterSystem(winding);
    const start = winder.keep(counterWorld(winding));
    const zigzag = Array.from({ length: 26 }, (_, index) => run(index % 2));
    const told = minimise(winder, start, zigzag, total(2));
    expect(told.deviations).toBe(1);
    expect(told.broken?.property).toBe('no update is lost');
  });

  test('a search may ask for more than a log holds: what was done is what is told and recorded', () => {
    // As a search does in a hypervisor: `insns: 99` asks for a run up to the next instruction that others can see.
    const plain = counterSystem(RACE);
    const sliced: typeof plain = {
      ...plain,
      choices: (world) => plain.choices(world).map((choice) => ({ ...choice, insns: 99 })),
      step: (world, choice) => plain.step(world, choice.type === 'run' && choice.insns === 99 ? { ...choice, insns: 1 } : choice),
    };
    const [violation] = explore(sliced, counterWorld(RACE), total(2), { strategy: 'exhaustive' }).violations;
    expect(violation!.asked.every((choice) => choice.type === 'run' && choice.insns === 99)).toBe(true);
    expect(violation!.choices.every((choice) => choice.type === 'run' && choice.insns === 1)).toBe(true);
    expect(followPath(sliced, sliced.keep(counterWorld(RACE)), violation!.asked, total(2)).broken?.message).toBe(violation!.message);
    const history = openHistory(plain, counterWorld(RACE));
    for (const choice of violation!.choices) take(history, choice);
    expect(worldOf(history).state.counter).toBe(1);
    const asking = openHistory(sliced, counterWorld(RACE));
    for (const choice of violation!.asked) take(asking, choice);
    expect(asking.lines.line('main').move(0)).toEqual({ type: 'choice', choice: violation!.choices[0] });
  });

  test('a path that cannot be taken, and one that breaks nothing, are refused', () => {
    const start = system.keep(counterWorld(RACE));
    expect(() => followPath(system, start, [run(0), run(0), run(0), run(0)], {})).toThrow('choice 3, thread 0 for 1, cannot be made there');
    expect(() => minimise(system, start, [run(0)], total(2))).toThrow('a path that breaks nothing');
  });
});
