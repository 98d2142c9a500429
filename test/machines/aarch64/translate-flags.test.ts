/** FEAT_HAFDBS: the Access flag and dirty state that the hardware keeps in descriptors, at both stages. Arm ARM D8.5; AArch64.S1Translate, AArch64.S2Translate. */

import { describe, expect, test } from 'vitest';
import { sys } from '../../support/system-access.ts';
import { fetchInstruction, loadMemory, maintainCache, storeMemory } from '../../../machines/aarch64/memory-access.ts';
import { type Core, Word } from '../../../machines/aarch64/state.ts';
import { invalidateContext } from '../../../machines/aarch64/translate.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, get, outcome, set, setPstate } from '../../support/core.ts';
import { S1, S2, S2_ALL, type Tables, map, tablesAt } from '../../support/tables.ts';

const DBM = 1n << 51n;
const VA = 0x1234_5678_9000n;
const PAGE = RAM + 0x3000;
const IPA = 0x5000_3000;
const FLAGS = S1.AF | S1.READ_ONLY;
const HA = 1n << 39n;
const HD = 1n << 40n;
const VTCR = 0x8000_0000n | (5n << 16n) | (2n << 6n) | 16n;

/** EL1 with stage 1 on; TCR_EL1.HA and HD as told, and the page of VA with attributes `leaf`. */
function stage1(leaf: bigint, tcr = HA | HD, el = 1) {
  const { core, memory, cores } = bareCore({ cores: 2 });
  const tables = tablesAt(memory, RAM + 0x10_0000);
  const at = map(tables, Number(VA), PAGE, leaf | S1.INNER);
  for (const each of cores) {
    setPstate(each, el);
    set(each, 'HCR_EL2', 1n << 31n);
    set(each, 'TCR_EL1', 16n | (16n << 16n) | (5n << 32n) | tcr);
    set(each, 'MAIR_EL1', 0xffn);
    set(each, 'TTBR0_EL1', BigInt(tables.root));
    set(each, 'SCTLR_EL1', 1n);
  }
  return { core, cores, memory, at, flags: (): bigint => readWord(memory, at) & FLAGS };
}
const load = (core: Core): string => outcome(core, () => loadMemory(core, VA, 8, {}));
const store = (core: Core): string => outcome(core, () => storeMemory(core, VA, 8, 1n, {}));
function fetch(core: Core): string {
  core.words[Word.PC] = VA;
  return outcome(core, () => fetchInstruction(core));
}

describe('stage 1', () => {
  /** What the descriptor holds before (AF and AP[2]), and after a load, a fetch and a store; F: the access faults. */
  const NEW = 0n, OLD = S1.AF, RO = S1.READ_ONLY;
  test.each([
    ['HA: the first access sets AF', HA, NEW, [OLD, OLD, OLD]], ['without HA it is an Access flag fault', HD, NEW, ['EL1 ec=25 iss=b', 'EL1 ec=21 iss=b', 'EL1 ec=25 iss=4b']],
    ['HA and HD, DBM: the first write clears AP[2]', HA | HD, RO | DBM, [OLD | RO, OLD | RO, OLD]], ['accessed and clean', HA | HD, OLD | RO | DBM, [OLD | RO, OLD | RO, OLD]],
    ['without DBM it is read-only', HA | HD, OLD | RO, [OLD | RO, OLD | RO, 'EL1 ec=25 iss=4f']], ['without HD DBM means nothing', HA, OLD | RO | DBM, [OLD | RO, OLD | RO, 'EL1 ec=25 iss=4f']],
    ['without HA HD means nothing', HD, OLD | RO | DBM, [OLD | RO, OLD | RO, 'EL1 ec=25 iss=4f']], ['writable and accessed needs nothing', HA | HD, OLD | DBM, [OLD, OLD, OLD]],
  ] as const)('%s', (_what, tcr, leaf, expected) => {
    for (const [index, act] of [load, fetch, store].entries()) {
      const { core, flags } = stage1(leaf, tcr);
      const want = expected[index]!;
      const done = act(core);
      expect(typeof want === 'string' ? done : flags()).toBe(want);
    }
  });
  test('an access that faults leaves the flags alone', () => {
    const { core, flags } = stage1(S1.PXN);
    expect([fetch(core), flags()]).toEqual(['EL1 ec=21 iss=f', 0n]);
    const user = stage1(0n, HA | HD, 0);
    expect([load(user.core), user.flags()]).toEqual(['EL1 ec=24 iss=f', 0n]);
  });
  test('a cached translation that is clean does not let a write past the flag, on any core', () => {
    const { core, cores, flags, memory, at } = stage1(S1.AF | S1.READ_ONLY | DBM);
    expect([load(core), load(cores[1]!), flags()]).toEqual(['done', 'done', S1.AF | S1.READ_ONLY]);
    expect([store(cores[1]!), flags()]).toEqual(['done', S1.AF]);
    // Software says that it is clean again: the next write has to be seen, cached or not.
    writeWord(memory, at, readWord(memory, at) | S1.READ_ONLY);
    for (const each of cores) { each.translation = undefined; }
    expect([load(core), store(core), flags()]).toEqual(['done', 'done', S1.AF]);
    expect([store(core), store(cores[1]!), flags()]).toEqual(['done', 'done', S1.AF]);
  });
  test('the hardware\'s write is a store: another core\'s exclusive monitor on the descriptor opens', () => {
    const { core, cores, at } = stage1(0n);
    cores[1]!.words[Word.MONITOR] = BigInt(at - (at % 64) + 1);
    load(core);
    expect(cores[1]!.words[Word.MONITOR]).toBe(0n);
  });
  test('AT and cache maintenance say what would be allowed and mark nothing', () => {
    const { core, flags } = stage1(S1.READ_ONLY | DBM);
    expect([sys(core, 'AT S1E1W', VA), get(core, 'PAR_EL1') & 1n, flags()]).toEqual(['done', 0n, S1.READ_ONLY]);
    maintainCache(core, VA, true);
    expect(flags()).toBe(S1.READ_ONLY);
  });
  test('the EL2 regime has HA and HD in bits 21 and 22', () => {
    const { core, memory } = bareCore({ el: 2 });
    const tables = tablesAt(memory, RAM + 0x10_0000);
    const at = map(tables, Number(VA), PAGE, S1.INNER | S1.READ_ONLY | DBM);
    set(core, 'TCR_EL2', 0x8080_0000n | 16n | (5n << 16n) | (3n << 21n));
    set(core, 'MAIR_EL2', 0xffn);
    set(core, 'TTBR0_EL2', BigInt(tables.root));
    set(core, 'SCTLR_EL2', 1n);
    expect([store(core), readWord(memory, at) & FLAGS]).toEqual(['done', S1.AF]);
  });
});

describe('stage 2', () => {
  const S2_FLAGS = S2.AF | S2.WRITE;
  /** Stage 1 maps VA to IPA, whose page has `leaf` at stage 2; stage 1's tables lie in memory that stage 2 maps by 2 MiB with `tables`. */
  function both(leaf: bigint, { vtcr = 3n << 21n, tables = S2_ALL, first = S1.AF } = {}) {
    const { core, memory } = bareCore();
    const one = tablesAt(memory, RAM + 0x20_0000);
    const two = tablesAt(memory, RAM + 0x10_0000);
    const at1 = map(one, Number(VA), IPA, first | S1.INNER);
    const at2 = map(two, IPA, PAGE, leaf);
    const ofTables = map(two, RAM + 0x20_0000, RAM + 0x20_0000, tables, 2);
    setPstate(core, 1);
    set(core, 'HCR_EL2', (1n << 31n) | 1n);
    set(core, 'TCR_EL1', 16n | (16n << 16n) | (5n << 32n) | HA | HD);
    set(core, 'MAIR_EL1', 0xffn);
    set(core, 'TTBR0_EL1', BigInt(one.root));
    set(core, 'SCTLR_EL1', 1n);
    set(core, 'VTCR_EL2', VTCR | vtcr);
    set(core, 'VTTBR_EL2', BigInt(two.root));
    invalidateContext(core);
    const flagsAt = (at: number, mask: bigint) => (): bigint => readWord(memory, at) & mask;
    return { core, flags: flagsAt(at2, S2_FLAGS), tableFlags: flagsAt(ofTables, S2_FLAGS), firstFlags: flagsAt(at1, FLAGS) };
  }
  const CLEAN = (S2_ALL & ~S2.WRITE) | DBM;
  test.each([
    ['the first access sets AF', S2_ALL & ~S2.AF, 3n, [S2.AF | S2.WRITE, S2.AF | S2.WRITE]], ['without HA it is an Access flag fault', S2_ALL & ~S2.AF, 0n, ['EL2 ec=24 iss=b', 'EL2 ec=24 iss=4b']],
    ['the first write sets S2AP[1]', CLEAN, 3n, [S2.AF, S2.AF | S2.WRITE]], ['without DBM it is read-only', S2_ALL & ~S2.WRITE, 3n, [S2.AF, 'EL2 ec=24 iss=4f']], ['without HD too', CLEAN, 1n, [S2.AF, 'EL2 ec=24 iss=4f']],
  ] as const)('%s', (_what, leaf, flags, expected) => {
    for (const [index, act] of [load, store].entries()) {
      const world = both(leaf, { vtcr: flags << 21n });
      const want = expected[index]!;
      const done = act(world.core);
      expect(typeof want === 'string' ? done.slice(0, want.length) : world.flags()).toBe(want);
    }
  });
  test('a clean page that was read is written with its flag', () => {
    const world = both(CLEAN);
    expect([load(world.core), world.flags(), store(world.core), world.flags()]).toEqual(['done', S2.AF, 'done', S2.AF | S2.WRITE]);
  });
  test('a walk sets the Access flag of the table\'s page, and stage 1\'s update makes it dirty', () => {
    const world = both(S2_ALL, { tables: (S2_ALL & ~(S2.AF | S2.WRITE)) | DBM });
    expect([load(world.core), world.tableFlags()]).toEqual(['done', S2.AF]);
    const updating = both(S2_ALL, { tables: (S2_ALL & ~(S2.AF | S2.WRITE)) | DBM, first: 0n });
    expect([load(updating.core), updating.firstFlags(), updating.tableFlags()]).toEqual(['done', S1.AF, S2.AF | S2.WRITE]);
  });
  test('stage 1\'s update where stage 2 is read-only is a stage-2 Permission fault on the walk', () => {
    const world = both(S2_ALL, { tables: S2_ALL & ~S2.WRITE, first: 0n });
    expect([load(world.core), world.firstFlags(), get(world.core, 'HPFAR_EL2') >> 4n]).toEqual(['EL2 ec=24 iss=8e', 0n, BigInt((RAM + 0x20_0000 + 3 * 0x1000) / 4096)]);
  });
});

test('XN[1:0] of stage 2 tells EL0 from EL1 (FEAT_XNX), cached or not', () => {
  for (const [never, el1, el0] of [[0n, 'done', 'done'], [1n, 'EL2 ec=20 iss=f', 'done'], [2n, 'EL2 ec=20 iss=f', 'EL2 ec=20 iss=f'], [3n, 'done', 'EL2 ec=20 iss=f']] as const) {
    const { core, memory } = bareCore();
    const two: Tables = tablesAt(memory, RAM + 0x10_0000);
    map(two, PAGE, PAGE, S2_ALL | (never << 53n));
    set(core, 'HCR_EL2', (1n << 31n) | 1n);
    set(core, 'VTCR_EL2', VTCR);
    set(core, 'VTTBR_EL2', BigInt(two.root));
    for (let round = 0; round < 2; round++) for (const [el, expected] of [[1, el1], [0, el0]] as const) {
      setPstate(core, el);
      core.words[Word.PC] = BigInt(PAGE);
      expect(`XN ${never} EL${el} ${outcome(core, () => fetchInstruction(core))}`).toBe(`XN ${never} EL${el} ${expected}`);
    }
  }
});

test('E0PD keeps EL0 out of a half, with a Translation fault of level 0; EL1 is not kept out, LDTR is (FEAT_E0PD)', () => {
  const { core } = stage1(S1.AF | S1.USER, 1n << 55n);
  expect(load(core)).toBe('done');
  expect(outcome(core, () => loadMemory(core, VA, 8, { unprivileged: true }))).toBe('EL1 ec=25 iss=4');
  setPstate(core, 0);
  expect(load(core)).toBe('EL1 ec=24 iss=4');
});

test('HPD keeps the permissions of tables from counting (FEAT_HPDS)', () => {
  for (const [tcr, expected] of [[0n, 'EL1 ec=25 iss=4f'], [1n << 41n, 'done']] as const) {
    const { core, memory } = stage1(S1.AF, tcr);
    const root = Number(get(core, 'TTBR0_EL1'));
    const entry = root + 8 * Number((VA >> 39n) & 511n);
    writeWord(memory, entry, readWord(memory, entry) | S1.READ_ONLY_TABLE);
    expect(store(core)).toBe(expected);
  }
});
