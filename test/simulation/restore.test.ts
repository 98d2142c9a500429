/** *Run = capture, restore, run* at every frame: a kept world goes on, whatever has run in between, as the live one did. */

import { describe, expect, test } from 'vitest';
import type { World } from '../../actors/world.ts';
import { SCENARIOS } from '../../scenarios/all.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { stepTwice } from '../support/perturb.ts';
import { plainRun, sampleOf, seedOr, settingsOf, start, textOf, THOROUGH, type Setting } from '../support/scenario.ts';

const SEED = seedOr(20_260_801);
const system = systemOf();

/** Every scenario under nv2 and on bare EL2; of the longer runs under nv and pv the two with the fewest frames. */
const settings: readonly Setting[] = THOROUGH ? SCENARIOS.flatMap((scenario) => settingsOf(scenario))
  : sampleOf().filter(({ scenario, nested }) => nested === 'nv2' || nested === 'none' || scenario.name === 'forward-exception' || scenario.name === 'two-vcpus-ipi');
const named = settings.map((setting, index) => [textOf(setting), SEED + index, setting] as const);

/** Earlier worlds at hand for going elsewhere. */
const ELSEWHERE = 8;

describe('at every frame', () => {
  test.each(named)('%s goes on from the world that was kept as it went on live (seed %d)', (_, seed, setting) => {
    const draw = generator(seed);
    let { world }: { world: World } = start(setting);
    const others: World[] = [];
    let frames = 0;
    for (;;) {
      const kept = world = system.keep(world);
      if (system.next(kept) === undefined) break;
      // The run goes on from what was restored: the end shows what one step does not.
      world = stepTwice(system, kept, others.length > 0 ? others[draw(others.length)]! : kept);
      if (others.length < ELSEWHERE) others.push(kept);
      else if (draw(4) === 0) others[draw(ELSEWHERE)] = kept;
      frames++;
    }
    expect(frames).toBe(plainRun(setting).frames);
    expect(system.fingerprint(world)).toBe(plainRun(setting).fingerprint);
  });
});

describe('from frames drawn at random', () => {
  test.each(named)('%s comes to the same end, kept worlds entered in any order (seed %d)', (_, seed, setting) => {
    const draw = generator(seed);
    const { frames, fingerprint } = plainRun(setting);
    const at = new Set(Array.from({ length: THOROUGH ? 12 : 2 }, () => draw(frames)));
    const kept: World[] = [];
    let { world }: { world: World } = start(setting);
    for (let frame = 0; frame < frames; frame++) {
      if (at.has(frame)) kept.push(world = system.keep(world));
      ({ world } = system.step(world, system.next(world)!));
    }
    while (kept.length > 0) {
      [world] = kept.splice(draw(kept.length), 1) as [World];
      for (let choice = system.next(world); choice !== undefined; choice = system.next(world)) ({ world } = system.step(world, choice));
      expect(system.fingerprint(world)).toBe(fingerprint);
    }
  });
});

test('a world that was stepped and not kept is spent: it can be neither stepped nor read', () => {
  const { world } = start(settings[0]!);
  const first = system.next(world)!;
  const { world: second } = system.step(system.keep(world), first);
  const { world: third } = system.step(second, system.next(second)!);
  expect(() => system.step(second, first)).toThrow('this world was spent');
  expect(() => system.fingerprint(second)).toThrow('this world was spent');
  expect(() => system.next(second)).toThrow('this world was spent');
  expect(system.fingerprint(third)).toMatch(/^[0-9a-f]{32}$/);
});
