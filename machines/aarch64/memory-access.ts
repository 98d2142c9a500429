/** Loads, stores, exclusives and instruction fetches of a core: alignment, translation, monitors, devices, and the Data and Instruction Aborts they end in. */

import { PAGE_BYTES, forgetCode, locate, markDirty } from '../memory/memory.ts';
import { HcrHigh, Sctlr, hcrHigh, inHost, pstateOf, sctlrIndex } from './controls.ts';
import { checkWatchpoints } from './debug-checks.ts';
import { illegalExecutionState, pcAlignmentFault, raise, UNWIND } from './exception.ts';
import { GRANULE_BYTES, breakMonitor } from './monitor.ts';
import { type Core, Pstate, Word } from './state.ts';
import { Ec, Fsc, Iss, type LoadStoreSyndrome, loadStoreIss } from './syndrome.ts';
import { slot } from './sysregs.ts';
import { CODE_PAGE, ENTRY_WORDS, HELD_PAGE, type Entry, type Fast, MODE_OF, Regime, SETS, type Translation, descriptorStored } from './tlb.ts';
import { FETCH, type Kind, READ, WRITE, addressTranslateOrFault, fault, nv1InForce, regimeAt, translate, translationOf } from './translate.ts';

/** How an instruction accesses memory. Build one constant a row; `syndrome` only for single-register loads and stores without write-back. */
export interface Access {
  /** LDTR, STTR. */
  readonly unprivileged?: boolean;
  readonly exclusive?: boolean;
  readonly acquire?: boolean;
  readonly release?: boolean;
  /** A read-modify-write: the load checks write permission as well. */
  readonly atomic?: boolean;
  /** Bytes whose alignment is checked when more than the access's own: 16 for Q registers and 64-bit CAS pairs. */
  readonly alignment?: 8 | 16;
  /** The bytes are elements of this size, fewer than the access's own: alignment and byte order are those of each. */
  readonly element?: 1 | 2 | 4 | 8;
  readonly syndrome?: LoadStoreSyndrome;
}
export type Bytes = 1 | 2 | 4 | 8;

/** Bytes that DC ZVA zeroes (DCZID_EL0.BS = 4). */
export const ZERO_BYTES = 64;
/** Bytes of a cache line (CTR_EL0.DminLine = 4). */
const LINE_BYTES = 64;

// Scratch words: addresses and values in 32-bit halves, so that the fast path makes no bigint but its result.
const address64 = new BigUint64Array(1);
const address32 = new Int32Array(address64.buffer);
const value64 = new BigUint64Array(1);
const value32 = new Int32Array(value64.buffer);

const PC_LOW = 2 * Word.PC;
const PC_HIGH = PC_LOW + 1;
const PSTATE = 2 * Word.PSTATE;
const MONITOR = 2 * Word.MONITOR;

const mode = (core: Core): number => {
  const pstate = core.ints[PSTATE]!;
  return MODE_OF[((pstate >> 2) & 3) | ((pstate >> 20) & 4)]!;
};

const place = (core: Core, low: number): number => (mode(core) * SETS + ((low >>> 12) & (SETS - 1))) * ENTRY_WORDS;

/** The linear-memory offset of an address, in halves, by a fast array, or -1. */
function look(fast: Fast, core: Core, low: number, high: number, aligned: boolean): number {
  const at = place(core, low);
  if (fast[at] !== (low & ~0xfff) || fast[at + 1] !== high || !(aligned || fast[at + 3] === 1)) return -1;
  return (fast[at + 2]! + low) >>> 0;
}

function remember(fast: Fast, core: Core, low: number, high: number, linear: number, flags: number, more: number): void {
  const at = place(core, low);
  fast[at] = (low & ~0xfff) | flags;
  fast[at + 1] = high;
  fast[at + 2] = linear - (low & ~0xfff);
  fast[at + 3] = more;
}

/** The same for a store that looks after decoded instructions and descriptors itself. */
function lookToStore(write: Fast, core: Core, low: number, high: number, aligned: boolean): number {
  const at = place(core, low);
  if ((write[at]! & ~(CODE_PAGE | HELD_PAGE)) !== (low & ~0xfff) || write[at + 1] !== high || !(aligned || write[at + 3] === 1)) return -1;
  return (write[at + 2]! + low) >>> 0;
}

/** Whether an access that is not aligned to its size may look in the fast arrays: within its page, without ordering. */
const looseAccess = (low: number, bytes: number, access: Access): boolean => (low & 0xfff) + bytes <= PAGE_BYTES && access.acquire !== true && access.release !== true && access.exclusive !== true && access.atomic !== true;

/** Where the instruction at PC lies in linear memory. Raises PC alignment faults and Instruction Aborts. */
export function fetchOffset(core: Core): number {
  const low = core.ints[PC_LOW]!;
  const high = core.ints[PC_HIGH]!;
  if ((low & 3) !== 0) pcAlignmentFault(core);
  const { board } = core;
  const translation = core.translation as Translation | undefined;
  let offset = translation === undefined || board.footprint !== undefined ? -1 : look(translation.fetch, core, low, high, true);
  if (offset < 0) {
    const pc = core.words[Word.PC]!;
    const entry = resolve(core, pc, FETCH, true, PLAIN, 4);
    if (entry.linear < 0) abort(core, pc, FETCH, PLAIN, 4, Fsc.EXTERNAL);
    offset = entry.linear + (low & 0xfff);
    remember(translationOf(core).fetch, core, low, high, entry.linear, 0, entry.guarded ? 1 : 0);
  }
  return offset;
}

/** The same of an instruction that is then executed: raises the Illegal Execution state exception too, which comes after those (Arm ARM D1.3.5.3). */
export function instructionOffset(core: Core): number {
  const offset = fetchOffset(core);
  if ((core.ints[PSTATE]! & Pstate.IL) !== 0) illegalExecutionState(core);
  return offset;
}

/** The instruction word at PC, little-endian always. Raises what `instructionOffset` does. */
export const fetchInstruction = (core: Core): number => core.board.memory.view.getUint32(instructionOffset(core), true);

/** Notes in the fetch array where the records of PC's page are. Call it behind `instructionOffset`. */
export function fillFetch(core: Core, records: number): void {
  const { fetch } = translationOf(core);
  const more = place(core, core.ints[PC_LOW]!) + 3;
  fetch[more] = records | (fetch[more]! & 1);
}

/** Whether the instruction fetched last, which is at PC, is in a guarded page (FEAT_BTI): the fast array for fetches has it. */
export const inGuardedPage = (core: Core): boolean => (translationOf(core).fetch[place(core, core.ints[PC_LOW]!) + 3]! & 1) === 1;

/** Loads `bytes` from `va`, zero-extended. Throws UNWIND for aborts and for device loads whose answer is not there yet. */
export function loadMemory(core: Core, va: bigint, bytes: Bytes, access: Access): bigint {
  address64[0] = va;
  const low = address32[0]!;
  const translation = core.translation as Translation | undefined;
  const aligned = (low & (bytes - 1)) === 0;
  if (translation !== undefined && core.board.footprint === undefined && access.unprivileged !== true && access.atomic !== true && access.alignment === undefined && (aligned || looseAccess(low, bytes, access))) {
    const offset = look(translation.read, core, low, address32[1]!, aligned);
    if (offset >= 0) return readLinear(core, offset, bytes);
  }
  return loadSlowly(core, va, bytes, access);
}

/** Stores the low `bytes` of `value` at `va`. */
export function storeMemory(core: Core, va: bigint, bytes: Bytes, value: bigint, access: Access): void {
  address64[0] = va;
  const low = address32[0]!;
  const translation = core.translation as Translation | undefined;
  const aligned = (low & (bytes - 1)) === 0;
  if (translation !== undefined && core.board.footprint === undefined && access.unprivileged !== true && access.alignment === undefined && (aligned || looseAccess(low, bytes, access)) && !othersMonitor(core)) {
    const offset = lookToStore(translation.write, core, low, address32[1]!, aligned);
    if (offset >= 0) {
      writeLinear(core, offset, bytes, value);
      if (core.board.memory.holdsDescriptors[offset >>> 12] !== 0) descriptorStored(core.board, offset, bytes);
      return;
    }
  }
  storeSlowly(core, va, bytes, value, access);
}

const PLAIN: Access = {};

/** Whether another core's exclusive monitor is set: stores then look at the granule. */
export function othersMonitor(core: Core): boolean {
  const { cores } = core.board;
  for (let index = 0; index < cores.length; index++) {
    const other = cores[index]!;
    if (other !== core && other.ints[MONITOR] !== 0) return true;
  }
  return false;
}

function readLinear(core: Core, offset: number, bytes: Bytes): bigint {
  const { memory } = core.board;
  if (bytes === 8) return (offset & 7) === 0 ? memory.words[offset / 8]! : memory.view.getBigUint64(offset, true);
  if (bytes === 4) return BigInt(memory.view.getUint32(offset, true));
  return BigInt(bytes === 2 ? memory.view.getUint16(offset, true) : memory.bytes[offset]!);
}

function writeLinear(core: Core, offset: number, bytes: Bytes, value: bigint): void {
  const { memory } = core.board;
  if (memory.dirty[offset >>> 12] === 0) markDirty(memory, offset);
  if (memory.codePages[offset >>> 12] !== 0) forgetCode(memory, offset, bytes);
  value64[0] = value;
  if (bytes === 8) {
    if ((offset & 7) === 0) memory.words[offset / 8] = value;
    else memory.view.setBigUint64(offset, value, true);
  } else if (bytes === 4) memory.view.setInt32(offset, value32[0]!, true);
  else if (bytes === 2) memory.view.setInt16(offset, value32[0]!, true);
  else memory.bytes[offset] = value32[0]!;
}

/** Whether data at the current level is big-endian: SCTLR_ELx.EE, at EL0 E0E. Unprivileged accesses use the current level's (Arm ARM B2.6). */
function bigEndian(core: Core): boolean {
  const el = (core.ints[PSTATE]! >> 2) & 3;
  return (core.ints[sctlrIndex(core, el)]! & (el === 0 ? Sctlr.E0E : Sctlr.EE)) !== 0;
}

/** A value as memory has it at the current level: each element in reverse order where data is big-endian. */
function ordered(core: Core, value: bigint, bytes: number, access: Access): bigint {
  if (!bigEndian(core)) return value;
  const size = access.element ?? bytes;
  let result = 0n;
  for (let at = 0; at < bytes; at += size) result |= swap(value >> BigInt(8 * at), size) << BigInt(8 * at);
  return result;
}

/** `value`'s low `bytes` in reverse order. */
function swap(value: bigint, bytes: number): bigint {
  let result = 0n;
  for (let index = 0; index < bytes; index++) result = (result << 8n) | ((value >> BigInt(8 * index)) & 0xffn);
  return result;
}

/**
 * Alignment by the address alone, before translation (AArch64.UnalignedAccessFaults). Under SCTLR_ELx.A all must be aligned to their size; with FEAT_LSE2 exclusives and
 * atomics must lie within 16 aligned bytes, and ordered accesses too unless SCTLR_ELx.nAA says that they need not. Returns whether it is aligned.
 */
function checkAlignment(core: Core, va: bigint, kind: Kind, bytes: number, access: Access): boolean {
  const size = access.element ?? Math.max(access.alignment ?? 0, bytes);
  if ((va & BigInt(size - 1)) === 0n) return true;
  const sctlr = core.ints[sctlrIndex(core, (pstateOf(core) >> 2) & 3)]!;
  const strict = access.exclusive === true || access.atomic === true || ((access.acquire === true || access.release === true) && (sctlr & Sctlr.NAA) === 0);
  if ((sctlr & Sctlr.A) !== 0 || (strict && Number(va & 15n) + size > 16)) {
    setFault(Fsc.ALIGNMENT);
    abort(core, va, kind, access, bytes);
  }
  return false;
}

function setFault(fsc: number): void {
  fault.fsc = fsc;
  fault.stage2 = false;
  fault.onWalk = false;
  fault.ipa = 0;
  fault.external = fsc === Fsc.EXTERNAL;
}

/** Translates for an access at the current level, or raises its abort. Notes the footprint. */
function resolve(core: Core, va: bigint, kind: Kind, aligned: boolean, access: Access, bytes: number): Entry {
  const pstate = pstateOf(core);
  const el = (pstate >> 2) & 3;
  const nv1 = el === 1 && nv1InForce(core);
  const privileged = el !== 0 && !actsAtEl0(core, access);
  const regime = regimeAt(core, el);
  const pan = (pstate & Pstate.PAN) !== 0 && privileged && !nv1 && regime !== Regime.EL2;
  const { footprint, profile } = core.board;
  const began = profile?.clock() ?? 0;
  const found = translate(core, va, kind, regime, privileged, pan, aligned);
  if (profile !== undefined) {
    profile.counts.misses += 1;
    profile.ms.misses += profile.clock() - began;
  }
  const entry = found ?? abort(core, va, kind, access, bytes);
  if (footprint !== undefined) {
    (kind === WRITE ? footprint.written : footprint.read).add(entry.pa / PAGE_BYTES);
    for (const descriptor of entry.descriptors) footprint.read.add(Math.floor(descriptor / PAGE_BYTES));
  }
  return entry;
}

/** LDTR and STTR act as EL0 at EL1, and at EL2 for {E2H, TGE} = {1, 1}; not under UAO, which {NV, NV1} = {1, 1} forces. */
function actsAtEl0(core: Core, access: Access): boolean {
  const pstate = pstateOf(core);
  const el = (pstate >> 2) & 3;
  return access.unprivileged === true && (pstate & Pstate.UAO) === 0 && ((el === 1 && !nv1InForce(core)) || (el === 2 && inHost(core)));
}

/** Watchpoints, once an access has been translated and before it is made. A read-modify-write counts as both when it reads. */
function watch(core: Core, va: bigint, bytes: number, kind: Kind, access: Access, iss = 0): void {
  if (!core.checked) return;
  const el = actsAtEl0(core, access) ? 0 : (pstateOf(core) >> 2) & 3;
  checkWatchpoints(core, { va, bytes, read: kind === READ, write: kind === WRITE || access.atomic === true, el }, iss);
}

/** Raises the abort that `fault` describes, or the External abort `code` says. */
function abort(core: Core, va: bigint, kind: Kind, access: Access, bytes: number, code?: number, more = 0): never {
  if (code !== undefined) setFault(code);
  let iss = fault.fsc | (fault.onWalk ? Iss.S1PTW : 0) | more;
  if (kind === WRITE) iss |= Iss.WNR;
  // ISV only for stage-2 aborts of single-register loads and stores, walks and External aborts excluded.
  if (fault.stage2 && !fault.onWalk && !fault.external && access.syndrome !== undefined && kind !== FETCH) iss |= loadStoreIss(bytes, access.syndrome, access.acquire === true || access.release === true);
  const el = (pstateOf(core) >> 2) & 3;
  const toEl2 = el < 2 && (fault.stage2 || (fault.external && core.board.el2 !== 'none' && (hcrHigh(core) & HcrHigh.TEA) !== 0));
  const ec = kind === FETCH ? Ec.INSTRUCTION_ABORT : Ec.DATA_ABORT;
  // HPFAR_EL2 is UNKNOWN for stage-2 Permission faults that are not on a walk: we write it all the same, as QEMU does.
  raise(core, {
    ec, iss, far: va,
    ...(toEl2 ? { target: 2 } : {}),
    ...(fault.stage2 && !fault.external ? { hpfar: BigInt(Math.floor(fault.ipa / PAGE_BYTES)) << 4n } : {}),
  });
}

/** Fills a fast array where every later access by it needs no look: memory, little-endian. Unprivileged accesses have other permissions than their mode. */
function cache(core: Core, va: bigint, kind: Kind, entry: Entry, access: Access): void {
  const { board } = core;
  if (board.footprint !== undefined || core.checked || access.unprivileged === true || bigEndian(core)) return;
  address64[0] = va;
  const translation = translationOf(core);
  const strict = entry.device || entry.device2 || (core.ints[sctlrIndex(core, (pstateOf(core) >> 2) & 3)]! & Sctlr.A) !== 0;
  const page = entry.linear / PAGE_BYTES;
  if (kind === READ) remember(translation.read, core, address32[0]!, address32[1]!, entry.linear, 0, strict ? 0 : 1);
  else if (!entry.rom) {
    // Found in the array, a page is known to be dirty.
    markDirty(board.memory, entry.linear);
    const flags = (board.memory.codePages[page] === 0 ? 0 : CODE_PAGE) | (board.memory.holdsDescriptors[page] === 0 ? 0 : HELD_PAGE);
    remember(translation.write, core, address32[0]!, address32[1]!, entry.linear, flags, strict ? 0 : 1);
  }
}

const inPage = (va: bigint): number => Number(va & 0xfffn);

function loadSlowly(core: Core, va: bigint, bytes: Bytes, access: Access): bigint {
  const aligned = checkAlignment(core, va, READ, bytes, access);
  const at = inPage(va);
  if (at + bytes > PAGE_BYTES) return loadAcrossPages(core, va, bytes, access, aligned);
  const entry = resolve(core, va, READ, aligned, access, bytes);
  // A read-modify-write faults for its write too, with WnR = 1 where the read alone would not have.
  if (access.atomic === true) resolve(core, va, WRITE, aligned, access, bytes);
  watch(core, va, bytes, READ, access);
  if (entry.linear < 0) return loadDevice(core, va, entry.pa + at, bytes, access);
  cache(core, va, READ, entry, access);
  return ordered(core, readLinear(core, entry.linear + at, bytes), bytes, access);
}

/** An unaligned load over two pages: both are translated before either is read. FAR_ELx of a fault in the second is its first byte. */
function loadAcrossPages(core: Core, va: bigint, bytes: number, access: Access, aligned: boolean): bigint {
  const second = nextPage(va);
  const entries = [resolve(core, va, READ, aligned, access, bytes), resolve(core, second, READ, aligned, access, bytes)] as const;
  watch(core, va, bytes, READ, access);
  let value = 0n;
  for (let index = 0; index < bytes; index++) {
    const at = inPage(va) + index;
    const entry = entries[at < PAGE_BYTES ? 0 : 1];
    if (entry.linear < 0) abort(core, va, READ, access, bytes, Fsc.EXTERNAL);
    value |= BigInt(core.board.memory.bytes[entry.linear + (at % PAGE_BYTES)]!) << BigInt(8 * index);
  }
  return ordered(core, value, bytes, access);
}

const nextPage = (va: bigint): bigint => BigInt.asUintN(64, (va | 0xfffn) + 1n);

function storeSlowly(core: Core, va: bigint, bytes: Bytes, value: bigint, access: Access): void {
  const aligned = checkAlignment(core, va, WRITE, bytes, access);
  const at = inPage(va);
  if (at + bytes > PAGE_BYTES) {
    storeAcrossPages(core, va, bytes, value, access, aligned);
    return;
  }
  const entry = resolve(core, va, WRITE, aligned, access, bytes);
  watch(core, va, bytes, WRITE, access);
  if (entry.linear < 0 || entry.rom) {
    storeDevice(core, va, entry.pa + at, bytes, value, access);
    return;
  }
  cache(core, va, WRITE, entry, access);
  commit(core, entry, at, bytes, ordered(core, value, bytes, access));
}

/** An unaligned store over two pages: both are translated before either is written. */
function storeAcrossPages(core: Core, va: bigint, bytes: number, value: bigint, access: Access, aligned: boolean): void {
  const second = nextPage(va);
  const entries = [resolve(core, va, WRITE, aligned, access, bytes), resolve(core, second, WRITE, aligned, access, bytes)] as const;
  for (const entry of entries) if (entry.linear < 0 || entry.rom) abort(core, va, WRITE, access, bytes, Fsc.EXTERNAL);
  const inOrder = ordered(core, value, bytes, access);
  for (let index = 0; index < bytes; index++) {
    const position = inPage(va) + index;
    commit(core, entries[position < PAGE_BYTES ? 0 : 1], position % PAGE_BYTES, 1, inOrder >> BigInt(8 * index));
  }
}

/** Writes to a translated page and tells those who watch it: other cores' monitors, and translations made from descriptors there. */
function commit(core: Core, entry: Entry, at: number, bytes: Bytes, value: bigint): void {
  writeLinear(core, entry.linear + at, bytes, value);
  stored(core, entry.pa + at, entry.linear + at, bytes);
}

function stored(core: Core, pa: number, linear: number, bytes: number): void {
  const { board } = core;
  for (const other of board.cores) if (other !== core && other.ints[MONITOR] !== 0) breakMonitor(other, pa, bytes);
  if (board.memory.holdsDescriptors[linear >>> 12] !== 0) descriptorStored(board, linear, bytes);
}

// ---- vectors -------------------------------------------------------------------------------------------------------------------------------
// 16 bytes at once. Without `element` they are one quantity (LDR of a Q register): aligned to 16 where alignment is checked, 16 bytes reversed
// where data is big-endian. No syndrome is given: ISV is 0 for SIMD&FP registers. No device takes so wide an access: an External abort.

const VECTOR_BYTES = 16;

/** Loads 16 bytes from `va`, the first in bits 7 to 0. */
export function loadVector(core: Core, va: bigint, access: Access): bigint {
  address64[0] = va;
  const low = address32[0]!;
  const translation = core.translation as Translation | undefined;
  if (translation !== undefined && core.board.footprint === undefined && (low & 0xfff) + VECTOR_BYTES <= PAGE_BYTES) {
    const offset = look(translation.read, core, low, address32[1]!, (low & ((access.element ?? VECTOR_BYTES) - 1)) === 0);
    if (offset >= 0) return readVector(core, offset);
  }
  const aligned = checkAlignment(core, va, READ, VECTOR_BYTES, access);
  const at = inPage(va);
  if (at + VECTOR_BYTES > PAGE_BYTES) return loadAcrossPages(core, va, VECTOR_BYTES, access, aligned);
  const entry = resolve(core, va, READ, aligned, access, VECTOR_BYTES);
  watch(core, va, VECTOR_BYTES, READ, access);
  if (entry.linear < 0) abort(core, va, READ, access, VECTOR_BYTES, Fsc.EXTERNAL);
  cache(core, va, READ, entry, access);
  return ordered(core, readVector(core, entry.linear + at), VECTOR_BYTES, access);
}

/** Stores 16 bytes at `va`, all or none. */
export function storeVector(core: Core, va: bigint, value: bigint, access: Access): void {
  address64[0] = va;
  const low = address32[0]!;
  const translation = core.translation as Translation | undefined;
  if (translation !== undefined && core.board.footprint === undefined && (low & 0xfff) + VECTOR_BYTES <= PAGE_BYTES && !othersMonitor(core)) {
    const offset = look(translation.write, core, low, address32[1]!, (low & ((access.element ?? VECTOR_BYTES) - 1)) === 0);
    if (offset >= 0) {
      writeLinear(core, offset, 8, value);
      writeLinear(core, offset + 8, 8, value >> 64n);
      return;
    }
  }
  const aligned = checkAlignment(core, va, WRITE, VECTOR_BYTES, access);
  const at = inPage(va);
  if (at + VECTOR_BYTES > PAGE_BYTES) {
    storeAcrossPages(core, va, VECTOR_BYTES, value, access, aligned);
    return;
  }
  const entry = resolve(core, va, WRITE, aligned, access, VECTOR_BYTES);
  watch(core, va, VECTOR_BYTES, WRITE, access);
  if (entry.linear < 0 || entry.rom) abort(core, va, WRITE, access, VECTOR_BYTES, Fsc.EXTERNAL);
  cache(core, va, WRITE, entry, access);
  const inOrder = ordered(core, value, VECTOR_BYTES, access);
  commit(core, entry, at, 8, inOrder);
  commit(core, entry, at + 8, 8, inOrder >> 64n);
}

const readVector = (core: Core, offset: number): bigint => readLinear(core, offset, 8) | (readLinear(core, offset + 8, 8) << 64n);

// ---- devices -------------------------------------------------------------------------------------------------------------------------------

/** A load where there is no memory: from a device, whose answer comes from `deviceReplies` when the instruction runs again; else a synchronous External abort. */
function loadDevice(core: Core, va: bigint, pa: number, bytes: Bytes, access: Access): bigint {
  const { board } = core;
  const device = board.deviceAt(pa, core.index);
  if (device === undefined) abort(core, va, READ, access, bytes, Fsc.EXTERNAL);
  const reply = core.deviceReplies[0];
  if (reply !== undefined && reply.pa === pa && reply.bytes === bytes) {
    core.deviceReplies.shift();
    return reply.value;
  }
  board.outbox.push({ to: device.to, message: { type: 'read', from: `vcpu:${core.index}`, offset: device.offset, bytes, pa } });
  core.end = { type: 'device' };
  throw UNWIND;
}

function storeDevice(core: Core, va: bigint, pa: number, bytes: Bytes, value: bigint, access: Access): void {
  const { board } = core;
  const device = board.deviceAt(pa, core.index);
  if (device === undefined) abort(core, va, WRITE, access, bytes, Fsc.EXTERNAL);
  board.outbox.push({ to: device.to, message: { type: 'write', from: `vcpu:${core.index}`, offset: device.offset, bytes, value: BigInt.asUintN(8 * bytes, value) } });
  core.end ??= { type: 'effect' };
}

// ---- exclusives ----------------------------------------------------------------------------------------------------------------------------
// Each core has one monitor, local and global in one: the physical granule its last load-exclusive marked. It is opened by the core's own
// store-exclusive (successful or not), CLREX and exception return, and by any other core's store to the granule; the core's own plain
// stores leave it (IMPLEMENTATION DEFINED). A store-exclusive passes when its address is in the marked granule and its size is the load's.

function mark(core: Core, va: bigint, bytes: number, access: Access, entry: Entry): void {
  if (entry.linear < 0) abort(core, va, READ, access, bytes, Fsc.UNSUPPORTED);
  const pa = entry.pa + inPage(va);
  core.words[Word.MONITOR] = BigInt(pa - (pa % GRANULE_BYTES) + 1);
  core.words[Word.MONITOR_BYTES] = BigInt(bytes);
}

/** `access` as an exclusive one: its alignment is always checked. */
const asExclusive = (access: Access): Access => (access.exclusive === true ? access : { ...access, exclusive: true });

/** A load-exclusive of one register: loads, and marks the granule. */
export function loadExclusive(core: Core, va: bigint, bytes: Bytes, access: Access): bigint {
  const aligned = checkAlignment(core, va, READ, bytes, asExclusive(access));
  const entry = resolve(core, va, READ, aligned, access, bytes);
  watch(core, va, bytes, READ, access);
  mark(core, va, bytes, access, entry);
  return loadMemory(core, va, bytes, access);
}

/** A store-exclusive of one register. Returns whether it stored. */
export function storeExclusive(core: Core, va: bigint, bytes: Bytes, value: bigint, access: Access): boolean {
  if (!monitorPasses(core, va, bytes, access)) return false;
  storeMemory(core, va, bytes, value, access);
  return true;
}

/** LDXP, LDAXP: two registers of `bytes` each, marked together; aligned to both. Returns [first, second]. */
export function loadExclusivePair(core: Core, va: bigint, bytes: 4 | 8, access: Access): [bigint, bigint] {
  const whole = 2 * bytes;
  const aligned = checkAlignment(core, va, READ, whole, asExclusive(access));
  const entry = resolve(core, va, READ, aligned, access, whole);
  watch(core, va, whole, READ, access);
  mark(core, va, whole, access, entry);
  return [loadMemory(core, va, bytes, PLAIN), loadMemory(core, va + BigInt(bytes), bytes, PLAIN)];
}

/** A load of two elements whose alignment, permissions and atomicity are those of the whole (`access.alignment`): CASP. Returns [first, second]. */
export function loadPair(core: Core, va: bigint, bytes: 4 | 8, access: Access): [bigint, bigint] {
  const first = loadMemory(core, va, bytes, access);
  return [first, loadMemory(core, BigInt.asUintN(64, va + BigInt(bytes)), bytes, access.alignment === undefined ? access : PLAIN)];
}

/** STXP, STLXP. Returns whether it stored. */
export function storeExclusivePair(core: Core, va: bigint, bytes: 4 | 8, first: bigint, second: bigint, access: Access): boolean {
  if (!monitorPasses(core, va, 2 * bytes, access)) return false;
  storePair(core, va, bytes, first, second, access);
  return true;
}

/** AArch64.ExclusiveMonitorsPass: alignment; the monitor; translation, whose faults are taken only when the monitor is set; the granule. Opens the monitor. */
function monitorPasses(core: Core, va: bigint, bytes: number, access: Access): boolean {
  const aligned = checkAlignment(core, va, WRITE, bytes, asExclusive(access));
  const marked = Number(core.words[Word.MONITOR]!) - 1;
  if (marked < 0) return false;
  const entry = resolve(core, va, WRITE, aligned, access, bytes);
  watch(core, va, bytes, WRITE, access);
  const pa = entry.pa + inPage(va);
  const passes = pa - (pa % GRANULE_BYTES) === marked && core.ints[2 * Word.MONITOR_BYTES] === bytes;
  core.words[Word.MONITOR] = 0n;
  return passes;
}

/** CLREX. */
export function clearExclusive(core: Core): void {
  core.words[Word.MONITOR] = 0n;
}

/** STP and 16-byte stores: both halves are translated before either is written, so a faulting pair writes nothing. */
export function storePair(core: Core, va: bigint, bytes: 4 | 8, first: bigint, second: bigint, access: Access): void {
  const next = BigInt.asUintN(64, va + BigInt(bytes));
  if (core.checked || inPage(va) + 2 * bytes > PAGE_BYTES) {
    const aligned = checkAlignment(core, va, WRITE, bytes, access);
    resolve(core, va, WRITE, aligned, access, bytes);
    resolve(core, inPage(next) < bytes ? next - BigInt(inPage(next)) : nextPage(next), WRITE, aligned, access, bytes);
    watch(core, va, 2 * bytes, WRITE, access);
  }
  storeMemory(core, va, bytes, first, access);
  // The whole was aligned and permitted, so that its second half needs no check of its own.
  storeMemory(core, next, bytes, second, access.alignment === undefined ? access : PLAIN);
}

// ---- cache and translation instructions ----------------------------------------------------------------------------------------------------

/** DC ZVA: zeroes the 64-byte block that holds `va`. Device memory is an Alignment fault. */
export function zeroBlock(core: Core, va: bigint): void {
  const entry = resolve(core, va, WRITE, false, PLAIN, 1);
  watch(core, va & ~BigInt(ZERO_BYTES - 1), ZERO_BYTES, WRITE, PLAIN);
  if (entry.linear < 0 || entry.rom) abort(core, va, WRITE, PLAIN, 1, Fsc.EXTERNAL);
  cache(core, va, WRITE, entry, PLAIN);
  const at = inPage(va) - (inPage(va) % ZERO_BYTES);
  const { memory } = core.board;
  markDirty(memory, entry.linear + at);
  forgetCode(memory, entry.linear + at, ZERO_BYTES);
  memory.bytes.fill(0, entry.linear + at, entry.linear + at + ZERO_BYTES);
  stored(core, entry.pa + at, entry.linear + at, ZERO_BYTES);
}

/** DC and IC by address, but for DC ZVA: caches are not modelled, so only faults matter. `write`: DC IVAC, which needs write permission. Aborts report CM = 1 and WnR = 1. */
export function maintainCache(core: Core, va: bigint, write: boolean): void {
  const el = (pstateOf(core) >> 2) & 3;
  const entry = translate(core, va, write ? WRITE : READ, regimeAt(core, el), el !== 0, false, true, false, false);
  if (entry === undefined) abort(core, va, WRITE, PLAIN, 1, undefined, Iss.CM);
  // Of cache maintenance only DC IVAC, which may lose data, is watched: over its line (AArch64.CheckWatchpoint).
  if (write) watch(core, va & ~BigInt(LINE_BYTES - 1), LINE_BYTES, WRITE, PLAIN, Iss.CM);
}

/** AT: PAR_EL1's value, or the Data Abort that the instruction takes itself (CM = 1, WnR = 1). `operation` as in `addressTranslateOrFault`. */
export function addressTranslate(core: Core, operation: string, va: bigint): bigint {
  return addressTranslateOrFault(core, operation, va) ?? abort(core, va, WRITE, PLAIN, 1, undefined, Iss.CM);
}

// ---- VNCR ----------------------------------------------------------------------------------------------------------------------------------

const VNCR_EL2 = slot('VNCR_EL2');

/** FEAT_NV2: the word at `offset` (a multiple of 8 below 4096) of the page that VNCR_EL2 names. */
export function loadVncr(core: Core, offset: number): bigint {
  const linear = vncrAddress(core, offset, READ);
  const value = core.board.memory.words[linear / 8]!;
  return (core.ints[sctlrIndex(core, 2)]! & Sctlr.EE) === 0 ? value : swap(value, 8);
}

/** FEAT_NV2: stores the word at `offset` of the page that VNCR_EL2 names. */
export function storeVncr(core: Core, offset: number, value: bigint): void {
  const linear = vncrAddress(core, offset, WRITE);
  const { memory } = core.board;
  markDirty(memory, linear);
  forgetCode(memory, linear, 8);
  memory.words[linear / 8] = (core.ints[sctlrIndex(core, 2)]! & Sctlr.EE) === 0 ? value : swap(value, 8);
  stored(core, vncrPa, linear, 8);
}

/** Physical address of the VNCR word found last. */
let vncrPa = 0;

/**
 * The linear offset of a VNCR word. Translated by the EL2 or EL2&0 regime as a privileged access with PAN = 0; where L0 owns EL2, its stage 1
 * is the identity over all memory, its own pages included. Faults are Data Aborts to EL2, class 0x25 and VNCR = 1, at the lower-level vector.
 */
function vncrAddress(core: Core, offset: number, kind: Kind): number {
  const { board, words } = core;
  const va = BigInt.asUintN(64, BigInt.asIntN(53, (words[VNCR_EL2]! & ~0xfffn) | BigInt(offset)));
  let linear: number;
  if (board.el2 === 'kvm') {
    vncrPa = Number(BigInt.asUintN(48, va));
    linear = locate(board.memory, vncrPa);
    if (linear < 0) setFault(Fsc.TRANSLATION | 3);
  } else {
    const entry = translate(core, va, kind, regimeAt(core, 2), true, false, true);
    vncrPa = entry === undefined ? 0 : entry.pa + offset;
    linear = entry === undefined ? -1 : entry.linear < 0 ? -1 : entry.linear + offset;
    if (entry !== undefined && linear < 0) setFault(Fsc.EXTERNAL);
  }
  if (linear < 0) raise(core, { ec: Ec.DATA_ABORT_SAME, iss: Iss.VNCR | fault.fsc | (kind === WRITE ? Iss.WNR : 0), target: 2, far: va });
  if (core.checked) checkWatchpoints(core, { va, bytes: 8, read: kind === READ, write: kind === WRITE, el: 2, vncr: true });
  const { footprint } = board;
  if (footprint !== undefined) (kind === WRITE ? footprint.written : footprint.read).add(Math.floor(vncrPa / PAGE_BYTES));
  return linear;
}
