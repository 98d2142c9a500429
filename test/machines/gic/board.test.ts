/** Distributor, redistributors and CPU interfaces together, as a bare board wires them, against a naive GIC. */

import { describe, expect, test } from 'vitest';
import { CPU_INTERFACE, physicalInterruptPending, receiveOffer } from '../../../machines/aarch64/cpu-interface.ts';
import type { Core } from '../../../machines/aarch64/state.ts';
import { receive as distributor } from '../../../machines/gic/distributor.ts';
import { accessInterface, INTERFACE_FRAMES } from '../../../machines/gic/interface-frames.ts';
import { receive as redistributor } from '../../../machines/gic/redistributor.ts';
import { distributorFaults, initialDistributor, initialRedistributor, redistributorFaults, type GicVersion } from '../../../machines/gic/state.ts';
import type { DistributorMessage, Offer, RedistributorMessage } from '../../../machines/messages.ts';
import { bareCore } from '../../support/core.ts';
import { noMemory, recorder } from './recorder.ts';

const GICD_BANK = 32;
const read = (core: Core, name: string): bigint => CPU_INTERFACE[name]!.read!(core);
const write = (core: Core, name: string, value: bigint): void => CPU_INTERFACE[name]!.write!(core, value);
const GICC = { PMR: 0x04, IAR: 0x0c, EOIR: 0x10 };

function board(cores: number, version: GicVersion = 3) {
  const bare = bareCore({ cores, features: { gic: version } });
  const gicd = initialDistributor(cores, 32, version);
  const gicr = bare.cores.map((core) => initialRedistributor(core.index, core.index === cores - 1, undefined, version));
  const out = recorder();
  const send = (to: string, message: unknown): void => {
    if (to === 'gicd') distributor(gicd, message as DistributorMessage, out);
    else if (to.startsWith('gicr:')) redistributor(gicr[Number(to.slice(5))]!, message as RedistributorMessage, out, noMemory);
    else receiveOffer(bare.cores[Number(to.slice(5))]!, message as Offer);
  };
  /** Delivers what was said, oldest first, until nobody says anything. */
  const settle = (): void => {
    for (;;) {
      for (const { to, message } of bare.board.outbox.splice(0)) out.sent.push({ to, message });
      const next = out.sent.shift();
      if (next === undefined) return;
      send(next.to, next.message);
    }
  };
  const act = (to: string, message: unknown): void => { send(to, message); settle(); };
  act('gicd', { type: 'write', from: 'vcpu:0', offset: 0, bytes: 4, value: 3n });
  act('gicd', { type: 'write', from: 'vcpu:0', offset: 0x84, bytes: 4, value: 0xffff_ffffn });
  act('gicd', { type: 'write', from: 'vcpu:0', offset: 0x104, bytes: 4, value: 0xffff_ffffn });
  /** An access of GICv2 to its core's interface. */
  const access = (core: Core, offset: number, value?: bigint): bigint => {
    const heard = recorder();
    accessInterface(core, { from: `vcpu:${core.index}`, offset: INTERFACE_FRAMES.GICC + offset, bytes: 4, ...(value === undefined ? { type: 'read' } : { type: 'write', value }) }, heard);
    return (heard.sent[0]?.message['value'] ?? 0n) as bigint;
  };
  /** The interface in the words of either version; with GICv2 an SGI comes with its sender, which is the caller's business. */
  const gic = version === 3 ? {
    take: (core: Core): bigint => read(core, 'ICC_IAR1_EL1'),
    end: (core: Core, intid: bigint): void => write(core, 'ICC_EOIR1_EL1', intid),
    sgi: (core: Core, intid: number, pe: number): void => write(core, 'ICC_SGI1R_EL1', (BigInt(intid) << 24n) | (1n << BigInt(pe))),
  } : {
    take: (core: Core): bigint => access(core, GICC.IAR),
    end: (core: Core, intid: bigint): void => { access(core, GICC.EOIR, intid); },
    sgi: (core: Core, intid: number, pe: number): void => send('gicd', { type: 'write', from: `vcpu:${core.index}`, offset: 0xf00, bytes: 4, value: BigInt((1 << (16 + pe)) | intid) }),
  };
  // SPIs go to PE 0, as GICv3's do out of reset.
  for (const intid of version === 2 ? [32, 36, 40, 44, 48, 52, 56, 60] : []) act('gicd', { type: 'write', from: 'vcpu:0', offset: 0x800 + intid, bytes: 4, value: 0x0101_0101n });
  for (const core of version === 2 ? bare.cores : []) {
    for (const offset of [0x080, 0x100]) act('gicd', { type: 'write', from: `vcpu:${core.index}`, offset, bytes: 4, value: 0xffff_ffffn });
    // Both groups, and AckCtl.
    access(core, 0, 7n);
    access(core, GICC.PMR, 0xf8n);
  }
  for (const core of version === 3 ? bare.cores : []) {
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x14, bytes: 4, value: 0n });
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x1_0080, bytes: 4, value: 0xffff_ffffn });
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x1_0100, bytes: 4, value: 0xffff_ffffn });
    write(core, 'ICC_PMR_EL1', 0xf8n);
    write(core, 'ICC_IGRPEN1_EL1', 1n);
  }
  return { cores: bare.cores, gicd, gicr, gic, act, settle };
}

test('PE 0 interrupts PE 2 with an SGI, which takes it once', () => {
  const { cores, settle } = board(3);
  write(cores[0]!, 'ICC_SGI1R_EL1', (9n << 24n) | (1n << 2n));
  settle();
  expect(cores.map(physicalInterruptPending)).toEqual([undefined, undefined, 'irq']);
  expect(read(cores[2]!, 'ICC_IAR1_EL1')).toBe(9n);
  settle();
  expect(physicalInterruptPending(cores[2]!)).toBeUndefined();
  write(cores[2]!, 'ICC_EOIR1_EL1', 9n);
  settle();
  expect(read(cores[2]!, 'ICC_IAR1_EL1')).toBe(1023n);
});

test('a timer whose level stays high interrupts again after its end, and not before', () => {
  const { cores: [core], act, settle } = board(1);
  act('gicr:0', { type: 'irq-line', intid: 27, level: true });
  for (let time = 0; time < 3; time++) {
    expect(read(core!, 'ICC_IAR1_EL1')).toBe(27n);
    settle();
    expect([physicalInterruptPending(core!), read(core!, 'ICC_IAR1_EL1')]).toEqual([undefined, 1023n]);
    write(core!, 'ICC_EOIR1_EL1', 27n);
    settle();
    expect(physicalInterruptPending(core!)).toBe('irq');
  }
  act('gicr:0', { type: 'irq-line', intid: 27, level: false });
  expect(physicalInterruptPending(core!)).toBeUndefined();
});

/** The naive GIC: one object an interrupt, everything looked up afresh. */
interface Naive { readonly intid: number; readonly pe?: number; level: boolean; line: boolean; latched: boolean; /** GICv2's senders. */ senders: number[]; active?: number; priority: number; enabled: boolean; route: number }

describe.each([2, 3] as const)('GICv%d', (version) => {
  test('a thousand random events a seed: every PE is signalled, and takes, what a naive GIC says', () => {
    for (const seed of [1, 2, 3]) {
      let random = seed * 7919;
      const below = (limit: number): number => {
        random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
        return Math.floor((random / 2 ** 32) * limit);
      };
      const { cores, gicd, gicr, gic, act, settle } = board(2, version);
      const naive: Naive[] = [];
      for (const pe of [0, 1]) for (const intid of [3, 20, 27]) naive.push({ intid, pe, level: intid > 15, line: false, latched: false, senders: [], priority: 0, enabled: true, route: pe });
      for (const intid of [33, 40, 63]) naive.push({ intid, level: true, line: false, latched: false, senders: [], priority: 0, enabled: true, route: 0 });
      const running: number[][] = [[], []];
      const pendingOf = (one: Naive): boolean => one.latched || (one.level && one.line);
      const best = (pe: number): Naive | undefined => naive
        .filter((one) => (one.pe ?? one.route) === pe && one.enabled && one.active === undefined && pendingOf(one))
        .sort((one, other) => one.priority - other.priority || one.intid - other.intid)[0];
      let taken = 0;
      for (let turn = 0; turn < 1000; turn++) {
        const one = naive[below(naive.length)]!;
        const frame = one.pe === undefined || version === 2 ? 'gicd' : `gicr:${one.pe}`;
        const base = frame === 'gicd' ? 0 : 0x1_0000;
        const bitmap = (offset: number): number => base + offset + 4 * Math.floor(one.intid / GICD_BANK);
        const bit = 1n << BigInt(one.intid % 32);
        const poke = (offset: number, value: bigint, bytes = 4): void => act(frame, { type: 'write', from: `vcpu:${one.pe ?? 0}`, offset, bytes, value });
        const pe = below(2);
        switch (below(9)) {
          case 0: case 1:
            if (one.intid < 16) {
              gic.sgi(cores[pe]!, one.intid, one.pe!);
              settle();
              one.latched = true;
              if (!one.senders.includes(pe)) one.senders.push(pe);
            } else {
              one.line = !one.line;
              if (one.line && !one.level) one.latched = true;
              act(one.pe === undefined ? 'gicd' : `gicr:${one.pe}`, { type: 'irq-line', intid: one.intid, level: one.line });
            }
            break;
          case 2:
            poke(bitmap(0x200), bit);
            // GICv2's SGIs pend by other registers.
            one.latched ||= version === 3 || one.intid > 15;
            break;
          case 3:
            poke(bitmap(0x280), bit);
            one.latched &&= version === 2 && one.intid < 16;
            break;
          case 4: one.enabled = !one.enabled; poke(bitmap(one.enabled ? 0x100 : 0x180), bit); break;
          case 5: one.priority = 8 * below(31); poke(base + 0x400 + one.intid, BigInt(one.priority), 1); break;
          case 6:
            if (one.pe === undefined) { one.route = below(2); if (version === 2) poke(0x800 + one.intid, 1n << BigInt(one.route), 1); else poke(0x6000 + 8 * one.intid, BigInt(one.route), 8); }
            else if (one.intid > 15) {
              // Trigger modes of this frame's PPIs: the other one keeps its own.
              one.level = !one.level;
              const value = naive.filter((ppi) => ppi.pe === one.pe && ppi.intid > 15 && !ppi.level).reduce((sum, ppi) => sum | (2n << BigInt(2 * (ppi.intid - 16))), 0n);
              poke(base + 0xc04, value);
            }
            break;
          case 7: {
            const expected = best(pe);
            const current = running[pe]!.at(-1) ?? 0xff;
            const group = expected === undefined ? 0 : Math.floor(expected.priority / 8);
            const takes = expected !== undefined && expected.priority < 0xf8 && (current === 0xff || group < Math.floor(current / 8));
            expect(physicalInterruptPending(cores[pe]!), `seed ${seed} turn ${turn}`).toBe(takes ? 'irq' : undefined);
            const sender = version === 2 && takes && expected.intid < 16 ? expected.senders.toSorted()[0]! : 0;
            expect(gic.take(cores[pe]!)).toBe(takes ? BigInt(expected.intid | (sender << 10)) : 1023n);
            settle();
            if (takes) {
              expected.senders = version === 2 ? expected.senders.filter((one) => one !== sender) : [];
              expected.latched = expected.senders.length > 0;
              expected.active = pe;
              running[pe]!.push(expected.priority);
              taken++;
            }
            break;
          }
          case 8: {
            const mine = naive.filter((candidate) => candidate.active === pe);
            const ended = mine[below(mine.length)];
            if (ended === undefined) break;
            gic.end(cores[pe]!, BigInt(ended.intid));
            settle();
            delete ended.active;
            running[pe]!.pop();
            break;
          }
        }
        expect([...distributorFaults(gicd), ...gicr.flatMap(redistributorFaults)]).toEqual([]);
      }
      expect(taken).toBeGreaterThan(20);
    }
  });
});
