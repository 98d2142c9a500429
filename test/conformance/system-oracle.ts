/** Lock-step with qemu-system-aarch64 through its gdb port: the same registers after every step of a program at EL2, EL1 and EL0. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from '../../machines/aarch64/decode.ts';
import { disassemble } from '../../machines/aarch64/disassemble.ts';
import { registerByEncoding, registerByName, registerOfWord, sanitise, slot, FIRST_SYSTEM_WORD, SYSTEM_WORDS } from '../../machines/aarch64/sysregs.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Pstate, Word, stackWord, type Core } from '../../machines/aarch64/state.ts';
import { readBytes, writeBytes, type Memory } from '../../machines/memory/memory.ts';
import { bareCore } from '../support/core.ts';
import { QEMU_SYSTEM, hexOf, startQemu, transfer, valueOf, type Gdb } from '../support/gdb-remote.ts';
import { FEATURE_NAMES } from '../../machines/aarch64/registers/features.ts';
import { branchAddress } from '../../machines/aarch64/translate.ts';
import { Sctlr, e2h, sctlrIndex } from '../../machines/aarch64/controls.ts';
import { IDENTIFICATION, NOT_ACCESSED, isCode, randomSystemProgram, type SystemProgram } from './system-program.ts';
import { randomNumbers } from './user-oracle.ts';

export { QEMU_SYSTEM };

const RAM_BYTES = 0x400_0000;
/** A processor of QEMU's and what of ours is like it. What only QEMU has is switched off where QEMU can, and not used where it cannot. */
export interface Machine { readonly cpu: string; readonly features: Partial<Core['board']['features']> }
export const MACHINES: readonly Machine[] = [
  // 48 bits of physical address, no AArch32 above EL0, and nearly what we have; without fine-grained traps and pointer authentication of a kind that we know.
  { cpu: 'neoverse-n2,sve=off,pauth=off', features: { nv: 2, paBits: 48, fgt: false, ecv: false, hcx: false, pauth: 'none' } },
  // What it lacks, but with 52 bits of address, FEAT_NMI and much else.
  { cpu: 'max,sve=off,sme=off,pauth-qarma5=on,lpa2=off', features: { nv: 2, paBits: 48, pauth: 'qarma5' } },
];

export interface StepResult {
  readonly title: string;
  readonly steps: number;
  /** How often each exception was taken: `EL1 from EL0 ec=24`. */
  readonly taken: ReadonlyMap<string, number>;
  /** How often each known difference was met. */
  readonly met: ReadonlyMap<string, number>;
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
function bare(engine: EngineName, { features }: Machine): { core: Core; memory: Memory } {
  const { core, memory, board } = bareCore({ el2: 'guest', el: 2, ramBytes: RAM_BYTES, features, engine });
  Object.assign(board, { deviceAt: () => undefined });
  return { core, memory };
}

/** Program `number` of `seed`, for at most `steps`. */
export function runRandomProgram(engine: EngineName, seed: number, number: number, steps: number): StepResult {
  const random = randomNumbers((Math.imul(seed, 0x85eb_ca6b) ^ Math.imul(number + 1, 0xc2b2_ae35)) >>> 0);
  const machine = MACHINES[number % 2]!;
  const { board } = bare(engine, machine).core;
  return lockStep(engine, machine, randomSystemProgram(random, { hardware: board, translated: machine !== MACHINES[0] }), steps);
}

/** Programs in C under programs/, by name. */
export const WRITTEN_PROGRAMS = ['translation'] as const;
const PROGRAMS = join(import.meta.dirname, 'programs');
const GCC = 'aarch64-linux-gnu-gcc';
export const compilerIsThere = (): boolean => spawnSync(GCC, ['--version']).status === 0;

/** No FP, nothing of the host's. */
const GCC_FLAGS = [
  '-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-g0', '-march=armv8.4-a', '-mgeneral-regs-only', '-mstrict-align', '-mno-outline-atomics', '-mbranch-protection=none', '-ffreestanding',
  '-fno-builtin', '-fno-pic', '-fno-stack-protector', '-fno-jump-tables', '-fno-tree-loop-distribute-patterns', '-fno-asynchronous-unwind-tables', '-nostdlib', '-static', '-no-pie',
  '-Wl,--build-id=none', '-Wl,-z,noexecstack', '-Wl,--no-warn-rwx-segments',
];

/** Builds a program and runs it to its end, or for at most `steps`. */
export function runWrittenProgram(engine: EngineName, name: string, steps: number): StepResult {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-program-'));
  try {
    const path = join(folder, `${name}.elf`);
    execFileSync(GCC, [...GCC_FLAGS, `-Wl,-T,${join(PROGRAMS, 'program.lds')}`, '-o', path, join(PROGRAMS, 'start.S'), join(PROGRAMS, `${name}.c`)], { stdio: ['ignore', 'inherit', 'inherit'] });
    return lockStep(engine, MACHINES[0]!, elfProgram(name, readFileSync(path)), steps);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The segments of a static ELF executable. Memory is zero where the file has nothing. */
function elfProgram(title: string, file: Buffer): SystemProgram {
  const headers = Array.from({ length: file.readUInt16LE(56) }, (_, index) => Number(file.readBigUInt64LE(32)) + 56 * index).filter((at) => file.readUInt32LE(at) === 1);
  const parts = headers.map((at) => {
    const from = Number(file.readBigUInt64LE(at + 8));
    return { address: Number(file.readBigUInt64LE(at + 24)), bytes: Uint8Array.from(file.subarray(from, from + Number(file.readBigUInt64LE(at + 32)))) };
  }).filter(({ bytes }) => bytes.length > 0);
  return { title, entry: Number(file.readBigUInt64LE(24)), parts, watched: parts.map(({ address, bytes }) => ({ address, bytes: Math.ceil(bytes.length / 1024) * 1024 })) };
}

/** All system registers are compared once in so many steps. */
const INTERVAL = 1000;
/** Steps before a difference that a report lists. */
const TRAIL_MAX = 16;

/** Runs a program in both. A difference that shows only where all registers are compared is looked for again, step by step. */
export function lockStep(engine: EngineName, machine: Machine, program: SystemProgram, steps: number): StepResult {
  const first = attempt(engine, machine, program, steps, undefined);
  if (first.difference === undefined || !first.late) return first;
  return attempt(engine, machine, program, first.steps, first.steps - INTERVAL - 1);
}

function attempt(engine: EngineName, machine: Machine, program: SystemProgram, steps: number, inFullFrom: number | undefined): StepResult & { late: boolean } {
  const { core, memory } = bare(engine, machine);
  for (const { address, bytes } of program.parts) writeBytes(memory, address, bytes);
  const gdb = startProgram(machine, program, steps);
  try {
    return follow(core, memory, gdb, program, steps, inFullFrom);
  } finally {
    gdb.close();
  }
}

/** Machines are stopped by a clock of the host only when they no longer answer. */
function startProgram({ cpu }: Machine, { parts, entry }: SystemProgram, steps: number): Gdb {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-program-'));
  try {
    const from = Math.min(...parts.map(({ address }) => address));
    const image = new Uint8Array(Math.max(...parts.map(({ address, bytes }) => address + bytes.length)) - from);
    for (const { address, bytes } of parts) image.set(bytes, address - from);
    const path = join(folder, 'program.bin');
    writeFileSync(path, image);
    const gdb = startQemu([
      '-M', 'virt,virtualization=on,gic-version=3', '-cpu', cpu, '-m', String(RAM_BYTES >>> 20), '-display', 'none', '-serial', 'none', '-monitor', 'none', '-nodefaults',
      '-device', `loader,file=${path},addr=0x${from.toString(16)},force-raw=on`,
    ], 60 + Math.ceil(steps / 200));
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
  const numbers = registerNumbers(gdb);
  const registers = sharedRegisters(numbers);
  takeReset(core, gdb, registers, program.entry);
  const ours = new BigUint64Array(34);
  const ourBytes = Buffer.from(ours.buffer, 0, GENERAL_BYTES);
  const theirs = new BigUint64Array(34);
  const theirBytes = Buffer.from(theirs.buffer, 0, GENERAL_BYTES);
  const taken = new Map<string, number>(), met = new Map<string, number>();
  const levels: [number, number, number] = [0, 0, 0];
  const trail: bigint[] = [];
  let inFull = 0, done = 0, standing = 0, late = false, apart = false;
  let difference: readonly string[] | undefined;
  collect(core, ours);
  while (done < steps) {
    const before = ours.slice();
    trail.push(before[32]!);
    if (trail.length > TRAIL_MAX) trail.shift();
    const { end } = run(core, 1);
    core.board.outbox.length = core.board.events.length = 0;
    // Nothing would ever wake either.
    if (end.type === 'wait') break;
    collect(core, ours);
    const stopped = gdb.ask('s');
    if (!stopped.startsWith('T05')) throw new Error(`gdb port: ${stopped}`);
    theirBytes.write(gdb.ask('g'), 'hex');
    theirs[33] = theirs[33]! & BigInt(PSTATE_MASK);
    done += 1;
    // An effect is something said to a device, which is not there.
    if (end.type !== 'budget' && end.type !== 'effect') difference = [`our run ended: ${JSON.stringify(end, (_, value: unknown) => (typeof value === 'bigint' ? hexadecimal(value) : value))}`];
    else {
      const to = isVector(core, ours) && before[32] !== ours[32]! - 4n ? Number(ours[33]! >> 2n) & 3 : 0;
      const exception = to !== 0 && theirs[32] === ours[32] ? { level: to, theirs: syndrome(gdb, numbers, to, core) } : undefined;
      if (exception !== undefined) takeVectors(core, gdb, wordAt(program, before[32]!));
      if (exception !== undefined || Buffer.compare(theirBytes, ourBytes) !== 0) {
        const found = stepDifference({ core, word: wordAt(program, before[32]!), before, ours, theirs, taken: exception, qemu: (name) => ask(gdb, numbers.get(name)!) }, met);
        if (found === 'end') { apart = true; break; }
        if (found.length > 0) difference = [...found, ...(exception === undefined ? said(gdb, numbers) : [])];
      }
    }
    if (difference === undefined && (done % INTERVAL === 0 || (inFullFrom !== undefined && done >= inFullFrom))) {
      inFull += 1;
      const parts = fullDifference(core, gdb, registers);
      if (parts.length > 0) { difference = parts; late = inFullFrom === undefined; }
    }
    const level = (Number(ours[33]! & 0xcn) >> 2) as 0 | 1 | 2;
    levels[level] += 1;
    note(core, before, ours, level, taken);
    if (difference !== undefined) {
      difference = [`step ${done}: at ${hexadecimal(before[32]!)} ${instructionAt(program, before[32]!)}, PSTATE ${hexadecimal(before[33]!)}`, ...difference, ...contextOf(core), ...trail.map((pc) => `before: ${hexadecimal(pc)} ${instructionAt(program, pc)}`)];
      break;
    }
    // A vector that faults by its own fetch goes nowhere.
    standing = ours[32] === before[32] ? standing + 1 : 0;
    if (standing === 8) break;
  }
  if (difference === undefined && !apart) difference = memoryDifference(memory, gdb, program);
  return { title: program.title, steps: done, taken, met, levels, inFull, difference, late };
}

function collect(core: Core, into: BigUint64Array): void {
  into.set(core.words.subarray(0, 31));
  into[31] = core.words[stackWord(core)]!;
  into[32] = core.words[Word.PC]!;
  into[33] = BigInt(((core.ints[2 * Word.PSTATE]! | (core.ints[2 * Word.NZCV]! << 28)) & PSTATE_MASK) >>> 0);
}

/** What an exception wrote, by register name without its level: ESR, FAR, ELR, SPSR and, at EL2, HPFAR. */
type Syndrome = Readonly<Record<string, bigint>>;

/** A step as it was in both, before and after, and the core that may be put right. */
interface Step {
  readonly core: Core;
  readonly word: number | undefined;
  readonly before: BigUint64Array;
  readonly ours: BigUint64Array;
  readonly theirs: BigUint64Array;
  /** The level to which both took an exception, and what QEMU says of it. */
  readonly taken: { readonly level: number; readonly theirs: Syndrome } | undefined;
  /** A system register of QEMU's. */
  qemu(name: string): bigint;
}

const isDataAbort = (esr: bigint): boolean => (esr >> 26n) === 0x24n || (esr >> 26n) === 0x25n;
const isAlignment = (esr: bigint): boolean => (esr & 0x3fn) === 0x21n;

/** A way in which QEMU is known to differ. */
export interface KnownDifference {
  readonly name: string;
  readonly rule: string;
  /**
   * 'adopted' where the difference may be this one and our core was given QEMU's side of it, so that the program can go on: all else must agree then.
   * 'end' where it is this one and the program cannot go on.
   */
  meet(step: Step): 'adopted' | 'end' | undefined;
}

const ERET = 0xd69f_03e0;
const FLAGS = 0xf000_0000n;

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'MRS of an identification register', rule: 'IMPLEMENTATION DEFINED: QEMU has features that we have not',
    meet({ core, word, theirs }) {
      if (word === undefined || word >>> 20 !== 0xd53) return undefined;
      const name = registerByEncoding((word >>> 5) & 0xffff)?.name;
      const target = word & 31;
      if (name === undefined || !IDENTIFICATION.test(name) || target === 31) return undefined;
      core.words[target] = theirs[target]!;
      return 'adopted';
    },
  },
  {
    name: 'RES0 and RES1 bits of a system register', rule: 'QEMU keeps in many registers what is written to them; the Arm ARM lets software not rely on either',
    meet({ core, word, ours, theirs }) {
      if (word === undefined || word >>> 20 !== 0xd53) return undefined;
      const row = registerByEncoding((word >>> 5) & 0xffff);
      const target = word & 31;
      if (row?.writable === undefined || target === 31 || sanitise(row, core.board, e2h(core), theirs[target]!) !== ours[target]) return undefined;
      core.words[target] = theirs[target]!;
      return 'adopted';
    },
  },
  {
    name: 'data that is executed and is an instruction for QEMU only', rule: 'QEMU has features that we have not',
    meet: ({ core, before, ours }) => (isVector(core, ours) && !isCode(before[32]!) && (core.words[slot(`ESR_EL${Number(ours[33]! >> 2n) & 3}`)]! >> 26n) === 0n ? 'end' : undefined),
  },
  {
    name: 'QEMU clears N, Z, C, V and DIT when it takes an exception', rule: 'Arm ARM, AArch64.TakeException: they keep their values',
    meet({ core, taken, theirs }) {
      if (taken === undefined || (theirs[33]! & (FLAGS | BigInt(Pstate.DIT))) !== 0n) return undefined;
      core.words[Word.NZCV] = 0n;
      core.ints[2 * Word.PSTATE] = core.ints[2 * Word.PSTATE]! & ~Pstate.DIT;
      return 'adopted';
    },
  },
  {
    name: 'SPSR_ELx.ALLINT', rule: 'belongs to FEAT_NMI, which QEMU\'s max cannot be without and we have not',
    meet({ core, taken }) {
      if (taken === undefined || (core.words[slot(`SPSR_EL${taken.level}`)]! ^ taken.theirs['SPSR']!) !== 0x2000n) return undefined;
      core.words[slot(`SPSR_EL${taken.level}`)] = taken.theirs['SPSR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU exchanges op1 and op2 in the syndrome of a trapped MSR DAIFSet or DAIFClr', rule: 'Arm ARM, ESR_ELx, ISS encoding for an exception from MSR, MRS: Op2 is in bits 19 to 17, Op1 in 16 to 14',
    meet({ core, taken, word }) {
      if (taken === undefined || word === undefined || ((word & 0xffff_f0df) >>> 0) !== 0xd503_40df) return undefined;
      const [their, our] = [taken.theirs['ESR']!, core.words[slot(`ESR_EL${taken.level}`)]!];
      if ((their & ~0xf_c000n) !== (our & ~0xf_c000n) || ((their >> 17n) & 7n) !== ((our >> 14n) & 7n) || ((their >> 14n) & 7n) !== ((our >> 17n) & 7n)) return undefined;
      core.words[slot(`ESR_EL${taken.level}`)] = their;
      return 'adopted';
    },
  },
  {
    name: 'QEMU keeps PSTATE.PAN over an illegal return', rule: 'Arm ARM, SetPSTATEFromSPSR: PAN comes from SPSR regardless of an illegal return',
    meet({ core, word, before, ours, theirs }) {
      if (word !== ERET || (ours[33]! & BigInt(Pstate.IL)) === 0n || ((theirs[33]! ^ before[33]!) & BigInt(Pstate.PAN)) !== 0n) return undefined;
      core.ints[2 * Word.PSTATE] = (core.ints[2 * Word.PSTATE]! & ~Pstate.PAN) | (Number(before[33]!) & Pstate.PAN);
      return 'adopted';
    },
  },
  {
    name: 'below RAM QEMU has devices', rule: 'and we have nothing, so that an access is an External abort',
    meet({ core, before, ours, theirs }) {
      const level = Number(ours[33]! >> 2n) & 3 || 1;
      const esr = core.words[slot(`ESR_EL${level}`)]!;
      return isVector(core, ours) && theirs[32] === before[32]! + 4n && isDataAbort(esr) && (esr & 0x3fn) === 0x10n && (core.words[slot(`FAR_EL${level}`)]! & 0xff_ffff_ffff_ffffn) < 0x4000_0000n ? 'end' : undefined;
    },
  },
  {
    name: 'QEMU does not check the alignment of accesses to Device memory while the MMU is on', rule: 'Arm ARM B2.9.2 and R_XCHFJ: they are Alignment faults, before Permission faults and those of stage 2',
    meet({ core, before, ours, theirs, taken, qemu }) {
      const level = Number(ours[33]! >> 2n) & 3;
      const esr = isVector(core, ours) ? core.words[slot(`ESR_EL${level}`)]! : 0n;
      // Under SCTLR_ELx.A it does check.
      if (!isDataAbort(esr) || !isAlignment(esr) || (core.ints[sctlrIndex(core, Number(before[33]! >> 2n) & 3)]! & Sctlr.A) !== 0) return undefined;
      if (taken !== undefined && isDataAbort(taken.theirs['ESR']!)) {
        for (const name of Object.keys(taken.theirs)) core.words[slot(`${name}_EL${level}`)] = taken.theirs[name]!;
        return 'adopted';
      }
      return theirs[32] === before[32]! + 4n || isDataAbort(qemu(`ESR_EL${Number(theirs[33]! >> 2n) & 3 || 1}`)) ? 'end' : undefined;
    },
  },
  {
    name: 'an exclusive or atomic access where nothing is', rule: 'IMPLEMENTATION DEFINED whether it is an External abort or an unsupported Exclusive or atomic access (Arm ARM, ESR_ELx, DFSC 0b110101)',
    meet({ core, taken }) {
      if (taken === undefined || !isDataAbort(taken.theirs['ESR']!) || (taken.theirs['ESR']! & 0x3fn) !== 0x10n || (core.words[slot(`ESR_EL${taken.level}`)]! & 0x3fn) !== 0x35n) return undefined;
      core.words[slot(`ESR_EL${taken.level}`)] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU reads for an atomic access before it looks whether it may write', rule: 'Arm ARM, AArch64.CheckPermission: an atomic access needs both permissions, and Permission faults come before External aborts',
    meet({ core, taken, word }) {
      const atomic = word !== undefined && decode(word).row?.stop === 'atomic';
      if (taken === undefined || !atomic || (taken.theirs['ESR']! & 0x3fn) !== 0x10n || (core.words[slot(`ESR_EL${taken.level}`)]! & 0x3cn) !== 0xcn) return undefined;
      core.words[slot(`ESR_EL${taken.level}`)] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU strips no pointer authentication code while no key is enabled', rule: 'Arm ARM, Strip: XPACI and XPACD do not look at SCTLR_ELx.En',
    meet({ core, word, before, theirs }) {
      const target = word === undefined ? undefined : ((word & 0xffff_fbe0) >>> 0) === 0xdac1_43e0 ? word & 31 : word === 0xd503_20ff ? 30 : undefined;
      if (target === undefined || target === 31 || theirs[target] !== before[target]) return undefined;
      core.words[target] = theirs[target]!;
      return 'adopted';
    },
  },
  {
    name: 'a pointer that does not authenticate', rule: 'is an exception of its own with FEAT_FPAC, which QEMU\'s max has and we have not',
    meet: ({ theirs, qemu }) => (((theirs[32]! & 0x7fn) === 0n && (theirs[33]! & 0xcn) !== 0n && qemu(`ESR_EL${Number(theirs[33]! >> 2n) & 3}`) >> 26n === 0x1cn) ? 'end' : undefined),
  },
  {
    name: 'ISS.AR of LDLAR and STLLR', rule: 'Arm ARM, ESR_ELx, ISS encoding for a Data Abort: set for instructions with acquire or release semantics, which these have within their LORegion',
    meet({ core, taken, word }) {
      const esr = slot(`ESR_EL${taken?.level ?? 1}`);
      if (taken === undefined || word === undefined || !/^(LDLAR|STLLR)/.test(decode(word).row?.name ?? '') || (core.words[esr]! ^ taken.theirs['ESR']!) !== 0x4000n) return undefined;
      core.words[esr] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'a store exclusive that fails for its monitor, and would fault', rule: 'Arm ARM, AArch64.ExclusiveMonitorsPass: IMPLEMENTATION DEFINED which is looked at first; QEMU looks at the monitor, we at the fault',
    meet: ({ core, word, before, ours, theirs }) => (word !== undefined && /^STL?X/.test(decode(word).row?.name ?? '') && isVector(core, ours) && theirs[32] === before[32]! + 4n && theirs[decode(word).fields.e] === 1n ? 'end' : undefined),
  },
  {
    name: 'the code of a pointer whose bits 63 and 55 differ', rule: 'Arm ARM, AddPAC: without TBI bit 63 says which half\'s size it is; QEMU takes bit 55',
    meet({ core, word, before, theirs }) {
      const row = word === undefined ? undefined : decode(word).row;
      if (row === undefined || !row.name.startsWith('PAC')) return undefined;
      const target = row.name.endsWith('1716') ? 17 : /(Z|SP)$/.test(row.name) && (word! & 0xffff_f000) === (0xd503_2000 | 0) ? 30 : word! & 31;
      if (target === 31 || ((before[target]! >> 63n) ^ (before[target]! >> 55n)) % 2n === 0n) return undefined;
      core.words[target] = theirs[target]!;
      return 'adopted';
    },
  },
  {
    name: 'WnR of an atomic access that is not aligned', rule: 'Arm ARM, ESR_ELx, ISS encoding for a Data Abort: 0 where a read would have generated the fault as well',
    meet({ core, taken, word }) {
      const esr = slot(`ESR_EL${taken?.level ?? 1}`);
      if (taken === undefined || word === undefined || decode(word).row?.stop !== 'atomic' || !isAlignment(core.words[esr]!) || (core.words[esr]! ^ taken.theirs['ESR']!) !== 0x40n) return undefined;
      core.words[esr] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU leaves the top byte of the address of an illegal return', rule: 'Arm ARM, AArch64.ExceptionReturn: AArch64.BranchAddr is applied, illegal or not',
    meet({ core, word, ours, theirs }) {
      if (word !== ERET || (ours[33]! & BigInt(Pstate.IL)) === 0n || branchAddress(core, theirs[32]!) !== ours[32]) return undefined;
      core.words[Word.PC] = theirs[32]!;
      return 'adopted';
    },
  },
  {
    name: 'MRS of an identification register at EL0', rule: 'has a class of its own with FEAT_IDST, which QEMU\'s processors have and we have not',
    meet({ core, word, before, taken }) {
      if (taken === undefined || (before[33]! & 0xcn) !== 0n || word === undefined || word >>> 20 !== 0xd53 || (FEATURE_NAMES as readonly string[]).includes('FEAT_IDST')) return undefined;
      const esr = slot(`ESR_EL${taken.level}`);
      if (core.words[esr]! >> 26n !== 0n || taken.theirs['ESR']! >> 26n !== 0x18n || ((word >>> 5) & 0xc780) !== 0xc000) return undefined;
      core.words[esr] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU finds that an access with the MMU off is not aligned before it finds the address too wide', rule: 'Arm ARM, R_XCHFJ and AArch64.S1DisabledOutput: an Address size fault comes before an Alignment fault caused by the memory type',
    meet({ core, taken }) {
      if (taken === undefined || !isAlignment(taken.theirs['ESR']!) || (core.words[slot(`ESR_EL${taken.level}`)]! ^ taken.theirs['ESR']!) !== 0x21n) return undefined;
      core.words[slot(`ESR_EL${taken.level}`)] = taken.theirs['ESR']!;
      return 'adopted';
    },
  },
  {
    name: 'QEMU does not translate the address of cache maintenance, but for DC CVAP and CVADP, where PSTATE.PAN counts', rule: 'Arm ARM D7.5.8, DC and IC by VA can generate Data Aborts; D8.4, PAN has no effect on them',
    meet({ word, ours, core, theirs, qemu }) {
      if (word === undefined || word >>> 19 !== 0xd508_0000 >>> 19) return undefined;
      const faulted = isVector(core, ours) && isDataAbort(core.words[slot(`ESR_EL${Number(ours[33]! >> 2n) & 3}`)]!);
      const theirLevel = Number(theirs[33]! >> 2n) & 3;
      const persistence = ((word & 0xffff_fee0) >>> 0) === 0xd50b_7c20 && theirLevel !== 0 && isDataAbort(qemu(`ESR_EL${theirLevel}`)) && (qemu(`ESR_EL${theirLevel}`) & 0x3cn) === 0xcn;
      return faulted || persistence ? 'end' : undefined;
    },
  },
  {
    name: 'bits that should be one or zero and are not', rule: 'Arm ARM, (1) and (0) in encodings: CONSTRAINED UNPREDICTABLE; QEMU holds some of them UNDEFINED',
    meet({ word }) {
      const row = word === undefined ? undefined : decode(word).row;
      return row !== undefined && ((word! ^ row.shouldValue) & row.shouldMask) !== 0 ? 'end' : undefined;
    },
  },
  {
    name: 'QEMU translates an address before it finds that PC is not aligned', rule: 'Arm ARM D1.3.5.3, priorities of synchronous exceptions: PC alignment faults come before Instruction Aborts',
    meet: ({ before }) => ((before[32]! & 3n) === 0n ? undefined : 'end'),
  },
];

/** Whether the core stands at a vector of the level it is at. */
const isVector = (core: Core, ours: BigUint64Array): boolean => {
  const level = Number(ours[33]! >> 2n) & 3;
  return level !== 0 && (ours[32]! & 0x7fn) === 0n && (ours[32]! & ~0x7ffn) === core.words[slot(`VBAR_EL${level}`)]!;
};

/** What differs after a step, once everything known is put aside; 'end' where the program cannot go on. */
function stepDifference(step: Step, counts: Map<string, number>): readonly string[] | 'end' {
  let parts = partsOf(step);
  for (const { name, meet } of parts.length === 0 ? [] : KNOWN_DIFFERENCES) {
    const met = meet(step);
    if (met === undefined) continue;
    collect(step.core, step.ours);
    const left = partsOf(step);
    if (met === 'end' || left.length < parts.length) counts.set(name, (counts.get(name) ?? 0) + 1);
    if (met === 'end') return 'end';
    parts = left;
    if (parts.length === 0) break;
  }
  return parts;
}

function partsOf({ core, before, ours, theirs, taken }: Step): readonly string[] {
  const parts: string[] = [];
  for (let register = 0; register < 34; register += 1) {
    if (theirs[register] !== ours[register]) parts.push(`${NAMES[register]} qemu ${hexadecimal(theirs[register]!)} ours ${hexadecimal(ours[register]!)} before ${hexadecimal(before[register]!)}`);
  }
  for (const [name, their] of Object.entries(taken?.theirs ?? {})) {
    const our = core.words[slot(`${name}_EL${taken!.level}`)]!;
    if (their !== our) parts.push(`${name}_EL${taken!.level} qemu ${hexadecimal(their)} ours ${hexadecimal(our)}`);
  }
  return parts;
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

const NAMES: readonly string[] = [...Array.from({ length: 31 }, (_, register) => `X${register}`), 'SP', 'PC', 'PSTATE'];

const hexadecimal = (value: bigint): string => `0x${value.toString(16)}`;

/** For a report: the registers that say what regime this is. */
const contextOf = (core: Core): readonly string[] => [
  ['HCR_EL2', 'SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'SCTLR_EL2', 'TCR_EL2', 'VTCR_EL2', 'VTTBR_EL2', 'ESR_EL1', 'FAR_EL1', 'ELR_EL1', 'ESR_EL2', 'FAR_EL2', 'HPFAR_EL2', 'ELR_EL2', 'SPSR_EL2', 'CPTR_EL2', 'MDCR_EL2']
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
function sharedRegisters(numbers: Numbers): readonly Shared[] {
  const shared: Shared[] = [];
  for (let word = FIRST_SYSTEM_WORD; word < FIRST_SYSTEM_WORD + SYSTEM_WORDS; word += 1) {
    const name = registerOfWord(word)!;
    const number = numbers.get(name.toUpperCase());
    if (number !== undefined && !NOT_COMPARED.some(([pattern]) => pattern.test(name))) shared.push({ name, number, word });
  }
  return shared;
}

type Numbers = ReadonlyMap<string, number>;

/** The numbers of system registers at the gdb port, by name in capitals. */
function registerNumbers(gdb: Gdb): Numbers {
  const xml = transfer(gdb, 'features', 'system-registers.xml');
  return new Map([...xml.matchAll(/name="(\w+)" bitsize="64" regnum="(\d+)"/g)].map(([, name, number]) => [canonical(name!), Number(number)]));
}

const ask = (gdb: Gdb, number: number): bigint => valueOf(gdb.ask(`p${number.toString(16)}`));

/** What QEMU wrote of an exception to `level`. FAR and HPFAR only where it is one that writes them. */
function syndrome(gdb: Gdb, numbers: Numbers, level: number, core: Core): Syndrome {
  const ec = Number(core.words[slot(`ESR_EL${level}`)]! >> 26n) & 63;
  const names = ['ESR', 'ELR', 'SPSR', ...([0x20, 0x21, 0x22, 0x24, 0x25].includes(ec) ? ['FAR'] : []), ...(level === 2 ? ['HPFAR'] : [])];
  return Object.fromEntries(names.map((name) => [name, ask(gdb, numbers.get(`${name}_EL${level}`)!)]));
}

/** For a report of a step after which the two are at different places. */
const said = (gdb: Gdb, numbers: Numbers): readonly string[] =>
  [['ESR_EL1', 'FAR_EL1', 'ELR_EL1', 'ESR_EL2', 'FAR_EL2', 'HPFAR_EL2', 'ELR_EL2'].map((name) => `qemu ${name} ${hexadecimal(ask(gdb, numbers.get(name)!))}`).join(', ')];

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
  for (const { name, number, word } of registers) {
    const answer = gdb.ask(`p${number.toString(16)}`);
    if (!answer.startsWith('E')) core.words[word] = sanitise(registerByName(name)!, core.board, false, valueOf(answer));
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
    // QEMU keeps what is written to bits that are RES0 or RES1.
    const [their, our] = [sanitise(registerByName(name)!, core.board, e2h(core), valueOf(answer)), core.words[word]!];
    if (their !== our && !(name.startsWith('SPSR_') && (their ^ our) === 0x2000n)) parts.push(`${name} qemu ${hexadecimal(their)} ours ${hexadecimal(our)}`);
  }
  // V0 to V31 are registers 34 to 65.
  for (let register = 0; register < 32; register += 1) {
    const their = valueOf(gdb.ask(`p${(34 + register).toString(16)}`).slice(0, 32));
    const our = core.words[Word.VECTOR + 2 * register]! | (core.words[Word.VECTOR + 2 * register + 1]! << 64n);
    if (their !== our) parts.push(`V${register} qemu ${hexadecimal(their)} ours ${hexadecimal(our)}`);
  }
  return parts;
}

/** Vectors that an aborted load was to fill are UNKNOWN (Arm ARM B2.2, restartable multi-register loads): QEMU keeps what came before the abort, and so do we then. */
function takeVectors(core: Core, gdb: Gdb, word: number | undefined): void {
  if (word === undefined || (word & 0x0e00_0000) !== 0x0c00_0000 || !(decode(word).row?.name.startsWith('LD') ?? false)) return;
  const { t } = decode(word).fields;
  for (let register = t; register < t + 4; register += 1) {
    const value = valueOf(gdb.ask(`p${(34 + (register & 31)).toString(16)}`).slice(0, 32));
    core.words[Word.VECTOR + 2 * (register & 31)] = value;
    core.words[Word.VECTOR + 2 * (register & 31) + 1] = value >> 64n;
  }
}

function memoryDifference(memory: Memory, gdb: Gdb, { watched }: SystemProgram): readonly string[] | undefined {
  // By physical address.
  expectOk(gdb.ask('Qqemu.PhyMemMode:1'));
  for (const { address, bytes, tables } of watched) {
    for (let at = address; at < address + bytes; at += 1024) {
      const their = gdb.ask(`m${at.toString(16)},400`);
      const our = Buffer.from(readBytes(memory, at, 1024)).toString('hex');
      // Access flags may be set by any walk, one that finds no permission included (Arm ARM D8.5.1).
      if (their !== our && !(tables === true && withAccessFlags(their) === withAccessFlags(our))) {
        const first = [...our].findIndex((digit, index) => digit !== their[index]) >> 4;
        return [`memory at ${hexadecimal(BigInt(at + 8 * first))}: qemu ${their.slice(16 * first, 16 * first + 16)} ours ${our.slice(16 * first, 16 * first + 16)} (bytes in order), at the end`];
      }
    }
  }
  return undefined;
}


/** Descriptors, as bytes in hexadecimal, with AF set in each. */
const withAccessFlags = (bytes: string): string => bytes.replaceAll(/(..)(..)(.{12})/g, (_, first: string, second: string, rest: string) => first + (Number.parseInt(second, 16) | 4).toString(16).padStart(2, '0') + rest);
