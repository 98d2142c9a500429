/** What happens to the 32 interrupts of a bank. The lifecycle that it follows is drawn in interrupt.machine.ts. */

import type { OfferedInterrupt, Out } from '../messages.ts';
import type { Bank } from './state.ts';

/** Pending: latched, or level-sensitive with its line high. */
export const pendingBits = (bank: Bank): number => (bank.latched | (bank.line & ~bank.edge)) >>> 0;

/** The input line of one interrupt. A rising edge latches an edge-triggered one; a level-sensitive one pends while the line is high. */
export function setLine(bank: Bank, index: number, level: boolean): void {
  const bit = 1 << index;
  if (level && (bank.line & bit) === 0) bank.latched = (bank.latched | (bit & bank.edge)) >>> 0;
  bank.line = (level ? bank.line | bit : bank.line & ~bit) >>> 0;
}

export const setPending = (bank: Bank, bits: number): void => { bank.latched = (bank.latched | bits) >>> 0; };

/** A level-sensitive interrupt whose line is high goes on pending (Arm IHI 0069, GICD_ICPENDR). */
export const clearPending = (bank: Bank, bits: number): void => { bank.latched = (bank.latched & ~bits) >>> 0; };

/**
 * The PE took the interrupt: it is active, and pends on only by its line. What is no longer pending becomes active all
 * the same: the PE holds its INTID and will end it (Arm IHI 0069, A.4, the Activate command).
 */
export function acknowledge(bank: Bank, index: number): void {
  bank.latched = (bank.latched & ~(1 << index)) >>> 0;
  bank.active = (bank.active | (1 << index)) >>> 0;
}

/** The PE gives back what it acknowledged: it pends again, and is no longer active. */
export function release(bank: Bank, index: number): void {
  setPending(bank, 1 << index);
  clearActive(bank, 1 << index);
}

export const setActive = (bank: Bank, bits: number): void => { bank.active = (bank.active | bits) >>> 0; };
export const clearActive = (bank: Bank, bits: number): void => { bank.active = (bank.active & ~bits) >>> 0; };

/**
 * The interrupts of a bank that concern a PE, in INTID order: those enabled and pending, and those active whether enabled
 * or not, since a PE that disables an interrupt in its handler still has to end it. `pending` says that it may be signalled.
 */
export function concerns(bank: Bank, first: number): OfferedInterrupt[] {
  const pending = pendingBits(bank) & bank.enabled;
  const interrupts: OfferedInterrupt[] = [];
  for (let rest = (pending | bank.active) >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) {
    const index = 31 - Math.clz32(rest & -rest);
    const bit = 1 << index;
    interrupts.push({
      intid: first + index, priority: bank.priorities[index]!, group: (bank.group & bit) === 0 ? 0 : 1,
      pending: (pending & bit) !== 0, active: (bank.active & bit) !== 0, level: (bank.edge & bit) === 0,
    });
  }
  return interrupts;
}

export function sameInterrupts(left: readonly OfferedInterrupt[], right: readonly OfferedInterrupt[]): boolean {
  return left.length === right.length && left.every((one, index) => {
    const other = right[index]!;
    return one.intid === other.intid && one.priority === other.priority && one.group === other.group
      && one.pending === other.pending && one.active === other.active && one.level === other.level && one.source === other.source;
  });
}

/** An event, as KVM's tracepoint of the name, for each interrupt that began to pend between two values of `pendingBits`; `first` is the bank's lowest INTID, `vcpu` the PE of a private one. */
export function tellPending(before: number, after: number, first: number, vcpu: number | undefined, out: Out): void {
  for (let risen = (after & ~before) >>> 0; risen !== 0; risen &= risen - 1) {
    out.event('vgic_update_irq_pending', { ...(vcpu === undefined ? {} : { vcpu }), irq: first + 31 - Math.clz32(risen & -risen), level: true });
  }
}
