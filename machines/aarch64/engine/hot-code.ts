/** Finds out where a machine spends its time, and makes handlers of more than one instruction there: regions for the translator, runs for the interpreter. */

import { PAGE_BYTES, RECORD_BYTES, type Memory } from '../../memory/memory.ts';
import type { Board } from '../board.ts';
import { flowOf } from './flow.ts';
import { runsFrom } from './fuse.ts';
import { COVERED, FIRST_REGION, PAGE_END, UNDECODED } from './handler.ts';
import { handlerModule } from './handler-module.ts';
import { wordsOf, type KeptCode, type MadeRegion } from './kept-code.ts';
import { PLAIN, recordIndex, recordsAt, Scratch } from './layout.ts';
import { emitRegion } from './region.ts';

/** When handlers are made. None of it changes what a machine does. */
export interface Tuning {
  /** Instructions between looks, at least and at most: often while interpreted code runs, seldom in translated code. */
  readonly sliceMin: number;
  readonly sliceMax: number;
  /** Looks that find interpreted code among the same 64 instructions before a region is made there. */
  readonly looks: number;
  /** Regions are compiled together, this many at once, or what there is after so many looks. */
  readonly batch: number;
  readonly patience: number;
}
const REGIONS: Tuning = { sliceMin: 4000, sliceMax: 64_000, looks: 4, batch: 48, patience: 24 };
/** Runs are made where branches go to, never where a look finds code. */
const RUNS: Tuning = { sliceMin: 16_000, sliceMax: 16_000, looks: Infinity, batch: 16, patience: 2 };
const CHUNK_BYTES = 64 * RECORD_BYTES;
/** A region that left for its budget's sake with no more than this to go was running to the end. */
const NEAR_END = 512;

interface Piece {
  /** The record it begins with. */
  readonly entry: number;
  /** The records of its instructions, as pairs of first and one behind the last. */
  readonly ranges: readonly (readonly [number, number])[];
}
interface Region extends Piece {
  readonly number: number;
}

export class HotCode {
  /** Instructions to go to the next look, at least 1, and those between looks. */
  untilLook: number;
  private slice: number;
  /** Whether regions are made, or runs. */
  private readonly whole: boolean;
  private readonly tuning: Tuning;
  private readonly board: Board;
  private readonly memory: Memory;
  private readonly table: WebAssembly.Table;
  private readonly imports: WebAssembly.ModuleImports;
  private readonly pageOf: (index: number) => number | undefined;
  private readonly looks = new Map<number, number>();
  private readonly wanted = new Set<number>();
  private patience: number;
  private readonly regions = new Map<number, Region>();
  /** Regions by the index of their page of records. */
  private readonly byPage = new Map<number, Set<Region>>();
  private readonly free: number[] = [];
  /** Regions that are kept have the numbers below this for good, wherever they are used. */
  private readonly firstOwn: number;
  private nextNumber: number;
  private readonly kept: KeptCode | undefined;

  /** `pageOf` gives the page of linear memory that the page of records of an index is for. */
  constructor(board: Board, table: WebAssembly.Table, imports: WebAssembly.ModuleImports, pageOf: (index: number) => number | undefined, tuning?: Tuning) {
    this.pageOf = pageOf;
    this.whole = board.engine === 'translator';
    this.tuning = tuning ?? (this.whole ? REGIONS : RUNS);
    this.slice = this.untilLook = this.tuning.sliceMin;
    this.patience = this.tuning.patience;
    this.board = board;
    this.memory = board.memory;
    this.table = table;
    this.imports = imports;
    // A profile counts in the code of regions.
    this.kept = this.whole && board.profile === undefined ? board.keptCode as KeptCode | undefined : undefined;
    this.firstOwn = this.nextNumber = FIRST_REGION + (this.kept?.count ?? 0);
    this.grow();
    if (this.kept?.module === undefined) return;
    void new WebAssembly.Instance(this.kept.module, { env: imports });
    this.kept.use(table);
  }

  /** Room in the table for what is numbered. */
  private grow(): void {
    if (this.nextNumber > this.table.length) this.table.grow(this.nextNumber - this.table.length + 1024);
  }

  /** So many instructions were attempted, and the handlers came back before that of `record`, or somewhere else. A look falls to whoever is in hand then, however often handlers come back for other reasons. */
  passed(attempted: number, record: number | undefined, scratch: number): void {
    this.untilLook -= attempted;
    if (this.untilLook > 0) return;
    this.untilLook = 1;
    if (record === undefined) return;
    this.look(record, scratch);
    this.untilLook = this.slice;
  }

  private look(record: number, scratch: number): void {
    const { view } = this.memory;
    const { sliceMin, sliceMax, batch, looks: enough } = this.tuning;
    const left = view.getInt32(scratch + Scratch.LEFT, true);
    view.setInt32(scratch + Scratch.LEFT, 0, true);
    if (left !== 0 && left <= NEAR_END) this.slice = Math.min(2 * this.slice, sliceMax);
    else {
      this.slice = Math.max(sliceMin, this.slice >> 1);
      const chunk = Math.floor(record / CHUNK_BYTES);
      const looks = (this.looks.get(chunk) ?? 0) + 1;
      this.looks.set(chunk, looks);
      if (looks >= enough && !this.regions.has(record)) {
        this.wanted.add(record);
        this.looks.set(chunk, enough >> 1);
      }
    }
    if (this.wanted.size > 0 && (this.wanted.size >= batch || --this.patience < 0)) this.translate();
  }

  /** The handler of `record` is branched to often. */
  want(record: number): void {
    if (!this.regions.has(record)) this.wanted.add(record);
  }

  /** Makes regions of what is wanted. */
  private translate(): void {
    const { profile } = this.board;
    const began = profile?.clock() ?? 0;
    const made = this.makeRegions();
    if (profile === undefined) return;
    profile.ms.translating += profile.clock() - began;
    profile.counts.regions += made;
    if (made > 0) profile.counts.modules += 1;
  }

  private makeRegions(): number {
    const { memory } = this;
    this.patience = this.tuning.patience;
    const made: Region[] = [];
    const bodies: Uint8Array[] = [];
    const numbers: number[] = [];
    for (const record of this.wanted) {
      if (this.regions.has(record) || made.some((piece) => piece.entry === record)) continue;
      const index = Math.floor(recordIndex(memory, record));
      const page = this.pageOf(index);
      // What is left to has to be there: decoding stops at a region.
      const plain = memory.view.getInt32(record + PLAIN, true);
      if (page === undefined || plain === UNDECODED || plain === COVERED || plain === PAGE_END) continue;
      const records = recordsAt(memory, index);
      if (this.installKept(record, records, page)) continue;
      for (const { body, ...piece } of this.whole ? this.region(record, records, page) : this.runs(record, records, page, made)) {
        const number = this.free.pop() ?? this.nextNumber++;
        bodies.push(body);
        numbers.push(number);
        made.push({ ...piece, number });
        this.kept?.note(this.madeOf(piece, records, page, body));
      }
    }
    this.wanted.clear();
    if (made.length === 0) return 0;
    this.grow();
    void new WebAssembly.Instance(new WebAssembly.Module(handlerModule(bodies, numbers)), { env: this.imports });
    for (const region of made) this.install(region);
    return made.length;
  }

  private install(region: Region): void {
    this.memory.view.setInt32(region.entry, region.number, true);
    this.regions.set(region.entry, region);
    const key = Math.floor(recordIndex(this.memory, region.entry));
    let set = this.byPage.get(key);
    if (set === undefined) this.byPage.set(key, set = new Set());
    set.add(region);
  }

  /** The instruction of `record`, in the records `records` of `page` of linear memory, was decoded. Whether a region that was kept begins there now. */
  decoded(record: number, records: number, page: number): boolean {
    return this.kept !== undefined && !this.regions.has(record) && this.installKept(record, records, page);
  }

  private installKept(record: number, records: number, page: number): boolean {
    const { kept } = this;
    if (kept === undefined) return false;
    const { view } = this.memory;
    const entry = (record - records) / (RECORD_BYTES / 4);
    const found = kept.find(view, page * PAGE_BYTES, entry, view.getUint32(page * PAGE_BYTES + entry, true));
    if (found < 0) return false;
    const ranges: [number, number][] = [];
    const offsets = kept.rangesOf(found);
    for (let pair = 0; pair < offsets.length; pair += 2) ranges.push([records + offsets[pair]! * (RECORD_BYTES / 4), records + offsets[pair + 1]! * (RECORD_BYTES / 4)]);
    this.cover(ranges);
    this.install({ entry: record, ranges, number: FIRST_REGION + found });
    return true;
  }

  private madeOf({ entry, ranges }: Piece, records: number, page: number, body: Uint8Array): MadeRegion {
    const offset = (record: number): number => (record - records) / (RECORD_BYTES / 4);
    const offsets = ranges.flatMap(([first, end]) => [offset(first), offset(end)]);
    return { entry: offset(entry), ranges: offsets, words: wordsOf(this.memory.view, page * PAGE_BYTES, offsets), body };
  }

  /** Stores to the instructions of `ranges` are seen from now on, those that are not decoded among them. */
  private cover(ranges: Piece['ranges']): void {
    const { view } = this.memory;
    for (const [first, end] of ranges) {
      for (let at = first; at < end; at += RECORD_BYTES) {
        if (view.getInt32(at, true) !== UNDECODED) continue;
        view.setInt32(at, COVERED, true);
        view.setInt32(at + PLAIN, COVERED, true);
      }
    }
  }

  private region(entry: number, records: number, page: number): readonly (Piece & { readonly body: Uint8Array })[] {
    const { view } = this.memory;
    const offset = (entry - records) / (RECORD_BYTES / 4);
    const executed = (at: number): boolean => {
      const plain = view.getInt32(records + at * (RECORD_BYTES / 4) + PLAIN, true);
      return plain !== UNDECODED && plain !== COVERED;
    };
    const flow = flowOf(offset, (at) => view.getUint32(page * PAGE_BYTES + at, true), executed);
    if (flow === undefined) return [];
    const ranges = flow.order.map((start) => [records + start * (RECORD_BYTES / 4), records + flow.blocks.get(start)!.end * (RECORD_BYTES / 4)] as const);
    this.cover(ranges);
    return [{ entry, ranges, body: emitRegion(flow, offset, this.board.profile !== undefined) }];
  }

  /** `made` are those of the same batch. */
  private runs(entry: number, records: number, page: number, made: readonly Piece[]): readonly (Piece & { readonly body: Uint8Array })[] {
    const { view } = this.memory;
    const recordOf = (offset: number): number => records + offset * (RECORD_BYTES / 4);
    const runs = runsFrom((entry - records) / (RECORD_BYTES / 4), (at) => view.getUint32(page * PAGE_BYTES + at, true), (at) => view.getInt32(recordOf(at) + PLAIN, true), (at) => this.regions.has(recordOf(at)) || made.some((piece) => piece.entry === recordOf(at)));
    return runs.map(({ start, end, body }) => ({ entry: recordOf(start), ranges: [[recordOf(start), recordOf(end)]], body }));
  }

  /** Drops the regions that have one of `records` among their instructions. */
  forget(records: readonly number[]): void {
    const { memory } = this;
    for (const record of records) {
      for (const region of this.byPage.get(Math.floor(recordIndex(memory, record))) ?? []) {
        if (region.ranges.some(([first, end]) => record >= first && record < end)) this.drop(region);
      }
    }
  }

  private drop(region: Region): void {
    if (this.board.profile !== undefined) this.board.profile.counts.dropped += 1;
    const { view } = this.memory;
    if (view.getInt32(region.entry, true) === region.number) view.setInt32(region.entry, view.getInt32(region.entry + PLAIN, true), true);
    this.giveBack(region.number);
    this.regions.delete(region.entry);
    this.byPage.get(Math.floor(recordIndex(this.memory, region.entry)))?.delete(region);
  }

  private giveBack(number: number): void {
    if (number < this.firstOwn) return;
    this.table.set(number, null);
    this.free.push(number);
  }

  /** Drops every region: their records are given to other pages. */
  forgetAll(): void {
    for (const region of this.regions.values()) this.giveBack(region.number);
    this.regions.clear();
    this.byPage.clear();
    this.looks.clear();
    this.wanted.clear();
  }
}
