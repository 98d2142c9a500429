/** The virtio-pci transport: the common configuration, notifications, interrupt status and device configuration that lie in one BAR. Virtio 1.2, 4.1. */

import type { DeviceRead, DeviceWrite, Out } from '../messages.ts';
import { readConfiguration, writeConfiguration } from './configuration.ts';
import { featureWord, notify, offeredFeatures, writeDriverFeatures, writeReady, writeStatus, type Surroundings } from './device.ts';
import { tellLine } from './interrupt.ts';
import { reply } from './mmio.ts';
import { setAddress } from './registers.ts';
import { NO_VECTOR, type PciTransport, type QueueState, type VirtioState } from './state.ts';

/** Where the parts are in the BAR. */
const ISR = 0x1000, DEVICE = 0x2000, NOTIFY = 0x3000, END = 0x4000;

/** A field of the common configuration, which is accessed by itself and whole; addresses by halves. */
interface CommonField {
  readonly name: string;
  readonly offset: number;
  readonly bytes: 1 | 2 | 4;
  readonly read: (state: VirtioState, transport: PciTransport) => number;
  readonly write?: (state: VirtioState, transport: PciTransport, value: number, out: Out) => void;
}

const selected = (state: VirtioState): QueueState | undefined => state.queues[state.queueSelect];
const vectorOr = (transport: PciTransport, vector: number): number => (vector < transport.vectors ? vector : NO_VECTOR);

const address = (name: string, offset: number, field: 'descriptors' | 'available' | 'used'): CommonField[] => [
  { name: `${name} low`, offset, bytes: 4, read: (state) => (selected(state)?.[field] ?? 0) % 2 ** 32, write: (state, _, value) => setAddress(selected(state), field, value, undefined) },
  { name: `${name} high`, offset: offset + 4, bytes: 4, read: (state) => Math.floor((selected(state)?.[field] ?? 0) / 2 ** 32), write: (state, _, value) => setAddress(selected(state), field, undefined, value) },
];

const COMMON: readonly CommonField[] = [
  { name: 'device_feature_select', offset: 0x00, bytes: 4, read: (state) => state.deviceFeaturesSelect, write: (state, _, value) => { state.deviceFeaturesSelect = value; } },
  { name: 'device_feature', offset: 0x04, bytes: 4, read: (state) => featureWord(offeredFeatures(state), state.deviceFeaturesSelect) },
  { name: 'driver_feature_select', offset: 0x08, bytes: 4, read: (state) => state.driverFeaturesSelect, write: (state, _, value) => { state.driverFeaturesSelect = value; } },
  { name: 'driver_feature', offset: 0x0c, bytes: 4, read: (state) => featureWord(state.driverFeatures, state.driverFeaturesSelect), write: (state, _, value) => writeDriverFeatures(state, value) },
  {
    name: 'config_msix_vector', offset: 0x10, bytes: 2, read: (_, transport) => transport.configurationVector,
    write: (_, transport, value) => { transport.configurationVector = vectorOr(transport, value); },
  },
  { name: 'num_queues', offset: 0x12, bytes: 2, read: (state) => state.queues.length },
  { name: 'device_status', offset: 0x14, bytes: 1, read: (state) => state.status, write: (state, _, value, out) => writeStatus(state, value, out) },
  { name: 'config_generation', offset: 0x15, bytes: 1, read: (state) => state.configGeneration & 0xff },
  { name: 'queue_select', offset: 0x16, bytes: 2, read: (state) => state.queueSelect, write: (state, _, value) => { state.queueSelect = value; } },
  {
    name: 'queue_size', offset: 0x18, bytes: 2, read: (state) => selected(state)?.size ?? 0,
    write: (state, _, value) => { const queue = selected(state); if (queue?.ready === false) queue.size = value; },
  },
  {
    name: 'queue_msix_vector', offset: 0x1a, bytes: 2, read: (state, transport) => transport.queueVectors[state.queueSelect] ?? NO_VECTOR,
    write: (state, transport, value) => { if (selected(state) !== undefined) transport.queueVectors[state.queueSelect] = vectorOr(transport, value); },
  },
  // Only a reset of the device takes a queue back.
  { name: 'queue_enable', offset: 0x1c, bytes: 2, read: (state) => (selected(state)?.ready === true ? 1 : 0), write: (state, _, value, out) => { if (value === 1) writeReady(state, true, out); } },
  { name: 'queue_notify_off', offset: 0x1e, bytes: 2, read: (state) => (selected(state) === undefined ? 0 : state.queueSelect) },
  ...address('queue_desc', 0x20, 'descriptors'), ...address('queue_driver', 0x28, 'available'), ...address('queue_device', 0x30, 'used'),
];

export function receivePci(state: VirtioState, transport: PciTransport, message: DeviceRead | DeviceWrite, out: Out, surroundings: Surroundings): void {
  const { offset, bytes } = message;
  if (offset >= DEVICE && offset < NOTIFY) {
    if (message.type === 'read') reply(message, readConfiguration(state, offset - DEVICE, bytes), out);
    else writeConfiguration(state, offset - DEVICE, bytes, message.value, out);
  } else if (offset >= NOTIFY && offset < END) {
    if (message.type === 'read') reply(message, 0n, out);
    else notify(state, Number(message.value & 0xffffn), surroundings, out);
  } else if (offset === ISR) {
    if (message.type === 'write') return;
    // A read takes the interrupt status away.
    reply(message, BigInt(state.interruptStatus), out);
    state.interruptStatus = 0;
    tellLine(state, out);
  } else common(state, transport, message, out);
}

function common(state: VirtioState, transport: PciTransport, message: DeviceRead | DeviceWrite, out: Out): void {
  const { offset, bytes, type } = message;
  const field = COMMON.find((candidate) => candidate.offset === offset && candidate.bytes === bytes);
  if (field === undefined) out.event('virtio_unknown_register', { device: state.index, access: type, offset, bytes });
  if (message.type === 'read') reply(message, BigInt(field?.read(state, transport) ?? 0), out);
  else field?.write?.(state, transport, Number(message.value & 0xffff_ffffn), out);
}

