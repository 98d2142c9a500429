/** L1's own interrupts in the hardware's list registers: filled before an entry, folded back after an exit. Linux: vgic-v3.c, vgic.c. */

import { Word, type Core } from '../aarch64/state.ts';
import { pollTimers } from '../aarch64/generic-timer.ts';
import { EOICOUNT_SHIFT, IchHcr, LR_PINTID_SHIFT, LR_PRIORITY_SHIFT, Lr } from '../aarch64/list-registers.ts';
import type { OfferedInterrupt, Out } from '../messages.ts';
import { deactivate, interruptsInEffect, tellGic, type Operation } from './ap-list.ts';
import { hardwareControl, hardwareListRegister, setHardwareControl, setHardwareListRegister, turnOff } from './interface.ts';
import type { UsedListRegister, VgicState } from './state.ts';

/** A timer PPI of L1 that a hardware comparator drives: the hardware's own INTID, and the bit of its line. Linux: kvm_vgic_map_phys_irq. */
export interface HardwareMapping { readonly physical: number; readonly line: number }

/** In virtual EL2 the hardware's CNTP and CNTV are L1's HP and HV timers; below it they are P and V. */
const EL2_TIMERS: Readonly<Record<number, HardwareMapping>> = { 26: { physical: 30, line: 0 }, 28: { physical: 27, line: 1 } };
const EL1_TIMERS: Readonly<Record<number, HardwareMapping>> = { 30: { physical: 30, line: 0 }, 27: { physical: 27, line: 1 } };

export const hardwareMapping = (state: VgicState, intid: number): HardwareMapping | undefined => (state.el1Timers ? EL1_TIMERS : EL2_TIMERS)[intid];

/** Active ones first, since their EOI must find them; then by priority as offered. A stable order: vgic_irq_cmp. */
function inOrder(interrupts: readonly OfferedInterrupt[]): OfferedInterrupt[] {
  return [...interrupts.filter(({ active }) => active), ...interrupts.filter(({ active }) => !active)];
}

/** Fills the list registers from the offer and turns the interface on. */
export function flushGuest(state: VgicState, core: Core, out: Out): void {
  const count = core.board.features.listRegisters;
  const interrupts = inOrder(interruptsInEffect(state));
  state.used = [];
  state.overflow = [];
  let waiting = false;
  for (const interrupt of interrupts) {
    if (state.used.length === count) {
      if (interrupt.active) state.overflow.push(interrupt.intid);
      else waiting = true;
      continue;
    }
    const mapping = hardwareMapping(state, interrupt.intid);
    const { intid, active, level } = interrupt;
    const pending = interrupt.pending && !active;
    const claimed = pending && !level;
    setHardwareListRegister(core, state.used.length, listRegisterOf(interrupt, mapping));
    state.used.push({ intid, pending, active, claimed, line: mapping?.line ?? -1 });
    // From here on a new edge must be told from the one in the list register, which leaves the vCPU without L0 knowing.
    if (claimed) tellGic(state, out, intid, ['acknowledge'], false);
  }
  for (let index = state.used.length; index < count; index++) if (hardwareListRegister(core, index) !== 0n) setHardwareListRegister(core, index, 0n);
  let hcr: bigint = IchHcr.En;
  // With one list register "at most one is valid" always holds: the underflow would interrupt without end.
  if (waiting && count > 1) hcr |= IchHcr.UIE;
  if (waiting && count === 1 && state.used[0]!.line < 0) setHardwareListRegister(core, 0, hardwareListRegister(core, 0) | Lr.EOI);
  if (state.overflow.length > 0) hcr |= IchHcr.LRENPIE;
  setHardwareControl(core, 'ICH_HCR_EL2', hcr);
  state.live = true;
  core.attention = true;
}

/** Never pending and active at once: what pends behind an active one waits for its end, which asks for maintenance where L0 must come to know of it. */
function listRegisterOf({ intid, priority, group, pending, active, level }: OfferedInterrupt, mapping: HardwareMapping | undefined): bigint {
  let lr = BigInt(intid) | (BigInt(priority) << LR_PRIORITY_SHIFT) | (active ? Lr.ACTIVE : Lr.PENDING);
  if (group === 1) lr |= Lr.GROUP1;
  if (mapping !== undefined) lr |= Lr.HW | (BigInt(mapping.physical) << LR_PINTID_SHIFT);
  // A level that is still high pends again after its EOI.
  else if (level || (pending && active)) lr |= Lr.EOI;
  return lr;
}

/** What there is to tell of an interrupt that a list register held: as it was put there, and what the vCPU left. */
export function operationsBetween({ pending, active, claimed }: Pick<UsedListRegister, 'pending' | 'active' | 'claimed'>, after: { readonly pending: boolean; readonly active: boolean }): Operation[] {
  if (active) return after.active ? [] : ['deactivate'];
  if (pending && after.pending) return claimed ? ['release'] : [];
  const operations: Operation[] = claimed ? [] : ['acknowledge'];
  return after.active ? operations : [...operations, 'deactivate'];
}

/** Folds the list registers back into the GIC's view and empties them. Always by the registers themselves, never by a remembered ELRSR (bug B23). */
export function syncGuest(state: VgicState, core: Core, out: Out): void {
  for (const [index, used] of state.used.entries()) {
    const lr = hardwareListRegister(core, index);
    const after = { pending: (lr & Lr.PENDING) !== 0n, active: (lr & Lr.ACTIVE) !== 0n };
    const operations = operationsBetween(used, after);
    if (used.line >= 0 && operations.length > 0) resample(state, core, out, used);
    // A level's line is seen again in the next offer; an edge that came behind is in the one that is here.
    const behind = interruptsInEffect(state).some(({ intid, pending, level }) => intid === used.intid && pending && !level);
    tellGic(state, out, used.intid, operations, after.pending || behind);
  }
  // EOIs that found no list register: each ended the highest-priority interrupt that was active outside (bug B3 is to forget them).
  const count = Number((hardwareControl(core, 'ICH_HCR_EL2') & IchHcr.EOICOUNT) >> EOICOUNT_SHIFT);
  for (const intid of state.overflow.slice(0, count)) deactivate(state, out, intid);
  state.used = [];
  state.overflow = [];
  state.live = false;
  turnOff(core);
}

/** The line of a timer that the guest served may have dropped since: the GIC hears it before the deactivation, or the interrupt would pend once more for nothing. Linux: vgic_irq_handle_resampling. */
function resample(state: VgicState, core: Core, out: Out, used: UsedListRegister): void {
  pollTimers(core);
  if ((core.ints[2 * Word.TIMER_LINES]! & (1 << used.line)) === 0) out.send(`gicr:${state.index}`, { type: 'irq-line', intid: used.intid, level: false });
}
