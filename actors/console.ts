/** What is typed at the console: when its next byte can go to the guest without being lost. */

import { listens, type UartState } from '../machines/uart/state.ts';
import type { Choice } from './choices.ts';
import { actorOf, type World } from './world.ts';

/**
 * The choice that gives the guest the next byte of `input`, all that is typed from boot on; undefined when it is not the time: all is
 * given, the guest has not read the last one yet, or it does not listen. A Linux driver empties the FIFO before it asks for interrupts,
 * and what was typed earlier would be lost.
 */
export function nextInput(world: World, input: ArrayLike<number>): Extract<Choice, { type: 'input' }> | undefined {
  const { state } = world;
  if (state.inputBytes >= input.length || state.ended !== null || state.mailbox.length > 0) return undefined;
  const uart = actorOf<UartState>(state, 'uart');
  if (uart.receiveFifo.length > 0 || !listens(uart)) return undefined;
  return { type: 'input', bytes: [input[state.inputBytes]!] };
}

/** Whether the guest has read the first `bytes` bytes typed. */
export const hasRead = (world: World, bytes: number): boolean =>
  world.state.inputBytes >= bytes && actorOf<UartState>(world.state, 'uart').receiveFifo.length === 0;
