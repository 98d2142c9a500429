/** The engines do the same: registers, flags, memory and counts, at exact stops in random places, of random programs. */

import { describe, expect, test } from 'vitest';
import { Word } from '../../machines/aarch64/state.ts';
import { generator } from '../../snapshots/explore.ts';
import { Alike } from '../support/engines.ts';
import { CODE, randomMachine, WORDS } from '../support/random-code.ts';
import { seedOr } from '../support/scenario.ts';

/** Programs of each kind from ZENO_SEED on, and stops in each. */
const PROGRAMS = Number(process.env.ZENO_ENGINES ?? 12);
const STOPS = 150;
const FIRST = seedOr(1);

describe.each(Array.from({ length: PROGRAMS }, (_, index) => FIRST + index))('random program %d', (seed) => {
  test.each([['', false], [' with two cores, system registers, exclusives and debug', true]])('does the same on every engine%s', (_, wild) => {
    const alike = new Alike(`seed ${seed}${wild ? ', wild' : ''}`, randomMachine(generator(seed), wild));
    const draw = generator(seed + 1000);
    for (let stop = 0; stop < STOPS; stop++) {
      const index = wild ? draw(2) : 0;
      // Most programs come to a loop that they do not leave.
      if (draw(2) === 0) {
        const pc = BigInt(CODE + 4 * draw(WORDS));
        alike.each(({ cores }) => { cores[index]!.words[Word.PC] = pc; });
      }
      const { end } = alike.run(draw(3) === 0 ? 1 + draw(5) : 1 + draw(1200), index);
      if (draw(4) === 0) alike.capture();
      if (end.type === 'hole') break;
    }
    expect(alike.attempted).toBeGreaterThan(0);
  });
});
