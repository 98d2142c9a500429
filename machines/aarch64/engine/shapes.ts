/** Every shape met so far by any machine, with its number in the table of handlers, and the modules that hold their code. */

import { decode, type Decoded } from '../decode.ts';
import { Emitter } from './emitter.ts';
import { FIRST_REGION, FIRST_SHAPE, HANDLER, IMPORTS, REFERENCE, SIGNATURES } from './handler.ts';
import { shapeOf } from './shape.ts';
import { moduleBytes, type DefinedFunction } from './wasm/module.ts';

/** An instruction ready for a record. */
export interface Prepared {
  readonly handler: number;
  readonly operands: readonly number[];
  readonly ends: boolean;
}

/** Compiled modules, in the order in which their handlers are numbered: a machine instantiates those it lacks. Caches, the same for all machines. */
export const MODULES: WebAssembly.Module[] = [];
/** One past the last handler that a module of MODULES holds. */
export let handlersEnd = FIRST_SHAPE;

const numbers = new Map<string, number>();
const waiting: DefinedFunction[] = [];

/** The handler and operands of `word` at `offset` in its page. Its code may wait for `compileWaiting`. */
export function prepare(word: number, offset: number): Prepared {
  const decoded: Decoded = decode(word);
  const shape = shapeOf(decoded.semantics, decoded.fields, offset);
  if (shape.byReference) return { handler: REFERENCE, operands: [], ends: shape.ends };
  let number = numbers.get(shape.key);
  if (number === undefined) {
    number = FIRST_SHAPE + numbers.size;
    if (number === FIRST_REGION) return { handler: REFERENCE, operands: [], ends: shape.ends };
    const emitter = new Emitter(offset, shape.baked);
    decoded.semantics(emitter, decoded.fields);
    // Both or neither: numbers are places in the modules.
    waiting.push({ type: HANDLER, body: emitter.finish(shape.ends) });
    numbers.set(shape.key, number);
  }
  return { handler: number, operands: shape.operands, ends: shape.ends };
}

/** Compiles the code of new shapes into one module. */
export function compileWaiting(): void {
  if (waiting.length === 0) return;
  const functions = waiting.map((_, index) => IMPORTS.length + index);
  MODULES.push(new WebAssembly.Module(moduleBytes({ types: SIGNATURES, tableType: HANDLER, imports: IMPORTS, functions: waiting, elements: { start: handlersEnd, functions } })));
  handlersEnd += waiting.length;
  waiting.length = 0;
}
