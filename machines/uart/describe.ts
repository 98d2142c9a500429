/** The serial port's state as one line of text. */

import { fifoDepth, UartInterrupt, type UartState } from './state.ts';

export function describeUart(state: UartState): string {
  const held = state.receiveFifo.map((character) => JSON.stringify(String.fromCharCode(character & 0xff))).join(' ');
  return `UART: ${(state.control & 1) === 0 ? 'off' : 'on'}, FIFO ${state.receiveFifo.length}/${fifoDepth(state)}${held === '' ? '' : ` (${held})`}, `
    + `raised ${names(state.raw)}, unmasked ${names(state.mask)}, line ${state.line ? 'high' : 'low'}`;
}

function names(bits: number): string {
  const set = Object.entries(UartInterrupt).filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
  return set.length === 0 ? 'none' : set.join(' ');
}
