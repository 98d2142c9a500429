/** The PL061's registers as rows: offset, what a read gives and a write does. Arm DDI 0190, chapter 3. */

import { levelsOf, rawOf, type GpioState } from './state.ts';

export interface GpioRegister {
  readonly name: string;
  readonly offset: number;
  /** Absent: reads as zero. */
  readonly read?: (state: GpioState, address: number) => number;
  /** Absent: writes are ignored. */
  readonly write?: (state: GpioState, value: number, address: number) => void;
}

type Stored = 'direction' | 'sense' | 'bothEdges' | 'event' | 'mask' | 'alternate';
const stored = (name: string, offset: number, field: Stored): GpioRegister => ({ name, offset, read: (state) => state[field], write: (state, value) => { state[field] = value & 0xff; } });
const constant = (name: string, offset: number, value: number): GpioRegister => ({ name, offset, read: () => value });

/** GPIODATA takes 0x400 bytes: bits 9 to 2 of the address say which lines are read or written. */
export const DATA_BYTES = 0x400;
export const GPIO_DATA: GpioRegister = {
  name: 'GPIODATA', offset: 0,
  read: (state, address) => levelsOf(state) & (address >> 2),
  write: (state, value, address) => {
    const lines = (address >> 2) & state.direction;
    state.data = (state.data & ~lines) | (value & lines);
  },
};

export const GPIO_REGISTERS: readonly GpioRegister[] = [
  stored('GPIODIR', 0x400, 'direction'),
  stored('GPIOIS', 0x404, 'sense'),
  stored('GPIOIBE', 0x408, 'bothEdges'),
  stored('GPIOIEV', 0x40c, 'event'),
  stored('GPIOIE', 0x410, 'mask'),
  { name: 'GPIORIS', offset: 0x414, read: rawOf },
  { name: 'GPIOMIS', offset: 0x418, read: (state) => rawOf(state) & state.mask },
  { name: 'GPIOIC', offset: 0x41c, write: (state, value) => { state.edges &= ~value; } },
  stored('GPIOAFSEL', 0x420, 'alternate'),
  // Part 0x061, designer Arm, revision 0; then the component's preamble.
  ...[0x61, 0x10, 0x04, 0x00].map((value, index) => constant(`GPIOPeriphID${index}`, 0xfe0 + 4 * index, value)),
  ...[0x0d, 0xf0, 0x05, 0xb1].map((value, index) => constant(`GPIOPCellID${index}`, 0xff0 + 4 * index, value)),
];
