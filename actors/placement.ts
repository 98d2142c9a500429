/** Where the initrd and the device tree go in RAM, beside what the images take for their own. */

import { VIRT_MAP } from './device-tree.ts';
import type { Image } from './images.ts';

/** What is to lie in RAM together. */
export interface Load {
  readonly kernel?: Image;
  readonly firmware?: Image;
  readonly initrd?: Uint8Array;
  readonly memoryBytes: number;
}

/** Where an initrd goes when nothing is in the way. */
export const INITRD_BASE = 0x4400_0000;

const RAM_BASE = VIRT_MAP.ram[0];
const PAGE = 4096;
/** A block of the kernel's map, which is to hold the device tree. Linux: Documentation/arch/arm64/booting.rst, "Setup the device tree". */
const BLOCK = 0x20_0000;

interface Range { readonly from: number; readonly to: number }

/**
 * The address of the initrd: 64 MiB into RAM; behind the kernel where that reaches so far; in a small RAM at its end. When nothing
 * is free, the first of these.
 */
export function initrdBase(load: Load): number {
  const bytes = load.initrd?.length ?? 0;
  const taken = imageRanges(load);
  return firstFree([INITRD_BASE, up(endOf(taken), BLOCK), down(endOfRam(load) - bytes, PAGE)], bytes, taken, load);
}

/**
 * The address of a device tree of `bytes` bytes: as QEMU has it, at the start of RAM for firmware and ELF, which say where they lie, and
 * behind the initrd for a Linux Image or flat binary, which takes what follows its bytes for its own (.bss, stacks). Where that is
 * not free, the middle of RAM, then behind the kernel, then the end of RAM; when nothing is free, the first of these.
 */
export function deviceTreeBase(load: Load, bytes: number): number {
  const initrd: Range[] = load.initrd === undefined ? [] : [{ from: initrdBase(load), to: initrdBase(load) + load.initrd.length }];
  const taken = [...imageRanges(load), ...initrd];
  const behind = up(initrd[0]?.to ?? INITRD_BASE, BLOCK);
  const others = [behind, RAM_BASE + down(load.memoryBytes / 2, PAGE), up(endOf(taken), BLOCK), down(endOfRam(load) - bytes, BLOCK), RAM_BASE];
  return firstFree(load.firmware !== undefined || load.kernel?.kind === 'elf' ? [RAM_BASE, ...others] : others, bytes, taken, load);
}

const endOfRam = ({ memoryBytes }: Load): number => RAM_BASE + memoryBytes;
const up = (address: number, unit: number): number => Math.ceil(address / unit) * unit;
const down = (address: number, unit: number): number => Math.floor(address / unit) * unit;
const endOf = (ranges: readonly Range[]): number => Math.max(RAM_BASE, ...ranges.map(({ to }) => to));

/** What the images take of RAM, .bss included. */
function imageRanges({ kernel, firmware }: Load): Range[] {
  const segments = [kernel, firmware].flatMap((image) => image?.segments ?? []);
  return segments.map(({ address, memoryBytes }) => ({ from: address, to: address + memoryBytes })).filter(({ from }) => from >= RAM_BASE);
}

const firstFree = (candidates: readonly number[], bytes: number, taken: readonly Range[], load: Load): number =>
  candidates.find((at) => at >= RAM_BASE && at + bytes <= endOfRam(load) && taken.every(({ from, to }) => at + bytes <= from || to <= at)) ?? candidates[0]!;
