/** The compiled table and XState's own transition() agree on every state and event. */

import { createMachine, initialTransition, transition, type AnyStateMachine, type StateValue } from 'xstate';
import { describe, expect, test } from 'vitest';
import { compile } from '../../machines/statechart.ts';

const SAMPLES: Readonly<Record<string, AnyStateMachine>> = {
  flat: createMachine({
    id: 'interrupt', initial: 'inactive',
    states: {
      inactive: { on: { raise: 'pending' } },
      pending: { on: { acknowledge: 'active', lower: 'inactive', raise: {} } },
      active: { on: { raise: 'active and pending', deactivate: 'inactive' } },
      'active and pending': { on: { lower: 'active', deactivate: 'pending' } },
    },
  }),
  nested: createMachine({
    id: 'vcpu', initial: 'off',
    on: { reset: '.off' },
    states: {
      off: { on: { start: 'on' } },
      on: {
        initial: 'runnable',
        on: { stop: 'off', again: 'on', poke: {}, park: '.blocked' },
        states: {
          runnable: { on: { wait: 'blocked', again: 'runnable' } },
          blocked: { on: { wake: 'runnable', poke: 'runnable', die: '#gone', restart: '#vcpu.on' } },
        },
      },
      gone: { id: 'gone', type: 'final' },
    },
  }),
  guarded: createMachine({
    id: 'timer', initial: 'idle',
    states: {
      idle: { on: { write: [{ guard: 'enabled', target: 'armed' }, { guard: { type: 'masked' }, target: 'quiet' }] } },
      armed: { initial: 'soft', on: { write: 'idle' }, states: { soft: { on: { write: { guard: 'enabled', target: 'hard' }, due: '#timer.idle' } }, hard: {} } },
      quiet: { on: { write: [{ guard: 'enabled', target: 'armed.hard' }, { target: 'idle' }] } },
    },
  }),
};

const written = (value: StateValue): string => (typeof value === 'string' ? value : Object.entries(value).map(([key, inner]) => `${key}.${written(inner!)}`).join());
const valueOf = (state: string): StateValue => state.split('.').reduceRight<StateValue | undefined>((inner, key) => (inner === undefined ? key : { [key]: inner }), undefined)!;

describe.each(Object.entries(SAMPLES))('the %s chart', (_, chart) => {
  const table = compile(chart);
  const guards = ['enabled', 'masked'];

  test('starts where XState starts', () => {
    expect(table.initial).toBe(written(initialTransition(chart)[0].value));
  });

  test('goes where XState goes, from every state, on every event, whatever the guards say', () => {
    let moves = 0;
    for (let answers = 0; answers < 4; answers++) {
      const holds = (guard: string): boolean => ((answers >> guards.indexOf(guard)) & 1) === 1;
      const provided = chart.provide({ guards: Object.fromEntries(guards.map((guard) => [guard, () => holds(guard)])) });
      for (const state of table.states) {
        const snapshot = provided.resolveState({ value: valueOf(state), context: {} });
        for (const event of table.events) {
          const [after] = transition(provided, snapshot, { type: event });
          expect(`${state} on ${event}: ${table.next(state, event, holds) ?? state}`).toBe(`${state} on ${event}: ${written(after.value)}`);
          // What the chart does not mention there, the table does not answer.
          if (table.next(state, event, holds) === undefined) expect(snapshot.can({ type: event })).toBe(false);
          else moves++;
        }
      }
    }
    expect(moves).toBeGreaterThan(table.states.length);
  });
});

describe('what cannot be compiled is named', () => {
  test.each([
    ['parallel', { type: 'parallel', states: { a: {}, b: {} } }, 'is a parallel state'],
    ['delay', { initial: 'a', states: { a: { after: { 100: 'b' } }, b: {} } }, 'state chart.a has a delay'],
    ['eventless', { initial: 'a', states: { a: { always: 'b' }, b: {} } }, 'state chart.a has an eventless transition'],
    ['inline guard', { initial: 'a', states: { a: { on: { go: { guard: () => true, target: 'b' } } }, b: {} } }, 'a guard must be named'],
    ['wildcard', { initial: 'a', states: { a: { on: { '*': 'b' } }, b: {} } }, 'has a transition on *'],
    ['depth', { initial: 'a', states: { a: { initial: 'b', states: { b: { initial: 'c', states: { c: {} } } } } } }, 'nested more than one level deep'],
  ])('%s', (_, config, message) => {
    expect(() => compile(createMachine({ id: 'chart', ...config } as never))).toThrow(message);
  });

  test('a state that is not one, and a guard that nobody answers', () => {
    const table = compile(SAMPLES['guarded']!);
    expect(() => table.next('armed', 'write')).toThrow('timer has no state armed: it has idle, armed.soft, armed.hard, quiet');
    expect(() => table.next('idle', 'write')).toThrow('timer asks whether enabled holds on write in idle');
  });
});
