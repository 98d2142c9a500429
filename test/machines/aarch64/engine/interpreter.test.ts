/** The engines in WebAssembly against the reference engine, where caches, interrupts and budgets meet. */

import { describe, expect, test } from 'vitest';
import { assemble } from '../../../../machines/aarch64/assemble.ts';
import type { EngineName } from '../../../../machines/aarch64/board.ts';
import { Interpreter } from '../../../../machines/aarch64/engine/interpreter.ts';
import { RECORD_PAGES } from '../../../../machines/aarch64/engine/layout.ts';
import { createProfile } from '../../../../machines/aarch64/profile.ts';
import { run } from '../../../../machines/aarch64/run.ts';
import { Word } from '../../../../machines/aarch64/state.ts';
import { type Bare, bareCore, DEVICE, program, RAM, set } from '../../../support/core.ts';
import { writeWord } from '../../../../machines/memory/memory.ts';

const ENGINES: readonly EngineName[] = ['reference', 'interpreter', 'translator'];
const assembled = (lines: readonly string[]): number[] => lines.map((text, index) => assemble(text, BigInt(4 * index)));
const machine = (engine: EngineName, ramBytes?: number): Bare => bareCore({ el: 1, el2: 'none', engine, ...(ramBytes === undefined ? {} : { ramBytes }) });

test.each(ENGINES)('the %s takes an interrupt that came with a device\'s answer behind the load that asked', (engine) => {
  const { core, memory } = machine(engine);
  program(memory, RAM, assembled(['ldr w1, [x0]', 'add x2, x2, #1', 'b 0x4']));
  const vector = RAM + 0x1_0000 + 0x280;
  program(memory, vector, assembled(['b 0x0']));
  core.words[0] = BigInt(DEVICE);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1_0000));
  set(core, 'ICC_IGRPEN1_EL1', 1n);
  set(core, 'ICC_PMR_EL1', 0xf0n);
  core.ints[2 * Word.PSTATE]! &= ~0x80;
  expect(run(core, 100)).toEqual({ attempted: 0, end: { type: 'device' } });
  core.deviceReplies.push({ pa: DEVICE, bytes: 4, value: 7n });
  core.words[Word.OFFER] = 40n | (0x80n << 24n) | (1n << 32n) | (1n << 40n);
  expect(run(core, 50)).toEqual({ attempted: 50, end: { type: 'budget' } });
  expect([core.words[1], core.words[2], core.words[Word.PC]]).toEqual([7n, 0n, BigInt(vector)]);
});

test('budgets may be larger than 32 bits', () => {
  const { core, memory, board } = machine('interpreter');
  program(memory, RAM, assembled(['add x0, x0, #1', 'cmp x0, #9', 'b.ne 0x0', 'wfi']));
  expect(run(core, 2 ** 33 + 5)).toEqual({ attempted: 28, end: { type: 'wait' } });
  expect(board.now).toBe(28);
});

describe('a page that remaps itself goes on in the page that is mapped then', () => {
  const CODE = 0x8000_0000n;
  const TABLES = RAM + 0x10_0000, OLD = RAM + 0x20_0000, NEW = RAM + 0x20_1000;
  /** VA of RAM flat, of the 2 MiB at RAM 32 times from 0 on, and of one page of code, whose descriptor X6 points to and X5 changes. */
  function remapping(engine: EngineName, ramBytes: number, before: readonly string[]): Bare {
    const bare = machine(engine, ramBytes);
    const { core, memory } = bare;
    const block = 0x701n, table = 3n;
    const [level1, many, level2, level3] = [0, 1, 2, 3].map((index) => TABLES + index * 4096) as [number, number, number, number];
    writeWord(memory, level1, BigInt(many) | table);
    writeWord(memory, level1 + 8, BigInt(RAM) | block);
    writeWord(memory, level1 + 16, BigInt(level2) | table);
    for (let index = 0; index < 33; index++) writeWord(memory, many + 8 * index, BigInt(RAM) | block);
    writeWord(memory, level2, BigInt(level3) | table);
    writeWord(memory, level3, BigInt(OLD) | 0x703n);
    set(core, 'TTBR0_EL1', BigInt(level1));
    set(core, 'TCR_EL1', 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (5n << 32n));
    set(core, 'MAIR_EL1', 0xffn);
    set(core, 'SCTLR_EL1', 0x30d0_0980n | 1n);
    program(memory, OLD, assembled([...before, 'str x5, [x6]', 'add x3, x3, #1', 'b 0x20']));
    program(memory, NEW, assembled([...before, 'str x5, [x6]', 'add x3, x3, #2', 'b 0x20']));
    core.words[5] = BigInt(NEW) | 0x703n;
    core.words[6] = BigInt(level3);
    return bare;
  }

  test.each(ENGINES)('on the %s, when a load had the translations forgotten for their number', (engine) => {
    const { core } = remapping(engine, 0x40_0000, ['ldr x1, [x0]', 'add x0, x0, #1, lsl #12', 'subs x2, x2, #1', 'b.ne 0x0']);
    core.words[Word.PC] = CODE;
    core.words[2] = 16_500n;
    run(core, 4 * 16_500 + 2);
    expect(core.words[3]).toBe(2n);
  });

  test.each(ENGINES)('on the %s, when it is the first page that no records were left for', (engine) => {
    const first = RAM + 0x40_0000;
    const { core, memory } = remapping(engine, 0x40_0000 + (RECORD_PAGES + 1) * 4096, []);
    for (let page = 0; page < RECORD_PAGES; page++) program(memory, first + page * 4096, [page < RECORD_PAGES - 1 ? 0x1400_0400 : assemble('br x7', 0n)]);
    core.words[Word.PC] = BigInt(first);
    core.words[7] = CODE;
    run(core, RECORD_PAGES + 2);
    expect(core.words[3]).toBe(2n);
  });
});

describe('regions', () => {
  /** A region as soon as anything is looked at. */
  const EAGER = { sliceMin: 40, sliceMax: 400, looks: 1, batch: 1, patience: 0 };
  function eager(words: readonly number[]): Bare {
    const bare = machine('translator');
    bare.board.execution = new Interpreter(bare.board, EAGER);
    program(bare.memory, RAM, words);
    return bare;
  }

  test('are not entered where no handler of their first instruction alone is there yet', () => {
    // The region of 0x0 has the instructions at 0x40, which nothing else has decoded when a look finds them next.
    const words = Array.from({ length: 32 }, () => assemble('nop', 0n));
    for (const [at, text] of [[0, 'sub x0, x0, #1'], [4, 'cbz x0, 0x40'], [8, 'b 0x0'], [0x20, 'b 0x40'], [0x40, 'add x1, x1, #1'], [0x44, 'b 0x40']] as const) words[at / 4] = assemble(text, BigInt(at));
    const { core } = eager(words);
    core.words[0] = 1_000_000n;
    run(core, 999);
    core.words[Word.PC] = BigInt(RAM + 0x20);
    for (let count = 0; count < 5; count++) expect(run(core, 1).attempted).toBe(1);
    expect(core.words[1]).toBe(2n);
  });

  test('end before their functions get too large for the host', () => {
    const words = [...Array.from({ length: 1000 }, () => 0x6e2d_445a), assemble('b 0x0', 4000n)];
    const { core } = eager(words);
    set(core, 'CPACR_EL1', 3n << 20n);
    core.words[Word.VECTOR + 2 * 13] = 0x0102_0304_0506_0708n;
    core.words[Word.VECTOR + 2 * 2] = 0x1111_1111_1111_1111n;
    expect(run(core, 20_000)).toEqual({ attempted: 20_000, end: { type: 'budget' } });
    expect(core.words[Word.VECTOR + 2 * 26]).toBe(0x2244_8810_2040_8000n);
  });

  test('are not made again and again of code that changes all the time', () => {
    const bare = machine('translator');
    const { core, board, memory } = bare;
    board.profile = createProfile(() => 0);
    program(memory, RAM, assembled(['str w1, [x2]', 'add x3, x3, #1', 'nop', 'b 0x0']));
    core.words[1] = BigInt(assemble('add x4, x4, #1', 0n));
    core.words[2] = BigInt(RAM + 8);
    run(core, 100_000);
    expect(core.words[4]).toBe(25_000n);
    expect(board.profile.counts.regions).toBeLessThan(10);
  });

  test('are made of code that goes through the run loop all the time', () => {
    const bare = machine('translator');
    const { core, board, memory } = bare;
    board.profile = createProfile(() => 0);
    program(memory, RAM, assembled(['movz x9, #20', 'add x3, x3, #1', 'sub x9, x9, #1', 'cbnz x9, 0x4', 'msr daifclr, #2', 'msr daifset, #2', 'b 0x0']));
    run(core, 1_000_000);
    expect(board.profile.counts.translated).toBeGreaterThan(500_000);
  });
});

describe('runs', () => {
  const LOOP = ['add x3, x3, #1', 'str w1, [x2]', 'add x4, x4, x3', 'nop', 'sub x5, x5, #1', 'cbnz x5, 0x0', 'b 0x18'];
  /** A loop that is hot by the time it stores another instruction over its own `nop`. */
  function looping(engine: EngineName): Bare {
    const bare = machine(engine);
    bare.board.profile = createProfile(() => 0);
    program(bare.memory, RAM, assembled(LOOP));
    bare.core.words[1] = BigInt(assemble('add x6, x6, #1', 0n));
    bare.core.words[2] = BigInt(RAM + 0x1000);
    bare.core.words[5] = 40_000n;
    return bare;
  }

  test('are made, and see what their own stores change', () => {
    const { core, board } = looping('interpreter');
    run(core, 210_000);
    expect(board.profile!.counts.regions).toBeGreaterThan(0);
    expect(core.words[3]).toBe(35_000n);
    core.words[2] = BigInt(RAM + 12);
    run(core, 6);
    expect(core.words[6]).toBe(1n);
    run(core, 29_994);
    expect([core.words[3], core.words[5], core.words[6]]).toEqual([40_000n, 0n, 5000n]);
  });

  test('stop anywhere within', () => {
    const [reference, interpreter] = [looping('reference'), looping('interpreter')];
    run(reference.core, 180_000);
    run(interpreter.core, 180_000);
    for (let budget = 1; budget < 40; budget++) {
      expect(run(interpreter.core, budget)).toEqual(run(reference.core, budget));
      expect(interpreter.core.words[Word.PC]).toBe(reference.core.words[Word.PC]);
      expect(interpreter.core.words[4]).toBe(reference.core.words[4]);
    }
    expect(interpreter.board.now).toBe(reference.board.now);
  });

  test('leave an access that traps to the level that takes it, exactly', () => {
    const [reference, interpreter] = [looping('reference'), looping('interpreter')];
    for (const { core } of [reference, interpreter]) {
      run(core, 180_000);
      // Nothing is there, and nothing at VBAR_EL1 either.
      core.words[2] = 0x7000_0000_0000n;
      run(core, 5);
    }
    expect([...interpreter.core.words]).toEqual([...reference.core.words]);
  });
});
