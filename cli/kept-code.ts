/**
 * Code of the engines kept between processes, so that a machine that was booted before is fast from the start (docs/decisions/0013-kept-code.md). Files lie beside
 * what Node keeps of our own sources; ZENO_CODE_CACHE names another folder, or `off`. A file that is damaged or older than the engines is as none.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { adoptHandlers, KeptCode, type MadeCode } from '../machines/aarch64/engine/kept-code.ts';
import { isFresh } from '../machines/aarch64/engine/shapes.ts';
import { sha256 } from '../scenarios/node.ts';

/** The kept code of one machine, and what is to be done with it when its run is over. */
export interface Keeping {
  readonly code: KeptCode;
  /** Writes what is worth it; `insns`: how many instructions the run attempted. What cannot be written is left. */
  keep(insns: number): void;
}

/** V8's code of the two modules, after a run of `insns` instructions. */
interface Native extends Parts { readonly insns: number; readonly handlers: Uint8Array; readonly regions: Uint8Array }

/** A run that made fewer regions than this, and than this share of those there were, leaves the file as it is. */
const REGIONS_MIN = 64;
const SHARE_MIN = 1 / 16;
/** V8's code is written anew after a run that was so much longer than that which it is from. */
const LONGER = 1.5;
const NATIVE_INSNS_MIN = 50_000_000;
/** The files used last stay. */
const FILES_MAX = 32;
const KIND = { code: '.code', native: '.native' } as const;
const SUM_BYTES = 32;

/** What was kept for a machine with these images (their sums); undefined where nothing is to be kept. */
export async function openKeptCode(images: readonly string[]): Promise<Keeping | undefined> {
  const folder = process.env['ZENO_CODE_CACHE'] ?? defaultFolder();
  if (folder === undefined || folder === 'off' || images.length === 0) return undefined;
  const path = join(folder, sha256(Buffer.from([...images, enginesSum()].join(' '))).slice(0, 32));
  const made = readParts(path + KIND.code) as MadeCode | undefined;
  if (made === undefined) return keeping(path, new KeptCode(), undefined);
  const native = nativeCode === undefined ? undefined : readParts(path + KIND.native) as Native | undefined;
  const compile = async (bytes: Uint8Array<ArrayBuffer>, kept: Uint8Array | undefined): Promise<WebAssembly.Module> => (kept && nativeCode!.read(kept, bytes)) ?? await compileEagerly(bytes);
  const [handlers, regions] = await whileAwake(Promise.all([compile(made.handlers, native?.handlers), compile(made.regions, native?.regions)]));
  // Another machine of this process may have begun.
  const mayAdopt = isFresh();
  if (mayAdopt) adoptHandlers(made, handlers);
  touch(path + KIND.code);
  return keeping(path, new KeptCode(made, regions, mayAdopt), { handlers, regions }, native?.insns);
}

/** `nativeInsns`: how long a run V8's code is from, where there is some. */
function keeping(path: string, code: KeptCode, modules: Readonly<Record<'handlers' | 'regions', WebAssembly.Module>> | undefined, nativeInsns = 0): Keeping {
  return {
    code,
    keep(insns) {
      try {
        if (code.madeCount >= Math.max(REGIONS_MIN, SHARE_MIN * code.count)) {
          const made = code.all();
          if (made === undefined) return;
          writeParts(path + KIND.code, { ...made });
          rmSync(path + KIND.native, { force: true });
          removeOld(path);
        } else if (nativeCode !== undefined && modules !== undefined && insns >= Math.max(NATIVE_INSNS_MIN, LONGER * nativeInsns)) {
          writeParts(path + KIND.native, { insns, handlers: nativeCode.write(modules.handlers), regions: nativeCode.write(modules.regions) } satisfies Native);
        }
      } catch { /* the next run makes it anew */ }
    },
  };
}

/** In a checkout, where Node keeps compiled sources too. */
function defaultFolder(): string | undefined {
  return import.meta.url.endsWith('.ts') ? join(import.meta.dirname, '../node_modules/.cache/zeno/code') : undefined;
}

/** Changes when any source of the engines does, or this build is another: by the files' sizes and times. */
function enginesSum(): string {
  const hash = createHash('sha256').update(process.versions.v8);
  const folder = join(import.meta.dirname, '../machines');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!/^(aarch64|memory|bits)\b.*\.[jt]s$/.test(name)) continue;
    const { size, mtimeMs, ctimeMs } = statSync(join(folder, name));
    hash.update(`${name} ${size} ${mtimeMs} ${ctimeMs};`);
  }
  return hash.digest('hex');
}

// ---- files: a sum of all that follows; what the parts are, as JSON, and its length before it; the parts, each aligned, so that they can be used where they are ------

type Parts = Readonly<Record<string, Uint8Array | Int32Array | Uint32Array | readonly string[] | number>>;
type Part = readonly [name: string, type: keyof typeof TYPES, bytes: number] | readonly [name: string, value: readonly string[] | number];
const TYPES = { Uint8Array, Int32Array, Uint32Array } as const;
const ALIGNMENT = 8;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const sumOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

function readParts(path: string): Parts | undefined {
  try {
    const { buffer, byteOffset, length } = readFileSync(path);
    const file = byteOffset % ALIGNMENT === 0 ? new Uint8Array(buffer, byteOffset, length) : new Uint8Array(buffer.slice(byteOffset, byteOffset + length));
    if (!sumOf(file.subarray(SUM_BYTES)).equals(file.subarray(0, SUM_BYTES))) return undefined;
    const headBytes = new DataView(file.buffer, file.byteOffset).getUint32(SUM_BYTES, true);
    const head = JSON.parse(Buffer.from(file.subarray(SUM_BYTES + 4, SUM_BYTES + 4 + headBytes)).toString()) as readonly Part[];
    let at = aligned(SUM_BYTES + 4 + headBytes);
    return Object.fromEntries(head.map(([name, type, bytes]) => {
      if (bytes === undefined) return [name, type];
      const from = at;
      at = aligned(at + bytes);
      const Type = TYPES[type as keyof typeof TYPES];
      return [name, new Type(file.buffer as ArrayBuffer, file.byteOffset + from, bytes / Type.BYTES_PER_ELEMENT)];
    })) as Parts;
  } catch {
    return undefined;
  }
}

/** By renaming, so that others that read or write it see it whole. */
function writeParts(path: string, parts: Parts): void {
  const head = Buffer.from(JSON.stringify(Object.entries(parts).map(([name, value]) => (ArrayBuffer.isView(value) ? [name, value.constructor.name, value.byteLength] : [name, value]))));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  const chunks: Uint8Array[] = [length, head];
  let bytes = SUM_BYTES + 4 + head.length;
  for (const value of Object.values(parts)) {
    if (!ArrayBuffer.isView(value)) continue;
    chunks.push(Buffer.alloc(aligned(bytes) - bytes), new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    bytes = aligned(bytes) + value.byteLength;
  }
  const rest = Buffer.concat(chunks);
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, Buffer.concat([sumOf(rest), rest]));
  renameSync(temporary, path);
}

function touch(path: string): void {
  try { const now = Date.now() / 1000; utimesSync(path, now, now); } catch { /* read-only: it is not removed either */ }
}

function removeOld(path: string): void {
  const folder = dirname(path);
  const files = readdirSync(folder).filter((name) => name.endsWith(KIND.code)).map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs })).sort((a, b) => b.at - a.at);
  for (const { name } of files.slice(FILES_MAX)) for (const kind of Object.values(KIND)) rmSync(join(folder, name.replace(KIND.code, kind)), { force: true });
}

// ---- V8 ---------------------------------------------------------------------------------------------------------------------------------------

/** All functions, by the quick compiler, on V8's own threads: one by one when first called, they would have the machine wait. */
function compileEagerly(bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  setFlagsFromString('--no-wasm-lazy-compilation');
  try { return WebAssembly.compile(bytes); } finally { setFlagsFromString('--wasm-lazy-compilation'); }
}

/** Node ends while V8 compiles, if nothing else is to be done. */
async function whileAwake<Result>(work: Promise<Result>): Promise<Result> {
  const awake = setInterval(() => {}, 1000);
  try { return await work; } finally { clearInterval(awake); }
}

/** V8 keeps optimized code for browsers and gives JavaScript no name for it but its tests'. It refuses what another version, other flags or another processor made. */
const nativeCode = ((): { write(module: WebAssembly.Module): Uint8Array; read(native: Uint8Array, bytes: Uint8Array): WebAssembly.Module | undefined } | undefined => {
  if (!process.versions.v8.startsWith('13.')) return undefined;
  setFlagsFromString('--allow-natives-syntax');
  try {
    const write = new Function('module', 'return %SerializeWasmModule(module)') as (module: WebAssembly.Module) => ArrayBuffer;
    const read = new Function('native', 'bytes', 'return %DeserializeWasmModule(native, bytes)') as (native: ArrayBuffer, bytes: Uint8Array) => WebAssembly.Module | undefined;
    return { write: (module) => new Uint8Array(write(module)), read: (native, bytes) => read(native.slice().buffer as ArrayBuffer, bytes) };
  } catch {
    return undefined;
  } finally {
    setFlagsFromString('--no-allow-natives-syntax');
  }
})();
