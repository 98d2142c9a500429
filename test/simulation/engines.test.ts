/** Which engine executes makes no difference: every scenario ends in the same fingerprint, cut anywhere, in turns of any length, on one engine or on several in turn. */

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Choice } from '../../actors/choices.ts';
import type { World } from '../../actors/world.ts';
import { ENGINES, type EngineName } from '../../machines/aarch64/board.ts';
import { SCENARIOS } from '../../scenarios/all.ts';
import { generator } from '../../snapshots/explore.ts';
import { memoryFiles } from '../../snapshots/files.ts';
import { close, forward, openHistory } from '../../snapshots/history.ts';
import { systemOf, type ZenoSystem } from '../../snapshots/machine.ts';
import { createRecording, openRecording } from '../../snapshots/recording.ts';
import { verify } from '../../snapshots/verify.ts';
import { cutting, forgetful, switchEngine, switching } from '../support/perturb.ts';
import { plainRun, runToEnd, sampleOf, seedOr, settingsOf, start, textOf, THOROUGH, type Ran, type Setting } from '../support/scenario.ts';
import { scratch, zeno, zenoJson } from '../support/zeno.ts';

const SEED = seedOr(20_261_127);
const every = SCENARIOS.flatMap((scenario) => settingsOf(scenario));
const named = (settings: readonly Setting[]) => settings.map((setting, index) => [textOf(setting), SEED + index, setting] as const);
const sample = named(THOROUGH ? every : sampleOf());
const few = THOROUGH ? sample : named(sampleOf(['none', 'nv2', 'pv']));
/** Frames from one look at the whole world to the next. */
const LOOK_FRAMES = 97;

const plain = systemOf();

/** A run on `engine`, and fingerprints on the way. */
function watched(setting: Setting, engine: EngineName, system: ZenoSystem, quantum?: number): { readonly ran: Ran; readonly prints: readonly string[] } {
  const prints: string[] = [];
  const ran = runToEnd(setting, {
    system, engine,
    begin: (world) => {
      switchEngine(world, engine);
      if (quantum !== undefined) (world.engine.options as { quantum: number }).quantum = quantum;
    },
    each: (_, world, index) => { if (index % LOOK_FRAMES === 0) prints.push(plain.fingerprint(world)); },
  });
  return { ran, prints };
}

describe('the engines', () => {
  test.each(sample)('run %s to the same end', (_, _seed, setting) => {
    for (const engine of ['reference', 'translator'] as const) expect({ engine, ...watched(setting, engine, plain).ran }).toEqual({ engine, ...plainRun(setting) });
  });

  test.each(sample)('run %s the same, cut at random instructions, in turns of any length (seed %d)', (_, seed, setting) => {
    const quantum = [1, 7, 60, 333, 2500, 100_000][seed % 6]!;
    // One that gives a turn an instruction takes a frame for each.
    const [first, ...others] = ENGINES.map((engine) => watched(setting, engine, cutting(generator(seed), 2), quantum));
    for (const [index, other] of others.entries()) expect({ engine: ENGINES[index + 1], quantum, ...other }).toEqual({ engine: ENGINES[index + 1], quantum, ...first });
    expect(first!.ran.outcome).toBe('passed');
  });

  test.each(few)('may change in the middle of %s, at random frames (seed %d)', (_, seed, setting) => {
    expect(watched(setting, 'interpreter', switching(plain, generator(seed), 20)).ran).toEqual(plainRun(setting));
  });

  test.each(few)('may change in the middle of %s, cut, with TLBs that forget and worlds that are kept and entered again (seed %d)', (_, seed, setting) => {
    const draw = generator(seed);
    const system = switching(forgetful(returning(cutting(draw, 3), draw), draw, 5), draw, 30);
    const { outcome, fingerprint, insns, timeNs, console } = runToEnd(setting, { system });
    const usual = plainRun(setting);
    expect({ outcome, fingerprint, insns, timeNs, console }).toEqual({ outcome: usual.outcome, fingerprint: usual.fingerprint, insns: usual.insns, timeNs: usual.timeNs, console: usual.console });
  });
});

/** `system` that now and then keeps the world, takes the step, goes back and takes it again. */
const returning = (system: ZenoSystem, draw: (limit: number) => number): ZenoSystem => ({
  ...system,
  step(world, choice) {
    if (draw(25) !== 0) return system.step(world, choice);
    const kept = system.keep(world);
    let ahead: World = system.step(kept, choice).world;
    for (let more = draw(4); more > 0; more--) {
      const next = plain.next(ahead);
      if (next !== undefined) ahead = plain.step(ahead, next).world;
    }
    return system.step(kept, choice);
  },
});

describe('a recording', () => {
  test.each(sampleOf(['nv2', 'pv']).map((setting, index) => [textOf(setting), ENGINES[index % 3]!, setting] as const))('of %s made on the %s replays identically on the others', (_, engine, setting) => {
    const files = memoryFiles();
    const { world, manifest } = start(setting, engine);
    switchEngine(world, engine);
    const made = openHistory(plain, world, createRecording<Choice>(files, 'r', manifest), { printFrames: 25 });
    forward(made, () => false);
    close(made);
    for (const other of ENGINES.filter((each) => each !== engine)) {
      const again = start(setting, other).world;
      switchEngine(again, other);
      expect(verify(openHistory(plain, again, openRecording<Choice>(files, 'r'), { printFrames: 25 }))).toMatchObject({ identical: true, frames: plainRun(setting).frames });
    }
  });

  test('made by `zeno run --engine translator --record` replays by `zeno replay --engine reference`, and the other way round', async () => {
    for (const [one, other] of [['translator', 'reference'], ['reference', 'translator'], ['interpreter', 'reference']] as const) {
      const directory = join(scratch(), one);
      expect((await zeno(['run', 'virtual-ipi', '--engine', one, '--record', directory])).status).toBe(0);
      expect(await zenoJson(['replay', directory, '--engine', other])).toMatchObject({ identical: true });
    }
  });
});
