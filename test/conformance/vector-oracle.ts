/** Runs random Advanced SIMD instructions under qemu-aarch64 and in the reference engine: vector and general registers, memory and FPSR before and after. */

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MASK64 } from '../../machines/bits.ts';
import { VECTOR } from '../../machines/aarch64/a64.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import { probe } from '../../machines/aarch64/engine/probe.ts';
import { encode, noFields, type MutableFields, type Row } from '../../machines/aarch64/row.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word, type Core } from '../../machines/aarch64/state.ts';
import { slot } from '../../machines/aarch64/sysregs.ts';
import { readBytes, writeBytes, writeWord } from '../../machines/memory/memory.ts';
import { bareCore, set } from '../support/core.ts';
import { executable } from '../support/executable.ts';

export const QEMU = ['/usr/bin/qemu-aarch64', '/usr/local/bin/qemu-aarch64'].find((path) => existsSync(path));

// The image, at one address in both worlds: a header page, the runner, the sandbox, slots of two words, and the cases' states. Outcomes follow.
const IMAGE = 0x4080_0000;
const CODE = IMAGE + 0x1000;
const SANDBOX = IMAGE + 0x2000;
const SANDBOX_BYTES = 512;
const SLOTS = IMAGE + 0x3000;
/** V0 to V31, X0 to X30, SP. */
const STATE_WORDS = 96;
/** The same, FPSR, and a checksum of the sandbox. */
const OUTCOME_WORDS = 98;
const SP = 95;

export interface VectorCase {
  readonly row: Row;
  readonly word: number;
  readonly before: BigUint64Array;
}
export interface VectorDifference {
  readonly text: string;
  /** Words of the outcome that differ, `V3.high`, with theirs and ours. */
  readonly words: readonly (readonly [name: string, qemu: string, ours: string])[];
  readonly operands: readonly string[];
}

/** The runner keeps its place in X28, which the instructions leave alone. */
const RESERVED = /\b[xw]28\b/;

/** `count` cases, the rows in turn. */
export function makeVectorCases(count: number, random: () => number, rows: readonly Row[] = VECTOR): readonly VectorCase[] {
  const { core } = flatCore();
  const cases: VectorCase[] = [];
  for (let turn = 0; cases.length < count; turn += 1) {
    const row = rows[turn % rows.length]!;
    for (let attempt = 0; attempt < 50; attempt += 1) {
      const made = makeCase(row, SLOTS + 8 * cases.length, core, random);
      if (made === undefined) continue;
      cases.push(made);
      break;
    }
  }
  return cases;
}

function makeCase(row: Row, address: number, core: Core, random: () => number): VectorCase | undefined {
  const fields: MutableFields = noFields();
  for (const { letter, width } of row.spans) {
    const kind = random() % 10;
    fields[letter] = kind === 0 ? 2 ** width - 1 : kind === 1 ? 0 : random() % 2 ** width;
  }
  if (random() % 5 === 0) fields.m = fields.n;
  if (random() % 5 === 0) fields.d = fields.n;
  if (random() % 5 === 0) fields.d = fields.m;
  if (row.name.includes('literal')) fields.i = Math.floor((SANDBOX - address) / 4) + 4 * (random() % 100) + 2 ** 19;
  if (row.name.includes('literal')) fields.i %= 2 ** 19;
  const word = encode(row, fields);
  if (word === undefined || decode(word).row !== row || RESERVED.test(disassemble(word, BigInt(address)))) return undefined;
  const before = new BigUint64Array(STATE_WORDS);
  const flavour = random() % 4;
  for (let index = 0; index < 64; index += 1) before[index] = lanes(random, flavour);
  for (let index = 64; index < STATE_WORDS; index += 1) before[index] = BigInt(random()) << 32n | BigInt(random());
  before[SP] = BigInt(SANDBOX + 16 * (random() % 16));
  return place(row, word, address, before, core, random) ? { row, word, before } : undefined;
}

/** The sign bit of every element. */
const LEAST: Readonly<Record<number, bigint>> = { 8: MASK64 / 0xffn << 7n, 16: MASK64 / 0xffffn << 15n, 32: MASK64 / 0xffff_ffffn << 31n, 64: 1n << 63n };

/** 64 bits of random elements, or of elements at their edges. Some vectors are small numbers throughout, as indices and shift amounts are. */
function lanes(random: () => number, flavour: number): bigint {
  if (flavour === 0) return (BigInt(random()) << 32n) | BigInt(random());
  const width = [8, 16, 32, 64][random() % 4]!;
  // The least and the greatest number throughout, so that they meet.
  if (flavour === 3) return random() % 3 === 0 ? LEAST[width]! ^ MASK64 : LEAST[width]!;
  let value = 0n;
  for (let at = 0; at < 64; at += width) {
    const edge = 1n << BigInt(random() % width);
    const kind = random() % 8;
    const element = flavour === 2 && kind < 4 ? BigInt(random() % 80) - 10n
      : kind === 0 ? (BigInt(random()) << 32n) | BigInt(random()) : kind === 1 ? 0n : kind === 2 ? -1n : kind === 3 ? 1n << BigInt(width - 1) : kind === 4 ? (1n << BigInt(width - 1)) - 1n
        : kind === 5 ? edge : kind === 6 ? edge - 1n : -edge;
    value |= BigInt.asUintN(width, element) << BigInt(at);
  }
  return value;
}

/** Moves the base so that all accesses lie in the sandbox, half of the time unaligned. False when it cannot. */
function place(row: Row, word: number, address: number, before: BigUint64Array, core: Core, random: () => number): boolean {
  const decoded = decode(word);
  const accesses = (): readonly { address: bigint; bytes: number }[] => {
    loadState(core, before);
    core.words[Word.PC] = BigInt(address);
    return probe(core, decoded);
  };
  const [first] = accesses();
  if (first === undefined) return true;
  const { n, m } = decoded.fields;
  if (row.name.includes('(register)') && n === m) return false;
  if (!row.name.includes('literal')) {
    const base = n === 31 ? SP : 64 + n;
    before[base] = 0n;
    let target = 32 + random() % (SANDBOX_BYTES - 128);
    if (n === 31 || random() % 2 === 0) target -= target % 16;
    before[base] = BigInt.asUintN(64, BigInt(SANDBOX + target) - accesses()[0]!.address);
    if (n === 31 && before[base]! % 16n !== 0n) return false;
  }
  return accesses().every((access) => access.address >= BigInt(SANDBOX) && access.address + BigInt(access.bytes) <= BigInt(SANDBOX + SANDBOX_BYTES));
}

/** Loads a state, runs its slot, stores the outcome; and so on; then writes all outcomes out. */
function runner(count: number): readonly number[] {
  const input = inputAddress(count);
  const output = input + count * STATE_WORDS * 8;
  const each = (from: number, to: number, line: (register: number) => string): string[] => Array.from({ length: to - from }, (_, index) => line(from + index));
  const lines = [
    ...move('x28', SANDBOX - 64), ...move('x0', input), 'str x0, [x28]', ...move('x0', output), 'str x0, [x28, #8]', ...move('x0', SLOTS), 'str x0, [x28, #16]',
    'next:', 'ldr x0, [x28]', ...move('x1', output), 'cmp x0, x1', 'b.eq finish', `add x1, x0, #${STATE_WORDS * 8}`, 'str x1, [x28]',
    'ldr x1, [x28, #16]', 'add x2, x1, #8', 'str x2, [x28, #16]', 'str x1, [x28, #24]',
    ...each(0, 16, (pair) => `ldp q${2 * pair}, q${2 * pair + 1}, [x0, #${32 * pair}]`),
    'msr s3_3_c4_c4_1, xzr', `ldr x1, [x0, #${8 * SP}]`, 'mov sp, x1', ...each(1, 31, (x) => (x === 28 ? 'nop' : `ldr x${x}, [x0, #${8 * (64 + x)}]`)), 'ldr x0, [x0, #512]',
    // BR through memory alone: the slot's address cannot be in a register. X28 is the way out, and back.
    'ldr x28, [x28, #24]', 'br x28',
    'after:', ...move('x28', SANDBOX - 64), 'str x0, [x28, #32]', 'ldr x0, [x28, #8]',
    ...each(0, 16, (pair) => `stp q${2 * pair}, q${2 * pair + 1}, [x0, #${32 * pair}]`),
    ...each(1, 31, (x) => (x === 28 ? 'nop' : `str x${x}, [x0, #${8 * (64 + x)}]`)), 'ldr x1, [x28, #32]', 'str x1, [x0, #512]', 'str xzr, [x0, #736]',
    'mov x1, sp', `str x1, [x0, #${8 * SP}]`, 'mrs x1, s3_3_c4_c4_1', 'str x1, [x0, #768]',
    ...move('x2', SANDBOX), ...move('x3', SANDBOX_BYTES / 8), 'mov x4, xzr', 'sum:', 'ldr x5, [x2], #8', 'ror x4, x4, #7', 'add x4, x4, x5', 'subs x3, x3, #1', 'b.ne sum',
    'str x4, [x0, #776]', `add x0, x0, #${OUTCOME_WORDS * 8}`, 'str x0, [x28, #8]', 'b next',
    'finish:', ...move('x19', output), ...move('x20', count * OUTCOME_WORDS * 8),
    'write:', 'mov x0, #1', 'mov x1, x19', 'mov x2, x20', 'mov x8, #64', 'svc #0', 'add x19, x19, x0', 'subs x20, x20, x0', 'b.ne write', 'mov x0, #0', 'mov x8, #93', 'svc #0',
  ];
  return assembleLines(lines);
}
const move = (register: string, value: number): string[] => [`movz ${register}, #${value & 0xffff}`, `movk ${register}, #${value >>> 16}, lsl #16`];

let after = 0;
/** Lines with labels (`name:`), from CODE on. */
function assembleLines(lines: readonly string[]): readonly number[] {
  const labels = new Map<string, number>();
  let at = CODE;
  for (const line of lines) {
    if (line.endsWith(':')) labels.set(line.slice(0, -1), at);
    else at += 4;
  }
  after = labels.get('after')!;
  return lines.filter((line) => !line.endsWith(':')).map((line, index) =>
    assemble(line.replace(/^(b|b\.[a-z]+) ([a-z]+)$/, (_, branch: string, label: string) => `${branch} ${labels.get(label)!}`), BigInt(CODE + 4 * index)));
}

const inputAddress = (count: number): number => (SLOTS + 8 * count + 4095) & ~4095;

function image(cases: readonly VectorCase[], random: () => number): Uint8Array {
  const input = inputAddress(cases.length);
  const bytes = new Uint8Array(input - IMAGE + cases.length * STATE_WORDS * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of runner(cases.length).entries()) view.setUint32(CODE - IMAGE + 4 * index, word, true);
  for (let at = 0; at < SANDBOX_BYTES; at += 4) view.setUint32(SANDBOX - IMAGE + at, random(), true);
  for (const [index, { word, before }] of cases.entries()) {
    const address = SLOTS + 8 * index;
    view.setUint32(address - IMAGE, word, true);
    view.setUint32(address - IMAGE + 4, assemble(`b ${after}`, BigInt(address + 4)), true);
    for (const [place, value] of before.entries()) view.setBigUint64(input - IMAGE + (index * STATE_WORDS + place) * 8, value, true);
  }
  return bytes;
}

function runQemu(contents: Uint8Array, count: number): BigUint64Array {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-vectors-'));
  try {
    const path = join(folder, 'cases.elf');
    const bytes = count * OUTCOME_WORDS * 8;
    writeFileSync(path, executable(contents, { at: IMAGE, entry: CODE, roomBytes: bytes }));
    chmodSync(path, 0o755);
    const output = execFileSync(QEMU!, ['-cpu', 'max,pauth=off', path], { maxBuffer: 2 ** 30 });
    if (output.length !== bytes) throw new Error(`qemu-aarch64 wrote ${output.length} bytes for ${count} cases`);
    return new BigUint64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A core at EL0 that may use vectors, over a flat map of 1 GiB of normal memory. */
function flatCore(): { core: Core; memory: ReturnType<typeof bareCore>['memory'] } {
  const { core, memory } = bareCore({ el: 0, el2: 'none', ramBytes: 0x280_0000 });
  const table = 0x4000_0000;
  writeWord(memory, table + 8, 0x4000_0000n | 0x741n);
  set(core, 'TTBR0_EL1', BigInt(table));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  set(core, 'SCTLR_EL1', 0x30d0_0981n);
  set(core, 'CPACR_EL1', 3n << 20n);
  return { core, memory };
}

const SP_EL0 = slot('SP_EL0');
const FPSR = slot('FPSR');

function loadState(core: Core, before: BigUint64Array): void {
  for (let index = 0; index < 64; index += 1) core.words[Word.VECTOR + index] = before[index]!;
  for (let register = 0; register < 31; register += 1) core.words[register] = before[64 + register]!;
  core.words[SP_EL0] = before[SP]!;
  core.words[FPSR] = 0n;
}

function runReference(contents: Uint8Array, cases: readonly VectorCase[]): BigUint64Array {
  const { core, memory } = flatCore();
  writeBytes(memory, IMAGE, contents);
  const outcomes = new BigUint64Array(cases.length * OUTCOME_WORDS);
  for (const [index, { before }] of cases.entries()) {
    loadState(core, before);
    core.words[Word.PC] = BigInt(SLOTS + 8 * index);
    run(core, 1);
    const at = index * OUTCOME_WORDS;
    for (let word = 0; word < 64; word += 1) outcomes[at + word] = core.words[Word.VECTOR + word]!;
    for (let register = 0; register < 31; register += 1) outcomes[at + 64 + register] = register === 28 ? 0n : core.words[register]!;
    outcomes[at + SP] = core.words[SP_EL0]!;
    outcomes[at + 96] = core.words[FPSR]!;
    outcomes[at + 97] = checksum(readBytes(memory, SANDBOX, SANDBOX_BYTES));
  }
  return outcomes;
}

function checksum(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let sum = 0n;
  for (let at = 0; at < bytes.length; at += 8) sum = BigInt.asUintN(64, ((sum >> 7n) | (sum << 57n)) + view.getBigUint64(at, true));
  return sum;
}

const NAMES: readonly string[] = [
  ...Array.from({ length: 64 }, (_, index) => `V${index >> 1}.${index & 1 ? 'high' : 'low'}`), ...Array.from({ length: 31 }, (_, index) => `X${index}`), 'SP', 'FPSR', 'memory'];

/** Runs the cases in both worlds; gives those that differ, and how many set FPSR.QC. */
export function compareVectorCases(cases: readonly VectorCase[], random: () => number): { readonly differing: readonly VectorDifference[]; readonly saturations: number } {
  const contents = image(cases, random);
  const theirs = runQemu(contents, cases.length);
  const ours = runReference(contents, cases);
  const saturations = cases.filter((_, index) => theirs[index * OUTCOME_WORDS + 96] !== 0n).length;
  const differing = cases.flatMap(({ word, before }, index) => {
    const at = index * OUTCOME_WORDS;
    const words = NAMES.flatMap((name, place) => (theirs[at + place] === ours[at + place] ? [] : [[name, theirs[at + place]!.toString(16), ours[at + place]!.toString(16)] as const]));
    if (words.length === 0) return [];
    const { d, n, m, t } = decode(word).fields;
    return [{ text: disassemble(word, BigInt(SLOTS + 8 * index)), words, operands: [d, n, m, t].map((register) => `v${register}=${before[2 * register + 1]!.toString(16)}:${before[2 * register]!.toString(16)}`) }];
  });
  return { differing, saturations };
}
