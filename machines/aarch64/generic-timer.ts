/** The generic timers of one PE: the system counter through its offsets, four comparators, and when their lines next change. Arm ARM D12. */

import { slot } from './sysregs.ts';
import { Word, elOf, type Core } from './state.ts';

/** One comparator. `line` is its bit in Word.TIMER_LINES and Word.FORWARDED. */
export interface Timer {
  readonly name: 'P' | 'V' | 'HP' | 'HV';
  readonly line: number;
  /** The PPI it drives, as the Base System Architecture assigns them. */
  readonly intid: number;
  readonly control: number;
  readonly compare: number;
  /** What is taken from the physical count before it is compared. */
  readonly offset: (core: Core) => bigint;
}

export const TIMERS: readonly Timer[] = [
  { name: 'P', line: 1 << 0, intid: 30, control: slot('CNTP_CTL_EL0'), compare: slot('CNTP_CVAL_EL0'), offset: physicalOffset },
  { name: 'V', line: 1 << 1, intid: 27, control: slot('CNTV_CTL_EL0'), compare: slot('CNTV_CVAL_EL0'), offset: virtualOffset },
  { name: 'HP', line: 1 << 2, intid: 26, control: slot('CNTHP_CTL_EL2'), compare: slot('CNTHP_CVAL_EL2'), offset: noOffset },
  { name: 'HV', line: 1 << 3, intid: 28, control: slot('CNTHV_CTL_EL2'), compare: slot('CNTHV_CVAL_EL2'), offset: noOffset },
];

const ENABLE = 1;
const IMASK = 2;
const ISTATUS = 4;

const CNTVOFF_EL2 = slot('CNTVOFF_EL2');
const CNTPOFF_EL2 = slot('CNTPOFF_EL2');
const CNTHCTL_EL2 = slot('CNTHCTL_EL2');
const CNTKCTL_EL1 = slot('CNTKCTL_EL1');
const CNTFRQ_EL0 = slot('CNTFRQ_EL0');
const HCR_EL2 = slot('HCR_EL2');

const CNTHCTL_ECV = 1 << 12;
const HCR_TGE = 1 << 27;
/** Bit 34, in the high half. */
const HCR_E2H_HIGH = 1 << 2;

const NS_PER_SECOND = 1_000_000_000n;

/** The physical count: ticks of the system counter since virtual time 0. */
export const counter = (core: Core): bigint => (BigInt(core.board.now) * BigInt(core.board.counterHz)) / NS_PER_SECOND;

/** The first virtual nanosecond at which the physical count is at least `ticks`; undefined when the machine's clock cannot get there. */
function timeOf(core: Core, ticks: bigint): number | undefined {
  const hz = BigInt(core.board.counterHz);
  const ns = (ticks * NS_PER_SECOND + hz - 1n) / hz;
  return ns <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(ns) : undefined;
}

/** The first virtual nanosecond at which CNTVCT_EL0, as the current level reads it, is at least `count`; undefined when the machine's clock cannot get there. */
export const timeOfVirtualCount = (core: Core, count: bigint): number | undefined => timeOfView(core, count, virtualCount(core));

/** The same for code at EL1, wherever the core is now. */
export const timeOfCount = (core: Core, count: bigint): number | undefined => timeOfView(core, count, BigInt.asUintN(64, counter(core) - virtualOffset(core)));

const timeOfView = (core: Core, count: bigint, view: bigint): number | undefined => (view >= count ? core.board.now : timeOf(core, counter(core) + (count - view)));

/** The timer lines as they are now, one bit a timer: 0 P (PPI 30), 1 V (27), 2 HP (26), 3 HV (28). */
export function timerLines(core: Core): number {
  let lines = 0;
  for (const timer of TIMERS) {
    if ((core.ints[2 * timer.control]! & (ENABLE | IMASK)) === ENABLE && conditionMet(core, timer)) lines |= timer.line;
  }
  return lines;
}

/**
 * Virtual nanoseconds at which a line next changes by itself, or undefined. A line rises when its counter reaches the
 * comparator. It also falls when the 64-bit count wraps, which an offset just above the physical count brings near.
 */
export function nextDeadline(core: Core): number | undefined {
  let next: number | undefined;
  for (const timer of TIMERS) {
    if ((core.ints[2 * timer.control]! & (ENABLE | IMASK)) !== ENABLE) continue;
    const compare = core.words[timer.compare]!;
    if (compare === 0n) continue;
    const now = counter(core);
    const view = BigInt.asUintN(64, now - timer.offset(core));
    const at = timeOf(core, now + (view < compare ? compare - view : (1n << 64n) - view));
    if (at !== undefined && (next === undefined || at < next)) next = at;
  }
  return next;
}

/**
 * Brings Word.TIMER_LINES up to date with the clock. On a bare board each change goes to the redistributor as a level of
 * its PPI; under L0 the lines are L0's interrupts and are looked at by `takeInterrupt`. Call it when the clock has reached
 * `nextDeadline`, and after any change of what a timer depends on.
 */
export function pollTimers(core: Core): void {
  const lines = timerLines(core);
  const changed = lines ^ core.ints[2 * Word.TIMER_LINES]!;
  if (changed === 0) return;
  core.words[Word.TIMER_LINES] = BigInt(lines);
  core.attention = true;
  if (core.board.el2 === 'kvm') return;
  for (const timer of TIMERS) {
    if ((changed & timer.line) === 0) continue;
    core.board.outbox.push({ to: `gicr:${core.index}`, message: { type: 'irq-line', intid: timer.intid, level: (lines & timer.line) !== 0 } });
  }
}

/** A timer, an offset, or HCR_EL2.{E2H,TGE} was written: lines are looked at again, and the run ends so that its owner sees the new deadline. */
export function timersChanged(core: Core): void {
  pollTimers(core);
  core.end ??= { type: 'effect' };
}

/**
 * Virtual nanoseconds of the next event that CNTKCTL_EL1 or CNTHCTL_EL2 has the counter generate for WFE, or undefined
 * with both event streams off. An edge of bit EVNTI (plus 8 with EVNTIS, FEAT_ECV): rising, or falling with EVNTDIR.
 */
export function nextEventStreamEdge(core: Core): number | undefined {
  const now = counter(core);
  const streams = [
    // CNTKCTL_EL1 watches the virtual counter and is without effect in the host's EL0 (Arm ARM D12.2.3).
    { control: hostEl0(core) ? 0 : core.ints[2 * CNTKCTL_EL1]!, view: BigInt.asUintN(64, now - virtualOffset(core)) },
    { control: core.ints[2 * CNTHCTL_EL2]!, view: now },
  ];
  let next: number | undefined;
  for (const { control, view } of streams) {
    if ((control & (1 << 2)) === 0) continue;
    const bit = BigInt(((control >> 4) & 15) + (core.board.features.ecv && (control & (1 << 17)) !== 0 ? 8 : 0));
    const period = 1n << (bit + 1n);
    const phase = (control & (1 << 3)) === 0 ? period / 2n : 0n;
    const at = timeOf(core, now + (BigInt.asUintN(Number(bit) + 1, phase - view) || period));
    if (at !== undefined && (next === undefined || at < next)) next = at;
  }
  return next;
}

/** The value and effect of one register. Traps, redirection by E2H and the check of the exception level are done before. */
export interface TimerRegister {
  readonly read?: (core: Core) => bigint;
  readonly write?: (core: Core, value: bigint) => void;
}

/** Every CNT register that is not plain storage, by name. `_EL02` names are mapped to their `_EL0` register before. */
export const TIMER_REGISTERS: Readonly<Record<string, TimerRegister>> = {
  CNTFRQ_EL0: {
    read: (core) => core.words[CNTFRQ_EL0]!,
    // It tells software a number and changes no counter (Arm ARM D12.1.2).
    write: (core, value) => { core.words[CNTFRQ_EL0] = value & 0xffff_ffffn; },
  },
  CNTPCT_EL0: { read: physicalCount },
  CNTPCTSS_EL0: { read: physicalCount },
  CNTVCT_EL0: { read: virtualCount },
  CNTVCTSS_EL0: { read: virtualCount },
  CNTVOFF_EL2: stored(CNTVOFF_EL2, () => (1n << 64n) - 1n),
  CNTPOFF_EL2: stored(CNTPOFF_EL2, () => (1n << 64n) - 1n),
  CNTHCTL_EL2: stored(CNTHCTL_EL2, (core) => (e2h(core) ? 0xfffn : 0xffn) | (core.board.features.ecv ? 0x3_f000n : 0n)),
  ...timerRegisters(TIMERS[0]!, 'CNTP', 'EL0', (core) => (elOf(core) < 2 ? physicalOffset(core) : 0n)),
  ...timerRegisters(TIMERS[1]!, 'CNTV', 'EL0', virtualOffset),
  ...timerRegisters(TIMERS[2]!, 'CNTHP', 'EL2', noOffset),
  ...timerRegisters(TIMERS[3]!, 'CNTHV', 'EL2', noOffset),
};

function stored(word: number, writable: (core: Core) => bigint): TimerRegister {
  return {
    read: (core) => core.words[word]!,
    write: (core, value) => { core.words[word] = value & writable(core); timersChanged(core); },
  };
}

/** `offset` is the one that an access to TVAL takes, which for the physical timer is none at EL2 (CNTP_TVAL_EL0, pseudocode of the accessors). */
function timerRegisters(timer: Timer, prefix: string, suffix: string, offset: (core: Core) => bigint): Record<string, TimerRegister> {
  return {
    [`${prefix}_CTL_${suffix}`]: {
      // ISTATUS is UNKNOWN while the timer is disabled; ours reads 0.
      read: (core) => {
        const control = core.ints[2 * timer.control]! & (ENABLE | IMASK);
        return BigInt((control & ENABLE) !== 0 && conditionMet(core, timer) ? control | ISTATUS : control);
      },
      write: (core, value) => { core.words[timer.control] = value & BigInt(ENABLE | IMASK); timersChanged(core); },
    },
    [`${prefix}_CVAL_${suffix}`]: {
      read: (core) => core.words[timer.compare]!,
      write: (core, value) => { core.words[timer.compare] = value; timersChanged(core); },
    },
    [`${prefix}_TVAL_${suffix}`]: {
      // UNKNOWN while the timer is disabled; ours keeps counting.
      read: (core) => BigInt.asUintN(32, core.words[timer.compare]! - (counter(core) - offset(core))),
      write: (core, value) => {
        core.words[timer.compare] = BigInt.asUintN(64, counter(core) - offset(core) + BigInt.asIntN(32, value));
        timersChanged(core);
      },
    },
  };
}

/** TimerConditionMet: the count through the timer's offset is at or past the comparator, both as unsigned 64-bit numbers. */
function conditionMet(core: Core, timer: Timer): boolean {
  return BigInt.asUintN(64, counter(core) - timer.offset(core)) >= core.words[timer.compare]!;
}

const e2h = (core: Core): boolean => (core.ints[2 * HCR_EL2 + 1]! & HCR_E2H_HIGH) !== 0;
/** HCR_EL2.{E2H,TGE} are {1,1}: EL0 belongs to the host. */
const hostEl0 = (core: Core): boolean => e2h(core) && (core.ints[2 * HCR_EL2]! & HCR_TGE) !== 0;

function noOffset(): bigint {
  return 0n;
}

/** The EL1 virtual timer compares through CNTVOFF_EL2 whatever the exception level (Arm ARM D12.2.4). */
function virtualOffset(core: Core): bigint {
  return core.words[CNTVOFF_EL2]!;
}

/** CNTPOFF_EL2 counts with FEAT_ECV, CNTHCTL_EL2.ECV, and outside the host. */
function physicalOffset(core: Core): bigint {
  const used = core.board.features.ecv && (core.ints[2 * CNTHCTL_EL2]! & CNTHCTL_ECV) !== 0 && !hostEl0(core);
  return used ? core.words[CNTPOFF_EL2]! : 0n;
}

/** CNTPCT_EL0: EL2 sees the physical count itself. */
function physicalCount(core: Core): bigint {
  return BigInt.asUintN(64, counter(core) - (elOf(core) < 2 ? physicalOffset(core) : 0n));
}

/** CNTVCT_EL0: EL2 with E2H, and the host's EL0, see it without the offset. */
function virtualCount(core: Core): bigint {
  const el = elOf(core);
  const unshifted = el === 2 ? e2h(core) : el === 0 && hostEl0(core);
  return BigInt.asUintN(64, counter(core) - (unshifted ? 0n : virtualOffset(core)));
}
