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

interface NativeCode {
  /** The optimized code of `module`, as far as there is some by now; `member` is one of its functions. Undefined where there is none. */
  write(module: WebAssembly.Module, member: unknown): Uint8Array | undefined;
  /** The module of `bytes` with that code; undefined where another version, other flags or another processor made it, or for another module. */
  read(native: Uint8Array, bytes: Uint8Array): WebAssembly.Module | undefined;
}

/** V8 keeps such code for browsers, and gives JavaScript no name for it but its own tests'. Undefined in a V8 where we have not seen that work. */
export const nativeCode: NativeCode | undefined = process.versions.v8.startsWith('13.') ? named() : undefined;

function named(): NativeCode | undefined {
  setFlagsFromString('--allow-natives-syntax');
  try {
    // V8 ends the process where no function of the module is optimized: one is, before it is asked.
    const optimize = new Function('member', '%WasmTierUpFunction(member); return %IsTurboFanFunction(member)') as (member: unknown) => boolean;
    const write = new Function('module', 'return %SerializeWasmModule(module)') as (module: WebAssembly.Module) => ArrayBuffer;
    const read = new Function('native', 'bytes', 'return %DeserializeWasmModule(native, bytes)') as (native: ArrayBuffer, bytes: Uint8Array) => WebAssembly.Module | undefined;
    return {
      write: (module, member) => (typeof member === 'function' && optimize(member) ? new Uint8Array(write(module)) : undefined),
      read: (native, bytes) => read(native.slice().buffer as ArrayBuffer, bytes),
    };
  } catch {
    return undefined;
  } finally {
    setFlagsFromString('--no-allow-natives-syntax');
  }
}
