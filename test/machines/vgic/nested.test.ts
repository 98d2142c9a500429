/** L2's interrupts: L1's list registers in the hardware and back, and L1's maintenance interrupt. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CPU_INTERFACE } from '../../../machines/aarch64/cpu-interface.ts';
import { Lr, Misr, computeEisr, computeElrsr, computeMisr, maintenanceLevel } from '../../../machines/aarch64/list-registers.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import type { VgicMessage } from '../../../machines/messages.ts';
import { checkVgic } from '../../../machines/vgic/state.ts';
import { bareCore, get, set } from '../../support/core.ts';
import { ACTIVE, OPEN, OPEN_EOIMODE, PENDING, deactivate, end, interrupt, l1Lr, listRegister, listState, signalled, take, vgic, type VgicBench } from './support.ts';

const LR0 = 0x400;
const HCR = 0x4c0;
const VMCR = 0x4c8;
const AP1R0 = 0x4a0;
const EN = 1n;
const LOAD: VgicMessage = { type: 'load', nested: true };
const FLUSH: VgicMessage = { type: 'flush', nested: true };
const SYNC: VgicMessage = { type: 'sync', nested: true };
const PUT: VgicMessage = { type: 'put', nested: true };

/** L1 has its virtual interface on and open, with `lrs` in its list registers. */
function l2(lrs: Readonly<Record<number, bigint>>, hcr = EN, vmcr = OPEN): VgicBench {
  const t = vgic();
  t.setPage(HCR, hcr);
  t.setPage(VMCR, vmcr);
  for (const [index, lr] of Object.entries(lrs)) t.setPage(LR0 + 8 * Number(index), lr);
  return t;
}
const l1State = (t: VgicBench, index: number): string => listState(t.page(LR0 + 8 * index));
const maintenance = (t: VgicBench): unknown[] => t.take('gicr:0').filter(({ intid }) => intid === 25).map(({ level }) => level);

describe('list registers of L1', () => {
  test('go to the hardware packed, and what L2 did comes back to the register it came from (bug B1)', () => {
    const t = l2({ 0: l1Lr(40, PENDING), 2: l1Lr(42, PENDING) | (0x10n << 48n) }).tell(LOAD, FLUSH);
    expect([get(t.core, 'ICH_LR0_EL2') & 0xffffn, get(t.core, 'ICH_LR1_EL2') & 0xffffn, listRegister(t.core, 2)]).toEqual([40n, 42n, 0n]);
    // Priorities 0x80 and 0x90: 40 is taken first and 42 left pending; then 40 is ended and 42 taken.
    expect(take(t.core)).toBe(40);
    end(t.core, 40);
    expect(take(t.core)).toBe(42);
    t.tell(SYNC);
    expect([0, 1, 2, 3].map((index) => l1State(t, index))).toEqual(['invalid', 'invalid', 'active', 'invalid']);
    expect(t.page(AP1R0)).toBe(1n << 18n);
    checkVgic(t.state);
  });

  test('are each the state of the hardware register of their rank, wherever L1 leaves holes and whatever L2 does', () => {
    for (let holes = 0; holes < 16; holes++) {
      for (let acts = 0; acts < 6; acts++) {
        const lrs = Object.fromEntries([0, 1, 2, 3].flatMap((index) => ((holes >> index) & 1 ? [[index, l1Lr(40 + index, PENDING) | (BigInt(8 * index) << 48n)]] : [])));
        const t = l2(lrs).tell(LOAD, FLUSH);
        const map = t.state.lrMap;
        expect(map).toBe(holes);
        const active: number[] = [];
        for (let act = 0; act < acts; act++) {
          const intid = act % 3 === 2 ? 1023 : take(t.core);
          if (intid !== 1023) active.push(intid);
          else if (active.length > 0) end(t.core, active.pop()!);
        }
        const hardware = [0, 1, 2, 3].map((index) => listState(listRegister(t.core, index)));
        t.tell(SYNC);
        for (const index of [0, 1, 2, 3]) if ((map >> index) & 1) expect(l1State(t, index), `holes ${holes}, ${acts} acts, LR${index}`).toBe(hardware[[0, 1, 2, 3].filter((lower) => lower < index && (map >> lower) & 1).length]);
        expect([0, 1, 2, 3].map((index) => listRegister(t.core, index))).toEqual([0n, 0n, 0n, 0n]);
      }
    }
  });

  test('that no entry followed are as L1 left them (bug B23)', () => {
    const lrs = { 1: l1Lr(40, PENDING), 3: l1Lr(41, ACTIVE, Lr.EOI) };
    const t = l2(lrs).tell(LOAD, FLUSH, SYNC, FLUSH, PUT);
    expect([t.page(LR0 + 8), t.page(LR0 + 24), t.page(VMCR), t.page(HCR)]).toEqual([lrs[1], lrs[3], OPEN, EN]);
  });

  test('are gone from the hardware while L1 runs, whose own interface is untouched by L2', () => {
    const t = l2({ 0: l1Lr(40, PENDING) }, EN, 0x2n | (0x40n << 24n)).tell(LOAD, FLUSH, PUT, { type: 'load', nested: false }, { type: 'flush', nested: false });
    expect([listRegister(t.core, 0), get(t.core, 'ICH_VMCR_EL2')]).toEqual([0n, OPEN]);
    expect(signalled(t.core)).toBe(false);
  });

  test('that are beside what the hardware has do not bring in reserved bits', () => {
    const t = l2({ 0: ~0n & 0xffff_ffff_ffff_ffffn }, 0xffff_ffff_ffff_ffffn).tell(LOAD, FLUSH);
    expect(listRegister(t.core, 0) & (7n << 56n)).toBe(0n);
    expect(get(t.core, 'ICH_HCR_EL2') & 0x300n).toBe(0n);
  });
});

const hw = (pintid: number): bigint => Lr.HW | (BigInt(pintid) << 32n);

describe("an L1 interrupt behind L2's", () => {
  test('that is a hardware timer keeps HW, so that L2 ends the timer itself, and is ended in L1 when L2 has', () => {
    const t = l2({ 1: l1Lr(27, PENDING, hw(27)) });
    t.tell({ type: 'offer', interrupts: [interrupt(27, { pending: true, active: true })] }, LOAD, FLUSH);
    t.core.words[Word.FORWARDED] = 2n;
    expect(listRegister(t.core, 0) & (Lr.HW | Lr.PINTID)).toBe(hw(27));
    end(t.core, take(t.core));
    expect(t.core.words[Word.FORWARDED]).toBe(0n);
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([{ type: 'deactivate', intid: 27 }]);
    t.tell(FLUSH, SYNC);
    expect(t.take('gicr:0')).toEqual([]);
  });

  test('that is L0-emulated loses HW on the way to the hardware only', () => {
    const t = l2({ 0: l1Lr(45, PENDING, hw(45)) });
    t.tell({ type: 'offer', interrupts: [interrupt(45, { pending: false, active: true })] }, LOAD, FLUSH);
    expect(listRegister(t.core, 0) & (Lr.HW | Lr.PINTID)).toBe(0n);
    end(t.core, take(t.core));
    t.tell(SYNC);
    expect(t.page(LR0)).toBe(l1Lr(45, 0n, hw(45)));
    expect(t.take('gicd')).toEqual([{ type: 'deactivate', intid: 45, vcpu: 0 }]);
  });

  test('that L1 has ended itself is not ended again', () => {
    const t = l2({ 0: l1Lr(27, PENDING, hw(27)) });
    t.tell({ type: 'offer', interrupts: [interrupt(27)] }, LOAD, FLUSH);
    end(t.core, take(t.core));
    t.tell(SYNC);
    expect(t.take('gicr:0')).toEqual([]);
    t.tell({ type: 'query-pending' });
    expect(t.take('kvm:0').at(-1)).toEqual({ type: 'vgic-pending', pending: true });
  });

  test('with the priority drop and deactivation apart ends at the deactivation', () => {
    const t = l2({ 0: l1Lr(27, PENDING, hw(27)) }, EN, OPEN_EOIMODE);
    t.tell({ type: 'offer', interrupts: [interrupt(27, { active: true })] }, LOAD, FLUSH);
    end(t.core, take(t.core));
    t.tell(SYNC);
    expect([l1State(t, 0), t.take('gicr:0')]).toEqual(['active', []]);
    t.tell(FLUSH);
    deactivate(t.core, 27);
    t.tell(SYNC);
    expect([l1State(t, 0), t.take('gicr:0')]).toEqual(['invalid', [{ type: 'deactivate', intid: 27 }]]);
  });
});

describe("L1's maintenance interrupt", () => {
  test('rises when L2 ends an interrupt that asks for it, and falls when L1 has cleaned up', () => {
    const t = l2({ 0: l1Lr(40, PENDING, Lr.EOI) }).tell(LOAD, FLUSH);
    end(t.core, take(t.core));
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(2n);
    t.tell(SYNC);
    expect([maintenance(t), t.core.words[Word.HOST_INTERRUPTS]]).toEqual([[true], 0n]);
    t.tell(PUT, { type: 'load', nested: false });
    t.setPage(LR0, 0n);
    t.tell({ type: 'flush', nested: false });
    expect(maintenance(t)).toEqual([false]);
  });

  test('is lowered before it is ended, when L1 has seen to its cause', () => {
    const t = l2({}, EN | (1n << 3n)).tell({ type: 'load', nested: false }, { type: 'sync', nested: false });
    expect(maintenance(t)).toEqual([true]);
    t.tell({ type: 'offer', interrupts: [interrupt(25)] }, { type: 'flush', nested: false });
    expect(take(t.core)).toBe(25);
    t.setPage(HCR, EN);
    end(t.core, 25);
    t.tell({ type: 'sync', nested: false });
    expect(t.take('gicr:0')).toEqual([{ type: 'irq-line', intid: 25, level: false }, { type: 'acknowledge', intid: 25 }, { type: 'deactivate', intid: 25 }]);
  });

  test('that L1 does not take keeps L2 from running no more than on hardware', () => {
    const t = l2({ 0: l1Lr(40, PENDING) }, EN | (1n << 1n)).tell(LOAD, FLUSH);
    expect(maintenance(t)).toEqual([true]);
    expect([t.core.words[Word.HOST_INTERRUPTS], signalled(t.core)]).toEqual([0n, true]);
    t.tell(SYNC, FLUSH);
    expect(t.core.words[Word.HOST_INTERRUPTS]).toBe(0n);
    expect(maintenance(t)).toEqual([]);
  });

  test('counts EOIs that found no list register for L1, across entries', () => {
    const t = l2({}, EN | (1n << 2n));
    t.setPage(AP1R0, (1n << 16n) | (1n << 17n));
    t.tell(LOAD, FLUSH);
    end(t.core, 50);
    t.tell(SYNC);
    expect([t.page(HCR) >> 27n, maintenance(t)]).toEqual([1n, [true]]);
    t.tell(FLUSH);
    end(t.core, 51);
    t.tell(SYNC);
    expect(t.page(HCR)).toBe(EN | (1n << 2n) | (2n << 27n));
  });
});

describe('ICH_MISR_EL2, ICH_EISR_EL2 and ICH_ELRSR_EL2', () => {
  test('see no pending list register where one is pending and active (bug B2)', () => {
    const state = { hcr: EN | (1n << 3n), vmcr: OPEN, listRegisters: [l1Lr(40, PENDING | ACTIVE), 0n] };
    expect(computeMisr(state) & Misr.NP).toBe(Misr.NP);
    expect(maintenanceLevel(state)).toBe(true);
    expect(computeMisr({ ...state, listRegisters: [l1Lr(40, PENDING), 0n] })).toBe(0n);
  });

  test('are what the hardware computes, for any registers', () => {
    let raised = 0;
    const { core } = bareCore({ el2: 'kvm' });
    const lr = fc.tuple(fc.bigInt(0n, 3n), fc.boolean(), fc.boolean()).map(([state, hw, eoi]) => l1Lr(40, state << 62n, (hw ? Lr.HW : 0n) | (eoi ? Lr.EOI : 0n)));
    fc.assert(fc.property(fc.bigInt(0n, 0xffn), fc.bigInt(0n, 3n), fc.bigInt(0n, 3n), fc.array(lr, { minLength: 4, maxLength: 4 }), (hcr, count, vmcr, listRegisters) => {
      const state = { hcr: hcr | (count << 27n), vmcr, listRegisters };
      set(core, 'ICH_HCR_EL2', state.hcr);
      set(core, 'ICH_VMCR_EL2', vmcr);
      for (const [index, value] of listRegisters.entries()) set(core, `ICH_LR${index}_EL2`, value);
      const hardware = ['MISR', 'EISR', 'ELRSR'].map((name) => CPU_INTERFACE[`ICH_${name}_EL2`]!.read!(core));
      expect([computeMisr(state), computeEisr(state), computeElrsr(state)]).toEqual(hardware);
      if (hardware[0] !== 0n) raised++;
    }), { seed: 2, numRuns: 500 });
    expect(raised).toBeGreaterThan(100);
  });
});

test('a flush of a context that is not loaded stops at once', () => {
  expect(() => vgic().tell(FLUSH)).toThrow("flush of L2's interrupts while the context loaded is: none");
});
