/** Paravirtual L1: each EL2 instruction becomes the published HVC, reads back as itself, and nothing else is touched. */

import { existsSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readImage } from '../../../actors/images.ts';
import { IMPLEMENTED_REGISTERS, packEncoding, SYSTEM_REGISTERS } from '../../../machines/aarch64/sysregs.ts';
import {
  decodePv, exchangeEl1AndEl2, OUR_OPERATIONS, OUR_REGISTERS, paravirtualize, PUBLISHED_OPERATIONS, PUBLISHED_REGISTERS, rewrite, type PvFlavour, type Words,
} from '../../../machines/kvm/pv.ts';
import { smallElf } from '../../support/small-elf.ts';

const TRUTH = new URL('../../../../shared/reference/data/nv-truth.json', import.meta.url);
const ENCODINGS = new URL('../../../../shared/reference/data/sysreg-encodings.json', import.meta.url);
const FLAVOURS: readonly PvFlavour[] = ['vhe', 'nvhe'];
const NOP = 0xd503_201f, ERET = 0xd69f_03e0;

const encodingOf = (name: string): number => SYSTEM_REGISTERS.find((row) => row.name === name)!.encoding;
const mrs = (rt: number, name: string): number => (0xd520_0000 | (encodingOf(name) << 5) | rt) >>> 0;
const msr = (name: string, rt: number): number => (0xd500_0000 | (encodingOf(name) << 5) | rt) >>> 0;
const sys = (crn: number, op1: number, crm: number, op2: number, rt = 31): number => (0xd500_0000 | (packEncoding(1, op1, crn, crm, op2) << 5) | rt) >>> 0;
const tlbi = (op1: number, crm: number, op2: number, rt = 31): number => sys(8, op1, crm, op2, rt);
const immediateOf = (word: number): number => (word >>> 5) & 0xffff;
const after = (word: number, flavour: PvFlavour = 'nvhe'): number | undefined => paravirtualize(word, flavour)?.after;

/** Words by address, and a note of every one written. */
function memory(initial: readonly number[], base = 0x4000_0000): Words & { readonly words: number[]; readonly written: number[] } {
  const words = [...initial], written: number[] = [];
  return {
    words, written,
    read: (address) => words[(address - base) / 4]!,
    write: (address, word) => { words[(address - base) / 4] = word; written.push(address); },
  };
}

describe('the published encoding', () => {
  test.each<[string, number, number, number]>([
    ['mrs x0, hcr_el2', mrs(0, 'HCR_EL2'), 0x2ce0, 0xd405_9c02],
    ['msr vttbr_el2, x1', msr('VTTBR_EL2', 1), 0x4de1, 0xd409_bc22],
    ['mrs x2, esr_el2', mrs(2, 'ESR_EL2'), 0x2e62, 0xd405_cc42],
    ['eret', ERET, 0x8000, 0xd410_0002],
    ['tlbi alle1is', tlbi(4, 3, 4), 0xa0a0, 0xd414_1402],
    ['tlbi ipas2e1is, x3', tlbi(4, 0, 1, 3), 0xa023, 0xd414_0462],
    ['hvc #0', 0xd400_0002, 0xc000, 0xd418_0002],
    ['smc #0', 0xd400_0003, 0x0001, 0xd400_0022],
  ])('%s', (_, before, imm16, word) => {
    for (const flavour of FLAVOURS) expect(after(before, flavour)).toBe(word);
    expect(immediateOf(word)).toBe(imm16);
  });

  test('names what each class stands for', () => {
    expect(decodePv(0x0000)).toEqual({ kind: 'none' });
    expect(decodePv(0x1234)).toEqual({ kind: 'none' });
    expect(decodePv(0x0001)).toEqual({ kind: 'psci' });
    expect(decodePv(0x2ce0)).toEqual({ kind: 'mrs', register: 'HCR_EL2', encoding: encodingOf('HCR_EL2'), rt: 0 });
    expect(decodePv(0x4dff)).toEqual({ kind: 'msr', register: 'VTTBR_EL2', encoding: encodingOf('VTTBR_EL2'), rt: 31 });
    expect(decodePv(0x6000 | (103 << 5) | 5)).toEqual({ kind: 'msr-immediate', register: 'HCR_EL2', encoding: encodingOf('HCR_EL2'), immediate: 5 });
    expect(decodePv(0x8000)).toEqual({ kind: 'eret' });
    expect(decodePv(0xa0a0)).toEqual({ kind: 'tlbi', operation: 'ALLE1IS', encoding: packEncoding(1, 4, 8, 3, 4), rt: 31 });
    expect(decodePv(0xa023)).toEqual({ kind: 'tlbi', operation: 'IPAS2E1IS', encoding: packEncoding(1, 4, 8, 0, 1), rt: 3 });
    expect(decodePv(0xc123)).toEqual({ kind: 'hvc', immediate: 0x123 });
    expect(decodePv(0xe02e)).toEqual({ kind: 'debug', immediate: 0xe02e });
  });

  test('has no meaning for an index without a row, MRS to XZR, or payload where there is none', () => {
    for (const imm16 of [0x2000, 0x2000 | (2 << 5), 0x4000 | (127 << 5), 0x4000 | (255 << 5), 0x2ce0 | 31, 0x8001, 0xa000, 0xa000 | (200 << 5), 0xa0a0 | 3]) expect(decodePv(imm16)).toEqual({ kind: 'unknown', immediate: imm16 });
  });
});

test('every imm16 that decodes to an instruction is what that instruction is rewritten to', () => {
  for (let imm16 = 0; imm16 < 0x1_0000; imm16 += 1) {
    const operation = decodePv(imm16);
    let before: number | undefined;
    if (operation.kind === 'mrs' || operation.kind === 'msr') before = (operation.kind === 'mrs' ? 0xd520_0000 : 0xd500_0000) | (operation.encoding << 5) | operation.rt;
    else if (operation.kind === 'tlbi' || operation.kind === 'at') before = 0xd500_0000 | (operation.encoding << 5) | operation.rt;
    else if (operation.kind === 'eret') before = operation.key === undefined ? ERET : operation.key === 'IA' ? 0xd69f_0bff : 0xd69f_0fff;
    else if (operation.kind === 'psci') before = 0xd400_0003;
    else if (operation.kind === 'hvc') before = 0xd400_0002 | (operation.immediate << 5);
    if (before === undefined) continue;
    const results = FLAVOURS.map((flavour) => after(before >>> 0, flavour)).filter((word) => word !== undefined);
    // Some rows exist for decoding only: read-only registers written, and the indices that are never rewritten to.
    for (const word of results) expect(immediateOf(word)).toBe(imm16);
    if (results.length === 0) expect(['mrs', 'msr']).toContain(operation.kind);
  }
});

test('any instruction that is rewritten reads back as the same operation on the same register', () => {
  const system = fc.tuple(fc.boolean(), fc.constantFrom(...SYSTEM_REGISTERS), fc.integer({ min: 0, max: 31 })).map(([read, row, rt]) => (read ? mrs(rt, row.name) : msr(row.name, rt)));
  const operation = fc.tuple(fc.constantFrom(7, 8), fc.constantFrom(0, 4), fc.integer({ min: 0, max: 15 }), fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 31 })).map(([crn, op1, crm, op2, rt]) => sys(crn, op1, crm, op2, rt));
  const any = fc.integer({ min: 0, max: 0xffff_ffff });
  let rewritten = 0;
  fc.assert(fc.property(fc.oneof(system, operation, any), fc.constantFrom(...FLAVOURS), (before, flavour) => {
    const word = after(before, flavour);
    if (word === undefined) return;
    rewritten += 1;
    expect((word & 0xffe0_001f) >>> 0).toBe(0xd400_0002);
    const decoded = decodePv(immediateOf(word));
    if (decoded.kind === 'mrs' || decoded.kind === 'msr') expect([decoded.encoding, decoded.rt, decoded.kind]).toEqual([(before >>> 5) & 0xffff, before & 31, (before & 0x20_0000) === 0 ? 'msr' : 'mrs']);
    else if (decoded.kind === 'tlbi' || decoded.kind === 'at') expect(decoded.encoding).toBe((before >>> 5) & 0xffff);
    else if (decoded.kind === 'hvc') expect(decoded.immediate).toBe((before >>> 5) & 0xffff);
    else expect([0xd400_0003, ERET]).toContain(before);
  }), { numRuns: 20_000, seed: 20260905 });
  expect(rewritten).toBeGreaterThan(1000);
});

describe('the tables', () => {
  test('keep our indices clear of the published ones and within 8 bits', () => {
    const published = new Set(PUBLISHED_REGISTERS.map(([index]) => index));
    expect(published.size).toBe(PUBLISHED_REGISTERS.length);
    const ours = OUR_REGISTERS.map(([index]) => index);
    expect(new Set(ours).size).toBe(ours.length);
    for (const index of ours) {
      expect(index).toBeGreaterThanOrEqual(134);
      expect(index).toBeLessThanOrEqual(255);
    }
    const operations = [...PUBLISHED_OPERATIONS, ...OUR_OPERATIONS].map(([index]) => index);
    expect(new Set(operations).size).toBe(operations.length);
    expect(PUBLISHED_OPERATIONS.map(([index, name]) => `${index} ${name}`)).toEqual(['1 IPAS2E1IS', '2 VMALLE1IS', '3 VMALLS12E1IS', '4 ALLE2', '5 ALLE1IS', '6 VMALLE1']);
  });

  test('hold the published register indices', () => {
    const published: Readonly<Record<string, number>> = {
      MPIDR_EL1: 1, SCTLR_EL1: 3, CPACR_EL1: 5, TTBR0_EL1: 6, TTBR1_EL1: 7, TCR_EL1: 8, ESR_EL1: 9, AFSR0_EL1: 10, AFSR1_EL1: 11, FAR_EL1: 12, MAIR_EL1: 13, VBAR_EL1: 14, CONTEXTIDR_EL1: 15,
      TPIDR_EL1: 18, AMAIR_EL1: 19, CNTKCTL_EL1: 20, PAR_EL1: 21, MDSCR_EL1: 22, VPIDR_EL2: 99, VMPIDR_EL2: 100, SCTLR_EL2: 101, ACTLR_EL2: 102, HCR_EL2: 103, MDCR_EL2: 104, CPTR_EL2: 105, HSTR_EL2: 106,
      HACR_EL2: 107, TTBR0_EL2: 108, TTBR1_EL2: 109, TCR_EL2: 110, VTTBR_EL2: 111, VTCR_EL2: 112, ESR_EL2: 115, FAR_EL2: 116, HPFAR_EL2: 117, MAIR_EL2: 118, AMAIR_EL2: 119, VBAR_EL2: 120, TPIDR_EL2: 124,
      CNTVOFF_EL2: 125, CNTHCTL_EL2: 126, SP_EL1: 128, ELR_EL1: 129, SPSR_EL1: 130, SPSR_EL2: 131, ELR_EL2: 132, SP_EL2: 133,
    };
    expect(Object.fromEntries(PUBLISHED_REGISTERS.map(([number, name]) => [name, number]))).toEqual(published);
  });
});

test('every register of EL2 that some machine of ours has is rewritten, whatever the flavour', () => {
  const rows = IMPLEMENTED_REGISTERS.filter((row) => [4, 5].includes((row.encoding >> 11) & 7));
  expect(rows.length).toBeGreaterThan(100);
  for (const row of rows) for (const flavour of FLAVOURS) {
    if (row.access !== 'W') expect(after(mrs(1, row.name), flavour), `MRS X1, ${row.name}`).toBeDefined();
    if (row.access !== 'R') expect(after(msr(row.name, 1), flavour), `MSR ${row.name}, X1`).toBeDefined();
  }
});

describe('the flavour', () => {
  const CONTEXT = ['SCTLR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'TCR_EL1', 'ESR_EL1', 'AFSR0_EL1', 'AFSR1_EL1', 'FAR_EL1', 'MAIR_EL1', 'AMAIR_EL1', 'VBAR_EL1', 'CONTEXTIDR_EL1', 'CPACR_EL1', 'ELR_EL1', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'CNTV_TVAL_EL0', 'CNTP_CTL_EL0', 'CNTP_CVAL_EL0', 'CNTP_TVAL_EL0'];
  test.each(CONTEXT)('decides whose register %s is: the guest’s without VHE, L1’s own with it', (name) => {
    expect(after(mrs(0, name), 'nvhe')).toBeDefined();
    expect(after(msr(name, 0), 'nvhe')).toBeDefined();
    expect(paravirtualize(mrs(0, name), 'vhe')).toBeUndefined();
    expect(paravirtualize(msr(name, 0), 'vhe')).toBeUndefined();
  });

  test.each(['SP_EL1', 'SPSR_EL1', 'SCTLR_EL12', 'CNTKCTL_EL12', 'CNTV_CTL_EL02', 'SCTLR_EL2', 'ICH_LR15_EL2', 'ICC_SRE_EL2', 'CurrentEL'])('makes no difference to %s', (name) => {
    for (const flavour of FLAVOURS) expect(after(mrs(7, name), flavour)).toBeDefined();
  });

  test.each(['TPIDR_EL1', 'PAR_EL1', 'CNTKCTL_EL1', 'CSSELR_EL1', 'TPIDR_EL0', 'SP_EL0', 'MPIDR_EL1', 'MIDR_EL1', 'ID_AA64PFR0_EL1', 'ID_AA64MMFR2_EL1', 'CNTVCT_EL0', 'CNTFRQ_EL0', 'ICC_IAR1_EL1'])('leaves %s to the hardware', (name) => {
    for (const flavour of FLAVOURS) expect(paravirtualize(mrs(0, name), flavour)).toBeUndefined();
  });

  test.each<[string, number]>([['MSR SPSel, #1', 0xd500_41bf], ['MSR DAIFSet, #15', 0xd503_4fdf], ['MSR DAIFClr, #2', 0xd503_42ff], ['MSR PAN, #1', 0xd500_419f], ['ISB', 0xd503_3fdf], ['DSB SY', 0xd503_3f9f], ['WFI', 0xd503_207f], ['NOP', NOP], ['DC CVAC, X0', 0xd50b_7a20], ['IC IALLU', 0xd508_751f], ['SVC #0', 0xd400_0001], ['BRK #0', 0xd420_0000], ['RET', 0xd65f_03c0]])(
    'leaves %s to the hardware, word %i', (_, word) => {
      for (const flavour of FLAVOURS) expect(paravirtualize(word, flavour)).toBeUndefined();
    });
});

describe('what cannot be expressed stays and is listed', () => {
  test.each<[string, number, RegExp]>([
    ['MRS XZR, HCR_EL2', mrs(31, 'HCR_EL2'), /MRS to XZR/],
    ['MSR ICH_VTR_EL2, X0', msr('ICH_VTR_EL2', 0), /read-only/],
    ['HVC #0x2000', 0xd400_0002 | (0x2000 << 5), /13 bits/],
    ['SMC #0x1', 0xd400_0003 | (1 << 5), /PSCI by SMC #0 only/],
    ['MRS X0, S3_4_C11_C0_0', 0xd53c_b000, /no index for S3_4_C11_C0_0/], // IMPLEMENTATION DEFINED
    ['SYS S1_4_C8_C1_2', tlbi(4, 1, 2), /no index for this EL2 operation/], // unallocated
  ])('%s', (name, word, reason) => {
    const image = memory([NOP, word >>> 0, NOP]);
    const { rewritten, refused } = rewrite(image, [{ from: 0x4000_0000, to: 0x4000_000c }], 'nvhe');
    expect(rewritten).toEqual([]);
    expect(refused).toEqual([{ address: 0x4000_0004, before: word >>> 0, name, reason: expect.stringMatching(reason) }]);
    expect(image.written).toEqual([]);
  });

  test('MSR from XZR is expressed: it writes zero', () => {
    expect(decodePv(immediateOf(after(msr('HCR_EL2', 31))!))).toMatchObject({ kind: 'msr', register: 'HCR_EL2', rt: 31 });
  });
});

test('rewriting an image changes and lists the instructions in its code ranges, and nothing beside', () => {
  const hcr = mrs(3, 'HCR_EL2');
  const image = memory([hcr, NOP, hcr, ERET, hcr, hcr]);
  // The third word is data between the ranges; the second range begins and ends within a word.
  const { rewritten } = rewrite(image, [{ from: 0x4000_0000, to: 0x4000_0008 }, { from: 0x4000_000e, to: 0x4000_0016 }], 'vhe');
  expect(rewritten).toEqual([
    { address: 0x4000_0000, before: hcr, after: 0xd405_9c62, name: 'MRS X3, HCR_EL2' },
    { address: 0x4000_0010, before: hcr, after: 0xd405_9c62, name: 'MRS X3, HCR_EL2' },
  ]);
  expect(image.words).toEqual([0xd405_9c62, NOP, hcr, ERET, 0xd405_9c62, hcr]);
});

test('an ELF image keeps the words of its literal pools, whatever they look like', () => {
  const elf = smallElf();
  const image = readImage(elf, 'small.elf');
  const { bytes, address } = image.segments[0]!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(8, ERET, true); // in the pool
  const words: Words = { read: (at) => view.getUint32(at - address, true), write: (at, word) => view.setUint32(at - address, word, true) };
  const { rewritten } = rewrite(words, image.codeRanges, 'vhe');
  expect(rewritten.map((word) => `${word.address.toString(16)} ${word.name}`)).toEqual(['40080000 MRS X0, HCR_EL2', '40080004 ERET', '4008000c MRS X0, HCR_EL2']);
  expect(view.getUint32(8, true)).toBe(ERET);
});

test('SPSR_EL1 in the hardware tells an exception of virtual EL2 from a value for its guest', () => {
  const EL2H = 9n, EL2T = 8n, EL1H = 5n, EL1T = 4n, EL0T = 0n, FLAGS = 0x6000_03c0n;
  expect([EL2H, EL2T, EL1H, EL1T, EL0T].map((mode) => exchangeEl1AndEl2(FLAGS | mode))).toEqual([EL1H, EL1T, EL2H, EL2T, EL0T].map((mode) => FLAGS | mode));
  for (let mode = 0n; mode < 32n; mode += 1n) expect(exchangeEl1AndEl2(exchangeEl1AndEl2(mode))).toBe(mode);
  expect(exchangeEl1AndEl2(0b1_0101n)).toBe(0b1_0101n); // AArch32: not ours
});

test.skipIf(!existsSync(TRUTH))('whatever FEAT_NV traps at EL1 is rewritten (needs nv-truth.json)', () => {
  interface Outcome { readonly both?: string; readonly qemu?: string }
  const truth = JSON.parse(readFileSync(TRUTH, 'utf8')) as { registers: Record<string, { enc: [number, number, number, number, number]; R?: Outcome; W?: Outcome; op?: Outcome }> };
  let checked = 0;
  for (const [name, row] of Object.entries(truth.registers)) {
    const encoding = packEncoding(...row.enc);
    const known = name.includes('.') ? [...PUBLISHED_OPERATIONS, ...OUR_OPERATIONS].some((operation) => name.endsWith(`.${operation[1]}`)) : IMPLEMENTED_REGISTERS.some((register) => register.encoding === encoding);
    if (!known) continue; // of a feature that no machine here has: listed as refused
    for (const [direction, outcome] of [['R', row.R], ['W', row.W], ['W', row.op]] as const) {
      const columns = (outcome?.both ?? outcome?.qemu)?.split(' ');
      if (!columns) continue;
      // Columns: EL1 with none, NV, NV+NV1, NV+NV2, NV+NV1+NV2; each E2H=0 then 1.
      for (const [flavour, plain, nested] of [['vhe', 1, 3], ['nvhe', 0, 4]] as const) {
        if (columns[nested] !== 'T2:18' || columns[plain] === 'T2:18') continue;
        const access = SYSTEM_REGISTERS.find((register) => register.encoding === encoding)?.access ?? 'RW';
        if (direction === 'W' && access === 'R') continue; // UNDEFINED at EL2 too
        checked += 1;
        const word = ((direction === 'R' ? 0xd520_0000 : 0xd500_0000) | (encoding << 5) | 3) >>> 0;
        expect(after(word, flavour), `${flavour} ${direction} ${name}`).toBeDefined();
      }
    }
  }
  expect(checked).toBeGreaterThan(200);
});

test.skipIf(!existsSync(ENCODINGS))('every index stands for the encoding that LLVM has under that name (needs sysreg-encodings.json)', () => {
  interface Row { readonly name: string; readonly op0: number; readonly op1: number; readonly CRn: number; readonly CRm: number; readonly op2: number; readonly xt?: boolean }
  const known = JSON.parse(readFileSync(ENCODINGS, 'utf8')) as { sysregs: Row[]; sysops: Record<'tlbi' | 'at', Row[]> };
  for (const [index, name] of [...PUBLISHED_REGISTERS, ...OUR_REGISTERS]) {
    const row = known.sysregs.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
    expect(row, name).toBeDefined();
    expect(decodePv(0x4000 | (index << 5)), name).toEqual({ kind: 'msr', register: name, encoding: packEncoding(row!.op0, row!.op1, row!.CRn, row!.CRm, row!.op2), rt: 0 });
  }
  for (const [index, name, kind, , , , address] of [...PUBLISHED_OPERATIONS, ...OUR_OPERATIONS]) {
    const row = known.sysops[kind].find((candidate) => candidate.name === name);
    expect(row, name).toBeDefined();
    expect(decodePv(0xa000 | (index << 5)), name).toEqual({ kind, operation: name, encoding: packEncoding(1, row!.op1, row!.CRn, row!.CRm, row!.op2), rt: address ? 0 : 31 });
    if (kind === 'tlbi') expect(row!.xt, name).toBe(address);
  }
});
