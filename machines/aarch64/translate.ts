/** Address translation of a core: which regime and controls apply, both stages, permissions, TLB maintenance and AT. Arm ARM D8; pseudocode AArch64.TranslateAddress. */

import { forgetCode, markDirty, regionAt } from '../memory/memory.ts';
import type { Board } from './board.ts';
import { Hcr, HcrHigh, Sctlr, e2h, hcrHigh, hcrLow, inHost, pstateOf } from './controls.ts';
import { fastArrays } from './engine/layout.ts';
import { breakMonitor } from './monitor.ts';
import { type Core, Pstate, Word } from './state.ts';
import { Fsc } from './syndrome.ts';
import { slot } from './sysregs.ts';
import { type Entry, FAST_BYTES, Regime, type Translation, contextNumber, createTranslation, descriptorStored, dropEntries, entryKey, findEntry, forgetFast, insertEntry, reviveEntry, renew } from './tlb.ts';
import { Permission, type Stage1Controls, type Stage1Walk, type Stage2Walk, type Update, type WalkFault, granule0, granule1, outputBitsOf, walkStage1, walkStage2 } from './walk.ts';

export { walkStage2 } from './walk.ts';

export const READ = 0;
export const WRITE = 1;
export const FETCH = 2;
export type Kind = typeof READ | typeof WRITE | typeof FETCH;

/** Why the last `translate` returned undefined. One record for all cores: read it at once. */
export const fault = {
  /** The 6-bit status code, level included. */
  fsc: 0,
  stage2: false,
  /** Stage 2's fault on the address of a stage-1 descriptor (S1PTW). */
  onWalk: false,
  /** For `stage2`. */
  ipa: 0,
  /** A synchronous External abort. */
  external: false,
};

const WORDS = {
  sctlr1: slot('SCTLR_EL1'), tcr1: slot('TCR_EL1'), ttbr01: slot('TTBR0_EL1'), ttbr11: slot('TTBR1_EL1'), mair1: slot('MAIR_EL1'),
  sctlr2: slot('SCTLR_EL2'), tcr2: slot('TCR_EL2'), ttbr02: slot('TTBR0_EL2'), ttbr12: slot('TTBR1_EL2'), mair2: slot('MAIR_EL2'),
  hcr: slot('HCR_EL2'), vttbr: slot('VTTBR_EL2'), vtcr: slot('VTCR_EL2'),
} as const;
const TRACKED: readonly number[] = Object.values(WORDS);

/** What each core had last. A World that is entered has none; emptying it costs what was in it, and a new one much more. */
const spares = new WeakMap<Core, Translation>();

/** The core's arrays may hold what somebody else left there. */
export function dropTranslation(core: Core): void {
  core.translation = undefined;
  spares.delete(core);
}

/** The core's derived translation state, made when it is not there. */
export function translationOf(core: Core): Translation {
  let translation = core.translation as Translation | undefined;
  if (translation === undefined) {
    translation = spares.get(core);
    if (translation !== undefined) renew(translation);
    else {
      const { buffer } = core.board.memory.bytes;
      // A core that is a question (kvm/emulate-nested.ts) is not in linear memory, and has arrays of its own.
      translation = core.words.buffer === buffer ? createTranslation(TRACKED.length, buffer, fastArrays(core)) : createTranslation(TRACKED.length, new ArrayBuffer(3 * FAST_BYTES), 0);
      spares.set(core, translation);
    }
    core.translation = translation;
    saveContext(core, translation);
  }
  return translation;
}

/** Looks whether a register that decides translation has changed, and if so empties the fast path and names the contexts anew. Cheap when none has. */
export function invalidateContext(core: Core): void {
  const translation = core.translation as Translation | undefined;
  if (translation === undefined) return;
  const { saved } = translation;
  for (let index = 0; index < TRACKED.length; index++) {
    const half = 2 * TRACKED[index]!;
    if (saved[2 * index] !== core.ints[half] || saved[2 * index + 1] !== core.ints[half + 1]) {
      saveContext(core, translation);
      forgetFast(translation);
      return;
    }
  }
}

function saveContext(core: Core, translation: Translation): void {
  for (let index = 0; index < TRACKED.length; index++) {
    translation.saved[2 * index] = core.ints[2 * TRACKED[index]!]!;
    translation.saved[2 * index + 1] = core.ints[2 * TRACKED[index]! + 1]!;
  }
  translation.contexts.fill(-1);
  translation.controls.fill(undefined);
}

/** The regime that translates accesses made at `el`. */
export function regimeAt(core: Core, el: number): number {
  if (el === 2) return e2h(core) ? Regime.EL20 : Regime.EL2;
  return el === 0 && inHost(core) ? Regime.EL20 : Regime.EL10;
}

/** Whether {NV, NV1} = {1, 1}. */
export const nv1InForce = (core: Core): boolean => (hcrHigh(core) & (HcrHigh.NV | HcrHigh.NV1)) === (HcrHigh.NV | HcrHigh.NV1);

/** Stage 1 is on: SCTLR_ELx.M, which EL1&0 ignores under HCR_EL2.DC or TGE. */
function stage1Enabled(core: Core, regime: number): boolean {
  if (regime !== Regime.EL10) return (core.ints[2 * WORDS.sctlr2]! & Sctlr.M) !== 0;
  return (core.ints[2 * WORDS.sctlr1]! & Sctlr.M) !== 0 && (hcrLow(core) & (Hcr.DC | Hcr.TGE)) === 0;
}

/** Stage 2 is on for EL1&0: HCR_EL2.VM, or DC which implies it. */
const stage2Enabled = (core: Core): boolean => (hcrLow(core) & (Hcr.VM | Hcr.DC)) !== 0;

/** The controls of one half of a regime's VA range. */
function controlsOf(core: Core, regime: number, half: number): Stage1Controls {
  const { words, board } = core;
  const own = regime === Regime.EL10;
  const tcr = words[own ? WORDS.tcr1 : WORDS.tcr2]!;
  const low = Number(BigInt.asUintN(32, tcr));
  const high = Number(tcr >> 32n);
  const sctlr = core.ints[2 * (own ? WORDS.sctlr1 : WORDS.sctlr2)]!;
  const common = {
    bigEndian: (sctlr & Sctlr.EE) !== 0, wxn: (sctlr & Sctlr.WXN) !== 0, mair: words[own ? WORDS.mair1 : WORDS.mair2]!,
    high: half === 1, nv1: own && nv1InForce(core), accessFlags: (high & (1 << 7)) !== 0, dirtyState: (high & (1 << 8)) !== 0,
  };
  if (regime === Regime.EL2) {
    return {
      ...common, accessFlags: (low & (1 << 21)) !== 0, dirtyState: (low & (1 << 22)) !== 0, ttbr: words[WORDS.ttbr02]!, txsz: low & 0x3f, pageShift: granule0((low >> 14) & 3), walksDisabled: false, noUser: false, twoPrivileges: false,
      topByteIgnored: (low & (1 << 20)) !== 0, dataOnly: (low & (1 << 29)) !== 0, outputBits: outputBitsOf(low >> 16, board.features.paBits), hpd: (low & (1 << 24)) !== 0,
    };
  }
  const upper = half === 1;
  return {
    ...common, twoPrivileges: true, outputBits: outputBitsOf(high, board.features.paBits),
    ttbr: words[upper ? (own ? WORDS.ttbr11 : WORDS.ttbr12) : own ? WORDS.ttbr01 : WORDS.ttbr02]!,
    txsz: (low >> (upper ? 16 : 0)) & 0x3f,
    pageShift: upper ? granule1((low >>> 30) & 3) : granule0((low >> 14) & 3),
    walksDisabled: (low & (upper ? 1 << 23 : 1 << 7)) !== 0,
    topByteIgnored: (high & (upper ? 1 << 6 : 1 << 5)) !== 0, dataOnly: (high & (upper ? 1 << 20 : 1 << 19)) !== 0,
    hpd: (high & (upper ? 1 << 10 : 1 << 9)) !== 0, noUser: (high & (upper ? 1 << 24 : 1 << 23)) !== 0,
  };
}

/** Everything that decides what a half of a regime translates to, but memory, as text. ASIDs are left out: descriptors decide, not tags. */
function contextName(core: Core, regime: number, half: number): string {
  const { words } = core;
  const on = stage1Enabled(core, regime);
  if (regime !== Regime.EL10) {
    const ttbr = BigInt.asUintN(48, words[half === 1 ? WORDS.ttbr12 : WORDS.ttbr02]!);
    return `${regime} ${half} ${on} ${ttbr} ${words[WORDS.tcr2]} ${words[WORDS.mair2]} ${core.ints[2 * WORDS.sctlr2]! & (Sctlr.WXN | Sctlr.EE)}`;
  }
  const ttbr = BigInt.asUintN(48, words[half === 1 ? WORDS.ttbr11 : WORDS.ttbr01]!);
  const hcr = hcrLow(core) & (Hcr.VM | Hcr.DC | Hcr.PTW);
  const second = stage2Enabled(core) ? `${words[WORDS.vttbr]} ${words[WORDS.vtcr]} ${hcr} ${hcrHigh(core) & HcrHigh.FWB} ${core.ints[2 * WORDS.sctlr2]! & Sctlr.EE}` : '';
  return `0 ${half} ${on} ${ttbr} ${words[WORDS.tcr1]} ${words[WORDS.mair1]} ${core.ints[2 * WORDS.sctlr1]! & (Sctlr.WXN | Sctlr.EE)} ${nv1InForce(core)} ${second}`;
}

function report(fsc: number, stage2: boolean, onWalk: boolean, ipa: number): undefined {
  fault.fsc = fsc;
  fault.stage2 = stage2;
  fault.onWalk = onWalk;
  fault.ipa = ipa;
  fault.external = (fsc & 0x3c) === Fsc.EXTERNAL_ON_WALK || fsc === Fsc.EXTERNAL;
  return undefined;
}
const reportWalk = (walk: WalkFault): undefined => report(walk.fsc, walk.stage2, walk.onWalk, walk.ipa);

// A virtual address in 32-bit halves: the look-up uses no bigint arithmetic.
const address64 = new BigUint64Array(1);
const address32 = new Int32Array(address64.buffer);

/**
 * The translation of `va` for an access of `kind` in `regime`, or undefined with `fault` filled in. `privileged` is false at EL0 and for
 * LDTR and STTR; `pan`: PSTATE.PAN applies. `aligned` false makes Device memory fault. `stage1Only` (AT S1E*) leaves out stage 2 of the result.
 * `access` false leaves descriptors as they are (FEAT_HAFDBS): for AT, cache maintenance, and questions.
 * Order of faults: stage 1's walk, alignment, permission; then stage 2's (Arm ARM D8.16, AArch64.TranslateAddress).
 */
export function translate(core: Core, va: bigint, kind: Kind, regime: number, privileged: boolean, pan: boolean, aligned: boolean, stage1Only = false, access = true): Entry | undefined {
  const translation = translationOf(core);
  address64[0] = va;
  const low = address32[0]!;
  const high = address32[1]!;
  const half = regime === Regime.EL2 ? 0 : (high >>> 23) & 1;
  const place = 2 * regime + half;
  const controls = (translation.controls[place] ??= controlsOf(core, regime, half));
  // A page number names a cached translation only where the bits above it are those of the half.
  if (!privileged && controls.noUser && stage1Enabled(core, regime)) return report(Fsc.TRANSLATION, false, false, 0);
  const topByteIgnored = controls.topByteIgnored && !(kind === FETCH && controls.dataOnly);
  const upper = topByteIgnored ? (high << 8) >> 24 : high >> 16;
  const cacheable = !stage1Only && upper === -half;
  const page = (high & 0xffff) * 0x10_0000 + (low >>> 12);
  let key = -1;
  if (cacheable) {
    if (translation.contexts[place]! < 0) translation.contexts[place] = contextNumber(translation, contextName(core, regime, half));
    key = entryKey(translation.contexts[place]!, page);
    const entry = findEntry(translation, key, page) ?? reviveEntry(core.board, translation, key, page);
    if (entry !== undefined && !(entry.clean && kind === WRITE)) {
      const fine = checkStage1(entry.permissions, entry.device, entry.level, kind, privileged, pan, aligned)
        && (!entry.stage2 || checkStage2(entry.permissions2, entry.device2, entry.level2, entry.ipa, kind, privileged, aligned));
      return fine ? entry : undefined;
    }
  }

  const { board } = core;
  if (board.profile !== undefined) board.profile.counts.walks += 1;
  const staged = regime === Regime.EL10 && stage2Enabled(core);
  const second = (ipa: number): Stage2Walk | WalkFault => stage2Walk(core, ipa);
  /** Stage 2 of a stage-1 table: its own descriptor's Access flag is set, as for any access. */
  const ofTable = (ipa: number): Stage2Walk | WalkFault => {
    const walked = protectedWalk(core, second(ipa));
    if (access && walked.ok && walked.read) updateStage2(core, walked, false);
    return walked;
  };
  const first = stage1Enabled(core, regime)
    ? walkStage1(board.memory, topByteIgnored === controls.topByteIgnored ? controls : { ...controls, topByteIgnored }, va, staged ? ofTable : undefined)
    : flat(core, regime, topByteIgnored, low, high);
  if (!first.ok) return reportWalk(first);
  const device = (first.attributes & 0xf0) === 0;
  if (!checkStage1(first.permissions, device, first.level, kind, privileged, pan, aligned)) return undefined;
  if (access && first.update !== undefined && !updateStage1(core, controls, first.update, kind === WRITE, staged ? ofTable : undefined)) return undefined;

  const ipa = first.pa - (first.pa % 4096);
  let final: Stage2Walk | undefined;
  if (staged && !stage1Only) {
    const walked = second(ipa);
    if (!walked.ok) return reportWalk(walked);
    final = walked;
  }
  const pa = final === undefined ? ipa : final.pa;
  const region = regionAt(board.memory, pa);
  const reachable = region !== undefined && region.kind !== 'l0' && !region.hidden;
  const permissions2 = final === undefined ? 15 : (final.read ? 1 : 0) | (final.write ? 2 : 0) | (final.execute ? 4 : 0) | (final.executeUser ? 8 : 0);
  const fine = final === undefined || checkStage2(permissions2, final.device, final.level, ipa, kind, privileged, aligned);
  const done = fine && access;
  if (done && final !== undefined) updateStage2(core, final, kind === WRITE);
  const entry: Entry = {
    key, regime, page, global: first.global, asid: asidOf(core, regime), vttbr: core.words[WORDS.vttbr]!, ipa, stage2: final !== undefined, pa,
    linear: reachable ? region.offset + (pa - region.base) : -1, rom: reachable && region.kind === 'rom',
    permissions: first.permissions, level: first.level, blockShift: first.blockShift, device,
    permissions2, guarded: first.guarded, level2: final?.level ?? 0, blockShift2: final === undefined ? 12 : Math.log2(final.bytes), device2: final?.device === true,
    clean: (first.update?.clean === true && !(access && kind === WRITE)) || (final?.update?.clean === true && !(done && kind === WRITE)),
    attributes: final === undefined ? first.attributes : combineAttributes(first.attributes, final, (hcrHigh(core) & HcrHigh.FWB) !== 0),
    shareability: final === undefined ? first.shareability : combineShareability(first.shareability, final.shareability),
    firstDescriptors: first.descriptors.length,
    descriptors: final === undefined ? first.descriptors : [...first.descriptors, ...final.descriptors],
  };
  // What is still to be accessed for the first time is no translation to keep.
  if (cacheable && (access || first.update?.accessed !== false) && (done || final?.update?.accessed !== false)) insertEntry(board, translation, entry);
  return fine ? entry : undefined;
}

/** Alignment to Device memory, then permission, as stage 1 has them; reports the fault. */
function checkStage1(permissions: number, device: boolean, level: number, kind: Kind, privileged: boolean, pan: boolean, aligned: boolean): boolean {
  if (device && !aligned && kind !== FETCH) {
    report(Fsc.ALIGNMENT, false, false, 0);
    return false;
  }
  const base = privileged ? (pan && kind !== FETCH ? Permission.PAN_READ : Permission.READ) : Permission.USER_READ;
  if ((permissions & (base << kind)) !== 0) return true;
  report(Fsc.PERMISSION | level, false, false, 0);
  return false;
}

/** The same for stage 2. */
function checkStage2(permissions: number, device: boolean, level: number, ipa: number, kind: Kind, privileged: boolean, aligned: boolean): boolean {
  if (device && !aligned && kind !== FETCH) {
    report(Fsc.ALIGNMENT, true, false, ipa);
    return false;
  }
  if ((permissions & (kind === FETCH && !privileged ? 8 : 1 << kind)) !== 0) return true;
  report(Fsc.PERMISSION | level, true, false, ipa);
  return false;
}

/** Stage 1 off (AArch64.S1DisabledOutput): the address is the output, which must fit; data is Device-nGnRnE unless HCR_EL2.DC. Fetches ignore the memory type here. */
function flat(core: Core, regime: number, topByteIgnored: boolean, low: number, high: number): Stage1Walk | WalkFault {
  const pa = (high & (topByteIgnored ? 0xff_ffff : 0xffff_ffff)) * 0x1_0000_0000 + (low >>> 0);
  if (pa < 0 || pa >= 2 ** core.board.features.paBits) return { ok: false, fsc: Fsc.ADDRESS_SIZE, level: 0, stage2: false, onWalk: false, ipa: 0 };
  const cached = regime === Regime.EL10 && (hcrLow(core) & Hcr.DC) !== 0;
  return { ok: true, pa, level: 0, blockShift: 12, permissions: Permission.ALL, attributes: cached ? 0xff : 0, shareability: cached ? 0 : 2, guarded: false, global: true, update: undefined, descriptors: [] };
}

/** Stage 2 of `ipa`: walked from VTTBR_EL2, or asked of L0's map where L0 owns EL2 (its attributes are Normal write-back). */
function stage2Walk(core: Core, ipa: number): Stage2Walk | WalkFault {
  const { board, words } = core;
  const vttbr = words[WORDS.vttbr]!;
  if (board.el2 !== 'kvm') {
    return walkStage2(board.memory, {
      vttbr, vtcr: words[WORDS.vtcr]!, bigEndian: (core.ints[2 * WORDS.sctlr2]! & Sctlr.EE) !== 0, fwb: (hcrHigh(core) & HcrHigh.FWB) !== 0, paBits: board.features.paBits,
    }, ipa);
  }
  const answer = board.stage2(vttbr, ipa);
  if (!answer.ok) return { ok: false, fsc: Fsc.TRANSLATION | answer.level, level: answer.level, stage2: true, onWalk: false, ipa };
  // `pa` may be the block's or the byte's: blocks are aligned, so both give the same.
  return {
    ok: true, pa: answer.pa - (answer.pa % answer.bytes) + (ipa % answer.bytes), bytes: answer.bytes, level: answer.level,
    read: answer.read, write: answer.write, execute: answer.execute, executeUser: answer.executeUser ?? answer.execute, update: undefined, device: false, memAttr: 15, shareability: 3, descriptor: 0n, descriptors: [],
  };
}

/**
 * FEAT_HAFDBS: the Access flag of stage 1's descriptor is set, and for a write AP[2] of a clean one cleared. The write goes through stage 2, which has to allow it: false, with
 * a stage-2 Permission fault on the walk, where it does not (Arm ARM D8.5.2); its WnR is the instruction's. Flash keeps what it holds.
 */
function updateStage1(core: Core, controls: Stage1Controls, update: Update, write: boolean, stage2: ((ipa: number) => Stage2Walk | WalkFault) | undefined): boolean {
  const dirty = write && update.clean;
  if (update.accessed && !dirty) return true;
  const walked = stage2?.(update.ipa);
  if (walked !== undefined) {
    if (!walked.ok || !walked.write) {
      report(walked.ok ? Fsc.PERMISSION | walked.level : walked.fsc, true, true, update.ipa);
      return false;
    }
    updateStage2(core, walked, true);
  }
  writeDescriptor(core, update.address, (update.descriptor | (1n << 10n)) & ~(dirty ? 1n << 7n : 0n), controls.bigEndian);
  return true;
}

/** The same for stage 2, where a clean descriptor's S2AP[1] is set. Nothing stands in the way of that write. L0 does it for the tables of a guest hypervisor that it walks itself. */
export function updateStage2(core: Core, { update }: Stage2Walk, write: boolean): void {
  if (update === undefined) return;
  const dirty = write && update.clean;
  if (update.accessed && !dirty) return;
  writeDescriptor(core, update.address, update.descriptor | (1n << 10n) | (dirty ? 1n << 7n : 0n), (core.ints[2 * WORDS.sctlr2]! & Sctlr.EE) !== 0);
}

/** The hardware's store to a descriptor: as any store, it opens monitors and drops translations made from it. */
function writeDescriptor(core: Core, pa: number, descriptor: bigint, bigEndian: boolean): void {
  const { board } = core;
  const region = regionAt(board.memory, pa);
  if (region?.kind !== 'ram') return;
  const linear = region.offset + (pa - region.base);
  markDirty(board.memory, linear);
  forgetCode(board.memory, linear, 8);
  board.memory.view.setBigUint64(linear, descriptor, !bigEndian);
  board.footprint?.written.add(Math.floor(pa / 4096));
  for (const other of board.cores) if (other !== core && other.ints[2 * Word.MONITOR] !== 0) breakMonitor(other, pa, 8);
  if (board.memory.holdsDescriptors[linear >>> 12] !== 0) descriptorStored(board, linear, 8);
}

/** HCR_EL2.PTW: a stage-1 table in stage-2 Device memory is a stage-2 Permission fault. */
function protectedWalk(core: Core, walked: Stage2Walk | WalkFault): Stage2Walk | WalkFault {
  return walked.ok && walked.device && (hcrLow(core) & Hcr.PTW) !== 0 ? { ...walked, read: false } : walked;
}

/** The memory type of both stages together, as a MAIR byte: the weaker cacheability of each half (Arm ARM D8.6.4), or what FWB forces. */
function combineAttributes(first: number, second: Stage2Walk, fwb: boolean): number {
  const device = (first & 0xf0) === 0;
  if (second.device) return device ? Math.min(first, (second.memAttr & 3) << 2) : (second.memAttr & 3) << 2;
  if (fwb) {
    const forced = second.memAttr & 7;
    return forced === 6 ? 0xff : forced === 5 && !device ? 0x44 : first;
  }
  if (device) return first;
  return (combineNibble(first >> 4, second.memAttr >> 2) << 4) | combineNibble(first & 15, second.memAttr & 3);
}

/** One cacheability: `first` a MAIR nibble, `second` 1 Non-cacheable, 2 Write-Through, 3 Write-Back. */
function combineNibble(first: number, second: number): number {
  if (first === 4 || second === 1) return 4;
  const writeThrough = (first & 4) === 0 || second === 2;
  return writeThrough ? first & ~4 : first;
}

/** Outer Shareable (2) if either stage says so, else Inner (3) if either does. */
function combineShareability(first: number, second: number): number {
  if (first === 2 || second === 2) return 2;
  return first === 3 || second === 3 ? 3 : 0;
}

/** The current ASID of a regime: that of TTBR1 when TCR_ELx.A1, eight bits unless TCR_ELx.AS. */
function asidOf(core: Core, regime: number): number {
  if (regime === Regime.EL2) return 0;
  const own = regime === Regime.EL10;
  const tcr = core.words[own ? WORDS.tcr1 : WORDS.tcr2]!;
  const a1 = (tcr & (1n << 22n)) !== 0n;
  const ttbr = core.words[a1 ? (own ? WORDS.ttbr11 : WORDS.ttbr12) : own ? WORDS.ttbr01 : WORDS.ttbr02]!;
  return Number(ttbr >> 48n) & ((tcr & (1n << 36n)) === 0n ? 0xff : 0xffff);
}

/** AArch64.BranchAddr: a branch target at the current level, with the byte that TBI ignores replaced by what the range has there. */
export function branchAddress(core: Core, target: bigint): bigint {
  address64[0] = target;
  const high = address32[1]!;
  const regime = regimeAt(core, (pstateOf(core) >> 2) & 3);
  const half = regime === Regime.EL2 ? 0 : (high >>> 23) & 1;
  // Most addresses have their top byte right already.
  if (high >> 24 === -half) return target;
  const place = 2 * regime + half;
  const translation = translationOf(core);
  const controls = (translation.controls[place] ??= controlsOf(core, regime, half));
  if (!controls.topByteIgnored || controls.dataOnly) return target;
  return half === 1 ? BigInt.asUintN(64, BigInt.asIntN(56, target)) : BigInt.asUintN(56, target);
}

const VMID_SHIFT = 48n;

/**
 * TLBI. `operation` is the Arm name without `TLBI `, e.g. `VAE1IS`; `value` is Xt, 0 where there is none. IS and OS forms reach every core
 * of the board, as do all forms at EL1 under HCR_EL2.FB. TTL is a hint, and what it could narrow is not narrowed. Since cached translations follow their
 * descriptors, none of this can be seen; it keeps the cache small, and L0's maps (which are not in memory) rely on it.
 */
export function invalidateTlb(core: Core, operation: string, value: bigint): void {
  const { base, shared } = nameParts(operation);
  const broadcast = shared || (core.ints[2 * WORDS.hcr]! & (1 << 9)) !== 0;
  const matches = scopeOf(core, base, value);
  const page = BY_ADDRESS.has(base) ? Number(value & 0xf_ffff_ffffn) : undefined;
  for (const each of broadcast ? core.board.cores : [core]) dropEntries(each, matches, page);
}

interface NameParts { readonly base: string; readonly shared: boolean }
const parts = new Map<string, NameParts>();

/** A TLBI operation without its suffixes, and whether it is for all cores by itself. */
function nameParts(operation: string): NameParts {
  let known = parts.get(operation);
  if (known === undefined) {
    const name = operation.replace(/NXS$/, '');
    parts.set(operation, known = { base: name.replace(/(IS|OS)$/, ''), shared: /(IS|OS)$/.test(name) });
  }
  return known;
}

/** Operations by VA: dropEntries finds the entries of the block that holds it. */
const BY_ADDRESS: ReadonlySet<string> = new Set(['VAE1', 'VALE1', 'VAAE1', 'VAALE1', 'VAE2', 'VALE2']);

/** Which entries a TLBI operation, given without its shareability suffix, is for; for operations by VA, of those that dropEntries finds by it. */
function scopeOf(core: Core, name: string, value: bigint): (entry: Entry) => boolean {
  const vmid = core.words[WORDS.vttbr]! >> VMID_SHIFT;
  // At EL2 with {E2H, TGE} = {1, 1} the EL1 operations are for EL2&0.
  const el1Regime = ((pstateOf(core) >> 2) & 3) === 2 && inHost(core) ? Regime.EL20 : Regime.EL10;
  const el2Regime = e2h(core) ? Regime.EL20 : Regime.EL2;
  const asid = Number(value >> 48n);
  const el1 = (entry: Entry): boolean => entry.regime === el1Regime && (el1Regime === Regime.EL20 || entry.vttbr >> VMID_SHIFT === vmid);
  const tagged = (entry: Entry): boolean => entry.global || entry.asid === asid;
  switch (name) {
    case 'VMALLE1': return el1;
    case 'VAE1': case 'VALE1': return (entry) => el1(entry) && tagged(entry);
    case 'VAAE1': case 'VAALE1': return el1;
    case 'ASIDE1': return (entry) => el1(entry) && !entry.global && entry.asid === asid;
    case 'VMALLS12E1': return el1Regime === Regime.EL20 ? el1 : (entry) => entry.regime === Regime.EL10 && entry.vttbr >> VMID_SHIFT === vmid;
    case 'ALLE1': return (entry) => entry.regime === Regime.EL10;
    // Entries hold both stages together, so what came through the stage-2 entry goes.
    case 'IPAS2E1': case 'IPAS2LE1': return (entry) => entry.stage2 && entry.vttbr >> VMID_SHIFT === vmid && covers(entry.ipa / 4096, entry.blockShift2, Number(value & 0xf_ffff_ffffn));
    case 'RIPAS2E1': case 'RIPAS2LE1': {
      const range = rangeOf(value);
      return (entry) => entry.stage2 && entry.vttbr >> VMID_SHIFT === vmid && overlaps(entry.ipa / 4096, entry.blockShift2, range);
    }
    case 'RVAE1': case 'RVALE1': case 'RVAAE1': case 'RVAALE1': {
      const range = rangeOf(value);
      return (entry) => el1(entry) && (name.startsWith('RVAA') || tagged(entry)) && overlaps(entry.page, entry.blockShift, range);
    }
    case 'RVAE2': case 'RVALE2': {
      const range = rangeOf(value);
      return (entry) => entry.regime === el2Regime && (el2Regime === Regime.EL2 || tagged(entry)) && overlaps(entry.page, entry.blockShift, range);
    }
    case 'ALLE2': return (entry) => entry.regime === el2Regime;
    case 'VAE2': case 'VALE2': return (entry) => entry.regime === el2Regime && (el2Regime === Regime.EL2 || tagged(entry));
    default: throw new RangeError(`no TLBI operation is called ${name}`);
  }
}

/** Pages of 4 KiB from `first` up to, and without, `end`. */
interface PageRange { readonly first: number; readonly end: number }

/** FEAT_TLBIRANGE: BaseADDR, NUM, SCALE and TG of Xt. The reserved TG counts as 4 KiB. Pages are those of 48 bits of address. */
function rangeOf(value: bigint): PageRange {
  const tg = Number((value >> 46n) & 3n);
  const unit = tg === 2 ? 4 : tg === 3 ? 16 : 1;
  const first = (Number(BigInt.asUintN(37, value)) * unit) % 2 ** 36;
  return { first, end: first + (Number((value >> 39n) & 31n) + 1) * 2 ** (5 * Number((value >> 44n) & 3n) + 1) * unit };
}

/** Whether the block of 2^shift bytes with `page` in it has a page of the range. */
function overlaps(page: number, shift: number, { first, end }: PageRange): boolean {
  const pages = 2 ** (shift - 12);
  const start = page - (page % pages);
  return start < end && start + pages > first;
}

/** Whether the block of 2^shift bytes with `page` in it holds page `other`; both are page numbers of up to 36 bits. */
function covers(page: number, shift: number, other: number): boolean {
  const pages = 2 ** (shift - 12);
  return Math.floor(page / pages) === Math.floor(other / pages);
}

/** L0 changed `bytes` at `ipa` of the map that VTTBR_EL2 value `vttbr` names (all of it when `ipa` is absent): every core of the board forgets what it translated by it. */
export function invalidateStage2(board: Board, vttbr: bigint, ipa?: number, bytes = 4096): void {
  for (const core of board.cores) {
    dropEntries(core, (entry) => entry.regime === Regime.EL10 && entry.vttbr === vttbr && (ipa === undefined || dependsOn(entry, ipa, bytes)));
  }
}

/** An entry depends on stage 2 for its own page, and for those of its tables, whose intermediate addresses it does not keep: the latter make any change matter. */
function dependsOn(entry: Entry, ipa: number, bytes: number): boolean {
  return entry.descriptors.length > 0 || (entry.ipa < ipa + bytes && ipa < entry.ipa + 4096);
}

/**
 * AT. `operation` is the Arm name without `AT `: S1E1R, S1E1W, S1E0R, S1E0W, S1E1RP, S1E1WP, S1E2R, S1E2W, S12E1R, S12E1W, S12E0R, S12E0W.
 * Returns PAR_EL1, or undefined where the instruction itself takes an exception (then `fault` tells): an External abort on the walk, or
 * from EL1 a stage-2 fault on a stage-1 table (AArch64.AT).
 */
export function addressTranslateOrFault(core: Core, operation: string, va: bigint): bigint | undefined {
  const match = /^S1(2?)E([012])([RW])(P?)$/.exec(operation);
  if (match === null) throw new RangeError(`no AT operation is called ${operation}`);
  const el = (pstateOf(core) >> 2) & 3;
  const level = Number(match[2]);
  const regime = level === 2 ? regimeAt(core, 2) : el === 2 && inHost(core) ? Regime.EL20 : Regime.EL10;
  const stage1Only = match[1] === '' || regime !== Regime.EL10;
  const pan = match[4] === 'P' && (pstateOf(core) & Pstate.PAN) !== 0 && !(regime === Regime.EL10 && nv1InForce(core));
  const entry = translate(core, va, match[3] === 'W' ? WRITE : READ, regime, level !== 0, pan, true, stage1Only, false);
  if (entry === undefined) {
    if (fault.external || (fault.onWalk && el === 1)) return undefined;
    return (1n << 11n) | (fault.stage2 ? 1n << 9n : 0n) | (fault.onWalk ? 1n << 8n : 0n) | BigInt(fault.fsc << 1) | 1n;
  }
  const { attributes } = entry;
  const shareability = (attributes & 0xf0) === 0 || attributes === 0x44 ? 2 : entry.shareability;
  // NS is UNKNOWN outside Secure state: 1, as QEMU has it. Bit 11 is RES1.
  return (BigInt(attributes) << 56n) | BigInt(entry.pa) | (1n << 11n) | (1n << 9n) | BigInt(shareability << 7);
}
