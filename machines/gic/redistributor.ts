/** A redistributor: the registers of one PE's GICR frames, its SGIs, PPIs and LPIs, and the offer to its CPU interface. Arm IHI 0069. With GICv2 the banked part of GICD. */

import type { DirectMemory, OfferedInterrupt, Out, RedistributorMessage } from '../messages.ts';
import { acknowledge, clearActive, concerns, pendingBits, release, sameInterrupts, setLine, setPending, tellPending } from './bank.ts';
import { clearLpi, givePendingTable, invalidateLpis, lpisOffered, setLpi, takePendingTable } from './lpi.ts';
import { answerRead, REDISTRIBUTOR_REGISTERS, rowOf, writeRegister } from './registers.ts';
import { BANKED_REGISTERS, setSources } from './registers-v2.ts';
import { FIRST_LPI, type RedistributorState } from './state.ts';

/** Changes `state` in place. LPIs' tables are in `memory`. Throws RangeError for an INTID that is none of this PE's own, and for an SGI's line. */
export function receive(state: RedistributorState, message: RedistributorMessage, out: Out, memory: DirectMemory): void {
  const before = pendingBits(state.bank);
  handle(state, message, out, memory);
  tellPending(before, pendingBits(state.bank), 0, state.index, out);
}

function handle(state: RedistributorState, message: RedistributorMessage, out: Out, memory: DirectMemory): void {
  const [rows, frame] = state.sources === undefined ? [REDISTRIBUTOR_REGISTERS, 'GICR' as const] : [BANKED_REGISTERS, 'GICD' as const];
  switch (message.type) {
    case 'read':
      answerRead(rows, frame, state, message, out);
      return;
    case 'write': {
      const row = rowOf(rows, frame, message, out);
      const lpisEnabled = state.lpisEnabled;
      if (row !== undefined) writeRegister(row, state, message.offset, message.bytes, message.value);
      if (state.lpisEnabled !== lpisEnabled) switchLpis(state, out, memory);
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
      if (state.sources === undefined) setPending(state.bank, 1 << message.intid);
      else setSources(state, message.intid, state.sources[message.intid]! | (1 << (message.source ?? 0)));
      break;
    case 'acknowledge':
      if (message.intid >= FIRST_LPI) {
        clearLpi(state, message.intid);
        state.lpisTaken++;
      } else {
        acknowledge(state.bank, privateIntid(message.intid));
        // Another PE's SGI of that number goes on pending.
        if (state.sources !== undefined && message.intid < 16) setSources(state, message.intid, state.sources[message.intid]! & ~(1 << (message.source ?? 0)));
      }
      break;
    case 'release':
      if (message.intid >= FIRST_LPI) {
        pendLpi(state, message.intid, out, memory);
        state.lpisTaken++;
      } else release(state.bank, privateIntid(message.intid));
      break;
    case 'deactivate':
      clearActive(state.bank, 1 << privateIntid(message.intid));
      break;
    case 'spis':
      state.spis = { interrupts: message.interrupts, groupsEnabled: message.groupsEnabled };
      break;
    case 'lpi':
      if (message.pending) pendLpi(state, message.intid, out, memory);
      else clearLpi(state, message.intid);
      break;
    case 'lpi-invalidate':
      invalidateLpis(state, memory, message.intid);
      break;
    case 'lpi-move':
      for (const { intid } of state.lpis.filter((lpi) => message.intid === undefined || lpi.intid === message.intid)) {
        clearLpi(state, intid);
        out.send(message.to, { type: 'lpi', intid, pending: true });
      }
      break;
  }
  offer(state, out);
}

function pendLpi(state: RedistributorState, intid: number, out: Out, memory: DirectMemory): void {
  if (setLpi(state, memory, intid)) out.event('vgic_update_irq_pending', { vcpu: state.index, irq: intid, level: true });
}

/** GICR_CTLR.EnableLPIs changed. */
function switchLpis(state: RedistributorState, out: Out, memory: DirectMemory): void {
  if (state.lpisEnabled) takePendingTable(state, memory);
  else if (!givePendingTable(state, memory)) out.event('gic_lost_pending_table', { vcpu: state.index, address: state.pendbaser });
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
  for (const interrupt of [...concerns(state.bank, 0).map((own) => withSource(state, own)), ...interrupts, ...lpisOffered(state)]) {
    const pending = interrupt.pending && groupsEnabled[interrupt.group];
    if (pending || interrupt.active) mine.push({ ...interrupt, pending });
  }
  // Lowest INTID first among equals: the choice is ours (IMPLEMENTATION DEFINED), so it is stated.
  mine.sort((one, other) => one.priority - other.priority || one.intid - other.intid);
  if (state.asleep && mine.length > 0) out.event('gic_wake_request', { vcpu: state.index, intid: mine[0]!.intid });
  const offered = state.asleep ? [] : mine;
  if (state.offeredTaken === state.lpisTaken && sameInterrupts(state.offered, offered)) return;
  state.offered = offered;
  state.offeredTaken = state.lpisTaken;
  out.send(state.listener, { type: 'offer', interrupts: offered, lpisTaken: state.lpisTaken });
}

/** GICv2: the lowest-numbered of the PEs whose SGI pends goes first. The choice is ours (IMPLEMENTATION DEFINED), and QEMU's. */
function withSource({ sources }: RedistributorState, interrupt: OfferedInterrupt): OfferedInterrupt {
  const from = sources?.[interrupt.intid] ?? 0;
  return from === 0 ? interrupt : { ...interrupt, source: 31 - Math.clz32(from & -from) };
}
