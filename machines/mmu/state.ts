/** L0's stage-2 maps as plain data: the guest's canonical map, and the shadows of the stage 2 that L1 gives its guests. Linux: kvm_s2_mmu, nested.c. */

import { hex } from '../bits.ts';

/** A range of the guest's physical map that memory backs. Addresses and sizes are multiples of 4 KiB; ranges do not overlap, lowest first. */
export interface CanonicalRange {
  readonly ipa: number;
  readonly pa: number;
  readonly bytes: number;
  readonly write: boolean;
  readonly execute: boolean;
  /** False while a device answers there: a flash bank that takes a command. Linux: KVM_MEM_READONLY slots, which user space takes away and gives back. */
  present: boolean;
}

/** One translation of a shadow stage 2: an L2 IPA to the physical address behind it. */
export interface ShadowEntry {
  readonly ipa: number;
  readonly pa: number;
  /** 4 KiB or 2 MiB. */
  readonly bytes: number;
  readonly read: boolean;
  readonly write: boolean;
  /** At EL1, and at EL0 (FEAT_XNX). */
  readonly execute: boolean;
  readonly executeUser: boolean;
  /** The level at which L1 maps it: what a TLBI without a hint of its own invalidates (KVM_NV_GUEST_MAP_SZ). */
  readonly level: number;
}

export interface ShadowSlot {
  valid: boolean;
  /** L1's VTTBR_EL2, CnP clear, and VTCR_EL2: with `enabled` the key. Without, the VMID alone is. */
  vttbr: bigint;
  vtcr: bigint;
  /** L1 has its stage 2 on (HCR_EL2.VM or DC); otherwise what L2 calls physical is what L1 calls so. */
  enabled: boolean;
  /** vCPUs that have it loaded. */
  users: number;
  /** It holds another guest's translations still: nobody may run on it. */
  pendingUnmap: boolean;
  /** Lowest IPA first, not overlapping. */
  entries: ShadowEntry[];
}

export interface MmuState {
  readonly canonical: CanonicalRange[];
  readonly slots: ShadowSlot[];
  /** Where the search for a free slot begins. */
  next: number;
  /** Per vCPU: the slot it has loaded, CANONICAL, or NOT_LOADED. */
  current: number[];
}

export const CANONICAL = -1;
export const NOT_LOADED = -2;
/** KVM's S2_MMU_PER_VCPU: one guest of L1's and one more, so that going back and forth between two recycles nothing. */
export const SLOTS_PER_VCPU = 2;

/** `canonical` must be an identity: L1's tables are walked where they lie. Throws RangeError when it is not, or is out of order. */
export function initialMmu(vcpus: number, canonical: readonly Omit<CanonicalRange, 'present'>[]): MmuState {
  let end = 0;
  for (const range of canonical) {
    if (range.ipa !== range.pa || range.ipa < end) throw new RangeError(`the guest's memory at ${hex(range.ipa)} is not mapped in order and to itself`);
    end = range.ipa + range.bytes;
  }
  return { canonical: canonical.map((range) => ({ ...range, present: true })), slots: Array.from({ length: SLOTS_PER_VCPU * vcpus }, emptySlot), next: 0, current: Array.from({ length: vcpus }, () => NOT_LOADED) };
}

const emptySlot = (): ShadowSlot => ({ valid: false, vttbr: 0n, vtcr: 0n, enabled: false, users: 0, pendingUnmap: false, entries: [] });

function fail(what: string): never {
  throw new Error(`mmu: ${what}`);
}

/** Throws when the state contradicts itself: checked after a restore. */
export function checkMmu(state: MmuState): void {
  for (const [index, slot] of state.slots.entries()) {
    if (slot.users !== state.current.filter((current) => current === index).length) fail(`slot ${index} counts ${slot.users} users`);
    if (slot.users > 0 && !slot.valid) fail(`slot ${index} is used and not valid`);
    if (!slot.enabled && slot.entries.length > 0) fail(`slot ${index} has entries without a stage 2`);
    let end = 0;
    for (const entry of slot.entries) {
      if (entry.ipa < end || entry.ipa % entry.bytes !== 0 || entry.pa % entry.bytes !== 0) fail(`slot ${index} has its entry at ${hex(entry.ipa)} out of order or unaligned`);
      end = entry.ipa + entry.bytes;
    }
  }
}
