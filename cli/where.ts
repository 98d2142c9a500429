/** `zeno where NAME`: the row behind a register, an instruction, an exit reason or an event, with the file and line that hold it. */

import { globSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { InputError } from '../actors/input-error.ts';
import { hex } from '../machines/bits.ts';
import { ARITHMETIC } from '../machines/aarch64/instructions/arithmetic.ts';
import { BRANCHES } from '../machines/aarch64/instructions/branches.ts';
import { EXCLUSIVES_AND_ATOMICS } from '../machines/aarch64/instructions/exclusive.ts';
import { HOLES } from '../machines/aarch64/instructions/holes.ts';
import { LOAD_STORE } from '../machines/aarch64/instructions/load-store.ts';
import { LOGICAL } from '../machines/aarch64/instructions/logical.ts';
import { PAIRS } from '../machines/aarch64/instructions/pairs.ts';
import { SYSTEM } from '../machines/aarch64/instructions/system.ts';
import { ABSENT_REGISTERS } from '../machines/aarch64/registers/absent.ts';
import { CONTROL } from '../machines/aarch64/registers/control.ts';
import { DEBUG } from '../machines/aarch64/registers/debug.ts';
import { FINE_GRAINED } from '../machines/aarch64/registers/fine-grained.ts';
import { GIC } from '../machines/aarch64/registers/gic.ts';
import { IDENTIFICATION } from '../machines/aarch64/registers/identification.ts';
import { OPERATIONS } from '../machines/aarch64/registers/operations.ts';
import { TIMER } from '../machines/aarch64/registers/timer.ts';
import { unpackEncoding, type SystemRegister } from '../machines/aarch64/sysregs.ts';
import type { Row } from '../machines/aarch64/row.ts';
import { REASONS } from '../machines/kvm/fault.ts';
import { VARIANTS } from '../machines/kvm/variants/variants.ts';
import { SCENARIOS } from '../scenarios/all.ts';
import { jsonOption } from './options.ts';
import { paint, print, printJson } from './output.ts';

export function addWhere(program: Command): void {
  program.command('where').argument('<name...>', 'a register or its field, an instruction, exit reason, event, step of L0, variant or scenario').description('the row, file and line behind a name')
    .addOption(jsonOption())
    .action((words: string[], flags: { json?: boolean }) => {
      const name = words.join(' ');
      const found = where(name);
      if (found.length === 0) throw new InputError(`${name}: no register, instruction, exit reason, event, step of L0, variant or scenario has this name${nearText(name)}`);
      for (const place of found) {
        if (flags.json) printJson(place);
        else print(`${paint('bold', place.name)}, ${place.kind}: ${paint('cyan', `${place.file}:${place.line}`)}\n  ${place.row}`);
      }
    });
}

export interface Found { readonly kind: string; readonly name: string; readonly file: string; readonly line: number; readonly row: string }

/** Every row that bears `name`: those that are data first, then those that are lines of code. */
export function where(name: string): Found[] {
  const rows = [...registersNamed(name), ...instructionsNamed(name)];
  return [...rows, ...linesNamed(name).filter((line) => !rows.some((row) => row.file === line.file && row.line === line.line))];
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Sources as they lie here: TypeScript in a checkout, JavaScript in a package. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

const REGISTER_FILES: readonly (readonly [file: string, rows: readonly SystemRegister[]])[] = [
  ['control', CONTROL], ['identification', IDENTIFICATION], ['fine-grained', FINE_GRAINED], ['gic', GIC], ['timer', TIMER], ['debug', DEBUG], ['absent', ABSENT_REGISTERS],
];

function registersNamed(text: string): Found[] {
  // A field of a register, as the Arm ARM writes it.
  const [name, field] = text.toUpperCase().split('.') as [string, string | undefined];
  const found: Found[] = [];
  for (const [file, rows] of REGISTER_FILES) {
    for (const row of rows) {
      if (row.name.toUpperCase() !== name) continue;
      const fields = { ...row.fields, ...row.fieldsE2h };
      const own = field === undefined ? undefined : Object.entries(fields).find(([candidate]) => candidate.toUpperCase() === field);
      if (field !== undefined && own === undefined) continue;
      found.push({ kind: own ? `field ${own[0]}, ${bitsText(own[1])}` : rows === ABSENT_REGISTERS ? 'register without a row of its own: reaching it is a hole' : 'register', name: row.name, ...lineOf(`machines/aarch64/registers/${file}`, row.name), row: registerText(row) });
    }
  }
  for (const operation of OPERATIONS) {
    if (operation.name.toUpperCase() === text.toUpperCase()) found.push({ kind: 'system instruction', name: operation.name, ...lineOf('machines/aarch64/registers/operations', operation.name), row: `${operation.name} ${unpackEncoding(operation.encoding).join(' ')}` });
  }
  return found;
}

const bitsText = (place: number | readonly [number, number]): string => (typeof place === 'number' ? `bit ${place}` : `bits ${place[0] + place[1] - 1} to ${place[0]}`);

function registerText({ encoding, access, el, vncr, alias, fields }: SystemRegister): string {
  const parts = [`op0 op1 CRn CRm op2 = ${unpackEncoding(encoding).join(' ')}`, access, `from EL${el} on`];
  if (vncr !== undefined) parts.push(`VNCR page ${hex(vncr, 3)}`);
  if (alias !== undefined) parts.push(`another way to ${alias}`);
  const names = Object.keys(fields ?? {});
  if (names.length > 0) parts.push(`fields ${names.join(' ')}`);
  return parts.join(', ');
}

const INSTRUCTION_FILES: readonly (readonly [file: string, rows: readonly Row[]])[] = [
  ['arithmetic', ARITHMETIC], ['logical', LOGICAL], ['branches', BRANCHES], ['load-store', LOAD_STORE], ['pairs', PAIRS], ['exclusive', EXCLUSIVES_AND_ATOMICS], ['system', SYSTEM], ['holes', HOLES],
];

/** Rows by their Arm name, by its first word, or by a mnemonic that they are written with. */
function instructionsNamed(text: string): Found[] {
  const name = text.toUpperCase();
  const found: Found[] = [];
  for (const [file, rows] of INSTRUCTION_FILES) {
    for (const row of rows) {
      const mnemonics = row.forms.map((form) => form.text.split(' ')[0]!.toUpperCase());
      if (row.name.toUpperCase() !== name && row.name.toUpperCase().split(' ')[0] !== name && !mnemonics.includes(name)) continue;
      found.push({ kind: row.hole === undefined ? 'instruction' : 'hole', name: row.name, ...lineOf(`machines/aarch64/instructions/${file}`, row.name), row: [row.pattern.replaceAll(/\s+/g, ' '), ...row.forms.map((form) => form.text)].join('; ') });
    }
  }
  return found;
}

/** The line of a file that makes the row `name`: with its name as it is, or in a template or a list of names that it is made from. */
function lineOf(path: string, name: string): { readonly file: string; readonly line: number } {
  const file = `${path}${EXTENSION}`;
  const lines = linesOf(file);
  // Where nothing spells it out: the list of the file's rows.
  let best = { line: Math.max(1, lines.findIndex((text) => /^export const \w+: readonly /.test(text)) + 1), score: 0 };
  for (const [index, text] of lines.entries()) {
    const score = likeness(text, name);
    if (score > best.score) best = { line: index + 1, score };
  }
  return { file: shown(file), line: best.line };
}

/** How many letters of `name` a line spells out in a string or template that can become it, or its first word. */
function likeness(text: string, name: string): number {
  let best = 0;
  for (const [, quote, literal = ''] of text.matchAll(/(['"`])((?:(?!\1).)*)\1/g)) {
    const fixed = literal.replaceAll(/\$\{[^}]*\}/g, '').length;
    if (fixed < 2) continue;
    const pattern = new RegExp(`^${literal.split(/\$\{[^}]*\}/).map(escaped).join('.*')}$`);
    // The name that a row begins with is the row's own; elsewhere a row may name another.
    if (pattern.test(name)) best = Math.max(best, 2 * fixed + (text.includes(`(${quote}${literal}${quote}`) ? 1 : 0));
    else if (literal === name.split(/[ _]/)[0]) best = Math.max(best, fixed);
  }
  return new RegExp(`(^|[\\s'"\`])${escaped(name)}=`).test(text) ? 2 * name.length : best;
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Names that are lines of code, by kind: where to look, and what the line looks like. */
const LINES: readonly (readonly [kind: string, files: string, line: (name: string) => RegExp])[] = [
  ['trap', 'machines/{aarch64/traps,kvm/emulate-nested}', (name) => new RegExp(`trap\\(['"]${name}['"]`)],
  ['exit reason', 'machines/kvm/fault', (name) => new RegExp(`0x[0-9a-f]+: '${name}'`, 'i')],
  ['event', '{machines,actors}/**/*', (name) => new RegExp(`event(?:\\(|: )[^'"]*['"]${name}['"]`)],
  ['step of L0', 'machines/kvm/kvm', (name) => new RegExp(`case '${name}':`)],
  ['variant', 'machines/*/variants/*', (name) => new RegExp(`Variant \`?${name}\\b`)],
  ['scenario', 'scenarios/*', (name) => new RegExp(`name: ['"]${name}['"]`)],
];

function linesNamed(name: string): Found[] {
  const found: Found[] = [];
  for (const [kind, files, line] of LINES) {
    const pattern = line(escaped(name.trim()));
    for (const file of globSync(`${files}${EXTENSION}`, { cwd: ROOT }).sort()) {
      for (const [index, text] of linesOf(file).entries()) if (pattern.test(text)) found.push({ kind, name, file: shown(file), line: index + 1, row: text.trim().replace(/^\* /, '') });
    }
  }
  return found;
}

const linesOf = (file: string): string[] => readFileSync(join(ROOT, file), 'utf8').split('\n');
/** As seen from where the user stands, so that an editor opens it. */
const shown = (file: string): string => relative('.', join(ROOT, file));

/** What is known by a name that begins the same. */
function nearText(name: string): string {
  const registers = REGISTER_FILES.flatMap(([, rows]) => rows.map((row) => row.name));
  const instructions = INSTRUCTION_FILES.flatMap(([, rows]) => rows.map((row) => row.name));
  const known = [...Object.values(REASONS), ...Object.keys(VARIANTS), ...SCENARIOS.map((scenario) => scenario.name), ...registers, ...instructions];
  const begin = name.slice(0, Math.max(3, name.length - 2)).toLowerCase();
  const near = [...new Set(known.filter((candidate) => candidate.toLowerCase().startsWith(begin)))].slice(0, 6);
  return near.length === 0 ? '; HCR_EL2, ADD, SYS64, kvm_nested_eret and wait-block are some' : `; near it are ${near.join(', ')}`;
}
