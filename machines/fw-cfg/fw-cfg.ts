/** QEMU's firmware configuration device: it hands its items to firmware, byte by byte or by DMA. QEMU: docs/specs/fw_cfg.rst. */

import type { DeviceRead, DeviceWrite, DirectMemory, FirmwareConfigurationMessage, Out } from '../messages.ts';
import type { FirmwareItems } from './items.ts';
import { Control, FIRMWARE_CONFIGURATION_REGISTERS } from './registers.ts';
import type { FirmwareConfigurationState } from './state.ts';

const SIGNATURE = new TextEncoder().encode('QEMU CFG');

/** Changes `state` in place. What lies behind an item's end reads as zero. Nothing can be written to an item. */
export function receive(state: FirmwareConfigurationState, message: FirmwareConfigurationMessage, out: Out, memory: DirectMemory, items: FirmwareItems): void {
  const register = registerOf(message);
  if (register === undefined) out.event('fw_cfg_unknown_register', { access: message.type, offset: message.offset, bytes: message.bytes });
  if (message.type === 'read') {
    const bytes = register?.name === 'data' ? take(state, items, message.bytes) : register?.name === 'dma' ? SIGNATURE.subarray(message.offset - register.offset) : new Uint8Array(0);
    out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value: littleEndian(bytes, message.bytes) });
    return;
  }
  const value = bigEndian(message.value, message.bytes);
  if (register?.name === 'selector') select(state, Number(value), out);
  else if (register?.name === 'dma') writeDma(state, message.offset - register.offset, message.bytes, value, out, memory, items);
}

/** Accesses of 1 to 8 bytes, aligned, within a register; the selector is written at once. */
function registerOf(message: DeviceRead | DeviceWrite) {
  const row = FIRMWARE_CONFIGURATION_REGISTERS.find(({ offset, bytes }) => message.offset >= offset && message.offset + message.bytes <= offset + bytes);
  if (row === undefined || message.offset % message.bytes !== 0) return undefined;
  if (row.name === 'data') return message.offset === row.offset ? row : undefined;
  return message.bytes === (row.name === 'selector' ? 2 : message.offset === row.offset && message.bytes === 8 ? 8 : 4) ? row : undefined;
}

function select(state: FirmwareConfigurationState, key: number, out: Out): void {
  state.key = key;
  state.offset = 0;
  out.event('fw_cfg_select', { key });
}

/** Bit 14 of the key selects for writing, bit 15 is the architecture's own; an item is found without the former. */
const itemOf = (state: FirmwareConfigurationState, items: FirmwareItems): Uint8Array | undefined => items[state.key & ~0x4000];

/** The next `length` bytes of the item, fewer at its end. */
function take(state: FirmwareConfigurationState, items: FirmwareItems, length: number): Uint8Array {
  const bytes = itemOf(state, items)?.subarray(state.offset, state.offset + length) ?? new Uint8Array(0);
  state.offset += bytes.length;
  return bytes;
}

function writeDma(state: FirmwareConfigurationState, at: number, bytes: number, value: bigint, out: Out, memory: DirectMemory, items: FirmwareItems): void {
  if (bytes === 4 && at === 0) {
    state.dmaAddressHigh = Number(value);
    return;
  }
  const address = bytes === 8 ? Number(value) : state.dmaAddressHigh * 2 ** 32 + Number(value);
  state.dmaAddressHigh = 0;
  transfer(state, address, out, memory, items);
}

/** Does what the 16 bytes at `address` ask for: control, length, and the address of the buffer. */
function transfer(state: FirmwareConfigurationState, address: number, out: Out, memory: DirectMemory, items: FirmwareItems): void {
  const request = memory.read(address, 16);
  if (request === undefined) {
    out.event('fw_cfg_dma_fault', { address });
    return;
  }
  const view = new DataView(request.buffer, request.byteOffset, 16);
  const control = view.getUint32(0);
  const length = view.getUint32(4);
  const buffer = Number(view.getBigUint64(8));
  if ((control & Control.SELECT) !== 0) select(state, control >>> 16, out);
  let fine = true;
  if ((control & Control.READ) !== 0) fine = give(state, buffer, length, memory, items);
  // No item can be written.
  else if ((control & Control.WRITE) !== 0) fine = false;
  else if ((control & Control.SKIP) !== 0) state.offset = Math.min(state.offset + length, itemOf(state, items)?.length ?? 0);
  memory.write(address, Uint8Array.of(0, 0, 0, fine ? 0 : Control.ERROR));
}

/** Copies to the buffer what is left of the item, and zeros behind it. */
function give(state: FirmwareConfigurationState, buffer: number, length: number, memory: DirectMemory, items: FirmwareItems): boolean {
  const bytes = take(state, items, length);
  if (bytes.length > 0 && !memory.write(buffer, bytes)) return false;
  for (let at = bytes.length; at < length; at += ZEROS.length) if (!memory.write(buffer + at, ZEROS.subarray(0, length - at))) return false;
  return true;
}

/** Zeros for buffers of any length. */
const ZEROS = new Uint8Array(4096);

function littleEndian(bytes: Uint8Array, count: number): bigint {
  let value = 0n;
  for (let index = 0; index < count; index++) value |= BigInt(bytes[index] ?? 0) << BigInt(8 * index);
  return value;
}

/** `value` as the guest stored it, little-endian, read the other way round. */
function bigEndian(value: bigint, count: number): bigint {
  let result = 0n;
  for (let index = 0; index < count; index++) result = (result << 8n) | ((value >> BigInt(8 * index)) & 0xffn);
  return result;
}
