/** A redistributor: its registers, SGIs and PPIs, and an offer that is sent when it changes and only then. */

import { produce } from 'immer';
import { expect, test } from 'vitest';
import { receive } from '../../../machines/gic/redistributor.ts';
import { initialRedistributor, type RedistributorState } from '../../../machines/gic/state.ts';
import type { OfferedInterrupt, RedistributorMessage } from '../../../machines/messages.ts';
import { noMemory, recorder, type Recorder } from './recorder.ts';

const SGI_BASE = 0x1_0000;

interface Stage { readonly state: RedistributorState; readonly out: Recorder; say(message: RedistributorMessage): void; write(offset: number, value: bigint, bytes?: number): void; read(offset: number, bytes?: number): bigint; offer(): readonly OfferedInterrupt[] | undefined }

function stage(index = 0, last = false): Stage {
  const state = initialRedistributor(index, last);
  const out = recorder();
  const say = (message: RedistributorMessage): void => receive(state, message, out, noMemory);
  return {
    state, out, say,
    write: (offset, value, bytes = 4) => say({ type: 'write', from: 'vcpu:0', offset, bytes, value }),
    read: (offset, bytes = 4) => {
      say({ type: 'read', from: 'vcpu:3', offset, bytes });
      const { to, message } = out.sent.pop()!;
      expect([to, message['type'], message['offset'], message['bytes']]).toEqual(['vcpu:3', 'device-reply', offset, bytes]);
      return message['value'] as bigint;
    },
    offer: () => {
      const sent = out.take();
      expect(sent.length).toBeLessThan(2);
      return sent[0]?.message['interrupts'] as readonly OfferedInterrupt[] | undefined;
    },
  };
}

/** Awake as it starts, with both groups enabled at the distributor, and these interrupts enabled in Group 1. */
function ready(enabled: bigint, index = 0): Stage {
  const gic = stage(index);
  gic.say({ type: 'spis', interrupts: [], groupsEnabled: [true, true] });
  gic.write(SGI_BASE + 0x80, 0xffff_ffffn);
  gic.write(SGI_BASE + 0x100, enabled);
  expect(gic.offer()).toBeUndefined();
  return gic;
}

const offered = (intid: number, more: Partial<OfferedInterrupt> = {}): OfferedInterrupt => ({ intid, priority: 0, group: 1, pending: true, active: false, level: true, ...more });

test('GICR_TYPER names the PE, its affinity and the last frame, and LPIs, in one access or two', () => {
  const gic = stage(37, true);
  expect(gic.read(8, 8)).toBe((0x0205n << 32n) | (37n << 8n) | 0x11n);
  expect([gic.read(8), gic.read(12)]).toEqual([(37n << 8n) | 0x11n, 0x0205n]);
  expect(stage(0).read(8, 8)).toBe(1n);
});

test('a redistributor is awake from the start: a guest that leaves GICR_WAKER to the firmware gets its interrupts', () => {
  const gic = stage();
  expect(gic.read(0x14)).toBe(0n);
  gic.say({ type: 'spis', interrupts: [], groupsEnabled: [true, true] });
  for (const offset of [0x80, 0x100]) gic.write(SGI_BASE + offset, 0xffff_ffffn);
  gic.say({ type: 'sgi-pending', intid: 0, group: 1 });
  expect(gic.offer()).toEqual([offered(0, { level: false })]);
});

test('GICR_WAKER: the children sleep while the processor does, and a sleeping PE is offered nothing', () => {
  const gic = ready(1n << 27n);
  gic.write(0x14, 2n);
  expect(gic.read(0x14)).toBe(6n);
  gic.say({ type: 'irq-line', intid: 27, level: true });
  expect([gic.offer(), gic.out.events]).toEqual([undefined, [{ event: 'gic_wake_request', vcpu: 0, intid: 27 }, { event: 'vgic_update_irq_pending', vcpu: 0, irq: 27, level: true }]]);
  gic.write(0x14, 0n);
  expect(gic.offer()).toEqual([offered(27)]);
  expect(gic.read(0x14)).toBe(0n);
});

test('a level is offered, taken, offered again while its line is high, and gone when it is low', () => {
  const gic = ready(1n << 27n);
  gic.say({ type: 'irq-line', intid: 27, level: true });
  expect(gic.offer()).toEqual([offered(27)]);
  gic.say({ type: 'acknowledge', intid: 27 });
  expect(gic.offer()).toEqual([offered(27, { active: true })]);
  gic.say({ type: 'deactivate', intid: 27 });
  expect(gic.offer()).toEqual([offered(27)]);
  gic.say({ type: 'irq-line', intid: 27, level: false });
  expect(gic.offer()).toEqual([]);
});

test('an SGI pends once however often it is sent before it is taken', () => {
  const gic = ready(0xffffn);
  gic.say({ type: 'sgi-pending', intid: 3, group: 1 });
  expect(gic.offer()).toEqual([offered(3, { level: false })]);
  gic.say({ type: 'sgi-pending', intid: 3, group: 1 });
  expect(gic.offer()).toBeUndefined();
  gic.say({ type: 'acknowledge', intid: 3 });
  gic.out.take();
  gic.say({ type: 'deactivate', intid: 3 });
  expect(gic.offer()).toEqual([]);
});

test('an SGI for Group 0 does not reach an SGI of Group 1, and one for either group does', () => {
  const gic = ready(0xffffn);
  gic.say({ type: 'sgi-pending', intid: 3, group: 0 });
  expect(gic.offer()).toBeUndefined();
  gic.write(SGI_BASE + 0x80, 0n);
  gic.say({ type: 'sgi-pending', intid: 3, group: 1 });
  expect(gic.offer()).toEqual([offered(3, { level: false, group: 0 })]);
});

test('the offer is in the order of priority, then of INTID, SPIs included', () => {
  const gic = ready(0xffff_ffffn);
  for (const [intid, priority] of [[1, 0x80], [27, 0x40], [30, 0x40]] as const) gic.write(SGI_BASE + 0x400 + intid, BigInt(priority), 1);
  for (const intid of [30, 27]) gic.say({ type: 'irq-line', intid, level: true });
  gic.say({ type: 'sgi-pending', intid: 1 });
  gic.say({ type: 'spis', interrupts: [offered(42, { priority: 0x40 }), offered(40, { priority: 0x40 }), offered(41, { priority: 0x10 })], groupsEnabled: [true, true] });
  expect((gic.out.take().at(-1)!.message['interrupts'] as OfferedInterrupt[]).map(({ intid }) => intid)).toEqual([41, 27, 30, 40, 42, 1]);
});

test('what GICD_CTLR disables is not pending, and what is active stays in the offer', () => {
  const gic = ready((1n << 27n) | (1n << 30n));
  gic.say({ type: 'irq-line', intid: 27, level: true });
  gic.say({ type: 'irq-line', intid: 30, level: true });
  gic.say({ type: 'acknowledge', intid: 30 });
  gic.out.take();
  gic.say({ type: 'spis', interrupts: [], groupsEnabled: [true, false] });
  expect(gic.offer()).toEqual([offered(30, { active: true, pending: false })]);
  gic.write(SGI_BASE + 0x180, 1n << 30n);
  expect(gic.offer()).toBeUndefined();
});

test('set and clear registers read the same state, and clear what is written', () => {
  const gic = stage();
  for (const [set, clear] of [[0x100, 0x180], [0x200, 0x280], [0x300, 0x380]] as const) {
    gic.write(SGI_BASE + set, 0xf00f_00f0n);
    expect([gic.read(SGI_BASE + set), gic.read(SGI_BASE + clear)]).toEqual([0xf00f_00f0n, 0xf00f_00f0n]);
    gic.write(SGI_BASE + clear, 0x8001_0010n);
    expect(gic.read(SGI_BASE + set)).toBe(0x700e_00e0n);
  }
});

test('a level that is high stays pending when ICPENDR is written', () => {
  const gic = stage();
  gic.say({ type: 'irq-line', intid: 27, level: true });
  gic.write(SGI_BASE + 0x280, 0xffff_ffffn);
  expect(gic.read(SGI_BASE + 0x200)).toBe(1n << 27n);
});

test('priorities have five bits, and bytes and words are the same registers', () => {
  const gic = stage();
  gic.write(SGI_BASE + 0x404, 0x12345678n);
  expect(gic.read(SGI_BASE + 0x404)).toBe(0x1030_5078n);
  expect([gic.read(SGI_BASE + 0x405, 1), gic.state.bank.priorities[5]]).toEqual([0x50n, 0x50]);
  gic.write(SGI_BASE + 0x407, 0xffn, 1);
  expect(gic.read(SGI_BASE + 0x404)).toBe(0xf830_5078n);
});

test('SGIs are edge-triggered whatever is written; PPIs are what is written', () => {
  const gic = stage();
  gic.write(SGI_BASE + 0xc00, 0n);
  gic.write(SGI_BASE + 0xc04, 0xffff_fffdn);
  expect([gic.read(SGI_BASE + 0xc00), gic.read(SGI_BASE + 0xc04)]).toEqual([0xaaaa_aaaan, 0xaaaa_aaa8n]);
});

test('GICR_PIDR2 says GICv3 in both frames; what is reserved reads as zero without a word; the unknown is told', () => {
  const gic = stage();
  expect([gic.read(0xffe8), gic.read(SGI_BASE + 0xffe8)].map((value) => (value >> 4n) & 15n)).toEqual([3n, 3n]);
  expect([gic.read(0x10), gic.read(SGI_BASE + 0xd00)]).toEqual([0n, 0n]);
  expect(gic.out.events).toEqual([]);
  gic.write(SGI_BASE + 0x50, 1n);
  expect(gic.read(SGI_BASE + 0x100, 8)).toBe(0n);
  expect(gic.out.events).toEqual([
    { event: 'gic_unknown_register', frame: 'GICR', access: 'write', offset: 0x1_0050, bytes: 4 },
    { event: 'gic_unknown_register', frame: 'GICR', access: 'read', offset: 0x1_0100, bytes: 8 },
  ]);
});

test('INTIDs that are not its own stop the program', () => {
  const gic = stage();
  for (const message of [{ type: 'irq-line', intid: 5, level: true }, { type: 'irq-line', intid: 32, level: true }, { type: 'sgi-pending', intid: 16 }, { type: 'acknowledge', intid: 32 }] as const) {
    expect(() => gic.say(message)).toThrow(RangeError);
  }
});

test('run on an Immer draft it says plain values and leaves the old state as it was', () => {
  const before = ready(1n << 27n).state;
  const out = recorder();
  const spis: RedistributorMessage = { type: 'spis', interrupts: [offered(40)], groupsEnabled: [true, true] };
  const middle = produce(before, (draft) => receive(draft, spis, out, noMemory));
  const after = produce(middle, (draft) => receive(draft, { type: 'irq-line', intid: 27, level: true }, out, noMemory));
  expect([before.bank.line, before.offered, after.bank.line]).toEqual([0, [], 1 << 27]);
  expect(JSON.parse(JSON.stringify(out.sent.at(-1)))).toEqual({ to: 'vcpu:0', message: { type: 'offer', interrupts: [offered(27), offered(40)], lpisTaken: 0 } });
});
