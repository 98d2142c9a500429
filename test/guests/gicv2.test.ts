/** Linux's KVM on a board with GICv2, which gives a guest of its own a vGICv2 by list registers and the virtual CPU interface: on ours, and on QEMU. */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { scratch, zenoBeside } from '../support/zeno.ts';
import { archive } from './fetch/archive.ts';
import { lacking, LINUX, PROMPT, QEMU, WHERE } from './guests.ts';

const GCC = 'aarch64-linux-gnu-gcc';
const compiler = spawnSync(GCC, ['--version']).error === undefined;
const SOURCES = join(import.meta.dirname, 'kvm');
const [{ image, initramfs }] = LINUX as readonly [(typeof LINUX)[number]];
const DIR = scratch();
const INITRD = join(DIR, 'initrd');

/** What the guest of KVM reports: CPU_ON's result; the SGIs, the second from vCPU 1; the timer, three times; GICC_CTLR, PMR and RPR; GICC_IAR with nothing to take. Then it powers off. */
const REPORTED = ['report 0', 'report 5', 'report 406', 'report 1b', 'report 1b', 'report 1b', 'report 1', 'report f0', 'report ff', 'report 3ff', 'system-event 1'];
const reported = (console: string): string[] => [...console.matchAll(/^(?:report|system-event|[a-z-]+-failed|unexpected-exit) [0-9a-f]+(?=\r?$)/gm)].map(([line]) => line);

/** The kernel's initramfs with the monitor in it: kernels unpack one archive behind the other. */
function build(): void {
  const monitor = join(DIR, 'monitor');
  execFileSync(GCC, ['-O1', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-fno-builtin', '-fno-stack-protector', '-fno-pie', '-no-pie', '-nostdlib', '-static', '-o', monitor, 'monitor.c', 'guest.S'], { cwd: SOURCES, stdio: 'pipe' });
  writeFileSync(INITRD, Buffer.concat([readFileSync(initramfs), gzipSync(archive([{ path: 'monitor', type: 'file', data: readFileSync(monitor), executable: true }]))]));
}

describe.skipIf(lacking(image, initramfs) || (!compiler && !process.env['CI']))(`KVM with GICv2 (needs what npm run guests:fetch gets, and ${GCC})`, () => {
  beforeAll(build);

  test.each(['', ' kvm-arm.mode=nvhe'])('runs a guest whose vCPUs interrupt each other and take their timers%s', async (mode) => {
    const input = join(DIR, 'session');
    writeFileSync(input, ['timeout 120s', `expect "${PROMPT}"`, 'send "/monitor; poweroff\\n"'].join('\n'));
    const { out, err } = await zenoBeside(['boot', '--kernel', image, '--initrd', INITRD, '--append', `console=ttyAMA0${mode}`, '--el2', 'guest', '--gic', '2', '--smp', '2', '--engine', 'translator', '--input', input, '--max-insns', '4000000000', '--json']);
    expect(reported(err)).toEqual(REPORTED);
    expect(JSON.parse(out)).toMatchObject({ outcome: 'passed', reason: 'the guest powered the machine off' });
    expect(err).toContain(mode === '' ? 'VHE mode initialized successfully' : 'Hyp mode initialized successfully');
  });

  test.skipIf(lacking(QEMU))(`QEMU reports the same ${WHERE}`, async () => {
    expect(reported(await qemuConsole('/monitor; poweroff'))).toEqual(REPORTED);
  });
});

/** The console of QEMU's machine, at whose prompt `line` is typed. */
function qemuConsole(line: string): Promise<string> {
  const machine = spawn(QEMU, [
    '-M', 'virt,gic-version=2,virtualization=on', '-cpu', 'max', '-smp', '2', '-m', '512', '-nodefaults', '-nographic', '-serial', 'stdio', '-no-reboot',
    '-kernel', image, '-initrd', INITRD, '-append', 'console=ttyAMA0 quiet',
  ], { timeout: 240_000 });
  let console = '';
  let typed = false;
  machine.stdout.on('data', (bytes: Buffer) => {
    console += bytes.toString('latin1');
    if (typed || !console.includes(PROMPT)) return;
    typed = true;
    // The shell sets its terminal up behind the prompt, and what comes meanwhile may be lost.
    setTimeout(() => machine.stdin.write(`${line}\r`), 500);
  });
  return new Promise((done, fail) => {
    machine.on('error', fail);
    machine.on('close', () => done(console));
  });
}
