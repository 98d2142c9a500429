/** The timer:n actor: KVM's map of direct and emulated timers for one vCPU. Linux: arch_timer.c. */

import type { Board } from '../aarch64/board.ts';
import { pollTimers } from '../aarch64/generic-timer.ts';
import { setRegister, Word, type Core } from '../aarch64/state.ts';
import type { Out, TimerMessage } from '../messages.ts';
import {
  Ctl, LINE_P, LINE_V, conditionNow, countAt, lineOf, mapOf, offsetOf, positionOf, publishStatus, readTimer, resolveName, setHardwareOffset, writeHardware, writeStored, writeTimer,
} from './map.ts';
import { TIMER_INTIDS, TIMER_NAMES, type TimerName, type TimerState } from './state.ts';

export function receive(state: TimerState, message: TimerMessage, out: Out, board: Board): void {
  switch (message.type) {
    case 'load': load(state, board, out, message.nested); break;
    case 'put': put(state, board, out, message.blocking, message.untilNs); break;
    // Linux re-evaluates after an exit only; L0's own handling may move a comparator too, and a line must be right at every entry (bug B29).
    case 'sync':
    case 'flush': evaluate(state, board, out); break;
    case 'host-irq': hostInterrupt(state, board, out, message.line); break;
    case 'alarm': expire(state, board, out, message.name); break;
    case 'register-read': out.send(message.from, { type: 'register-value', value: readEmulated(state, board, message.name, out.now) }); break;
    case 'register-write':
      writeEmulated(state, board, message.name, message.value, out.now);
      evaluate(state, board, out);
      break;
  }
}

function load(state: TimerState, board: Board, out: Out, nested: boolean): void {
  if (state.loaded !== 'none') throw new Error(`timer:${state.index}: load over a context that was not put`);
  const core = board.cores[state.index]!;
  const to = nested ? 'el1' : 'el2';
  const map = mapOf(to);
  out.alarm('bg', undefined);
  state.blocking = false;
  state.waitUntilNs = null;
  out.event('kvm_get_timer_map', { vcpu_id: state.index, direct_vtimer: map.directV, direct_ptimer: map.directP, emul_vtimer: map.emulated[0], emul_ptimer: map.emulated[1] });
  const direct = ([[LINE_P, map.directP], [LINE_V, map.directV]] as const).map(([line, timer]) => ({ line, timer, value: readTimer(state, board, timer) }));
  state.loaded = to;
  setHardwareOffset(state, board);
  for (const { timer, value } of direct) {
    writeTimer(state, board, timer, value);
    out.event('kvm_timer_restore_state', { vcpu_id: state.index, timer_idx: timer, ctl: value.ctl, cval: value.cval });
  }
  evaluate(state, board, out);
  // A line that the GIC already knows to be high does not interrupt L0 again.
  const known = direct.reduce((lines, { line, timer }) => (state.levels[positionOf(timer)] ? lines | (1 << line) : lines), 0);
  setRegister(core, Word.FORWARDED, BigInt(known));
}

function put(state: TimerState, board: Board, out: Out, blocking: boolean, untilNs?: number): void {
  if (state.loaded !== 'none') {
    const map = mapOf(state.loaded);
    const core = board.cores[state.index]!;
    for (const [line, timer] of [[LINE_P, map.directP], [LINE_V, map.directV]] as const) {
      const value = readTimer(state, board, timer);
      writeStored(state, board, timer, value);
      writeHardware(board, state.index, line, 0n, 0n);
      out.event('kvm_timer_save_state', { vcpu_id: state.index, timer_idx: timer, ctl: value.ctl, cval: value.cval });
    }
    state.loaded = 'none';
    setRegister(core, Word.FORWARDED, 0n);
    pollTimers(core);
    noteChange(core);
    disarm(state, out);
  }
  state.blocking = blocking;
  state.waitUntilNs = blocking ? (untilNs ?? null) : null;
  if (blocking) armBackground(state, board, out);
}

/** Brings every line and alarm up to date: the level is that of the comparator, and what the hardware does not watch gets an alarm. Linux: kvm_timer_sync_nested, timer_emulate. */
function evaluate(state: TimerState, board: Board, out: Out): void {
  if (state.loaded === 'none') {
    if (state.blocking) armBackground(state, board, out);
    return;
  }
  const core = board.cores[state.index]!;
  const map = mapOf(state.loaded);
  setHardwareOffset(state, board);
  for (const [line, timer] of [[LINE_P, map.directP], [LINE_V, map.directV]] as const) {
    const { fires } = conditionNow(state, board, timer, out.now);
    if (!fires) unforward(board, state.index, line);
    setLevel(state, out, timer, fires);
  }
  let deadline: number | undefined;
  for (const timer of map.emulated) {
    const { met, fires, deadlineNs } = conditionNow(state, board, timer, out.now);
    if (fires !== state.levels[positionOf(timer)]) out.event('kvm_timer_emulate', { vcpu_id: state.index, timer_idx: timer, should_fire: fires });
    setLevel(state, out, timer, fires);
    if (timer === 'P' || timer === 'V') publishStatus(state, board, timer, met);
    deadline = earliest(deadline, deadlineNs);
  }
  state.emulatedDeadlineNs = deadline ?? null;
  out.alarm('emulated', deadline);
  pollTimers(core);
  noteChange(core);
}

/** The alarm that ends a wait: the earliest of all four and of WFIT's own time, and the levels of those that are due already. Linux: kvm_timer_blocking, kvm_timer_earliest_exp. */
function armBackground(state: TimerState, board: Board, out: Out): void {
  let deadline: number | undefined = state.waitUntilNs ?? undefined;
  for (const timer of TIMER_NAMES) {
    const { fires, deadlineNs } = conditionNow(state, board, timer, out.now);
    setLevel(state, out, timer, fires);
    deadline = earliest(deadline, deadlineNs);
  }
  out.alarm('bg', deadline);
}

/** An hrtimer of Linux's: `emulated` stands for a comparator that the hardware does not have now, `bg` for all four during a wait. */
function expire(state: TimerState, board: Board, out: Out, name: string): void {
  const due = TIMER_NAMES.filter((timer) => !state.levels[positionOf(timer)] && conditionNow(state, board, timer, out.now).fires);
  for (const timer of due) if (name === 'bg' || lineOf(state.loaded, timer) === undefined) out.event('kvm_timer_hrtimer_expire', { vcpu_id: state.index, timer_idx: timer });
  // Nothing pends when WFIT's time is up: the vCPU is woken all the same.
  if (name === 'bg' && state.waitUntilNs !== null && state.waitUntilNs <= out.now) {
    state.waitUntilNs = null;
    out.send(`kvm:${state.index}`, { type: 'kick' });
  }
  evaluate(state, board, out);
}

/** The physical interrupt of a direct timer: it goes to the guest as the interrupt of whichever timer the comparator stands for. Linux: kvm_arch_timer_handler. */
function hostInterrupt(state: TimerState, board: Board, out: Out, line: number): void {
  if (state.loaded === 'none' || (line !== LINE_P && line !== LINE_V)) return;
  const map = mapOf(state.loaded);
  const timer = line === LINE_V ? map.directV : map.directP;
  if (!conditionNow(state, board, timer, out.now).fires) return;
  const core = board.cores[state.index]!;
  setRegister(core, Word.FORWARDED, core.words[Word.FORWARDED]! | (1n << BigInt(line)));
  core.attention = true;
  setLevel(state, out, timer, true);
}

/** Tells the redistributor a line's level when it differs from what was told last. */
function setLevel(state: TimerState, out: Out, timer: TimerName, level: boolean): void {
  const position = positionOf(timer);
  if (state.levels[position] === level) return;
  state.levels[position] = level;
  out.event('kvm_timer_update_irq', { vcpu_id: state.index, irq: TIMER_INTIDS[timer], level });
  out.send(`gicr:${state.index}`, { type: 'irq-line', intid: TIMER_INTIDS[timer], level });
}

function unforward(board: Board, vcpu: number, line: number): void {
  const core = board.cores[vcpu]!;
  const forwarded = core.words[Word.FORWARDED]!;
  const left = forwarded & ~(1n << BigInt(line));
  if (left === forwarded) return;
  setRegister(core, Word.FORWARDED, left);
  core.attention = true;
}

/** `pollTimers` writes the block without noting it. */
function noteChange(core: Core): void {
  setRegister(core, Word.TIMER_LINES, core.words[Word.TIMER_LINES]!);
}

function disarm(state: TimerState, out: Out): void {
  state.emulatedDeadlineNs = null;
  out.alarm('emulated', undefined);
}

const earliest = (a: number | undefined, b: number | undefined): number | undefined => (a === undefined ? b : b === undefined ? a : Math.min(a, b));

/** The value of a timer register as the guest reads it through a trap. Throws RangeError for a name that is none. */
export function readEmulated(state: TimerState, board: Board, name: string, nowNs: number): bigint {
  const { timer, part } = resolveName(name);
  const { ctl, cval } = readTimer(state, board, timer);
  if (part === 'CVAL') return cval;
  if (part === 'TVAL') return BigInt.asUintN(32, cval - (countAt(board, nowNs) - offsetOf(state, board, timer)));
  // ISTATUS is UNKNOWN while the timer is disabled; ours reads 0, as the hardware's here.
  return (ctl & Ctl.ENABLE) !== 0n && conditionNow(state, board, timer, nowNs).met ? ctl | Ctl.ISTATUS : ctl;
}

/** A guest's trapped write of a timer register. Lines and alarms are for `evaluate` to bring up to date. */
export function writeEmulated(state: TimerState, board: Board, name: string, value: bigint, nowNs: number): void {
  const { timer, part } = resolveName(name);
  const comparator = readTimer(state, board, timer);
  if (part === 'CTL') comparator.ctl = value & (Ctl.ENABLE | Ctl.IMASK);
  else if (part === 'CVAL') comparator.cval = BigInt.asUintN(64, value);
  else comparator.cval = BigInt.asUintN(64, countAt(board, nowNs) - offsetOf(state, board, timer) + BigInt.asIntN(32, value));
  writeTimer(state, board, timer, comparator);
}

/** Bug B29's invariant, for every entry: each line that the redistributor knows is ENABLE, not IMASK, and count at or past CVAL. Returns what disagrees. */
export function wrongLevels(state: TimerState, board: Board, nowNs: number): string[] {
  return TIMER_NAMES.flatMap((timer) => {
    const { fires } = conditionNow(state, board, timer, nowNs);
    return fires === state.levels[positionOf(timer)] ? [] : [`timer ${timer} of vCPU ${state.index} is ${fires ? 'high' : 'low'} and the GIC was told ${fires ? 'low' : 'high'}`];
  });
}
