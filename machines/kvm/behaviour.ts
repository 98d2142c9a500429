/** The places where a known bug of L0 can take the place of the right behaviour. The right one is here; each bug is a file under variants/. */

import type { Out } from '../messages.ts';
import type { KvmState } from './state.ts';

export interface Behaviour {
  /** The scheduler takes the processor away while L0 works for the vCPU, and gives it back: vcpu_put, then vcpu_load. */
  preempt(state: KvmState, out: Out): void;
  /** Something pends for the vCPU and it is blocked. Returns whether it wakes up. */
  wake(state: KvmState, out: Out): boolean;
}

export const CORRECT: Behaviour = {
  /** vcpu_load must not make the vCPU resident, which cancels the wake-up request, while it is on its way into a wait (IN_WFI; b321c31c9b7b). */
  preempt(state, out) {
    out.event('sched_switch', { vcpu: state.index });
    if (!state.inWait) state.wakeRequested = false;
  },
  wake: (state) => state.wakeRequested,
};

/** The right behaviour with the parts that the named variants replace. */
export const behaviourOf = (variants: readonly Partial<Behaviour>[]): Behaviour => Object.assign({}, CORRECT, ...variants) as Behaviour;
