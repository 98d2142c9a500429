/** The control flow of a region: the instructions that one entry reaches within its page, as basic blocks, and in what order and nesting they are emitted. */

import { PAGE_BYTES } from '../../memory/memory.ts';
import type { Decoded } from '../decode.ts';
import type { Branch } from './shape.ts';
import { decoding, shapeOfWord } from './shapes.ts';

/** A region takes no more instructions once it has so many, or so many operations: each has some locals, of which V8 allows a function 50,000. */
const INSTRUCTIONS_MAX = 100;
const OPERATIONS_MAX = 1000;

export interface Block {
  /** Offsets in the page: of the first instruction, and behind the last. */
  readonly start: number;
  readonly end: number;
  readonly instructions: readonly Decoded[];
  /** How it goes on: by its last instruction, to the next block, or by leaving to the plain handler at `end`. */
  readonly exit:
    | { readonly type: 'when'; readonly taken: number; readonly next: number }
    | { readonly type: 'to'; readonly target: number }
    /** A branch out of the region by a constant: to another page, or a call. */
    | { readonly type: 'out'; readonly offset: number }
    | { readonly type: 'out-when'; readonly offset: number; readonly next: number }
    | { readonly type: 'computed' }
    | { readonly type: 'leave' };
}

export interface Flow {
  readonly blocks: ReadonlyMap<number, Block>;
  /** Blocks in reverse postorder, by their starts. */
  readonly order: readonly number[];
  readonly place: ReadonlyMap<number, number>;
  /** Blocks that the block immediately dominates. */
  readonly children: ReadonlyMap<number, readonly number[]>;
  /** Blocks that several forward edges reach: they are emitted behind a WebAssembly block. */
  readonly merges: ReadonlySet<number>;
  readonly loops: ReadonlySet<number>;
  /** Whether any instruction sets NZCV. */
  readonly setsFlags: boolean;
  /** Whether `target` dominates `source`. */
  dominates(target: number, source: number): boolean;
  /** The only block that goes to it, where there is one. */
  readonly single: ReadonlyMap<number, number>;
}

interface Seen { readonly decoded: Decoded; readonly kind: 'plain' | 'reference' | 'branch'; readonly setsFlags: boolean; readonly operations: number; readonly exit: Block['exit'] | undefined }

/**
 * The flow from the instruction at `entry` of a page; `word` gives its instruction words by offset, and `executed` whether the one that a branch goes to was ever
 * executed: what was not is no part of it. Undefined where the entry is the reference engine's.
 */
export function flowOf(entry: number, word: (offset: number) => number, executed: (offset: number) => boolean): Flow | undefined {
  const seen = new Map<number, Seen>();
  const leaders = new Set<number>([entry]);
  const work = [entry];
  let operations = 0;
  while (work.length > 0) {
    let at = work.pop()!;
    while (at < PAGE_BYTES && !seen.has(at) && seen.size < INSTRUCTIONS_MAX && operations < OPERATIONS_MAX) {
      const one = look(word(at), at);
      seen.set(at, one);
      operations += one.operations;
      if (one.exit === undefined) { at += 4; continue; }
      for (const target of insideTargets(one.exit)) {
        if (target >= PAGE_BYTES || !executed(target)) continue;
        leaders.add(target);
        work.push(target);
      }
      break;
    }
  }
  if (seen.get(entry)!.kind === 'reference') return undefined;
  const blocks = new Map<number, Block>();
  for (const start of [...leaders].sort((a, b) => a - b)) {
    const block = blockAt(start, seen, leaders);
    if (block !== undefined) blocks.set(start, block);
  }
  return { ...arrange(entry, blocks), setsFlags: [...seen.values()].some((one) => one.setsFlags) };
}

function look(word: number, at: number): Seen {
  const decoded = decoding(word);
  const { translatable, branch, setsFlags, operations } = shapeOfWord(word);
  if (!translatable) return { decoded, kind: 'reference', setsFlags: false, operations: 0, exit: { type: 'leave' } };
  if (branch === undefined) return { decoded, kind: 'plain', setsFlags, operations, exit: undefined };
  return { decoded, kind: 'branch', setsFlags, operations, exit: exitOf(decoded, branch, at) };
}

function exitOf(decoded: Decoded, branch: Branch, at: number): Block['exit'] {
  if (branch.type === 'computed') return { type: 'computed' };
  const target = at + branch.offset;
  const near = target >= 0 && target < PAGE_BYTES;
  if (branch.type === 'when') return near ? { type: 'when', taken: target, next: at + 4 } : { type: 'out-when', offset: branch.offset, next: at + 4 };
  // What is called is likely to be called from elsewhere too: it is another region's.
  return !near || decoded.row?.name === 'BL' ? { type: 'out', offset: branch.offset } : { type: 'to', target };
}

/** Where the region goes on. */
const insideTargets = (exit: Block['exit']): readonly number[] =>
  exit.type === 'when' ? [exit.next, exit.taken] : exit.type === 'out-when' ? [exit.next] : exit.type === 'to' ? [exit.target] : [];

function blockAt(start: number, seen: ReadonlyMap<number, Seen>, leaders: ReadonlySet<number>): Block | undefined {
  const instructions: Decoded[] = [];
  let at = start;
  for (;;) {
    const one = seen.get(at);
    if (one === undefined || one.kind === 'reference') return instructions.length === 0 ? undefined : { start, end: at, instructions, exit: { type: 'leave' } };
    instructions.push(one.decoded);
    if (one.exit !== undefined) return { start, end: at + 4, instructions, exit: one.exit };
    at += 4;
    if (leaders.has(at)) return { start, end: at, instructions, exit: { type: 'to', target: at } };
  }
}

const successors = (block: Block, blocks: ReadonlyMap<number, Block>): readonly number[] => insideTargets(block.exit).filter((target) => blocks.has(target));

/** Reverse postorder, dominators (Cooper, Harvey and Kennedy 2001), loops and merges. */
function arrange(entry: number, blocks: ReadonlyMap<number, Block>): Omit<Flow, 'setsFlags'> {
  const order: number[] = [];
  const visited = new Set<number>([entry]);
  const stack: { readonly at: number; readonly targets: readonly number[]; index: number }[] = [{ at: entry, targets: successors(blocks.get(entry)!, blocks), index: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const target = top.targets[top.index++];
    if (target === undefined) {
      order.push(top.at);
      stack.pop();
    } else if (!visited.has(target)) {
      visited.add(target);
      stack.push({ at: target, targets: successors(blocks.get(target)!, blocks), index: 0 });
    }
  }
  order.reverse();
  const place = new Map(order.map((at, index) => [at, index]));
  const predecessors = new Map<number, number[]>(order.map((at) => [at, []]));
  for (const at of order) for (const target of successors(blocks.get(at)!, blocks)) predecessors.get(target)!.push(at);

  const parent = new Map<number, number>([[entry, entry]]);
  const meet = (a: number, b: number): number => {
    let [one, other] = [a, b];
    while (one !== other) {
      while (place.get(one)! > place.get(other)!) one = parent.get(one)!;
      while (place.get(other)! > place.get(one)!) other = parent.get(other)!;
    }
    return one;
  };
  for (let changed = true; changed;) {
    changed = false;
    for (const at of order) {
      if (at === entry) continue;
      const known = predecessors.get(at)!.filter((each) => parent.has(each));
      const dominator = known.reduce(meet);
      if (parent.get(at) !== dominator) {
        parent.set(at, dominator);
        changed = true;
      }
    }
  }
  const dominates = (target: number, source: number): boolean => {
    for (let at = source; ; at = parent.get(at)!) {
      if (at === target) return true;
      if (at === entry) return false;
    }
  };
  const children = new Map<number, number[]>(order.map((at) => [at, []]));
  const merges = new Set<number>();
  const loops = new Set<number>();
  const single = new Map<number, number>();
  for (const at of order) {
    if (at !== entry) children.get(parent.get(at)!)!.push(at);
    const from = predecessors.get(at)!;
    if (from.filter((source) => place.get(source)! < place.get(at)!).length > 1) merges.add(at);
    if (from.some((source) => place.get(source)! >= place.get(at)! && dominates(at, source))) loops.add(at);
    if (from.length === 1 && at !== entry) single.set(at, from[0]!);
  }
  return { blocks, order, place, children, merges, loops, dominates, single };
}
