/** L1's own interrupts: offered by the redistributor, taken through list registers, told back. */

import * as fc from 'fast-check';
import { transition } from 'xstate';
import { describe, expect, test } from 'vitest';
import { Word } from '../../../machines/aarch64/state.ts';
import { receive as receiveRedistributor } from '../../../machines/gic/redistributor.ts';
import { initialRedistributor, type RedistributorState } from '../../../machines/gic/state.ts';
import type { RedistributorMessage, VgicMessage } from '../../../machines/messages.ts';
import { interruptsInEffect } from '../../../machines/vgic/ap-list.ts';
import { describeVgic } from '../../../machines/vgic/describe.ts';
import { listRegisterChart } from '../../../machines/vgic/list-register.machine.ts';
import { operationsBetween } from '../../../machines/vgic/list-registers.ts';
import { checkVgic } from '../../../machines/vgic/state.ts';
import { get, set } from '../../support/core.ts';
import { flatMemory, noMemory } from '../gic/recorder.ts';
import { bench } from '../../support/l0.ts';
import { end, interrupt, listRegister, listState, signalled, take, vgic, OPEN } from './support.ts';

const FLUSH: VgicMessage = { type: 'flush', nested: false };
const SYNC: VgicMessage = { type: 'sync', nested: false };

describe('an interrupt of the offer', () => {
  test('is taken by the vCPU from a list register, and its acknowledgement and end are told to the redistributor', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(5)] });
    expect(t.take('kvm:0')).toEqual([{ type: 'kick' }]);
    t.tell(FLUSH);
    expect(t.take('kvm:0')).toEqual([{ type: 'vgic-pending', pending: true }]);
    expect(take(t.core)).toBe(5);
    expect(t.take('gicr:0')).toEqual([{ type: 'acknowledge', intid: 5 }]);
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([]);
    t.tell({ type: 'offer', interrupts: [interrupt(5, { pending: false, active: true })] }, FLUSH);
    expect(listState(listRegister(t.core, 0))).toBe('active');
    end(t.core, 5);
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'deactivate', intid: 5 }]);
    expect(listRegister(t.core, 0)).toBe(0n);
    checkVgic(t.state);
  });

  test('of the distributor is told to the distributor, with the vCPU that took it', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(40)] }, FLUSH);
    end(t.core, take(t.core));
    t.tell(SYNC);
    expect(t.take('gicd')).toEqual([{ type: 'acknowledge', intid: 40, vcpu: 0 }, { type: 'deactivate', intid: 40, vcpu: 0 }]);
  });

  test('is in a list register again after a flush that no entry followed (bug B23)', () => {
    const t = vgic().tell({ type: 'load', nested: false }, FLUSH, SYNC, { type: 'offer', interrupts: [interrupt(27)] }, FLUSH, SYNC);
    expect(t.sent.filter(({ to }) => to === 'gicr:0')).toEqual([]);
    t.tell(FLUSH);
    expect(take(t.core)).toBe(27);
  });

  test('is not delivered twice when an older offer arrives behind its acknowledgement', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(5)] }, FLUSH);
    end(t.core, take(t.core));
    t.tell(SYNC, { type: 'offer', interrupts: [interrupt(5), interrupt(6)] }, FLUSH);
    expect(take(t.core)).toBe(6);
    expect(take(t.core)).toBe(1023);
    expect(describeVgic(t.state)).toContain('5: waits for offers with active true, false');
    // The acknowledgement, the end, and a new one.
    t.tell(SYNC, { type: 'offer', interrupts: [interrupt(5, { pending: false, active: true })] }, { type: 'offer', interrupts: [] }, { type: 'offer', interrupts: [interrupt(5)] });
    expect(interruptsInEffect(t.state).map(({ intid }) => intid)).toEqual([5]);
  });

  test('of a level asks for maintenance at its EOI, so that L0 sees a line that is high still', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(33)] }, FLUSH);
    const intid = take(t.core);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(0n);
    end(t.core, intid);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(2n);
    t.tell(SYNC);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(0n);
  });

  test('that pends behind its active self waits for its end, of which L0 hears', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(5, { active: true })] });
    set(t.core, 'ICH_AP1R0_EL2', 1n << 16n);
    t.tell(FLUSH);
    expect(listState(listRegister(t.core, 0))).toBe('active');
    end(t.core, 5);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(2n);
    t.tell(SYNC, FLUSH);
    expect(take(t.core)).toBe(5);
  });
});

describe('a timer interrupt', () => {
  test('that a hardware comparator drives has the hardware end it: virtual EL2 gets PPI 28 by the EL1 virtual timer', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(28), interrupt(27)] });
    set(t.core, 'CNTV_CTL_EL0', 1n);
    t.core.words[Word.FORWARDED] = 2n;
    t.tell(FLUSH);
    expect([listRegister(t.core, 0) >> 32n & 0x1fffn, listRegister(t.core, 0) >> 61n & 1n, listRegister(t.core, 1) >> 61n & 1n]).toEqual([27n, 1n, 0n]);
    end(t.core, take(t.core));
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
  });

  test('whose line dropped while the guest served it is lowered before it is ended, so that it does not pend once more', () => {
    const t = vgic().tell({ type: 'load', nested: false, l2: true }, { type: 'offer', interrupts: [interrupt(27)] }, FLUSH);
    end(t.core, take(t.core));
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'irq-line', intid: 27, level: false }, { type: 'acknowledge', intid: 27 }, { type: 'deactivate', intid: 27 }]);
  });
});

describe('more interrupts than list registers', () => {
  test('leave the least urgent out, and the underflow says when there is room', () => {
    const t = vgic({ listRegisters: 2 }).tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(3, { priority: 0x10 }), interrupt(4, { priority: 0x20 }), interrupt(5, { priority: 0x30, pending: false, active: true })] }, FLUSH);
    expect(t.state.used.map(({ intid }) => intid)).toEqual([5, 3]);
    expect(get(t.core, 'ICH_HCR_EL2')).toBe(3n);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(0n);
    end(t.core, take(t.core));
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(2n);
  });

  test('do not interrupt without end where there is one list register', () => {
    const t = vgic({ listRegisters: 1 }).tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(3), interrupt(4)] }, FLUSH);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(0n);
    end(t.core, take(t.core));
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(2n);
  });

  test('can all be active: an EOI that finds no list register ends the most urgent of those outside (bug B3)', () => {
    const active = [0x10, 0x20, 0x30].map((priority, position) => interrupt(3 + position, { priority, pending: false, active: true }));
    const t = vgic({ listRegisters: 1 }).tell({ type: 'load', nested: false });
    t.tell({ type: 'offer', interrupts: active });
    set(t.core, 'ICH_AP1R0_EL2', (1n << 2n) | (1n << 4n) | (1n << 6n));
    t.tell(FLUSH);
    end(t.core, 3);
    end(t.core, 4);
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'deactivate', intid: 3 }, { type: 'deactivate', intid: 4 }]);
    expect(interruptsInEffect(t.state).map(({ intid }) => intid)).toEqual([5]);
  });
});

const pending = (vmcr: bigint, more = {}, ap1r0 = 0n): unknown => {
  const t = vgic({}, vmcr);
  t.state = { ...t.state, ap1r0 };
  return t.tell({ type: 'offer', interrupts: [interrupt(30, more)] }, { type: 'query-pending' }).take('kvm:0').at(-1)!.pending;
};

describe('whether an interrupt for L1 pends', () => {
  test('depends on its group, the priority mask, the running priority, and on its not being active', () => {
    expect(pending(OPEN)).toBe(true);
    expect(pending(OPEN & ~2n)).toBe(false);
    expect(pending((OPEN & 0xff_ffffn) | (0x80n << 24n))).toBe(false);
    expect(pending(OPEN, {}, 1n << 16n)).toBe(false);
    expect(pending(OPEN, {}, 1n << 17n)).toBe(true);
    expect(pending(OPEN, { active: true })).toBe(false);
    expect(pending(OPEN, { pending: false })).toBe(false);
  });

  test('is asked of the hardware while L1 has it, and of what was saved afterwards', () => {
    const t = vgic().tell({ type: 'load', nested: false });
    set(t.core, 'ICH_VMCR_EL2', 0n);
    t.tell({ type: 'offer', interrupts: [interrupt(30)] }, { type: 'query-pending' });
    expect(t.take('kvm:0').at(-1)).toEqual({ type: 'vgic-pending', pending: false });
    set(t.core, 'ICH_VMCR_EL2', OPEN);
    t.tell({ type: 'put', nested: false });
    set(t.core, 'ICH_VMCR_EL2', 0n);
    t.tell({ type: 'query-pending' });
    expect(t.take('kvm:0').at(-1)).toEqual({ type: 'vgic-pending', pending: true });
  });

  test('is answered as the hardware signals, for any state of the interface', () => {
    let yes = 0;
    fc.assert(fc.property(fc.constantFrom(0, 1, 2, 3), fc.nat({ max: 31 }), fc.nat({ max: 31 }), fc.nat({ max: 7 }), fc.boolean(), fc.nat({ max: 31 }), fc.constantFrom<0 | 1>(0, 1), (enables, mask, priority, bpr, common, running, group) => {
      const vmcr = BigInt(enables) | (common ? 16n : 0n) | (BigInt(bpr) << 18n) | (BigInt(bpr) << 21n) | (BigInt(mask * 8) << 24n);
      const t = vgic({}, vmcr);
      // Level 31 is idle here: no priority below it can be masked by it.
      t.state = { ...t.state, ap1r0: running === 31 ? 0n : 1n << BigInt(running) };
      t.tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(9, { priority: priority * 8, group })] }, FLUSH);
      expect(t.take('kvm:0').at(-1)!.pending).toBe(signalled(t.core));
      if (signalled(t.core)) yes++;
    }), { seed: 7, numRuns: 400 });
    expect(yes).toBeGreaterThan(20);
  });
});

describe('what is told to the GIC', () => {
  const STATES = { invalid: [false, false], pending: [true, false], active: [false, true] } as const;
  const flags = (name: keyof typeof STATES) => ({ pending: STATES[name][0], active: STATES[name][1] });

  test('of a level is the way that its list register went through the chart', () => {
    for (const from of ['pending', 'active'] as const) {
      for (const to of ['invalid', 'pending', 'active'] as const) {
        if (from === 'active' && to === 'pending') continue;
        let chart = listRegisterChart.resolveState({ value: from });
        for (const type of operationsBetween({ ...flags(from), claimed: false }, flags(to))) [chart] = transition(listRegisterChart, chart, { type });
        expect(`${from} to ${to}: ${String(chart.value)}`).toBe(`${from} to ${to}: ${to}`);
      }
    }
  });

  test('of an edge begins with an acknowledgement when it is put into the list register, which is taken back if the vCPU did not take it', () => {
    const claimed = { pending: true, active: false, claimed: true };
    expect([operationsBetween(claimed, flags('pending')), operationsBetween(claimed, flags('active')), operationsBetween(claimed, flags('invalid'))]).toEqual([['release'], [], ['deactivate']]);
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [interrupt(5)] }, FLUSH, SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'acknowledge', intid: 5 }, { type: 'release', intid: 5 }]);
    expect(interruptsInEffect(t.state)).toEqual([interrupt(5)]);
  });
});

test('a second edge that comes after the vCPU took the first is delivered, without an exit in between', () => {
  const gicr = bench<RedistributorState, RedistributorMessage>((state, message, out) => receiveRedistributor(state, message, out, noMemory), initialRedistributor(0, true, 'vgic:0'));
  gicr.state = { ...gicr.state, asleep: false, bank: { ...gicr.state.bank, enabled: 0xffff, group: 0xffff_ffff } };
  const t = vgic();
  const exchange = (): void => {
    for (const message of t.take('gicr:0')) gicr.tell(message as RedistributorMessage);
    for (const message of gicr.take('vgic:0')) t.tell(message as VgicMessage);
  };
  gicr.tell({ type: 'spis', interrupts: [], groupsEnabled: [true, true] }, { type: 'sgi-pending', intid: 1, group: 1 });
  t.tell({ type: 'load', nested: false });
  exchange();
  t.tell(FLUSH);
  exchange();
  t.take('kvm:0');
  end(t.core, take(t.core));
  gicr.tell({ type: 'sgi-pending', intid: 1, group: 1 });
  exchange();
  expect(t.take('kvm:0')).toEqual([{ type: 'kick' }]);
  t.tell(SYNC);
  exchange();
  t.tell(FLUSH);
  expect(take(t.core)).toBe(1);
});

test('with a real redistributor and messages in any order, no edge is lost or taken twice, and nothing stays active', () => {
  type Sender = { readonly gicr: RedistributorMessage[]; readonly vgic: VgicMessage[] };
  let taken = 0;
  fc.assert(fc.property(fc.array(fc.nat({ max: 5 }), { minLength: 20, maxLength: 120, size: 'max' }), fc.integer({ min: 1, max: 3 }), (choices, listRegisters) => {
    const t = vgic({ listRegisters });
    const mail: Sender = { gicr: [], vgic: [] };
    const gicr = bench<RedistributorState, RedistributorMessage>((state, message, out) => receiveRedistributor(state, message, out, noMemory), initialRedistributor(0, true, 'vgic:0'));
    gicr.state = { ...gicr.state, asleep: false, bank: { ...gicr.state.bank, enabled: 0xffff, group: 0xffff_ffff } };
    const post = (): void => {
      for (const message of t.take('gicr:0')) mail.gicr.push(message as RedistributorMessage);
      for (const message of gicr.take('vgic:0')) mail.vgic.push(message as VgicMessage);
    };
    const deliver = (to: keyof Sender): void => {
      const message = mail[to].shift();
      if (message === undefined) return;
      if (to === 'gicr') gicr.tell(message as RedistributorMessage);
      else t.tell(message as VgicMessage);
      post();
    };
    gicr.tell({ type: 'spis', interrupts: [], groupsEnabled: [true, true] });
    t.tell({ type: 'load', nested: false }, FLUSH);
    const raised = new Map<number, number>();
    const served = new Map<number, number>();
    const waiting = new Set<number>();
    const active: number[] = [];
    const serve = (): void => {
      const intid = take(t.core);
      if (intid === 1023) return;
      expect(active).not.toContain(intid);
      active.push(intid);
      taken++;
      waiting.delete(intid);
      served.set(intid, (served.get(intid) ?? 0) + 1);
    };
    const finish = (): void => {
      const intid = active.pop();
      if (intid !== undefined) end(t.core, intid);
    };
    let next = 0;
    const settle = (): void => {
      for (let round = 0; round < 12; round++) {
        t.tell(SYNC);
        post();
        while (mail.gicr.length + mail.vgic.length > 0) {
          deliver('gicr');
          deliver('vgic');
        }
        t.tell(FLUSH);
        post();
        serve();
        finish();
        while (active.length > 0) finish();
      }
    };
    for (const choice of choices) {
      if (choice === 0) {
        const intid = next++ % 4;
        raised.set(intid, (raised.get(intid) ?? 0) + 1);
        waiting.add(intid);
        mail.gicr.push({ type: 'sgi-pending', intid, group: 1 });
      } else if (choice === 1) deliver('gicr');
      else if (choice === 2) deliver('vgic');
      else if (choice === 3) serve();
      else if (choice === 4) finish();
      else {
        t.tell(SYNC);
        post();
        t.tell(FLUSH);
        post();
      }
      checkVgic(t.state);
    }
    settle();
    // Edges may merge until the vCPU takes the interrupt: each is followed by a taking, and none is taken twice.
    expect([...waiting]).toEqual([]);
    for (const [intid, times] of served) expect(times).toBeLessThanOrEqual(raised.get(intid)!);
    expect([gicr.state.bank.active, gicr.state.bank.latched]).toEqual([0, 0]);
    expect(t.state.unconfirmed).toEqual([]);
  }), { seed: 13, numRuns: 120 });
  expect(taken).toBeGreaterThan(100);
});

describe('an LPI of the offer', () => {
  const lpi = (intid: number, priority = 0xa0) => interrupt(intid, { priority, level: false });

  test('is claimed when it is put into a list register, and its end is nothing to tell', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [lpi(8200)] }, FLUSH);
    expect(t.take('gicr:0')).toEqual([{ type: 'acknowledge', intid: 8200 }]);
    expect(take(t.core)).toBe(8200);
    t.tell(SYNC, { type: 'offer', interrupts: [lpi(8200)], lpisTaken: 0 }, FLUSH);
    // The offer was on its way when it was claimed.
    expect([listRegister(t.core, 0), t.take('gicr:0')]).toEqual([0n, []]);
    end(t.core, 8200);
    t.tell(SYNC, { type: 'offer', interrupts: [lpi(8200)], lpisTaken: 1 }, FLUSH);
    expect([take(t.core), t.state.overflow]).toEqual([8200, []]);
    checkVgic(t.state);
  });

  test('is given back when the vCPU did not take it', () => {
    const t = vgic().tell({ type: 'load', nested: false }, { type: 'offer', interrupts: [lpi(8200)] }, FLUSH, SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'acknowledge', intid: 8200 }, { type: 'release', intid: 8200 }]);
    t.tell({ type: 'offer', interrupts: [lpi(8200)], lpisTaken: 2 });
    expect(interruptsInEffect(t.state)).toEqual([lpi(8200)]);
  });

  test('with a real redistributor and messages in any order, none is lost, and none taken that was not sent', () => {
    const memory = flatMemory(0x4000_0000, 0x1_0000);
    memory.bytes.fill(0xa1, 0, 16);
    let takenAll = 0;
    fc.assert(fc.property(fc.array(fc.nat({ max: 6 }), { minLength: 20, maxLength: 120, size: 'max' }), fc.integer({ min: 1, max: 3 }), (choices, listRegisters) => {
      const t = vgic({ listRegisters });
      const gicr = bench<RedistributorState, RedistributorMessage>((state, message, out) => receiveRedistributor(state, message, out, memory), {
        ...initialRedistributor(0, true, 'vgic:0'), asleep: false, propbaser: 0x4000_0000n | 15n, lpisEnabled: true,
      });
      const mail: { to: 'gicr' | 'vgic'; message: unknown }[] = [];
      const post = (): void => {
        for (const message of t.take('gicr:0')) mail.push({ to: 'gicr', message });
        for (const message of gicr.take('vgic:0')) mail.push({ to: 'vgic', message });
      };
      const deliver = (to: 'gicr' | 'vgic'): void => {
        const at = mail.findIndex((envelope) => envelope.to === to);
        if (at < 0) return;
        const message = mail.splice(at, 1)[0]!.message;
        if (to === 'gicr') gicr.tell(message as RedistributorMessage);
        else t.tell(message as VgicMessage);
        post();
      };
      gicr.tell({ type: 'spis', interrupts: [], groupsEnabled: [true, true] });
      t.tell({ type: 'load', nested: false }, FLUSH);
      const sent = [0, 0, 0];
      const taken = [0, 0, 0];
      /** Sent since it was last taken. */
      const owed = [false, false, false];
      const serve = (): void => {
        const intid = take(t.core);
        if (intid === 1023) return;
        taken[intid - 8192]!++;
        owed[intid - 8192] = false;
        takenAll++;
        end(t.core, intid);
      };
      const act = (choice: number): void => {
        if (choice < 3) {
          sent[choice]!++;
          owed[choice] = true;
          // What the vCPU did before it is told before it.
          mail.push({ to: 'gicr', message: { type: 'lpi', intid: 8192 + choice, pending: true } });
        } else if (choice === 3) deliver('gicr');
        else if (choice === 4) deliver('vgic');
        else if (choice === 5) serve();
        else {
          t.tell(SYNC, FLUSH);
          post();
        }
        checkVgic(t.state);
      };
      for (const choice of choices) act(choice);
      for (let round = 0; round < 20; round++) {
        while (mail.length > 0) deliver(mail[0]!.to);
        serve();
        act(6);
      }
      expect([owed, gicr.state.lpis, interruptsInEffect(t.state), t.state.lpisClaimed]).toEqual([[false, false, false], [], [], []]);
      for (const [index, count] of taken.entries()) expect(count).toBeLessThanOrEqual(sent[index]!);
    }), { numRuns: 200 });
    expect(takenAll).toBeGreaterThan(200);
  });
});
