/** The assembler on text as people write it. */

import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';

test.each([
  ['nop', 0xd503_201f], ['add x0, x1, #0x10', 0x9100_4020], ['ADD  X0,X1,#16 // sixteen', 0x9100_4020], ['add x0, x1, #1, lsl #12', 0x9140_0420],
  ['mov x0, sp', 0x9100_03e0], ['mov x0, x1', 0xaa01_03e0], ['mov x0, #0x1234', 0xd282_4680], ['mov x0, #-1', 0x9280_0000], ['mov w0, #0xff00ff', 0x3200_9fe0 | 0], ['mov x3, #0x120000', 0xd2a0_0243],
  ['cmp x0, #1', 0xf100_041f], ['cmp sp, x1', 0xeb21_63ff], ['cset x0, eq', 0x9a9f_17e0], ['b.hs 8', 0x5400_0042], ['lsl x0, x1, #3', 0xd37d_f020],
  ['ldr x0, [x1, #8]', 0xf940_0420], ['ldr x0, [x1], #-8', 0xf85f_8420], ['ldr x0, [ x1 , #8 ]!', 0xf840_8c20], ['ldr w0, [x1, w2, uxtw #2]', 0xb862_5820], ['stp x29, x30, [sp, #-16]!', 0xa9bf_7bfd],
  ['ldaddal x0, x1, [x2]', 0xf8e0_0041], ['stadd w0, [x1]', 0xb820_003f], ['mrs x0, CurrentEL', 0xd538_4240], ['msr spsel, #1', 0xd500_41bf], ['msr HCR_EL2, x0', 0xd51c_1100], ['mrs x0, s3_0_c0_c0_0', 0xd538_0000],
  ['tlbi vmalle1is', 0xd508_831f], ['dc zva, x0', 0xd50b_7420], ['at s1e1r, x2', 0xd508_7802], ['dsb ish', 0xd503_3b9f], ['isb', 0xd503_3fdf], ['hvc #0', 0xd400_0002], ['eret', 0xd69f_03e0], ['ret', 0xd65f_03c0],
  ['.inst 0x1e604020', 0x1e60_4020],
])('%s', (text, word) => {
  expect(assemble(text)).toBe(word >>> 0);
});

test('branches and literals are relative to where the instruction is', () => {
  expect(assemble('b 0x40000000', 0x4000_0010n)).toBe(0x17ff_fffc);
  expect(assemble('adrp x0, 0x40001000', 0x4000_0ffcn)).toBe(0xb000_0000);
  expect(assemble('adr x0, 0xffffffffffffffff', 0n)).toBe(0x70ff_ffe0);
  expect(assemble('tbz x0, #33, 8', 0n)).toBe(0xb608_0040);
});

test.each([
  'frobnicate x0', 'add x0, w1, x2', 'add x0, x1, #4096, lsl #1', 'ldr x0, [x1, #4]!!', 'ldr x0, [x1, #32768]', 'b 2', 'mov x0, #0x123456789', 'lsl w0, w1, #32', 'mul x31, x0, x0', 'cinc x0, x1, al', 'msr nosuch_el1, x0', 'casp x1, x2, x4, x5, [x0]',
])('%s is refused', (text) => {
  expect(() => assemble(text)).toThrow(SyntaxError);
});
