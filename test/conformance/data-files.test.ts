/** Our register and trap rows against the architecture's tables as data (../shared/reference/data, beside the checkout; absent elsewhere, and then these tests skip by name). */

import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Features } from '../../machines/aarch64/board.ts';
import { fieldValue } from '../../machines/aarch64/fields.ts';
import { FEATURE_NAMES, hasFeature } from '../../machines/aarch64/registers/features.ts';
import { OPERATIONS } from '../../machines/aarch64/registers/operations.ts';
import { type Encoding, type Fields, fieldBits } from '../../machines/aarch64/registers/row.ts';
import { type Hardware, IMPLEMENTED_REGISTERS, SYSTEM_REGISTERS, packEncoding, registerByEncoding, registerByName, resetValue, sanitise } from '../../machines/aarch64/sysregs.ts';
import { TRAPS } from '../../machines/aarch64/traps.ts';

const DATA = new URL('../../../shared/reference/data/', import.meta.url);
const file = (name: string): URL => new URL(name, DATA);
const read = <T>(name: string): T => JSON.parse(readFileSync(file(name), 'utf8')) as T;
/** A test that needs one data file. */
const withFile = (name: string, claim: string, body: () => void): void => {
  if (existsSync(file(name))) test(claim, body);
  else test.skip(`${claim} (${name} is not beside the checkout)`, body);
};
const FULL: Features = { nv: 2, vhe: true, e2h: 'writable', fgt: true, ecv: true, hcx: true, pauth: 'qarma5', listRegisters: 16, paBits: 48 };
const HARDWARE: Hardware = { features: FULL, el2: 'guest', counterHz: 62_500_000 };

type Place = readonly [name: string, lsb: number | string, width?: number, ...rest: unknown[]];

withFile('sysreg-encodings.json', 'every named register and TLBI, AT, DC and IC has its encoding', () => {
  interface Entry { readonly name: string; readonly op0: number; readonly op1: number; readonly CRn: number; readonly CRm: number; readonly op2: number; readonly rw: string; readonly features?: readonly string[] }
  const data = read<{ sysregs: Entry[]; sysops: Record<string, Entry[]> }>('sysreg-encodings.json');
  const encodingOf = (entry: Entry, op0: number): number => packEncoding(op0, entry.op1, entry.CRn, entry.CRm, entry.op2);
  const wrong: string[] = [];
  const missing: string[] = [];
  for (const entry of data.sysregs) {
    const row = registerByName(entry.name);
    if (!row) missing.push(entry.name);
    else if (row.encoding !== encodingOf(entry, entry.op0) || (row.needs === undefined && row.access !== entry.rw)) wrong.push(entry.name);
  }
  // ETE's and PMSAv8-R's names for encodings that other names have; the two halves of DBGDTRRX and DBGDTRTX; registers written only with a condition.
  expect(missing).toEqual(['TRCEXTINSELR0', 'VSCTLR_EL2']);
  for (const entry of data.sysregs) if (missing.includes(entry.name)) expect(registerByEncoding(encodingOf(entry, entry.op0))).toBeDefined();
  expect(wrong).toEqual(['DBGDTRRX_EL0']);

  const operations = Object.entries(data.sysops).flatMap(([kind, entries]) => entries.map((entry) => [`${kind.toUpperCase()} ${entry.name}`, encodingOf(entry, 1)] as const));
  const byName = new Map<string, number>(operations);
  // The table has no list of FEAT_SPECRES's.
  expect(OPERATIONS.filter((row) => !row.name.endsWith('RCTX') && byName.get(row.name) !== row.encoding).map((row) => row.name)).toEqual([]);
  // What we leave out belongs to EL3, or to features that are absent: the encoding is UNDEFINED.
  const ours = new Set(OPERATIONS.map((row) => row.name));
  const left = operations.map(([name]) => name).filter((name) => !ours.has(name));
  expect(left.filter((name) => !/nXS$|E3|^TLBI (PA|RPA)|VMALLWS2|^AT S1E[12]A$|^DC .*(G|PAE)/.test(name))).toEqual([]);
  console.log(`encodings: ${data.sysregs.length - missing.length} registers, ${ours.size} instructions agree; ${left.length} instructions of absent features have no row`);
});

withFile('vncr-offsets.json', 'the VNCR page has the registers of Table D8-120 at their offsets', () => {
  const data = read<{ registers: Record<string, { nv1_0: string; nv1_1: string }> }>('vncr-offsets.json');
  const expected = new Map<string, string>();
  for (const [offset, { nv1_0, nv1_1 }] of Object.entries(data.registers)) {
    expected.set(nv1_0, `${Number(offset)} ${nv1_0 === nv1_1 ? 'always' : 'NV1=0'}`);
    if (nv1_0 !== nv1_1) expected.set(nv1_1, `${Number(offset)} NV1=1`);
  }
  const ours = IMPLEMENTED_REGISTERS.filter((row) => row.vncr !== undefined);
  for (const row of ours) expect(`${row.name} ${row.vncr} ${row.vncrNv1 === undefined ? 'always' : `NV1=${row.vncrNv1}`}`).toBe(`${row.name} ${expected.get(row.name)}`);
  const implemented = new Set(IMPLEMENTED_REGISTERS.map((row) => row.name));
  expect([...expected.keys()].filter((name) => implemented.has(name) && registerByName(name)!.vncr === undefined)).toEqual([]);
  console.log(`VNCR: ${ours.length} of ${expected.size} registers of the table have rows`);
});

/** The name under which the tables have a register of ours: numbered registers have one entry. */
const family = (name: string): string => name.replace(/^(DBG[BW][CV]R)\d+_/, '$1_').replace(/^(ICH_LR|IC[CH]_AP[01]R)\d+_/, '$1_');
/** Fields that a table has under another name, or cannot have: layouts that depend on E2H are merged in the tables. */
const RENAMED: Readonly<Record<string, string>> = {
  'SPSR_EL1.SSBS': 'AArch64 only; the table has the AArch32 view', 'SPSR_EL2.SSBS': 'AArch64 only; the table has the AArch32 view',
  'SPSR_EL1.M': 'split in the table', 'SPSR_EL2.M': 'split in the table', 'FPCR.Len': 'length in the table',
  'CCSIDR_EL1.NumSets': 'the table has the FEAT_CCIDX format', 'CCSIDR_EL1.Associativity': 'the table has the FEAT_CCIDX format',
};

/** Fields that the Armv9.4 model lacks: those of ID_AA64MMFR4_EL1, and the second layout of a register with two. */
const NEWER_OR_TWO_LAYOUTS = [
  'ID_AA64ISAR2_EL1.ATS1A', 'ID_AA64ISAR2_EL1.LUT',
  ...['SRMASK', 'E3DSE', 'RMEGDI', 'E2H0', 'NV_frac', 'FGWTE3', 'HACDBS', 'ASID2', 'PoPS'].map((field) => `ID_AA64MMFR4_EL1.${field}`),
  'CPTR_EL2.TTA', 'TTBR1_EL2.BADDR', 'TCR_EL2.HD', 'TCR_EL2.HA', 'TCR_EL2.DS', 'CNTHCTL_EL2.EL1PCTEN',
];

function compareFields(source: string, unknownToIt: readonly string[], registers: Readonly<Record<string, { readonly fields?: readonly Place[] }>>): void {
  let compared = 0;
  const unknown: string[] = [];
  const wrong: string[] = [];
  for (const row of IMPLEMENTED_REGISTERS) {
    const theirs = registers[family(row.name)]?.fields;
    if (!theirs || theirs.length === 0) continue;
    for (const fields of [row.fields, row.fieldsE2h]) {
      for (const [name, place] of Object.entries(fields ?? {})) {
        const candidates = theirs.filter(([theirName]) => theirName.toLowerCase() === name.toLowerCase());
        if (RENAMED[`${row.name}.${name}`] !== undefined) continue;
        if (candidates.length === 0) unknown.push(`${row.name}.${name}`);
        else {
          compared++;
          const [lsb, width] = typeof place === 'number' ? [place, 1] : place;
          if (!candidates.some((candidate) => candidate[1] === lsb && (candidate[2] ?? 1) === width)) wrong.push(`${row.name}.${name}: ${lsb}+${width}, ${source} has ${candidates.map((candidate) => `${candidate[1]}+${candidate[2]}`).join()}`);
        }
      }
    }
  }
  console.log(`${source}: ${compared} fields agree`);
  expect([...new Set(unknown)]).toEqual(unknownToIt);
  expect(wrong).toEqual([]);
}

withFile('sysreg-fields-v9.4.json', 'every field stands where the Armv9.4 model has it', () => compareFields('v9.4', NEWER_OR_TWO_LAYOUTS, read<{ registers: Record<string, { fields?: Place[] }> }>('sysreg-fields-v9.4.json').registers));
withFile('linux-sysreg.json', 'every field stands where Linux has it', () => {
  const data = read<{ fieldSets: Record<string, { fields: Place[] }>; sysregs: Record<string, { use?: string; fields?: Place[] }> }>('linux-sysreg.json');
  compareFields('Linux', ['ID_AA64ISAR0_EL1.TME', 'HCR_EL2.MIOCNCE'], Object.fromEntries(Object.entries(data.sysregs).map(([name, entry]) => [name, entry.use ? data.fieldSets[entry.use]! : entry])));
});

withFile('linux-sysreg.json', 'bits that Linux knows as RES0 or RES1 cannot be written otherwise', () => {
  type Range = readonly [number, number];
  const data = read<{ sysregs: Record<string, { res0?: Range[]; res1?: Range[] }> }>('linux-sysreg.json');
  const cover = (ranges: readonly Range[] = []): bigint => ranges.reduce((bits, [lsb, width]) => bits | (((1n << BigInt(width)) - 1n) << BigInt(lsb)), 0n);
  // ICH_VMCR_EL2 is left out: Linux describes its GICv5 view.
  let registers = 0;
  const wrong: string[] = [];
  for (const row of IMPLEMENTED_REGISTERS) {
    const facts = data.sysregs[row.name];
    if (!facts || row.name === 'ICH_VMCR_EL2' || row.access !== 'RW' || row.alias !== undefined || (row.needs !== undefined && !hasFeature(HARDWARE, row.needs))) continue;
    registers++;
    for (const e2h of [false, true]) {
      const ones = sanitise(row, HARDWARE, e2h, (1n << 64n) - 1n) & cover(facts.res0);
      const zeros = ~sanitise(row, HARDWARE, e2h, 0n) & cover(facts.res1);
      if (ones !== 0n || zeros !== 0n) wrong.push(`${row.name} E2H=${Number(e2h)}: RES0 written ${ones.toString(16)}, RES1 cleared ${zeros.toString(16)}`);
    }
  }
  console.log(`RES0 and RES1: ${registers} registers`);
  expect(wrong).toEqual([]);
});

withFile('reset-v8.5.json', 'bits with an architected reset value have it', () => {
  const rows = read<{ rows: { reg: string; lsb: number; width: number; value: number }[] }>('reset-v8.5.json').rows;
  /** Later rows override earlier ones. */
  const facts = new Map<string, Map<number, number>>();
  for (const { reg, lsb, width, value } of rows) {
    const bits = facts.get(reg) ?? new Map<number, number>();
    facts.set(reg, bits);
    // Several RES1 bits together are recorded as 1.
    for (let bit = 0; bit < width; bit++) bits.set(lsb + bit, value);
  }
  /** Bits of which the table says something else than our machine, and why. */
  const settled: Readonly<Record<string, string>> = {
    'ID_AA64ISAR1_EL1 44,52': 'BF16 and I8MM are newer than Armv8.5',
    'ID_AA64MMFR0_EL1 56,61': 'FGT and ECV are newer than Armv8.5',
    'CPTR_EL2 12,13,9,0,1,2,3,4,5,6,7,8': 'the table ends with the layout of E2H = 1',
    'ICC_SRE_EL2 2,1,0': 'SRE is RAO/WI',
  };
  let compared = 0;
  const wrong: string[] = [];
  for (const row of IMPLEMENTED_REGISTERS) {
    if (row.alias !== undefined) continue;
    const value = resetValue(row, HARDWARE, 0);
    const bits = [...(facts.get(row.name) ?? [])].filter(([bit, expected]) => Number((value >> BigInt(bit)) & 1n) !== expected).map(([bit]) => bit);
    compared += facts.get(row.name)?.size ?? 0;
    if (bits.length > 0) wrong.push(`${row.name} ${bits.join()}`);
  }
  console.log(`reset: ${compared} bits compared`);
  expect(wrong).toEqual(Object.keys(settled));
});

withFile('features-2025-03.json', 'the ID registers say of each feature what the rows assume', () => {
  const parameters = read<{ parameters: { name: string; constraints: string[] }[] }>('features-2025-03.json').parameters;
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter.constraints]));
  const unknown: string[] = [];
  let compared = 0;
  const machines: Hardware[] = [HARDWARE, { ...HARDWARE, el2: 'none' }, { ...HARDWARE, features: { ...FULL, nv: 1, e2h: 'res1' } }, { ...HARDWARE, features: { ...FULL, nv: 0, vhe: false, e2h: 'res0', fgt: false, ecv: false, hcx: false } }];
  for (const feature of FEATURE_NAMES) {
    const rule = byName.get(feature)?.map((constraint) => new RegExp(`^\\(FEAT_AA64EL1 --> \\(${feature} <-> (.*)\\)\\)$`).exec(constraint)?.[1]).find((expression) => expression !== undefined);
    if (rule === undefined || /AArch32|\|\| FEAT|&& FEAT/.test(rule)) {
      unknown.push(feature);
      continue;
    }
    for (const hardware of machines) {
      const expression = rule.replaceAll(/([US])Int\((\w+)\.(\w+)\)/g, (_, sign: string, register: string, field: string) => {
        const row = registerByName(register)!;
        const value = row.fields?.[field] === undefined ? 0 : Number(fieldValue(`${register}.${field}`, resetValue(row, hardware, 0)));
        return String(sign === 'S' && value > 7 ? value - 16 : value);
      });
      compared++;
      expect(`${feature} ${expression}: ${evaluate(expression)}`).toBe(`${feature} ${expression}: ${hasFeature(hardware, feature)}`);
    }
  }
  console.log(`features: ${compared} comparisons; no rule over an ID register for ${unknown.join(', ')}`);
});

/** `(1 >= 2) || (0 == 0)` and the like. */
function evaluate(text: string): boolean {
  const tokens = text.match(/\d+|-\d+|>=|<=|==|<|>|&&|\|\||[()!]/g) ?? [];
  let at = 0;
  const any = (): boolean => { let value = all(); while (tokens[at] === '||') { at++; value = all() || value; } return value; };
  const all = (): boolean => { let value = one(); while (tokens[at] === '&&') { at++; value = one() && value; } return value; };
  const one = (): boolean => {
    if (tokens[at] === '!') { at++; return !one(); }
    if (tokens[at] === '(') { at++; const value = any(); at++; return value; }
    const left = Number(tokens[at++]);
    const operator = tokens[at++];
    const right = Number(tokens[at++]);
    return operator === '>=' ? left >= right : operator === '<=' ? left <= right : operator === '==' ? left === right : operator === '<' ? left < right : left > right;
  };
  return any();
}

/** Linux's spelling of a name as ours. */
function ourName(name: string, encoding: Encoding): string {
  const operation = /^(TLBI|AT|DC|IC|CFP|DVP|CPP)_(.*)$/.exec(name);
  if (operation) return OPERATIONS.find((row) => row.encoding === packEncoding(...encoding))?.name ?? name;
  return registerByEncoding(packEncoding(...encoding))?.name ?? name;
}

withFile('fgt-and-coarse-traps.json', 'every fine-grained trap bit traps what Linux forwards by it', () => {
  const data = read<{ fgt: { name: string; enc: Encoding | null; fgt: string; bit: number; trapWhen: number }[] }>('fgt-and-coarse-traps.json');
  const ours = new Map<string, string>();
  for (const row of TRAPS) if (row.kind === 'fine') for (const name of row.names) ours.set(`${name} ${row.direction}`, row.control);
  const implemented = new Set([...IMPLEMENTED_REGISTERS.filter((row) => row.needs === undefined || hasFeature(HARDWARE, row.needs)).map((row) => row.name), ...OPERATIONS.filter((row) => row.needs === undefined || hasFeature(HARDWARE, row.needs)).map((row) => row.name)]);
  let compared = 0;
  let absent = 0;
  const seen = new Set<string>();
  for (const fact of data.fgt) {
    if (!fact.enc) { absent++; continue; }
    const name = ourName(fact.name, fact.enc);
    const twin = fact.fgt.replace('GRTR', 'GWTR');
    const place = ours.get(`${name} read`) ?? ours.get(`${name} write`);
    if (place === undefined) {
      absent++;
      // No row: the register must be UNDEFINED.
      expect(`${name} ${implemented.has(name)}`).toBe(`${name} false`);
      continue;
    }
    compared++;
    expect(fact.trapWhen).toBe(1);
    if (fact.fgt.includes('GRTR')) {
      seen.add(`${name} read`);
      expect(`${name} ${ours.get(`${name} read`)}`).toBe(`${name} ${fact.fgt}[${fact.bit}]`);
    }
    seen.add(`${name} write`);
    expect(`${name} ${ours.get(`${name} write`)}`).toBe(`${name} ${fact.fgt.includes('HFGITR') ? fact.fgt : twin}[${fact.bit}]`);
  }
  console.log(`fine-grained traps: ${compared} rows agree, ${absent} belong to registers that are UNDEFINED here or have no name`);
  expect([...ours.keys()].filter((key) => !seen.has(key))).toEqual([]);
});

/** Traps that Linux's rows express otherwise: ranges (TID3, TTA), groups by TDE, and the debug channel. */
const BEYOND_LINUX = /^(HCR_EL2.TID3|CPTR_EL2.TTA|MDCR_EL2.TDCC) /;

/** Linux's group as our control. */
const controlOf = (group: string): string => {
  const [, register, bit] = /^CGT_(ICH_HCR|HCRX|HCR|MDCR|CPTR|CNTHCTL)_(.*)$/.exec(group)!;
  return `${register}_EL2.${bit === 'TPC' ? 'TPCP' : bit}`;
};

withFile('fgt-and-coarse-traps.json', 'every coarse trap bit traps what Linux forwards by it', () => {
  type Row = { readonly group: string; readonly name?: string; readonly enc?: Encoding };
  const data = read<{ coarseGroups: Record<string, { reg: string; value: string; forward: string }>; coarseCombos: Record<string, string[]>; coarse: Row[] }>('fgt-and-coarse-traps.json');
  const controls = new Map<string, Set<string>>();
  for (const row of TRAPS) if (row.kind === 'EL2') for (const name of row.names) controls.set(name, (controls.get(name) ?? new Set()).add(row.control));
  const expand = (group: string): string[] => group === 'CGT_HCR_TPC' ? [group] : (data.coarseCombos[group] ?? [group]).flatMap((part) => (part === group ? [part] : expand(part)));
  /** Controls of NV are access.ts's own steps; those of features we lack never get that far; TDE acts through the rows of TDA, TDOSA and TDRA. */
  const elsewhere = /_HCR_NV|_ENSCXT|_nFIEN|_HCRX_|E2PB|E2TB|TPMS|TTRF|MDCR_TDE|HPMN|TDCC/;
  /** The debug channel's row is named TDCC and tests TDA as well. */
  const CHANNEL = /^(DBGDTR|MDCC|OSDT)/;
  const theirs = new Set<string>();
  let compared = 0;
  let skipped = 0;
  const wrong: string[] = [];
  for (const row of data.coarse) {
    if (!row.enc) { skipped++; continue; }
    const name = ourName(row.name!, row.enc);
    if (!registerByEncoding(packEncoding(...row.enc)) && !OPERATIONS.some((operation) => operation.name === name)) { skipped++; continue; }
    for (const group of expand(row.group)) {
      if (elsewhere.test(group)) { skipped++; continue; }
      compared++;
      const ours = controls.get(name) ?? new Set();
      const control = controlOf(group);
      theirs.add(`${control} ${name}`);
      if (!ours.has(control) && !CHANNEL.test(name)) wrong.push(`${name}: Linux forwards by ${control}, we have ${[...ours].join() || 'nothing'}`);
    }
  }
  console.log(`coarse traps: ${compared} agree, ${skipped} are ranges, NV's own, or of absent features`);
  expect(wrong).toEqual([]);
  const extra = [...controls].flatMap(([name, set]) => [...set].map((control) => `${control} ${name}`)).filter((pair) => !theirs.has(pair));
  expect(extra.filter((pair) => !BEYOND_LINUX.test(pair))).toEqual([]);
});

const overlaps = (fields: Fields): boolean => {
  let seen = 0n;
  for (const name of Object.keys(fields)) {
    const bits = fieldBits(fields, [name]);
    if ((seen & bits) !== 0n) return true;
    seen |= bits;
  }
  return false;
};

test('fields of one layout do not overlap', () => {
  expect(SYSTEM_REGISTERS.filter((row) => overlaps(row.fields ?? {}) || overlaps(row.fieldsE2h ?? {})).map((row) => row.name)).toEqual([]);
});
