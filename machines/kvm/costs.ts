/**
 * Virtual nanoseconds that each step of L0's work takes. A flat cost a trap does not reproduce NEVE (its remaining traps
 * are world switches), so the switch steps cost most. Sized by NEVE17 s.5 and Dall16 Tab. II/III at 2.4 GHz: an entry
 * or return some 70 cycles, saving the vGIC 3,250.
 */

import type { Step } from './state.ts';

export const STEP_COST_NS: Readonly<Record<Step['step'], number>> = {
  'sync': 120, 'handle': 150, 'finish-read': 40, 'finish-fault': 80, 'finish-register': 20, 'finish-power-on': 40,
  'put': 900, 'nested-eret': 60, 'inject': 60, 'load': 900, 'wait-prepare': 60, 'wait-check': 40, 'wait-block': 200, 'wait-finish': 200, 'flush': 120, 'enter': 30, 'power-off': 100, 'halt': 0,
};
