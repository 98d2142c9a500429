/** The GPIO: lines in and out, and the interrupts that a driver of keys lives on. */

import { expect, test } from 'vitest';
import { describeGpio } from '../../../machines/gpio/describe.ts';
import { POWER_BUTTON, receive } from '../../../machines/gpio/gpio.ts';
import { gpioFaults, initialGpio } from '../../../machines/gpio/state.ts';
import type { GpioMessage } from '../../../machines/messages.ts';
import { recorder } from '../gic/recorder.ts';

const DIR = 0x400, IS = 0x404, IBE = 0x408, IEV = 0x40c, IE = 0x410, RIS = 0x414, MIS = 0x418, IC = 0x41c;
const data = (lines: number): number => lines << 2;

function port() {
  const state = initialGpio();
  const out = recorder();
  const say = (message: GpioMessage): void => {
    receive(state, message, out);
    expect(gpioFaults(state)).toEqual([]);
  };
  return {
    state, out,
    pin: (pin: number, level: boolean) => say({ type: 'pin', pin, level }),
    write: (offset: number, value: number) => say({ type: 'write', from: 'vcpu:0', offset, bytes: 4, value: BigInt(value) }),
    read: (offset: number): number => {
      say({ type: 'read', from: 'vcpu:0', offset, bytes: 4 });
      return Number(out.sent.splice(out.sent.findIndex(({ to }) => to === 'vcpu:0'), 1)[0]!.message['value']);
    },
    lines: () => out.take().map(({ to, message }) => [to, message['intid'], message['level']]),
  };
}

test('the address of GPIODATA says which lines are read and written, and only outputs are driven', () => {
  const gpio = port();
  gpio.write(DIR, 0x0f);
  gpio.write(data(0xff), 0xff);
  expect([gpio.read(data(0xff)), gpio.read(data(0x05))]).toEqual([0x0f, 0x05]);
  gpio.write(data(0x03), 0);
  gpio.pin(7, true);
  expect([gpio.read(data(0xff)), gpio.read(data(0x80))]).toEqual([0x8c, 0x80]);
});

test('the power button raises the line on both edges, each until it is cleared', () => {
  const gpio = port();
  gpio.write(IBE, 1 << POWER_BUTTON);
  gpio.write(IE, 1 << POWER_BUTTON);
  for (const level of [true, false]) {
    gpio.pin(POWER_BUTTON, level);
    expect([gpio.lines(), gpio.read(RIS), gpio.read(MIS), gpio.read(data(8))]).toEqual([[['gicd', 39, true]], 8, 8, level ? 8 : 0]);
    gpio.write(IC, 8);
    expect([gpio.lines(), gpio.read(RIS)]).toEqual([[['gicd', 39, false]], 0]);
  }
});

test.each([[0, false], [8, true]])('with GPIOIEV %i one edge counts', (event, level) => {
  const gpio = port();
  if (!level) gpio.pin(3, true);
  gpio.write(IEV, event);
  gpio.write(IE, 8);
  gpio.write(IC, 8);
  expect(gpio.lines()).toEqual([]);
  gpio.pin(3, level);
  expect(gpio.lines()).toEqual([['gicd', 39, true]]);
  gpio.write(IC, 8);
  gpio.pin(3, !level);
  expect(gpio.lines()).toEqual([['gicd', 39, false]]);
});

test('a level stays for as long as it is there, cleared or not', () => {
  const gpio = port();
  gpio.write(IS, 8);
  gpio.write(IEV, 8);
  gpio.write(IE, 8);
  gpio.pin(3, true);
  gpio.write(IC, 8);
  expect([gpio.lines(), gpio.read(RIS)]).toEqual([[['gicd', 39, true]], 8]);
  gpio.pin(3, false);
  expect(gpio.lines()).toEqual([['gicd', 39, false]]);
  expect(describeGpio(gpio.state)).toBe('GPIO: lines 0x00, outputs 0x00, raised 0x00, unmasked 0x08, line low');
});

test('it says that it is a PL061, and what is no register is told', () => {
  const gpio = port();
  expect([0xfe0, 0xfe4, 0xfe8, 0xfec, 0xff0, 0xff4, 0xff8, 0xffc].map((offset) => gpio.read(offset))).toEqual([0x61, 0x10, 4, 0, 0xd, 0xf0, 5, 0xb1]);
  expect(gpio.read(0x500)).toBe(0);
  expect(gpio.out.events).toEqual([{ event: 'gpio_unknown_register', access: 'read', offset: 0x500, bytes: 4 }]);
});
