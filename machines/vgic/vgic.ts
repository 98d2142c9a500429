/** The vgic:n actor: KVM's part of the GIC for one vCPU, between its redistributor and the hardware's list registers. Linux: vgic/vgic.c, vgic-v3.c. */

import type { Board } from '../aarch64/board.ts';
import type { Core } from '../aarch64/state.ts';
import type { Offer, Out, VgicMessage } from '../messages.ts';
import { isPending, takeOffer, type Masks } from './ap-list.ts';
import { hardwareControl, setHardwareControl, turnOff } from './interface.ts';
import { flushGuest, syncGuest } from './list-registers.ts';
import { flushNested, syncNested, updateMaintenance } from './nested.ts';
import type { VgicState } from './state.ts';

export function receive(state: VgicState, message: VgicMessage, out: Out, board: Board): void {
  const core = board.cores[state.index]!;
  switch (message.type) {
    case 'offer': offer(state, message, out); break;
    case 'load': load(state, core, message.nested, message.l2 ?? message.nested); break;
    case 'put': put(state, board, core, out); break;
    case 'flush': flush(state, board, core, message.nested, out); break;
    case 'sync': sync(state, board, core, out); break;
    case 'query-pending': answer(state, core, out); break;
  }
}

function offer(state: VgicState, { interrupts, lpisTaken }: Offer, out: Out): void {
  const raised = takeOffer(state, interrupts, lpisTaken ?? 0);
  for (const irq of raised) out.event('vgic_update_irq_pending', { vcpu_id: state.index, irq, level: true });
  if (raised.length > 0) out.send(`kvm:${state.index}`, { type: 'kick' });
}

function load(state: VgicState, core: Core, nested: boolean, l2: boolean): void {
  if (state.loaded !== 'none') throw new Error(`vgic:${state.index}: load over a context that was not put`);
  state.loaded = nested ? 'nested' : 'guest';
  state.el1Timers = l2;
  // L2's are taken from L1's page at every flush.
  if (nested) return;
  setHardwareControl(core, 'ICH_VMCR_EL2', state.vmcr);
  setHardwareControl(core, 'ICH_AP0R0_EL2', state.ap0r0);
  setHardwareControl(core, 'ICH_AP1R0_EL2', state.ap1r0);
}

function put(state: VgicState, board: Board, core: Core, out: Out): void {
  sync(state, board, core, out);
  if (state.loaded === 'guest') Object.assign(state, masksOf(state, core));
  state.loaded = 'none';
  turnOff(core);
}

/** `nested` repeats what was loaded: a world switch goes through put and load. */
function flush(state: VgicState, board: Board, core: Core, nested: boolean, out: Out): void {
  if (state.loaded !== (nested ? 'nested' : 'guest')) throw new Error(`vgic:${state.index}: flush of ${nested ? 'L2' : 'L1'}'s interrupts while the context loaded is: ${state.loaded}`);
  sync(state, board, core, out);
  answer(state, core, out);
  if (nested) flushNested(state, board, core);
  else flushGuest(state, core, out);
}

/** Without list registers to fold, as after a flush that no entry followed and a put, there is nothing to do but the maintenance line. */
function sync(state: VgicState, board: Board, core: Core, out: Out): void {
  if (state.live && state.loaded === 'nested') syncNested(state, board, core, out);
  // Before L1's own interrupts are folded: the maintenance interrupt may be among them, and its line must be down before its end.
  updateMaintenance(state, board, out);
  if (state.live) syncGuest(state, core, out);
}

function answer(state: VgicState, core: Core, out: Out): void {
  out.send(`kvm:${state.index}`, { type: 'vgic-pending', pending: isPending(state, masksOf(state, core)) });
}

/** L1's CPU interface: in the hardware while L1's context is loaded. */
function masksOf(state: VgicState, core: Core): Masks {
  if (state.loaded !== 'guest') return { vmcr: state.vmcr, ap0r0: state.ap0r0, ap1r0: state.ap1r0 };
  return { vmcr: hardwareControl(core, 'ICH_VMCR_EL2'), ap0r0: hardwareControl(core, 'ICH_AP0R0_EL2'), ap1r0: hardwareControl(core, 'ICH_AP1R0_EL2') };
}
