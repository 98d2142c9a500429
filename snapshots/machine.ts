/** The World as history, timeline and explore see it: how it moves, how it is kept, compared, cut and edited. */

import { nextDeadline } from '../machines/aarch64/generic-timer.ts';
import { BLOCK_BYTES, Word } from '../machines/aarch64/state.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { hash128, hashText } from '../machines/memory/hash.ts';
import { clearPages, hashTree, pageOf, type PageTree } from '../machines/memory/page-tree.ts';
import { PAGE_BYTES, regionNamed } from '../machines/memory/memory.ts';
import { combine, hashImmutable, hashValue } from './fingerprint.ts';
import type { System } from './system.ts';
import { choices, describeChoice, next, type Choice } from '../actors/choices.ts';
import { landmarks } from '../actors/events.ts';
import { registersOf } from '../actors/registers.ts';
import { applyPatch, type Patch } from '../actors/patch.ts';
import { step } from '../actors/step.ts';
import { enter, keep, machinesOf, treeOf, type World, type WorldEvent, type WorldState } from '../actors/world.ts';

export type ZenoSystem = System<World, Choice, WorldEvent>;

/** A World's moves. `stepwise` makes L0's steps one by one the default, for comparing with the fused ones. */
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
    view,
    pages: (world) => machinesOf(world).map(treeOf),
    pagesCopied: (world) => machinesOf(world).reduce((sum, { engine }) => sum + engine.board.memory.copies, 0),
  };
}

interface View extends WorldState {
  readonly registers: readonly Readonly<Record<string, bigint>>[];
  /** The other machines of the World, machine 1 first, and whose turn it is. */
  readonly machines?: readonly View[];
  readonly machineTurn?: number;
}

/** The plain state, and each vCPU's registers by name. */
function view(world: World): View {
  if (world.several !== undefined) {
    const [first, ...others] = world.several.machines.map(view) as [View, ...View[]];
    return { ...first, machines: others, machineTurn: world.several.turn };
  }
  const tree = treeOf(world);
  return { ...world.state, registers: world.engine.board.cores.map(({ index }) => registersOf(world.engine, tree, index)) };
}

function stepwise(world: World): Choice | undefined {
  enter(world);
  const choice = next(world);
  return choice?.type === 'l0' ? { ...choice, steps: 1 } : choice;
}

/** Everything: the plain state and all of memory, the vCPUs' blocks and L0's pages with it. */
export function fingerprint(world: World): string {
  if (world.several !== undefined) return combine([...world.several.machines.map(fingerprint), String(world.several.turn)]);
  return combine([hashState(world.state), hashTree(treeOf(world))]);
}

/**
 * For search: worlds with equal keys have the same futures. Times are relative to now; totals (instructions, exits, the
 * clock itself) are left out, and whose turn it is, which only orders the choices. Sound as long as what follows reads no counter: the scenario that explores says so.
 */
export function stateKey(world: World): string {
  enter(world);
  if (world.several !== undefined) return combine(world.several.machines.map(stateKey));
  const { state } = world;
  const alarms = state.alarms.map((alarm) => ({ ...alarm, deadlineNs: alarm.deadlineNs - state.clock }));
  // Comparators in the hardware are alarms too, and so is the time of WFIT and WFET.
  const deadlines = world.engine.board.cores.map(nextDeadline).map((at) => (at === undefined ? null : at - state.clock));
  const waits = world.engine.board.cores.map(({ words }) => (words[Word.WAIT_UNTIL] === 0n ? null : Number(words[Word.WAIT_UNTIL]) - state.clock));
  const rest = { ...state, alarms, deadlines, waits, clock: 0, turn: { vcpu: 0, left: 0 } };
  return combine([hashState(rest, (address, actor) => (address.startsWith('kvm:') ? withoutTotals(actor as KvmState) : actor)), memoryKey(world, treeOf(world))]);
}

/** Each actor is hashed once for as long as it does not change. */
function hashState(state: WorldState, seen: (address: string, actor: object) => object = (_, actor) => actor): string {
  const { actors, ...rest } = state;
  return combine([hashValue(rest), ...Object.entries(actors).map(([address, actor]) => `${address} ${hashImmutable(seen(address, actor as object))}`)]);
}

/** L0's state of a vCPU without its exit counts, made once for each. */
function withoutTotals(kvm: KvmState): KvmState {
  let bare = bareStates.get(kvm);
  if (bare === undefined) bareStates.set(kvm, bare = { ...kvm, exits: 0, nestedExits: 0 });
  return bare;
}
const bareStates = new WeakMap<KvmState, KvmState>();

/** The memory without the vCPU blocks' totals: the tree without the first page of each block, and those pages with ATTEMPTED, UNRETIRED and the time of a wait left out, and the PMU's marks relative to them. */
function memoryKey(world: World, tree: PageTree): string {
  const { memory } = world.engine.board;
  const blocks = regionNamed(memory, 'vcpus');
  const masked: string[] = [];
  let rest = tree;
  for (let offset = blocks.offset; offset < blocks.offset + blocks.bytes; offset += BLOCK_BYTES) {
    const page = offset / PAGE_BYTES;
    scratch.set(pageOf(tree, page));
    if (scratchWords[Word.PMU_CYCLES] !== 0n) {
      scratchWords[Word.PMU_RETIRED] = scratchWords[Word.ATTEMPTED]! - scratchWords[Word.UNRETIRED]! - scratchWords[Word.PMU_RETIRED]!;
      scratchWords[Word.PMU_CYCLES] = 1n + scratchWords[Word.ATTEMPTED]! - scratchWords[Word.PMU_CYCLES]!;
    }
    scratchWords[Word.ATTEMPTED] = 0n;
    scratchWords[Word.UNRETIRED] = 0n;
    scratchWords[Word.WAIT_UNTIL] = 0n;
    masked.push(hashText(hash128(scratch, 10)));
    rest = clearPages(rest, page, 1);
  }
  return combine([...masked, hashTree(rest)]);
}
const scratch = new Uint8Array(PAGE_BYTES);
const scratchWords = new BigUint64Array(scratch.buffer);
