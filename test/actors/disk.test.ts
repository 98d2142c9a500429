/** Disks that are written copy-on-write: as an array is, whatever is read, written and cleared, with an image that stays as it was. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { diskRegions, disksOf, type DiskSource } from '../../actors/disk.ts';
import { createMemory } from '../../machines/memory/memory.ts';
import { capture, emptyTree, hashTree, restore } from '../../machines/memory/page-tree.ts';

const MIB = 1 << 20;
const imageOf = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, at) => 1 + (at % 251));
const sourceOf = (image: Uint8Array, name = 'disk'): DiskSource => ({
  name, bytes: image.length,
  read(offset, length) {
    if (offset < 0 || offset + length > image.length) throw new RangeError(`read ${offset}, ${length}`);
    return image.slice(offset, offset + length);
  },
});

function machine(image: Uint8Array, room = 64 * MIB) {
  const options = [{ source: sourceOf(image) }];
  const memory = createMemory(diskRegions(options, room));
  return { memory, disk: disksOf(memory, options)[0]! };
}

/** toEqual takes its time over long arrays. */
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

type Act = { readonly type: 'write' | 'clear' | 'read' | 'keep' | 'restore'; readonly at: number; readonly length: number; readonly value: number };
/** Ten sectors more than four pages: the last page is not whole. */
const BYTES = 4 * 4096 + 10 * 512;
const act: fc.Arbitrary<Act> = fc.record({ type: fc.constantFrom('write', 'write', 'clear', 'read', 'keep', 'restore'), at: fc.nat(BYTES), length: fc.oneof(fc.nat(600), fc.nat(BYTES)), value: fc.nat(255) });

test('it is an array, and what was kept comes back', () => {
  const image = imageOf(BYTES);
  const { memory, disk } = machine(image);
  let live = emptyTree;
  fc.assert(fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
    restore(memory, capture(memory, live), emptyTree);
    live = emptyTree;
    let model = image.slice();
    let kept = { tree: emptyTree, model: model.slice() };
    for (const { type, at, length: wanted, value } of acts) {
      const length = Math.min(wanted, BYTES - at);
      switch (type) {
        case 'write':
          expect(disk.write(at, new Uint8Array(length).fill(value))).toBe(true);
          model.fill(value, at, at + length);
          break;
        case 'clear':
          expect(disk.clear(at, length)).toBe(true);
          model.fill(0, at, at + length);
          break;
        case 'read':
          expect(same(disk.read(at, length), model.slice(at, at + length))).toBe(true);
          break;
        case 'keep':
          live = capture(memory, live);
          kept = { tree: live, model: model.slice() };
          break;
        case 'restore':
          live = capture(memory, live);
          restore(memory, live, kept.tree);
          live = kept.tree;
          model = kept.model.slice();
          break;
      }
    }
    expect(same(disk.read(0, BYTES), model)).toBe(true);
    expect(same(image, imageOf(BYTES))).toBe(true);
  }), { numRuns: 200 });
});

test('the same writes in the same order are the same state, and a disk that was only read is none', () => {
  const write = (): string => {
    const { memory, disk } = machine(imageOf(BYTES));
    for (const at of [9000, 100, 17_000]) disk.write(at, Uint8Array.of(1, 2, 3));
    return hashTree(capture(memory, emptyTree));
  };
  expect(write()).toBe(write());
  const { memory, disk } = machine(imageOf(BYTES));
  disk.read(0, BYTES);
  expect(capture(memory, emptyTree)).toBe(emptyTree);
});

test('keeping costs what was written', () => {
  const { memory, disk } = machine(imageOf(8 * MIB));
  capture(memory, emptyTree);
  disk.write(4 * MIB, new Uint8Array(3 * 4096).fill(7));
  // Three pages, their words in the table and the count of slots.
  expect(memory.dirtyPages.length).toBeLessThanOrEqual(3 + 2);
});

describe('when there is no more room', () => {
  /** A table page or two, and a few pages for data. */
  const tight = () => machine(imageOf(16 * 4096), (1 + 3) * 4096);

  test('what is new is refused whole, and what has its place is written still', () => {
    const { disk } = tight();
    expect([disk.write(0, new Uint8Array(2 * 4096)), disk.write(3 * 4096, new Uint8Array(2 * 4096).fill(9))]).toEqual([true, false]);
    expect(disk.read(3 * 4096, 2 * 4096)).toEqual(imageOf(16 * 4096).slice(3 * 4096, 5 * 4096));
    expect([disk.write(3 * 4096, new Uint8Array(10)), disk.write(4 * 4096, new Uint8Array(1)), disk.write(0, new Uint8Array(8192))]).toEqual([true, false, true]);
  });

  test('whole pages are cleared without any', () => {
    const { disk } = tight();
    expect(disk.write(0, new Uint8Array(3 * 4096))).toBe(true);
    expect([disk.clear(0, 16 * 4096), disk.read(0, 16 * 4096).every((byte) => byte === 0), disk.clear(100, 10), disk.write(5 * 4096, Uint8Array.of(1))]).toEqual([true, true, true, false]);
    expect([tight().disk.clear(100, 4 * 4096 * 3), disk.read(5 * 4096, 1)[0]]).toEqual([true, 0]);
  });
});

test('disks share the room that there is: all of it where it is enough, evenly where it is not, nothing for those only read', () => {
  const bytesOf = (sizes: readonly number[], room: number, readOnly: readonly boolean[] = []): Record<string, number> =>
    Object.fromEntries(diskRegions(sizes.map((bytes, at) => ({ source: { name: `${at}`, bytes, read: () => new Uint8Array() }, readOnly: readOnly[at] === true })), room).map(({ name, bytes }) => [name, bytes]));
  expect(bytesOf([MIB, 512], 64 * MIB)).toEqual({ 'disk0-table': 4096, 'disk0-overlay': MIB, 'disk1-table': 4096, 'disk1-overlay': 4096 });
  expect(bytesOf([MIB, MIB], 64 * MIB, [true])).toEqual({ 'disk1-table': 4096, 'disk1-overlay': MIB });
  const { 'disk0-overlay': first, 'disk1-overlay': second, ...tables } = bytesOf([64 * MIB, 64 * MIB], 32 * MIB);
  expect(Math.abs(first! - second!)).toBeLessThanOrEqual(4096);
  expect(first! + second! + Object.values(tables).reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(32 * MIB);
  expect(() => bytesOf([64 * MIB], 4096)).toThrow(/leaves no room for what is written to it/);
  for (const bytes of [0, 513]) expect(() => bytesOf([bytes], MIB)).toThrow(/a whole number of 512-byte sectors/);
});
