/** Machines with as much RAM as there can be: what a guest does not touch costs the host nothing, and what it touches lies there once. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { boot } from '../../actors/boot.ts';
import { next } from '../../actors/choices.ts';
import { readImage } from '../../actors/images.ts';
import { step } from '../../actors/step.ts';
import { enter, keep, type World } from '../../actors/world.ts';
import { readWord, writeWord } from '../../machines/memory/memory.ts';
import { fingerprint } from '../../snapshots/machine.ts';
import { keepHere, openHistory, stepBack, stepForward, worldOf } from '../../snapshots/history.ts';
import { systemOf } from '../../snapshots/machine.ts';
import { words } from '../support/guest-program.ts';

const MIB = 1 << 20;
const GIB = 1 << 30;
const RAM = 0x4000_0000;
const RAM_END = RAM + 3 * GIB;
const CODE = RAM + 2 * MIB;
const OFF = 'movz w0, #0x8400, lsl #16; orr w0, w0, #8; hvc #0';

/** A guest with the MMU off and 3 GiB that does `text` and powers off. */
function large(text: string, quantum = 10_000): World {
  const code = Uint32Array.from(words(`${text}; ${OFF}`, CODE));
  return boot({ vcpus: 1, memoryBytes: 3 * GIB, el2: 'none', nested: 'none', l1: 'both', quantum, kernel: readImage(new Uint8Array(code.buffer), 'large', { at: CODE }) }).world;
}
function toEnd(start: World): World {
  let world = start;
  for (let choice = next(world); choice !== undefined; choice = next(world)) ({ world } = step(world, choice));
  return world;
}
const wordAt = (world: World, pa: number): bigint => readWord(world.engine.board.memory, pa);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
/** What the process has in the host's memory when all is thrown away that can be. */
async function rssMiB(): Promise<number> {
  collectGarbage();
  // Linear memories are given back after the collection that found them unused.
  await new Promise((go) => { setTimeout(go, 20); });
  collectGarbage();
  return process.memoryUsage().rss / MIB;
}

/** Stores its own address at the start of each of the last `pages` pages of RAM, over and over `rounds` times, each time another value. */
const touch = (pages: number, rounds: number): string => `
movz x3, #${rounds}
round:
movz x1, #0x1, lsl #32
movz x2, #${pages % 65536}
movk x2, #${pages >> 16}, lsl #16
page:
sub x1, x1, #1, lsl #12
add x4, x1, x3
str x4, [x1]
sub x2, x2, #1
cbnz x2, {page}
sub x3, x3, #1
cbnz x3, {round}`;

describe('3 GiB of RAM', () => {
  test('a guest that touches both ends is kept and restored, at the cost of a few pages', async () => {
    const before = await rssMiB();
    const start = keep(large('movz x1, #0xffff, lsl #16; movk x1, #0xfff8; movz x2, #0x4060, lsl #16; str x1, [x1]; str x2, [x2]'));
    const end = keep(toEnd(start));
    expect([wordAt(end, RAM_END - 8), wordAt(end, 0x4060_0000)]).toEqual([0xffff_fff8n, 0x4060_0000n]);
    const sum = fingerprint(end);
    enter(start);
    expect([wordAt(start, RAM_END - 8), wordAt(start, 0x4060_0000)]).toEqual([0n, 0n]);
    enter(end);
    expect([wordAt(end, RAM_END - 8), wordAt(end, 0x4060_0000)]).toEqual([0xffff_fff8n, 0x4060_0000n]);
    expect(fingerprint(end)).toBe(sum);
    expect(await rssMiB() - before).toBeLessThan(64);
  });

  test('256 MiB that are touched lie in the host once, kept or not', async () => {
    const before = await rssMiB();
    const start = keep(large(touch(65_536, 1)));
    const end = keep(toEnd(start));
    expect(wordAt(end, RAM_END - 4096)).toBe(BigInt(RAM_END - 4096 + 1));
    expect(wordAt(end, RAM_END - 256 * MIB)).toBe(BigInt(RAM_END - 256 * MIB + 1));
    expect(await rssMiB() - before).toBeLessThan(256 + 128);
    // A page that is written again: the kept World has the old one, and has it still when it comes back.
    writeWord(end.engine.board.memory, RAM_END - 4096, 7n);
    enter(start);
    enter(end);
    expect(wordAt(end, RAM_END - 4096)).toBe(BigInt(RAM_END - 4096 + 1));
  });

  test('a history over a guest that writes 64 MiB again and again holds a bounded number of old pages, and goes back all the same', async () => {
    const before = await rssMiB();
    const history = openHistory(systemOf(), large(touch(16_384, 24), 90_000), undefined, { keepInsns: 80_000, keptPagesMax: 20_000 });
    const sums: string[] = [];
    for (let frame = stepForward(history); frame !== undefined; frame = stepForward(history)) {
      keepHere(history);
      if (sums.length < 4) sums.push(fingerprint(worldOf(history)));
    }
    expect(history.kept.length).toBeGreaterThan(2);
    expect(history.kept.length).toBeLessThan(history.cursor);
    expect(await rssMiB() - before).toBeLessThan(64 + 80 + 256);
    while (history.cursor > 4) stepBack(history);
    expect(fingerprint(worldOf(history))).toBe(sums[3]);
  });
});

test.each([[3 * GIB + 4096], [3 * GIB - 1], [0], [NaN]])('%d bytes of RAM are refused', (memoryBytes) => {
  const kernel = readImage(new Uint8Array(4), 'kernel', { at: CODE });
  expect(() => boot({ vcpus: 1, memoryBytes, el2: 'none', nested: 'none', l1: 'both', kernel })).toThrow(/^--mem \S+: this board has from 4096 bytes to 3 GiB of RAM, in pages of 4096$/);
});
