/** The console device: its ports announce themselves, what is written becomes events, and what is typed waits for the driver. */

import { expect, test } from 'vitest';
import { consoleQueues, initialConsole, takesInput } from '../../../machines/virtio/console.ts';
import { receive } from '../../../machines/virtio/virtio.ts';
import { driver, RAM, REGISTER, VERSION_1 } from '../../support/virtio-driver.ts';

const MULTIPORT = 2n;
const [DEVICE_READY, PORT_ADD, PORT_READY, CONSOLE_PORT, PORT_OPEN, PORT_NAME] = [0, 1, 3, 4, 6, 7];
const [CONTROL_RECEIVE, CONTROL_TRANSMIT] = [2, 3];
/** A place in RAM for each queue's buffers. */
const place = (queue: number): number => RAM + 0x1000 * queue;

function terminal(features: bigint) {
  const d = driver(initialConsole(), consoleQueues(2));
  expect(d.negotiate(VERSION_1 | features)).toBe(true);
  for (let queue = 0; queue < ((features & MULTIPORT) === 0n ? 2 : 6); queue++) d.setUp(queue, 16);
  d.go();
  const slots = new Map<number, number>();
  const slot = (queue: number): number => { const next = slots.get(queue) ?? 0; slots.set(queue, next + 1); return next % 16; };
  return {
    ...d,
    post(queue: number, bytes = 64): void {
      const at = slot(queue);
      d.offer(queue, d.chain(queue, [at], [{ address: place(queue) + 64 * at, bytes, write: true }]));
      d.notify(queue);
    },
    write(queue: number, bytes: readonly number[]): void {
      d.put(place(queue), bytes);
      d.offer(queue, d.chain(queue, [slot(queue)], [{ address: place(queue), bytes: bytes.length }]));
      d.notify(queue);
    },
    got: (queue: number): number[][] => d.used(queue).map(({ head, written }) => Array.from(d.bytes(place(queue) + 64 * head, written))),
    type: (port: number, text: string) => receive(d.state, { type: 'input', port, bytes: [...text].map((character) => character.charCodeAt(0)) }, d.out, d.surroundings),
  };
}
const control = (port: number, event: number, value: number): number[] => [port, 0, 0, 0, event, 0, value, 0];
const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

test('ports are added, named and opened as the driver says that it is ready', () => {
  const d = terminal(MULTIPORT);
  expect([d.read(REGISTER.deviceId), d.read(0x104)]).toEqual([3, 2]);
  for (let count = 0; count < 8; count++) d.post(CONTROL_RECEIVE);
  d.write(CONTROL_TRANSMIT, control(0, DEVICE_READY, 1));
  expect(d.got(CONTROL_RECEIVE)).toEqual([control(0, PORT_ADD, 1), control(1, PORT_ADD, 1)]);
  d.write(CONTROL_TRANSMIT, control(0, PORT_READY, 1));
  d.write(CONTROL_TRANSMIT, control(1, PORT_READY, 1));
  expect(d.got(CONTROL_RECEIVE)).toEqual([control(0, CONSOLE_PORT, 1), control(0, PORT_OPEN, 1), [...control(1, PORT_NAME, 1), ...ascii('org.zeno.stream.1')], control(1, PORT_OPEN, 1)]);
  d.write(CONTROL_TRANSMIT, control(1, PORT_OPEN, 1));
  d.write(CONTROL_TRANSMIT, control(9, PORT_READY, 1));
  d.write(CONTROL_TRANSMIT, [1, 2]);
  expect(d.state.device).toMatchObject({ ports: [{ open: false }, { open: true }], control: [] });
});

test('what is written to port 0 is on the console, to another in an event of its own', () => {
  const d = terminal(MULTIPORT);
  d.write(1, ascii('Hi'));
  d.write(5, ascii('data'));
  expect(d.events()).toEqual([{ event: 'console', console: 'hvc0', byte: 72, text: 'H' }, { event: 'console', console: 'hvc0', byte: 105, text: 'i' }, { event: 'console', console: 'org.zeno.stream.1', text: 'data' }]);
});

test('what is typed waits until there are buffers, and goes on where one ended', () => {
  const d = terminal(MULTIPORT);
  d.type(0, 'hello');
  d.type(1, 'xy');
  expect(d.got(0)).toEqual([]);
  d.post(0, 3);
  d.post(0, 3);
  d.post(4);
  expect([d.got(0), d.got(4)]).toEqual([[ascii('hel'), ascii('lo')], [ascii('xy')]]);
  d.post(0);
  d.type(0, '!');
  expect(d.got(0)).toEqual([ascii('!')]);
});

test('a port takes input while somebody has it open and has read what came before', () => {
  const d = terminal(MULTIPORT);
  expect([0, 1].map((port) => takesInput(d.state, port))).toEqual([false, false]);
  d.write(CONTROL_TRANSMIT, control(1, PORT_OPEN, 1));
  expect([0, 1].map((port) => takesInput(d.state, port))).toEqual([false, true]);
  d.type(1, 'a');
  expect(takesInput(d.state, 1)).toBe(false);
  d.post(4);
  expect(takesInput(d.state, 1)).toBe(true);
  d.write(CONTROL_TRANSMIT, control(1, PORT_OPEN, 0));
  expect(takesInput(d.state, 1)).toBe(false);
  // A driver of one port opens none: that it is there is enough.
  expect([0, 1].map((port) => takesInput(terminal(0n).state, port))).toEqual([true, false]);
});

test('a driver of one port sees one port', () => {
  const d = terminal(0n);
  d.post(0);
  d.type(1, 'lost?');
  d.type(0, 'a');
  d.write(1, ascii('b'));
  expect([d.got(0), d.events().map(({ text }) => text)]).toEqual([[ascii('a')], ['b']]);
});

test('a byte can be printed before any queue is there', () => {
  const d = driver(initialConsole(), consoleQueues(2));
  d.write(0x108, 0x21);
  expect(d.events()).toEqual([{ event: 'console', console: 'hvc0', byte: 0x21, text: '!' }]);
});

test('more than 64 KiB by one chain is no driver: the device needs a reset', () => {
  const d = terminal(MULTIPORT);
  d.offer(1, d.chain(1, [0], [{ address: place(1), bytes: 70_000 }]));
  d.notify(1);
  expect([d.read(REGISTER.status) & 64, d.events()]).toEqual([64, [{ event: 'virtio_needs_reset', device: 0, kind: 'console', reason: '70000 bytes for a port at once' }]]);
});
