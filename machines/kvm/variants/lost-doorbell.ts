/**
 * Variant `lost-doorbell` (bug B20): preempted between asking for the wake-up and going to sleep, vcpu_load cancels the
 * request and the vcpu_put of a plain preemption does not ask again, so that the vCPU sleeps with nobody to wake it.
 * Fixed in Linux by b321c31c9b7b "vgic-v4: Make the doorbell request robust w.r.t preemption".
 */

import type { Behaviour } from '../behaviour.ts';

export const lostDoorbell: Partial<Behaviour> = {
  preempt(state, out) {
    out.event('sched_switch', { vcpu: state.index });
    state.wakeRequested = false;
  },
};
