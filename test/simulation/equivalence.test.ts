/** What must make no difference: L0's work in one go or step by step, a TLB that forgets, runs cut at any instruction. */

import { describe, expect, test } from 'vitest';
import { SCENARIOS } from '../../scenarios/all.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf, type ZenoSystem } from '../../snapshots/machine.ts';
import { cutting, forgetful } from '../support/perturb.ts';
import { plainRun, runToEnd, sampleOf, seedOr, settingsOf, textOf, THOROUGH, type Ran, type Setting } from '../support/scenario.ts';

const SEED = seedOr(20_260_731);
const every = SCENARIOS.flatMap((scenario) => settingsOf(scenario));
const named = (settings: readonly Setting[]) => settings.map((setting, index) => [textOf(setting), SEED + index, setting] as const);
const sample = named(THOROUGH ? every : sampleOf());
const nested = sample.filter(([, , setting]) => setting.nested !== 'none');
/** The mechanisms share what these are about. */
const few = THOROUGH ? sample : sample.filter(([, , setting]) => setting.nested === 'nv2' || setting.nested === 'none');
const fewNested = few.filter(([, , setting]) => setting.nested !== 'none');

/** What a run comes to, however many frames it took. */
const ending = ({ outcome, reason, fingerprint, insns, timeNs, console }: Ran) => ({ outcome, reason, fingerprint, insns, timeNs, console });

const plain = systemOf();

describe('L0 stepped one step at a time', () => {
  test.each(nested)('%s ends as it does with L0\'s work in one go', (_, _seed, setting) => {
    const stepwise = runToEnd(setting, { system: systemOf({ stepwise: true }) });
    expect(stepwise.frames).toBeGreaterThan(2 * plainRun(setting).frames);
    expect(ending(stepwise)).toEqual(ending(plainRun(setting)));
  });

  test.each(fewNested)('%s ends the same with L0 stopped anywhere (seed %d)', (_, seed, setting) => {
    const draw = generator(seed);
    const system: ZenoSystem = {
      ...plain,
      next(world) {
        const choice = plain.next(world);
        return choice?.type === 'l0' ? { ...choice, steps: draw(6) } : choice;
      },
    };
    expect(ending(runToEnd(setting, { system }))).toEqual(ending(plainRun(setting)));
  });
});

describe('a run cut at random instructions', () => {
  test.each(few)('of %s ends as it does uncut (seed %d)', (_, seed, setting) => {
    const cut = runToEnd(setting, { system: cutting(generator(seed), 2) });
    expect(cut.frames).toBeGreaterThan(plainRun(setting).frames);
    expect(ending(cut)).toEqual(ending(plainRun(setting)));
  });
});

describe('a TLB that forgets at random instructions', () => {
  test.each(sample)('changes nothing of %s (seed %d)', (_, seed, setting) => {
    const draw = generator(seed);
    expect(ending(runToEnd(setting, { system: forgetful(cutting(draw, 3), draw, 3) }))).toEqual(ending(plainRun(setting)));
  });
});
