/** The lifecycle of a shadow stage-2 slot as a chart, and the state that a slot is in. Linux: kvm_s2_mmu of nested.c. */

import { createMachine } from 'xstate';
import type { ShadowSlot } from './state.ts';

/** `allocate`: it is given to another stage 2 of L1's. `load`, `put`: a vCPU more or less has it; `put` is the last one's. `unmap`: its entries go. */
export const slotChart = createMachine({
  id: 'shadow-slot',
  initial: 'invalid',
  states: {
    invalid: { on: { allocate: 'loaded' } },
    loaded: { on: { load: 'loaded', put: 'idle', unmap: 'loaded' } },
    /** Nobody runs on it, and its entries wait for the next load with the same controls. */
    idle: { on: { load: 'loaded', allocate: 'pendingUnmap', unmap: 'idle' } },
    /** Recycled: whoever loads it unmaps it before running. */
    pendingUnmap: { on: { load: 'pendingUnmap', unmap: 'loaded' } },
  },
});

export type SlotMode = 'invalid' | 'loaded' | 'idle' | 'pendingUnmap';

export function slotMode({ valid, pendingUnmap, users }: Pick<ShadowSlot, 'valid' | 'pendingUnmap' | 'users'>): SlotMode {
  if (!valid) return 'invalid';
  if (pendingUnmap) return 'pendingUnmap';
  return users > 0 ? 'loaded' : 'idle';
}
