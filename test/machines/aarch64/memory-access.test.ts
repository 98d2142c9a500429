/** Loads and stores: alignment, page crossing, monitors, devices, flash, VNCR, cache and translation instructions. Arm ARM B2, D7.5. */

import { describe, expect, test } from 'vitest';
import {
  addressTranslate, clearExclusive, fetchInstruction, loadExclusive, loadExclusivePair, loadMemory, loadPair, loadVncr, maintainCache, storeExclusive, storeExclusivePair,
  storeMemory, storePair, storeVector, storeVncr, zeroBlock, type Access, type Bytes,
} from '../../../machines/aarch64/memory-access.ts';
import { vncrPage } from '../../../machines/aarch64/board.ts';
import { type Core, Power, Pstate, Word } from '../../../machines/aarch64/state.ts';
import { type Memory, readWord, regionNamed, writeWord } from '../../../machines/memory/memory.ts';
import { DEVICE, RAM, bareCore, get, outcome, program, set, setPstate } from '../../support/core.ts';
import { S1, S2_ALL, attr, map, tablesAt } from '../../support/tables.ts';

const ROOT = RAM + 0x10_0000;
const VA = 0x5000_0000n;
const NORMAL = S1.AF | S1.INNER;

/** Cores at EL1 with `pages` pages from VA mapped one to one onto RAM's first, Normal memory; the page after them is not mapped. */
function mapped(options: { cores?: number; sctlr?: bigint; pages?: number; footprint?: boolean } = {}): { core: Core; cores: readonly Core[]; memory: Memory } {
  const { core, cores, memory, board } = bareCore({ cores: options.cores ?? 1 });
  const tables = tablesAt(memory, ROOT);
  const pages = options.pages ?? 2;
  for (let page = 0; page < pages; page++) map(tables, Number(VA) + page * 4096, RAM + page * 4096, NORMAL | S1.USER);
  map(tables, 0x6000_0000, DEVICE, NORMAL | attr(1));
  map(tables, 0x6000_1000, 0x100_0000, NORMAL | attr(1));
  for (const each of cores) {
    setPstate(each, 1);
    set(each, 'TCR_EL1', 16n | (5n << 32n));
    set(each, 'MAIR_EL1', 0x00ffn);
    set(each, 'TTBR0_EL1', BigInt(ROOT));
    set(each, 'SCTLR_EL1', 1n | (options.sctlr ?? 0n));
  }
  if (options.footprint === true) board.footprint = { read: new Set(), written: new Set() };
  return { core, cores, memory };
}

describe('sizes', () => {
  test.each([[1, 0x88n], [2, 0x7788n], [4, 0x5566_7788n], [8, 0x1122_3344_5566_7788n]] as const)('%i bytes are loaded little-endian and zero-extended, by a walk and by the fast path', (bytes, value) => {
    const { core, memory } = mapped();
    writeWord(memory, RAM + 16, 0x1122_3344_5566_7788n);
    expect([loadMemory(core, VA + 16n, bytes, {}), loadMemory(core, VA + 16n, bytes, {})]).toEqual([value, value]);
  });
  test.each([[1, 0xffff_ffff_ffff_ffefn], [2, 0xffff_ffff_ffff_cdefn], [4, 0xffff_ffff_89ab_cdefn], [8, 0x0123_4567_89ab_cdefn]] as const)('%i bytes are stored', (bytes, expected) => {
    const { core, memory } = mapped();
    for (let round = 0; round < 2; round++) {
      writeWord(memory, RAM + 24, 0xffff_ffff_ffff_ffffn);
      storeMemory(core, VA + 24n, bytes, 0x0123_4567_89ab_cdefn, {});
      expect(readWord(memory, RAM + 24)).toBe(expected);
    }
  });
  test('a store marks its page dirty, once', () => {
    const { core, memory } = mapped();
    memory.dirty.fill(0);
    memory.dirtyPages.length = 0;
    for (let at = 0n; at < 64n; at += 8n) storeMemory(core, VA + at, 8, 1n, {});
    expect(memory.dirtyPages.length).toBe(1);
  });
});

describe('alignment', () => {
  const access: Readonly<Record<string, Access>> = { plain: {}, exclusive: { exclusive: true }, atomic: { atomic: true }, acquire: { acquire: true } };
  test.each([
    ['a plain load may be unaligned', 'plain', 0n, 'done'], ['SCTLR_EL1.A forbids it', 'plain', 2n, 'EL1 ec=25 iss=21'], ['an atomic within 16 bytes too', 'atomic', 0n, 'done'],
    ['but not under SCTLR_EL1.A', 'atomic', 2n, 'EL1 ec=25 iss=21'],
  ] as const)('%s', (_name, kind, sctlr, expected) => {
    const { core } = mapped({ sctlr });
    loadMemory(core, VA, 8, {});
    for (let round = 0; round < 2; round++) {
      setPstate(core, 1);
      expect(outcome(core, () => loadMemory(core, VA + 4n, 8, access[kind]!))).toBe(expected);
    }
  });
  test('a store-release reports WnR', () => {
    const { core } = mapped();
    expect(outcome(core, () => storeMemory(core, VA + 15n, 2, 0n, { release: true }))).toBe('EL1 ec=25 iss=61');
    expect(get(core, 'FAR_EL1')).toBe(VA + 15n);
  });
  test('alignment is checked before translation', () => {
    const { core } = mapped({ sctlr: 2n });
    expect(outcome(core, () => loadMemory(core, 0x7000_0001n, 8, {}))).toBe('EL1 ec=25 iss=21');
  });
  test('a pair of 16 bytes is aligned as a whole', () => {
    const { core } = mapped();
    const pair: Access = { atomic: true, alignment: 16 };
    expect(outcome(core, () => loadPair(core, VA + 16n, 8, pair))).toBe('done');
    expect(outcome(core, () => storePair(core, VA + 16n, 8, 1n, 2n, pair))).toBe('done');
    expect(loadPair(core, VA + 16n, 8, pair)).toEqual([1n, 2n]);
    expect(outcome(core, () => loadPair(core, VA + 8n, 8, pair))).toBe('EL1 ec=25 iss=21');
  });
});

describe('over two pages', () => {
  test('an unaligned store and load meet in both', () => {
    const { core, memory } = mapped();
    storeMemory(core, VA + 0xffdn, 8, 0x0807_0605_0403_0201n, {});
    expect([readWord(memory, RAM + 0xff8), readWord(memory, RAM + 0x1000)]).toEqual([0x0302_0100_0000_0000n, 0x08_0706_0504n]);
    expect(loadMemory(core, VA + 0xffdn, 8, {})).toBe(0x0807_0605_0403_0201n);
  });
  test('a fault in the second leaves the first alone, and FAR has the second', () => {
    const { core, memory } = mapped({ pages: 1 });
    expect(outcome(core, () => storeMemory(core, VA + 0xffcn, 8, 0xffff_ffff_ffff_ffffn, {}))).toBe('EL1 ec=25 iss=47');
    expect([readWord(memory, RAM + 0xff8), get(core, 'FAR_EL1')]).toEqual([0n, VA + 0x1000n]);
  });
  test('so does a pair whose second half is in it', () => {
    const { core, memory } = mapped({ pages: 1 });
    expect(outcome(core, () => storePair(core, VA + 0xff8n, 8, 1n, 2n, {}))).toBe('EL1 ec=25 iss=47');
    expect([readWord(memory, RAM + 0xff8), get(core, 'FAR_EL1')]).toEqual([0n, VA + 0x1000n]);
  });
});

describe('big-endian data', () => {
  test('SCTLR_EL1.EE reverses EL1\'s loads and stores, not fetches', () => {
    const { core, memory } = bareCore({ el: 1 });
    set(core, 'SCTLR_EL1', 1n << 25n);
    storeMemory(core, BigInt(RAM), 4, 0x0102_0304n, {});
    expect([readWord(memory, RAM), loadMemory(core, BigInt(RAM), 4, {})]).toEqual([0x0403_0201n, 0x0102_0304n]);
    program(memory, RAM, [0xd503_201f]);
    expect(fetchInstruction(core)).toBe(0xd503_201f);
  });
  test('E0E is EL0\'s', () => {
    const { core, memory } = bareCore({ el: 0 });
    writeWord(memory, RAM, 0x0102n);
    set(core, 'SCTLR_EL1', 1n << 24n);
    expect(loadMemory(core, BigInt(RAM), 2, {})).toBe(0x0201n);
  });
});

const load = (core: Core, at = 0n, bytes: Bytes = 8): bigint => loadExclusive(core, VA + at, bytes, { exclusive: true });

const store = (core: Core, at = 0n, bytes: Bytes = 8): boolean => storeExclusive(core, VA + at, bytes, 5n, { exclusive: true });

describe('exclusive monitors', () => {

  test('a store-exclusive after its load-exclusive stores, once', () => {
    const { core, memory } = mapped();
    load(core);
    expect([store(core), readWord(memory, RAM), store(core)]).toEqual([true, 5n, false]);
  });
  test('without a load-exclusive it fails and stores nothing', () => {
    const { core, memory } = mapped();
    expect([store(core), readWord(memory, RAM)]).toEqual([false, 0n]);
  });
  test.each([
    ['CLREX', (core: Core) => clearExclusive(core), false],
    ['the same core\'s plain store (our choice)', (core: Core) => storeMemory(core, VA, 8, 1n, {}), true],
  ] as const)('after %s it succeeds: %#', (_name, act, expected) => {
    const { core } = mapped();
    load(core);
    act(core);
    expect(store(core)).toBe(expected);
  });
  test.each([
    ['the word', 0n, 1, false], ['the last byte of the 64-byte granule', 63n, 1, false], ['the next granule', 64n, 8, true], ['an unaligned store that ends before it', 0x40n, 8, true],
  ] as const)('another core stores to %s', (_name, at, bytes, expected) => {
    const { cores } = mapped({ cores: 2 });
    load(cores[0]!);
    storeMemory(cores[1]!, VA + at, bytes as Bytes, 0n, {});
    expect(store(cores[0]!)).toBe(expected);
  });
  test('another core\'s fast-path store opens it as well', () => {
    const { cores } = mapped({ cores: 2 });
    for (let round = 0; round < 3; round++) storeMemory(cores[1]!, VA, 8, 0n, {});
    load(cores[0]!);
    storeMemory(cores[1]!, VA, 8, 0n, {});
    expect(store(cores[0]!)).toBe(false);
  });
  test('of two cores that load-exclusive the same word, the first to store wins', () => {
    const { cores } = mapped({ cores: 2 });
    load(cores[0]!);
    load(cores[1]!);
    expect([store(cores[1]!), store(cores[0]!)]).toEqual([true, false]);
  });
  test('opening another core\'s monitor is an event that wakes its WFE', () => {
    const { cores } = mapped({ cores: 2 });
    load(cores[0]!);
    cores[0]!.words[Word.POWER] = BigInt(Power.WFE);
    cores[0]!.words[Word.EVENT] = 0n;
    storeMemory(cores[1]!, VA + 8n, 8, 0n, {});
    expect([cores[0]!.words[Word.EVENT], cores[0]!.ints[2 * Word.POWER]]).toEqual([1n, Power.ON]);
  });
  test('another address in the granule passes, another granule or size does not', () => {
    for (const [at, bytes, expected] of [[8n, 8, true], [64n, 8, false], [0n, 4, false]] as const) {
      const { core } = mapped();
      load(core);
      expect(store(core, at, bytes)).toBe(expected);
    }
  });
  test('pairs are marked as 16 bytes', () => {
    const { core, memory } = mapped();
    writeWord(memory, RAM, 1n);
    writeWord(memory, RAM + 8, 2n);
    expect(loadExclusivePair(core, VA, 8, { exclusive: true, alignment: 16 })).toEqual([1n, 2n]);
    expect(storeExclusivePair(core, VA, 8, 3n, 4n, { exclusive: true, alignment: 16 })).toBe(true);
    expect([readWord(memory, RAM), readWord(memory, RAM + 8)]).toEqual([3n, 4n]);
    expect(outcome(core, () => loadExclusivePair(core, VA + 8n, 8, { exclusive: true }))).toBe('EL1 ec=25 iss=21');
  });
  test('a device page refuses exclusives', () => {
    const { core } = mapped();
    expect(outcome(core, () => loadExclusive(core, 0x6000_0000n, 4, { exclusive: true }))).toBe('EL1 ec=25 iss=35');
  });
});

describe('read-modify-writes', () => {
  test('a page without write permission faults with WnR = 1, one that is not mapped with WnR = 0', () => {
    const { core, memory } = mapped();
    map(tablesAt(memory, RAM + 0x20_0000), Number(VA), RAM, NORMAL | S1.READ_ONLY);
    set(core, 'TTBR0_EL1', BigInt(RAM + 0x20_0000));
    expect(outcome(core, () => loadMemory(core, VA, 8, { atomic: true }))).toBe('EL1 ec=25 iss=4f');
    expect(outcome(core, () => loadMemory(core, VA + 0x1000n, 8, { atomic: true }))).toBe('EL1 ec=25 iss=7');
  });
});

describe('devices', () => {
  test('a load asks, ends the run with nothing changed, and takes the reply when it runs again', () => {
    const { core } = mapped();
    const read = (): bigint => loadMemory(core, 0x6000_0018n, 4, {});
    expect(outcome(core, read)).toBe('device');
    expect(core.board.outbox).toEqual([{ to: 'uart', message: { type: 'read', from: 'vcpu:0', offset: 0x18, bytes: 4, pa: DEVICE + 0x18 } }]);
    core.end = undefined;
    core.deviceReplies = [{ pa: DEVICE + 0x18, bytes: 4, value: 0x90n }];
    expect([read(), core.deviceReplies.length, core.board.outbox.length]).toEqual([0x90n, 0, 1]);
  });
  test('a store says what and where, and the run ends after the instruction', () => {
    const { core } = mapped();
    expect(outcome(core, () => storeMemory(core, 0x6000_0000n, 1, 0x141n, {}))).toBe('done');
    expect(core.board.outbox).toEqual([{ to: 'uart', message: { type: 'write', from: 'vcpu:0', offset: 0, bytes: 1, value: 0x41n } }]);
    expect(core.end).toEqual({ type: 'effect' });
  });
  test('where there is neither memory nor a device: a synchronous External abort', () => {
    const { core } = mapped();
    expect(outcome(core, () => loadMemory(core, 0x6000_1000n, 4, {}))).toBe('EL1 ec=25 iss=10');
    expect(outcome(core, () => storeMemory(core, 0x6000_1000n, 4, 0n, {}))).toBe('EL1 ec=25 iss=50');
  });
  test('L0\'s pages are not in the guest\'s physical map', () => {
    const { core } = bareCore({ el: 1 });
    expect(outcome(core, () => loadMemory(core, BigInt(vncrPage(0)), 8, {}))).toBe('EL1 ec=25 iss=10');
  });
  test('flash is memory to loads, and a store is for its device; hidden, loads are for it too, and there are no instructions', () => {
    const { core, memory } = bareCore({ el: 1, regions: [{ name: 'flash', base: DEVICE, bytes: 4096, kind: 'rom' }] });
    writeWord(memory, DEVICE + 0x10, 7n);
    const at = BigInt(DEVICE + 0x10);
    for (let round = 0; round < 2; round++) expect([loadMemory(core, at, 8, {}), outcome(core, () => storeMemory(core, at, 4, 9n, {}))]).toEqual([7n, 'done']);
    expect(core.board.outbox).toEqual(Array.from({ length: 2 }, () => ({ to: 'uart', message: { type: 'write', from: 'vcpu:0', offset: 0x10, bytes: 4, value: 9n } })));
    core.end = undefined;
    // No device takes so wide a store.
    expect(outcome(core, () => storeVector(core, at, 0n, {}))).toBe('EL1 ec=25 iss=50');
    core.translation = undefined;
    core.end = undefined;
    regionNamed(memory, 'flash').hidden = true;
    expect(outcome(core, () => loadMemory(core, at, 4, {}))).toBe('device');
    core.end = undefined;
    core.words[Word.PC] = at;
    expect(outcome(core, () => fetchInstruction(core))).toBe('EL1 ec=21 iss=10');
  });
});

test('the footprint has every page touched, tables included', () => {
  const { core } = mapped({ footprint: true });
  for (let round = 0; round < 2; round++) {
    loadMemory(core, VA, 8, {});
    storeMemory(core, VA + 0x1000n, 8, 1n, {});
  }
  const { footprint } = core.board;
  expect([...footprint!.written]).toEqual([(RAM + 0x1000) / 4096]);
  expect([...footprint!.read].sort((a, b) => a - b)).toEqual([RAM / 4096, ...[0, 1, 2, 3].map((table) => ROOT / 4096 + table)]);
});

describe('DC ZVA and cache maintenance', () => {
  test('DC ZVA zeroes the aligned 64 bytes', () => {
    const { core, memory } = mapped();
    for (let at = 0; at < 192; at += 8) writeWord(memory, RAM + at, 0xffn);
    zeroBlock(core, VA + 0x57n);
    expect(Array.from({ length: 24 }, (_, index) => readWord(memory, RAM + 8 * index))).toEqual([...Array(8).fill(0xffn), ...Array(8).fill(0n), ...Array(8).fill(0xffn)]);
  });
  test('DC ZVA on Device memory is an Alignment fault, on no page a store\'s Translation fault', () => {
    const { core } = mapped();
    expect(outcome(core, () => zeroBlock(core, 0x6000_0000n))).toBe('EL1 ec=25 iss=61');
    expect(outcome(core, () => zeroBlock(core, VA + 0x2000n))).toBe('EL1 ec=25 iss=47');
  });
  test('maintenance by address faults with CM and WnR', () => {
    const { core } = mapped();
    expect(outcome(core, () => maintainCache(core, VA, false))).toBe('done');
    expect(outcome(core, () => maintainCache(core, VA + 0x2000n, false))).toBe('EL1 ec=25 iss=147');
  });
});

/** Stage 2 on, with the stage-1 tables mapped and the pages not. */
function staged(el: 1 | 2): { core: Core; memory: Memory } {
  const { core, memory } = mapped();
  const second = tablesAt(memory, RAM + 0x20_0000, 12, 40, 1);
  for (let page = 0; page < 16; page++) map(second, ROOT + page * 4096, ROOT + page * 4096, S2_ALL);
  set(core, 'HCR_EL2', (1n << 31n) | 1n);
  set(core, 'VTCR_EL2', 24n | (1n << 6n) | (2n << 16n));
  set(core, 'VTTBR_EL2', BigInt(second.root));
  setPstate(core, el);
  return { core, memory };
}

describe('AT (PAR_EL1)', () => {
  test('a translation gives PA, attributes and shareability', () => {
    const { core } = mapped();
    expect(addressTranslate(core, 'S1E1R', VA + 0x1123n)).toBe((0xffn << 56n) | BigInt(RAM + 0x1000) | 0x800n | 0x200n | (3n << 7n));
  });
  test('Device memory is Outer Shareable', () => {
    const { core } = mapped();
    expect(addressTranslate(core, 'S1E1W', 0x6000_0000n)).toBe(BigInt(DEVICE) | 0x800n | 0x200n | (2n << 7n));
  });
  test('a fault gives F and FST, and no exception', () => {
    const { core } = mapped();
    expect(outcome(core, () => expect(addressTranslate(core, 'S1E1R', VA + 0x2000n)).toBe(0x800n | (7n << 1n) | 1n))).toBe('done');
  });
  test('S1E0 asks for EL0, S1E1RP under PAN', () => {
    const { core, memory } = mapped();
    map({ ...tablesAt(memory, ROOT), next: ROOT + 0x8000 }, Number(VA), RAM, NORMAL);
    expect(addressTranslate(core, 'S1E0R', VA) & 1n).toBe(1n);
    expect(addressTranslate(core, 'S1E1R', VA) & 1n).toBe(0n);
    expect(addressTranslate(core, 'S1E1RP', VA + 0x1000n) & 1n).toBe(0n);
    setPstate(core, 1, Pstate.PAN);
    expect(addressTranslate(core, 'S1E1R', VA + 0x1000n) & 1n).toBe(0n);
    expect(addressTranslate(core, 'S1E1RP', VA + 0x1000n)).toBe(0x800n | (0xfn << 1n) | 1n);
  });

  test('S1E1R stops at the IPA, S12E1R reports stage 2\'s fault with S', () => {
    const { core } = staged(2);
    expect(addressTranslate(core, 'S1E1R', VA) & 0xffff_ffff_f001n).toBe(BigInt(RAM));
    expect(addressTranslate(core, 'S12E1R', VA)).toBe(0x800n | 0x200n | (7n << 1n) | 1n);
  });
  test('a stage-2 fault on a stage-1 table sets PTW and S from EL2, and from EL1 is a Data Abort to EL2', () => {
    const high = staged(2);
    set(high.core, 'TTBR0_EL1', 0x7000_0000n);
    expect(addressTranslate(high.core, 'S1E1R', VA)).toBe(0x800n | 0x200n | 0x100n | (6n << 1n) | 1n);
    const low = staged(1);
    set(low.core, 'TTBR0_EL1', 0x7000_0000n);
    expect(outcome(low.core, () => addressTranslate(low.core, 'S1E1R', VA))).toBe('EL2 ec=24 iss=1c6');
    expect(get(low.core, 'HPFAR_EL2')).toBe(0x70_0000n);
  });
  // Arm ARM D8.6.4 and D8.6.5: the weaker cacheability, the stronger shareability. Stage 1 is write-back, Inner Shareable.
  test.each([
    ['write-back, Non-shareable', 0xfn, 0n, 0xffn, 3n], ['write-back, Outer Shareable', 0xfn, 2n, 0xffn, 2n], ['Non-cacheable: always Outer Shareable', 5n, 0n, 0x44n, 2n],
    ['Write-Through', 0xan, 3n, 0xbbn, 3n], ['Device-nGnRE', 1n, 0n, 0x04n, 2n],
  ] as const)('S12E1R combines stage 1 with stage 2 that is %s', (_name, memAttr, shareability, attributes, expected) => {
    const { core, memory } = staged(2);
    map({ ...tablesAt(memory, RAM + 0x20_0000, 12, 40, 1), next: RAM + 0x20_8000 }, RAM, RAM, (S2_ALL & ~(0xfn << 2n)) | (memAttr << 2n) | (shareability << 8n));
    const par = addressTranslate(core, 'S12E1R', VA);
    expect([par & 1n, par >> 56n, (par >> 7n) & 3n]).toEqual([0n, attributes, expected]);
  });
  test('S1E2R goes by the EL2 regime', () => {
    const { core } = bareCore();
    expect(addressTranslate(core, 'S1E2R', 0x4000_1234n) & 0xffff_ffff_f001n).toBe(0x4000_1000n);
  });
});

describe('VNCR accesses (FEAT_NV2)', () => {
  test('where L0 owns EL2, BADDR is a physical page of L0', () => {
    const { core, memory } = bareCore({ el2: 'kvm' });
    set(core, 'VNCR_EL2', BigInt(vncrPage(0)));
    storeVncr(core, 0x110, 42n);
    expect([loadVncr(core, 0x110), readWord(memory, vncrPage(0) + 0x110)]).toEqual([42n, 42n]);
  });
  test('a page that is not there is a Data Abort of class 0x25 with VNCR, at EL2', () => {
    const { core } = bareCore({ el2: 'kvm' });
    set(core, 'VNCR_EL2', 0x7000_0000n);
    expect(outcome(core, () => storeVncr(core, 0x110, 42n))).toBe('EL2 ec=25 iss=2047');
    expect(core.end).toEqual({ type: 'exit', vector: 'sync' });
  });
  test('on bare hardware it is translated by the EL2 regime and vectors as from a lower level', () => {
    const { core, memory } = bareCore();
    const tables = tablesAt(memory, ROOT);
    map(tables, 0x5000_0000, RAM + 0x5000, NORMAL);
    map(tables, 0x5000_1000, RAM + 0x6000, NORMAL | S1.READ_ONLY);
    set(core, 'TCR_EL2', 16n | (5n << 16n));
    set(core, 'MAIR_EL2', 0xffn);
    set(core, 'TTBR0_EL2', BigInt(ROOT));
    set(core, 'SCTLR_EL2', 1n);
    set(core, 'VBAR_EL2', 0x4002_0000n);
    set(core, 'VNCR_EL2', 0x5000_0000n);
    setPstate(core, 1);
    storeVncr(core, 0x78, 5n);
    expect([readWord(memory, RAM + 0x5078), loadVncr(core, 0x78)]).toEqual([5n, 5n]);
    set(core, 'VNCR_EL2', 0x5000_1000n);
    expect(outcome(core, () => storeVncr(core, 0x78, 5n))).toBe('EL2 ec=25 iss=204f');
    expect([core.words[Word.PC], get(core, 'FAR_EL2')]).toEqual([0x4002_0400n, 0x5000_1078n]);
  });
});
