/** Memory as devices reach it: RAM and nothing else. That cores see what was written is asked of a guest, in virtio-devices.test.ts. */

import { expect, test } from 'vitest';
import { directMemory } from '../../actors/direct-memory.ts';
import { blockAddress, vncrPage } from '../../machines/aarch64/board.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { machine, OFF, RESULTS } from '../support/guest-program.ts';

const RAM = 0x4000_0000;
const RAM_BYTES = 4 << 20;

test('RAM is read and written, up to its last byte', () => {
  const memory = directMemory(machine(OFF).engine.board);
  for (const at of [RAM, RAM + 4095, RAM + RAM_BYTES - 3]) {
    expect(memory.write(at, Uint8Array.of(1, 2, 3))).toBe(true);
    expect(memory.read(at, 3)).toEqual(Uint8Array.of(1, 2, 3));
  }
});

test('flash, L0\'s pages, devices and what is half outside are not in reach', () => {
  const memory = directMemory(machine(OFF).engine.board);
  for (const at of [0, blockAddress(0), vncrPage(0), 0x900_0000, RAM - 1, RAM + RAM_BYTES - 2, -1, NaN, 2 ** 60]) {
    expect([memory.read(at, 3), memory.write(at, Uint8Array.of(1, 2, 3))]).toEqual([undefined, false]);
  }
});

test('an exclusive monitor opens when its granule is written', () => {
  const world = machine(OFF);
  const core = world.engine.board.cores[0]!;
  for (const [at, opens] of [[RESULTS + 8, true], [RESULTS + 64, false]] as const) {
    core.words[Word.MONITOR] = BigInt(RESULTS + 1);
    core.words[Word.MONITOR_BYTES] = 8n;
    directMemory(world.engine.board).write(at, Uint8Array.of(1));
    expect(core.words[Word.MONITOR] === 0n).toBe(opens);
  }
});
