/** A redistributor: the registers of one PE's GICR frames, its SGIs and PPIs, and the offer to its CPU interface. Arm IHI 0069. */

import type { OfferedInterrupt, Out, RedistributorMessage } from '../messages.ts';
import { acknowledge, clearActive, concerns, pendingBits, release, sameInterrupts, setLine, setPending, tellPending } from './bank.ts';
import { REDISTRIBUTOR_REGISTERS, readRegister, registerAt, writeRegister } from './registers.ts';
import type { RedistributorState } from './state.ts';

/** Changes `state` in place. Throws RangeError for an INTID that is no SGI or PPI, and for an SGI's line. */
export function receive(state: RedistributorState, message: RedistributorMessage, out: Out): void {
  const before = pendingBits(state.bank);
  handle(state, message, out);
  tellPending(before, pendingBits(state.bank), 0, state.index, out);
}

function handle(state: RedistributorState, message: RedistributorMessage, out: Out): void {
  switch (message.type) {
    case 'read': {
      const row = known(message, out);
      const value = row === undefined ? 0n : readRegister(row, state, message.offset, message.bytes);
      out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value });
      return;
    }
    case 'write': {
      const row = known(message, out);
      if (row !== undefined) writeRegister(row, state, message.offset, message.bytes, message.value);
      break;
    }
    case 'irq-line':
      if (message.intid < 16 || message.intid > 31) throw new RangeError(`INTID ${message.intid} is no PPI and has no line here`);
      setLine(state.bank, message.intid, message.level);
      break;
    case 'sgi-pending':
      if (message.intid > 15) throw new RangeError(`INTID ${message.intid} is no SGI`);
      // ICC_SGI0R_EL1 and ICC_ASGI1R_EL1 do not reach an SGI that is in Group 1.
      if (message.group === 0 && (state.bank.group & (1 << message.intid)) !== 0) return;
      setPending(state.bank, 1 << message.intid);
      break;
    case 'acknowledge':
      acknowledge(state.bank, privateIntid(message.intid));
      break;
    case 'release':
      release(state.bank, privateIntid(message.intid));
      break;
    case 'deactivate':
      clearActive(state.bank, 1 << privateIntid(message.intid));
      break;
    case 'spis':
      state.spis = { interrupts: message.interrupts, groupsEnabled: message.groupsEnabled };
      break;
  }
  offer(state, out);
}

function known(message: RedistributorMessage & { readonly type: 'read' | 'write' }, out: Out) {
  const row = registerAt(REDISTRIBUTOR_REGISTERS, message.offset, message.bytes);
  if (row === undefined) out.event('gic_unknown_register', { frame: 'GICR', access: message.type, offset: message.offset, bytes: message.bytes });
  return row;
}

function privateIntid(intid: number): number {
  if (intid < 0 || intid > 31) throw new RangeError(`INTID ${intid} is neither an SGI nor a PPI`);
  return intid;
}

/**
 * Sends the offer when it is not the last one's equal. An interrupt pends in it only if GICD_CTLR enables its group. A PE
 * whose ProcessorSleep is set is offered nothing; what would be is its wake-up request, which is told as an event.
 */
function offer(state: RedistributorState, out: Out): void {
  const { interrupts, groupsEnabled } = state.spis;
  const mine: OfferedInterrupt[] = [];
  for (const interrupt of [...concerns(state.bank, 0), ...interrupts]) {
    const pending = interrupt.pending && groupsEnabled[interrupt.group];
    if (pending || interrupt.active) mine.push({ ...interrupt, pending });
  }
  // Lowest INTID first among equals: the choice is ours (IMPLEMENTATION DEFINED), so it is stated.
  mine.sort((one, other) => one.priority - other.priority || one.intid - other.intid);
  if (state.asleep && mine.length > 0) out.event('gic_wake_request', { vcpu: state.index, intid: mine[0]!.intid });
  const offered = state.asleep ? [] : mine;
  if (sameInterrupts(state.offered, offered)) return;
  state.offered = offered;
  out.send(state.listener, { type: 'offer', interrupts: offered });
}
