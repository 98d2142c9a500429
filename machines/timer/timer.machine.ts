/** One timer's modes as a chart, and the mode that a comparator is in. Arm ARM D12.2. */

import { createMachine } from 'xstate';
import { Ctl } from './map.ts';

/** `reach`: the count reaches the comparator. `rearm`: the comparator is moved ahead of the count. `enable`, `disable`, `mask`, `unmask`: writes of CTL. */
export const timerChart = createMachine({
  id: 'timer',
  initial: 'idle',
  states: {
    idle: { on: { enable: 'armed', enableMasked: 'masked' } },
    armed: { on: { reach: 'firing', disable: 'idle', mask: 'masked', rearm: 'armed' } },
    firing: { on: { rearm: 'armed', disable: 'idle', mask: 'masked' } },
    /** Counts on without a line: ISTATUS says whether it was reached. */
    masked: { on: { unmask: 'armed', disable: 'idle', reach: 'masked', rearm: 'masked' } },
  },
});

export type TimerMode = 'idle' | 'armed' | 'firing' | 'masked';

/** The mode of a comparator whose condition is `met` or not. */
export function timerMode(ctl: bigint, met: boolean): TimerMode {
  if ((ctl & Ctl.ENABLE) === 0n) return 'idle';
  if ((ctl & Ctl.IMASK) !== 0n) return 'masked';
  return met ? 'firing' : 'armed';
}
