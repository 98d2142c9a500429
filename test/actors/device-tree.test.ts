/** The board's device tree is QEMU virt's, dtc has nothing to say against it, and a bad one from outside is named by byte. */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boardTree, deviceTree, withChosen, type BoardDescription } from '../../actors/device-tree.ts';
import { cellsOf, flatten, nodeAt, parseDeviceTree, property, stringsOf, type DeviceTreeNode } from '../../actors/flattened-tree.ts';
import { InputError } from '../../actors/input-error.ts';

const board = (change: Partial<BoardDescription> = {}): BoardDescription => ({
  memoryBytes: 0x2000_0000, cpus: 2, el2: true, vhe: true, pmu: true, psci: 'smc', chosen: { bootargs: 'console=ttyAMA0', initrd: { from: 0x4800_0000, to: 0x4800_1000 }, seed: 7n }, ...change,
});
const boards: [string, BoardDescription][] = [
  ['two vCPUs with EL2', board()], ['one vCPU without EL2', board({ cpus: 1, el2: false, vhe: false, psci: 'hvc' })], ['sixteen vCPUs', board({ cpus: 16 })], ['GICv2 with EL2', board({ gic: 2 })], ['GICv2 without', board({ gic: 2, el2: false, cpus: 8 })], ['no boot arguments', board({ chosen: { seed: 0n } })],
];
const installed = (program: string): boolean => ['/usr/bin', '/usr/local/bin', '/bin', ...(process.env['PATH'] ?? '').split(':')].some((directory) => existsSync(join(directory, program)));

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
  throw new Error('it was accepted');
}

const at = (description: BoardDescription, path: string, name: string): Uint8Array | undefined => property(nodeAt(parseDeviceTree(deviceTree(description), 'ours').root, path)!, name);

describe('the board', () => {
  test.each(boards)('reads back as it was written: %s', (_, description) => {
    expect(parseDeviceTree(deviceTree(description), 'ours').root).toEqual(boardTree(description));
  });

  test.skipIf(!installed('dtc')).each(boards)('is a tree that dtc reads without a warning (needs dtc): %s', (_, description) => {
    const result = spawnSync('dtc', ['-I', 'dtb', '-O', 'dts', '-'], { input: deviceTree(description), encoding: 'utf8' });
    expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 0, stderr: '' });
    expect(result.stdout).toContain('pl011@9000000');
  });

  test.skipIf(!installed('qemu-system-aarch64')).each([[true, 3], [false, 3], [true, 2], [false, 2]] as const)('has the nodes and properties of QEMU virt (needs qemu-system-aarch64), EL2 %s, GICv%d', (el2, gic) => {
    const directory = mkdtempSync(join(tmpdir(), 'zeno-dtb-'));
    try {
      const file = join(directory, 'virt.dtb');
      execFileSync('qemu-system-aarch64', ['-nic', 'none', '-M', `virt,gic-version=${gic},virtualization=${el2 ? 'on' : 'off'},dumpdtb=${file}`, '-cpu', 'max', '-smp', '3', '-m', '512M'], { stdio: 'pipe' });
      const qemu = parseDeviceTree(readFileSync(file), file).root;
      // QEMU describes the EL2 virtual timer of -cpu max even to a machine without EL2's maintenance interrupt.
      const ours = boardTree(board({ cpus: 3, gic, el2, vhe: cellsOf(property(nodeAt(qemu, '/timer')!, 'interrupts')!).length === 15, psci: el2 ? 'smc' : 'hvc', chosen: { seed: 1n } }));
      expect(comparable(ours)).toEqual(comparable(qemu, ours));
      expect(qemu.children.map(({ name }) => name).filter((name) => nodeAt(ours, `/${name}`) === undefined && !ABSENT.test(name))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('with GICv2 has the frames of its CPU interface, those of a hypervisor with EL2 alone, and a message frame for the ITS', () => {
    expect(stringsOf(at(board({ gic: 2 }), '/intc@8000000', 'compatible')!)).toEqual(['arm,cortex-a15-gic']);
    const frames = (el2: boolean): number[] => cellsOf(at(board({ gic: 2, el2 }), '/intc@8000000', 'reg')!).filter((_, place) => place % 4 === 1);
    expect(frames(true)).toEqual([0x800_0000, 0x801_0000, 0x803_0000, 0x804_0000]);
    expect(frames(false)).toEqual([0x800_0000, 0x801_0000]);
    expect(cellsOf(at(board({ gic: 2 }), '/intc@8000000/v2m@8020000', 'reg')!)).toEqual([0, 0x802_0000, 0, 0x1000]);
    expect(nodeAt(boardTree(board({ gic: 2 })), '/intc@8000000/its@8080000')).toBeUndefined();
    // PPIs say which PEs they are wired to.
    expect(cellsOf(at(board({ gic: 2, cpus: 3 }), '/pmu', 'interrupts')!)).toEqual([1, 7, 0x704]);
  });

  test('has a PMU at PPI 7, where there is one', () => {
    expect(cellsOf(at(board(), '/pmu', 'interrupts')!)).toEqual([1, 7, 4]);
    expect(nodeAt(boardTree(board({ pmu: false })), '/pmu')).toBeUndefined();
  });

  test('gives PSCI by the conduit that was asked for, the maintenance interrupt only with EL2, and flash as the parts that it is', () => {
    expect(stringsOf(at(board({ psci: 'smc' }), '/psci', 'method')!)).toEqual(['smc']);
    expect(stringsOf(at(board({ psci: 'hvc' }), '/psci', 'method')!)).toEqual(['hvc']);
    expect(cellsOf(at(board(), '/intc@8000000', 'interrupts')!)).toEqual([1, 9, 4]);
    expect(at(board({ el2: false }), '/intc@8000000', 'interrupts')).toBeUndefined();
    expect(cellsOf(at(board(), '/timer', 'interrupts')!)).toEqual([1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4, 1, 12, 4]);
    expect(stringsOf(at(board(), '/flash@0', 'compatible')!)).toEqual(['cfi-flash']);
    expect(cellsOf(at(board(), '/chosen', 'linux,initrd-start')!)).toEqual([0, 0x4800_0000]);
    expect(cellsOf(at(board({ memoryBytes: 0x1_4000_0000 }), '/memory@40000000', 'reg')!)).toEqual([0, 0x4000_0000, 1, 0x4000_0000]);
  });

  test('has the same random seeds from the same seed, and others from another', () => {
    expect(deviceTree(board())).toEqual(deviceTree(board()));
    const seeds = (seed: bigint): number[] => cellsOf(property(nodeAt(boardTree(board({ chosen: { seed } })), '/chosen')!, 'kaslr-seed')!);
    expect(seeds(7n)).not.toEqual(seeds(8n));
  });

  test('refuses more vCPUs than it has room for, and boot arguments that a string cannot hold', () => {
    expect(refusal(() => deviceTree(board({ cpus: 17 })))).toBe('--smp 17: this board has 1 to 16 vCPUs');
    expect(refusal(() => deviceTree(board({ memoryBytes: 1000 })))).toMatch(/--mem 1000: it must be a multiple of 4096/);
    expect(refusal(() => deviceTree(board({ chosen: { seed: 0n, bootargs: 'a\0b' } })))).toMatch(/bootargs has a zero byte at character 0x1/);
  });
});

test("the user's own tree gets the boot loader's words in /chosen and keeps the rest", () => {
  const theirs: DeviceTreeNode = { name: '', properties: [], children: [
    { name: 'chosen', properties: [{ name: 'stdout-path', value: Uint8Array.of(0x2f, 0x78, 0) }, { name: 'bootargs', value: Uint8Array.of(0x61, 0) }], children: [] },
    { name: 'device', properties: [], children: [] },
  ] };
  const chosen = nodeAt(withChosen(theirs, { bootargs: 'quiet', seed: 1n }), '/chosen')!;
  expect(stringsOf(property(chosen, 'bootargs')!)).toEqual(['quiet']);
  expect(stringsOf(property(chosen, 'stdout-path')!)).toEqual(['/x']);
  expect(stringsOf(property(nodeAt(withChosen(theirs, { seed: 1n }), '/chosen')!, 'bootargs')!)).toEqual(['a']);
  expect(nodeAt(withChosen({ ...theirs, children: theirs.children.slice(1) }, { seed: 1n }), '/chosen')!.properties.map(({ name }) => name)).toEqual(['rng-seed', 'kaslr-seed']);
});

const good = (): Uint8Array => deviceTree(board());

describe('a blob from outside', () => {
  const patched = (offset: number, value: number): Uint8Array => {
    const blob = good();
    new DataView(blob.buffer).setUint32(offset, value);
    return blob;
  };
  const structure = new DataView(good().buffer).getUint32(8);

  test.each<[string, Uint8Array, RegExp]>([
    ['one with another magic number', patched(0, 0xfeed_face), /x\.dtb: byte 0x0: the magic number is 0xfeedface; .*0xd00dfeed/],
    ['one larger than the file', patched(4, 0x10_0000), /byte 0x4: the total size is 1048576/],
    ['one of an old version', patched(20, 3), /byte 0x14: the version is 3; it must be 16 or later/],
    ['one for later readers only', patched(24, 18), /byte 0x18/],
    ['a misaligned structure block', patched(8, structure + 2), /byte 0x(24|8): the structure block/],
    ['a strings block outside', patched(12, 0x10_0000), /byte 0xc: the strings block/],
    ['a structure block outside', patched(36, 0x10_0000), /byte 0x24: the structure block/],
    ['a reservation block outside', patched(16, 0x10_0000), /byte 0x10: the reservation block/],
    ['an unknown token', patched(structure, 7), new RegExp(`byte 0x${structure.toString(16)}: the token is 0x7`)],
    ['a property that runs over the end', patched(structure + 12, 0xffff_fff0), /the property has 4294967280 bytes/],
    ['a property name outside the strings', patched(structure + 16, 0xffff_0000), /the property's name is at 0xffff0000/],
    ['a tree that ends inside a node', patched(structure + 8, 9), /the tree ends inside node \//],
  ])('is refused by byte: %s', (_, blob, message) => {
    expect(refusal(() => parseDeviceTree(blob, 'x.dtb'))).toMatch(message);
  });

  test('is refused when cut at any byte', () => {
    const blob = good();
    for (let length = 0; length < blob.length; length += 1) refusal(() => parseDeviceTree(blob.subarray(0, length), 'x.dtb'));
  });

  test('of random bytes is refused, and with random bytes changed is read or refused, never anything else', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => { refusal(() => parseDeviceTree(bytes, 'x.dtb')); }), { numRuns: 500, seed: 20260902 });
    const blob = good();
    let refused = 0;
    fc.assert(fc.property(fc.array(fc.tuple(fc.oneof(fc.integer({ min: 0, max: 39 }), fc.integer({ min: 0, max: blob.length - 1 })), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }), (changes) => {
      const copy = blob.slice();
      for (const [offset, value] of changes) copy[offset] = value;
      try {
        parseDeviceTree(copy, 'x.dtb');
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused += 1;
      }
    }), { numRuns: 2000, seed: 20260903 });
    expect(refused).toBeGreaterThan(100);
  });

  test('nested too deep is refused, not followed', () => {
    let node: DeviceTreeNode = { name: 'leaf', properties: [], children: [] };
    for (let depth = 0; depth < 100; depth += 1) node = { name: depth === 99 ? '' : 'n', properties: [], children: [node] };
    expect(refusal(() => parseDeviceTree(flatten(node), 'x.dtb'))).toMatch(/nested more than 64 deep/);
  });

  test('any tree that we can write reads back the same', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9,._+@-]{0,12}$/);
    const tree = (depth: number): fc.Arbitrary<DeviceTreeNode> => fc.record({
      name, properties: fc.array(fc.record({ name, value: fc.uint8Array({ maxLength: 9 }) }), { maxLength: 4 }), children: depth === 0 ? fc.constant([]) : fc.array(tree(depth - 1), { maxLength: 3 }),
    });
    fc.assert(fc.property(tree(3), fc.array(fc.record({ address: fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }), bytes: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) }), { maxLength: 3 }), (node, reservations) => {
      const root = { ...node, name: '' };
      const blob = flatten(root, reservations);
      const back = parseDeviceTree(blob, 'x.dtb');
      expect(back).toEqual({ root, reservations, bootCpu: 0 });
    }), { numRuns: 200, seed: 20260904 });
  });
});

/** What two trees may be compared by: properties by name, phandles as the paths that they stand for. QEMU's devices that we do not have, its random seeds and its CPU's name are left out. */
/** Nodes of QEMU's that the board does not have: what QEMU gives to devices of its own, PCIe and virtio. */
const ABSENT = /^(platform-bus@c000000|pcie@10000000|virtio_mmio@a00\d[0-9a-f]00)$/;

function comparable(root: DeviceTreeNode, only: DeviceTreeNode = root): unknown {
  const paths = new Map<number, string>();
  const collect = (node: DeviceTreeNode, path: string): void => {
    const phandle = property(node, 'phandle');
    if (phandle) paths.set(cellsOf(phandle)[0]!, path);
    for (const child of node.children) collect(child, `${path}/${child.name}`);
  };
  collect(root, '');
  const points = new Set(['interrupt-parent', 'clocks', 'cpu', 'phandle']);
  const describe = (node: DeviceTreeNode, mask: DeviceTreeNode): unknown => ({
    properties: Object.fromEntries(node.properties.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, value }) => [
      name,
      // Rows of ten cells: a PCI address and pin, then whose interrupt it is.
      name === 'interrupt-map' ? cellsOf(value).map((cell, index) => (index % 10 === 4 ? paths.get(cell) : cell))
      : name === 'msi-map' ? cellsOf(value).map((cell, place) => (place === 1 ? paths.get(cell) : cell))
      : name === 'gpios' ? cellsOf(value).map((cell, place) => (place === 0 ? paths.get(cell) : cell))
      : name.endsWith('-seed') ? value.length : points.has(name) ? cellsOf(value).map((cell) => paths.get(cell)) : name === 'compatible' && node.name.startsWith('cpu@') ? 'its own' : [...value].join(' '),
    ])),
    children: Object.fromEntries(node.children.toSorted((a, b) => (a.name < b.name ? -1 : 1)).flatMap((child) => {
      const match = mask.children.find((other) => other.name === child.name);
      return match ? [[child.name, describe(child, match)]] : [];
    })),
  });
  return describe(root, only);
}
