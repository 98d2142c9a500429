/** One bank of flash, as two chips that take every command together: identification, status, program, buffered write and erase. JEDEC JESD68.01 (CFI); QEMU: pflash_cfi01.c. */

import type { DirectMemory, FlashMessage, Out } from '../messages.ts';
import { CLEAR_STATUS, COMMANDS, CONFIRM, IDENTIFIERS, LOCK, QUERY, QUERY_FIRST, Status } from './registers.ts';
import { BUFFER_BYTES, SECTOR_BYTES, type FlashState } from './state.ts';

/**
 * Changes `state` and `cells`, the bank's bytes by their offset. Chips are as fast as the guest: a command is done when it was written.
 * As in the parts, programming only clears bits, and erasing a sector sets all of its.
 */
export function receive(state: FlashState, message: FlashMessage, out: Out, cells: DirectMemory): void {
  // The bus is 32 bits wide: 8 bytes are two accesses.
  const width = Math.min(message.bytes, 4);
  if (message.type === 'read') {
    let value = 0n;
    for (let at = 0; at < message.bytes; at += width) value |= BigInt(readWord(state, message.offset + at, width, cells)) << BigInt(8 * at);
    out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value });
    return;
  }
  for (let at = 0; at < message.bytes; at += width) write(state, message.offset + at, width, Number((message.value >> BigInt(8 * at)) & 0xffff_ffffn), out, cells);
}

/** What a chip says stands in both halves of the word. */
function readWord(state: FlashState, offset: number, width: number, cells: DirectMemory): number {
  const lane = (value: number): number => (((value | (value << 16)) >>> (8 * (offset % 4))) & widthMask(width)) >>> 0;
  switch (state.mode) {
    case 'array': {
      const bytes = cells.read(offset, width)!;
      return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
    }
    case 'id': return lane(IDENTIFIERS[(offset >> 2) & 0xff] ?? 0);
    case 'query': return lane(QUERY[(offset >> 2) - QUERY_FIRST] ?? 0);
    default: return lane(state.status);
  }
}

const widthMask = (width: number): number => (width === 4 ? 0xffff_ffff : (1 << (8 * width)) - 1);

function write(state: FlashState, offset: number, width: number, value: number, out: Out, cells: DirectMemory): void {
  const command = value & 0xff;
  switch (state.mode) {
    case 'program':
      if (!program(state, [{ offset, bytes: width, value }], cells)) state.status |= Status.PROGRAM_FAILED;
      state.mode = 'status';
      return;
    case 'erase':
      if (command !== CONFIRM) return toArray(state);
      if (!erase(state, cells)) state.status |= Status.ERASE_FAILED;
      out.event('flash_erase', { bank: state.bank, offset: state.sector, done: !state.readOnly });
      state.mode = 'status';
      return;
    // Sectors have no locks of their own.
    case 'lock':
      if (command !== CONFIRM && command !== LOCK) return toArray(state);
      state.mode = 'status';
      return;
    case 'count':
      state.left = value & 0xffff;
      state.buffer = [];
      state.mode = 'fill';
      return;
    case 'fill':
      state.buffer.push({ offset, bytes: width, value });
      if (state.left === 0 || state.buffer.length >= BUFFER_BYTES) state.mode = 'confirm';
      else state.left -= 1;
      return;
    case 'confirm': {
      const { buffer } = state;
      state.buffer = [];
      if (command !== CONFIRM) return toArray(state);
      if (!program(state, buffer, cells)) state.status |= Status.PROGRAM_FAILED;
      state.mode = 'status';
      return;
    }
    default: return begin(state, offset, command, out);
  }
}

/** The first write of a command. */
function begin(state: FlashState, offset: number, command: number, out: Out): void {
  const mode = COMMANDS[command];
  if (mode === undefined && command !== 0 && command !== 0xf0) out.event('flash_unknown_command', { bank: state.bank, offset, command });
  if (command === CLEAR_STATUS) state.status = Status.READY;
  if (mode === 'erase') state.sector = offset - (offset % SECTOR_BYTES);
  state.mode = mode ?? 'array';
}

function toArray(state: FlashState): void {
  state.mode = 'array';
}

function program(state: FlashState, words: FlashState['buffer'], cells: DirectMemory): boolean {
  if (state.readOnly) return false;
  for (const { offset, bytes, value } of words) cells.write(offset, cells.read(offset, bytes)!.map((byte, at) => byte & (value >>> (8 * at))));
  return true;
}

function erase(state: FlashState, cells: DirectMemory): boolean {
  if (!state.readOnly) cells.write(state.sector, new Uint8Array(SECTOR_BYTES).fill(0xff));
  return !state.readOnly;
}
