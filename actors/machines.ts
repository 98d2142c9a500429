/** Several machines of one World: how they end, what crosses between them, and how all come to the same instant. docs/decisions/0012-machines-of-a-world.md */

import { splitMix64 } from '../machines/bits.ts';
import type { NetState, VirtioState } from '../machines/virtio/state.ts';
import type { World, WorldState } from './world.ts';
import { deviceOf } from './virtio-devices.ts';

/** How many machines a World can have. */
export const MACHINES_MAX = 8;

/** The seed of machine `machine`, from the World's, which machine 0 has as it is. */
export const seedOf = (seed: number, machine: number): number => (machine === 0 ? seed : Number(splitMix64((BigInt(machine) << 56n) ^ BigInt(seed)).word >> (64n - SEED_BITS)));
/** A seed is a whole number that is exact. */
const SEED_BITS = 53n;

/** Why nothing more can happen in a World, or null: each of its machines has ended, or one has reached a hole. */
export function endedOf(world: World): WorldState['ended'] {
  if (world.several === undefined) return world.state.ended;
  const ends = world.several.machines.map(({ state }) => state.ended);
  const hole = ends.findIndex((end) => end?.by === 'hole');
  if (hole >= 0) return { by: 'hole', reason: `machine ${hole}: ${ends[hole]!.reason}` };
  if (ends.some((end) => end === null)) return null;
  const by = ends.every((end) => end!.by === 'off') ? 'off' : 'reset';
  return { by, reason: by === 'off' ? 'the guests powered all machines off' : ends.map((end, machine) => `machine ${machine}: ${end!.reason}`).join('; ') };
}

/** The machine with its clock at `clock`: nothing happens in it, and what is live stays so. */
export function atClock(machine: World, clock: number): World {
  const { engine, state, tree } = machine;
  if (state.clock === clock) return machine;
  const later: World = { engine, state: { ...state, clock }, tree };
  if (engine.live === machine) engine.live = later;
  engine.board.now = clock;
  return later;
}

/**
 * The numbers of the machines that a frame of machine `sender` reaches: that with its address, or, of an address that is a group's or that
 * nobody here has, all others. One that is off has no ears.
 */
export function reached(machines: readonly World[], sender: number, frame: Uint8Array): readonly number[] {
  const macs = machines.map(macOf);
  const isGroup = (frame[0]! & 1) !== 0;
  const owner = isGroup ? -1 : macs.findIndex((mac) => mac?.every((byte, at) => frame[at] === byte));
  return macs.flatMap((mac, index) => (index !== sender && mac !== undefined && machines[index]!.state.ended === null && (owner < 0 || owner === index) ? [index] : []));
}

/** The address of a machine's network device, where it has one. */
function macOf({ state }: World): readonly number[] | undefined {
  const address = deviceOf(state.actors, 'net');
  return address === undefined ? undefined : ((state.actors[address] as VirtioState).device as NetState).mac;
}
