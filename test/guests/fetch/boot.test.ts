/** The kernels that were fetched, on the QEMU that was fetched with them: what is made here is fit to be compared with. */

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lacking, LINUX, PROMPT, QEMU, WHERE } from '../guests.ts';

interface Outcome { readonly console: string; readonly status: number | null }

const LIMIT_MS = 240_000;
const running = new Set<ReturnType<typeof spawn>>();
afterAll(() => { for (const each of running) each.kill('SIGKILL'); });

/** Types a line at each prompt. */
function run({ image, initramfs }: (typeof LINUX)[number], append: string, typed: readonly string[]): Promise<Outcome> {
  const devices = ['virtio-blk-pci,drive=disk', 'virtio-blk-device,drive=other', 'virtio-net-pci,netdev=net', 'virtio-rng-device', 'virtio-serial-device'].flatMap((device) => ['-device', device]);
  const machine = spawn(QEMU, [
    '-machine', 'virt,gic-version=3', '-cpu', 'max', '-smp', '2', '-m', '512', '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot', '-kernel', image, '-initrd', initramfs, '-append', append,
    '-netdev', 'user,id=net', '-drive', `if=none,id=disk,format=raw,readonly=on,file=${image}`, '-drive', `if=none,id=other,format=raw,readonly=on,file=${image}`, ...devices,
  ], { timeout: LIMIT_MS });
  running.add(machine);
  let console = '';
  let said = 0;
  machine.stdout.on('data', (bytes: Buffer) => {
    console += bytes.toString('latin1');
    while (said < typed.length && console.split(PROMPT).length > said + 1) machine.stdin.write(`${typed[said++]!}\r`);
  });
  machine.stderr.on('data', (bytes: Buffer) => { console += bytes.toString('latin1'); });
  return new Promise((resolve, reject) => {
    machine.on('error', reject);
    machine.on('close', (status) => { running.delete(machine); resolve({ console, status }); });
  });
}

describe.skipIf(lacking(QEMU, ...LINUX.flatMap(({ image, initramfs }) => [image, initramfs]))).each(LINUX)(`Debian's kernel $series on QEMU ${WHERE}`, (guest) => {
  let outcome: Outcome;
  beforeAll(async () => { outcome = await run(guest, 'console=ttyAMA0', ['echo kernel $(uname -r)', 'ls /dev/vda /dev/vdb /dev/hwrng /sys/class/net/eth0/address', 'sleep 600 &', 'jobs', 'poweroff']); });

  test('reaches a shell, which answers', () => {
    expect(outcome.console).toMatch(new RegExp(`\nkernel ${guest.series.replace('.', '\\.')}\\.\\d`));
  });

  test('has its disks, over PCI and over MMIO, its source of chance and its network', () => {
    for (const path of ['/dev/vda', '/dev/vdb', '/dev/hwrng', '/sys/class/net/eth0/address']) expect(outcome.console).toMatch(new RegExp(`\n(\\S+ +)*${path}\\b`));
    expect(outcome.console).not.toMatch(/No such file|insmod: /);
  });

  test('has a terminal with jobs', () => {
    expect(outcome.console).toMatch(/\[1\]\+ {2}Running +sleep 600/);
    expect(outcome.console).not.toContain("can't access tty");
  });

  test('powers off when poweroff is typed', () => {
    expect(outcome.console).toMatch(/reboot: Power down\s*$/);
    expect(outcome.status).toBe(0);
  });

  test('powers off as soon as it has started when its command line says so', async () => {
    const { console, status } = await run(guest, 'console=ttyAMA0 -- poweroff', []);
    expect(console).toMatch(/Run \/init as init process\r\n([^\n]*\n)?[^\n]*reboot: Power down\s*$/);
    expect(status).toBe(0);
  });
});
