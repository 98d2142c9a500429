/** The derived translation state of a core: cached translations by context, the direct-mapped arrays of the fast path, and what drops them. Never state: a core without it behaves the same. */

import { holdDescriptors, locate } from '../memory/memory.ts';
import type { Board } from './board.ts';
import type { Core } from './state.ts';
import type { Stage1Controls } from './walk.ts';

/** The stage-1 regimes. */
export const Regime = { EL10: 0, EL2: 1, EL20: 2 } as const;

/** A cached translation of one 4 KiB page, stage 1 and stage 2 combined. */
export interface Entry {
  /** Key in the map of entries. */
  readonly key: number;
  readonly regime: number;
  /** VA bits 47 to 12. */
  readonly page: number;
  readonly asid: number;
  readonly global: boolean;
  /** VTTBR_EL2 where stage 2 was in force or EL2 is implemented; its VMID tags the entry. */
  readonly vttbr: bigint;
  /** Intermediate physical address of the page; the physical one where there is no stage 2. */
  readonly ipa: number;
  readonly stage2: boolean;
  /** Physical address of the page. */
  readonly pa: number;
  /** Linear-memory offset of the page; -1 where there is no memory a guest can address. */
  readonly linear: number;
  /** Flash: stores are for its device. */
  readonly rom: boolean;
  /** Stage 1's permissions, bits of `Permission`. */
  readonly permissions: number;
  /** Stage 2's: 1 read, 2 write, 4 execute at EL1, 8 execute at EL0. */
  readonly permissions2: number;
  readonly level: number;
  readonly level2: number;
  /** log2 of the bytes that stage 1's and stage 2's descriptor map. */
  readonly blockShift: number;
  readonly blockShift2: number;
  /** Device memory by stage 1, and by stage 2. */
  readonly device: boolean;
  readonly device2: boolean;
  /** FEAT_HAFDBS: a descriptor says that nothing was written yet: the first write has to say that something was. */
  readonly clean: boolean;
  /** A guarded page (FEAT_BTI): bit 50 of stage 1's descriptor. */
  readonly guarded: boolean;
  /** MAIR byte and shareability after stage 2, as AT reports them. */
  readonly attributes: number;
  readonly shareability: number;
  /** Physical addresses of the descriptors it was made from: `firstDescriptors` of stage 1, its tables' stage 2 included, then those of stage 2. */
  readonly descriptors: readonly number[];
  readonly firstDescriptors: number;
}

/** An entry in the table: what it is found by. */
interface Cached {
  readonly entry: Entry;
  /** Numbers of the words of linear memory that hold its descriptors, and what they held, in halves, low first. */
  readonly words: readonly number[];
  readonly values: readonly number[];
  /** The next of its bucket. */
  next: Cached | undefined;
  live: boolean;
}

/** A word of linear memory that holds a descriptor: the last of a stage of `cached`, or, without it, one of a table. */
interface Link {
  readonly word: number;
  readonly cached: Cached | undefined;
  /** The next of its bucket. */
  next: Link | undefined;
}

/**
 * One access kind's direct-mapped array: MODES sets of SETS entries of four words, keyed by the VA's bits 63 to 12. In an entry: the page's
 * VA, low half (EMPTY when there is none; in a write entry CODE_PAGE is set where its page holds decoded instructions, HELD_PAGE where it holds descriptors) and high half; what to
 * add to the low half of a VA to get its offset in linear memory; and `more`: for data 1 where unaligned accesses are fine (Normal memory, and
 * SCTLR_ELx.A clear), for fetches where the records of the page's instructions are, 0 when not looked for yet, plus 1 in a guarded page.
 */
export type Fast = Int32Array;
export type FastKind = 'read' | 'write' | 'fetch';

/** Bits below a page's address in the low half of an entry's VA. Accesses are compared with at most their low four bits kept. */
export const EMPTY = 0x800;
export const CODE_PAGE = 0x400;
export const HELD_PAGE = 0x200;
export const ENTRY_WORDS = 4;
export const SETS = 4096;
/** EL0, EL1, EL1 with PAN, EL2, EL2 with PAN. */
export const MODES = 5;
/** The set's number by PSTATE.EL | PSTATE.PAN << 2. */
export const MODE_OF: readonly number[] = [0, 1, 3, 0, 0, 2, 4, 0];

export interface Translation {
  readonly read: Fast;
  readonly write: Fast;
  readonly fetch: Fast;
  /** Places of each array that were filled since it was emptied, each once; and of each place whether it was. */
  readonly filled: Readonly<Record<FastKind, number[]>>;
  readonly isFilled: Readonly<Record<FastKind, Uint8Array>>;
  /** Places of the write array by the low bits of the page of linear memory that they were filled with last, chained: one more than the first; of each place one more than the next, and one more than its chain. 0 is none. */
  readonly writtenHeads: Int32Array;
  readonly writtenNexts: Int32Array;
  readonly writtenIn: Int32Array;
  /** `Memory.cleaned` when the write array was filled: its pages are dirty since. */
  cleaned: number;
  /** Counts the times that the fast arrays were emptied: whoever knows where an address is has to look again. */
  generation: number;
  /** Entries by their page's low bits, chained. */
  readonly buckets: (Cached | undefined)[];
  size: number;
  /** Entries that a store to a descriptor dropped last, by their page's low bits: they come back where the store is undone. */
  readonly dropped: (Cached | undefined)[];
  /** Descriptors by the low bits of their words' numbers, chained; those of entries that were dropped stay until they are met, or until there are too many. */
  readonly links: (Link | undefined)[];
  linked: number;
  /** The block sizes of entries of more than a page; how many entries there are by a hash of the block of VA that their descriptor maps. */
  readonly blockShifts: Set<number>;
  readonly inBlocks: Uint32Array;
  /** The registers that decide translation, in 32-bit halves, as they were when the contexts were named. */
  readonly saved: Int32Array;
  /** Number of the context of each half of each regime: regime * 2 + half; -1 when not named yet. */
  readonly contexts: Int32Array;
  readonly controls: (Stage1Controls | undefined)[];
  readonly contextNumbers: Map<string, number>;
}

const ENTRIES_MAX = 16384;
const BUCKETS = 8192;
const DROPPED = 256;
const WRITTEN = 1 << 12;
/** Places of an array: one an entry. */
const PLACES = MODES * SETS;
const LINKS_MAX = 4 * ENTRIES_MAX;
const CONTEXTS_MAX = 4096;
const FILLED_MAX = 4096;

/** Bytes of one kind's array. */
export const FAST_BYTES = MODES * SETS * ENTRY_WORDS * 4;

/** New state, empty. The three fast arrays lie one after the other at `offset` of `buffer`. */
export function createTranslation(trackedWords: number, buffer: ArrayBufferLike, offset: number): Translation {
  const fast = (index: number): Fast => new Int32Array(buffer, offset + index * FAST_BYTES, FAST_BYTES / 4);
  const translation: Translation = {
    read: fast(0), write: fast(1), fetch: fast(2), filled: { read: [], write: [], fetch: [] }, isFilled: { read: new Uint8Array(PLACES), write: new Uint8Array(PLACES), fetch: new Uint8Array(PLACES) },
    writtenHeads: new Int32Array(WRITTEN), writtenNexts: new Int32Array(PLACES), writtenIn: new Int32Array(PLACES), cleaned: -1, generation: 0, buckets: Array.from({ length: BUCKETS }, () => undefined), size: 0, dropped: Array.from({ length: DROPPED }, () => undefined), links: Array.from({ length: BUCKETS }, () => undefined), linked: 0, blockShifts: new Set(), inBlocks: new Uint32Array(BLOCK_COUNTS),
    saved: new Int32Array(2 * trackedWords), contexts: new Int32Array(6).fill(-1), controls: Array.from({ length: 6 }, () => undefined), contextNumbers: new Map(),
  };
  // Whatever lies there now.
  for (const kind of KINDS) empty(translation[kind]);
  return translation;
}

const KINDS: readonly FastKind[] = ['read', 'write', 'fetch'];

function empty(fast: Fast): void {
  for (let at = 0; at < fast.length; at += ENTRY_WORDS) fast[at] = EMPTY;
}

/** Fills a place of a fast array: the entry's first word, high half, displacement and `more`, as `Fast` has them. */
export function fill(translation: Translation, kind: FastKind, at: number, low: number, high: number, displacement: number, more: number): void {
  const fast = translation[kind];
  fast[at] = low;
  fast[at + 1] = high;
  fast[at + 2] = displacement;
  fast[at + 3] = more;
  const place = at / ENTRY_WORDS;
  if (translation.isFilled[kind][place] === 0) {
    translation.isFilled[kind][place] = 1;
    translation.filled[kind].push(at);
  }
  if (kind === 'write') noteWritten(translation, place, ((low & ~0xfff) + displacement) >>> 12);
}

/** A place of the write array has `page` of linear memory now. */
function noteWritten({ writtenHeads, writtenNexts, writtenIn }: Translation, place: number, page: number): void {
  const chain = page % WRITTEN;
  const before = writtenIn[place]! - 1;
  if (before === chain) return;
  if (before >= 0) {
    if (writtenHeads[before] === place + 1) writtenHeads[before] = writtenNexts[place]!;
    else {
      let at = writtenHeads[before]! - 1;
      while (writtenNexts[at] !== place + 1) at = writtenNexts[at]! - 1;
      writtenNexts[at] = writtenNexts[place]!;
    }
  }
  writtenNexts[place] = writtenHeads[chain]!;
  writtenHeads[chain] = place + 1;
  writtenIn[place] = chain + 1;
}

/** Empties the fast path. */
export function forgetFast(translation: Translation): void {
  translation.generation += 1;
  for (const kind of KINDS) forgetKind(translation, kind);
}

/** Empties one kind's array. */
function forgetKind(translation: Translation, kind: FastKind): void {
  const filled = translation.filled[kind];
  if (filled.length === 0) return;
  if (filled.length > FILLED_MAX) {
    empty(translation[kind]);
    translation.isFilled[kind].fill(0);
  } else {
    for (const at of filled) {
      translation[kind][at] = EMPTY;
      translation.isFilled[kind][at / ENTRY_WORDS] = 0;
    }
  }
  filled.length = 0;
  if (kind !== 'write') return;
  translation.writtenHeads.fill(0);
  translation.writtenIn.fill(0);
}

/** Makes it what a new one is: contexts are to be named. */
export function renew(translation: Translation): void {
  forgetAll(translation);
  translation.contextNumbers.clear();
  translation.cleaned = -1;
}

/** Forgets every translation. */
export function forgetAll(translation: Translation): void {
  forgetFast(translation);
  if (translation.size > 0) translation.buckets.fill(undefined);
  translation.size = 0;
  translation.dropped.fill(undefined);
  if (translation.linked > 0) translation.links.fill(undefined);
  translation.linked = 0;
  translation.blockShifts.clear();
  translation.inBlocks.fill(0);
}

/** The number of a context: one for each combination of controls that translate a half of a regime. */
export function contextNumber(translation: Translation, name: string): number {
  let number = translation.contextNumbers.get(name);
  if (number === undefined) {
    if (translation.contextNumbers.size >= CONTEXTS_MAX) {
      forgetAll(translation);
      translation.contextNumbers.clear();
      translation.contexts.fill(-1);
    }
    number = translation.contextNumbers.size;
    translation.contextNumbers.set(name, number);
  }
  return number;
}

/** The map's key: contexts are fewer than 2^16, pages are 36 bits. */
export const entryKey = (context: number, page: number): number => context * 2 ** 36 + page;

const BLOCK_COUNTS = 4096;
/** The place in `inBlocks` of the block of 2^shift bytes that holds page number `page`. */
const blockPlace = (page: number, shift: number): number => (Math.floor(page / 2 ** (shift - 12)) * 8 + shift) % BLOCK_COUNTS;

/** The cached translation of `page` by `key`, if there is one. */
export function findEntry(translation: Translation, key: number, page: number): Entry | undefined {
  for (let cached = translation.buckets[page % BUCKETS]; cached !== undefined; cached = cached.next) if (cached.entry.key === key) return cached.entry;
  return undefined;
}

/** All cached translations. */
export function entriesOf(translation: Translation): readonly Entry[] {
  return allOf(translation).map(({ entry }) => entry);
}

function allOf({ buckets, size }: Translation): readonly Cached[] {
  const all: Cached[] = [];
  if (size > 0) for (const first of buckets) for (let cached = first; cached !== undefined; cached = cached.next) all.push(cached);
  return all;
}

/** Notes what `word` holds. */
function link(translation: Translation, word: number, cached: Cached | undefined): void {
  const { links } = translation;
  links[word % BUCKETS] = { word, cached, next: links[word % BUCKETS] };
  translation.linked += 1;
}

/** Forgets the links of entries that were dropped; all entries where that is not enough. */
function sweep(translation: Translation): void {
  const { links } = translation;
  const kept: Link[] = [];
  for (const first of links) for (let each = first; each !== undefined; each = each.next) if (each.cached?.live !== false) kept.push(each);
  if (kept.length > LINKS_MAX / 2) {
    forgetAll(translation);
    return;
  }
  links.fill(undefined);
  translation.linked = 0;
  for (const { word, cached } of kept) link(translation, word, cached);
}

function isTable({ links }: Translation, word: number): boolean {
  for (let each = links[word % BUCKETS]; each !== undefined; each = each.next) if (each.word === word && each.cached === undefined) return true;
  return false;
}

/** Caches an entry, in place of the one with its key. A page that is news as one of descriptors leaves every core's write arrays, so that stores to it are seen. */
export function insertEntry(board: Board, translation: Translation, entry: Entry): void {
  const bucket = entry.page % BUCKETS;
  for (let cached = translation.buckets[bucket]; cached !== undefined; cached = cached.next) {
    if (cached.entry.key === entry.key) { unlink(translation, cached); break; }
  }
  if (translation.size >= ENTRIES_MAX) forgetAll(translation);
  if (translation.linked >= LINKS_MAX) sweep(translation);
  const { memory } = board;
  const offsets = entry.descriptors.map((descriptor) => locate(memory, descriptor));
  put(translation, entry, offsets.map((offset) => offset / 8), offsets.flatMap((offset) => [memory.view.getInt32(offset, true), memory.view.getInt32(offset + 4, true)]));
  for (const offset of offsets) if (holdDescriptors(memory, offset >>> 12)) forgetWritesTo(board, offset >>> 12);
}

/** Whether the descriptor of that index is the last of stage 1 or of all. */
const endsStage = ({ entry, words }: Cached, index: number): boolean => index === entry.firstDescriptors - 1 || index === words.length - 1;

/** Puts an entry into the table, and links the words of its descriptors: those of tables where they are not linked yet. */
function put(translation: Translation, entry: Entry, words: readonly number[], values: readonly number[]): void {
  const bucket = entry.page % BUCKETS;
  const cached: Cached = { entry, words, values, next: translation.buckets[bucket], live: true };
  translation.buckets[bucket] = cached;
  translation.size += 1;
  for (const [index, word] of words.entries()) {
    if (endsStage(cached, index)) link(translation, word, cached);
    else if (!isTable(translation, word)) link(translation, word, undefined);
  }
  if (entry.blockShift > 12) {
    translation.blockShifts.add(entry.blockShift);
    translation.inBlocks[blockPlace(entry.page, entry.blockShift)]! += 1;
  }
}

/**
 * The translation of `page` by `key` that a store to a descriptor dropped, where all its descriptors are again as they were: kernels that change their code map and unmap the
 * same page of it many times.
 */
export function reviveEntry(board: Board, translation: Translation, key: number, page: number): Entry | undefined {
  const dropped = translation.dropped[page % DROPPED];
  if (dropped?.entry.key !== key) return undefined;
  const { entry, words, values } = dropped;
  const { view } = board.memory;
  for (let index = 0; index < words.length; index++) {
    const offset = 8 * words[index]!;
    if (view.getInt32(offset, true) !== values[2 * index] || view.getInt32(offset + 4, true) !== values[2 * index + 1]) return undefined;
  }
  if (translation.size >= ENTRIES_MAX || translation.linked >= LINKS_MAX) return undefined;
  translation.dropped[page % DROPPED] = undefined;
  put(translation, entry, words, values);
  return entry;
}

/** Takes an entry out of the table. */
function unlink(translation: Translation, cached: Cached): void {
  const bucket = cached.entry.page % BUCKETS;
  if (translation.buckets[bucket] === cached) translation.buckets[bucket] = cached.next;
  else {
    let before = translation.buckets[bucket]!;
    while (before.next !== cached) before = before.next!;
    before.next = cached.next;
  }
  cached.live = false;
  translation.size -= 1;
  const { page, blockShift } = cached.entry;
  if (blockShift > 12) translation.inBlocks[blockPlace(page, blockShift)]! -= 1;
}

/** Empties the write arrays of every core: what they let pass has to be looked at again. */
export function forgetWrites(board: Board): void {
  for (const core of board.cores) {
    const translation = core.translation as Translation | undefined;
    if (translation !== undefined) forgetKind(translation, 'write');
  }
}

/** Takes one page of linear memory out of the write arrays of every core. */
export function forgetWritesTo(board: Board, page: number): void {
  for (const core of board.cores) {
    const translation = core.translation as Translation | undefined;
    if (translation === undefined) continue;
    const { write, writtenHeads, writtenNexts } = translation;
    for (let next = writtenHeads[page % WRITTEN]!; next !== 0; next = writtenNexts[next - 1]!) {
      const at = ENTRY_WORDS * (next - 1);
      if (((write[at]! & ~0xfff) + write[at + 2]!) >>> 12 === page) write[at] = EMPTY;
    }
  }
}

/** Empties the places of the fast arrays where `entry` may be: of every mode and kind. */
function forgetPage(translation: Translation, entry: Entry): void {
  const low = (entry.page << 12) | 0;
  for (let mode = 0; mode < MODES; mode++) {
    const at = (mode * SETS + (entry.page & (SETS - 1))) * ENTRY_WORDS;
    if ((translation.read[at]! & ~0xfff) === low) translation.read[at] = EMPTY;
    if ((translation.write[at]! & ~0xfff) === low) translation.write[at] = EMPTY;
    if ((translation.fetch[at]! & ~0xfff) === low) {
      translation.fetch[at] = EMPTY;
      translation.generation += 1;
    }
  }
}

/** Forgets an entry, if it is still there. */
function drop(translation: Translation, cached: Cached): void {
  if (!cached.live) return;
  unlink(translation, cached);
  forgetPage(translation, cached.entry);
}

/** A store changed `bytes` at linear-memory `offset`: drops what any core translated by a descriptor there. Call it when `holdsDescriptors` is set for the page. */
export function descriptorStored(board: Board, offset: number, bytes: number): void {
  const last = (offset + bytes - 1) >>> 3;
  for (const core of board.cores) {
    const translation = core.translation as Translation | undefined;
    if (translation === undefined) continue;
    for (let word = offset >>> 3; word <= last; word++) if (dropLinks(translation, word, board.el2 !== 'kvm')) for (const cached of allOf(translation)) if (cached.words.includes(word)) drop(translation, cached);
  }
}

/** Drops the entries whose stage's last descriptor is in `word`, and with them the links there. `followsMemory`: stage 2 is in memory, so that what is dropped may come back. Returns whether it holds a table's descriptor, which is changed seldom. */
function dropLinks(translation: Translation, word: number, followsMemory: boolean): boolean {
  const { links } = translation;
  const bucket = word % BUCKETS;
  let table = false;
  let before: Link | undefined;
  for (let each = links[bucket]; each !== undefined; each = each.next) {
    if (each.word === word && each.cached !== undefined) {
      // L0's maps are no words of memory.
      if (each.cached.live && (followsMemory || !each.cached.entry.stage2)) translation.dropped[each.cached.entry.page % DROPPED] = each.cached;
      drop(translation, each.cached);
    } else if (each.word === word) table = true;
    else if (each.cached?.live !== false) {
      before = each;
      continue;
    }
    if (before === undefined) links[bucket] = each.next;
    else before.next = each.next;
    translation.linked -= 1;
  }
  return table;
}

/** Drops the entries of `core` that `matches` picks. With `page`, only those whose stage-1 descriptor maps that VA page are asked. */
export function dropEntries(core: Core, matches: (entry: Entry) => boolean, page?: number): void {
  const translation = core.translation as Translation | undefined;
  if (translation === undefined) return;
  if (page === undefined) {
    for (const cached of allOf(translation)) if (matches(cached.entry)) drop(translation, cached);
    return;
  }
  for (let cached = translation.buckets[page % BUCKETS]; cached !== undefined; cached = cached.next) {
    if (cached.entry.page === page && matches(cached.entry)) drop(translation, cached);
  }
  for (const shift of translation.blockShifts) {
    if (translation.inBlocks[blockPlace(page, shift)] === 0) continue;
    const pages = 2 ** (shift - 12);
    const first = page - (page % pages);
    for (const cached of allOf(translation)) if (cached.entry.blockShift === shift && cached.entry.page >= first && cached.entry.page < first + pages && matches(cached.entry)) drop(translation, cached);
  }
}
