/** Random programs at EL2 and below, on one vCPU or two racing ones: whatever they do, they do it again, and virtual EL2 is EL2 to them. */

import { describe, expect, test } from 'vitest';
import type { World } from '../../actors/world.ts';
import { INVARIANTS } from '../../scenarios/invariants.ts';
import { generator } from '../../snapshots/explore.ts';
import { systemOf, type ZenoSystem } from '../../snapshots/machine.ts';
import { cutting, forgetful, stepTwice } from '../support/perturb.ts';
import { programMachine, randomProgram, written } from '../support/program.ts';
import { FLAVOURS, MECHANISMS, seedOr } from '../support/scenario.ts';

/** ZENO_FUZZ programs from ZENO_SEED on: `npm run fuzz`. */
const COUNT = Number(process.env.ZENO_FUZZ ?? 6);
const FIRST = seedOr(1_000);
const seeds = Array.from({ length: COUNT }, (_, index) => FIRST + index);
const system = systemOf();

/** Frames after which a program is thought not to end. */
const FRAMES_MAX = 5_000;

function run(world: World, own: ZenoSystem = system, look?: (world: World, choice: Parameters<ZenoSystem['step']>[1]) => World): World {
  let frames = 0;
  for (let choice = own.next(world); choice !== undefined; choice = own.next(world)) {
    if (frames++ === FRAMES_MAX) throw new Error(`the program does not end: vCPU 0 is at 0x${world.engine.board.cores[0]!.words[32]!.toString(16)}`);
    world = look ? look(world, choice) : own.step(world, choice).world;
  }
  expect(world.state.ended).toMatchObject({ by: 'off' });
  return world;
}

const settings = seeds.flatMap((seed) => MECHANISMS.map((nested, column) => [seed, nested, FLAVOURS[(seed + column) % 2]!, 1 + (seed >> 1) % 2] as const));

describe.each(settings)('program %d under %s with %s, on %d vCPUs', (seed, nested, l1, vcpus) => {
  const start = (): World => programMachine(randomProgram(generator(seed), l1, vcpus), nested, l1);
  let end: string | undefined;
  const ended = (): string => (end ??= system.fingerprint(run(start())));

  test('does the same when it is run again, and breaks no invariant', () => {
    const again = run(start(), system, (world, choice) => {
      const done = system.step(world, choice);
      for (const property of INVARIANTS) expect(property.check(done.world, done.frame), property.name).toBeUndefined();
      return done.world;
    });
    expect(system.fingerprint(again)).toBe(ended());
  });

  test('goes on from any frame as it did, when others were entered in between', () => {
    const draw = generator(seed);
    const others: World[] = [];
    const last = run(start(), system, (world, choice) => {
      if (draw(3) !== 0) return system.step(world, choice).world;
      const kept = system.keep(world);
      others[draw(6)] = kept;
      return stepTwice(system, kept, others.filter(Boolean)[draw(others.filter(Boolean).length)]!);
    });
    expect(system.fingerprint(last)).toBe(ended());
  });

  test('ends the same with its runs cut and its TLBs emptied at random', () => {
    const draw = generator(seed);
    expect(system.fingerprint(run(start(), forgetful(cutting(draw, 2), draw, 4)))).toBe(ended());
  });
});

describe.each(seeds.flatMap((seed) => FLAVOURS.map((l1) => [seed, l1] as const)))('program %d on one vCPU, %s', (seed, l1) => {
  test.each(['nv2', 'nv', 'pv'] as const)('leaves in memory under %s what it leaves on bare EL2, syndromes and saved states included', (nested) => {
    const left = (mechanism: 'none' | typeof nested): Uint8Array => written(run(programMachine(randomProgram(generator(seed), l1, 1), mechanism, l1)));
    expect(Buffer.compare(left(nested), left('none'))).toBe(0);
  });
});
