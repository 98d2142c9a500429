/** Runs: handlers that execute some instructions of the interpreter one behind the other, each by the operands of its own record, without going through the table between them. */

import { PAGE_BYTES, RECORD_BYTES } from '../../memory/memory.ts';
import type { Decoded } from '../decode.ts';
import type { Access, Bytes } from '../memory-access.ts';
import { Emitter } from './emitter.ts';
import { count, dispatch, Ending, FIRST_SHAPE, Local, next, REFERENCE } from './handler.ts';
import { PLAIN } from './layout.ts';
import type { Shape } from './shape.ts';
import { decoding, shapeOfWord } from './shapes.ts';
import { Op } from './wasm/code.ts';

/** A run has no more instructions, nor builder operations. */
const INSTRUCTIONS_MAX = 16;
const OPERATIONS_MAX = 400;
/** Instructions looked at from where the code is hot. */
const DISTANCE_MAX = 64;

/** Offsets in the page: of the first instruction, and behind the last. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly body: Uint8Array;
}

interface Fused { readonly decoded: Decoded; readonly shape: Shape; readonly offset: number }

/**
 * The runs of the instructions from `entry` of a page on, up to one behind which nothing is known to be executed, one that is not decoded, or one that has a
 * run already. `word` and `plain` give the instruction words and handlers by offset.
 */
export function runsFrom(entry: number, word: (offset: number) => number, plain: (offset: number) => number, known: (offset: number) => boolean): readonly Run[] {
  const runs: Run[] = [];
  let run: Fused[] = [];
  let operations = 0;
  const close = (): void => {
    if (run.length > 1) runs.push({ start: run[0]!.offset, end: run.at(-1)!.offset + 4, body: new Fuser(run).body() });
    run = [];
    operations = 0;
  };
  const limit = Math.min(PAGE_BYTES, entry + 4 * DISTANCE_MAX);
  for (let offset = entry; offset < limit; offset += 4) {
    // Before the first of the handlers of instructions: not decoded, or the reference engine's.
    if (plain(offset) < FIRST_SHAPE) {
      close();
      if (plain(offset) !== REFERENCE) break;
      continue;
    }
    if (known(offset)) break;
    const decoded = decoding(word(offset));
    const shape = shapeOfWord(word(offset));
    if (run.length === INSTRUCTIONS_MAX || operations + shape.operations > OPERATIONS_MAX) close();
    run.push({ decoded, shape, offset });
    operations += shape.operations;
    if (shape.ends) break;
  }
  close();
  return runs;
}

class Fuser extends Emitter {
  private readonly run: readonly Fused[];
  /** Whether the instruction in hand stores by what may cut the budget. */
  private stored = false;

  constructor(run: readonly Fused[]) {
    super(run[0]!.offset, run[0]!.shape.baked);
    this.run = run;
  }

  body(): Uint8Array {
    const { code, run } = this;
    // One by one where the budget may run out within: it is looked at only behind stores, which may have it cut.
    code.get(Local.BUDGET); code.i32(run.length); code.op(Op.i32_lt_u);
    code.if(); dispatch(code, PLAIN); code.end();
    for (const [index, { decoded, shape, offset }] of run.entries()) {
      this.start(offset, shape.baked);
      this.stored = false;
      decoded.semantics(this, decoded.fields);
      if (shape.ends) break;
      if (index === run.length - 1) { next(code); break; }
      code.get(Local.RECORD); code.i32(RECORD_BYTES); code.op(Op.i32_add); code.set(Local.RECORD);
      if (this.stored) count(code, Ending.RECORD);
      else { code.get(Local.BUDGET); code.i32(1); code.op(Op.i32_sub); code.set(Local.BUDGET); }
    }
    return code.finish();
  }

  override store(address: number, bytes: Bytes, value: number, access: Access): void {
    this.stored = true;
    super.store(address, bytes, value, access);
  }
  override storePair(address: number, bytes: 4 | 8, first: number, second: number, access: Access): void {
    this.stored = true;
    super.storePair(address, bytes, first, second, access);
  }
  override storeVector(address: number, value: number, access: Access): void {
    this.stored = true;
    super.storeVector(address, value, access);
  }
}
