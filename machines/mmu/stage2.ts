/** What the hardware's walker gets from L0's maps: VTTBR_EL2 values, and look-up by them. Linux: kvm_get_vttbr, pgtable.c. */

import type { Stage2Answer } from '../aarch64/board.ts';
import { CANONICAL, type CanonicalRange, type MmuState, type ShadowEntry } from './state.ts';

const PAGE = 4096;
export const BLOCK = 2 * 1024 * 1024;
const GIB = 1024 ** 3;

/** The VMID under which the hardware tags what it translates by slot `slot`: 0 for the canonical map. */
export const hardwareVmid = (slot: number): number => slot + 1;
/** VTTBR_EL2 as L0 programs it: the VMID alone names the map, since L0's maps are not tables in memory. */
export const vttbrOf = (slot: number): bigint => BigInt(hardwareVmid(slot)) << 48n;
/** The VTTBR_EL2 value of the map that vCPU `vcpu` has loaded. */
export const hardwareVttbr = (state: MmuState, vcpu: number): bigint => vttbrOf(Math.max(state.current[vcpu] ?? CANONICAL, CANONICAL));

/** VTCR_EL2 as L0 programs it: 48-bit input (T0SZ 16, SL0 2), 4 KiB, inner shareable write-back walks, PS 48 bits, VS 16-bit VMIDs, RES1. */
export const HARDWARE_VTCR = (1n << 31n) | (1n << 19n) | (5n << 16n) | (3n << 12n) | (1n << 10n) | (1n << 8n) | (2n << 6n) | 16n;

/** The translation of `ipa` by the map that `vttbr` names. */
export function lookupStage2(state: MmuState, vttbr: bigint, ipa: number): Stage2Answer {
  const slot = state.slots[Number(vttbr >> 48n) - 1];
  return slot === undefined || !slot.enabled ? lookupCanonical(state, ipa) : lookupShadow(slot.entries, ipa);
}

/** The guest's own map. It is always whole, in blocks where a range has room for them. */
export function lookupCanonical(state: Pick<MmuState, 'canonical'>, ipa: number): Stage2Answer {
  const range = rangeAt(state, ipa);
  if (range === undefined) return { ok: false, level: 3 };
  const block = ipa - (ipa % BLOCK);
  const whole = block >= range.ipa && block + BLOCK <= range.ipa + range.bytes && (range.pa - range.ipa) % BLOCK === 0;
  return { ok: true, pa: range.pa + (ipa - range.ipa), bytes: whole ? BLOCK : PAGE, read: true, write: range.write, execute: range.execute, level: whole ? 2 : 3 };
}

export const rangeAt = (state: Pick<MmuState, 'canonical'>, ipa: number): CanonicalRange | undefined =>
  state.canonical.find((range) => range.present && ipa >= range.ipa && ipa < range.ipa + range.bytes);

function lookupShadow(entries: readonly ShadowEntry[], ipa: number): Stage2Answer {
  const position = firstEndingAfter(entries, ipa);
  const entry = entries[position];
  if (entry !== undefined && entry.ipa <= ipa) {
    return { ok: true, pa: entry.pa + (ipa - entry.ipa), bytes: entry.bytes, read: entry.read, write: entry.write, execute: entry.execute, executeUser: entry.executeUser, level: entry.bytes === BLOCK ? 2 : 3 };
  }
  // The level at which a table of these entries would end: a neighbour in the same 2 MiB has brought in a level 3 table, and so on.
  const shares = (bytes: number): boolean => [entries[position - 1], entry].some((near) => near !== undefined && Math.floor(near.ipa / bytes) === Math.floor(ipa / bytes));
  return { ok: false, level: shares(BLOCK) ? 3 : shares(GIB) ? 2 : 1 };
}

/** The position of the first entry that ends after `ipa`: the one that covers it, if any does. */
export function firstEndingAfter(entries: readonly ShadowEntry[], ipa: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle]!;
    if (entry.ipa + entry.bytes <= ipa) low = middle + 1;
    else high = middle;
  }
  return low;
}
