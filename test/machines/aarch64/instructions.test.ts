/** Edges of single instructions, stated; the bulk is checked against QEMU (conformance/user-oracle). */

import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { Word, type Core } from '../../../machines/aarch64/state.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, get, program, set } from '../../support/core.ts';

const MIN = 1n << 63n;
const ALL = (1n << 64n) - 1n;
const AT = BigInt(RAM + 0x1000);

/** Runs one instruction at EL1 with some registers set, and gives the core. */
function after(text: string, registers: Readonly<Record<number, bigint>> = {}, nzcv = 0n): Core {
  const { core, memory } = bareCore({ el: 1, el2: 'none' });
  program(memory, RAM, [assemble(text, BigInt(RAM))]);
  writeWord(memory, RAM + 0x1000, 0x8877_6655_4433_2211n);
  for (const [register, value] of Object.entries(registers)) core.words[Number(register)] = value;
  core.words[Word.NZCV] = nzcv;
  set(core, 'SP_EL1', 0x1_2345_6780n);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x2000));
  run(core, 1);
  return core;
}

test.each<[string, Record<number, bigint>, bigint]>([
  ['sdiv x0, x1, x2', { 1: MIN, 2: ALL }, MIN], ['sdiv w0, w1, w2', { 1: 0x8000_0000n, 2: ALL }, 0x8000_0000n], ['udiv x0, x1, x2', { 1: 5n, 2: 0n }, 0n], ['sdiv x0, x1, x2', { 1: ALL - 6n, 2: 2n }, ALL - 2n],
  ['lsl x0, x1, x2', { 1: 1n, 2: 64n + 3n }, 8n], ['lsl w0, w1, w2', { 1: 1n, 2: 33n }, 2n], ['asr w0, w1, #31', { 1: 0x8000_0000n }, 0xffff_ffffn], ['ror w0, w1, #1', { 1: 1n }, 0x8000_0000n],
  ['umulh x0, x1, x2', { 1: ALL, 2: ALL }, ALL - 1n], ['smulh x0, x1, x2', { 1: MIN, 2: MIN }, 1n << 62n], ['smaddl x0, w1, w2, x3', { 1: 0xffff_ffffn, 2: 2n, 3: 1n }, ALL],
  ['add x0, sp, #0', {}, 0x1_2345_6780n], ['add w0, wsp, #0', {}, 0x2345_6780n], ['add x0, xzr, x1', { 1: 7n }, 7n], ['add x0, sp, w1, sxtw #2', { 1: 0xffff_ffffn }, 0x1_2345_677cn],
  ['clz x0, x1', { 1: 0n }, 64n], ['clz w0, w1', { 1: 1n << 40n }, 32n], ['cls x0, x1', { 1: ALL }, 63n], ['cls w0, w1', { 1: 0x8000_0000n }, 0n], ['rbit w0, w1', { 1: 1n }, 0x8000_0000n],
  ['rev16 x0, x1', { 1: 0x0102_0304_0506_0708n }, 0x0201_0403_0605_0807n], ['rev32 x0, x1', { 1: 0x0102_0304_0506_0708n }, 0x0403_0201_0807_0605n],
  ['crc32b w0, w1, w2', { 1: 0xffff_ffffn, 2: 0x61n }, 0xffff_ffffn ^ 0xe8b7_be43n], ['crc32cb w0, w1, w2', { 1: 0xffff_ffffn, 2: 0x61n }, 0xffff_ffffn ^ 0xc1d0_4330n],
  ['bfi x0, x1, #60, #4', { 0: 0x0fn, 1: 0xabcn }, 0xc000_0000_0000_000fn], ['sbfiz x0, x1, #4, #4', { 1: 8n }, ALL - 0x7fn], ['extr x0, x1, x2, #4', { 1: 0xfn, 2: 0x10n }, (0xfn << 60n) | 1n],
  ['movk w0, #1, lsl #16', { 0: ALL }, 0x1_ffffn], ['movn w0, #0', {}, 0xffff_ffffn], ['ngc x0, xzr', {}, ALL], ['csinv x0, x1, x2, ne', { 1: 4n, 2: 0n }, 4n],
  ['ldr w0, [x1]', { 1: AT }, 0x4433_2211n], ['ldrsb w0, [x1, #7]', { 1: AT }, 0xffff_ff88n], ['ldrsb x0, [x1, #7]', { 1: AT }, ALL - 0x77n], ['ldr x0, [x1, w2, sxtw #3]', { 1: AT + 8n, 2: 0xffff_ffffn }, 0x8877_6655_4433_2211n],
  ['ldpsw x2, x0, [x1]', { 1: AT }, 0xffff_ffff_8877_6655n], ['ldr x0, 0x40001000', {}, 0x8877_6655_4433_2211n], ['adrp x0, 0x40003000', {}, 0x4000_3000n],
])('%s with %o gives X0 %#x', (text, registers, result) => {
  expect(after(text, registers).words[0]).toBe(result);
});

test('pre-index writes the base, post-index after the access, and a loaded base is lost to the write-back', () => {
  expect(after('ldr x0, [x1, #8]!', { 1: AT - 8n }).words[1]).toBe(AT);
  expect(after('ldr x0, [x1], #-8', { 1: AT }).words[1]).toBe(AT - 8n);
  expect(after('.inst 0xf8408421', { 1: AT }).words[1]).toBe(AT + 8n);
});

test.each([
  ['a 32-bit shift by 32', '.inst 0x0b008020'], ['a bitfield whose N is not sf', '.inst 0x93000000'], ['a reserved logical immediate', '.inst 0x9240fc00'], ['CASP from an odd register', '.inst 0x48217c00'], ['HLT without halting debug', 'hlt #0'], ['DRPS', 'drps'], ['DCPS1', 'dcps1'],
])('%s is an UNDEFINED exception', (_what, text) => {
  const core = after(text);
  expect([get(core, 'ESR_EL1'), get(core, 'ELR_EL1')]).toEqual([0x0200_0000n, BigInt(RAM)]);
});

test('a fault leaves base, destination and flags as they were', () => {
  const core = after('ldr x0, [x1, #16]!', { 0: 5n, 1: 0x1_0000_0000_0000n });
  expect([core.words[0], core.words[1], get(core, 'ESR_EL1') >> 26n]).toEqual([5n, 0x1_0000_0000_0000n, 0x25n]);
});

/** The exception class of one access with SP misaligned by 8. */
function faulting(text: string): bigint {
  const { core, memory } = bareCore({ el: 1, el2: 'none' });
  program(memory, RAM, [assemble(text)]);
  set(core, 'SP_EL1', AT + 8n);
  set(core, 'SCTLR_EL1', get(core, 'SCTLR_EL1') | 8n);
  run(core, 1);
  return get(core, 'ESR_EL1') >> 26n;
}

test('a misaligned stack pointer as base is a fault when SCTLR_EL1.SA is set, and prefetches do not look', () => {
  expect([faulting('ldr x0, [sp]'), faulting('prfm pldl1keep, [sp]')]).toEqual([0x26n, 0n]);
});

test('an exclusive pair is one 16-byte transaction, and its status register says whether it was done', () => {
  const { core, memory } = bareCore({ el: 1, el2: 'none' });
  program(memory, RAM, ['ldaxp x1, x2, [x0]', 'stlxp w3, x4, x5, [x0]', 'stlxp w6, x4, x5, [x0]'].map((line) => assemble(line)));
  // Stage 1 on, so that the memory is Normal: one block.
  writeWord(memory, RAM + 0x3000 + 8, 0x4000_0701n);
  set(core, 'TTBR0_EL1', BigInt(RAM + 0x3000));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  set(core, 'SCTLR_EL1', get(core, 'SCTLR_EL1') | 1n);
  core.words[0] = AT;
  core.words[4] = 44n;
  core.words[5] = 55n;
  writeWord(memory, RAM + 0x1008, 9n);
  run(core, 3);
  expect([core.words[2], core.words[3], core.words[6]]).toEqual([9n, 0n, 1n]);
  expect([readWord(memory, RAM + 0x1000), readWord(memory, RAM + 0x1008)]).toEqual([44n, 55n]);
});
