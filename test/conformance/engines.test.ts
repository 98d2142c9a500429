/** The engines do the same: registers, flags, memory and counts, at exact stops in random places, of random programs. */

import { describe, expect, test } from 'vitest';
import { Interpreter } from '../../machines/aarch64/engine/interpreter.ts';
import type { EngineName } from '../../machines/aarch64/board.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { registerOfWord } from '../../machines/aarch64/sysregs.ts';
import { capture, emptyTree, hashTree } from '../../machines/memory/page-tree.ts';
import { generator } from '../../snapshots/explore.ts';
import { randomMachine } from '../support/random-code.ts';
import { seedOr } from '../support/scenario.ts';

/** Programs from ZENO_SEED on, and stops in each. */
const PROGRAMS = Number(process.env.ZENO_ENGINES ?? 12);
const STOPS = 60;
const FIRST = seedOr(1);
/** Regions as soon as anything runs twice, so that small programs have some. */
const EAGER = { sliceMin: 40, sliceMax: 400, looks: 1, batch: 4, patience: 2 };

const nameOf = (word: number): string => registerOfWord(word) ?? (word < 31 ? `X${word}` : (Object.entries(Word).find(([, at]) => at === word)?.[0] ?? `word ${word}`));

describe.each(Array.from({ length: PROGRAMS }, (_, index) => FIRST + index))('random program %d', (seed) => {
  test.each(['interpreter', 'translator'] as const satisfies readonly EngineName[])('does on the %s what it does on the reference engine', (engine) => {
    const make = randomMachine(generator(seed));
    const [reference, other] = [make('reference'), make(engine)];
    other.board.execution = new Interpreter(other.board, EAGER);
    const draw = generator(seed + 1000);
    let trees = [emptyTree, emptyTree];
    for (let stop = 0; stop < STOPS; stop++) {
      const budget = draw(3) === 0 ? 1 + draw(5) : 1 + draw(3000);
      const [ours, theirs] = [reference, other].map(({ core }) => run(core, budget)) as [ReturnType<typeof run>, ReturnType<typeof run>];
      expect({ seed, stop, ...theirs }).toEqual({ seed, stop, ...ours });
      const differing = [...reference.core.words].flatMap((word, index) => (word === other.core.words[index] ? [] : [`${nameOf(index)}: ${word.toString(16)}, but ${other.core.words[index]!.toString(16)}`]));
      expect(differing, `stop ${stop} of seed ${seed}`).toEqual([]);
      expect(other.board.now).toBe(reference.board.now);
      if (draw(4) === 0) trees = [reference, other].map(({ memory }, index) => capture(memory, trees[index]!));
      if (theirs.end.type === 'hole') break;
    }
    const sums = [reference, other].map(({ memory, core }, index) => {
      // The block is compared above; whether it is dirty is for step.ts to say.
      core.words.fill(0n);
      return hashTree(capture(memory, trees[index]!));
    });
    expect(sums[1]).toBe(sums[0]);
  });
});
