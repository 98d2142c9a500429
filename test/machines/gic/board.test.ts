/** Distributor, redistributors and CPU interfaces together, as a bare board wires them, against a naive GIC. */

import { expect, test } from 'vitest';
import { CPU_INTERFACE, physicalInterruptPending, receiveOffer } from '../../../machines/aarch64/cpu-interface.ts';
import type { Core } from '../../../machines/aarch64/state.ts';
import { receive as distributor } from '../../../machines/gic/distributor.ts';
import { receive as redistributor } from '../../../machines/gic/redistributor.ts';
import { distributorFaults, initialDistributor, initialRedistributor, redistributorFaults } from '../../../machines/gic/state.ts';
import type { DistributorMessage, Offer, RedistributorMessage } from '../../../machines/messages.ts';
import { bareCore } from '../../support/core.ts';
import { noMemory, recorder } from './recorder.ts';

const GICD_BANK = 32;
const read = (core: Core, name: string): bigint => CPU_INTERFACE[name]!.read!(core);
const write = (core: Core, name: string, value: bigint): void => CPU_INTERFACE[name]!.write!(core, value);

function board(cores: number) {
  const bare = bareCore({ cores });
  const gicd = initialDistributor(cores, 32);
  const gicr = bare.cores.map((core) => initialRedistributor(core.index, core.index === cores - 1));
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
  for (const core of bare.cores) {
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x14, bytes: 4, value: 0n });
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x1_0080, bytes: 4, value: 0xffff_ffffn });
    act(`gicr:${core.index}`, { type: 'write', from: 'vcpu:0', offset: 0x1_0100, bytes: 4, value: 0xffff_ffffn });
    write(core, 'ICC_PMR_EL1', 0xf8n);
    write(core, 'ICC_IGRPEN1_EL1', 1n);
  }
  return { cores: bare.cores, gicd, gicr, act, settle };
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
interface Naive { readonly intid: number; readonly pe?: number; level: boolean; line: boolean; latched: boolean; active?: number; priority: number; enabled: boolean; route: number }

test('a thousand random events a seed: every PE is signalled, and takes, what a naive GIC says', () => {
  for (const seed of [1, 2, 3]) {
    let random = seed * 7919;
    const below = (limit: number): number => {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((random / 2 ** 32) * limit);
    };
    const { cores, gicd, gicr, act, settle } = board(2);
    const naive: Naive[] = [];
    for (const pe of [0, 1]) for (const intid of [3, 20, 27]) naive.push({ intid, pe, level: intid > 15, line: false, latched: false, priority: 0, enabled: true, route: pe });
    for (const intid of [33, 40, 63]) naive.push({ intid, level: true, line: false, latched: false, priority: 0, enabled: true, route: 0 });
    const running: number[][] = [[], []];
    const pendingOf = (one: Naive): boolean => one.latched || (one.level && one.line);
    const best = (pe: number): Naive | undefined => naive
      .filter((one) => (one.pe ?? one.route) === pe && one.enabled && one.active === undefined && pendingOf(one))
      .sort((one, other) => one.priority - other.priority || one.intid - other.intid)[0];
    let taken = 0;
    for (let turn = 0; turn < 1000; turn++) {
      const one = naive[below(naive.length)]!;
      const frame = one.pe === undefined ? 'gicd' : `gicr:${one.pe}`;
      const base = one.pe === undefined ? 0 : 0x1_0000;
      const bitmap = (offset: number): number => base + offset + 4 * Math.floor(one.intid / GICD_BANK);
      const bit = 1n << BigInt(one.intid % 32);
      const poke = (offset: number, value: bigint, bytes = 4): void => act(frame, { type: 'write', from: 'vcpu:0', offset, bytes, value });
      const pe = below(2);
      switch (below(9)) {
        case 0: case 1:
          if (one.intid < 16) {
            write(cores[pe]!, 'ICC_SGI1R_EL1', (BigInt(one.intid) << 24n) | (1n << BigInt(one.pe!)));
            settle();
            one.latched = true;
          } else {
            one.line = !one.line;
            if (one.line && !one.level) one.latched = true;
            act(frame, { type: 'irq-line', intid: one.intid, level: one.line });
          }
          break;
        case 2: one.latched = true; poke(bitmap(0x200), bit); break;
        case 3: one.latched = false; poke(bitmap(0x280), bit); break;
        case 4: one.enabled = !one.enabled; poke(bitmap(one.enabled ? 0x100 : 0x180), bit); break;
        case 5: one.priority = 8 * below(31); poke(base + 0x400 + one.intid, BigInt(one.priority), 1); break;
        case 6:
          if (one.pe === undefined) { one.route = below(2); poke(0x6000 + 8 * one.intid, BigInt(one.route), 8); }
          else if (one.intid > 15) {
            // Trigger modes of this frame's PPIs: the other one keeps its own.
            one.level = !one.level;
            const value = naive.filter((ppi) => ppi.pe === one.pe && ppi.intid > 15 && !ppi.level).reduce((sum, ppi) => sum | (2n << BigInt(2 * (ppi.intid - 16))), 0n);
            poke(0x1_0c04, value);
          }
          break;
        case 7: {
          const expected = best(pe);
          const current = running[pe]!.at(-1) ?? 0xff;
          const group = expected === undefined ? 0 : Math.floor(expected.priority / 8);
          const takes = expected !== undefined && expected.priority < 0xf8 && (current === 0xff || group < Math.floor(current / 8));
          expect(physicalInterruptPending(cores[pe]!), `seed ${seed} turn ${turn}`).toBe(takes ? 'irq' : undefined);
          expect(read(cores[pe]!, 'ICC_IAR1_EL1')).toBe(takes ? BigInt(expected.intid) : 1023n);
          settle();
          if (takes) {
            expected.latched = false;
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
          write(cores[pe]!, 'ICC_EOIR1_EL1', BigInt(ended.intid));
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
