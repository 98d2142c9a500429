/** The machine that `boot` makes: what its hardware has, and where things lie. */

import { describe, expect, test } from 'vitest';
import { hardwareFeatures } from '../../actors/board.ts';
import { boot, type BootOptions } from '../../actors/boot.ts';
import { parseDeviceTree } from '../../actors/flattened-tree.ts';
import { readFirmware, readImage } from '../../actors/images.ts';
import { INITRD_BASE } from '../../actors/placement.ts';
import { virtualHardware } from '../../machines/kvm/virtual-hardware.ts';
import type { Board } from '../../machines/aarch64/board.ts';
import { readBytes } from '../../machines/memory/memory.ts';
import { smallElf } from '../support/small-elf.ts';

describe('the hardware', () => {
  test.each([['vhe', 'nv2'], ['vhe', 'nv'], ['nvhe', 'nv2'], ['nvhe', 'nv']] as const)('a bare board of flavour %s has what L0 shows with %s', (l1, nested) => {
    const under = { features: hardwareFeatures({ el2: 'kvm', nested, l1 }), counterHz: 1 } as Board;
    expect(hardwareFeatures({ el2: 'guest', nested: 'none', l1 })).toEqual(virtualHardware({ mechanism: nested, flavour: l1 }, under).features);
  });

  test('a bare board of no flavour has all that a core of ours has, FEAT_NV2 and FEAT_ECV too', () => {
    expect(hardwareFeatures({ el2: 'guest', nested: 'none', l1: 'both' })).toMatchObject({ nv: 2, ecv: true, vhe: true, e2h: 'writable' });
  });
});

describe('the device tree', () => {
  const RAM = 0x4000_0000, MIB = 1 << 20;
  const flat = readImage(new Uint8Array(4096), 'flat.bin', { at: RAM + 2 * MIB });
  const linux = readImage(Uint8Array.from({ length: 64 }, (_, index) => [0x41, 0x52, 0x4d, 0x64][index - 56] ?? 0), 'Image');

  /** The address that X0 holds when the kernel starts, or with firmware, which is told nothing, the start of RAM. */
  function treeOf(options: Partial<BootOptions>): number {
    const { board } = boot({ vcpus: 1, memoryBytes: 256 * MIB, el2: 'none', nested: 'none', l1: 'both', ...options }).world.engine;
    const at = options.firmware ? RAM : Number(board.cores[0]!.words[0]);
    const size = new DataView(readBytes(board.memory, at + 4, 4).slice().buffer).getUint32(0);
    parseDeviceTree(readBytes(board.memory, at, size), 'the tree in RAM');
    return at;
  }

  test.each<[string, Partial<BootOptions>, number]>([
    ['lies above a flat binary, whose .bss and stacks follow its bytes', { kernel: flat }, INITRD_BASE],
    ['lies above a Linux Image', { kernel: linux }, INITRD_BASE],
    ['is told to a guest of L0 as well', { kernel: flat, el2: 'kvm', l1: 'vhe' }, INITRD_BASE],
    ['lies behind the initrd, at the next 2 MiB', { kernel: flat, initrd: new Uint8Array(3 * MIB) }, INITRD_BASE + 4 * MIB],
    ['lies in the middle of RAM that ends before', { kernel: flat, memoryBytes: 16 * MIB }, RAM + 8 * MIB],
    ['lies at the start of RAM for an ELF file, which says where all of it goes', { kernel: readImage(smallElf(), 'small.elf') }, RAM],
    ['lies at the start of RAM for firmware, which looks there', { firmware: readFirmware(new Uint8Array(4), 'flash.bin') }, RAM],
  ])('%s', (_, options, at) => {
    expect(treeOf(options)).toBe(at);
  });
});
