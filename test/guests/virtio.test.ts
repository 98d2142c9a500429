/** Debian's kernels and U-Boot on virtio devices: what they read is what is there, what they write goes back with the world, and QEMU says the same. */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withSession } from '../../cli/session.ts';
import { framesOf } from '../../snapshots/history.ts';
import { fingerprint } from '../../snapshots/machine.ts';
import { eachEvent } from '../../snapshots/timeline.ts';
import { verify } from '../../snapshots/verify.ts';
import { zenoBeside } from '../support/zeno.ts';
import { lacking, LINUX, PROMPT, QEMU, U_BOOT, WHERE } from './guests.ts';
import { kernelOf, linux, qemuConsole, typeAt, uBoot, type Typed } from './virtio.ts';

const installed = (tool: string): boolean => spawnSync(tool, ['-V']).error === undefined;
const DISK_BYTES = 16 << 20;

const MKFS = installed('mkfs.ext4');
const sumOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const DIR = mkdtempSync(join(tmpdir(), 'zeno-virtio-'));
afterAll(() => rmSync(DIR, { recursive: true }));
const pattern = Uint8Array.from({ length: DISK_BYTES }, (_, at) => (at * 2_654_435_761) >>> 13);
/** The pattern's first 3 MiB in a file of a file system, where one can be made; otherwise the pattern itself. */
const FILE = pattern.subarray(0, 3 << 20);
const disk = MKFS ? fileSystem('disk', DISK_BYTES, [['file', FILE]]) : pattern;

/** An ext4 file system with files in it. */
function fileSystem(name: string, bytes: number, files: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const [folder, path] = [join(DIR, name), join(DIR, `${name}.img`)];
  mkdirSync(folder, { recursive: true });
  for (const [file, contents] of files) writeFileSync(join(folder, file), contents);
  rmSync(path, { force: true });
  execFileSync('mkfs.ext4', ['-q', '-d', folder, path, `${bytes >> 10}k`], { stdio: 'pipe' });
  return new Uint8Array(readFileSync(path));
}

const SUM = 'sha256sum < /dev/vda';
/** Beyond the page cache: what the device has, not what the kernel remembers. */
const SUM_AGAIN = 'sync; echo 3 > /proc/sys/vm/drop_caches; sha256sum < /dev/vda';
const WRITE = 'dd if=/dev/zero of=/dev/vda bs=4k seek=100 count=50 conv=fsync 2>/dev/null; dd if=/bin/busybox of=/dev/vda bs=1000 seek=3 count=7 conv=notrunc,fsync 2>/dev/null';
const at = (...lines: readonly string[]): [string, string][] => lines.map((line) => [PROMPT, line]);
/** Sums that the console shows, in order. */
const sums = (console: string): string[] => [...console.matchAll(/\n([0-9a-f]{64}) {2}-/g)].map(([, sum]) => sum!);

describe.skipIf(lacking(...LINUX.flatMap(({ image, initramfs }) => [image, initramfs]))).each(LINUX.flatMap(({ series }) => (['mmio', 'pci'] as const).map((transport) => [series, transport] as const)))(`Debian's kernel %s over virtio-%s ${WHERE}`, (series, transport) => {
  let start: Typed;
  beforeAll(() => { start = typeAt(linux(series, disk, transport), [], PROMPT); });

  test('reads its disk, writes it, and finds the old one again when the world goes back', () => {
    const [read, wrote] = [typeAt(start.world, at(SUM), PROMPT), typeAt(start.world, at(WRITE, SUM_AGAIN), PROMPT)];
    expect(sums(read.console)).toEqual([sumOf(disk)]);
    expect(sums(wrote.console)).toHaveLength(1);
    expect(sums(wrote.console)).not.toEqual([sumOf(disk)]);
    expect(sums(typeAt(start.world, at(SUM_AGAIN), PROMPT).console)).toEqual([sumOf(disk)]);
    const again = typeAt(start.world, at(WRITE, SUM_AGAIN), PROMPT);
    expect([again.console, fingerprint(again.world)]).toEqual([wrote.console, fingerprint(wrote.world)]);
  });

  test.skipIf(!MKFS && !process.env['CI'])('mounts a file system, and what it puts there is there when it is mounted again (needs mkfs.ext4)', () => {
    const { console } = typeAt(start.world, at(
      'mount /dev/vda /mnt && sha256sum < /mnt/file', 'cp /mnt/file /mnt/copy && umount /mnt && echo 3 > /proc/sys/vm/drop_caches', 'mount /dev/vda /mnt && sha256sum < /mnt/copy && umount /mnt',
      'dmesg | grep -c "EXT4-fs error"',
    ), PROMPT);
    expect(sums(console)).toEqual([sumOf(FILE), sumOf(FILE)]);
    expect(console).toMatch(/\n0\r\n\S*\/ # $/);
  });

  test('is answered by the echo peer, draws from the entropy device, prints on the console, and powers off', () => {
    const { console, world } = typeAt(start.world, at('ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ping -c 2 10.0.2.2', 'head -c 1000 /dev/hwrng | wc -c', 'echo on the other side > /dev/hvc0 && echo printed', 'dmesg | grep -ci "virtio.*\\(fail\\|error\\|warn\\)"', 'poweroff'), undefined);
    for (const shown of ['2 packets transmitted, 2 packets received, 0% packet loss', '\n1000\r\n', '\nprinted\r\n', '\n0\r\n']) expect(console).toContain(shown);
    expect(world.state.ended?.by).toBe('off');
  });

  test.skipIf(lacking(QEMU))(`QEMU reads, writes and sums the same ${WHERE}`, async () => {
    const path = join(DIR, `${series}-${transport}.img`);
    writeFileSync(path, disk);
    const lines = [SUM, WRITE, SUM_AGAIN];
    const ours = typeAt(start.world, at(...lines), PROMPT);
    expect(sums(await qemuConsole(series, path, transport, [...lines, 'poweroff']))).toEqual(sums(ours.console));
  });
});

describe.skipIf(lacking(kernelOf('6.1').image, kernelOf('6.1').initramfs))(`Debian's kernel 6.1 on several consoles ${WHERE}`, () => {
  const { image, initramfs } = kernelOf('6.1');
  const given = ['boot', '--kernel', image, '--initrd', initramfs, '--el2', 'none', '--engine', 'translator', '--max-insns', '6000000000'];
  const log = (name: string): string => readFileSync(join(DIR, `${name}.txt`), 'latin1');
  const script = (name: string, lines: readonly string[]): string => {
    writeFileSync(join(DIR, name), ['timeout 120s', ...lines].join('\n'));
    return join(DIR, name);
  };

  test.each(['mmio', 'pci'])('a script types at each of them over virtio-%s, each answers, and the recording replays', async (transport) => {
    const recording = join(DIR, `consoles-${transport}`);
    const { status, out } = await zenoBeside([
      ...given, '--append', 'console=ttyAMA0 quiet', '--console', transport, '--console-log', `hvc0=${join(DIR, 'hvc0.txt')}`, '--console-log', `org.zeno.stream.1=${join(DIR, 'stream.txt')}`, '--record', recording,
      '--input', script('consoles', [
        `expect "${PROMPT}"`, `send "setsid sh -c 'exec sh -i </dev/hvc0 >/dev/hvc0 2>&1' &\\n"`,
        'console hvc0', `expect "${PROMPT}"`, 'send "tty; echo $((6 * 7)) there\\n"', 'expect "/dev/hvc0\\r\\n42 there\\r\\n"',
        // A shell reads a line of the port, and answers there.
        'console serial', 'send "(read line; echo serial has $line; echo port has $line >&0) <>$(ls /dev/vport?p1)\\n"',
        'console org.zeno.stream.1', 'send "a line\\n"', 'expect "port has a line\\n"',
        'console serial', 'expect "serial has a line\\r\\n"', 'console hvc0', 'send "poweroff\\n"',
      ]),
    ]);
    expect({ status, out }).toEqual({ status: 0, out: expect.stringContaining('passed: the guest powered the machine off') });
    expect([/\n42 there/.test(out), log('hvc0').includes('serial has'), log('stream')]).toEqual([false, false, 'port has a line\n']);
    const printed: Record<string, string> = {};
    await withSession(recording, { engine: 'translator' }, ({ history }) => {
      expect(verify(history)).toMatchObject({ identical: true });
      eachEvent(history, 0, framesOf(history), ({ event }) => { if (event.event === 'console') printed[String(event.console)] = (printed[String(event.console)] ?? '') + String(event.text); });
    });
    expect(Object.keys(printed)).toEqual(['serial', 'hvc0', 'org.zeno.stream.1']);
    expect([printed['hvc0'], printed['org.zeno.stream.1']]).toEqual([log('hvc0'), log('stream')]);
    expect(out.startsWith(Buffer.from(printed['serial']!, 'latin1').toString())).toBe(true);
  });

  test('its shell is on hvc0, and so is the terminal, with console=hvc0', async () => {
    const { status, out } = await zenoBeside([
      ...given, '--append', 'console=hvc0', '--console', '--terminal', 'hvc0', '--console-log', `serial=${join(DIR, 'serial.txt')}`,
      '--input', script('hvc0', [`expect "${PROMPT}"`, 'send "tty; cat /proc/consoles\\n"', 'expect "/dev/hvc0"', 'expect "hvc0 "', `expect "${PROMPT}"`]),
    ]);
    expect({ status, out }).toEqual({ status: 0, out: expect.stringContaining('was carried out') });
    expect(log('serial')).not.toContain(PROMPT);
  });
});

describe.skipIf(lacking(U_BOOT, kernelOf('6.1').image)).each(['mmio', 'pci'] as const)(`U-Boot over virtio-%s ${WHERE}`, (transport) => {
  test.skipIf(!MKFS && !process.env['CI'])('boots a kernel from a disk (needs mkfs.ext4)', () => {
    const { image, initramfs } = kernelOf('6.1');
    const bootable = fileSystem('boot', 64 << 20, [['Image', new Uint8Array(readFileSync(image))], ['initramfs.gz', new Uint8Array(readFileSync(initramfs))]]);
    const lines: [string, string][] = [
      ['Hit any key to stop autoboot:  2 ', 'x'], ...['virtio scan', 'load virtio 0 0x41000000 Image', 'load virtio 0 0x46000000 initramfs.gz', 'setenv bootargs console=ttyAMA0', 'booti 0x41000000 0x46000000:${filesize} ${fdtcontroladdr}'].map((line): [string, string] => ['=> ', line]),
      [PROMPT, 'ls -l /sys/block/vda/size && poweroff'],
    ];
    const { console, world } = typeAt(uBoot(bootable, transport), lines, undefined);
    expect(console).toMatch(/\d+ bytes read in \d+ ms/);
    expect(console).toContain('Starting kernel ...');
    expect([world.state.ended?.by, /reboot: Power down/.test(console)]).toEqual(['off', true]);
  });
});
