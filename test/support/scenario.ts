/** Scenarios for tests: every setting in which one can run, a run from start to end watched frame by frame, and a random source. */

import type { Choice } from '../../actors/choices.ts';
import type { Outcome, World, WorldEvent } from '../../actors/world.ts';
import { ENGINE, type EngineName } from '../../machines/aarch64/board.ts';
import type { Flavour, Mechanism } from '../../machines/kvm/state.ts';
import { SCENARIOS } from '../../scenarios/all.ts';
import { builtGuests, sha256 } from '../../scenarios/node.ts';
import { judge, prepare, type Prepared, type Scenario } from '../../scenarios/scenario.ts';
import { frameSum } from '../../snapshots/lines.ts';
import { systemOf, type ZenoSystem } from '../../snapshots/machine.ts';
import type { Property } from '../../snapshots/property.ts';
import type { Frame } from '../../snapshots/system.ts';

export type ZenoFrame = Frame<Choice, WorldEvent>;

export interface Setting {
  readonly scenario: Scenario;
  /** `none`: on bare EL2. */
  readonly nested: Mechanism;
  readonly l1: Flavour;
  readonly vcpus: number;
}

export const MECHANISMS: readonly Mechanism[] = ['none', 'nv2', 'nv', 'pv'];
export const FLAVOURS: readonly Flavour[] = ['vhe', 'nvhe'];

/** A scenario under each mechanism and flavour, on each number of vCPUs that it makes sense with. */
export const settingsOf = (scenario: Scenario, mechanisms: readonly Mechanism[] = MECHANISMS): Setting[] =>
  mechanisms.flatMap((nested) => FLAVOURS.flatMap((l1) => [1, 2].filter((vcpus) => vcpus >= (scenario.vcpusMin ?? 1)).map((vcpus) => ({ scenario, nested, l1, vcpus }))));

/** One setting for each scenario and mechanism, on the scenario's own number of vCPUs, the flavours taking turns. */
export const sampleOf = (mechanisms: readonly Mechanism[] = MECHANISMS): Setting[] =>
  SCENARIOS.flatMap((scenario, row) => mechanisms.map((nested, column): Setting => ({ scenario, nested, l1: FLAVOURS[(row + column) % 2]!, vcpus: scenario.vcpus })));

export const scenarioNamed = (name: string): Scenario => {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new RangeError(`there is no scenario ${name}`);
  return found;
};

export const textOf = ({ scenario, nested, l1, vcpus }: Setting): string => `${scenario.name} ${nested} ${l1} ×${vcpus}`;

export const start = ({ scenario, nested, l1, vcpus }: Setting, engine: EngineName = ENGINE): Prepared => prepare(scenario, { nested, l1, vcpus, engine }, builtGuests, sha256);

/** How a run ended, and sums of all that it was. */
export interface Ran extends Outcome {
  readonly fingerprint: string;
  /** A sum of every frame's clock, instructions and events' names, in order. */
  readonly story: number;
  readonly frames: number;
  readonly insns: number;
  readonly timeNs: number;
  readonly console: string;
}

export interface Watch {
  readonly system?: ZenoSystem;
  readonly properties?: readonly Property<World, Choice, WorldEvent>[];
  readonly each?: (frame: ZenoFrame, world: World, index: number) => void;
  readonly engine?: EngineName;
  /** Told of the world before it is run. */
  readonly begin?: (world: World) => void;
}

const PLAIN = systemOf();

/** Runs from a setting's start to its end. Throws at the first frame that breaks one of `properties`. */
export function runToEnd(setting: Setting, { system = PLAIN, properties = [], each, engine, begin }: Watch = {}): Ran {
  let { world } = start(setting, engine);
  begin?.(world);
  let [frames, insns] = [0, 0];
  let story = 0;
  for (let choice = system.next(world); choice !== undefined; choice = system.next(world)) {
    const done = system.step(world, choice);
    ({ world } = done);
    for (const property of properties) {
      const wrong = property.check(world, done.frame);
      if (wrong !== undefined) throw new Error(`${textOf(setting)}, frame ${frames} (${system.describeChoice(choice)}): ${property.name}: ${wrong}`);
    }
    each?.(done.frame, world, frames);
    insns += done.frame.insns;
    story = mixed(mixed(story, frameSum(done.frame)), done.frame.events.reduce((sum, { event }) => mixed(sum, nameSum(event)), 0));
    frames++;
  }
  return { ...judge(setting.scenario, world), fingerprint: system.fingerprint(world), story, frames, insns, timeNs: world.state.clock, console: world.state.console };
}

const mixed = (sum: number, value: number): number => Math.imul((sum << 5 | sum >>> 27) ^ value, 0x9e37_79b1);

const nameSums = new Map<string, number>();
function nameSum(name: string): number {
  let sum = nameSums.get(name);
  if (sum === undefined) nameSums.set(name, sum = [...name].reduce((so, letter) => mixed(so, letter.codePointAt(0)!), 0));
  return sum;
}

const ran = new Map<string, Ran>();

/** A plain run of a setting: each is run once for a file of tests. */
export function plainRun(setting: Setting): Ran {
  const key = textOf(setting);
  let result = ran.get(key);
  if (result === undefined) ran.set(key, result = runToEnd(setting));
  return result;
}

/** True when the long variants of simulation tests were asked for: `npm run simulate`. */
export const THOROUGH = process.env.ZENO_SIMULATE !== undefined;

/** The seed of this run's random choices: ZENO_SEED, or `usual`. Printed by whoever fails. */
export const seedOr = (usual: number): number => Number(process.env.ZENO_SEED ?? usual);
