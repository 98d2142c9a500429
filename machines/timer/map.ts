/** Which timer is where: direct on a hardware comparator, or emulated by L0; their values, offsets, counts and deadlines. Linux: arch_timer.c, get_timer_map. */

import { vncrPage, type Board } from '../aarch64/board.ts';
import { setRegister } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import { readWord, writeWord } from '../memory/memory.ts';
import { TIMER_NAMES, type Comparator, type LoadedTimers, type TimerName, type TimerState } from './state.ts';

export const Ctl = { ENABLE: 1n, IMASK: 2n, ISTATUS: 4n } as const;

/** Bits of Word.TIMER_LINES and Word.FORWARDED that the hardware's EL1 comparators have. */
export const LINE_P = 0;
export const LINE_V = 1;

export interface TimerMap {
  /** On CNTV and on CNTP of the hardware. */
  readonly directV: TimerName;
  readonly directP: TimerName;
  readonly emulated: readonly TimerName[];
}

const MAPS: Readonly<Record<'el1' | 'el2', TimerMap>> = {
  el2: { directV: 'HV', directP: 'HP', emulated: ['V', 'P'] },
  el1: { directV: 'V', directP: 'P', emulated: ['HV', 'HP'] },
};
export const mapOf = (loaded: 'el1' | 'el2'): TimerMap => MAPS[loaded];

/** The line of the hardware comparator that has `timer` now, or undefined. */
export function lineOf(loaded: LoadedTimers, timer: TimerName): number | undefined {
  if (loaded === 'none') return undefined;
  const map = MAPS[loaded];
  return timer === map.directV ? LINE_V : timer === map.directP ? LINE_P : undefined;
}

/** Offsets in the VNCR page. Arm ARM, table D8-120. */
const VNCR_CNTVOFF = 0x060;
const VNCR = { V: { cval: 0x168, ctl: 0x170 }, P: { cval: 0x178, ctl: 0x180 } } as const;

const HARDWARE = [
  { ctl: slot('CNTP_CTL_EL0'), cval: slot('CNTP_CVAL_EL0') },
  { ctl: slot('CNTV_CTL_EL0'), cval: slot('CNTV_CVAL_EL0') },
] as const;
const CNTVOFF_EL2 = slot('CNTVOFF_EL2');

const page = (state: TimerState): number => vncrPage(state.index);
/** CNTVOFF_EL2 as L1 has it. */
export const l1Offset = (state: TimerState, board: Board): bigint => readWord(board.memory, page(state) + VNCR_CNTVOFF);

/** What is taken from the physical count before it is compared. Only the EL1 virtual timer has an offset (bug B27 gives HV one); CNTPOFF_EL2 is not given to L1. */
export const offsetOf = (state: TimerState, board: Board, timer: TimerName): bigint => (timer === 'V' ? l1Offset(state, board) : 0n);

/** The comparator of `timer`, wherever it is. */
export function readTimer(state: TimerState, board: Board, timer: TimerName): Comparator {
  const line = lineOf(state.loaded, timer);
  if (line === undefined) return readStored(state, board, timer);
  const words = HARDWARE[line as 0 | 1];
  const core = board.cores[state.index]!;
  const cval = core.words[words.cval]!;
  return { ctl: core.words[words.ctl]! & 3n, cval: timer === 'HV' ? BigInt.asUintN(64, cval + state.hardwareOffset) : cval };
}

/** Sets the comparator of `timer`, wherever it is. */
export function writeTimer(state: TimerState, board: Board, timer: TimerName, value: Comparator): void {
  const line = lineOf(state.loaded, timer);
  if (line === undefined) return writeStored(state, board, timer, value);
  writeHardware(board, state.index, line, value.ctl, timer === 'HV' ? BigInt.asUintN(64, value.cval - state.hardwareOffset) : value.cval);
}

export function writeHardware(board: Board, vcpu: number, line: number, ctl: bigint, cval: bigint): void {
  const core = board.cores[vcpu]!;
  const words = HARDWARE[line as 0 | 1];
  setRegister(core, words.cval, cval);
  setRegister(core, words.ctl, ctl & 3n);
  core.attention = true;
}

/**
 * CNTVOFF_EL2 of the hardware: L1's below virtual EL2. In virtual EL2 an nVHE hypervisor reads its guest's virtual count,
 * offset and all, where a VHE one reads the count itself (Arm ARM, CNTVCT_EL0); HV's comparator is shifted to make up for it.
 */
export function setHardwareOffset(state: TimerState, board: Board): void {
  const wanted = state.loaded === 'el1' || state.flavour === 'nvhe' ? l1Offset(state, board) : 0n;
  const core = board.cores[state.index]!;
  if (wanted === state.hardwareOffset && core.words[CNTVOFF_EL2] === wanted) return;
  const hv = state.loaded === 'el2' ? readTimer(state, board, 'HV') : undefined;
  state.hardwareOffset = wanted;
  setRegister(core, CNTVOFF_EL2, wanted);
  if (hv !== undefined) writeTimer(state, board, 'HV', hv);
}

export function readStored(state: TimerState, board: Board, timer: TimerName): Comparator {
  if (timer === 'HP' || timer === 'HV') return { ...(timer === 'HP' ? state.hp : state.hv) };
  const place = VNCR[timer];
  return { ctl: readWord(board.memory, page(state) + place.ctl) & 3n, cval: readWord(board.memory, page(state) + place.cval) };
}

export function writeStored(state: TimerState, board: Board, timer: TimerName, { ctl, cval }: Comparator): void {
  if (timer === 'HP') state.hp = { ctl: ctl & 3n, cval };
  else if (timer === 'HV') state.hv = { ctl: ctl & 3n, cval };
  else {
    const place = VNCR[timer];
    writeWord(board.memory, page(state) + place.ctl, ctl & 3n);
    writeWord(board.memory, page(state) + place.cval, cval);
  }
}

/** What an EL1 timer in the VNCR page shows L1, which reads it without L0 in between: ISTATUS as it is now. It is stale by the next instruction (Linux: "paper over NV2 brokenness"). */
export function publishStatus(state: TimerState, board: Board, timer: 'P' | 'V', met: boolean): void {
  const at = page(state) + VNCR[timer].ctl;
  const ctl = readWord(board.memory, at);
  const shown = (ctl & 3n) | (met && (ctl & Ctl.ENABLE) !== 0n ? Ctl.ISTATUS : 0n);
  if (shown !== ctl) writeWord(board.memory, at, shown);
}

const NS_PER_SECOND = 1_000_000_000n;

/** The physical count at virtual time `nowNs`. */
export const countAt = (board: Board, nowNs: number): bigint => (BigInt(nowNs) * BigInt(board.counterHz)) / NS_PER_SECOND;

/** A timer's condition at one instant. */
export interface Condition {
  /** The count has reached the comparator: ISTATUS, when enabled. */
  readonly met: boolean;
  /** The interrupt line: ENABLE, not IMASK, and met. */
  readonly fires: boolean;
  /** Virtual ns at which the line rises by itself; undefined when it is high, or cannot. */
  readonly deadlineNs: number | undefined;
}

export function conditionOf(board: Board, { ctl, cval }: Comparator, offset: bigint, nowNs: number): Condition {
  const now = countAt(board, nowNs);
  const view = BigInt.asUintN(64, now - offset);
  const met = view >= cval;
  const open = (ctl & (Ctl.ENABLE | Ctl.IMASK)) === Ctl.ENABLE;
  if (!open || met) return { met, fires: open && met, deadlineNs: undefined };
  const hz = BigInt(board.counterHz);
  const ns = ((now + cval - view) * NS_PER_SECOND + hz - 1n) / hz;
  return { met, fires: false, deadlineNs: ns <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(ns) : undefined };
}

export const conditionNow = (state: TimerState, board: Board, timer: TimerName, nowNs: number): Condition =>
  conditionOf(board, readTimer(state, board, timer), offsetOf(state, board, timer), nowNs);

/** A register as the timer and the part of it that is meant. */
export interface TimerRegisterName { readonly timer: TimerName; readonly part: 'CTL' | 'CVAL' | 'TVAL' }

/**
 * Resolves a register by its name after E2H's redirection, which is kvm's: CNTP and CNTV, `_EL02` or `_EL0`, are the EL1
 * timers, CNTHP and CNTHV virtual EL2's own. Throws RangeError for other names.
 */
export function resolveName(name: string): TimerRegisterName {
  const match = /^CNT(H?)([PV])_(CTL|CVAL|TVAL)_(EL0|EL02|EL2)$/.exec(name);
  if (match === null || (match[1] === 'H') !== (match[4] === 'EL2')) throw new RangeError(`${name} is not a timer register`);
  return { timer: `${match[1]}${match[2]}` as TimerName, part: match[3] as TimerRegisterName['part'] };
}

export const positionOf = (timer: TimerName): number => TIMER_NAMES.indexOf(timer);
