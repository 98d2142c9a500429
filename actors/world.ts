/** The World: one plain value that holds everything, and the engine that has one live World in its linear memory at a time. */

import type { Board } from '../machines/aarch64/board.ts';
import type { Stops } from '../machines/aarch64/exit.ts';
import { forgetDescriptors } from '../machines/memory/memory.ts';
import { capture, restore, type PageTree } from '../machines/memory/page-tree.ts';
import type { Address, Message, Out } from '../machines/messages.ts';
import type { Behaviour } from '../machines/kvm/behaviour.ts';
import type { Flavour, Mechanism } from '../machines/kvm/state.ts';
import { showFlash } from './flash.ts';

/** What happened, for the timeline. `event` is a KVM tracepoint's name where one exists; `level` is where the vCPU was. */
export interface WorldEvent {
  readonly event: string;
  readonly timeNs: number;
  readonly [field: string]: unknown;
}

export interface Envelope { readonly to: Address; readonly message: Message }
/** An armed alarm: it comes back to its actor as a message when the clock reaches it. */
export interface ArmedAlarm { readonly to: Address; readonly name: string; readonly deadlineNs: number }

export interface Outcome { readonly outcome: 'passed' | 'failed' | 'stopped'; readonly reason: string }

/** The plain part of a World: immutable, and with the memory all that there is. */
export interface WorldState {
  /** Every actor's state, in the order in which `boot` made them. */
  readonly actors: Readonly<Record<string, unknown>>;
  /** Messages not yet delivered, oldest first. */
  readonly mailbox: readonly Envelope[];
  /** By deadline, then by actor and name. */
  readonly alarms: readonly ArmedAlarm[];
  /** Virtual nanoseconds since boot. */
  readonly clock: number;
  /** Whose turn it is, and how many instructions of its quantum are left. */
  readonly turn: { readonly vcpu: number; readonly left: number };
  /** Console bytes that came in so far. */
  readonly inputBytes: number;
  /** The last characters that the consoles printed, the serial port and hvc0, at most CONSOLE_TAIL. */
  readonly console: string;
  /** Set when the machine was powered off or cannot go on. */
  readonly ended: { readonly by: 'off' | 'reset' | 'hole'; readonly reason: string } | null;
  readonly seed: number;
  /** Known bugs that L0 has now, by name: a patch may change them. */
  readonly variants: readonly string[];
}

export const CONSOLE_TAIL = 256;

/** What does not change while a machine runs. */
export interface MachineOptions {
  readonly vcpus: number;
  readonly el2: 'kvm' | 'guest' | 'none';
  readonly mechanism: Mechanism;
  readonly flavour: Flavour | 'both';
  /** Which machine of its World this is, from 0 on. */
  readonly machine: number;
  /** Instructions in a turn. */
  readonly quantum: number;
  /** Whether a reset that the guest asks for restarts the machine; otherwise it ends the run. */
  readonly reboot: boolean;
}

/** A machine: its board (linear memory and cores), its actors' handlers, and which World is in the memory now. */
export interface Engine {
  readonly options: MachineOptions;
  readonly board: Board;
  /** L0's behaviour with the variants that the machine was booted with. */
  readonly behaviour: Behaviour;
  readonly receive: (to: Address, state: unknown, message: Message, out: Out, variants: readonly string[]) => void;
  /** The World in linear memory; any other must be restored first. */
  live: World | undefined;
  /** The tree that linear memory equals, but for its dirty pages. */
  tree: PageTree;
  /** Stops for runs under exploration. */
  stops: Stops | undefined;
  /** What the machine is after a reset: as it was booted. */
  start: { readonly actors: WorldState['actors']; readonly tree: PageTree };
}

/** A World. Stepping it spends it, unless it was kept. */
export interface World {
  readonly engine: Engine;
  readonly state: WorldState;
  /** The memory, when the World was kept; of several machines each has its own. */
  readonly tree: PageTree | undefined;
  /** Of a World of several machines: all of them. Engine and state beside it are machine 0's. */
  readonly several?: Several;
}

/** Machines that share a clock and take turns, each a World of one machine. */
export interface Several {
  /** By number. All clocks are the same. */
  readonly machines: readonly World[];
  /** The machine whose turn it is. */
  readonly turn: number;
}

/** The World of these machines. */
export const together = (machines: readonly World[], turn: number): World => ({ engine: machines[0]!.engine, state: machines[0]!.state, tree: undefined, several: { machines, turn } });

/** The machines of a World, by number. */
export const machinesOf = (world: World): readonly World[] => world.several?.machines ?? [world];

/** The same World as an immutable value that can be stepped any number of times. Cost: O(pages dirtied). */
export function keep(world: World): World {
  if (world.tree !== undefined) return world;
  const { engine, several } = world;
  if (several !== undefined) {
    assertThere(several);
    const kept = several.machines.map(keep);
    return kept.every((machine, index) => machine === several.machines[index]) ? world : together(kept, several.turn);
  }
  assertLive(world);
  engine.tree = capture(engine.board.memory, engine.tree);
  const kept: World = { engine, state: world.state, tree: engine.tree };
  engine.live = kept;
  return kept;
}

/** Makes `world` the live one. Throws when it was spent: stepped without having been kept. */
export function enter(world: World): void {
  const { engine, several } = world;
  if (engine.live === world) return;
  if (several !== undefined) {
    assertThere(several);
    several.machines.forEach(enter);
    return;
  }
  if (world.tree === undefined) throw spent();
  restore(engine.board.memory, engine.tree, world.tree);
  engine.tree = world.tree;
  engine.live = world;
  forgetDerived(engine, world.state.actors);
  engine.board.now = world.state.clock;
}

/** Linear memory holds something else than before: what the board knew of it is forgotten, and what follows from `actors` is made anew. */
export function forgetDerived({ board }: Engine, actors: WorldState['actors']): void {
  for (const core of board.cores) {
    core.translation = undefined;
    core.end = undefined;
    core.deviceReplies.length = 0;
    core.attention = true;
  }
  forgetDescriptors(board.memory);
  showFlash(board, actors);
  board.outbox.length = 0;
  board.events.length = 0;
}

/** Throws unless `world` is what linear memory holds. */
export function assertLive(world: World): void {
  if (world.engine.live === world) return;
  if (world.several === undefined) throw spent();
  world.several.machines.forEach(assertLive);
}

/** Throws when one of the machines was spent. Asked before any of them is touched: another World may live in the others. */
function assertThere({ machines }: Several): void {
  for (const machine of machines) if (machine.tree === undefined) assertLive(machine);
}

const spent = (): Error => new Error('this world was spent: it was stepped without having been kept');

/** The memory of a machine: captures what is dirty when it is the live one. */
export function treeOf(world: World): PageTree {
  if (world.tree !== undefined) return world.tree;
  assertLive(world);
  const { engine } = world;
  engine.tree = capture(engine.board.memory, engine.tree);
  return engine.tree;
}

/** The state of actor `address`, of the type that its machine has. Throws RangeError when the machine has no such actor. */
export function actorOf<S>(state: WorldState, address: Address): S {
  const found = state.actors[address];
  if (found === undefined) throw new RangeError(`this machine has no actor ${address}`);
  return found as S;
}

