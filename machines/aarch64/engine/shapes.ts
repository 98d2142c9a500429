/** The words and shapes met so far by any machine: how each word is decoded; for each shape its number in the table of handlers, and the modules that hold their code. */

import { PAGE_BYTES } from '../../memory/memory.ts';
import { decode, type Decoded } from '../decode.ts';
import { Emitter } from './emitter.ts';
import { FIRST_REGION, FIRST_SHAPE, REFERENCE } from './handler.ts';
import { handlerModule } from './handler-module.ts';
import { OPERANDS_MAX } from './layout.ts';
import { shapeOf, type Shape } from './shape.ts';

/** Words of an entry of PREPARED: an instruction word, and what the record of such an instruction holds. */
export const Part = { WORD: 0, META: 1, DISTANCE: 2, HANDLER: 3, OPERANDS: 4 } as const;
const PARTS = Part.OPERANDS + OPERANDS_MAX;
/** Bits of Part.META: 0 in an entry that is empty. How many operands; it may go elsewhere than to the next; by a distance, in its page or not. */
export const Meta = { OPERANDS: 7, BRANCHES: 8, NEAR: 16, FAR: 32, FILLED: 64 } as const;
const PREPARED_BITS = 17;
/** The words prepared last, by themselves: right whatever is written to memory, and shared by all machines. */
export const PREPARED = new Int32Array(PARTS << PREPARED_BITS);

/** Compiled modules, in the order in which their handlers are numbered: a machine instantiates those it lacks. Caches, the same for all machines. */
export const MODULES: WebAssembly.Module[] = [];

const numbers = new Map<string, number>();
/** Bodies of handlers, by their order, and how many of them are compiled. */
const bodies: Uint8Array[] = [];
let compiled = 0;
/** One past the last handler that has a number; those whose code waits are the reference engine's until then. */
export const numberedEnd = (): number => FIRST_SHAPE + numbers.size;
/** Handlers whose code waits are compiled at once when there are so many: a module costs 100 KiB. */
const BATCH = 48;
export const manyWait = (): boolean => bodies.length - compiled >= BATCH;

/** A word decoded, with its shape where somebody asked. */
interface Known { readonly decoded: Decoded; shape: Shape | undefined }

const KNOWN_BITS = 14;
/** Word 0 in every place: in its own it is what it says. */
const ZERO: Known = { decoded: decode(0), shape: undefined };
const known: Known[] = Array.from({ length: 1 << KNOWN_BITS }, () => ZERO);

const placeOf = (word: number, bits: number): number => Math.imul(word, 0x9e37_79b1) >>> (32 - bits);

function knownOf(word: number): Known {
  const place = placeOf(word, KNOWN_BITS);
  const one = known[place]!;
  return one.decoded.word === word ? one : (known[place] = { decoded: decode(word), shape: undefined });
}

export const decoding = (word: number): Decoded => knownOf(word).decoded;

/** The shape of `word` at the start of a page: elsewhere a branch may be to another page. */
export function shapeOfWord(word: number): Shape {
  const one = knownOf(word);
  return (one.shape ??= shapeOf(one.decoded.semantics, one.decoded.fields, 0));
}

/** Places that an entry of PREPARED may be at. */
const WAYS = 4;

/** Where the entry of PREPARED for `word` is, or is to be. */
function entryFor(word: number): number {
  const place = placeOf(word, PREPARED_BITS);
  for (let way = 0; way < WAYS; way++) {
    const at = PARTS * (place ^ way);
    if (PREPARED[at + Part.WORD] === (word | 0) || (PREPARED[at + Part.META]! & Meta.FILLED) === 0) return at;
  }
  return PARTS * place;
}

/** Where PREPARED has what a record of `word` at `offset` in its page holds. The code of its handler may wait for `compileWaiting`. */
export function prepare(word: number, offset: number): number {
  const at = entryFor(word);
  if (PREPARED[at + Part.WORD] === (word | 0) && (PREPARED[at + Part.META]! & Meta.FILLED) !== 0) {
    const reach = PREPARED[at + Part.META]! & (Meta.NEAR | Meta.FAR);
    if (reach === 0) return at;
    const target = offset + PREPARED[at + Part.DISTANCE]!;
    if ((target >= 0 && target < PAGE_BYTES) === (reach === Meta.NEAR)) return at;
  }
  const decoded = decode(word);
  const shape = shapeOf(decoded.semantics, decoded.fields, offset);
  const { branch, operands } = shape;
  let reach = 0;
  if (branch !== undefined && branch.type !== 'computed') {
    PREPARED[at + Part.DISTANCE] = branch.offset;
    reach = offset + branch.offset >= 0 && offset + branch.offset < PAGE_BYTES ? Meta.NEAR : Meta.FAR;
  }
  PREPARED[at + Part.WORD] = word;
  PREPARED[at + Part.META] = operands.length | (shape.ends || branch !== undefined ? Meta.BRANCHES : 0) | reach | Meta.FILLED;
  PREPARED[at + Part.HANDLER] = handlerOf(decoded, shape, offset);
  PREPARED.set(operands, at + Part.OPERANDS);
  return at;
}

/** The number of the handler of a shape, of which `decoded` at `offset` is one. */
function handlerOf(decoded: Decoded, shape: Shape, offset: number): number {
  if (shape.byReference) return REFERENCE;
  let number = numbers.get(shape.key);
  if (number === undefined) {
    number = FIRST_SHAPE + numbers.size;
    if (number === FIRST_REGION) return REFERENCE;
    const emitter = new Emitter(offset, shape.baked);
    decoded.semantics(emitter, decoded.fields);
    // Both or neither: numbers are places in the modules.
    bodies.push(emitter.finish(shape.ends));
    numbers.set(shape.key, number);
  }
  return number;
}

/** Compiles the code of new shapes into one module. */
export function compileWaiting(): void {
  if (compiled === bodies.length) return;
  MODULES.push(new WebAssembly.Module(handlerModule(bodies.slice(compiled), FIRST_SHAPE + compiled)));
  compiled = bodies.length;
}

/** The shapes that have handlers, by their order: their keys, and the bodies of their handlers. `prepared`: PREPARED. */
export const shapesMade = (): { readonly keys: readonly string[]; readonly bodies: readonly Uint8Array[]; readonly prepared: Int32Array } => ({ keys: [...numbers.keys()], bodies, prepared: PREPARED });

/** Whether no shape has a handler yet. */
export const isFresh = (): boolean => bodies.length === 0;

/** Takes the shapes of an earlier process, where there is none yet; `module` is of their handlers. */
export function adoptShapes(keys: readonly string[], made: readonly Uint8Array[], module: WebAssembly.Module, prepared: Int32Array): void {
  for (const [index, key] of keys.entries()) numbers.set(key, FIRST_SHAPE + index);
  bodies.push(...made);
  compiled = bodies.length;
  MODULES.push(module);
  PREPARED.set(prepared);
}
