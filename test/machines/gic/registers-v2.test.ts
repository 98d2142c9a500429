/** GICv2's distributor: what is banked by PE, targets, SGIs and their senders. Arm IHI 0048B, 4.3. */

import { describe, expect, test } from 'vitest';
import { describeDistributor, describeRedistributor } from '../../../machines/gic/describe.ts';
import { receive as distributor } from '../../../machines/gic/distributor.ts';
import { receive as banked } from '../../../machines/gic/redistributor.ts';
import { distributorFaults, initialDistributor, initialRedistributor, redistributorFaults } from '../../../machines/gic/state.ts';
import type { DistributorMessage, OfferedInterrupt, RedistributorMessage } from '../../../machines/messages.ts';
import { noMemory, recorder } from './recorder.ts';

/** A distributor and its banked parts, wired; what the PEs are offered is kept. */
function stage(vcpus = 4, spis = 64) {
  const shared = initialDistributor(vcpus, spis, 2);
  const own = Array.from({ length: vcpus }, (_, index) => initialRedistributor(index, index === vcpus - 1, undefined, 2));
  const out = recorder();
  const offers: (readonly OfferedInterrupt[])[] = own.map(() => []);
  const replies: bigint[] = [];
  const say = (to: string, message: unknown): void => {
    if (to === 'gicd') distributor(shared, message as DistributorMessage, out);
    else banked(own[Number(to.slice(5))]!, message as RedistributorMessage, out, noMemory);
    for (const sent of out.take()) {
      if (sent.to.startsWith('gicr:')) say(sent.to, sent.message);
      else if (sent.message.type === 'offer') offers[Number(sent.to.slice(5))] = sent.message['interrupts'] as readonly OfferedInterrupt[];
      else replies.push(sent.message['value'] as bigint);
    }
    expect([...distributorFaults(shared), ...own.flatMap(redistributorFaults)]).toEqual([]);
  };
  return {
    out, offers, say,
    write: (pe: number, offset: number, value: bigint, bytes = 4) => say('gicd', { type: 'write', from: `vcpu:${pe}`, offset, bytes, value }),
    read: (pe: number, offset: number, bytes = 4): bigint => {
      say('gicd', { type: 'read', from: `vcpu:${pe}`, offset, bytes });
      return replies.pop()!;
    },
    /** INTIDs that pend at each PE, an SGI with its sender. */
    pending: () => offers.map((offer) => offer.filter(({ pending }) => pending).map(({ intid, source }) => (source === undefined ? intid : `${intid} from ${source}`))),
    text: () => [...own.map(describeRedistributor), describeDistributor(shared)].join('\n'),
  };
}

/** Both groups forwarded, every SGI and SPI enabled. */
function ready(vcpus = 4) {
  const gic = stage(vcpus);
  gic.write(0, 0x000, 3n);
  for (let pe = 0; pe < vcpus; pe++) gic.write(pe, 0x100, 0xffff_ffffn);
  for (const offset of [0x104, 0x108]) gic.write(0, offset, 0xffff_ffffn);
  return gic;
}

const SGIR = 0xf00, ITARGETSR = 0x800, CPENDSGIR = 0xf10, SPENDSGIR = 0xf20;

describe('the registers', () => {
  test.each<[string, number, bigint, bigint, bigint]>([
    ['GICD_CTLR has two enables', 0x000, 0n, 0xffff_ffffn, 3n],
    ['GICD_TYPER says lines and PEs, and is read-only', 0x004, 0x62n, 0n, 0x62n],
    ['GICD_IGROUPR of SPIs', 0x084, 0n, 0x8000_0001n, 0x8000_0001n],
    ['GICD_ISPENDR of an SGI is read-only', 0x200, 0n, 0xffff_ffffn, 0xffff_0000n],
    ['GICD_ITARGETSR of SPIs has bits for the PEs that there are', ITARGETSR + 32, 0n, 0xffff_1002n, 0x0f0f_0002n],
    ['GICD_ICFGR of SGIs and PPIs is fixed', 0xc00, 0xaaaa_aaaan, 0n, 0xaaaa_aaaan],
    ['GICD_ICFGR of SPIs', 0xc08, 0n, 0xffff_ffffn, 0xaaaa_aaaan],
    ['GICD_NSACR: one Security state', 0xe00, 0n, 0xffff_ffffn, 0n],
    ['GICD_SGIR is write-only', SGIR, 0n, 0n, 0n],
    ['GICD_PIDR2 says version 2', 0xfe8, 0x2bn, 0n, 0x2bn],
    ['SPIs beyond those that there are', 0x10c, 0n, 0xffff_ffffn, 0n],
  ])('%s', (_, offset, before, value, after) => {
    const gic = stage();
    expect(gic.read(1, offset)).toBe(before);
    gic.write(1, offset, value);
    expect(gic.read(1, offset)).toBe(after);
    expect(gic.out.events.filter(({ event }) => event === 'gic_unknown_register')).toEqual([]);
  });

  test.each([['in a hole', 0x010, 4], ['of a route, which GICv3 has', 0x6100, 8], ['of half a bitmap', 0x104, 2], ['of GICv3\'s identification', 0xffe8, 4]])('an access %s reads as zero, and is told', (_, offset, bytes) => {
    const gic = stage();
    expect(gic.read(0, offset, bytes)).toBe(0n);
    expect(gic.out.events).toEqual([{ event: 'gic_unknown_register', frame: 'GICD', access: 'read', offset, bytes }]);
  });

  test('bytes of priorities and targets are written one at a time', () => {
    const gic = stage();
    gic.write(0, 0x400 + 33, 0xffn, 1);
    gic.write(0, ITARGETSR + 34, 5n, 1);
    expect([gic.read(0, 0x400 + 32), gic.read(0, ITARGETSR + 32), gic.read(3, ITARGETSR + 34, 1)]).toEqual([0xf800n, 0x5_0000n, 5n]);
  });

  test('what concerns SGIs and PPIs is each PE\'s own', () => {
    const gic = stage();
    for (const [offset, value] of [[0x080, 0x10n], [0x100, 0x20n], [0x300, 0x8000n], [0x400, 0x1808_0000n]] as const) gic.write(2, offset, value);
    for (const offset of [0x080, 0x100, 0x300, 0x400]) expect([0, 1, 3].map((pe) => gic.read(pe, offset)), offset.toString(16)).toEqual([0n, 0n, 0n]);
    expect([0x080, 0x100, 0x180, 0x300, 0x400].map((offset) => gic.read(2, offset))).toEqual([0x10n, 0x20n, 0x20n, 0x8000n, 0x1808_0000n]);
  });

  test('their target is the PE that asks, but where there is only one', () => {
    expect([0, 1, 2, 3].map((pe) => stage().read(pe, ITARGETSR + 4))).toEqual([0x0101_0101n, 0x0202_0202n, 0x0404_0404n, 0x0808_0808n]);
    const alone = stage(1);
    alone.write(0, ITARGETSR + 32, 0xffff_ffffn);
    expect([alone.read(0, ITARGETSR), alone.read(0, ITARGETSR + 32)]).toEqual([0n, 0n]);
  });

  test('there are 1 to 8 PEs', () => {
    for (const pes of [0, 9]) expect(() => stage(pes)).toThrow(`a distributor serves 1 to 8 PEs, not ${pes}`);
  });
});

describe('an SPI', () => {
  test('is offered to all its targets until one of them has it, and then to nobody else', () => {
    const gic = ready();
    gic.write(0, ITARGETSR + 40, 0b1010n, 1);
    gic.say('gicd', { type: 'irq-line', intid: 40, level: true });
    expect(gic.pending()).toEqual([[], [40], [], [40]]);
    gic.say('gicd', { type: 'acknowledge', intid: 40, vcpu: 3 });
    expect(gic.offers.map((offer) => offer.map(({ intid, active }) => [intid, active]))).toEqual([[], [], [], [[40, true]]]);
    gic.say('gicd', { type: 'irq-line', intid: 40, level: false });
    gic.say('gicd', { type: 'deactivate', intid: 40, vcpu: 3 });
    expect(gic.pending()).toEqual([[], [], [], []]);
  });

  test('without targets waits for one', () => {
    const gic = ready();
    gic.say('gicd', { type: 'irq-line', intid: 33, level: true });
    expect(gic.pending()).toEqual([[], [], [], []]);
    gic.write(1, ITARGETSR + 33, 1n, 1);
    expect(gic.pending()).toEqual([[33], [], [], []]);
  });

  test('of a machine with one PE goes there', () => {
    const gic = ready(1);
    gic.say('gicd', { type: 'irq-line', intid: 33, level: true });
    expect(gic.pending()).toEqual([[33]]);
  });
});

describe('GICD_SGIR', () => {
  test.each<[string, bigint, string[][]]>([
    ['a list, and PEs that do not exist', 0xf5_0003n, [['3 from 1'], [], ['3 from 1'], []]],
    ['nobody', 0x00_0003n, [[], [], [], []]],
    ['all but the sender', 0x100_0004n, [['4 from 1'], [], ['4 from 1'], ['4 from 1']]],
    ['the sender, whatever the list says', 0x2ff_0005n, [[], ['5 from 1'], [], []]],
    ['nobody by the reserved filter', 0x3ff_0005n, [[], [], [], []]],
    ['a group whatever NSATT says', 0x1_8006n, [['6 from 1'], [], [], []]],
  ])('reaches %s', (_, value, pending) => {
    const gic = ready();
    gic.write(1, SGIR, value);
    expect(gic.pending()).toEqual(pending);
  });

  test('an SGI of two senders is taken twice, the lower-numbered sender\'s first', () => {
    const gic = ready();
    for (const sender of [3, 1, 3]) gic.write(sender, SGIR, 0x1_0007n);
    expect([gic.read(0, SPENDSGIR + 4), gic.read(0, CPENDSGIR + 7, 1), gic.read(1, SPENDSGIR + 4), gic.read(0, 0x200)]).toEqual([0x0a00_0000n, 0xan, 0n, 0x80n]);
    expect(gic.text()).toContain('  7: pending, enabled, Group 0, priority 0x00, edge, from PE 1 and 3');
    expect(gic.pending()[0]).toEqual(['7 from 1']);
    gic.say('gicr:0', { type: 'acknowledge', intid: 7, source: 1 });
    expect(gic.offers[0]).toMatchObject([{ intid: 7, pending: true, active: true, source: 3 }]);
    gic.say('gicr:0', { type: 'deactivate', intid: 7 });
    expect(gic.pending()[0]).toEqual(['7 from 3']);
    gic.say('gicr:0', { type: 'acknowledge', intid: 7, source: 3 });
    gic.say('gicr:0', { type: 'deactivate', intid: 7 });
    expect(gic.offers[0]).toEqual([]);
  });

  test('a sender\'s SGI pends and is cleared by GICD_SPENDSGIR and GICD_CPENDSGIR', () => {
    const gic = ready();
    gic.write(2, SPENDSGIR + 8, 0x0000_0500n);
    expect([gic.pending()[2], gic.read(2, 0x280)]).toEqual([['9 from 0'], 0x200n]);
    gic.write(2, CPENDSGIR + 9, 1n, 1);
    expect(gic.pending()[2]).toEqual(['9 from 2']);
    gic.write(2, 0x280, 0xffff_ffffn);
    expect(gic.pending()[2], 'GICD_ICPENDR does not clear SGIs').toEqual(['9 from 2']);
    gic.write(2, CPENDSGIR + 8, 0xffff_ffffn);
    expect([gic.pending()[2], gic.read(2, 0x200)]).toEqual([[], 0n]);
  });
});

test('is described by its targets', () => {
  const gic = ready(2);
  gic.write(0, ITARGETSR + 33, 3n, 1);
  gic.say('gicd', { type: 'irq-line', intid: 33, level: true });
  gic.say('gicd', { type: 'acknowledge', intid: 33, vcpu: 1 });
  const text = gic.text();
  expect(text).toContain('GICD for PE 0: offers nothing to vcpu:0');
  expect(text).toContain('33: active and pending, enabled, Group 0, priority 0x00, level high, to PE 0 and 1, held by PE 1');
  expect(text).toContain('32: inactive, enabled, Group 0, priority 0x00, level low, to nobody');
});
