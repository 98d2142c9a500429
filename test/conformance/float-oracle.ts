/** Runs floating-point instructions under qemu-aarch64 and in the reference engine on the same operands: their generator, the runner's ELF image, both executions. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FLOAT } from '../../machines/aarch64/a64.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import { ReferenceEngine } from '../../machines/aarch64/engine/reference.ts';
import { encode, noFields, type Row } from '../../machines/aarch64/row.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { slot } from '../../machines/aarch64/sysregs.ts';
import { bareCore, set } from '../support/core.ts';
import { executable } from '../support/executable.ts';
import { QEMU } from './user-oracle.ts';

export type Random = () => number;

/** One instruction word, run `count` times. `size` is the format that its operands are drawn in; of a `scalar` one the rest of the vectors is noise. */
export interface Group { readonly word: number; readonly size: 16 | 32 | 64; readonly count: number; readonly scalar: boolean }

export interface Difference { readonly text: string; readonly before: string; readonly qemu: string; readonly ours: string }

// A case: V0 to V3, X0 to X3, FPCR, NZCV before; V0 to V3, X0 to X3, FPSR, NZCV after. In 64-bit words.
const WORDS = 14;
const BYTES = 8 * WORDS;
const IMAGE = 0x4080_0000;
const CODE = IMAGE + 0x1000;

/** FPCR: rounding at random, the other controls each in a quarter of the cases. QEMU's FEAT_AFP and FEAT_EBF16 controls stay 0. */
function drawFpcr(random: Random): number {
  const bits = random();
  let fpcr = (bits & 3) << 22;
  for (const [place, bit] of [[2, 24], [4, 25], [6, 19], [8, 26]] as const) if (((bits >>> place) & 3) === 0) fpcr |= 1 << bit;
  return fpcr;
}

/** The fields of a format: exponent bits, fraction bits of its upper and lower word. */
const SHAPES = { 16: [5, 10, 0], 32: [8, 23, 0], 64: [11, 20, 32] } as const;

/** A part of a fraction: all of it, none, one bit at an end, or random. */
function drawFraction(width: number, random: Random): number {
  if (width === 0) return 0;
  const mask = 2 ** width - 1;
  const kind = random() % 8;
  if (kind === 0) return 0;
  if (kind === 1) return mask;
  if (kind === 2) return 2 ** (width - 1);
  if (kind === 3) return random() % 4;
  if (kind === 4) return mask - (random() % 4);
  return (random() & mask) >>> 0;
}

/**
 * The exponent field of an operand whose fellows have the fields `before`: anywhere, at the edges, or where sum, product,
 * quotient or fused sum have their edges: alignment, overflow, underflow.
 */
function drawExponent(size: 16 | 32 | 64, before: readonly number[], random: Random): number {
  const [exponentBits, high, low] = SHAPES[size];
  const top = 2 ** exponentBits - 1;
  const bias = (top - 1) / 2;
  const first = before.at(-1) ?? bias;
  const second = before.at(-2) ?? bias;
  const reach = high + low + 3;
  const near = (random() % (2 * reach + 1)) - reach;
  let field: number;
  switch (random() % 12) {
    case 0: field = 0; break;
    case 1: field = top; break;
    case 2: field = 1 + (random() % 3); break;
    case 3: field = top - 1 - (random() % 3); break;
    case 4: field = bias + (random() % 5) - 2; break;
    case 5: field = bias + near; break;
    case 6: case 7: field = first + near; break;
    case 8: field = bias + 1 - first + near; break;
    case 9: field = bias + top - first + (random() % 5) - 2; break;
    case 10: field = before.length > 1 ? first + second - bias + near : first + bias - 1 + near; break;
    default: field = random() % (top + 1);
  }
  return Math.min(Math.max(field, 0), top);
}

/** Draws the upper 32 bits of a floating-point number, or all of a narrower one. */
function drawFloat(size: 16 | 32 | 64, before: number[], random: Random): number {
  const highBits = SHAPES[size][1];
  const field = drawExponent(size, before, random);
  before.push(field);
  return ((random() & 1) * 2 ** (size === 16 ? 15 : 31) + field * 2 ** highBits + drawFraction(highBits, random)) >>> 0;
}

/** The registers in the order in which their operands are drawn. */
const ORDER = [1, 2, 3, 0];

/** Puts the state of one case at 32-bit word `at` of `input`. X registers hold integers with edges. */
function drawCase(input: Uint32Array, at: number, { size, scalar }: Group, random: Random): void {
  if (scalar) for (let word = 0; word < 16; word += 1) input[at + word] = random();
  const before: number[] = [];
  for (let lane = 0; lane < (scalar ? 1 : 128 / size); lane += 1) {
    before.length = 0;
    const place = at + ((lane * size) >> 5);
    for (const register of ORDER) {
      const word = place + 4 * register;
      const high = drawFloat(size, before, random);
      if (size === 64) { input[word] = drawFraction(32, random); input[word + 1] = high; }
      else if (size === 32) input[word] = high;
      else if ((lane & 1) === 0) input[word] = (input[word]! & 0xffff_0000) | high;
      else input[word] = (input[word]! & 0xffff) | (high << 16);
    }
  }
  for (let register = 0; register < 8; register += 1) {
    const kind = random() % 4;
    input[at + 16 + register] = kind === 0 ? drawFraction(32, random) : kind === 1 ? random() >>> (random() % 32) : kind === 2 ? 0xffff_ffff * (random() & 1) : random();
  }
  // Now and then an integer in a vector, for the conversions from them.
  if (random() % 4 === 0) input.copyWithin(at + 4, at + 16, at + 20);
  input[at + 24] = drawFpcr(random);
  input[at + 26] = (random() & 15) * 2 ** 28;
}

/** Runs the groups in both worlds; gives the differences, those of each group up to `limit`. Adds the bits of FPSR that QEMU set to `flags`. */
export function compareGroups(groups: readonly Group[], random: Random, limit: number, flags = { seen: 0 }): readonly Difference[] {
  const total = groups.reduce((sum, { count }) => sum + count, 0);
  const input = new Uint32Array(total * 2 * WORDS);
  let at = 0;
  for (const group of groups) for (let n = 0; n < group.count; n += 1, at += 2 * WORDS) drawCase(input, at, group, random);
  const theirs = runQemu(groups, input, total);
  for (let word = 24; word < theirs.length; word += 2 * WORDS) flags.seen |= theirs[word]!;
  return compareWithReference(groups, input, theirs, limit);
}

const load = (register: number, base: number, offset: number): string => `.inst 0x${(0x3dc0_0000 | ((offset / 16) << 10) | (base << 5) | register).toString(16)}`;
const store = (register: number, base: number, offset: number): string => `.inst 0x${(0x3d80_0000 | ((offset / 16) << 10) | (base << 5) | register).toString(16)}`;
const move = (register: string, value: number): readonly string[] => [`movz ${register}, #${value & 0xffff}`, `movk ${register}, #${(value >>> 16) & 0xffff}, lsl #16`];
const QUADS = [0, 1, 2, 3];

/** One group: for each of its cases load, execute, store. X20 walks over the input, X21 over the output. */
const groupCode = ({ word, count }: Group): readonly string[] => {
  const body = [
    ...QUADS.map((register) => load(register, 20, 16 * register)), 'ldp x0, x1, [x20, #64]', 'ldp x2, x3, [x20, #80]', 'ldp x4, x5, [x20, #96]',
    'msr s3_3_c4_c4_0, x4', 'msr s3_3_c4_c4_1, xzr', 'msr s3_3_c4_c2_0, x5', `.inst 0x${word.toString(16)}`, 'mrs x5, s3_3_c4_c2_0', 'mrs x4, s3_3_c4_c4_1',
    ...QUADS.map((register) => store(register, 21, 16 * register)), 'stp x0, x1, [x21, #64]', 'stp x2, x3, [x21, #80]', 'stp x4, x5, [x21, #96]',
    `add x20, x20, #${BYTES}`, `add x21, x21, #${BYTES}`, 'subs x22, x22, #1',
  ];
  return [...move('x22', count), ...body, `b.ne -${body.length}`];
};

/** The words of the runner. Branches are written as distances in instructions. */
function runner(groups: readonly Group[], input: number, output: number, bytes: number): readonly number[] {
  const lines = [
    ...move('x20', input), ...move('x21', output), ...groups.flatMap(groupCode), ...move('x19', output), ...move('x20', bytes),
    'mov x0, #1', 'mov x1, x19', 'mov x2, x20', 'mov x8, #64', 'svc #0', 'add x19, x19, x0', 'subs x20, x20, x0', 'b.ne -7', 'mov x0, #0', 'mov x8, #93', 'svc #0',
  ];
  const known = new Map<string, number>();
  return lines.map((line) => {
    const word = known.get(line) ?? assemble(line.replace(/-(\d+)$/, (_, back: string) => `${CODE - 4 * Number(back)}`), BigInt(CODE));
    known.set(line, word);
    return word;
  });
}

function runQemu(groups: readonly Group[], input: Uint32Array, total: number): Uint32Array {
  const length = runner(groups, 0, 0, 0).length;
  const inputAddress = (CODE + 4 * length + 4095) & ~4095;
  const outputAddress = inputAddress + input.byteLength;
  const file = new Uint8Array(outputAddress - IMAGE);
  const view = new DataView(file.buffer);
  for (const [index, word] of runner(groups, inputAddress, outputAddress, total * BYTES).entries()) view.setUint32(CODE - IMAGE + 4 * index, word, true);
  file.set(new Uint8Array(input.buffer), inputAddress - IMAGE);
  const folder = mkdtempSync(join(tmpdir(), 'zeno-float-'));
  try {
    const path = join(folder, 'cases.elf');
    writeFileSync(path, executable(file, { at: IMAGE, entry: CODE, roomBytes: total * BYTES }));
    chmodSync(path, 0o755);
    const output = execFileSync(QEMU!, ['-cpu', 'max,pauth=off', path], { maxBuffer: 2 ** 30 });
    if (output.length !== total * BYTES) throw new Error(`qemu-aarch64 wrote ${output.length} bytes for ${total} cases`);
    return new Uint32Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const FPCR = slot('FPCR');
const FPSR = slot('FPSR');

function compareWithReference(groups: readonly Group[], input: Uint32Array, theirs: Uint32Array, limit: number): readonly Difference[] {
  const { core } = bareCore({ el: 1, el2: 'none' });
  set(core, 'CPACR_EL1', 3n << 20n);
  const engine = new ReferenceEngine(core);
  const registers = new Uint32Array(core.ints.buffer, core.ints.byteOffset, core.ints.length);
  const ours = new Uint32Array(2 * WORDS);
  const differences: Difference[] = [];
  let at = 0;
  for (const { word, count } of groups) {
    const { semantics, fields } = decode(word);
    let differing = 0;
    for (let n = 0; n < count; n += 1, at += 2 * WORDS) {
      for (let place = 0; place < 16; place += 1) registers[2 * Word.VECTOR + place] = input[at + place]!;
      for (let place = 0; place < 8; place += 1) registers[place] = input[at + 16 + place]!;
      registers[2 * FPCR] = input[at + 24]!;
      registers[2 * FPSR] = 0;
      registers[2 * Word.NZCV] = input[at + 26]! >>> 28;
      semantics(engine, fields);
      for (let place = 0; place < 16; place += 1) ours[place] = registers[2 * Word.VECTOR + place]!;
      for (let place = 0; place < 8; place += 1) ours[16 + place] = registers[place]!;
      ours[24] = registers[2 * FPSR]!;
      ours[26] = registers[2 * Word.NZCV]! * 2 ** 28;
      let place = 0;
      while (place < 2 * WORDS && ours[place] === theirs[at + place]) place += 1;
      if (place === 2 * WORDS) continue;
      differing += 1;
      if (differing > limit) continue;
      differences.push({ text: disassemble(word), before: show(input.subarray(at, at + 28), 'FPCR'), qemu: show(theirs.subarray(at, at + 28), 'FPSR'), ours: show(ours, 'FPSR') });
    }
  }
  return differences;
}

function show(words: Uint32Array, control: string): string {
  const hex = (from: number, count: number): string => [...words.subarray(from, from + count)].reverse().map((word) => word.toString(16).padStart(8, '0')).join('');
  return [...QUADS.map((n) => `v${n}=${hex(4 * n, 4)}`), ...QUADS.map((n) => `x${n}=${hex(16 + 2 * n, 2)}`), `${control}=${words[24]!.toString(16)}`, `nzcv=${words[26]! >>> 28}`].join(' ');
}

/** A random word of a row, with registers 0 to 3 only; undefined when none was allocated. */
export function randomWord(row: Row, random: Random): number | undefined {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const fields = noFields();
    for (const { letter, width } of row.spans) {
      const kind = random() % 6;
      fields[letter] = 'dnma'.includes(letter) ? random() % 4 : kind === 0 ? 2 ** width - 1 : kind === 1 ? 0 : random() % 2 ** width;
    }
    const word = encode(row, fields);
    if (word !== undefined && decode(word).row === row) return word;
  }
  return undefined;
}

export const FLOAT_ROWS: readonly Row[] = FLOAT;

const PREFIXES = [['h', 16], ['s', 32], ['d', 64]] as const;
const TWO = 'fadd fsub fmul fdiv fnmul fmax fmin fmaxnm fminnm fmulx fabd frecps frsqrts fcmeq fcmge fcmgt facge facgt'.split(' ');
const THREE = 'fmadd fmsub fnmadd fnmsub'.split(' ');
const ONE = 'fsqrt frinta frinti frintm frintn frintp frintx frintz frecpe frecpx frsqrte'.split(' ');
const TO_INTEGER = 'fcvtas fcvtau fcvtms fcvtmu fcvtns fcvtnu fcvtps fcvtpu fcvtzs fcvtzu'.split(' ');

/** The arithmetic, each operation in each format as a scalar instruction: its text and the format of its operands. */
export const OPERATIONS: readonly (readonly [text: string, size: 16 | 32 | 64])[] = [
  ...PREFIXES.flatMap(([p, size]) => [
    ...TWO.map((name) => `${name} ${p}0, ${p}1, ${p}2`), ...THREE.map((name) => `${name} ${p}0, ${p}1, ${p}2, ${p}3`), ...ONE.map((name) => `${name} ${p}0, ${p}1`),
    ...['fcmp', 'fcmpe'].flatMap((name) => [`${name} ${p}1, ${p}2`, `${name} ${p}1, #0.0`]),
    ...TO_INTEGER.flatMap((name) => [`${name} w0, ${p}1`, `${name} x0, ${p}1`]),
    ...['fcvtzs', 'fcvtzu'].flatMap((name) => [`${name} w0, ${p}1, #9`, `${name} x0, ${p}1, #33`]),
    ...['scvtf', 'ucvtf'].flatMap((name) => [`${name} ${p}0, w1`, `${name} ${p}0, x1`, `${name} ${p}0, w1, #20`, `${name} ${p}0, x1, #64`]),
    ...PREFIXES.filter(([to]) => to !== p).map(([to]) => `fcvt ${to}0, ${p}1`),
    ...(p === 'h' ? [] : ['frint32x', 'frint32z', 'frint64x', 'frint64z'].map((name) => `${name} ${p}0, ${p}1`)),
  ].map((text) => [text, size] as const)),
  ['fcvtxn s0, d1', 64], ['fjcvtzs w0, d1', 64], ['bfcvt h0, s1', 32], ['bfdot v0.4s, v1.8h, v2.8h', 32], ['bfmmla v0.4s, v1.8h, v2.8h', 32], ['bfmlalb v0.4s, v1.8h, v2.8h', 32],
  ['fmlal v0.4s, v1.4h, v2.4h', 16], ['fmlsl v0.4s, v1.4h, v2.4h', 16], ['fmlal2 v0.4s, v1.4h, v2.4h', 32],
];

export const operationGroup = ([text, size]: readonly [string, 16 | 32 | 64], count: number): Group => ({ word: assemble(text), size, count, scalar: !text.includes('v0.') });
