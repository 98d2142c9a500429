/** Waiting, waking and being kicked, and the exits of L2 that L1 asked for: whatever the instant at which they come. */

import { describe, expect, test } from 'vitest';
import { next } from '../../../actors/choices.ts';
import { step } from '../../../actors/step.ts';
import { actorOf, keep as kept } from '../../../actors/world.ts';
import type { Flavour, KvmState, Mechanism } from '../../../machines/kvm/state.ts';
import { systemOf } from '../../../snapshots/machine.ts';
import { BEGIN, BELOW, keep, load, machine, OFF, RESULTS, runProgram, VECTORS } from '../../support/guest-program.ts';

const SETTINGS = (['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1]));
const HCR = { HCD: 1n << 29n, TSC: 1n << 19n, IMO: 1n << 4n, RW: 1n << 31n };
const hcr = (l1: Flavour, more = 0n): bigint => HCR.RW | (l1 === 'vhe' ? 1n << 34n : 0n) | more;
const enter = (l1: Flavour, more: bigint, spsr = 0x3c5): string => `${load('x0', hcr(l1, more))}\nmsr HCR_EL2, x0\n${load('x0', BELOW)}\nmsr ELR_EL2, x0\n${load('x0', spsr)}\nmsr SPSR_EL2, x0; eret`;

test.each(SETTINGS)('under %s for %s: HCR_EL2.HCD makes L2\'s HVC UNDEFINED at the HVC itself', (nested, l1) => {
  const below = `${load('x9', BELOW + 0x800)}\nmsr VBAR_EL1, x9; hvc #0\n.org 0xa00\nmrs x0, ELR_EL1\n${keep('x0')}\nmrs x0, ESR_EL1\n${keep('x0')}\nsmc #0`;
  const text = `${BEGIN}\n${enter(l1, HCR.HCD | HCR.TSC)}\nlower: mrs x0, ESR_EL2\n${keep('x0')}\n${OFF}\nirq: b {irq}\n${VECTORS}`;
  expect(runProgram(text, { nested, l1, below }).results(3)).toEqual([BigInt(BELOW + 20), 1n << 25n, 0x5e00_0000n]);
});

/** L1 wakes the redistributor and turns its EL2 physical timer on for a moment from now, its interrupt (PPI 26) open at the GIC, and waits for it. */
const timer = (wait: string): string => [
  load('x1', 0x080a_0000), 'str wzr, [x1, #0x14]', load('x1', 0x080b_0000), 'movn x2, #0; str w2, [x1, #0x80]', load('x2', 1 << 26), 'str w2, [x1, #0x100]', load('x1', 0x0800_0000), 'movz x2, #0x12; str w2, [x1]',
  'movz x2, #0xf0; msr ICC_PMR_EL1, x2; movz x2, #1; msr ICC_IGRPEN1_EL1, x2', 'movz x2, #200; msr CNTHP_TVAL_EL2, x2; movz x2, #1; msr CNTHP_CTL_EL2, x2', wait,
].join('\n');
const TAKEN = `irq: mrs x0, ICC_IAR1_EL1\n${keep('x0')}\nmrs x0, SPSR_EL2\n${keep('x0')}\nmrs x0, CurrentEL\n${keep('x0')}\n${OFF}`;

describe.each(SETTINGS)('under %s for %s', (nested, l1) => {
  test.each([
    ['virtual EL2', 'msr DAIFClr, #2; wait: wfi; b {wait}', '', 9n],
    ['L2', enter(l1, HCR.IMO), 'wait: wfi; b {wait}', 0x3c5n],
  ] as const)('a wait in %s ends when L1\'s timer is due, and L1 takes it', (_, wait, below, from) => {
    const { results } = runProgram(`${BEGIN}\n${load('x0', hcr(l1, HCR.IMO))}\nmsr HCR_EL2, x0\n${timer(wait)}\nlower: b {lower}\n${TAKEN}\n${VECTORS}`, { nested, l1, below: below === '' ? 'nop' : below });
    const [intid, spsr, el] = results(3);
    expect([intid, spsr! & (from === 9n ? 0x1fn : 0x3dfn), el]).toEqual([26n, from, 8n]);
  });
});

describe('a kick', () => {
  // vCPU 1 waits for an SGI with interrupts masked and then reads which; vCPU 0 sends it after a while.
  const text = [
    BEGIN, load('x1', 0x080a_0000), 'str wzr, [x1, #0x14]', load('x1', 0x080c_0000), 'str wzr, [x1, #0x14]', load('x1', 0x080b_0000), 'movn x2, #0', 'str w2, [x1, #0x80]; movz x3, #1; str w3, [x1, #0x100]', load('x1', 0x080d_0000), 'str w2, [x1, #0x80]; str w3, [x1, #0x100]', load('x1', 0x0800_0000), 'movz x2, #0x12; str w2, [x1]',
    load('x0', 0xc400_0003), 'movz x1, #1; adr x2, {second}; smc #0', 'movz x4, #40; spin: sub x4, x4, #1; cbnz x4, {spin}', 'movz x2, #2; msr ICC_SGI1R_EL1, x2', 'stay: b {stay}',
    'second:', load('x28', RESULTS), 'movz x2, #0xf0; msr ICC_PMR_EL1, x2; movz x2, #1; msr ICC_IGRPEN1_EL1, x2', 'wait: wfi; mrs x0, ICC_IAR1_EL1; cmp x0, #1023; b.eq {wait}', keep('x0'), OFF, 'lower: irq: b {irq}', VECTORS,
  ].join('\n');

  test('that comes at any step of L0, needed or not, loses no wake-up and changes nothing that the guest sees', () => {
    const system = systemOf({ stepwise: true });
    let world = machine(text, { nested: 'nv2', l1: 'vhe', vcpus: 2, quantum: 50 });
    let tried = 0;
    const steps = new Set<string>();
    const finishFrom = (from: typeof world): void => {
      for (let frames = 0, choice = next(from); choice !== undefined; choice = next(from), frames++) {
        if (frames > 2000) throw new Error('the wake-up was lost');
        ({ world: from } = step(from, choice));
      }
      expect(from.state.ended).toMatchObject({ by: 'off' });
    };
    for (let choice = system.next(world); choice !== undefined; choice = system.next(world)) {
      const kvm = actorOf<KvmState>(world.state, 'kvm:1');
      const now = `${kvm.mode} ${kvm.work[0]?.step ?? ''}`;
      // Once at each place of vCPU 1's L0 or guest.
      if (!steps.has(now)) {
        steps.add(now);
        world = kept(world);
        finishFrom({ ...world, state: { ...world.state, mailbox: [...world.state.mailbox, { to: 'kvm:1', message: { type: 'kick' } }] } });
        tried++;
      }
      ({ world } = system.step(world, choice));
    }
    expect(world.state.ended).toMatchObject({ by: 'off' });
    expect(tried).toBeGreaterThan(8);
    expect([...steps]).toEqual(expect.arrayContaining(['host wait-check', 'host wait-block', 'blocked flush', 'host enter', 'guest ']));
  });
});
