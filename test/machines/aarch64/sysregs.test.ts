/** The register rows as a table: storage, look-up, identification, reserved bits, and printing. */

import { describe, expect, test } from 'vitest';
import type { Features } from '../../../machines/aarch64/board.ts';
import { describeChanges, describeCore, describeRegister, describeSystemAccess } from '../../../machines/aarch64/describe.ts';
import { systemIss } from '../../../machines/aarch64/access.ts';
import { bitTest, fieldMask, fieldPlace, fieldValue, fieldsOf } from '../../../machines/aarch64/fields.ts';
import { FIRST_SYSTEM_WORD, type Hardware, IMPLEMENTED_REGISTERS, SYSTEM_REGISTERS, SYSTEM_WORDS, encodingName, hasSlot, packEncoding, registerByEncoding, registerByName, registerOfWord, resetSystemRegisters, resetValue, sanitise, slot, unpackEncoding } from '../../../machines/aarch64/sysregs.ts';
import { bareCore, set } from '../../support/core.ts';
import { encodingOf } from '../../support/system-access.ts';

const FULL: Features = { nv: 2, vhe: true, e2h: 'writable', fgt: true, ecv: true, hcx: true, pauth: 'qarma5', listRegisters: 4, paBits: 48 };
const hardware = (features: Partial<Features> = {}, el2: Hardware['el2'] = 'guest'): Hardware => ({ features: { ...FULL, ...features }, el2, counterHz: 62_500_000 });
const id = (register: string, field: string, machine: Hardware = hardware()): bigint => fieldValue(`${register}.${field}`, resetValue(registerByName(register)!, machine, 0));

const mpidrOf = (index: number): bigint => resetValue(registerByName('MPIDR_EL1')!, hardware(), index);

describe('storage', () => {
  test('every register but the aliases has a word of the block, and each word one register', () => {
    const stored = IMPLEMENTED_REGISTERS.filter((row) => row.alias === undefined);
    expect(stored.length).toBe(SYSTEM_WORDS);
    expect(new Set(stored.map((row) => slot(row.name))).size).toBe(SYSTEM_WORDS);
    for (const row of stored) expect(registerOfWord(slot(row.name))).toBe(row.name);
    expect(FIRST_SYSTEM_WORD + SYSTEM_WORDS).toBeLessThanOrEqual(1024);
    expect(SYSTEM_WORDS).toBeGreaterThan(250);
  });
  test('aliases and registers of absent features have none, and asking says so', () => {
    expect(hasSlot('SCTLR_EL12')).toBe(false);
    expect(() => slot('SCTLR_EL12')).toThrow('no system register with storage is called SCTLR_EL12');
    expect(() => slot('ZCR_EL1')).toThrow(RangeError);
  });
  test('what a row names has a row: aliases, twins and redirections', () => {
    for (const row of IMPLEMENTED_REGISTERS) for (const name of [row.alias, row.e2h, row.nv2]) if (name !== undefined) expect(hasSlot(name)).toBe(true);
  });
});

describe('look-up', () => {
  test('an encoding packs and unpacks, and finds its name', () => {
    for (const row of SYSTEM_REGISTERS) {
      expect(packEncoding(...unpackEncoding(row.encoding))).toBe(row.encoding);
      expect(registerByEncoding(row.encoding)?.name).toBe(row.name);
    }
  });
  test('an encoding without a name is spelt as assemblers take it', () => {
    expect(encodingName(packEncoding(3, 0, 15, 2, 1))).toBe('S3_0_C15_C2_1');
    expect(encodingName(packEncoding(3, 4, 1, 1, 0))).toBe('HCR_EL2');
  });
});

describe('identification', () => {
  test('the machine is AArch64 at EL0 to EL2 with GICv3, with half precision and Advanced SIMD, without EL3', () => {
    expect(resetValue(registerByName('ID_AA64PFR0_EL1')!, hardware(), 0)).toBe(0x1101_0000_2111_0111n);
    expect(id('ID_AA64PFR0_EL1', 'EL2', hardware({}, 'none'))).toBe(0n);
  });
  test('Features decide VH, NV, E2H0, FGT, ECV, HCX and PARange', () => {
    expect([id('ID_AA64MMFR1_EL1', 'VH'), id('ID_AA64MMFR2_EL1', 'NV'), id('ID_AA64MMFR4_EL1', 'E2H0')]).toEqual([1n, 2n, 0n]);
    expect(id('ID_AA64MMFR2_EL1', 'NV', hardware({ nv: 1 }))).toBe(1n);
    expect(id('ID_AA64MMFR4_EL1', 'E2H0', hardware({ e2h: 'res1' }))).toBe(0b1110n);
    expect(id('ID_AA64MMFR1_EL1', 'VH', hardware({ e2h: 'res0' }))).toBe(0n);
    expect([40, 44, 48].map((paBits) => id('ID_AA64MMFR0_EL1', 'PARange', hardware({ paBits })))).toEqual([2n, 4n, 5n]);
    const plain = hardware({ nv: 0, vhe: false, fgt: false, ecv: false, hcx: false });
    expect(['FGT', 'ECV'].map((field) => id('ID_AA64MMFR0_EL1', field, plain))).toEqual([0n, 0n]);
    expect([id('ID_AA64MMFR1_EL1', 'HCX', plain), id('ID_AA64MMFR2_EL1', 'NV', plain)]).toEqual([0n, 0n]);
  });
  test('every vCPU has its own MPIDR, sixteen to a cluster', () => {
    expect([mpidrOf(0), mpidrOf(15), mpidrOf(16)]).toEqual([0x8000_0000n, 0x8000_000fn, 0x8000_0100n]);
  });
});

const written = (name: string, value: bigint, e2h = false, machine = hardware()): bigint => sanitise(registerByName(name)!, machine, e2h, value);
const ONES = (1n << 64n) - 1n;

/** Registers whose reset value is completed by their first write: SCTLR_EL2 is UNKNOWN out of reset. */
const resetOf = (name: string, machine: Hardware): bigint => {
  const row = registerByName(name)!;
  return name === 'SCTLR_EL2' ? sanitise(row, machine, machine.features.e2h === 'res1', resetValue(row, machine, 3)) : resetValue(row, machine, 3);
};

describe('reserved bits', () => {

  test('SCTLR_EL1 keeps its RES1 bits and cannot turn big-endian', () => {
    expect(written('SCTLR_EL1', 0n)).toBe(0x3050_0980n);
    expect(written('SCTLR_EL1', ONES) & (3n << 24n)).toBe(0n);
  });
  test('CPTR_EL2, TCR_EL2 and SCTLR_EL2 have two layouts', () => {
    expect(written('CPTR_EL2', 0n)).toBe(0x33ffn);
    expect(written('CPTR_EL2', ONES, true)).toBe((1n << 31n) | (3n << 20n));
    expect(written('TCR_EL2', 0n)).toBe(0x8080_0000n);
    expect(written('TCR_EL2', 0n, true)).toBe(0n);
    expect(written('SCTLR_EL2', 0n)).toBe(0x30c5_0830n);
  });
  test('RW is RES1, and HCR_EL2 has the bits of its features only', () => {
    expect(written('HCR_EL2', 0n)).toBe(1n << 31n);
    const kept = written('HCR_EL2', ONES);
    for (const [field, bit] of [['NV', 1n], ['NV1', 1n], ['NV2', 1n], ['AT', 1n], ['E2H', 1n], ['TID4', 1n], ['FWB', 1n], ['API', 1n], ['TERR', 1n], ['TLOR', 1n]] as const) expect(`${field} ${fieldValue(`HCR_EL2.${field}`, kept)}`).toBe(`${field} ${bit}`);
  });
  test('a vector base is 2 KiB aligned and VNCR_EL2 a page', () => {
    expect(written('VBAR_EL1', 0x1fffn)).toBe(0x1800n);
    expect(written('VNCR_EL2', 0x1fffn)).toBe(0x1000n);
  });
  test('a reset value is one that the register can hold', () => {
    for (const machine of [hardware(), hardware({ e2h: 'res1' }), hardware({ e2h: 'res0', vhe: false })]) {
      const e2h = machine.features.e2h === 'res1';
      for (const row of IMPLEMENTED_REGISTERS) if (row.access === 'RW' && row.alias === undefined) expect(`${row.name} ${sanitise(row, machine, e2h, resetValue(row, machine, 3))}`).toBe(`${row.name} ${resetOf(row.name, machine)}`);
    }
  });
});

describe('fields and text', () => {
  test('a field has a place, a mask, a value and a test', () => {
    expect(fieldPlace('HCR_EL2.TVM')).toEqual({ register: 'HCR_EL2', lsb: 26, width: 1 });
    expect(fieldPlace('CPTR_EL2.TTA', true).lsb).toBe(28);
    expect(fieldMask('VTCR_EL2.T0SZ')).toBe(0x3fn);
    expect(fieldValue('ESR_EL1.EC', 0x18n << 26n)).toBe(0x18n);
    expect(() => fieldPlace('HCR_EL2.NONSENSE')).toThrow('no row has a field HCR_EL2.NONSENSE');
    const { core } = bareCore();
    const nv2 = bitTest('HCR_EL2.NV2');
    expect(nv2(core)).toBe(false);
    set(core, 'HCR_EL2', 1n << 45n);
    expect(nv2(core)).toBe(true);
    expect(fieldsOf('CNTV_CTL_EL0', 5n).map(({ name, value }) => `${name}=${value}`)).toEqual(['ISTATUS=1', 'IMASK=0', 'ENABLE=1']);
  });
  test('a register is printed by its fields that are set', () => {
    expect(describeRegister('HCR_EL2', (1n << 45n) | (1n << 42n) | (1n << 31n) | 1n)).toBe('HCR_EL2 0x0000240080000001 NV2 NV RW VM');
    expect(describeRegister('VTCR_EL2', 0x8000_0018n)).toBe('VTCR_EL2 0x0000000080000018 T0SZ=0x18');
    expect(describeRegister('SCTLR_EL12', 1n)).toBe('SCTLR_EL12 0x0000000000000001 M');
  });
  test('a trapped access is printed as the instruction', () => {
    expect(describeSystemAccess(systemIss(encodingOf('VTTBR_EL2'), 3, true))).toBe('MSR VTTBR_EL2, X3');
    expect(describeSystemAccess(systemIss(encodingOf('TLBI VAE1IS'), 31, true))).toBe('TLBI VAE1IS, XZR');
    expect(describeRegister('ESR_EL2', (0x18n << 26n) | BigInt(systemIss(encodingOf('CNTVCT_EL0'), 1, false)))).toContain('MRS X1, CNTVCT_EL0');
  });
  test('a core is printed with its level, registers and what is not zero', () => {
    const { core, board } = bareCore({ el2: 'kvm', el: 1 });
    resetSystemRegisters(core.words, board, 0);
    set(core, 'HCR_EL2', (1n << 42n) | (1n << 31n));
    core.words[7] = 0xabcn;
    const before = core.words.slice();
    const text = describeCore(core).join('\n');
    expect(text).toContain('vcpu:0 vEL2h on');
    expect(text).toContain('X7 0x0000000000000abc');
    expect(text).toContain('HCR_EL2 0x0000040080000000 NV RW');
    expect(text).toContain('nzcv DAIF');
    set(core, 'CNTV_CTL_EL0', 1n);
    expect(describeChanges(before, core)).toEqual(['CNTV_CTL_EL0 0x0000000000000000 → 0x0000000000000001 ENABLE']);
  });
});
