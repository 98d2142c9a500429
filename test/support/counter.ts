/** A small system to test history, timeline, path and explore on: threads that count, with races, inputs, a seed and a strict lease on worlds. */

import { combine, hashValue } from '../../snapshots/fingerprint.ts';
import type { Frame, Step, System } from '../../snapshots/system.ts';

/** One instruction of a thread. `load` and `store` move between the shared counter and the thread's register. */
export type Instruction = 'load' | 'increment' | 'store' | 'lock' | 'unlock' | 'random' | 'loop';

interface Thread { readonly pc: number; readonly register: number }
export interface State {
  readonly now: number;
  readonly counter: number;
  readonly owner: number;
  readonly seed: number;
  readonly turn: number;
  readonly typed: string;
  readonly threads: readonly Thread[];
}
/** A world with its lease: `spent` is set when it was stepped without being kept. */
export interface CounterWorld { state: State; kept: boolean; spent: boolean }

export type CounterChoice = { readonly type: 'run'; readonly thread: number; readonly insns: number } | { readonly type: 'input'; readonly text: string };
export interface CounterEvent { readonly event: 'exit' | 'nested' | 'irq'; readonly value: number }

export interface CounterOptions {
  readonly programs: readonly (readonly Instruction[])[];
  /** Instructions in a turn. */
  readonly quantum?: number;
  /** The thread that goes on as long as it can (true), or turns (false). */
  readonly greedy?: boolean;
  /** Adds to what was typed, silently, when the clock comes here: a planted difference between builds. */
  readonly glitchAtNs?: () => number;
}

export interface CounterSystem extends System<CounterWorld, CounterChoice, CounterEvent> { steps: number }

/** A world where nothing has happened. */
export const counterWorld = (options: CounterOptions, seed = 1): CounterWorld => ({
  state: { now: 0, counter: 0, owner: -1, seed, turn: -1, typed: '', threads: options.programs.map(() => ({ pc: 0, register: 0 })) },
  kept: false, spent: false,
});

/** Counting as a System. A `store` is an exit, the third of a thread's program too is nested; every fifth value raises irq 27 or 28. */
export function counterSystem(options: CounterOptions): CounterSystem {
  const { programs, quantum = 3 } = options;
  const blocked = (state: State, thread: number): boolean => {
    const { pc } = state.threads[thread]!;
    return pc >= programs[thread]!.length || (programs[thread]![pc] === 'lock' && state.owner >= 0);
  };
  const runnable = (state: State): number[] => state.threads.map((_, thread) => thread).filter((thread) => !blocked(state, thread));
  const system: CounterSystem = {
    steps: 0,
    next(world) {
      const state = read(world);
      const ready = runnable(state);
      if (ready.length === 0) return undefined;
      const thread = options.greedy && ready.includes(state.turn) ? state.turn : ready.find((candidate) => candidate > state.turn) ?? ready[0]!;
      return { type: 'run', thread, insns: quantum };
    },
    choices: (world) => runnable(read(world)).map((thread) => ({ type: 'run', thread, insns: quantum })),
    step(world, choice): Step<CounterWorld, CounterChoice, CounterEvent> {
      let state = read(world);
      if (!world.kept) world.spent = true;
      system.steps++;
      const events: CounterEvent[] = [];
      const before = state.now;
      if (choice.type === 'input') state = { ...state, typed: state.typed + choice.text, counter: state.counter + choice.text.length };
      else {
        if (blocked(state, choice.thread)) throw new Error(`thread ${choice.thread} cannot run at ${state.now} ns`);
        state = { ...state, turn: choice.thread };
        for (let count = 0; count < choice.insns && !blocked(state, choice.thread); count++) state = executed(state, choice.thread, events);
      }
      const insns = choice.type === 'input' ? 0 : state.now - before;
      if (options.glitchAtNs?.() === state.now) state = { ...state, typed: `${state.typed}!` };
      const frame: Frame<CounterChoice, CounterEvent> = { choice, timeNs: state.now, insns, events };
      return { world: { state, kept: false, spent: false }, frame };
    },
    keep(world) {
      const state = read(world);
      if (world.kept) return world;
      world.spent = true;
      return { state, kept: true, spent: false };
    },
    fingerprint: (world) => combine([hashValue(read(world))]),
    stateKey: (world) => hashValue({ ...read(world), now: 0, turn: 0 }),
    describeChoice: (choice) => (choice.type === 'run' ? `thread ${choice.thread} for ${choice.insns}` : `input ${JSON.stringify(choice.text)}`),
    split: (choice, insns) => (choice.type === 'run' ? { ...choice, insns } : undefined),
    patch(world, edit) {
      const state = read(world);
      if (!world.kept) world.spent = true;
      return { state: { ...state, ...(edit as Partial<State>) }, kept: false, spent: false };
    },
    external: (choice) => choice.type === 'input',
    landmarks: (event) => [event.event === 'irq' ? `irq:${event.value}` : event.event],
    vcpuOf: (choice) => (choice.type === 'run' ? choice.thread : undefined),
    view: (world) => read(world),
  };

  function executed(state: State, thread: number, events: CounterEvent[]): State {
    const { pc, register } = state.threads[thread]!;
    const moved = (change: Partial<State>, next: Thread = { pc: pc + 1, register }): State =>
      ({ ...state, now: state.now + 1, ...change, threads: state.threads.map((other, index) => (index === thread ? next : other)) });
    switch (programs[thread]![pc]!) {
      case 'load': return moved({}, { pc: pc + 1, register: state.counter });
      case 'increment': return moved({}, { pc: pc + 1, register: register + 1 });
      case 'store':
        events.push({ event: 'exit', value: register });
        if (pc >= 2 && register % 3 === 0) events.push({ event: 'nested', value: register });
        if (register % 5 === 0) events.push({ event: 'irq', value: register % 2 === 0 ? 28 : 27 });
        return moved({ counter: register });
      case 'lock': return moved({ owner: thread });
      case 'unlock': return moved({ owner: -1 });
      case 'random': {
        const seed = (Math.imul(state.seed, 1664525) + 1013904223) >>> 0;
        return moved({ seed }, { pc: pc + 1, register: seed >>> 24 });
      }
      case 'loop': return moved({}, { pc: 0, register });
    }
  }
  return system;
}

function read(world: CounterWorld): State {
  if (world.spent) throw new Error('this world was spent: it was stepped without being kept');
  return world.state;
}

const LOOP: readonly Instruction[] = ['load', 'increment', 'store', 'random', 'loop'];
/** Two threads that race for ever. */
export const ENDLESS: CounterOptions = { programs: [LOOP, LOOP] };
/** Two threads that each add one, without a lock: an update can be lost. */
export const RACE: CounterOptions = { programs: [['load', 'increment', 'store'], ['load', 'increment', 'store']], quantum: 1, greedy: true };
/** The same with a lock. */
export const LOCKED: CounterOptions = { programs: RACE.programs.map((program) => ['lock', ...program, 'unlock']), quantum: 1, greedy: true };
