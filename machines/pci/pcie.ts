/** The PCI Express host bridge: configuration space by ECAM, accesses to what BARs have been given, INTx lines and MSI-X. PCI Express Base 5.0, 7.2.2; PCI Local Bus 3.0, 6.8. */

import type { DeviceRead, DeviceWrite, DirectMemory, Out, PcieMessage } from '../messages.ts';
import { barAt, DEVICE_BAR, readConfig, readVector, WINDOW_DATA, writeConfig, writeVector } from './registers.ts';
import { Command, drivesLine, FIRST_LINE_INTID, lineOf, type MsixVector, type PcieState, type PciFunction } from './state.ts';

/** Physical addresses of the configuration space of 256 buses. */
export const ECAM = [0x40_1000_0000, 0x1000_0000] as const;

/** Changes `state` in place. Offsets of reads and writes are physical addresses. */
export function receive(state: PcieState, message: PcieMessage, out: Out, memory: DirectMemory): void {
  switch (message.type) {
    case 'read': case 'write':
      if (message.offset >= ECAM[0] && message.offset < ECAM[0] + ECAM[1]) configuration(state, message, out);
      else access(state, message, out);
      for (const found of state.functions) deliverPending(state, found, out, memory);
      break;
    case 'intx':
      functionBehind(state, message.device).asserted = message.level;
      break;
    case 'vector': {
      const found = functionBehind(state, message.device);
      const vector = found.msix.vectors[message.vector];
      if (!found.msix.enabled || vector === undefined) break;
      vector.pending = true;
      deliverPending(state, found, out, memory);
      break;
    }
  }
  tellLines(state, out);
}

function functionBehind({ functions }: PcieState, device: number): PciFunction {
  const found = functions.find(({ behind }) => behind === `virtio:${device}`);
  if (found === undefined) throw new Error(`virtio ${device} is not on the bus`);
  return found;
}

/** A configuration access. Where no function is, reads are all ones. */
function configuration(state: PcieState, message: DeviceRead | DeviceWrite, out: Out): void {
  const at = message.offset - ECAM[0];
  const [bus, device, number, offset] = [Math.floor(at / 2 ** 20), Math.floor(at / 2 ** 15) % 32, Math.floor(at / 2 ** 12) % 8, at % 2 ** 12];
  const found = bus === 0 && number === 0 ? state.functions[device] : undefined;
  // An access that is too wide, or crosses a word, is no configuration request.
  if (found === undefined || message.bytes > 4 || (offset % 4) + message.bytes > 4) {
    if (message.type === 'read') reply(message, ~0n, out);
    return;
  }
  const { window, behind } = found;
  if (behind !== null && offset >= WINDOW_DATA && offset < WINDOW_DATA + 4) {
    // The device's BAR through the window in configuration space (Virtio 1.2, 4.1.4.9).
    if (window.bar === DEVICE_BAR) out.send(behind, { ...message, offset: window.offset + (offset - WINDOW_DATA), bytes: Math.min(message.bytes, window.bytes) as 1 | 2 | 4 });
    else if (message.type === 'read') reply(message, 0n, out);
    return;
  }
  if (message.type === 'read') {
    reply(message, BigInt(readConfig(found, offset)) >> BigInt(8 * (offset % 4)), out);
    return;
  }
  const before = found.command;
  writeConfig(found, offset, message.bytes, Number(message.value & 0xffff_ffffn));
  if (behind !== null && ((before ^ found.command) & Command.MASTER) !== 0) out.send(behind, { type: 'bus-master', on: (found.command & Command.MASTER) !== 0 });
}

/** A memory access: to the vectors of a function, or to the device behind it. Where nothing is, reads are all ones. */
function access(state: PcieState, message: DeviceRead | DeviceWrite, out: Out): void {
  const hit = barAt(state, message.offset);
  if (hit === undefined) {
    out.event('pcie_unclaimed', { access: message.type, address: message.offset, bytes: message.bytes });
    if (message.type === 'read') reply(message, ~0n, out);
    return;
  }
  const { found, bar, offset } = hit;
  if (bar === DEVICE_BAR) out.send(found.behind!, { ...message, offset });
  else if (message.type === 'read') reply(message, BigInt(readVector(found, offset & ~3)) | (message.bytes === 8 ? BigInt(readVector(found, (offset & ~3) + 4)) << 32n : 0n), out);
  else for (let at = 0; at < message.bytes; at += 4) writeVector(found, offset + at, Number((message.value >> BigInt(8 * at)) & 0xffff_ffffn));
}

/** Vectors that pend and are no longer masked are sent. */
function deliverPending(state: PcieState, found: PciFunction, out: Out, memory: DirectMemory): void {
  const { msix, device } = found;
  if (!msix.enabled || msix.masked || (found.command & Command.MASTER) === 0) return;
  for (const vector of msix.vectors) {
    if (!vector.pending || (vector.control & 1) !== 0) continue;
    vector.pending = false;
    send(state, device, vector, out, memory);
  }
}

/** A message interrupt is a write of 32 bits: to the ITS, which knows the function that sent it, or its like, or to memory, as any write is. */
function send({ translater, messagesTo = 'its' }: PcieState, device: number, { addressLow, addressHigh, data }: MsixVector, out: Out, memory: DirectMemory): void {
  const address = addressLow + 2 ** 32 * addressHigh;
  if (address === translater) {
    out.send(messagesTo, { type: 'msi', deviceId: device << 3, eventId: data });
    return;
  }
  const word = new Uint8Array(4);
  new DataView(word.buffer).setUint32(0, data, true);
  if (!memory.write(address, word)) out.event('pcie_msi_lost', { device, address, data });
}

function tellLines(state: PcieState, out: Out): void {
  for (const [line, before] of state.lines.entries()) {
    const level = state.functions.some((found) => lineOf(found) === line && drivesLine(found));
    if (level === before) continue;
    state.lines[line] = level;
    out.send('gicd', { type: 'irq-line', intid: FIRST_LINE_INTID + line, level });
  }
}

const reply = ({ from, offset, bytes }: DeviceRead, value: bigint, out: Out): void => out.send(from, { type: 'device-reply', offset, bytes, value: BigInt.asUintN(8 * bytes, value) });
