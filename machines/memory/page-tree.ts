/** Memory at one instant: a persistent 32-way radix tree of immutable 4 KiB pages, keyed by linear-memory page index. */

import { hash128, hashText, ZERO_HASH, type Hash } from './hash.ts';
import { copyOut, forgetCode, PAGE_BYTES, type LentPage, type Memory } from './memory.ts';

/**
 * An immutable page. `bytes` is undefined for as long as linear memory still has the page as it was: most pages of a guest are written
 * once, and so lie in the host once. They are copied out when they are about to change (memory.ts, copyOut).
 */
interface Leaf extends LentPage { readonly memory: Memory; readonly page: number; hash: Hash | undefined }
/** Thirty-two subtrees; an absent one is all zero pages, and a node with none is itself absent, so that equal memory has one shape. */
interface Inner { readonly children: readonly (Inner | Leaf | undefined)[]; hash: Hash | undefined }
type Subtree = Inner | Leaf | undefined;

/** The pages of one instant. Trees share what did not change between them. */
export interface PageTree { readonly root: Subtree }

const FAN_BITS = 5;
const FAN = 1 << FAN_BITS;
/** Four levels address 2^20 pages: the 4 GiB that a 32-bit WebAssembly memory can have. */
const TOP_LEVEL = 3;
const PAGE_WORDS = PAGE_BYTES / 4;
const ZERO_PAGE = new Uint8Array(PAGE_BYTES);

/** All of memory zero, as createMemory makes it. */
export const emptyTree: PageTree = { root: undefined };

/** `tree` with memory's dirty pages taken in. Clears the dirty flags and list. O(dirty pages). */
export function capture(memory: Memory, tree: PageTree): PageTree {
  const dirty = takeDirty(memory);
  if (dirty.length === 0) return tree;
  const root = captured(tree.root, TOP_LEVEL, dirty, 0, dirty.length, { memory, words: wordsOf(memory) });
  return root === tree.root ? tree : { root };
}

/**
 * Given that memory is `live` plus its dirty pages, makes it equal `target`, writing only pages that differ.
 * Returns the indices of the pages written, ascending, so that caches made from them can be dropped. Clears dirty.
 */
export function restore(memory: Memory, live: PageTree, target: PageTree): readonly number[] {
  const suspects = new Set<number>(takeDirty(memory));
  const differing: number[] = [];
  collect(live.root, target.root, TOP_LEVEL, 0, differing);
  for (const page of differing) suspects.add(page);
  const words = wordsOf(memory);
  const written: number[] = [];
  for (const page of Int32Array.from(suspects).sort()) {
    const leaf = leafAt(target, page);
    if (leaf === undefined) {
      if (isZero(words, page)) continue;
      copyOut(memory, page);
      memory.bytes.fill(0, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    } else {
      if (memory.lent.get(page) === leaf || holds(words, page, leaf)) continue;
      copyOut(memory, page);
      memory.bytes.set(bytesOf(leaf), page * PAGE_BYTES);
    }
    forgetCode(memory, page * PAGE_BYTES, PAGE_BYTES);
    written.push(page);
  }
  return written;
}

/** 128 bits as 32 hexadecimal digits: equal for equal memory, whatever way it was reached. Sums are cached in the tree. */
export const hashTree = (tree: PageTree): string => hashText(hashOf(tree.root, TOP_LEVEL));

/** The indices of the pages whose bytes differ between `a` and `b`, ascending. Shared subtrees cost nothing. */
export function diffTrees(a: PageTree, b: PageTree): number[] {
  const pages: number[] = [];
  collect(a.root, b.root, TOP_LEVEL, 0, pages);
  return pages;
}

/** How many pages `b` has that are not the very same in `a`: what it costs to have both, without a look at their bytes. */
export const pagesApart = (a: PageTree, b: PageTree): number => apart(a.root, b.root, TOP_LEVEL);

/** The 4096 bytes of a page, as they are now: to be read at once, and not to be written. */
export function pageOf(tree: PageTree, page: number): Uint8Array {
  const leaf = leafAt(tree, page);
  return leaf === undefined ? ZERO_PAGE : bytesOf(leaf);
}

/** `tree` with `count` pages from page `first` on made zero. */
export function clearPages(tree: PageTree, first: number, count: number): PageTree {
  let { root } = tree;
  for (let page = first; page < first + count; page++) root = cleared(root, TOP_LEVEL, page);
  return root === tree.root ? tree : { root };
}

function cleared(subtree: Subtree, level: number, page: number): Subtree {
  if (subtree === undefined || level < 0) return undefined;
  const children = [...(subtree as Inner).children];
  const slot = (page >>> (level * FAN_BITS)) % FAN;
  children[slot] = cleared(children[slot], level - 1, page);
  return children.every((child) => child === undefined) ? undefined : { children, hash: undefined };
}

function takeDirty(memory: Memory): Int32Array {
  const dirty = Int32Array.from(memory.dirtyPages).sort();
  for (const page of dirty) memory.dirty[page] = 0;
  memory.dirtyPages.length = 0;
  memory.cleaned += 1;
  return dirty;
}

const wordsOf = (memory: Memory): Int32Array => new Int32Array(memory.bytes.buffer);

interface Source { readonly memory: Memory; readonly words: Int32Array }

function captured(old: Subtree, level: number, dirty: Int32Array, from: number, to: number, source: Source): Subtree {
  if (level < 0) return capturedPage(old as Leaf | undefined, dirty[from]!, source);
  const before = (old as Inner | undefined)?.children;
  const shift = level * FAN_BITS;
  let after: Subtree[] | undefined;
  for (let start = from; start < to;) {
    const prefix = dirty[start]! >>> shift;
    let end = start + 1;
    while (end < to && dirty[end]! >>> shift === prefix) end++;
    const slot = prefix % FAN;
    const child = captured(before?.[slot], level - 1, dirty, start, end, source);
    if (child !== before?.[slot]) {
      after ??= before === undefined ? Array.from<Subtree>({ length: FAN }) : [...before];
      after[slot] = child;
    }
    start = end;
  }
  if (after === undefined) return old;
  return after.every((child) => child === undefined) ? undefined : { children: after, hash: undefined };
}

function capturedPage(old: Leaf | undefined, page: number, { memory, words }: Source): Leaf | undefined {
  if (old !== undefined && holds(words, page, old)) return old;
  if (isZero(words, page)) return undefined;
  const leaf: Leaf = { bytes: undefined, memory, page, hash: undefined };
  memory.lent.set(page, leaf);
  // L0's own pages change in places that say so afterwards, and change all the time: they get their copy now.
  if (!isGuests(memory, page)) copyOut(memory, page);
  return leaf;
}

function isGuests({ regions }: Memory, page: number): boolean {
  const at = page * PAGE_BYTES;
  for (const { offset, bytes, kind } of regions) if (at >= offset && at < offset + bytes) return kind !== 'l0';
  return false;
}

const bytesOf = ({ bytes, memory, page }: Leaf): Uint8Array => bytes ?? memory.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);

function isZero(words: Int32Array, page: number): boolean {
  for (let at = page * PAGE_WORDS, end = at + PAGE_WORDS; at < end; at++) if (words[at] !== 0) return false;
  return true;
}

function holds(words: Int32Array, page: number, leaf: Leaf): boolean {
  const { buffer, byteOffset } = bytesOf(leaf);
  const kept = new Int32Array(buffer, byteOffset, PAGE_WORDS);
  for (let at = 0, base = page * PAGE_WORDS; at < PAGE_WORDS; at++) if (kept[at] !== words[base + at]) return false;
  return true;
}

function leafAt(tree: PageTree, page: number): Leaf | undefined {
  let subtree = tree.root;
  for (let level = TOP_LEVEL; level >= 0 && subtree !== undefined; level--) subtree = (subtree as Inner).children[(page >>> (level * FAN_BITS)) % FAN];
  return subtree as Leaf | undefined;
}

function collect(a: Subtree, b: Subtree, level: number, prefix: number, pages: number[]): void {
  if (a === b || sameHash(a, b)) return;
  if (level < 0) {
    if (a === undefined || b === undefined || !sameBytes(a as Leaf, b as Leaf)) pages.push(prefix);
    return;
  }
  for (let slot = 0; slot < FAN; slot++) collect((a as Inner | undefined)?.children[slot], (b as Inner | undefined)?.children[slot], level - 1, prefix * FAN + slot, pages);
}

function sameBytes(a: Leaf, b: Leaf): boolean {
  const { buffer, byteOffset } = bytesOf(a);
  return holds(new Int32Array(buffer, byteOffset, PAGE_WORDS), 0, b);
}

function apart(a: Subtree, b: Subtree, level: number): number {
  if (a === b || b === undefined) return 0;
  if (level < 0) return 1;
  let count = 0;
  for (let slot = 0; slot < FAN; slot++) count += apart((a as Inner | undefined)?.children[slot], (b as Inner).children[slot], level - 1);
  return count;
}

const sameHash = (a: Subtree, b: Subtree): boolean =>
  a?.hash !== undefined && b?.hash !== undefined && a.hash.high === b.hash.high && a.hash.low === b.hash.low;

const scratch = new DataView(new ArrayBuffer(FAN * 16));
const scratchBytes = new Uint8Array(scratch.buffer);

function hashOf(subtree: Subtree, level: number): Hash {
  if (subtree === undefined) return ZERO_HASH;
  if (subtree.hash !== undefined) return subtree.hash;
  if ('page' in subtree) return (subtree.hash = hash128(bytesOf(subtree), 1));
  const sums = subtree.children.map((child) => hashOf(child, level - 1));
  sums.forEach((sum, slot) => {
    scratch.setBigUint64(slot * 16, sum.high, true);
    scratch.setBigUint64(slot * 16 + 8, sum.low, true);
  });
  return (subtree.hash = hash128(scratchBytes, 2 + level));
}
