/** The engines' fast floating point against the reference engine's exact arithmetic: operands at the edges of what the host's numbers do alone, and the runs that compare. */

import { assemble } from '../../machines/aarch64/assemble.ts';
import { Interpreter } from '../../machines/aarch64/engine/interpreter.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word, type Core } from '../../machines/aarch64/state.ts';
import { slot } from '../../machines/aarch64/sysregs.ts';
import { bareCore, program, RAM, set, setPstate, type Bare } from '../support/core.ts';
import { EAGER } from '../support/engines.ts';
import { words } from '../support/guest-program.ts';

type Draw = (limit: number) => number;

export interface Operation {
  /** Operands are V1, V2 and V3, V0 for V3 where it is added to, or X1; the result goes to V0 or X0, or the flags. */
  readonly text: string;
  readonly size: 32 | 64;
  readonly kind: 'sum' | 'product' | 'quotient' | 'fused' | 'one' | 'integer' | 'from-integer';
}

const scalar = (size: 32 | 64, kind: Operation['kind'], ...texts: readonly string[]): Operation[] =>
  texts.map((text) => ({ text: text.replaceAll('#', size === 64 ? 'd' : 's'), size, kind }));
const vector = (size: 32 | 64, kind: Operation['kind'], ...texts: readonly string[]): Operation[] =>
  texts.map((text) => ({ text: text.replaceAll('#', size === 64 ? '2d' : '4s'), size, kind }));

/** Everything that has a fast form, in each of its rounding modes and signs. */
export const OPERATIONS: readonly Operation[] = ([64, 32] as const).flatMap((size) => [
  ...scalar(size, 'sum', 'fadd #0, #1, #2', 'fsub #0, #1, #2', 'fabd #0, #1, #2', 'fmax #0, #1, #2', 'fmin #0, #1, #2', 'fmaxnm #0, #1, #2', 'fminnm #0, #1, #2', 'fcmp #1, #2', 'fcmpe #1, #2', 'fcmeq #0, #1, #2', 'fcmge #0, #1, #2', 'fcmgt #0, #1, #2', 'facge #0, #1, #2', 'facgt #0, #1, #2'),
  ...scalar(size, 'product', 'fmul #0, #1, #2', 'fnmul #0, #1, #2', 'fmulx #0, #1, #2'),
  ...scalar(size, 'quotient', 'fdiv #0, #1, #2'),
  ...scalar(size, 'fused', 'fmadd #0, #1, #2, #3', 'fmsub #0, #1, #2, #3', 'fnmadd #0, #1, #2, #3', 'fnmsub #0, #1, #2, #3'),
  ...scalar(size, 'product', 'frecps #0, #1, #2', 'frsqrts #0, #1, #2'),
  ...scalar(size, 'one', 'fsqrt #0, #1', size === 64 ? 'fcvt s0, d1' : 'fcvt d0, s1'),
  ...scalar(size, 'integer', 'frintn #0, #1', 'frintp #0, #1', 'frintm #0, #1', 'frintz #0, #1', 'frinta #0, #1', 'frintx #0, #1', 'frinti #0, #1'),
  ...['n', 'p', 'm', 'z', 'a'].flatMap((mode) => ['s', 'u'].flatMap((sign) => scalar(size, 'integer', `fcvt${mode}${sign} x0, #1`, `fcvt${mode}${sign} w0, #1`, `fcvt${mode}${sign} #0, #1`))),
  ...scalar(size, 'from-integer', 'scvtf #0, x1', 'ucvtf #0, x1', 'scvtf #0, w1', 'ucvtf #0, w1', 'scvtf #0, #1', 'ucvtf #0, #1'),
  ...vector(size, 'sum', 'fadd v0.#, v1.#, v2.#', 'faddp v0.#, v1.#, v2.#', 'fmaxp v0.#, v1.#, v2.#', 'fcmge v0.#, v1.#, v2.#'),
  ...vector(size, 'product', 'fmul v0.#, v1.#, v2.#'), ...vector(size, 'quotient', 'fdiv v0.#, v1.#, v2.#'),
  ...vector(size, 'fused', 'fmla v0.#, v1.#, v2.#', 'fmls v0.#, v1.#, v2.#'), ...vector(size, 'one', 'fsqrt v0.#, v1.#'),
  ...vector(size, 'integer', 'frintx v0.#, v1.#', 'fcvtzs v0.#, v1.#'), ...vector(size, 'from-integer', 'ucvtf v0.#, v1.#'),
]);

// Numbers are drawn as their bits, in two words: the host's own arithmetic makes operands from others, and is looked at by nobody.
const buffer = new ArrayBuffer(8);
const double = new Float64Array(buffer), long = new BigUint64Array(buffer), halves = new Int32Array(buffer);
const single = new Float32Array(buffer);

const LAYOUT = { 32: { fraction: 23, top: 0xff, bias: 127 }, 64: { fraction: 52, top: 0x7ff, bias: 1023 } } as const;

const bits64 = (draw: Draw): bigint => (BigInt(draw(2 ** 32)) << 32n) | BigInt(draw(2 ** 32));

/** A fraction: random, of few bits at either end, all ones or nearly, half of it. */
function drawFraction(size: 32 | 64, draw: Draw): bigint {
  const width = BigInt(LAYOUT[size].fraction);
  const all = (1n << width) - 1n;
  const any = bits64(draw) & all;
  switch (draw(9)) {
    case 0: return 0n;
    case 1: return BigInt(draw(4));
    case 2: return all - BigInt(draw(4));
    case 3: return BigInt(1 + draw(15)) << (width - 4n);
    // Half of the bits, so that products are exact or nearly so.
    case 4: return (any >> (width / 2n)) << (width / 2n);
    case 5: return ((any >> (width / 2n)) << (width / 2n)) | BigInt(draw(2));
    case 6: return any & (all << BigInt(draw(Number(width))));
    default: return any;
  }
}

function compose(size: 32 | 64, exponent: number, fraction: bigint, negative: boolean): bigint {
  const { fraction: width, top } = LAYOUT[size];
  const field = Math.max(0, Math.min(top, exponent));
  return (negative ? 1n << BigInt(size - 1) : 0n) | (BigInt(field) << BigInt(width)) | fraction;
}
const exponentOf = (size: 32 | 64, value: bigint): number => Number(value >> BigInt(LAYOUT[size].fraction)) & LAYOUT[size].top;

/** Zeros, infinities, NaNs, least and greatest numbers, one, and their neighbours. */
function special(size: 32 | 64, draw: Draw): bigint {
  const { fraction, top, bias } = LAYOUT[size];
  const one = 1n << BigInt(fraction);
  const values = [0n, 1n, one - 1n, one, one + 1n, BigInt(bias) * one, BigInt(bias) * one + 1n, BigInt(top) * one - 1n, BigInt(top) * one, BigInt(top) * one + 1n, BigInt(top) * one + one / 2n, BigInt(bias + 1) * one];
  return values[draw(values.length)]! | (draw(2) === 0 ? 0n : 1n << BigInt(size - 1));
}

function toNumber(size: 32 | 64, value: bigint): number {
  if (size === 64) { long[0] = value; return double[0]!; }
  halves[0] = Number(BigInt.asIntN(32, value));
  return single[0]!;
}
function toBits(size: 32 | 64, value: number): bigint {
  if (size === 64) { double[0] = value; return long[0]!; }
  single[0] = value;
  return BigInt(halves[0]! >>> 0);
}
/** Some units in the last place away; never from one sign to the other. */
function near(size: 32 | 64, value: bigint, draw: Draw): bigint {
  const sign = 1n << BigInt(size - 1);
  const magnitude = value & (sign - 1n);
  const moved = magnitude + BigInt(draw(7)) - 3n;
  return (value & sign) | (moved < 0n ? 0n : moved & (sign - 1n));
}
const negated = (size: 32 | 64, value: bigint): bigint => value ^ (1n << BigInt(size - 1));

/** An integer, or a half or a quarter from one, near a power of two. */
function drawInteger(size: 32 | 64, draw: Draw): bigint {
  const { fraction, bias } = LAYOUT[size];
  const power = [0, 1, 23, 24, 25, 31, 32, 33, 52, 53, 54, 62, 63, 64, draw(70)][draw(15)]!;
  const base = compose(size, bias + power, draw(2) === 0 ? 0n : drawFraction(size, draw), draw(2) === 0);
  if (draw(2) === 0) return near(size, base, draw);
  // Cut off below the point, or one or two bits behind it.
  const keep = Math.max(0, Math.min(fraction, power + draw(3)));
  return (base >> BigInt(fraction - keep)) << BigInt(fraction - keep);
}

const drawLong = (draw: Draw): bigint => {
  const any = bits64(draw);
  switch (draw(6)) {
    case 0: return any;
    case 1: return any >> BigInt(draw(64));
    case 2: return BigInt.asUintN(64, (1n << BigInt(draw(64))) + BigInt(draw(9)) - 4n);
    // A tie when it is rounded to 24 or 53 bits, or next to one.
    case 3: case 4: {
      const length = BigInt(54 + draw(11));
      const cut = length - (draw(2) === 0 ? 53n : 24n);
      return BigInt.asUintN(64, ((((1n << (length - 1n)) | (any & ((1n << (length - 1n)) - 1n))) >> cut) << cut) + (1n << (cut - 1n)) + BigInt(draw(3)) - 1n);
    }
    default: return BigInt.asUintN(64, -(any >> BigInt(draw(64))));
  }
};

/** Three operands that matter to a kind of operation. */
export function drawOperands({ size, kind }: Operation, draw: Draw): readonly [bigint, bigint, bigint] {
  const { fraction, top, bias } = LAYOUT[size];
  const number = (exponent: number): bigint => compose(size, exponent, drawFraction(size, draw), draw(2) === 0);
  const anywhere = (): bigint => (draw(12) === 0 ? special(size, draw) : number(draw(4) === 0 ? draw(top) : bias - 40 + draw(80)));
  if (kind === 'integer') return [draw(8) === 0 ? anywhere() : drawInteger(size, draw), anywhere(), anywhere()];
  if (kind === 'from-integer') return [drawLong(draw), drawLong(draw), 0n];
  const a = anywhere();
  const exponent = exponentOf(size, a);
  if (kind === 'one') {
    // Where a double is rounded to a single, squares and their neighbours.
    if (draw(3) === 0) return [near(size, toBits(size, toNumber(size, a) ** 2), draw), a, a];
    if (size === 64 && draw(2) === 0) return [number(1023 + [-150, -149, -127, -126, -125, 126, 127, 128][draw(8)]!) & ~(draw(2) === 0 ? 0xfff_ffffn : 0n), a, a];
    return [a, a, a];
  }
  if (kind === 'sum') {
    switch (draw(6)) {
      case 0: return [a, near(size, a, draw), a];
      case 1: return [a, near(size, negated(size, a), draw), a];
      case 2: return [a, number(exponent - fraction + draw(5) - 3), a];
      case 3: return [a, number(exponent + draw(7) - 3), a];
      case 4: return [number(top - 1 - draw(2)), number(top - 1 - draw(2 + fraction)), a];
      default: return [a, anywhere(), a];
    }
  }
  /** The exponents of products at the edges. */
  const edge = (): number => [1 - fraction - 2, 1 - fraction, 0, 1, 2, 1, 0, top - 2, top - 1, top, bias][draw(11)]! + draw(3) - 1;
  if (kind === 'product' || kind === 'quotient') {
    const target = draw(3) === 0 ? edge() : bias - 30 + draw(60);
    let b = number(kind === 'product' ? target + bias - exponent : exponent + bias - target);
    // Just around a number, the least normal one among them.
    if (draw(3) === 0) b = near(size, toBits(size, kind === 'product' ? toNumber(size, number(edge())) / toNumber(size, a) : toNumber(size, a) / toNumber(size, number(edge()))), draw);
    if (draw(16) === 0) b = special(size, draw);
    return [a, b, a];
  }
  const b = draw(3) === 0 ? number(edge() + bias - exponent) : draw(12) === 0 ? special(size, draw) : number(bias - 30 + draw(60));
  const product = toBits(size, toNumber(size, a) * toNumber(size, b));
  const sum = exponentOf(size, product);
  switch (draw(7)) {
    // Cancels, but for what the product's rounding left.
    case 0: return [a, b, near(size, negated(size, product), draw)];
    case 1: return [a, b, near(size, product, draw)];
    // Half a unit in the last place of one by the other, and near it.
    case 2: return [a, b, compose(size, sum + fraction + draw(5) - 2, drawFraction(size, draw), draw(2) === 0)];
    case 3: return [a, b, compose(size, sum - fraction + draw(5) - 2, draw(2) === 0 ? 0n : drawFraction(size, draw), draw(2) === 0)];
    case 4: return [a, b, compose(size, sum - 2 * fraction + draw(2 * fraction), drawFraction(size, draw), draw(2) === 0)];
    case 5: return [a, b, draw(2) === 0 ? special(size, draw) : compose(size, draw(4), drawFraction(size, draw), draw(2) === 0)];
    default: return [a, b, anywhere()];
  }
}

/** The same for both halves of a vector: of each operand the low and the high one. Singles lie two to a half. */
function drawVectors(operation: Operation, draw: Draw): readonly (readonly [bigint, bigint])[] {
  const half = (): readonly bigint[] => {
    const lower = drawOperands(operation, draw);
    if (operation.size === 64 || operation.kind === 'from-integer') return lower;
    const upper = drawOperands(operation, draw);
    return lower.map((value, index) => value | (upper[index]! << 32n));
  };
  const [low, high] = [half(), half()];
  return low.map((value, index) => [value, high[index]!]);
}

const FPCR = slot('FPCR'), FPSR = slot('FPSR');
const IXC = 16n;
/** RMode, FZ, DN: nothing set in seven of eight. */
const drawFpcr = (draw: Draw): bigint => (draw(8) === 0 ? BigInt(draw(4)) << 22n | BigInt(draw(2)) << 24n | BigInt(draw(2)) << 25n : draw(4) === 0 ? 1n << 25n : 0n);

function boardOf(engine: Bare['board']['engine']): Bare {
  const bare = bareCore({ el: 1, el2: 'none', ramBytes: 0x20_0000, engine });
  set(bare.core, 'CPACR_EL1', 3n << 20n);
  // Normal memory, for the loops.
  bare.memory.words[(bare.memory.regions.find(({ name }) => name === 'ram')!.offset + 0x10_0008) / 8] = BigInt(RAM) | 0x701n;
  for (const [name, value] of [['TTBR0_EL1', BigInt(RAM + 0x10_0000)], ['TCR_EL1', 25n | (1n << 23n) | (5n << 32n)], ['MAIR_EL1', 0xffn], ['SCTLR_EL1', 0x30d0_0981n]] as const) set(bare.core, name, value);
  if (engine !== 'reference') bare.board.execution = new Interpreter(bare.board, EAGER);
  setPstate(bare.core, 1, 0x3c0);
  return bare;
}

const V = (register: number): number => Word.VECTOR + 2 * register;

interface Given { readonly operands: readonly bigint[]; readonly fpcr: bigint; readonly fpsr: bigint }
const text = ({ operands, fpcr, fpsr }: Given, name: string): string => `${name} of ${operands.map((value) => `0x${value.toString(16)}`).join(', ')} under FPCR 0x${fpcr.toString(16)}, FPSR 0x${fpsr.toString(16)}`;
const found = ({ words: block }: Core): string => `X0 0x${block[0]!.toString(16)} V0 0x${block[V(0)]!.toString(16)} 0x${block[V(0) + 1]!.toString(16)} FPSR 0x${block[FPSR]!.toString(16)} NZCV ${block[Word.NZCV]}`;

/** Runs `operation` on `cases` sets of operands, one by one, on the reference engine and the interpreter. What differs, as text. */
export function compareOne(operation: Operation, cases: number, draw: Draw): readonly string[] {
  const boards = [boardOf('reference'), boardOf('interpreter')];
  const word = assemble(operation.text, BigInt(RAM));
  for (const { memory } of boards) program(memory, RAM, [word, 0xd503_201f]);
  const [ours, theirs] = boards.map(({ core }) => core) as [Core, Core];
  const differences: string[] = [];
  for (let done = 0; done < cases; done++) {
    const [a, b, c] = drawVectors(operation, draw) as [readonly [bigint, bigint], readonly [bigint, bigint], readonly [bigint, bigint]];
    const given: Given = { operands: [...a, ...b, ...c], fpcr: drawFpcr(draw), fpsr: draw(6) === 0 ? BigInt(draw(32)) & ~IXC : IXC | (draw(4) === 0 ? BigInt(draw(16)) : 0n) };
    for (const { words: block } of [ours, theirs]) {
      block[1] = a[0];
      block[Word.PC] = BigInt(RAM);
      block[FPCR] = given.fpcr;
      block[FPSR] = given.fpsr;
      for (const [register, [low, high]] of [[1, a], [2, b], [3, c], [0, c]] as const) {
        block[V(register)] = low;
        block[V(register) + 1] = high;
      }
    }
    run(ours, 1);
    run(theirs, 1);
    if (ours.words[0] !== theirs.words[0] || ours.words[V(0)] !== theirs.words[V(0)] || ours.words[V(0) + 1] !== theirs.words[V(0) + 1] || ours.words[FPSR] !== theirs.words[FPSR] || ours.words[Word.NZCV] !== theirs.words[Word.NZCV]) {
      differences.push(`${text(given, operation.text)}: ${found(ours)}, but ${found(theirs)}`);
    }
  }
  return differences;
}

const CHUNK = 32;
const IN = RAM + 0x8_0000, OUT = RAM + 0x9_0000;

/** The same in a loop that the translator has made a region of, `CHUNK` cases at a time. */
export function compareLoop(operation: Operation, cases: number, draw: Draw): readonly string[] {
  const boards = [boardOf('reference'), boardOf('translator')];
  const [x, v] = [9, V(0)];
  const code = words(`movz x8, #${CHUNK}\nloop: ldp q1, q2, [x9]; ldr q3, [x9, #32]; ldr q0, [x9, #32]; ldr x1, [x9]; ${operation.text}; mrs_nzcv; str q0, [x10], #16; str x0, [x10], #16\nadd x9, x9, #48; sub x8, x8, #1; cbnz x8, {loop}\nend: b {end}`.replace('mrs_nzcv', 'csel x2, x8, x9, ge; str x2, [x10, #24]'), RAM);
  const insns = 1 + 14 * CHUNK;
  for (const { memory } of boards) program(memory, RAM, code);
  const [ours, theirs] = boards as [Bare, Bare];
  const differences: string[] = [];
  for (let done = 0; done < cases; done += CHUNK) {
    const fpcr = drawFpcr(draw), fpsr = draw(6) === 0 ? 0n : IXC;
    const all = Array.from({ length: CHUNK }, () => drawVectors(operation, draw).flat());
    const input = BigUint64Array.from(all.flat());
    for (const { memory, core } of boards) {
      const at = memory.regions.find(({ name }) => name === 'ram')!.offset + (IN - RAM);
      memory.words.set(input, at / 8);
      core.words[x] = BigInt(IN);
      core.words[10] = BigInt(OUT);
      core.words[0] = 0n;
      core.words[v] = 0n;
      core.words[Word.PC] = BigInt(RAM);
      core.words[FPCR] = fpcr;
      core.words[FPSR] = fpsr;
    }
    for (const { core } of boards) run(core, insns);
    const [first, second] = boards.map(({ memory }) => memory.words.subarray((memory.regions.find(({ name }) => name === 'ram')!.offset + (OUT - RAM)) / 8).subarray(0, 4 * CHUNK)) as [BigUint64Array, BigUint64Array];
    for (const [index, one] of all.entries()) {
      if ([0, 1, 2, 3].some((word) => first[4 * index + word] !== second[4 * index + word])) differences.push(`in a loop, ${text({ operands: one, fpcr, fpsr }, operation.text)}: ${first[4 * index]!.toString(16)} ${first[4 * index + 2]!.toString(16)}, but ${second[4 * index]!.toString(16)} ${second[4 * index + 2]!.toString(16)}`);
    }
    if (ours.core.words[FPSR] !== theirs.core.words[FPSR]) differences.push(`in a loop of ${operation.text}, FPSR 0x${ours.core.words[FPSR]!.toString(16)}, but 0x${theirs.core.words[FPSR]!.toString(16)}, under FPCR 0x${fpcr.toString(16)}; ${all.map((one) => one.map((value) => `0x${value.toString(16)}`).join(' ')).join('; ')}`);
  }
  return differences;
}
