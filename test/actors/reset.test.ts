/** A reset restarts the machine: everything is as at boot, but for the clock and what keeps its contents. */

import { describe, expect, test } from 'vitest';
import { boot, type BootOptions } from '../../actors/boot.ts';
import { disksOf } from '../../actors/disk.ts';
import { readImage } from '../../actors/images.ts';
import { restart } from '../../actors/reset.ts';
import { actorOf, treeOf, type World } from '../../actors/world.ts';
import { readBytes, regionNamed } from '../../machines/memory/memory.ts';
import { diffTrees } from '../../machines/memory/page-tree.ts';
import type { RtcState } from '../../machines/rtc/state.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { CODE, load, words } from '../support/guest-program.ts';

type Setting = Required<Pick<BootOptions, 'el2' | 'nested' | 'l1'>> & Pick<BootOptions, 'gic'>;
const SETTINGS: readonly Setting[] = [
  { el2: 'none', nested: 'none', l1: 'both' }, { el2: 'guest', nested: 'none', l1: 'both' }, { el2: 'kvm', nested: 'none', l1: 'nvhe' }, { el2: 'kvm', nested: 'nv2', l1: 'vhe' },
  { el2: 'guest', nested: 'none', l1: 'both', gic: 2 },
];
const FUNCTIONS = [['SYSTEM_RESET', 0x8400_0009, 0], ['SYSTEM_RESET2, warm', 0xc400_0012, 0], ['SYSTEM_RESET2 of the vendor', 0x8400_0012, 0x8000_0001]] as const;

/**
 * The first time the second bank's first word is 0: the guest spoils memory, its own code, devices and the other vCPU, programs the word and resets.
 * The second time it finds its mark there and powers off.
 */
function program(setting: Setting, number: number, type: number): string {
  const conduit = setting.el2 === 'none' || (setting.el2 === 'kvm' && setting.nested === 'none') ? 'hvc #0' : 'smc #0';
  const put = (address: number, value: number): string => `${load('x1', address)}\n${load('x2', value)}\nstr w2, [x1]`;
  return [
    load('x20', 0x400_0000), 'ldr w3, [x20]', 'cbz w3, {first}', load('x0', 0x8400_0008), conduit,
    'first:', put(CODE + 0x2000, 0xdead), put(0x4020_0000, 0xbeef), put(0x900_0024, 77), put(0x901_0010, 1), put(0x901_0008, 1234), put(0x903_0400, 0xff), put(0x800_0000, 0x12),
    load('x0', 0xc400_0003), load('x1', 1), 'adr x2, {other}', conduit,
    load('x4', 0x4020_0100), 'wait: ldr w5, [x4]', 'cbz w5, {wait}',
    // 0x20 0xd0 would set all: the cells begin as zeros, and programming clears bits; so erase first.
    put(0x400_0000, 0x20_0020), put(0x400_0000, 0xd0_00d0), put(0x400_0000, 0xff_00ff),
    load('x0', number), load('x1', type), conduit, 'b {first}',
    'other:', load('x4', 0x4020_0100), 'str w4, [x4]', 'spin: b {spin}',
  ].join('\n');
}

function start(setting: Setting, number: number, type: number, options: Partial<BootOptions> = {}): World {
  const code = Uint8Array.from(new Uint8Array(Uint32Array.from(words(program(setting, number, type), CODE)).buffer));
  return boot({ vcpus: 2, memoryBytes: 4 << 20, ...setting, quantum: 100, seed: 5, kernel: readImage(code, 'program', { at: CODE }), ...options }).world;
}

const system = systemOf();

/** Runs to the reset: the world behind it, and its frame's events. */
function toReset(world: World): World {
  for (let steps = 0; steps < 20_000; steps++) {
    const { world: next, frame } = system.step(world, system.next(world)!);
    world = next;
    if (frame.events.some(({ event }) => event === 'system_reset')) return world;
  }
  throw new Error('there was no reset');
}

describe.each(SETTINGS)('under %o', (setting) => {
  test.each(FUNCTIONS)('%s: memory, registers and devices are as at boot, the clock goes on, the second bank and the date stay', (_, number, type) => {
    const first = system.keep(start(setting, number, type));
    const booted = treeOf(first);
    const world = toReset(first);
    expect(world.state.clock).toBeGreaterThan(100);
    expect(world.state).toMatchObject({ ended: null, mailbox: [], alarms: [], turn: first.state.turn });
    const { rtc, ...others } = world.state.actors;
    const { rtc: rtcFirst, ...othersFirst } = first.state.actors;
    expect(others).toEqual(othersFirst);
    expect(rtc).toEqual({ ...rtcFirst as RtcState, offsetSeconds: 1234 });
    const bank = regionNamed(world.engine.board.memory, 'flash:1');
    const different = diffTrees(booted, treeOf(world)).map((page) => page * 4096);
    expect(different.length).toBeGreaterThan(0);
    expect(different.filter((offset) => offset < bank.offset || offset >= bank.offset + bank.bytes)).toEqual([]);
    expect([...readBytes(world.engine.board.memory, bank.base, 4)]).toEqual([255, 255, 255, 255]);
    // It runs to its end, and again from a kept world to the same one.
    const end = (from: World): World => {
      let last = from;
      for (let choice = system.next(last); choice !== undefined; choice = system.next(last)) last = system.step(last, choice).world;
      return last;
    };
    const kept = system.keep(world);
    const once = end(kept);
    expect(once.state.ended).toMatchObject({ by: 'off' });
    const sum = system.fingerprint(once);
    expect(system.fingerprint(end(kept))).toBe(sum);
    expect(system.fingerprint(end(first))).toBe(sum);
  });
});

test('without reboot a reset ends the run', () => {
  const world = toReset(start(SETTINGS[0]!, 0x8400_0009, 0, { reboot: false }));
  expect(world.state.ended).toEqual({ by: 'reset', reason: 'the guest reset the machine' });
  expect(system.next(world)).toBeUndefined();
});

test('the clock shows the date that the machine was given', () => {
  expect(actorOf<RtcState>(start(SETTINGS[0]!, 0, 0, { dateSeconds: 99 }).state, 'rtc').offsetSeconds).toBe(99);
});

test('a disk keeps what was written to it', () => {
  const disk = { name: 'disk', bytes: 8192, read: (_offset: number, length: number) => new Uint8Array(length).fill(1) };
  const options = { disks: [{ source: disk }] };
  const { engine, state } = start(SETTINGS[0]!, FUNCTIONS[0][1], 0, options);
  const written = (): number[] => [...disksOf(engine.board.memory, options.disks)[0]!.read(4094, 4)!];
  disksOf(engine.board.memory, options.disks)[0]!.write(4095, Uint8Array.of(7, 8));
  restart(engine, state.actors);
  expect(written()).toEqual([1, 7, 8, 1]);
});
