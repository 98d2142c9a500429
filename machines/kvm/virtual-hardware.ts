/** The hardware that L0 shows its guest: virtual EL2 with the features that L0 can honour. Linux: nested.c (limit_nv_id_reg). */

import type { Board } from '../aarch64/board.ts';
import type { Hardware } from '../aarch64/sysregs.ts';
import type { KvmState } from './state.ts';

/**
 * The guest's hardware, in the terms in which the rows of aarch64 are written: from it follow its ID registers, which
 * registers it lacks and how its controls read. FEAT_ECV stays with L0, which uses it; recursion (FEAT_NV for L1) is not given.
 */
export function virtualHardware(state: Pick<KvmState, 'mechanism' | 'flavour'>, board: Board): Hardware {
  const { features, counterHz } = board;
  const vhe = state.mechanism !== 'none' && state.flavour === 'vhe';
  return {
    el2: state.mechanism === 'none' ? 'none' : 'guest', counterHz,
    features: { ...features, nv: 0, vhe, e2h: vhe ? 'res1' : 'res0', ecv: false },
  };
}
