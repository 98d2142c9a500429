/** A machine's consoles, and what is typed at them: when the next of it can go to the guest without being lost. */

import { listens, type UartState } from '../machines/uart/state.ts';
import { portName, takesInput } from '../machines/virtio/console.ts';
import type { VirtioState } from '../machines/virtio/state.ts';
import type { Choice } from './choices.ts';
import { deviceOf } from './virtio-devices.ts';
import { consoleName } from './events.ts';
import { actorOf, machinesOf, type World, type WorldState } from './world.ts';

export interface Console {
  /** As the events of what it prints have it. */
  readonly name: string;
  /** Which machine's it is. */
  readonly machine: number;
  /** Of the virtio console; undefined: the serial port. */
  readonly port: number | undefined;
}

export const SERIAL: Console = { name: 'serial', machine: 0, port: undefined };

/** Of each machine the serial port, and the ports of the virtio console where there is one. */
export const consolesOf = (world: World): readonly Console[] => machinesOf(world).flatMap(({ state }, machine) => {
  const device = virtioConsole(state.actors)?.device;
  const own = [SERIAL, ...(device?.kind === 'console' ? device.ports.map((_, port) => ({ name: portName(device, port), port })) : [])];
  return own.map(({ name, port }) => ({ name: consoleName(name, machine), machine, port }));
});

function virtioConsole(actors: WorldState['actors']): VirtioState | undefined {
  const address = deviceOf(actors, 'console');
  return address === undefined ? undefined : actors[address] as VirtioState;
}

/** Bytes that go to a port at once. A port has room for them, where the serial port may lose the second. */
const PORT_BYTES = 64;

/**
 * The choice that gives the guest what comes next of `input`, all that is typed at a console from boot on, `given` bytes of which it has;
 * undefined when it is not the time: all is given, the guest has not read the last yet, or it does not listen. A Linux driver empties the
 * FIFO before it asks for interrupts, and what was typed earlier would be lost.
 */
export function nextInput(world: World, input: ArrayLike<number>, { port, machine }: Console = SERIAL, given?: number): Extract<Choice, { type: 'input' }> | undefined {
  const { state } = machinesOf(world)[machine]!;
  const at = given ?? state.inputBytes;
  if (at >= input.length || state.ended !== null || state.mailbox.length > 0) return undefined;
  const there = { ...(port !== undefined && { port }), ...(machine > 0 && { machine }) };
  if (port !== undefined) return takesInput(virtioConsole(state.actors)!, port) ? { type: 'input', bytes: Array.from({ length: Math.min(PORT_BYTES, input.length - at) }, (_, place) => input[at + place]!), ...there } : undefined;
  const uart = actorOf<UartState>(state, 'uart');
  if (uart.receiveFifo.length > 0 || !listens(uart)) return undefined;
  return { type: 'input', bytes: [input[at]!], ...there };
}

/** Whether the guest has read the first `bytes` bytes typed at a console, `given` of which it was given. */
export function hasRead(world: World, bytes: number, { port, machine }: Console = SERIAL, given?: number): boolean {
  const { state } = machinesOf(world)[machine]!;
  if ((given ?? state.inputBytes) < bytes) return false;
  if (port === undefined) return actorOf<UartState>(state, 'uart').receiveFifo.length === 0;
  const device = virtioConsole(state.actors)?.device;
  return device?.kind !== 'console' || device.ports[port]!.input.length === 0;
}
