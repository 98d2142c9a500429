/** Loads, stores and instruction fetches of a core. */
import { locate, markDirty } from '../memory/memory.ts';
import { illegalExecutionState, pcAlignmentFault, raise } from './exception.ts';
import { type Core, Pstate, Word } from './state.ts';
import type { LoadStoreSyndrome } from './syndrome.ts';

/** How an instruction accesses memory. Build one constant a row; `syndrome` only for single-register loads and stores without write-back. */
export interface Access {
  /** LDTR, STTR. */
  readonly unprivileged?: boolean;
  readonly exclusive?: boolean;
  readonly acquire?: boolean;
  readonly release?: boolean;
  /** A read-modify-write: the load checks write permission as well. */
  readonly atomic?: boolean;
  /** Bytes whose alignment is checked when more than the access's own: 16 for Q registers and 64-bit exclusive or CAS pairs. */
  readonly alignment?: 8 | 16;
  readonly syndrome?: LoadStoreSyndrome;
}
export type Bytes = 1 | 2 | 4 | 8;

function place(core: Core, va: bigint, kind: 'read' | 'write' | 'fetch'): number {
  const offset = locate(core.board.memory, Number(BigInt.asUintN(48, va)));
  if (offset < 0) raise(core, { ec: kind === 'fetch' ? 0x20 : 0x24, iss: kind === 'write' ? 0x50 : 0x10, far: va });
  return offset;
}

/** The instruction word at PC. Raises PC alignment faults, Instruction Aborts and the Illegal Execution state exception. */
export function fetchInstruction(core: Core): number {
  if ((core.ints[2 * Word.PC]! & 3) !== 0) pcAlignmentFault(core);
  const offset = place(core, core.words[Word.PC]!, 'fetch');
  if ((core.ints[2 * Word.PSTATE]! & Pstate.IL) !== 0) illegalExecutionState(core);
  return core.board.memory.view.getUint32(offset, true);
}

/** Loads `bytes` from `va`, zero-extended. */
export function loadMemory(core: Core, va: bigint, bytes: Bytes, _access: Access): bigint {
  const offset = place(core, va, 'read');
  const { view } = core.board.memory;
  return bytes === 8 ? view.getBigUint64(offset, true) : BigInt(bytes === 4 ? view.getUint32(offset, true) : bytes === 2 ? view.getUint16(offset, true) : view.getUint8(offset));
}

/** Stores the low `bytes` of `value` at `va`. */
export function storeMemory(core: Core, va: bigint, bytes: Bytes, value: bigint, _access: Access): void {
  const offset = place(core, va, 'write');
  const { view } = core.board.memory;
  markDirty(core.board.memory, offset);
  if (bytes === 8) view.setBigUint64(offset, value, true);
  else if (bytes === 4) view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
  else if (bytes === 2) view.setUint16(offset, Number(BigInt.asUintN(16, value)), true);
  else view.setUint8(offset, Number(BigInt.asUintN(8, value)));
}

/** A load-exclusive of one register: `loadMemory`, and the granule is marked. */
export function loadExclusive(core: Core, va: bigint, bytes: Bytes, access: Access): bigint { return loadMemory(core, va, bytes, access); }
/** A store-exclusive of one register. Returns whether it stored. */
export function storeExclusive(core: Core, va: bigint, bytes: Bytes, value: bigint, access: Access): boolean { storeMemory(core, va, bytes, value, access); return true; }
/** LDXP, LDAXP: two registers of `bytes` each, marked as one granule. Returns [first, second]. */
export function loadExclusivePair(core: Core, va: bigint, bytes: 4 | 8, access: Access): [bigint, bigint] { return [loadMemory(core, va, bytes, access), loadMemory(core, va + BigInt(bytes), bytes, access)]; }
/** STXP, STLXP. Returns whether it stored. */
export function storeExclusivePair(core: Core, va: bigint, bytes: 4 | 8, first: bigint, second: bigint, access: Access): boolean { storePair(core, va, bytes, first, second, access); return true; }
/** CLREX. */
export function clearExclusive(core: Core): void { core.words[Word.MONITOR] = 0n; }
/** STP and 16-byte stores: both halves are translated before either is written. */
export function storePair(core: Core, va: bigint, bytes: 4 | 8, first: bigint, second: bigint, access: Access): void { storeMemory(core, va, bytes, first, access); storeMemory(core, va + BigInt(bytes), bytes, second, access); }
/** DC ZVA: zeroes the 64-byte block that holds `va`. */
export function zeroBlock(core: Core, va: bigint): void { for (let at = 0n; at < 64n; at += 8n) storeMemory(core, (va & ~63n) + at, 8, 0n, {}); }
/** DC and IC by address, but for DC ZVA: only its translation faults matter, since caches are not modelled. `write`: DC IVAC, which needs write permission. */
export function maintainCache(_core: Core, _va: bigint, _write: boolean): void {}
/** The word at `offset` of the VNCR_EL2 page. */
export function loadVncr(core: Core, offset: number): bigint { return loadMemory(core, BigInt(offset), 8, {}); }
/** Stores the word at `offset` of the VNCR_EL2 page. */
export function storeVncr(core: Core, offset: number, value: bigint): void { storeMemory(core, BigInt(offset), 8, value, {}); }
