/** The interpreter: runs decoded records by handlers in WebAssembly, and does what they leave to it: decoding, slow memory accesses, everything that only the reference engine has. */

import { PAGE_BYTES, RECORD_BYTES, regionNamed, type Memory } from '../../memory/memory.ts';
import { landBranch } from '../branch-target.ts';
import { lookAtDebug } from '../debug-checks.ts';
import { checkStackAlignment, takeInterrupt, UNWIND } from '../exception.ts';
import type { RunEnd, RunResult } from '../exit.ts';
import { maskedOrTaken } from '../interrupts.ts';
import { fetchOffset, fillFetch, inGuardedPage, instructionOffset, loadMemory, othersMonitor, storeMemory, storePair } from '../memory-access.ts';
import { limitOf } from '../pmu.ts';
import type { Profile } from '../profile.ts';
import { Pstate, Word, stackWord, type Core } from '../state.ts';
import { MODE_OF, forgetFast, forgetWrites, forgetWritesTo, type Translation } from '../tlb.ts';
import { branchAddress, dropTranslation, translationOf } from '../translate.ts';
import type { Bytes } from '../memory-access.ts';
import type { Board } from '../board.ts';
import { crc32Of } from './crc32.ts';
import { COVERED, Ending, FIRST_SHAPE, Flags, PAGE_END, REFERENCE, UNDECODED } from './handler.ts';
import { CODE_PAGES_POINTER, COUNTS_POINTER, countsOffset, emptySet, INSTRUCTIONS, modeArray, PLAIN, RECORD_PAGES, RECORDS_BYTES, recordIndex, recordsAt, Scratch, scratchOf } from './layout.ts';
import { floatingPointTrap } from './floating-point.ts';
import { maskControl, Permissions } from './permitted.ts';
import { ReferenceEngine } from './reference.ts';
import { runtimeBytes } from './runtime.ts';
import { accessOf, SINK_WORD } from './shape.ts';
import { HotCode, type Tuning } from './hot-code.ts';
import { compileWaiting, decoding, manyWait, Meta, MODULES, numberedEnd, Part, prepare, PREPARED } from './shapes.ts';

type Handler = (core: number, scratch: number, record: number, budget: number) => number;

let runtimeModule: WebAssembly.Module | undefined;

const PC_LOW = 2 * Word.PC;
/** PSTATE.BTYPE. */
const BTYPE = 3 << Pstate.BTYPE_SHIFT;
/** Instructions that are decoded at once at most, where no branch ends them sooner. */
const DECODED_MAX = 64;

/** Runs of handlers whose code waits, and bails of others, before it is compiled. */
const IMPATIENCE = 200;

/** The engine of one machine: its table of handlers, and which page has which records. */
export class Interpreter {
  private readonly memory: Memory;
  private readonly board: Board;
  private readonly table: WebAssembly.Table;
  private readonly enter: Handler;
  /** Puts NZCV into its word. */
  private readonly settle: (core: number, scratch: number) => void;
  private readonly imports: WebAssembly.ModuleImports;
  private readonly hotCode: HotCode;
  private instantiated = 0;
  /** One past the last handler of the table, and how often one was run whose code waits. */
  private numbered = FIRST_SHAPE;
  private impatience = 0;
  private readonly permissions: (Permissions | undefined)[] = [];
  /** The page of linear memory that each page of records is for, in the order in which they were given out. */
  private pages: number[] = [];
  /** How many pages of records have been written, by whomever: those behind are zeros. */
  private written = 0;

  /** What the run in hand is about: how much of its budget is accounted for, and how much was withheld to make the handlers come back. */
  private core!: Core;
  private engine!: ReferenceEngine;
  private accounted = 0;
  private withheld = 0;
  private monitored = false;
  /** `Translation.generation` when the page of code in hand was found. */
  private generation = 0;

  constructor(board: Board, tuning?: Tuning) {
    this.board = board;
    this.memory = board.memory;
    this.nameRam();
    runtimeModule ??= new WebAssembly.Module(runtimeBytes());
    const env = { memory: this.memory.wasm, decode: this.decode, reference: this.reference, hot: this.hot };
    const { exports } = new WebAssembly.Instance(runtimeModule, { env });
    this.table = exports['table'] as WebAssembly.Table;
    this.enter = exports['enter'] as unknown as Handler;
    const { go, land, begin, flagsOf, mayLoad, mayStore, multiplyAdd, pointerCode } = exports;
    this.settle = exports['settle'] as unknown as (core: number, scratch: number) => void;
    this.takeOver();
    this.imports = {
      ...env, table: this.table, go: go!, land: land!, begin: begin!, flagsOf: flagsOf!, mayLoad: mayLoad!, mayStore: mayStore!, multiplyAdd: multiplyAdd!, pointerCode: pointerCode!,
      load: this.load, store: this.store, storePair: this.storePair, checkStack: this.checkStack, crc32: this.crc32,
    };
    this.hotCode = new HotCode(board, this.table, this.imports, (index) => this.pages[index], tuning);
  }

  /** The engines' area is this one's from now on: the records that another has left there name handlers of its own table. */
  private takeOver(): void {
    const { view, codePages, staleCode } = this.memory;
    if (view.getInt32(CODE_PAGES_POINTER, true) !== 0) {
      codePages.fill(0);
      staleCode.length = 0;
      this.written = RECORD_PAGES;
      for (const core of this.board.cores) dropTranslation(core);
    }
    view.setUint32(CODE_PAGES_POINTER, codePages.byteOffset, true);
    view.setUint32(COUNTS_POINTER, countsOffset(this.memory), true);
  }

  /** Attempts at most `budget` instructions of `core`, as run.ts says of `run` without stops. Without an end, debug exceptions have to be looked for from now on, which the reference engine does. */
  run(core: Core, budget: number): { readonly attempted: number; readonly end: RunEnd | undefined } {
    if (this.core !== core) {
      this.core = core;
      this.engine = new ReferenceEngine(core);
    }
    const scratch = scratchOf(core);
    const { hotCode } = this;
    const { view } = this.memory;
    let left = budget;
    /** What is left where the run has to end. */
    let least = budget - limitOf(core, budget, 0);
    try {
      while (left > least) {
        // A load that has its answer is done with before an interrupt is looked at: what the device gave is not given twice.
        if (core.attention && (left < budget || core.deviceReplies.length === 0)) {
          while (core.attention && core.end === undefined) takeInterrupt(core);
          if (core.end !== undefined) return ended(core, budget - left);
          if (lookAtDebug(core)) return { attempted: budget - left, end: undefined };
          least = budget - limitOf(core, budget, budget - left);
        }
        // Now and then a look falls due at where the time goes; handlers count 32 bits in any case. What is still to be looked at is so behind the instruction in hand.
        const given = core.attention ? 1 : Math.min(left - least, hotCode.untilLook);
        const before = left;
        this.accounted = given;
        this.withheld = left - given;
        /** Where the handlers came back, if before a record. */
        let at: number | undefined;
        const began = this.board.profile?.clock() ?? 0;
        try {
          const record = this.findRecord(core);
          const ending = this.enter(core.words.byteOffset, scratch, record, given);
          left = view.getInt32(scratch + Scratch.BUDGET, true);
          if (view.getInt32(scratch + Scratch.FLAGS, true) !== 0) this.settle(core.words.byteOffset, scratch);
          if (ending === Ending.RECORD) {
            at = view.getUint32(scratch + Scratch.RECORD, true);
            this.pcOf(at);
          } else if (ending === Ending.BRANCH) core.words[Word.PC] = branchAddress(core, core.words[Word.PC]!);
          this.takeBranchType(left);
          this.account(left);
        } catch (error) {
          if (error !== UNWIND) throw error;
          left = this.accounted;
          if ((core.end as RunEnd | undefined)?.type !== 'device') {
            left -= 1;
            this.account(left);
          }
        }
        left += this.withheld;
        if (this.board.profile !== undefined) this.noteTranslated(this.board.profile, scratch, before - left, began);
        hotCode.passed(before - left, at, scratch);
        if (core.end !== undefined) return ended(core, budget - left);
      }
      return { attempted: budget - left, end: left > 0 ? EFFECT : BUDGET };
    } finally {
      core.words[SINK_WORD] = 0n;
      // An error of ours may have left them there; what is restored then has its own.
      view.setInt32(scratch + Scratch.FLAGS, Flags.STORED, true);
    }
  }

  /** A stretch counts whole, by the clock, as translated where most of its instructions were. */
  private noteTranslated(profile: Profile, scratch: number, attempted: number, began: number): void {
    const { view } = this.memory;
    const translated = view.getInt32(scratch + Scratch.TRANSLATED, true);
    view.setInt32(scratch + Scratch.TRANSLATED, 0, true);
    profile.counts.translated += translated;
    if (2 * translated > attempted) profile.ms.translated += profile.clock() - began;
  }

  /** Tells the scratch areas where RAM is: what exclusives mark is a physical address. */
  private nameRam(): void {
    const { view } = this.memory;
    const { offset, bytes, base } = regionNamed(this.memory, 'ram');
    for (const core of this.board.cores) {
      const scratch = scratchOf(core);
      view.setUint32(scratch + Scratch.RAM_FIRST, offset, true);
      view.setUint32(scratch + Scratch.RAM_BYTES, bytes, true);
      view.setBigInt64(scratch + Scratch.RAM_DELTA, BigInt(base - offset), true);
    }
  }

  /** Adds what was attempted since the last time to the clock and the core's count, when `left` of the handlers' budget is left. */
  private account(left: number): void {
    const done = this.accounted - left;
    if (done === 0) return;
    this.accounted = left;
    this.board.now += done;
    const { ints } = this.core;
    const before = ints[2 * Word.ATTEMPTED]! >>> 0;
    const after = before + done;
    ints[2 * Word.ATTEMPTED] = after | 0;
    if (after > 0xffff_ffff) ints[2 * Word.ATTEMPTED + 1]! += 1;
  }

  /** The record of the instruction at PC, which translates and is fetched; makes the scratch area agree with the core. Raises what its fetch raises. */
  private findRecord(core: Core): number {
    const offset = instructionOffset(core);
    if ((core.ints[2 * Word.PSTATE]! & BTYPE) !== 0) landBranch(core, this.memory.view.getUint32(offset, true));
    if (this.memory.staleCode.length > 0) this.forgetStale();
    const page = offset >>> 12;
    let records = this.memory.codePages[page]!;
    if (records === 0) {
      records = this.addPage(page);
      // The fetch array may have been emptied.
      fetchOffset(core);
    }
    fillFetch(core, records);
    this.generation = translationOf(core).generation;
    const scratch = scratchOf(core);
    const { view } = this.memory;
    view.setBigUint64(scratch + Scratch.PAGE_VIRTUAL, core.words[Word.PC]! & ~0xfffn, true);
    view.setInt32(scratch + Scratch.PAGE_RECORDS, records, true);
    view.setInt32(scratch + Scratch.PAGE_GUARDED, inGuardedPage(core) ? 1 : 0, true);
    view.setInt32(scratch + Scratch.BRANCH_TYPE, 0, true);
    this.refresh(core);
    return records + ((offset & 0xffc) >> 2) * RECORD_BYTES;
  }

  /** Makes the scratch area agree with PSTATE and the other cores' monitors. */
  private refresh(core: Core): void {
    const { view } = this.memory;
    const scratch = scratchOf(core);
    const translation = translationOf(core);
    if (translation.cleaned !== this.memory.cleaned) {
      translation.cleaned = this.memory.cleaned;
      forgetWrites(core.board);
    }
    const pstate = core.ints[2 * Word.PSTATE]!;
    const mode = MODE_OF[((pstate >> 2) & 3) | ((pstate >> 20) & 4)]!;
    this.monitored = othersMonitor(core);
    view.setInt32(scratch + Scratch.READ, modeArray(core, 0, mode), true);
    view.setInt32(scratch + Scratch.WRITE, this.monitored ? emptySet(core) : modeArray(core, 1, mode), true);
    view.setInt32(scratch + Scratch.FETCH, modeArray(core, 2, mode), true);
    view.setInt32(scratch + Scratch.FLOATING_POINT, floatingPointTrap(core) === undefined ? 1 : 0, true);
    view.setInt32(scratch + Scratch.STACK, core.words.byteOffset + stackWord(core) * 8, true);
    (this.permissions[core.index] ??= new Permissions(core)).note(view, scratch);
    view.setInt32(scratch + Scratch.MASKS, maskControl(core), true);
  }

  /** Puts the type of an indirect branch into PSTATE.BTYPE, where it is the instruction before the one that is next when `left` of the budget is left. */
  private takeBranchType(left: number): void {
    const { core } = this;
    const { view } = this.memory;
    const scratch = scratchOf(core);
    const type = view.getInt32(scratch + Scratch.BRANCH_TYPE, true);
    if (type !== 0 && view.getInt32(scratch + Scratch.BRANCH_BUDGET, true) === left) core.ints[2 * Word.PSTATE] = (core.ints[2 * Word.PSTATE]! & ~BTYPE) | (type << Pstate.BTYPE_SHIFT);
  }

  /** Drops the regions that were made of instructions which have changed. */
  private forgetStale(): void {
    const { staleCode } = this.memory;
    this.hotCode.forget(staleCode);
    staleCode.length = 0;
  }

  /** Gives `page` of linear memory a page of records, none decoded. When there is no room, all are given up. */
  private addPage(page: number): number {
    const { memory } = this;
    if (this.pages.length === RECORD_PAGES) {
      for (const each of this.pages) memory.codePages[each] = 0;
      this.pages = [];
      this.hotCode.forgetAll();
      for (const core of this.board.cores) {
        const translation = core.translation as Translation | undefined;
        if (translation !== undefined) forgetFast(translation);
      }
    }
    const records = recordsAt(memory, this.pages.length);
    if (this.pages.length < this.written) memory.bytesAll.fill(0, records, records + RECORDS_BYTES);
    this.pages.push(page);
    this.written = Math.max(this.written, this.pages.length);
    for (const place of [0, PLAIN]) memory.view.setInt32(records + INSTRUCTIONS * RECORD_BYTES + place, PAGE_END, true);
    memory.codePages[page] = records;
    // Stores to it have to be seen from now on.
    forgetWritesTo(this.board, page);
    return records;
  }

  /** Sets PC to the address of a record of the page in hand. */
  private pcOf(record: number): void {
    const { view } = this.memory;
    const scratch = scratchOf(this.core);
    const distance = (record - view.getUint32(scratch + Scratch.PAGE_RECORDS, true)) / (RECORD_BYTES / 4);
    const low = view.getInt32(scratch + Scratch.PAGE_VIRTUAL, true);
    const { ints } = this.core;
    if (distance < PAGE_BYTES) {
      ints[PC_LOW] = low + distance;
      ints[PC_LOW + 1] = view.getInt32(scratch + Scratch.PAGE_VIRTUAL + 4, true);
    } else this.core.words[Word.PC] = BigInt.asUintN(64, view.getBigUint64(scratch + Scratch.PAGE_VIRTUAL, true) + BigInt(distance));
  }

  /** The page of linear memory and the offset in it of the instruction that `record` is for. */
  private placeOf(record: number): { page: number; offset: number } {
    const index = Math.floor(recordIndex(this.memory, record));
    return { page: this.pages[index]!, offset: (record - recordsAt(this.memory, index)) / (RECORD_BYTES / 4) };
  }

  // ---- what handlers import: `record` and `budget` are those of the instruction in hand; offsets above 2 GiB arrive as negative numbers ----------------------------------------------------

  private readonly decode = (signed: number): void => {
    const record = signed >>> 0;
    const { view } = this.memory;
    const { page, offset } = this.placeOf(record);
    let at = record;
    const records = record - (RECORD_BYTES / 4) * offset;
    const last = Math.min(PAGE_BYTES, offset + 4 * DECODED_MAX);
    for (let place = offset; place < last; place += 4, at += RECORD_BYTES) {
      const plain = view.getInt32(at + PLAIN, true);
      if (plain !== UNDECODED && plain !== COVERED) break;
      const prepared = prepare(view.getUint32(page * PAGE_BYTES + place, true), place);
      // A region may begin with what was not decoded yet.
      const handler = PREPARED[prepared + Part.HANDLER]!;
      const meta = PREPARED[prepared + Part.META]!;
      if (view.getInt32(at, true) === plain) view.setInt32(at, handler, true);
      view.setInt32(at + PLAIN, handler, true);
      for (let index = 0; index < (meta & Meta.OPERANDS); index++) view.setInt32(at + 4 + 4 * index, PREPARED[prepared + Part.OPERANDS + index]!, true);
      // What a region holds is decoded where the region leaves it to plain handlers.
      if (this.hotCode.decoded(at, records, page) || (meta & Meta.BRANCHES) !== 0) break;
    }
    if (manyWait()) compileWaiting();
    this.instantiate();
  };

  /** Puts into the table what handlers there are, and the reference engine where their code waits. */
  private instantiate(): void {
    const end = numberedEnd();
    if (end > this.table.length) this.table.grow(end - this.table.length + 1024);
    for (; this.numbered < end; this.numbered++) this.table.set(this.numbered, this.table.get(REFERENCE));
    for (; this.instantiated < MODULES.length; this.instantiated++) void new WebAssembly.Instance(MODULES[this.instantiated]!, { env: this.imports });
  }

  private readonly hot = (record: number): void => this.hotCode.want(record >>> 0);

  /** Accounts for what was attempted before the instruction in hand, and sets PC to it. */
  private arrive(record: number, budget: number): void {
    this.account(budget);
    this.pcOf(record >>> 0);
    const scratch = scratchOf(this.core);
    if (this.memory.view.getInt32(scratch + Scratch.FLAGS, true) !== 0) this.settle(this.core.words.byteOffset, scratch);
  }

  /** Whether the run loop has to look at things before the next instruction; where the page of code in hand is among them, since a load may have had it forgotten. */
  private mustLeave(): boolean {
    const { core } = this;
    return core.end !== undefined || core.attention || this.memory.staleCode.length > 0 || translationOf(core).generation !== this.generation;
  }

  /** The budget to go on with: all of it, or where the run loop is wanted that of this instruction alone. */
  private afterStore(budget: number): number {
    if (this.mustLeave()) {
      this.withheld += budget - 1;
      this.accounted = 1;
      return 1;
    }
    if (this.monitored) this.refresh(this.core);
    return budget;
  }

  private readonly load = (record: number, budget: number, va: bigint, specification: number): bigint => {
    this.arrive(record, budget);
    return BigInt.asIntN(64, loadMemory(this.core, BigInt.asUintN(64, va), (specification & 15) as Bytes, accessOf(specification >> 4)));
  };
  private readonly store = (record: number, budget: number, va: bigint, value: bigint, specification: number): number => {
    this.arrive(record, budget);
    storeMemory(this.core, BigInt.asUintN(64, va), (specification & 15) as Bytes, BigInt.asUintN(64, value), accessOf(specification >> 4));
    return this.afterStore(budget);
  };
  private readonly storePair = (record: number, budget: number, va: bigint, first: bigint, second: bigint, specification: number): number => {
    this.arrive(record, budget);
    storePair(this.core, BigInt.asUintN(64, va), (specification & 15) as 4 | 8, BigInt.asUintN(64, first), BigInt.asUintN(64, second), accessOf(specification >> 4));
    return this.afterStore(budget);
  };
  private readonly checkStack = (record: number, budget: number): number => {
    this.arrive(record, budget);
    checkStackAlignment(this.core);
    return 0;
  };
  private readonly crc32 = (accumulator: number, data: bigint, kind: number): number => crc32Of(accumulator >>> 0, BigInt.asUintN(64, data), (kind >> 1) as Bytes, (kind & 1) !== 0) | 0;

  /** Executes the instruction of `record` on the reference engine. Gives the budget left, or -1 where the run has to leave: PC and the budget are told then. */
  private readonly reference = (signed: number, budget: number): number => {
    const record = signed >>> 0;
    this.arrive(record, budget);
    const { core, engine } = this;
    const { view } = this.memory;
    if (view.getInt32(record + PLAIN, true) !== REFERENCE && this.impatience++ === IMPATIENCE) {
      this.impatience = 0;
      compileWaiting();
      this.instantiate();
    }
    const { page, offset } = this.placeOf(record);
    const decoded = decoding(view.getUint32(page * PAGE_BYTES + offset, true));
    const pstate = core.ints[2 * Word.PSTATE]!;
    // Only BRK sees the type of the branch before it.
    if (decoded.row?.name === 'BRK') this.takeBranchType(budget);
    engine.jumped = false;
    decoded.semantics(engine, decoded.fields);
    const changed = core.ints[2 * Word.PSTATE]! ^ pstate;
    // Masks changed, and the look that this asks for finds nothing to take: the handlers can go on.
    if (changed !== 0 && (changed & ~MASKS) === 0 && core.attention && !engine.jumped && core.end === undefined && maskedOrTaken(core) === undefined) core.attention = false;
    if (!engine.jumped && budget > 1 && (changed & ~MASKS) === 0 && !this.mustLeave()) {
      // What else may change what the scratch area says of a core jumps or changes PSTATE.
      if (this.monitored || decoded.row?.name === 'MSR (register)') this.refresh(core);
      return budget - 1;
    }
    if (!engine.jumped) this.pcOf(record + RECORD_BYTES);
    view.setInt32(scratchOf(core) + Scratch.BUDGET, budget - 1, true);
    return -1;
  };
}

/** PSTATE.A, I and F, on which nothing depends in the scratch area. D has debug exceptions to be looked for. */
const MASKS = Pstate.A | Pstate.I | Pstate.F;

const BUDGET: RunEnd = { type: 'budget' };
const EFFECT: RunEnd = { type: 'effect' };

/** Takes the reason out of the core. */
function ended(core: Core, attempted: number): RunResult {
  const end = core.end ?? BUDGET;
  core.end = undefined;
  return { attempted, end };
}
