/** The virtio-mmio transport, version 2: registers of 32 bits, then the device's configuration; and what answers where no device is. Virtio 1.2, 4.2. */

import type { DeviceRead, DeviceWrite, Out } from '../messages.ts';
import { readConfiguration, writeConfiguration } from './configuration.ts';
import type { Surroundings } from './device.ts';
import { CONFIGURATION, MAGIC, MMIO_REGISTERS, VENDOR, VERSION } from './registers.ts';
import type { VirtioState } from './state.ts';

export function receiveMmio(state: VirtioState, message: DeviceRead | DeviceWrite, out: Out, surroundings: Surroundings): void {
  const { offset, bytes } = message;
  if (offset >= CONFIGURATION) {
    if (message.type === 'read') reply(message, readConfiguration(state, offset - CONFIGURATION, bytes), out);
    else writeConfiguration(state, offset - CONFIGURATION, bytes, message.value, out);
    return;
  }
  const row = bytes === 4 ? MMIO_REGISTERS.find((candidate) => candidate.offset === offset) : undefined;
  if (row === undefined) out.event('virtio_unknown_register', { device: state.index, access: message.type, offset, bytes });
  if (message.type === 'read') reply(message, BigInt(row?.read?.(state) ?? 0), out);
  else row?.write?.(state, Number(message.value & 0xffff_ffffn), out, surroundings);
}

/** A transport without a device: DeviceID is 0, and so is all that follows. */
export function receiveEmpty(_state: object, message: DeviceRead | DeviceWrite, out: Out): void {
  if (message.type === 'read') reply(message, BigInt(message.bytes === 4 ? [MAGIC, VERSION, 0, VENDOR][message.offset / 4] ?? 0 : 0), out);
}

export const reply = ({ from, offset, bytes }: DeviceRead, value: bigint, out: Out): void => out.send(from, { type: 'device-reply', offset, bytes, value });
