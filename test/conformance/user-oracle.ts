/** Runs blocks of random user-level instructions in our core and under qemu-aarch64, and finds the instruction where they part. */

import type { EngineName } from '../../machines/aarch64/board.ts';
import { decode } from '../../machines/aarch64/decode.ts';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import type { Row } from '../../machines/aarch64/row.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word, elOf, type Core } from '../../machines/aarch64/state.ts';
import { hasSlot, slot } from '../../machines/aarch64/sysregs.ts';
import { Ec } from '../../machines/aarch64/syndrome.ts';
import { readBytes, writeBytes, writeWord, type Memory } from '../../machines/memory/memory.ts';
import { bareCore, set } from '../support/core.ts';
import { Part, RECORD_BYTES, RECORD_WORDS, SANDBOX_BYTES, Stop, randomStates } from './random-state.ts';
import { KNOWN_DIFFERENCES, NOT_DRAWN, USER_ROWS, randomUnit, type Unit } from './random-words.ts';
import { IMAGE, QEMU, SANDBOX, makeImage, runQemu, type Block, type Image, type Task } from './user-guest.ts';

export { NOT_DRAWN, QEMU, USER_ROWS };

export const ENGINES: readonly EngineName[] = ['reference', 'interpreter', 'translator'];

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

/** How much one batch is. Each block runs from several states: translating fresh code is what QEMU spends its time on. */
export interface Size { readonly blocks: number; readonly units: number; readonly states: number; readonly runs: number }
export const FULL: Size = { blocks: 1000, units: 24, states: 61, runs: 5 };

/** An instruction that left one state here and another under QEMU. */
export interface Difference {
  readonly row: string;
  /** The instructions, those that prepare included, with their words. */
  readonly text: readonly string[];
  /** Whether it differs when it runs alone from the state that both had before it. */
  readonly alone: boolean;
  /** The name of the known difference that this is. */
  readonly known: string | undefined;
  /** What differs: `V3 qemu 0x… ours 0x… before 0x…`. */
  readonly parts: readonly string[];
}

export interface BatchResult {
  /** Distinct random instructions, and how often they were executed: by row. */
  readonly distinct: ReadonlyMap<string, number>;
  readonly executed: ReadonlyMap<string, number>;
  /** Instructions executed that only prepare others, about: those passed over by branches are counted. */
  readonly preparing: number;
  readonly differences: readonly Difference[];
  /** Runs of a block that differed and were not looked at further. */
  readonly unexplained: number;
}

/** Most runs of a batch that are bisected. */
const BISECTED_MAX = 60;

/** Batch `number` of `seed`: rows in turn, in a random order. */
export async function runBatch(engine: EngineName, seed: number, number: number, size: Size = FULL, rows: readonly Row[] = USER_ROWS): Promise<BatchResult> {
  const random = randomNumbers((Math.imul(seed, 0x85eb_ca6b) ^ Math.imul(number + 1, 0xc2b2_ae35)) >>> 0);
  const blocks = makeBlocks(rows, size, random);
  const states = randomStates(size.states, random);
  const tasks = blocks.flatMap((_, block) => Array.from({ length: size.runs }, (__, time): Task => ({ block, state: (block * size.runs + time) % size.states })));
  const { theirs, ours } = await runBoth(engine, blocks, states, tasks);
  const differing = tasks.flatMap((task, index) => (same(theirs, ours, index) ? [] : [task]));
  const distinct = new Map<string, number>(), executed = new Map<string, number>();
  let preparing = 0;
  for (const { units } of blocks) {
    preparing += 3 * size.runs;
    for (const { row, drawn, items } of units) {
      distinct.set(row.name, (distinct.get(row.name) ?? 0) + 1);
      executed.set(row.name, (executed.get(row.name) ?? 0) + size.runs);
      preparing += (items.length - drawn.length) * size.runs;
    }
  }
  const differences = await bisect(engine, blocks, states, differing.slice(0, BISECTED_MAX));
  return { distinct, executed, preparing, differences, unexplained: Math.max(0, differing.length - BISECTED_MAX) };
}

function makeBlocks(rows: readonly Row[], size: Size, random: () => number): readonly Block[] {
  const place = { core: flatCore('reference').core, sandbox: SANDBOX };
  const order = rows.slice();
  const blocks: Block[] = [];
  let turn = order.length;
  while (blocks.length < size.blocks) {
    const units: Unit[] = [];
    while (units.length < size.units) {
      if (turn === order.length) {
        turn = 0;
        for (let index = order.length - 1; index > 0; index -= 1) {
          const other = random() % (index + 1);
          [order[index], order[other]] = [order[other]!, order[index]!];
        }
      }
      const unit = randomUnit(order[turn]!, place, random);
      turn += 1;
      if (unit !== undefined) units.push(unit);
    }
    blocks.push({ units });
  }
  return blocks;
}

/** The outcomes of the tasks in both worlds. QEMU runs in its own process meanwhile. */
async function runBoth(engine: EngineName, blocks: readonly Block[], states: BigUint64Array, tasks: readonly Task[]): Promise<{ theirs: BigUint64Array; ours: BigUint64Array }> {
  const image = makeImage(blocks, states, tasks);
  const running = runQemu(image, tasks.length);
  const ours = runOurs(engine, image, states, tasks);
  return { theirs: await running, ours };
}

const same = (theirs: BigUint64Array, ours: BigUint64Array, index: number): boolean =>
  Buffer.compare(bytesOf(theirs, index), bytesOf(ours, index)) === 0;
const bytesOf = (records: BigUint64Array, index: number): Uint8Array => new Uint8Array(records.buffer, records.byteOffset + index * RECORD_BYTES, RECORD_BYTES);
const recordOf = (records: BigUint64Array, index: number): BigUint64Array => records.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS);

/** Finds in each run of a block the first instruction behind which the states differ, by running every beginning of the block; then runs it alone. */
async function bisect(engine: EngineName, blocks: readonly Block[], states: BigUint64Array, differing: readonly Task[]): Promise<readonly Difference[]> {
  if (differing.length === 0) return [];
  const beginnings = differing.flatMap(({ block }) => blocks[block]!.units.map((_, last): Block => ({ units: blocks[block]!.units.slice(0, last + 1) })));
  let at = 0;
  const tasks = differing.flatMap(({ block, state }) => blocks[block]!.units.map((): Task => ({ block: at++, state })));
  const { theirs, ours } = await runBoth(engine, beginnings, states, tasks);
  const guilty: { unit: Unit; before: BigUint64Array; theirs: BigUint64Array; ours: BigUint64Array }[] = [];
  let start = 0;
  for (const { block, state } of differing) {
    const { units } = blocks[block]!;
    const first = units.findIndex((_, index) => !same(theirs, ours, start + index));
    // Differing as a whole and in no beginning would be a difference between two runs of one program.
    const index = first < 0 ? units.length - 1 : first;
    const before = index === 0 ? recordOf(states, state) : recordOf(ours, start + index - 1);
    guilty.push({ unit: units[index]!, before, theirs: recordOf(theirs, start + index), ours: recordOf(ours, start + index) });
    start += units.length;
  }
  const befores = new BigUint64Array(guilty.length * RECORD_WORDS);
  for (const [index, { before }] of guilty.entries()) {
    befores.set(before, index * RECORD_WORDS);
    befores[index * RECORD_WORDS + Part.STOP] = 0n;
  }
  const alone = guilty.map(({ unit }): Block => ({ units: [unit] }));
  const again = await runBoth(engine, alone, befores, alone.map((_, index) => ({ block: index, state: index })));
  return guilty.map(({ unit, before, theirs: their, ours: our }, index) => {
    const differs = !same(again.theirs, again.ours, index);
    const text = textOf(unit);
    const parts = differs ? partsOf(recordOf(befores, index), recordOf(again.theirs, index), recordOf(again.ours, index)) : partsOf(before, their, our);
    const fields = decode(unit.drawn[0]!).fields;
    const known = KNOWN_DIFFERENCES.find(({ holds }) => holds(unit.row, fields, before, differs))?.name;
    return { row: unit.row.name, text, alone: differs, known, parts: [...parts, operandsOf(text, before)] };
  });
}

/** The words of a unit as they stand at address 0, with constants a kilobyte on. */
function textOf({ items }: Unit): readonly string[] {
  const constants: bigint[] = [];
  const text = items.map((item, index) => {
    const before = constants.length;
    const word = typeof item === 'number' ? item : item(4 * index, (value) => 1024 + 8 * (constants.push(value) - 1));
    return `${word.toString(16).padStart(8, '0')} ${disassemble(word, BigInt(4 * index))}${constants.length > before ? ` = ${hexadecimal(constants.at(-1)!)}` : ''}`;
  });
  return text;
}

/** The registers that a text names, before it. */
function operandsOf(text: readonly string[], before: BigUint64Array): string {
  const names = new Set(text.flatMap((line) => [...line.slice(8).matchAll(/\b([xwvqdshb])(\d+)\b/g)].map(([, kind, number]) => `${kind === 'x' || kind === 'w' ? 'X' : 'V'}${number}`)));
  const value = (name: string): bigint => {
    const number = Number(name.slice(1));
    return name.startsWith('X') ? before[number]! : before[Part.V + 2 * number]! | (before[Part.V + 2 * number + 1]! << 64n);
  };
  return `before: ${[...names].map((name) => `${name} ${hexadecimal(value(name))}`).join(', ')}`;
}

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;

function partsOf(before: BigUint64Array, theirs: BigUint64Array, ours: BigUint64Array): readonly string[] {
  const parts: string[] = [];
  const compare = (name: string, from: number, words = 1): void => {
    const value = (record: BigUint64Array): string => hexadecimal(words === 2 ? record[from]! | (record[from + 1]! << 64n) : record[from]!);
    if (value(theirs) !== value(ours)) parts.push(`${name} qemu ${value(theirs)} ours ${value(ours)} before ${value(before)}`);
  };
  for (let register = 0; register < 31; register += 1) compare(`X${register}`, register);
  compare('SP', Part.SP);
  compare('NZCV', Part.NZCV);
  compare('FPSR', Part.FPSR);
  compare('FPCR', Part.FPCR);
  compare('stop', Part.STOP);
  for (let register = 0; register < 32; register += 1) compare(`V${register}`, Part.V + 2 * register, 2);
  for (let word = Part.SANDBOX; word < RECORD_WORDS; word += 1) compare(`sandbox+${8 * (word - Part.SANDBOX)}`, word);
  return parts.length === 0 ? [] : [...parts, `with FPCR ${hexadecimal(before[Part.FPCR]!)} FPSR ${hexadecimal(before[Part.FPSR]!)} NZCV ${hexadecimal(before[Part.NZCV]!)}`];
}

/** A core at EL0 with a flat map of 1 GiB of normal memory, and vectors that are endless loops. */
export function flatCore(engine: EngineName): { core: Core; memory: Memory } {
  const { core, memory } = bareCore({ el: 0, el2: 'none', ramBytes: 0x280_0000, engine });
  // One level-1 table for a 39-bit space; entry 1 is a block at 0x4000_0000: AF, inner shareable, EL0 may read and write.
  const table = 0x4000_0000;
  writeWord(memory, table + 8, 0x4000_0000n | 0x741n);
  set(core, 'TTBR0_EL1', BigInt(table));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (1n << 8n) | (1n << 10n) | (3n << 12n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  // RES1 bits and M; without SA0 as in QEMU's user mode, UCT, UCI and DZE set.
  set(core, 'SCTLR_EL1', 0x30d0_0980n | 1n | (1n << 14n) | (1n << 15n) | (1n << 26n));
  set(core, 'CPACR_EL1', 3n << 20n);
  set(core, 'VBAR_EL1', BigInt(VECTORS));
  for (let vector = 0; vector < 16; vector += 1) writeWord(memory, VECTORS + 0x80 * vector, BigInt(STAY));
  return { core, memory };
}

const VECTORS = 0x4000_2000;
/** B to itself. */
const STAY = 0x1400_0000;

const SP_EL0 = slot('SP_EL0');
const FPCR = hasSlot('FPCR') ? slot('FPCR') : undefined;
const FPSR = hasSlot('FPSR') ? slot('FPSR') : undefined;
const ELR_EL1 = slot('ELR_EL1'), ESR_EL1 = slot('ESR_EL1');
const USER_PSTATE = 0x3c0n;

function runOurs(engine: EngineName, image: Image, states: BigUint64Array, tasks: readonly Task[]): BigUint64Array {
  const { core, memory } = flatCore(engine);
  writeBytes(memory, IMAGE, image.bytes);
  writeBytes(memory, image.after, Uint8Array.of(0, 0, 0, STAY >>> 24));
  const outcomes = new BigUint64Array(tasks.length * RECORD_WORDS);
  for (const [index, { block, state }] of tasks.entries()) {
    const { address, words } = image.blocks[block]!;
    runOne(core, memory, recordOf(states, state), address, words, image.after, recordOf(outcomes, index));
  }
  return outcomes;
}

const TPIDR_EL0 = slot('TPIDR_EL0');

function runOne(core: Core, memory: Memory, state: BigUint64Array, address: number, length: number, after: number, outcome: BigUint64Array): void {
  const { words } = core;
  words.set(state.subarray(0, 31));
  words[TPIDR_EL0] = state[30]!;
  words[SP_EL0] = state[Part.SP]!;
  words[Word.NZCV] = state[Part.NZCV]! >> 28n;
  if (FPSR !== undefined) words[FPSR] = state[Part.FPSR]!;
  if (FPCR !== undefined) words[FPCR] = state[Part.FPCR]!;
  words.set(state.subarray(Part.V, Part.V + 64), Word.VECTOR);
  words[Word.PSTATE] = USER_PSTATE;
  words[Word.MONITOR] = 0n;
  words[Word.PC] = BigInt(address);
  writeBytes(memory, SANDBOX, new Uint8Array(state.buffer, state.byteOffset + 8 * Part.SANDBOX, SANDBOX_BYTES));
  let stop = 0n;
  try {
    // The block, and the loop behind it.
    const { end } = run(core, length + 2);
    if (end.type !== 'budget') stop = BigInt(Stop.HOLE) << 56n;
    else if (elOf(core) !== 0) stop = (BigInt(signalOf(core)) << 56n) | words[ELR_EL1]!;
    else if (words[Word.PC] !== BigInt(after)) stop = (BigInt(Stop.ASTRAY) << 56n) | words[Word.PC]!;
  } catch (error) {
    stop = (BigInt(Stop.THROWN) << 56n) | words[Word.PC]!;
    thrown.add(error instanceof Error ? error.message : String(error));
  }
  outcome.set(words.subarray(0, 31));
  outcome[Part.SP] = words[SP_EL0]!;
  outcome[Part.NZCV] = words[Word.NZCV]! << 28n;
  outcome[Part.FPSR] = FPSR === undefined ? state[Part.FPSR]! : words[FPSR]!;
  outcome[Part.FPCR] = FPCR === undefined ? state[Part.FPCR]! : words[FPCR]!;
  outcome[Part.STOP] = stop;
  outcome.set(words.subarray(Word.VECTOR, Word.VECTOR + 64), Part.V);
  new Uint8Array(outcome.buffer, outcome.byteOffset + 8 * Part.SANDBOX, SANDBOX_BYTES).set(readBytes(memory, SANDBOX, SANDBOX_BYTES));
}

/** What our core threw that was no exception of the guest. */
export const thrown = new Set<string>();

/** The signal that Linux makes of an exception from EL0. */
function signalOf(core: Core): number {
  const esr = core.words[ESR_EL1]!;
  const ec = Number(esr >> 26n) & 63;
  if (ec === Ec.UNKNOWN || ec === Ec.ILLEGAL_STATE) return Stop.ILLEGAL;
  if (ec === Ec.BRK) return Stop.TRAP;
  if (ec === Ec.PC_ALIGNMENT || ec === Ec.SP_ALIGNMENT || (Number(esr) & 0x3f) === 0x21) return Stop.ALIGNMENT;
  return Stop.ADDRESS;
}
