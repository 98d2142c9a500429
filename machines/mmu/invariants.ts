/** What holds of the shadows, for exploration and tests to ask: the oracles of bugs B15 and B16. */

import type { Board } from '../aarch64/board.ts';
import { hex } from '../bits.ts';
import { walkL1 } from './fault.ts';
import { lookupCanonical } from './stage2.ts';
import type { MmuState } from './state.ts';

/** A shadow entry that L1's tables and L0's map do not bear out. */
export interface Mismatch {
  readonly slot: number;
  readonly ipa: number;
  /** What it grants or says without ground. */
  readonly what: 'absent' | 'address' | 'size' | 'level' | 'read' | 'write' | 'execute' | 'executeUser';
}

/**
 * Entries that cannot be derived again from L1's tables as they are in memory. An entry may be here while a TLBI is
 * outstanding: L1 has changed its tables and has not invalidated yet. Otherwise there is none: shadow.X implies L1.X and host.X.
 */
export function underivableEntries(state: MmuState, board: Board): Mismatch[] {
  return state.slots.flatMap((slot, index) => slot.entries.flatMap((entry): Mismatch[] => {
    if (!slot.valid || !slot.enabled) return [];
    const mismatch = (what: Mismatch['what']): Mismatch => ({ slot: index, ipa: entry.ipa, what });
    const walk = walkL1(board, slot, entry.ipa);
    if (!walk.ok) return [mismatch('absent')];
    const host = lookupCanonical(state, walk.pa);
    if (!host.ok) return [mismatch('absent')];
    const wrong: Mismatch['what'][] = [];
    if (host.pa !== entry.pa) wrong.push('address');
    if (walk.bytes < entry.bytes || host.bytes < entry.bytes) wrong.push('size');
    if (walk.level !== entry.level) wrong.push('level');
    const granted = { ...host, executeUser: host.execute };
    for (const right of ['read', 'write', 'execute', 'executeUser'] as const) if (entry[right] && !(walk[right] && granted[right])) wrong.push(right);
    return wrong.map(mismatch);
  }));
}

/** vCPUs that have a slot loaded which still holds another guest's translations. None may enter L2 so. */
export const vcpusOnStaleSlots = (state: MmuState): number[] => state.current.flatMap((slot, vcpu) => (state.slots[slot]?.pendingUnmap ? [vcpu] : []));

/** Everything that is wrong now, as text; empty when nothing is. */
export function violations(state: MmuState, board: Board): string[] {
  return [
    ...vcpusOnStaleSlots(state).map((vcpu) => `vCPU ${vcpu} is on a shadow stage 2 that is still to be unmapped`),
    ...underivableEntries(state, board).map(({ slot, ipa, what }) => `shadow ${slot} at ${hex(ipa)}: ${what} is not what L1's tables and L0's map give`),
  ];
}
