/** The distributor: the registers of the GICD frame, shared interrupts and their routes, SGIs on their way. Arm IHI 0069. */

import type { DistributorMessage, OfferedInterrupt, Out } from '../messages.ts';
import { acknowledge, clearActive, concerns, pendingBits, release, sameInterrupts, setLine, tellPending } from './bank.ts';
import { answerRead, DISTRIBUTOR_REGISTERS, rowOf, routedToAny, writeRegister } from './registers.ts';
import { peAt, type DistributorState } from './state.ts';

/** Changes `state` in place. Throws RangeError for an INTID that is no SPI of this distributor. */
export function receive(state: DistributorState, message: DistributorMessage, out: Out): void {
  const before = state.banks.map(pendingBits);
  handle(state, message, out);
  for (const [position, bank] of state.banks.entries()) tellPending(before[position]!, pendingBits(bank), 32 * (position + 1), undefined, out);
}

function handle(state: DistributorState, message: DistributorMessage, out: Out): void {
  switch (message.type) {
    case 'read':
      answerRead(DISTRIBUTOR_REGISTERS, 'GICD', state, message, out);
      return;
    case 'write': {
      const row = rowOf(DISTRIBUTOR_REGISTERS, 'GICD', message, out);
      if (row !== undefined) writeRegister(row, state, message.offset, message.bytes, message.value);
      break;
    }
    case 'irq-line':
      setLine(bankOf(state, message.intid), message.intid & 31, message.level);
      break;
    case 'acknowledge':
      acknowledge(bankOf(state, message.intid), message.intid & 31);
      state.activeOn[message.intid - 32] = message.vcpu;
      break;
    case 'release':
      release(bankOf(state, message.intid), message.intid & 31);
      state.activeOn[message.intid - 32] = -1;
      break;
    case 'deactivate':
      // A guest may end any INTID, one that does not exist included: there is nothing to deactivate.
      if (message.intid < 32 || message.intid >= 32 + state.spis) return;
      clearActive(bankOf(state, message.intid), 1 << (message.intid & 31));
      state.activeOn[message.intid - 32] = -1;
      break;
    case 'sgi':
      for (const target of message.targets) out.send(`gicr:${target}`, { type: 'sgi-pending', intid: message.intid, group: message.group });
      return;
  }
  publish(state, out);
}

function bankOf(state: DistributorState, intid: number) {
  const bank = intid < 32 ? undefined : state.banks[(intid >> 5) - 1];
  if (bank === undefined) throw new RangeError(`INTID ${intid} is no SPI: they are 32 to ${31 + state.spis}`);
  return bank;
}

/** Tells each redistributor whose SPIs, or whose groups, are not as it was last told. */
function publish(state: DistributorState, out: Out): void {
  const interrupts: OfferedInterrupt[][] = Array.from({ length: state.vcpus }, () => []);
  for (const [position, bank] of state.banks.entries()) {
    for (const interrupt of concerns(bank, 32 * (position + 1))) {
      const pe = peOf(state, interrupt);
      if (pe !== undefined) interrupts[pe]!.push(interrupt);
    }
  }
  const groupsEnabled: readonly [boolean, boolean] = [(state.enables & 1) !== 0, (state.enables & 2) !== 0];
  for (const [index, mine] of interrupts.entries()) {
    const told = state.told[index]!;
    if (told.groupsEnabled[0] === groupsEnabled[0] && told.groupsEnabled[1] === groupsEnabled[1] && sameInterrupts(told.interrupts, mine)) continue;
    state.told[index] = { interrupts: mine, groupsEnabled };
    out.send(`gicr:${index}`, { type: 'spis', interrupts: mine, groupsEnabled });
  }
}

/**
 * The PE that an SPI concerns: the one that acknowledged it while it is active, else the one that its route names, if
 * there is one. Where any PE may take it (Interrupt_Routing_Mode 1), the lowest-numbered does: the choice is ours.
 */
function peOf(state: DistributorState, { intid, active }: OfferedInterrupt): number | undefined {
  const holder = state.activeOn[intid - 32]!;
  if (active && holder >= 0) return holder;
  const route = state.routes[intid - 32]!;
  return routedToAny(route) ? 0 : peAt(route, state.vcpus);
}
