/** What each guest is made of: the packages, and what is taken from them. */

import { chmodSync, copyFileSync, cpSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { command, type Apt } from './apt.ts';
import { DRIVERS, initramfs } from './initramfs.ts';
import { FetchError, type Package } from './manifest.ts';
import { loadOrder, moduleName } from './modules.ts';

export interface Making {
  /** The packages' paths, in the order in which the recipe names them. */
  readonly debs: readonly string[];
  /** A folder to unpack into, which is not there yet. */
  readonly scratch: string;
  /** The guest's folder, empty. */
  readonly result: string;
}

export interface Recipe {
  /** The first one names the guest's version. */
  readonly packages: (apt: Apt) => Package[];
  readonly make: (making: Making) => void;
}

/** By the name of the folder. */
export const RECIPES: Readonly<Record<string, Recipe>> = {
  'linux-6.1': linux('bookworm', '6.1'),
  'linux-6.12': linux('trixie', '6.12'),
  busybox: files('busybox-static:arm64/trixie', ['usr/bin/busybox']),
  'u-boot': files('u-boot-qemu/trixie', ['usr/lib/u-boot/qemu_arm64/u-boot.bin']),
  efi: files('qemu-efi-aarch64/trixie', ['usr/share/qemu-efi-aarch64/QEMU_EFI.fd']),
  qemu: { packages: (apt) => named(apt.closure(['qemu-system-arm', 'ipxe-qemu']), 'qemu-system-arm'), make: qemu },
};

/** apt has an order of its own. */
const named = (packages: readonly Package[], name: string): Package[] => [...packages.filter((each) => each.name === name), ...packages.filter((each) => each.name !== name)];

const unpack = (deb: string, folder: string): string => {
  mkdirSync(folder, { recursive: true });
  command('dpkg-deb', ['-x', deb, folder]);
  return folder;
};

/** Single files of a package. */
function files(name: string, paths: readonly string[]): Recipe {
  return {
    packages: (apt) => apt.packages([name]),
    make({ debs, scratch, result }) {
      const unpacked = unpack(debs[0]!, scratch);
      for (const path of paths) copyFileSync(there(unpacked, path), join(result, basename(path)));
    },
  };
}

function there(folder: string, path: string): string {
  const [found] = globSync(path, { cwd: folder });
  if (found === undefined) throw new FetchError(`${path}: not in the package any more`);
  return join(folder, found);
}

/** Debian's kernel for clouds, whose package depends on the one of the day, with a file system that fits it. */
function linux(suite: string, series: string): Recipe {
  return {
    packages(apt) {
      const depends = apt.depends(`linux-image-cloud-arm64:arm64/${suite}`);
      const [, name, version] = /\b(linux-image-\d[^\s,]*) \(= ([^)]+)\)/.exec(depends) ?? [];
      if (!name?.startsWith(`linux-image-${series}.`)) throw new FetchError(`the kernel of ${suite} is not ${series} but "${depends}"`);
      return named(apt.packages([`${name}:arm64=${version}`, 'busybox-static:arm64/trixie']), name);
    },
    make({ debs, scratch, result }) {
      const kernel = unpack(debs[0]!, join(scratch, 'kernel'));
      const image = readFileSync(there(kernel, 'boot/vmlinuz-*'));
      // "ARM\x64", where an Image has its magic number.
      if (image.readUInt32LE(56) !== 0x644d_5241) throw new FetchError(`${basename(debs[0]!)}: its kernel is not an arm64 Image`);
      writeFileSync(join(result, 'Image'), image);
      copyFileSync(there(kernel, 'boot/config-*'), join(result, 'config'));
      cpSync(there(kernel, '{usr/,}lib/modules/*'), join(result, 'modules'), { recursive: true });
      const busybox = there(unpack(debs[1]!, join(scratch, 'busybox')), '{usr/,}bin/busybox');
      writeFileSync(join(result, 'initramfs.gz'), initramfs(readFileSync(busybox), modulesOf(join(result, 'modules'))));
    },
  };
}

/** The drivers of the kernel whose modules lie in `folder`, not compressed, in the order in which they are loaded. */
function modulesOf(folder: string): { name: string; bytes: Uint8Array }[] {
  const paths = globSync('kernel/**/*.ko{,.xz}', { cwd: folder }).toSorted();
  const builtin = new Set(readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n').map(moduleName));
  const bytes = new Map<string, Uint8Array>();
  const read = (path: string): Uint8Array => {
    if (!bytes.has(path)) bytes.set(path, path.endsWith('.xz') ? unxz(join(folder, path)) : readFileSync(join(folder, path)));
    return bytes.get(path)!;
  };
  return loadOrder(DRIVERS, paths, builtin, read).map((path) => ({ name: `${moduleName(path)}.ko`, bytes: read(path) }));
}

function unxz(path: string): Uint8Array {
  const copy = `${path}.copy.xz`;
  copyFileSync(path, copy);
  command('xz', ['--decompress', copy]);
  const bytes = readFileSync(copy.slice(0, -'.xz'.length));
  rmSync(copy.slice(0, -'.xz'.length));
  return bytes;
}

/** Starts the QEMU that lies beside it with that one's loader, libraries and data: what the system has of them does not matter. */
const WRAPPER = (loader: string, libraries: string): string => `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
export QEMU_MODULE_DIR="$root/${libraries}/qemu"
exec "$root/${loader}" --argv0 "$0" --library-path "$root/${libraries}" "$root/usr/bin/qemu-system-aarch64" -L "$root/usr/share/qemu" "$@"
`;

function qemu({ debs, scratch, result }: Making): void {
  for (const deb of debs) unpack(deb, scratch);
  const loader = globSync('usr/lib/*-linux-gnu*/ld-linux*.so.*', { cwd: scratch })[0];
  if (loader === undefined) throw new FetchError('qemu: its packages have no loader of programs');
  const libraries = dirname(loader);
  for (const path of ['usr/bin/qemu-system-aarch64', 'usr/share/qemu', libraries]) {
    mkdirSync(join(result, 'root', path, '..'), { recursive: true });
    renameSync(join(scratch, path), join(result, 'root', path));
  }
  writeFileSync(join(result, 'qemu-system-aarch64'), WRAPPER(loader, libraries));
  chmodSync(join(result, 'qemu-system-aarch64'), 0o755);
  const version = command(join(result, 'qemu-system-aarch64'), ['--version']).split('\n')[0]!;
  if (!(Number(/version (\d+)/.exec(version)?.[1]) >= 10)) throw new FetchError(`qemu: 10 or later is needed, and Debian has "${version}"`);
}
