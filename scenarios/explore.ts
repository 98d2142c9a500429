/** Exploration of a scenario: every order of what its vCPUs and L0 can do next, between stated choice points. */

import { choices, next, type Choice } from '../actors/choices.ts';
import { STOP_CLASSES, type StopClass } from '../machines/aarch64/exit.ts';
import { step } from '../actors/step.ts';
import { enter, keep, type World } from '../actors/world.ts';
import { explore, type Counts, type Explored } from '../snapshots/explore.ts';
import { systemOf, type ZenoSystem } from '../snapshots/machine.ts';
import type { Prepared } from './scenario.ts';

export interface ExploreRequest {
  readonly strategy: 'exhaustive' | 'random';
  readonly seed?: number;
  readonly depthMax?: number;
  readonly schedulesMax?: number;
  readonly minimiseStepsMax?: number;
  readonly transitionsMax?: number;
  readonly deadline?: () => boolean;
  readonly progress?: (counts: Counts) => void;
}

/** Where a schedule may change hands. A run between two of them is atomic. */
export interface ChoicePoints {
  readonly classes: readonly StopClass[];
  /** Physical pages that several vCPUs touch and at least one writes, found by running and confirmed by the search itself. */
  readonly sharedPages: readonly number[];
  readonly everyExit: true;
  readonly everyL0Step: true;
  readonly preemptionOfL0: 'on its way into a wait';
}

export interface ExploredScenario extends Explored<Choice> {
  readonly choicePoints: ChoicePoints;
  /** The choices from boot to where the search began, then those of each violation: a recording of it. */
  readonly prefix: readonly Choice[];
}

/** Instruction classes before which a schedule may change hands: what orders memory between vCPUs. */
const CLASSES: readonly StopClass[] = STOP_CLASSES.filter((name) => name === 'exclusive' || name === 'atomic' || name === 'barrier');

/** Times that the search starts again because it found pages to be shared that were not known to be. */
const ROUNDS_MAX = 8;

/** Explores `prepared` from the place that its scenario names, or from its World where it names none. */
export function exploreScenario(prepared: Prepared, request: ExploreRequest): ExploredScenario {
  const { engine } = prepared.world;
  const sharing = new Sharing(engine.options.vcpus);
  engine.stops = { classes: new Set(CLASSES), pages: sharing.shared };
  const { world: start, prefix } = runToStart(prepared);
  const origin = keep(start);
  const system = observed(systemOf(), sharing);
  rehearse(system, origin);
  for (let round = 0; ; round++) {
    const known = sharing.adopt();
    const result = explore(system, origin, prepared.claims, { ...request, violationsMax: 1 });
    if (sharing.found() === known || result.violations.length > 0 || !result.complete || round === ROUNDS_MAX) {
      const complete = result.complete && sharing.found() === known;
      return {
        ...result, complete, prefix,
        choicePoints: { classes: CLASSES, sharedPages: [...sharing.shared].sort((a, b) => a - b), everyExit: true, everyL0Step: true, preemptionOfL0: 'on its way into a wait' },
      };
    }
  }
}

/** Runs each vCPU up to where the scenario's interesting part begins, those that are not there yet first. */
function runToStart(prepared: Prepared): { world: World; prefix: Choice[] } {
  const { scenario } = prepared;
  const prefix: Choice[] = [];
  let { world } = prepared;
  if (scenario.explorePlace === undefined) return { world, prefix };
  const arrived = new Set<number>();
  const { vcpus } = world.engine.options;
  while (arrived.size < vcpus) {
    enter(world);
    const options = choices(world);
    const choice = options.find((candidate) => 'vcpu' in candidate && candidate.type !== 'preempt' && !arrived.has(candidate.vcpu)) ?? next(world);
    if (choice === undefined) throw new Error(`${scenario.name} ended before every vCPU reached the place where exploration begins`);
    const done = step(world, choice);
    world = done.world;
    prefix.push(done.frame.choice);
    for (const event of done.frame.events) {
      const vcpu = scenario.explorePlace(event);
      if (vcpu !== undefined) arrived.add(vcpu);
    }
  }
  return { world, prefix };
}

/** One default run, so that the first search knows most of the shared pages. */
function rehearse(system: ZenoSystem, origin: World): void {
  let world = origin;
  for (;;) {
    const choice = system.choices(world)[0];
    if (choice === undefined) return;
    ({ world } = system.step(world, choice));
  }
}

/** The system, watching which pages each vCPU touches. */
function observed(system: ZenoSystem, sharing: Sharing): ZenoSystem {
  return {
    ...system,
    step(world, choice) {
      const result = system.step(world, choice);
      if (choice.type === 'slice') sharing.note(choice.vcpu, result.world);
      return result;
    },
  };
}

/** Which pages of RAM are touched by which vCPU. */
class Sharing {
  /** The pages that runs stop at. The engine holds the same set. */
  readonly shared = new Set<number>();
  readonly #read: Set<number>[];
  readonly #written: Set<number>[];

  constructor(vcpus: number) {
    this.#read = Array.from({ length: vcpus }, () => new Set());
    this.#written = Array.from({ length: vcpus }, () => new Set());
  }

  note(vcpu: number, world: World): void {
    const { board } = world.engine;
    if (board.footprint === undefined) return;
    for (const page of board.footprint.read) this.#read[vcpu]!.add(page);
    for (const page of board.footprint.written) this.#written[vcpu]!.add(page);
  }

  /** How many pages are known to be shared: touched by two, written by one. */
  found(): number {
    return this.#pages().length;
  }

  /** Makes every page found a stop. Returns how many there are. */
  adopt(): number {
    const pages = this.#pages();
    for (const page of pages) this.shared.add(page);
    return pages.length;
  }

  #pages(): number[] {
    const all = new Set<number>();
    for (const [writer, pages] of this.#written.entries()) {
      for (const page of pages) {
        if (this.#read.some((read, other) => other !== writer && (read.has(page) || this.#written[other]!.has(page)))) all.add(page);
      }
    }
    return [...all];
  }
}

