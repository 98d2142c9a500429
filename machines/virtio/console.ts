/** The console device with several ports: port 0 is a console, what is written to it an event; the others are named byte streams. Virtio 1.2, 5.3. */

import type { Kind, Work } from './kind.ts';
import { bytesAt, gather, lengthOf, part, pieces, RingFault, scatter } from './queue.ts';
import { Status, type ConsoleState, type VirtioState } from './state.ts';

const Feature = { SIZE: 1n << 0n, MULTIPORT: 1n << 1n, EMERG_WRITE: 1n << 2n } as const;
/** Offset of emerg_wr in the configuration space. */
const EMERGENCY = 8;
const CONTROL_RECEIVE = 2, CONTROL_TRANSMIT = 3;
const CONTROL_BYTES = 8;
/** What a driver may print by one chain: what is printed is kept as events. */
const PRINT_BYTES_MAX = 1 << 16;
/** Events of the control queues. */
const Control = { DEVICE_READY: 0, PORT_ADD: 1, PORT_READY: 3, CONSOLE_PORT: 4, PORT_OPEN: 6, PORT_NAME: 7 } as const;

/** Queues of `ports` ports: two of each, and two for control. */
export const consoleQueues = (ports: number): number => 2 * ports + 2;
const receiveQueue = (port: number): number => (port === 0 ? 0 : 2 * port + 2);
/** Undefined: a control queue. */
const portOf = (queue: number): number | undefined => (queue < 2 ? 0 : queue < 4 ? undefined : Math.floor(queue / 2) - 1);

export const consoleDevice: Kind<ConsoleState> = {
  deviceId: 3,
  features: () => Feature.SIZE | Feature.MULTIPORT | Feature.EMERG_WRITE,
  configuration({ ports }) {
    const view = new DataView(new ArrayBuffer(12));
    view.setUint16(0, 80, true);
    view.setUint16(2, 25, true);
    view.setUint32(4, ports.length, true);
    return new Uint8Array(view.buffer);
  },
  configure(_, offset, value, out) {
    if (offset === EMERGENCY) print(CONSOLE_NAME, true, [value], out);
  },
  notified(work, index) {
    const port = portOf(index);
    if (index === CONTROL_TRANSMIT) takeControl(work);
    else if (port !== undefined && index !== receiveQueue(port)) transmit(work, port, index);
    deliver(work);
  },
  reset(device) {
    device.control = [];
    for (const port of device.ports) port.open = false;
  },
};

/** Port 0, the console, and a stream for whoever wants one beside it. */
export const initialConsole = (): ConsoleState => ({ kind: 'console', ports: [{ name: '', open: false, input: [] }, { name: 'org.zeno.stream.1', open: false, input: [] }], control: [] });

/** What Linux calls port 0. */
const CONSOLE_NAME = 'hvc0';

/** The name of a port, for those who look at it from outside. */
export const portName = ({ ports }: ConsoleState, port: number): string => ports[port]!.name || CONSOLE_NAME;

/** Whether what is typed at a port now reaches the guest at once: somebody has it open, and has taken what was typed before. */
export function takesInput({ device, driverFeatures, status }: VirtioState, port: number): boolean {
  if (device.kind !== 'console' || device.ports[port]!.input.length > 0) return false;
  // A driver of one port says nothing of it.
  return (driverFeatures & Feature.MULTIPORT) !== 0n ? device.ports[port]!.open : port === 0 && (status & Status.DRIVER_OK) !== 0;
}

/** Bytes arrive at a port: they wait for the driver to take them. */
export function typeAt(device: ConsoleState, port: number, bytes: readonly number[]): void {
  device.ports[port]?.input.push(...bytes);
}

/** Gives the driver what waits: control messages first, then each port's input, lowest port first. */
export function deliver(work: Work<ConsoleState>): void {
  const { device, memory } = work;
  // Without several ports there is no control, and one port.
  const multiport = (work.features & Feature.MULTIPORT) !== 0n;
  const control = multiport ? device.control : [];
  while (control.length > 0) {
    const chain = work.take(CONTROL_RECEIVE);
    if (chain === undefined) break;
    const { port, event, value, text } = control.shift()!;
    const name = new TextEncoder().encode(text);
    const message = new Uint8Array(CONTROL_BYTES + name.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, port, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    message.set(name, CONTROL_BYTES);
    work.give(CONTROL_RECEIVE, chain, scatter(memory, chain.writable, message));
  }
  for (const [port, { input }] of (multiport ? device.ports : device.ports.slice(0, 1)).entries()) {
    while (input.length > 0) {
      const chain = work.take(receiveQueue(port));
      if (chain === undefined) break;
      const taken = scatter(memory, chain.writable, Uint8Array.from(input));
      input.splice(0, taken);
      work.give(receiveQueue(port), chain, taken);
      if (taken === 0) break;
    }
  }
}

function transmit(work: Work<ConsoleState>, port: number, queue: number): void {
  const { device, memory, out } = work;
  for (let chain = work.take(queue); chain !== undefined; chain = work.take(queue)) {
    const length = lengthOf(chain.readable);
    if (length > PRINT_BYTES_MAX) throw new RingFault(`${length} bytes for a port at once`);
    for (const { address, bytes } of pieces(chain.readable)) print(portName(device, port), port === 0, bytesAt(memory, address, bytes), out);
    work.give(queue, chain, 0);
  }
}

/** What port 0 prints is seen as the serial port's is, byte by byte; another port's is one event a buffer. Text is Latin-1. */
function print(console: string, byteByByte: boolean, bytes: ArrayLike<number>, out: Work<ConsoleState>['out']): void {
  let all = '';
  for (const byte of Array.from(bytes)) {
    const text = String.fromCharCode(byte);
    if (byteByByte) out.event('console', { console, byte, text });
    else all += text;
  }
  if (!byteByByte) out.event('console', { console, text: all });
}

/** What the driver says of the device and its ports, and what follows from it. */
function takeControl(work: Work<ConsoleState>): void {
  const { device } = work;
  const say = (port: number, event: number, value: number, text = ''): void => { device.control.push({ port, event, value, text }); };
  for (let chain = work.take(CONTROL_TRANSMIT); chain !== undefined; chain = work.take(CONTROL_TRANSMIT)) {
    const message = gather(work.memory, part(chain.readable, 0, CONTROL_BYTES));
    const complete = lengthOf(chain.readable) >= CONTROL_BYTES;
    work.give(CONTROL_TRANSMIT, chain, 0);
    if (!complete) continue;
    const view = new DataView(message.buffer);
    const [id, event, value] = [view.getUint32(0, true), view.getUint16(4, true), view.getUint16(6, true)];
    const port = device.ports[id];
    if (event === Control.DEVICE_READY && value === 1) device.ports.forEach((_, index) => say(index, Control.PORT_ADD, 1));
    else if (event === Control.PORT_READY && value === 1 && port !== undefined) {
      if (id === 0) say(id, Control.CONSOLE_PORT, 1);
      if (port.name !== '') say(id, Control.PORT_NAME, 1, port.name);
      say(id, Control.PORT_OPEN, 1);
    } else if (event === Control.PORT_OPEN && port !== undefined) port.open = value === 1;
  }
}
