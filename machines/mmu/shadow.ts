/** The shadow stage-2 slots: which L1 stage 2 has which, recycling, and the entries in them. Linux: nested.c (lookup_s2_mmu, get_s2_mmu_nested, kvm_nested_s2_unmap). */

import type { Board } from '../aarch64/board.ts';
import { setRegister } from '../aarch64/state.ts';
import { slot as wordOf } from '../aarch64/sysregs.ts';
import { invalidateContext, invalidateStage2 } from '../aarch64/translate.ts';
import { bit } from '../bits.ts';
import type { Out } from '../messages.ts';
import { HARDWARE_VTCR, firstEndingAfter, hardwareVttbr, vttbrOf } from './stage2.ts';
import { CANONICAL, NOT_LOADED, type MmuState, type ShadowEntry, type ShadowSlot } from './state.ts';

/** The places where a known bug of L0 can take the place of the right behaviour (variants/). */
export interface Behaviour {
  /** A vCPU loaded `slot`, which may still hold what it was recycled from. */
  loaded(state: MmuState, board: Board, out: Out, slot: number): void;
}

export const CORRECT: Behaviour = {
  /** Whoever loads a slot that is to be unmapped unmaps it before it runs, the one that recycled it or not (KVM_REQ_NESTED_S2_UNMAP; c268f204f7c5). */
  loaded(state, board, out, slot) {
    if (state.slots[slot]!.pendingUnmap) unmapAll(state, board, out, slot);
  },
};

const VTTBR_EL2 = wordOf('VTTBR_EL2');
const VTCR_EL2 = wordOf('VTCR_EL2');
const CNP = 1n;

/** What decides which map a vCPU runs on: the context, and L1's controls of its stage 2. */
export interface Stage2Context { readonly nested: boolean; readonly vttbr: bigint; readonly vtcr: bigint; readonly stage2Enabled: boolean }

/** vcpu_load: the map of the context gets a user, and the hardware its VTTBR_EL2. */
export function load(state: MmuState, board: Board, out: Out, vcpu: number, context: Stage2Context, behaviour: Behaviour): void {
  if (state.current[vcpu] !== NOT_LOADED) throw new Error(`mmu: vCPU ${vcpu} loads a map over one that was not put`);
  const slot = context.nested ? (find(state, context) ?? allocate(state, out, vcpu, context)) : CANONICAL;
  state.current[vcpu] = slot;
  if (slot !== CANONICAL) {
    state.slots[slot]!.users++;
    behaviour.loaded(state, board, out, slot);
  }
  const core = board.cores[vcpu]!;
  setRegister(core, VTTBR_EL2, hardwareVttbr(state, vcpu));
  setRegister(core, VTCR_EL2, HARDWARE_VTCR);
  invalidateContext(core);
}

/** vcpu_put. The slot keeps its entries: the next load with the same controls finds them. */
export function put(state: MmuState, vcpu: number): void {
  const slot = state.slots[state.current[vcpu] ?? NOT_LOADED];
  if (slot !== undefined) slot.users--;
  state.current[vcpu] = NOT_LOADED;
}

/** A valid slot for these controls. With L1's stage 2 off VTTBR_EL2 matters by its VMID only. */
function find(state: MmuState, { vttbr, vtcr, stage2Enabled }: Stage2Context): number | undefined {
  const found = state.slots.findIndex((slot) => slot.valid && slot.enabled === stage2Enabled
    && (stage2Enabled ? slot.vttbr === (vttbr & ~CNP) && slot.vtcr === vtcr : vmidOf(slot) === vmidOf({ vttbr, vtcr })));
  return found < 0 ? undefined : found;
}

/** Takes the next slot without users, round robin. There are twice as many as vCPUs, so one is always free. */
function allocate(state: MmuState, out: Out, vcpu: number, { vttbr, vtcr, stage2Enabled }: Stage2Context): number {
  const count = state.slots.length;
  for (let step = 0; step < count; step++) {
    const index = (state.next + step) % count;
    const slot = state.slots[index]!;
    if (slot.users > 0) continue;
    state.next = (index + 1) % count;
    out.event('shadow_mmu_allocate', { vcpu_id: vcpu, slot: index, vttbr: vttbr & ~CNP, recycled: slot.valid });
    if (slot.valid) slot.pendingUnmap = true;
    slot.valid = true;
    slot.vttbr = vttbr & ~CNP;
    slot.vtcr = vtcr;
    slot.enabled = stage2Enabled;
    return index;
  }
  throw new Error('mmu: every shadow slot has a user');
}

/** The VMID in a VTTBR_EL2 value: 8 bits, or 16 with VTCR_EL2.VS. */
export const vmidOf = ({ vttbr, vtcr }: Pick<ShadowSlot, 'vttbr' | 'vtcr'>): number => Number((vttbr >> 48n) & (bit(vtcr, 19) ? 0xffffn : 0xffn));

/** The valid slots that L1's `vmid` tags: several when L1 uses one VMID for several tables. */
export const slotsWithVmid = (state: MmuState, vmid: number): number[] =>
  state.slots.flatMap((slot, index) => (slot.valid && vmidOf(slot) === (bit(slot.vtcr, 19) ? vmid : vmid & 0xff) ? [index] : []));

/** Empties a slot, its first stage's translations included. */
export function unmapAll(state: MmuState, board: Board, out: Out, index: number): void {
  const slot = state.slots[index]!;
  if (slot.entries.length > 0) out.event('shadow_mmu_unmap', { slot: index, ipa: 0, bytes: 2 ** 48, entries: slot.entries.length });
  slot.entries = [];
  slot.pendingUnmap = false;
  invalidateStage2(board, vttbrOf(index));
}

/** Drops the entries of a slot that lie in `bytes` from `ipa`, wholly or in part. */
export function unmapRange(state: MmuState, board: Board, out: Out, index: number, ipa: number, bytes: number): void {
  const { entries } = state.slots[index]!;
  const first = firstEndingAfter(entries, ipa);
  let last = first;
  while (last < entries.length && entries[last]!.ipa < ipa + bytes) last++;
  if (last > first) out.event('shadow_mmu_unmap', { slot: index, ipa, bytes, entries: last - first });
  const start = Math.min(ipa, entries[first]?.ipa ?? ipa);
  const end = last > first ? Math.max(ipa + bytes, entries[last - 1]!.ipa + entries[last - 1]!.bytes) : ipa + bytes;
  entries.splice(first, last - first);
  // Without entries too: the hardware may hold stage 1 translations of a stage 2 that is off.
  invalidateStage2(board, vttbrOf(index), start, end - start);
}

/** The range of the canonical map that begins at `base` is gone: drops what any map made of it. Linux: kvm_unmap_gfn_range, kvm_nested_s2_unmap. */
export function unmapBehind(state: MmuState, board: Board, out: Out, base: number): void {
  const { bytes } = state.canonical.find((range) => range.ipa === base)!;
  invalidateStage2(board, vttbrOf(CANONICAL), base, bytes);
  for (const [index, slot] of state.slots.entries()) {
    if (!slot.valid) continue;
    // L1 has its stage 2 off: what L2 calls physical is what L1 calls so.
    if (!slot.enabled) unmapRange(state, board, out, index, base, bytes);
    for (const entry of slot.entries.filter(({ pa, bytes: mapped }) => pa < base + bytes && pa + mapped > base)) unmapRange(state, board, out, index, entry.ipa, entry.bytes);
  }
}

/** Puts `entry` into a slot, in the place of whatever it overlaps. */
export function map(state: MmuState, board: Board, index: number, entry: ShadowEntry): void {
  const { entries } = state.slots[index]!;
  const first = firstEndingAfter(entries, entry.ipa);
  let last = first;
  while (last < entries.length && entries[last]!.ipa < entry.ipa + entry.bytes) last++;
  const replaced = last - first;
  entries.splice(first, replaced, entry);
  // The hardware remembers no faults: only what was there before can be cached.
  if (replaced > 0) invalidateStage2(board, vttbrOf(index), entry.ipa, entry.bytes);
}
