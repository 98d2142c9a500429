/** Flash on the board, with and without L0: what a store to it does. */

import { describe, expect, test } from 'vitest';
import { boot, type BootOptions } from '../../actors/boot.ts';
import { readImage } from '../../actors/images.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { systemOf } from '../../snapshots/machine.ts';
import type { World, WorldEvent } from '../../actors/world.ts';

const PROGRAM = [
  'mov x0, #0x4000000', 'mov w1, #0x98',
  'str w1, [x0, #0x154]', 'ldr w2, [x0, #0x154]', 'strb w1, [x0]', 'ldrb w3, [x0]',
  'mov x4, #1', 'b 0x4020001c',
];

/** Runs PROGRAM at the highest level until it loops. */
function run(options: Pick<BootOptions, 'el2' | 'nested' | 'l1'>): { world: World; events: WorldEvent[] } {
  const bytes = new Uint8Array(4 * PROGRAM.length);
  PROGRAM.forEach((line, index) => new DataView(bytes.buffer).setUint32(4 * index, assemble(line, BigInt(0x4020_0000 + 4 * index)), true));
  const system = systemOf();
  let { world } = boot({ vcpus: 1, memoryBytes: 16 << 20, kernel: readImage(bytes, 'flash.bin', { at: 0x4020_0000 }), quantum: 20, ...options });
  const events: WorldEvent[] = [];
  for (let frame = 0; frame < 20; frame++) {
    const moved = system.step(world, system.next(world)!);
    world = moved.world;
    events.push(...moved.frame.events);
  }
  return { world, events };
}

describe('a store to flash', () => {
  test.each([
    { el2: 'guest', nested: 'none', l1: 'both' }, { el2: 'kvm', nested: 'none', l1: 'nvhe' }, { el2: 'kvm', nested: 'nv', l1: 'nvhe' }, { el2: 'kvm', nested: 'nv2', l1: 'vhe' },
  ] as const)('passes and changes nothing: %o', (options) => {
    const { world, events } = run(options);
    const [, , word, byte, done] = world.engine.board.cores[0]!.words;
    expect({ word, byte, done }).toEqual({ word: 0n, byte: 0n, done: 1n });
    expect(events.filter(({ event }) => event === 'kvm_mmio')).toHaveLength(options.el2 === 'kvm' ? 2 : 0);
  });
});
