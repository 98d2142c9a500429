/** What every virtio device does whatever its transport: features, status, reset, and serving its queues. Virtio 1.2, chapters 2 and 3. */

import type { DirectMemory, Disk, Out } from '../messages.ts';
import { block } from './block.ts';
import { consoleDevice } from './console.ts';
import { raise, tellLine } from './interrupt.ts';
import type { Kind, Work } from './kind.ts';
import { net } from './net.ts';
import { checkQueue, finishBatch, giveBack, RingFault, takeChain } from './queue.ts';
import { rng } from './rng.ts';
import { emptyQueues, Feature, NO_VECTOR, QUEUE_SIZE_MAX, Status, type DeviceState, type QueueState, type VirtioState } from './state.ts';

/** What devices reach besides their state: RAM, and the machine's disks. */
export interface Surroundings { readonly memory: DirectMemory; readonly disks: readonly Disk[] }

const KINDS = { block, console: consoleDevice, net, rng } as const;

export const kindOf = (device: DeviceState): Kind<DeviceState> => KINDS[device.kind] as unknown as Kind<DeviceState>;

/** What the device offers, the transport's features with it. */
export const offeredFeatures = ({ device }: VirtioState): bigint => kindOf(device).features(device) | Feature.VERSION_1 | Feature.INDIRECT_DESC | Feature.EVENT_IDX;

/** Half `select` of 64 feature bits; there are none beyond. */
export const featureWord = (features: bigint, select: number): number => (select > 1 ? 0 : Number((features >> BigInt(32 * select)) & 0xffff_ffffn));

/** The driver takes or leaves features, until it has said FEATURES_OK. */
export function writeDriverFeatures(state: VirtioState, value: number): void {
  if (state.driverFeaturesSelect > 1 || (state.status & Status.FEATURES_OK) !== 0) return;
  const shift = BigInt(32 * state.driverFeaturesSelect);
  state.driverFeatures = (state.driverFeatures & ~(0xffff_ffffn << shift)) | (BigInt(value) << shift);
}

/** Status bits are only added; 0 resets. FEATURES_OK does not stay when the driver took what was not offered, or would be one of before Virtio 1.0. */
export function writeStatus(state: VirtioState, value: number, out: Out): void {
  if (value === 0) {
    reset(state, out);
    return;
  }
  const before = state.status;
  state.status |= value & 0xff;
  const acceptable = (state.driverFeatures & ~offeredFeatures(state)) === 0n && (state.driverFeatures & Feature.VERSION_1) !== 0n;
  if ((before & Status.FEATURES_OK) === 0 && !acceptable) state.status &= ~Status.FEATURES_OK;
}

/** As at power-on. */
export function reset(state: VirtioState, out: Out): void {
  Object.assign(state, { status: 0, deviceFeaturesSelect: 0, driverFeaturesSelect: 0, driverFeatures: 0n, queueSelect: 0, queues: emptyQueues(state.queues.length), interruptStatus: 0, configGeneration: 0 });
  kindOf(state.device).reset(state.device);
  if (state.transport.kind === 'pci') {
    state.transport.configurationVector = NO_VECTOR;
    state.transport.queueVectors.fill(NO_VECTOR);
  }
  tellLine(state, out);
}

/** The driver makes the selected queue ready, or takes it back. */
export function writeReady(state: VirtioState, ready: boolean, out: Out): void {
  const queue = state.queues[state.queueSelect];
  if (queue === undefined) return;
  guarded(state, out, () => {
    if (ready) checkQueue(queue, QUEUE_SIZE_MAX);
    queue.ready = ready;
  });
}

/** The driver says that queue `index` has something for the device. Nothing happens before DRIVER_OK, or once the device needs a reset. */
export function notify(state: VirtioState, index: number, surroundings: Surroundings, out: Out): void {
  if (state.queues[index]?.ready !== true) return;
  serve(state, surroundings, out, (work) => kindOf(state.device).notified(work, index), index);
}

/** Does `act` with the device's queues in hand, then finishes with those that it gave something back to, and with `notified`. */
export function serve(state: VirtioState, { memory, disks }: Surroundings, out: Out, act: (work: Work<DeviceState>) => void, notified?: number): void {
  if ((state.status & Status.DRIVER_OK) === 0 || (state.status & Status.NEEDS_RESET) !== 0) return;
  if (state.transport.kind === 'pci' && !state.transport.busMaster) return;
  const features = state.driverFeatures;
  const before = state.queues.map((queue) => queue.usedIndex);
  const isReady = (queue: QueueState | undefined): queue is QueueState => queue?.ready === true;
  guarded(state, out, () => {
    act({
      device: state.device, index: state.index, features, memory, disks, out,
      take: (index) => (isReady(state.queues[index]) ? takeChain(state.queues[index], features, memory) : undefined),
      give: (index, chain, written) => giveBack(state.queues[index]!, chain, written, memory),
    });
    for (const [index, queue] of state.queues.entries()) {
      if (!queue.ready || (queue.usedIndex === before[index] && index !== notified)) continue;
      if (finishBatch(queue, features, memory, before[index]!)) raise(state, index, out);
    }
  });
}

/** A driver that breaks the rules makes its device need a reset; that it says so is an interrupt of its own. */
function guarded(state: VirtioState, out: Out, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof RingFault)) throw error;
    out.event('virtio_needs_reset', { device: state.index, kind: state.device.kind, reason: error.message });
    state.status |= Status.NEEDS_RESET;
    if ((state.status & Status.DRIVER_OK) === 0) return;
    state.configGeneration++;
    raise(state, 'configuration', out);
  }
}
