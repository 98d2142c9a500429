/** Firmware that finds and starts a kernel: UEFI by fw_cfg and at its shell, U-Boot from a virtio disk. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scratch, zenoBeside } from '../support/zeno.ts';
import { EFI, lacking, LINUX, PROMPT, U_BOOT, WHERE } from './guests.ts';

const [{ image, initramfs }] = LINUX as readonly [(typeof LINUX)[number]];
const absent = lacking(EFI, U_BOOT, image, initramfs);
const DIR = scratch();

/** Types `steps` at a machine, which has to power off; what its console showed. */
async function session(name: string, steps: readonly string[], ...words: readonly string[]): Promise<string> {
  const input = join(DIR, name);
  writeFileSync(input, ['timeout 300s', ...steps].join('\n'));
  const { out, err } = await zenoBeside(['boot', ...words, '--engine', 'translator', '--input', input, '--max-insns', '12000000000', '--json']);
  expect(JSON.parse(out)).toMatchObject({ outcome: 'passed', reason: 'the guest powered the machine off' });
  return err;
}

let made: string | undefined;
/** A file system with what U-Boot loads; no root is needed to make it. */
function disk(): string {
  const [folder, file] = [join(DIR, 'root'), join(DIR, 'disk.img')];
  mkdirSync(folder);
  copyFileSync(image, join(folder, 'Image'));
  copyFileSync(initramfs, join(folder, 'initramfs.gz'));
  writeFileSync(file, '');
  truncateSync(file, 64 << 20);
  const { status, stderr } = spawnSync('mkfs.ext4', ['-q', '-d', folder, file], { encoding: 'utf8', env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return file;
}

const LINUX_SESSION = [`expect "${PROMPT}"`, 'send "poweroff -f\\n"'];

describe.skipIf(absent)(`firmware ${WHERE}`, () => {
  test('UEFI starts the EFI stub of the kernel that fw_cfg has, at EL2', async () => {
    const shown = await session('stub', LINUX_SESSION, '--firmware', EFI, '--kernel', image, '--initrd', initramfs, '--append', 'console=ttyAMA0', '--el2', 'guest');
    expect(shown).toContain('EFI stub: Booting Linux Kernel...');
    expect(shown).toContain('efi: EFI v2.70');
    expect(shown).toContain('CPU: All CPU(s) started at EL2');
  });

  test('UEFI comes to its shell, where commands are answered', async () => {
    const shown = await session('shell', ['expect "Shell>"', 'send "ver\\r"', 'expect "UEFI v2.70"', 'expect "Shell>"', 'send "reset -s\\r"'], '--firmware', EFI, '--el2', 'none');
    expect(shown).toContain('UEFI Interactive Shell');
  });

  test.each(['mmio', 'pci'])('U-Boot loads a kernel from a virtio disk (%s) and starts it', async (transport) => {
    const shown = await session(`u-boot-${transport}`, [
      'expect "autoboot"', 'send " \\r"', 'expect "=> "', 'send "virtio scan\\r"', 'expect "=> "',
      'send "load virtio 0 ${kernel_addr_r} Image\\r"', 'expect "bytes read"', 'expect "=> "',
      'send "load virtio 0 ${ramdisk_addr_r} initramfs.gz\\r"', 'expect "bytes read"', 'expect "=> "', 'send "setenv bootargs console=ttyAMA0\\r"', 'expect "=> "',
      'send "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}\\r"', ...LINUX_SESSION,
    ], '--firmware', U_BOOT, '--el2', 'guest', '--disk', `${made ??= disk()},${transport}`);
    expect(shown).toContain('Starting kernel');
    expect(shown).toContain('CPU: All CPU(s) started at EL2');
  });
});
