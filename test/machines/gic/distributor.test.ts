/** The distributor: its registers, the routes of SPIs, SGIs on their way, and who is told what. */

import { expect, test } from 'vitest';
import { describeDistributor } from '../../../machines/gic/describe.ts';
import { receive } from '../../../machines/gic/distributor.ts';
import { distributorFaults, initialDistributor } from '../../../machines/gic/state.ts';
import type { DistributorMessage } from '../../../machines/messages.ts';
import { recorder } from './recorder.ts';

function stage(vcpus = 4, spis = 64) {
  const state = initialDistributor(vcpus, spis);
  const out = recorder();
  const say = (message: DistributorMessage): void => {
    receive(state, message, out);
    expect(distributorFaults(state)).toEqual([]);
  };
  return {
    state, out, say,
    write: (offset: number, value: bigint, bytes = 4) => say({ type: 'write', from: 'vcpu:0', offset, bytes, value }),
    read: (offset: number, bytes = 4): bigint => {
      say({ type: 'read', from: 'kvm:1', offset, bytes });
      const { to, message } = out.sent.pop()!;
      expect([to, message['type'], message['offset'], message['bytes']]).toEqual(['kvm:1', 'device-reply', offset, bytes]);
      return message['value'] as bigint;
    },
    /** Who was told which INTIDs, in order. */
    told: () => out.take().map(({ to, message }): [string, number[]] => [to, (message['interrupts'] as { intid: number }[]).map(({ intid }) => intid)]),
  };
}

/** Group 1 enabled, all SPIs in it and enabled, routed to PE 0. */
function ready(vcpus = 4) {
  const gic = stage(vcpus);
  for (const bank of [1, 2]) {
    gic.write(0x080 + 4 * bank, 0xffff_ffffn);
    gic.write(0x100 + 4 * bank, 0xffff_ffffn);
  }
  expect(gic.told()).toEqual([]);
  gic.write(0, 2n);
  expect(gic.out.take().map(({ message }) => message['groupsEnabled'])).toEqual(Array.from({ length: vcpus }, () => [false, true]));
  return gic;
}

test('GICD_CTLR is always in affinity routing with one Security state', () => {
  const gic = stage();
  expect(gic.read(0)).toBe(0x50n);
  gic.write(0, 0xffff_ffffn);
  expect(gic.read(0)).toBe(0x53n);
});

test('GICD_TYPER says the interrupt lines, 16-bit INTIDs and LPIs', () => {
  for (const spis of [32, 64, 256, 960]) {
    const type = stage(1, spis).read(4);
    expect([type & 31n, (type >> 19n) & 31n, (type >> 17n) & 1n]).toEqual([BigInt(spis / 32), 15n, 1n]);
  }
  for (const spis of [0, 40, 992]) expect(() => stage(1, spis)).toThrow(RangeError);
});

test('an SPI goes to the PE whose affinity its route names, and to nobody when there is none', () => {
  const gic = ready(20);
  gic.say({ type: 'irq-line', intid: 40, level: true });
  expect(gic.told()).toEqual([['gicr:0', [40]]]);
  gic.write(0x6000 + 8 * 40, 0x102n, 8);
  expect(gic.told()).toEqual([['gicr:0', []], ['gicr:18', [40]]]);
  for (const nowhere of [0x104n, 0x10n, 0x1_0000n, 0x1_0000_0000n]) {
    gic.write(0x6000 + 8 * 40, nowhere, 8);
    expect(gic.told().flatMap(([, intids]) => intids)).toEqual([]);
    expect(gic.read(0x6000 + 8 * 40, 8)).toBe(nowhere);
  }
  gic.write(0x6000 + 8 * 40, 0x8000_0003n, 8);
  expect(gic.told()).toEqual([['gicr:0', [40]]]);
});

test('a route takes its halves one at a time', () => {
  const gic = stage();
  gic.write(0x6000 + 8 * 33, 0x0002n);
  gic.write(0x6004 + 8 * 33, 0xffn);
  expect([gic.read(0x6000 + 8 * 33, 8), gic.read(0x6000 + 8 * 33), gic.read(0x6004 + 8 * 33)]).toEqual([0xff_0000_0002n, 2n, 0xffn]);
});

test('an active SPI stays with the PE that took it when its route changes', () => {
  const gic = ready();
  gic.say({ type: 'irq-line', intid: 40, level: true });
  gic.told();
  gic.say({ type: 'acknowledge', intid: 40, vcpu: 0 });
  expect(gic.out.take()).toEqual([{ to: 'gicr:0', message: { type: 'spis', groupsEnabled: [false, true], interrupts: [{ intid: 40, priority: 0, group: 1, pending: true, active: true, level: true }] } }]);
  gic.write(0x6000 + 8 * 40, 3n, 8);
  expect(gic.told()).toEqual([]);
  expect(describeDistributor(gic.state)).toContain('40: active and pending, enabled, Group 1, priority 0x00, level high, to affinity 0x3, held by PE 0');
  gic.say({ type: 'deactivate', intid: 40, vcpu: 0 });
  expect(gic.told()).toEqual([['gicr:0', []], ['gicr:3', [40]]]);
});

test('ICACTIVER lets go of an SPI as a deactivation does', () => {
  const gic = ready();
  gic.say({ type: 'irq-line', intid: 63, level: true });
  gic.say({ type: 'acknowledge', intid: 63, vcpu: 2 });
  gic.say({ type: 'irq-line', intid: 63, level: false });
  gic.told();
  gic.write(0x384, 1n << 31n);
  expect([gic.told(), gic.read(0x304)]).toEqual([[['gicr:2', []]], 0n]);
});

test('an edge pends once, until it is taken', () => {
  const gic = ready();
  gic.write(0xc00 + 4 * 2, 2n << 16n);
  for (const level of [true, false, true, false]) gic.say({ type: 'irq-line', intid: 40, level });
  expect(gic.told()).toEqual([['gicr:0', [40]]]);
  gic.say({ type: 'acknowledge', intid: 40, vcpu: 0 });
  gic.say({ type: 'deactivate', intid: 40, vcpu: 0 });
  expect(gic.told()).toEqual([['gicr:0', [40]], ['gicr:0', []]]);
});

test('each half of a bank has its own trigger modes', () => {
  const gic = stage();
  gic.write(0xc08, 0xaaaa_aaaan);
  gic.write(0xc0c, 0x0000_000an);
  expect([gic.read(0xc08), gic.read(0xc0c), gic.state.banks[0]!.edge, gic.state.banks[1]!.edge]).toEqual([0xaaaa_aaaan, 0xan, 0x3_ffff, 0]);
  gic.write(0xc08, 0n);
  expect(gic.state.banks[0]!.edge).toBe(0x3_0000);
});

test('nobody is told what has not changed', () => {
  const gic = ready();
  gic.say({ type: 'irq-line', intid: 40, level: true });
  gic.told();
  gic.say({ type: 'irq-line', intid: 40, level: true });
  gic.write(0x104, 0xffff_ffffn);
  gic.write(0, 2n);
  gic.say({ type: 'deactivate', intid: 1019, vcpu: 0 });
  expect(gic.out.sent).toEqual([]);
});

test('an SGI goes on to the redistributor of each target', () => {
  const gic = stage();
  gic.say({ type: 'sgi', intid: 7, group: 1, targets: [1, 3] });
  expect(gic.out.take()).toEqual([1, 3].map((target) => ({ to: `gicr:${target}`, message: { type: 'sgi-pending', intid: 7, group: 1 } })));
});

test('the registers of SGIs and PPIs, and of SPIs that do not exist, are RAZ/WI; the unknown is told', () => {
  const gic = stage();
  for (const offset of [0x080, 0x100, 0x200, 0x300, 0x10c, 0x400, 0x4a0, 0xc00, 0xc18, 0xd04, 0xe00, 0x800, 0x00c, 0x010]) {
    gic.write(offset, 0xffff_ffffn);
    expect(gic.read(offset), `offset ${offset}`).toBe(0n);
  }
  gic.write(0x6000, 5n, 8);
  gic.write(0x6000 + 8 * 96, 5n, 8);
  expect([gic.read(0x6000, 8), gic.read(0x6000 + 8 * 96, 8), gic.out.events]).toEqual([0n, 0n, []]);
  gic.write(0x1000, 1n);
  gic.write(0x102, 1n, 2);
  expect(gic.out.events).toEqual([
    { event: 'gic_unknown_register', frame: 'GICD', access: 'write', offset: 0x1000, bytes: 4 },
    { event: 'gic_unknown_register', frame: 'GICD', access: 'write', offset: 0x102, bytes: 2 },
  ]);
});

test('a line that is no SPI stops the program', () => {
  const gic = stage();
  for (const intid of [27, 96, 1020]) expect(() => gic.say({ type: 'irq-line', intid, level: true })).toThrow(RangeError);
});
