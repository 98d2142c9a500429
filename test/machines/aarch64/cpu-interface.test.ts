/** The physical CPU interface: masks, preemption, both EOI modes, SGIs, and the choice between ICC and ICV. */

import { expect, test } from 'vitest';
import { CPU_INTERFACE, physicalInterruptPending, receiveOffer } from '../../../machines/aarch64/cpu-interface.ts';
import { Pstate, Word, type Core } from '../../../machines/aarch64/state.ts';
import type { OfferedInterrupt } from '../../../machines/messages.ts';
import { bareCore, get, set, setPstate } from '../../support/core.ts';

const read = (core: Core, name: string): bigint => CPU_INTERFACE[name]!.read!(core);
const write = (core: Core, name: string, value: bigint): void => CPU_INTERFACE[name]!.write!(core, value);

const pending = (intid: number, priority: number, group: 0 | 1 = 1): OfferedInterrupt => ({ intid, priority, group, pending: true, active: false, level: true });
const offer = (core: Core, ...interrupts: OfferedInterrupt[]): void => receiveOffer(core, { type: 'offer', interrupts });
const told = (core: Core) => core.board.outbox.splice(0).map(({ to, message }) => ({ to, ...message }));

/** A core at EL2 of a bare board that takes both groups and masks nothing. */
function open(cores = 1): Core {
  const { core } = bareCore({ cores });
  write(core, 'ICC_PMR_EL1', 0xffn);
  write(core, 'ICC_IGRPEN0_EL1', 1n);
  write(core, 'ICC_IGRPEN1_EL1', 1n);
  core.attention = false;
  return core;
}

test('an interrupt is signalled, acknowledged, ended and deactivated, and the GIC hears of it', () => {
  const core = open();
  offer(core, pending(27, 0xa0));
  expect([physicalInterruptPending(core), core.attention]).toEqual(['irq', true]);
  expect(read(core, 'ICC_HPPIR1_EL1')).toBe(27n);
  expect(read(core, 'ICC_IAR1_EL1')).toBe(27n);
  expect(told(core)).toEqual([{ to: 'gicr:0', type: 'acknowledge', intid: 27 }]);
  expect(core.end).toEqual({ type: 'effect' });
  expect([core.words[Word.OFFER], read(core, 'ICC_RPR_EL1'), read(core, 'ICC_IAR1_EL1')]).toEqual([0n, 0xa0n, 1023n]);
  write(core, 'ICC_EOIR1_EL1', 27n);
  expect(told(core)).toEqual([{ to: 'gicr:0', type: 'deactivate', intid: 27 }]);
  expect(read(core, 'ICC_RPR_EL1')).toBe(0xffn);
});

test('with EOImode 1 the end drops the priority only, and DIR deactivates at the distributor', () => {
  const core = open();
  write(core, 'ICC_CTLR_EL1', 2n);
  offer(core, pending(40, 0x80));
  expect(read(core, 'ICC_IAR1_EL1')).toBe(40n);
  expect(told(core)).toEqual([{ to: 'gicd', type: 'acknowledge', intid: 40, vcpu: 0 }]);
  write(core, 'ICC_EOIR1_EL1', 40n);
  expect([told(core), read(core, 'ICC_RPR_EL1')]).toEqual([[], 0xffn]);
  write(core, 'ICC_DIR_EL1', 40n);
  expect(told(core)).toEqual([{ to: 'gicd', type: 'deactivate', intid: 40, vcpu: 0 }]);
});

test('the end of an LPI drops its priority, and there is nothing to deactivate in either EOI mode', () => {
  for (const eoiMode of [0n, 2n]) {
    const core = open();
    write(core, 'ICC_CTLR_EL1', eoiMode);
    offer(core, pending(8192, 0xa0));
    expect(read(core, 'ICC_IAR1_EL1')).toBe(8192n);
    expect(told(core)).toEqual([{ to: 'gicr:0', type: 'acknowledge', intid: 8192 }]);
    write(core, 'ICC_EOIR1_EL1', 8192n);
    write(core, 'ICC_DIR_EL1', 8192n);
    expect([read(core, 'ICC_RPR_EL1'), told(core)]).toEqual([0xffn, []]);
  }
});

test('the end of a virtual LPI empties its list register in either EOI mode, and counts nowhere without one', () => {
  for (const eoiMode of [0n, 1n << 9n]) {
    const { core } = bareCore({ el2: 'kvm' });
    set(core, 'HCR_EL2', 0x18n);
    setPstate(core, 1);
    write(core, 'ICH_VMCR_EL2', 0xf84c_000bn | eoiMode);
    write(core, 'ICH_HCR_EL2', 1n);
    write(core, 'ICH_LR0_EL2', (1n << 62n) | (1n << 60n) | (0x80n << 48n) | 8200n);
    expect(read(core, 'ICC_IAR1_EL1')).toBe(8200n);
    expect(get(core, 'ICH_LR0_EL2') >> 62n).toBe(2n);
    write(core, 'ICC_EOIR1_EL1', 8200n);
    expect([get(core, 'ICH_LR0_EL2') >> 62n, get(core, 'ICH_HCR_EL2')]).toEqual([0n, 1n]);
    write(core, 'ICH_AP1R0_EL2', 1n << 16n);
    write(core, 'ICC_EOIR1_EL1', 8201n);
    expect([get(core, 'ICH_HCR_EL2'), get(core, 'ICH_AP1R0_EL2')]).toEqual([1n, 0n]);
  }
});

test('with EOImode 0 DIR does nothing', () => {
  const core = open();
  write(core, 'ICC_DIR_EL1', 40n);
  expect(told(core)).toEqual([]);
});

test('the priority mask lets through only what is strictly higher, for every mask and priority', () => {
  const core = open();
  for (let mask = 0; mask < 256; mask += 4) {
    write(core, 'ICC_PMR_EL1', BigInt(mask));
    expect(read(core, 'ICC_PMR_EL1')).toBe(BigInt(Math.floor(mask / 8) * 8));
    for (let priority = 0; priority < 256; priority += 8) {
      offer(core, pending(30, priority));
      expect(physicalInterruptPending(core) === 'irq', `${priority} under ${mask}`).toBe(Math.floor(priority / 8) < Math.floor(mask / 8));
    }
  }
});

/** How many of a priority's upper bits are its group priority: Arm IHI 0069, tables of priority grouping. Group 1 has its binary point one higher. */
const groupBits = (group: 0 | 1, bpr0: number, bpr1: number, common: boolean): number => (group === 0 || common ? 7 - bpr0 : 8 - bpr1);

test('preemption follows the binary points, for every binary point, group, running and pending priority', () => {
  let preemptions = 0;
  for (const common of [false, true]) for (const runningGroup of [0, 1] as const) for (const group of [0, 1] as const) for (let point = 0; point < 8; point++) {
    const core = open();
    write(core, 'ICC_BPR0_EL1', BigInt(point));
    write(core, 'ICC_BPR1_EL1', BigInt(point));
    write(core, 'ICC_CTLR_EL1', common ? 1n : 0n);
    const [bpr0, bpr1] = [Math.max(point, 2), Math.max(point, 3)];
    for (let running = 0; running < 0xf8; running += 8) {
      set(core, 'ICC_AP0R0_EL1', 0n);
      set(core, 'ICC_AP1R0_EL1', 0n);
      offer(core, pending(50, running, runningGroup));
      expect(read(core, `ICC_IAR${runningGroup}_EL1`)).toBe(50n);
      const taken = 2 ** (8 - groupBits(runningGroup, bpr0, bpr1, common));
      const effective = Math.floor(running / taken) * taken;
      expect(read(core, 'ICC_RPR_EL1')).toBe(BigInt(effective));
      for (let priority = 0; priority < 0xf8; priority += 24) {
        offer(core, pending(51, priority, group));
        const unit = 2 ** (8 - groupBits(group, bpr0, bpr1, common));
        const preempts = Math.floor(priority / unit) < Math.floor(effective / unit);
        if (preempts) preemptions++;
        expect(physicalInterruptPending(core), `${priority} over ${effective} at ${point}`).toBe(preempts ? (group === 0 ? 'fiq' : 'irq') : undefined);
      }
    }
    core.board.outbox.length = 0;
  }
  expect(preemptions).toBeGreaterThan(1000);
});

test('nested interrupts end in the reverse order of their priorities', () => {
  const core = open();
  for (const [intid, priority] of [[40, 0xc0], [41, 0x80], [42, 0x40]] as const) {
    offer(core, pending(intid, priority));
    expect(read(core, 'ICC_IAR1_EL1')).toBe(BigInt(intid));
  }
  expect(get(core, 'ICC_AP1R0_EL1')).toBe((1n << 24n) | (1n << 16n) | (1n << 8n));
  const running = [42n, 41n, 40n].map((intid) => {
    write(core, 'ICC_EOIR1_EL1', intid);
    return read(core, 'ICC_RPR_EL1');
  });
  expect(running).toEqual([0x80n, 0xc0n, 0xffn]);
});

test('the end of the other group, and of a special INTID, is ignored', () => {
  const core = open();
  offer(core, pending(40, 0x80));
  read(core, 'ICC_IAR1_EL1');
  told(core);
  write(core, 'ICC_EOIR0_EL1', 40n);
  for (const intid of [1020n, 1021n, 1022n, 1023n]) write(core, 'ICC_EOIR1_EL1', intid);
  expect([told(core), read(core, 'ICC_RPR_EL1')]).toEqual([[], 0x80n]);
});

test('a group that the interface disables hides nothing of the other', () => {
  const core = open();
  offer(core, pending(40, 0x20, 0), pending(41, 0x80, 1));
  expect([physicalInterruptPending(core), read(core, 'ICC_HPPIR1_EL1'), read(core, 'ICC_IAR1_EL1')]).toEqual(['fiq', 1023n, 1023n]);
  write(core, 'ICC_IGRPEN0_EL1', 0n);
  expect([physicalInterruptPending(core), read(core, 'ICC_HPPIR0_EL1'), read(core, 'ICC_HPPIR1_EL1')]).toEqual(['irq', 1023n, 41n]);
  write(core, 'ICC_IGRPEN1_EL1', 0n);
  expect(physicalInterruptPending(core)).toBeUndefined();
});

test('of two groups the higher priority is offered first, and the lower INTID among equals', () => {
  for (const [zero, one, expected] of [[0x80, 0x20, 'irq'], [0x20, 0x80, 'fiq'], [0x80, 0x80, 'fiq']] as const) {
    const core = open();
    offer(core, ...[pending(40, zero, 0), pending(41, one, 1)].sort((left, right) => left.priority - right.priority));
    expect(physicalInterruptPending(core)).toBe(expected);
  }
});

test('an interrupt that is active as well as pending is not signalled again', () => {
  const core = open();
  offer(core, { ...pending(27, 0x80), active: true }, pending(30, 0x90));
  expect(read(core, 'ICC_IAR1_EL1')).toBe(30n);
});

test('the common binary point makes BPR1 read as BPR0 plus one, saturated, and ignore writes', () => {
  const core = open();
  write(core, 'ICC_BPR1_EL1', 4n);
  write(core, 'ICC_CTLR_EL1', 1n);
  for (const [point, seen] of [[0n, 3n], [5n, 6n], [6n, 7n], [7n, 7n]] as const) {
    write(core, 'ICC_BPR0_EL1', point);
    write(core, 'ICC_BPR1_EL1', 5n);
    expect(read(core, 'ICC_BPR1_EL1')).toBe(seen);
  }
  write(core, 'ICC_CTLR_EL1', 0n);
  expect(read(core, 'ICC_BPR1_EL1')).toBe(4n);
});

test('ICC_CTLR_EL1 and ICH_VTR_EL2 say 5 priority bits and 16-bit INTIDs; system registers are the only interface', () => {
  const core = open();
  const control = read(core, 'ICC_CTLR_EL1');
  expect([(control >> 8n) & 7n, (control >> 11n) & 7n]).toEqual([4n, 0n]);
  const type = read(core, 'ICH_VTR_EL2');
  expect([type >> 29n, (type >> 26n) & 7n, (type >> 23n) & 7n, type & 31n]).toEqual([4n, 4n, 0n, 3n]);
  write(core, 'ICC_SRE_EL1', 0n);
  expect([read(core, 'ICC_SRE_EL1'), read(core, 'ICC_SRE_EL2')]).toEqual([7n, 15n]);
});

test('an SGI names its targets by affinity, or all but its sender', () => {
  const core = open(20);
  const targets = (name: string, value: bigint) => {
    write(core.board.cores[1]!, name, value);
    return told(core);
  };
  expect(targets('ICC_SGI1R_EL1', (5n << 24n) | 0b101n)).toEqual([{ to: 'gicd', type: 'sgi', intid: 5, group: 1, targets: [0, 2] }]);
  // Aff1 = 1: PEs 16 to 31, of which four exist.
  expect(targets('ICC_SGI0R_EL1', (1n << 16n) | 0b11000n)).toEqual([{ to: 'gicd', type: 'sgi', intid: 0, group: 0, targets: [19] }]);
  expect(targets('ICC_ASGI1R_EL1', (1n << 40n) | (15n << 24n))).toEqual([{ to: 'gicd', type: 'sgi', intid: 15, group: 0, targets: Array.from({ length: 20 }, (_, index) => index).filter((index) => index !== 1) }]);
  for (const nowhere of [1n << 32n, 1n << 44n, 1n << 48n]) expect(targets('ICC_SGI1R_EL1', nowhere | 1n)).toEqual([]);
});

test('under L0 physical interrupts are its requests and the timer lines that it has not forwarded', () => {
  const { core } = bareCore({ el2: 'kvm' });
  expect(physicalInterruptPending(core)).toBeUndefined();
  core.words[Word.TIMER_LINES] = 0b0110n;
  expect(physicalInterruptPending(core)).toBe('irq');
  core.words[Word.FORWARDED] = 0b0110n;
  expect(physicalInterruptPending(core)).toBeUndefined();
  core.words[Word.HOST_INTERRUPTS] = 1n;
  expect(physicalInterruptPending(core)).toBe('irq');
});

test('EL1 sees the virtual registers of a group exactly when HCR_EL2 routes it to EL2, and EL2 never does', () => {
  const FMO = 8n;
  const IMO = 16n;
  const cases = [
    ['ICC_IGRPEN0_EL1', FMO], ['ICC_IGRPEN1_EL1', IMO], ['ICC_BPR0_EL1', FMO], ['ICC_BPR1_EL1', IMO],
    ['ICC_AP0R0_EL1', FMO], ['ICC_AP1R0_EL1', IMO], ['ICC_PMR_EL1', FMO | IMO], ['ICC_CTLR_EL1', FMO | IMO],
  ] as const;
  for (const [name, routing] of cases) for (const el of [1, 2]) for (const hcr of [0n, FMO, IMO, FMO | IMO]) {
    const core = bareCore().core;
    core.words[Word.PSTATE] = BigInt(el << Pstate.EL_SHIFT);
    const before = get(core, name);
    set(core, 'HCR_EL2', hcr);
    write(core, name, name.includes('BPR') ? 5n : name.includes('PMR') ? 0x50n : 1n);
    const virtual = el === 1 && (hcr & routing) !== 0n;
    expect(get(core, name) !== before, `${name} at EL${el} with HCR ${hcr}`).toBe(!virtual);
    expect((get(core, 'ICH_VMCR_EL2') | get(core, 'ICH_AP0R0_EL2') | get(core, 'ICH_AP1R0_EL2')) !== 0n).toBe(virtual);
    expect(BigInt.asUintN(8, read(core, name))).toBe(name.includes('BPR') ? 5n : name.includes('PMR') ? 0x50n : 1n);
  }
});
