/** Compiled WebAssembly as V8 has it: compiled whole, written as bytes, and read again. */

import { setFlagsFromString } from 'node:v8';

/** All functions, by the quick compiler, on V8's own threads: one by one when first called, they would have the machine wait. */
export async function compileEagerly(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  setFlagsFromString('--no-wasm-lazy-compilation');
  const compiling = WebAssembly.compile(bytes);
  setFlagsFromString('--wasm-lazy-compilation');
  // Node ends while V8 compiles, if nothing else is to be done.
  const awake = setInterval(() => {}, 1000);
  try { return await compiling; } finally { clearInterval(awake); }
}

/** Whether this V8 is one in which we have seen the rest work. It keeps such code for browsers, and gives JavaScript no name for it but its own tests'. */
const isKnown = process.versions.v8.startsWith('13.');

/** The optimized code of `module`, as far as there is some by now; `member` is one of its functions. Undefined where there is none, or no way to get at it. */
export function nativeOf(module: WebAssembly.Module, member: unknown): Uint8Array | undefined {
  // V8 ends the process where no function of the module is optimized: one is, before it is asked.
  if (!isKnown || typeof member !== 'function' || natively('%WasmTierUpFunction(first); return %IsTurboFanFunction(first)', member) !== true) return undefined;
  const code = natively('return %SerializeWasmModule(first)', module);
  return code instanceof ArrayBuffer ? new Uint8Array(code) : undefined;
}

/** The module of `bytes` with code that `nativeOf` gave of the same one; undefined where another version, other flags or another processor made it. */
export function fromNative(native: Uint8Array, bytes: Uint8Array): WebAssembly.Module | undefined {
  const module = isKnown ? natively('return %DeserializeWasmModule(first, second)', native.slice().buffer, bytes) : undefined;
  return module instanceof WebAssembly.Module ? module : undefined;
}

/** What `body` returns, in which V8's own functions have names; undefined where they have not. V8 compiles it when it is called, and forgets it when it is old. */
function natively(body: string, first: unknown, second?: unknown): unknown {
  setFlagsFromString('--allow-natives-syntax');
  try {
    return (new Function('first', 'second', body) as (first: unknown, second: unknown) => unknown)(first, second);
  } catch {
    return undefined;
  } finally {
    setFlagsFromString('--no-allow-natives-syntax');
  }
}
