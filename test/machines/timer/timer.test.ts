/** L0's four timers: who is on the hardware, who is emulated, and that no line is ever out of step with its comparator. */

import * as fc from 'fast-check';
import { transition, type AnyMachineSnapshot } from 'xstate';
import { describe, expect, test } from 'vitest';
import { TIMER_REGISTERS } from '../../../machines/aarch64/generic-timer.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import { conditionOf, countAt } from '../../../machines/timer/map.ts';
import { checkTimer, initialTimer, type TimerState } from '../../../machines/timer/state.ts';
import { timerChart, timerMode } from '../../../machines/timer/timer.machine.ts';
import { receive, wrongLevels } from '../../../machines/timer/timer.ts';
import type { TimerMessage } from '../../../machines/messages.ts';
import { get, set } from '../../support/core.ts';
import { bench, type Bench } from '../../support/l0.ts';

const CNTVOFF = 0x060;
const V_CVAL = 0x168;
const V_CTL = 0x170;
const P_CTL = 0x180;
/** 62.5 MHz: 16 ns a tick. */
const TICK = 16;

const timers = (flavour: 'vhe' | 'nvhe' = 'vhe'): Bench<TimerState, TimerMessage> => bench<TimerState, TimerMessage>(receive, initialTimer(0, flavour));
const gicr = (t: Bench<TimerState, TimerMessage>) => t.take('gicr:0').map((message) => [message.intid, message.level]);

describe('the world switch', () => {
  test('virtual EL2 has its HP and HV timers on the hardware, and what runs below it has P and V', () => {
    const t = timers().at(100 * TICK);
    t.tell({ type: 'register-write', name: 'CNTHV_CVAL_EL2', value: 500n, nested: false }, { type: 'register-write', name: 'CNTHV_CTL_EL2', value: 1n, nested: false });
    t.setPage(V_CVAL, 900n);
    t.setPage(V_CTL, 1n);
    t.setPage(CNTVOFF, 77n);
    t.tell({ type: 'load', nested: false });
    expect([get(t.core, 'CNTV_CVAL_EL0'), get(t.core, 'CNTV_CTL_EL0'), get(t.core, 'CNTVOFF_EL2')]).toEqual([500n, 1n, 0n]);
    t.tell({ type: 'put', nested: false, blocking: false }, { type: 'load', nested: true });
    expect([get(t.core, 'CNTV_CVAL_EL0'), get(t.core, 'CNTV_CTL_EL0'), get(t.core, 'CNTVOFF_EL2')]).toEqual([900n, 1n, 77n]);
    expect(t.state.hv).toEqual({ ctl: 1n, cval: 500n });
    expect(t.events.map(({ event }) => event)).toEqual([
      'kvm_get_timer_map', 'kvm_timer_restore_state', 'kvm_timer_restore_state', 'kvm_timer_save_state', 'kvm_timer_save_state',
      'kvm_get_timer_map', 'kvm_timer_restore_state', 'kvm_timer_restore_state',
    ]);
  });

  test('what the guest did to a comparator in the hardware is there after any number of switches', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.bigInt(0n, (1n << 64n) - 1n), fc.bigInt(0n, 3n)), { maxLength: 12 }), fc.bigInt(0n, (1n << 64n) - 1n), fc.boolean(), (turns, offset, vhe) => {
      const t = timers(vhe ? 'vhe' : 'nvhe');
      t.setPage(CNTVOFF, offset);
      const expected = new Map<string, bigint>();
      for (const [nested, cval, ctl] of turns) {
        t.tell({ type: 'load', nested });
        if (nested) {
          if (expected.has('V')) expect(get(t.core, 'CNTV_CVAL_EL0')).toBe(expected.get('V'));
          set(t.core, 'CNTV_CVAL_EL0', cval);
          set(t.core, 'CNTV_CTL_EL0', ctl);
        } else {
          if (expected.has('HV')) expect(BigInt.asUintN(64, get(t.core, 'CNTV_CVAL_EL0') + get(t.core, 'CNTVOFF_EL2'))).toBe(expected.get('HV'));
          t.tell({ type: 'register-write', name: 'CNTHV_CVAL_EL2', value: cval, nested: false });
        }
        expected.set(nested ? 'V' : 'HV', cval);
        t.tell({ type: 'put', nested, blocking: false });
        checkTimer(t.state);
      }
    }), { seed: 11, numRuns: 60 });
  });

  test('the virtual EL2 timer has no offset, with nVHE neither (bug B27)', () => {
    const t = timers('nvhe');
    t.setPage(CNTVOFF, 1000n);
    t.tell({ type: 'load', nested: false }, { type: 'register-write', name: 'CNTHV_CVAL_EL2', value: 100n, nested: false }, { type: 'register-write', name: 'CNTHV_CTL_EL2', value: 1n, nested: false });
    expect(get(t.core, 'CNTVOFF_EL2')).toBe(1000n);
    t.at(99 * TICK).tell({ type: 'flush', nested: false });
    expect(gicr(t)).toEqual([]);
    t.at(100 * TICK).tell({ type: 'flush', nested: false });
    expect(gicr(t)).toEqual([[28, true]]);
  });
});

describe('direct timers', () => {
  test('a comparator that fires in L2 interrupts L0 once, and reaches L1 as PPI 27 until the line drops', () => {
    const t = timers();
    t.setPage(V_CVAL, 10n);
    t.setPage(V_CTL, 1n);
    t.tell({ type: 'load', nested: true }).at(10 * TICK).tell({ type: 'host-irq', line: 1 });
    expect(t.core.words[Word.FORWARDED]).toBe(2n);
    expect(gicr(t)).toEqual([[27, true]]);
    expect(t.events.at(-1)).toEqual({ event: 'kvm_timer_update_irq', fields: { vcpu_id: 0, irq: 27, level: true } });
    t.tell({ type: 'sync', nested: true }, { type: 'flush', nested: true });
    expect(t.core.words[Word.FORWARDED]).toBe(2n);
    expect(gicr(t)).toEqual([]);
    set(t.core, 'CNTV_CVAL_EL0', 1000n);
    t.tell({ type: 'sync', nested: true });
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
    expect(gicr(t)).toEqual([[27, false]]);
  });

  test('a line that is high at load is known already, and interrupts L0 no more', () => {
    const t = timers();
    t.setPage(V_CVAL, 10n);
    t.setPage(V_CTL, 1n);
    t.at(10 * TICK).tell({ type: 'load', nested: true });
    expect([t.core.words[Word.TIMER_LINES], t.core.words[Word.FORWARDED]]).toEqual([2n, 2n]);
    expect(gicr(t)).toEqual([[27, true]]);
  });

  test('a forwarded line that dropped while it was away does not stay masked when it rises again', () => {
    const t = timers();
    t.setPage(V_CVAL, 10n);
    t.setPage(V_CTL, 1n);
    t.at(10 * TICK).tell({ type: 'load', nested: true }, { type: 'put', nested: true, blocking: false });
    t.setPage(V_CVAL, 5000n);
    t.tell({ type: 'load', nested: true });
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
  });
});

describe('emulated timers', () => {
  test("L1's timer for its guest expires by an alarm while virtual EL2 runs, and the VNCR page shows it", () => {
    const t = timers().at(5 * TICK);
    t.setPage(CNTVOFF, 4n);
    t.setPage(V_CVAL, 10n);
    t.setPage(V_CTL, 1n);
    t.tell({ type: 'load', nested: false });
    expect(t.alarms.emulated).toBe(14 * TICK);
    t.at(14 * TICK).tell({ type: 'alarm', name: 'emulated' });
    expect(gicr(t)).toEqual([[27, true]]);
    expect(t.page(V_CTL)).toBe(5n);
    expect(t.events.filter(({ event }) => event === 'kvm_timer_hrtimer_expire')).toEqual([{ event: 'kvm_timer_hrtimer_expire', fields: { vcpu_id: 0, timer_idx: 'V' } }]);
    expect(t.alarms.emulated).toBeUndefined();
  });

  test('a wait ends at the earliest of all four timers, and a timer that is due is told at once', () => {
    const t = timers();
    t.setPage(V_CVAL, 300n);
    t.setPage(V_CTL, 1n);
    t.setPage(P_CTL, 1n);
    t.tell({ type: 'load', nested: false }, { type: 'register-write', name: 'CNTHP_CVAL_EL2', value: 200n, nested: false }, { type: 'register-write', name: 'CNTHP_CTL_EL2', value: 1n, nested: false });
    expect(gicr(t)).toEqual([[30, true]]);
    t.tell({ type: 'put', nested: false, blocking: true });
    expect([t.alarms.bg, t.alarms.emulated]).toEqual([200 * TICK, undefined]);
    t.at(200 * TICK).tell({ type: 'alarm', name: 'bg' });
    expect(gicr(t)).toEqual([[26, true]]);
    expect(t.alarms.bg).toBe(300 * TICK);
    t.tell({ type: 'load', nested: false });
    expect(t.alarms.bg).toBeUndefined();
  });

  test('trapped registers read and write the timer wherever it is; TVAL counts down and ISTATUS is now', () => {
    const t = timers();
    t.setPage(CNTVOFF, 40n);
    const read = (name: string): unknown => {
      t.tell({ type: 'register-read', name, from: 'kvm:0', nested: false });
      return t.take('kvm:0').at(-1)?.value;
    };
    t.at(100 * TICK).tell({ type: 'load', nested: false }, { type: 'register-write', name: 'CNTV_TVAL_EL0', value: 25n, nested: false }, { type: 'register-write', name: 'CNTV_CTL_EL0', value: 7n, nested: false });
    expect([read('CNTV_CVAL_EL0'), read('CNTV_TVAL_EL0'), read('CNTV_CTL_EL0')]).toEqual([85n, 25n, 3n]);
    t.at(130 * TICK);
    expect([read('CNTV_TVAL_EL0'), read('CNTV_CTL_EL02')]).toEqual([0xffff_fffbn, 7n]);
    expect(() => read('CNTHV_CTL_EL0')).toThrow('not a timer register');
  });
});

test('every line that the GIC was told is what its comparator says, at every entry, whatever was done before (bug B29)', () => {
  const act = fc.oneof(
    fc.record({ act: fc.constant('switch' as const), nested: fc.boolean() }),
    fc.record({ act: fc.constant('advance' as const), ticks: fc.integer({ min: 0, max: 40 }) }),
    fc.record({ act: fc.constant('hardware' as const), which: fc.constantFrom('P', 'V'), ctl: fc.bigInt(0n, 3n), cval: fc.bigInt(0n, 60n) }),
    fc.record({ act: fc.constant('page' as const), at: fc.constantFrom(V_CVAL, 0x178), ctl: fc.bigInt(0n, 3n), cval: fc.bigInt(0n, 60n) }),
    fc.record({ act: fc.constant('host-irq' as const), line: fc.constantFrom(0, 1) }),
    fc.record({ act: fc.constant('alarm' as const), name: fc.constantFrom('emulated', 'bg') }),
  );
  let rises = 0;
  fc.assert(fc.property(fc.array(act, { maxLength: 25, size: 'max' }), (acts) => {
    const t = timers();
    const told: Record<number, boolean> = {};
    let nested = false;
    t.tell({ type: 'load', nested });
    for (const step of acts) {
      if (step.act === 'switch') {
        t.tell({ type: 'put', nested, blocking: false }, { type: 'load', nested: step.nested });
        nested = step.nested;
      } else if (step.act === 'advance') t.at(t.board.now + step.ticks * TICK);
      else if (step.act === 'hardware') {
        set(t.core, `CNT${step.which}_CTL_EL0`, step.ctl);
        set(t.core, `CNT${step.which}_CVAL_EL0`, step.cval);
      } else if (step.act === 'page') {
        t.setPage(step.at, step.cval);
        t.setPage(step.at + 8, step.ctl);
      } else t.tell(step.act === 'host-irq' ? { type: 'host-irq', line: step.line } : { type: 'alarm', name: step.name });
      t.tell({ type: 'sync', nested }, { type: 'flush', nested });
      expect(wrongLevels(t.state, t.board, t.board.now)).toEqual([]);
      // A line that L0 does not hear of is one that it knows to be high.
      expect(t.core.words[Word.FORWARDED]! & ~t.core.words[Word.TIMER_LINES]!).toBe(0n);
      for (const [intid, level] of gicr(t)) {
        expect(told[intid as number] ?? false).not.toBe(level);
        told[intid as number] = level as boolean;
        if (level) rises++;
      }
      checkTimer(t.state);
    }
  }), { seed: 29, numRuns: 200 });
  expect(rises).toBeGreaterThan(80);
});

test('a stale level is seen by the invariant', () => {
  const t = timers();
  t.setPage(V_CTL, 1n);
  expect(wrongLevels(t.state, t.board, 0)).toEqual(['timer V of vCPU 0 is high and the GIC was told low']);
});

test("L0's comparison is the hardware's, wrap and offset included", () => {
  fc.assert(fc.property(fc.nat({ max: 10_000 }), fc.bigInt(0n, (1n << 64n) - 1n), fc.oneof(fc.bigInt(0n, 1000n), fc.bigInt((1n << 64n) - 1000n, (1n << 64n) - 1n)), (now, cval, offset) => {
    const t = timers().at(now);
    set(t.core, 'CNTVOFF_EL2', offset);
    set(t.core, 'CNTV_CVAL_EL0', cval);
    set(t.core, 'CNTV_CTL_EL0', 1n);
    const { met, deadlineNs } = conditionOf(t.board, { ctl: 1n, cval }, offset, now);
    expect(TIMER_REGISTERS.CNTV_CTL_EL0!.read!(t.core) === 5n).toBe(met);
    if (deadlineNs === undefined) return;
    expect(conditionOf(t.board, { ctl: 1n, cval }, offset, deadlineNs).met).toBe(true);
    expect(countAt(t.board, deadlineNs - 1)).toBeLessThan(countAt(t.board, deadlineNs));
  }), { seed: 5, numRuns: 200 });
});

test('the chart goes through the modes that the registers are in', () => {
  const event = fc.constantFrom('enable', 'enableMasked', 'disable', 'mask', 'unmask', 'reach', 'rearm');
  fc.assert(fc.property(fc.array(event, { maxLength: 30 }), (events) => {
    let chart: AnyMachineSnapshot = timerChart.resolveState({ value: 'idle' });
    let ctl = 0n;
    let met = false;
    const fire = (type: string): void => { [chart] = transition(timerChart, chart as never, { type } as never) as unknown as [AnyMachineSnapshot]; };
    for (const type of events) {
      const enabled = (ctl & 1n) !== 0n;
      const masked = (ctl & 2n) !== 0n;
      if (type === 'enable' && !enabled) ctl = 1n;
      else if (type === 'enableMasked' && !enabled) ctl = 3n;
      else if (type === 'disable' && enabled) ctl = 0n;
      else if (type === 'mask' && enabled && !masked) ctl = 3n;
      else if (type === 'unmask' && enabled && masked) ctl = 1n;
      else if (type === 'reach' && !met) met = true;
      else if (type === 'rearm') met = false;
      else continue;
      fire(type);
      // Enabling or unmasking a timer whose time has come is followed by its reaching at once.
      if (met && (type === 'enable' || type === 'unmask')) fire('reach');
      expect(chart.value).toBe(timerMode(ctl, met));
    }
  }), { seed: 3, numRuns: 100 });
});
