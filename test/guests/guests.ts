/** Where the guests lie that `npm run guests:fetch` gets, and what becomes of a test that lacks one: skipped by name, but in CI a failure. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GUESTS_FOLDER } from '../../scenarios/node.ts';

const at = (path: string): string => join(GUESTS_FOLDER, path);

export interface LinuxGuest {
  readonly series: string;
  /** A plain arm64 Image. */
  readonly image: string;
  /** A shell on the console with the prompt PROMPT; `-- poweroff` on the command line powers off at once. */
  readonly initramfs: string;
  readonly config: string;
}

/** Debian's kernels for clouds: of bookworm, and of trixie, which is built for 52-bit addresses. */
export const LINUX: readonly LinuxGuest[] = ['6.1', '6.12'].map((series) => ({ series, image: at(`linux-${series}/Image`), initramfs: at(`linux-${series}/initramfs.gz`), config: at(`linux-${series}/config`) }));
export const PROMPT = '/ # ';
/** Static, arm64. */
export const BUSYBOX = at('busybox/busybox');
/** For the board qemu_arm64. */
export const U_BOOT = at('u-boot/u-boot.bin');
/** Not padded to the size of a flash. */
export const EFI = at('efi/QEMU_EFI.fd');
/** QEMU 10 or later, which brings its own libraries. */
export const QEMU = at('qemu/qemu-system-aarch64');

/** Goes into the names of tests that are skipped. */
export const WHERE = '(needs what npm run guests:fetch gets)';

/** Whether one of these is not there. In CI it throws instead, which fails the file. */
export function lacking(...paths: readonly string[]): boolean {
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined && process.env['CI']) throw new Error(`${missing} is missing, and CI must have it: npm run guests:fetch`);
  return missing !== undefined;
}
