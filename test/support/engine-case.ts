/** Small programs for what engines can get wrong: an EL1 with page tables of 4 KiB pages and vectors that keep a sum of what was taken, run in several ways on every engine. */

import { expect } from 'vitest';
import { KeptCode } from '../../machines/aarch64/engine/kept-code.ts';
import type { RunResult } from '../../machines/aarch64/exit.ts';
import type { Core } from '../../machines/aarch64/state.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { generator } from '../../snapshots/explore.ts';
import { writeBytes } from '../../machines/memory/memory.ts';
import { bareCore, program, RAM, set, setPstate, type Bare, type BareOptions } from './core.ts';
import { Alike } from './engines.ts';
import { words } from './guest-program.ts';
import { map, S1, tablesAt, type Tables } from './tables.ts';

export const CODE = RAM + 0x1_0000;
export const VECTORS = RAM + 0x8000;
export const DATA = RAM + 0x8_0000;
export const TABLES = RAM + 0x10_0000;
const RAM_BYTES = 0x20_0000;
export const PAGE = S1.AF | S1.INNER;
/** TCR_EL1: 39 bits in both halves, 4 KiB granules. */
export const TCR = 25n | (25n << 16n) | (2n << 30n) | (5n << 32n);
export const SCTLR = 0x30d0_0980n | 1n;

export interface Case {
  readonly options?: BareOptions;
  /** At CODE. X24 to X28 are the vectors': X28 a sum of syndromes, addresses and saved states, X26 where to go on behind an Instruction Abort, X25 counts interrupts. */
  readonly text: string;
  readonly more?: Readonly<Record<number, string>>;
  prepare?(bare: Bare, tables: Tables): void;
  /** Instructions in all, of each core. */
  readonly insns: number;
  /** Done to each machine every so many instructions. */
  readonly every?: { readonly insns: number; act(bare: Bare, turn: number): void };
  /** Cores take turns of this many instructions. */
  readonly quantum?: number;
  /** Told of ends other than the budget's: what the board would do. */
  ended?(core: Core, result: RunResult): void;
  /** How many regions the translator makes at least; 1. It makes none of what changes or is looked at instruction by instruction. */
  readonly regions?: number;
  /** The vectors are gone to; otherwise they must not be. */
  readonly exceptions?: true;
}

/** The vectors' code. Synchronous: on behind what faulted, for Instruction Aborts, alignment of PC and the Illegal state at X26. */
const SYNC = `
mrs x24, ESR_EL1; eor x28, x28, x24; ror x28, x28, #7
mrs x27, SPSR_EL1; add x28, x28, x27; ror x28, x28, #3
mrs x27, FAR_EL1; eor x28, x28, x27; ror x28, x28, #5
mrs x27, ELR_EL1; add x28, x28, x27
lsr x24, x24, #26; sub x24, x24, #0x15; cbz x24, {out}
add x27, x27, #4
sub x24, x24, #0xb; cbz x24, {far}; sub x24, x24, #1; cbz x24, {far}; sub x24, x24, #1; cbnz x24, {on}
far: orr x27, x26, xzr
on: msr ELR_EL1, x27
out: eret`;
const IRQ = 'mrs x27, ELR_EL1; eor x28, x28, x27; ror x28, x28, #9; mrs x27, SPSR_EL1; add x28, x28, x27; add x25, x25, #1; mrs x24, PMOVSCLR_EL0; msr PMOVSCLR_EL0, x24; eret';

export function machineOf({ options = {}, text, more = {}, prepare }: Case, engine: Bare['board']['engine']): Bare {
  const bare = bareCore({ el: 1, el2: 'none', ramBytes: RAM_BYTES, ...options, engine, features: { pmu: true, ...options.features } });
  const { memory, cores } = bare;
  const tables = tablesAt(memory, TABLES, 12, 39, 1);
  for (let at = RAM; at < RAM + RAM_BYTES; at += 4096) map(tables, at, at, PAGE);
  for (const base of [0, 0x200, 0x400]) program(memory, VECTORS + base, words(`b {to}\n.org 0x80\nb {irq}\n.org 0x${(0x800 - base).toString(16)}\nto: ${SYNC}\nirq: ${IRQ}`, VECTORS + base));
  for (const [at, code] of [[CODE, text], ...Object.entries(more)] as const) writeBytes(memory, Number(at), new Uint8Array(Uint32Array.from(words(code, Number(at))).buffer));
  for (const core of cores) {
    set(core, 'TTBR0_EL1', BigInt(TABLES));
    set(core, 'TTBR1_EL1', BigInt(TABLES));
    set(core, 'TCR_EL1', TCR);
    set(core, 'MAIR_EL1', 0x00ffn);
    set(core, 'SCTLR_EL1', SCTLR);
    set(core, 'CPACR_EL1', 3n << 20n);
    set(core, 'VBAR_EL1', BigInt(VECTORS));
    set(core, 'SP_EL1', BigInt(DATA + 0x7f00));
    set(core, 'SP_EL0', BigInt(DATA + 0x6f00));
    core.words[Word.PC] = BigInt(CODE);
    core.words[20] = BigInt(core.index);
    setPstate(core, 1, 0x3c0);
  }
  prepare?.(bare, tables);
  return bare;
}

/** Ways to cut a run of `insns`. */
type Cut = (left: number, done: number) => number;
const WAYS: Readonly<Record<string, Cut>> = {
  'in one go': (left) => left,
  // Warm by then, and warm again behind it.
  'instruction by instruction': (left, done) => (done < 3000 ? Math.min(left, 3000 - done) : done < 3500 ? 1 : left),
  'in pieces': at(1), 'in other pieces': at(2),
  // By regions that the way before has made.
  'by code that was kept': at(3),
};
function at(seed: number): Cut {
  const draw = generator(seed);
  return (left) => Math.min(left, draw(3) === 0 ? 1 + draw(7) : 1 + draw(900));
}

/** Runs a case in every way: the engines agree wherever it is cut, and all ways come to the same end. */
export function runCase(name: string, one: Case): Bare {
  const ends: (readonly string[])[] = [];
  let last!: Bare;
  let kept = new KeptCode();
  for (const [way, cut] of Object.entries(WAYS)) {
    const alike = new Alike(`${name}, ${way}`, (engine) => machineOf(one, engine), way.startsWith('in other') || way.startsWith('by') ? kept : undefined);
    const counts = way === 'in one go' ? alike.profile() : undefined;
    const pieces = way !== 'in one go';
    const count = alike.all[0]!.cores.length;
    const quantum = one.quantum ?? one.insns;
    const every = one.every?.insns ?? Infinity;
    let done = 0;
    for (let turn = 0; done < one.insns * count; turn++) {
      const index = turn % count;
      for (let left = Math.min(quantum, one.insns * count - done); left > 0;) {
        const until = Math.min(left, every - (done % every));
        const budget = cut(until, done);
        const result = alike.run(budget, index);
        done += result.attempted;
        left -= result.attempted;
        if (result.end.type !== 'budget' && result.end.type !== 'effect') {
          expect(one.ended, `${name} ends by ${JSON.stringify(result.end, (_, value: unknown) => (typeof value === 'bigint' ? value.toString(16) : value))}`).toBeDefined();
          alike.each(({ cores }) => one.ended!(cores[index]!, result));
          if (result.attempted === 0) left = 0;
        }
        if (done % every === 0 && result.attempted > 0) {
          alike.each((bare) => one.every!.act(bare, done / every));
          alike.compare();
        }
        if (pieces && done % 5 === 0) alike.capture();
      }
    }
    if (counts !== undefined) expect(counts.regions, `${name} has regions`).toBeGreaterThanOrEqual(one.regions ?? 1);
    ends.push(alike.all[0]!.cores.flatMap((core) => [...core.words].map((word) => word.toString(16))));
    last = alike.all[0]!;
    if (way.startsWith('in other')) {
      const made = kept.all()!;
      kept = new KeptCode(made, new WebAssembly.Module(made.regions));
    }
    expect(last.cores.some(({ words: [...x] }) => x[25] !== 0n || x[28] !== 0n), `${name} takes exceptions`).toBe(one.exceptions === true);
  }
  for (const [index, end] of ends.entries()) expect(end, `${name}, ${Object.keys(WAYS)[index]}`).toEqual(ends[0]);
  return last;
}
