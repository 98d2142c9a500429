/** Debian's kernels with disks and other virtio devices, typed at from outside: on ours, and on QEMU for comparison. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { boot, type BootOptions } from '../../actors/boot.ts';
import { hasRead } from '../../actors/console.ts';
import type { DiskSource } from '../../actors/disk.ts';
import { readFirmware, readImage } from '../../actors/images.ts';
import type { TransportKind } from '../../actors/virtio-devices.ts';
import type { World } from '../../actors/world.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { LINUX, PROMPT, QEMU, U_BOOT, type LinuxGuest } from './guests.ts';

export const kernelOf = (series: string): LinuxGuest => LINUX.find((guest) => guest.series === series)!;
const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));

const INSNS_MAX = 12_000_000_000;
const system = systemOf();

export const sourceOf = (bytes: Uint8Array): DiskSource => ({ name: 'disk', bytes: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) });

const BOARD = { vcpus: 1, memoryBytes: 512 << 20, nested: 'none', l1: 'both', engine: 'translator', seed: 1 } as const;

/** A kernel about to start, with every kind of device behind `transport`. */
export function linux(series: string, disk: Uint8Array, transport: TransportKind, options: Partial<BootOptions> = {}): World {
  const { image, initramfs } = kernelOf(series);
  return boot({
    ...BOARD, el2: 'none', kernel: readImage(read(image), 'Image'), initrd: read(initramfs), append: 'console=ttyAMA0 quiet',
    disks: [{ source: sourceOf(disk), transport }], rng: transport, net: transport, console: transport, ...options,
  }).world;
}

/** U-Boot about to start, with a disk. */
export const uBoot = (disk: Uint8Array, transport: TransportKind): World =>
  boot({ ...BOARD, el2: 'none', firmware: readFirmware(read(U_BOOT), 'u-boot.bin'), disks: [{ source: sourceOf(disk), transport }] }).world;

export interface Typed { readonly world: World; readonly console: string }

/** Types a line whenever the console ends with its prompt, until all are typed and the prompt `last` is there, or the machine is off. */
export function typeAt(start: World, lines: readonly (readonly [prompt: string, line: string])[], last: string | undefined): Typed {
  let world = start;
  // A world that was kept at a prompt stands at it.
  const before = start.state.console;
  let console = before;
  let typed = 0;
  let pending: number[] = [];
  /** The console may end with a prompt: to be looked at once, since that takes its time. */
  let fresh = true;
  for (let insns = 0; insns < INSNS_MAX;) {
    const { state } = world;
    const quiet = state.mailbox.length === 0 && hasRead(world, state.inputBytes);
    if (fresh && pending.length === 0 && quiet) {
      fresh = false;
      if (typed === lines.length && last !== undefined && console.endsWith(last)) return { world: system.keep(world), console: console.slice(before.length) };
      if (typed < lines.length && console.endsWith(lines[typed]![0])) pending = [...Buffer.from(`${lines[typed++]![1]}\r`, 'latin1')];
    }
    const choice = pending.length > 0 && quiet && state.ended === null ? { type: 'input', bytes: pending.splice(0, 8) } as const : system.next(world);
    if (choice === undefined) return { world, console: console.slice(before.length) };
    const moved = system.step(world, choice);
    world = moved.world;
    insns += moved.frame.insns;
    for (const { event, text, console: name } of moved.frame.events) {
      if (event !== 'console' || name !== 'serial') continue;
      console += String(text);
      fresh = true;
    }
  }
  throw new Error(`after ${INSNS_MAX} instructions the console shows:\n${console}`);
}

/** The same kernel and lines on QEMU, whose disk is written nowhere either. */
export function qemuConsole(series: string, disk: string, transport: TransportKind, lines: readonly string[]): Promise<string> {
  const { image, initramfs } = kernelOf(series);
  const kind = transport === 'pci' ? 'pci' : 'device';
  const machine = spawn(QEMU, [
    '-M', 'virt,gic-version=3', '-global', 'virtio-mmio.force-legacy=false', '-cpu', 'max', '-m', '512', '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot', '-snapshot',
    '-kernel', image, '-initrd', initramfs, '-append', 'console=ttyAMA0 quiet', '-drive', `if=none,id=disk,format=raw,file=${disk}`, '-device', `virtio-blk-${kind},drive=disk`,
  ], { timeout: 240_000 });
  let console = '';
  let typed = 0;
  machine.stdout.on('data', (bytes: Buffer) => {
    console += bytes.toString('latin1');
    if (typed === lines.length || console.split(PROMPT).length <= typed + 1) return;
    const line = lines[typed++]!;
    // The shell sets its terminal up behind the prompt, and what comes meanwhile may be lost.
    setTimeout(() => machine.stdin.write(`${line}\r`), 500);
  });
  return new Promise((done, fail) => {
    machine.on('error', fail);
    machine.on('close', () => done(console));
  });
}
