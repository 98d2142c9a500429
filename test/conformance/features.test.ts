/** The features that the ID registers claim are closed under the architecture's own implications (../shared/reference/data, beside the checkout; absent elsewhere, and then this is skipped by name). */

import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Features } from '../../machines/aarch64/board.ts';
import { ROWS } from '../../machines/aarch64/a64.ts';
import { fieldValue } from '../../machines/aarch64/fields.ts';
import { hasFeature } from '../../machines/aarch64/registers/features.ts';
import { OPERATIONS } from '../../machines/aarch64/registers/operations.ts';
import { type Hardware, registerByName, resetValue } from '../../machines/aarch64/sysregs.ts';

const FILE = new URL('../../../shared/reference/data/features-2025-03.json', import.meta.url);
interface Data { readonly constraints: readonly string[]; readonly parameters: readonly { readonly name: string; readonly constraints: readonly string[] }[] }

const FULL: Features = { nv: 2, vhe: true, e2h: 'writable', fgt: true, ecv: true, hcx: true, pauth: 'qarma5', listRegisters: 16, paBits: 48 };
const machine = (features: Partial<Features> = {}): Hardware => ({ features: { ...FULL, ...features }, el2: 'guest', counterHz: 62_500_000 });

/** What holds of an Armv8.6-A core of AArch64 with EL0 to EL2 and that no ID register says. */
const GIVEN = new Set([
  ...Array.from({ length: 7 }, (_, minor) => `v8Ap${minor}`), 'FEAT_EL0', 'FEAT_EL1', 'FEAT_EL2', 'FEAT_AA64', 'FEAT_AA64EL0', 'FEAT_AA64EL1', 'FEAT_AA64EL2', 'FEAT_ASMv8p2', 'FEAT_RASSAv1p1',
]);

/** Implications that the machine breaks, by the feature that it lacks, and why. `until`: a feature with which it has to hold. */
const EXCEPTIONS: readonly { readonly lacks: string; readonly until?: string; readonly why: string }[] = [
  { lacks: 'FEAT_I8MM', until: 'FEAT_AdvSIMD', why: 'its instructions are Advanced SIMD\'s, which the processor says it has not' },
];

// Expressions as text: --> binds least, then <->, ||, &&; atoms are features, comparisons of fields, and negations.
interface Fields { (register: string, field: string): bigint | undefined }
type Value = boolean | undefined;

/** `undefined` where an expression asks an AArch32 or external register. */
function evaluate(text: string, has: (feature: string) => boolean, field: Fields): Value {
  const tokens = text.match(/-->|<->|&&|\|\||>=|<=|==|[()<>!{},]|'[01]+'|[\w.-]*\w/g) ?? [];
  let at = 0;
  const take = (token: string): boolean => { if (tokens[at] !== token) return false; at++; return true; };
  const not = (value: Value): Value => (value === undefined ? undefined : !value);
  const either = (one: Value, other: Value): Value => (one === true || other === true ? true : one === undefined || other === undefined ? undefined : false);
  const both = (one: Value, other: Value): Value => not(either(not(one), not(other)));
  const implication = (): Value => {
    const left = equivalence();
    return take('-->') ? either(not(left), implication()) : left;
  };
  const equivalence = (): Value => {
    const left = any();
    if (!take('<->')) return left;
    const right = any();
    return left === undefined || right === undefined ? undefined : left === right;
  };
  const any = (): Value => { let value = all(); while (take('||')) value = either(value, all()); return value; };
  const all = (): Value => { let value = one(); while (take('&&')) value = both(value, one()); return value; };
  const one = (): Value => {
    if (take('!')) return not(one());
    if (take('(')) { const value = implication(); expect(take(')'), text).toBe(true); return value; }
    const name = tokens[at++]!;
    if (name === 'UInt' || name === 'SInt') return compare(name);
    if (tokens[at] === 'IN') return member(name);
    return name === 'true' || has(name);
  };
  const number = (path: string, signed: boolean): bigint | undefined => {
    const dot = path.lastIndexOf('.');
    const value = field(path.slice(0, dot), path.slice(dot + 1));
    return value !== undefined && signed && value > 7n ? value - 16n : value;
  };
  const compare = (kind: string): Value => {
    at++;
    const left = number(tokens[at]!, kind === 'SInt');
    at += 2;
    const operator = tokens[at++];
    const right = BigInt(tokens[at++]!);
    if (left === undefined) return undefined;
    return operator === '>=' ? left >= right : operator === '==' ? left === right : operator === '<' ? left < right : operator === '<=' ? left <= right : left > right;
  };
  const member = (path: string): Value => {
    const value = number(path, false);
    let found = false;
    for (at += 2; tokens[at - 1] !== '}'; at += 2) found ||= value === BigInt(`0b${tokens[at]!.slice(1, -1)}`);
    return value === undefined ? undefined : found;
  };
  const value = implication();
  expect(at, text).toBe(tokens.length);
  return value;
}

const fieldsOf = (hardware: Hardware): Fields => (register, field) => {
  const row = registerByName(register);
  if (row === undefined || !/^(ID_AA64|CTR_EL0)/.test(register)) return undefined;
  return row.fields?.[field] === undefined ? 0n : fieldValue(`${register}.${field}`, resetValue(row, hardware, 0));
};

/** Features as the ID registers say them: by the rule that ties each to a field, or given. */
function claims(data: Data, hardware: Hardware): (feature: string) => boolean {
  const rules = new Map(data.parameters.flatMap(({ name, constraints }) => {
    const expressions = constraints.flatMap((constraint) => new RegExp(`^\\((?:FEAT_AA64EL[01]|\\((?:FEAT_AA64EL1 && FEAT_AA64EL2|FEAT_VHE && FEAT_AA64EL1)\\)) --> \\(${name} (?:<->|-->) (.*)\\)\\)$`).exec(constraint)?.[1] ?? []).filter((expression) => /ID_AA64|CTR_EL0/.test(expression));
    return expressions.length === 0 ? [] : [[name, expressions[0]!] as const];
  }));
  // Of pointer authentication the registers say by what.
  rules.set('FEAT_PAuth', 'FEAT_PACQARMA5 || FEAT_PACIMP');
  // The ciphers together, which no field names.
  rules.set('FEAT_Crypto', 'FEAT_AES || FEAT_SHA1');
  const known = new Map<string, boolean>();
  const has = (feature: string): boolean => {
    const already = known.get(feature);
    if (already !== undefined) return already;
    known.set(feature, GIVEN.has(feature));
    const rule = rules.get(feature);
    if (rule !== undefined && !GIVEN.has(feature)) known.set(feature, evaluate(rule, has, fieldsOf(hardware)) === true);
    return known.get(feature)!;
  };
  return has;
}

const name = 'the features of the ID registers are closed under the implications of Armv8.6-A with FEAT_HCX and FEAT_WFxT';
const body = (): void => {
  const data = JSON.parse(readFileSync(FILE, 'utf8')) as Data;
  for (const hardware of [machine(), machine({ pauth: 'fast' }), machine({ e2h: 'res1', nv: 0 }), machine({ nv: 1 })]) {
    const has = claims(data, hardware);
    const field = fieldsOf(hardware);
    const broken: string[] = [];
    const used = new Set<string>();
    let held = 0, elsewhere = 0;
    for (const constraint of new Set([...data.constraints, ...data.parameters.flatMap(({ constraints }) => constraints)])) {
      const value = evaluate(constraint, has, field);
      if (value === undefined) elsewhere++;
      else if (value) held++;
      else {
        const exception = EXCEPTIONS.find(({ lacks, until }) => new RegExp(`\\b${lacks}\\b`).test(constraint) && !has(lacks) && (until === undefined || !has(until)));
        if (exception === undefined) broken.push(constraint);
        else used.add(exception.lacks);
      }
    }
    const claimed = data.parameters.map((parameter) => parameter.name).filter((feature) => has(feature));
    console.log(`features: ${claimed.length} claimed; ${held} implications hold, ${elsewhere} ask AArch32 or external registers; ${claimed.join(' ')}`);
    expect(broken).toEqual([]);
    expect(EXCEPTIONS.filter(({ lacks, until }) => !used.has(lacks) && (until === undefined || !has(until))).map(({ lacks }) => lacks)).toEqual([]);
    expect(['FEAT_HCX', 'FEAT_WFxT', 'FEAT_FGT', 'FEAT_PAuth2', 'FEAT_HAFDBS', 'FEAT_BTI'].filter((feature) => !has(feature))).toEqual([]);
    // Holes, and what is newer.
    expect(['FEAT_SVE', 'FEAT_SME', 'FEAT_MTE', 'FEAT_TME', 'FEAT_LS64', 'FEAT_XS', 'FEAT_MOPS', 'FEAT_S1PIE', 'FEAT_FPAC', 'FEAT_EL3'].filter((feature) => has(feature))).toEqual([]);
  }
};
/** What a feature brings, by its rows: of instructions by name, of system registers and instructions likewise. A register of an absent feature has a row with `needs`. */
const BROUGHT: Readonly<Record<string, readonly string[]>> = {
  FEAT_CRC32: ['CRC32B', 'CRC32CX'], FEAT_LSE: ['LDADD', 'SWP', 'CAS', 'CASP'], FEAT_LRCPC: ['LDAPR'], FEAT_LRCPC2: ['LDAPUR', 'STLUR'], FEAT_FlagM: ['CFINV', 'RMIF', 'SETF8'], FEAT_FlagM2: ['AXFLAG', 'XAFLAG'],
  FEAT_SB: ['SB'], FEAT_PAuth: ['PACIA', 'AUTDB', 'XPACLRI', 'RETAA', 'ERETAB', 'LDRAA (offset)', 'PACGA', 'APGAKeyHi_EL1'], FEAT_BTI: ['BTI'], FEAT_WFxT: ['WFET', 'WFIT'], FEAT_RAS: ['ESB', 'ERRIDR_EL1', 'DISR_EL1'],
  FEAT_DPB: ['DC CVAP'], FEAT_DPB2: ['DC CVADP'], FEAT_SPECRES: ['CFP RCTX', 'DVP RCTX', 'CPP RCTX'], FEAT_TLBIOS: ['TLBI VAE1OS', 'TLBI ALLE2OS'], FEAT_TLBIRANGE: ['TLBI RVAE1', 'TLBI RIPAS2E1IS', 'TLBI RVALE2OS'],
  FEAT_PAN: ['PAN', 'MSR (immediate) PAN'], FEAT_PAN2: ['AT S1E1RP'], FEAT_UAO: ['UAO'], FEAT_DIT: ['DIT', 'MSR (immediate) DIT'], FEAT_SSBS2: ['SSBS'], FEAT_VHE: ['SCTLR_EL12', 'TTBR1_EL2', 'CNTHV_CTL_EL2'],
  FEAT_NV2: ['VNCR_EL2'], FEAT_FGT: ['HFGRTR_EL2'], FEAT_HCX: ['HCRX_EL2'], FEAT_ECV: ['CNTPOFF_EL2', 'CNTVCTSS_EL0'], FEAT_LOR: ['LORID_EL1'],
  FEAT_SVE: ['ZCR_EL1'], FEAT_MTE: ['GCR_EL1'], FEAT_SME: ['SMCR_EL1'], FEAT_MPAM: ['MPAM1_EL1'], FEAT_RNG: ['RNDR'], FEAT_S1PIE: ['PIR_EL1'], FEAT_TCR2: ['TCR2_EL1'], FEAT_CSV2_2: ['SCXTNUM_EL1'], FEAT_LS64: ['ACCDATA_EL1'],
};

/** Whether a machine has the row: its feature is there, and it is no hole. */
function isThere(name: string, hardware: Hardware): boolean {
  const row = registerByName(name) ?? OPERATIONS.find((operation) => operation.name === name);
  return row === undefined ? ROWS.some((instruction) => instruction.name === name && instruction.hole === undefined) : row.needs === undefined || hasFeature(hardware, row.needs);
}

/** Features that an ID register's rule in the data says; here those of the base, by the register and field that say so. */
const SAID: Readonly<Record<string, readonly [register: string, field: string, least: bigint]>> = {
  FEAT_CRC32: ['ID_AA64ISAR0_EL1', 'CRC32', 1n], FEAT_LSE: ['ID_AA64ISAR0_EL1', 'Atomic', 2n], FEAT_LRCPC: ['ID_AA64ISAR1_EL1', 'LRCPC', 1n], FEAT_LRCPC2: ['ID_AA64ISAR1_EL1', 'LRCPC', 2n], FEAT_FlagM: ['ID_AA64ISAR0_EL1', 'TS', 1n],
  FEAT_FlagM2: ['ID_AA64ISAR0_EL1', 'TS', 2n], FEAT_SB: ['ID_AA64ISAR1_EL1', 'SB', 1n], FEAT_BTI: ['ID_AA64PFR1_EL1', 'BT', 1n], FEAT_WFxT: ['ID_AA64ISAR2_EL1', 'WFxT', 2n], FEAT_RAS: ['ID_AA64PFR0_EL1', 'RAS', 1n],
  FEAT_DPB: ['ID_AA64ISAR1_EL1', 'DPB', 1n], FEAT_DPB2: ['ID_AA64ISAR1_EL1', 'DPB', 2n], FEAT_SPECRES: ['ID_AA64ISAR1_EL1', 'SPECRES', 1n], FEAT_TLBIOS: ['ID_AA64ISAR0_EL1', 'TLB', 1n], FEAT_TLBIRANGE: ['ID_AA64ISAR0_EL1', 'TLB', 2n],
  FEAT_PAN: ['ID_AA64MMFR1_EL1', 'PAN', 1n], FEAT_PAN2: ['ID_AA64MMFR1_EL1', 'PAN', 2n], FEAT_UAO: ['ID_AA64MMFR2_EL1', 'UAO', 1n], FEAT_DIT: ['ID_AA64PFR0_EL1', 'DIT', 1n], FEAT_SSBS2: ['ID_AA64PFR1_EL1', 'SSBS', 2n],
  FEAT_VHE: ['ID_AA64MMFR1_EL1', 'VH', 1n], FEAT_NV2: ['ID_AA64MMFR2_EL1', 'NV', 2n], FEAT_FGT: ['ID_AA64MMFR0_EL1', 'FGT', 1n], FEAT_HCX: ['ID_AA64MMFR1_EL1', 'HCX', 1n], FEAT_ECV: ['ID_AA64MMFR0_EL1', 'ECV', 1n],
  FEAT_LOR: ['ID_AA64MMFR1_EL1', 'LO', 1n], FEAT_SVE: ['ID_AA64PFR0_EL1', 'SVE', 1n], FEAT_MTE: ['ID_AA64PFR1_EL1', 'MTE', 1n], FEAT_SME: ['ID_AA64PFR1_EL1', 'SME', 1n], FEAT_MPAM: ['ID_AA64PFR0_EL1', 'MPAM', 1n],
  FEAT_RNG: ['ID_AA64ISAR0_EL1', 'RNDR', 1n], FEAT_CSV2_2: ['ID_AA64PFR0_EL1', 'CSV2', 2n], FEAT_LS64: ['ID_AA64ISAR1_EL1', 'LS64', 1n],
};

test('an ID register claims a feature exactly where the rows that it brings are there', () => {
  const bare = { nv: 0, vhe: false, e2h: 'res0', fgt: false, ecv: false, hcx: false, pauth: 'none' } as const;
  for (const hardware of [machine(), machine({ pauth: 'fast' }), machine({ nv: 1, e2h: 'res1' }), machine(bare), { ...machine(bare), el2: 'none' } satisfies Hardware]) {
    for (const [feature, names] of Object.entries(BROUGHT)) {
      const said = SAID[feature];
      const value = (register: string, field: string): bigint => fieldsOf(hardware)(register, field)!;
      const claimed = said !== undefined ? value(said[0], said[1]) >= said[2] : feature === 'FEAT_PAuth' && value('ID_AA64ISAR1_EL1', 'APA') + value('ID_AA64ISAR1_EL1', 'API') > 0n;
      // Instructions without the feature are UNDEFINED, or do nothing, by what they do and not by having no row.
      const rows = feature === 'FEAT_PAuth' ? names.filter((name) => name.endsWith('_EL1')) : names.filter((name) => hardware.el2 !== 'none' || !/EL2/.test(name));
      for (const name of rows) expect(`${feature}: ${name} ${isThere(name, hardware)}`).toBe(`${feature}: ${name} ${claimed}`);
    }
    for (const name of BROUGHT['FEAT_PAuth']!) if (!name.endsWith('_EL1')) expect(`${name} ${isThere(name, hardware)}`).toBe(`${name} true`);
  }
});

if (existsSync(FILE)) test(name, body);
else test.skip(`${name} (features-2025-03.json is not beside the checkout)`, body);
