/** L0's stage-2 maps: the canonical one, shadows of L1's, and what L1 invalidates. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { transition } from 'xstate';
import { READ, WRITE, translate } from '../../../machines/aarch64/translate.ts';
import { Regime } from '../../../machines/aarch64/tlb.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import type { MmuMessage } from '../../../machines/messages.ts';
import { describeMmu } from '../../../machines/mmu/describe.ts';
import { underivableEntries, vcpusOnStaleSlots, violations } from '../../../machines/mmu/invariants.ts';
import { mmuMachine, receive } from '../../../machines/mmu/mmu.ts';
import { CORRECT, type Behaviour } from '../../../machines/mmu/shadow.ts';
import { slotChart, slotMode } from '../../../machines/mmu/slot.machine.ts';
import { hardwareVttbr, lookupStage2 } from '../../../machines/mmu/stage2.ts';
import { checkMmu, initialMmu, type MmuState } from '../../../machines/mmu/state.ts';
import { staleRecycling } from '../../../machines/mmu/variants/stale-recycling.ts';
import { DEVICE, RAM, get, set } from '../../support/core.ts';
import { bench, type Bench } from '../../support/l0.ts';
import { S2, S2_ALL, map, tablesAt, type Tables } from '../../support/tables.ts';

const MIB = 1024 ** 2;
const FLASH = 0;
const RAM_BYTES = 16 * MIB;
/** 4 KiB granule, 40-bit input, start at level 1 (two concatenated tables), 16-bit VMIDs. */
const VTCR = (1n << 31n) | (1n << 19n) | (5n << 16n) | (1n << 6n) | 24n;

interface Mmu extends Bench<MmuState, MmuMessage> {
  /** L1's tables for the guest with VMID `vmid`. */
  guest(vmid: number): { readonly tables: Tables; readonly vttbr: bigint };
  load(vcpu: number, vttbr: bigint, more?: { vtcr?: bigint; stage2Enabled?: boolean; nested?: boolean }): void;
  put(vcpu: number): void;
  fault(ipa: number, access?: 'read' | 'write' | 'fetch' | 'update', vcpu?: number, user?: boolean): unknown;
  tlbi(operation: string, value?: bigint, vmid?: number): void;
  look(vttbr: bigint, ipa: number): ReturnType<typeof lookupStage2>;
}

function mmu(vcpus = 1, behaviour: Behaviour = CORRECT): Mmu {
  const initial = initialMmu(vcpus, [
    { ipa: FLASH, pa: FLASH, bytes: MIB, write: false, execute: true },
    { ipa: RAM, pa: RAM, bytes: RAM_BYTES, write: true, execute: true },
  ]);
  const t: Bench<MmuState, MmuMessage> = bench(behaviour === CORRECT ? receive : mmuMachine(behaviour), initial, { vcpus, stage2: (vttbr, ipa) => lookupStage2(t.state, vttbr, ipa) });
  const loaded = new Map<number, { vttbr: bigint; vtcr: bigint; nested: boolean }>();
  return Object.assign(t, {
    guest: (vmid: number) => {
      const root = RAM + 0x20_0000 + vmid * 0x2_0000;
      return { tables: tablesAt(t.memory, root, 12, 40, 1), vttbr: BigInt(root) | (BigInt(vmid) << 48n) };
    },
    load: (vcpu: number, vttbr: bigint, { vtcr = VTCR, stage2Enabled = true, nested = true } = {}) => {
      loaded.set(vcpu, { vttbr, vtcr, nested: nested && stage2Enabled });
      t.tell({ type: 'load', vcpu, nested, vttbr, vtcr, stage2Enabled });
      checkMmu(t.state);
    },
    put: (vcpu: number) => { t.tell({ type: 'put', vcpu }); },
    fault: (ipa: number, access: 'read' | 'write' | 'fetch' | 'update' = 'read', vcpu = 0, user = false) => {
      t.tell({ type: 'fault', user, vcpu, ipa, access, fsc: 0x07, ...loaded.get(vcpu)! });
      checkMmu(t.state);
      return t.take(`kvm:${vcpu}`).at(-1)!.result;
    },
    tlbi: (operation: string, value = 0n, vmid = 1) => {
      t.tell({ type: 'tlbi', vcpu: 0, operation, value, vmid });
      checkMmu(t.state);
      expect(t.take('kvm:0')).toEqual([{ type: 'mmu-done' }]);
    },
    look: (vttbr: bigint, ipa: number) => lookupStage2(t.state, vttbr, ipa),
  });
}

/** A shadow of L1's guest 1, which maps 2 MiB at 0 to RAM + 4 MiB and a page at 4 MiB to RAM + 1 MiB, read-only and not executable. */
function shadowed(vtcr = VTCR): Mmu & { readonly vttbr: bigint; readonly tables: Tables } {
  const t = mmu();
  const { tables, vttbr } = t.guest(1);
  map(tables, 0, RAM + 4 * MIB, S2_ALL, 2);
  map(tables, 4 * MIB, RAM + MIB, S2.AF | S2.READ | S2.NORMAL | S2.XN);
  t.load(0, vttbr, { vtcr });
  return Object.assign(t, { vttbr, tables });
}
const SLOT_0 = 1n << 48n;
/** TTL: 4 KiB granule, and the level. */
const hint = (level: bigint): bigint => (1n << 46n) | (level << 44n);
const ipaOf = (address: number): bigint => BigInt(Math.floor(address / 4096));

describe('the canonical map', () => {
  test('gives RAM in blocks and pages, flash without writes, and nothing for devices', () => {
    const t = mmu();
    t.load(0, 0n, { nested: false });
    expect(get(t.core, 'VTTBR_EL2')).toBe(0n);
    expect(t.look(0n, RAM + 0x123_4567)).toEqual({ ok: false, level: 3 });
    expect(t.look(0n, RAM + 5 * MIB + 0x10)).toEqual({ ok: true, pa: RAM + 5 * MIB + 0x10, bytes: 2 * MIB, read: true, write: true, execute: true, level: 2 });
    expect(t.look(0n, FLASH + 0x1000)).toMatchObject({ pa: FLASH + 0x1000, bytes: 4096, write: false, execute: true });
    expect(t.look(0n, DEVICE).ok).toBe(false);
    expect([t.fault(DEVICE + 0x18), t.fault(FLASH + 8, 'write'), t.fault(RAM)]).toEqual([{ outcome: 'device', ipa: DEVICE + 0x18 }, { outcome: 'device', ipa: FLASH + 8 }, { outcome: 'mapped' }]);
  });

  test('is what L2 has while L1 leaves its stage 2 off, under a VMID of its own', () => {
    const t = mmu();
    t.load(0, 7n << 48n, { stage2Enabled: false });
    expect(hardwareVttbr(t.state, 0)).toBe(SLOT_0);
    expect(t.look(SLOT_0, RAM + 8)).toMatchObject({ ok: true, pa: RAM + 8 });
    expect(t.fault(DEVICE, 'write')).toEqual({ outcome: 'device', ipa: DEVICE });
  });
});

describe('a fault of L2', () => {
  test("is filled with L1's translation, no larger than L0's and with L1's level remembered", () => {
    const t = shadowed();
    expect(t.look(SLOT_0, 0x1_2345).ok).toBe(false);
    expect([t.fault(0x1_2345, 'write'), t.fault(4 * MIB + 0x678)]).toEqual([{ outcome: 'mapped' }, { outcome: 'mapped' }]);
    expect(t.look(SLOT_0, 0x1_2345)).toEqual({ ok: true, pa: RAM + 4 * MIB + 0x1_2345, bytes: 2 * MIB, read: true, write: true, execute: true, executeUser: true, level: 2 });
    expect(t.look(SLOT_0, 4 * MIB + 0x678)).toEqual({ ok: true, pa: RAM + MIB + 0x678, bytes: 4096, read: true, write: false, execute: false, executeUser: false, level: 3 });
    expect(t.state.slots[0]!.entries.map(({ level }) => level)).toEqual([2, 3]);
    expect(violations(t.state, t.board)).toEqual([]);
  });

  test('that L1 does not allow is a permission fault for L1, and one that it does not map a translation fault', () => {
    const t = shadowed();
    expect(t.fault(4 * MIB, 'write')).toEqual({ outcome: 'inject', fsc: 0x0f, ipa: 4 * MIB });
    expect(t.fault(4 * MIB, 'fetch')).toEqual({ outcome: 'inject', fsc: 0x0f, ipa: 4 * MIB });
    expect(t.fault(8 * MIB)).toEqual({ outcome: 'inject', fsc: 0x06, ipa: 8 * MIB });
    expect(t.fault(3 * 1024 * MIB)).toEqual({ outcome: 'inject', fsc: 0x05, ipa: 3 * 1024 * MIB });
    expect(t.fault(2 ** 41)).toEqual({ outcome: 'inject', fsc: 0x04, ipa: 2 ** 41 });
    expect(t.state.slots[0]!.entries).toEqual([]);
  });

  test('on what L1 maps to a device goes to the device, by its address in L1', () => {
    const t = shadowed();
    map(t.tables, 6 * MIB, DEVICE, S2.AF | S2.READ | S2.WRITE | S2.XN);
    expect(t.fault(6 * MIB + 0x18, 'write')).toEqual({ outcome: 'device', ipa: DEVICE + 0x18 });
  });

  test('lets L2 execute only where L1 and L0 both do: each of EL1 and EL0 by XN[1:0] (FEAT_XNX; bug B16)', () => {
    const t = shadowed();
    map(t.tables, 6 * MIB, RAM + MIB, S2_ALL | S2.XN);
    map(t.tables, 7 * MIB, RAM + MIB, S2_ALL | (1n << 53n));
    expect([t.fault(6 * MIB, 'read'), t.fault(7 * MIB, 'read')]).toEqual([{ outcome: 'mapped' }, { outcome: 'mapped' }]);
    const rights = (mib: number): boolean[] => { const seen = t.look(SLOT_0, mib * MIB) as { execute: boolean; executeUser: boolean }; return [seen.execute, seen.executeUser]; };
    expect([6, 7].map(rights)).toEqual([[false, false], [false, true]]);
    expect([t.fault(7 * MIB, 'fetch'), t.fault(7 * MIB, 'fetch', 0, true)]).toEqual([{ outcome: 'inject', fsc: 0x0f, ipa: 7 * MIB }, { outcome: 'mapped' }]);
    expect(violations(t.state, t.board)).toEqual([]);
    t.state = { ...t.state, slots: t.state.slots.map((slot) => ({ ...slot, entries: slot.entries.map((entry) => ({ ...entry, execute: true })) })) };
    expect(underivableEntries(t.state, t.board)).toEqual([{ slot: 0, ipa: 6 * MIB, what: 'execute' }, { slot: 0, ipa: 7 * MIB, what: 'execute' }]);
  });

  test('keeps the Access flag and dirty state in L1\'s tables, which L1 asked of its hardware (FEAT_HAFDBS)', () => {
    const t = shadowed(VTCR | (3n << 21n));
    const DBM = 1n << 51n;
    const clean = (S2_ALL & ~(S2.AF | S2.WRITE)) | DBM;
    const at = map(t.tables, 6 * MIB, RAM + MIB, clean);
    const flags = (): bigint => readWord(t.memory, at) & (S2.AF | S2.WRITE);
    expect(t.fault(6 * MIB, 'read')).toEqual({ outcome: 'mapped' });
    expect([flags(), t.look(SLOT_0, 6 * MIB)]).toEqual([S2.AF, expect.objectContaining({ read: true, write: false })]);
    expect(t.fault(6 * MIB, 'write')).toEqual({ outcome: 'mapped' });
    expect([flags(), t.look(SLOT_0, 6 * MIB)]).toEqual([S2.AF | S2.WRITE, expect.objectContaining({ read: true, write: true })]);
    // The table of L2's own that its hardware walker marks: readable and clean, and read-only.
    const table = map(t.tables, 7 * MIB, RAM + MIB, clean);
    map(t.tables, 8 * MIB, RAM + MIB, S2_ALL & ~S2.WRITE);
    expect([t.fault(7 * MIB, 'update'), readWord(t.memory, table) & S2.WRITE]).toEqual([{ outcome: 'mapped' }, S2.WRITE]);
    expect(t.fault(8 * MIB, 'update')).toEqual({ outcome: 'inject', fsc: 0x0f, ipa: 8 * MIB });
    expect(violations(t.state, t.board)).toEqual([]);
  });

  test('after L1 gave more rights is filled again with them, and the hardware forgets the old', () => {
    const t = shadowed();
    set(t.core, 'HCR_EL2', 1n);
    t.fault(4 * MIB, 'read');
    const at = (kind: typeof READ | typeof WRITE) => translate(t.core, BigInt(4 * MIB), kind, Regime.EL10, true, false, true);
    expect([at(READ) !== undefined, at(WRITE) !== undefined]).toEqual([true, false]);
    map(t.tables, 4 * MIB, RAM + MIB, S2_ALL);
    expect(t.fault(4 * MIB, 'write')).toEqual({ outcome: 'mapped' });
    expect(at(WRITE) !== undefined).toBe(true);
    expect(t.state.slots[0]!.entries).toHaveLength(1);
  });
});

/** L1 runs three guests in turn on one vCPU, which has two slots; all map IPA 0, to different pages. */
function threeGuests(behaviour?: Behaviour): Mmu {
  const t = mmu(1, behaviour);
  set(t.core, 'HCR_EL2', 1n);
  for (let vmid = 1; vmid <= 3; vmid++) {
    const { tables, vttbr } = t.guest(vmid);
    map(tables, 0, RAM + (6 + vmid) * MIB, S2_ALL);
    t.load(0, vttbr);
    if (vmid < 3) t.fault(0);
    if (translate(t.core, 0n, READ, Regime.EL10, true, false, true) === undefined) expect(vmid).toBe(3);
    if (vmid < 3) t.put(0);
  }
  expect(t.state.current).toEqual([0]);
  return t;
}

describe('shadow slots', () => {
  test('are found again by VTTBR_EL2 and VTCR_EL2, CnP aside', () => {
    const t = shadowed();
    t.fault(0);
    t.put(0);
    t.load(0, t.vttbr | 1n);
    expect([t.state.current, t.state.slots[0]!.entries.length]).toEqual([[0], 1]);
    t.put(0);
    t.load(0, t.vttbr, { vtcr: VTCR | (1n << 12n) });
    expect(t.state.current).toEqual([1]);
    t.put(0);
    t.load(0, t.vttbr, { stage2Enabled: false });
    expect(describeMmu(t.state)).toEqual(['shadow 0: loaded, stage 2 off, VMID 1, 0 entries', 'shadow 1: idle, VTTBR_EL2 0x1000040220000 VTCR_EL2 0x800d1058, 0 entries', 'vCPU 0: shadow 0']);
  });

  test('are shared by the vCPUs of one L2, and recycled only without users', () => {
    const t = mmu(2);
    const { vttbr } = t.guest(1);
    t.load(0, vttbr);
    t.load(1, vttbr);
    expect([t.state.current, t.state.slots[0]!.users]).toEqual([[0, 0], 2]);
    for (let vmid = 2; vmid < 12; vmid++) {
      t.put(1);
      t.load(1, t.guest(vmid).vttbr);
      expect(t.state.current[1]).not.toBe(0);
    }
  });

  test('when recycled are empty before their vCPU runs, in the hardware too (bug B15)', () => {
    const t = threeGuests();
    expect([violations(t.state, t.board), vcpusOnStaleSlots(t.state)]).toEqual([[], []]);
    expect(translate(t.core, 0n, READ, Regime.EL10, true, false, true)).toBeUndefined();
    const wrong = threeGuests(staleRecycling);
    expect(violations(wrong.state, wrong.board)).toEqual(["shadow 0 at 0x0: address is not what L1's tables and L0's map give"]);
  });

  test('go through the states of their chart', () => {
    const event = fc.record({ vcpu: fc.constantFrom(0, 1), vmid: fc.integer({ min: 1, max: 6 }) });
    const seen = new Set<string>();
    fc.assert(fc.property(fc.array(event, { maxLength: 30, size: 'max' }), (events) => {
      const t = mmu(2);
      const charts = t.state.slots.map(() => slotChart.resolveState({ value: 'invalid' }));
      const fire = (slot: number, type: 'allocate' | 'load' | 'put' | 'unmap'): void => { [charts[slot]] = transition(slotChart, charts[slot]!, { type }) as unknown as [typeof charts[0]]; };
      for (const { vcpu, vmid } of events) {
        const before = t.state.current[vcpu]!;
        if (before >= 0) {
          t.put(vcpu);
          if (t.state.slots[before]!.users === 0) fire(before, 'put');
        }
        const allocated = t.events.length;
        t.load(vcpu, t.guest(vmid).vttbr);
        const slot = t.state.current[vcpu]!;
        const fresh = t.events.slice(allocated).find(({ event: name }) => name === 'shadow_mmu_allocate');
        if (fresh === undefined) fire(slot, 'load');
        else {
          fire(slot, 'allocate');
          if (fresh.fields.recycled === true) fire(slot, 'unmap');
        }
        for (const [index, chart] of charts.entries()) expect(chart.value).toBe(slotMode(t.state.slots[index]!));
        for (const chart of charts) seen.add(String(chart.value));
        expect(new Set(t.state.slots.filter(({ valid }) => valid).map(({ vttbr }) => vttbr)).size).toBe(t.state.slots.filter(({ valid }) => valid).length);
      }
    }), { seed: 4, numRuns: 40 });
    expect([...seen].toSorted()).toEqual(['idle', 'invalid', 'loaded']);
  });
});

describe('TLBI', () => {
  test('IPAS2E1 takes what L1 maps by the entry: by its level hint, by the level remembered, or the largest block', () => {
    const left = (operation: bigint): number[] => {
      const t = shadowed();
      map(t.tables, 4 * MIB + 4096, RAM + MIB + 4096, S2_ALL);
      map(t.tables, 1024 * MIB, RAM + MIB, S2_ALL);
      for (const ipa of [0, 4 * MIB, 4 * MIB + 4096, 1024 * MIB]) expect(t.fault(ipa)).toEqual({ outcome: 'mapped' });
      t.tlbi('IPAS2E1IS', operation);
      return t.state.slots[0]!.entries.map(({ ipa }) => ipa);
    };
    const [block, page, next, far] = [0, 4 * MIB, 4 * MIB + 4096, 1024 * MIB];
    expect(left(ipaOf(4 * MIB) | hint(3n))).toEqual([block, next, far]);
    expect(left(ipaOf(4 * MIB) | hint(2n))).toEqual([block, far]);
    // The level remembered: any address in the block that L1 maps takes it whole.
    expect(left(ipaOf(0x1_2000))).toEqual([page, next, far]);
    expect(left(ipaOf(4 * MIB))).toEqual([block, next, far]);
    // Nothing is known near 8 MiB: 1 GiB goes.
    expect(left(ipaOf(8 * MIB))).toEqual([far]);
  });

  test('by the level remembered takes all that L0 made of one block of L1, which is less than one entry where L0 has no blocks', () => {
    for (const at of [10 * MIB, 10 * MIB + 0x5000, 10 * MIB + 0x8_0000]) {
      const t = shadowed();
      map(t.tables, 10 * MIB, FLASH, S2.AF | S2.READ | S2.NORMAL, 2);
      for (const ipa of [4 * MIB, 10 * MIB, 10 * MIB + 0x5000]) expect(t.fault(ipa)).toEqual({ outcome: 'mapped' });
      expect(t.state.slots[0]!.entries.map(({ bytes }) => bytes)).toEqual([4096, 4096, 4096]);
      t.tlbi('IPAS2E1IS', ipaOf(at));
      expect(t.state.slots[0]!.entries.map(({ ipa }) => ipa)).toEqual([4 * MIB]);
    }
  });

  test('RIPAS2E1 takes its range, and every block that reaches into it', () => {
    const t = shadowed();
    for (const ipa of [0, 4 * MIB]) t.fault(ipa);
    // 2 pages of 4 KiB from 2 MiB - 4 KiB.
    t.tlbi('RIPAS2E1', ipaOf(2 * MIB - 4096) | (1n << 46n));
    expect(t.state.slots[0]!.entries.map(({ ipa }) => ipa)).toEqual([4 * MIB]);
    // NUM 31, SCALE 1: 32 << 6 pages from 0 is 8 MiB.
    t.tlbi('RIPAS2LE1IS', (1n << 46n) | (1n << 44n) | (31n << 39n));
    expect(t.state.slots[0]!.entries).toEqual([]);
  });

  test('VMALLS12E1 takes the slots of its VMID, and ALLE1 all', () => {
    const t = mmu();
    for (const vmid of [1, 2]) {
      const { tables, vttbr } = t.guest(vmid);
      map(tables, 0, RAM + 8 * MIB, S2_ALL);
      t.load(0, vttbr);
      t.fault(0);
      t.put(0);
    }
    const counts = (): number[] => t.state.slots.map(({ entries }) => entries.length);
    t.tlbi('VMALLS12E1IS', 0n, 3);
    expect(counts()).toEqual([1, 1]);
    t.tlbi('VMALLS12E1', 0n, 2);
    expect(counts()).toEqual([1, 0]);
    t.tlbi('ALLE1IS');
    expect(counts()).toEqual([0, 0]);
  });

  test('of stage 1 leaves shadows alone, and an operation that is none stops at once', () => {
    const t = shadowed();
    t.fault(0);
    const before = get(t.core, 'VTTBR_EL2');
    for (const operation of ['VMALLE1IS', 'VAE1IS', 'VALE1', 'VAAE1OS', 'ASIDE1IS', 'RVAE1IS', 'ALLE2IS', 'VAE2', 'TLBI VALE2IS', 'RVAE2IS']) t.tlbi(operation);
    expect([t.state.slots[0]!.entries.length, get(t.core, 'VTTBR_EL2')]).toEqual([1, before]);
    expect(() => t.tlbi('VAE3')).toThrow('no TLBI operation is called VAE3');
  });

  test('is all that shadows need to follow tables that L1 changes: none survives that cannot be derived again', () => {
    const step = fc.record({ page: fc.nat({ max: 7 }), act: fc.constantFrom('map', 'unmap', 'read', 'write', 'fetch'), to: fc.nat({ max: 3 }), leaf: fc.constantFrom(S2_ALL, S2_ALL | S2.XN, S2_ALL & ~S2.WRITE, S2_ALL & ~S2.READ) });
    let filled = 0;
    fc.assert(fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const t = shadowed();
      for (const { page, act, to, leaf } of steps) {
        const ipa = 8 * MIB + 4096 * page;
        if (act === 'map' || act === 'unmap') {
          // Break before make.
          const descriptor = map(t.tables, ipa, RAM + MIB + 4096 * to, leaf);
          const made = readWord(t.memory, descriptor);
          writeWord(t.memory, descriptor, 0n);
          t.tlbi('IPAS2E1IS', ipaOf(ipa));
          if (act === 'map') writeWord(t.memory, descriptor, made);
        } else {
          const result = t.fault(ipa, act as 'read') as { outcome: string };
          const seen = t.look(SLOT_0, ipa);
          const may = seen.ok && { read: seen.read, write: seen.write, fetch: seen.execute }[act as 'read' | 'write' | 'fetch'];
          expect(may).toBe(result.outcome === 'mapped');
          if (may) filled++;
        }
        expect(violations(t.state, t.board)).toEqual([]);
      }
    }), { seed: 15, numRuns: 60 });
    expect(filled).toBeGreaterThan(50);
  });
});

test('an entry that L1 took away without a TLBI is seen by the invariant', () => {
  const t = shadowed();
  t.fault(0);
  map(t.tables, 0, RAM + 6 * MIB, S2_ALL, 2);
  expect(underivableEntries(t.state, t.board)).toEqual([{ slot: 0, ipa: 0, what: 'address' }]);
  t.tlbi('IPAS2E1IS', 0n);
  expect(underivableEntries(t.state, t.board)).toEqual([]);
});

test('a map that is not an identity is refused', () => {
  expect(() => initialMmu(1, [{ ipa: 0, pa: 4096, bytes: 4096, write: true, execute: true }])).toThrow('to itself');
});
