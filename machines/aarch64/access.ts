/** MRS, MSR and SYS: the order of checks before a system register or system instruction is reached, and what is reached. */

import { e2h, hcrHigh, hcrLow, inHost } from './controls.ts';
import { EFFECTS } from './effects.ts';
import { checkFloatingPoint } from './engine/floating-point.ts';
import { UNWIND, raise, undefinedInstruction } from './exception.ts';
import { addressTranslate, loadVncr, maintainCache, storeVncr, zeroBlock } from './memory-access.ts';
import { hasFeature } from './registers/features.ts';
import { OPERATIONS, operationByEncoding } from './registers/operations.ts';
import type { Operation } from './registers/operations.ts';
import { type Core, Power, Pstate, Word, elOf } from './state.ts';
import { Ec } from './syndrome.ts';
import { RESERVED_IDENTIFICATION, SYSTEM_REGISTERS, hasSlot, registerByName, sanitise, slot, unpackEncoding } from './sysregs.ts';
import type { SystemRegister } from './sysregs.ts';
import { invalidateContext, invalidateTlb } from './translate.ts';
import { type TrapRow, trapTarget, trapsOf } from './traps.ts';

/**
 * The value that MRS `encoding` reads. `rt` is the register it goes to, which a trap reports.
 *
 * Checks, in order (Arm ARM: the accessors of each register; D8.11 for FEAT_NV and FEAT_NV2):
 *  1. IMPLEMENTATION DEFINED space: HCR_EL2.TIDCP, else UNDEFINED.
 *  2. UNDEFINED: nothing allocated, a feature that is absent, the wrong direction, too low an Exception level
 *     (but an EL2 register at EL1 under HCR_EL2.NV goes on).
 *  3. Controls of EL0, coarse traps, fine-grained traps. Each beats what FEAT_NV2 would do.
 *  4. FEAT_NV: {NV2,NV1,NV} = 1x1 memory through VNCR_EL2; xx1 a trap for EL2 registers; 011 a trap for VBAR, ELR and SPSR_EL1.
 *  5. The register, at EL2 with HCR_EL2.E2H the redirected one.
 */
export function readSystemRegister(core: Core, encoding: number, rt: number): bigint {
  const entry = resolve(core, encoding, rt, false);
  const value = typeof entry === 'number' ? loadVncr(core, entry) : entry.read === undefined ? (entry.word === 0 ? 0n : core.words[entry.word]!) : entry.read(core);
  core.board.observe?.(core, 'read', encoding, value);
  return value;
}

/** Registers whose reading has an effect's function, which depends on the level and HCR_EL2 and SCTLR_ELx alone. */
const READ_BY_CONTROLS: ReadonlySet<string> = new Set(['DCZID_EL0']);

/** What MRS `encoding` reads at the current level, when reading is all that it does: a word of the block, or a value that the level and controls decide; else undefined. */
export function plainRead(core: Core, encoding: number): number | bigint | undefined {
  const entry = ENTRIES[encoding];
  const el = elOf(core);
  if (entry === undefined || core.board.observe !== undefined) return undefined;
  const { row } = entry;
  if (el < row.el || (row.needs !== undefined && !hasFeature(core.board, row.needs)) || row.hole !== undefined || row.floatingPoint || entry.alias !== undefined) return undefined;
  if (encoding === SP_EL0 && (core.ints[2 * Word.PSTATE]! & Pstate.SP) === 0) return undefined;
  if (el < 2 && (nvx(core) !== 0 || trapTarget(core, entry.readTraps) !== undefined)) return undefined;
  const reached = entry.e2h !== undefined && (el === 2 ? e2h(core) : el === 0 && inHost(core)) ? entry.e2h : entry;
  if (reached.read !== undefined) return READ_BY_CONTROLS.has(reached.row.name) ? reached.read(core) : undefined;
  return reached.word === 0 ? undefined : reached.word;
}

/** Whether a system instruction that every implementation has is executed at the current level, without a trap. */
export function operatesPlainly(core: Core, encoding: number): boolean {
  return core.board.observe === undefined && elOf(core) >= operationByEncoding(encoding)!.el && trapTarget(core, OPERATION_TRAPS.get(encoding)!) === undefined;
}

/** MSR (register). Checks as for `readSystemRegister`. */
export function writeSystemRegister(core: Core, encoding: number, value: bigint, rt: number): void {
  const entry = resolve(core, encoding, rt, true);
  if (typeof entry === 'number') storeVncr(core, entry, value);
  else {
    const kept = sanitise(entry.row, core.board, e2h(core), value);
    if (entry.write === undefined) core.words[entry.word] = kept;
    else entry.write(core, kept);
  }
  core.board.observe?.(core, 'write', encoding, value);
}

/** A row made ready: its traps, its behaviour and the registers that it stands for. */
interface Entry {
  readonly row: SystemRegister;
  /** Word of the vCPU block; 0 for none. */
  readonly word: number;
  readonly readTraps: readonly TrapRow[];
  readonly writeTraps: readonly TrapRow[];
  readonly read: ((core: Core) => bigint) | undefined;
  readonly write: ((core: Core, value: bigint) => void) | undefined;
  alias: Entry | undefined;
  e2h: Entry | undefined;
  nv2: Entry | undefined;
}

const ENTRIES: (Entry | undefined)[] = Array.from({ length: 1 << 16 });
for (const row of [...SYSTEM_REGISTERS, ...RESERVED_IDENTIFICATION]) {
  const effect = EFFECTS[row.name];
  ENTRIES[row.encoding] = {
    row, word: hasSlot(row.name) ? slot(row.name) : 0, readTraps: trapsOf(row.name, 'read'), writeTraps: trapsOf(row.name, 'write'),
    read: effect?.read, write: effect?.write, alias: undefined, e2h: undefined, nv2: undefined,
  };
}
for (const entry of ENTRIES) {
  if (!entry) continue;
  const find = (name: string | undefined): Entry | undefined => (name === undefined ? undefined : ENTRIES[registerByName(name)!.encoding]);
  entry.alias = find(entry.row.alias);
  entry.e2h = find(entry.row.e2h);
  entry.nv2 = find(entry.row.nv2);
}
for (const name of Object.keys(EFFECTS)) if (!registerByName(name)) throw new Error(`an effect names ${name}, which has no row`);

const SP_EL0 = registerByName('SP_EL0')!.encoding;

/** What an access reaches: a register, or the offset of a word in the VNCR page. Raises whatever stops it. */
function resolve(core: Core, encoding: number, rt: number, write: boolean): Entry | number {
  const el = elOf(core);
  const entry = ENTRIES[encoding];
  if (isImplementationDefined(encoding)) implementationDefined(core, encoding, rt, write);
  if (entry === undefined) undefinedInstruction(core);
  const { row } = entry;
  if (row.needs !== undefined && !hasFeature(core.board, row.needs)) undefinedInstruction(core);
  if (row.access === (write ? 'R' : 'W')) undefinedInstruction(core);
  if (row.hole !== undefined) endAtHole(core, encoding, rt, write, row.name);
  if (row.floatingPoint) checkFloatingPoint(core);

  const lowest = write ? writeLevel(core, row) : row.el;
  const traps = write ? entry.writeTraps : entry.readTraps;
  if (el < lowest) {
    // An EL2 register at EL1 is UNDEFINED, or virtual EL2's.
    if (el === 0 && !write && isFeatureSpace(encoding)) raise(core, { ec: Ec.SYSTEM, iss: systemIss(encoding, rt, write) });
    if (el !== 1 || row.el !== 2) undefinedInstruction(core);
    const nv = nvx(core);
    if ((nv & 1) === 0) undefinedInstruction(core);
    if (entry.nv2 !== undefined && (nv & 4) !== 0) return entry.nv2;
    checkTraps(core, encoding, rt, write, traps);
    if (inVncrPage(row, nv)) return row.vncr!;
    trapToEl2(core, encoding, rt, write);
  }

  if (encoding === SP_EL0 && (core.ints[2 * Word.PSTATE]! & Pstate.SP) === 0) undefinedInstruction(core);
  if (el === 2) {
    if (entry.alias !== undefined) {
      if (!e2h(core)) undefinedInstruction(core);
      return entry.alias;
    }
    return entry.e2h !== undefined && e2h(core) ? entry.e2h : entry;
  }
  checkTraps(core, encoding, rt, write, traps);
  if (el === 0) return entry.e2h !== undefined && inHost(core) ? entry.e2h : entry;
  const nv = nvx(core);
  if (nv === 0b011 && row.nv1Trap) trapToEl2(core, encoding, rt, write);
  return inVncrPage(row, nv) ? row.vncr! : entry;
}

/** Whether an EL1 access to `row` becomes a memory access: {NV2, NV} = {1, 1}, a place in the page, and the right NV1. */
const inVncrPage = (row: SystemRegister, nv: number): boolean =>
  (nv & 0b101) === 0b101 && row.vncr !== undefined && (row.vncrNv1 === undefined || row.vncrNv1 === ((nv >> 1) & 1));

/** The lowest level that may write. CNTFRQ_EL0: the highest implemented one. */
function writeLevel(core: Core, row: SystemRegister): number {
  if (row.writeEl === 'highest') return core.board.el2 === 'none' ? 1 : 2;
  return row.writeEl ?? row.el;
}

/** HCR_EL2 as it takes effect: 0 without EL2, E2H and the NV bits as implemented. */
export const effectiveHcr = (core: Core): bigint => (BigInt(hcrHigh(core) >>> 0) << 32n) | BigInt(hcrLow(core) >>> 0);

/** EffectiveHCR_EL2_NVx: NV2:NV1:NV in bits 2 to 0. With NV = 0 all are 0; {NV, NV1} = {0, 1} is CONSTRAINED UNPREDICTABLE and that is our choice. */
export function nvx(core: Core): number {
  const high = hcrHigh(core);
  return ((high >>> 10) & 3) | ((high >>> 11) & 4);
}

/** ISS of EC 0x18: Op0, Op2, Op1, CRn, Rt, CRm, Direction (1: read). */
export function systemIss(encoding: number, rt: number, write: boolean): number {
  const [op0, op1, crn, crm, op2] = unpackEncoding(encoding);
  return (op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (rt << 5) | (crm << 1) | (write ? 0 : 1);
}

function trapToEl2(core: Core, encoding: number, rt: number, write: boolean): never {
  raise(core, { ec: Ec.SYSTEM, iss: systemIss(encoding, rt, write), target: 2 });
}

function checkTraps(core: Core, encoding: number, rt: number, write: boolean, traps: readonly TrapRow[]): void {
  const target = trapTarget(core, traps);
  if (target === 2) trapToEl2(core, encoding, rt, write);
  if (target === 'default') raise(core, { ec: Ec.SYSTEM, iss: systemIss(encoding, rt, write) });
}

/** FEAT_IDST: op0 = 3, op1 = 0, 1 or 3, CRn = 0, CRm = 0 to 7, where what EL0 may not read is no UNDEFINED but a trap. */
const isFeatureSpace = (encoding: number): boolean => encoding >> 14 === 3 && (encoding & 0x7c0) === 0 && [0, 1, 3].includes((encoding >> 11) & 7);

/** op0 = 1 or 3 with CRn = 11 or 15. */
const isImplementationDefined = (encoding: number): boolean => (encoding & (1 << 14)) !== 0 && ((encoding >> 7) & 11) === 11;

/** Nothing is implemented there. HCR_EL2.TIDCP traps EL1; for EL0 it is IMPLEMENTATION DEFINED, and ours is UNDEFINED. */
function implementationDefined(core: Core, encoding: number, rt: number, write: boolean): never {
  if (elOf(core) === 1 && (hcrLow(core) & (1 << 20)) !== 0) trapToEl2(core, encoding, rt, write);
  undefinedInstruction(core);
}

/** Halts the vCPU at an MRS or MSR that has no model. */
function endAtHole(core: Core, encoding: number, rt: number, write: boolean, what: string): never {
  const word = (0xd500_0000 | (write ? 0 : 1 << 21) | (encoding << 5) | rt) >>> 0;
  core.words[Word.POWER] = BigInt(Power.HALTED);
  core.end = { type: 'hole', what, word, pc: core.words[Word.PC]!, el: elOf(core) };
  throw UNWIND;
}

const OPERATION_TRAPS = new Map(OPERATIONS.map((operation) => [operation.encoding, trapsOf(operation.name, 'write')]));
const PAR_EL1 = slot('PAR_EL1');

/**
 * SYS and SYSL (`hasResult`, which nothing allocated uses: UNDEFINED). Checks as for MSR; then TLBI, AT, DC, IC or those of FEAT_SPECRES.
 * Caches are not modelled: of their maintenance only traps, and the translation faults of operations by address, remain.
 */
export function systemInstruction(core: Core, encoding: number, value: bigint, rt: number, hasResult = false): void {
  const el = elOf(core);
  if (isImplementationDefined(encoding)) implementationDefined(core, encoding, rt, !hasResult);
  const operation = operationByEncoding(encoding);
  if (operation === undefined || hasResult || (operation.needs !== undefined && !hasFeature(core.board, operation.needs))) undefinedInstruction(core);
  if (el < operation.el) {
    // AT and TLBI of EL2 are virtual EL2's as well (Arm ARM D8.14.1); none becomes a memory access.
    if (el === 1 && (nvx(core) & 1) !== 0) trapToEl2(core, encoding, rt, true);
    undefinedInstruction(core);
  }
  checkTraps(core, encoding, rt, true, OPERATION_TRAPS.get(encoding)!);
  perform(core, operation, value);
  core.board.observe?.(core, 'write', encoding, value);
}

function perform(core: Core, { kind, operation }: Operation, value: bigint): void {
  switch (kind) {
    case 'TLBI': invalidateTlb(core, operation, value); break;
    case 'AT': core.words[PAR_EL1] = addressTranslate(core, operation, value); break;
    case 'DC':
      if (operation === 'ZVA') zeroBlock(core, value);
      // By set and way there is no address to fault.
      else if (!operation.endsWith('SW')) maintainCache(core, value, operation === 'IVAC');
      break;
    case 'IC':
      if (operation === 'IVAU') maintainCache(core, value, false);
      break;
    case 'CFP': case 'DVP': case 'CPP': break;
  }
}

const PSTATE = 2 * Word.PSTATE;
const DAIF_TRAPS = trapsOf('DAIF', 'write');

/** MSR (immediate): PSTATE fields by op1 and op2, `crm` is the immediate. Arm ARM C6.2.250. */
export function msrImmediate(core: Core, op1: number, crm: number, op2: number): void {
  const el = elOf(core);
  const field = (op1 << 3) | op2;
  switch (field) {
    case 0o05: setPstate(core, el > 0, Pstate.SP, crm); break;
    case 0o04: setPstate(core, el > 0, Pstate.PAN, crm); invalidateContext(core); break;
    case 0o03: setPstate(core, el > 0, Pstate.UAO, crm); invalidateContext(core); break;
    case 0o31: setPstate(core, true, Pstate.SSBS, crm); break;
    case 0o32: setPstate(core, true, Pstate.DIT, crm); break;
    case 0o36: checkMask(core, crm, op2); core.ints[PSTATE] = core.ints[PSTATE]! | (crm << 6); break;
    case 0o37: checkMask(core, crm, op2); core.ints[PSTATE] = core.ints[PSTATE]! & ~(crm << 6); core.attention = true; break;
    // TCO needs FEAT_MTE, ALLINT FEAT_NMI, SVCR FEAT_SME.
    default: undefinedInstruction(core);
  }
}

function setPstate(core: Core, allowed: boolean, bit: number, crm: number): void {
  if (!allowed) undefinedInstruction(core);
  core.ints[PSTATE] = (core.ints[PSTATE]! & ~bit) | ((crm & 1) !== 0 ? bit : 0);
}

/** DAIFSet and DAIFClr at EL0: SCTLR_EL1.UMA. The ISS holds op0 0, op1 3, CRn 4 and Rt 31. */
function checkMask(core: Core, crm: number, op2: number): void {
  if (elOf(core) === 0) checkTraps(core, (3 << 11) | (4 << 7) | (crm << 3) | op2, 31, true, DAIF_TRAPS);
}
