/** A reset of the machine: images, registers and devices are as they were at boot, and the clock, the console and what keeps its contents without power go on. */

import type { KvmState } from '../machines/kvm/state.ts';
import { markDirty, PAGE_BYTES } from '../machines/memory/memory.ts';
import { diffTrees, capture, pageOf, restore } from '../machines/memory/page-tree.ts';
import type { RtcState } from '../machines/rtc/state.ts';
import { kindOf } from './actor.ts';
import { isDiskRegion } from './disk.ts';
import { flashRegion } from './flash.ts';
import type { PsciState } from './psci.ts';
import { forgetDerived, type Engine, type WorldState } from './world.ts';
import type { Address } from '../machines/messages.ts';

/** What of an actor outlives a reset, by its kind: its state then, from that at boot and that before. Of those that are not here nothing does. */
const OUTLIVES: Readonly<Record<string, (fresh: never, before: never) => unknown>> = {
  // A clock with a battery, and the board's sources of chance.
  rtc: (fresh: RtcState, before: RtcState): RtcState => ({ ...fresh, offsetSeconds: before.offsetSeconds }),
  psci: (fresh: PsciState, before: PsciState): PsciState => ({ ...fresh, entropy: before.entropy }),
  kvm: (fresh: KvmState, before: KvmState): KvmState => ({ ...fresh, entropy: before.entropy }),
};

/** The bank whose cells firmware keeps its variables in. The other is as the image was. */
const VARIABLES = 1;

/** Puts the machine in linear memory back to where it was booted, and returns its actors. */
export function restart(engine: Engine, actors: WorldState['actors']): WorldState['actors'] {
  const { memory } = engine.board;
  const before = capture(memory, engine.tree);
  // Disks keep what was written to them.
  const kept = memory.regions.filter(({ name }) => name === flashRegion(VARIABLES) || isDiskRegion(name));
  const inKept = (page: number): boolean => kept.some(({ offset, bytes }) => page * PAGE_BYTES >= offset && page * PAGE_BYTES < offset + bytes);
  const cells = diffTrees(before, engine.start.tree).filter(inKept).map((page) => ({ page, bytes: pageOf(before, page).slice() }));
  restore(memory, before, engine.start.tree);
  engine.tree = engine.start.tree;
  for (const { page, bytes } of cells) {
    markDirty(memory, page * PAGE_BYTES);
    memory.bytes.set(bytes, page * PAGE_BYTES);
  }
  const after = Object.fromEntries(Object.entries(engine.start.actors).map(([address, fresh]) => [address, OUTLIVES[kindOf(address as Address)]?.(fresh as never, actors[address] as never) ?? fresh]));
  forgetDerived(engine, after);
  return after;
}
