/** `zeno boot` on a small guest that echoes what is typed: how it ends, what is recorded, and what it says to files that cannot be booted. */

import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { deviceTree } from '../../actors/device-tree.ts';
import { openDisk } from '../../cli/disk.ts';
import { load, words as programWords } from '../support/guest-program.ts';
import { ECHO, FLAT_KERNEL, flatBinary } from '../support/echo-guest.ts';
import { smallElf } from '../support/small-elf.ts';
import { fileIn, scratch, spawned, zeno, zenoBeside, zenoJson } from '../support/zeno.ts';
import { REQUEST, SET_UP } from '../support/virtio-guest.ts';

const DIR = scratch();
const file = fileIn(DIR);

let kernel: string;
beforeAll(() => { kernel = file('echo.bin', flatBinary(ECHO)); });
const ARGUMENTS = ['--mem', '16M', '--nested', 'nv2'];

describe('a machine that powers itself off', () => {
  test('has passed; its console is on standard output', async () => {
    const { status, out, err } = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', 'hello!')]);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toMatch(/^>hello!\npassed: the guest powered the machine off\n/);
  });

  test('shows the same on every kind of EL2, and without one', async () => {
    const input = file('typed', 'ab!');
    for (const how of [['--el2', 'guest'], ['--el2', 'guest', '--l1', 'nvhe'], ['--nested', 'nv', '--l1', 'nvhe'], ['--nested', 'nv2', '--l1', 'vhe']]) {
      const { out } = await zeno(['boot', '--kernel', kernel, '--mem', '16M', '--input', input, ...how]);
      expect(out).toMatch(/^>ab!\npassed/);
    }
  });

  test('with --json the object has the keys that programs rely on, and the console is on standard error', async () => {
    const { out, err } = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', '!'), '--json']);
    expect(err).toBe('>!');
    const told = JSON.parse(out) as Record<string, unknown>;
    expect(Object.keys(told)).toEqual(['scenario', 'outcome', 'reason', 'insns', 'timeNs', 'exits', 'nestedExits', 'fingerprint', 'recording']);
    expect(told).toMatchObject({ scenario: 'boot', outcome: 'passed', nestedExits: 0, recording: null });
    expect(told['exits']).toBeGreaterThan(3);
  });
});

describe('--expect', () => {
  test('passes when the text comes after all input was read; an echo before that does not count', async () => {
    expect(await zenoJson(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', 'abc'), '--expect', 'c'])).toMatchObject({ outcome: 'passed', reason: 'the console shows "c"' });
    const early = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', 'abc'), '--expect', 'a', '--max-insns', '5000']);
    expect(early.status).toBe(1);
    expect(early.out).toContain('failed: the console never showed "a": --max-insns 5000 was reached');
  });

  test('fails when the machine is off before the text came', async () => {
    const { status, out } = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', '!'), '--expect', 'more']);
    expect(status).toBe(1);
    expect(out).toContain('failed: the console never showed "more": the guest powered the machine off');
  });

  test('without it --max-insns is an end that was asked for', async () => {
    const { status, out } = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--input', file('typed', ''), '--max-insns', '5000']);
    expect(status).toBe(0);
    expect(out).toContain('stopped: --max-insns 5000 was reached');
  });
});

test('a recorded boot replays, what was typed with it, and says when its image is another', async () => {
  const recording = join(DIR, 'recording');
  const image = file('recorded.bin', flatBinary(ECHO));
  expect((await zeno(['boot', '--kernel', image, ...ARGUMENTS, '--input', file('typed', 'xyz!'), '--append', 'quiet', '--record', recording])).status).toBe(0);
  expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  for (const other of [flatBinary(['nop', ...ECHO]), flatBinary(['nop', ...ECHO.slice(1)]), '']) {
    writeFileSync(image, other);
    const { status, err } = await zeno(['replay', recording]);
    expect(status).toBe(2);
    expect(err).toMatch(/^zeno: the image .*recorded\.bin is another: recorded with [^\n]*\n$/);
  }
});

describe('--disk', () => {
  const path = (name: string): string => file(name, Uint8Array.from({ length: 4096 }, (_, at) => at));
  /** Reads a sector, prints its first byte, which is a letter, and writes the next letter back; twice, so that the second is what was written. */
  const guest = (): string => {
    const text = `${SET_UP}\nmovz x24, #2; ${load('x26', 0x900_0000)}; ${load('x27', 0x4018_0000)}
next: movz x0, #0; movz x1, #1; orr x2, x27, xzr; movz x3, #512; movz x4, #2; bl {request}
ldrb w5, [x27]; add w5, w5, #65; str w5, [x26]; sub w5, w5, #64; strb w5, [x27]
movz x0, #1; movz x1, #1; orr x2, x27, xzr; movz x3, #512; movz x4, #0; bl {request}
sub x24, x24, #1; cbnz x24, {next}
${load('x0', 0x8400_0008)}; hvc #0\n${REQUEST}`;
    return file('disk-guest.bin', new Uint8Array(Uint32Array.from(programWords(text, FLAT_KERNEL)).buffer));
  };

  test('is a disk that the guest writes, while the image stays as it was; recorded, it replays, and another image is said to be one', async () => {
    const [disk, kernelFile, recording] = [path('disk.img'), guest(), join(DIR, 'with-disk')];
    const before = readFileSync(disk);
    const { status, out } = await zeno(['boot', '--kernel', kernelFile, '--mem', '16M', '--el2', 'none', '--disk', disk, '--input', file('typed', ''), '--record', recording]);
    expect({ status, out: out.split('\n')[0] }).toEqual({ status: 0, out: 'AB' });
    expect(readFileSync(disk).equals(before)).toBe(true);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
    expect((await zeno(['show', recording, '--at', 'end'])).out).toContain('virtio 0 (disk 0 of 8 sectors, mmio): ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK');
    writeFileSync(disk, Buffer.alloc(4096, 1));
    const { status: other, err } = await zeno(['replay', recording]);
    expect(other).toBe(2);
    expect(err).toMatch(/^zeno: the image .*disk\.img is another: recorded with [^\n]*\n$/);
  });

  test('whose image changes under the run ends it with one line, and once the image is as it was, what was recorded replays', async () => {
    const [disk, recording] = [path('changes.img'), join(DIR, 'changes')];
    const before = readFileSync(disk);
    const text = `${SET_UP}\n${load('x26', 0x900_0000)}; ${load('x27', 0x4018_0000)}
next: movz x0, #0; movz x1, #1; orr x2, x27, xzr; movz x3, #512; movz x4, #2; bl {request}
movz w5, #46; str w5, [x26]; b {next}\n${REQUEST}`;
    const reader = file('reader.bin', new Uint8Array(Uint32Array.from(programWords(text, FLAT_KERNEL)).buffer));
    const { status, err } = await zenoBeside(['boot', '--kernel', reader, '--mem', '16M', '--el2', 'none', '--disk', disk, '--record', recording], () => { truncateSync(disk, 512); });
    expect(status).toBe(2);
    expect(err).toMatch(/^zeno: --disk .*changes\.img: it was changed while a machine was using it; [^\n]*: the run ended there; what ran before is recorded in .*changes\n$/);
    writeFileSync(disk, before);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  });

  test('read-only, it refuses what is written', async () => {
    const { out } = await zeno(['boot', '--kernel', guest(), '--mem', '16M', '--el2', 'none', '--disk', `${path('ro.img')},ro,mmio`, '--input', file('typed', '')]);
    expect(out).toMatch(/^AA\n/);
  });
});

test('a disk image that changes under the run is one line, and the run ends', () => {
  const disk = file('changing.img', new Uint8Array(4096));
  const { disk: { source } } = openDisk({ path: disk, readOnly: false, transport: 'mmio' });
  expect(source.read(512, 4)).toEqual(new Uint8Array(4));
  appendFileSync(disk, 'more');
  expect(() => source.read(512, 4)).toThrow(/changing\.img: it was changed while a machine was using it/);
  writeFileSync(disk, '');
  expect(() => source.read(512, 4)).toThrow(/it was changed/);
});

test('a recording keeps the GIC that it was made with', async () => {
  const recording = join(DIR, 'gicv2');
  // Sets a priority mask, sends itself an SGI that it does not take, and turns itself off.
  const text = `${load('x1', 0x801_0000)}; movz x2, #0xf0; str w2, [x1, #4]; ${load('x3', 0x800_0f00)}; ${load('x2', 0x200_0003)}; str w2, [x3]; ${load('x0', 0x8400_0008)}; smc #0`;
  const guest = file('gicv2.bin', new Uint8Array(Uint32Array.from(programWords(text, FLAT_KERNEL)).buffer));
  expect((await zeno(['boot', '--kernel', guest, '--mem', '16M', '--el2', 'guest', '--gic', '2', '--record', recording])).status).toBe(0);
  expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
  const { out } = await zeno(['show', recording, '--at', 'end', '--what', 'vgic']);
  expect(out).toContain('3: pending, disabled, Group 0, priority 0x00, edge, from PE 0');
  expect(out).toContain('GICv2m: message interrupts 80 to 143');
  expect((await zeno(['show', recording, '--at', 'end', '--what', 'vcpu:0'])).out).toContain('GICC_PMR 0x000000f0');
  expect((await zeno(['timeline', recording, '--kind', 'vgic_update_irq_pending'])).out).toContain('3');
});

describe('what cannot be booted is one line, status 2 and no recording', () => {
  const large = (name: string, bytes: number): string => {
    const path = file(name, '');
    truncateSync(path, bytes);
    return path;
  };
  const pipe = (name: string): string => {
    execFileSync('mkfifo', [join(DIR, name)]);
    return join(DIR, name);
  };
  const elf = smallElf();
  const changed = (at: number, value: number): Uint8Array => elf.map((byte, index) => (index === at ? value : byte));
  const random = new Uint8Array(4096).map((_, index) => (index * 2_654_435_761) >>> 13);
  const tree = deviceTree({ memoryBytes: 16 << 20, cpus: 1, el2: true, vhe: true, psci: 'smc', chosen: { seed: 0n } });

  test.each<[string, () => string[], RegExp]>([
    ['a truncated ELF', () => ['--kernel', file('cut.elf', elf.subarray(0, 200))], /cut\.elf: byte 0xc8: the file ends before the end of the section headers/],
    ['an ELF cut inside its header', () => ['--kernel', file('cut.elf', elf.subarray(0, 20))], /cut\.elf: byte 0x14: the file ends before the end of the ELF header/],
    ['a big-endian ELF', () => ['--kernel', file('big.elf', changed(5, 2))], /big\.elf: byte 0x5: .*big-endian\); it must be 1/],
    ['a 32-bit image', () => ['--kernel', file('32.elf', changed(4, 1))], /32\.elf: byte 0x4: .*32-bit\); it must be 2/],
    ['an image that does not fit RAM', () => ['--kernel', file('large.bin', new Uint8Array(0x20_0000)), '--mem', '2M'], /large\.bin: segment 0, 0x40080000 to 0x40280000, does not fit; it must lie within ram 0x40000000 to 0x40200000/],
    ['an initrd that does not fit RAM', () => ['--kernel', kernel, '--initrd', file('initrd', new Uint8Array(16 << 20))], /the initrd, 0x44000000 .* give more --mem/],
    ['firmware larger than its flash', () => ['--firmware', file('large.fd', new Uint8Array(0x400_0001))], /large\.fd: .*must fit the flash bank/],
    ['variables larger than their flash', () => ['--kernel', kernel, '--flash1', file('large.fd', new Uint8Array(0x400_0001))], /--flash1 .*large\.fd: the file has 67108865 bytes; it must fit the flash bank of 67108864 bytes/],
    ['a firmware file without a name', () => ['--kernel', kernel, '--fw-cfg', kernel], /--fw-cfg .*: write NAME=FILE with a name of at most 55 characters/],
    ['two firmware files of one name', () => ['--kernel', kernel, '--fw-cfg', `opt/a=${kernel}`, '--fw-cfg', `opt/a=${kernel}`], /--fw-cfg opt\/a=.*: there is a file of that name already/],
    ['a firmware file that is not there', () => ['--kernel', kernel, '--fw-cfg', `opt/a=${join(DIR, 'nowhere')}`], /--fw-cfg .*nowhere: there is no such file/],
    ['a date that is none', () => ['--kernel', kernel, '--date', 'today'], /--date today: write 2026-01-01 or/],
    ['firmware at virtual EL2 by rewriting', () => ['--firmware', kernel, '--kernel', file('small.elf', elf), '--nested', 'pv'], /--nested pv: .* does not say which of its bytes are instructions/],
    ['a device tree of random bytes', () => ['--kernel', kernel, '--dtb', file('random.dtb', random)], /random\.dtb: byte 0x0: the magic number is 0x[0-9a-f]+; a device tree blob has 0xd00dfeed/],
    ['a device tree that is cut', () => ['--kernel', kernel, '--dtb', file('cut.dtb', tree.subarray(0, 600))], /cut\.dtb: byte 0x/],
    ['an empty file', () => ['--kernel', file('empty', '')], /empty: .*the file is empty/],
    ['no image', () => [], /nothing to boot: give --kernel FILE or --firmware FILE/],
    ['a file that is not there', () => ['--kernel', join(DIR, 'nowhere')], /--kernel .*nowhere: there is no such file/],
    ['a directory', () => ['--firmware', DIR], /--firmware .*: it is not a file/],
    ['a kernel without a name', () => ['--kernel', ''], /--kernel "": name a file/],
    ['an empty initrd', () => ['--kernel', kernel, '--initrd', file('empty', '')], /--initrd .*empty: the file is empty; is it cut short\?/],
    ['empty variables', () => ['--kernel', kernel, '--flash1', file('empty', '')], /--flash1 .*empty: the file is empty/],
    ['nothing to expect', () => ['--kernel', kernel, '--expect', ''], /--expect "": .*it needs a text/],
    ['a day that no month has', () => ['--kernel', kernel, '--date', '2026-02-30'], /--date 2026-02-30: write 2026-01-01 or/],
    ['more input than can be typed', () => ['--kernel', kernel, '--input', large('large.txt', (16 << 20) + 1)], /--input .*large\.txt: it has 16777217 bytes; at most 16777216 are read/],
    ['an initrd that is read by nobody', () => ['--kernel', kernel, '--initrd', large('large.gz', 2 ** 31)], /--initrd .*large\.gz: it has 2147483648 bytes; at most 2147483647 are read/],
    ['a console that is not there', () => ['--kernel', kernel, '--terminal', 'hvc0'], /--terminal hvc0: there is no such console: there is serial; --console adds hvc0/],
    ['a script at a console that is not there', () => ['--kernel', kernel, '--console', '--input', file('script', 'expect ">"\nconsole hvc1\n')], /script: line 2: console hvc1: there is no such console: there are serial, hvc0, org\.zeno\.stream\.1/],
    ['a log of a console without a file', () => ['--kernel', kernel, '--console-log', 'serial'], /--console-log serial: write CONSOLE=FILE/],
    ['two logs of a console', () => ['--kernel', kernel, '--console-log', 'serial=/dev/null', '--console-log', 'serial=/dev/null'], /--console-log serial=\/dev\/null: serial has a file already/],
    ['a log of a console that cannot be written', () => ['--kernel', kernel, '--console-log', `serial=${DIR}`], /--console-log serial=.*: EISDIR/],
    ['no input file', () => ['--kernel', kernel, '--input', join(DIR, 'nowhere')], /--input .*nowhere: there is no such file/],
    ['a disk of no whole sectors', () => ['--kernel', kernel, '--disk', file('odd.img', Buffer.alloc(513))], /--disk .*odd\.img: it has 513 bytes; a raw disk image is a whole number of 512-byte sectors/],
    ['an empty disk', () => ['--kernel', kernel, '--disk', `${file('empty.img', '')},ro`], /--disk .*empty\.img: it has 0 bytes/],
    ['a disk that is not there', () => ['--kernel', kernel, '--disk', join(DIR, 'nowhere')], /--disk .*nowhere: there is no such file/],
    ['a pipe for a disk', () => ['--kernel', kernel, '--disk', pipe('pipe')], /--disk .*pipe: it is not a file/],
    ['a directory for a disk', () => ['--kernel', kernel, '--disk', DIR], /--disk .*: it is not a file/],
    ['a disk without a name', () => ['--kernel', kernel, '--disk', ',ro'], /--disk ,ro: it must be FILE/],
    ['a size that is no size', () => ['--kernel', kernel, '--mem', 'lots'], /--mem lots: it must be/],
    ['more RAM than there can be', () => ['--kernel', kernel, '--mem', '3073M'], /--mem 3073M: it must be from 1M to 3G/],
    ['nesting without L0', () => ['--kernel', kernel, '--el2', 'guest', '--nested', 'nv2'], /--nested nv2: virtual EL2 is made by L0, which needs --el2 kvm/],
    ['both flavours at virtual EL2', () => ['--kernel', kernel, '--nested', 'nv2', '--l1', 'both'], /--l1 both: /],
    ['pv and a flat image', () => ['--kernel', kernel, '--nested', 'pv'], /--nested pv: .*does not say which of its bytes are instructions/],
    ['a GIC that there is not', () => ['--kernel', kernel, '--gic', '4'], /--gic <version>.* argument '4' is invalid. Allowed choices are 2, 3/],
    ['GICv2 under L0', () => ['--kernel', kernel, '--gic', '2'], /--gic 2: L0 gives its guests a GICv3; a GICv2 needs --el2 guest or --el2 none/],
    ['GICv2 for nine vCPUs', () => ['--kernel', kernel, '--gic', '2', '--el2', 'none', '--smp', '9'], /--smp 9: with --gic 2 this board has 1 to 8 vCPUs/],
    ['seventeen vCPUs', () => ['--kernel', kernel, '--smp', '17'], /--smp 17: this board has 1 to 16 vCPUs/],
  ])('%s', async (_, argumentsOf, line) => {
    const recording = join(DIR, 'not-recorded');
    const given = argumentsOf();
    const { status, out, err } = await zeno(['boot', ...(given.includes('--mem') ? [] : ['--mem', '16M']), ...given, '--max-insns', '10000', '--record', recording]);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(/^zeno: [^\n]+\n$/);
    expect(err).toMatch(line);
    expect(existsSync(recording) ? readdirSync(recording) : []).toEqual([]);
  });
});

describe('where nothing can be recorded it is one line, and nothing runs', () => {
  test.each<[string, () => string, RegExp]>([
    ['no name', () => '', /^zeno: --record "": name a directory\n$/],
    ['a file', () => kernel, /^zeno: --record .*echo\.bin: nothing can be recorded there: EEXIST: [^\n]*\n$/],
    ['below a file', () => join(kernel, 'below'), /^zeno: --record .*below: nothing can be recorded there: [^\n]*\n$/],
    ['a folder that takes no file', () => {
      mkdirSync(join(DIR, 'taken/manifest.json.new'), { recursive: true });
      return join(DIR, 'taken');
    }, /^zeno: --record .*taken: nothing can be recorded there: EISDIR: [^\n]*\n$/],
  ])('%s', async (_, directory, line) => {
    const { status, out, err } = await zeno(['boot', '--kernel', kernel, ...ARGUMENTS, '--max-insns', '1000', '--record', directory()]);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(line);
  });

  test.skipIf(!existsSync('/proc/self'))('a folder that the system makes no folders in (needs /proc)', () => {
    const { status, err } = spawned(['boot', '--kernel', kernel, ...ARGUMENTS, '--record', '/proc/zeno/recording']);
    expect({ status, err }).toEqual({ status: 2, err: expect.stringMatching(/^zeno: --record \/proc\/zeno\/recording: nothing can be recorded there: ENOENT: [^\n]*\n$/) as string });
  }, 60_000);
});

describe('a guest that resets', () => {
  // Counts its lives in the second flash bank, a bit a life: powers off in the third.
  const lives = [
    'movz x20, #0x400, lsl #16', 'ldr w3, [x20]', 'movz x1, #0x900, lsl #16', 'movz w2, #0x2e', 'str w2, [x1]',
    'tbz w3, #1, 0x40080040', 'movz w4, #0x40', 'str w4, [x20]', 'lsr w3, w3, #1', 'str w3, [x20]', 'movz w4, #0xff', 'str w4, [x20]', 'movz w0, #0x8400, lsl #16', 'add w0, w0, #9', 'hvc #0', 'b 0x4008003c',
    // 0x40080040
    'movz w0, #0x8400, lsl #16', 'orr w0, w0, #8', 'hvc #0', 'b 0x4008004c',
  ];
  const resets = file('resets.bin', flatBinary(lives));
  const variables = file('variables.fd', Uint8Array.of(7, 0, 0, 0));
  const given = ['boot', '--kernel', resets, '--mem', '16M', '--el2', 'none', '--flash1', variables];

  test('starts again until it powers off, with its variables and without what it did to memory, and is replayed', async () => {
    const recording = join(DIR, 'resets');
    const { status, out } = await zeno([...given, '--record', recording]);
    expect([status, out.split('\n')[0]]).toEqual([0, '...']);
    expect(await zenoJson(['replay', recording])).toMatchObject({ identical: true });
    expect([...readFileSync(variables)]).toEqual([7, 0, 0, 0]);
  });

  test('ends at the first reset with --no-reboot', async () => {
    const { status, out } = await zeno([...given, '--no-reboot']);
    expect([status, out.split('\n')[0]]).toEqual([0, '.']);
    expect(out).toContain('the guest reset the machine');
  });
});

test('a device tree of the user reaches the guest with the command line and the initrd in its /chosen', async () => {
  // Prints the tree that X0 points to.
  const show = file('show.bin', flatBinary([
    'movz x1, #0x900, lsl #16', 'mov x3, x0', 'ldr w4, [x3, #4]', 'rev w4, w4',
    // 0x40080010
    'ldrb w2, [x3], #1', 'str w2, [x1]', 'subs w4, w4, #1', 'b.ne 0x40080010',
    'movz w0, #0x8400, lsl #16', 'orr w0, w0, #8', 'smc #0', 'b 0x4008002c',
  ]));
  const tree = deviceTree({ memoryBytes: 96 << 20, cpus: 1, el2: true, vhe: true, psci: 'smc', chosen: { seed: 0n } });
  expect(new TextDecoder('latin1').decode(tree)).not.toContain('console=');
  const { status, err } = await zeno(['boot', '--kernel', show, '--nested', 'nv2', '--mem', '96M', '--dtb', file('good.dtb', tree), '--append', 'console=ttyAMA0', '--initrd', kernel, '--json']);
  expect(status).toBe(0);
  expect(err).toContain('bootargs');
  expect(err).toContain('console=ttyAMA0');
  expect(err).toContain('linux,initrd-start');
});
