/** The registers of a virtio-mmio transport as rows: offset, what a read gives and a write does. Virtio 1.2, 4.2.2, version 2. */

import type { Out } from '../messages.ts';
import { featureWord, kindOf, notify, offeredFeatures, writeDriverFeatures, writeReady, writeStatus, type Surroundings } from './device.ts';
import { tellLine } from './interrupt.ts';
import { QUEUE_SIZE_MAX, type QueueState, type VirtioState } from './state.ts';

export interface MmioRegister {
  readonly name: string;
  readonly offset: number;
  /** Absent: reads as zero. */
  readonly read?: (state: VirtioState) => number;
  /** Absent: writes are ignored. */
  readonly write?: (state: VirtioState, value: number, out: Out, surroundings: Surroundings) => void;
}

/** "virt", and the vendor of ours, "Zeno". */
export const MAGIC = 0x7472_6976;
export const VENDOR = 0x6f6e_655a;
export const VERSION = 2;
/** Where the device's own configuration begins. */
export const CONFIGURATION = 0x100;

const selected = (state: VirtioState): QueueState | undefined => state.queues[state.queueSelect];

/** A 64-bit physical address in two registers. It can be changed while the queue is not ready. */
const address = (name: string, offset: number, field: 'descriptors' | 'available' | 'used'): MmioRegister[] => [
  { name: `${name}Low`, offset, write: (state, value) => setAddress(selected(state), field, value, undefined) },
  { name: `${name}High`, offset: offset + 4, write: (state, value) => setAddress(selected(state), field, undefined, value) },
];

/** Changes the half of an address that is given. */
export function setAddress(queue: QueueState | undefined, field: 'descriptors' | 'available' | 'used', low: number | undefined, high: number | undefined): void {
  if (queue === undefined || queue.ready) return;
  const before = queue[field];
  queue[field] = (low ?? before % 2 ** 32) + 2 ** 32 * (high ?? Math.floor(before / 2 ** 32));
}

/** A shared memory region that is not there has a length of all ones. */
const absent = (name: string, offset: number): MmioRegister => ({ name, offset, read: () => 0xffff_ffff });

export const MMIO_REGISTERS: readonly MmioRegister[] = [
  { name: 'MagicValue', offset: 0x000, read: () => MAGIC },
  { name: 'Version', offset: 0x004, read: () => VERSION },
  { name: 'DeviceID', offset: 0x008, read: ({ device }) => kindOf(device).deviceId },
  { name: 'VendorID', offset: 0x00c, read: () => VENDOR },
  { name: 'DeviceFeatures', offset: 0x010, read: (state) => featureWord(offeredFeatures(state), state.deviceFeaturesSelect) },
  { name: 'DeviceFeaturesSel', offset: 0x014, write: (state, value) => { state.deviceFeaturesSelect = value; } },
  { name: 'DriverFeatures', offset: 0x020, write: writeDriverFeatures },
  { name: 'DriverFeaturesSel', offset: 0x024, write: (state, value) => { state.driverFeaturesSelect = value; } },
  { name: 'QueueSel', offset: 0x030, write: (state, value) => { state.queueSelect = value; } },
  { name: 'QueueNumMax', offset: 0x034, read: (state) => (selected(state) === undefined ? 0 : QUEUE_SIZE_MAX) },
  { name: 'QueueNum', offset: 0x038, write: (state, value) => { const queue = selected(state); if (queue?.ready === false) queue.size = value; } },
  {
    name: 'QueueReady', offset: 0x044, read: (state) => (selected(state)?.ready === true ? 1 : 0),
    write: (state, value, out) => writeReady(state, (value & 1) === 1, out),
  },
  { name: 'QueueNotify', offset: 0x050, write: (state, value, out, surroundings) => notify(state, value, surroundings, out) },
  { name: 'InterruptStatus', offset: 0x060, read: (state) => state.interruptStatus },
  { name: 'InterruptACK', offset: 0x064, write: (state, value, out) => { state.interruptStatus &= ~value; tellLine(state, out); } },
  { name: 'Status', offset: 0x070, read: (state) => state.status, write: writeStatus },
  ...address('QueueDesc', 0x080, 'descriptors'),
  ...address('QueueDriver', 0x090, 'available'),
  ...address('QueueDevice', 0x0a0, 'used'),
  { name: 'SHMSel', offset: 0x0ac },
  absent('SHMLenLow', 0x0b0), absent('SHMLenHigh', 0x0b4), absent('SHMBaseLow', 0x0b8), absent('SHMBaseHigh', 0x0bc),
  { name: 'ConfigGeneration', offset: 0x0fc, read: (state) => state.configGeneration },
];
