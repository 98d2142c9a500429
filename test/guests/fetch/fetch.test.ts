/** The parts of `npm run guests:fetch`, and what it says when it cannot. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { GUESTS_FOLDER } from '../../../scenarios/node.ts';
import { lacking, WHERE } from '../guests.ts';
import { mirrorsOf, packagesOf } from './apt.ts';
import { archive } from './archive.ts';
import { applets } from './initramfs.ts';
import { filesOf, isWhole, readManifest } from './manifest.ts';
import { dependsOf, loadOrder, moduleName } from './modules.ts';

const scratch: string[] = [];
const folder = (prefix: string): string => {
  scratch.push(mkdtempSync(prefix));
  return scratch.at(-1)!;
};
afterAll(() => { for (const each of scratch) rmSync(each, { recursive: true, force: true }); });

/** An ELF file with a section .modinfo and the one that has the sections' names. */
function moduleThat(depends: string): Uint8Array {
  const info = Buffer.from(`license=MIT\0depends=${depends}\0name=some\0`, 'latin1');
  const names = Buffer.from('\0.modinfo\0.shstrtab\0', 'latin1');
  const head = Buffer.alloc(64);
  head.write('\x7fELF', 'latin1');
  head.writeBigUInt64LE(BigInt(64 + info.length + names.length), 0x28);
  for (const [at, value] of [[0x3a, 64], [0x3c, 3], [0x3e, 2]] as const) head.writeUInt16LE(value, at);
  const section = (name: number, offset: number, length: number): Buffer => {
    const header = Buffer.alloc(64);
    header.writeUInt32LE(name, 0);
    header.writeBigUInt64LE(BigInt(offset), 0x18);
    header.writeBigUInt64LE(BigInt(length), 0x20);
    return header;
  };
  return Buffer.concat([head, info, names, Buffer.alloc(64), section(1, 64, info.length), section(10, 64 + info.length, names.length)]);
}

describe('modules', () => {
  const modules: Record<string, Uint8Array> = { 'net/virtio_net.ko.xz': moduleThat('net-failover,virtio'), 'net/net_failover.ko.xz': moduleThat('failover'), 'core/failover.ko': moduleThat(''), 'drivers/virtio.ko': moduleThat('') };
  const order = (wanted: readonly string[], builtin: readonly string[] = []): string[] => loadOrder(wanted, Object.keys(modules), new Set(builtin), (path) => modules[path]!);

  test('say what they depend on', () => {
    expect(dependsOf(moduleThat('virtio_ring,virtio-pci'))).toEqual(['virtio_ring', 'virtio_pci']);
    expect(dependsOf(moduleThat(''))).toEqual([]);
    expect(() => dependsOf(new Uint8Array(100))).toThrow('no ELF file');
  });

  test('are called the same by file and by driver', () => {
    expect(moduleName('kernel/drivers/char/hw_random/virtio-rng.ko.xz')).toBe('virtio_rng');
  });

  test('are loaded once each, after what they depend on', () => {
    expect(order(['virtio_net', 'virtio'])).toEqual(['core/failover.ko', 'net/net_failover.ko.xz', 'drivers/virtio.ko', 'net/virtio_net.ko.xz']);
  });

  test('need not be there when they are built in, and are missed otherwise', () => {
    expect(order(['virtio_blk', 'virtio'], ['virtio_blk'])).toEqual(['drivers/virtio.ko']);
    expect(() => order(['virtio_blk'])).toThrow('this kernel has no virtio_blk, neither as a module nor built in');
  });
});

describe('the archive', () => {
  test('has records of the format newc, sorted, each at a multiple of four', () => {
    const bytes = Buffer.from(archive([{ path: 'bin/sh', type: 'link', data: 'busybox' }, { path: 'bin', type: 'folder' }, { path: 'a', type: 'file', data: 'hello' }]));
    const found = [];
    for (let at = 0; at < bytes.length;) {
      const number = (index: number): number => Number.parseInt(bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
      expect(bytes.toString('latin1', at, at + 6)).toBe('070701');
      const name = bytes.toString('latin1', at + 110, at + 109 + number(11));
      const data = (at + 110 + number(11) + 3) & ~3;
      found.push([name, number(1).toString(8), bytes.toString('latin1', data, data + number(6))]);
      at = (data + number(6) + 3) & ~3;
    }
    expect(found).toEqual([['a', '100644', 'hello'], ['bin', '40755', ''], ['bin/sh', '120777', 'busybox'], ['TRAILER!!!', '0', '']]);
  });
});

test('busybox tells its commands', () => {
  expect(applets(Buffer.from('junk\0[\0[[\0ash\0poweroff\0sh\0start-stop\0\0junk'))).toEqual(['[', '[[', 'ash', 'poweroff', 'sh', 'start-stop']);
  expect(() => applets(Buffer.from('nothing'))).toThrow('not found in busybox');
});

describe("apt's words", () => {
  const target = (entry: string, release: string, uri: string, origin = ''): string => `MetaKey: main/binary-amd64/Packages\n${origin}Component: main\nRelease: ${release}\nRepo-URI: ${uri}\nSourcesentry: ${entry}`;
  const files: Record<string, string> = {
    '/etc/one.list': '# ours\ndeb [arch=amd64 signed-by=/keys/one.gpg] http://one bookworm main\ndeb http://bare bookworm main\n',
    '/etc/two.sources': 'Types: deb\nURIs: http://security\nSuites: bookworm-security\nSigned-By: /keys/security.gpg\n\n# a remark\n\nTypes: deb\nURIs: http://two\nSuites: trixie\nSigned-By: /keys/two.gpg\n',
  };
  const mirrors = (...targets: string[]): unknown => mirrorsOf(targets.join('\n\n'), (path) => files[path] ?? '', ['/keys/debian.gpg']);

  test('name mirrors, with their keys from a line or from a stanza', () => {
    expect(mirrors(target('/etc/one.list:2', 'bookworm', 'http://one'))).toEqual([{ uri: 'http://one', keys: '/keys/one.gpg' }, { uri: 'http://one', keys: '/keys/debian.gpg' }]);
    expect(mirrors(target('/etc/two.sources:2', 'trixie', 'http://two', 'Origin: Debian\n'))).toEqual([{ uri: 'http://two', keys: '/keys/two.gpg' }, { uri: 'http://two', keys: '/keys/debian.gpg' }]);
    expect(mirrors(target('/etc/one.list:3', 'bookworm', 'http://bare'))).toEqual([{ uri: 'http://bare', keys: '' }, { uri: 'http://bare', keys: '/keys/debian.gpg' }]);
  });

  test('name others, who are not asked', () => {
    expect(mirrors(target('/etc/two.sources:1', 'bookworm-security', 'http://security'), target('/etc/one.list:2', 'stable', 'http://else', 'Origin: Somebody\n'), target('/etc/one.list:2', 'nodistro', 'http://else'))).toEqual([]);
  });

  test('name packages', () => {
    const sum = '0123456789abcdef'.repeat(4);
    expect(packagesOf(`Reading package lists...\n'http://one/pool/b_1%3a2.deb' b-c_1%3a2.3-4+b5_arm64.deb 12 SHA256:${sum}\n`)).toEqual([{ name: 'b-c', version: '1:2.3-4+b5', architecture: 'arm64', file: 'b-c_1%3a2.3-4+b5_arm64.deb', sha256: sum }]);
    expect(() => packagesOf("'http://one/b.deb' b_1_arm64.deb 12 MD5Sum:00")).toThrow('not understood');
  });
});

test('a guest is whole when its files are those of the manifest, no more and no less', () => {
  const at = folder(join(tmpdir(), 'zeno-guests-'));
  mkdirSync(join(at, 'lib'));
  writeFileSync(join(at, 'lib/a.so.1'), 'one');
  symlinkSync('a.so.1', join(at, 'lib/a.so'));
  const guest = { packages: [], files: filesOf(at) };
  expect(Object.keys(guest.files)).toEqual(['lib/a.so', 'lib/a.so.1']);
  expect(isWhole(at, guest)).toBe(true);
  writeFileSync(join(at, 'lib/a.so.1'), 'onf');
  expect(isWhole(at, guest)).toBe(false);
  writeFileSync(join(at, 'lib/a.so.1'), 'one');
  writeFileSync(join(at, 'more'), '');
  expect(isWhole(at, guest)).toBe(false);
  expect(isWhole(join(at, 'nowhere'), guest)).toBe(false);
});

/** The script itself, on a folder of its own. */
function fetch(into: string, words: readonly string[], environment: Readonly<Record<string, string>> = {}): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'fetch.ts'), ...words], { encoding: 'utf8', env: { ...process.env, ZENO_GUESTS: into, ...environment } });
  return { status, out: stdout, err: stderr };
}

describe('the script', () => {
  const empty = (): string => folder(join(tmpdir(), 'zeno-guests-'));

  test.each([
    [['--offline'], {}, /^guests:fetch: \S+: guests were never fetched into it, and --offline asks nobody\n$/],
    [['--offline', '--update'], {}, /^guests:fetch: --update asks for newer packages[^\n]*\n$/],
    [['--offlin'], {}, /^guests:fetch: Unknown option '--offlin'[^\n]*\n$/],
    [[], { PATH: '/nowhere' }, /^guests:fetch: dpkg: not found; [^\n]*\n$/],
  ])('%j with %j ends with one line and status 2', (words, environment, expected) => {
    const at = empty();
    const { status, out, err } = fetch(at, words, environment);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(expected);
    expect(readdirSync(at)).toEqual([]);
  });

  test.skipIf(spawnSync('apt-get', ['--version']).status !== 0)('without a network it says so in one line, and leaves nothing behind (needs apt-get)', () => {
    const at = empty();
    const nowhere = 'http://127.0.0.1:9';
    const { status, err } = fetch(at, [], { http_proxy: nowhere, https_proxy: nowhere });
    expect(status).toBe(2);
    expect(err).toMatch(/^guests:fetch: no mirror of Debian answers: [^\n]+\n$/);
    expect(readdirSync(at)).toEqual([]);
  });

  test.skipIf(lacking(join(GUESTS_FOLDER, 'manifest.json')))(`makes again what is damaged, from packages that are there, and to the same bytes ${WHERE}`, () => {
    const at = folder(`${GUESTS_FOLDER}-`);
    // By links: nothing is written into, only replaced.
    expect(spawnSync('cp', ['-al', `${GUESTS_FOLDER}/.`, at]).status).toBe(0);
    const before = readManifest(at)!;
    expect(fetch(at, ['--offline'])).toMatchObject({ status: 0, err: '', out: expect.stringContaining('all there') as string });

    const image = join(at, 'linux-6.12/initramfs.gz');
    writeFileSync(`${image}.new`, readFileSync(image).subarray(0, 1000));
    renameSync(`${image}.new`, image);
    expect(fetch(at, ['--offline'])).toMatchObject({ status: 0, err: '', out: expect.stringContaining('made: ') as string });
    expect(readManifest(at)).toEqual(before);
    expect(isWhole(join(at, 'linux-6.12'), before.guests['linux-6.12']!)).toBe(true);

    const { file } = before.guests['busybox']!.packages[0]!;
    rmSync(join(at, 'busybox'), { recursive: true });
    writeFileSync(join(at, 'packages/part'), readFileSync(join(at, 'packages', file)).subarray(0, 1000));
    renameSync(join(at, 'packages/part'), join(at, 'packages', file));
    expect(fetch(at, ['--offline'])).toMatchObject({ status: 2, err: `guests:fetch: ${file}: not in ${join(at, 'packages')}, or not whole, and --offline asks nobody\n` });
  });
});
