/** Lock-step with qemu-system-aarch64 through its gdb port: the same registers after every step of a program at EL2, EL1 and EL0. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import { registerByEncoding, registerByName, registerOfWord, slot, FIRST_SYSTEM_WORD, SYSTEM_WORDS } from '../../machines/aarch64/sysregs.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Pstate, Word, stackWord, type Core } from '../../machines/aarch64/state.ts';
import { readBytes, writeBytes, type Memory } from '../../machines/memory/memory.ts';
import { bareCore } from '../support/core.ts';
import { QEMU_SYSTEM, hexOf, startQemu, transfer, valueOf, type Gdb } from '../support/gdb-remote.ts';
import { IDENTIFICATION, NOT_ACCESSED, randomSystemProgram, type SystemProgram } from './system-program.ts';
import { randomNumbers, type Engine } from './user-oracle.ts';

export { QEMU_SYSTEM };

const RAM_BYTES = 0x400_0000;
/** What QEMU has and we do not is switched off where QEMU can, and not used where it cannot. */
const QEMU_CPU = 'max,sve=off,sme=off,pauth=off,lpa2=off';

export interface StepResult {
  readonly title: string;
  readonly steps: number;
  /** How often each exception was taken: `EL1 from EL0 ec=24`. */
  readonly taken: ReadonlyMap<string, number>;
  /** How often each known difference was met. */
  readonly adopted: ReadonlyMap<string, number>;
  /** Steps at EL0, EL1 and EL2. */
  readonly levels: readonly [number, number, number];
  /** How often all system registers and vectors were compared. */
  readonly inFull: number;
  /** What differed first, if anything did. */
  readonly difference: readonly string[] | undefined;
}

/** PSTATE as both show it: BTYPE belongs to FEAT_BTI, TCO to FEAT_MTE, ALLINT to FEAT_NMI, which are not compared. */
const PSTATE_MASK = ~((3 << 10) | Pstate.TCO | (1 << 13)) >>> 0;

/** A bare core and its memory, with what QEMU's virt board does not have removed. */
function bare(): { core: Core; memory: Memory } {
  const { core, memory, board } = bareCore({ el2: 'guest', el: 2, ramBytes: RAM_BYTES, features: { nv: 2, paBits: 48 } });
  Object.assign(board, { deviceAt: () => undefined });
  return { core, memory };
}

export function systemTarget(): { hardware: Core['board'] } {
  return { hardware: bare().core.board };
}

/** Program `number` of `seed`, for at most `steps`. */
export function runRandomProgram(engine: Engine, seed: number, number: number, steps: number): StepResult {
  const random = randomNumbers((Math.imul(seed, 0x85eb_ca6b) ^ Math.imul(number + 1, 0xc2b2_ae35)) >>> 0);
  return lockStep(engine, randomSystemProgram(random, systemTarget()), steps);
}

/** All system registers are compared once in so many steps. */
const INTERVAL = 1000;

/** Runs a program in both. A difference that shows only where all registers are compared is looked for again, step by step. */
export function lockStep(engine: Engine, program: SystemProgram, steps: number): StepResult {
  const first = attempt(engine, program, steps, undefined);
  if (first.difference === undefined || !first.late) return first;
  return attempt(engine, program, first.steps, first.steps - INTERVAL - 1);
}

function attempt(engine: Engine, program: SystemProgram, steps: number, inFullFrom: number | undefined): StepResult & { late: boolean } {
  if (engine !== 'reference') throw new RangeError(`there is no engine called ${engine} yet`);
  const { core, memory } = bare();
  for (const { address, bytes } of program.parts) writeBytes(memory, address, bytes);
  const gdb = startProgram(program);
  try {
    return follow(core, memory, gdb, program, steps, inFullFrom);
  } finally {
    gdb.close();
  }
}

function startProgram({ parts, entry }: SystemProgram): Gdb {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-program-'));
  try {
    const from = Math.min(...parts.map(({ address }) => address));
    const image = new Uint8Array(Math.max(...parts.map(({ address, bytes }) => address + bytes.length)) - from);
    for (const { address, bytes } of parts) image.set(bytes, address - from);
    const path = join(folder, 'program.bin');
    writeFileSync(path, image);
    const gdb = startQemu([
      '-M', 'virt,virtualization=on,gic-version=3', '-cpu', QEMU_CPU, '-m', String(RAM_BYTES >>> 20), '-display', 'none', '-serial', 'none', '-monitor', 'none', '-nodefaults',
      '-device', `loader,file=${path},addr=0x${from.toString(16)},force-raw=on`,
    ]);
    expectOk(gdb.ask(`P20=${hexOf(BigInt(entry), 8)}`));
    return gdb;
  } finally {
    // It was read when QEMU came up.
    rmSync(folder, { recursive: true });
  }
}

function expectOk(answer: string): void {
  if (answer !== 'OK') throw new Error(`gdb port: ${answer}`);
}

/** The general registers as the `g` packet has them: X0 to X30, SP, PC, 8 bytes each, and PSTATE in 4. */
const GENERAL_BYTES = 33 * 8 + 4;

function follow(core: Core, memory: Memory, gdb: Gdb, program: SystemProgram, steps: number, inFullFrom: number | undefined): StepResult & { late: boolean } {
  const registers = sharedRegisters(gdb);
  takeReset(core, gdb, registers, program.entry);
  const ours = new BigUint64Array(34);
  const ourBytes = Buffer.from(ours.buffer, 0, GENERAL_BYTES);
  const theirs = new BigUint64Array(34);
  const theirBytes = Buffer.from(theirs.buffer, 0, GENERAL_BYTES);
  const taken = new Map<string, number>(), adopted = new Map<string, number>();
  const levels: [number, number, number] = [0, 0, 0];
  let inFull = 0, done = 0, standing = 0, late = false;
  let difference: readonly string[] | undefined;
  collect(core, ours);
  while (done < steps) {
    const before = ours.slice();
    const { end } = run(core, 1);
    core.board.outbox.length = core.board.events.length = 0;
    collect(core, ours);
    const stopped = gdb.ask('s');
    if (!stopped.startsWith('T05')) throw new Error(`gdb port: ${stopped}`);
    theirBytes.write(gdb.ask('g'), 'hex');
    theirs[33] = theirs[33]! & BigInt(PSTATE_MASK);
    done += 1;
    // An effect is something said to a device, which is not there.
    if (end.type !== 'budget' && end.type !== 'effect') difference = [`our run ended: ${JSON.stringify(end, (_, value: unknown) => (typeof value === 'bigint' ? hexadecimal(value) : value))}`];
    else if (Buffer.compare(theirBytes, ourBytes) !== 0 && !known({ core, word: wordAt(program, before[32]!), before, ours, theirs }, ourBytes, theirBytes, adopted)) difference = generalDifference(before, theirs, ours);
    else if (done % INTERVAL === 0 || (inFullFrom !== undefined && done >= inFullFrom)) {
      inFull += 1;
      const parts = fullDifference(core, gdb, registers);
      if (parts.length > 0) { difference = parts; late = inFullFrom === undefined; }
    }
    const level = (Number(ours[33]! & 0xcn) >> 2) as 0 | 1 | 2;
    levels[level] += 1;
    note(core, before, ours, level, taken);
    if (difference !== undefined) {
      difference = [`step ${done}: at ${hexadecimal(before[32]!)} ${instructionAt(program, before[32]!)}, PSTATE ${hexadecimal(before[33]!)}`, ...difference, ...contextOf(core)];
      break;
    }
    // A vector that faults by its own fetch goes nowhere.
    standing = ours[32] === before[32] ? standing + 1 : 0;
    if (standing === 8) break;
  }
  if (difference === undefined) difference = memoryDifference(memory, gdb, program);
  return { title: program.title, steps: done, taken, adopted, levels, inFull, difference, late };
}

function collect(core: Core, into: BigUint64Array): void {
  into.set(core.words.subarray(0, 31));
  into[31] = core.words[stackWord(core)]!;
  into[32] = core.words[Word.PC]!;
  into[33] = BigInt(((core.ints[2 * Word.PSTATE]! | (core.ints[2 * Word.NZCV]! << 28)) & PSTATE_MASK) >>> 0);
}

/** A step as it was in both, before and after, and the core that may be put right. */
interface Step {
  readonly core: Core;
  readonly word: number | undefined;
  readonly before: BigUint64Array;
  readonly ours: BigUint64Array;
  readonly theirs: BigUint64Array;
}

/** A way in which QEMU is known to differ: when it holds, our core takes QEMU's side, so that the program can go on, and all else must agree. */
export interface KnownDifference {
  readonly name: string;
  readonly rule: string;
  /** Changes the core and says true where the difference may be this one. */
  adopt(step: Step): boolean;
}

const ERET = 0xd69f_03e0;
const FLAGS = 0xf000_0000n;

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'MRS of an identification register', rule: 'IMPLEMENTATION DEFINED: QEMU has features that we have not',
    adopt({ core, word, theirs }) {
      if (word === undefined || word >>> 20 !== 0xd53) return false;
      const name = registerByEncoding((word >>> 5) & 0xffff)?.name;
      const target = word & 31;
      if (name === undefined || !IDENTIFICATION.test(name) || target === 31) return false;
      core.words[target] = theirs[target]!;
      return true;
    },
  },
  {
    name: 'QEMU clears N, Z, C and V when it takes an exception', rule: 'Arm ARM, AArch64.TakeException: they keep their values',
    adopt({ core, ours, theirs }) {
      if (!isVector(core, ours) || (theirs[33]! & FLAGS) !== 0n) return false;
      core.words[Word.NZCV] = 0n;
      return true;
    },
  },
  {
    name: 'QEMU keeps PSTATE.PAN over an illegal return', rule: 'Arm ARM, SetPSTATEFromSPSR: PAN comes from SPSR regardless of an illegal return',
    adopt({ core, word, before, ours, theirs }) {
      if (word !== ERET || (ours[33]! & BigInt(Pstate.IL)) === 0n || ((theirs[33]! ^ before[33]!) & BigInt(Pstate.PAN)) !== 0n) return false;
      core.ints[2 * Word.PSTATE] = (core.ints[2 * Word.PSTATE]! & ~Pstate.PAN) | (Number(before[33]!) & Pstate.PAN);
      return true;
    },
  },
];

/** Whether the core stands at a vector of the level it is at. */
const isVector = (core: Core, ours: BigUint64Array): boolean => {
  const level = Number(ours[33]! >> 2n) & 3;
  return level !== 0 && (ours[32]! & 0x7fn) === 0n && (ours[32]! & ~0x7ffn) === core.words[slot(`VBAR_EL${level}`)]!;
};

/** Whether what differs is known, and all else agrees. Counts what was adopted. */
function known(step: Step, ourBytes: Buffer, theirBytes: Buffer, counts: Map<string, number>): boolean {
  for (const { name, adopt } of KNOWN_DIFFERENCES) {
    if (!adopt(step)) continue;
    collect(step.core, step.ours);
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (Buffer.compare(theirBytes, ourBytes) === 0) return true;
  }
  return false;
}

/** The instruction word at a virtual address: code is mapped as it is, or at 0xffff_ffff_xxxx_xxxx. */
function wordAt({ parts }: SystemProgram, pc: bigint): number | undefined {
  const low = Number(pc & 0xffff_ffffn);
  const part = parts.find(({ address, bytes }) => low >= address && low + 4 <= address + bytes.length);
  return part === undefined ? undefined : new DataView(part.bytes.buffer, part.bytes.byteOffset).getUint32(low - part.address, true);
}

function instructionAt(program: SystemProgram, pc: bigint): string {
  const word = wordAt(program, pc);
  return word === undefined ? '(no code)' : `${word.toString(16).padStart(8, '0')} ${disassemble(word, pc)}`;
}

function generalDifference(before: BigUint64Array, theirs: BigUint64Array, ours: BigUint64Array): readonly string[] {
  const parts: string[] = [];
  for (let register = 0; register < 34; register += 1) {
    if (theirs[register] !== ours[register]) parts.push(`${NAMES[register]} qemu ${hexadecimal(theirs[register]!)} ours ${hexadecimal(ours[register]!)} before ${hexadecimal(before[register]!)}`);
  }
  return parts;
}
const NAMES: readonly string[] = [...Array.from({ length: 31 }, (_, register) => `X${register}`), 'SP', 'PC', 'PSTATE'];

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;

/** For a report: the registers that say what regime this is. */
const contextOf = (core: Core): readonly string[] => [
  [...['HCR_EL2', 'SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'SCTLR_EL2', 'TCR_EL2', 'VTCR_EL2', 'VTTBR_EL2', 'ESR_EL1', 'FAR_EL1', 'ELR_EL1', 'ESR_EL2', 'FAR_EL2', 'HPFAR_EL2', 'ELR_EL2', 'SPSR_EL2', 'CPTR_EL2', 'MDCR_EL2']]
    .map((name) => `${name} ${hexadecimal(core.words[slot(name)]!)}`).join(', '),
];

/** An exception taken in this step, by what it wrote. */
function note(core: Core, before: BigUint64Array, ours: BigUint64Array, level: number, taken: Map<string, number>): void {
  if (!isVector(core, ours) || before[32] === ours[32]! - 4n) return;
  const name = `EL${level} from EL${Number(before[33]! >> 2n) & 3} ec=${(Number(core.words[slot(`ESR_EL${level}`)]! >> 26n) & 63).toString(16).padStart(2, '0')}`;
  taken.set(name, (taken.get(name) ?? 0) + 1);
}

interface Shared { readonly name: string; readonly number: number; readonly word: number }

/** Registers of system-registers.xml that we keep as well. What is left out has its reason in NOT_COMPARED. */
function sharedRegisters(gdb: Gdb): readonly Shared[] {
  const xml = transfer(gdb, 'features', 'system-registers.xml');
  const numbers = new Map([...xml.matchAll(/name="(\w+)" bitsize="64" regnum="(\d+)"/g)].map(([, name, number]) => [canonical(name!), Number(number)]));
  const shared: Shared[] = [];
  for (let word = FIRST_SYSTEM_WORD; word < FIRST_SYSTEM_WORD + SYSTEM_WORDS; word += 1) {
    const name = registerOfWord(word)!;
    const number = numbers.get(name.toUpperCase());
    if (number !== undefined && !NOT_COMPARED.some(([pattern]) => pattern.test(name))) shared.push({ name, number, word });
  }
  return shared;
}

/** QEMU gives some registers their AArch32 name. */
const canonical = (name: string): string => ({ SCTLR: 'SCTLR_EL1', CPACR: 'CPACR_EL1', VBAR: 'VBAR_EL1', CSSELR: 'CSSELR_EL1', AMAIR0: 'AMAIR_EL1' })[name] ?? name.toUpperCase();

/** Registers that are not compared, by name, and why. */
export const NOT_COMPARED: readonly (readonly [name: RegExp, reason: string])[] = [
  ...NOT_ACCESSED,
  [IDENTIFICATION, 'says which features there are, and QEMU has more'],
  [/^(SP_EL[0-2])$/, 'QEMU keeps the one that is in use elsewhere; SP is compared at every step'],
  [/^(NZCV|DAIF|SPSel|CurrentEL|PAN|UAO|DIT|SSBS|TCO)$/, 'is PSTATE, which is compared at every step'],
];

/** Every shared register gets QEMU's reset value: most are UNKNOWN out of reset. */
function takeReset(core: Core, gdb: Gdb, registers: readonly Shared[], entry: number): void {
  for (const { number, word } of registers) {
    const answer = gdb.ask(`p${number.toString(16)}`);
    if (!answer.startsWith('E')) core.words[word] = valueOf(answer);
  }
  const general = Buffer.from(gdb.ask('g').slice(0, 2 * GENERAL_BYTES), 'hex');
  for (let register = 0; register < 31; register += 1) core.words[register] = general.readBigUInt64LE(8 * register);
  const pstate = general.readUInt32LE(GENERAL_BYTES - 4) & PSTATE_MASK;
  core.words[Word.PSTATE] = BigInt(pstate & 0x0fff_ffff);
  core.words[Word.NZCV] = BigInt(pstate >>> 28);
  core.words[Word.PC] = BigInt(entry);
  core.words[stackWord(core)] = general.readBigUInt64LE(8 * 31);
}

function fullDifference(core: Core, gdb: Gdb, registers: readonly Shared[]): readonly string[] {
  const parts: string[] = [];
  for (const { name, number, word } of registers) {
    const answer = gdb.ask(`p${number.toString(16)}`);
    if (answer.startsWith('E')) continue;
    const [their, our] = [valueOf(answer), core.words[word]!];
    if (their !== our) parts.push(`${name} qemu ${hexadecimal(their)} ours ${hexadecimal(our)}`);
  }
  // V0 to V31 are registers 34 to 65.
  for (let register = 0; register < 32; register += 1) {
    const their = valueOf(gdb.ask(`p${(34 + register).toString(16)}`).slice(0, 32));
    const our = core.words[Word.VECTOR + 2 * register]! | (core.words[Word.VECTOR + 2 * register + 1]! << 64n);
    if (their !== our) parts.push(`V${register} qemu ${hexadecimal(their)} ours ${hexadecimal(our)}`);
  }
  return parts;
}

function memoryDifference(memory: Memory, gdb: Gdb, { watched }: SystemProgram): readonly string[] | undefined {
  // By physical address.
  expectOk(gdb.ask('Qqemu.PhyMemMode:1'));
  for (const { address, bytes } of watched) {
    for (let at = address; at < address + bytes; at += 1024) {
      const their = gdb.ask(`m${at.toString(16)},400`);
      const our = Buffer.from(readBytes(memory, at, 1024)).toString('hex');
      if (their !== our) {
        const first = [...our].findIndex((digit, index) => digit !== their[index]) >> 4;
        return [`memory at ${hexadecimal(BigInt(at + 8 * first))}: qemu ${their.slice(16 * first, 16 * first + 16)} ours ${our.slice(16 * first, 16 * first + 16)} (bytes in order), at the end`];
      }
    }
  }
  return undefined;
}

void registerByName;
