/** The chart of an interrupt's lifecycle and the bitmaps that run it agree, on every state and every event. */

import { expect, test } from 'vitest';
import { getNextSnapshot, initialTransition } from 'xstate';
import { setActive } from '../../../machines/gic/bank.ts';
import { lifecycle } from '../../../machines/gic/describe.ts';
import { interruptChart, type InterruptEvent } from '../../../machines/gic/interrupt.machine.ts';
import { receive } from '../../../machines/gic/redistributor.ts';
import { initialRedistributor, redistributorFaults, type RedistributorState } from '../../../machines/gic/state.ts';
import type { RedistributorMessage } from '../../../machines/messages.ts';
import { noMemory, recorder } from './recorder.ts';

const INTID = 20;
const EVENTS: readonly InterruptEvent['type'][] = ['raise', 'lower', 'set-pending', 'clear-pending', 'set-active', 'clear-active', 'acknowledge', 'release', 'deactivate'];
const write = (offset: number): RedistributorMessage => ({ type: 'write', from: 'vcpu:0', offset: 0x1_0000 + offset, bytes: 4, value: 1n << BigInt(INTID) });
const MESSAGES: Readonly<Record<InterruptEvent['type'], RedistributorMessage>> = {
  raise: { type: 'irq-line', intid: INTID, level: true }, lower: { type: 'irq-line', intid: INTID, level: false },
  'set-pending': write(0x200), 'clear-pending': write(0x280), 'set-active': write(0x300), 'clear-active': write(0x380),
  acknowledge: { type: 'acknowledge', intid: INTID }, release: { type: 'release', intid: INTID }, deactivate: { type: 'deactivate', intid: INTID },
};
const CHART_NAMES = { inactive: 'inactive', pending: 'pending', active: 'active', activeAndPending: 'active and pending' } as const;

function redistributor(trigger: 'edge' | 'level'): RedistributorState {
  const state = initialRedistributor(0, true);
  const edges = trigger === 'edge' ? 2n << BigInt(2 * (INTID - 16)) : 0n;
  receive(state, { type: 'write', from: 'vcpu:0', offset: 0x1_0c04, bytes: 4, value: edges }, recorder(), noMemory);
  return state;
}

test('from every reachable state, every event leads chart and bitmaps to the same state', () => {
  let transitions = 0;
  for (const trigger of ['edge', 'level'] as const) {
    const [start] = initialTransition(interruptChart, { trigger });
    const key = (snapshot: typeof start): string => JSON.stringify([snapshot.value, snapshot.context]);
    const seen = new Set([key(start)]);
    const queue: { readonly snapshot: typeof start; readonly path: readonly InterruptEvent['type'][] }[] = [{ snapshot: start, path: [] }];
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      for (const type of EVENTS) {
        const path = [...entry.path, type];
        const snapshot = getNextSnapshot(interruptChart, entry.snapshot, { type });
        const state = redistributor(trigger);
        for (const step of path) receive(state, MESSAGES[step], recorder(), noMemory);
        const where = `${trigger}: ${path.join(', ')}`;
        expect(lifecycle(state.bank, INTID), where).toBe(CHART_NAMES[snapshot.value]);
        expect([(state.bank.line >>> INTID) & 1, (state.bank.latched >>> INTID) & 1], where).toEqual([Number(snapshot.context.line), Number(snapshot.context.latched)]);
        expect(redistributorFaults(state)).toEqual([]);
        transitions++;
        if (seen.has(key(snapshot))) continue;
        seen.add(key(snapshot));
        queue.push({ snapshot, path });
      }
    }
    // Line, latch and activity, all combinations of them.
    expect(seen.size).toBe(8);
  }
  expect(transitions).toBe(2 * 8 * EVENTS.length);
});

test('what a PE has already taken becomes active even when its level fell in between', () => {
  const state = redistributor('level');
  for (const type of ['raise', 'lower', 'acknowledge'] as const) receive(state, MESSAGES[type], recorder(), noMemory);
  expect(lifecycle(state.bank, INTID)).toBe('active');
});

test('an operation touches its own interrupts only', () => {
  const state = redistributor('level');
  setActive(state.bank, 0xffff_ffff);
  receive(state, MESSAGES.deactivate, recorder(), noMemory);
  expect(state.bank.active).toBe((0xffff_ffff & ~(1 << INTID)) >>> 0);
});
