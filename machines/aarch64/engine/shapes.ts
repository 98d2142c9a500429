/** The words and shapes met so far by any machine: how each word is decoded; for each shape its number in the table of handlers, and the modules that hold their code. */

import { decode, type Decoded } from '../decode.ts';
import { Emitter } from './emitter.ts';
import { FIRST_REGION, FIRST_SHAPE, HANDLER, IMPORTS, REFERENCE, SIGNATURES } from './handler.ts';
import { shapeOf, type Shape } from './shape.ts';
import { moduleBytes, type DefinedFunction } from './wasm/module.ts';

/** An instruction ready for a record. */
export interface Prepared {
  readonly handler: number;
  readonly operands: readonly number[];
  /** It may go elsewhere than to the next. */
  readonly branches: boolean;
}

/** Compiled modules, in the order in which their handlers are numbered: a machine instantiates those it lacks. Caches, the same for all machines. */
export const MODULES: WebAssembly.Module[] = [];
/** One past the last handler that a module of MODULES holds. */
let handlersEnd = FIRST_SHAPE;

const numbers = new Map<string, number>();
const waiting: DefinedFunction[] = [];
/** One past the last handler that has a number; those whose code waits are the reference engine's until then. */
export const numberedEnd = (): number => FIRST_SHAPE + numbers.size;
/** Handlers whose code waits are compiled at once when there are so many: a module costs 100 KiB. */
const BATCH = 48;
export const manyWait = (): boolean => waiting.length >= BATCH;

/** A word decoded, with what the engines know of it. */
interface Known {
  readonly decoded: Decoded;
  shape: Shape | undefined;
  prepared: Prepared | undefined;
}

const KNOWN_BITS = 14;
/** Words by themselves: right whatever is written to memory, and shared by all machines. */
const known: Known[] = Array.from({ length: 1 << KNOWN_BITS }, () => ({ decoded: decode(0), shape: undefined, prepared: undefined }));

function knownOf(word: number): Known {
  const index = Math.imul(word, 0x9e37_79b1) >>> (32 - KNOWN_BITS);
  const one = known[index]!;
  return one.decoded.word === word ? one : (known[index] = { decoded: decode(word), shape: undefined, prepared: undefined });
}

export const decoding = (word: number): Decoded => knownOf(word).decoded;

/** The shape of `word` at the start of a page: elsewhere a branch may be to another page. */
export function shapeOfWord(word: number): Shape {
  const one = knownOf(word);
  return (one.shape ??= shapeOf(one.decoded.semantics, one.decoded.fields, 0));
}

/** The handler and operands of `word` at `offset` in its page. Its code may wait for `compileWaiting`. */
export function prepare(word: number, offset: number): Prepared {
  const one = knownOf(word);
  if (one.prepared !== undefined) return one.prepared;
  const shape = shapeOfWord(word);
  if (shape.branch === undefined || shape.branch.type === 'computed') return (one.prepared = prepared(one.decoded, shape, offset));
  return prepared(one.decoded, offset === 0 ? shape : shapeOf(one.decoded.semantics, one.decoded.fields, offset), offset);
}

function prepared(decoded: Decoded, shape: Shape, offset: number): Prepared {
  const branches = shape.ends || shape.branch !== undefined;
  if (shape.byReference) return { handler: REFERENCE, operands: [], branches };
  let number = numbers.get(shape.key);
  if (number === undefined) {
    number = FIRST_SHAPE + numbers.size;
    if (number === FIRST_REGION) return { handler: REFERENCE, operands: [], branches };
    const emitter = new Emitter(offset, shape.baked);
    decoded.semantics(emitter, decoded.fields);
    // Both or neither: numbers are places in the modules.
    waiting.push({ type: HANDLER, body: emitter.finish(shape.ends) });
    numbers.set(shape.key, number);
  }
  return { handler: number, operands: shape.operands, branches };
}

/** Compiles the code of new shapes into one module. */
export function compileWaiting(): void {
  if (waiting.length === 0) return;
  const functions = waiting.map((_, index) => IMPORTS.length + index);
  MODULES.push(new WebAssembly.Module(moduleBytes({ types: SIGNATURES, tableType: HANDLER, imports: IMPORTS, functions: waiting, elements: { start: handlersEnd, functions } })));
  handlersEnd += waiting.length;
  waiting.length = 0;
}
