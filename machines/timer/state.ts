/** L0's four timers of one vCPU as plain data, with their reset values. Linux: struct arch_timer_cpu, arch_timer_context. */

import type { TimerAddress } from '../messages.ts';

/** The EL1 physical and virtual timers, which L1 keeps for its guest, and virtual EL2's own two. Positions are KVM's reading order, not its enum's. */
export const TIMER_NAMES = ['P', 'V', 'HP', 'HV'] as const;
export type TimerName = (typeof TIMER_NAMES)[number];

/** The PPI of each, as the Base System Architecture assigns them. */
export const TIMER_INTIDS: Readonly<Record<TimerName, number>> = { P: 30, V: 27, HP: 26, HV: 28 };

export interface Comparator {
  /** ENABLE and IMASK; ISTATUS is computed. */
  ctl: bigint;
  cval: bigint;
}

/** Whose timers the hardware's comparators are: nobody's, virtual EL2's (HP, HV), or those of what runs below it (P, V). */
export type LoadedTimers = 'none' | 'el2' | 'el1';

export interface TimerState {
  readonly index: number;
  /** The kind of virtual EL2 (HCR_EL2.E2H is RES1 or RES0 in it, so the page need not say). */
  readonly flavour: 'vhe' | 'nvhe';
  loaded: LoadedTimers;
  /** Virtual EL2's timers while the hardware does not have them. P and V live in the VNCR page. */
  hp: Comparator;
  hv: Comparator;
  /** Each line's level as last told to the redistributor, in the order of TIMER_NAMES. */
  levels: [boolean, boolean, boolean, boolean];
  /** The vCPU waits: an alarm stands in for its comparators. */
  blocking: boolean;
  /** When the wait is over at the latest (WFIT); null: whenever something pends. */
  waitUntilNs: number | null;
  /** When the alarm for the timers that the hardware does not have goes off; null: it is not armed. */
  emulatedDeadlineNs: number | null;
  /** CNTVOFF_EL2 as it is in the hardware: what HV's comparator there is shifted by. */
  hardwareOffset: bigint;
}

export function initialTimer(index: number, flavour: 'vhe' | 'nvhe'): TimerState {
  return {
    index, flavour, loaded: 'none', hp: { ctl: 0n, cval: 0n }, hv: { ctl: 0n, cval: 0n }, levels: [false, false, false, false],
    blocking: false, waitUntilNs: null, emulatedDeadlineNs: null, hardwareOffset: 0n,
  };
}

export const timerAddress = (index: number): TimerAddress => `timer:${index}`;

/** Throws when the state contradicts itself: checked after a restore. */
export function checkTimer(state: TimerState): void {
  const fail = (what: string): never => { throw new Error(`timer:${state.index}: ${what}`); };
  if (state.blocking && state.loaded !== 'none') fail('waits with its timers in the hardware');
  if (state.waitUntilNs !== null && !state.blocking) fail('has a time for a wait that is over');
  if (state.emulatedDeadlineNs !== null && state.loaded === 'none') fail('emulates a timer of a vCPU that is not loaded');
}
