/** A machine's consoles, and what is typed at them: when the next of it can go to the guest without being lost. */

import { listens, type UartState } from '../machines/uart/state.ts';
import { portName, takesInput } from '../machines/virtio/console.ts';
import type { VirtioState } from '../machines/virtio/state.ts';
import type { Choice } from './choices.ts';
import { consoleOf } from './virtio-devices.ts';
import { actorOf, type World, type WorldState } from './world.ts';

export interface Console {
  /** As the events of what it prints have it. */
  readonly name: string;
  /** Of the virtio console; undefined: the serial port. */
  readonly port: number | undefined;
}

export const SERIAL: Console = { name: 'serial', port: undefined };

/** The serial port, and the ports of the virtio console where there is one. */
export function consolesOf({ actors }: WorldState): readonly Console[] {
  const device = virtioConsole(actors)?.device;
  return [SERIAL, ...(device?.kind === 'console' ? device.ports.map((_, port) => ({ name: portName(device, port), port })) : [])];
}

function virtioConsole(actors: WorldState['actors']): VirtioState | undefined {
  const address = consoleOf(actors);
  return address === undefined ? undefined : actors[address] as VirtioState;
}

/** Bytes that go to a port at once. A port has room for them, where the serial port may lose the second. */
const PORT_BYTES = 64;

/**
 * The choice that gives the guest what comes next of `input`, all that is typed at a console from boot on, `given` bytes of which it has;
 * undefined when it is not the time: all is given, the guest has not read the last yet, or it does not listen. A Linux driver empties the
 * FIFO before it asks for interrupts, and what was typed earlier would be lost.
 */
export function nextInput(world: World, input: ArrayLike<number>, { port }: Console = SERIAL, given = world.state.inputBytes): Extract<Choice, { type: 'input' }> | undefined {
  const { state } = world;
  if (given >= input.length || state.ended !== null || state.mailbox.length > 0) return undefined;
  if (port !== undefined) return takesInput(virtioConsole(state.actors)!, port) ? { type: 'input', bytes: Array.from({ length: Math.min(PORT_BYTES, input.length - given) }, (_, at) => input[given + at]!), port } : undefined;
  const uart = actorOf<UartState>(state, 'uart');
  if (uart.receiveFifo.length > 0 || !listens(uart)) return undefined;
  return { type: 'input', bytes: [input[given]!] };
}

/** Whether the guest has read the first `bytes` bytes typed at a console, `given` of which it was given. */
export function hasRead({ state }: World, bytes: number, { port }: Console = SERIAL, given = state.inputBytes): boolean {
  if (given < bytes) return false;
  if (port === undefined) return actorOf<UartState>(state, 'uart').receiveFifo.length === 0;
  const device = virtioConsole(state.actors)?.device;
  return device?.kind !== 'console' || device.ports[port]!.input.length === 0;
}
