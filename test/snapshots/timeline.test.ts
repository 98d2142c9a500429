/** Positions: each form read, resolved and, where it does not exist, answered with what is near. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fork, forward, goTo, mark, openHistory, take, worldOf, type History } from '../../snapshots/history.ts';
import { eachEvent, goToPosition, landmarkCounts, parsePosition, resolve, runUntil } from '../../snapshots/timeline.ts';
import { counterSystem, counterWorld, ENDLESS, type CounterChoice, type CounterEvent, type CounterWorld } from '../support/counter.ts';

type Counters = History<CounterWorld, CounterChoice, CounterEvent>;
const counters = (frames: number): Counters => {
  const history = openHistory(counterSystem(ENDLESS), counterWorld(ENDLESS), undefined, { keepFrames: 16 });
  forward(history, () => false, frames);
  return history;
};
const now = (history: Counters): number => (history.system.view!(worldOf(history)) as { now: number }).now;

describe('what is written is read', () => {
  test.each([
    ['start', { branch: undefined, kind: 'start', steps: 0 }],
    ['end-2', { branch: undefined, kind: 'end', steps: -2 }],
    ['exit:42', { branch: undefined, kind: 'event', name: 'exit', at: 42 }],
    ['exit:42-1', { branch: undefined, kind: 'event', name: 'exit', at: 41 }],
    ['nested:7+3', { branch: undefined, kind: 'event', name: 'nested', at: 10 }],
    ['frame:9+3', { branch: undefined, kind: 'frame', at: 12 }],
    ['fixed@exit:42', { branch: 'fixed', kind: 'event', name: 'exit', at: 42 }],
    ['fix-2@frame:1-1', { branch: 'fix-2', kind: 'frame', at: 0 }],
    ['insn:2000000', { branch: undefined, kind: 'insn', vcpu: undefined, at: 2_000_000 }],
    ['vcpu1:insn:5000', { branch: undefined, kind: 'insn', vcpu: 1, at: 5000 }],
    ['time:1.5ms', { branch: undefined, kind: 'time', atNs: 1_500_000 }],
    ['time:1.5ms+1', { branch: undefined, kind: 'time', atNs: 2_500_000 }],
    ['time:0.1us', { branch: undefined, kind: 'time', atNs: 100 }],
    ['time:2s', { branch: undefined, kind: 'time', atNs: 2_000_000_000 }],
    ['irq:27#3', { branch: undefined, kind: 'event', name: 'irq:27', at: 3 }],
    ['irq:27', { branch: undefined, kind: 'event', name: 'irq:27', at: 1 }],
    ['irq:27#3-1', { branch: undefined, kind: 'event', name: 'irq:27', at: 2 }],
    ['mark:before-boot', { branch: undefined, kind: 'mark', name: 'before-boot', steps: 0 }],
    ['mark:bug+2', { branch: undefined, kind: 'mark', name: 'bug', steps: 2 }],
  ])('%s', (text, position) => expect(parsePosition(text)).toEqual(position));

  test.each([
    ['', 'write exit:42'], ['exit', 'write exit:42'], ['exit:x', 'a whole number comes after exit:'], ['frame:', 'a whole number comes after frame:'],
    ['time:5', 'a time has a unit'], ['time:1.5ns', 'a whole number of nanoseconds'], ['@exit:1', 'a branch name comes before the @'],
    ['irq:27#', 'a whole number comes after irq:27#'], ['vcpu1:insn:-', 'a whole number comes after vcpu1:insn:'], ['frame:99999999999999999999', 'a whole number'],
  ])('%j is no position', (text, message) => expect(() => parsePosition(text)).toThrow(message));
});

describe('where positions are', () => {
  // Two threads take turns of 3 instructions: load, increment, store, random, loop, …
  // frame:    0         1         2            3            4              5
  //           t0 l i s  t1 l i s  t0 r l l     t1 r l l     t0 i s r       t1 i s r
  // stores:   1         2                                  3: nested      3: nested
  test.each([
    ['start', 0, 0], ['end', 12, 0], ['end-2', 10, 0], ['start+4', 4, 0], ['frame:7', 7, 0], ['frame:12', 12, 0],
    ['exit:1', 1, 0], ['exit:2', 2, 0], ['exit:3', 5, 0], ['exit:4-1', 5, 0], ['nested:1', 5, 0],
    ['insn:0', 0, 0], ['insn:1', 0, 1], ['insn:2', 0, 2], ['insn:3', 1, 0], ['insn:35', 11, 2], ['insn:36', 12, 0],
    ['vcpu1:insn:0', 1, 0], ['vcpu1:insn:4', 3, 1], ['vcpu0:insn:4', 2, 1],
    ['time:0ns', 0, 0], ['time:3ns', 1, 0], ['time:4ns', 1, 1], ['time:36ns', 12, 0], ['time:0.035us', 11, 2],
  ])('%s', (text, frame, insns) => {
    const history = counters(12);
    expect(resolve(history, text)).toEqual({ branch: 'main', frame, insns });
    expect(history.cursor).toBe(12);
    goToPosition(history, text);
    expect(now(history)).toBe(frame * 3 + insns);
  });

  test('a recording that was never run here is replayed as far as it takes', () => {
    const recorded = counters(200);
    for (const text of ['exit:40', 'insn:500', 'vcpu1:insn:200', 'time:0.3us', 'irq:28#2', 'nested:3']) {
      const system = counterSystem(ENDLESS);
      const fresh = openHistory(system, counterWorld(ENDLESS), recorded.lines);
      const place = resolve(fresh, text);
      expect(place).toEqual(resolve(recorded, text));
      expect(system.steps).toBeLessThanOrEqual(place.frame + 1);
      expect(fresh.cursor).toBe(0);
    }
  });

  test.each([
    ['exit:99', 'exit:99 does not exist: the last is exit:8'],
    ['exit:1-1', 'exit counts from 1'],
    ['irq:30#1', 'irq:30 never happened; these did: exit, irq:27, nested'],
    ['frame:13', 'the end of main is frame:12'],
    ['start-1', 'it lies 1 frames before start'],
    ['insn:37', 'the last is insn:35'],
    ['vcpu0:insn:19', 'the last is vcpu0:insn:17'],
    ['vcpu7:insn:0', 'no vcpu7:insn was attempted'],
    ['time:1ms', 'the end is at time:36ns'],
    ['mark:nowhere', 'the marks are main@mark:here'],
    ['other@exit:1', 'there is no branch other: the branches are main'],
  ])('%s is not there, and what is near is said', (text, message) => {
    const history = counters(12);
    mark(history, 'here');
    expect(() => resolve(history, text)).toThrow(message);
    expect(history.cursor).toBe(12);
  });

  test('a branch counts what came before its fork, and a mark is seen from branches that left after it', () => {
    const history = counters(12);
    mark(history, 'early', { branch: 'main', frame: 2, insns: 0 });
    mark(history, 'late', { branch: 'main', frame: 9, insns: 1 });
    goTo(history, { branch: 'main', frame: 4, insns: 1 });
    fork(history, 'other');
    take(history, { type: 'input', text: 'abc' });
    forward(history, () => false, 6);
    expect(resolve(history, 'exit:2')).toEqual({ branch: 'other', frame: 2, insns: 0 });
    expect(resolve(history, 'exit:3').frame).toBeGreaterThan(4);
    expect(resolve(history, 'insn:13')).toEqual({ branch: 'other', frame: 6, insns: 0 });
    expect(resolve(history, 'main@insn:13')).toEqual({ branch: 'main', frame: 4, insns: 1 });
    expect(resolve(history, 'mark:early')).toEqual({ branch: 'other', frame: 2, insns: 0 });
    expect(resolve(history, 'mark:early+1').frame).toBe(3);
    expect(() => resolve(history, 'mark:late')).toThrow('it is main@mark:late');
    expect(resolve(history, 'main@mark:late')).toEqual({ branch: 'main', frame: 9, insns: 1 });
    expect(() => mark(history, 'late-1')).toThrow('do not end in a dash and a number');
  });

  test('every instant of a run has an instruction, a time and a frame that lead to it', () => {
    const history = counters(60);
    fc.assert(fc.property(fc.nat(179), (at) => {
      expect(resolve(history, `time:${at}ns`)).toEqual(resolve(history, `insn:${at}`));
      goToPosition(history, `insn:${at}`);
      expect(now(history)).toBe(at);
      goTo(history, { branch: 'main', frame: 60, insns: 0 });
    }), { seed: 11, numRuns: 60 });
  });
});

describe('running until a position', () => {
  test.each([['exit:7'], ['insn:100'], ['time:0.1us'], ['irq:28#1'], ['frame:50'], ['vcpu1:insn:31']])('%s is where a live run stops', (text) => {
    const live = counters(0);
    expect(runUntil(live, text)).toBe(true);
    const recorded = counters(120);
    expect({ branch: live.branch, frame: live.cursor, insns: live.insns }).toEqual(resolve(recorded, text));
    expect(live.system.fingerprint(worldOf(live))).toBe((goToPosition(recorded, text), recorded.system.fingerprint(worldOf(recorded))));
  });

  test('a run that ends first says so', () => {
    const options = { programs: [['load', 'increment', 'store'] as const] };
    const history: Counters = openHistory(counterSystem(options), counterWorld(options));
    expect(runUntil(history, 'exit:2')).toBe(false);
    expect(history.cursor).toBe(1);
    expect(runUntil(history, 'end')).toBe(true);
  });
});

test('events are told in order, with their frame and clock, and the cursor stays', () => {
  const history = counters(12);
  const told: string[] = [];
  eachEvent(history, 1, 9, (entry) => { told.push(`${entry.frame} ${entry.timeNs} ${entry.vcpu} ${entry.event.event}:${entry.event.value}`); });
  expect(told).toEqual(['1 6 1 exit:2', '4 15 0 exit:3', '4 15 0 nested:3', '5 18 1 exit:3', '5 18 1 nested:3', '8 27 0 exit:4']);
  expect(history.cursor).toBe(12);
  expect(landmarkCounts(history).get('exit')).toBe(8);
});
