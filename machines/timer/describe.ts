/** The timers of one vCPU as text, a line a timer. */

import type { Board } from '../aarch64/board.ts';
import { conditionNow, lineOf, positionOf, readTimer } from './map.ts';
import { TIMER_INTIDS, TIMER_NAMES, type TimerState } from './state.ts';
import { timerMode } from './timer.machine.ts';

export function describeTimer(state: TimerState, board: Board, nowNs: number): string[] {
  return TIMER_NAMES.map((timer) => {
    const { ctl, cval } = readTimer(state, board, timer);
    const { met, deadlineNs } = conditionNow(state, board, timer, nowNs);
    const line = lineOf(state.loaded, timer);
    const where = line === undefined ? 'emulated' : line === 1 ? 'on CNTV' : 'on CNTP';
    const due = deadlineNs === undefined ? '' : `, due at ${deadlineNs} ns`;
    return `${timer} (PPI ${TIMER_INTIDS[timer]}) ${timerMode(ctl, met)}, ${where}, CVAL ${cval}${due}, line ${state.levels[positionOf(timer)] ? 'high' : 'low'}`;
  });
}
