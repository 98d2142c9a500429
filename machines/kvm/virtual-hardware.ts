/** The hardware that L0 shows its guest: virtual EL2 with the features that L0 can honour. Linux: nested.c (limit_nv_id_reg). */

import type { Board, Features } from '../aarch64/board.ts';
import type { Hardware } from '../aarch64/sysregs.ts';
import type { Flavour, KvmState } from './state.ts';

/**
 * The guest's hardware, in the terms in which the rows of aarch64 are written: from it follow its ID registers, which
 * registers it lacks and how its controls read.
 */
export function virtualHardware(state: Pick<KvmState, 'mechanism' | 'flavour'>, board: Board): Hardware {
  const { features, counterHz } = board;
  return state.mechanism === 'none' ? { el2: 'none', counterHz, features: shownFeatures(features, 'nvhe') } : { el2: 'guest', counterHz, features: shownFeatures(features, state.flavour) };
}

/** What is left of the hardware's features for a guest of L0. FEAT_ECV stays with L0, which uses it, and the PMU too, as in KVM without a vPMU; recursion (FEAT_NV for L1) is not given. A bare board of the same flavour has these too. */
export const shownFeatures = (features: Features, flavour: Flavour): Features => {
  const vhe = flavour === 'vhe';
  return { ...features, nv: 0, pmu: false, vhe, e2h: vhe ? 'res1' : 'res0', ecv: false };
};
