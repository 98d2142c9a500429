/** History over a world in one linear memory: the lease, the restore that writes only what differs, and caches that must be dropped. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMemory, markDirty, PAGE_BYTES, type Memory } from '../../machines/memory/memory.ts';
import { capture, diffTrees, emptyTree, hashTree, restore, type PageTree } from '../../machines/memory/page-tree.ts';
import { diffPlaces } from '../../snapshots/diff.ts';
import { explore } from '../../snapshots/explore.ts';
import { combine, hashValue } from '../../snapshots/fingerprint.ts';
import { fork, forward, framesOf, goTo, openHistory, stepBack, take, worldOf } from '../../snapshots/history.ts';
import type { System } from '../../snapshots/system.ts';

const SEED = 90_210;
const PAGES = 64;

interface World { readonly now: number; readonly seed: number; readonly pages: PageTree | undefined; spent: boolean }
interface Choice { readonly page: number; readonly value: number }

/** An engine with one live memory, as the simulator has: RAM is in it, and in kept worlds as pages. It keeps a cache of page sums that a restore must drop. */
function engine(): System<World, Choice, never> & { readonly memory: Memory; written: number; restores: number } {
  const memory = createMemory([{ name: 'ram', base: 0, bytes: PAGES * PAGE_BYTES, kind: 'ram' }]);
  let tree = emptyTree;
  let live: World | undefined;
  const cachedSums = new Map<number, number>();
  const sumOf = (page: number): number => {
    let sum = cachedSums.get(page);
    if (sum === undefined) {
      sum = 0;
      for (let at = 0; at < PAGE_BYTES; at += 512) sum = (sum * 31 + memory.bytes[page * PAGE_BYTES + at]!) >>> 0;
      cachedSums.set(page, sum);
    }
    return sum;
  };
  const activate = (world: World): void => {
    if (world.spent) throw new Error('this world was spent');
    if (world === live) return;
    if (world.pages === undefined) throw new Error('a world that was not kept is no longer live');
    for (const page of restore(memory, tree, world.pages)) { cachedSums.delete(page); self.written++; }
    tree = world.pages;
    live = world;
    self.restores++;
  };
  const self: ReturnType<typeof engine> = {
    memory, written: 0, restores: 0,
    next: (world) => ({ page: 1 + (world.seed >>> 8) % PAGES, value: world.seed & 0xff }),
    choices: (world) => (world.now >= 4 ? [] : [1, 2].map((page) => ({ page, value: world.now + 1 }))),
    step(world, choice) {
      activate(world);
      if (world.pages === undefined) world.spent = true;
      const at = choice.page * PAGE_BYTES + 512 * (world.now % 8);
      markDirty(memory, at);
      memory.bytes[at] = choice.value;
      cachedSums.delete(choice.page);
      const seed = (Math.imul(world.seed, 1664525) + 1013904223 + sumOf(1 + world.now % PAGES)) >>> 0;
      live = { now: world.now + 1, seed, pages: undefined, spent: false };
      return { world: live, frame: { choice, timeNs: live.now, insns: 1, events: [] } };
    },
    keep(world) {
      if (world.pages !== undefined) return world;
      activate(world);
      world.spent = true;
      tree = capture(memory, tree);
      return live = { now: world.now, seed: world.seed, pages: tree, spent: false };
    },
    fingerprint: (world) => combine([hashTree(self.pages!(world)[0]!), hashValue([world.now, world.seed])]),
    stateKey: (world) => hashTree(self.pages!(world)[0]!),
    describeChoice: (choice) => `${choice.value} to page ${choice.page}`,
    view: ({ now, seed }) => ({ now, seed }),
    pages(world) {
      if (world.pages !== undefined) return [world.pages];
      activate(world);
      return [tree = capture(memory, tree)];
    },
  };
  return self;
}
const origin = (seed = 1): World => ({ now: 0, seed, pages: emptyTree, spent: false });

/** Fingerprints of instants 0 to `frames` of an unbroken run. */
function unbroken(frames: number): string[] {
  const system = engine();
  let world = origin();
  const sums = [system.fingerprint(world)];
  for (let frame = 0; frame < frames; frame++) {
    world = system.step(world, system.next(world)!).world;
    sums.push(system.fingerprint(world));
  }
  return sums;
}

test('stepping back and forth at random in one linear memory is the same as never having gone back', () => {
  const sums = unbroken(300);
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom('forward', 'back', 'goto', 'fork'), fc.nat(90)), { maxLength: 20 }), (moves) => {
    const system = engine();
    const history = openHistory(system, origin(), undefined, { keptMax: 7, keepFrames: 11 });
    let forks = 0;
    for (const [move, amount] of moves) {
      const at = { branch: 'main', frame: amount % (history.lines.line('main').frames + 1), insns: 0 };
      if (move === 'forward') { goTo(history, { ...at, frame: Math.min(at.frame, 300) }); forward(history, () => false, Math.min(amount, 300 - history.cursor)); }
      else if (move === 'back') for (let count = 0; count < amount % 7; count++) stepBack(history);
      else goTo(history, at);
      if (move === 'fork' && history.branch === 'main') {
        fork(history, `b${forks++}`);
        take(history, { page: 9, value: 200 + forks });
        expect(system.fingerprint(worldOf(history))).not.toBe(sums[history.cursor]);
        goTo(history, at);
      }
      if (history.branch === 'main') expect(system.fingerprint(worldOf(history))).toBe(sums[history.cursor]);
    }
  }), { seed: SEED, numRuns: 100 });
});

describe('going back', () => {
  test('writes only the pages that differ', () => {
    const system = engine();
    const history = openHistory(system, origin());
    forward(history, () => false, 200);
    goTo(history, { branch: 'main', frame: 190, insns: 0 });
    goTo(history, { branch: 'main', frame: 200, insns: 0 });
    system.written = 0;
    const { pages } = diffPlaces(history, { branch: 'main', frame: 200, insns: 0 }, { branch: 'main', frame: 195, insns: 0 });
    expect(pages.length).toBeGreaterThan(0);
    expect(pages.length).toBeLessThanOrEqual(5);
    expect(system.written).toBeLessThan(60);
    expect(framesOf(history)).toBe(200);
  });

  test('a spent world is told apart from a kept one', () => {
    const system = engine();
    const kept = system.keep(origin());
    const { world } = system.step(kept, { page: 3, value: 7 });
    const after = system.step(world, { page: 4, value: 8 }).world;
    expect(() => system.step(world, { page: 5, value: 9 })).toThrow('this world was spent');
    const again = system.step(kept, { page: 3, value: 7 }).world;
    expect(() => system.step(after, { page: 5, value: 9 })).toThrow('no longer live');
    expect(system.fingerprint(again)).toBe(system.fingerprint(system.step(kept, { page: 3, value: 7 }).world));
  });
});

test('a search over one linear memory visits every way to fill two pages', () => {
  const system = engine();
  const explored = explore(system, origin(), {}, { strategy: 'exhaustive' });
  // Each of four steps marks its own byte in page 1 or in page 2: every history is a state of its own, 1+2+4+8+16.
  expect(explored).toMatchObject({ states: 31, transitions: 30, schedules: 16, depth: 4, complete: true });
  const { pages } = system.keep(origin());
  expect(diffTrees(pages!, emptyTree)).toEqual([]);
});
