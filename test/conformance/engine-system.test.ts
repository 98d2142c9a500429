/** Controls that change under the engines: translation, permissions, byte order, traps, guarded pages, debug, counters, floating-point modes; and accesses that their fast paths have to leave alone. */

import { describe, expect, test } from 'vitest';
import { Word } from '../../machines/aarch64/state.ts';
import { pollCounters } from '../../machines/aarch64/pmu.ts';
import { readWord, writeBytes, writeWord } from '../../machines/memory/memory.ts';
import { DEVICE, RAM, set, setPstate } from '../support/core.ts';
import { CODE, DATA, machineOf, PAGE, runCase, SCTLR, TABLES, TCR, VECTORS, type Case } from '../support/engine-case.ts';
import { Alike } from '../support/engines.ts';
import { load, words } from '../support/guest-program.ts';
import { attr, map, S1 } from '../support/tables.ts';

const loop = (body: string, rounds = 3000): string => `movz x0, #${rounds}\nloop: ${body}\nsub x0, x0, #1\ncbnz x0, {loop}\nend: b {end}`;
/** An inner loop that is warm before and after each round of `body`. */
const warm = (body: string, inner: string, rounds = 40): string => `movz x0, #${rounds}\nloop: ${body}\nmovz x19, #60\ninner: ${inner}\nsub x19, x19, #1\ncbnz x19, {inner}\nsub x0, x0, #1\ncbnz x0, {loop}\nend: b {end}`;
/** A memory loop: X11 is DATA. */
const USE = 'ldr x2, [x11, #8]; add x2, x2, x19; str x2, [x11, #8]; ldrh w3, [x11, #16]; add x1, x1, x3; add x1, x1, x2; strb w1, [x11, #17]';

describe('controls of translation and memory, changed by MSR in the middle', () => {
  const change = (register: string, bits: bigint): string => `mrs x9, ${register}; ${load('x10', bits)}; eor x9, x9, x10; msr ${register}, x9`;
  test.each<[string, string, Partial<Case>]>([
    ['SCTLR_EL1.M: all is Device memory without', change('SCTLR_EL1', 1n), { exceptions: true }],
    ['SCTLR_EL1.A: what is unaligned faults', change('SCTLR_EL1', 2n), { exceptions: true }],
    ['SCTLR_EL1.EE: the tables are then read in the other order, and nothing is found', change('SCTLR_EL1', 1n << 25n), {}],
    ['SCTLR_EL1.EE with the MMU off', `${change('SCTLR_EL1', (1n << 25n) | 1n)}`, { exceptions: true }],
    ['SCTLR_EL1.{A, M} and TCR_EL1.TBI0', `${change('SCTLR_EL1', 3n)}; ${change('TCR_EL1', 1n << 37n)}`, { exceptions: true }],
    ['TCR_EL1.TBI0, for tagged addresses', `${change('TCR_EL1', 1n << 37n)}; tbz x0, #1, {same}; eor x11, x11, x14\nsame: nop`, { exceptions: true }],
    ['MAIR_EL1: Normal memory becomes Device', change('MAIR_EL1', 0xffn), { exceptions: true }],
  ])('%s', (name, body, more) => {
    runCase(name, { text: `${load('x11', DATA)}; ${load('x14', 0x3bn << 56n)}\n${warm(body, `${USE}; ldur x4, [x11, #33]; stur x4, [x11, #41]`)}`, insns: 20_000, ...more });
  });

  test('SCTLR_EL1.WXN: what can be written cannot be executed, and the handler says so no longer', () => {
    runCase('wxn', {
      text: `${load('x11', DATA)}; ${load('x26', CODE + 0x4000)}; ${load('x13', SCTLR)}\n${warm(`${load('x9', SCTLR | (1n << 19n))}; msr SCTLR_EL1, x9\nafter: nop`, USE)}`,
      more: { [CODE + 0x4000]: `msr SCTLR_EL1, x13; ${load('x9', CODE + 0x100)}; br x9`, [CODE + 0x100 + 0]: '' },
      prepare: ({ memory }, tables) => {
        // The vectors and the page of the handler's end are read-only.
        map(tables, RAM + 0x8000, RAM + 0x8000, PAGE | S1.READ_ONLY);
        map(tables, CODE + 0x4000, CODE + 0x4000, PAGE | S1.READ_ONLY);
        writeWord(memory, CODE + 0x100, (BigInt(0x17ff_ffff) << 32n) | 0xd503_201fn);
      }, insns: 9000, exceptions: true,
    });
  });

  test('PAN by MSR (immediate), on pages of EL0, and UAO and SPSel', () => {
    runCase('pan', {
      text: `${load('x11', DATA)}; movz x14, #0\n${warm('msr pan, #1; add x14, x14, #1\nldr x4, [x11, #64]; msr pan, #0; msr spsel, #0; ldr x5, [sp]; add x5, x5, #1; str x5, [sp]; msr spsel, #1; ldr x6, [sp]; tbz x0, #0, {inner}; msr pan, #1', `${USE}; ldr x7, [sp]; add x7, x7, x14; str x7, [sp]; ldtr x8, [x11, #8]; sttr x8, [x11, #24]`, 60)}`,
      prepare: (_, tables) => { map(tables, DATA, DATA, PAGE | S1.USER | S1.PXN); }, insns: 20_000, exceptions: true,
    });
  });

  test('SPSel in a loop that is warm for both stacks, and a stack that is not aligned', () => {
    runCase('spsel', {
      text: `${loop('msr spsel, #0; movz x19, #20\nfirst: str x19, [sp, #-16]!; ldr x2, [sp], #16; add x1, x1, x2; sub x19, x19, #1; cbnz x19, {first}; msr spsel, #1; movz x19, #20\nsecond: str x19, [sp, #-16]!; ldr x2, [sp], #16; add x1, x1, x2; sub x19, x19, #1; cbnz x19, {second}\nsub sp, sp, #8; ldr x2, [sp]; add sp, sp, #8', 90)}`,
      prepare: ({ core }) => { set(core, 'SCTLR_EL1', SCTLR | 8n); }, insns: 14_000, exceptions: true,
    });
  });

  test('EL0 and back by ERET and SVC, with memory of its own', () => {
    const user = 0x5000_0000;
    runCase('user', {
      text: `${load('x11', DATA)}; ${load('x9', user)}; msr ELR_EL1, x9; movz x10, #0x3c0; msr SPSR_EL1, x10; eret`,
      more: { [CODE + 0x2000]: `movz x19, #50\ninner: ldr x2, [x11]; add x2, x2, x19; str x2, [x11]; sub x19, x19, #1; cbnz x19, {inner}\nsvc #3; ldr x4, [x12]; str x4, [x11, #8]; mrs x5, TPIDR_EL0; add x5, x5, #1; msr TPIDR_EL0, x5; b 0x${(CODE + 0x2000).toString(16)}` },
      prepare: ({ core }, tables) => { map(tables, user, CODE + 0x2000, PAGE | S1.USER | S1.READ_ONLY | S1.PXN); map(tables, DATA, DATA, PAGE | S1.USER | S1.UXN | S1.PXN); core.words[12] = BigInt(DATA + 0x1000); }, insns: 14_000, exceptions: true,
    });
  });

  test('HCR_EL2, VTTBR_EL2 and VTCR_EL2 by an EL2 that goes in and out of EL1', () => {
    runCase('stage 2 of EL1', {
      options: { el2: 'guest', el: 2 },
      text: `${load('x11', DATA)}; ${load('x9', CODE + 0x2000)}; movz x10, #0x3c5; movz x0, #0
      again: msr ELR_EL2, x9; msr SPSR_EL2, x10; mrs x4, HCR_EL2; eor x4, x4, #1; msr HCR_EL2, x4; add x0, x0, #1; eret`,
      more: { [CODE + 0x2000]: `movz x19, #50\ninner: ${USE}; sub x19, x19, #1; cbnz x19, {inner}\nhvc #0`, [CODE + 0x8400]: `b 0x${(CODE + 21 * 4 - 4 * 11).toString(16)}` },
      prepare: ({ core, memory }) => {
        setPstate(core, 2, 0x3c0);
        set(core, 'VBAR_EL2', BigInt(CODE + 0x8000));
        // 39 bits from level 1, a block over all but that DATA is another page.
        const [one, two, three] = [TABLES + 0x4_0000, TABLES + 0x4_1000, TABLES + 0x4_2000];
        const stage2 = 0x7fdn | (1n << 10n);
        writeWord(memory, one + 8, BigInt(two) | 3n);
        for (let block = 0; block < 512; block++) writeWord(memory, two + 8 * block, BigInt(RAM + block * 0x20_0000) | (stage2 & ~2n) | 1n);
        writeWord(memory, two, BigInt(three) | 3n);
        for (let page = 0; page < 512; page++) writeWord(memory, three + 8 * page, BigInt(RAM + page * 4096 === DATA ? DATA + 0x1000 : RAM + page * 4096) | stage2 | 2n);
        set(core, 'VTTBR_EL2', BigInt(one));
        set(core, 'VTCR_EL2', 0x8000_3559n);
        set(core, 'HCR_EL2', 1n << 31n);
      }, insns: 14_000,
    });
  });
});

describe('guarded pages', () => {
  const V = 0x5000_0000;
  const target = (pad: string, more = ''): string => `${pad}; add x1, x1, #1; ${more} ret`;
  test.each<[string, string, boolean]>([
    ['BLR onto BTI c', target('bti c'), false], ['BLR onto BTI jc', target('bti jc'), false], ['BLR onto PACIASP', target('paciasp', 'autiasp;'), false],
    ['BLR onto BTI j', target('bti j'), true], ['BLR onto nothing', target('nop'), true], ['BLR onto BRK', target('brk #1'), true], ['BLR onto a load that faults', target('ldr x2, [xzr_]').replace('[xzr_]', '[x17]'), true],
  ])('%s', (name, text, exceptions) => {
    runCase(name, {
      text: `${load('x9', V)}; ${load('x26', CODE + 0x100)}; movz x17, #0; b 0x${(CODE + 0x100).toString(16)}`,
      more: { [CODE + 0x100]: `movz x19, #50\ninner: add x6, x6, x19; sub x19, x19, #1; cbnz x19, {inner}; blr x9; add x6, x6, #1; b 0x${(CODE + 0x100).toString(16)}`, [CODE + 0x2000]: text },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE | (1n << 50n)); }, insns: 9000, ...(exceptions ? { exceptions: true as const } : {}),
    });
  });

  test('BR within a guarded page, by X16 and others, onto each kind of landing pad', () => {
    runCase('jumps', {
      text: `${load('x9', V)}; ${load('x26', V)}; br x9`,
      more: { [CODE + 0x2000]: `bti jc; movz x0, #40\nloop: adr x16, {one}; br x16\none: bti c; adr x2, {two}; br x2\ntwo: bti j; adr x3, {three}; br x3\nthree: bti jc; adr x4, {four}; tbz x0, #3, {skip}; br x4\nskip: nop\nfour: nop; adr x5, {five}; blr x5\nfive: paciasp; autiasp; adr x17, {six}; tbz x0, #4, {six}; br x17\nsix: bti j; sub x0, x0, #1; cbnz x0, {loop}; adr x2, {last}; br x2\nlast: brk #7; br x9` },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE | (1n << 50n)); }, insns: 20_000, exceptions: true,
    });
  });

  test('a page that becomes guarded and is so no more, by stores to its descriptor', () => {
    runCase('guarded now and then', {
      text: `${load('x9', V)}; ${load('x12', 1n << 50n)}; ${load('x26', CODE + 0x100)}; b 0x${(CODE + 0x100).toString(16)}`,
      more: { [CODE + 0x100]: `movz x0, #30\nloop: blr x9; sub x0, x0, #1; cbnz x0, {loop}; ldr x2, [x10]; eor x2, x2, x12; str x2, [x10]; b 0x${(CODE + 0x100).toString(16)}`, [CODE + 0x2000]: 'add x1, x1, #1; add x6, x6, x1; ret' },
      prepare: ({ core }, tables) => { core.words[10] = BigInt(map(tables, V, CODE + 0x2000, PAGE)); core.words[26] = BigInt(CODE + 0x110); }, insns: 9000, exceptions: true,
    });
  });

  test('SCTLR_EL1.BT1 changes what PACIASP takes', () => {
    runCase('bt1', {
      text: `${load('x9', V)}; ${load('x26', CODE + 0x118)}; ${load('x12', 1n << 36n)}; adr x30, {end}; b 0x${(CODE + 0x100).toString(16)}\nend: b {end}`,
      more: { [CODE + 0x100]: `movz x0, #30\nloop: movz x19, #50\ninner: add x6, x6, x19; sub x19, x19, #1; cbnz x19, {inner}; br x9\nback: sub x0, x0, #1; cbnz x0, {loop}; mrs x2, SCTLR_EL1; eor x2, x2, x12; msr SCTLR_EL1, x2; b 0x${(CODE + 0x100).toString(16)}`, [CODE + 0x2000]: 'bti j; adr x3, {pac}; br x3\npac: paciasp; xpaclri; add x1, x1, #1; br x26' },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE | (1n << 50n)); }, insns: 14_000, exceptions: true,
    });
  });
});

describe('accesses that are not aligned, or not in one page', () => {
  const SIZES = 'ldrh w2, [x12]; ldr w3, [x12]; ldr x4, [x12]; ldp x5, x6, [x12]; ldr q0, [x12]; ldp q1, q2, [x12]; ld1 {v3.4s}, [x12]; strh w2, [x13]; str w3, [x13]; str x4, [x13]; stp x5, x6, [x13]; str q0, [x13]; stp q1, q2, [x13]; st1 {v3.8h}, [x13]; st4 {v0.4s, v1.4s, v2.4s, v3.4s}, [x13]; stp w5, w6, [x13]';
  const steps = (step: string): string => `${SIZES}; add x12, x12, ${step}; add x13, x13, ${step}; add x1, x1, x4; eor x1, x1, x6`;
  test.each<[string, number, Partial<Case>]>([
    ['within pages and over their edges', DATA + 0xf00, {}],
    ['into a page that is not there', DATA + 0x1f00, { prepare: (_, tables) => { writeWord(tables.memory, map(tables, DATA + 0x2000, DATA, PAGE), 0n); }, exceptions: true }],
    ['into a page that cannot be written', DATA + 0x1f00, { prepare: (_, tables) => { map(tables, DATA + 0x2000, DATA + 0x2000, PAGE | S1.READ_ONLY); }, exceptions: true }],
    ['in Device memory', DATA + 0x1f00, { prepare: (_, tables) => { map(tables, DATA + 0x2000, DATA + 0x2000, PAGE | attr(1)); map(tables, DATA + 0x1000, DATA + 0x1000, PAGE | attr(1)); }, exceptions: true, regions: 0 }],
    ['into pages that lie elsewhere', DATA + 0xf00, { prepare: (_, tables) => { map(tables, DATA + 0x1000, DATA + 0x5000, PAGE); map(tables, DATA + 0x2000, DATA + 0x3000, PAGE); } }],
  ])('%s', (name, at, more) => {
    runCase(name, {
      text: `${load('x12', at)}; ${load('x13', at + 0x40)}; ${loop(steps('#1'), 600)}`, insns: 14_000, ...more,
    });
  });

  test('ordered and exclusive ones, unaligned', () => {
    runCase('ordered', { text: `${load('x12', DATA + 0xfe0)}; ${loop('ldar x2, [x12]; stlr x2, [x12]; ldapr x3, [x12]; ldapur w4, [x12, #3]; stlur w4, [x12, #5]; ldxr x5, [x12]; stxr w6, x5, [x12]; ldadd x5, x7, [x12]; add x1, x1, x7; add x12, x12, #1', 300)}`, insns: 9000, exceptions: true });
  });

  test('over the top of the address space', () => {
    const top = BigInt.asUintN(64, -0x1000n);
    runCase('the top', {
      text: `${load('x12', top + 0xf80n)}; ${loop('ldr x2, [x12]; ldp x3, x4, [x12]; str x2, [x12]; stp x3, x4, [x12]; ldr q0, [x12]; str q0, [x12]; ldr w5, [x12]; strh w5, [x12]; add x1, x1, x2; eor x1, x1, x4; add x12, x12, #1; and x6, x0, #0x7f; cbnz x6, {on}; sub x12, x12, #0x80\non: nop', 900)}`,
      prepare: ({ core, memory }, tables) => {
        map(tables, Number(top % (1n << 39n)), DATA + 0x1000, PAGE);
        map(tables, 0, DATA + 0x3000, PAGE);
        for (let at = 0; at < 512; at++) { writeWord(memory, DATA + 0x1000 + 8 * at, BigInt(at * 0x1234_567)); writeWord(memory, DATA + 0x3000 + 8 * at, BigInt(at * 0x7654_321)); }
        set(core, 'TTBR1_EL1', BigInt(TABLES));
      }, insns: 14_000,
    });
  });

  test('stores over descriptors of the page that is then used', () => {
    const V = 0x5000_0000;
    runCase('descriptors', {
      text: `${load('x12', V)}; movz x13, #0x1000; ${loop('ldr x2, [x12]; add x2, x2, x0; str x2, [x12]; add x1, x1, x2; and x3, x0, #15; cbnz x3, {skip}; ldr x4, [x10]; eor x4, x4, x13; str x4, [x10]\nskip: ldr x5, [x12, #8]; add x5, x5, #1; str x5, [x12, #8]')}`,
      prepare: ({ core }, tables) => { core.words[10] = BigInt(map(tables, V, DATA, PAGE)); }, insns: 14_000,
    });
  });

  test('stores over the table above, a byte of it, a pair of it, sixteen bytes of it', () => {
    const V = 0x5000_0000;
    runCase('tables', {
      text: `${load('x12', V)}; ${loop('ldr x2, [x12]; add x2, x2, x0; str x2, [x12]; add x1, x1, x2; and x3, x0, #15; cbnz x3, {skip}\nldrb w4, [x10, #1]; eor w4, w4, #0x10; strb w4, [x10, #1]; tbz x0, #4, {skip}; ldp x5, x6, [x10]; eor x5, x5, #0x2000; stp x5, x6, [x10]; tbz x0, #5, {skip}; ldr q0, [x10]; ins v0.d[0], x5; str q0, [x10]\nskip: ldr x5, [x12, #8]; add x5, x5, #1; str x5, [x12, #8]')}`,
      prepare: ({ core, memory }, tables) => {
        core.words[10] = BigInt(map(tables, V, DATA, PAGE));
        expect(readWord(memory, Number(core.words[10]!)) & ~0xfffn).toBe(BigInt(DATA));
      }, insns: 14_000,
    });
  });

  test('FEAT_HAFDBS: the Access flag and the dirty state, cleared now and then', () => {
    const V = 0x5000_0000;
    runCase('hafdbs', {
      text: `${load('x12', V)}; ${load('x13', (1n << 10n))}; ${loop('ldr x2, [x12]; add x2, x2, x0; and x3, x0, #3; cbz x3, {skip}; str x2, [x12]\nskip: add x1, x1, x2; and x3, x0, #15; cbnz x3, {on}; ldr x4, [x10]; bic x5, x4, x13; orr x5, x5, #0x80; str x5, [x10]; add x1, x1, x4\non: nop')}`,
      prepare: ({ core }, tables) => { core.words[10] = BigInt(map(tables, V, DATA, (PAGE & ~S1.AF) | S1.READ_ONLY | (1n << 51n))); set(core, 'TCR_EL1', TCR | (3n << 39n)); }, insns: 14_000,
    });
  });
});

describe('two cores', () => {
  test.each([1, 3, 17, 60, 250])('count together by exclusives, in turns of %d', (quantum) => {
    const last = runCase(`turns of ${quantum}`, {
      options: { cores: 2 }, quantum, insns: quantum < 10 ? 1000 * quantum : 6000, regions: 0,
      text: `${load('x11', DATA)}\n${loop('again: ldaxr x2, [x11]; add x2, x2, #1; add x5, x5, x2; stlxr w3, x2, [x11]; cbnz w3, {again}; ldr x4, [x11, #8]; add x4, x4, #1; str x4, [x11, #8]; add x6, x6, x4', 9000)}`,
    });
    expect(readWord(last.memory, DATA)).toBeGreaterThan(80n);
  });

  test('one has its monitor set while the other stores: to the granule, beside it, pairs, vectors and bytes', () => {
    runCase('stores', {
      options: { cores: 2 }, quantum: 37, insns: 9000,
      text: `${load('x11', DATA)}; cbnz x20, {other}
      ${loop('ldxr x2, [x11]; add x1, x1, x2; add x1, x1, #1; nop; nop; add x4, x4, x1; stxr w3, x1, [x11]; add x5, x5, x3', 9000)}
      other: movz x19, #0\nmore: add x19, x19, #1; str x19, [x11, #64]; add x6, x6, x19; and x7, x19, #63; cbnz x7, {more}; str x19, [x11, #56]; stp x19, x6, [x11, #128]; strb w19, [x11, #3]; str q0, [x11, #48]; stp q0, q0, [x11, #32]; b {more}`,
    });
  });

  test('wake each other by SEV and by opening monitors', () => {
    runCase('events', {
      options: { cores: 2 }, quantum: 50, insns: 4000, regions: 0,
      text: `${load('x11', DATA)}; cbnz x20, {other}\nwait: sevl; wfe; ldxr x2, [x11]; and x3, x2, #1; cbnz x3, {go}; wfe; b {wait}\ngo: add x1, x1, #1; add x2, x2, #1; str x2, [x11]; sev; b {wait}
      other: ldr x2, [x11]; and x3, x2, #1; cbnz x3, {pause}; add x2, x2, #1; str x2, [x11]; add x1, x1, #1\npause: movz x19, #9\nspin: sub x19, x19, #1; cbnz x19, {spin}; sev; b {other}`,
      ended: (core, { end }) => { if (end.type === 'wait') core.attention = true; },
    });
  });
});

describe('debug exceptions switched on in the middle', () => {
  const MDE = (1n << 15n) | (1n << 13n);
  const BCR = (0xfn << 5n) | (3n << 1n) | 1n, WCR = (0xffn << 5n) | (3n << 3n) | (3n << 1n) | 1n;
  const body = `${load('x11', DATA)}; msr daifclr, #8\n${warm('tbz x0, #0, {off}; msr MDSCR_EL1, x12; b {inner_}\noff: msr MDSCR_EL1, xzr\ninner_: nop', `${USE}\nhere: add x6, x6, #1`, 16)}`;
  test.each<[string, Readonly<Record<string, bigint>>, bigint]>([
    ['a watchpoint', { DBGWVR0_EL1: BigInt(DATA + 8), DBGWCR0_EL1: WCR }, MDE],
    ['a breakpoint', { DBGBVR0_EL1: BigInt(CODE + 4 * 22), DBGBCR0_EL1: BCR }, MDE],
  ])('%s, by MSR', (name, registers, mdscr) => {
    runCase(name, {
      text: body, insns: 12_000, exceptions: true,
      prepare: ({ core }) => { set(core, 'OSLSR_EL1', 8n); core.words[12] = mdscr; for (const [register, value] of Object.entries(registers)) set(core, register, value); },
    });
  });

  test('single step of EL0 by ERET with SPSR_EL1.SS, of some stays there', () => {
    const user = 0x5000_0000;
    runCase('step', {
      text: `${load('x9', user)}; msr ELR_EL1, x9; movz x10, #0x3c0; msr SPSR_EL1, x10; eret`,
      more: {
        [CODE + 0x2000]: 'again: movz x0, #40\nloop: add x1, x1, x0; sub x0, x0, #1; cbnz x0, {loop}; svc #1; b {again}',
        // EL1: after SVC it turns stepping on, after a step it goes on stepping for a while, then off.
        [CODE + 0x8400]: 'mrs x24, ESR_EL1; lsr x24, x24, #26; sub x24, x24, #0x15; cbz x24, {call}; add x25, x25, #1; and x27, x25, #31; cbz x27, {off}; mrs x27, SPSR_EL1; orr x27, x27, #0x200000; msr SPSR_EL1, x27; eret\noff: msr MDSCR_EL1, xzr; eret\ncall: movz x27, #1; msr MDSCR_EL1, x27; mrs x27, SPSR_EL1; orr x27, x27, #0x200000; msr SPSR_EL1, x27; eret',
      },
      prepare: ({ core }, tables) => { map(tables, user, CODE + 0x2000, PAGE | S1.USER | S1.READ_ONLY | S1.PXN); set(core, 'OSLSR_EL1', 8n); set(core, 'VBAR_EL1', BigInt(CODE + 0x8000)); }, insns: 12_000, exceptions: true,
    });
  });

  test('by who looks at the machine, between runs', () => {
    runCase('patched', {
      text: body, insns: 9000, exceptions: true,
      prepare: ({ core }) => { set(core, 'OSLSR_EL1', 8n); set(core, 'DBGWVR0_EL1', BigInt(DATA + 8)); core.words[12] = 0n; },
      every: { insns: 900, act: ({ core }, turn) => { set(core, 'DBGWCR0_EL1', turn % 2 === 0 ? 0n : WCR); core.words[12] = turn % 2 === 0 ? 0n : MDE; set(core, 'MDSCR_EL1', core.words[12]!); } },
    });
  });
});

describe('the counters\' interrupt', () => {
  test.each([[17, false], [123, false], [1000, true]] as const)('comes at exactly the instruction, every %d', (period, events) => {
    const name = events ? 'PMEVCNTR0_EL0' : 'PMCCNTR_EL0';
    const bit = events ? 1n : 1n << 31n;
    const width = events ? 32n : 64n;
    const alike = new Alike(`every ${period}`, (engine) => machineOf({
      text: `msr daifclr, #2; ${load('x11', DATA)}\n${warm('nop', USE, 60)}`, insns: 0,
      prepare: ({ core }) => {
        set(core, 'PMCR_EL0', 1n | (1n << 6n));
        set(core, 'PMCNTENSET_EL0', bit);
        set(core, 'PMINTENSET_EL1', bit);
        set(core, 'PMEVTYPER0_EL0', 8n);
        set(core, name, (1n << width) - BigInt(period));
        core.words[Word.PMU_CYCLES] = 1n;
        core.words[Word.PMU_RETIRED] = 1n;
        core.words[Word.ATTEMPTED] = 1n;
      },
    }, engine));
    const draw = [1000, 3, 20_000, 77, 5];
    let ends = 0;
    for (let turn = 0; turn < 60; turn++) {
      const { end, attempted } = alike.run(draw[turn % draw.length]!);
      if (end.type === 'effect') ends++;
      // What the board does: the counter's line, and the next period.
      alike.each(({ core }) => {
        pollCounters(core);
        if (core.words[Word.PMU_LINE] === 1n) {
          set(core, 'PMOVSSET_EL0', 0n);
          set(core, name, (1n << width) - BigInt(period));
          core.words[Word.PMU_LINE] = 0n;
        }
        core.board.outbox.length = 0;
      });
      expect(attempted).toBeGreaterThan(0);
      alike.compare();
    }
    expect(ends).toBeGreaterThan(5);
  });
});

describe('floating point', () => {
  const USES = 'fadd d0, d1, d2; fmul d3, d0, d1; fmadd d4, d1, d2, d3; fdiv s5, s6, s7; fcvtns x2, d4; frintx d16, d3; add x1, x1, x2; fcvt s17, d4; scvtf d18, x19; fsqrt d19, d18; fcmp d3, d4; csel x3, x1, x2, gt; add x5, x5, x3; faddp v20.4s, v5.4s, v6.4s; fmla v21.2d, v0.2d, v1.2d; sqadd b22, b0, b5';
  const prepare: Case['prepare'] = ({ core }) => {
    const view = new DataView(new ArrayBuffer(8));
    for (let register = 0; register < 32; register++) {
      view.setFloat64(0, (register + 1) / 3);
      core.words[Word.VECTOR + 2 * register] = register === 6 || register === 7 ? 0x4049_0fdb_3f80_0001n + BigInt(register) : view.getBigUint64(0);
      core.words[Word.VECTOR + 2 * register + 1] = view.getBigUint64(0) + 1n;
    }
  };
  test('FPCR.{RMode, FZ, DN, AHP} change, and FPSR is cleared and set, in the middle', () => {
    runCase('modes', {
      text: `${warm('and x9, x0, #7; lsl x9, x9, #22; msr FPCR, x9; mrs x10, FPSR; eor x8, x8, x10; ror x8, x8, #3; tbz x0, #0, {keep}; msr FPSR, xzr\nkeep: tbz x0, #1, {inner}; movz x10, #0x10; msr FPSR, x10', USES, 24)}`, prepare, insns: 20_000,
    });
  });
  test('CPACR_EL1.FPEN traps and does not', () => {
    runCase('cpacr', { text: `${warm('mrs x9, CPACR_EL1; eor x9, x9, #0x300000; msr CPACR_EL1, x9', USES, 24)}`, prepare, insns: 20_000, exceptions: true });
  });
  test('between runs', () => {
    runCase('between runs', {
      text: `${warm('nop', USES, 24)}`, prepare, insns: 14_000, exceptions: true,
      every: { insns: 600, act: ({ core }, turn) => { set(core, 'CPACR_EL1', turn % 4 === 0 ? 0n : 3n << 20n); set(core, 'FPCR', BigInt(turn % 8) << 22n); set(core, 'FPSR', turn % 3 === 0 ? 0n : 16n); } },
    });
  });
});

describe('more than 2 GiB of RAM', () => {
  test('text and data far up', () => {
    const ramBytes = 3 * 2 ** 30;
    const [code, data] = [RAM + ramBytes - 0x3000, RAM + ramBytes - 0x8000];
    runCase('far up', {
      options: { ramBytes },
      text: `${load('x9', code + 0xfe0)}; ${load('x11', data)}; ${load('x12', CODE + 0x2000)}; ${load('x13', RAM + 2 ** 31 - 0x1000)}\n${loop('blr x9; blr x12; ldr x2, [x13, #0xff8]; add x2, x2, #1; str x2, [x13, #0xff8]; ldr x3, [x13, #0x1000]; add x3, x3, #3; str x3, [x13, #0x1000]; ldur x4, [x13, #0xfc]', 2000)}`,
      more: { [CODE + 0x2000]: 'add x1, x1, #1; ret' },
      prepare: ({ memory }, tables) => {
        for (const at of [code, code + 0x1000, data, data + 0x1000, RAM + 2 ** 31 - 0x1000, RAM + 2 ** 31]) map(tables, at, at, PAGE);
        // Over the edge of a page, with loops, data and stores to its own text.
        const text = 'movz x19, #120\nloop: ldr x2, [x11, #8]; add x2, x2, x19; str x2, [x11, #8]; ldr q0, [x11, #16]; str q0, [x11, #48]; stp x2, x19, [x11, #80]; adr x5, {loop}; add x1, x1, x5; sub x19, x19, #1; cbnz x19, {loop}; ldr w6, [x5]; str w6, [x5]; ret';
        writeBytes(memory, code + 0xfe0, new Uint8Array(Uint32Array.from(words(text, code + 0xfe0)).buffer));
        }, insns: 20_000,
    });
  }, 300_000);
});

describe('devices', () => {
  test('an interrupt that is due with a device\'s answer is taken right behind the load', () => {
    const alike = new Alike('answer', (engine) => machineOf({
      text: `msr daifclr, #4; ${load('x11', DATA)}; ${load('x12', DEVICE)}\n${loop('ldr w2, [x12]; add x1, x1, x2; str x1, [x11]; add x5, x5, #1; add x5, x5, x1')}`, insns: 0,
      more: { [VECTORS + 0x380]: 'mrs x27, ELR_EL1; eor x28, x28, x27; add x25, x25, #1; eret' },
      prepare: (_, tables) => { map(tables, DEVICE, DEVICE, PAGE | attr(1)); },
    }, engine));
    for (let turn = 0; turn < 200; turn++) {
      const { end, attempted } = alike.run(turn % 3 === 0 ? 1 + (turn % 5) : 5000);
      if (end.type !== 'device') continue;
      expect(attempted).toBeLessThan(5000);
      // An SError comes with every other answer.
      alike.each(({ core, board }) => {
        board.outbox.length = 0;
        core.deviceReplies.push({ pa: DEVICE, bytes: 4, value: BigInt(turn) });
        if (turn % 2 === 0) core.words[Word.SERROR] = 2n;
      });
    }
    expect(alike.all[0]!.core.words[25]).toBeGreaterThan(20n);
  });
});
