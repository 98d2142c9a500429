/**
 * The Performance Monitors of one PE (PMUv3p5): a cycle counter and six event counters. Arm ARM D13.
 *
 * One cycle is one attempted instruction: a core of 1 GHz on the machine's clock, whose cycle counter stands still in WFI and WFE and while
 * other vCPUs have their turn. INST_RETIRED counts architecturally executed instructions: attempts less those that ended in a synchronous
 * exception with the instruction itself as its return address (faults, traps, UNDEFINED, BRK, debug exceptions). SVC, HVC, SMC and ERET are executed.
 *
 * Nothing is paid for an instruction. A counter's register holds its value as of the totals of cycles and instructions in Word.PMU_CYCLES and
 * Word.PMU_RETIRED; what has been counted since is added (`accountCounters`) before anything that decides whether it counts changes: enables, filters and the exception level.
 */

import { EVENT_COUNTERS } from './registers/pmu.ts';
import { markDirty } from '../memory/memory.ts';
import { BLOCK_BYTES, type Core, Word, elOf } from './state.ts';
import { slot } from './sysregs.ts';

/** PPI 7, as the Base System Architecture has it. */
export const PMU_INTID = 23;

const CYCLE = 31;
const Event = { SW_INCR: 0x00, INST_RETIRED: 0x08, CPU_CYCLES: 0x11, CHAIN: 0x1e } as const;
const Pmcr = { E: 1, P: 1 << 1, C: 1 << 2, DP: 1 << 5, LP: 1 << 7 } as const;
const Mdcr = { HPMN: 31, HPME: 1 << 7, HPMD: 1 << 17, HCCD: 1 << 23, HLP: 1 << 26 } as const;
const Filter = { P: 1 << 31, U: 1 << 30, NSH: 1 << 27 } as const;

const PMCR = slot('PMCR_EL0');
const ENABLED = slot('PMCNTENSET_EL0');
const OVERFLOWN = slot('PMOVSSET_EL0');
const INTERRUPTS = slot('PMINTENSET_EL1');
const PMSELR = slot('PMSELR_EL0');
const MDCR = slot('MDCR_EL2');

/** One counter: its number, and the words of its value and of its type or filter. */
interface Counter { readonly n: number; readonly value: number; readonly type: number }
const EVENTS: readonly Counter[] = Array.from({ length: EVENT_COUNTERS }, (_, n) => ({ n, value: slot(`PMEVCNTR${n}_EL0`), type: slot(`PMEVTYPER${n}_EL0`) }));
const CYCLES: Counter = { n: CYCLE, value: slot('PMCCNTR_EL0'), type: slot('PMCCFILTR_EL0') };
/** Even counters before the odd ones that they chain into. */
const COUNTERS: readonly Counter[] = [...EVENTS, CYCLES];

/** Event counters below this are EL1's, the others EL2's. An HPMN above PMCR_EL0.N is as N, which is a choice. */
const hpmn = (core: Core): number => (core.board.el2 === 'none' ? EVENT_COUNTERS : Math.min(core.ints[2 * MDCR]! & Mdcr.HPMN, EVENT_COUNTERS));
/** AArch64.PMUCounterIsHyp. */
const isReserved = (core: Core, n: number): boolean => n !== CYCLE && n >= hpmn(core);

/** Whether the counters that `n` belongs to are switched on: PMCR_EL0.E or MDCR_EL2.HPME. */
const isOn = (core: Core, n: number): boolean =>
  isReserved(core, n) ? (core.ints[2 * MDCR]! & Mdcr.HPME) !== 0 : (core.ints[2 * PMCR]! & Pmcr.E) !== 0;

/** Whether a counter may be counting at some exception level: then every change of level has to be accounted for. */
export const countersActive = (core: Core): boolean => core.ints[2 * ENABLED] !== 0 && ((core.ints[2 * PMCR]! & Pmcr.E) !== 0 || (core.ints[2 * MDCR]! & Mdcr.HPME) !== 0);

/** CountPMUEvents: enabled, not prohibited and not filtered at the current level. */
function isCounting(core: Core, { n, type }: Counter): boolean {
  if ((core.ints[2 * ENABLED]! & (1 << n)) === 0 || !isOn(core, n)) return false;
  const el = elOf(core);
  const filter = core.ints[2 * type]!;
  if (el < 2) return (filter & (el === 0 ? Filter.U : Filter.P)) === 0;
  const mdcr = core.ints[2 * MDCR]!;
  if (n === CYCLE) {
    if ((mdcr & Mdcr.HCCD) !== 0 || ((mdcr & Mdcr.HPMD) !== 0 && (core.ints[2 * PMCR]! & Pmcr.DP) !== 0)) return false;
  } else if ((mdcr & Mdcr.HPMD) !== 0 && !isReserved(core, n)) return false;
  return (filter & Filter.NSH) !== 0;
}

/** The bit whose carry overflows: 64 for the cycle counter (PMCR_EL0.LC is RES1), else by PMCR_EL0.LP or MDCR_EL2.HLP. */
function overflowBit(core: Core, n: number): bigint {
  if (n === CYCLE) return 64n;
  return (isReserved(core, n) ? core.ints[2 * MDCR]! & Mdcr.HLP : core.ints[2 * PMCR]! & Pmcr.LP) !== 0 ? 64n : 32n;
}

const cyclesOf = (core: Core, inHand: number): bigint => core.words[Word.ATTEMPTED]! + BigInt(inHand);
const retiredOf = (core: Core, inHand: number): bigint => cyclesOf(core, inHand) - core.words[Word.UNRETIRED]!;

/** What `counter` counts of `cycles` and `retired`. */
function countedOf(core: Core, counter: Counter, cycles: bigint, retired: bigint): bigint {
  if (counter.n === CYCLE) return cycles;
  const event = core.ints[2 * counter.type]! & 0xffff;
  return event === Event.CPU_CYCLES ? cycles : event === Event.INST_RETIRED ? retired : 0n;
}

/** Adds to every counter that counts what has happened since the last time. `inHand` 1: the instruction in hand is part of it. */
export function accountCounters(core: Core, inHand: 0 | 1): void {
  if (!countersActive(core)) return;
  const { words } = core;
  const cycles = cyclesOf(core, inHand) - words[Word.PMU_CYCLES]!;
  const retired = retiredOf(core, inHand) - words[Word.PMU_RETIRED]!;
  if (cycles === 0n && retired === 0n) return;
  // A counter that somebody else than the core switched on (a patch) has no total to count from.
  const marked = words[Word.PMU_CYCLES] !== 0n;
  words[Word.PMU_CYCLES] = cyclesOf(core, inHand);
  words[Word.PMU_RETIRED] = retiredOf(core, inHand);
  if (!marked) return;
  for (const counter of COUNTERS) if (isCounting(core, counter)) add(core, counter, countedOf(core, counter, cycles, retired));
  driveLine(core);
}

/** IncrementEventCounter. An even counter's overflows are the odd one's CHAIN events. */
function add(core: Core, { n, value }: Counter, count: bigint): void {
  if (count === 0n) return;
  const before = core.words[value]!;
  const after = before + count;
  const bit = overflowBit(core, n);
  const overflows = (after >> bit) - (before >> bit);
  core.words[value] = BigInt.asUintN(64, after);
  if (overflows === 0n) return;
  core.ints[2 * OVERFLOWN] = core.ints[2 * OVERFLOWN]! | (1 << n);
  const chained = (n & 1) === 0 ? EVENTS[n + 1] : undefined;
  if (chained !== undefined && (core.ints[2 * chained.type]! & 0xffff) === Event.CHAIN && isCounting(core, chained)) add(core, chained, overflows);
}

/**
 * Attempts until a counter can overflow that interrupts, in the present state; Infinity when none can, 0 when one has. A run ends there, so that the
 * interrupt comes at that instruction; an engine asks where it looks at `core.attention`, which every change of the PMU and of the exception level sets.
 */
export function attemptsToOverflow(core: Core): number {
  const interrupts = core.ints[2 * INTERRUPTS]!;
  if (interrupts === 0 || !countersActive(core)) return Infinity;
  const cycles = cyclesOf(core, 0) - core.words[Word.PMU_CYCLES]!;
  const retired = retiredOf(core, 0) - core.words[Word.PMU_RETIRED]!;
  let least = Infinity;
  for (const counter of COUNTERS) {
    // A chain interrupts at an overflow of its even counter.
    const concerned = counter.n === CYCLE ? 1 << CYCLE : (counter.n & 1) === 0 ? 3 << counter.n : 1 << counter.n;
    if ((interrupts & concerned) === 0 || countedOf(core, counter, 1n, 1n) === 0n || !isCounting(core, counter)) continue;
    const bit = overflowBit(core, counter.n);
    const left = (1n << bit) - BigInt.asUintN(Number(bit), core.words[counter.value]!) - countedOf(core, counter, cycles, retired);
    if (left < BigInt(Number.MAX_SAFE_INTEGER)) least = Math.min(least, Math.max(0, Number(left)));
  }
  return least;
}

/** Where a run that has `attempted` so many stops at the latest: at its budget, or where a counter overflows, whose interrupt is then due. */
export const limitOf = (core: Core, budget: number, attempted: number): number => Math.min(budget, attempted + Math.max(1, attemptsToOverflow(core)));

/** Raises the interrupt of what has overflown: after each run, and after a reset. */
export function pollCounters(core: Core): void {
  if (lineLevel(core) === (core.ints[2 * Word.PMU_LINE] !== 0) && attemptsToOverflow(core) > 0) return;
  for (let at = 0; at < BLOCK_BYTES; at += 4096) markDirty(core.board.memory, core.words.byteOffset + at);
  accountCounters(core, 0);
  driveLine(core);
}

/** CheckForPMUOverflow. */
function lineLevel(core: Core): boolean {
  const bits = core.ints[2 * OVERFLOWN]! & core.ints[2 * INTERRUPTS]!;
  return bits !== 0 && COUNTERS.some(({ n }) => (bits & (1 << n)) !== 0 && isOn(core, n));
}

/** Tells the redistributor of a change of the overflow interrupt, a level. Under L0, where nobody has a PMU, there is none. */
function driveLine(core: Core): void {
  const level = lineLevel(core);
  if (level === (core.ints[2 * Word.PMU_LINE] !== 0)) return;
  core.words[Word.PMU_LINE] = level ? 1n : 0n;
  if (core.board.el2 === 'kvm') return;
  core.board.outbox.push({ to: `gicr:${core.index}`, message: { type: 'irq-line', intid: PMU_INTID, level } });
  core.end ??= { type: 'effect' };
}

/** The value and effect of one register. Traps are done before. */
export interface PmuRegister {
  readonly read?: (core: Core) => bigint;
  readonly write?: (core: Core, value: bigint) => void;
}

/** EL1 and EL0 see the counters below HPMN, and the cycle counter. */
const visible = (core: Core): bigint => (1n << BigInt(CYCLE)) | ((1n << BigInt(elOf(core) === 2 ? EVENT_COUNTERS : hpmn(core))) - 1n);

/** A change of what is counted: what was counted until here, this instruction included, is by the old rules. */
function changed(core: Core, change: () => void): void {
  accountCounters(core, 1);
  change();
  // The totals are kept while something counts, and are 0 else: what is of no consequence is not state.
  const active = countersActive(core);
  core.words[Word.PMU_CYCLES] = active ? cyclesOf(core, 1) : 0n;
  core.words[Word.PMU_RETIRED] = active ? retiredOf(core, 1) : 0n;
  core.attention = true;
  driveLine(core);
}

/** A register of one bit a counter: `set` and `clear` are two ways to the same bits. */
function bitsOf(set: string, clear: string): Record<string, PmuRegister> {
  const word = slot(set);
  const read = (core: Core): bigint => {
    accountCounters(core, 0);
    return core.words[word]! & visible(core);
  };
  return {
    [set]: { read, write: (core, value) => changed(core, () => { core.words[word] = core.words[word]! | (value & visible(core)); }) },
    [clear]: { read, write: (core, value) => changed(core, () => { core.words[word] = core.words[word]! & ~(value & visible(core)); }) },
  };
}

const valueOf = (core: Core, counter: Counter): bigint => {
  accountCounters(core, 0);
  return core.words[counter.value]!;
};
const setWord = (core: Core, word: number, value: bigint): void => changed(core, () => { core.words[word] = value; });

/** What PMSELR_EL0.SEL chooses: an event counter that may be seen, or undefined. SEL beyond them reads as 0 and ignores writes, which is a choice (as QEMU's). */
function selected(core: Core): Counter | undefined {
  const n = core.ints[2 * PMSELR]! & 31;
  return n < (elOf(core) === 2 ? EVENT_COUNTERS : hpmn(core)) ? EVENTS[n] : undefined;
}

/** PMXEVTYPER_EL0 reaches PMCCFILTR_EL0 with SEL = 31. */
const selectedType = (core: Core): number | undefined => ((core.ints[2 * PMSELR]! & 31) === CYCLE ? CYCLES.type : selected(core)?.type);

/** PMCCFILTR_EL0 has no event number. */
const EVENT_NUMBER = 0xffffn;

/** Every register of the PMU that is more than storage, and MDCR_EL2, which debug exceptions depend on as well (debug.ts looks at it by `attention`). */
export const PMU_REGISTERS: Readonly<Record<string, PmuRegister>> = {
  PMCR_EL0: {
    read: (core) => (elOf(core) === 2 ? core.words[PMCR]! : (core.words[PMCR]! & ~(31n << 11n)) | (BigInt(hpmn(core)) << 11n)),
    write: (core, value) => changed(core, () => {
      const bits = Number(value & 0xffn);
      // EL1 resets its own counters, EL2 all.
      if ((bits & Pmcr.P) !== 0) for (const { n, value: word } of EVENTS) if (elOf(core) === 2 || !isReserved(core, n)) core.words[word] = 0n;
      if ((bits & Pmcr.C) !== 0) core.words[CYCLES.value] = 0n;
      core.words[PMCR] = value & ~BigInt(Pmcr.P | Pmcr.C);
    }),
  },
  ...bitsOf('PMCNTENSET_EL0', 'PMCNTENCLR_EL0'),
  ...bitsOf('PMOVSSET_EL0', 'PMOVSCLR_EL0'),
  ...bitsOf('PMINTENSET_EL1', 'PMINTENCLR_EL1'),
  PMSWINC_EL0: {
    write: (core, value) => changed(core, () => {
      const chosen = Number(value & visible(core) & 0x7fff_ffffn);
      for (const counter of EVENTS) if ((chosen & (1 << counter.n)) !== 0 && (core.ints[2 * counter.type]! & 0xffff) === Event.SW_INCR && isCounting(core, counter)) add(core, counter, 1n);
    }),
  },
  PMXEVTYPER_EL0: {
    read: (core) => {
      const word = selectedType(core);
      return word === undefined ? 0n : core.words[word]!;
    },
    write: (core, value) => {
      const word = selectedType(core);
      if (word !== undefined) setWord(core, word, word === CYCLES.type ? value & ~EVENT_NUMBER : value);
    },
  },
  PMXEVCNTR_EL0: {
    read: (core) => {
      const counter = selected(core);
      return counter === undefined ? 0n : valueOf(core, counter);
    },
    write: (core, value) => {
      const counter = selected(core);
      if (counter !== undefined) setWord(core, counter.value, value);
    },
  },
  ...Object.fromEntries(EVENTS.flatMap((counter): [string, PmuRegister][] => [
    [`PMEVCNTR${counter.n}_EL0`, { read: (core) => valueOf(core, counter), write: (core, value) => setWord(core, counter.value, value) }],
    [`PMEVTYPER${counter.n}_EL0`, { write: (core, value) => setWord(core, counter.type, value) }],
  ])),
  PMCCNTR_EL0: { read: (core) => valueOf(core, CYCLES), write: (core, value) => setWord(core, CYCLES.value, value) },
  PMCCFILTR_EL0: { write: (core, value) => setWord(core, CYCLES.type, value) },
  MDCR_EL2: { write: (core, value) => setWord(core, MDCR, value) },
};

/** MDCR_EL2.HPMN: whether an access below EL2 is to a counter that EL2 keeps, which traps with FEAT_FGT. `n` undefined: the one that PMSELR_EL0 selects. */
export function reachesReserved(core: Core, n?: number): boolean {
  const counter = n ?? core.ints[2 * PMSELR]! & 31;
  return core.board.features.fgt && counter !== CYCLE && counter < EVENT_COUNTERS && isReserved(core, counter);
}
