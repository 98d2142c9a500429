/** Accesses to devices that L0 emulates from the syndrome: every form of load and store gives what it gives on a bare board. */

import { expect, test } from 'vitest';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, BELOW, keep, load, OFF, runProgram, VECTORS } from '../../support/guest-program.ts';

/** GICD_IPRIORITYR8: bytes, all eight bits of which the first five are kept. GICD_TYPER and GICD_IROUTER32 for the wider forms. */
const PRIORITIES = 0x0800_0420, TYPER = 0x0800_0004, IROUTER = 0x0800_6100;

const FORMS = [
  load('x1', PRIORITIES), load('x2', 0x8899_aabb_80f8_9008n), load('x3', IROUTER), load('x4', TYPER), 'movn x5, #0',
  'str w2, [x1]; ldr w0, [x1]', keep('x0'), 'ldrb w0, [x1, #1]', keep('x0'), 'ldrsb w0, [x1, #1]', keep('x0'), 'ldrsb x0, [x1, #3]', keep('x0'), 'ldrsw x0, [x1]', keep('x0'),
  'strb w2, [x1, #2]; ldr w0, [x1]', keep('x0'), 'strb wzr, [x1]; ldr w0, [x1]', keep('x0'), 'str wzr, [x1]; ldr w0, [x1]', keep('x0'),
  // To XZR nothing is kept.
  'ldr wzr, [x1]; mov x0, x1', keep('x0'), 'ldr w0, [x4]', keep('x0'), 'ldrsw x0, [x4]', keep('x0'),
  'movz x6, #0x0001; str x6, [x3]; ldr x0, [x3]', keep('x0'), 'ldr w0, [x3]', keep('x0'), 'str xzr, [x3]; ldr x0, [x3]', keep('x0'), 'ldar w0, [x4]', keep('x0'), 'stlr w2, [x1]; ldr w0, [x1]', keep('x0'),
  // Cache maintenance of a device does nothing.
  '.inst 0xd50b7e21', 'ldr w0, [x1]', keep('x0'),
].join('\n');
const COUNT = FORMS.split('\n').filter((line) => line.includes('[x28], #8')).length;

const inEl2 = `${BEGIN}\n${FORMS}\n${OFF}\nlower: irq: b {irq}\n${VECTORS}`;
const below = (l1: Flavour): string =>
  `${BEGIN}\n${load('x0', (1n << 31n) | (l1 === 'vhe' ? 1n << 34n : 0n))}\nmsr HCR_EL2, x0\n${load('x0', BELOW)}\nmsr ELR_EL2, x0\n${load('x0', 0x3c5)}\nmsr SPSR_EL2, x0; eret\nlower: ${OFF}\nirq: b {irq}\n${VECTORS}`;

test.each((['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((nested): [Mechanism, Flavour] => [nested, l1])))('under %s for %s', (nested, l1) => {
  const bare = runProgram(inEl2, { el2: 'guest', l1 }).results(COUNT);
  expect(bare.slice(0, 5)).toEqual([0x80f8_9008n, 0x90n, 0xffff_ff90n, 0xffff_ffff_ffff_ff80n, 0xffff_ffff_80f8_9008n]);
  expect(runProgram(inEl2, { nested, l1 }).results(COUNT)).toEqual(bare);
  // And from what L1 runs without a stage 2.
  expect(runProgram(below(l1), { nested, l1, below: `${FORMS}\nhvc #0` }).results(COUNT)).toEqual(bare);
});

test('a plain guest at EL1 has the same devices, and turns the machine off by HVC', () => {
  const begin = BEGIN.split('\n').slice(0, 4).join('\n');
  const plain = `${begin}\n${FORMS}\nmrs x0, CurrentEL\n${keep('x0')}\n${OFF.replace('smc', 'hvc')}`;
  const { results, world } = runProgram(plain, { nested: 'none', l1: 'nvhe' });
  expect(results(COUNT + 1)).toEqual([...runProgram(inEl2, { el2: 'guest', l1: 'nvhe' }).results(COUNT), 4n]);
  expect(world.state.ended).toMatchObject({ by: 'off' });
});
