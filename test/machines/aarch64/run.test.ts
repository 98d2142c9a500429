/** The run loop: exact budgets, exceptions, interrupts' place, holes, and stops. */

import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import type { StopClass } from '../../../machines/aarch64/exit.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { Power, Word, elOf, type Core } from '../../../machines/aarch64/state.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { type BareOptions, DEVICE, RAM, bareCore, get, program, set } from '../../support/core.ts';

/** A core at EL1 with `lines` at RAM. `at` is the address of the first. */
function world(lines: readonly string[], options: BareOptions = {}, at = RAM): ReturnType<typeof bareCore> {
  const bare = bareCore({ el: 1, el2: 'none', ...options });
  program(bare.memory, at, lines.map((line, index) => assemble(line, BigInt(at + 4 * index))));
  bare.core.words[Word.PC] = BigInt(at);
  return bare;
}

const stops = (classes: readonly StopClass[], pages: readonly number[] = []): { classes: Set<StopClass>; pages: Set<number> } => ({ classes: new Set(classes), pages: new Set(pages) });
const page = (address: number): number => address / 4096;
const pcOf = (core: Core): bigint => core.words[Word.PC]!;

test('a budget is used up exactly, and each attempt is a nanosecond', () => {
  const { core, board } = world(['add x0, x0, #1', `b ${RAM}`]);
  expect(run(core, 7)).toEqual({ attempted: 7, end: { type: 'budget' } });
  expect([core.words[0], pcOf(core), board.now, core.words[Word.ATTEMPTED]]).toEqual([4n, BigInt(RAM + 4), 7, 7n]);
  expect(run(core, 0)).toEqual({ attempted: 0, end: { type: 'budget' } });
});

test('slices of a run end in the state that one run ends in', () => {
  const lines = ['add x0, x0, #3', 'mul x1, x0, x0', 'eor x2, x2, x1, ror #7', 'cbnz x0, 0x40000000'];
  const whole = world(lines);
  const sliced = world(lines);
  run(whole.core, 1000);
  for (const budget of [1, 2, 3, 500, 0, 494]) run(sliced.core, budget);
  expect([...sliced.core.words]).toEqual([...whole.core.words]);
});

test('an instruction that takes an exception counts, and the run goes on at the vector', () => {
  const { core, memory } = world(['svc #5', 'nop']);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
  program(memory, RAM + 0x1200, [assemble('mov x7, #7'), assemble('eret')]);
  expect(run(core, 3)).toEqual({ attempted: 3, end: { type: 'budget' } });
  expect([core.words[7], pcOf(core), get(core, 'ESR_EL1')]).toEqual([7n, BigInt(RAM + 4), 0x5600_0005n]);
});

test('PC carries into its high half', () => {
  const top = 0xffff_f000;
  const { core } = world(['nop', 'nop'], { regions: [{ name: 'top', base: top, bytes: 8192, kind: 'ram' }] }, top + 0xff8);
  run(core, 2);
  expect(pcOf(core)).toBe(0x1_0000_0000n);
});

test('an instruction stored over is the one that runs', () => {
  const { core } = world(['str w1, [x0]', 'mov x2, #1', `b ${RAM}`]);
  core.words[0] = BigInt(RAM + 4);
  core.words[1] = BigInt(assemble('mov x2, #1'));
  run(core, 3);
  expect(core.words[2]).toBe(1n);
  core.words[1] = BigInt(assemble('mov x2, #9'));
  run(core, 2);
  expect(core.words[2]).toBe(9n);
});

test('a hole ends the run by name and halts the vCPU where it stands', () => {
  const { core } = world(['nop', '.inst 0x04200000']);
  expect(run(core, 10)).toEqual({ attempted: 2, end: { type: 'hole', what: 'Scalable Vector Extension', word: 0x0420_0000, pc: BigInt(RAM + 4), el: 1 } });
  expect([core.words[Word.POWER], pcOf(core)]).toEqual([BigInt(Power.HALTED), BigInt(RAM + 4)]);
});

test('an FP instruction that CPACR_EL1 traps is the guest\'s to handle', () => {
  const { core } = world(['.inst 0x1e602820']);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
  expect(run(core, 1).end).toEqual({ type: 'budget' });
  expect(get(core, 'ESR_EL1')).toBe(0x1fe0_0000n);
});

test('CPTR_EL2 traps what CPACR_EL1 lets pass to EL2', () => {
  const { core } = world(['.inst 0x1e602820'], { el2: 'kvm' });
  set(core, 'CPACR_EL1', 3n << 20n);
  set(core, 'CPTR_EL2', 1n << 10n);
  expect(run(core, 9)).toEqual({ attempted: 1, end: { type: 'exit', vector: 'sync' } });
  expect(get(core, 'ESR_EL2')).toBe(0x1fe0_0000n);
});

test('WFI ends the run behind it, and the next run wakes the vCPU', () => {
  const { core } = world(['wfi', 'nop']);
  expect(run(core, 5)).toEqual({ attempted: 1, end: { type: 'wait' } });
  expect([core.words[Word.POWER], pcOf(core)]).toEqual([BigInt(Power.WFI), BigInt(RAM + 4)]);
  run(core, 1);
  expect(core.words[Word.POWER]).toBe(BigInt(Power.ON));
});

test('UNDEFINED words take an exception with EC 0', () => {
  const { core } = world(['udf #0']);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
  run(core, 1);
  expect([get(core, 'ESR_EL1'), get(core, 'ELR_EL1'), elOf(core)]).toEqual([0x0200_0000n, BigInt(RAM), 1]);
});

test.each<[StopClass, string]>([
  ['exclusive', 'ldxr x1, [x0]'], ['exclusive', 'stlxp w3, x1, x2, [x0]'], ['exclusive', 'clrex'], ['atomic', 'ldadd x1, x2, [x0]'], ['atomic', 'caspal x2, x3, x4, x5, [x0]'],
  ['barrier', 'dmb ish'], ['barrier', 'isb'], ['system-register', 'msr tpidr_el1, x0'], ['system-register', 'tlbi vmalle1'], ['system-register', 'msr daifset, #2'],
])('a run told to stop at class %s stops before %s, and resumes past it', (kind, text) => {
  const { core } = world(['nop', text, 'nop', 'nop']);
  core.words[0] = BigInt(RAM + 0x1000);
  expect(run(core, 10, stops([kind]))).toEqual({ attempted: 1, end: { type: 'stop', at: kind } });
  expect(pcOf(core)).toBe(BigInt(RAM + 4));
  expect(run(core, 2, stops([kind]))).toEqual({ attempted: 2, end: { type: 'budget' } });
  expect(pcOf(core)).toBe(BigInt(RAM + 12));
});

test('a run stops before it touches a page, and says what it touched until then', () => {
  const { core, board } = world(['ldr x1, [x0]', 'str x1, [x0, #4080]', 'stp x1, x2, [x0, #-16]', 'ldr x3, [x4, x5]', 'nop']);
  core.words[0] = BigInt(RAM + 0x3008);
  core.words[4] = BigInt(RAM);
  core.words[5] = 0x5000n;
  expect(run(core, 10, stops([], [page(RAM + 0x2000)]))).toEqual({ attempted: 2, end: { type: 'stop', at: 'page', page: page(RAM + 0x2000) } });
  expect([...board.footprint!.written]).toEqual([page(RAM + 0x3000)]);
  expect(board.footprint!.read).toContain(page(RAM + 0x3000));
  expect(run(core, 10, stops([], [page(RAM + 0x2000), page(RAM + 0x5000)]))).toEqual({ attempted: 1, end: { type: 'stop', at: 'page', page: page(RAM + 0x5000) } });
});

test('a run without stops keeps no footprint', () => {
  const { core, board } = world(['nop']);
  run(core, 1, stops([]));
  run(core, 1);
  expect(board.footprint).toBeUndefined();
});

test('a device access is a class to stop at', () => {
  const { core } = world(['nop', 'strb w1, [x0]']);
  core.words[0] = BigInt(DEVICE);
  expect(run(core, 10, stops(['device']))).toEqual({ attempted: 1, end: { type: 'stop', at: 'device' } });
  expect(run(core, 10, stops(['device'])).end).toEqual({ type: 'effect' });
});

test('a load from a device is not counted until its answer is there', () => {
  const { core, board } = world(['ldr w1, [x0]', 'nop']);
  core.words[0] = BigInt(DEVICE + 0x18);
  expect(run(core, 10)).toEqual({ attempted: 0, end: { type: 'device' } });
  expect(board.outbox).toHaveLength(1);
  core.deviceReplies.push({ pa: DEVICE + 0x18, bytes: 4, value: 0x90n });
  expect(run(core, 1)).toEqual({ attempted: 1, end: { type: 'budget' } });
  expect([core.words[1], core.words[Word.ATTEMPTED]]).toEqual([0x90n, 1n]);
});

test('a store pair whose second half faults leaves memory as it was', () => {
  const { core, memory } = world(['stp x1, x2, [x0]']);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
  // A 39-bit space in which only the first 2 MiB of RAM are mapped.
  writeWord(memory, RAM + 0x3000 + 8, BigInt(RAM + 0x4003));
  writeWord(memory, RAM + 0x4000, BigInt(RAM + 0x701));
  set(core, 'TTBR0_EL1', BigInt(RAM + 0x3000));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  set(core, 'SCTLR_EL1', get(core, 'SCTLR_EL1') | 1n);
  core.words[0] = BigInt(RAM + 0x20_0000 - 8);
  core.words[1] = 1n;
  run(core, 1);
  expect(readWord(memory, RAM + 0x20_0000 - 8)).toBe(0n);
  expect([get(core, 'ESR_EL1'), get(core, 'FAR_EL1')]).toEqual([0x9600_0046n, BigInt(RAM + 0x20_0000)]);
});
