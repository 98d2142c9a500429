/** The serial port: what a guest driver sees when bytes come and go. */

import { expect, test } from 'vitest';
import { describeUart } from '../../../machines/uart/describe.ts';
import { initialUart, listens, POLLS, SETTLE_NS, uartFaults } from '../../../machines/uart/state.ts';
import { receive } from '../../../machines/uart/uart.ts';
import type { UartMessage } from '../../../machines/messages.ts';
import { recorder } from '../gic/recorder.ts';

const DR = 0;
const RSR = 4;
const FR = 0x18;
const LCR_H = 0x2c;
const CR = 0x30;
const IFLS = 0x34;
const IMSC = 0x38;
const RIS = 0x3c;
const MIS = 0x40;
const ICR = 0x44;
const RX = 0x10n;
const TX = 0x20n;
const RT = 0x40n;
const OE = 0x400n;

function port() {
  const state = initialUart();
  const alarms: { readonly name: string; readonly deadlineNs: number | undefined }[] = [];
  const out = { ...recorder(), alarms, alarm: (name: string, deadlineNs: number | undefined) => { alarms.push({ name, deadlineNs }); } };
  const say = (message: UartMessage): void => {
    receive(state, message, out);
    expect(uartFaults(state)).toEqual([]);
  };
  return {
    state, out,
    write: (offset: number, value: bigint, bytes = 4) => say({ type: 'write', from: 'vcpu:0', offset, bytes, value }),
    read: (offset: number, bytes = 4): bigint => {
      const before = out.sent.length;
      say({ type: 'read', from: 'vcpu:0', offset, bytes });
      const { to, message } = out.sent.splice(before, 1)[0]!;
      expect([to, message['type'], message['offset']]).toEqual(['vcpu:0', 'device-reply', offset]);
      return message['value'] as bigint;
    },
    due: () => say({ type: 'alarm', name: 'settled' }),
    type: (text: string) => say({ type: 'input', bytes: [...text].map((character) => character.charCodeAt(0)) }),
    /** Levels of the line since the last call. */
    lines: () => out.take().map(({ to, message }) => {
      expect([to, message['type'], message['intid']]).toEqual(['gicd', 'irq-line', 33]);
      return message['level'];
    }),
  };
}

test('what a guest writes appears on the console, byte by byte, and nothing of it stays', () => {
  const uart = port();
  const before = JSON.stringify({ ...uart.state, raw: 0 });
  for (const character of 'Hi\n') uart.write(DR, BigInt(character.charCodeAt(0)), 1);
  expect(uart.out.events).toEqual([[72, 'H'], [105, 'i'], [10, '\n']].map(([byte, text]) => ({ event: 'console', console: 'serial', byte, text })));
  expect(JSON.stringify({ ...uart.state, raw: 0 })).toBe(before);
});

test('a disabled transmitter says nothing', () => {
  const uart = port();
  for (const control of [0x300n, 0x201n]) {
    uart.write(CR, control);
    uart.write(DR, 65n);
  }
  expect(uart.out.events).toEqual([]);
});

test('what is typed is read in order, and the flags say when it is over', () => {
  const uart = port();
  uart.write(LCR_H, 0x70n);
  expect(uart.read(FR)).toBe(0x90n);
  uart.type('ab');
  expect(uart.read(FR)).toBe(0x80n);
  expect([uart.read(DR, 1), uart.read(DR), uart.read(FR), uart.read(DR)]).toEqual([97n, 98n, 0x90n, 0n]);
});

test('with the time-out unmasked one byte raises the line, and reading it lowers it', () => {
  const uart = port();
  uart.write(LCR_H, 0x70n);
  uart.write(IMSC, RX | RT);
  uart.type('a');
  expect([uart.lines(), uart.read(RIS), uart.read(MIS)]).toEqual([[true], RT, RT]);
  uart.read(DR);
  expect([uart.lines(), uart.read(RIS)]).toEqual([[false], 0n]);
});

test('the receive interrupt rises at the level that UARTIFLS sets and falls below it', () => {
  const levels: readonly (readonly [bigint, number])[] = [[0n, 2], [1n, 4], [2n, 8], [3n, 12], [4n, 14]];
  for (const [select, level] of levels) {
    const uart = port();
    uart.write(LCR_H, 0x70n);
    uart.write(IFLS, select << 3n);
    uart.write(IMSC, RX);
    uart.type('x'.repeat(level - 1));
    expect(uart.lines()).toEqual([]);
    uart.type('x');
    expect(uart.lines()).toEqual([true]);
    uart.read(DR);
    expect(uart.lines()).toEqual([false]);
  }
});

test('the line changes with the mask and with ICR, and is told once', () => {
  const uart = port();
  uart.type('a');
  expect(uart.lines()).toEqual([]);
  uart.write(IMSC, RX);
  uart.write(IMSC, RX | RT);
  expect(uart.lines()).toEqual([true]);
  uart.write(ICR, RX | RT);
  expect([uart.lines(), uart.read(RIS), uart.read(DR)]).toEqual([[false], 0n, 97n]);
});

test('the transmit interrupt rises with each byte and is cleared by ICR', () => {
  const uart = port();
  uart.write(IMSC, TX);
  expect(uart.lines()).toEqual([]);
  uart.write(DR, 65n);
  uart.write(ICR, TX);
  uart.write(DR, 66n);
  expect(uart.lines()).toEqual([true, false, true]);
});

test('bytes that do not fit are lost, which the last byte that did says, and RSR after it', () => {
  for (const [lineControl, depth] of [[0x60n, 1], [0x70n, 16]] as const) {
    const uart = port();
    uart.write(LCR_H, lineControl);
    uart.type('x'.repeat(depth + 3));
    expect(uart.out.events).toEqual([{ event: 'uart_overrun', lost: 3 }]);
    expect([uart.read(FR), uart.read(RIS) & OE]).toEqual([0xc0n, OE]);
    const read = Array.from({ length: depth }, () => uart.read(DR));
    expect(read.map((character) => character >> 11n)).toEqual([...Array.from({ length: depth - 1 }, () => 0n), 1n]);
    expect(uart.read(RSR)).toBe(8n);
    uart.write(RSR, 0n);
    expect(uart.read(RSR)).toBe(0n);
  }
});

test('turning the FIFOs on or off empties them', () => {
  const uart = port();
  uart.write(LCR_H, 0x70n);
  uart.type('abc');
  expect(describeUart(uart.state)).toBe('UART: on, FIFO 3/16 ("a" "b" "c"), raised RT, unmasked none, line low');
  uart.write(LCR_H, 0x60n);
  expect([uart.read(FR), uart.read(RIS)]).toEqual([0x90n, 0n]);
});

test('looped back, what is written is read and nothing reaches the console', () => {
  const uart = port();
  uart.write(CR, 0x381n);
  uart.write(DR, 65n);
  expect([uart.read(DR), uart.out.events]).toEqual([65n, []]);
});

test('the identification is that of a PL011 r1p4', () => {
  const uart = port();
  expect([0xfe0, 0xfe4, 0xfe8, 0xfec, 0xff0, 0xff4, 0xff8, 0xffc].map((offset) => uart.read(offset))).toEqual([0x11n, 0x10n, 0x14n, 0n, 0x0dn, 0xf0n, 5n, 0xb1n]);
  expect([uart.read(0x4c), uart.out.events]).toEqual([0n, [{ event: 'uart_unknown_register', access: 'read', offset: 0x4c, bytes: 4 }]]);
});

test('a guest listens when its receive interrupts have been unmasked for a while, and no longer when it masks them', () => {
  const uart = port();
  uart.write(IMSC, RX | RT);
  expect([listens(uart.state), uart.out.alarms]).toEqual([false, [{ name: 'settled', deadlineNs: SETTLE_NS }]]);
  uart.write(IMSC, RX | TX);
  uart.due();
  expect([listens(uart.state), uart.out.alarms.length]).toEqual([true, 1]);
  uart.write(IMSC, TX);
  expect([listens(uart.state), uart.out.alarms.at(-1)]).toEqual([false, { name: 'settled', deadlineNs: undefined }]);
});

test('a guest without interrupts listens when it has looked often enough, one look at UARTFR a character sent is none', () => {
  const uart = port();
  for (let sent = 0; sent < 2 * POLLS; sent++) {
    uart.read(FR);
    uart.write(DR, 65n);
  }
  expect(listens(uart.state)).toBe(false);
  // Firmware reads its settings between two looks.
  for (let look = 0; look < POLLS; look++) { uart.read(look % 2 === 0 ? FR : DR); uart.read(CR); }
  expect(listens(uart.state)).toBe(true);
  uart.write(CR, 0x101n);
  expect(listens(uart.state)).toBe(false);
});
