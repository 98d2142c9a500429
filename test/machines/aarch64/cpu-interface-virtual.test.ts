/** The virtual CPU interface: list registers, both EOI modes, physical interrupts behind virtual ones, and maintenance. */

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { CPU_INTERFACE, maintenanceLine, pollMaintenance, virtualInterruptPending } from '../../../machines/aarch64/cpu-interface.ts';
import { Pstate, Word, type Core } from '../../../machines/aarch64/state.ts';
import { bareCore, get, set } from '../../support/core.ts';

const read = (core: Core, name: string): bigint => CPU_INTERFACE[name]!.read!(core);
const write = (core: Core, name: string, value: bigint): void => CPU_INTERFACE[name]!.write!(core, value);
const told = (core: Core) => core.board.outbox.splice(0).map(({ to, message }) => ({ to, ...message }));

const INVALID = 0;
const PENDING = 1;
const ACTIVE = 2;
const ACTIVE_PENDING = 3;
const EOIMODE = 1n << 9n;
const EOI_MAINTENANCE = 1n << 41n;

interface ListRegister { readonly state: number; readonly intid: number; readonly priority?: number; readonly group?: 0 | 1; readonly physical?: number; readonly eoi?: boolean }
const listRegister = ({ state, intid, priority = 0x80, group = 1, physical, eoi = false }: ListRegister): bigint =>
  (BigInt(state) << 62n) | (physical === undefined ? 0n : (1n << 61n) | (BigInt(physical) << 32n)) | (BigInt(group) << 60n)
  | (BigInt(priority) << 48n) | (eoi ? EOI_MAINTENANCE : 0n) | BigInt(intid);
const count = (core: Core): bigint => get(core, 'ICH_HCR_EL2') >> 27n;
const stateOf = (core: Core, index: number): number => Number(get(core, `ICH_LR${index}_EL2`) >> 62n);

/** A guest at EL1, both groups enabled, nothing masked, and these list registers. */
function guest(lrs: readonly ListRegister[], { el2 = 'guest', vmcr = 0n }: { el2?: 'guest' | 'kvm'; vmcr?: bigint } = {}): Core {
  const { core } = bareCore({ el2 });
  write(core, 'ICH_VMCR_EL2', (0xf8n << 24n) | 3n | vmcr);
  for (const [index, lr] of lrs.entries()) write(core, `ICH_LR${index}_EL2`, listRegister(lr));
  write(core, 'ICH_HCR_EL2', 1n);
  set(core, 'HCR_EL2', 0x18n);
  core.words[Word.PSTATE] = BigInt(1 << Pstate.EL_SHIFT);
  core.board.outbox.length = 0;
  core.end = undefined;
  core.attention = false;
  return core;
}

test('a pending list register is signalled, taken and ended, and its register is free again', () => {
  const core = guest([{ state: PENDING, intid: 27 }]);
  expect(virtualInterruptPending(core)).toBe('irq');
  expect(read(core, 'ICC_IAR1_EL1')).toBe(27n);
  expect([stateOf(core, 0), read(core, 'ICC_RPR_EL1'), virtualInterruptPending(core)]).toEqual([ACTIVE, 0x80n, undefined]);
  write(core, 'ICC_EOIR1_EL1', 27n);
  expect([stateOf(core, 0), read(core, 'ICC_RPR_EL1'), read(core, 'ICH_ELRSR_EL2')]).toEqual([INVALID, 0xffn, 15n]);
  expect(told(core)).toEqual([]);
});

test('the highest priority is taken first, and the lowest list register among equals', () => {
  const core = guest([{ state: PENDING, intid: 40, priority: 0x90 }, { state: PENDING, intid: 42, priority: 0x40 }, { state: PENDING, intid: 41, priority: 0x40 }]);
  const order = [];
  for (let turn = 0; turn < 3; turn++) {
    const intid = read(core, 'ICC_IAR1_EL1');
    order.push(intid);
    write(core, 'ICC_EOIR1_EL1', intid);
  }
  expect(order).toEqual([42n, 41n, 40n]);
  expect(read(core, 'ICC_IAR1_EL1')).toBe(1023n);
});

test('Group 0 is a virtual FIQ, taken through IAR0 only', () => {
  const core = guest([{ state: PENDING, intid: 40, group: 0 }]);
  expect([virtualInterruptPending(core), read(core, 'ICC_IAR1_EL1'), read(core, 'ICC_HPPIR0_EL1'), read(core, 'ICC_IAR0_EL1')]).toEqual(['fiq', 1023n, 40n, 40n]);
  expect(get(core, 'ICH_AP0R0_EL2')).toBe(1n << 16n);
});

test('nothing is signalled while the interface, the group or the mask says no', () => {
  const vmcrs = [[3n | (0xf8n << 24n), 'irq'], [1n | (0xf8n << 24n), undefined], [3n | (0x80n << 24n), undefined], [3n | (0x88n << 24n), 'irq']] as const;
  for (const [vmcr, expected] of vmcrs) for (const enabled of [0n, 1n]) {
    const core = guest([{ state: PENDING, intid: 27 }]);
    set(core, 'ICH_VMCR_EL2', vmcr);
    set(core, 'ICH_HCR_EL2', enabled);
    expect(virtualInterruptPending(core)).toBe(enabled === 1n ? expected : undefined);
  }
});

test('a list register that is active and pending is signalled again only after its end', () => {
  const core = guest([{ state: ACTIVE_PENDING, intid: 27 }]);
  set(core, 'ICH_AP1R0_EL2', 1n << 16n);
  expect([virtualInterruptPending(core), read(core, 'ICC_IAR1_EL1')]).toEqual([undefined, 1023n]);
  write(core, 'ICC_EOIR1_EL1', 27n);
  expect([stateOf(core, 0), virtualInterruptPending(core)]).toEqual([PENDING, 'irq']);
});

test('with EOImode 1 the end drops the priority and DIR deactivates', () => {
  const core = guest([{ state: PENDING, intid: 27 }], { vmcr: EOIMODE });
  read(core, 'ICC_IAR1_EL1');
  write(core, 'ICC_EOIR1_EL1', 27n);
  expect([stateOf(core, 0), read(core, 'ICC_RPR_EL1')]).toEqual([ACTIVE, 0xffn]);
  write(core, 'ICC_DIR_EL1', 27n);
  expect(stateOf(core, 0)).toBe(INVALID);
});

test('with EOImode 1 what pends again between the end and DIR waits for DIR', () => {
  const core = guest([{ state: ACTIVE_PENDING, intid: 27 }], { vmcr: EOIMODE });
  expect([virtualInterruptPending(core), read(core, 'ICC_HPPIR1_EL1')]).toEqual([undefined, 1023n]);
  write(core, 'ICC_DIR_EL1', 27n);
  expect([virtualInterruptPending(core), read(core, 'ICC_HPPIR1_EL1')]).toEqual(['irq', 27n]);
});

test('with EOImode 0 DIR does nothing', () => {
  const core = guest([{ state: ACTIVE, intid: 27 }]);
  write(core, 'ICC_DIR_EL1', 27n);
  expect([stateOf(core, 0), get(core, 'ICH_HCR_EL2')]).toEqual([ACTIVE, 1n]);
});

test('an end that finds no list register counts in EOIcount, in the mode whose write deactivates', () => {
  for (const split of [false, true]) {
    const core = guest([], { vmcr: split ? EOIMODE : 0n });
    const ends = [[50n, 'ICC_EOIR1_EL1', !split], [50n, 'ICC_DIR_EL1', split], [8192n, 'ICC_EOIR1_EL1', false], [1023n, 'ICC_EOIR1_EL1', false], [1023n, 'ICC_DIR_EL1', false]] as const;
    for (const [intid, name, counts] of ends) {
      set(core, 'ICH_AP1R0_EL2', 1n << 16n);
      const before = count(core);
      write(core, name, intid);
      expect(count(core) - before, `${name} ${intid} split ${split}`).toBe(counts ? 1n : 0n);
    }
  }
});

test('EOIcount wraps after 31 and leaves the rest of ICH_HCR_EL2 alone', () => {
  const core = guest([]);
  write(core, 'ICH_HCR_EL2', (31n << 27n) | 1n);
  set(core, 'ICH_AP1R0_EL2', 1n);
  write(core, 'ICC_EOIR1_EL1', 50n);
  expect(get(core, 'ICH_HCR_EL2')).toBe(1n);
});

test('an end without an active priority changes nothing', () => {
  const core = guest([{ state: ACTIVE, intid: 27 }]);
  write(core, 'ICC_EOIR1_EL1', 27n);
  write(core, 'ICC_EOIR1_EL1', 28n);
  expect([stateOf(core, 0), get(core, 'ICH_HCR_EL2')]).toEqual([ACTIVE, 1n]);
});

test('an end whose group or priority is not that of the list register drops the priority and deactivates nothing', () => {
  for (const [name, level] of [['ICC_EOIR0_EL1', 16n], ['ICC_EOIR1_EL1', 8n]] as const) {
    const core = guest([{ state: ACTIVE, intid: 27 }]);
    set(core, 'ICH_AP1R0_EL2', 1n << level);
    write(core, name, 27n);
    expect([stateOf(core, 0), get(core, 'ICH_AP1R0_EL2'), get(core, 'ICH_HCR_EL2')]).toEqual([ACTIVE, 0n, 1n]);
  }
});

test('the end of a virtual interrupt with HW deactivates the physical one at the GIC of a bare board', () => {
  for (const [physical, to] of [[27, { to: 'gicr:0', type: 'deactivate', intid: 27 }], [70, { to: 'gicd', type: 'deactivate', intid: 70, vcpu: 0 }]] as const) {
    const core = guest([{ state: PENDING, intid: 33, physical }]);
    expect(read(core, 'ICC_IAR1_EL1')).toBe(33n);
    expect(told(core)).toEqual([]);
    write(core, 'ICC_EOIR1_EL1', 33n);
    expect([told(core), stateOf(core, 0)]).toEqual([[to], INVALID]);
  }
});

test('under L0 it ends the forwarding of that timer, which may be signalled again', () => {
  for (const [physical, bit] of [[30, 1n], [27, 2n], [26, 4n], [28, 8n]] as const) {
    const core = guest([{ state: PENDING, intid: 27, physical }], { el2: 'kvm' });
    core.words[Word.FORWARDED] = 15n;
    read(core, 'ICC_IAR1_EL1');
    core.attention = false;
    write(core, 'ICC_EOIR1_EL1', 27n);
    expect([core.words[Word.FORWARDED], core.attention, core.board.outbox]).toEqual([15n & ~bit, true, []]);
  }
});

test('a special INTID in a list register is handed out once and leaves nothing active', () => {
  const core = guest([{ state: PENDING, intid: 1022 }]);
  expect([read(core, 'ICC_IAR1_EL1'), stateOf(core, 0), get(core, 'ICH_AP1R0_EL2')]).toEqual([1022n, INVALID, 0n]);
});

test('the ICV registers are views of ICH_VMCR_EL2', () => {
  const core = guest([]);
  write(core, 'ICC_PMR_EL1', 0x57n);
  write(core, 'ICC_BPR0_EL1', 4n);
  write(core, 'ICC_BPR1_EL1', 6n);
  write(core, 'ICC_CTLR_EL1', 2n);
  write(core, 'ICC_IGRPEN0_EL1', 0n);
  expect(read(core, 'ICH_VMCR_EL2')).toBe((0x50n << 24n) | (4n << 21n) | (6n << 18n) | EOIMODE | 8n | 2n);
  write(core, 'ICC_CTLR_EL1', 1n);
  write(core, 'ICC_BPR1_EL1', 3n);
  expect([read(core, 'ICC_BPR1_EL1'), read(core, 'ICC_CTLR_EL1') & 3n]).toEqual([5n, 1n]);
  write(core, 'ICH_VMCR_EL2', 0n);
  expect([read(core, 'ICC_BPR0_EL1'), read(core, 'ICC_BPR1_EL1'), read(core, 'ICH_VMCR_EL2')]).toEqual([2n, 3n, (2n << 21n) | (3n << 18n) | 8n]);
});

test('a list register keeps the bits that the implementation has', () => {
  const core = guest([]);
  write(core, 'ICH_LR0_EL2', (1n << 64n) - 1n);
  write(core, 'ICH_LR1_EL2', ((1n << 64n) - 1n) & ~(1n << 61n));
  expect([get(core, 'ICH_LR0_EL2'), get(core, 'ICH_LR1_EL2')]).toEqual([0xf0f8_1fff_0000_ffffn, 0xd0f8_0200_0000_ffffn]);
});

test('ICH_MISR, EISR and ELRSR agree with the manual’s sentences for every pair of list registers and every enable', () => {
  const kinds: ListRegister[] = [INVALID, PENDING, ACTIVE, ACTIVE_PENDING].flatMap((state) => [
    // INTID 562 has the bit set that asks for maintenance where HW is clear.
    { state, intid: 40 }, { state, intid: 40, eoi: true }, { state, intid: 40, physical: 562 },
  ]);
  const { core } = bareCore({ features: { listRegisters: 2 } });
  for (const one of kinds) for (const other of kinds) for (const groups of [0n, 1n, 2n, 3n]) {
    write(core, 'ICH_LR0_EL2', listRegister(one));
    write(core, 'ICH_LR1_EL2', listRegister(other));
    write(core, 'ICH_VMCR_EL2', groups);
    const lrs = [one, other];
    const ended = lrs.map((lr) => lr.state === INVALID && lr.eoi === true);
    expect(read(core, 'ICH_EISR_EL2')).toBe((ended[0] ? 1n : 0n) | (ended[1] ? 2n : 0n));
    const free = lrs.map((lr) => lr.state === INVALID && lr.eoi !== true);
    expect(read(core, 'ICH_ELRSR_EL2')).toBe((free[0] ? 1n : 0n) | (free[1] ? 2n : 0n));
    const holds: Record<number, boolean> = {
      1: lrs.filter((lr) => lr.state !== INVALID).length <= 1,
      2: false,
      3: !lrs.some((lr) => lr.state === PENDING),
      4: (groups & 1n) !== 0n, 5: (groups & 1n) === 0n, 6: (groups & 2n) !== 0n, 7: (groups & 2n) === 0n,
    };
    for (const enable of [1, 2, 3, 4, 5, 6, 7]) for (const on of [0n, 1n]) {
      write(core, 'ICH_HCR_EL2', (1n << BigInt(enable)) | on);
      const status = (ended.includes(true) ? 1n : 0n) | (holds[enable] ? 1n << BigInt(enable) : 0n);
      expect(read(core, 'ICH_MISR_EL2'), `enable ${enable}`).toBe(status);
      expect(maintenanceLine(core)).toBe(on === 1n && status !== 0n);
    }
    write(core, 'ICH_HCR_EL2', (5n << 27n) | 4n);
    expect(read(core, 'ICH_MISR_EL2') & 4n).toBe(4n);
  }
});

test('the maintenance interrupt is PPI 25 of a bare board, told when it changes', () => {
  const core = guest([{ state: PENDING, intid: 27 }]);
  // NPIE: the last pending interrupt is taken.
  write(core, 'ICH_HCR_EL2', 1n | (1n << 3n));
  expect(told(core)).toEqual([]);
  read(core, 'ICC_IAR1_EL1');
  expect(told(core)).toEqual([{ to: 'gicr:0', type: 'irq-line', intid: 25, level: true }]);
  write(core, 'ICC_EOIR1_EL1', 27n);
  expect(told(core)).toEqual([]);
  write(core, 'ICH_HCR_EL2', 0n);
  expect(told(core)).toEqual([{ to: 'gicr:0', type: 'irq-line', intid: 25, level: false }]);
});

test('under L0 the maintenance interrupt is a host interrupt, raised by a guest’s EOI', () => {
  const core = guest([{ state: PENDING, intid: 40, eoi: true }], { el2: 'kvm' });
  read(core, 'ICC_IAR1_EL1');
  expect(core.words[Word.HOST_INTERRUPTS]).toBe(0n);
  write(core, 'ICC_EOIR1_EL1', 40n);
  expect(core.words[Word.HOST_INTERRUPTS]).toBe(2n);
  set(core, 'ICH_HCR_EL2', 0n);
  pollMaintenance(core);
  expect(core.words[Word.HOST_INTERRUPTS]).toBe(0n);
});

test('whatever a guest does, taking an interrupt raises the running priority and the end restores it', () => {
  const lr = fc.record({ priority: fc.nat(30).map((level) => 8 * level), group: fc.constantFrom(0 as const, 1 as const) });
  fc.assert(fc.property(fc.array(lr, { minLength: 1, maxLength: 4 }), fc.integer({ min: 2, max: 7 }), (lrs, point) => {
    const core = guest(lrs.map((entry, index) => ({ state: PENDING, intid: 40 + index, ...entry })));
    write(core, 'ICC_BPR0_EL1', BigInt(point));
    write(core, 'ICC_BPR1_EL1', BigInt(point));
    const stack: { intid: bigint; group: number; before: bigint }[] = [];
    const limit = 20;
    for (let turn = 0; turn < limit; turn++) {
      const before = read(core, 'ICC_RPR_EL1');
      const signalled = virtualInterruptPending(core);
      if (signalled !== undefined) {
        const group = signalled === 'fiq' ? 0 : 1;
        const intid = read(core, `ICC_IAR${group}_EL1`);
        expect(intid).toBeLessThan(1020n);
        expect(read(core, 'ICC_RPR_EL1')).toBeLessThan(before);
        stack.push({ intid, group, before });
      } else {
        const top = stack.pop();
        if (top === undefined) break;
        write(core, `ICC_EOIR${top.group}_EL1`, top.intid);
        expect(read(core, 'ICC_RPR_EL1')).toBe(top.before);
      }
    }
    expect([read(core, 'ICH_ELRSR_EL2'), get(core, 'ICH_HCR_EL2')]).toEqual([15n, 1n]);
  }), { numRuns: 200, seed: 311 });
});
