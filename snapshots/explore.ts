/** Search through what could happen: every order of choices, or random ones, for a world in which a claim does not hold. */

import { minimise } from './path.ts';
import { brokenAtEnd, brokenBy, type Broken, type Claims } from './property.ts';
import type { System } from './system.ts';

export interface ExploreOptions {
  /** `exhaustive`: depth first, each state once. `random`: schedules drawn from `seed`, until a budget is spent. */
  readonly strategy: 'exhaustive' | 'random';
  readonly seed?: number;
  /** Most choices in a schedule. */
  readonly depthMax?: number;
  /** Budgets: steps taken, schedules begun, and a clock of the caller's (asked before each step). */
  readonly transitionsMax?: number;
  readonly schedulesMax?: number;
  readonly deadline?: () => boolean;
  /** Most steps spent on making a violation shorter. Default 150,000. */
  readonly minimiseStepsMax?: number;
  /** The search ends when this many properties have been broken. Default 1. */
  readonly violationsMax?: number;
  /** Told now and then: after each schedule. */
  readonly progress?: (explored: Counts) => void;
}

export interface Counts {
  /** Executions that ended, broke a claim or came to a state seen before. */
  readonly schedules: number;
  /** Distinct states by stateKey, the origin included. */
  readonly states: number;
  /** Steps taken. */
  readonly transitions: number;
  /** The most choices on one schedule. */
  readonly depth: number;
}

export interface Violation<Choice> extends Broken {
  /** The choices asked for when it was first found. */
  readonly found: readonly Choice[];
  /** Minimised, as asked for: followPath leads from the origin to the same broken property. */
  readonly asked: readonly Choice[];
  /** The same as the frames name them: to be taken by a history, so that the violation becomes a recording. */
  readonly choices: readonly Choice[];
  /** How many of `choices` are not the default. */
  readonly deviations: number;
}

export interface Explored<Choice> extends Counts {
  readonly strategy: ExploreOptions['strategy'];
  /** One for each property that was broken, in the order found. */
  readonly violations: readonly Violation<Choice>[];
  /** True when every reachable state was visited: no budget, depth or violation cut the search. Never true of a random one. */
  readonly complete: boolean;
}

/** Explores from `origin`, which is consumed. */
export function explore<World, Choice, Event>(
  system: System<World, Choice, Event>, origin: World, claims: Claims<World, Choice, Event>, options: ExploreOptions,
): Explored<Choice> {
  const start = system.keep(origin);
  const search: Search<World, Choice, Event> = {
    system, claims, options, start, counts: { schedules: 0, states: 0, transitions: 0, depth: 0 }, seen: new Map(), violations: [], cut: false,
  };
  const first = system.choices(start).length === 0 ? brokenAtEnd(claims, start) : undefined;
  if (first) report(search, first, []);
  (options.strategy === 'exhaustive' ? exhaustive : random)(search);
  return { strategy: options.strategy, ...search.counts, violations: search.violations, complete: options.strategy === 'exhaustive' && !search.cut };
}

interface Search<World, Choice, Event> {
  readonly system: System<World, Choice, Event>;
  readonly claims: Claims<World, Choice, Event>;
  readonly options: ExploreOptions;
  readonly start: World;
  readonly counts: { schedules: number; states: number; transitions: number; depth: number };
  /** By state key, the least depth at which the state was seen. */
  readonly seen: Map<string, number>;
  readonly violations: Violation<Choice>[];
  cut: boolean;
}

/** A world with choices left to take. `world` is kept when there are several. */
interface Node<World, Choice> { readonly world: World; readonly choices: readonly Choice[]; at: number }

function exhaustive<World, Choice, Event>(search: Search<World, Choice, Event>): void {
  const { system, options } = search;
  const depthMax = options.depthMax ?? Infinity;
  const stack: Node<World, Choice>[] = [];
  const path: Choice[] = [];
  see(search, search.start, 0);
  stack.push({ world: search.start, choices: system.choices(search.start), at: 0 });
  while (stack.length > 0) {
    const node = stack.at(-1)!;
    const choice = node.choices[node.at];
    if (choice === undefined) {
      stack.pop();
      path.pop();
      continue;
    }
    if (isOver(search)) { search.cut = true; return; }
    node.at++;
    path.push(choice);
    const { world, broken } = advance(search, node.world, choice, path.length);
    if (broken) {
      ended(search);
      report(search, broken, path);
      // What lies behind a broken claim is not looked at.
      search.cut = true;
      if (search.violations.length >= (options.violationsMax ?? 1)) return;
      path.pop();
      continue;
    }
    const isNew = see(search, world, path.length);
    const choices = system.choices(world);
    if (!isNew || choices.length === 0 || path.length >= depthMax) {
      if (isNew && choices.length > 0) search.cut = true;
      ended(search);
      const atEnd = isNew && choices.length === 0 ? brokenAtEnd(search.claims, world) : undefined;
      if (atEnd) {
        report(search, atEnd, path);
        if (search.violations.length >= (options.violationsMax ?? 1)) { search.cut ||= stack.some((open) => open.at < open.choices.length); return; }
      }
      path.pop();
      continue;
    }
    stack.push({ world: choices.length > 1 ? system.keep(world) : world, choices, at: 0 });
  }
}

function random<World, Choice, Event>(search: Search<World, Choice, Event>): void {
  const { system, options } = search;
  const depthMax = options.depthMax ?? 10_000;
  const schedulesMax = options.schedulesMax ?? Infinity;
  if (schedulesMax === Infinity && options.transitionsMax === undefined && options.deadline === undefined) throw new RangeError('a random search needs a budget: schedulesMax, transitionsMax or deadline');
  const draw = generator(options.seed ?? 1);
  see(search, search.start, 0);
  if (system.choices(search.start).length === 0) return;
  for (let schedule = 0; schedule < schedulesMax && !isOver(search); schedule++) {
    let world = search.start;
    const path: Choice[] = [];
    for (;;) {
      const choices = system.choices(world);
      if (choices.length === 0 || path.length >= depthMax || isOver(search)) {
        const atEnd = choices.length === 0 ? brokenAtEnd(search.claims, world) : undefined;
        if (atEnd) report(search, atEnd, path);
        break;
      }
      const choice = choices[draw(choices.length)]!;
      path.push(choice);
      const step = advance(search, world, choice, path.length);
      world = step.world;
      see(search, world, path.length);
      if (step.broken) { report(search, step.broken, path); break; }
    }
    ended(search);
    if (search.violations.length >= (options.violationsMax ?? 1)) return;
  }
}

function advance<World, Choice, Event>(search: Search<World, Choice, Event>, from: World, choice: Choice, depth: number): { world: World; broken: Broken | undefined } {
  const { world, frame } = search.system.step(from, choice);
  search.counts.transitions++;
  search.counts.depth = Math.max(search.counts.depth, depth);
  return { world, broken: brokenBy(search.claims, world, frame) };
}

/** True when the world has to be looked into: it is new, or was only seen deeper down, where less of its future fits. */
function see<World, Choice, Event>(search: Search<World, Choice, Event>, world: World, depth: number): boolean {
  const key = search.system.stateKey(world);
  const before = search.seen.get(key);
  if (before !== undefined && (before <= depth || search.options.depthMax === undefined)) return false;
  search.seen.set(key, depth);
  if (before === undefined) search.counts.states++;
  return true;
}

function ended<World, Choice, Event>(search: Search<World, Choice, Event>): void {
  search.counts.schedules++;
  search.options.progress?.(search.counts);
}

const isOver = <World, Choice, Event>({ counts, options }: Search<World, Choice, Event>): boolean =>
  counts.transitions >= (options.transitionsMax ?? Infinity) || counts.schedules >= (options.schedulesMax ?? Infinity) || options.deadline?.() === true;

/** Minimises and files the first path to each broken property. */
function report<World, Choice, Event>(search: Search<World, Choice, Event>, broken: Broken, path: readonly Choice[]): void {
  if (search.violations.some((violation) => violation.property === broken.property)) return;
  const found = [...path];
  const deadline = search.options.deadline;
  const told = minimise(search.system, search.start, found, search.claims, { stepsMax: search.options.minimiseStepsMax ?? 150_000, ...(deadline ? { deadline } : {}) });
  search.violations.push({ property: broken.property, message: told.broken!.message, found, asked: told.asked, choices: told.choices, deviations: told.deviations });
}

/** Numbers from 0 to below `limit`, from a seed: SplitMix32. */
export function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x9e37_79b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * limit);
  };
}
