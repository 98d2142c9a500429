/** Translation table walks of VMSAv8-64, stage 1 and stage 2, 4 KiB, 16 KiB and 64 KiB granules, 48-bit addresses, as functions of memory and controls. Arm ARM D8.2 to D8.6. */

import { type Memory, regionAt } from '../memory/memory.ts';
import { Fsc } from './syndrome.ts';

/** Stage-1 permissions, one bit each: read, write, execute for EL0; for the privileged level; privileged read and write under PSTATE.PAN. */
export const Permission = { USER_READ: 1, USER_WRITE: 2, USER_EXECUTE: 4, READ: 8, WRITE: 16, EXECUTE: 32, PAN_READ: 64, PAN_WRITE: 128, ALL: 255 } as const;

/** The controls of one half of the VA range of one stage-1 regime. */
export interface Stage1Controls {
  /** TTBRx_ELx as written. */
  readonly ttbr: bigint;
  readonly txsz: number;
  /** log2 of the granule: 12, 14 or 16. */
  readonly pageShift: number;
  /** TCR_ELx.EPDx: no walks for this half. */
  readonly walksDisabled: boolean;
  /** The half selected by VA[55] = 1. */
  readonly high: boolean;
  /** TBI: bits 63 to 56 of the VA are ignored. */
  readonly topByteIgnored: boolean;
  /** TBID: but not for instruction fetches. */
  readonly dataOnly: boolean;
  /** E0PDx: EL0 has no access to this half, whatever the tables say. */
  readonly noUser: boolean;
  /** Bits of the output address (TCR_ELx.IPS or PS, at most the implemented size). */
  readonly outputBits: number;
  /** Hierarchical permissions disabled. */
  readonly hpd: boolean;
  readonly bigEndian: boolean;
  /** EL1&0 or EL2&0: descriptors tell EL0's permissions from the privileged ones. */
  readonly twoPrivileges: boolean;
  /** {NV, NV1} = {1, 1} in EL1&0: the descriptor format of the EL2 regime. */
  readonly nv1: boolean;
  readonly wxn: boolean;
  /** FEAT_HAFDBS, TCR_ELx.HA and HD: the hardware sets the Access flag, and makes what is writable and clean writable. */
  readonly accessFlags: boolean;
  readonly dirtyState: boolean;
  readonly mair: bigint;
}

export interface Stage2Controls {
  readonly vttbr: bigint;
  readonly vtcr: bigint;
  /** SCTLR_EL2.EE: descriptors are big-endian. */
  readonly bigEndian?: boolean;
  /** HCR_EL2.FWB. */
  readonly fwb?: boolean;
  /** Physical address bits implemented; 48 when absent. */
  readonly paBits?: number;
}

/** What FEAT_HAFDBS has to do to the descriptor of a block or page: set its Access flag, and at a write make it say that it was written. */
export interface Update {
  /** Physical address of the descriptor, and for stage 1 the one that stage 2 translated to it. */
  readonly address: number;
  readonly ipa: number;
  readonly descriptor: bigint;
  readonly accessed: boolean;
  readonly clean: boolean;
}

/** `fsc` is the 6-bit status code, level included; `level` is that of the descriptor at fault. */
export interface WalkFault {
  readonly ok: false;
  readonly fsc: number;
  readonly level: number;
  /** The fault is stage 2's. */
  readonly stage2: boolean;
  /** It is stage 2's, on the address of a stage-1 descriptor. */
  readonly onWalk: boolean;
  /** The intermediate physical address at fault, for `stage2`. */
  readonly ipa: number;
}

export interface Stage1Walk {
  readonly ok: true;
  /** The output address of the byte asked for. */
  readonly pa: number;
  readonly level: number;
  /** log2 of the bytes that the descriptor maps. */
  readonly blockShift: number;
  /** Bits of `Permission`. */
  readonly permissions: number;
  /** The MAIR byte. */
  readonly attributes: number;
  readonly shareability: number;
  /** GP: bit 50 of the descriptor. */
  readonly guarded: boolean;
  /** nG = 0. */
  readonly global: boolean;
  readonly update: Update | undefined;
  /** Physical addresses of the descriptors read, stage 2's included. */
  readonly descriptors: readonly number[];
}

export interface Stage2Walk {
  readonly ok: true;
  /** The output address of the byte asked for. */
  readonly pa: number;
  /** Bytes that the descriptor maps. */
  readonly bytes: number;
  readonly level: number;
  readonly read: boolean;
  readonly write: boolean;
  /** At EL1, and at EL0 (FEAT_XNX). */
  readonly execute: boolean;
  readonly executeUser: boolean;
  readonly update: Update | undefined;
  /** The memory type is Device. */
  readonly device: boolean;
  /** MemAttr[3:0] and SH[1:0] of the descriptor. */
  readonly memAttr: number;
  readonly shareability: number;
  /** The block or page descriptor. */
  readonly descriptor: bigint;
  /** Physical addresses of the descriptors read, outermost first. */
  readonly descriptors: readonly number[];
}

const OUTPUT_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 48, 48];
/** The output address size that a PS or IPS field selects, at most what is implemented. */
export const outputBitsOf = (ps: number, paBits: number): number => Math.min(OUTPUT_BITS[ps & 7]!, paBits);

/** Bits of input address that one level resolves. */
const strideOf = (pageShift: number): number => pageShift - 3;

// The descriptor read last, in 32-bit halves: walks use no bigint arithmetic.
let low = 0;
let high = 0;

/** Reads the descriptor at `pa` into `low` and `high`; false where there is no memory that a guest can address. */
function readDescriptor(memory: Memory, pa: number, bigEndian: boolean): boolean {
  const region = regionAt(memory, pa);
  if (region === undefined || region.kind === 'l0' || region.hidden) return false;
  const offset = region.offset + (pa - region.base);
  low = memory.view.getUint32(bigEndian ? offset + 4 : offset, !bigEndian);
  high = memory.view.getUint32(bigEndian ? offset : offset + 4, !bigEndian);
  return true;
}

/** Bits 47 to `shift` of the descriptor read last. */
function addressField(shift: number): number {
  const address = (high & 0xffff) * 0x1_0000_0000 + low;
  return address - (address % 2 ** shift);
}

/** Whether a block descriptor is allowed at `level`: level 1 for 4 KiB, level 2 for all (no FEAT_LPA). */
const blockAllowed = (pageShift: number, level: number): boolean => level === 2 || (level === 1 && pageShift === 12);

const ACCESS_FLAG = 1 << 10;
/** AP[2]. */
const READ_ONLY = 1 << 7;
/** Stage 2's S2AP[1]. */
const S2_WRITE = 1 << 7;
/** Bit 51, in the high half. */
const DBM = 1 << 19;

/** What the descriptor read last needs, if anything. */
const pendingUpdate = (address: number, ipa: number, accessed: boolean, clean: boolean): Update | undefined =>
  (accessed && !clean ? undefined : { address, ipa, descriptor: (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0), accessed, clean });

function fault(code: number, level: number): WalkFault {
  return { ok: false, fsc: code | level, level, stage2: false, onWalk: false, ipa: 0 };
}

/** Stage 1's walk of `va`. `stage2` translates the descriptors' addresses where stage 2 is in force. Permission faults are the caller's. */
export function walkStage1(memory: Memory, controls: Stage1Controls, va: bigint, stage2?: (ipa: number) => Stage2Walk | WalkFault): Stage1Walk | WalkFault {
  const { txsz, pageShift, bigEndian, outputBits } = controls;
  // TxSZ out of range: a level 0 Translation fault, one of the permitted behaviours (no FEAT_TTST, no FEAT_LVA).
  if (controls.walksDisabled || txsz < 16 || txsz > 39) return fault(Fsc.TRANSLATION, 0);
  const inputBits = 64 - txsz;
  const extended = controls.topByteIgnored ? BigInt.asIntN(56, va) : BigInt.asIntN(64, va);
  if (extended >> BigInt(inputBits) !== (controls.high ? -1n : 0n)) return fault(Fsc.TRANSLATION, 0);
  const input = Number(BigInt.asUintN(inputBits, va));

  const stride = strideOf(pageShift);
  let level = 4 - Math.ceil((inputBits - pageShift) / stride);
  let shift = pageShift + stride * (3 - level);
  let table = Number(BigInt.asUintN(48, controls.ttbr));
  table -= table % 2 ** (3 + inputBits - shift);
  if (table >= 2 ** outputBits) return fault(Fsc.ADDRESS_SIZE, 0);

  const descriptors: number[] = [];
  // What the tables on the way deny: bit 0 EL0 access, bit 1 writes, bit 2 XN or UXN, bit 3 PXN.
  let denied = 0;
  let ipa = 0;
  for (;;) {
    const index = Math.floor(input / 2 ** shift) % 2 ** stride;
    let address = table + 8 * index;
    ipa = address;
    if (stage2 !== undefined) {
      const second = stage2(address);
      if (!second.ok) return { ...second, stage2: true, onWalk: true, ipa: address };
      descriptors.push(...second.descriptors);
      if (!second.read) return { ok: false, fsc: Fsc.PERMISSION | second.level, level: second.level, stage2: true, onWalk: true, ipa: address };
      address = second.pa;
    }
    if (!readDescriptor(memory, address, bigEndian)) return fault(Fsc.EXTERNAL_ON_WALK, level);
    descriptors.push(address);
    if ((low & 1) === 0) return fault(Fsc.TRANSLATION, level);
    const isTable = (low & 2) !== 0 && level < 3;
    if (!isTable) break;
    table = addressField(pageShift);
    if (table >= 2 ** outputBits) return fault(Fsc.ADDRESS_SIZE, level);
    if (!controls.hpd) denied |= tableDenies(controls);
    level++;
    shift -= stride;
  }
  if ((low & 2) === 0 && !blockAllowed(pageShift, level)) return fault(Fsc.TRANSLATION, level);
  const base = addressField(shift);
  if (base >= 2 ** outputBits) return fault(Fsc.ADDRESS_SIZE, level);
  const accessed = (low & ACCESS_FLAG) !== 0;
  if (!accessed && !controls.accessFlags) return fault(Fsc.ACCESS_FLAG, level);
  // AP[2] with DBM: writable, and clean.
  const clean = controls.accessFlags && controls.dirtyState && (high & DBM) !== 0 && (low & READ_ONLY) !== 0;
  return {
    ok: true, pa: base + (input % 2 ** shift), level, blockShift: shift, descriptors, update: pendingUpdate(descriptors.at(-1)!, ipa, accessed, clean),
    permissions: leafPermissions(controls, denied, clean),
    attributes: Number((controls.mair >> BigInt(8 * ((low >> 2) & 7))) & 0xffn),
    shareability: (low >> 8) & 3, guarded: (high & (1 << 18)) !== 0,
    global: !controls.twoPrivileges || (low & (1 << 11)) === 0,
  };
}

/** APTable, UXNTable (XNTable) and PXNTable of the table descriptor read last: bits 62, 61, 60, 59. */
function tableDenies(controls: Stage1Controls): number {
  let denied = (high & (1 << 30)) !== 0 ? 2 : 0;
  const bit60 = (high & (1 << 28)) !== 0;
  // Arm ARM D8.11.2: with NV1, APTable[0] is treated as 0, bit 60 is PXNTable and bit 59 RES0.
  if (controls.nv1) return denied | (bit60 ? 8 : 0);
  if (bit60) denied |= 4;
  if (!controls.twoPrivileges) return denied;
  if ((high & (1 << 29)) !== 0) denied |= 1;
  if ((high & (1 << 27)) !== 0) denied |= 8;
  return denied;
}

/** Stage-1 permissions of the block or page descriptor read last. Arm ARM D8.4.1; AArch64.S1DirectBasePermissions. */
function leafPermissions(controls: Stage1Controls, denied: number, clean: boolean): number {
  const writable = ((low & READ_ONLY) === 0 || clean) && (denied & 2) === 0;
  const bit54 = (high & (1 << 22)) !== 0;
  const bit53 = (high & (1 << 21)) !== 0;
  const P = Permission;
  if (!controls.twoPrivileges) {
    const execute = !(bit54 || (denied & 4) !== 0 || (controls.wxn && writable));
    return P.READ | P.PAN_READ | (writable ? P.WRITE | P.PAN_WRITE : 0) | (execute ? P.EXECUTE : 0);
  }
  // With NV1: AP[1] is treated as 0, bit 54 is PXN, UXN is 0 and bit 53 RES0.
  const user = !controls.nv1 && (low & 0x40) !== 0 && (denied & 1) === 0;
  const uxn = !controls.nv1 && (bit54 || (denied & 4) !== 0);
  const pxn = (controls.nv1 ? bit54 : bit53) || (denied & 8) !== 0;
  const userWrite = user && writable;
  let permissions: number = P.READ;
  if (writable) permissions |= P.WRITE;
  if (user) permissions |= P.USER_READ | (writable ? P.USER_WRITE : 0);
  // PAN: privileged data accesses to what EL0 can read fault (no FEAT_PAN3).
  else permissions |= P.PAN_READ | (writable ? P.PAN_WRITE : 0);
  if (!uxn && !(controls.wxn && userWrite)) permissions |= P.USER_EXECUTE;
  // What EL0 can write, the privileged level never executes.
  if (!pxn && !userWrite && !(controls.wxn && writable)) permissions |= P.EXECUTE;
  return permissions;
}

/**
 * Stage 2's walk of `ipa`. With `access`, a permission it lacks is a fault; without, the permissions are the caller's to judge.
 * Shared by the hardware walker and L0's software walk of a guest hypervisor's tables (Linux: walk_nested_s2_pgd).
 */
export function walkStage2(memory: Memory, controls: Stage2Controls, ipa: number, access?: 'read' | 'write' | 'execute'): Stage2Walk | WalkFault {
  const vtcr = Number(BigInt.asUintN(32, controls.vtcr));
  const paBits = controls.paBits ?? 48;
  const failed = (code: number, level: number): WalkFault => ({ ok: false, fsc: code | level, level, stage2: true, onWalk: false, ipa });
  const inputBits = 64 - (vtcr & 0x3f);
  const pageShift = granule0((vtcr >> 14) & 3);
  const stride = strideOf(pageShift);
  let level = startLevel(pageShift, (vtcr >> 6) & 3, inputBits, paBits);
  if (level < 0 || inputBits > 48 || inputBits < 25 || ipa >= 2 ** inputBits) return failed(Fsc.TRANSLATION, 0);
  const outputBits = outputBitsOf(vtcr >> 16, paBits);
  let shift = pageShift + stride * (3 - level);
  let table = Number(BigInt.asUintN(48, controls.vttbr));
  // Concatenated first-level tables make one table of more entries.
  table -= table % 2 ** (3 + inputBits - shift);
  if (table >= 2 ** outputBits) return failed(Fsc.ADDRESS_SIZE, 0);

  const descriptors: number[] = [];
  let first = true;
  for (;;) {
    const index = first ? Math.floor(ipa / 2 ** shift) : Math.floor(ipa / 2 ** shift) % 2 ** stride;
    first = false;
    const address = table + 8 * index;
    if (!readDescriptor(memory, address, controls.bigEndian === true)) return failed(Fsc.EXTERNAL_ON_WALK, level);
    descriptors.push(address);
    if ((low & 1) === 0) return failed(Fsc.TRANSLATION, level);
    if ((low & 2) === 0 || level === 3) break;
    table = addressField(pageShift);
    if (table >= 2 ** outputBits) return failed(Fsc.ADDRESS_SIZE, level);
    level++;
    shift -= stride;
  }
  if ((low & 2) === 0 && !blockAllowed(pageShift, level)) return failed(Fsc.TRANSLATION, level);
  const base = addressField(shift);
  if (base >= 2 ** outputBits) return failed(Fsc.ADDRESS_SIZE, level);
  const accessFlags = (vtcr & (1 << 21)) !== 0;
  const accessed = (low & ACCESS_FLAG) !== 0;
  if (!accessed && !accessFlags) return failed(Fsc.ACCESS_FLAG, level);
  const clean = accessFlags && (vtcr & (1 << 22)) !== 0 && (high & DBM) !== 0 && (low & S2_WRITE) === 0;
  // XN[1:0], bits 54 and 53: 0b00 both levels execute, 0b01 EL0 only, 0b10 neither, 0b11 EL1 only. Execution does not need read permission.
  const never = (high >>> 21) & 3;
  const memAttr = (low >> 2) & 15;
  const result: Stage2Walk = {
    ok: true, pa: base + (ipa % 2 ** shift), bytes: 2 ** shift, level,
    read: (low & 0x40) !== 0, write: (low & S2_WRITE) !== 0 || clean,
    execute: never === 0 || never === 3, executeUser: never < 2, update: pendingUpdate(descriptors.at(-1)!, ipa, accessed, clean),
    device: controls.fwb === true ? (memAttr & 4) === 0 : (memAttr & 12) === 0,
    memAttr, shareability: (low >> 8) & 3,
    descriptor: (BigInt(high) << 32n) | BigInt(low), descriptors,
  };
  if (access !== undefined && !result[access]) return failed(Fsc.PERMISSION, level);
  return result;
}

/** log2 of the granule that TCR_ELx.TG0 or VTCR_EL2.TG0 selects. The reserved value is 4 KiB, our choice. */
export const granule0 = (tg: number): number => (tg === 1 ? 16 : tg === 2 ? 14 : 12);

/** log2 of the granule that TCR_ELx.TG1 selects. The reserved value is 4 KiB, our choice. */
export const granule1 = (tg: number): number => (tg === 1 ? 14 : tg === 3 ? 16 : 12);

/** VTCR_EL2.SL0 as a level, or -1 where it is reserved or inconsistent with T0SZ: a level 0 Translation fault (AArch64.S2InconsistentSL). */
function startLevel(pageShift: number, sl0: number, inputBits: number, paBits: number): number {
  if (sl0 === 3) return -1;
  const level = pageShift === 12 ? 2 - sl0 : 3 - sl0;
  if (pageShift === 12 && level === 0 && paBits < 44) return -1;
  if (pageShift === 14 && level === 1 && paBits <= 40) return -1;
  if (pageShift === 16 && level === 1 && paBits <= 42) return -1;
  const stride = strideOf(pageShift);
  const firstBits = inputBits - (pageShift + stride * (3 - level));
  // At most 16 tables are concatenated.
  return firstBits < 1 || firstBits > stride + 4 ? -1 : level;
}
