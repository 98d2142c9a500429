/** Stage-2 walks as a pure function: start levels, concatenation, blocks, permissions, descriptors read. Arm ARM D8.2 and D8.5. */

import { describe, expect, test } from 'vitest';
import { type Stage2Controls, granule0, granule1, outputBitsOf, walkStage2 } from '../../../machines/aarch64/walk.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore } from '../../support/core.ts';
import { S2, S2_ALL, map, tablesAt } from '../../support/tables.ts';

const ROOT = RAM + 0x10_0000;
const TG0: Readonly<Record<number, bigint>> = { 12: 0n, 14: 2n << 14n, 16: 1n << 14n };

/** VTCR_EL2 of an IPA size, granule and SL0; PS is 48 bits. */
const vtcr = (inputBits: number, pageShift: number, sl0: number): bigint => BigInt(64 - inputBits) | (BigInt(sl0) << 6n) | TG0[pageShift]! | (5n << 16n);
const controls = (inputBits: number, pageShift: number, sl0: number, more: Partial<Stage2Controls> = {}): Stage2Controls => ({ vttbr: BigInt(ROOT) | (9n << 48n), vtcr: vtcr(inputBits, pageShift, sl0), ...more });

describe('SL0 names the start level, and up to 16 tables are concatenated there', () => {
  test.each([
    ['4 KiB from level 0', 48, 12, 2, 0, 0x8012_3456_7000], ['4 KiB from level 1, 16 tables', 43, 12, 1, 1, 0x712_3456_7000], ['4 KiB from level 1, 2 tables', 40, 12, 1, 1, 0xff_3456_7000],
    ['4 KiB from level 1, one table', 39, 12, 1, 1, 0x7f_3456_7000], ['4 KiB from level 2, 4 tables', 32, 12, 0, 2, 0xc123_4000], ['16 KiB from level 1', 47, 14, 2, 1, 0x6012_3456_8000],
    ['16 KiB from level 2, 16 tables', 40, 14, 1, 2, 0xf0_1234_8000], ['64 KiB from level 1', 48, 16, 2, 1, 0x8012_3456_0000], ['64 KiB from level 2', 42, 16, 1, 2, 0x3f0_1234_0000],
    ['64 KiB from level 3', 28, 16, 0, 3, 0xabc_0000],
  ] as const)('%s', (_name, inputBits, pageShift, sl0, startLevel, ipa) => {
    const { memory } = bareCore();
    const tables = tablesAt(memory, ROOT, pageShift, inputBits, startLevel);
    const leaf = map(tables, ipa, RAM + 0x4_0000, S2_ALL);
    const walk = walkStage2(memory, controls(inputBits, pageShift, sl0), ipa + 0x123);
    expect(walk).toMatchObject({ ok: true, pa: RAM + 0x4_0123, bytes: 2 ** pageShift, level: 3, read: true, write: true, execute: true, device: false, descriptor: readWord(memory, leaf) });
    expect(walk.ok && [walk.descriptors.length, walk.descriptors.at(-1)]).toEqual([4 - startLevel, leaf]);
  });
  test.each([
    ['SL0 = 3 is reserved', 40, 12, 3, 48], ['more than 16 tables', 44, 12, 1, 48], ['too small for the level', 30, 12, 1, 48], ['4 KiB from level 0 with 42-bit addresses', 40, 12, 2, 42],
    ['16 KiB from level 1 with 40-bit addresses', 40, 14, 2, 40], ['64 KiB from level 1 with 42-bit addresses', 42, 16, 2, 42],
  ] as const)('a level 0 Translation fault: %s', (_name, inputBits, pageShift, sl0, paBits) => {
    const { memory } = bareCore();
    expect(walkStage2(memory, controls(inputBits, pageShift, sl0, { paBits }), 0)).toMatchObject({ ok: false, fsc: 4, level: 0, stage2: true });
  });
});

describe('blocks', () => {
  test.each([['1 GiB', 12, 1, 1, 30], ['2 MiB', 12, 1, 2, 21], ['32 MiB', 14, 2, 2, 25], ['512 MiB', 16, 2, 2, 29]] as const)('%s', (_name, pageShift, sl0, level, shift) => {
    const { memory } = bareCore();
    const inputBits = pageShift === 12 ? 40 : pageShift === 14 ? 47 : 48;
    map(tablesAt(memory, ROOT, pageShift, inputBits, 1), 2 ** 35, RAM, S2_ALL, level);
    expect(walkStage2(memory, controls(inputBits, pageShift, sl0), 2 ** 35 + 2 ** shift - 8)).toMatchObject({ ok: true, pa: RAM + 2 ** shift - 8, bytes: 2 ** shift, level });
  });
});

const walkLeaf = (leaf: bigint, access?: 'read' | 'write' | 'execute', more: Partial<Stage2Controls> = {}) => {
  const { memory } = bareCore();
  map(tablesAt(memory, ROOT, 12, 40, 1), 0x5000, RAM, leaf);
  return walkStage2(memory, controls(40, 12, 1, more), 0x5678, access);
};

describe('leaf descriptors', () => {
  test.each([
    ['nothing', 0n, [false, false, true]], ['S2AP 01', S2.READ, [true, false, true]], ['S2AP 10', S2.WRITE, [false, true, true]], ['S2AP 11', S2.READ | S2.WRITE, [true, true, true]],
    ['XN', S2.READ | S2.XN, [true, false, false]], ['XN[1:0] 01', S2.READ | (1n << 53n), [true, false, false]],
  ] as const)('%s', (_name, leaf, [read, write, execute]) => expect(walkLeaf(S2.AF | leaf)).toMatchObject({ read, write, execute }));
  test.each([[0n, true, true], [1n, false, true], [2n, false, false], [3n, true, false]])('XN[1:0] = %i lets EL1 execute: %s, EL0: %s (FEAT_XNX)', (never, execute, executeUser) => {
    expect(walkLeaf(S2.AF | S2.READ | (never << 53n))).toMatchObject({ execute, executeUser });
  });
  test('an access that the descriptor denies is a Permission fault of its level', () => {
    expect(walkLeaf(S2.AF | S2.READ, 'write')).toMatchObject({ ok: false, fsc: 0xf, level: 3, onWalk: false, ipa: 0x5678 });
    expect(walkLeaf(S2.AF | S2.READ, 'read')).toMatchObject({ ok: true });
  });
  test.each([[0, false, true], [3, false, true], [4, false, false], [5, false, false], [15, false, false], [3, true, true], [6, true, false], [7, true, false], [5, true, false]] as const)('MemAttr %i with FWB = %s is Device: %s', (memAttr, fwb, device) => {
    expect(walkLeaf(S2.AF | S2.READ | (BigInt(memAttr) << 2n), 'read', { fwb })).toMatchObject({ device, memAttr });
  });
});

test('descriptors are big-endian where asked', () => {
  const { memory } = bareCore();
  // A level 2 start: one 2 MiB block descriptor at index 0, its bytes reversed by hand: 0x0000_0000_4000_07fd.
  writeWord(memory, RAM, 0xfd07_0040_0000_0000n);
  expect(walkStage2(memory, { vttbr: BigInt(RAM), vtcr: vtcr(30, 12, 0), bigEndian: true }, 0x1234)).toMatchObject({ ok: true, pa: RAM + 0x1234, level: 2, read: true, write: true, memAttr: 15 });
});

test('a table outside memory is an External abort on the walk, with the level of the missing table', () => {
  const { memory } = bareCore();
  writeWord(memory, ROOT, 0x7000_0003n);
  expect(walkStage2(memory, controls(39, 12, 1), 0x1000)).toMatchObject({ ok: false, fsc: 0x16, level: 2 });
});

test('granule and size fields', () => {
  expect([0, 1, 2, 3].map(granule0)).toEqual([12, 16, 14, 12]);
  expect([0, 1, 2, 3].map(granule1)).toEqual([12, 14, 12, 16]);
  expect([0, 1, 2, 3, 4, 5].map((ps) => outputBitsOf(ps, 44))).toEqual([32, 36, 40, 42, 44, 44]);
});
