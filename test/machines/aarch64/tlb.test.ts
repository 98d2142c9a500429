/** The TLB cannot be seen: with it, without it, and with it flushed at random, a core does the same. TLBI operations drop what their scope says. Arm ARM D8.14. */

import { describe, expect, test } from 'vitest';
import { fetchInstruction, loadExclusive, loadMemory, storeExclusive, storeMemory, zeroBlock } from '../../../machines/aarch64/memory-access.ts';
import { type Core, Pstate, Word } from '../../../machines/aarch64/state.ts';
import { entriesOf, type Translation } from '../../../machines/aarch64/tlb.ts';
import { invalidateContext, invalidateStage2, invalidateTlb } from '../../../machines/aarch64/translate.ts';
import { createProfile } from '../../../machines/aarch64/profile.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, outcome, set, setPstate, type Bare } from '../../support/core.ts';
import { S1, S2, S2_ALL, map, tablesAt } from '../../support/tables.ts';

const NORMAL = S1.AF | S1.INNER;

/** A linear congruential generator (Knuth's MMIX constants), upper bits. */
function random(seed: number): (below: number) => number {
  let state = BigInt(seed);
  return (below) => {
    state = BigInt.asUintN(64, state * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n);
    return Number((state >> 33n) % BigInt(below));
  };
}

const ROOTS = [RAM + 0x10_0000, RAM + 0x14_0000] as const;
const SECONDS = [RAM + 0x20_0000, RAM + 0x24_0000] as const;
const PAGES = 6;

/** Two cores, two stage-1 trees, two stage-2 trees that map RAM nearly one to one. Everything in pages of RAM. */
function arena(): Bare {
  const bare = bareCore({ cores: 2 });
  const { memory } = bare;
  for (const [index, root] of ROOTS.entries()) {
    const tables = tablesAt(memory, root, 12, 39);
    for (let page = 0; page < PAGES; page++) map(tables, page * 4096, RAM + ((page * (index + 3)) % 16) * 4096, NORMAL | S1.USER | (page === 1 ? S1.NG : 0n));
    map(tables, 2 ** 30, RAM, NORMAL, 1);
    // The same tree serves TTBR1: its entries for index 511 are apart.
    map(tables, 2 ** 38, RAM, NORMAL | S1.UXN, 1);
  }
  for (const [index, root] of SECONDS.entries()) {
    const tables = tablesAt(memory, root, 12, 39, 1);
    map(tables, RAM + 0x20_0000, RAM + 0x20_0000, S2_ALL, 2);
    for (let page = 0; page < 512; page++) map(tables, RAM + page * 4096, RAM + (page < 16 ? (page + index) % 16 : page) * 4096, S2_ALL);
  }
  for (const core of bare.cores) {
    setPstate(core, 1);
    set(core, 'TCR_EL1', 25n | (25n << 16n) | (2n << 30n) | (5n << 32n));
    set(core, 'MAIR_EL1', 0xffn);
    set(core, 'TTBR0_EL1', BigInt(ROOTS[0]));
    set(core, 'TTBR1_EL1', BigInt(ROOTS[0]));
    set(core, 'VTCR_EL2', 25n | (1n << 6n) | (5n << 16n));
    set(core, 'VTTBR_EL2', BigInt(SECONDS[0]));
    set(core, 'SCTLR_EL1', 1n);
    set(core, 'HCR_EL2', 1n << 31n);
  }
  return bare;
}

/** Linear index of TTBR1's half: VA = sign-extended 39-bit with bit 38 set reaches RAM. */
const alias = (pa: number): bigint => BigInt.asUintN(64, BigInt.asIntN(39, BigInt(2 ** 38 + (pa - RAM))));
const LEAVES = [NORMAL | 3n, NORMAL | S1.USER | 3n, NORMAL | S1.READ_ONLY | 3n, S1.INNER | 3n, NORMAL | S1.UXN | S1.PXN | 3n, 0n] as const;
const LEAVES2 = [S2_ALL | 3n, S2.AF | S2.READ | S2.NORMAL | 3n, S2_ALL | S2.XN | 3n, 0n] as const;

interface Step { readonly core: number; act(core: Core): unknown }

/** One random thing that software may do: an access, an edit of a descriptor by a store of the guest, a register write, a TLBI, another level. */
function step(pick: (below: number) => number): Step {
  const core = pick(2);
  const page = BigInt(pick(PAGES + 1)) * 4096n;
  const at = page + BigInt(8 * pick(16));
  const value = BigInt(pick(0x1000_0000));
  const write = (register: string, next: bigint): Step => ({ core, act: (each) => { set(each, register, next); invalidateContext(each); } });
  switch (pick(20)) {
    case 0: case 1: case 2: case 3: return { core, act: (each) => loadMemory(each, at, 8, {}) };
    case 4: case 5: case 6: return { core, act: (each) => storeMemory(each, at, 8, value, {}) };
    case 7: case 8: return { core, act: (each) => { each.words[Word.PC] = at; return fetchInstruction(each); } };
    case 9: return { core, act: (each) => loadMemory(each, at, 4, { unprivileged: true }) };
    case 10: case 11: {
      // A level 3 descriptor of stage 1, by a store through TTBR1's half. tablesAt puts it in the third table.
      const table = ROOTS[pick(2)]! + 0x2000;
      const leaf = LEAVES[pick(LEAVES.length)]!;
      const entry = leaf === 0n ? 0n : leaf | BigInt(RAM + pick(16) * 4096);
      return { core, act: (each) => storeMemory(each, alias(table + 8 * pick(PAGES)), 8, entry, {}) };
    }
    case 12: {
      const leaf = LEAVES2[pick(LEAVES2.length)]!;
      const index = pick(16);
      const table = SECONDS[pick(2)]! + 0x2000;
      return { core, act: (each) => storeMemory(each, alias(table + 8 * index), 8, leaf === 0n ? 0n : leaf | BigInt(RAM + pick(16) * 4096), {}) };
    }
    case 13: return write('TTBR0_EL1', BigInt(ROOTS[pick(2)]!) | (BigInt(pick(3)) << 48n));
    case 14: return write('HCR_EL2', (1n << 31n) | BigInt(pick(2)) | (pick(4) === 0 ? 3n << 42n : 0n));
    case 15: return write('VTTBR_EL2', BigInt(SECONDS[pick(2)]!) | (BigInt(pick(2)) << 48n));
    case 16: return write('SCTLR_EL1', pick(5) === 0 ? 0n : 1n | (BigInt(pick(2)) << 19n));
    case 17: { const pstate = pick(3); return { core, act: (each) => setPstate(each, pstate === 0 ? 0 : 1, pstate === 2 ? Pstate.PAN : 0) }; }
    case 18: return { core, act: (each) => invalidateTlb(each, ['VMALLE1IS', 'VAE1', 'ASIDE1', 'VMALLS12E1', 'ALLE1IS'][pick(5)]!, (value & 0xfn) | (1n << 48n)) };
    default: return pick(2) === 0
      ? { core, act: (each) => { const seen = loadExclusive(each, at, 8, {}); return [seen, storeExclusive(each, at, 8, seen + 1n, {})]; } }
      : { core, act: (each) => zeroBlock(each, at) };
  }
}

test.each([1, 2, 3, 4, 5, 6])('random accesses, edits and flushes do the same with and without a TLB (seed %i)', (seed) => {
  // The three worlds get the same steps: cached, never cached, flushed at random.
  const worlds = [arena(), arena(), arena()] as const;
  const picks = worlds.map(() => random(seed));
  const flush = random(seed + 1000);
  let faults = 0;
  for (let index = 0; index < 1500; index++) {
    const seen = worlds.map((world, which) => {
      if (which === 1) for (const core of world.cores) core.translation = undefined;
      if (which === 2 && flush(7) === 0) world.cores[flush(2)]!.translation = undefined;
      const { core, act } = step(picks[which]!);
      const each = world.cores[core]!;
      let value: unknown;
      const result = outcome(each, () => { value = act(each); });
      if (result !== 'done') {
        if (which === 0) faults++;
        // Back to where the guest was, as a handler would.
        setPstate(each, 1);
      }
      return [core, result, String(value)];
    });
    expect(seen[1], `step ${index} of seed ${seed}`).toEqual(seen[0]);
    expect(seen[2], `step ${index} of seed ${seed}, flushed`).toEqual(seen[0]);
  }
  const ram = worlds.map((world) => Buffer.from(world.memory.bytes).toString('base64'));
  expect(ram[1] === ram[0] && ram[2] === ram[0]).toBe(true);
  // The run went over both outcomes.
  expect(faults).toBeGreaterThan(100);
  expect(faults).toBeLessThan(1400);
});

describe('a store over a descriptor drops what was translated by it', () => {
  test('on every core, the table above it included', () => {
    const { cores, memory } = arena();
    const page = 0x2000n;
    for (const core of cores) storeMemory(core, page, 8, 1n, {});
    // The level 1 entry of the tree: its whole half goes.
    storeMemory(cores[0]!, alias(ROOTS[0]), 8, 0n, {});
    expect(cores.map((core) => outcome(core, () => loadMemory(core, page, 8, {})))).toEqual(['EL1 ec=25 iss=5', 'EL1 ec=25 iss=5']);
    expect(memory.holdsDescriptors.some((flag) => flag === 1)).toBe(true);
  });
  test('also when the page was written through before it became a table', () => {
    const { core, memory } = arena();
    const table = RAM + 0x8000;
    for (let round = 0; round < 3; round++) storeMemory(core, alias(table), 8, BigInt(RAM) | NORMAL | S1.USER | 3n, {});
    // A level 2 entry now points at it.
    writeWord(memory, ROOTS[0] + 0x1000 + 8, BigInt(table) | 3n);
    expect(outcome(core, () => loadMemory(core, 0x20_0000n, 8, {}))).toBe('done');
    storeMemory(core, alias(table), 8, 0n, {});
    expect(outcome(core, () => loadMemory(core, 0x20_0000n, 8, {}))).toBe('EL1 ec=25 iss=7');
  });
  test('an L0 that edits memory directly has the same by flushing', () => {
    const { core, memory } = arena();
    loadMemory(core, 0n, 8, {});
    writeWord(memory, ROOTS[0], 0n);
    core.translation = undefined;
    expect(outcome(core, () => loadMemory(core, 0n, 8, {}))).toBe('EL1 ec=25 iss=5');
  });
});

/** The virtual pages that a core has cached, by regime, sorted. */
function cached(core: Core): readonly string[] {
  const translation = core.translation as Translation | undefined;
  return translation === undefined ? [] : [...entriesOf(translation)].map((entry) => `${entry.regime}:${entry.page.toString(16)}:${entry.global ? 'g' : entry.asid}:${entry.vttbr >> 48n}`).sort();
}

/** Both cores cache: page 0 (global), page 1 (ASID 1) and page 1 (ASID 2) under VMID 5, page 2 under VMID 6, and page 0x40000 of EL2. */
function filled(): Bare {
  const bare = arena();
  for (const core of bare.cores) {
    const hcr = (1n << 31n) | 1n;
    set(core, 'HCR_EL2', hcr);
    const access = (root: number, asid: bigint, vmid: bigint, va: bigint): void => {
      set(core, 'TTBR0_EL1', BigInt(root) | (asid << 48n));
      set(core, 'VTTBR_EL2', BigInt(SECONDS[0]) | (vmid << 48n));
      invalidateContext(core);
      loadMemory(core, va, 8, {});
    };
    access(ROOTS[0], 1n, 5n, 0x0n);
    access(ROOTS[0], 1n, 5n, 0x1000n);
    access(ROOTS[1], 2n, 5n, 0x1000n);
    access(ROOTS[0], 1n, 6n, 0x2000n);
    setPstate(core, 2);
    loadMemory(core, BigInt(RAM), 8, {});
    set(core, 'VTTBR_EL2', BigInt(SECONDS[0]) | (5n << 48n));
    invalidateContext(core);
    setPstate(core, 1);
  }
  return bare;
}

const asid = (value: bigint): bigint => value << 48n;
/** Xt of a range: BaseADDR, NUM, SCALE, and TG 4 KiB: (NUM + 1) * 2^(5 * SCALE + 1) pages. */
const range = (first: bigint, num = 0n, scale = 0n, tg = 1n): bigint => first | (num << 39n) | (scale << 44n) | (tg << 46n);

describe('TLBI scopes', () => {
  const A = '0:0:g:5';
  const B1 = '0:1:1:5';
  const B2 = '0:1:2:5';
  const C = '0:2:g:6';
  const E = '1:40000:g:6';

  test('the cores start with five each', () => expect(cached(filled().core)).toEqual([A, B1, B2, C, E]));
  test.each([
    ['VMALLE1', 0n, [C, E]], ['VMALLS12E1', 0n, [C, E]], ['ALLE1', 0n, [E]], ['ALLE2', 0n, [A, B1, B2, C]],
    ['ASIDE1', asid(1n), [A, B2, C, E]], ['VAE1', asid(2n) | 1n, [A, B1, C, E]], ['VALE1', asid(1n) | 1n, [A, B2, C, E]], ['VAE1', asid(9n), [B1, B2, C, E]],
    ['VAAE1', asid(9n) | 1n, [A, C, E]], ['VAALE1', 1n, [A, C, E]], ['VAE1', asid(1n) | 2n, [A, B1, B2, C, E]], ['VAE2', 0x4_0000n, [A, B1, B2, C]], ['VALE2', 0x4_0001n, [A, B1, B2, C, E]],
    ['IPAS2E1', 0x4_0000n, [B1, B2, C, E]], ['IPAS2LE1', 0x4_0003n, [A, B2, C, E]], ['VMALLE1NXS', 0n, [C, E]],
  ] as const)('%s %s leaves %j on its core, and all on the other', (operation, value, left) => {
    const { cores } = filled();
    invalidateTlb(cores[0]!, operation, value);
    expect(cached(cores[0]!)).toEqual([...left]);
    expect(cached(cores[1]!)).toEqual([A, B1, B2, C, E]);
  });
  // FEAT_TLBIRANGE: entries whose block has a page of the range, and no others.
  test.each([
    ['RVAE1', range(0n), [B1, B2, C, E]], ['RVAE1', asid(1n) | range(0n), [B2, C, E]], ['RVAE1', asid(1n) | range(2n), [A, B1, B2, C, E]], ['RVALE1', asid(2n) | range(0n), [B1, C, E]],
    ['RVAAE1', range(1n), [A, C, E]], ['RVAALE1', range(0n), [C, E]], ['RVAAE1', range(0x3_0000n, 31n, 2n), [A, B1, B2, C, E]], ['RVAE2', range(0x3_fffen), [A, B1, B2, C, E]],
    ['RVAE2', range(0x3_fffen, 1n), [A, B1, B2, C]], ['RVALE2', range(0n, 31n, 2n), [A, B1, B2, C, E]], ['RVALE2', range(0n, 31n, 3n), [A, B1, B2, C]], ['RVAE2', range(0x1_0000n, 0n, 0n, 2n), [A, B1, B2, C]],
    ['RVAE2', range(0x4000n, 0n, 0n, 3n), [A, B1, B2, C]], ['RIPAS2E1', range(0x4_0000n), [B1, B2, C, E]], ['RIPAS2LE1', range(0x4_0002n), [A, B2, C, E]], ['RIPAS2E1', range(0x4_0004n), [A, B1, C, E]], ['RIPAS2E1', range(0x4_0006n), [A, B1, B2, C, E]],
  ] as const)('%s %s leaves %j', (operation, value, left) => {
    const { cores } = filled();
    invalidateTlb(cores[0]!, operation, value);
    expect(cached(cores[0]!)).toEqual([...left]);
  });
  test.each(['VMALLE1IS', 'VMALLE1OS'])('%s reaches the other core', (operation) => {
    const { cores } = filled();
    invalidateTlb(cores[0]!, operation, 0n);
    expect(cached(cores[1]!)).toEqual([C, E]);
  });
  test('HCR_EL2.FB makes every form inner shareable', () => {
    const { cores } = filled();
    set(cores[0]!, 'HCR_EL2', (1n << 31n) | (1n << 9n) | 1n);
    invalidateTlb(cores[0]!, 'VMALLE1', 0n);
    expect(cached(cores[1]!)).toEqual([C, E]);
  });
  test('at EL2 under {E2H, TGE} = {1, 1} the EL1 operations are for EL2&0', () => {
    const { core } = filled();
    setPstate(core, 2);
    set(core, 'HCR_EL2', (1n << 31n) | (1n << 34n) | (1n << 27n));
    invalidateTlb(core, 'VMALLE1', 0n);
    expect(cached(core)).toEqual([A, B1, B2, C, E]);
  });
  test('a 2 MiB block goes by any address in it', () => {
    const { core } = arena();
    loadMemory(core, 0x4000_5000n, 8, {});
    expect(cached(core)).toEqual(['0:40005:g:0']);
    invalidateTlb(core, 'VAE1', 0x4_1234n);
    expect(cached(core)).toEqual([]);
  });
  test('L0 drops what came through a map by its VTTBR_EL2 value', () => {
    const { board, core } = filled();
    invalidateStage2(board, BigInt(SECONDS[0]) | (6n << 48n));
    expect(cached(core)).toEqual([A, B1, B2, E]);
  });
  test('an unknown operation stops', () => {
    expect(() => invalidateTlb(arena().core, 'VAE9', 0n)).toThrow('no TLBI operation is called VAE9');
  });
});

describe('a translation that a store to its descriptor dropped', () => {
  const VA = 0x8000_1000n;
  /** A page of EL1's at VA, read once, whose descriptors are then stored to: `table` is the address of that of level 2, `page` of that of level 3. */
  function mapped(options: Parameters<typeof bareCore>[0] = {}): { readonly bare: Bare; readonly table: number; readonly page: number; read(): bigint; put(at: number, value: bigint): bigint } {
    const bare = bareCore({ el: 1, el2: 'none', ...options });
    const { core, memory } = bare;
    const tables = tablesAt(memory, RAM + 0x10_0000, 12, 39, 1);
    map(tables, Number(VA), RAM + 0x3000, NORMAL);
    map(tables, RAM, RAM, NORMAL, 1);
    set(core, 'TTBR0_EL1', BigInt(RAM + 0x10_0000));
    set(core, 'TCR_EL1', 25n | (1n << 23n) | (5n << 32n));
    set(core, 'MAIR_EL1', 0xffn);
    set(core, 'SCTLR_EL1', 1n);
    if (options.el2 === 'kvm') set(core, 'HCR_EL2', (1n << 31n) | 1n);
    for (const page of [3, 4, 5]) writeWord(memory, RAM + page * 4096, BigInt(page));
    const read = (): bigint => loadMemory(core, VA, 8, {});
    expect(read()).toBe(3n);
    const [, table, page] = entriesOf(core.translation as Translation)[0]!.descriptors as [number, number, number];
    return { bare, table, page, read, put(at, value) { const before = readWord(memory, at); storeMemory(core, BigInt(at), 8, value, {}); return before; } };
  }
  const refusal = 'translation fault';
  const asked = (read: () => bigint): unknown => { try { return read(); } catch { return refusal; } };

  test('comes back when what it was made from is there again, and is not walked for', () => {
    const { bare: { core, board }, page, read, put } = mapped();
    const before = put(page, 0n);
    expect(asked(read)).toBe(refusal);
    set(core, 'FAR_EL1', 0n);
    put(page, before);
    board.profile = createProfile(() => 0);
    expect(read()).toBe(3n);
    expect(board.profile.counts.walks).toBe(0);
  });
  test('is another where the page is', () => {
    const { page, read, put } = mapped();
    const before = put(page, 0n);
    put(page, before + 0x1000n);
    expect(read()).toBe(4n);
    put(page, before);
    expect(read()).toBe(3n);
  });
  test('does not come back under another table', () => {
    const { bare: { memory }, table, page, read, put } = mapped();
    writeWord(memory, RAM + 0x6000 + (page % 4096), readWord(memory, page) + 0x2000n);
    const before = put(page, 0n);
    put(table, BigInt(RAM + 0x6000) | 3n);
    put(page, before);
    expect(read()).toBe(5n);
  });
  test('goes again with a table that it was dropped beside', () => {
    const { bare: { memory }, table, page, read, put } = mapped();
    writeWord(memory, RAM + 0x6000 + (page % 4096), readWord(memory, page) + 0x2000n);
    const [leaf, above] = [put(page, 0n), put(table, 0n)];
    put(page, leaf);
    put(table, above);
    expect(read()).toBe(3n);
    put(table, BigInt(RAM + 0x6000) | 3n);
    expect(read()).toBe(5n);
  });
  test('does not come back where L0 has changed its map meanwhile, which is in no word of memory', () => {
    let moved = 0;
    const { bare: { core, board }, page, read, put } = mapped({ el2: 'kvm', stage2: (_, ipa) => ({ ok: true, pa: ipa === RAM + 0x3000 ? ipa + moved : ipa, bytes: 4096, read: true, write: true, execute: true, level: 3 }) });
    expect(hasStage2(core)).toBe(true);
    const before = put(page, 0n);
    moved = 0x1000;
    invalidateStage2(board, 0n);
    put(page, before);
    expect(read()).toBe(4n);
  });
  const hasStage2 = (core: Core): boolean => entriesOf(core.translation as Translation).every(({ stage2 }) => stage2);
});
