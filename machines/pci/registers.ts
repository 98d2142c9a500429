/** Configuration space as rows of 32 bits: what a read gives and which bits a write changes; capabilities, and the BARs that they name. */

import { Command, type MsixVector, type PcieState, type PciFunction } from './state.ts';

export interface ConfigRegister {
  readonly offset: number;
  readonly name: string;
  /** Absent: reads as zero. */
  readonly read?: (found: PciFunction) => number;
  /** Gets the whole word, bytes that were not written as they were. Absent: writes are ignored. */
  readonly write?: (found: PciFunction, word: number) => void;
}

/** Bytes behind each BAR: vectors in 1, and the 64-bit pair 4 and 5 for the device. */
export const BAR_BYTES: readonly number[] = [0, 0x1000, 0, 0, 0x4000, 0];
const VECTORS_BAR = 1;
export const DEVICE_BAR = 4;
/** 64 bits wide, prefetchable. */
const WIDE = 0xc;
/** Vectors from the start of their BAR, pending bits from here. */
export const PENDING_OFFSET = 0x800;

/** Parts of the device's BAR, by the type of virtio's capability (Virtio 1.2, 4.1.4): offset and bytes. */
export const VIRTIO_PARTS = { common: { type: 1, offset: 0, bytes: 0x40 }, notify: { type: 2, offset: 0x3000, bytes: 0x1000 }, isr: { type: 3, offset: 0x1000, bytes: 0x1000 }, device: { type: 4, offset: 0x2000, bytes: 0x1000 } } as const;
/** Bytes between the notification addresses of queues. */
const NOTIFY_MULTIPLIER = 4;

/** Where each capability is in configuration space. */
const AT = { msix: 0x40, common: 0x50, notify: 0x60, isr: 0x78, device: 0x88, window: 0x98 } as const;
export const WINDOW_DATA = AT.window + 16;
const VENDOR = 0x09, MSIX = 0x11;

const COMMAND_BITS = Command.MEMORY | Command.MASTER | Command.NO_INTX | (1 << 0) | (1 << 6) | (1 << 8);

const isDevice = (found: PciFunction): boolean => found.behind !== null;
const onDevices = (read: (found: PciFunction) => number) => (found: PciFunction): number => (isDevice(found) ? read(found) : 0);

function barWord(found: PciFunction, index: number): number {
  if (!isDevice(found)) return 0;
  return (found.bars[index]! | (index === DEVICE_BAR ? WIDE : 0)) >>> 0;
}

function writeBar(found: PciFunction, index: number, word: number): void {
  // The high half of the wide one has all its bits.
  const mask = index === DEVICE_BAR + 1 ? ~0 : BAR_BYTES[index] === 0 ? 0 : ~(BAR_BYTES[index]! - 1);
  if (isDevice(found)) found.bars[index] = (word & mask) >>> 0;
}

/** The physical address behind BAR `index`. */
export const barBase = ({ bars }: PciFunction, index: number): number => bars[index]! + (index === DEVICE_BAR ? 2 ** 32 * bars[index + 1]! : 0);

const virtioCapability = (part: keyof typeof VIRTIO_PARTS, next: number, bytes = 16): ConfigRegister[] => {
  const at = AT[part];
  const { type, offset, bytes: length } = VIRTIO_PARTS[part];
  return [
    { offset: at, name: `virtio ${part}`, read: onDevices(() => VENDOR | (next << 8) | (bytes << 16) | (type << 24)) },
    { offset: at + 4, name: 'bar', read: onDevices(() => DEVICE_BAR) },
    { offset: at + 8, name: 'offset', read: onDevices(() => offset) },
    { offset: at + 12, name: 'length', read: onDevices(() => length) },
  ];
};

export const CONFIG_REGISTERS: readonly ConfigRegister[] = [
  { offset: 0x00, name: 'device and vendor', read: ({ deviceId, vendorId }) => vendorId | (deviceId << 16) },
  {
    offset: 0x04, name: 'status and command',
    // Status: there is a list of capabilities; INTx is wanted.
    read: (found) => found.command | (found.asserted ? 1 << 19 : 0) | (isDevice(found) ? 1 << 20 : 0),
    write: (found, word) => { found.command = word & COMMAND_BITS; },
  },
  { offset: 0x08, name: 'class and revision', read: ({ classCode, revision }) => revision | (classCode << 8) },
  {
    offset: 0x0c, name: 'header type, latency, cache line', read: ({ cacheLine, latency }) => cacheLine | (latency << 8),
    write: (found, word) => {
      found.cacheLine = word & 0xff;
      found.latency = (word >>> 8) & 0xff;
    },
  },
  ...[0, 1, 2, 3, 4, 5].map((index): ConfigRegister => ({ offset: 0x10 + 4 * index, name: `BAR ${index}`, read: (found) => barWord(found, index), write: (found, word) => writeBar(found, index, word) })),
  { offset: 0x2c, name: 'subsystem', read: ({ subsystem }) => subsystem },
  { offset: 0x34, name: 'capabilities', read: onDevices(({ msix }) => (msix.vectors.length > 0 ? AT.msix : AT.common)) },
  {
    offset: 0x3c, name: 'interrupt pin and line', read: (found) => found.interruptLine | (isDevice(found) ? 1 << 8 : 0),
    write: (found, word) => { found.interruptLine = word & 0xff; },
  },
  {
    offset: AT.msix, name: 'MSI-X',
    read: onDevices(({ msix }) => (msix.vectors.length === 0 ? 0 : MSIX | (AT.common << 8) | ((msix.vectors.length - 1) << 16) | (msix.masked ? 1 << 30 : 0) | (msix.enabled ? 1 << 31 : 0))),
    write: ({ msix }, word) => {
      if (msix.vectors.length === 0) return;
      msix.masked = (word & (1 << 30)) !== 0;
      msix.enabled = (word & (1 << 31)) !== 0;
    },
  },
  { offset: AT.msix + 4, name: 'MSI-X table', read: onDevices(() => VECTORS_BAR) },
  { offset: AT.msix + 8, name: 'MSI-X pending bits', read: onDevices(() => PENDING_OFFSET | VECTORS_BAR) },
  ...virtioCapability('common', AT.notify), ...virtioCapability('notify', AT.isr, 20),
  { offset: AT.notify + 16, name: 'notify multiplier', read: onDevices(() => NOTIFY_MULTIPLIER) },
  ...virtioCapability('isr', AT.device), ...virtioCapability('device', AT.window),
  { offset: AT.window, name: 'virtio window', read: onDevices(() => VENDOR | (20 << 16) | (5 << 24)) },
  { offset: AT.window + 4, name: 'bar', read: onDevices(({ window }) => window.bar), write: ({ window }, word) => { window.bar = word & 0xff; } },
  { offset: AT.window + 8, name: 'offset', read: onDevices(({ window }) => window.offset), write: ({ window }, word) => { window.offset = word >>> 0; } },
  { offset: AT.window + 12, name: 'length', read: onDevices(({ window }) => window.bytes), write: ({ window }, word) => { window.bytes = word >>> 0; } },
];

const ROWS: readonly (ConfigRegister | undefined)[] = (() => {
  const rows: (ConfigRegister | undefined)[] = Array.from({ length: 64 });
  for (const row of CONFIG_REGISTERS) {
    if (rows[row.offset / 4] !== undefined) throw new Error(`${row.name} and ${rows[row.offset / 4]!.name} are both at ${row.offset}`);
    rows[row.offset / 4] = row;
  }
  return rows;
})();

/** The aligned word at `offset`. What lies beyond the first 256 bytes says that there are no extended capabilities. */
export const readConfig = (found: PciFunction, offset: number): number => (ROWS[offset >>> 2]?.read?.(found) ?? 0) >>> 0;

/** Writes `bytes` bytes within one word. */
export function writeConfig(found: PciFunction, offset: number, bytes: number, value: number): void {
  const row = ROWS[offset >>> 2];
  if (row?.write === undefined) return;
  const shift = 8 * (offset & 3);
  const mask = bytes === 4 ? ~0 : ((1 << (8 * bytes)) - 1) << shift;
  row.write(found, (((row.read?.(found) ?? 0) & ~mask) | ((value << shift) & mask)) >>> 0);
}

/** Whose BAR holds `pa`, which of them, and where in it. */
export function barAt({ functions }: PcieState, pa: number): { readonly found: PciFunction; readonly bar: number; readonly offset: number } | undefined {
  for (const found of functions) {
    if (!isDevice(found) || (found.command & Command.MEMORY) === 0) continue;
    for (const bar of [VECTORS_BAR, DEVICE_BAR]) {
      const offset = pa - barBase(found, bar);
      if (offset >= 0 && offset < BAR_BYTES[bar]!) return { found, bar, offset };
    }
  }
  return undefined;
}

const VECTOR_BYTES = 16;
const VECTOR_FIELDS = ['addressLow', 'addressHigh', 'data', 'control'] as const;

/** The word at `offset` of the vectors' BAR. */
export function readVector({ msix: { vectors } }: PciFunction, offset: number): number {
  if (offset >= PENDING_OFFSET) return vectors.reduce((word, { pending }, index) => (pending && index >>> 5 === (offset - PENDING_OFFSET) >>> 2 ? word | (1 << (index & 31)) : word), 0) >>> 0;
  return vectors[Math.floor(offset / VECTOR_BYTES)]?.[VECTOR_FIELDS[(offset >>> 2) & 3]!] ?? 0;
}

/** Returns the vector that was written, if it was one. */
export function writeVector({ msix: { vectors } }: PciFunction, offset: number, word: number): MsixVector | undefined {
  const vector = offset < PENDING_OFFSET ? vectors[Math.floor(offset / VECTOR_BYTES)] : undefined;
  const field = VECTOR_FIELDS[(offset >>> 2) & 3]!;
  if (vector !== undefined) vector[field] = field === 'control' ? word & 1 : field === 'addressLow' ? (word & ~3) >>> 0 : word;
  return vector;
}
