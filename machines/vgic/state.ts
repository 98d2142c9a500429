/** L0's vGIC for one vCPU: which of L1's interrupts go into list registers, as plain data with its reset value. Linux: struct vgic_cpu. */

import type { OfferedInterrupt, VgicAddress } from '../messages.ts';

/** Which context's interrupts the hardware interface is programmed for: nobody's, L1's own (from the redistributor's offer), or L2's (from L1's list registers). */
export type LoadedContext = 'none' | 'guest' | 'nested';

/** A list register that holds an interrupt of the offer, as it was when it was filled. */
export interface UsedListRegister {
  readonly intid: number;
  readonly pending: boolean;
  readonly active: boolean;
  /** An edge: the GIC was told at once that it is taken, and would be told if it was not. */
  readonly claimed: boolean;
  /** The bit in Word.TIMER_LINES of the hardware timer behind it (HW = 1); -1: none. */
  readonly line: number;
}

/**
 * What the vCPU did to an interrupt and the offers do not show yet: acknowledgements and deactivations travel to the GIC
 * while older offers may be on their way here. `expected` are the values that `active` takes, in order, in the offers to come;
 * until the last has been seen, `pending` and `active` here hold instead of the offer's.
 */
export interface Unconfirmed {
  readonly intid: number;
  expected: boolean[];
  pending: boolean;
  active: boolean;
}

export interface VgicState {
  readonly index: number;
  /** The PPI by which L1's own virtual interface asks L1 for maintenance. */
  readonly maintenanceIntid: number;
  /** The redistributor's last offer: KVM's ap_list. */
  offered: OfferedInterrupt[];
  unconfirmed: Unconfirmed[];
  /** How many acknowledgements and releases of LPIs the redistributor was sent, and the LPIs acknowledged that it may still offer: until it has heard of `told` of them. */
  lpisTold: number;
  lpisClaimed: { readonly intid: number; readonly told: number }[];
  loaded: LoadedContext;
  /** The hardware's comparators are the EL1 timers (the vCPU runs below virtual EL2), not virtual EL2's own. */
  el1Timers: boolean;
  /** The list registers are filled and not yet folded back. */
  live: boolean;
  /** In `guest`: what each hardware list register held when it was filled, from register 0 up. */
  used: UsedListRegister[];
  /** In `guest`: active interrupts that found no list register, highest priority first. Their EOIs come as EOIcount. */
  overflow: number[];
  /** In `nested`: bit n set when L1's ICH_LR<n>_EL2 is in the hardware, densely packed in the order of n. */
  lrMap: number;
  /** L1's own virtual interface while it is not loaded. */
  vmcr: bigint;
  ap0r0: bigint;
  ap1r0: bigint;
  /** The maintenance interrupt's level as last told to the redistributor. */
  maintenance: boolean;
}

export function initialVgic(index: number): VgicState {
  return {
    index, maintenanceIntid: 25, offered: [], unconfirmed: [], lpisTold: 0, lpisClaimed: [], loaded: 'none', el1Timers: false, live: false,
    used: [], overflow: [], lrMap: 0, vmcr: 0n, ap0r0: 0n, ap1r0: 0n, maintenance: false,
  };
}

export const vgicAddress = (index: number): VgicAddress => `vgic:${index}`;

/** Throws when the state contradicts itself: checked after a restore. */
export function checkVgic(state: VgicState): void {
  const fail = (what: string): never => { throw new Error(`vgic:${state.index}: ${what}`); };
  if (state.live && state.loaded === 'none') fail('list registers are filled and no context is loaded');
  if (!state.live && (state.used.length > 0 || state.overflow.length > 0 || state.lrMap !== 0)) fail('it remembers list registers that are not filled');
  if (new Set(state.used.map(({ intid }) => intid)).size !== state.used.length) fail('an interrupt is in two list registers');
  if (state.lpisClaimed.some(({ told }) => told > state.lpisTold)) fail('an LPI was claimed that the redistributor was not told of');
  if (state.unconfirmed.some(({ expected }) => expected.length === 0)) fail('a confirmed interrupt is still awaited');
}
