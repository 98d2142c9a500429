/** The distributor: the registers of the GICD frame, shared interrupts and their routes, SGIs on their way. Arm IHI 0069; as GICv2 has it, IHI 0048B. */

import type { DeviceRead, DeviceWrite, DistributorMessage, OfferedInterrupt, Out } from '../messages.ts';
import { acknowledge, clearActive, concerns, pendingBits, release, sameInterrupts, setLine, tellPending } from './bank.ts';
import { answerRead, DISTRIBUTOR_REGISTERS, rowOf, routedToAny, writeRegister } from './registers.ts';
import { GICD_SGIR, isBanked, SHARED_REGISTERS } from './registers-v2.ts';
import { peAt, type DistributorState } from './state.ts';

/** Changes `state` in place. Throws RangeError for an INTID that is no SPI of this distributor. */
export function receive(state: DistributorState, message: DistributorMessage, out: Out): void {
  const before = state.banks.map(pendingBits);
  handle(state, message, out);
  for (const [position, bank] of state.banks.entries()) tellPending(before[position]!, pendingBits(bank), 32 * (position + 1), undefined, out);
}

function handle(state: DistributorState, message: DistributorMessage, out: Out): void {
  const rows = state.targets === undefined ? DISTRIBUTOR_REGISTERS : SHARED_REGISTERS;
  if ((message.type === 'read' || message.type === 'write') && state.targets !== undefined && isBanked(message.offset)) {
    out.send(`gicr:${accessor(message)}`, message);
    return;
  }
  switch (message.type) {
    case 'read':
      answerRead(rows, 'GICD', state, message, out);
      return;
    case 'write': {
      const row = rowOf(rows, 'GICD', message, out);
      if (row !== undefined) writeRegister(row, state, message.offset, message.bytes, message.value);
      if (row?.offset === GICD_SGIR && state.targets !== undefined) generateSgi(state, accessor(message), Number(message.value), out);
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

/** The PE that accesses a register. */
const accessor = ({ from }: DeviceRead | DeviceWrite): number => Number(from.slice(from.indexOf(':') + 1));

/** GICD_SGIR: to the PEs of CPUTargetList, to all but the sender, or to the sender, by TargetListFilter; 3 is reserved, and reaches nobody here. */
function generateSgi({ vcpus }: DistributorState, source: number, value: number, out: Out): void {
  const self = 1 << source;
  const list = [(value >> 16) & 0xff, ~self, self, 0][(value >> 24) & 3]!;
  for (let target = 0; target < vcpus; target++) if ((list & (1 << target)) !== 0) out.send(`gicr:${target}`, { type: 'sgi-pending', intid: value & 0xf, source });
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
      for (const pe of pesOf(state, interrupt)) interrupts[pe]!.push(interrupt);
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
 * The PEs that an SPI concerns: the one that acknowledged it while it is active, else the one that its route names, if
 * there is one. Where any PE may take it (Interrupt_Routing_Mode 1), the lowest-numbered does: the choice is ours. GICv2
 * offers it to all its targets, and the first to acknowledge it has it: who comes second finds it active, or gone.
 */
function pesOf(state: DistributorState, { intid, active }: OfferedInterrupt): readonly number[] {
  const holder = state.activeOn[intid - 32]!;
  if (active && holder >= 0) return [holder];
  if (state.targets !== undefined) {
    const targets = state.targets[intid - 32]!;
    return state.told.flatMap((_, pe) => ((targets & (1 << pe)) === 0 ? [] : [pe]));
  }
  const route = state.routes[intid - 32]!;
  const pe = routedToAny(route) ? 0 : peAt(route, state.vcpus);
  return pe === undefined ? [] : [pe];
}
