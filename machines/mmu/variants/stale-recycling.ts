/** Bug B15: a slot that is recycled for another of L1's guests keeps the old one's translations, and its vCPU runs on them (before c268f204f7c5 a second vCPU could). */

import type { Behaviour } from '../shadow.ts';

export const staleRecycling: Behaviour = {
  loaded(state, _board, _out, slot) {
    state.slots[slot]!.pendingUnmap = false;
  },
};
