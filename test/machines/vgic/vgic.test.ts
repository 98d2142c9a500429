/** Ticks of a timer through vGIC, timers and redistributor together: in virtual EL2, and in L2 by way of L1. */

import { produce } from 'immer';
import { expect, test } from 'vitest';
import { CPU_INTERFACE } from '../../../machines/aarch64/cpu-interface.ts';
import { pollTimers } from '../../../machines/aarch64/generic-timer.ts';
import { Lr } from '../../../machines/aarch64/list-registers.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import { receive as receiveRedistributor } from '../../../machines/gic/redistributor.ts';
import { initialRedistributor, type RedistributorState } from '../../../machines/gic/state.ts';
import type { Out, RedistributorMessage, TimerMessage, VgicMessage } from '../../../machines/messages.ts';
import { initialTimer, type TimerState } from '../../../machines/timer/state.ts';
import { receive as receiveTimer, wrongLevels } from '../../../machines/timer/timer.ts';
import { noMemory } from '../gic/recorder.ts';
import { set } from '../../support/core.ts';
import { OPEN, OPEN_EOIMODE, deactivate, end, l1Lr, signalled, take, vgic, type VgicBench } from './support.ts';

const TICK = 16;
const LR0 = 0x400;

/** L0's actors of one vCPU but kvm, on one board, with their mailboxes delivered in order of sending. */
function machine(l1Vmcr: bigint) {
  const t: VgicBench = vgic({}, l1Vmcr);
  let timer: TimerState = initialTimer(0, 'vhe');
  let gicr: RedistributorState = initialRedistributor(0, true, 'vgic:0');
  gicr = { ...gicr, asleep: false, bank: { ...gicr.bank, enabled: 0xffff_ffff, group: 0xffff_ffff }, spis: { interrupts: [], groupsEnabled: [true, true] } };
  const out = (): Out => ({
    now: t.board.now, alarm: () => {}, event: () => {},
    send: (to, message) => { t.sent.push({ to, message: message as never }); },
  });
  const drain = (): void => {
    for (let position = 0; position < t.sent.length;) {
      const { to, message } = t.sent[position]!;
      if (to === 'kvm:0') {
        position++;
        continue;
      }
      t.sent.splice(position, 1);
      if (to === 'vgic:0') t.tell(message as VgicMessage);
      else gicr = produce(gicr, (draft) => receiveRedistributor(draft, message as RedistributorMessage, out(), noMemory));
    }
  };
  const tellTimer = (message: TimerMessage): void => {
    timer = produce(timer, (draft) => receiveTimer(draft, message, out(), t.board));
    drain();
  };
  const tell = (message: VgicMessage): void => {
    t.tell(message);
    drain();
  };
  const flush = (nested: boolean): void => {
    tellTimer({ type: 'flush', nested });
    tell({ type: 'flush', nested });
    expect(wrongLevels(timer, t.board, t.board.now)).toEqual([]);
  };
  return {
    t, flush,
    gicr: () => gicr,
    enter: (nested: boolean): void => {
      tell({ type: 'load', nested });
      tellTimer({ type: 'load', nested });
      flush(nested);
    },
    leave: (nested: boolean): void => {
      tell({ type: 'sync', nested });
      tellTimer({ type: 'sync', nested });
      tell({ type: 'put', nested });
      tellTimer({ type: 'put', nested, blocking: false });
    },
    /** Time passes; a line that L0 has not forwarded takes the vCPU out to it and back in. */
    pass: (ns: number, nested: boolean): boolean => {
      t.at(t.board.now + ns);
      pollTimers(t.core);
      const lines = t.core.words[Word.TIMER_LINES]! & ~t.core.words[Word.FORWARDED]!;
      if (lines === 0n && t.core.words[Word.HOST_INTERRUPTS] === 0n) return false;
      tell({ type: 'sync', nested });
      tellTimer({ type: 'sync', nested });
      for (const line of [0, 1]) if (((lines >> BigInt(line)) & 1n) !== 0n) tellTimer({ type: 'host-irq', line });
      flush(nested);
      return true;
    },
    pending: (): unknown => t.take('kvm:0').findLast(({ type }) => type === 'vgic-pending')?.pending,
  };
}

test("virtual EL2's own timer ticks: each tick leaves the guest once, and L1 ends it without L0", () => {
  const { t, enter, pass, gicr } = machine(OPEN);
  enter(false);
  for (let tick = 1; tick <= 4; tick++) {
    set(t.core, 'CNTV_CVAL_EL0', BigInt(100 * tick));
    set(t.core, 'CNTV_CTL_EL0', 1n);
    expect(pass(99 * TICK, false)).toBe(false);
    expect(pass(TICK, false)).toBe(true);
    expect(take(t.core)).toBe(28);
    set(t.core, 'CNTV_CVAL_EL0', BigInt(100 * (tick + 1)));
    end(t.core, 28);
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
  }
  pass(0, false);
  expect(gicr().bank.active & ~(1 << 28)).toBe(0);
});

test('a timer of L2 ticks through the list register that L1 programs, and its end in L2 is its end in L1', () => {
  const { t, enter, leave, pass, gicr, pending } = machine(OPEN_EOIMODE);
  t.setPage(0x4c0, 1n);
  t.setPage(0x4c8, OPEN);
  t.setPage(0x168, 100n);
  t.setPage(0x170, 1n);
  enter(true);
  for (let tick = 1; tick <= 4; tick++) {
    expect(pass(100 * TICK, true)).toBe(true);
    expect(pending()).toBe(true);
    expect(signalled(t.core)).toBe(false);
    // kvm injects the interrupt: L1 takes it, drops its priority, and gives it to L2.
    leave(true);
    enter(false);
    expect(take(t.core)).toBe(27);
    end(t.core, 27);
    t.setPage(LR0, l1Lr(27, Lr.PENDING, Lr.HW | (27n << 32n)));
    leave(false);
    enter(true);
    expect(pending()).toBe(false);
    expect(pass(TICK, true)).toBe(false);
    expect(take(t.core)).toBe(27);
    set(t.core, 'CNTV_CVAL_EL0', CPU_INTERFACE.ICC_RPR_EL1!.read!(t.core) === 0x80n ? BigInt(t.board.now / TICK + 100) : 0n);
    end(t.core, 27);
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
  }
  leave(true);
  expect([gicr().bank.active, gicr().bank.line & (1 << 27)]).toEqual([0, 0]);
});

test('a timer of L2 that L1 keeps for itself ends in L1, and fires again', () => {
  const { t, enter, leave, pass, gicr, pending } = machine(OPEN_EOIMODE);
  t.setPage(0x168, 100n);
  t.setPage(0x170, 1n);
  enter(true);
  for (let tick = 1; tick <= 3; tick++) {
    expect(pass(100 * TICK, true)).toBe(true);
    expect(pending()).toBe(true);
    leave(true);
    enter(false);
    expect(take(t.core)).toBe(27);
    end(t.core, 27);
    t.setPage(0x168, BigInt(t.board.now / TICK + 100));
    deactivate(t.core, 27);
    leave(false);
    enter(true);
    pending();
    expect(gicr().bank.active).toBe(0);
    expect(pass(TICK, true)).toBe(false);
    t.at(t.board.now - TICK);
  }
});
