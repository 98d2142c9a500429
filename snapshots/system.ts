/** What history, timeline, path and explore need to know of a world: how it moves, how it is kept, how it is compared. */

import type { PageTree } from '../machines/memory/page-tree.ts';

/**
 * A deterministic system. A world is a value by contract and a lease by implementation: `step` consumes the world it is
 * given unless `keep` returned it, and a spent world throws when it is used. `fingerprint`, `stateKey`, `next`, `choices`
 * and the like only read. Choices are plain values (see codec.ts).
 */
export interface System<World, Choice, Event> {
  /** The default choice, or undefined when the run has ended. */
  next(world: World): Choice | undefined;
  /** All that may happen next, in a stated order: what a search asks for, which may be more general than what frames then name. Empty exactly when `next` is undefined. */
  choices(world: World): readonly Choice[];
  step(world: World, choice: Choice): Step<World, Choice, Event>;
  /** The same world, immutable: it can be stepped any number of times. The world given is spent; use the one returned. */
  keep(world: World): World;
  /** A sum of everything: equal sums prove a replay. */
  fingerprint(world: World): string;
  /** A sum for search: equal for worlds with the same futures (alarms relative to now, totals left out); what properties look at belongs to it. */
  stateKey(world: World): string;
  describeChoice(choice: Choice): string;

  /** The part of a run choice that attempts `insns` instructions, fewer than the whole did; undefined when the choice cannot be cut. Needed for `insn:` and `time:` positions inside a frame. */
  split?(choice: Choice, insns: number): Choice | undefined;
  /** The world with an edit made by hand. `patch` is a plain value. Consumes its world as `step` does. */
  patch?(world: World, patch: unknown): World;
  /** True for what came from outside (console input): it is on disk before the run goes on. */
  external?(choice: Choice): boolean;
  /** The names that positions count for this event: `exit`, `nested`, `irq:27`. */
  landmarks?(event: Event): readonly string[];
  /** The vCPU that a choice runs, if it runs one. Needed for `vcpuK:insn:` positions. */
  vcpuOf?(choice: Choice): number | undefined;
  /** The state as plain values, for showing and for comparing by name. */
  view?(world: World): unknown;
  /** The memory of the world, each of its machines' own. May capture what is dirty; does not otherwise change the world. */
  pages?(world: World): readonly PageTree[];
  /** How many pages were copied so far for kept worlds, since what is live was about to change them. */
  pagesCopied?(world: World): number;
}

export interface Step<World, Choice, Event> { readonly world: World; readonly frame: Frame<Choice, Event> }

/** What one step did. `choice` is what a log holds: it repeats the step without any setting of a search. `timeNs` is the virtual clock after it; `insns` counts the instructions attempted in it. */
export interface Frame<Choice, Event> {
  readonly choice: Choice;
  readonly timeNs: number;
  readonly insns: number;
  readonly events: readonly Event[];
}
