/** The World as history, timeline and explore see it: how it moves, how it is kept, compared, cut and edited. */

import { BLOCK_BYTES, Word } from '../machines/aarch64/state.ts';
import { clearPages, hashTree, pageOf, type PageTree } from '../machines/memory/page-tree.ts';
import { regionNamed } from '../machines/memory/memory.ts';
import { combine, hashImmutable, hashValue } from './fingerprint.ts';
import type { System } from './system.ts';
import { choices, describeChoice, next, type Choice } from '../actors/choices.ts';
import { landmarks } from '../actors/events.ts';
import { applyPatch, type Patch } from '../actors/patch.ts';
import { step } from '../actors/step.ts';
import { enter, keep, treeOf, type World, type WorldEvent, type WorldState } from '../actors/world.ts';

export type ZenoSystem = System<World, Choice, WorldEvent>;

/** One machine's moves. `stepwise` makes L0's steps one by one the default, for comparing with the fused ones. */
export function systemOf(options: { readonly stepwise?: boolean } = {}): ZenoSystem {
  return {
    next: options.stepwise ? stepwise : (world) => { enter(world); return next(world); },
    choices: (world) => { enter(world); return choices(world); },
    step,
    keep,
    fingerprint,
    stateKey,
    describeChoice,
    split: (choice, insns) => (choice.type === 'run' && insns < choice.insns ? { ...choice, insns } : undefined),
    patch: (world, patch) => applyPatch(world, patch as Patch),
    external: (choice) => choice.type === 'input',
    landmarks,
    vcpuOf: (choice) => (choice.type === 'run' || choice.type === 'slice' ? choice.vcpu : undefined),
    view: (world) => world.state,
    pages: treeOf,
  };
}

function stepwise(world: World): Choice | undefined {
  enter(world);
  const choice = next(world);
  return choice?.type === 'l0' ? { ...choice, steps: 1 } : choice;
}

/** Everything: the plain state and all of memory, the vCPUs' blocks and L0's pages with it. */
export function fingerprint(world: World): string {
  return combine([hashState(world.state, world.state), hashTree(treeOf(world))]);
}

/**
 * For search: worlds with equal keys have the same futures. Times are relative to now; totals (instructions, exits, the
 * clock itself) are left out, and whose turn it is, which only orders the choices. Sound as long as what follows reads no counter: the scenario that explores says so.
 */
export function stateKey(world: World): string {
  const { state } = world;
  const actors = Object.fromEntries(Object.entries(state.actors).map(([address, actor]) => [address, address.startsWith('kvm:') ? { ...(actor as object), exits: 0, nestedExits: 0 } : actor]));
  const relative = state.alarms.map((alarm) => ({ ...alarm, deadlineNs: alarm.deadlineNs - state.clock }));
  return combine([hashState({ ...state, actors, alarms: relative, clock: 0, turn: { vcpu: 0, left: 0 } }, { ...state, actors }), memoryKey(world, treeOf(world))]);
}

/** Each actor is hashed once for as long as it does not change. */
function hashState(state: WorldState, source: WorldState): string {
  const { actors: _actors, ...rest } = state;
  return combine([hashValue(rest), ...Object.entries(source.actors).map(([address, actor]) => `${address} ${hashImmutable(actor as object)}`)]);
}

/** The memory without the vCPU blocks' totals: the tree as it is, and each block with ATTEMPTED left out. */
function memoryKey(world: World, tree: PageTree): string {
  const { memory } = world.engine.board;
  const blocks = regionNamed(memory, 'vcpus');
  const first = blocks.offset / 4096;
  const masked: string[] = [];
  const pages = blocks.bytes / 4096;
  for (let page = 0; page < pages; page++) {
    const bytes = pageOf(tree, first + page).slice();
    if (page % (BLOCK_BYTES / 4096) === 0) bytes.fill(0, 8 * Word.ATTEMPTED, 8 * Word.ATTEMPTED + 8);
    masked.push(hashValue(bytes));
  }
  return combine([...masked, hashTree(clearPages(tree, first, pages))]);
}
