/** A path: choices from a kept world. Replayed, checked, and made short enough to be told. */

import { encode } from './codec.ts';
import { brokenAtEnd, brokenBy, type Broken, type Claims } from './property.ts';
import type { System } from './system.ts';

/** Two choices are the same when their encoded forms are. */
export const choiceKey = (choice: unknown): string => String.fromCharCode(...encode(choice));

export interface Told<World, Choice> {
  /** The choices asked for, up to and with the one that broke a claim. */
  readonly asked: readonly Choice[];
  /** The same as the frames name them: what a recording holds, and what replays without the search's stop rules. */
  readonly choices: readonly Choice[];
  /** How many of them were not the default: what `next` says, or the first of `choices` where a search does not offer that. */
  readonly deviations: number;
  readonly broken: Broken | undefined;
  readonly world: World;
}

/** Takes `choices` from `origin` (a kept world), one after the other, until a claim breaks. Throws RangeError at a choice that cannot be made there. */
export function followPath<World, Choice, Event>(system: System<World, Choice, Event>, origin: World, choices: readonly Choice[], claims: Claims<World, Choice, Event>): Told<World, Choice> {
  return tell(system, origin, choices, claims, 'strict', 0);
}

export interface MinimiseOptions {
  /** Most steps in all. */
  readonly stepsMax?: number;
  /** True when time is up. */
  readonly deadline?: () => boolean;
}

/**
 * A path that breaks the same property with as few choices as possible that are not the default, and then as few steps as
 * possible: stretches are dropped and deviations undone (delta debugging), the rest of the path followed where it still
 * applies and the run taken on by default. Deterministic. `choices` must break a claim.
 */
export function minimise<World, Choice, Event>(
  system: System<World, Choice, Event>, origin: World, choices: readonly Choice[], claims: Claims<World, Choice, Event>, options: MinimiseOptions = {},
): Told<World, Choice> {
  const { stepsMax = 1_000_000, deadline = () => false } = options;
  let best = followPath(system, origin, choices, claims);
  const property = best.broken?.property;
  if (property === undefined) throw new RangeError('a path that breaks nothing cannot be minimised');
  const lengthMax = 2 * best.choices.length;
  let steps = 0;
  const attempt = (candidate: readonly Choice[]): boolean => {
    const told = tell(system, origin, candidate, claims, 'lenient', lengthMax);
    steps += told.choices.length;
    if (told.broken?.property !== property) return false;
    if (told.deviations > best.deviations || (told.deviations === best.deviations && told.choices.length >= best.choices.length)) return false;
    best = told;
    return true;
  };
  const isOver = (): boolean => steps > stepsMax || deadline();
  for (let improved = true; improved && !isOver();) {
    improved = false;
    for (let size = Math.max(1, best.choices.length >> 1); size >= 1; size >>= 1) {
      for (let from = 0; from < best.choices.length && !isOver();) {
        const path = best.asked;
        // Without the stretch; and with nothing after it but defaults.
        if (attempt([...path.slice(0, from), ...path.slice(from + size)]) || (size === 1 && attempt(path.slice(0, from)))) improved = true;
        else from += size;
      }
    }
  }
  return best;
}

/** Strict: every choice must apply. Lenient: those that do not are passed over, and defaults follow up to `lengthMax` steps. */
function tell<World, Choice, Event>(
  system: System<World, Choice, Event>, origin: World, choices: readonly Choice[], claims: Claims<World, Choice, Event>, mode: 'strict' | 'lenient', lengthMax: number,
): Told<World, Choice> {
  let world = origin;
  const asked: Choice[] = [];
  const taken: Choice[] = [];
  let deviations = 0;
  const told = (broken: Broken | undefined): Told<World, Choice> => ({ asked, choices: taken, deviations, broken, world });
  const take = (choice: Choice, isDefault: boolean): Broken | undefined => {
    const step = system.step(world, choice);
    world = step.world;
    asked.push(choice);
    taken.push(step.frame.choice);
    if (!isDefault) deviations++;
    return brokenBy(claims, world, step.frame);
  };
  for (const [index, choice] of choices.entries()) {
    const key = choiceKey(choice);
    const offered = system.choices(world);
    if (!offered.some((candidate) => choiceKey(candidate) === key)) {
      if (mode === 'lenient') continue;
      throw new RangeError(`choice ${index}, ${system.describeChoice(choice)}, cannot be made there`);
    }
    const broken = take(choice, choiceKey(usualAmong(system, world, offered)) === key);
    if (broken) return told(broken);
  }
  if (mode === 'lenient') {
    for (let offered = system.choices(world); offered.length > 0 && taken.length < lengthMax; offered = system.choices(world)) {
      const broken = take(usualAmong(system, world, offered), true);
      if (broken) return told(broken);
    }
  }
  return told(system.choices(world).length === 0 ? brokenAtEnd(claims, world) : undefined);
}

/** The default among the choices of a search. `offered` has one at least. */
function usualAmong<World, Choice, Event>(system: System<World, Choice, Event>, world: World, offered: readonly Choice[]): Choice {
  const usual = system.next(world);
  const key = usual === undefined ? undefined : choiceKey(usual);
  return offered.find((candidate) => choiceKey(candidate) === key) ?? offered[0]!;
}
