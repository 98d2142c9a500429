/** Unaligned exclusives, atomics and ordered accesses (FEAT_LSE2), accesses over two pages, and the top of the address space: one table each. Arm ARM B2.8, AArch64.UnalignedAccessFaults. */

import { describe, expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Word } from '../../../machines/aarch64/state.ts';
import { readBytes, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, get, program, set } from '../../support/core.ts';
import { S1, attr, map, tablesAt } from '../../support/tables.ts';

const A = 1n << 1n;
const NAA = 1n << 6n;
const CODE = RAM;
const LOW = RAM + 0x2_0000;
const HIGH = RAM + 0x5_0000;
const TOP = RAM + 0x7_0000;
const ZERO = RAM + 0x8_0000;
/** Two pages next to each other that are LOW and HIGH, a Device page, and the last page and the first of the address space. */
const PAIR = 0x5000_0000n;
const DEVICE = 0x6000_0000n;

function machine(sctlr = 0n): Core {
  const { core, memory } = bareCore({ el2: 'none' });
  const lower = tablesAt(memory, RAM + 0x10_0000);
  const upper = tablesAt(memory, RAM + 0x18_0000);
  const leaf = S1.AF | S1.INNER;
  map(lower, CODE, CODE, leaf);
  map(lower, Number(PAIR), LOW, leaf);
  map(lower, Number(PAIR) + 0x1000, HIGH, leaf);
  map(lower, Number(PAIR) + 0x3000, HIGH + 0x1000, leaf | S1.READ_ONLY);
  map(lower, Number(PAIR) + 0x2000, LOW + 0x1000, leaf);
  map(lower, Number(DEVICE), LOW, leaf | attr(1));
  map(lower, 0, ZERO, leaf);
  map(upper, 0xffff_ffff_f000, TOP, leaf);
  set(core, 'TCR_EL1', 16n | (16n << 16n) | (2n << 30n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0x00ffn);
  set(core, 'TTBR0_EL1', BigInt(lower.root));
  set(core, 'TTBR1_EL1', BigInt(upper.root));
  set(core, 'VBAR_EL1', BigInt(RAM + 0x8000));
  set(core, 'SCTLR_EL1', 1n | sctlr);
  return core;
}

/** 'done', or the fault status code of the Data Abort. */
function after(core: Core, text: string, address: bigint): string {
  program(core.board.memory, CODE, [assemble(text)]);
  core.words[0] = address;
  for (const register of [2, 3, 4, 5]) core.words[register] = 0x1111_1111_1111_1111n * BigInt(register);
  core.words[Word.PC] = BigInt(CODE);
  run(core, 1);
  if (core.words[Word.PC] === BigInt(CODE + 4)) return 'done';
  return `EC ${(get(core, 'ESR_EL1') >> 26n).toString(16)} FSC ${(get(core, 'ESR_EL1') & 0x3fn).toString(16)}`;
}
const ALIGNMENT = 'EC 25 FSC 21';

describe('within 16 aligned bytes an unaligned exclusive, atomic or ordered access is done; across them it is an Alignment fault', () => {
  const EXCLUSIVE = ['ldxr x2, [x0]', 'ldaxrh w2, [x0]', 'ldxp w2, w3, [x0]'];
  const ATOMIC = ['ldadd x2, x3, [x0]', 'swpalh w2, w3, [x0]', 'cas w2, w3, [x0]', 'casp w2, w3, w4, w5, [x0]', 'stset x2, [x0]'];
  const ORDERED = ['ldar x2, [x0]', 'stlrh w2, [x0]', 'ldapr x2, [x0]', 'ldapursw x2, [x0]', 'stlur x2, [x0]', 'ldlar w2, [x0]', 'stllr x2, [x0]'];
  // Offset 1 lies within for all of them; offset 15 crosses for all.
  test.each([...EXCLUSIVE, ...ATOMIC, ...ORDERED])('%s', (text) => {
    const ordered = ORDERED.includes(text);
    expect({
      within: after(machine(), text, PAIR + 1n), across: after(machine(), text, PAIR + 15n),
      nAA: after(machine(NAA), text, PAIR + 15n), A: after(machine(A | NAA), text, PAIR + 1n), device: after(machine(NAA), text, DEVICE + 1n),
    }).toEqual({ within: 'done', across: ALIGNMENT, nAA: ordered ? 'done' : ALIGNMENT, A: ALIGNMENT, device: ALIGNMENT });
  });
  test.each(['ldxp x2, x3, [x0]', 'ldaxp x2, x3, [x0]', 'casp x2, x3, x4, x5, [x0]'])('%s is of 16 bytes and has to be aligned to them', (text) => {
    expect([after(machine(), text, PAIR + 16n), after(machine(), text, PAIR + 8n)]).toEqual(['done', ALIGNMENT]);
  });
  test('a store-exclusive is checked before its monitor, set or not', () => {
    for (const text of ['stxr w1, x2, [x0]', 'stlxp w1, w2, w3, [x0]']) expect([after(machine(), text, PAIR + 1n), after(machine(), text, PAIR + 12n)]).toEqual(['done', ALIGNMENT]);
  });
  test('an unaligned exclusive pair of load and store is done', () => {
    const core = machine();
    expect(after(core, 'ldxr x2, [x0]', PAIR + 3n)).toBe('done');
    expect(after(core, 'stxr w1, x3, [x0]', PAIR + 3n)).toBe('done');
    expect([core.words[1], Buffer.from(readBytes(core.board.memory, LOW + 3, 8)).toString('hex')]).toEqual([0n, '33'.repeat(8)]);
  });
});

describe('an access over two pages translates both before it does either', () => {
  /** The fault's address is the first byte of the page at fault; a store that faults stores nothing. */
  test.each([
    ['ldr x2, [x0]', PAIR + 0xffcn, 'done', 0n], ['str x2, [x0]', PAIR + 0xffcn, 'done', 0n], ['ldp x2, x3, [x0]', PAIR + 0xff8n, 'done', 0n], ['stp x2, x3, [x0]', PAIR + 0xff4n, 'done', 0n],
    ['str x2, [x0]', PAIR + 0x2ffcn, 'EC 25 FSC f', PAIR + 0x3000n], ['stp x2, x3, [x0]', PAIR + 0x2ff8n, 'EC 25 FSC f', PAIR + 0x3000n], ['stp x2, x3, [x0]', PAIR + 0x2ffcn, 'EC 25 FSC f', PAIR + 0x3000n],
    ['ldr x2, [x0]', PAIR + 0x3ffcn, 'EC 25 FSC 7', PAIR + 0x4000n], ['ldr x2, [x0]', PAIR - 4n, 'EC 25 FSC 6', PAIR - 4n], ['ldur w2, [x0, #-1]', PAIR + 0x1000n, 'done', 0n],
    ['stlr x2, [x0]', PAIR + 0xffcn, ALIGNMENT, PAIR + 0xffcn], ['ldadd x2, x3, [x0]', PAIR + 0xffcn, ALIGNMENT, PAIR + 0xffcn],
  ])('%s at %#x: %s', (text, address, outcome, far) => {
    const core = machine();
    const before = readBytes(core.board.memory, LOW + 0x1ff0, 16);
    expect(after(core, text, address)).toBe(outcome);
    if (outcome === 'done') return;
    expect(get(core, 'FAR_EL1')).toBe(far);
    expect(readBytes(core.board.memory, LOW + 0x1ff0, 16)).toEqual(before);
  });
  test('the bytes of both pages are in order, wherever the pages lie', () => {
    const core = machine();
    after(core, 'str x2, [x0]', PAIR + 0xffdn);
    expect([Buffer.from(readBytes(core.board.memory, LOW + 0xffd, 3)).toString('hex'), Buffer.from(readBytes(core.board.memory, HIGH, 5)).toString('hex')]).toEqual(['222222', '2222222222']);
  });
});

describe('at the top of the address space addresses wrap to zero (CONSTRAINED UNPREDICTABLE, our choice)', () => {
  const LAST = 0xffff_ffff_ffff_ffffn;
  test.each([
    ['ldr x2, [x0]', LAST - 3n], ['ldp x2, x3, [x0]', LAST - 7n], ['ldur x2, [x0, #-4]', 0n], ['ldur x2, [x0, #4]', LAST - 7n], ['ldr w2, [x0, x1]', LAST - 1n],
  ])('%s at %#x loads the last bytes and the first', (text, address) => {
    const core = machine();
    writeWord(core.board.memory, TOP + 0xff8, 0x8877_6655_4433_2211n);
    writeWord(core.board.memory, ZERO, 0xffee_ddcc_bbaa_9900n);
    core.words[1] = 0n;
    expect(after(core, text, address)).toBe('done');
    expect(core.words[2]!.toString(16)).toBe({ 'ldr x2, [x0]': 'bbaa990088776655', 'ldp x2, x3, [x0]': '8877665544332211', 'ldur x2, [x0, #-4]': 'bbaa990088776655', 'ldur x2, [x0, #4]': 'bbaa990088776655', 'ldr w2, [x0, x1]': '99008877' }[text]);
  });
  test('a store does so too', () => {
    const core = machine();
    after(core, 'str x2, [x0]', LAST);
    expect([readBytes(core.board.memory, TOP + 0xfff, 1)[0], Buffer.from(readBytes(core.board.memory, ZERO, 8)).toString('hex')]).toEqual([0x22, '2222222222222200']);
  });
  test('the instruction behind the last one is at zero, where page zero may hold one', () => {
    const core = machine();
    program(core.board.memory, TOP + 0xff8, [assemble('nop'), assemble('nop')]);
    program(core.board.memory, ZERO, [assemble('movz x9, #7')]);
    core.words[Word.PC] = LAST - 3n;
    run(core, 2);
    expect([core.words[9], core.words[Word.PC]]).toEqual([7n, 4n]);
  });
});
