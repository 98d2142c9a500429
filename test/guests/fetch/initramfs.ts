/** The first file system of a guest: busybox, the kernel's virtio drivers, and what is done with them. */

import { gzipSync } from 'node:zlib';
import { archive, type Entry } from './archive.ts';

/** What a machine of the board `virt` has that these kernels may have as modules. */
export const DRIVERS = ['virtio_mmio', 'virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_console', 'virtio_rng'];

/**
 * `/init` mounts what programs expect, loads the drivers and gives way to busybox's init, which keeps a shell on the console and powers
 * off when it is told `poweroff`. With the word `poweroff` behind `--` on the kernel's command line it powers off at once instead.
 */
const INIT = (modules: readonly string[]): string => `#!/bin/busybox sh
if [ "$1" = poweroff ]; then exec busybox poweroff -f; fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
${modules.map((path) => `insmod ${path}\n`).join('')}exec busybox init
`;

/** A shell with a controlling terminal, whatever the console is: with job control, and again when it ends. Its prompt is "/ # ", since / is not its home. */
const INITTAB = `::respawn:/bin/env HOME=/root /bin/cttyhack /bin/sh
::ctrlaltdel:/bin/reboot
`;

export interface Module { readonly name: string; readonly bytes: Uint8Array }

/** `modules` in the order in which they are loaded. */
export function initramfs(busybox: Uint8Array, modules: readonly Module[]): Uint8Array {
  const folders = ['bin', 'dev', 'etc', 'modules', 'mnt', 'proc', 'root', 'sys', 'tmp'];
  const entries: Entry[] = [
    ...folders.map((path): Entry => ({ path, type: 'folder' })),
    { path: 'init', type: 'file', data: INIT(modules.map(({ name }) => `/modules/${name}`)), executable: true },
    { path: 'etc/inittab', type: 'file', data: INITTAB },
    { path: 'etc/passwd', type: 'file', data: 'root::0:0:root:/:/bin/sh\n' },
    { path: 'etc/group', type: 'file', data: 'root:x:0:\n' },
    { path: 'bin/busybox', type: 'file', data: busybox, executable: true },
    ...applets(busybox).map((name): Entry => ({ path: `bin/${name}`, type: 'link', data: 'busybox' })),
    ...modules.map(({ name, bytes }): Entry => ({ path: `modules/${name}`, type: 'file', data: bytes })),
  ];
  return gzipSync(archive(entries), { level: 9 });
}

/** The commands that this busybox has: it holds their names in a row, sorted, each with a zero behind it, and an empty one at the end. */
export function applets(busybox: Uint8Array): string[] {
  const bytes = Buffer.from(busybox.buffer, busybox.byteOffset, busybox.byteLength);
  const begin = bytes.indexOf('[\0[[\0');
  const end = bytes.indexOf('\0\0', begin);
  const names = begin < 0 ? [] : bytes.subarray(begin, end).toString('latin1').split('\0');
  if (!names.includes('sh') || !names.includes('poweroff') || names.some((name) => !/^[\w.[-]+$/.test(name))) throw new Error('the names of commands are not found in busybox');
  return names.filter((name) => name !== 'busybox');
}
