/** The PL061 GPIO: eight lines, of which QEMU's virt board wires line 3 to its power button. Arm DDI 0190. */

import type { GpioMessage, Out } from '../messages.ts';
import { DATA_BYTES, GPIO_DATA, GPIO_REGISTERS } from './registers.ts';
import { levelsOf, rawOf, type GpioState } from './state.ts';

/** SPI 7, as on QEMU's virt board. */
export const GPIO_INTID = 39;
/** The line of the power button. */
export const POWER_BUTTON = 3;

/** Changes `state` in place. */
export function receive(state: GpioState, message: GpioMessage, out: Out): void {
  const before = levelsOf(state);
  switch (message.type) {
    case 'read': {
      const value = registerOf(message, out)?.read?.(state, message.offset) ?? 0;
      out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value: BigInt.asUintN(8 * message.bytes, BigInt(value)) });
      break;
    }
    case 'write': registerOf(message, out)?.write?.(state, Number(message.value & 0xffn), message.offset); break;
    case 'pin': state.inputs = message.level ? state.inputs | (1 << message.pin) : state.inputs & ~(1 << message.pin); break;
  }
  // Edges are seen on inputs that are edge-sensitive: both, or the one that GPIOIEV names.
  const levels = levelsOf(state);
  state.edges |= (levels ^ before) & ~state.direction & ~state.sense & (state.bothEdges | ~(levels ^ state.event)) & 0xff;
  const line = (rawOf(state) & state.mask) !== 0;
  if (line === state.line) return;
  state.line = line;
  out.send('gicd', { type: 'irq-line', intid: GPIO_INTID, level: line });
}

/** Registers are 32 bits apart and take accesses of 1, 2 and 4 bytes at their address. */
function registerOf(message: GpioMessage & { readonly type: 'read' | 'write' }, out: Out) {
  const aligned = message.bytes <= 4 && message.offset % 4 === 0;
  const row = !aligned ? undefined : message.offset < DATA_BYTES ? GPIO_DATA : GPIO_REGISTERS.find((candidate) => candidate.offset === message.offset);
  if (row === undefined) out.event('gpio_unknown_register', { access: message.type, offset: message.offset, bytes: message.bytes });
  return row;
}
