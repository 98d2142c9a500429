/** What must hold: named claims about a world after each frame, and about how a run may end. */

import type { Frame } from './system.ts';

/** `check` returns what is wrong, or undefined. It only reads the world. */
export interface Property<World, Choice, Event> {
  readonly name: string;
  check(world: World, frame: Frame<Choice, Event>): string | undefined;
}

/** Looked at where no choice is left: what is wrong with ending here (a deadlock, a lost wake-up), or undefined. */
export interface EndProperty<World> {
  readonly name: string;
  check(world: World): string | undefined;
}

/** What must hold in a run or a search. */
export interface Claims<World, Choice, Event> {
  readonly always?: readonly Property<World, Choice, Event>[];
  readonly atEnd?: readonly EndProperty<World>[];
}

export interface Broken { readonly property: string; readonly message: string }

/** The first claim, in the order given, that a frame breaks. */
export function brokenBy<World, Choice, Event>(claims: Claims<World, Choice, Event>, world: World, frame: Frame<Choice, Event>): Broken | undefined {
  for (const property of claims.always ?? []) {
    const message = property.check(world, frame);
    if (message !== undefined) return { property: property.name, message };
  }
  return undefined;
}

/** The first claim that ending in this world breaks. */
export function brokenAtEnd<World, Choice, Event>(claims: Claims<World, Choice, Event>, world: World): Broken | undefined {
  for (const property of claims.atEnd ?? []) {
    const message = property.check(world);
    if (message !== undefined) return { property: property.name, message };
  }
  return undefined;
}
