/** Where the initrd and the device tree go: never over the kernel, its .bss, each other, or the end of RAM. */

import { expect, test } from 'vitest';
import type { Image } from '../../actors/images.ts';
import { deviceTreeBase, initrdBase, INITRD_BASE, type Load } from '../../actors/placement.ts';

const RAM = 0x4000_0000, MIB = 1 << 20, TREE_BYTES = 1 << 20;
const kernelOf = (kind: Image['kind'], at: number, memoryBytes: number): Image =>
  ({ name: 'kernel', kind, entry: at, symbols: [], codeRanges: [], file: new Uint8Array(4), segments: [{ address: at, virtualAddress: BigInt(at), bytes: new Uint8Array(4), memoryBytes, executable: true }] });
const linux = (mib: number): Image => kernelOf('linux', RAM + 2 * MIB, mib * MIB);

test('the initrd lies 64 MiB into RAM, behind a kernel that reaches there, and at the end of a small RAM', () => {
  const initrd = new Uint8Array(3 * MIB);
  expect(initrdBase({ kernel: linux(30), initrd, memoryBytes: 512 * MIB })).toBe(INITRD_BASE);
  expect(initrdBase({ kernel: linux(63), initrd, memoryBytes: 512 * MIB })).toBe(RAM + 66 * MIB);
  expect(initrdBase({ kernel: linux(20), initrd: new Uint8Array(3 * MIB + 1), memoryBytes: 32 * MIB })).toBe(RAM + 22 * MIB);
  expect(initrdBase({ kernel: linux(25), initrd: new Uint8Array(4 * MIB), memoryBytes: 32 * MIB })).toBe(RAM + 28 * MIB);
});

test('the device tree of an ELF file whose bytes begin where RAM does lies behind the initrd\'s place', () => {
  expect(deviceTreeBase({ kernel: kernelOf('elf', RAM, MIB), memoryBytes: 512 * MIB }, TREE_BYTES)).toBe(INITRD_BASE);
  expect(deviceTreeBase({ kernel: kernelOf('elf', RAM + 2 * MIB, MIB), memoryBytes: 512 * MIB }, TREE_BYTES)).toBe(RAM);
});

test('nothing overlaps, for every size of kernel, initrd and RAM that has room', () => {
  for (let memory = 8; memory <= 256; memory *= 2) {
    for (let kernel = 1; kernel < memory - 6; kernel += 3) {
      for (const initrdBytes of [0, 1, 4096, MIB, 5 * MIB + 1]) {
        // Two blocks and what rounding takes are room enough.
        if ((2 + kernel + 2) * MIB + initrdBytes + 6 * MIB > memory * MIB) continue;
        const load: Load = { kernel: linux(kernel), memoryBytes: memory * MIB, ...(initrdBytes > 0 && { initrd: new Uint8Array(initrdBytes) }) };
        const tree = deviceTreeBase(load, TREE_BYTES);
        const ranges = [[RAM + 2 * MIB, RAM + (2 + kernel) * MIB], [tree, tree + TREE_BYTES]];
        if (initrdBytes > 0) ranges.push([initrdBase(load), initrdBase(load) + initrdBytes]);
        const order = ranges.toSorted((a, b) => a[0]! - b[0]!);
        const what = `${memory} MiB, kernel ${kernel} MiB, initrd ${initrdBytes}`;
        for (let at = 1; at < order.length; at++) expect(order[at]![0], what).toBeGreaterThanOrEqual(order[at - 1]![1]!);
        expect(order.at(-1)![1], what).toBeLessThanOrEqual(RAM + memory * MIB);
        expect(order[0]![0], what).toBeGreaterThanOrEqual(RAM);
        expect(tree % 4096, what).toBe(0);
      }
    }
  }
});
