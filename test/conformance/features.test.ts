/** The features that the ID registers claim are closed under the architecture's own implications (../shared/reference/data, beside the checkout; absent elsewhere, and then this is skipped by name). */

import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Features } from '../../machines/aarch64/board.ts';
import { fieldValue } from '../../machines/aarch64/fields.ts';
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
if (existsSync(FILE)) test(name, body);
else test.skip(`${name} (features-2025-03.json is not beside the checkout)`, body);
