/** Address translation as a core sees it: every fault by type and level, permissions, both stages, and what the syndrome says. Arm ARM D8. */

import { describe, expect, test } from 'vitest';
import { fetchInstruction, loadMemory, storeMemory } from '../../../machines/aarch64/memory-access.ts';
import { type Core, Pstate, Word } from '../../../machines/aarch64/state.ts';
import { Regime } from '../../../machines/aarch64/tlb.ts';
import { FETCH, type Kind, READ, WRITE, fault, invalidateContext, translate } from '../../../machines/aarch64/translate.ts';
import { type Memory, readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, get, outcome, set, setPstate } from '../../support/core.ts';
import { S1, S2, S2_ALL, type Tables, attr, map, tablesAt } from '../../support/tables.ts';

const Hcr = { VM: 1n, PTW: 4n, DC: 1n << 12n, TGE: 1n << 27n, RW: 1n << 31n, E2H: 1n << 34n, NV: 1n << 42n, NV1: 1n << 43n };
const TG0: Readonly<Record<number, bigint>> = { 12: 0n, 14: 2n << 14n, 16: 1n << 14n };
const TG1: Readonly<Record<number, bigint>> = { 12: 2n << 30n, 14: 1n << 30n, 16: 3n << 30n };
const ROOT = RAM + 0x10_0000;
const ROOT2 = RAM + 0x20_0000;
const VA = 0x1234_5678_9000n;
const PAGE = RAM + 0x3000;
const NORMAL = S1.AF | S1.INNER;
/** MAIR: 0 Normal write-back, 1 Device-nGnRnE, 2 Normal Non-cacheable. */
const MAIR = 0x44_00ffn;

interface World { readonly core: Core; readonly memory: Memory; readonly tables: Tables }

/** EL1 with stage 1 on, 48-bit halves, empty tables at ROOT for TTBR0_EL1. */
function stage1(granule = 12, more: { el?: 0 | 1; tcr?: bigint; sctlr?: bigint; hcr?: bigint; pstate?: number } = {}): World {
  const { core, memory } = bareCore();
  setPstate(core, more.el ?? 1, more.pstate);
  set(core, 'HCR_EL2', Hcr.RW | (more.hcr ?? 0n));
  set(core, 'TCR_EL1', more.tcr ?? (16n | (16n << 16n) | TG0[granule]! | TG1[granule]! | (5n << 32n)));
  set(core, 'MAIR_EL1', MAIR);
  set(core, 'TTBR0_EL1', BigInt(ROOT));
  set(core, 'SCTLR_EL1', 1n | (more.sctlr ?? 0n));
  return { core, memory, tables: tablesAt(memory, ROOT, granule) };
}

const load = (core: Core, va: bigint): string => outcome(core, () => loadMemory(core, va, 8, {}));
const store = (core: Core, va: bigint): string => outcome(core, () => storeMemory(core, va, 8, 0n, {}));
function fetch(core: Core, va: bigint): string {
  core.words[Word.PC] = va;
  return outcome(core, () => fetchInstruction(core));
}

describe('a stage-1 walk reaches the page', () => {
  test.each([
    [12, 3], [12, 2], [12, 1], [14, 3], [14, 2], [16, 3], [16, 2],
  ] as const)('granule 2^%i, descriptor at level %i', (granule, level) => {
    const { core, tables } = stage1(granule);
    const span = 2 ** (granule + (granule - 3) * (3 - level));
    map(tables, Number(VA), RAM, NORMAL, level);
    // The output is the descriptor's base and the offset in the block; translations are kept by 4 KiB page.
    expect(translate(core, VA + 0x18n, READ, Regime.EL10, true, false, true)?.pa).toBe(RAM + (Number(VA) % span));
  });
  test('loads, stores and fetches go to the same page', () => {
    const { core, memory, tables } = stage1();
    map(tables, Number(VA), PAGE, NORMAL);
    storeMemory(core, VA + 8n, 8, 0x1122_3344_5566_7788n, {});
    expect(readWord(memory, PAGE + 8)).toBe(0x1122_3344_5566_7788n);
    expect(loadMemory(core, VA + 12n, 4, {})).toBe(0x1122_3344n);
    core.words[Word.PC] = VA + 8n;
    expect(fetchInstruction(core)).toBe(0x5566_7788);
  });
  test('VA[55] = 1 goes by TTBR1_EL1', () => {
    const { core, memory } = stage1();
    const upper = tablesAt(memory, RAM + 0x18_0000);
    set(core, 'TTBR1_EL1', BigInt(upper.root));
    invalidateContext(core);
    const va = 0xffff_8000_1234_5000n;
    map(upper, Number(BigInt.asUintN(48, va)), PAGE, NORMAL);
    writeWord(memory, PAGE, 77n);
    expect(loadMemory(core, va, 8, {})).toBe(77n);
  });
  test('a 39-bit space starts at level 1', () => {
    const { core, memory } = stage1(12, { tcr: 25n | (5n << 32n) });
    map(tablesAt(memory, ROOT, 12, 39), 0x12_3456_7000, PAGE, NORMAL);
    expect(load(core, 0x12_3456_7000n)).toBe('done');
    expect(load(core, 0x80_0000_0000n)).toBe('EL1 ec=25 iss=4');
  });
  test('TBI0 lets the top byte hold a tag, FAR keeps it', () => {
    const { core, tables } = stage1(12, { tcr: 16n | (5n << 32n) | (1n << 37n) });
    map(tables, Number(VA), PAGE, NORMAL);
    expect(load(core, VA | (0x5an << 56n))).toBe('done');
    const other = VA + 0x1000n + (0x5an << 56n);
    expect(load(core, other)).toBe('EL1 ec=25 iss=7');
    expect(get(core, 'FAR_EL1')).toBe(other);
  });
  test('descriptors are big-endian under SCTLR_EL1.EE', () => {
    const { core, memory, tables } = stage1(12, { sctlr: 1n << 25n });
    map(tables, Number(VA), PAGE, NORMAL);
    for (let at = ROOT; at < tables.next; at += 8) {
      const word = readWord(memory, at);
      if (word !== 0n) writeWord(memory, at, swapped(word));
    }
    expect(load(core, VA)).toBe('done');
  });
});

function swapped(word: bigint): bigint {
  let result = 0n;
  for (let index = 0n; index < 8n; index++) result = (result << 8n) | ((word >> (8n * index)) & 0xffn);
  return result;
}

describe('stage-1 Translation faults report the level of the invalid descriptor', () => {
  test.each([[12, 0], [12, 1], [12, 2], [12, 3], [14, 0], [14, 1], [14, 2], [14, 3], [16, 1], [16, 2], [16, 3]] as const)('granule 2^%i, level %i', (granule, level) => {
    const { core, memory, tables } = stage1(granule);
    writeWord(memory, map(tables, Number(VA), RAM, NORMAL, level), 0n);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${(4 | level).toString(16)}`);
    expect(get(core, 'FAR_EL1')).toBe(VA);
  });
  test.each([[12, 0], [14, 1], [16, 1]] as const)('a block where granule 2^%i has none, level %i', (granule, level) => {
    const { core, tables } = stage1(granule);
    map(tables, Number(VA), RAM, NORMAL, level);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${(4 | level).toString(16)}`);
  });
  test('descriptor type 0b01 at level 3 is invalid', () => {
    const { core, memory, tables } = stage1();
    const at = map(tables, Number(VA), PAGE, NORMAL);
    writeWord(memory, at, readWord(memory, at) & ~2n);
    expect(load(core, VA)).toBe('EL1 ec=25 iss=7');
  });
  test.each([
    ['EPD0', 16n | (1n << 7n), VA], ['EPD1', 16n | (16n << 16n) | (2n << 30n) | (1n << 23n), 0xffff_ffff_ffff_f000n],
    ['VA[55:48] not the sign of a TTBR0 address', 16n, 0x0001_0000_0000_0000n], ['VA[63:56] without TBI', 16n, 0x0100_0000_0000_0000n],
    ['an address between the halves of a 39-bit space', 25n, 0x0000_0080_0000_0000n], ['T0SZ above 39', 40n, 0x1000n], ['T0SZ below 16', 15n, VA],
  ] as const)('%s is one of level 0', (_name, tcr, va) => {
    const { core } = stage1(12, { tcr: tcr | (5n << 32n) });
    expect(load(core, va)).toBe('EL1 ec=25 iss=4');
  });
  test('of a store has WnR, of a fetch is an Instruction Abort, of EL0 is one from a lower level', () => {
    const { core } = stage1();
    expect(store(core, VA)).toBe('EL1 ec=25 iss=44');
    const other = stage1();
    expect(fetch(other.core, VA)).toBe('EL1 ec=21 iss=4');
    expect(get(other.core, 'ELR_EL1')).toBe(VA);
    const user = stage1(12, { el: 0 });
    expect(load(user.core, VA)).toBe('EL1 ec=24 iss=4');
  });
});

describe('stage-1 Address size faults', () => {
  const ips32 = 16n;
  test.each([[0], [1], [2]] as const)('a table beyond IPS, level %i', (level) => {
    const { core, memory, tables } = stage1(12, { tcr: ips32 });
    const at = map(tables, Number(VA), RAM, NORMAL, level);
    writeWord(memory, at, 0x1_0000_0000n | 3n);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${level}`);
  });
  test.each([[1], [2], [3]] as const)('a block or page beyond IPS, level %i', (level) => {
    const { core, tables } = stage1(12, { tcr: ips32 });
    map(tables, Number(VA), 0x1_0000_0000, NORMAL, level);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${level}`);
  });
  test('TTBR0_EL1 beyond IPS is level 0', () => {
    const { core } = stage1(12, { tcr: ips32 });
    set(core, 'TTBR0_EL1', 0x1_0000_0000n);
    expect(load(core, VA)).toBe('EL1 ec=25 iss=0');
  });
  test('IPS above what is implemented counts as what is implemented', () => {
    const { core, memory } = bareCore({ features: { paBits: 40 }, el: 1 });
    set(core, 'TCR_EL1', 16n | (5n << 32n));
    set(core, 'TTBR0_EL1', BigInt(ROOT));
    set(core, 'SCTLR_EL1', 1n);
    map(tablesAt(memory, ROOT), Number(VA), 2 ** 40, NORMAL);
    expect(load(core, VA)).toBe('EL1 ec=25 iss=3');
  });
  test('with stage 1 off, an address beyond the implemented size is level 0', () => {
    const { core } = bareCore({ features: { paBits: 40 }, el: 1 });
    expect(load(core, 1n << 40n)).toBe('EL1 ec=25 iss=0');
    expect(fetch(core, 0xffff_0000_0000_0000n)).toBe('EL1 ec=21 iss=0');
  });
});

describe('stage-1 Access flag, External and Alignment faults', () => {
  test.each([[1, 12], [2, 12], [3, 12], [2, 14], [3, 16]] as const)('AF = 0 at level %i, granule 2^%i', (level, granule) => {
    const { core, tables } = stage1(granule);
    map(tables, Number(VA), RAM, S1.INNER, level);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${(8 | level).toString(16)}`);
  });
  test.each([[0], [1], [2]] as const)('a table where there is no memory: External abort on the walk, level %i after it', (level) => {
    const { core, memory, tables } = stage1();
    writeWord(memory, map(tables, Number(VA), RAM, NORMAL, level), 0x7000_0000n | 3n);
    expect(load(core, VA)).toBe(`EL1 ec=25 iss=${(0x14 + level + 1).toString(16)}`);
  });
  test('a page where there is no memory: External abort, and with HCR_EL2.TEA to EL2', () => {
    const { core, tables } = stage1();
    map(tables, Number(VA), 0x7000_0000, NORMAL);
    expect(load(core, VA)).toBe('EL1 ec=25 iss=10');
    const routed = stage1(12, { hcr: 1n << 37n });
    map(routed.tables, Number(VA), 0x7000_0000, NORMAL);
    expect(fetch(routed.core, VA)).toBe('EL2 ec=20 iss=10');
  });
  test('an unaligned access to Device memory faults, to Normal memory does not', () => {
    const { core, tables } = stage1();
    map(tables, Number(VA), PAGE, NORMAL | attr(1));
    map(tables, Number(VA) + 0x1000, PAGE, NORMAL | attr(2));
    expect(load(core, VA + 4n)).toBe('EL1 ec=25 iss=21');
    expect(load(core, VA + 0x1004n)).toBe('done');
  });
  test('with stage 1 off data is Device memory and fetches are not; HCR_EL2.DC makes data Normal', () => {
    const { core } = bareCore({ el: 1 });
    expect(load(core, BigInt(RAM) + 4n)).toBe('EL1 ec=25 iss=21');
    const { core: cached, memory } = bareCore({ el: 1 });
    set(cached, 'HCR_EL2', Hcr.RW | Hcr.DC);
    const { tables } = stage2Tables(cached, memory);
    map(tables, RAM, RAM, S2_ALL, 2);
    expect(load(cached, BigInt(RAM) + 4n)).toBe('done');
  });
});

/** Rights in words: what translate grants. `privileged` under PAN where told. */
function rights(core: Core, va: bigint, privileged: boolean, pan = false, regime: number = Regime.EL10): string {
  return ([READ, WRITE, FETCH] as const).map((kind: Kind) => (translate(core, va, kind, regime, privileged, pan, true) ? 'rwx'[kind] : '-')).join('');
}

describe('stage-1 permissions, EL1 and EL0 (Arm ARM Tables D8-62 to D8-65)', () => {
  const { USER, READ_ONLY, PXN, UXN } = S1;
  const WXN = 1n << 19n;
  test.each([
    ['AP 00', 0n, 0n, 'rwx', '--x'], ['AP 00 PXN', PXN, 0n, 'rw-', '--x'], ['AP 00 UXN', UXN, 0n, 'rwx', '---'], ['AP 00 PXN UXN', PXN | UXN, 0n, 'rw-', '---'],
    ['AP 01: what EL0 can write EL1 never executes', USER, 0n, 'rw-', 'rwx'], ['AP 01 PXN', USER | PXN, 0n, 'rw-', 'rwx'], ['AP 01 UXN', USER | UXN, 0n, 'rw-', 'rw-'],
    ['AP 10', READ_ONLY, 0n, 'r-x', '--x'], ['AP 10 PXN', READ_ONLY | PXN, 0n, 'r--', '--x'], ['AP 10 UXN', READ_ONLY | UXN, 0n, 'r-x', '---'],
    ['AP 11', READ_ONLY | USER, 0n, 'r-x', 'r-x'], ['AP 11 PXN', READ_ONLY | USER | PXN, 0n, 'r--', 'r-x'], ['AP 11 UXN', READ_ONLY | USER | UXN, 0n, 'r-x', 'r--'],
    ['AP 00 WXN', 0n, WXN, 'rw-', '--x'], ['AP 01 WXN', USER, WXN, 'rw-', 'rw-'], ['AP 10 WXN', READ_ONLY, WXN, 'r-x', '--x'], ['AP 11 WXN', READ_ONLY | USER, WXN, 'r-x', 'r-x'],
  ] as const)('%s', (_name, leaf, sctlr, kernel, user) => {
    const { core, tables } = stage1(12, { sctlr });
    map(tables, Number(VA), PAGE, NORMAL | leaf);
    expect([rights(core, VA, true), rights(core, VA, false)]).toEqual([kernel, user]);
  });
  test.each([
    ['APTable[0]: no EL0 access', USER, S1.NO_USER_TABLE, 'rwx', '--x'], ['APTable[1]: read-only', USER, S1.READ_ONLY_TABLE, 'r-x', 'r-x'],
    ['UXNTable', READ_ONLY | USER, S1.UXN_TABLE, 'r-x', 'r--'], ['PXNTable', READ_ONLY | USER, S1.PXN_TABLE, 'r--', 'r-x'],
  ] as const)('%s', (_name, leaf, table, kernel, user) => {
    const { core, tables } = stage1();
    map(tables, Number(VA), PAGE, NORMAL | leaf, 3, table);
    expect([rights(core, VA, true), rights(core, VA, false)]).toEqual([kernel, user]);
  });
  test('HPD0 turns the tables\' restrictions off', () => {
    const { core, tables } = stage1(12, { tcr: 16n | (5n << 32n) | (1n << 41n) });
    map(tables, Number(VA), PAGE, NORMAL | USER, 3, S1.READ_ONLY_TABLE | S1.UXN_TABLE);
    expect(rights(core, VA, false)).toBe('rwx');
  });
  test.each([['AP 00', 0n, 'rwx'], ['AP 01', USER, '---'], ['AP 10', READ_ONLY, 'r-x'], ['AP 11', READ_ONLY | USER, '--x']] as const)('PAN denies EL1 data that EL0 can read: %s', (_name, leaf, kernel) => {
    const { core, tables } = stage1();
    map(tables, Number(VA), PAGE, NORMAL | leaf);
    expect(rights(core, VA, true, true)).toBe(kernel);
  });
  test.each([[1, 12], [2, 12], [3, 12], [3, 14], [2, 16]] as const)('the fault has the level of the descriptor: level %i, granule 2^%i', (level, granule) => {
    const { core, tables } = stage1(granule);
    map(tables, Number(VA), RAM, NORMAL | S1.READ_ONLY, level);
    expect(store(core, VA)).toBe(`EL1 ec=25 iss=${(0x4c | level).toString(16)}`);
  });
  test('PSTATE.PAN faults a load, and LDTR reads it all the same', () => {
    const { core, tables } = stage1(12, { pstate: Pstate.PAN });
    map(tables, Number(VA), PAGE, NORMAL | USER);
    expect(outcome(core, () => loadMemory(core, VA, 8, { unprivileged: true }))).toBe('done');
    expect(load(core, VA)).toBe('EL1 ec=25 iss=f');
  });
  test('LDTR has EL0\'s permissions, unless PSTATE.UAO', () => {
    const { core, tables } = stage1();
    map(tables, Number(VA), PAGE, NORMAL);
    const read = (): string => outcome(core, () => loadMemory(core, VA, 8, { unprivileged: true }));
    expect(read()).toBe('EL1 ec=25 iss=f');
    setPstate(core, 1, Pstate.UAO);
    expect(read()).toBe('done');
  });
});

const nv1 = (leaf: bigint, table = 0n): World => {
  const world = stage1(12, { hcr: Hcr.NV | Hcr.NV1, pstate: Pstate.PAN });
  map(world.tables, Number(VA), PAGE, NORMAL | leaf, 3, table);
  return world;
};

describe('{NV, NV1} = {1, 1}: EL1 has the page-table format of EL2 (Arm ARM D8.11.2)', () => {
  test.each([
    ['bit 54 is PXN', S1.UXN, 0n, 'rw-'], ['bit 53 is RES0', S1.PXN, 0n, 'rwx'], ['AP[1] counts as 0, so that EL1 executes', S1.USER, 0n, 'rwx'],
    ['bit 60 of a table is PXNTable', 0n, S1.UXN_TABLE, 'rw-'], ['bit 59 of a table is RES0', 0n, S1.PXN_TABLE, 'rwx'], ['APTable[1] still counts', 0n, S1.READ_ONLY_TABLE, 'r-x'],
  ] as const)('%s', (_name, leaf, table, kernel) => expect(rights(nv1(leaf, table).core, VA, true)).toBe(kernel));
  test('PAN has no effect and LDTR acts as LDR', () => {
    const { core } = nv1(S1.USER);
    expect(load(core, VA)).toBe('done');
    expect(outcome(core, () => loadMemory(core, VA, 8, { unprivileged: true }))).toBe('done');
  });
  test('NV without NV1 changes nothing', () => {
    const world = stage1(12, { hcr: Hcr.NV });
    map(world.tables, Number(VA), PAGE, NORMAL | S1.PXN);
    expect(rights(world.core, VA, true)).toBe('rw-');
  });
});

function el2(hcr: bigint, tcr: bigint, leaf: bigint): Core {
  const { core, memory } = bareCore();
  set(core, 'HCR_EL2', Hcr.RW | hcr);
  set(core, 'TCR_EL2', tcr);
  set(core, 'MAIR_EL2', MAIR);
  set(core, 'TTBR0_EL2', BigInt(ROOT));
  set(core, 'TTBR1_EL2', BigInt(ROOT));
  set(core, 'SCTLR_EL2', 1n);
  setPstate(core, 2);
  map(tablesAt(memory, ROOT), Number(VA), PAGE, NORMAL | leaf);
  return core;
}

const ldtr = (core: Core): string => outcome(core, () => loadMemory(core, VA, 8, { unprivileged: true }));

const nvhe = (leaf: bigint): Core => el2(0n, 16n | (5n << 16n), leaf);

const vhe = (leaf: bigint, more = 0n): Core => el2(Hcr.E2H | more, 16n | (16n << 16n) | (2n << 30n) | (5n << 32n), leaf);

describe('the EL2 regimes', () => {

  test.each([['AP[1] is not looked at', S1.USER, 'rwx'], ['XN is bit 54', S1.UXN, 'rw-'], ['bit 53 is RES0', S1.PXN, 'rwx'], ['AP[2]', S1.READ_ONLY, 'r-x']] as const)('EL2: %s', (_name, leaf, expected) => {
    expect(rights(nvhe(leaf), VA, true, false, Regime.EL2)).toBe(expected);
  });
  test('EL2 has one range: VA[55] = 1 is a level 0 Translation fault', () => expect(load(nvhe(0n), 0xffff_0000_0000_0000n)).toBe('EL2 ec=25 iss=4'));
  test('EL2 ignores PAN, EL2&0 does not', () => {
    const plain = nvhe(S1.USER);
    setPstate(plain, 2, Pstate.PAN);
    expect(load(plain, VA)).toBe('done');
    const host = vhe(S1.USER);
    setPstate(host, 2, Pstate.PAN);
    expect(load(host, VA)).toBe('EL2 ec=25 iss=f');
  });
  test('EL2&0 has two ranges and PXN', () => {
    expect(rights(vhe(S1.PXN), VA, true, false, Regime.EL20)).toBe('rw-');
    expect(load(vhe(0n), VA | 0xffff_0000_0000_0000n)).toBe('done');
  });
  test('a host application under {E2H, TGE} = {1, 1} runs in EL2&0 and faults to EL2', () => {
    const core = vhe(S1.USER, Hcr.TGE);
    setPstate(core, 0);
    expect(load(core, VA)).toBe('done');
    expect(load(core, VA + 0x1000n)).toBe('EL2 ec=24 iss=7');
  });
  test('EL0 under TGE without E2H has stage 1 of EL1&0 off', () => {
    const { core } = stage1(12, { el: 0, hcr: Hcr.TGE });
    expect(load(core, BigInt(PAGE))).toBe('done');
  });
  test('LDTR at EL2 is unprivileged only for {E2H, TGE} = {1, 1}', () => {
    expect(ldtr(vhe(0n))).toBe('done');
    expect(ldtr(vhe(0n, Hcr.TGE))).toBe('EL2 ec=25 iss=f');
  });
});

const IPA = 0x12_3456_7000;
/** VTCR_EL2: 40-bit IPA, 4 KiB, start level 1 (two concatenated tables), 40-bit PA. */
const VTCR = 24n | (1n << 6n) | (2n << 16n);

function stage2Tables(core: Core, memory: Memory, vtcr = VTCR, granule = 12, startLevel = 1): { readonly tables: Tables } {
  const tables = tablesAt(memory, ROOT2, granule, 64 - Number(vtcr & 0x3fn), startLevel);
  set(core, 'VTCR_EL2', vtcr);
  set(core, 'VTTBR_EL2', BigInt(ROOT2) | (7n << 48n));
  return { tables };
}

/** EL1 with stage 1 off and stage 2 on. */
function stage2(vtcr = VTCR, granule = 12, startLevel = 1, hcr = 0n): World {
  const { core, memory } = bareCore({ el: 1 });
  set(core, 'HCR_EL2', Hcr.RW | Hcr.VM | hcr);
  return { core, memory, ...stage2Tables(core, memory, vtcr, granule, startLevel) };
}

describe('stage 2: faults go to EL2, HPFAR_EL2 has the page', () => {
  test.each([[1], [2], [3]] as const)('Translation fault, level %i', (level) => {
    const { core, memory, tables } = stage2();
    writeWord(memory, map(tables, IPA, RAM, S2_ALL, level), 0n);
    expect(load(core, BigInt(IPA) + 0x128n)).toBe(`EL2 ec=24 iss=${(4 | level).toString(16)}`);
    expect([get(core, 'FAR_EL2'), get(core, 'HPFAR_EL2')]).toEqual([BigInt(IPA) + 0x128n, BigInt(IPA) >> 8n]);
  });
  test.each([[14, 1n, 2, 2], [14, 1n, 2, 3], [16, 1n, 2, 2], [16, 1n, 2, 3]] as const)('Translation fault, granule 2^%i, SL0 = %i from level %i, level %i', (granule, sl0, startLevel, level) => {
    const { core, memory, tables } = stage2((granule === 14 ? 28n : 24n) | (sl0 << 6n) | TG0[granule]! | (2n << 16n), granule, startLevel);
    const ipa = 0x3_4567_0000;
    writeWord(memory, map(tables, ipa, RAM, S2_ALL, level), 0n);
    expect(load(core, BigInt(ipa))).toBe(`EL2 ec=24 iss=${(4 | level).toString(16)}`);
  });
  test('an IPA beyond VTCR_EL2.T0SZ is a level 0 Translation fault', () => {
    const { core } = stage2();
    expect(store(core, 1n << 40n)).toBe('EL2 ec=24 iss=44');
  });
  test.each([[1], [2], [3]] as const)('Access flag fault, level %i', (level) => {
    const { core, tables } = stage2();
    map(tables, IPA, RAM, S2_ALL & ~S2.AF, level);
    expect(fetch(core, BigInt(IPA))).toBe(`EL2 ec=20 iss=${(8 | level).toString(16)}`);
    expect(get(core, 'HPFAR_EL2')).toBe(BigInt(IPA) >> 8n);
  });
  test.each([[1], [2], [3]] as const)('Address size fault, level %i', (level) => {
    const { core, tables } = stage2();
    map(tables, IPA, 2 ** 41, S2_ALL, level);
    expect(load(core, BigInt(IPA))).toBe(`EL2 ec=24 iss=${level}`);
  });
  test.each([
    ['a store without S2AP[1]', S2.READ, store, 'EL2 ec=24 iss=4f'], ['a load without S2AP[0]', S2.WRITE, load, 'EL2 ec=24 iss=f'],
    ['a fetch with XN', S2.READ | S2.XN, fetch, 'EL2 ec=20 iss=f'], ['a fetch without S2AP[0] is allowed', 0n, fetch, 'done'],
  ] as const)('%s', (_name, leaf, act, expected) => {
    const { core, tables } = stage2();
    map(tables, IPA, PAGE, S2.AF | S2.NORMAL | leaf);
    expect(act(core, BigInt(IPA))).toBe(expected);
    if (expected !== 'done') expect(get(core, 'HPFAR_EL2')).toBe(BigInt(IPA) >> 8n);
  });
  test('ISV describes a single-register access', () => {
    const { core } = stage2();
    expect(outcome(core, () => storeMemory(core, 0x900_0000n, 4, 0n, { syndrome: { srt: 5, sf: false, sse: false } }))).toBe('EL2 ec=24 iss=1850045');
    const other = stage2();
    expect(outcome(other.core, () => loadMemory(other.core, 0x900_0000n, 1, { syndrome: { srt: 30, sf: true, sse: true } }))).toBe('EL2 ec=24 iss=13e8005');
  });
  test('stage 1 faults do not have ISV', () => {
    const { core } = stage1();
    expect(outcome(core, () => loadMemory(core, VA, 4, { syndrome: { srt: 5, sf: false, sse: false } }))).toBe('EL1 ec=25 iss=4');
  });
});

/** Stage 1 with its tables identity-mapped by stage 2; VA goes to IPA. */
function both(leaf1: bigint, leaf2: bigint | undefined, hcr = 0n): World & { readonly second: Tables } {
  const world = stage1(12, { hcr: Hcr.VM | hcr });
  const { tables: second } = stage2Tables(world.core, world.memory);
  map(second, RAM, RAM, S2_ALL, 2);
  map(second, RAM + 0x20_0000, RAM + 0x20_0000, S2_ALL, 2);
  map(world.tables, Number(VA), IPA, NORMAL | leaf1);
  if (leaf2 !== undefined) map(second, IPA, PAGE, S2.AF | leaf2);
  return { ...world, second };
}

describe('both stages', () => {
  test('VA to IPA to PA', () => {
    const { core, memory } = both(0n, S2_ALL);
    writeWord(memory, PAGE + 0x10, 99n);
    expect(loadMemory(core, VA + 0x10n, 8, {})).toBe(99n);
  });
  test('stage 1\'s permission fault comes before stage 2\'s translation fault', () => {
    const { core } = both(S1.READ_ONLY, undefined);
    expect(store(core, VA)).toBe('EL1 ec=25 iss=4f');
  });
  test('stage 2\'s fault has FAR with the VA and HPFAR with the IPA', () => {
    const { core } = both(0n, undefined);
    expect(load(core, VA + 8n)).toBe('EL2 ec=24 iss=5');
    expect([get(core, 'FAR_EL2'), get(core, 'HPFAR_EL2')]).toEqual([VA + 8n, BigInt(IPA) >> 8n]);
  });
  test.each([
    ['load', load, 'EL2 ec=24 iss=86'], ['store, whose WnR is that of the access', store, 'EL2 ec=24 iss=c6'], ['fetch', fetch, 'EL2 ec=20 iss=86'],
  ] as const)('a stage-1 table without a stage-2 mapping: S1PTW, HPFAR has the table, for a %s', (_name, act, expected) => {
    const { core, memory } = both(0n, S2_ALL);
    const root = 0x6000_0000;
    set(core, 'TTBR0_EL1', BigInt(root));
    writeWord(memory, RAM, 0n);
    expect(act(core, VA)).toBe(expected);
    // Level 0 index of VA is 0x24.
    expect(get(core, 'HPFAR_EL2')).toBe(BigInt(root) >> 8n);
  });
  test('a stage-1 table without stage-2 read permission: Permission fault with S1PTW', () => {
    const { core, second } = both(0n, S2_ALL);
    map(second, 0x8000_0000, ROOT, S2.AF | S2.NORMAL | S2.WRITE);
    set(core, 'TTBR0_EL1', 0x8000_0000n);
    expect(load(core, VA)).toBe('EL2 ec=24 iss=8f');
  });
  test('HCR_EL2.PTW: a table in stage-2 Device memory is a Permission fault', () => {
    const { core, second } = both(0n, S2_ALL, Hcr.PTW);
    map(second, 0x8000_0000, ROOT, S2.AF | S2.READ);
    set(core, 'TTBR0_EL1', 0x8000_0000n);
    expect(load(core, VA)).toBe('EL2 ec=24 iss=8f');
  });
  test('an unaligned access to what only stage 2 makes Device memory faults to EL2', () => {
    const { core } = both(0n, S2.READ | S2.WRITE);
    expect(load(core, VA + 4n)).toBe('EL2 ec=24 iss=21');
  });
  test('a cached translation gives the same permission faults as a walk', () => {
    const { core } = both(S1.UXN | S1.PXN, S2.READ | S2.NORMAL);
    expect(load(core, VA)).toBe('done');
    expect(fetch(core, VA)).toBe('EL1 ec=21 iss=f');
    setPstate(core, 1);
    expect(store(core, VA)).toBe('EL2 ec=24 iss=4f');
  });
});

const kvm = (stage2Map: Parameters<typeof bareCore>[0] & object): Core => {
  const { core } = bareCore({ el2: 'kvm', ...stage2Map });
  set(core, 'HCR_EL2', Hcr.RW | Hcr.VM);
  set(core, 'VTTBR_EL2', 0x42n << 48n);
  return core;
};

describe('where L0 owns EL2, stage 2 is its map', () => {
  test('it is asked by VTTBR_EL2 and IPA', () => {
    const asked: [bigint, number][] = [];
    const core = kvm({ stage2: (vttbr, ipa) => { asked.push([vttbr, ipa]); return { ok: true, pa: PAGE, bytes: 4096, read: true, write: true, execute: true, level: 3 }; } });
    expect(load(core, 0x8000_0008n)).toBe('done');
    expect(asked).toEqual([[0x42n << 48n, 0x8000_0000]]);
  });
  test('a block is entered at the offset of the address', () => {
    const core = kvm({ stage2: () => ({ ok: true, pa: RAM, bytes: 0x20_0000, read: true, write: true, execute: true, level: 2 }) });
    expect(translate(core, 0x8000_5000n, READ, Regime.EL10, true, false, true)?.pa).toBe(RAM + 0x5000);
  });
  test('what it lacks is a Translation fault at its level, what it denies a Permission fault', () => {
    const core = kvm({ stage2: () => ({ ok: false, level: 2 }) });
    expect(load(core, 0x8000_0000n)).toBe('EL2 ec=24 iss=6');
    expect([core.end, get(core, 'HPFAR_EL2')]).toEqual([{ type: 'exit', vector: 'sync' }, 0x80_0000n]);
    const denied = kvm({ stage2: () => ({ ok: true, pa: PAGE, bytes: 4096, read: true, write: false, execute: true, level: 3 }) });
    expect(store(denied, 0x8000_0000n)).toBe('EL2 ec=24 iss=4f');
  });
});

test('the fault record is left by the translation that failed', () => {
  const { core } = stage1();
  expect(translate(core, VA, READ, Regime.EL10, true, false, true)).toBeUndefined();
  expect({ ...fault }).toEqual({ fsc: 4, stage2: false, onWalk: false, ipa: 0, external: false });
});
