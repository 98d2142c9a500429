/** Code that changes under the engines: written by itself, by others, mapped elsewhere, and more of it than they have room for. */

import { describe, expect, test } from 'vitest';
import { ROWS } from '../../machines/aarch64/a64.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { Meta, Part, prepare, PREPARED } from '../../machines/aarch64/engine/shapes.ts';
import { encode, noFields } from '../../machines/aarch64/row.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { ENGINES } from '../../machines/aarch64/board.ts';
import type { World } from '../../actors/world.ts';
import { generator } from '../../snapshots/explore.ts';
import { RECORD_PAGES } from '../../machines/aarch64/engine/layout.ts';
import { invalidateStage2 } from '../../machines/aarch64/translate.ts';
import { writeBytes, writeWord } from '../../machines/memory/memory.ts';
import { program, RAM, set, type Bare } from '../support/core.ts';
import { CODE, DATA, machineOf, PAGE, runCase, TABLES, type Case } from '../support/engine-case.ts';
import { CODE as MACHINE_CODE, load, machine, words } from '../support/guest-program.ts';
import { Alike } from '../support/engines.ts';
import { switchEngine } from '../support/perturb.ts';
import { map, S1, tablesAt } from '../support/tables.ts';

const one = (text: string, address = 0): number => words(text, address)[0]!;
const ADD1 = one('add x1, x1, #1'), ADD2 = one('add x1, x1, #2');
const bytesOf = (...code: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(code).buffer);
/** X2 and X3 hold the words; each round exchanges them by X4. */
const TWO = `${load('x2', ADD1)}\n${load('x3', ADD2)}\neor x4, x2, x3`;
const loop = (body: string, rounds = 3000): string => `movz x0, #${rounds}\nloop: ${body}\nsub x0, x0, #1\ncbnz x0, {loop}\nend: b {end}`;

describe('code that writes itself', () => {
  test.each<[string, string]>([
    ['the next instruction', 'adr x9, {patch}; str w2, [x9]\npatch: nop\neor x2, x2, x4'],
    ['the instruction behind the next', 'adr x9, {patch}; str w2, [x9]; eor x2, x2, x4\npatch: nop'],
    ['an instruction before it in the loop', 'patch: nop\nadr x9, {patch}; eor x2, x2, x4; str w2, [x9]'],
    ['now and then', 'patch: nop\nands x5, x0, #63; b.ne {skip}; adr x9, {patch}; eor x2, x2, x4; str w2, [x9]\nskip: add x6, x6, x1'],
    ['itself', 'and x5, x0, #7; cbnz x5, {skip}; adr x9, {self}; ldr w5, [x9]\nself: str w5, [x9]\nskip: add x1, x1, x5'],
    ['a pair, the next one of it', 'adr x9, {patch}; eor x2, x2, x4; orr x5, x2, x3, lsl #32; stp w2, w3, [x9]\npatch: nop; nop'],
    ['a doubleword over two', 'adr x9, {patch}; eor x2, x2, x4; orr x5, x2, x3, lsl #32; str x5, [x9]\npatch: nop; nop'],
    ['a byte of an immediate', 'adr x9, {patch}; and x5, x0, #7; lsl x5, x5, #2; strb w5, [x9, #1]\npatch: add x1, x1, #0'],
    ['halfwords, unaligned over two', 'adr x9, {patch}; eor x2, x2, x4; lsr x5, x2, #16; orr x5, x5, x2, lsl #16; stur w5, [x9, #2]\npatch: add x1, x1, #1; add x1, x1, #1'],
    ['sixteen bytes', 'adr x9, {patch}; and x9, x9, #0xfffffffffffffff0; ldr q0, [x9]; eor x2, x2, x4; ins v0.s[3], w2; str q0, [x9]; nop; nop; nop; nop\npatch: nop; nop; nop; nop'],
    ['by two elements', 'adr x9, {patch}; eor x2, x2, x4; dup v0.2s, w2; st1 {v0.2s}, [x9]\npatch: nop; nop'],
    ['a branch back to its own place', `and x5, x0, #15; cbnz x5, {skip}; adr x9, {patch}; ${load('x5', one('b 0x8'))}; ${load('x6', 0xd503201f)}; tst x0, #16; csel x5, x5, x6, eq; str w5, [x9]\nskip: nop\npatch: nop\nadd x1, x1, #1; add x1, x1, #1`],
  ])('%s', (name, body) => {
    runCase(name, { text: `${TWO}\nmovz x5, #0\n${loop(body)}`, insns: 14_000, regions: 0 });
  });

  test.each<[string, string, number]>([
    ['a function on another page, each time before it is called', 'eor x2, x2, x4; str w2, [x10]; blr x10', 0],
    ['a function on another page, seldom', 'and x5, x0, #31; cbnz x5, {skip}; eor x2, x2, x4; str w2, [x10, #4]\nskip: blr x10', 0],
    ['a function that is running: its return', 'blr x10', 1],
  ])('%s', (name, body, kind) => {
    const callee = kind === 0 ? 'nop; add x1, x1, #1; add x6, x6, x1; ret' : `and x5, x0, #15; cbnz x5, {out}; ldr w7, [x10, #0x1c]; add x7, x7, #0x400; and x7, x7, #0xffffffffffff0fff; str w7, [x10, #0x1c]; nop; add x1, x1, #0\nout: ret`;
    runCase(name, { text: `${TWO}\n${load('x10', CODE + 0x2000)}\n${loop(body)}`, more: { [CODE + 0x2000]: callee }, insns: 14_000 });
  });

  test('by an alias of the page', () => {
    const alias = 0x5000_0000;
    runCase('alias', {
      text: `${TWO}\nadr x9, {patch}; ${load('x10', alias - CODE)}; add x9, x9, x10\n${loop('eor x2, x2, x4; str w2, [x9]\npatch: nop')}`,
      prepare: (_, tables) => { map(tables, alias, CODE, PAGE); }, insns: 14_000, regions: 0,
    });
  });

  test('by DC ZVA and by an atomic', () => {
    runCase('zva', {
      text: `${TWO}\n${load('x10', CODE + 0x2000)}; ${load('x26', CODE + 0x3000)}; ${load('x7', one('ret'))}
      ${loop('dc zva, x10; str w2, [x10]; str w7, [x10, #4]; eor x2, x2, x4; blr x10; swpal w2, w5, [x10]; blr x10; ldset w3, w5, [x10]; blr x10', 800)}`, insns: 9000, regions: 0,
    });
  });

  test('exclusively', () => {
    runCase('exclusive', { text: `${TWO}\nadr x9, {patch}\n${loop('ldxr w5, [x9]; eor x2, x2, x4; stxr w6, w2, [x9]\npatch: nop\nadd x7, x7, x6')}`, insns: 14_000, regions: 0 });
  });
});

describe('code that others write', () => {
  const called: Case = { text: `${load('x10', CODE + 0x2000)}\n${loop('blr x10; add x6, x6, x1', 9000)}`, more: { [CODE + 0x2000]: 'add x1, x1, #1; add x7, x7, #1; ret' }, insns: 14_000 };

  test('a device', () => {
    runCase('written', { ...called, every: { insns: 500, act: ({ memory }, turn) => { writeBytes(memory, CODE + 0x2000, bytesOf(turn % 2 === 0 ? ADD1 : ADD2)); } } });
  });
  test('a device, over several pages, the loop among them', () => {
    const words2 = words(`${load('x10', CODE + 0x2000)}\n${loop('blr x10; add x6, x6, x7', 9000)}`, CODE);
    const words1 = words(called.text, CODE);
    runCase('written', { ...called, every: { insns: 700, act: ({ memory }, turn) => {
      const bytes = new Uint8Array(0x2004);
      bytes.set(bytesOf(...(turn % 2 === 0 ? words1 : words2)));
      bytes.set(bytesOf(turn % 2 === 0 ? ADD1 : ADD2), 0x2000);
      writeBytes(memory, CODE, bytes);
    } } });
  });
  test('another core', () => {
    runCase('another core', {
      options: { cores: 2 }, quantum: 333, insns: 9000,
      text: `cbnz x20, {other}; ${load('x10', CODE + 0x2000)}\n${loop('blr x10; add x6, x6, x1', 9000)}
      other: ${TWO}\n${load('x10', CODE + 0x2000)}\nagain: eor x2, x2, x4; str w2, [x10]; movz x0, #50\nwait: add x5, x5, x0; sub x0, x0, #1; cbnz x0, {wait}\nb {again}`,
      more: { [CODE + 0x2000]: 'add x1, x1, #1; add x7, x7, #1; ret' },
    });
  });
  test('another core, while this one has an exclusive monitor set', () => {
    runCase('monitored', {
      options: { cores: 2 }, quantum: 217, insns: 9000,
      text: `${load('x11', DATA)}; cbnz x20, {other}; ${load('x10', CODE + 0x2000)}\n${loop('ldxr x5, [x11]; blr x10; add x6, x6, x1; stxr w5, x1, [x11]; add x8, x8, x5', 9000)}
      other: ${TWO}\n${load('x10', CODE + 0x2000)}\nagain: eor x2, x2, x4; str w2, [x10]; movz x0, #50\nwait: add x5, x5, x0; str x5, [x11, #8]; sub x0, x0, #1; cbnz x0, {wait}\nb {again}`,
      more: { [CODE + 0x2000]: 'add x1, x1, #1; add x7, x7, #1; ret' },
    });
  });
});

describe('code that comes back', () => {
  test('a restore brings the text of an earlier instant, whatever has been made of the later one', () => {
    const text = `${TWO}\nadr x9, {patch}\n${loop('patch: nop\nands x5, x0, #255; b.ne {skip}; eor x2, x2, x4; str w2, [x9]\nskip: add x6, x6, x1', 9000)}`;
    const alike = new Alike('restore', (engine) => machineOf({ text, insns: 0 }, engine));
    const regions = alike.profile();
    const draw = generator(3);
    const instants = [alike.capture()];
    for (let round = 0; round < 40; round++) {
      const from = instants[draw(instants.length)]!;
      alike.restore(from);
      for (let left = 1 + draw(4000), done = 0; left > 0; left -= done) {
        done = Math.min(left, 1 + draw(1500));
        alike.run(done);
      }
      if (instants.length < 6) instants.push(alike.capture());
    }
    expect(regions.regions).toBeGreaterThan(3);
  });

  test('a patch of the text that is running', () => {
    for (const engine of ENGINES) {
      let world = machine(`movz x1, #0\nloop: add x1, x1, #1; add x2, x2, x1; b {loop}`, { el2: 'none', quantum: 100_000 });
      switchEngine(world, engine);
      const system = systemOf();
      for (let round = 0; round < 6; round++) {
        for (let step = 0; step < 4; step++) world = system.step(world, { type: 'run', vcpu: 0, insns: 999 }).world;
        world = system.patch!(world, [{ type: 'memory', address: MACHINE_CODE + 4, bytes: bytesOf(round % 2 === 0 ? ADD2 : ADD1) }]) as World;
      }
      // Six times 1332 rounds, of one and of two in turn.
      const [count] = world.engine.board.cores[0]!.words.subarray(1, 2);
      expect(`${engine} ${count}`).toBe(`${engine} ${3 * 1332 + 2 * 3 * 1332}`);
    }
  });
});

describe('code that is mapped elsewhere', () => {
  const V = 0x5000_0000;
  const LOOP = (add: number, more = ''): string => `movz x0, #50\nloop: add x1, x1, #${add}; sub x0, x0, #1; cbnz x0, {loop}\n${more}\nadd x5, x5, x1; br x9`;
  const TABLES2 = TABLES + 0x4_0000;
  const second = ({ memory }: Bare): ReturnType<typeof tablesAt> => {
    const tables = tablesAt(memory, TABLES2, 12, 39, 1);
    for (let at = RAM; at < RAM + 0x20_0000; at += 4096) map(tables, at, at, PAGE);
    return tables;
  };
  const start = `${load('x9', V)}; br x9`;

  test.each([['the same ASID', 0n, PAGE], ['another ASID', 1n << 48n, PAGE | S1.NG]] as const)('TTBR0 changes under PC, with %s', (name, asid, leaf) => {
    runCase(name, {
      text: `${load('x2', TABLES)}; ${load('x3', BigInt(TABLES2) | asid)}; eor x4, x2, x3; ${start}`,
      more: { [CODE + 0x2000]: LOOP(1, 'eor x2, x2, x4; msr TTBR0_EL1, x2; add x6, x6, #1'), [CODE + 0x3000]: LOOP(2, 'eor x2, x2, x4; msr TTBR0_EL1, x2; add x6, x6, #3; isb') },
      prepare: (bare, tables) => { map(tables, V, CODE + 0x2000, leaf); map(second(bare), V, CODE + 0x3000, leaf); }, insns: 14_000,
    });
  });

  test.each([['alone', ''], ['and TLBI', 'dsb sy; lsr x8, x9, #12; tlbi vaae1is, x8; dsb sy; isb'], ['and TLBI of everything', 'dsb sy; tlbi vmalle1; isb']])('a store to the descriptor of the page under PC, %s', (name, more) => {
    let descriptor = 0;
    const text = (add: number): string => LOOP(add, `ldr x2, [x10]; eor x2, x2, x11; str x2, [x10]; ${more}`);
    runCase(name, {
      text: `movz x11, #0x1000; ${start}`, more: { [CODE + 0x2000]: text(1), [CODE + 0x3000]: text(2) },
      prepare: ({ core }, tables) => { descriptor = map(tables, V, CODE + 0x2000, PAGE); core.words[10] = BigInt(descriptor); }, insns: 14_000,
    });
  });

  test('a store that unmaps the page under PC, and a handler that maps it again', () => {
    runCase('unmapped', {
      text: start, more: { [CODE + 0x2000]: LOOP(1, 'ldr x2, [x10]; eor x2, x2, #1; str x2, [x10]; add x1, x1, #64'), [CODE + 0x3000]: 'ldr x2, [x10]; eor x2, x2, #1; str x2, [x10]; br x12' },
      prepare: ({ core }, tables) => { core.words[10] = BigInt(map(tables, V, CODE + 0x2000, PAGE)); core.words[26] = BigInt(CODE + 0x3000); core.words[12] = BigInt(V); }, insns: 14_000, exceptions: true,
    });
  });

  test('a device writes the descriptor, and TLBI follows', () => {
    let descriptor = 0;
    runCase('device', {
      text: start, more: { [CODE + 0x2000]: LOOP(1, 'tlbi vmalle1'), [CODE + 0x3000]: LOOP(2, 'tlbi vmalle1') },
      prepare: (_, tables) => { descriptor = map(tables, V, CODE + 0x2000, PAGE); }, insns: 9000,
      every: { insns: 1000, act: ({ memory, cores }, turn) => {
        writeWord(memory, descriptor, BigInt(CODE + (turn % 2 === 0 ? 0x2000 : 0x3000)) | PAGE | 3n);
        // Who writes past the cores has them forget (patch.ts).
        for (const core of cores) core.translation = undefined;
      } },
    });
  });

  test('two addresses of one page, one after the other and as the caller goes', () => {
    runCase('two addresses', {
      text: `${load('x9', V)}; ${load('x10', V + 0x20_1000)}\n${loop('blr x9; blr x10; eor x9, x9, x10; eor x10, x10, x9; eor x9, x9, x10', 2000)}`,
      more: { [CODE + 0x2000]: 'adr x2, 0x0; add x1, x1, x2; movz x3, #3\nagain: adr x2, {again}; eor x6, x6, x2; sub x3, x3, #1; cbnz x3, {again}\nbl {in}; add x1, x1, x30; orr x30, x4, xzr; ret\nin: orr x5, x30, xzr; add x1, x1, x5; ret'.replace('adr x2, 0x0', 'orr x4, x30, xzr; adr x2, {again}') },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE); map(tables, V + 0x20_1000, CODE + 0x2000, PAGE); }, insns: 20_000,
    });
  });

  test('two addresses of one page whose text runs off its end', () => {
    runCase('off the end', {
      text: `${load('x9', V + 0xff0)}; ${load('x10', V + 0x20_0ff0)}\n${loop('blr x9; blr x10', 2000)}`,
      more: { [CODE + 0x2ff0]: 'add x1, x1, #1; nop; adr x2, 0x40012ff8; add x6, x6, x2', [CODE + 0x4000]: 'add x1, x1, #16; ret', [CODE + 0x5000]: 'add x1, x1, #256; ret' },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE); map(tables, V + 0x20_0000, CODE + 0x2000, PAGE); map(tables, V + 0x1000, CODE + 0x4000, PAGE); map(tables, V + 0x20_1000, CODE + 0x5000, PAGE); }, insns: 20_000,
    });
  });

  test('L0 changes stage 2 under PC', () => {
    const where = new WeakMap<object, number>();
    const answers = (bare: () => object | undefined) => (_vttbr: bigint, ipa: number) => {
      const page = ipa - (ipa % 4096);
      return { ok: true as const, pa: page === CODE + 0x2000 ? (where.get(bare()!) ?? page) : page, bytes: 4096, read: true, write: true, execute: true, level: 3 };
    };
    runCase('stage 2', {
      options: { el2: 'kvm', stage2: answers(() => where) },
      text: start, more: { [CODE + 0x2000]: LOOP(1), [CODE + 0x3000]: LOOP(2) }, insns: 9000,
      prepare: ({ core }, tables) => { where.delete(where); map(tables, V, CODE + 0x2000, PAGE); set(core, 'HCR_EL2', (1n << 31n) | 1n); set(core, 'VTTBR_EL2', 0x1000n); },
      every: { insns: 700, act: ({ board }, turn) => { where.set(where, CODE + (turn % 2 === 0 ? 0x2000 : 0x3000)); invalidateStage2(board, 0x1000n, CODE + 0x2000); } },
    });
  });

  test('straight text and branches over the edges of pages', () => {
    runCase('edges', {
      text: `${load('x9', V + 0xff4)}\n${loop('blr x9', 3000)}`,
      more: { [CODE + 0x2ff4]: 'add x1, x1, #1; tst x0, #1; b.ne 0x40013008', [CODE + 0x3000]: 'add x1, x1, #2; b 0x40012800; add x1, x1, #4; cbz x1, 0x40012800; tbz x0, #1, 0x40012804; ret', [CODE + 0x2800]: 'add x6, x6, x1; add x1, x1, #8; tbnz x0, #2, 0x40013014; ret' },
      prepare: (_, tables) => { map(tables, V, CODE + 0x2000, PAGE); map(tables, V + 0x1000, CODE + 0x3000, PAGE); }, insns: 20_000,
    });
  });

  test('off the top of the address space, and back', () => {
    const top = -0x1000n & 0xffff_ffff_ffff_ffffn;
    runCase('the top', {
      text: `${load('x9', top + 0xfe0n)}; ${load('x26', CODE + 0x100)}; b 0x${(CODE + 0x100).toString(16)}`,
      more: {
        [CODE + 0x100]: 'add x6, x6, #1; br x9',
        [CODE + 0x2fe0]: 'movz x0, #40\nloop: add x1, x1, #1; sub x0, x0, #1; cbnz x0, {loop}; adr x2, 0x40013010; eor x5, x5, x2; add x1, x1, #1; tbnz x6, #0, 0x40013008',
        [CODE + 0x3000]: 'add x1, x1, #2; br x26; add x1, x1, #3; b 0x40013000',
      },
      prepare: ({ core }, tables) => {
        const high = tablesAt(tables.memory, TABLES2, 12, 39, 1);
        map(high, Number(top % (1n << 39n)), CODE + 0x2000, PAGE);
        map(tables, 0, CODE + 0x3000, PAGE);
        set(core, 'TTBR1_EL1', BigInt(TABLES2));
      }, insns: 20_000,
    });
  });

  test('off the top of the address space into nothing', () => {
    const top = -0x1000n & 0xffff_ffff_ffff_ffffn;
    runCase('into nothing', {
      text: `${load('x9', top + 0xfe0n)}; ${load('x26', CODE + 0x100)}; b 0x${(CODE + 0x100).toString(16)}`,
      more: { [CODE + 0x100]: 'add x6, x6, #1; br x9', [CODE + 0x2fe0]: 'movz x0, #40\nloop: add x1, x1, #1; sub x0, x0, #1; cbnz x0, {loop}; nop; nop; nop; nop' },
      prepare: ({ core }, tables) => {
        const high = tablesAt(tables.memory, TABLES2, 12, 39, 1);
        map(high, Number(top % (1n << 39n)), CODE + 0x2000, PAGE);
        set(core, 'TTBR1_EL1', BigInt(TABLES2));
      }, insns: 9000, exceptions: true,
    });
  });
});

describe('more code than there is room for', () => {
  test('pages are given up and come again', () => {
    const count = RECORD_PAGES + 40;
    const base = RAM + 0x20_0000;
    const text = 'add x1, x1, #1; add x2, x2, x1, lsl #3; eor x3, x3, x2; add x9, x9, x10; br x9';
    runCase('many pages', {
      options: { ramBytes: 0x20_0000 + 4096 * (count + 1) },
      text: `${load('x10', 0x1000)}; ${load('x11', base)}\nagain: orr x9, x11, xzr; movz x0, #60\nwarm: add x6, x6, x0; sub x0, x0, #1; cbnz x0, {warm}\nbr x9`,
      prepare: ({ memory }, tables) => {
        const code = words(text, 0);
        for (let page = 0; page <= count; page++) {
          map(tables, base + 4096 * page, base + 4096 * page, PAGE);
          program(memory, base + 4096 * page, page === count ? words(`b 0x${(CODE + 32).toString(16)}`, base + 4096 * page) : code);
        }
      }, insns: 25_000,
    });
  }, 240_000);

  test('handlers of all shapes of instructions, and regions, have numbers of their own', () => {
    const draw = generator(1);
    const found = new Map<number, number>();
    for (const row of ROWS.filter(({ hole }) => hole === undefined)) {
      const kinds = row.spans.filter(({ letter, width }) => width !== 5 || !'dntumae'.includes(letter));
      for (let each = 0; each < 120; each++) {
        const fields = noFields();
        for (const { letter, width } of kinds) fields[letter] = draw(2 ** Math.min(width, 30));
        const word = encode(row, fields);
        if (word === undefined || decode(word).row !== row) continue;
        const prepared = prepare(word, 0);
        const handler = PREPARED[prepared + Part.HANDLER]!;
        if ((PREPARED[prepared + Part.META]! & Meta.BRANCHES) === 0 && !found.has(handler) && !/\[|B\.|CB|TB/.test(row.name + (row.forms[0]?.text ?? '['))) found.set(handler, word);
      }
    }
    const late = [...found].filter(([handler]) => handler >= 8192).map(([, word]) => word).slice(0, 200);
    expect(late.length).toBe(200);
    const body = late.map((word) => `.inst 0x${word.toString(16)}`).join('\n');
    runCase('shapes', { text: `movz x19, #300\nouter: movz x18, #20\nloop: add x17, x17, x18; sub x18, x18, #1; cbnz x18, {loop}\n${body}\nsub x19, x19, #1; cbnz x19, {outer}\nend: b {end}`, insns: 14_000 });
  });
});

test.each([2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40])('a budget of %d is one like any other', (budget) => {
  const alike = new Alike(`budget ${budget}`, (engine) => machineOf({ text: `movz x0, #300\nloop: add x1, x1, x0; mrs x2, TPIDR_EL0; sub x0, x0, #1; cbnz x0, {loop}; wfi; b {loop}`, insns: 0 }, engine));
  expect(alike.run(budget)).toEqual({ attempted: 1202, end: { type: 'wait' } });
});
