/** Which virtio devices a machine has, and where on the board they sit. */

import type { VirtioAddress } from '../machines/messages.ts';
import type { FunctionOptions } from '../machines/pci/state.ts';
import { initialBlock } from '../machines/virtio/block.ts';
import { consoleQueues, initialConsole } from '../machines/virtio/console.ts';
import { kindOf } from '../machines/virtio/device.ts';
import { initialNet, NET_QUEUES } from '../machines/virtio/net.ts';
import { initialRng } from '../machines/virtio/rng.ts';
import { initialVirtio, mmioTransport, pciTransport, type DeviceState, type PciTransport, type VirtioState } from '../machines/virtio/state.ts';
import { VIRT_MAP, VIRTIO_SPI, VIRTIO_SLOTS, VIRTIO_STRIDE } from './device-tree.ts';
import type { DiskOptions } from './disk.ts';
import { InputError } from './input-error.ts';

export type TransportKind = 'mmio' | 'pci';

export interface VirtioOptions {
  /** In order: the first is what Linux calls vda, among those of one transport. */
  readonly disks?: readonly (DiskOptions & { readonly transport?: TransportKind })[];
  /** An entropy device. */
  readonly rng?: TransportKind;
  /** On a segment with the echo peer, and with the World's other machines. */
  readonly net?: TransportKind;
  /** A console beside the serial port, with a second port. */
  readonly console?: TransportKind;
  readonly seed?: number;
  /** Which machine of its World this is: it decides the network device's address. Absent: 0. */
  readonly machine?: number;
}

const FIRST_SPI_INTID = 32;
const PCI_DEVICES_MAX = 31;

/** The devices in order; `virtio:n` is the nth. Throws InputError for more than there is room for. */
export function virtioDevices({ disks = [], rng, net, console, seed, machine }: VirtioOptions): VirtioState[] {
  const devices: { readonly device: DeviceState; readonly queues: number; readonly kind: TransportKind }[] = [
    ...disks.map(({ source, readOnly, transport }, index) => ({ device: initialBlock(index, source.bytes, readOnly === true), queues: 1, kind: transport ?? 'mmio' })),
    ...(rng === undefined ? [] : [{ device: initialRng(seed ?? 0), queues: 1, kind: rng }]),
    ...(net === undefined ? [] : [{ device: initialNet(machine ?? 0), queues: NET_QUEUES, kind: net }]),
    ...(console === undefined ? [] : [{ device: initialConsole(), queues: consoleQueues(initialConsole().ports.length), kind: console }]),
  ];
  const slots = devices.filter(({ kind }) => kind === 'mmio').length;
  if (slots > VIRTIO_SLOTS) throw new InputError(`${slots} virtio-mmio devices: this board has ${VIRTIO_SLOTS} slots for them`);
  if (devices.length - slots > PCI_DEVICES_MAX) throw new InputError(`${devices.length - slots} PCI devices: this board's bus has room for ${PCI_DEVICES_MAX}`);
  let slot = VIRTIO_SLOTS - slots;
  return devices.map(({ device, queues, kind }, index) => initialVirtio(index, kind === 'pci' ? pciTransport(queues) : mmioTransport(FIRST_SPI_INTID + VIRTIO_SPI + slot++), device, queues));
}

/**
 * The actor behind a slot's registers, and the offset in them. The last slots are taken, the first device's address being the
 * lowest: one device sits where QEMU puts it, and of several the first is found first.
 */
export function virtioAt(pa: number, devices: readonly VirtioState[]): { readonly to: string; readonly offset: number } | undefined {
  const [base, bytes] = VIRT_MAP.virtio;
  if (pa < base || pa >= base + bytes) return undefined;
  const intid = FIRST_SPI_INTID + VIRTIO_SPI + Math.floor((pa - base) / VIRTIO_STRIDE);
  const found = devices.find(({ transport }) => transport.kind === 'mmio' && transport.intid === intid);
  return { to: found === undefined ? 'virtio-empty' : `virtio:${found.index}`, offset: (pa - base) % VIRTIO_STRIDE };
}

/** The virtio device of a kind that a machine has first, where it has one. */
export function deviceOf(actors: Readonly<Record<string, unknown>>, kind: DeviceState['kind']): VirtioAddress | undefined {
  const found = Object.entries(actors).find(([address, state]) => address.startsWith('virtio:') && (state as VirtioState).device.kind === kind);
  return found?.[0] as VirtioAddress | undefined;
}

const VIRTIO_VENDOR = 0x1af4;
/** Device numbers of virtio 1.0 and later begin here; such a function has a revision of 1 or more. */
const FIRST_DEVICE_ID = 0x1040;
const SUBSYSTEM = 0x1100_0000 | VIRTIO_VENDOR;
const CLASS: Readonly<Record<DeviceState['kind'], number>> = { block: 0x01_0000, net: 0x02_0000, console: 0x07_8000, rng: 0x00_ff00 };

/** The functions on the bus, in order. */
export const pciFunctions = (devices: readonly VirtioState[]): FunctionOptions[] =>
  devices.filter(({ transport }) => transport.kind === 'pci').map(({ index, device, transport }) => ({
    vendorId: VIRTIO_VENDOR, deviceId: FIRST_DEVICE_ID + kindOf(device).deviceId, classCode: CLASS[device.kind], revision: 1, subsystem: SUBSYSTEM, behind: `virtio:${index}`,
    vectors: (transport as PciTransport).vectors,
  }));
