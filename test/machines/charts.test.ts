/** Every chart in the tree: its table goes where XState goes, each state is reached, and what runs do is what it allows. */

import { globSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StateMachine, transition, initialTransition, type AnyStateMachine, type StateValue } from 'xstate';
import { compile } from '../../machines/statechart.ts';

const ROOT = join(import.meta.dirname, '../..');
const FILES = globSync('machines/**/*.machine.ts', { cwd: ROOT }).sort();
const CHARTS = (await Promise.all(FILES.map(async (file) => {
  const exported = Object.values(await import(join(ROOT, file)) as object);
  return exported.filter((value): value is AnyStateMachine => value instanceof StateMachine).map((chart) => ({ file, chart }));
}))).flat();

test('each *.machine.ts has one chart', () => {
  expect(CHARTS.map(({ file }) => file)).toEqual(FILES);
  expect(FILES.length).toBeGreaterThanOrEqual(5);
});

const valueOf = (state: string): StateValue => state.split('.').reduceRight<StateValue | undefined>((inner, key) => (inner === undefined ? key : { [key]: inner }), undefined)!;
const written = (value: StateValue): string => (typeof value === 'string' ? value : Object.entries(value).map(([key, inner]) => `${key}.${written(inner!)}`).join());

describe.each(CHARTS)('$file', ({ chart }) => {
  const table = compile(chart);
  const guards = Object.keys(chart.implementations.guards);

  test('its table and XState agree on every state and event, whatever the guards say', () => {
    let moves = 0;
    for (let answers = 0; answers < 1 << guards.length; answers++) {
      const holds = (guard: string): boolean => ((answers >> guards.indexOf(guard)) & 1) === 1;
      const provided = chart.provide({ guards: Object.fromEntries(guards.map((guard) => [guard, () => holds(guard)])) });
      for (const state of table.states) {
        const snapshot = provided.resolveState({ value: valueOf(state), context: {} });
        for (const event of table.events) {
          const [after] = transition(provided, snapshot, { type: event });
          const next = table.next(state, event, holds);
          expect(`${state} on ${event}: ${next ?? state}`).toBe(`${state} on ${event}: ${written(after.value)}`);
          expect(snapshot.can({ type: event }), `${state} on ${event}`).toBe(next !== undefined);
          if (next !== undefined) moves++;
        }
      }
    }
    expect(moves).toBeGreaterThanOrEqual(table.states.length);
    expect(table.initial).toBe(written(initialTransition(chart, {})[0].value));
  });

  test('every state is reached, and none is left for good', () => {
    const all = (answers: number) => (guard: string): boolean => ((answers >> guards.indexOf(guard)) & 1) === 1;
    const nextOf = (state: string): string[] => Array.from({ length: 1 << guards.length }, (_, answers) => table.events.flatMap((event) => table.next(state, event, all(answers)) ?? [])).flat();
    const reach = (from: string): Set<string> => {
      const seen = new Set([from]);
      for (const state of seen) for (const next of nextOf(state)) seen.add(next);
      return seen;
    };
    expect([...reach(table.initial)].toSorted()).toEqual([...table.states].toSorted());
    expect(table.states.filter((state) => new Set(nextOf(state).filter((next) => next !== state)).size === 0)).toEqual([]);
  });
});
