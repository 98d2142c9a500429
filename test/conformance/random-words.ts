/** Random user-level instructions drawn from the rows, each with what it needs to run: a base address in the sandbox, a target, a legal value. */

import { decode } from '../../machines/aarch64/decode.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { ROWS } from '../../machines/aarch64/a64.ts';
import { probe } from '../../machines/aarch64/engine/probe.ts';
import { operationByEncoding } from '../../machines/aarch64/registers/operations.ts';
import { encode, noFields, type MutableFields, type Row } from '../../machines/aarch64/row.ts';
import { Word, type Core } from '../../machines/aarch64/state.ts';
import { hasSlot, packEncoding, registerByEncoding, slot } from '../../machines/aarch64/sysregs.ts';
import { hasFeature } from '../../machines/aarch64/registers/features.ts';
import { FPCR_BITS, FPSR_BITS, Part, SANDBOX_BYTES, integer } from './random-state.ts';

/** A word, or one that depends on where it stands and on where a constant is put for it. */
export type Item = number | ((address: number, constant: (value: bigint) => number) => number);

/** What runs together: the instructions of a row, and those that prepare them. */
export interface Unit {
  readonly row: Row;
  readonly items: readonly Item[];
  /** The words of `items` that are the row's (or of a row that it goes with): what is counted. */
  readonly drawn: readonly number[];
}

/** Where units run: a core to probe with, and the address of the sandbox. */
export interface Place { readonly core: Core; readonly sandbox: number }

/** Rows that are not drawn, by name. What is said of a row is true of what a user program can see of it. */
export const NOT_DRAWN: readonly (readonly [name: RegExp, reason: string])[] = [
  [/^(SVC|HVC|SMC|BRK|HLT|DCPS\d|UDF|ERET|DRPS)/, 'raises an exception for its own sake: the system-level oracle has it'],
  [/^(WFET?|WFIT?|SEVL?|YIELD)/, 'waits, or wakes who waits'],
  [/^MSR \(immediate\)/, 'PSTATE fields that qemu-aarch64 does not show: the system-level oracle has them'],
  [/^SYSL/, 'nothing is allocated'],
  [/^(PAC|AUT|XPAC|BL?RA[AB]|RETA[AB]|LDRA[AB])/, 'pointer authentication keys are random in user mode: the system-level oracle has it'],
];

/** A difference that the Arm ARM settles, for us or for neither. */
export interface KnownDifference {
  readonly name: string;
  readonly rule: string;
  /** Whether a difference behind this instruction is this one: `before` is a record (random-state.ts), `alone` whether it differs when it runs alone. */
  holds(row: Row, f: Readonly<MutableFields>, before: BigUint64Array, alone: boolean): boolean;
}

/**
 * Where the manual leaves a choice (write-back over the base, a status register that is the data, pairs of one register), QEMU's is ours, so that
 * only its defects are here.
 */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    name: 'QEMU 10.0 takes a selection for all ones, where it knows that what is selected by zeros is',
    rule: 'Arm ARM C7.2, BSL, BIT and BIF: what is selected by ones comes from the other operand',
    holds(row, f, before, alone) {
      const register = row.name.startsWith('BSL (') ? f.m : row.name.startsWith('BIT (') ? f.d : row.name.startsWith('BIF (') ? f.n : undefined;
      return !alone && register !== undefined && before[Part.V + 2 * register] === 0xffff_ffff_ffff_ffffn;
    },
  },
];

/** The rows that are drawn from. */
export const USER_ROWS: readonly Row[] = ROWS.filter((row) => row.hole === undefined && !NOT_DRAWN.some(([name]) => name.test(row.name)));

/** A random word of any row, allocated, with registers 31, zeros, ones and equal registers more often than chance has them. Undefined when none was found. */
export function randomWord(row: Row, random: () => number, change: (f: MutableFields) => void = () => {}): number | undefined {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const fields: MutableFields = noFields();
    for (const { letter, width } of row.spans) {
      const kind = random() % 8;
      fields[letter] = kind === 0 ? 2 ** width - 1 : kind === 1 ? 0 : random() % 2 ** width;
    }
    if (random() % 4 === 0) fields.m = fields.n;
    if (random() % 4 === 0) fields.d = fields.n;
    change(fields);
    const word = encode(row, fields);
    if (word !== undefined && decode(word).row === row) return word;
  }
  return undefined;
}

/** A unit of `row`; undefined when none was found this time. */
export function randomUnit(row: Row, place: Place, random: () => number): Unit | undefined {
  if (BRANCH.test(row.name)) return branch(row, random);
  if (/^(MRS|MSR \(register\))/.test(row.name)) return systemRegister(row, random);
  if (row.name === 'SYS') return maintenance(row, place, random);
  if (isLiteral(row)) return literal(row, place, random);
  const word = randomWord(row, random);
  if (word === undefined) return undefined;
  if ((word & 0x0a00_0000) !== 0x0800_0000 || row.name.startsWith('PRF')) return { row, items: [word], drawn: [word] };
  return memory(row, word, place, random);
}

const isLiteral = (row: Row): boolean => /\(literal/.test(row.name) && !row.name.startsWith('PRF');

/** LDR of a constant beside the code. */
const load = (register: number, value: bigint): Item => (address, constant) => (0x5800_0000 | (((constant(value) - address) >> 2) & 0x7_ffff) << 5 | register) >>> 0;

/** Gives a general register, or SP by way of one that is not `used`, a value. */
function give(register: number, value: bigint, used: readonly number[]): readonly Item[] {
  if (register !== 31) return [load(register, value)];
  const through = [9, 10, 11, 12, 13, 14].find((free) => !used.includes(free))!;
  return [load(through, value), (0x9100_001f | (through << 5)) >>> 0];
}

const BRANCH = /^(BL?|B\.cond|BC\.cond|CBN?Z|TBN?Z|BR|BLR|RET)$/;

/** A branch over one to three markers, forwards or backwards: what is skipped, or is not, is seen in the registers. */
function branch(row: Row, random: () => number): Unit | undefined {
  const markers = Array.from({ length: 1 + random() % 3 }, () => marker(random));
  const past = markers.length + 1;
  const distance = random() % 3 === 0 ? -past : past;
  const indirect = /^(BR|BLR|RET)$/.test(row.name);
  const immediate = row.spans.find(({ letter }) => letter === 'i');
  const word = randomWord(row, random, (f) => { if (immediate !== undefined) f.i = distance & (2 ** immediate.width - 1); });
  if (word === undefined) return undefined;
  const { n } = decode(word).fields;
  if (indirect && n === 31) return undefined;
  if (distance > 0) return { row, items: [...(indirect ? [adr(n, 4 * (past + 1))] : []), word, ...markers], drawn: [word] };
  // Over the markers; a way out; the markers; the branch back to the way out; what is done when it is not taken.
  const setUp = indirect ? [adr(n, -4 * past)] : [];
  return { row, items: [jump(past + 1), jump(past + 2 + setUp.length), ...markers, ...setUp, word, marker(random)], drawn: [word] };
}

const jump = (words: number): number => (0x1400_0000 | words) >>> 0;
const adr = (register: number, offset: number): number => (0x1000_0000 | ((offset & 3) << 29) | (((offset >> 2) & 0x7_ffff) << 5) | register) >>> 0;

/** MOVK of something somewhere. */
const marker = (random: () => number): number => (0xf280_0000 | ((random() & 3) << 21) | ((random() & 0xffff) << 5) | random() % 31) >>> 0;

const NZCV = packEncoding(3, 3, 4, 2, 0), FPCR = packEncoding(3, 3, 4, 4, 0), FPSR = packEncoding(3, 3, 4, 4, 1);
/** Registers that a user program reads and writes alike in both, with the bits that exist in both. */
const REGISTERS: readonly (readonly [encoding: number, bits: bigint])[] = ([[NZCV, 0xf000_0000n], [FPCR, BigInt(FPCR_BITS)], [FPSR, BigInt(FPSR_BITS)]] as const)
  .filter(([encoding]) => hasSlot(registerByEncoding(encoding)?.name ?? ''));

function systemRegister(row: Row, random: () => number): Unit | undefined {
  const [encoding, bits] = REGISTERS[random() % REGISTERS.length]!;
  const word = randomWord(row, random, (f) => { f.i = encoding - 0x8000; });
  if (word === undefined) return undefined;
  const { t } = decode(word).fields;
  const value = encoding === FPCR && random() % 2 === 0 ? 0n : integer(random) & bits;
  return { row, items: row.name === 'MRS' || t === 31 ? [word] : [load(t, value), word], drawn: [word] };
}

const OPERATIONS = [packEncoding(1, 3, 7, 10, 1), packEncoding(1, 3, 7, 11, 1), packEncoding(1, 3, 7, 14, 1), packEncoding(1, 3, 7, 12, 1), packEncoding(1, 3, 7, 13, 1), packEncoding(1, 3, 7, 5, 1)];

/** Cache maintenance by an address in the sandbox, which changes nothing. DC ZVA zeroes 512 bytes in qemu-aarch64 and 64 here (DCZID_EL0): the system-level oracle has it. */
function maintenance(row: Row, { core, sandbox }: Place, random: () => number): Unit | undefined {
  const encoding = OPERATIONS[random() % OPERATIONS.length]!;
  const needs = operationByEncoding(encoding)?.needs;
  if (needs !== undefined && !hasFeature(core.board, needs)) return undefined;
  const word = randomWord(row, random, (f) => { f.i = encoding - 0x4000; f.t = random() % 31; });
  return word === undefined ? undefined : { row, items: [load(decode(word).fields.t, BigInt(sandbox + random() % SANDBOX_BYTES)), word], drawn: [word] };
}

/** A load relative to PC, of the sandbox. */
function literal(row: Row, { sandbox }: Place, random: () => number): Unit | undefined {
  const word = randomWord(row, random);
  if (word === undefined) return undefined;
  const target = sandbox + 4 * (random() % ((SANDBOX_BYTES - 16) / 4));
  const place = (address: number): number => ((word & ~(0x7_ffff << 5)) | ((((target - address) >> 2) & 0x7_ffff) << 5)) >>> 0;
  return { row, items: [place], drawn: [place(0)] };
}

const clearExclusive = (): number => 0xd503_3f5f;

/** A load or store, with the base put where it accesses the sandbox, aligned where it has to be. Exclusives start from a clear monitor. */
function memory(row: Row, word: number, place: Place, random: () => number): Unit | undefined {
  const { fields } = decode(word);
  const indexed = /\(register/.test(row.name) && fields.m !== 31;
  if (indexed && fields.m === fields.n) return undefined;
  const index = indexed ? integer(random) : 0n;
  const target = baseFor(word, fields, indexed ? index : undefined, place, random);
  if (target === undefined) return undefined;
  const used = [fields.m, fields.t, fields.u, fields.e, fields.e + 1, fields.t + 1, fields.n];
  const setUp = [...give(fields.n, target, used), ...(indexed ? [load(fields.m, index)] : [])];
  if (/^(ST|LD)[AL]?X[RP]/.test(row.name)) return exclusive(row, word, setUp, random);
  if (row.name.startsWith('CAS') && random() % 2 === 0) {
    const expected = expectedLoad(row, fields);
    if (expected !== undefined) return { row, items: [...setUp, expected, word], drawn: [word] };
  }
  return { row, items: [...setUp, word], drawn: [word] };
}

/** The base register's value. */
function baseFor(word: number, fields: Readonly<MutableFields>, index: bigint | undefined, { core, sandbox }: Place, random: () => number): bigint | undefined {
  const decoded = decode(word);
  const base = fields.n === 31 ? SP_EL0 : fields.n;
  core.words[Word.PC] = BigInt(sandbox);
  for (let register = 0; register < 31; register += 1) core.words[register] = BigInt(random());
  if (index !== undefined) core.words[fields.m] = index;
  core.words[base] = 0n;
  const at = probe(core, decoded);
  if (at.length === 0) return undefined;
  const first = at.map(({ address }) => BigInt.asIntN(64, address)).reduce((least, one) => (one < least ? one : least));
  const end = at.map(({ address, bytes }) => BigInt.asIntN(64, address) + BigInt(bytes)).reduce((most, one) => (one > most ? one : most));
  const total = Number(end - first);
  let target = random() % (SANDBOX_BYTES - total + 1);
  if (!mayBeUnaligned(decoded.row!)) target -= target % (total & -total);
  const value = BigInt.asUintN(64, BigInt(sandbox + target) - first);
  core.words[base] = value;
  const inside = ({ address, bytes }: { address: bigint; bytes: number }): boolean => address >= BigInt(sandbox) && address + BigInt(bytes) <= BigInt(sandbox + SANDBOX_BYTES);
  return probe(core, decoded).every(inside) ? value : undefined;
}

const SP_EL0 = slot('SP_EL0');

const mayBeUnaligned = (row: Row): boolean => /^(LDR|STR|LDUR|STUR|LDTR|STTR|LDP|STP|LDNP|STNP|LD[1-4]|ST[1-4])/.test(row.name);

/** A store-exclusive behind its load-exclusive, or by itself; both from a clear monitor. */
function exclusive(row: Row, word: number, setUp: readonly Item[], random: () => number): Unit | undefined {
  const items: Item[] = [clearExclusive(), ...setUp];
  if (row.name.startsWith('LD') || random() % 4 === 0) return { row, items: [...items, word], drawn: [word] };
  const f = decode(word).fields;
  const name = row.name.replace(/^STL?/, random() % 2 === 0 ? 'LDA' : 'LD');
  const load = ROWS.find((other) => other.name === name)!;
  // The loaded registers must leave the base and each other alone.
  const [t, u] = [(f.n + 3) % 31, (f.n + 5) % 31];
  const first = encode(load, { s: f.s, n: f.n, t, u });
  return first === undefined ? undefined : { row, items: [...items, first, word], drawn: [word, first] };
}

/** Loads what a compare-and-swap compares with, so that it swaps. */
function expectedLoad(row: Row, f: Readonly<MutableFields>): number | undefined {
  const base = f.n === 31 ? 'sp' : `x${f.n}`;
  if (f.e === f.n || f.e === 31 || (row.name === 'CASP' && (f.e + 1 === f.n || f.e === 30))) return undefined;
  if (row.name === 'CASP') return assemble(f.s ? `ldp x${f.e}, x${f.e + 1}, [${base}]` : `ldp w${f.e}, w${f.e + 1}, [${base}]`);
  return assemble(row.name === 'CASB' ? `ldrb w${f.e}, [${base}]` : row.name === 'CASH' ? `ldrh w${f.e}, [${base}]` : `ldr ${f.s ? 'x' : 'w'}${f.e}, [${base}]`);
}
