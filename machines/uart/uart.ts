/** The PL011 serial port: bytes typed go into its FIFO, bytes written become `console` events, and its line is an SPI. Arm DDI 0183. */

import type { DeviceRead, DeviceWrite, Out, UartMessage } from '../messages.ts';
import { receiveByte, UART_REGISTERS } from './registers.ts';
import { asksForInterrupts, POLLS, SETTLE_NS, type UartState } from './state.ts';

/** SPI 1, as on QEMU's virt board. */
export const UART_INTID = 33;

/**
 * Changes `state` in place. Each byte transmitted is an event `console` with `byte` and, as Latin-1, `text`; nothing of it
 * stays in the state. Bytes that arrive while the FIFO is full or reception is off are lost, and told as `uart_overrun`.
 */
export function receive(state: UartState, message: UartMessage, out: Out): void {
  const asked = asksForInterrupts(state);
  switch (message.type) {
    case 'read': {
      // Firmware reads its settings between two looks.
      if (looksForInput(message.offset)) state.polls = state.receiveFifo.length === 0 ? Math.min(state.polls + 1, POLLS) : 0;
      const value = registerOf(message, out)?.read?.(state) ?? 0;
      out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value: BigInt.asUintN(8 * message.bytes, BigInt(value)) });
      break;
    }
    case 'write': {
      state.polls = 0;
      const byte = registerOf(message, out)?.write?.(state, Number(message.value & 0xffffn));
      if (byte !== undefined) out.event('console', { console: 'serial', byte, text: String.fromCharCode(byte) });
      break;
    }
    case 'alarm': state.settled = true; break;
    case 'input': {
      const lost = message.bytes.filter((byte) => !receiveByte(state, byte)).length;
      if (lost > 0) out.event('uart_overrun', { lost });
      break;
    }
  }
  if (asksForInterrupts(state) !== asked) {
    state.settled = false;
    out.alarm('settled', asked ? undefined : out.now + SETTLE_NS);
  }
  const line = (state.raw & state.mask) !== 0;
  if (line === state.line) return;
  state.line = line;
  out.send('gicd', { type: 'irq-line', intid: UART_INTID, level: line });
}

/** UARTDR and UARTFR are where a driver without interrupts finds out whether something came. */
const looksForInput = (offset: number): boolean => offset === 0 || offset === 0x18;

/** Registers are 32 bits apart and take accesses of 1, 2 and 4 bytes at their address. */
function registerOf(message: DeviceRead | DeviceWrite, out: Out) {
  const row = message.bytes <= 4 ? UART_REGISTERS.find((candidate) => candidate.offset === message.offset) : undefined;
  if (row === undefined) out.event('uart_unknown_register', { access: message.type, offset: message.offset, bytes: message.bytes });
  return row;
}
