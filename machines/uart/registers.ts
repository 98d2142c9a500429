/** The PL011's registers as rows: offset, what a read gives and a write does. Arm DDI 0183, chapter 3. */

import { fifoDepth, FIFO_BYTES, RECEIVING, UartInterrupt, type UartState } from './state.ts';

export interface UartRegister {
  readonly name: string;
  readonly offset: number;
  /** Absent: reads as zero. */
  readonly read?: (state: UartState) => number;
  /** Absent: writes are ignored. What it returns is transmitted. */
  readonly write?: (state: UartState, value: number) => number | undefined;
}

type Stored = 'lowPower' | 'integerBaud' | 'fractionalBaud' | 'control' | 'fifoLevels' | 'mask' | 'dmaControl';
const stored = (name: string, offset: number, field: Stored, bits: number): UartRegister => ({
  name, offset, read: (state) => state[field], write: (state, value) => { state[field] = value & bits; return undefined; },
});
const constant = (name: string, offset: number, value: number): UartRegister => ({ name, offset, read: () => value });

const OVERRUN = 1 << 11;
const LOOPBACK = 1 << 7;
/** UARTCR: enabled, and the direction on. */
const TRANSMITTING = (1 << 0) | (1 << 8);

/** Bytes at which the receive interrupt rises, by UARTIFLS: 1/8, 1/4, 1/2, 3/4, 7/8 of the FIFO. Reserved values count as 7/8. */
const RECEIVE_LEVELS: readonly number[] = [1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8].map((part) => part * FIFO_BYTES);
const receiveLevel = (state: UartState): number => (fifoDepth(state) === 1 ? 1 : RECEIVE_LEVELS[(state.fifoLevels >> 3) & 7] ?? RECEIVE_LEVELS[4]!);

/** A byte arrives. Full: the byte is lost and the overrun noted, as the part does. Returns whether it was kept. */
export function receiveByte(state: UartState, byte: number): boolean {
  if ((state.control & RECEIVING) !== RECEIVING) return false;
  const depth = fifoDepth(state);
  if (state.receiveFifo.length >= depth) {
    state.receiveFifo[depth - 1] = state.receiveFifo[depth - 1]! | OVERRUN;
    state.raw |= UartInterrupt.OE;
    return false;
  }
  state.receiveFifo.push(byte & 0xff);
  if (state.receiveFifo.length >= receiveLevel(state)) state.raw |= UartInterrupt.RX;
  // The time-out of 32 bit periods is over at once: there are no bit periods here.
  state.raw |= UartInterrupt.RT;
  return true;
}

function readData(state: UartState): number {
  const character = state.receiveFifo.shift();
  if (character === undefined) return 0;
  state.receiveStatus = (character >> 8) & 0xf;
  if (state.receiveFifo.length < receiveLevel(state)) state.raw &= ~UartInterrupt.RX;
  if (state.receiveFifo.length === 0) state.raw &= ~UartInterrupt.RT;
  return character;
}

/** A byte leaves at once, so that the transmit FIFO is always empty and its interrupt rises with each write. */
function writeData(state: UartState, value: number): number | undefined {
  if ((state.control & TRANSMITTING) !== TRANSMITTING) return undefined;
  state.raw |= UartInterrupt.TX;
  if ((state.control & LOOPBACK) === 0) return value & 0xff;
  receiveByte(state, value & 0xff);
  return undefined;
}

/** UARTFR: TXFE always; RXFE, RXFF. The modem lines are not connected. */
function flags(state: UartState): number {
  const held = state.receiveFifo.length;
  return (1 << 7) | (held === 0 ? 1 << 4 : 0) | (held >= fifoDepth(state) ? 1 << 6 : 0);
}

export const UART_REGISTERS: readonly UartRegister[] = [
  { name: 'UARTDR', offset: 0x000, read: readData, write: writeData },
  { name: 'UARTRSR', offset: 0x004, read: (state) => state.receiveStatus, write: (state) => { state.receiveStatus = 0; return undefined; } },
  { name: 'UARTFR', offset: 0x018, read: flags },
  stored('UARTILPR', 0x020, 'lowPower', 0xff),
  stored('UARTIBRD', 0x024, 'integerBaud', 0xffff),
  stored('UARTFBRD', 0x028, 'fractionalBaud', 0x3f),
  {
    name: 'UARTLCR_H', offset: 0x02c, read: (state) => state.lineControl,
    write: (state, value) => {
      // Turning the FIFOs on or off empties them.
      if (((state.lineControl ^ value) & (1 << 4)) !== 0) {
        state.receiveFifo = [];
        state.raw &= ~(UartInterrupt.RX | UartInterrupt.RT);
      }
      state.lineControl = value & 0xff;
      return undefined;
    },
  },
  stored('UARTCR', 0x030, 'control', 0xff87),
  stored('UARTIFLS', 0x034, 'fifoLevels', 0x3f),
  stored('UARTIMSC', 0x038, 'mask', 0x7ff),
  { name: 'UARTRIS', offset: 0x03c, read: (state) => state.raw },
  { name: 'UARTMIS', offset: 0x040, read: (state) => state.raw & state.mask },
  { name: 'UARTICR', offset: 0x044, write: (state, value) => { state.raw &= ~value; return undefined; } },
  stored('UARTDMACR', 0x048, 'dmaControl', 7),
  // Part 0x011, designer Arm, revision r1p4; then the component's preamble.
  ...[0x11, 0x10, 0x14, 0x00].map((value, index) => constant(`UARTPeriphID${index}`, 0xfe0 + 4 * index, value)),
  ...[0x0d, 0xf0, 0x05, 0xb1].map((value, index) => constant(`UARTPCellID${index}`, 0xff0 + 4 * index, value)),
];
