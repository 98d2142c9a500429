/** The lifecycle of a list register as a chart: what software writes into it, and what the CPU interface then does. Arm IHI 0069, 4.1.2. */

import { createMachine } from 'xstate';

/** `fill…`: its owner writes it; L0 for L1 never both. `acknowledge`, `deactivate`: the vCPU does, through ICV_IAR and ICV_EOIR or ICV_DIR. `fold`: L0 empties it after an exit. */
export const listRegisterChart = createMachine({
  id: 'list-register',
  initial: 'invalid',
  states: {
    invalid: { on: { fillPending: 'pending', fillActive: 'active', fillBoth: 'pendingAndActive', fold: 'invalid' } },
    pending: { on: { acknowledge: 'active', fold: 'invalid' } },
    active: { on: { deactivate: 'invalid', fold: 'invalid' } },
    pendingAndActive: { on: { deactivate: 'pending', fold: 'invalid' } },
  },
});
