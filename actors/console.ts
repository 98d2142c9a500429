/** What is typed at the console: when its next byte can go to the guest without being lost. */

import { fifoDepth, type UartState } from '../machines/uart/state.ts';
import type { Choice } from './choices.ts';
import { actorOf, type World } from './world.ts';

/** UARTCR: enabled, and receiving. */
const RECEIVING = (1 << 0) | (1 << 9);

/**
 * The choice that gives the guest the next byte of `input`, all that is typed from boot on; undefined when it is not the time: all is
 * given, the guest has not read the last one yet, or it has not set up its FIFOs (which empties them) or shown anything.
 */
export function nextInput(world: World, input: ArrayLike<number>): Extract<Choice, { type: 'input' }> | undefined {
  const { state } = world;
  if (state.inputBytes >= input.length || state.ended !== null || state.mailbox.length > 0) return undefined;
  const uart = actorOf<UartState>(state, 'uart');
  if (uart.receiveFifo.length > 0 || (uart.control & RECEIVING) !== RECEIVING) return undefined;
  if (state.console === '' && fifoDepth(uart) === 1) return undefined;
  return { type: 'input', bytes: [input[state.inputBytes]!] };
}

/** Whether the guest has read the first `bytes` bytes typed. */
export const hasRead = (world: World, bytes: number): boolean =>
  world.state.inputBytes >= bytes && actorOf<UartState>(world.state, 'uart').receiveFifo.length === 0;
