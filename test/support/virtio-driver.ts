/** A virtio driver for tests: RAM, queues laid out in it, and a device behind a virtio-mmio transport. */

import { expect } from 'vitest';
import type { DirectMemory, Disk } from '../../machines/messages.ts';
import type { Surroundings } from '../../machines/virtio/device.ts';
import { initialVirtio, mmioTransport, virtioFaults, type DeviceState } from '../../machines/virtio/state.ts';
import { receive } from '../../machines/virtio/virtio.ts';
import { recorder } from '../machines/gic/recorder.ts';

export const RAM = 0x4000_0000;
export const RAM_BYTES = 1 << 20;

export interface Buffer { readonly address: number; readonly bytes: number; readonly write?: boolean }

export const REGISTER = {
  magic: 0x00, version: 0x04, deviceId: 0x08, deviceFeatures: 0x10, deviceFeaturesSel: 0x14, driverFeatures: 0x20, driverFeaturesSel: 0x24, queueSel: 0x30, queueNumMax: 0x34, queueNum: 0x38, queueReady: 0x44,
  queueNotify: 0x50, interruptStatus: 0x60, interruptAck: 0x64, status: 0x70, desc: 0x80, driver: 0x90, device: 0xa0, generation: 0xfc, configuration: 0x100,
} as const;

export const VERSION_1 = 1n << 32n, INDIRECT = 1n << 28n, EVENT_INDEX = 1n << 29n;

/** RAM at RAM that refuses what lies outside. */
export function ram(): DirectMemory & { readonly view: DataView; readonly bytes: Uint8Array } {
  const bytes = new Uint8Array(RAM_BYTES);
  const inside = (pa: number, length: number): boolean => pa >= RAM && pa + length <= RAM + RAM_BYTES;
  return {
    bytes, view: new DataView(bytes.buffer),
    read: (pa, length) => (inside(pa, length) ? bytes.slice(pa - RAM, pa - RAM + length) : undefined),
    write: (pa, written) => {
      if (!inside(pa, written.length)) return false;
      bytes.set(written, pa - RAM);
      return true;
    },
  };
}

/** A disk in an array, with room for as many bytes to be written as it has. */
export const arrayDisk = (bytes: Uint8Array): Disk => ({
  bytes: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length),
  write: (offset, written) => { bytes.set(written, offset); return true; },
  clear: (offset, length) => { bytes.fill(0, offset, offset + length); return true; },
});

/** Descriptors, available ring and used ring of queue `index`, in the RAM's last part. */
const layoutOf = (index: number) => ({ descriptors: RAM + 0x80000 + index * 0x8000, available: RAM + 0x84000 + index * 0x8000, used: RAM + 0x86000 + index * 0x8000 });

export function driver(device: DeviceState, queues: number, disks: readonly Disk[] = []) {
  const state = initialVirtio(0, mmioTransport(48), device, queues);
  const memory = ram();
  const out = recorder();
  const surroundings: Surroundings = { memory, disks };
  const write = (offset: number, value: number, bytes = 4): void => {
    receive(state, { type: 'write', from: 'vcpu:0', offset, bytes, value: BigInt(value) }, out, surroundings);
    expect(virtioFaults(state)).toEqual([]);
  };
  const read = (offset: number, bytes = 4): number => {
    const before = out.sent.length;
    receive(state, { type: 'read', from: 'vcpu:0', offset, bytes }, out, surroundings);
    return Number(out.sent.splice(before, 1)[0]!.message['value']);
  };
  const at = (address: number): number => address - RAM;
  const sizes = new Map<number, number>();
  const seen = new Map<number, number>();

  return {
    state, memory, out, read, write, layoutOf, surroundings,
    /** Offered features. */
    offered(): bigint {
      const word = (select: number): bigint => { write(REGISTER.deviceFeaturesSel, select); return BigInt(read(REGISTER.deviceFeatures)); };
      return word(0) | (word(1) << 32n);
    },
    negotiate(features: bigint): boolean {
      write(REGISTER.status, 0);
      write(REGISTER.status, 3);
      for (const select of [0, 1]) {
        write(REGISTER.driverFeaturesSel, select);
        write(REGISTER.driverFeatures, Number((features >> BigInt(32 * select)) & 0xffff_ffffn));
      }
      write(REGISTER.status, 11);
      return (read(REGISTER.status) & 8) !== 0;
    },
    setUp(index: number, size: number): void {
      const { descriptors, available, used } = layoutOf(index);
      write(REGISTER.queueSel, index);
      write(REGISTER.queueNum, size);
      for (const [register, address] of [[REGISTER.desc, descriptors], [REGISTER.driver, available], [REGISTER.device, used]] as const) {
        write(register, address % 2 ** 32);
        write(register + 4, Math.floor(address / 2 ** 32));
      }
      write(REGISTER.queueReady, 1);
      sizes.set(index, size);
      seen.set(index, 0);
    },
    go(): void { write(REGISTER.status, 15); },
    /** Writes a descriptor into any table. */
    descriptor(table: number, slot: number, { address, bytes, write: writes }: Buffer, next: number | undefined, indirect = false): void {
      const place = at(table) + 16 * slot;
      memory.view.setBigUint64(place, BigInt(address), true);
      memory.view.setUint32(place + 8, bytes, true);
      memory.view.setUint16(place + 12, (next === undefined ? 0 : 1) | (writes === true ? 2 : 0) | (indirect ? 4 : 0), true);
      memory.view.setUint16(place + 14, next ?? 0, true);
    },
    /** Puts buffers into the descriptors `slots`, in that order. */
    chain(index: number, slots: readonly number[], buffers: readonly Buffer[]): number {
      buffers.forEach((buffer, position) => this.descriptor(layoutOf(index).descriptors, slots[position]!, buffer, position === buffers.length - 1 ? undefined : slots[position + 1]!));
      return slots[0]!;
    },
    /** Makes the chain with this head available. */
    offer(index: number, head: number): void {
      const ring = at(layoutOf(index).available);
      const before = memory.view.getUint16(ring + 2, true);
      memory.view.setUint16(ring + 4 + 2 * (before % sizes.get(index)!), head, true);
      memory.view.setUint16(ring + 2, before + 1, true);
    },
    notify(index: number): void { write(REGISTER.queueNotify, index); },
    /** What came back since the last call. */
    used(index: number): { readonly head: number; readonly written: number }[] {
      const ring = at(layoutOf(index).used);
      const found: { head: number; written: number }[] = [];
      while (seen.get(index) !== memory.view.getUint16(ring + 2, true)) {
        const place = ring + 4 + 8 * (seen.get(index)! % sizes.get(index)!);
        found.push({ head: memory.view.getUint32(place, true), written: memory.view.getUint32(place + 4, true) });
        seen.set(index, (seen.get(index)! + 1) & 0xffff);
      }
      return found;
    },
    put(address: number, bytes: ArrayLike<number>): void { memory.bytes.set(Uint8Array.from(bytes), at(address)); },
    bytes: (address: number, length: number): Uint8Array => memory.bytes.slice(at(address), at(address) + length),
    /** Levels of the line since the last call. */
    lines: (): unknown[] => out.take().filter(({ to }) => to === 'gicd').map(({ message }) => message['level']),
    events: (): Recorded[] => out.events.splice(0),
  };
}
type Recorded = { readonly event: string; readonly [field: string]: unknown };
export type Driver = ReturnType<typeof driver>;
