/** Syndromes: ISS layouts against values worked out by hand from the Arm ARM's ESR_EL1 page. */

import { describe, expect, test } from 'vitest';
import { describeSyndrome, esr, loadStoreIss, wfxIss } from '../../../machines/aarch64/syndrome.ts';

describe('ISS[24:14] of a load or store', () => {
  test.each([
    ['LDRB W3', 1, 3, false, false, false, 0x103_0000],
    ['LDRSB X3', 1, 3, true, true, false, 0x123_8000],
    ['LDRH W31', 2, 31, false, false, false, 0x15f_0000],
    ['STR W0', 4, 0, false, false, false, 0x180_0000],
    ['LDR X7', 8, 7, true, false, false, 0x1c7_8000],
    ['LDAR X7', 8, 7, true, false, true, 0x1c7_c000],
    ['LDRSW X1', 4, 1, true, true, false, 0x1a1_8000],
  ] as const)('%s', (_name, bytes, srt, sf, sse, ordered, iss) => expect(loadStoreIss(bytes, { srt, sf, sse }, ordered)).toBe(iss));
});

test('a trapped WFI has CV = 1 and COND = 0b1110, and WFE has TI = 1', () => {
  expect([wfxIss(false), wfxIss(true)]).toEqual([0x1e0_0000, 0x1e0_0001]);
});

test('ESR_ELx puts EC in bits 31 to 26 and sets IL', () => {
  expect(esr(0x3c, 0x1234)).toBe(0xf200_1234n);
});

test('a syndrome reads as its class', () => {
  expect(describeSyndrome(0x5a00_0001n)).toBe('HVC iss=0x1');
  expect(describeSyndrome(esr(0x25, 7))).toBe('DATA_ABORT_SAME iss=0x7');
  expect(describeSyndrome(esr(0x21, 7))).toBe('INSTRUCTION_ABORT_SAME iss=0x7');
});
