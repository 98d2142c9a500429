/** Ways to run a World that must make no difference: runs cut anywhere, TLBs that forget, other worlds entered in between, other engines. */

import type { World } from '../../actors/world.ts';
import { ENGINES, type EngineName } from '../../machines/aarch64/board.ts';
import { Interpreter } from '../../machines/aarch64/engine/interpreter.ts';
import { forgetDescriptors } from '../../machines/memory/memory.ts';
import { systemOf, type ZenoSystem } from '../../snapshots/machine.ts';
import { EAGER } from './engines.ts';

type Draw = (limit: number) => number;

const plain = systemOf();

/** The default choices with runs cut short now and then: what is left of them comes next. */
export const cutting = (draw: Draw, oneIn: number): ZenoSystem => ({
  ...plain,
  next(world) {
    const choice = plain.next(world);
    if (choice?.type !== 'run' || draw(oneIn) !== 0) return choice;
    // Most runs end at an exit after a few instructions, whatever they were allowed.
    return plain.split!(choice, 1 + draw(draw(4) === 0 ? 400 : 12)) ?? choice;
  },
});

/** `system` on hardware whose TLBs lose everything now and then, one vCPU's or all. */
export const forgetful = (system: ZenoSystem, draw: Draw, oneIn: number): ZenoSystem => ({
  ...system,
  step(world, choice) {
    if (draw(oneIn) === 0) forget(world, draw);
    return system.step(world, choice);
  },
});

function forget(world: World, draw: Draw): void {
  const { cores, memory } = world.engine.board;
  const only = draw(cores.length + 1);
  for (const core of cores) if (only === cores.length || only === core.index) core.translation = undefined;
  if (cores.every((core) => core.translation === undefined)) forgetDescriptors(memory);
}

/** One step from a kept world: taken live, then again after a step from another world. Throws where they differ. Returns the world that was come to again. */
export function stepTwice(system: ZenoSystem, kept: World, other: World): World {
  const choice = system.next(kept)!;
  const live = system.step(kept, choice);
  const print = system.fingerprint(live.world);
  // Elsewhere, so that memory and all that is derived from it is another world's.
  const away = system.next(other);
  if (away !== undefined) system.step(other, away);
  const again = system.step(kept, choice);
  const differs = system.fingerprint(again.world) !== print ? 'another world' : again.frame.events.length !== live.frame.events.length || again.frame.timeNs !== live.frame.timeNs ? 'the same world in another way' : undefined;
  if (differs !== undefined) throw new Error(`${system.describeChoice(choice)} at ${kept.state.clock} ns comes to ${differs} when it is taken again`);
  return again.world;
}

/** Has `world`'s machine go on on `engine`, with the translator eager: what the engine before has made is left behind. */
export function switchEngine({ engine: { board } }: World, engine: EngineName): void {
  (board as { engine: EngineName }).engine = engine;
  board.execution = engine === 'reference' ? undefined : new Interpreter(board, EAGER);
}

/** `system` with another engine now and then. */
export const switching = (system: ZenoSystem, draw: Draw, oneIn: number): ZenoSystem => ({
  ...system,
  step(world, choice) {
    if (draw(oneIn) === 0) switchEngine(world, ENGINES[draw(ENGINES.length)]!);
    return system.step(world, choice);
  },
});
