/** Emits a region: the instructions that one entry reaches within a page, as one handler with structured control flow, constant operands and lazy flags. */

import { PAGE_BYTES, RECORD_BYTES } from '../../memory/memory.ts';
import type { Decoded } from '../decode.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { CONDITIONS } from './conditions.ts';
import { LOADS, STORES } from './emitter-scalar.ts';
import { Word } from '../state.ts';
import { Emitter, pushInexact, pushPlainMode } from './emitter.ts';
import { isOrdered } from './shape.ts';
import type { Block, Flow } from './flow.ts';
import { dispatch, Flags, importIndex, Local, noteBranch, PARAMETERS, PC_OFFSET } from './handler.ts';
import { INDEX_MASK, PLAIN, Scratch } from './layout.ts';
import { Access as Memory, Code, I32, I64, Op, Simd, V128 } from './wasm/code.ts';

const vectorOffset = (register: number): number => (Word.VECTOR + 2 * register) * 8;

/** NZCV as it is known where code is emitted: its kind in `Flags`, and the locals of its operands; of VALUE, what it is where that is a constant. */
interface Plain { readonly kind: number; readonly a: number; readonly b: number; readonly constant: number | undefined }
/** The same where a conditional comparison chose, by a condition in a local. */
interface Choice { readonly condition: number; readonly whenTrue: Plain; readonly whenFalse: Plain }
type Symbolic = Plain | Choice;
const isChoice = (symbolic: Symbolic): symbolic is Choice => 'condition' in symbolic;

/** WebAssembly structures around the code in hand, innermost last: a loop to continue, a block before a merge, or another (`if`, the region itself). */
type Context = readonly { readonly type: 'loop' | 'merge' | 'other'; readonly start: number }[];

/** The body of the handler for `flow`, which begins at `entry`: the same for every page of records. With `counted` it adds what it attempts to the scratch area. */
export function emitRegion(flow: Flow, entry: number, counted: boolean): Uint8Array {
  return new Region(flow, counted).emit(entry);
}

class Region extends Emitter {
  private readonly flow: Flow;
  private readonly counted: boolean;
  /** NZCV as kept, in the kinds of Flags. */
  private readonly kind = this.code.local(I32);
  private readonly flagsA = this.code.local(I64);
  private readonly flagsB = this.code.local(I64);
  /** Bases of the current mode's arrays and the stack pointer, which cannot change within a region. */
  private readonly readArray = this.code.local(I32);
  private readonly writeArray = this.code.local(I32);
  private readonly stack = this.code.local(I32);
  /** Where the instruction in hand is, and how many of its block's instructions are not done, itself included. */
  private at = 0;
  private undone = 0;
  private depth = 0;
  /** Registers whose values are in locals, within a block. */
  private readonly known = new Map<number, number>();
  private readonly knownVectors = new Map<number, number>();
  /** Words of vectors whose high halves are zero. */
  private readonly knownLows = new Map<number, number>();
  /** Locals of the block in hand that hold something for later, and the instruction that a local holds something beyond. */
  private held: number[] = [];
  private readonly beyond = new Map<number, number>();
  private checked = false;
  /** Emitter's plainMode and inexact: MSR, which alone changes them, is no part of a region, and plain handlers are outside. */
  private readonly plain = this.code.local(I32);
  private readonly told = this.code.local(I32);
  private current: Symbolic | undefined;
  private readonly lazy = new Map<number, Symbolic>();
  /** Values of locals that hold small constants. */
  private readonly constants = new Map<number, number>();
  private readonly atEnd = new Map<number, Symbolic | undefined>();
  private outcome = -1;
  private target = -1;

  constructor(flow: Flow, counted: boolean) {
    super(0, true);
    this.counted = counted;
    this.flow = flow;
  }

  emit(entry: number): Uint8Array {
    const { code } = this;
    this.open(() => code.block(), () => this.tree(entry, [{ type: 'other', start: -1 }]));
    // Whoever leaves the region to a plain handler comes here, with RECORD and BUDGET told.
    this.settleFlags();
    dispatch(code, PLAIN);
    return code.finish(this.beginning());
  }

  /** What comes first: the locals that the body turned out to use get their values. */
  private beginning(): Code {
    const { code } = this;
    const head = new Code(PARAMETERS);
    for (const [local, word] of [[this.readArray, Scratch.READ], [this.writeArray, Scratch.WRITE], [this.stack, Scratch.STACK]] as const) {
      if (!code.uses(local)) continue;
      head.get(Local.SCRATCH); head.access(Memory.i32_load, word); head.set(local);
    }
    if (code.uses(this.kind)) { head.i32(Flags.BEFORE); head.set(this.kind); }
    if (code.uses(this.plain)) { pushPlainMode(head); head.set(this.plain); }
    if (code.uses(this.told)) { pushInexact(head); head.set(this.told); }
    return head;
  }

  private open(begin: () => void, inside: () => void): void {
    begin();
    this.depth += 1;
    inside();
    this.depth -= 1;
    this.code.end();
  }

  // ---- structure: Ramsey, "Beyond Relooper" (2022) -----------------------------------------------------------------------------------------

  private tree(start: number, context: Context): void {
    const merges = this.flow.children.get(start)!.filter((child) => this.flow.merges.has(child));
    // The last in reverse postorder is the outermost.
    merges.sort((a, b) => this.flow.place.get(b)! - this.flow.place.get(a)!);
    if (this.flow.loops.has(start)) this.open(() => this.code.loop(), () => this.within(start, merges, [...context, { type: 'loop', start }]));
    else this.within(start, merges, context);
  }

  private within(start: number, merges: readonly number[], context: Context): void {
    const [first, ...rest] = merges;
    if (first === undefined) {
      this.block(start, context);
      return;
    }
    this.open(() => this.code.block(), () => this.within(start, rest, [...context, { type: 'merge', start: first }]));
    this.tree(first, context);
  }

  private goTo(source: number, target: number, context: Context): void {
    const { flow, code } = this;
    if (!flow.blocks.has(target)) {
      this.out(target);
      return;
    }
    const back = flow.place.get(target)! <= flow.place.get(source)!;
    if (back && !flow.dominates(target, source)) {
      // An irreducible edge.
      this.out(target);
      return;
    }
    if (back || flow.merges.has(target)) {
      const type = back ? 'loop' : 'merge';
      const place = context.findLastIndex((each) => each.type === type && each.start === target);
      code.branch(context.length - 1 - place);
    } else this.tree(target, context);
  }

  private block(start: number, context: Context): void {
    const { code } = this;
    const block = this.flow.blocks.get(start)!;
    const count = block.instructions.length;
    this.known.clear();
    this.knownVectors.clear();
    this.knownLows.clear();
    this.checked = false;
    this.held = [];
    code.recent();
    const before = this.flow.single.get(start);
    this.current = before === undefined ? undefined : this.atEnd.get(before);
    // Where the budget ends within the block, or with it, plain handlers go on to exactly there.
    code.get(Local.BUDGET); code.i32(count); code.op(Op.i32_le_s);
    code.if();
    this.depth += 1;
    code.get(Local.SCRATCH); code.get(Local.BUDGET); code.access(Memory.i32_store, Scratch.LEFT);
    this.leave(start, 0);
    this.depth -= 1;
    code.end();
    code.get(Local.BUDGET); code.i32(count); code.op(Op.i32_sub); code.set(Local.BUDGET);
    this.attempted(count);
    for (const [index, decoded] of block.instructions.entries()) this.instruction(decoded, start + 4 * index, count - index);
    this.atEnd.set(start, this.current);
    this.finishBlock(block, context);
  }

  private instruction(decoded: Decoded, at: number, undone: number): void {
    this.branch = undefined;
    this.at = at;
    this.undone = undone;
    decoded.semantics(this, decoded.fields);
    // The fewer locals, the less a compiler has to look after wherever control flow meets.
    this.lazy.clear();
    this.constants.clear();
    for (const local of this.code.recent()) {
      if (this.beyond.get(local) === at) this.held.push(local);
      else this.code.giveBack(local);
    }
  }

  /** What a local holds is read behind the instruction in hand too. */
  private hold(local: number): number {
    this.beyond.set(local, this.at);
    return local;
  }

  /** The block in hand needs no local any more, but for those of NZCV, which the blocks behind it may look at. */
  private giveBack(): void {
    const { current } = this;
    const plains = current === undefined ? [] : isChoice(current) ? [current.whenTrue, current.whenFalse] : [current];
    const kept = new Set(plains.flatMap(({ a, b }) => [a, b]));
    if (current !== undefined && isChoice(current)) kept.add(current.condition);
    for (const local of new Set(this.held)) if (!kept.has(local)) this.code.giveBack(local);
    this.held = [];
  }

  private finishBlock(block: Block, context: Context): void {
    const { code } = this;
    const { exit, start, end } = block;
    const inner: Context = [...context, { type: 'other', start: -1 }];
    const two = (taken: () => void, next: () => void): void => {
      code.get(this.outcome);
      this.giveBack();
      code.if();
      this.depth += 1;
      taken();
      code.else();
      next();
      this.depth -= 1;
      code.end();
      code.op(Op.unreachable);
    };
    switch (exit.type) {
      case 'when': two(() => this.goTo(start, exit.taken, inner), () => this.goTo(start, exit.next, inner)); break;
      case 'out-when': two(() => this.out(end - 4 + exit.offset), () => this.goTo(start, exit.next, inner)); break;
      case 'to':
        this.giveBack();
        this.goTo(start, exit.target, context);
        break;
      case 'out':
        this.giveBack();
        this.out(end - 4 + exit.offset);
        break;
      case 'computed':
        this.computed();
        this.giveBack();
        break;
      case 'leave':
        this.giveBack();
        this.leave(end, 0);
        break;
    }
  }

  /** To an address: of this page, which is aligned, at once. */
  private computed(): void {
    const { code } = this;
    this.settleFlags();
    if (this.branch !== undefined) noteBranch(code, this.branch, () => code.get(Local.BUDGET));
    code.get(this.target); code.i64(~0xffcn); code.op(Op.i64_and); code.get(Local.SCRATCH); code.access(Memory.i64_load, Scratch.PAGE_VIRTUAL); code.op(Op.i64_eq);
    // In a guarded page `land` looks where the branch lands.
    if (this.branch !== undefined) { code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.PAGE_GUARDED); code.op(Op.i32_eqz); code.op(Op.i32_and); }
    code.if();
    this.pushRecords(); code.get(this.target); code.op(Op.i32_wrap_i64); code.i32(0xffc); code.op(Op.i32_and); code.i32(3); code.op(Op.i32_shl); code.op(Op.i32_add); code.set(Local.RECORD);
    dispatch(code);
    code.end();
    code.get(Local.CORE); code.get(this.target); code.access(Memory.i64_store, PC_OFFSET);
    this.go(this.branch === undefined ? 'go' : 'land');
  }

  private go(by: 'go' | 'land' = 'go'): void {
    const { code } = this;
    code.get(Local.CORE); code.get(Local.SCRATCH); code.get(Local.RECORD); code.get(Local.BUDGET);
    code.tailCall(importIndex(by));
  }

  /** Leaves the region to `target`, relative to its page: to whatever handler is there. */
  private out(target: number): void {
    const { code } = this;
    this.settleFlags();
    if (target >= 0 && target < PAGE_BYTES) {
      code.get(Local.CORE); code.get(Local.SCRATCH); this.pushRecord(target); code.get(Local.BUDGET);
      code.tailCall(importIndex('begin'));
    } else {
      code.get(Local.CORE); this.pushAddress(target); code.access(Memory.i64_store, PC_OFFSET);
      this.go();
    }
  }

  /** Leaves the region for the plain handler of the instruction at `at`, giving back the budget of `undone` instructions. */
  private leave(at: number, undone: number): void {
    const { code } = this;
    this.pushRecord(at); code.set(Local.RECORD);
    if (undone !== 0) {
      code.get(Local.BUDGET); code.i32(undone); code.op(Op.i32_add); code.set(Local.BUDGET);
      this.attempted(-undone);
    }
    code.branch(this.depth - 1);
  }

  private attempted(count: number): void {
    const { code } = this;
    if (!this.counted) return;
    code.get(Local.SCRATCH); code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.TRANSLATED); code.i32(count); code.op(Op.i32_add); code.access(Memory.i32_store, Scratch.TRANSLATED);
  }

  /** Where the records of the page in hand are, and that of the instruction at `at` of it. */
  private pushRecords(): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i32_load, Scratch.PAGE_RECORDS);
  }
  private pushRecord(at: number): void {
    const { code } = this;
    this.pushRecords(); code.i32(at * (RECORD_BYTES / 4)); code.op(Op.i32_add);
  }
  private pushAddress(at: number): void {
    const { code } = this;
    code.get(Local.SCRATCH); code.access(Memory.i64_load, Scratch.PAGE_VIRTUAL); code.i64(BigInt(at)); code.op(Op.i64_add);
  }

  // ---- operands --------------------------------------------------------------------------------------------------------------------------

  override x(register = 0): number {
    const { code, known } = this;
    const local = known.get(register);
    if (local !== undefined) return local;
    if (register === 31) code.i64(0n);
    else { code.get(Local.CORE); code.access(Memory.i64_load, register * 8); }
    const value = this.hold(code.keep(I64));
    known.set(register, value);
    return value;
  }
  override setX(register: number, value: number): void {
    if (register === 31) return;
    const { code } = this;
    code.get(Local.CORE); code.get(value); code.access(Memory.i64_store, register * 8);
    this.known.set(register, this.hold(value));
  }
  override stackPointer(): number {
    const { code } = this;
    code.get(this.stack); code.access(Memory.i64_load, 0);
    return code.keep(I64);
  }
  override setStackPointer(value: number): void {
    const { code } = this;
    code.get(this.stack); code.get(value); code.access(Memory.i64_store, 0);
  }
  override alignedStackPointer(): number {
    const { code } = this;
    const pointer = this.stackPointer();
    code.get(pointer); code.i64(15n); code.op(Op.i64_and); code.op(Op.i64_eqz);
    this.bailUnless();
    return pointer;
  }
  /** The plain handler of the instruction in hand does it. */
  protected override bail(): void { this.leave(this.at, this.undone); }
  protected override bailWhen(): void { this.inner(() => super.bailWhen()); }
  protected override inner(inside: () => void): void {
    this.depth += 1;
    inside();
    this.depth -= 1;
  }
  override pc(offset = 0): number {
    this.pushAddress(this.at + offset);
    return this.code.keep(I64);
  }

  // ---- vectors ---------------------------------------------------------------------------------------------------------------------------

  override checkFloatingPoint(): void {
    // Once a block: nothing within a region changes it.
    if (this.checked) return;
    this.checked = true;
    super.checkFloatingPoint();
  }
  override vector(register: number): number {
    const { code } = this;
    const known = this.knownVectors.get(register);
    if (known !== undefined) return known;
    const low = this.knownLows.get(register);
    if (low !== undefined) this.zeroExtended(low);
    else { code.get(Local.CORE); code.simdAccess(Simd.v128_load, vectorOffset(register)); }
    const value = this.hold(code.keep(V128));
    this.knownVectors.set(register, value);
    return value;
  }
  override setVector(register: number, value: number): void {
    const { code } = this;
    code.get(Local.CORE); code.get(value); code.simdAccess(Simd.v128_store, vectorOffset(register));
    this.knownVectors.set(register, this.hold(value));
    this.knownLows.delete(register);
  }
  override vectorLow(register: number): number {
    const { code } = this;
    const low = this.knownLows.get(register);
    if (low !== undefined) return low;
    const vector = this.knownVectors.get(register);
    if (vector !== undefined) return this.low(vector);
    code.get(Local.CORE); code.access(Memory.i64_load, vectorOffset(register));
    return code.keep(I64);
  }
  override setVectorLow(register: number, value: number): void {
    const { code } = this;
    code.get(Local.CORE); this.zeroExtended(value); code.simdAccess(Simd.v128_store, vectorOffset(register));
    this.knownVectors.delete(register);
    this.knownLows.set(register, this.hold(value));
  }
  protected override plainMode(): void { this.code.get(this.plain); }
  protected override inexact(): void { this.code.get(this.told); }

  // ---- flags -----------------------------------------------------------------------------------------------------------------------------

  private lazily(kind: number, a: number, b: number): number {
    const local = this.code.local(I64);
    this.lazy.set(local, { kind, a, b, constant: undefined });
    return local;
  }
  override flagsOfAdd(wide: number, a: number, b: number): number { return this.lazily(wide ? Flags.ADD64 : Flags.ADD32, a, b); }
  override flagsOfSubtract(wide: number, a: number, b: number): number { return this.lazily(wide ? Flags.SUBTRACT64 : Flags.SUBTRACT32, a, b); }
  override flagsOfLogical(wide: number, result: number): number { return this.lazily(wide ? Flags.LOGICAL64 : Flags.LOGICAL32, result, result); }
  /** A local that holds NZCV, where it was left lazy. */
  private forced(local: number): number {
    const symbolic = this.lazy.get(local);
    return symbolic === undefined ? local : this.settled(symbolic);
  }
  /** A local that holds the NZCV of `symbolic`. */
  private settled(symbolic: Symbolic): number {
    if (isChoice(symbolic)) return super.select(symbolic.condition, this.settled(symbolic.whenTrue), this.settled(symbolic.whenFalse));
    const { kind, a, b } = symbolic;
    if (kind === Flags.VALUE) return a;
    const wide = kind === Flags.ADD64 || kind === Flags.SUBTRACT64 || kind === Flags.LOGICAL64 ? 1 : 0;
    if (kind === Flags.ADD32 || kind === Flags.ADD64) return super.flagsOfAdd(wide, a, b);
    if (kind === Flags.SUBTRACT32 || kind === Flags.SUBTRACT64) return super.flagsOfSubtract(wide, a, b);
    return super.flagsOfLogical(wide, a);
  }
  override number(value: number): number {
    const local = super.number(value);
    this.constants.set(local, value);
    return local;
  }
  private plainOf(local: number): Plain {
    const symbolic = this.lazy.get(local);
    if (symbolic !== undefined && !isChoice(symbolic)) return symbolic;
    const value = this.forced(local);
    return { kind: Flags.VALUE, a: value, b: value, constant: this.constants.get(local) };
  }
  override select(condition: number, whenTrue: number, whenFalse: number): number {
    if (!this.lazy.has(whenTrue) && !this.lazy.has(whenFalse)) return super.select(condition, whenTrue, whenFalse);
    const local = this.code.local(I64);
    this.lazy.set(local, { condition, whenTrue: this.plainOf(whenTrue), whenFalse: this.plainOf(whenFalse) });
    return local;
  }
  override setFlags(nzcv: number): void {
    const { code } = this;
    const symbolic = this.lazy.get(nzcv) ?? this.plainOf(nzcv);
    this.current = symbolic;
    const put = (to: number, push: (plain: Plain) => void): void => {
      if (isChoice(symbolic)) { push(symbolic.whenTrue); push(symbolic.whenFalse); code.get(symbolic.condition); code.op(Op.select); }
      else push(symbolic);
      code.set(to);
    };
    put(this.kind, ({ kind }) => code.i32(kind));
    put(this.flagsA, ({ a }) => code.get(a));
    put(this.flagsB, ({ b }) => code.get(b));
    if (isChoice(symbolic)) this.hold(symbolic.condition);
    for (const { a, b } of isChoice(symbolic) ? [symbolic.whenTrue, symbolic.whenFalse] : [symbolic]) { this.hold(a); this.hold(b); }
  }
  /** Leaves NZCV to the scratch area as it is kept here. */
  private settleFlags(): void {
    const { code } = this;
    if (!this.flow.setsFlags) return;
    code.get(this.kind); code.i32(0); code.op(Op.i32_ge_s);
    code.if();
    code.get(Local.SCRATCH); code.get(this.kind); code.access(Memory.i32_store, Scratch.FLAGS);
    code.get(Local.SCRATCH); code.get(this.flagsA); code.access(Memory.i64_store, Scratch.FLAGS_A);
    code.get(Local.SCRATCH); code.get(this.flagsB); code.access(Memory.i64_store, Scratch.FLAGS_B);
    code.end();
  }
  protected override nzcv(): void {
    const { code } = this;
    code.get(Local.CORE); code.get(Local.SCRATCH); code.get(this.kind); code.get(this.flagsA); code.get(this.flagsB); code.call(importIndex('flagsOf'));
  }

  override carry(): number {
    if (this.current === undefined) return super.carry();
    // Condition 2 is C.
    this.code.get(this.condition(2)); this.code.op(Op.i64_extend_i32_u);
    return this.code.keep(I64);
  }

  override condition(number: number): number {
    const { code, current } = this;
    if (current === undefined || number >> 1 === 7) return super.condition(number);
    if (!isChoice(current)) return this.conditionOf(current, number);
    const [whenTrue, whenFalse] = [this.conditionOf(current.whenTrue, number), this.conditionOf(current.whenFalse, number)];
    code.get(whenTrue); code.get(whenFalse); code.get(current.condition); code.op(Op.select);
    return code.keep(I32);
  }

  private conditionOf(current: Plain, number: number): number {
    const { code } = this;
    const base = number >> 1;
    const { kind, a, b } = current;
    if (current.constant !== undefined) {
      code.i32((CONDITIONS[number]! >> current.constant) & 1);
      return code.keep(I32);
    }
    /** By the table, of NZCV computed for it. */
    const looked = (): number => {
      const value = this.settled(current);
      code.i32(CONDITIONS[number]!); code.get(value); code.op(Op.i32_wrap_i64); code.op(Op.i32_shr_u); code.i32(1); code.op(Op.i32_and);
      return code.keep(I32);
    };
    if (kind === Flags.VALUE) return looked();
    const inverted = (number & 1) === 1;
    const narrow = kind === Flags.SUBTRACT32 || kind === Flags.LOGICAL32 || kind === Flags.ADD32;
    /** As a signed number of the operation's width. */
    const signed = (local: number): void => { code.get(local); if (narrow) code.op(Op.i64_extend32_s); };
    const compare = (opcode: number, opposite: number): number => {
      code.op(inverted ? opposite : opcode);
      return code.keep(I32);
    };
    if (kind === Flags.SUBTRACT32 || kind === Flags.SUBTRACT64) {
      switch (base) {
        case 0: code.get(a); code.get(b); return compare(Op.i64_eq, Op.i64_ne);
        case 1: code.get(a); code.get(b); return compare(Op.i64_ge_u, Op.i64_lt_u);
        case 2: code.get(a); code.get(b); code.op(Op.i64_sub); if (narrow) code.op(Op.i64_extend32_s); code.i64(0n); return compare(Op.i64_lt_s, Op.i64_ge_s);
        case 4: code.get(a); code.get(b); return compare(Op.i64_gt_u, Op.i64_le_u);
        case 5: signed(a); signed(b); return compare(Op.i64_ge_s, Op.i64_lt_s);
        case 6: signed(a); signed(b); return compare(Op.i64_gt_s, Op.i64_le_s);
        default: return looked();
      }
    }
    if (kind === Flags.LOGICAL32 || kind === Flags.LOGICAL64) {
      switch (base) {
        case 0: code.get(a); code.i64(0n); return compare(Op.i64_eq, Op.i64_ne);
        case 1: code.i64(0n); code.i64(0n); return compare(Op.i64_ne, Op.i64_eq);
        case 2: signed(a); code.i64(0n); return compare(Op.i64_lt_s, Op.i64_ge_s);
        case 5: signed(a); code.i64(0n); return compare(Op.i64_ge_s, Op.i64_lt_s);
        case 6: signed(a); code.i64(0n); return compare(Op.i64_gt_s, Op.i64_le_s);
        default: return looked();
      }
    }
    if (base > 2) return looked();
    code.get(a); code.get(b); code.op(Op.i64_add);
    if (base === 1) {
      // Beyond the width: both were extended with zeros.
      if (narrow) { code.i64(0xffff_ffffn); return compare(Op.i64_gt_u, Op.i64_le_u); }
      code.get(a);
      return compare(Op.i64_lt_u, Op.i64_ge_u);
    }
    if (narrow) code.op(Op.i64_extend32_s);
    code.i64(0n);
    return base === 0 ? compare(Op.i64_eq, Op.i64_ne) : compare(Op.i64_lt_s, Op.i64_ge_s);
  }

  // ---- memory: what misses the fast path is done by the plain handler ------------------------------------------------------------------------

  protected override entry(array: number, va: number): number {
    const { code } = this;
    code.get(va); code.op(Op.i32_wrap_i64); code.i32(8); code.op(Op.i32_shr_u); code.i32(INDEX_MASK); code.op(Op.i32_and);
    code.get(array === Scratch.READ ? this.readArray : this.writeArray); code.op(Op.i32_add);
    return code.keep(I32);
  }
  /** The plain handler does it unless the entry is that of all `addresses`, or `more` says that they may be accessed all the same. */
  private demand(entry: number, addresses: readonly number[], bytes: Bytes, more: 'mayLoad' | 'mayStore' | undefined): void {
    const { code } = this;
    const all = (push: (address: number) => void): void => {
      for (const [index, address] of addresses.entries()) { push(address); if (index > 0) code.op(Op.i32_and); }
      code.op(Op.i32_eqz);
    };
    all((address) => this.hit(entry, address, bytes));
    code.if();
    this.inner(() => {
      if (more === undefined) this.bail();
      else {
        all((address) => { code.get(entry); code.get(address); code.i32(bytes); code.call(importIndex(more)); });
        this.bailWhen();
      }
    });
    code.end();
  }
  override load(address: number, bytes: Bytes, access: Access): number {
    const { code } = this;
    const entry = this.entry(Scratch.READ, address);
    this.demand(entry, [address], bytes, bytes === 1 || isOrdered(access) ? undefined : 'mayLoad');
    this.linear(entry, address);
    code.access(LOADS[bytes], 0);
    return code.keep(I64);
  }
  override store(address: number, bytes: Bytes, value: number, access: Access): void {
    const { code } = this;
    const entry = this.entry(Scratch.WRITE, address);
    this.demand(entry, [address], bytes, isOrdered(access) ? undefined : 'mayStore');
    this.linear(entry, address); code.get(value); code.access(STORES[bytes], 0);
  }
  override storePair(address: number, bytes: 4 | 8, first: number, second: number, _access: Access): void {
    const { code } = this;
    const entry = this.entry(Scratch.WRITE, address);
    code.get(address); code.i64(BigInt(bytes)); code.op(Op.i64_add);
    this.demand(entry, [address, code.keep(I64)], bytes, 'mayStore');
    this.linear(entry, address); code.get(first); code.access(STORES[bytes], 0);
    this.linear(entry, address); code.get(second); code.access(STORES[bytes], bytes);
  }

  // ---- branches are the last of their block: the block says where they go -----------------------------------------------------------------

  override jump(target: number): void { this.target = this.hold(target); }
  override jumpBy(): void {}
  override jumpWhen(condition: number): void { this.outcome = this.hold(condition); }
}
