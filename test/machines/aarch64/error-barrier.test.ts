/** ESB and its records (FEAT_RAS): what is masked is deferred to DISR_EL1 or VDISR_EL2, the rest is taken. Arm ARM: AArch64.ESBOperation, AArch64.vESBOperation. */

import { describe, expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { errorBarrier } from '../../../machines/aarch64/error-barrier.ts';
import { maskedOrTaken } from '../../../machines/aarch64/interrupts.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Pstate, Word } from '../../../machines/aarch64/state.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { RAM, bareCore, get, program, set, setPstate } from '../../support/core.ts';
import { BEGIN, keep, load, OFF, runProgram, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';
import { mrs, msr } from '../../support/system-access.ts';

const AMO = 1n << 5n, VSE = 1n << 8n, TGE = 1n << 27n, E2H = 1n << 34n;
const A = 1n << 31n;

/** A core at `el` with PSTATE.A as told behind ESB, with a physical SError pending before it or HCR_EL2.VSE set. */
function barrier(el: number, masked: boolean, hcr: bigint, physical: boolean): Core {
  const { core } = bareCore();
  setPstate(core, el, masked ? Pstate.A : 0);
  set(core, 'HCR_EL2', (1n << 31n) | hcr);
  set(core, 'VSESR_EL2', 0x100_0123n);
  if (physical) core.words[Word.SERROR] = 2n;
  errorBarrier(core);
  return core;
}

describe('a physical SError', () => {
  test.each([
    ['masked at EL1', 1, true, 0n, 'DISR'], ['masked at EL0', 0, true, 0n, 'DISR'], ['masked at EL2', 2, true, AMO, 'DISR'], ['for EL1, at EL2', 2, false, 0n, 'DISR'],
    ['of EL2, which EL1 cannot mask', 1, true, AMO, 'taken'], ['of the host, masked at its EL0', 0, true, E2H | TGE, 'DISR'], ['of EL2 by TGE, at EL0', 0, true, TGE, 'taken'],
  ] as const)('%s: %s', (_what, el, masked, hcr, outcome) => {
    const core = barrier(el, masked, hcr, true);
    const deferred = get(core, 'DISR_EL1') === A && core.words[Word.SERROR] === 0n;
    expect(deferred ? 'DISR' : maskedOrTaken(core)?.vector === 'serror' ? 'taken' : 'pending').toBe(outcome);
  });
  test('is in place when the instruction is done', () => {
    const { core, memory } = bareCore({ el: 1, el2: 'none' });
    program(memory, RAM, [assemble('esb')]);
    core.words[Word.SERROR] = 2n;
    run(core, 1);
    expect([get(core, 'DISR_EL1'), core.words[Word.PC]]).toEqual([A, BigInt(RAM + 4)]);
  });
});

describe('a virtual SError', () => {
  test.each([
    ['masked', 1, true, AMO | VSE, true], ['masked at EL0', 0, true, AMO | VSE, true], ['without AMO', 1, true, VSE, false], ['under TGE', 0, true, AMO | VSE | TGE, false], ['at EL2', 2, true, AMO | VSE, false],
  ] as const)('%s, at EL%i: deferred with VSESR_EL2\'s syndrome, and VSE cleared: %s', (_what, el, masked, hcr, deferred) => {
    const core = barrier(el, masked, hcr, false);
    expect([get(core, 'VDISR_EL2'), get(core, 'HCR_EL2') & VSE]).toEqual(deferred ? [A | 0x100_0123n, 0n] : [0n, hcr & VSE]);
  });
});

test('EL1 reads and writes VDISR_EL2 by the name of DISR_EL1 where EL2 has its SErrors', () => {
  const { core } = bareCore({ el: 1 });
  set(core, 'VDISR_EL2', 5n);
  set(core, 'DISR_EL1', 7n);
  expect(mrs(core, 'DISR_EL1')).toBe(7n);
  set(core, 'HCR_EL2', (1n << 31n) | AMO);
  expect([mrs(core, 'DISR_EL1'), msr(core, 'DISR_EL1', 0n), get(core, 'VDISR_EL2'), get(core, 'DISR_EL1')]).toEqual([5n, 'done', 0n, 7n]);
});

test('there are no error records: ERRIDR_EL1 is zero, the others are UNDEFINED, and TERR traps', () => {
  const { core } = bareCore({ el: 1 });
  expect([mrs(core, 'ERRIDR_EL1'), mrs(core, 'ERRSELR_EL1'), mrs(core, 'ERXSTATUS_EL1')]).toEqual([0n, 'UNDEFINED', 'UNDEFINED']);
  set(core, 'HCR_EL2', (1n << 31n) | (1n << 36n));
  expect(mrs(core, 'ERRIDR_EL1')).toBe('EL2: MRS X0, ERRIDR_EL1');
});

/** L1 has a virtual SError pend for its masked guest, which executes ESB; who finds what of it, and of DISR_EL1 of its own. */
const nested = (l1: Flavour, amo: bigint): string => `${BEGIN}
movz x1, #0x77; msr DISR_EL1, x1
${load('x1', 0x100_0456)}; msr VSESR_EL2, x1; movz x1, #0x33; msr VDISR_EL2, x1
${load('x1', (1n << 31n) | amo | VSE | (l1 === 'vhe' ? E2H : 0n))}; msr HCR_EL2, x1
adr x1, {below}; msr ELR_EL2, x1; movz x1, #0x3c5; msr SPSR_EL2, x1; eret
below: mrs x2, DISR_EL1; ${keep('x2')}; esb; mrs x2, DISR_EL1; ${keep('x2')}; movz x2, #0x55; msr DISR_EL1, x2; hvc #0
lower: mrs x2, DISR_EL1; ${keep('x2')}; mrs x2, VDISR_EL2; ${keep('x2')}; mrs x2, HCR_EL2; ${keep('x2')}; mrs x2, ERRIDR_EL1; ${keep('x2')}
${OFF}
irq: b {irq}
${VECTORS}`;

describe.each((['vhe', 'nvhe'] as const).flatMap((l1) => (['nv2', 'nv', 'pv'] as const).map((mechanism): [Mechanism, Flavour] => [mechanism, l1])))('under %s for %s', (mechanism, l1) => {
  test.each([['with', AMO], ['without', 0n]])('%s AMO of L1 both levels find what they find on a bare board', (_what, amo) => {
    const run6 = (options: ProgramOptions): bigint[] => runProgram(nested(l1, amo), { ...options, l1 }).results(6);
    const bare = run6({ el2: 'guest' });
    expect(bare.slice(0, 4)).toEqual(amo === 0n ? [0x77n, 0x77n, 0x55n, 0x33n] : [0x33n, A | 0x100_0456n, 0x77n, 0x55n]);
    expect(run6({ nested: mechanism })).toEqual(bare);
  });
});
