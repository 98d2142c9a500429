/** Which virtio devices a machine has, and where on the board they sit. */

import { initialBlock } from '../machines/virtio/block.ts';
import { initialRng } from '../machines/virtio/rng.ts';
import { initialVirtio, mmioTransport, type DeviceState, type VirtioState } from '../machines/virtio/state.ts';
import { VIRT_MAP, VIRTIO_SPI, VIRTIO_SLOTS, VIRTIO_STRIDE } from './device-tree.ts';
import type { DiskOptions } from './disk.ts';
import { InputError } from './input-error.ts';

export interface VirtioOptions {
  /** In order: the first is what Linux calls vda. */
  readonly disks?: readonly DiskOptions[];
  /** An entropy device. */
  readonly rng?: boolean;
  readonly seed?: number;
}

const FIRST_SPI_INTID = 32;

/** The devices in order; `virtio:n` is the nth. Throws InputError for more than there are slots. */
export function virtioDevices({ disks = [], rng, seed }: VirtioOptions): VirtioState[] {
  const devices: { readonly device: DeviceState; readonly queues: number }[] = [
    ...disks.map(({ source, readOnly }, index) => ({ device: initialBlock(index, source.bytes, readOnly === true), queues: 1 })),
    ...(rng === true ? [{ device: initialRng(seed ?? 0), queues: 1 }] : []),
  ];
  if (devices.length > VIRTIO_SLOTS) throw new InputError(`${devices.length} virtio devices: this board has ${VIRTIO_SLOTS} slots for them`);
  return devices.map(({ device, queues }, index) => initialVirtio(index, mmioTransport(FIRST_SPI_INTID + VIRTIO_SPI + slotOf(index, devices.length)), device, queues));
}

/** The last slots are taken, the first device's address being the lowest: one device sits where QEMU puts it, and of several the first is found first. */
const slotOf = (index: number, count: number): number => VIRTIO_SLOTS - count + index;

/** The actor behind a slot's registers, and the offset in them. */
export function virtioAt(pa: number, count: number): { readonly to: string; readonly offset: number } | undefined {
  const [base, bytes] = VIRT_MAP.virtio;
  if (pa < base || pa >= base + bytes) return undefined;
  const index = Math.floor((pa - base) / VIRTIO_STRIDE) - (VIRTIO_SLOTS - count);
  return { to: index < 0 ? 'virtio-empty' : `virtio:${index}`, offset: (pa - base) % VIRTIO_STRIDE };
}
