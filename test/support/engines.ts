/** The same bare machine on each engine, run in step: whatever is asked of them, they have to come to the same registers, flags, memory, counts and ends. */

import { expect } from 'vitest';
import { ENGINES, type EngineName } from '../../machines/aarch64/board.ts';
import type { KeptCode } from '../../machines/aarch64/engine/kept-code.ts';
import { Interpreter } from '../../machines/aarch64/engine/interpreter.ts';
import type { RunResult } from '../../machines/aarch64/exit.ts';
import { createProfile } from '../../machines/aarch64/profile.ts';
import { run } from '../../machines/aarch64/run.ts';
import { BLOCK_BYTES, Word } from '../../machines/aarch64/state.ts';
import { registerOfWord } from '../../machines/aarch64/sysregs.ts';
import { capture, emptyTree, restore, type PageTree } from '../../machines/memory/page-tree.ts';
import { forgetDescriptors, markDirty, PAGE_BYTES } from '../../machines/memory/memory.ts';
import type { Bare } from './core.ts';

/** Regions as soon as anything runs twice, so that small programs have some. */
export const EAGER = { sliceMin: 40, sliceMax: 400, looks: 1, batch: 4, patience: 2 };

const nameOf = (word: number): string => registerOfWord(word) ?? (word < 31 ? `X${word}` : (Object.entries(Word).find(([, at]) => at === word)?.[0] ?? `word ${word}`));

/** Registers that differ, as text. */
export const differing = (ours: BigUint64Array, theirs: BigUint64Array): string[] =>
  [...ours].flatMap((word, index) => (word === theirs[index] ? [] : [`${nameOf(index)}: ${word.toString(16)}, but ${theirs[index]!.toString(16)}`]));

/** Machines that are alike but for their engine, the reference's first. */
export class Alike {
  readonly all: readonly Bare[];
  private readonly what: string;
  private trees: readonly PageTree[];
  /** What was attempted on each. */
  attempted = 0;

  /** `keptCode` is for the translator. */
  constructor(what: string, make: (engine: EngineName) => Bare, keptCode?: KeptCode) {
    this.what = what;
    this.all = ENGINES.map((engine) => {
      const bare = make(engine);
      if (engine === 'translator') bare.board.keptCode = keptCode;
      if (engine !== 'reference') bare.board.execution = new Interpreter(bare.board, EAGER);
      return bare;
    });
    this.trees = this.all.map(() => emptyTree);
  }

  each(act: (bare: Bare) => void): void { for (const bare of this.all) act(bare); }

  /** Runs a core of each for `budget`. The others must do what the first does. */
  run(budget: number, index = 0): RunResult {
    const results = this.all.map(({ cores, memory }) => {
      const core = cores[index]!;
      for (let at = 0; at < BLOCK_BYTES; at += PAGE_BYTES) markDirty(memory, core.words.byteOffset + at);
      return run(core, budget);
    });
    const [first, ...others] = results;
    this.attempted += first!.attempted;
    for (const [at, other] of others.entries()) expect({ ...other, engine: ENGINES[at + 1] }, this.place).toEqual({ ...first, engine: ENGINES[at + 1] });
    this.compare();
    return first!;
  }

  private get place(): string { return `${this.what}, behind ${this.attempted} instructions`; }

  compare(): void {
    const [first, ...others] = this.all as [Bare, ...Bare[]];
    for (const [at, other] of others.entries()) {
      const where = `${this.place}: ${ENGINES[at + 1]}`;
      for (const [index, core] of other.cores.entries()) expect(differing(first.cores[index]!.words, core.words), `${where}, core ${index}`).toEqual([]);
      expect(other.board.now, where).toBe(first.board.now);
      expect(other.board.outbox, where).toEqual(first.board.outbox);
      expect(other.board.events, where).toEqual(first.board.events);
      if (first.memory.bytes.length > 1 << 26) continue;
      // The first page is the engines'.
      const [ours, theirs] = [first, other].map(({ memory }) => memory.bytes.subarray(PAGE_BYTES)) as [Uint8Array, Uint8Array];
      const place = Buffer.compare(ours, theirs) === 0 ? -1 : PAGE_BYTES + ours.findIndex((byte, offset) => byte !== theirs[offset]);
      expect(place, `${where}: offset of the first byte of memory that differs`).toBe(-1);
    }
  }

  /** Takes memory as it is, as who keeps a World does. */
  capture(): readonly PageTree[] {
    this.trees = this.all.map(({ memory }, index) => capture(memory, this.trees[index]!));
    return this.trees;
  }
  /** Goes back to it, as who enters a kept World does. */
  restore(trees: readonly PageTree[]): void {
    for (const [index, { memory, cores, board }] of this.all.entries()) {
      restore(memory, this.trees[index]!, trees[index]!);
      for (const core of cores) { core.translation = undefined; core.attention = true; }
      forgetDescriptors(memory);
      board.now = 0;
    }
    this.trees = trees;
  }

  /** Has the translator count its regions. */
  profile(): { readonly regions: number; readonly dropped: number } {
    const { board } = this.all[2]!;
    return (board.profile ??= createProfile(() => 0)).counts;
  }
}
