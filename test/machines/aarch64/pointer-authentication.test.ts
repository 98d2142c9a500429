/** FEAT_PAuth and FEAT_PAuth2 as the Arm ARM has it (D8.10): where a code goes, what a failed check leaves, what enables, traps and strips. */

import { describe, expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import type { Features } from '../../../machines/aarch64/board.ts';
import { qarma5 } from '../../../machines/aarch64/engine/qarma.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Word } from '../../../machines/aarch64/state.ts';
import { loadMemory } from '../../../machines/aarch64/memory-access.ts';
import { writeWord } from '../../../machines/memory/memory.ts';
import { RAM, bareCore, get, outcome, program, set, setPstate } from '../../support/core.ts';

const ENABLED = (1n << 31n) | (1n << 30n) | (1n << 27n) | (1n << 13n);
const API = 1n << 41n;
const RW = 1n << 31n;
const KEYS = { APIA: [1n, 2n], APIB: [3n, 4n], APDA: [5n, 6n], APDB: [7n, 8n], APGA: [9n, 10n] } as const;
const POINTER = 0x1234_5678_9abcn;
const MODIFIER = 0xfeed_f00dn;

interface Options { readonly el?: number; readonly tcr?: bigint; readonly sctlr?: bigint; readonly hcr?: bigint; readonly features?: Partial<Features>; readonly el2?: 'guest' | 'none' }

/** Keys set, all of them enabled at every level, 48-bit halves. */
function machine(options: Options = {}): Core {
  const { core } = bareCore({ el2: options.el2 ?? 'guest', features: options.features ?? {} });
  setPstate(core, options.el ?? 1);
  for (const [key, [low, high]] of Object.entries(KEYS)) {
    set(core, `${key}KeyLo_EL1`, low);
    set(core, `${key}KeyHi_EL1`, high);
  }
  for (const el of [1, 2]) {
    set(core, `SCTLR_EL${el}`, options.sctlr ?? ENABLED);
    set(core, `TCR_EL${el}`, options.tcr ?? (16n | (16n << 16n)));
    set(core, `VBAR_EL${el}`, BigInt(RAM + 0x1000 * el));
  }
  set(core, 'HCR_EL2', RW | (options.hcr ?? API));
  return core;
}

/** Runs one instruction at RAM and gives the core. */
function after(core: Core, text: string, registers: Readonly<Record<number, bigint>> = {}): Core {
  program(core.board.memory, RAM, [assemble(text, BigInt(RAM))]);
  for (const [register, value] of Object.entries(registers)) core.words[Number(register)] = value;
  core.words[Word.PC] = BigInt(RAM);
  run(core, 1);
  return core;
}
const x0 = (core: Core, text: string, pointer = POINTER, modifier = MODIFIER): bigint => after(core, text, { 0: pointer, 1: modifier }).words[0]!;
const ec = (core: Core): bigint => get(core, `ESR_EL${(core.ints[2 * Word.PSTATE]! >> 2) & 3}`) >> 26n;

describe('a signed pointer', () => {
  test('has the code of its canonical form in bits 54 to bottom and 63 to 56, and keeps bit 55', () => {
    const code = qarma5(POINTER, MODIFIER, 2n, 1n);
    expect(x0(machine(), 'pacia x0, x1')).toBe((code & 0xff7f_0000_0000_0000n) | POINTER);
  });
  test.each([['pacia', 'APIA'], ['pacib', 'APIB'], ['pacda', 'APDA'], ['pacdb', 'APDB']] as const)('%s uses key %s', (name, key) => {
    const [low, high] = KEYS[key];
    expect(x0(machine(), `${name} x0, x1`) >> 56n).toBe(qarma5(POINTER, MODIFIER, high, low) >> 56n);
  });
  test('of the upper half is extended with ones before it is signed', () => {
    const pointer = 0xffff_8000_1234_5678n;
    expect(x0(machine(), 'pacda x0, x1', pointer)).toBe((qarma5(pointer, MODIFIER, 6n, 5n) & 0xff7f_0000_0000_0000n) ^ pointer);
  });
  // Bottom by TxSZ of the half; the top byte is a tag with TBI, for instruction keys without TBID only.
  test.each([
    ['T0SZ = 25', 25n, 'pacia', 0xff7f_ff80_0000_0000n], ['T0SZ below 16 counts as 16', 10n, 'pacia', 0xff7f_0000_0000_0000n], ['T0SZ above 39 counts as 39', 45n, 'pacia', 0xff7f_ffff_fe00_0000n],
    ['TBI0', 16n | (1n << 37n), 'pacia', 0x007f_0000_0000_0000n], ['TBI0 with TBID0, data', 16n | (1n << 37n) | (1n << 51n), 'pacda', 0x007f_0000_0000_0000n],
    ['TBI0 with TBID0, instructions', 16n | (1n << 37n) | (1n << 51n), 'pacia', 0xff7f_0000_0000_0000n],
  ] as const)('%s: the field is %#x', (_what, tcr, name, field) => {
    const pointer = 0x0123_4567n & ~0x0n;
    const [low, high] = name === 'pacia' ? KEYS.APIA : KEYS.APDA;
    expect(x0(machine({ tcr }), `${name} x0, x1`, pointer)).toBe((qarma5(pointer, MODIFIER, high, low) & field) | pointer);
  });
  test('at EL2 without E2H the size and tag are TCR_EL2\'s', () => {
    const core = machine({ el: 2 });
    set(core, 'TCR_EL2', 25n | (1n << 20n));
    expect(x0(core, 'pacia x0, x1', 0x1234_5678n)).toBe((qarma5(0x1234_5678n, MODIFIER, 2n, 1n) & 0x007f_ff80_0000_0000n) | 0x1234_5678n);
  });
  test('that was not canonical gets the code of the canonical one by exclusive or, and bit 55 as its half has it', () => {
    const odd = POINTER | (1n << 50n);
    expect(x0(machine(), 'pacia x0, x1', odd) ^ x0(machine(), 'pacia x0, x1')).toBe(1n << 50n);
    expect(x0(machine(), 'pacia x0, x1', POINTER | (1n << 63n)) & (1n << 55n)).toBe(1n << 55n);
    // A half with tags: bit 55 tells the halves, and stays.
    expect(x0(machine({ tcr: 16n | (16n << 16n) | (1n << 38n) }), 'pacia x0, x1', POINTER | (1n << 63n)) & (1n << 55n)).toBe(0n);
  });
  test('PACGA gives 32 bits of the code in the upper half', () => {
    expect(after(machine(), 'pacga x0, x1, x2', { 1: POINTER, 2: MODIFIER }).words[0]).toBe(qarma5(POINTER, MODIFIER, 10n, 9n) & 0xffff_ffff_0000_0000n);
  });
});

describe('a check', () => {
  test.each([['pacia', 'autia'], ['pacib', 'autib'], ['pacda', 'autda'], ['pacdb', 'autdb']])('%s then %s gives the pointer back, in both halves, at every level, by either function', (sign, check) => {
    for (const pauth of ['qarma5', 'fast'] as const) for (const el of [0, 1, 2]) for (const pointer of [POINTER, 0xffff_8000_0000_1234n].slice(0, el === 2 ? 1 : 2)) {
      const core = machine({ el, features: { pauth }, ...(el === 0 ? { el2: 'none' } : {}) });
      if (el === 0) expect(core.board.el2).toBe('none');
      const signed = x0(core, `${sign} x0, x1`, pointer);
      expect(signed).not.toBe(pointer);
      expect(x0(core, `${check} x0, x1`, signed)).toBe(pointer);
    }
  });
  test.each([['autia', 'pacia'], ['autda', 'pacda'], ['autib', 'pacib'], ['autdb', 'pacdb']])('%s of a wrong pointer leaves the difference of the codes, as %s would put it', (name, sign) => {
    for (const [tcr, pointer] of [[16n, POINTER], [16n | (1n << 37n), (0xa5n << 56n) | POINTER], [16n | (16n << 16n), 0xffff_8000_0000_0000n]] as const) {
      expect(x0(machine({ tcr }), `${name} x0, x1`, pointer)).toBe(x0(machine({ tcr }), `${sign} x0, x1`, pointer));
    }
  });
  test('the poisoned pointer faults when it is used', () => {
    const core = machine({ el2: 'none' });
    set(core, 'SCTLR_EL1', ENABLED | 1n);
    expect(outcome(core, () => loadMemory(core, POINTER | (1n << 61n), 8, {}))).toBe('EL1 ec=25 iss=4');
  });
});

describe('enables and traps', () => {
  test.each([['ia', 31n], ['ib', 30n], ['da', 27n], ['db', 13n]])('without SCTLR_EL1.En%s the instructions leave the pointer alone, and HCR_EL2.API does not trap them', (key, bit) => {
    const core = machine({ sctlr: ENABLED & ~(1n << bit), hcr: 0n });
    expect([x0(core, `pac${key} x0, x1`), x0(core, `aut${key} x0, x1`)]).toEqual([POINTER, POINTER]);
  });
  test.each(['pacia x0, x1', 'autdza x0', 'pacga x0, x1, x2', 'paciasp', 'autib1716', 'braa x0, x1', 'blraaz x0', 'retab', 'ldraa x0, [x1]'])('HCR_EL2.API = 0 traps %s at EL1 with EC 9', (text) => {
    const core = after(machine({ hcr: 0n }), text);
    expect([ec(core), get(core, 'ESR_EL2') & 0x1ff_ffffn, get(core, 'ELR_EL2')]).toEqual([9n, 0n, BigInt(RAM)]);
  });
  test.each(['xpaci x0', 'xpacd x0', 'xpaclri'])('%s is not trapped', (text) => {
    expect(after(machine({ hcr: 0n }), text).words[Word.PC]).toBe(BigInt(RAM + 4));
  });
  test('the EL0 of a host with E2H and TGE is not trapped, and uses SCTLR_EL2', () => {
    const core = machine({ el: 0, hcr: (1n << 34n) | (1n << 27n) });
    set(core, 'SCTLR_EL1', 0n);
    expect(x0(core, 'pacia x0, x1')).not.toBe(POINTER);
  });
  test('without the feature the hints do nothing and the others are UNDEFINED', () => {
    const options: Options = { features: { pauth: 'none' } };
    for (const text of ['paciasp', 'autiaz', 'pacib1716', 'xpaclri']) expect(after(machine(options), text, { 17: 5n, 30: 7n }).words[Word.PC]).toBe(BigInt(RAM + 4));
    for (const text of ['pacia x0, x1', 'pacga x0, x1, x2', 'xpaci x0', 'braa x0, x1', 'retaa', 'ldrab x0, [x1]', 'eretaa']) expect(`${text}: ${ec(after(machine(options), text))}`).toBe(`${text}: 0`);
  });
});

test('XPACI and XPACD take the code off as the half and its tag say, and leave the modifier out', () => {
  expect(x0(machine(), 'xpaci x0', 0xff3f_5678_1234_5678n)).toBe(0x0000_5678_1234_5678n);
  expect(x0(machine(), 'xpacd x0', 0x00bf_5678_1234_5678n)).toBe(0xffff_5678_1234_5678n);
  expect(x0(machine({ tcr: 16n | (1n << 37n) }), 'xpaci x0', 0xaa3f_5678_1234_5678n)).toBe(0xaa00_5678_1234_5678n);
});

test('hints sign X30 with SP or zero, and X17 with X16', () => {
  for (const [sign, check, register, modifier] of [['paciasp', 'autiasp', 30, 'sp'], ['paciaz', 'autiaz', 30, 'zero'], ['pacib1716', 'autib1716', 17, 'x16'], ['pacibsp', 'autibsp', 30, 'sp']] as const) {
    const core = machine();
    set(core, 'SP_EL1', 0x4000_1000n);
    const key = sign.includes('ib') ? KEYS.APIB : KEYS.APIA;
    const by = modifier === 'sp' ? 0x4000_1000n : modifier === 'x16' ? MODIFIER : 0n;
    after(core, sign, { 16: MODIFIER, [register]: POINTER });
    expect(core.words[register]! >> 56n).toBe(qarma5(POINTER, by, key[1], key[0]) >> 56n);
    after(core, check);
    expect(core.words[register]).toBe(POINTER);
  }
});

describe('branches and loads check the address they use', () => {
  test.each([['braa x0, x1', 'pacia x0, x1'], ['brabz x0', 'pacizb x0'], ['blrab x0, x1', 'pacib x0, x1'], ['blraaz x0', 'paciza x0']])('%s goes where %s signed', (branch, sign) => {
    const core = machine({ el2: 'none' });
    x0(core, sign, BigInt(RAM + 0x40));
    after(core, branch);
    expect(core.words[Word.PC]).toBe(BigInt(RAM + 0x40));
    if (branch.startsWith('blr')) expect(core.words[30]).toBe(BigInt(RAM + 4));
  });
  test('RETAA returns by X30 with SP; a wrong X30 goes to an address that does not exist', () => {
    const core = machine({ el2: 'none' });
    after(core, 'paciasp', { 30: BigInt(RAM + 0x80) });
    after(core, 'retaa');
    expect(core.words[Word.PC]).toBe(BigInt(RAM + 0x80));
    after(core, 'retab', { 30: BigInt(RAM + 0x80) });
    expect(core.words[Word.PC]! & 0xff7f_0000_0000_0000n).not.toBe(0n);
  });
  test.each([['ldraa x0, [x1, #8]', 8n, 0n], ['ldraa x0, [x1, #-8]', -8n, 0n], ['ldrab x0, [x1, #16]!', 16n, 16n]])('%s', (text, offset, moved) => {
    const core = machine({ el2: 'none' });
    const base = BigInt(RAM + 0x2000);
    after(core, text.startsWith('ldraa') ? 'pacdza x1' : 'pacdzb x1', { 1: base });
    const signed = core.words[1];
    writeWord(core.board.memory, Number(base + offset), 0x55n);
    after(core, text);
    expect([core.words[0], core.words[1]]).toEqual([0x55n, moved === 0n ? signed : base + moved]);
  });
  test('ERETAA and ERETAB check ELR with SP', () => {
    const core = machine({ el2: 'none' });
    set(core, 'SPSR_EL1', 0x3c5n);
    set(core, 'ELR_EL1', x0(core, 'pacib x0, sp', BigInt(RAM + 0x100)));
    after(core, 'eretab');
    expect(core.words[Word.PC]).toBe(BigInt(RAM + 0x100));
  });
  test.each([['eret', 0n], ['eretaa', 2n], ['eretab', 3n]])('HCR_EL2.NV traps %s with ISS %i, before any check', (text, iss) => {
    const core = after(machine({ hcr: 1n << 42n }), text);
    expect([ec(core), get(core, 'ESR_EL2') & 0x1ff_ffffn]).toEqual([0x1an, iss]);
  });
});

test('TBID keeps the top byte of addresses to execute from being ignored (FEAT_PAuth)', () => {
  const tag = 0x5an << 56n;
  for (const [tcr, pc] of [[1n << 37n, BigInt(RAM + 0x40)], [(1n << 37n) | (1n << 51n), tag | BigInt(RAM + 0x40)]] as const) {
    const core = machine({ tcr: 16n | tcr, el2: 'none' });
    expect(after(core, 'br x0', { 0: tag | BigInt(RAM + 0x40) }).words[Word.PC]).toBe(pc);
    if (pc >= tag) {
      run(core, 1);
      expect(ec(core)).toBe(0x21n);
    }
  }
});
