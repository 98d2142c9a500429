/** The firmware configuration device: items byte by byte and by DMA, as firmware for QEMU's board reads them. */

import { describe, expect, test } from 'vitest';
import { describeFirmwareConfiguration } from '../../../machines/fw-cfg/describe.ts';
import { receive } from '../../../machines/fw-cfg/fw-cfg.ts';
import { firmwareItems, Key } from '../../../machines/fw-cfg/items.ts';
import { firmwareConfigurationFaults, initialFirmwareConfiguration } from '../../../machines/fw-cfg/state.ts';
import type { DirectMemory } from '../../../machines/messages.ts';
import { recorder } from '../gic/recorder.ts';

const DATA = 0, SELECTOR = 8, DMA = 16;
const text = (bytes: Iterable<number>): string => String.fromCharCode(...bytes);
const items = firmwareItems({
  cpus: 3, kernel: Uint8Array.of(1, 2, 3, 4, 5), commandLine: 'quiet', files: [{ name: 'opt/b', bytes: Uint8Array.of(9) }, { name: 'etc/a', bytes: new TextEncoder().encode('first') }],
});

function device() {
  const state = initialFirmwareConfiguration();
  const out = recorder();
  const ram = new Uint8Array(0x1_0000);
  const memory: DirectMemory = {
    read: (pa, bytes) => (pa + bytes <= ram.length ? ram.slice(pa, pa + bytes) : undefined),
    write: (pa, bytes) => {
      if (pa + bytes.length > ram.length) return false;
      ram.set(bytes, pa);
      return true;
    },
  };
  const write = (offset: number, bytes: number, value: bigint): void => {
    receive(state, { type: 'write', from: 'vcpu:0', offset, bytes, value }, out, memory, items);
    expect(firmwareConfigurationFaults(state)).toEqual([]);
  };
  const swapped = (value: bigint, bytes: number): bigint => BigInt(`0x${value.toString(16).padStart(2 * bytes, '0').match(/../g)!.toReversed().join('')}`);
  return {
    state, out, ram, write,
    /** Bytes as the guest has them in memory. */
    read: (offset: number, bytes: number): number[] => {
      receive(state, { type: 'read', from: 'vcpu:0', offset, bytes }, out, memory, items);
      const value = out.take()[0]!.message['value'] as bigint;
      return Array.from({ length: bytes }, (_, index) => Number((value >> BigInt(8 * index)) & 0xffn));
    },
    select: (key: number) => write(SELECTOR, 2, swapped(BigInt(key), 2)),
    /** Sets up a request at 0x100 and starts it; what is left in its control word. */
    dma: (control: number, length: number, buffer: number, halves = false): number => {
      const view = new DataView(ram.buffer);
      view.setUint32(0x100, control);
      view.setUint32(0x104, length);
      view.setBigUint64(0x108, BigInt(buffer));
      if (halves) {
        write(DMA, 4, 0n);
        write(DMA + 4, 4, swapped(0x100n, 4));
      } else write(DMA, 8, swapped(0x100n, 8));
      return view.getUint32(0x100);
    },
  };
}

describe('byte by byte', () => {
  test('the signature and the features are read in accesses of any size', () => {
    const fw = device();
    fw.select(Key.SIGNATURE);
    expect(text(fw.read(DATA, 4))).toBe('QEMU');
    fw.select(Key.ID);
    expect([fw.read(DATA, 1), fw.read(DATA, 2), fw.read(DATA, 8)]).toEqual([[3], [0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]);
    expect(text(fw.read(DMA, 8))).toBe('QEMU CFG');
    expect(text(fw.read(DMA + 4, 4))).toBe(' CFG');
  });

  test('selecting again begins again, and an item that there is not is empty', () => {
    const fw = device();
    for (let round = 0; round < 2; round++) {
      fw.select(Key.KERNEL_DATA);
      expect(fw.read(DATA, 4)).toEqual([1, 2, 3, 4]);
    }
    expect(describeFirmwareConfiguration(fw.state)).toBe('fw_cfg: item 0x0011 is selected, 4 bytes of it read');
    expect(fw.read(DATA, 2)).toEqual([5, 0]);
    fw.select(0x3fff);
    expect(fw.read(DATA, 4)).toEqual([0, 0, 0, 0]);
  });

  test('a register that there is not, or in a size that it does not have, is told', () => {
    const fw = device();
    expect(fw.read(0x0c, 4)).toEqual([0, 0, 0, 0]);
    fw.write(SELECTOR, 1, 1n);
    expect(fw.out.events).toEqual([{ event: 'fw_cfg_unknown_register', access: 'read', offset: 0xc, bytes: 4 }, { event: 'fw_cfg_unknown_register', access: 'write', offset: 8, bytes: 1 }]);
  });
});

test('the directory names the files, sorted, with their sizes and keys', () => {
  const fw = device();
  expect(fw.dma((Key.FILE_DIR << 16) | 8 | 2, 4 + 2 * 64, 0x200)).toBe(0);
  const view = new DataView(fw.ram.buffer, 0x200);
  const entry = (index: number) => [view.getUint32(4 + 64 * index), view.getUint16(8 + 64 * index), text(fw.ram.subarray(0x200 + 12 + 64 * index, 0x200 + 12 + 64 * index + 5))];
  expect([view.getUint32(0), entry(0), entry(1)]).toEqual([2, [5, 0x20, 'etc/a'], [1, 0x21, 'opt/b']]);
  expect(fw.dma((0x20 << 16) | 8 | 2, 5, 0x800)).toBe(0);
  expect(text(fw.ram.subarray(0x800, 0x805))).toBe('first');
});

describe('by DMA', () => {
  test.each([false, true])('an item is selected, skipped into and read, zeros behind its end; the address in halves: %s', (halves) => {
    const fw = device();
    fw.ram.fill(0xee, 0x200, 0x210);
    expect(fw.dma((Key.KERNEL_DATA << 16) | 8 | 4, 2, 0, halves)).toBe(0);
    expect(fw.dma(2, 6, 0x200, halves)).toBe(0);
    expect([...fw.ram.subarray(0x200, 0x208)]).toEqual([3, 4, 5, 0, 0, 0, 0xee, 0xee]);
  });

  test('a write, and a buffer that is no memory, are errors', () => {
    const fw = device();
    expect(fw.dma((Key.KERNEL_DATA << 16) | 8 | 16, 2, 0x200)).toBe(1);
    expect(fw.dma((Key.KERNEL_DATA << 16) | 8 | 2, 2, 0x8000_0000)).toBe(1);
    fw.write(DMA, 8, 0x10n);
    expect(fw.out.events.at(-1)).toMatchObject({ event: 'fw_cfg_dma_fault' });
  });
});

test('the command line ends with a zero that its size counts', () => {
  expect(text(items[Key.CMDLINE_DATA]!)).toBe('quiet\0');
  expect([...items[Key.CMDLINE_SIZE]!]).toEqual([6, 0, 0, 0]);
  expect(() => firmwareItems({ cpus: 1, files: [{ name: 'x'.repeat(56), bytes: new Uint8Array(0) }] })).toThrow(/more than 55 bytes/);
});
