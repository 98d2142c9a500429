/** Flash on the board, with and without L0 and on every engine: commands, code that runs there, and what happens while it is hidden. */

import { describe, expect, test } from 'vitest';
import type { BootOptions } from '../../actors/boot.ts';
import { actorOf } from '../../actors/world.ts';
import { ENGINES, type EngineName } from '../../machines/aarch64/board.ts';
import { regionNamed } from '../../machines/memory/memory.ts';
import type { FlashState } from '../../machines/flash/state.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { CODE, finish, keep, load, machine, RESULTS, words } from '../support/guest-program.ts';

type Setting = Required<Pick<BootOptions, 'el2' | 'nested' | 'l1'>>;
const SETTINGS: readonly Setting[] = [
  { el2: 'none', nested: 'none', l1: 'both' }, { el2: 'guest', nested: 'none', l1: 'both' }, { el2: 'kvm', nested: 'none', l1: 'nvhe' }, { el2: 'kvm', nested: 'nv', l1: 'nvhe' }, { el2: 'kvm', nested: 'nv2', l1: 'vhe' },
];

/** `mov x0, #42; ret`, as words that a program writes to flash. */
const [MOVE, RETURN] = words('movz x0, #42\nret', CODE) as [number, number];
const BANK = 0x400_0000;

/** A program at the highest level that the guest has, vectors at CODE + 0x8000, X20 the second bank. */
function program(setting: Setting): string {
  const el1 = setting.el2 === 'none' || (setting.el2 === 'kvm' && setting.nested === 'none');
  const store = (offset: number, value: number): string => `${load('x1', value)}\nstr w1, [x20, #${offset}]`;
  const show = (offset: number): string => `ldr w1, [x20, #${offset}]\n${keep('x1')}`;
  const vbar = el1 ? 'VBAR_EL1' : 'VBAR_EL2';
  const conduit = el1 ? 'hvc #0' : 'smc #0';
  return [
    load('x28', RESULTS), load('x27', CODE + 0x8000), `msr ${vbar}, x27`, load('x20', BANK),
    // What firmware does first: is it flash?
    store(0x154, 0x98_0098), show(0x40), show(0x44), store(0, 0xff_00ff), show(0x40),
    // Erase, program a function, call it; hide the cells and call it again.
    store(0, 0x20_0020), store(0, 0xd0_00d0), show(0),
    store(0, 0x40_0040), store(0, MOVE), store(4, 0x40_0040), store(4, RETURN), store(0, 0xff_00ff), show(0),
    'movz x0, #0\nblr x20', keep('x0'), 'movz x0, #1\nblr x20', keep('x0'),
    store(0, 0x70_0070), show(0), 'movz x0, #7', 'adr x25, {back}', 'blr x20', 'back:', keep('x0'), keep('x24'),
    store(0, 0xff_00ff), 'movz x0, #2\nblr x20', keep('x0'),
    // The first bank is read-only.
    load('x20', 0), store(0, 0x40_0040), store(0, 0), show(0), store(0, 0x50_0050), store(0, 0xff_00ff), show(0),
    load('x0', 0x8400_0008), conduit,
    '.org 0x8200', `mrs x24, ${el1 ? 'ESR_EL1' : 'ESR_EL2'}\nmsr ${el1 ? 'ELR_EL1' : 'ELR_EL2'}, x25\neret`,
  ].join('\n');
}

const run = (setting: Setting, engine: EngineName) => finish(machine(program(setting), { ...setting, engine, quantum: 1000 }));

describe.each(ENGINES)('on the %s', (engine) => {
  test.each(SETTINGS)('flash answers commands, holds what was programmed, runs it, and cannot be run while it is hidden: %o', (setting) => {
    const { world, results, events } = run(setting, engine);
    expect(results(13)).toEqual([
      0x51_0051n, 0x52_0052n, 0n, 0x80_0080n, BigInt(MOVE), 42n, 42n, 0x80_0080n,
      // The call did not happen: an External abort on the fetch, at the level of the program.
      7n, 0x8600_0010n, 42n, 0x90_0090n, 0n,
    ]);
    expect(world.state.ended).toMatchObject({ by: 'off' });
    expect([0, 1].map((bank) => regionNamed(world.engine.board.memory, `flash:${bank}`).hidden)).toEqual([false, false]);
    expect(events.filter(({ event }) => event === 'kvm_mmio').length > 0).toBe(setting.el2 === 'kvm');
  });
});

test.each(SETTINGS)('every engine ends at the same fingerprint: %o', (setting) => {
  const system = systemOf();
  const sums = ENGINES.map((engine) => system.fingerprint(run(setting, engine).world));
  expect(new Set(sums).size).toBe(1);
});

test.each([SETTINGS[1]!, SETTINGS[4]!])('a world kept while a bank is hidden goes on from there, after others were live: %o', (setting) => {
  const system = systemOf();
  let world = machine(program(setting), { ...setting, quantum: 50 });
  const kept = [];
  for (let choice = system.next(world); choice !== undefined; choice = system.next(world)) {
    world = system.step(world, choice).world;
    if (actorOf<FlashState>(world.state, 'flash:1').mode !== 'array') kept.push(world = system.keep(world));
  }
  const end = system.fingerprint(world);
  expect(kept.length).toBeGreaterThan(5);
  for (const start of kept.toReversed()) {
    expect(system.fingerprint(finish(start).world)).toBe(end);
  }
});
