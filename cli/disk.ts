/** Disk images as `--disk FILE[,ro][,mmio|pci]` names them: read as the machine asks for them, never written, and known by their sum. */

import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, statSync, type BigIntStats } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import type { DiskOptions, DiskSource } from '../actors/disk.ts';
import type { TransportKind } from '../actors/virtio-devices.ts';
import { InputError } from '../actors/input-error.ts';
import type { Image as ImageSum } from '../snapshots/compatibility.ts';

/** A disk as a recording keeps it. */
export interface DiskRecord { readonly path: string; readonly readOnly: boolean; readonly transport: TransportKind }

/** FILE, then words of what is to be different. Commas in front of such a word only, so that a file may have others. */
export function parseDisk(text: string): DiskRecord {
  const words = text.split(',');
  const found: Record<string, boolean> = {};
  while (words.length > 1 && DISK_WORDS.includes(words.at(-1)!)) found[words.pop()!] = true;
  if (words.join(',') === '' || (found['mmio'] && found['pci'])) throw new InputError(`--disk ${text}: it must be FILE, with ,ro and ,mmio or ,pci behind it if they are wanted`);
  return { path: resolvePath(words.join(',')), readOnly: found['ro'] === true, transport: found['pci'] ? 'pci' : 'mmio' };
}
const DISK_WORDS: readonly string[] = ['ro', 'mmio', 'pci'];

/** Opens the image and reads all of it once, for its sum. Throws InputError for what is no disk image. */
export function openDisk({ path, readOnly, transport }: DiskRecord): { readonly disk: DiskOptions & { readonly transport: TransportKind }; readonly sum: ImageSum } {
  const file = opened(path);
  const before = fstatSync(file, { bigint: true });
  const bytes = Number(before.size);
  if (bytes === 0 || bytes % SECTOR_BYTES !== 0) {
    closeSync(file);
    throw new InputError(`--disk ${path}: it has ${bytes} bytes; a raw disk image is a whole number of ${SECTOR_BYTES}-byte sectors (truncate -s %${SECTOR_BYTES} fills it up)`);
  }
  const source: DiskSource = {
    name: path, bytes,
    read(offset, length) {
      const buffer = new Uint8Array(length);
      let at = 0;
      try {
        for (let count = -1; at < length && count !== 0; at += count) count = readSync(file, buffer, at, length - at, offset + at);
      } catch (error) {
        throw new InputError(`--disk ${path}: it cannot be read at byte ${offset + at}: ${(error as Error).message}`);
      }
      if (at < length || !same(before, fstatSync(file, { bigint: true }))) throw new InputError(`--disk ${path}: it was changed while a machine was using it; what the guest reads would be another disk's`);
      return buffer;
    },
  };
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += SUM_BYTES) hash.update(source.read(at, Math.min(SUM_BYTES, bytes - at)));
  return { disk: { source, readOnly, transport }, sum: { name: path, sum: hash.digest('hex'), bytes } };
}

const SECTOR_BYTES = 512;
const SUM_BYTES = 1 << 20;

const same = (a: BigIntStats, b: BigIntStats): boolean => a.size === b.size && a.mtimeNs === b.mtimeNs;

function opened(path: string): number {
  try {
    // To open a pipe would be to wait for who writes to it.
    if (statSync(path).isFile()) return openSync(path, 'r');
  } catch (error) {
    throw new InputError(`--disk ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (error as Error).message}`);
  }
  throw new InputError(`--disk ${path}: it is not a file`);
}
