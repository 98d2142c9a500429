/** FEAT_WFxT: waits that the virtual count ends, their traps and syndrome, and how the clock and L0 end them. Arm ARM: WFET, WFIT, AArch64.CheckForWFxTrap. */

import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { Power, Word } from '../../../machines/aarch64/state.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { RAM, bareCore, get, program, set, setPstate } from '../../support/core.ts';
import { BEGIN, keep, load, OFF, runProgram, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';

/** One wait at `el` with X5 = `count`, the counter at 100 ticks of 16 ns. */
function waiting(text: string, count: bigint, { el = 1, hcr = 0n, sctlr = 0x5_0000n, offset = 0n } = {}) {
  const { core, memory, board } = bareCore({ el2: 'guest' });
  setPstate(core, el);
  board.now = 1600;
  set(core, 'HCR_EL2', (1n << 31n) | hcr);
  set(core, 'SCTLR_EL1', sctlr);
  set(core, 'CNTVOFF_EL2', offset);
  program(memory, RAM, [assemble(text)]);
  core.words[5] = count;
  const { end } = run(core, 1);
  return { core, end: end.type };
}

test('a count that is reached is no wait, and traps nowhere', () => {
  for (const text of ['wfet x5', 'wfit x5']) for (const hcr of [0n, 3n << 13n]) {
    const { core, end } = waiting(text, 100n, { hcr });
    expect([end, core.words[Word.PC]]).toEqual(['budget', BigInt(RAM + 4)]);
  }
});

test('a count ahead waits until the first nanosecond at which the virtual count is there, offset included', () => {
  for (const [text, power] of [['wfet x5', Power.WFE], ['wfit x5', Power.WFI]] as const) {
    const { core, end } = waiting(text, 110n);
    expect([end, core.words[Word.POWER], core.words[Word.WAIT_UNTIL]]).toEqual(['wait', BigInt(power), 1760n]);
  }
  expect(waiting('wfit x5', 110n, { offset: 20n }).core.words[Word.WAIT_UNTIL]).toBe(2080n);
});

test('a count that the clock never reaches is a wait without a time', () => {
  expect(waiting('wfit x5', (1n << 64n) - 1n).core.words[Word.WAIT_UNTIL]).toBe(0n);
});

test.each([
  ['wfit x5', 1, 1n << 13n, 2, 0x1e0_00a6n], ['wfet x5', 1, 1n << 14n, 2, 0x1e0_00a7n], ['wfi', 1, 1n << 13n, 2, 0x1e0_0000n], ['wfit x5', 0, 0n, 1, 0x1e0_00a6n], ['wfet xzr', 1, 1n << 14n, 0, 0n],
] as const)('%s at EL%i under HCR_EL2 %#x traps to EL%i with TI, RN and RV', (text, el, hcr, target, iss) => {
  const { core } = waiting(text, 110n, { el, hcr, sctlr: 0n });
  if (target === 0) expect(core.words[Word.PC]).toBe(BigInt(RAM + 4));
  else expect(get(core, `ESR_EL${target}`)).toBe((1n << 26n) | (1n << 25n) | iss);
});

/** L1, and L2 or a guest's EL1 below it, wait 300 ticks each way and say how far the count went. */
const measure = (wait: string): string => `mrs x1, CNTVCT_EL0; add x5, x1, #300; ${wait} x5; mrs x2, CNTVCT_EL0; sub x2, x2, x1; ${keep('x2')}`;
const program2 = (l1: Flavour): string => `${BEGIN}
${measure('wfit')}
${load('x0', (1n << 31n) | (l1 === 'vhe' ? 1n << 34n : 0n))}; msr HCR_EL2, x0; movz x0, #5000; msr CNTVOFF_EL2, x0
adr x1, {below}; msr ELR_EL2, x1; movz x1, #0x3c5; msr SPSR_EL2, x1; eret
below: ${measure('wfit')}
hvc #0
lower: ${OFF}
irq: b {irq}
${VECTORS}`;

test.each((['vhe', 'nvhe'] as const).flatMap((l1) => ([undefined, 'nv2', 'nv', 'pv'] as const).map((nested): [string, Mechanism | undefined, Flavour] => [nested ?? 'a bare board', nested, l1])))(
  'on %s WFIT of L1 and of L2 ends when its time is up (%s, %s)', (_where, nested, l1) => {
    const options: ProgramOptions = nested === undefined ? { el2: 'guest', l1 } : { nested, l1 };
    for (const ticks of runProgram(program2(l1), options).results(2)) {
      expect(ticks).toBeGreaterThanOrEqual(300n);
      expect(ticks).toBeLessThan(1000n);
    }
  },
);
