/** What makes a virtio device of one kind: its number, features, configuration, and what it does with its queues. */

import type { DirectMemory, Disk, Out } from '../messages.ts';
import type { Chain } from './queue.ts';
import type { DeviceState } from './state.ts';

export interface Kind<D extends DeviceState> {
  /** Virtio 1.2, chapter 5. */
  readonly deviceId: number;
  /** Feature bits of its own. */
  features(device: D): bigint;
  /** Its configuration space. */
  configuration(device: D): Uint8Array;
  /** The driver wrote to its configuration space. */
  configure?(device: D, offset: number, value: number, out: Out): void;
  /** Queue `index` has something for the device. */
  notified(work: Work<D>, index: number): void;
  reset(device: D): void;
}

/** A device at work. Whatever reaches memory throws RingFault where the driver named none. */
export interface Work<D extends DeviceState> {
  readonly device: D;
  /** The number of the actor. */
  readonly index: number;
  /** As negotiated. */
  readonly features: bigint;
  readonly memory: DirectMemory;
  readonly disks: readonly Disk[];
  readonly out: Out;
  /** The next chain of a queue that is ready. */
  take(queue: number): Chain | undefined;
  /** Gives a chain back, `written` bytes written into it. */
  give(queue: number, chain: Chain, written: number): void;
}
