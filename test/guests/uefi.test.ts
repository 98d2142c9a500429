/** UEFI firmware: it starts a kernel that fw_cfg has, and comes to its shell. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { scratch, zenoBeside } from '../support/zeno.ts';
import { EFI, lacking, LINUX, PROMPT, WHERE } from './guests.ts';

const [{ image, initramfs }] = LINUX as readonly [(typeof LINUX)[number]];
const absent = lacking(EFI, image, initramfs);
const DIR = scratch();

/** Types `steps` at a machine, which has to power off; what its console showed. */
async function session(name: string, steps: readonly string[], ...words: readonly string[]): Promise<string> {
  const input = join(DIR, name);
  writeFileSync(input, ['timeout 300s', ...steps].join('\n'));
  const { out, err } = await zenoBeside(['boot', ...words, '--engine', 'translator', '--input', input, '--max-insns', '12000000000', '--json']);
  expect(JSON.parse(out)).toMatchObject({ outcome: 'passed', reason: 'the guest powered the machine off' });
  return err;
}

const LINUX_SESSION = [`expect "${PROMPT}"`, 'send "poweroff -f\\n"'];

describe.skipIf(absent)(`UEFI ${WHERE}`, () => {
  test('starts the EFI stub of the kernel that fw_cfg has, at EL2', async () => {
    const shown = await session('stub', LINUX_SESSION, '--firmware', EFI, '--kernel', image, '--initrd', initramfs, '--append', 'console=ttyAMA0', '--el2', 'guest');
    expect(shown).toContain('EFI stub: Booting Linux Kernel...');
    expect(shown).toContain('efi: EFI v2.70');
    expect(shown).toContain('CPU: All CPU(s) started at EL2');
  });

  test('comes to its shell, where commands are answered', async () => {
    const shown = await session('shell', ['expect "Shell>"', 'send "ver\\r"', 'expect "UEFI v2.70"', 'expect "Shell>"', 'send "reset -s\\r"'], '--firmware', EFI, '--el2', 'none');
    expect(shown).toContain('UEFI Interactive Shell');
  });
});
