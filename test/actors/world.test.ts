/** Worlds as leases: a kept one is a value, a spent one throws; what a step that fails has done is undone. */

import { describe, expect, test } from 'vitest';
import { applyPatch, parseEdit } from '../../actors/patch.ts';
import { choices, next, type Choice } from '../../actors/choices.ts';
import { step } from '../../actors/step.ts';
import { keep, type World } from '../../actors/world.ts';
import { readWord } from '../../machines/memory/memory.ts';
import { fingerprint, stateKey, systemOf } from '../../snapshots/machine.ts';
import { BEGIN, finish, load, machine, OFF, RESULTS, VECTORS } from '../support/guest-program.ts';

/** Counts in memory, with a hypercall to itself now and then. */
const COUNTER = `${BEGIN}\nmovz x1, #0; loop: add x1, x1, #1; str x1, [x28]; mrs x2, HCR_EL2; cmp x1, #40; b.ne {loop}\n${OFF}\nlower: irq: b {irq}\n${VECTORS}`;
const start = (): World => machine(COUNTER, { nested: 'nv', quantum: 7 });
const after = (world: World, steps: number): World => {
  for (let each = 0; each < steps; each++) ({ world } = step(world, next(world)!));
  return world;
};
const SPENT = 'this world was spent: it was stepped without having been kept';

describe('a world that was stepped', () => {
  test('without having been kept throws when it is stepped, kept, summed or patched again', () => {
    const spent = after(start(), 3);
    step(spent, next(spent)!);
    for (const use of [() => step(spent, { type: 'run', vcpu: 0, insns: 1 }), () => keep(spent), () => fingerprint(spent), () => stateKey(spent), () => applyPatch(spent, [])]) expect(use).toThrow(SPENT);
  });

  test('having been kept can be stepped many times, with equal results', () => {
    const world = keep(after(start(), 10));
    const once = fingerprint(keep(after(world, 12)));
    const sums = [5, 12, 1, 12, 30, 12].map((steps) => fingerprint(keep(after(world, steps))));
    expect([sums[1], sums[3], sums[5]]).toEqual([once, once, once]);
    expect(new Set(sums).size).toBe(4);
    expect(fingerprint(world)).toBe(fingerprint(keep(after(start(), 10))));
  });

  test('is the same world after keeping as before', () => {
    const world = after(start(), 9);
    const sum = fingerprint(world);
    const kept = keep(world);
    expect(fingerprint(kept)).toBe(sum);
    expect(keep(kept)).toBe(kept);
  });
});

describe('a step that fails', () => {
  const impossible: Choice[] = [{ type: 'l0', vcpu: 0, steps: 9 }, { type: 'deliver' }, { type: 'advance', timeNs: 0 }];
  test.each(impossible.map((choice) => [choice.type, choice] as const))('(%s) leaves a kept world as it was', (_, choice) => {
    // In the guest, with the clock beyond 0 and no message.
    let world = start();
    while (next(world)!.type !== 'run') world = after(world, 1);
    const kept = keep(after(world, 1));
    const sum = fingerprint(keep(after(kept, 4)));
    const again = keep(after(kept, 0));
    expect(() => step(again, choice)).toThrow();
    expect(fingerprint(keep(after(kept, 4)))).toBe(sum);
  });

  test('spends a world that was not kept', () => {
    const world = after(start(), 4);
    expect(() => step(world, { type: 'advance', timeNs: -1 })).toThrow(RangeError);
    expect(() => step(world, next(world)!)).toThrow(SPENT);
  });
});

describe('a patch', () => {
  test('sets registers and memory of the world that it makes, and of no other', () => {
    const world = keep(start());
    const patched = applyPatch(world, [{ type: 'register', vcpu: 0, name: 'X5', value: 9n }, parseEdit(`mem:0x${RESULTS.toString(16)}=0x1234`, 1)]);
    const { board } = patched.engine;
    expect([board.cores[0]!.words[5], readWord(board.memory, RESULTS)]).toEqual([9n, 0x1234n]);
    expect(fingerprint(keep(patched))).not.toBe(fingerprint(world));
    expect(fingerprint(keep(after(world, 5)))).toBe(fingerprint(keep(after(start(), 5))));
  });

  test('beyond memory, or partly so, changes nothing', () => {
    const world = keep(start());
    const sum = fingerprint(world);
    const end = 0x4040_0000;
    for (const address of [end, end - 4, 0x3000_0000]) {
      expect(() => applyPatch(world, [{ type: 'register', vcpu: 0, name: 'X5', value: 1n }, { type: 'memory', address, bytes: new Uint8Array(8).fill(1) }])).toThrow("is not in the guest's memory");
    }
    expect(fingerprint(keep(after(world, 0)))).toBe(sum);
    expect(world.engine.board.cores[0]!.words[5]).toBe(0n);
  });

  test.each([
    ['vcpu:0.X3', 'it must be PATH=VALUE'], ['vcpu:2.X3=1', 'there is no vcpu:2'], ['vcpu:0.X31=1', 'there is no register X31'], ['vcpu:0.NOSUCH_EL1=1', 'there is no register NOSUCH_EL1'],
    ['vcpu:0.SCTLR_EL12=1', 'there is no register'], ['vcpu:0.X3=ten', 'is not a number'], ['vcpu:0.NZCV=0x60000000', 'NZCV has four bits'], ['vcpu:0.X3=0x10000000000000000', 'more than 64 bits'], ['mem:banana=1', 'is not a physical address'], ['mem:0x40000000,3=1', 'is neither'],
    ['sym:lost=1', 'no image of this recording has a symbol lost'], ['nonsense=1', 'is neither'],
  ])('%s: %s', (text, message) => expect(() => parseEdit(text, 2)).toThrow(message));
});

describe('choices', () => {
  test('are none exactly where there is no next one, and the default is among what they can become', () => {
    let world = start();
    for (let frames = 0; frames < 400; frames++) {
      const only = next(world);
      const all = choices(world);
      expect(all.length === 0).toBe(only === undefined);
      if (only === undefined) return;
      expect(all.some((choice) => choice.type === only.type || (choice.type === 'slice' && only.type === 'run'))).toBe(true);
      ({ world } = step(world, only));
    }
    throw new Error('the program did not end');
  });

  test('that were slices are logged as runs that lead to the same worlds', () => {
    const engineStops = { classes: new Set(['barrier', 'exclusive', 'atomic'] as const), pages: new Set<number>([RESULTS / 4096]) };
    const first = machine(COUNTER, { nested: 'nv2' });
    first.engine.stops = engineStops;
    const log: Choice[] = [];
    let world = first;
    for (;;) {
      const [choice] = choices(world);
      if (choice === undefined) break;
      const done = step(world, choice);
      world = done.world;
      log.push(done.frame.choice);
    }
    expect(log.some((choice) => choice.type === 'slice')).toBe(false);
    expect(log.length).toBeGreaterThan(40);
    let replayed = machine(COUNTER, { nested: 'nv2' });
    for (const choice of log) ({ world: replayed } = step(replayed, choice));
    expect(fingerprint(keep(replayed))).toBe(fingerprint(keep(world)));
  });

  test('in one step or step by step, L0 leads to the same end', () => {
    const fused = finish(start()).world;
    const system = systemOf({ stepwise: true });
    let world = start();
    for (let choice = system.next(world); choice !== undefined; choice = system.next(world)) ({ world } = system.step(world, choice));
    expect(fingerprint(keep(world))).toBe(fingerprint(keep(fused)));
  });
});

test('the quantum of a turn is used up by attempts, and a turn after it goes to the next vCPU', () => {
  const text = `${BEGIN}\nmov x9, x0; ${load('x0', 0xc400_0003)}; movz x1, #1; adr x2, {both}; smc #0; both: add x3, x3, #1; b {both}\nlower: irq: b {irq}\n${VECTORS}`;
  let world = machine(text, { nested: 'nv2', vcpus: 2, quantum: 100 });
  const runs: [number, number][] = [];
  for (let each = 0; each < 60; each++) {
    const choice = next(world)!;
    ({ world } = step(world, choice));
    if (choice.type === 'run') runs.push([choice.vcpu, choice.insns]);
  }
  const later = runs.slice(-20);
  expect(later.map(([, insns]) => insns)).toEqual(later.map(() => 100));
  expect(later.map(([vcpu]) => vcpu)).toEqual(later.map((_, place) => (later[0]![0] + place) % 2));
});
