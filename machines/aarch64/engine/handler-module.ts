/** Modules of handlers: functions that put themselves into the table of handlers. */

import { HANDLER, IMPORTS, SIGNATURES } from './handler.ts';
import { moduleBytes } from './wasm/module.ts';

/** The module of handlers with `bodies`, numbered from `numbers` on, or one by one as it says. The bodies are its end. */
export function handlerModule(bodies: readonly Uint8Array[], numbers: number | readonly number[]): Uint8Array<ArrayBuffer> {
  const functions = bodies.map((_, index) => IMPORTS.length + index);
  const elements = typeof numbers === 'number' ? [{ start: numbers, functions }] : functions.map((one, index) => ({ start: numbers[index]!, functions: [one] }));
  return moduleBytes({ types: SIGNATURES, tableType: HANDLER, imports: IMPORTS, functions: bodies.map((body) => ({ type: HANDLER, body })), elements });
}
