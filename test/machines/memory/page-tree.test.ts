/** The page tree keeps memory's instants, restores them exactly, and writes and hashes only what changed. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMemory, markDirty, PAGE_BYTES, type Memory } from '../../../machines/memory/memory.ts';
import { capture, clearPages, diffTrees, emptyTree, hashTree, pageOf, pagesApart, restore, type PageTree } from '../../../machines/memory/page-tree.ts';

const SEED = 7_001;
const PAGES = 80;
const fresh = (): Memory => createMemory([{ name: 'ram', base: 0x4000_0000, bytes: PAGES * PAGE_BYTES, kind: 'ram' }]);
function store(memory: Memory, page: number, at: number, value: number): void {
  const offset = page * PAGE_BYTES + at;
  markDirty(memory, offset);
  memory.bytes[offset] = value;
}
/** page, offset in it, value; few distinct values, so that pages often become equal or zero again. */
const stores = fc.array(fc.tuple(fc.integer({ min: 1, max: PAGES }), fc.constantFrom(0, 8, 4095), fc.constantFrom(0, 0, 1, 255)), { maxLength: 12 });
const image = (memory: Memory): Uint8Array => memory.bytes.slice(0, (PAGES + 1) * PAGE_BYTES);

test('what was captured is what is restored, from any instant to any other, dirty or not', () => {
  fc.assert(fc.property(fc.array(stores, { minLength: 1, maxLength: 6 }), stores, fc.nat(5), (instants, late, wanted) => {
    const memory = fresh();
    let live = emptyTree;
    const trees: { tree: PageTree; bytes: Uint8Array }[] = [];
    for (const instant of instants) {
      for (const [page, at, value] of instant) store(memory, page, at, value);
      live = capture(memory, live);
      trees.push({ tree: live, bytes: image(memory) });
    }
    for (const [page, at, value] of late) store(memory, page, at, value);
    const before = image(memory);
    const target = trees[wanted % trees.length]!;
    const written = restore(memory, live, target.tree);
    expect(Buffer.compare(image(memory), target.bytes)).toBe(0);
    expect(memory.dirtyPages).toEqual([]);
    expect(memory.dirty.every((flag) => flag === 0)).toBe(true);
    const differing = Array.from({ length: PAGES + 1 }, (_, page) => page)
      .filter((page) => !equal(before.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), target.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)));
    expect(written).toEqual(differing);
  }), { seed: SEED, numRuns: 200 });
});

test('a guest page is copied when it is about to change, and not before; every instant that was captured stays as it was', () => {
  fc.assert(fc.property(fc.array(stores, { minLength: 2, maxLength: 8 }), (instants) => {
    const memory = fresh();
    let live = emptyTree;
    const trees: { tree: PageTree; bytes: Uint8Array }[] = [];
    for (const instant of instants) {
      const lent = new Set(memory.lent.keys());
      for (const [page, at, value] of instant) store(memory, page, at, value);
      const touched = new Set(instant.map(([page]) => page));
      expect([...lent].filter((page) => !memory.lent.has(page)).every((page) => touched.has(page))).toBe(true);
      live = capture(memory, live);
      trees.push({ tree: live, bytes: image(memory) });
    }
    for (const { tree, bytes } of trees) {
      for (let page = 1; page <= PAGES; page++) expect(equal(pageOf(tree, page), bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES))).toBe(true);
    }
  }), { seed: SEED, numRuns: 100 });
});

test('how far two instants are apart is counted in pages that only one of them has', () => {
  const memory = fresh();
  store(memory, 3, 0, 1);
  store(memory, 70, 0, 1);
  const first = capture(memory, emptyTree);
  store(memory, 3, 0, 2);
  store(memory, 4, 0, 2);
  const second = capture(memory, first);
  expect([pagesApart(first, second), pagesApart(second, first), pagesApart(first, first), pagesApart(emptyTree, first)]).toEqual([2, 1, 0, 2]);
});

test('equal memory has one hash whatever way it was reached, and different memory another', () => {
  fc.assert(fc.property(stores, stores, (first, second) => {
    const roundabout = fresh();
    let tree = emptyTree;
    for (const [page, at, value] of [...first, ...second]) {
      store(roundabout, page, at, value);
      tree = capture(roundabout, tree);
    }
    const direct = fresh();
    for (let page = 1; page <= PAGES; page++) markDirty(direct, page * PAGE_BYTES);
    direct.bytes.set(roundabout.bytes);
    const other = capture(direct, emptyTree);
    expect(hashTree(other)).toBe(hashTree(tree));
    expect(diffTrees(other, tree)).toEqual([]);
    store(direct, 5, 100, 77);
    const changed = capture(direct, other);
    expect(hashTree(changed)).not.toBe(hashTree(tree));
    expect(diffTrees(tree, changed)).toEqual([5]);
  }), { seed: SEED, numRuns: 100 });
});

describe('sharing', () => {
  test('a page written with what it held keeps its leaf, and the tree itself', () => {
    const memory = fresh();
    store(memory, 3, 0, 9);
    const tree = capture(memory, emptyTree);
    store(memory, 3, 0, 9);
    expect(capture(memory, tree)).toBe(tree);
    store(memory, 4, 0, 1);
    const next = capture(memory, tree);
    expect(pageOf(next, 3)).toBe(pageOf(tree, 3));
  });

  test('zero pages are one shared page, and an all-zero memory is the empty tree', () => {
    const memory = fresh();
    store(memory, 3, 0, 9);
    store(memory, 70, 0, 9);
    const tree = capture(memory, emptyTree);
    expect(pageOf(tree, 4)).toBe(pageOf(tree, 5));
    store(memory, 3, 0, 0);
    store(memory, 70, 0, 0);
    const zero = capture(memory, tree);
    expect(zero.root).toBeUndefined();
    expect(hashTree(zero)).toBe(hashTree(emptyTree));
    expect(pageOf(tree, 3)[0]).toBe(9);
  });

  test('the order in which pages became dirty does not matter', () => {
    const [up, down] = [fresh(), fresh()];
    for (let page = 1; page <= PAGES; page++) {
      store(up, page, page, page);
      store(down, PAGES + 1 - page, PAGES + 1 - page, PAGES + 1 - page);
    }
    expect(hashTree(capture(up, emptyTree))).toBe(hashTree(capture(down, emptyTree)));
  });

  test('a tree with pages cleared is the tree of a memory that never had them, and the old tree keeps them', () => {
    fc.assert(fc.property(stores, fc.integer({ min: 1, max: PAGES }), fc.nat(40), (writes, first, count) => {
      const [all, without] = [fresh(), fresh()];
      for (const [page, at, value] of writes) {
        store(all, page, at, value);
        if (page < first || page >= first + count) store(without, page, at, value);
      }
      const tree = capture(all, emptyTree);
      const sum = hashTree(tree);
      expect(hashTree(clearPages(tree, first, count))).toBe(hashTree(capture(without, emptyTree)));
      expect(hashTree({ root: tree.root })).toBe(sum);
    }), { seed: SEED, numRuns: 100 });
  });

  test('two pages that swap their contents change the hash', () => {
    const [a, b] = [fresh(), fresh()];
    store(a, 3, 0, 1);
    store(a, 4, 0, 2);
    store(b, 3, 0, 2);
    store(b, 4, 0, 1);
    expect(hashTree(capture(a, emptyTree))).not.toBe(hashTree(capture(b, emptyTree)));
  });
});

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
