/** The state of the PCI Express host bridge and the functions on its bus: configuration spaces and message interrupts. PCI Local Bus 3.0, chapter 6; PCI Express Base 5.0, 7. */

import type { VirtioAddress } from '../messages.ts';

/** One vector of an MSI-X table. */
export interface MsixVector {
  addressLow: number;
  addressHigh: number;
  data: number;
  /** Bit 0: masked. */
  control: number;
  pending: boolean;
}

export interface PciFunction {
  /** Its device number on bus 0; its function number is 0. */
  readonly device: number;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Class, subclass and interface. */
  readonly classCode: number;
  readonly revision: number;
  readonly subsystem: number;
  /** Who answers behind its memory BAR; null: the host bridge, which has none. */
  readonly behind: VirtioAddress | null;
  /** Command register. */
  command: number;
  cacheLine: number;
  latency: number;
  interruptLine: number;
  /** The six base address registers, flags left out. */
  bars: number[];
  /** Whether its interrupt, INTA, is asserted. */
  asserted: boolean;
  /** Message control: enabled, and all masked. */
  msix: { enabled: boolean; masked: boolean; readonly vectors: MsixVector[] };
  /** Virtio's window into a BAR from the configuration space: BAR, offset, bytes. */
  window: { bar: number; offset: number; bytes: number };
}

type MessageReceiver = 'its' | 'v2m';

export interface PcieState {
  /** By device number. */
  readonly functions: PciFunction[];
  /** Physical address to which a message interrupt is written for the ITS, or for GICv2's message frame; null: the board has none, and functions have no MSI-X. */
  readonly translater: number | null;
  /** Who answers there, if it is not the ITS. */
  readonly messagesTo?: MessageReceiver;
  /** The four lines, as the distributor was last told. */
  lines: boolean[];
}

/** Bits of the command register. */
export const Command = { MEMORY: 1 << 1, MASTER: 1 << 2, NO_INTX: 1 << 10 } as const;

/** SPI 3 to 6, as on QEMU's virt board. */
export const FIRST_LINE_INTID = 35;
export const LINES = 4;

export interface FunctionOptions extends Pick<PciFunction, 'vendorId' | 'deviceId' | 'classCode' | 'revision' | 'subsystem' | 'behind'> { readonly vectors: number }

const emptyVector = (): MsixVector => ({ addressLow: 0, addressHigh: 0, data: 0, control: 1, pending: false });

const initialFunction = ({ vectors, ...identity }: FunctionOptions, device: number): PciFunction => ({
  device, ...identity, command: 0, cacheLine: 0, latency: 0, interruptLine: 0, bars: [0, 0, 0, 0, 0, 0], asserted: false,
  msix: { enabled: false, masked: false, vectors: Array.from({ length: vectors }, emptyVector) }, window: { bar: 0, offset: 0, bytes: 0 },
});

/** The host bridge is device 0; `functions` follow from device 1 on, at most 31. */
export function initialPcie(functions: readonly FunctionOptions[], translater: number | null, messagesTo: MessageReceiver = 'its'): PcieState {
  if (functions.length > 31) throw new RangeError(`${functions.length} functions: a bus has 31 devices besides the host bridge`);
  const bridge: FunctionOptions = { vendorId: 0x1b36, deviceId: 0x0008, classCode: 0x06_0000, revision: 0, subsystem: 0x1100_1af4, behind: null, vectors: 0 };
  return { functions: [bridge, ...functions].map(initialFunction), translater, ...(messagesTo !== 'its' && { messagesTo }), lines: [false, false, false, false] };
}

/** Which of the four lines a function's INTA is: devices take turns. */
export const lineOf = ({ device }: PciFunction): number => device % LINES;

export const drivesLine = ({ asserted, command, msix }: PciFunction): boolean => asserted && !msix.enabled && (command & Command.NO_INTX) === 0;

/** Sentences about what does not hold, none when all is well. */
export const pcieFaults = ({ functions, lines }: PcieState): string[] =>
  lines.flatMap((level, line) => (level === functions.some((found) => lineOf(found) === line && drivesLine(found)) ? [] : [`line ${line} is ${level ? 'high' : 'low'}, and its functions say otherwise`]));
