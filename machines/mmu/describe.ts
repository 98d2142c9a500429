/** L0's stage-2 maps as text, a line a slot. */

import { hex } from '../bits.ts';
import { vmidOf } from './shadow.ts';
import { slotMode } from './slot.machine.ts';
import { CANONICAL, type MmuState } from './state.ts';

export function describeMmu(state: MmuState): string[] {
  const slots = state.slots.map((slot, index) => {
    const mode = slotMode(slot);
    if (mode === 'invalid') return `shadow ${index}: invalid`;
    const key = slot.enabled ? `VTTBR_EL2 ${hex(slot.vttbr)} VTCR_EL2 ${hex(slot.vtcr)}` : `stage 2 off, VMID ${vmidOf(slot)}`;
    return `shadow ${index}: ${mode}, ${key}, ${slot.entries.length} entries`;
  });
  const vcpus = state.current.map((slot, vcpu) => `vCPU ${vcpu}: ${slot >= 0 ? `shadow ${slot}` : slot === CANONICAL ? 'the canonical map' : 'nothing loaded'}`);
  return [...slots, ...vcpus];
}

/** The entries of one shadow, a line each. */
export const describeShadow = (state: MmuState, index: number): string[] => (state.slots[index]?.entries ?? []).map(({ ipa, pa, bytes, read, write, execute, level }) =>
  `${hex(ipa, 12)} -> ${hex(pa, 12)} ${bytes / 1024} KiB ${read ? 'r' : '-'}${write ? 'w' : '-'}${execute ? 'x' : '-'} L1 level ${level}`);
