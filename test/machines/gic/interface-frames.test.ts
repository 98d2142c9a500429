/** GICv2's CPU interface by its frames: groups, acknowledgement and end, list registers, and what the virtual interface makes of them. Arm IHI 0048B, 4.4, 5.3 and 5.5. */

import { describe, expect, test } from 'vitest';
import { physicalInterruptPending, receiveOffer, virtualInterruptPending } from '../../../machines/aarch64/cpu-interface.ts';
import { resetSystemRegisters } from '../../../machines/aarch64/sysregs.ts';
import { accessInterface, INTERFACE_FRAMES } from '../../../machines/gic/interface-frames.ts';
import type { OfferedInterrupt } from '../../../machines/messages.ts';
import { bareCore } from '../../support/core.ts';
import { recorder } from './recorder.ts';

const C = INTERFACE_FRAMES.GICC, H = INTERFACE_FRAMES.GICH, V = INTERFACE_FRAMES.GICV;
const CTLR = 0x00, PMR = 0x04, BPR = 0x08, IAR = 0x0c, EOIR = 0x10, RPR = 0x14, HPPIR = 0x18, ABPR = 0x1c, AIAR = 0x20, AEOIR = 0x24, AHPPIR = 0x28, APR = 0xd0, NSAPR = 0xe0, IIDR = 0xfc, DIR = 0x1000;
const GROUP0 = 1, GROUP1 = 2, ACKCTL = 4, FIQEN = 8, CBPR = 0x10, EOIMODE = 0x200;
const HCR = 0x00, VTR = 0x04, VMCR = 0x08, MISR = 0x10, EISR = 0x20, ELRSR = 0x30, HAPR = 0xf0, LR = 0x100;

function stage() {
  const { core, board } = bareCore({ cores: 2, features: { gic: 2 } });
  resetSystemRegisters(core.words, board, 0);
  const out = recorder();
  return {
    core, out,
    read: (offset: number, bytes = 4): number => {
      accessInterface(core, { type: 'read', from: 'vcpu:0', offset, bytes }, out);
      return Number(out.sent.pop()!.message['value']);
    },
    write: (offset: number, value: number, bytes = 4): void => accessInterface(core, { type: 'write', from: 'vcpu:0', offset, bytes, value: BigInt(value >>> 0) }, out),
    offer: (...interrupts: readonly (Partial<OfferedInterrupt> & { readonly intid: number })[]): void =>
      receiveOffer(core, { type: 'offer', interrupts: interrupts.map((one) => ({ priority: 0, group: 0, pending: true, active: false, level: false, ...one })) }),
    /** What the distributor was told. */
    told: () => board.outbox.splice(0).map(({ to, message: { type, ...fields } }) => `${to} ${type} ${Object.values(fields).join(' ')}`),
  };
}

/** Open to everything, and in both groups. */
function open(control = GROUP0 | GROUP1) {
  const gic = stage();
  gic.write(C + CTLR, control);
  gic.write(C + PMR, 0xff);
  return gic;
}

describe('GICC', () => {
  test.each<[string, number, number, number, number]>([
    ['CTLR has what one Security state needs', CTLR, 0, 0xffff_ffff, 0x21f],
    ['PMR has five bits', PMR, 0, 0xff, 0xf8],
    ['BPR is 2 at least', BPR, 2, 0, 2],
    ['ABPR is 3 at least', ABPR, 3, 0xff, 7],
    ['RPR is 0xff when idle, and read-only', RPR, 0xff, 0, 0xff],
    ['APR0', APR, 0, 0x8000_0001, 0x8000_0001],
    ['NSAPR0', NSAPR, 0, 0x8000_0001, 0x8000_0001],
    ['APR1 has nothing for five bits', APR + 4, 0, 0xff, 0],
    ['IIDR says version 2', IIDR, 0x05a2_043b, 0, 0x05a2_043b],
    ['EOIR is write-only', EOIR, 0, 1023, 0],
    ['DIR is write-only', DIR, 0, 1023, 0],
  ])('%s', (_, offset, before, value, after) => {
    const gic = stage();
    expect(gic.read(C + offset)).toBe(before);
    gic.write(C + offset, value);
    expect([gic.read(C + offset), gic.out.events]).toEqual([after, []]);
  });

  test.each([['GICC', C + 0x30], ['GICC', C + 0x2000], ['GICH', H + 0x40], ['GICV', V + 0xe0]])('an access to a hole of %s at %i reads as zero, and is told', (frame, offset) => {
    const gic = stage();
    expect(gic.read(offset)).toBe(0);
    expect(gic.out.events).toEqual([{ event: 'gic_unknown_register', frame, access: 'read', offset, bytes: 4 }]);
  });

  test.each<[string, number, 0 | 1, 'irq' | 'fiq' | undefined]>([
    ['Group 0 is an IRQ', GROUP0, 0, 'irq'], ['Group 0 is a FIQ with FIQEn', GROUP0 | FIQEN, 0, 'fiq'], ['Group 1 is an IRQ, FIQEn or not', GROUP1 | FIQEN, 1, 'irq'],
    ['Group 0 is nothing while it is disabled', GROUP1, 0, undefined], ['Group 1 is nothing while it is disabled', GROUP0, 1, undefined],
  ])('%s', (_, control, group, signal) => {
    const gic = open(control);
    gic.offer({ intid: 40, group });
    expect(physicalInterruptPending(gic.core)).toBe(signal);
  });

  test.each<[string, number, 0 | 1, [iar: number, hppir: number, aiar: number, ahppir: number]]>([
    ['Group 0', GROUP0 | GROUP1, 0, [40, 40, 1023, 1023]],
    ['Group 1 without AckCtl', GROUP0 | GROUP1, 1, [1022, 1022, 40, 40]],
    ['Group 1 with AckCtl', GROUP0 | GROUP1 | ACKCTL, 1, [40, 40, 40, 40]],
    ['Group 1 that is disabled', GROUP0, 1, [1023, 1023, 1023, 1023]],
  ])('%s is acknowledged and seen by the registers that may', (_, control, group, values) => {
    const found = [IAR, HPPIR, AIAR, AHPPIR].map((offset) => {
      const gic = open(control);
      gic.offer({ intid: 40, group, priority: 0x50 });
      return gic.read(C + offset);
    });
    expect(found).toEqual(values);
  });

  test('an SGI is acknowledged with its sender, ended with it, and the distributor is told both', () => {
    const gic = open();
    gic.offer({ intid: 5, source: 3, priority: 0x40 });
    expect([gic.read(C + HPPIR), gic.read(C + IAR), gic.read(C + RPR), gic.read(C + APR)]).toEqual([0xc05, 0xc05, 0x40, 1 << 8]);
    expect(gic.told()).toEqual(['gicr:0 acknowledge 5 3']);
    expect(gic.read(C + IAR)).toBe(1023);
    gic.write(C + EOIR, 0xc05);
    expect([gic.told(), gic.read(C + RPR)]).toEqual([['gicr:0 deactivate 5'], 0xff]);
  });

  test('the mask, the running priority and the binary point hold an interrupt back', () => {
    const gic = open();
    gic.offer({ intid: 40, priority: 0x80 });
    gic.write(C + PMR, 0x80);
    expect([physicalInterruptPending(gic.core), gic.read(C + IAR), gic.read(C + HPPIR)]).toEqual([undefined, 1023, 40]);
    gic.write(C + PMR, 0x88);
    expect([gic.read(C + IAR), gic.told()]).toEqual([40, ['gicd acknowledge 40 0']]);
    gic.offer({ intid: 41, priority: 0x78 });
    expect(physicalInterruptPending(gic.core)).toBe('irq');
    // Groups of 0x80: neither preempts the other; 0x78 is another one, 0x80 is the same.
    gic.write(C + BPR, 6);
    expect(physicalInterruptPending(gic.core)).toBe('irq');
    gic.write(C + BPR, 7);
    expect(physicalInterruptPending(gic.core)).toBeUndefined();
  });

  test('the common binary point is for both groups', () => {
    const gic = open(GROUP0 | GROUP1 | CBPR);
    gic.write(C + BPR, 4);
    gic.write(C + ABPR, 7);
    expect([gic.read(C + ABPR), gic.read(C + CTLR)]).toEqual([5, GROUP0 | GROUP1 | CBPR]);
  });

  test('with EOImode the end drops the priority, and DIR deactivates', () => {
    const gic = open(GROUP0 | EOIMODE);
    gic.offer({ intid: 40 });
    gic.read(C + IAR);
    gic.told();
    gic.write(C + EOIR, 40);
    expect([gic.told(), gic.read(C + RPR)]).toEqual([[], 0xff]);
    gic.write(C + DIR, 40);
    expect(gic.told()).toEqual(['gicd deactivate 40 0']);
    gic.write(C + CTLR, GROUP0);
    gic.write(C + DIR, 40);
    expect(gic.told()).toEqual([]);
  });

  test('EOIR ends what runs, of either group; AEOIR Group 1 alone; a special INTID is no end', () => {
    const gic = open(GROUP0 | GROUP1 | ACKCTL);
    gic.offer({ intid: 40, group: 1, priority: 0x80 });
    gic.read(C + AIAR);
    gic.offer({ intid: 41, group: 0, priority: 0x40 });
    gic.read(C + IAR);
    expect([gic.read(C + APR), gic.read(C + NSAPR)]).toEqual([1 << 8, 1 << 16]);
    gic.told();
    gic.write(C + AEOIR, 41);
    gic.write(C + EOIR, 1023);
    expect([gic.told(), gic.read(C + RPR)]).toEqual([[], 0x40]);
    gic.write(C + EOIR, 41);
    expect([gic.told(), gic.read(C + RPR)]).toEqual([['gicd deactivate 41 0'], 0x80]);
    gic.write(C + EOIR, 40);
    expect([gic.told(), gic.read(C + RPR)]).toEqual([['gicd deactivate 40 0'], 0xff]);
  });
});

const PENDING = 1 << 28, ACTIVE = 1 << 29, LR_GROUP1 = 1 << 30, HW = 1 << 31, EOI = 1 << 19;
const lr = (intid: number, more = PENDING, priority = 0): number => (intid | more | (priority << 20)) >>> 0;

/** The hypervisor has switched the virtual interface on, and its guest opened it. */
function hypervised(control = GROUP0 | GROUP1) {
  const gic = stage();
  gic.write(H + HCR, 1);
  gic.write(V + PMR, 0xff);
  gic.write(V + CTLR, control);
  return gic;
}

describe('GICH', () => {
  test.each<[string, number, number, number, number]>([
    ['HCR has no traps', HCR, 0, 0xffff_ffff, 0xf800_00ff],
    ['VTR: four list registers, five bits of priority', VTR, 0x9000_0003, 0, 0x9000_0003],
    ['VMCR is what the virtual interface is controlled by', VMCR, 0x4c_0000, 0xffff_ffff, 0xf8fc_021f],
    ['APR', HAPR, 0, 0x8000_0003, 0x8000_0003],
    ['EISR1', EISR + 4, 0, 0xff, 0],
    ['a list register that is not there', LR + 16, 0, 0xff, 0],
    ['a list register of software', LR + 4, 0, 0xffff_ffff & ~HW, 0x7f88_1fff],
    ['a list register of hardware', LR + 12, 0, 0xffff_ffff, 0xff8f_ffff],
  ])('%s', (_, offset, before, value, after) => {
    const gic = stage();
    expect(gic.read(H + offset)).toBe(before);
    gic.write(H + offset, value);
    expect(gic.read(H + offset)).toBe(after);
    expect(gic.out.events).toEqual([]);
  });

  test('ELRSR, EISR and MISR say what the list registers need, and the maintenance line follows', () => {
    const gic = hypervised();
    expect(gic.read(H + ELRSR)).toBe(0xf);
    gic.write(H + LR, lr(40, EOI | ACTIVE));
    gic.write(H + HAPR, 1);
    expect([gic.read(H + ELRSR), gic.read(H + MISR), gic.told()]).toEqual([0xe, 0, []]);
    gic.write(V + EOIR, 40);
    expect([gic.read(H + EISR), gic.read(H + MISR), gic.told()]).toEqual([1, 1, ['gicr:0 irq-line 25 true']]);
    gic.write(H + LR, 0);
    expect([gic.read(H + EISR), gic.read(H + ELRSR), gic.told()]).toEqual([0, 0xf, ['gicr:0 irq-line 25 false']]);
  });

  test('VMCR and the virtual interface are views of each other', () => {
    const gic = stage();
    gic.write(V + CTLR, 0xffff_ffff);
    gic.write(V + PMR, 0x88);
    gic.write(V + BPR, 5);
    expect(gic.read(H + VMCR)).toBe(0x88ac_021f);
    gic.write(H + VMCR, 0xf0f0_0005);
    expect([CTLR, PMR, BPR, ABPR].map((offset) => gic.read(V + offset))).toEqual([5, 0xf0, 7, 4]);
  });
});

describe('GICV', () => {
  test.each<[string, number, number, 'irq' | 'fiq' | undefined]>([
    ['Group 0 is a virtual IRQ', GROUP0, 0, 'irq'], ['Group 0 is a virtual FIQ with FIQEn', GROUP0 | FIQEN, 0, 'fiq'], ['Group 1 is a virtual IRQ', GROUP1 | FIQEN, LR_GROUP1, 'irq'],
    ['Group 0 is nothing while it is disabled', GROUP1, 0, undefined],
  ])('%s', (_, control, group, signal) => {
    const gic = hypervised(control);
    gic.write(H + LR, lr(40, PENDING | group));
    expect(virtualInterruptPending(gic.core)).toBe(signal);
    gic.write(H + HCR, 0);
    expect(virtualInterruptPending(gic.core)).toBeUndefined();
  });

  test.each<[string, number, number, [number, number, number, number]]>([
    ['Group 0', GROUP0 | GROUP1, 0, [40, 40, 1023, 1023]],
    ['Group 1 without AckCtl', GROUP0 | GROUP1, LR_GROUP1, [1022, 1022, 40, 40]],
    ['Group 1 with AckCtl', GROUP0 | GROUP1 | ACKCTL, LR_GROUP1, [40, 40, 40, 40]],
  ])('%s is acknowledged and seen by the registers that may', (_, control, group, values) => {
    const found = [IAR, HPPIR, AIAR, AHPPIR].map((offset) => {
      const gic = hypervised(control);
      gic.write(H + LR, lr(40, PENDING | group, 0x50));
      return gic.read(V + offset);
    });
    expect(found).toEqual(values);
  });

  test('an SGI comes with its sender, who is part of its name at its end', () => {
    const gic = hypervised();
    gic.write(H + LR, lr(7 | (2 << 10), PENDING, 0x40));
    gic.write(H + LR + 4, lr(7 | (5 << 10), PENDING, 0x60));
    expect([gic.read(V + IAR), gic.read(V + RPR), gic.read(H + HAPR)]).toEqual([0x807, 0x40, 1 << 8]);
    expect(gic.read(H + LR)).toBe(lr(0x807, ACTIVE, 0x40));
    gic.write(V + EOIR, 0x807);
    expect([gic.read(H + LR), gic.read(V + RPR), gic.read(V + IAR)]).toEqual([lr(0x807, 0, 0x40), 0xff, 0x1407]);
  });

  test('the end of a hardware interrupt deactivates the physical one, by DIR with EOImode', () => {
    const gic = hypervised();
    gic.write(H + LR, lr(40 | (30 << 10), HW | PENDING));
    gic.read(V + IAR);
    gic.write(V + EOIR, 40);
    expect(gic.told()).toEqual(['gicr:0 deactivate 30']);
    gic.write(V + CTLR, GROUP0 | EOIMODE);
    gic.write(H + LR, lr(41 | (50 << 10), HW | PENDING));
    gic.read(V + IAR);
    gic.write(V + EOIR, 41);
    expect(gic.told()).toEqual([]);
    gic.write(V + DIR, 41);
    expect(gic.told()).toEqual(['gicd deactivate 50 0']);
  });

  test('active priorities that were written are dropped by an end, whatever their group was', () => {
    const gic = hypervised(GROUP0 | GROUP1 | ACKCTL);
    gic.write(H + LR, lr(40, ACTIVE | LR_GROUP1, 0x40));
    gic.write(H + HAPR, 1 << 8);
    expect(gic.read(V + RPR)).toBe(0x40);
    gic.write(V + EOIR, 40);
    expect([gic.read(V + RPR), gic.read(H + LR), gic.read(V + APR)]).toEqual([0xff, lr(40, LR_GROUP1, 0x40), 0]);
  });

  test('the end of what no list register holds counts', () => {
    const gic = hypervised();
    gic.write(H + HAPR, 1);
    gic.write(V + EOIR, 99);
    expect(gic.read(H + HCR) >>> 27).toBe(1);
  });
});
