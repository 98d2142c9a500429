/**
 * Code of the engines from an earlier run. A region is the same for every page that holds its instructions, and a handler for every instruction of its
 * shape: what was made once is right wherever the same words stand again. They are compared before it is used: it changes only how soon code is fast.
 */

import { FIRST_REGION, FIRST_SHAPE } from './handler.ts';
import { handlerModule } from './handler-module.ts';
import { adoptShapes, shapesMade } from './shapes.ts';

/** A region by what it was made of. Offsets are in its page. */
export interface MadeRegion {
  readonly entry: number;
  /** Its instructions, as pairs of the offset of the first and that behind the last, one pair behind the other: `entry` is the first of all. */
  readonly ranges: ArrayLike<number>;
  /** Their words, in that order. */
  readonly words: ArrayLike<number>;
  /** The function's body. */
  readonly body: Uint8Array;
}

/** What runs made, in plain values: to be kept outside, for as long as the engines are the same. */
export interface MadeCode {
  /** Handlers of shapes, by their order: a module, the bytes of each body, and the shapes' keys. */
  readonly handlers: Uint8Array<ArrayBuffer>;
  readonly handlerBytes: Int32Array;
  readonly keys: readonly string[];
  /** Words decoded (shapes.ts, PREPARED). */
  readonly prepared: Int32Array;
  /** Regions: a module, the bytes of each body, where each begins, how many words its ranges take, all ranges, all instruction words. */
  readonly regions: Uint8Array<ArrayBuffer>;
  readonly regionBytes: Int32Array;
  readonly entries: Int32Array;
  readonly rangeWords: Int32Array;
  readonly ranges: Int32Array;
  readonly words: Uint32Array;
}

const BUCKETS = 1 << 14;
/** More than are kept (cli/kept-code.ts, REGIONS_MAX): what is new again and again is not held on to. */
const MADE_MAX = 20_001;

/** Kept code of the machines of a World: what there was when they began, and what they made since. */
export class KeptCode {
  private readonly kept: MadeCode | undefined;
  /** The code of the regions, which puts itself into a machine's table from FIRST_REGION on. */
  readonly module: WebAssembly.Module | undefined;
  /** How many regions there are. */
  readonly count: number;
  /** Whether the handlers are those of this process. */
  private readonly isAdopted: boolean;
  /** Where the ranges and words of each region begin. */
  private readonly rangesAt: Int32Array;
  private readonly wordsAt: Int32Array;
  /** By entry and first word: one more than the first region of a bucket, and for each region one more than the next; 0 ends it. */
  private readonly heads = new Int32Array(BUCKETS);
  private readonly nexts: Int32Array;
  private readonly made: MadeRegion[] = [];
  /** The same by a hash of their entry and words. */
  private readonly madeBy = new Map<number, MadeRegion[]>();
  /** The machine's table of handlers. */
  private table: WebAssembly.Table | undefined;

  /**
   * `kept` is what there is to begin with, `module` its regions, compiled. `isAdopted`: its handlers were given to `adoptShapes`; otherwise what is made
   * does not go together with it.
   */
  constructor(kept?: MadeCode, module?: WebAssembly.Module, isAdopted = false) {
    this.kept = kept;
    this.module = module;
    this.isAdopted = isAdopted;
    this.count = kept?.entries.length ?? 0;
    this.rangesAt = new Int32Array(this.count + 1);
    this.wordsAt = new Int32Array(this.count + 1);
    this.nexts = new Int32Array(this.count);
    for (let index = 0; index < this.count; index++) {
      const { rangeWords, ranges, entries, words } = kept!;
      const from = this.rangesAt[index]!;
      const to = this.rangesAt[index + 1] = from + rangeWords[index]!;
      let bytes = 0;
      for (let pair = from; pair < to; pair += 2) bytes += ranges[pair + 1]! - ranges[pair]!;
      this.wordsAt[index + 1] = this.wordsAt[index]! + bytes / 4;
      const bucket = bucketOf(entries[index]!, words[this.wordsAt[index]!]!);
      this.nexts[index] = this.heads[bucket]!;
      this.heads[bucket] = index + 1;
    }
  }

  /** The region that begins with `word` at `entry` of the page at `page` of linear memory and was made of the words that stand there: its place, or -1. */
  find(view: DataView, page: number, entry: number, word: number): number {
    for (let next = this.heads[bucketOf(entry, word)]!; next !== 0; next = this.nexts[next - 1]!) if (this.isThere(view, page, entry, next - 1)) return next - 1;
    return -1;
  }

  private isThere(view: DataView, page: number, entry: number, index: number): boolean {
    const { entries, ranges, words } = this.kept!;
    if (entries[index] !== entry) return false;
    let next = this.wordsAt[index]!;
    for (let pair = this.rangesAt[index]!; pair < this.rangesAt[index + 1]!; pair += 2) {
      for (let at = ranges[pair]!; at < ranges[pair + 1]!; at += 4) if (view.getUint32(page + at, true) !== words[next++]) return false;
    }
    return true;
  }

  /** The instructions of a region by its place, as MadeRegion has them. */
  rangesOf(index: number): Int32Array {
    return this.kept!.ranges.subarray(this.rangesAt[index]!, this.rangesAt[index + 1]!);
  }

  /** A machine has put what is kept into its table. */
  use(table: WebAssembly.Table): void { this.table = table; }

  /** A function of the modules of handlers and of regions that were kept, where a machine has run by them. */
  handlerInUse(): unknown { return this.isAdopted ? this.table?.get(FIRST_SHAPE) : undefined; }
  regionInUse(): unknown { return this.count > 0 ? this.table?.get(FIRST_REGION) : undefined; }

  /** A region was made that is not among those kept. */
  note(region: MadeRegion): void {
    if (this.made.length >= MADE_MAX) return;
    // By all words: code that a guest changes again and again begins alike.
    let bucket = region.entry;
    for (let at = 0; at < region.words.length; at++) bucket = Math.imul(bucket ^ region.words[at]!, 0x9e37_79b1);
    let others = this.madeBy.get(bucket);
    if (others === undefined) this.madeBy.set(bucket, others = []);
    // Another machine may have made the same, or this one before it had to drop it.
    if (others.some((other) => other.entry === region.entry && alike(other.ranges, region.ranges) && alike(other.words, region.words))) return;
    others.push(region);
    this.made.push(region);
  }

  /** How many were. */
  get madeCount(): number { return this.made.length; }

  /** What there was and what was made since, each once; undefined where the two do not go together. */
  all(): MadeCode | undefined {
    const { kept, made } = this;
    if (kept !== undefined && !this.isAdopted) return undefined;
    const before = kept === undefined ? [] : bodiesOf(kept.regions, kept.regionBytes).map((body, index): MadeRegion => ({
      entry: kept.entries[index]!, ranges: this.rangesOf(index), words: kept.words.subarray(this.wordsAt[index]!, this.wordsAt[index + 1]!), body,
    }));
    const regions = [...before, ...made];
    const shapes = shapesMade();
    return {
      handlers: handlerModule(shapes.bodies, FIRST_SHAPE), handlerBytes: lengthsOf(shapes.bodies), keys: shapes.keys, prepared: shapes.prepared,
      regions: handlerModule(regions.map(({ body }) => body), FIRST_REGION), regionBytes: lengthsOf(regions.map(({ body }) => body)),
      entries: Int32Array.from(regions, ({ entry }) => entry), rangeWords: lengthsOf(regions.map(({ ranges }) => ranges)),
      ranges: joined(regions.map(({ ranges }) => ranges), Int32Array), words: joined(regions.map(({ words }) => words), Uint32Array),
    };
  }
}

/** Takes the handlers that were kept, compiled as `module`; what comes next has to be the process's first machine. */
export const adoptHandlers = (kept: MadeCode, module: WebAssembly.Module): void => adoptShapes(kept.keys, bodiesOf(kept.handlers, kept.handlerBytes), module, kept.prepared);

const bucketOf = (entry: number, word: number): number => (Math.imul(word ^ Math.imul(entry, 0x85eb_ca6b), 0x9e37_79b1) >>> 18) & (BUCKETS - 1);

const lengthsOf = (parts: readonly ArrayLike<number>[]): Int32Array => Int32Array.from(parts, ({ length }) => length);

const alike = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => a.length === b.length && Array.prototype.every.call(a, (value, index) => value === b[index]);

/** All numbers of `parts`, one part behind the other. */
function joined<Numbers extends Int32Array | Uint32Array>(parts: readonly ArrayLike<number>[], Type: new (length: number) => Numbers): Numbers {
  const all = new Type(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The bodies at the end of a module. */
function bodiesOf(module: Uint8Array, lengths: Int32Array): Uint8Array[] {
  let at = module.length - lengths.reduce((sum, length) => sum + length, 0);
  return Array.from(lengths, (length) => module.subarray(at, at += length));
}

/** The words of `ranges` of a page at `page` of linear memory. */
export function wordsOf(view: DataView, page: number, ranges: readonly number[]): number[] {
  const words: number[] = [];
  for (let pair = 0; pair < ranges.length; pair += 2) for (let at = ranges[pair]!; at < ranges[pair + 1]!; at += 4) words.push(view.getUint32(page + at, true));
  return words;
}
