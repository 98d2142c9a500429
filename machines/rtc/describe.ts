/** The real time clock's state as one line of text. */

import { secondsAt, type RtcState } from './state.ts';

export function describeRtc(state: RtcState, nowNs: number): string {
  return `RTC: ${secondsAt(state, nowNs)} s since 1970, match at ${state.match}, raised ${state.raw}, unmasked ${state.mask}, line ${state.line ? 'high' : 'low'}`;
}
