/** L1's interrupts as the redistributor offers them, corrected by what the vCPU did since: KVM's ap_list. Linux: vgic/vgic.c. */

import { bits } from '../bits.ts';
import type { OfferedInterrupt, Out } from '../messages.ts';
import type { VgicState } from './state.ts';

const FIRST_LPI = 8192;

/** What a CPU interface does to an interrupt. */
export type Operation = 'acknowledge' | 'release' | 'deactivate';

/** The offer as it holds now: what was acknowledged or deactivated here already counts, although the offer may be older. */
export function interruptsInEffect(state: VgicState): OfferedInterrupt[] {
  return state.offered.flatMap((interrupt) => {
    if (state.lpisClaimed.some(({ intid }) => intid === interrupt.intid)) return [];
    const ours = state.unconfirmed.find(({ intid }) => intid === interrupt.intid);
    if (ours === undefined) return [interrupt];
    return ours.pending || ours.active ? [{ ...interrupt, pending: ours.pending, active: ours.active }] : [];
  });
}

/** The INTIDs that want L0 to look at the vCPU: pending, and not active unless an edge has come behind, which the EOI of a list register that is filled already would not show. */
const wanting = (state: VgicState): number[] => interruptsInEffect(state).flatMap(({ intid, pending, active, level }) => (pending && !(active && level) ? [intid] : []));

/** Takes a new offer. Returns the INTIDs that are newly pending by it. */
export function takeOffer(state: VgicState, interrupts: readonly OfferedInterrupt[], lpisTaken: number): number[] {
  const before = new Set(wanting(state));
  state.lpisClaimed = state.lpisClaimed.filter(({ told }) => told > lpisTaken);
  state.offered = interrupts.map((interrupt) => ({ ...interrupt }));
  for (const awaited of state.unconfirmed) {
    const active = interrupts.some(({ intid, active: now }) => intid === awaited.intid && now);
    if (active === awaited.expected[0]) awaited.expected.shift();
  }
  state.unconfirmed = state.unconfirmed.filter(({ expected }) => expected.length > 0);
  return wanting(state).filter((intid) => !before.has(intid));
}

/**
 * Tells the GIC what the vCPU did to `intid`, in order, and remembers it until an offer shows it. `pending`: it is pending
 * afterwards. The end of an interrupt that is not active any more (L1 or another vCPU cleared it meanwhile) is nothing to tell.
 */
export function tellGic(state: VgicState, out: Out, intid: number, operations: readonly Operation[], pending: boolean): void {
  if (intid >= FIRST_LPI) return tellOfLpi(state, out, intid, operations);
  let active = interruptsInEffect(state).some((interrupt) => interrupt.intid === intid && interrupt.active);
  const expected: boolean[] = [];
  for (const type of operations) {
    if (type === 'deactivate' && !active) continue;
    active = type === 'acknowledge';
    expected.push(active);
    if (intid < 32) out.send(`gicr:${state.index}`, { type, intid });
    else out.send('gicd', { type, intid, vcpu: state.index });
  }
  if (expected.length === 0) return;
  const awaited = state.unconfirmed.find((candidate) => candidate.intid === intid);
  if (awaited === undefined) state.unconfirmed.push({ intid, expected, pending, active });
  else Object.assign(awaited, { expected: [...awaited.expected, ...expected], pending, active });
}

/** LPIs have no active state: once it is claimed one is gone for the GIC, unless it is released. The offers on their way are known by how many claims and releases they have heard of. */
function tellOfLpi(state: VgicState, out: Out, intid: number, operations: readonly Operation[]): void {
  for (const type of operations) {
    if (type === 'deactivate') continue;
    out.send(`gicr:${state.index}`, { type, intid });
    state.lpisTold++;
    state.lpisClaimed = state.lpisClaimed.filter((claimed) => claimed.intid !== intid);
    if (type === 'acknowledge') state.lpisClaimed.push({ intid, told: state.lpisTold });
  }
}

/** Ends `intid` outside a list register. A level that pends behind it is seen again in the next offer, an edge stays pending. */
export function deactivate(state: VgicState, out: Out, intid: number): void {
  const interrupt = interruptsInEffect(state).find((candidate) => candidate.intid === intid);
  tellGic(state, out, intid, ['deactivate'], interrupt !== undefined && interrupt.pending && !interrupt.level);
}

/** L1's CPU interface, for the question whether it would take an interrupt. */
export interface Masks {
  readonly vmcr: bigint;
  readonly ap0r0: bigint;
  readonly ap1r0: bigint;
}

/**
 * Whether some interrupt for L1 could be taken by its CPU interface: its group is enabled, its priority passes VPMR and
 * preempts the running priority. PSTATE is not asked. Linux: kvm_vgic_vcpu_pending_irq.
 */
export function isPending(state: VgicState, masks: Masks): boolean {
  const { vmcr } = masks;
  const mask = Number(bits(vmcr, 31, 24));
  const enabled = [(vmcr & 1n) !== 0n, (vmcr & 2n) !== 0n];
  // Five priority bits, all of them preemption levels: the least binary points are 2 and 3 (cpu-interface.ts).
  const split0 = Math.max(Number(bits(vmcr, 23, 21)), 2) + 1;
  const split1 = (vmcr & 16n) !== 0n ? split0 : Math.max(Number(bits(vmcr, 20, 18)), 3);
  const levels = masks.ap0r0 | masks.ap1r0;
  const running = levels === 0n ? 0x100 : 8 * trailingZeros(levels);
  return interruptsInEffect(state).some(({ pending, active, priority, group }) => {
    const preemption = 0x1ff & (0xff << (group === 0 ? split0 : split1));
    return pending && !active && enabled[group]! && priority < mask && (priority & preemption) < (running & preemption);
  });
}

function trailingZeros(value: bigint): number {
  let count = 0;
  for (let rest = value; (rest & 1n) === 0n; rest >>= 1n) count++;
  return count;
}
