/** The lifecycle of a vCPU under L0 as a chart, and the state that a vCPU is in. Linux: arm.c (kvm_arch_vcpu_ioctl_run), vcpu->mode. */

import { createMachine } from 'xstate';
import type { Board } from '../aarch64/board.ts';
import { levelOf } from './fault.ts';
import type { KvmState, Step } from './state.ts';

/** `enter…`: L0's last step, by the context that it loaded. `resolve`: what the exit asks for is decided. `inject`: an exception for L1 was found on the way in. */
export const vcpuChart = createMachine({
  id: 'vcpu',
  initial: 'off',
  states: {
    off: { on: { powerOn: 'runnable' } },
    /** Nothing is left but to load the context, fill the list registers and enter. */
    runnable: { on: { enterVirtualEl2: 'inVirtualEl2', enterL1: 'inL1', enterL2: 'inL2', inject: 'exiting' } },
    inVirtualEl2: { on: { exit: 'exiting' } },
    /** L1's own EL1 and EL0, and a guest without virtual EL2. */
    inL1: { on: { exit: 'exiting' } },
    inL2: { on: { exit: 'exiting' } },
    exiting: { on: { resolve: 'runnable', block: 'blocked', powerOff: 'off' } },
    blocked: { on: { wake: 'runnable' } },
  },
});

export type VcpuMode = 'off' | 'runnable' | 'inVirtualEl2' | 'inL1' | 'inL2' | 'exiting' | 'blocked';

/** The steps of the way into the guest; all others are part of dealing with an exit. */
const WAY_IN: ReadonlySet<Step['step']> = new Set(['wait-finish', 'load', 'flush', 'enter']);

export function vcpuMode(state: KvmState, board: Board): VcpuMode {
  switch (state.mode) {
    case 'off': return 'off';
    case 'blocked': return 'blocked';
    case 'host': return WAY_IN.has(state.work[0]!.step) ? 'runnable' : 'exiting';
    case 'guest':
      if (state.hyp) return 'inVirtualEl2';
      return levelOf(state, board) === 'L2' ? 'inL2' : 'inL1';
  }
}
