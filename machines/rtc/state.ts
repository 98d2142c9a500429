/** The state of the PL031 real time clock: its registers, their reset values, and what always holds. Arm DDI 0224. */

export interface RtcState {
  /** Seconds since 1970 that the clock showed when the machine started: what RTCDR reads is this and the virtual seconds since, modulo 2^32. */
  offsetSeconds: number;
  /** RTCMR. */
  match: number;
  /** RTCLR, as written last. */
  load: number;
  /** RTCIMSC and RTCRIS: 0 or 1. */
  mask: number;
  raw: number;
  /** The interrupt line as the distributor was last told. */
  line: boolean;
}

const TWO_32 = 2 ** 32;
const SECOND_NS = 1_000_000_000;

/** `dateSeconds`: seconds since 1970 at which the machine starts. */
export const initialRtc = (dateSeconds: number): RtcState => ({ offsetSeconds: dateSeconds % TWO_32, match: 0, load: 0, mask: 0, raw: 0, line: false });

/** What RTCDR reads at virtual time `nowNs`. */
export const secondsAt = (state: RtcState, nowNs: number): number => (state.offsetSeconds + Math.floor(nowNs / SECOND_NS)) % TWO_32;

/** Sets the clock to `seconds` at virtual time `nowNs`. */
export function setSeconds(state: RtcState, seconds: number, nowNs: number): void {
  const elapsed = Math.floor(nowNs / SECOND_NS) % TWO_32;
  state.offsetSeconds = (seconds - elapsed + TWO_32) % TWO_32;
}

/** Virtual time of the next second at which RTCDR equals RTCMR: now, if it does. */
export function matchNs(state: RtcState, nowNs: number): number {
  const left = (state.match - secondsAt(state, nowNs) + TWO_32) % TWO_32;
  return left === 0 ? nowNs : (Math.floor(nowNs / SECOND_NS) + left) * SECOND_NS;
}

/** Sentences about what does not hold, none when all is well. */
export function rtcFaults(state: RtcState): string[] {
  const faults: string[] = [];
  for (const name of ['offsetSeconds', 'match', 'load'] as const) if (!(Number.isInteger(state[name]) && state[name] >= 0 && state[name] < TWO_32)) faults.push(`${name} is ${state[name]}, no 32-bit number`);
  if (state.line !== ((state.raw & state.mask) !== 0)) faults.push(`the line is ${state.line ? 'high' : 'low'} with RIS ${state.raw} and IMSC ${state.mask}`);
  return faults;
}
