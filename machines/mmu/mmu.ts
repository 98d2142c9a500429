/** The mmu actor: L0's stage-2 maps for the whole guest. Linux: mmu.c, nested.c. */

import type { Board } from '../aarch64/board.ts';
import type { MmuMessage, Out } from '../messages.ts';
import { handleFault } from './fault.ts';
import { CORRECT, load, put, unmapBehind, type Behaviour } from './shadow.ts';
import type { MmuState } from './state.ts';
import { invalidate } from './tlbi.ts';

export { lookupStage2 } from './stage2.ts';

/** The handler, with the right behaviour or with a known bug in it. */
export function mmuMachine(behaviour: Behaviour): (state: MmuState, message: MmuMessage, out: Out, board: Board) => void {
  return (state, message, out, board) => {
    switch (message.type) {
      case 'load': load(state, board, out, message.vcpu, message, behaviour); break;
      case 'put': put(state, message.vcpu); break;
      case 'fault': out.send(`kvm:${message.vcpu}`, { type: 'fault-handled', result: handleFault(state, board, out, message) }); break;
      case 'memory-slot':
        state.canonical.find((range) => range.ipa === message.ipa)!.present = message.present;
        if (!message.present) unmapBehind(state, board, out, message.ipa);
        break;
      case 'tlbi':
        invalidate(state, board, out, message);
        out.send(`kvm:${message.vcpu}`, { type: 'mmu-done' });
        break;
    }
  };
}

export const receive = mmuMachine(CORRECT);
