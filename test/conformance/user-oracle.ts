/** Runs random user-level instructions under qemu-aarch64 and in the reference engine: cases, the runner's ELF image, and both executions. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, chmodSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FLOAT, ROWS, VECTOR } from '../../machines/aarch64/a64.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { probe } from '../../machines/aarch64/engine/probe.ts';
import { encode, noFields, type MutableFields, type Row } from '../../machines/aarch64/row.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word, type Core } from '../../machines/aarch64/state.ts';
import { packEncoding, slot } from '../../machines/aarch64/sysregs.ts';
import { readBytes, writeBytes, writeWord } from '../../machines/memory/memory.ts';
import { bareCore, set } from '../support/core.ts';

export const QEMU = ['/usr/bin/qemu-aarch64', '/usr/local/bin/qemu-aarch64'].find((path) => existsSync(path));

/** A stream of 32-bit numbers from a seed (xorshift and a finaliser; Marsaglia 2003). */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.imul(state, 0x9e37_79b1) >>> 0;
  };
}

/** The image: a header page, the runner, the slots, and a page of sandbox. Everything is writable and executable at one address in both worlds. */
const IMAGE = 0x4080_0000;
const CODE = IMAGE + 0x1000;
const SANDBOX = IMAGE + 0x2000;
const SANDBOX_BYTES = 512;
const SLOTS = IMAGE + 0x3000;
const SLOT_WORDS = 12;
const BLOCK = 4;
const INPUT_WORDS = 33;
const OUTPUT_WORDS = 35;

/** State before: X0 to X30, SP, NZCV. After: the same, where the code went, and a checksum of the sandbox. */
export interface Case {
  readonly row: Row;
  readonly block: readonly number[];
  readonly before: BigUint64Array;
}

export interface Outcome {
  readonly name: string;
  readonly words: readonly number[];
  readonly before: BigUint64Array;
  readonly theirs: BigUint64Array;
  readonly ours: BigUint64Array;
}

const slotAddress = (index: number): number => SLOTS + index * SLOT_WORDS * 4;
/** The instructions end just before the fall-through pad; the taken pad is two further on. */
const BLOCK_END = 1 + BLOCK;
const TAKEN = BLOCK_END + 2;

/** Rows outside what a user program can run alike in both: privileged, excepting, waiting, or with machine-specific results. Keys are not the program's to set. float-oracle.ts and vector-oracle.ts have floating point and vectors. */
const EXCLUDED = /^(SYSL?|MSR \(immediate\)|SVC|HVC|SMC|BRK|HLT|DCPS\d|UDF|ERET|DRPS|WFET?|WFIT?|SEVL?|HINT|PAC|AUT|XPAC|BL?RA[AB]|RETA[AB]|LDRA[AB])/;
/** Flags as a system register, S3_3_C4_C2_0: the one that MRS and MSR reach alike. */
const NZCV = packEncoding(3, 3, 4, 2, 0);

export const USER_ROWS: readonly Row[] = ROWS.filter((row) => row.hole === undefined && !EXCLUDED.test(row.name) && !FLOAT.includes(row) && !VECTOR.includes(row));

/** `count` cases, `row` by row in turn. The sandbox is shared, so that the order of cases is part of them. */
export function makeCases(count: number, random: () => number): readonly Case[] {
  const { core } = flatCore();
  const cases: Case[] = [];
  for (let turn = 0; cases.length < count; turn += 1) {
    const row = USER_ROWS[turn % USER_ROWS.length]!;
    const made = makeCase(row, slotAddress(cases.length), core, random);
    if (made !== undefined) cases.push(made);
  }
  return cases;
}

function makeCase(row: Row, address: number, core: Core, random: () => number): Case | undefined {
  const before = new BigUint64Array(INPUT_WORDS);
  for (let word = 0; word < 32; word += 1) before[word] = interesting(random);
  before[32] = BigInt(random() & 15) << 28n;
  const block = exclusiveBlock(row, random) ?? [randomWord(row, random)];
  if (block.includes(undefined)) return undefined;
  const words = block as number[];
  const first = words.find((word) => accesses(core, word, before) > 0);
  if (first !== undefined && !placeBase(core, first, before, random)) return undefined;
  if (/^(BR|BLR|RET)$/.test(row.name)) {
    const { n } = decode(words[0]!).fields;
    if (n === 31) return undefined;
    before[n] = BigInt(address + TAKEN * 4);
  }
  return { row, block: words, before };
}

/** A random word of a row, allocated; branches go to the taken pad. Undefined when none was found. */
function randomWord(row: Row, random: () => number): number | undefined {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const fields: MutableFields = noFields();
    for (const { letter, width } of row.spans) {
      const kind = random() % 8;
      fields[letter] = kind === 0 ? 2 ** width - 1 : kind === 1 ? 0 : random() % 2 ** width;
    }
    // Registers are often equal to others, and now and then 31.
    if (random() % 4 === 0) fields.m = fields.n;
    if (random() % 4 === 0) fields.d = fields.n;
    // Taken branches land two words behind the block, which ends with them.
    const ahead = TAKEN - (BLOCK_END - 1);
    if (/^(B|BL|B\.cond|CBN?Z|TBN?Z)$/.test(row.name)) fields.i = ahead;
    if (/^(MRS|MSR)/.test(row.name)) fields.i = NZCV - 0x8000;
    if (/\(literal\)/.test(row.name)) fields.i = random() % 6;
    if (row.name === 'BLR' && fields.n === 30) continue;
    const word = encode(row, fields);
    if (word !== undefined && decode(word).row === row && !unpredictable(row, decode(word).fields)) return word;
  }
  return undefined;
}

/** Combinations that the manual leaves open and where QEMU's choice is not ours, and index registers that move with the base. */
function unpredictable(row: Row, f: Readonly<MutableFields>): boolean {
  if (/^LDA?XP/.test(row.name) && f.t === f.u) return true;
  if (/^STL?X/.test(row.name) && (f.e === f.t || f.e === f.n || (/XP/.test(row.name) && f.e === f.u))) return true;
  if (/register\)|CASP/.test(row.name) && f.n === f.m && /^(LDR|STR)/.test(row.name)) return true;
  return row.name.startsWith('CASP') && (f.e === 30 || f.t === 30);
}

/** A store-exclusive after its load-exclusive, with the same base and size; both start from a clear monitor. */
function exclusiveBlock(row: Row, random: () => number): readonly (number | undefined)[] | undefined {
  if (!/^(ST|LD)[AL]?X/.test(row.name)) return undefined;
  const word = randomWord(row, random);
  const clear = assemble('clrex');
  if (word === undefined) return [undefined];
  if (random() % 3 === 0 || row.name.startsWith('LD')) return [clear, word];
  const f = decode(word).fields;
  const load = ROWS.find((other) => other.name === row.name.replace(/^STL?/, 'LD'))!;
  // The loaded registers must leave the base alone.
  const [t, u] = [(f.n + 3) % 31, (f.n + 5) % 31];
  return [clear, encode(load, { s: f.s, n: f.n, t, u }), word];
}

const accesses = (core: Core, word: number, before: BigUint64Array): number => {
  loadState(core, before);
  return probe(core, decode(word)).length;
};

/** Moves the base register so that the access lies in the sandbox, aligned where it has to be. False when that cannot be. */
function placeBase(core: Core, word: number, before: BigUint64Array, random: () => number): boolean {
  const { row, fields } = decode(word);
  if (row === undefined || /literal/.test(row.name)) return true;
  const base = fields.n;
  before[base] = 0n;
  loadState(core, before);
  const [first] = probe(core, decode(word));
  const total = /P \(|NP$|XP|CASP/.test(row.name) ? 16 : 8;
  let target = 64 + random() % (SANDBOX_BYTES - 128);
  const aligned = !/^(LDR|STR|LDUR|STUR|LDTR|STTR|LDP|STP|LDNP|STNP)/.test(row.name);
  if (aligned) target -= target % total;
  before[base] = BigInt.asUintN(64, BigInt(SANDBOX + target) - first!.address);
  // A base that is also another operand may have changed the address.
  loadState(core, before);
  return probe(core, decode(word)).every(({ address, bytes }) => address >= BigInt(SANDBOX) && address + BigInt(bytes) <= BigInt(SANDBOX + SANDBOX_BYTES));
}

/** Values where arithmetic has its edges, among random ones. */
function interesting(random: () => number): bigint {
  const kind = random() % 12;
  const any = (BigInt(random()) << 32n) | BigInt(random());
  if (kind === 0) return BigInt(random() % 70);
  if (kind === 1) return BigInt.asUintN(64, -BigInt(random() % 70));
  if (kind === 2) return BigInt.asUintN(64, (1n << BigInt(random() % 64)) - BigInt(random() % 3));
  if (kind === 3) return any & 0xffff_ffffn;
  if (kind === 4) return [0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn][random() % 8]!;
  return any;
}

/** The runner: loads a case's state, enters its slot, stores the state after, and so on; then writes everything out and exits. */
function runner(count: number): Uint32Array {
  const input = inputAddress(count);
  const output = input + count * INPUT_WORDS * 8;
  const constants = { input, output, end: output, bytes: count * OUTPUT_WORDS * 8 };
  const lines: string[] = [
    // d29 is the next case's state, d28 where its outcome goes.
    ...move('x0', constants.input), FMOV_D29_X0, ...move('x0', constants.output), FMOV_D28_X0, 'b next',
    'after:', FMOV_D30_X0, FMOV_X0_D28,
    ...Array.from({ length: 29 }, (_, n) => `str x${n + 1}, [x0, #${8 * (n + 1)}]`),
    FMOV_X1_D30, 'str x1, [x0]', FMOV_X1_D31, 'str x1, [x0, #240]', 'mov x1, sp', 'str x1, [x0, #248]', 'mrs x1, s3_3_c4_c2_0', 'str x1, [x0, #256]', 'str x30, [x0, #264]',
    // The checksum of the sandbox: rotate and add.
    ...move('x2', SANDBOX), ...move('x3', SANDBOX_BYTES / 8), 'mov x4, xzr',
    'sum:', 'ldr x5, [x2], #8', 'ror x4, x4, #7', 'add x4, x4, x5', 'subs x3, x3, #1', 'b.ne sum',
    'str x4, [x0, #272]', `add x0, x0, #${OUTPUT_WORDS * 8}`, FMOV_D28_X0,
    'next:', FMOV_X1_D29, ...move('x2', constants.end), 'cmp x1, x2', 'b.eq finish',
    `add x2, x1, #${INPUT_WORDS * 8}`, FMOV_D29_X2, 'ldr x2, [x1, #256]', 'msr s3_3_c4_c2_0, x2', 'ldr x2, [x1, #248]', 'mov sp, x2', 'ldr x30, [x1, #240]',
    ...Array.from({ length: 28 }, (_, n) => `ldr x${n + 2}, [x1, #${8 * (n + 2)}]`), 'ldr x0, [x1]', 'ldr x1, [x1, #8]', 'br x30',
    'finish:', ...move('x19', constants.output), ...move('x20', constants.bytes),
    'write:', 'mov x0, #1', 'mov x1, x19', 'mov x2, x20', 'mov x8, #64', 'svc #0', 'add x19, x19, x0', 'subs x20, x20, x0', 'b.ne write',
    'mov x0, #0', 'mov x8, #93', 'svc #0',
  ];
  return assembleLines(lines, CODE);
}

// The assembler has no rows for FMOV.
const FMOV_D29_X0 = '.inst 0x9e67001d', FMOV_D28_X0 = '.inst 0x9e67001c', FMOV_D30_X0 = '.inst 0x9e67001e', FMOV_D29_X2 = '.inst 0x9e67005d';
const FMOV_X0_D28 = '.inst 0x9e660380', FMOV_X1_D29 = '.inst 0x9e6603a1', FMOV_X1_D30 = '.inst 0x9e6603c1', FMOV_X1_D31 = '.inst 0x9e6603e1';
const FMOV_D31_X30 = 0x9e67_03df;

const move = (register: string, value: number): string[] => [
  `movz ${register}, #${value & 0xffff}`, `movk ${register}, #${(value >>> 16) & 0xffff}, lsl #16`];

/** Assembles lines with labels (`name:`); a label may stand as a branch target. */
function assembleLines(lines: readonly string[], base: number): Uint32Array {
  const labels = new Map<string, number>();
  let at = base;
  for (const line of lines) {
    if (line.endsWith(':')) labels.set(line.slice(0, -1), at);
    else at += 4;
  }
  afterAddress = labels.get('after') ?? afterAddress;
  at = base;
  const words: number[] = [];
  for (const line of lines) {
    if (line.endsWith(':')) continue;
    const resolved = line.replace(/^(b|b\.[a-z]+) ([a-z]+)$/, (_, mnemonic: string, label: string) => `${mnemonic} 0x${labels.get(label)!.toString(16)}`);
    words.push(assemble(resolved, BigInt(at)));
    at += 4;
  }
  return Uint32Array.from(words);
}
let afterAddress = 0;

const inputAddress = (count: number): number => (slotAddress(count) + 4095) & ~4095;

/** Everything that both worlds load at IMAGE: runner, sandbox, slots, input. The output's room follows it. */
function image(cases: readonly Case[], random: () => number): Uint8Array {
  const input = inputAddress(cases.length);
  const bytes = new Uint8Array(input - IMAGE + cases.length * INPUT_WORDS * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of runner(cases.length).entries()) view.setUint32(CODE - IMAGE + 4 * index, word, true);
  for (let at = 0; at < SANDBOX_BYTES; at += 4) view.setUint32(SANDBOX - IMAGE + at, random(), true);
  const nop = assemble('nop');
  for (const [index, { block, before }] of cases.entries()) {
    const address = slotAddress(index);
    const words = [
      assemble(`ldr x30, ${address + 40}`, BigInt(address)), ...Array.from({ length: BLOCK - block.length }, () => nop), ...block,
      FMOV_D31_X30, assemble(`bl ${afterAddress}`, BigInt(address + 24)), FMOV_D31_X30, assemble(`bl ${afterAddress}`, BigInt(address + 32)), nop,
    ];
    for (const [place, word] of words.entries()) view.setUint32(address - IMAGE + 4 * place, word, true);
    view.setBigUint64(address - IMAGE + 40, before[30]!, true);
    for (let word = 0; word < INPUT_WORDS; word += 1) {
      view.setBigUint64(input - IMAGE + (index * INPUT_WORDS + word) * 8, word === 30 ? BigInt(address) : before[word]!, true);
    }
  }
  return bytes;
}

/** A static ELF executable with one segment, readable, writable and executable. */
function elf(contents: Uint8Array, roomBytes: number): Uint8Array {
  const header = new Uint8Array(120);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 183, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(CODE), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setUint32(68, 7, true);
  view.setBigUint64(80, BigInt(IMAGE), true);
  view.setBigUint64(88, BigInt(IMAGE), true);
  view.setBigUint64(96, BigInt(contents.length), true);
  view.setBigUint64(104, BigInt(contents.length + roomBytes), true);
  view.setBigUint64(112, 4096n, true);
  const file = contents.slice();
  file.set(header, 0);
  return file;
}

/** A core at EL0 with a flat map of 1 GiB of normal memory. */
function flatCore(): { core: Core; memory: ReturnType<typeof bareCore>['memory'] } {
  const { core, memory } = bareCore({ el: 0, el2: 'none', ramBytes: 0x280_0000 });
  // One level-1 table for a 39-bit space; entry 1 is a block at 0x4000_0000: AF, inner shareable, EL0 may read and write.
  const table = 0x4000_0000;
  writeWord(memory, table + 8, 0x4000_0000n | 0x741n);
  set(core, 'TTBR0_EL1', BigInt(table));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  // RES1 bits and M; without SA0 as in QEMU's user mode, UCT, UCI and DZE set.
  set(core, 'SCTLR_EL1', 0x30d0_0980n | 1n | (1n << 14n) | (1n << 15n) | (1n << 26n));
  return { core, memory };
}

const SP_EL0 = slot('SP_EL0');

function loadState(core: Core, before: BigUint64Array): void {
  for (let register = 0; register < 31; register += 1) core.words[register] = before[register]!;
  core.words[SP_EL0] = before[31]!;
  core.words[Word.NZCV] = before[32]! >> 28n;
}

/** Runs the cases in both worlds, and gives those whose outcomes differ. */
export function compareCases(cases: readonly Case[], random: () => number): readonly Outcome[] {
  const contents = image(cases, random);
  const theirs = runQemu(contents, cases.length);
  const ours = runReference(contents, cases);
  const differing: Outcome[] = [];
  for (const [index, made] of cases.entries()) {
    const at = index * OUTPUT_WORDS;
    const their = theirs.subarray(at, at + OUTPUT_WORDS);
    const our = ours.subarray(at, at + OUTPUT_WORDS);
    if (their.some((word, place) => word !== our[place])) differing.push({ name: made.row.name, words: made.block, before: made.before, theirs: their, ours: our });
  }
  return differing;
}

function runQemu(contents: Uint8Array, count: number): BigUint64Array {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-oracle-'));
  try {
    const path = join(folder, 'cases.elf');
    writeFileSync(path, elf(contents, count * OUTPUT_WORDS * 8));
    chmodSync(path, 0o755);
    const output = execFileSync(QEMU!, ['-cpu', 'max,pauth=off', path], { maxBuffer: 2 ** 30 });
    if (output.length !== count * OUTPUT_WORDS * 8) throw new Error(`qemu-aarch64 wrote ${output.length} bytes for ${count} cases`);
    return new BigUint64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runReference(contents: Uint8Array, cases: readonly Case[]): BigUint64Array {
  const { core, memory } = flatCore();
  writeBytes(memory, IMAGE, contents);
  const outcomes = new BigUint64Array(cases.length * OUTPUT_WORDS);
  for (const [index, { block, before }] of cases.entries()) {
    const address = slotAddress(index);
    loadState(core, before);
    core.words[Word.PC] = BigInt(address + (BLOCK_END - block.length) * 4);
    run(core, block.length);
    const at = index * OUTPUT_WORDS;
    for (let register = 0; register < 31; register += 1) outcomes[at + register] = core.words[register]!;
    outcomes[at + 31] = core.words[SP_EL0]!;
    outcomes[at + 32] = core.words[Word.NZCV]! << 28n;
    // The runner notes the return address of the pad's BL.
    outcomes[at + 33] = core.words[Word.PC]! + 8n;
    outcomes[at + 34] = checksum(readBytes(memory, SANDBOX, SANDBOX_BYTES));
  }
  return outcomes;
}

function checksum(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer);
  let sum = 0n;
  for (let at = 0; at < bytes.length; at += 8) sum = BigInt.asUintN(64, ((sum >> 7n) | (sum << 57n)) + view.getBigUint64(at, true) + 0n);
  return sum;
}
