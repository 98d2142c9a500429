/** A guest that drives virtio devices by hand: what it writes to a disk is part of the world, so that a rewind rewinds the disk, and a replay is the same. */

import { describe, expect, test } from 'vitest';
import type { DiskSource } from '../../actors/disk.ts';
import { virtioAt, virtioDevices } from '../../actors/virtio-devices.ts';
import type { World } from '../../actors/world.ts';
import { ENGINES } from '../../machines/aarch64/board.ts';
import { goTo, keepHere, openHistory, stepForward, worldOf } from '../../snapshots/history.ts';
import { memoryLines } from '../../snapshots/lines.ts';
import { fingerprint, systemOf } from '../../snapshots/machine.ts';
import { finish, load, machine, OFF, RESULTS, type ProgramOptions } from '../support/guest-program.ts';
import { REQUEST, SET_UP } from '../support/virtio-guest.ts';

const PAGES = 64;
const image = Uint8Array.from({ length: 4096 * PAGES }, (_, at) => (at >> 12) + 1);
const source: DiskSource = { name: 'disk', bytes: image.length, read: (offset, length) => image.slice(offset, offset + length) };
const DATA = 0x4018_0000;
const off = (options: ProgramOptions): string => (options.el2 === 'none' || (options.el2 === undefined && options.nested === 'none') ? `${load('x0', 0x8400_0008)}\nhvc #0` : OFF);

const BOARDS: readonly (readonly [string, ProgramOptions])[] = [
  ['at EL1', { el2: 'none', l1: 'both' }], ['at EL2', { el2: 'guest', l1: 'both' }], ['at virtual EL2', { el2: 'kvm', nested: 'nv2' }], ['as a plain guest of L0', { el2: 'kvm', nested: 'none' }],
];

/** Adds one to the first byte of each of `pages` pages, one after the other, and leaves the sum of what it read. */
const increments = (pages: number, options: ProgramOptions): string => `
${SET_UP}
movz x24, #0; movz x25, #0
next:
movz x0, #0; lsl x1, x24, #3; ${load('x2', DATA)}; movz x3, #4096; movz x4, #2; bl {request}
${load('x2', DATA)}; ldrb w5, [x2]; add x25, x25, x5; add w5, w5, #1; strb w5, [x2]
movz x0, #1; lsl x1, x24, #3; movz x3, #4096; movz x4, #0; bl {request}
add x24, x24, #1; sub x5, x24, #${pages}; cbnz x5, {next}
${load('x28', RESULTS)}; str x25, [x28]; str x0, [x28, #8]
${off(options)}
stop: b {stop}
${REQUEST}`;

const diskMachine = (text: string, options: ProgramOptions): World => machine(text, { ...options, devices: { disks: [{ source }] } });
const sum = (pages: number): bigint => BigInt((pages * (pages + 1)) / 2);

describe.each(BOARDS)('a disk %s', (_, options) => {
  test('is read and written, and the image stays as it was', () => {
    const before = image.slice();
    const ran = finish(diskMachine(increments(5, options), options));
    expect(ran.results(2)).toEqual([sum(5), 0n]);
    expect(ran.events.filter(({ event }) => event === 'virtio_blk_request').map(({ request, sector }) => [request, sector]).slice(0, 4)).toEqual([['IN', 0], ['OUT', 0], ['IN', 8], ['OUT', 8]]);
    expect(Buffer.compare(image, before)).toBe(0);
  });

  test('goes back with the world: the run from any kept instant ends in the same fingerprint', () => {
    const text = increments(6, options);
    const history = openHistory(systemOf(), diskMachine(text, options), memoryLines());
    while (worldOf(history).state.ended === null && stepForward(history) !== undefined) if (history.cursor % 50 === 0) keepHere(history);
    const end = fingerprint(worldOf(history));
    const frames = history.cursor;
    for (const frame of [frames - 1, Math.floor(frames / 2), 1]) {
      goTo(history, { branch: history.branch, frame, insns: 0 });
      while (stepForward(history) !== undefined);
      expect([history.cursor, fingerprint(worldOf(history))]).toEqual([frames, end]);
    }
    // From the start, in a world of its own.
    expect(fingerprint(finish(diskMachine(text, options)).world)).toBe(end);
  });
});

test('two futures of one world have disks of their own', () => {
  const options: ProgramOptions = { el2: 'none', l1: 'both' };
  const system = systemOf();
  let world = diskMachine(increments(4, options), options);
  // Half of the work is done.
  for (let writes = 0; writes < 2;) {
    const moved = system.step(world, system.next(world)!);
    world = moved.world;
    writes += moved.frame.events.filter(({ request }) => request === 'OUT').length;
  }
  const fork = system.keep(world);
  const first = fingerprint(finish(fork).world);
  const second = finish(fork);
  expect([fingerprint(second.world), second.results(1)]).toEqual([first, [sum(4)]]);
});

test.each(ENGINES)('instructions that a disk brings are run, where others were run before (%s)', (engine) => {
  // The disk's first sector: movz x0, #N; ret, another N in each sector.
  const code = new Uint8Array(4096);
  const view = new DataView(code.buffer);
  for (let sector = 0; sector < 8; sector++) {
    view.setUint32(512 * sector, (0xd280_0000 | ((sector + 1) << 5)) >>> 0, true);
    view.setUint32(512 * sector + 4, 0xd65f_03c0, true);
  }
  const text = `
${SET_UP}
movz x24, #0; ${load('x28', RESULTS)}
next: movz x0, #0; orr x1, x24, xzr; ${load('x2', DATA)}; movz x3, #512; movz x4, #2; bl {request}
${load('x26', DATA)}; movz x27, #50
call: blr x26; sub x27, x27, #1; cbnz x27, {call}
str x0, [x28], #8
add x24, x24, #1; sub x5, x24, #8; cbnz x5, {next}
${load('x0', 0x8400_0008)}; hvc #0
${REQUEST}`;
  const disks = [{ source: { name: 'code', bytes: code.length, read: (offset: number, length: number) => code.slice(offset, offset + length) } }];
  expect(finish(machine(text, { el2: 'none', l1: 'both', engine, devices: { disks } })).results(8)).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
});

test('an image that changes under the run ends it with its line', () => {
  const changing: DiskSource = { ...source, read: () => { throw new Error('disk: it was changed'); } };
  const options: ProgramOptions = { el2: 'none', l1: 'both' };
  expect(() => finish(machine(increments(1, options), { ...options, devices: { disks: [{ source: changing }] } }))).toThrow(/it was changed/);
});

test('of several devices the first has the lowest slot, and the last the last; the others are empty; PCI devices have none', () => {
  const [one, three] = [virtioDevices({ disks: [{ source }] }), virtioDevices({ disks: [{ source }, { source, readOnly: true, transport: 'pci' }], rng: 'mmio' })];
  expect([virtioAt(0x0a00_3dff, one), virtioAt(0x0a00_3e04, one), virtioAt(0x0a00_4000, one), virtioAt(0x09ff_ffff, one)]).toEqual([{ to: 'virtio-empty', offset: 0x1ff }, { to: 'virtio:0', offset: 4 }, undefined, undefined]);
  expect([virtioAt(0x0a00_3a00, three)?.to, virtioAt(0x0a00_3c00, three)?.to, virtioAt(0x0a00_3e00, three)?.to]).toEqual(['virtio-empty', 'virtio:0', 'virtio:2']);
  expect(three.map(({ device, transport }) => [device.kind, transport.kind === 'mmio' ? transport.intid : 'pci'])).toEqual([['block', 78], ['block', 'pci'], ['rng', 79]]);
  expect(() => virtioDevices({ disks: Array.from({ length: 33 }, () => ({ source })) })).toThrow(/33 virtio-mmio devices: this board has 32 slots/);
  expect(() => virtioDevices({ disks: Array.from({ length: 32 }, () => ({ source, transport: 'pci' as const })) })).toThrow(/32 PCI devices/);
});
