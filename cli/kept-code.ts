/**
 * Code of the engines kept between processes, so that a machine that was booted before is fast from the start (docs/decisions/0013-kept-code.md). Files lie beside
 * what Node keeps of our own sources; ZENO_CODE_CACHE names another folder, or `off`. A file that is damaged or older than the engines is as none.
 */

import { createHash } from 'node:crypto';
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { adoptHandlers, KeptCode, type MadeCode } from '../machines/aarch64/engine/kept-code.ts';
import { isFresh } from '../machines/aarch64/engine/shapes.ts';
import { sha256 } from '../scenarios/node.ts';
import { compileEagerly, fromNative, nativeOf } from './native-code.ts';
import { readParts, writeParts, type Parts } from './parts-file.ts';

/** The kept code of a World's machines, and what is to be done with it when their run is over. */
export interface Keeping {
  readonly code: KeptCode;
  /** Writes what is worth it; `insns`: how many instructions the run attempted. What cannot be written is left. */
  keep(insns: number): void;
}

/** V8's code of the two modules of the file with that sum, after a run of `insns` instructions. */
interface Native extends Parts { readonly of: string; readonly insns: number; readonly handlers: Uint8Array; readonly regions: Uint8Array }

/** A run that made fewer regions than this, and than this share of those there were, leaves the file as it is. */
const REGIONS_MIN = 64;
const SHARE_MIN = 1 / 16;
/** A file that would have more is left as it is. */
const REGIONS_MAX = 20_000;
/** V8's code is written anew after a run that was so much longer than that which it is from. */
const LONGER = 1.5;
const NATIVE_INSNS_MIN = 50_000_000;
/** The files used last stay. */
const FILES_MAX = 32;
const KIND = { code: '.code', native: '.native' } as const;

/** What was kept for a machine with these images (their sums); undefined where nothing is to be kept, or can be. */
export async function openKeptCode(images: readonly string[]): Promise<Keeping | undefined> {
  try {
    return await opened(images);
  } catch {
    // A boot goes on without.
    return undefined;
  }
}

async function opened(images: readonly string[]): Promise<Keeping | undefined> {
  const folder = process.env['ZENO_CODE_CACHE'] ?? defaultFolder();
  if (folder === undefined || folder === 'off' || images.length === 0) return undefined;
  const path = join(folder, sha256(Buffer.from([...images, enginesSum()].join(' '))).slice(0, 32));
  const file = readParts(path + KIND.code);
  if (file === undefined) return keeping(path, new KeptCode(), undefined);
  const made = file.parts as unknown as MadeCode;
  const native = nativeFor(path, file.sum);
  const compile = async (bytes: Uint8Array<ArrayBuffer>, kept: Uint8Array | undefined): Promise<WebAssembly.Module> => (kept && fromNative(kept, bytes)) ?? await compileEagerly(bytes);
  const [handlers, regions] = await Promise.all([compile(made.handlers, native?.handlers), compile(made.regions, native?.regions)]);
  // Another machine of this process may have begun.
  const mayAdopt = isFresh();
  if (mayAdopt) adoptHandlers(made, handlers);
  touch(path + KIND.code);
  return keeping(path, new KeptCode(made, regions, mayAdopt), { of: file.sum, handlers, regions }, native?.insns);
}

/** V8 itself does not look whose code it is given: other processes may have written either file meanwhile. */
function nativeFor(path: string, sum: string): Native | undefined {
  const native = readParts(path + KIND.native)?.parts as Native | undefined;
  return native?.of === sum ? native : undefined;
}

/** The modules that were kept, compiled, and the sum of the file that they are from. */
interface Modules { readonly of: string; readonly handlers: WebAssembly.Module; readonly regions: WebAssembly.Module }

/** `nativeInsns`: how long a run V8's code is from, where there is some. */
function keeping(path: string, code: KeptCode, modules: Modules | undefined, nativeInsns = 0): Keeping {
  return {
    code,
    keep(insns) {
      try {
        if (code.madeCount >= Math.max(REGIONS_MIN, SHARE_MIN * code.count)) {
          const made = code.count + code.madeCount > REGIONS_MAX ? undefined : code.all();
          if (made === undefined) return;
          writeParts(path + KIND.code, { ...made });
          rmSync(path + KIND.native, { force: true });
          removeOld(path);
        } else if (modules !== undefined && insns >= Math.max(NATIVE_INSNS_MIN, LONGER * nativeInsns)) {
          const [handlers, regions] = [nativeOf(modules.handlers, code.handlerInUse()), nativeOf(modules.regions, code.regionInUse())];
          if (handlers !== undefined && regions !== undefined) writeParts(path + KIND.native, { of: modules.of, insns, handlers, regions } satisfies Native);
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
  const hash = createHash('sha256').update(`${process.versions.v8} ${process.platform} ${process.arch}`);
  const folder = join(import.meta.dirname, '../machines');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!/^(aarch64|memory|bits)\b.*\.[jt]s$/.test(name)) continue;
    // An editor's lock is a link to nowhere, and sources may go while we look.
    const about = statSync(join(folder, name), { throwIfNoEntry: false });
    if (about !== undefined) hash.update(`${name} ${about.size} ${about.mtimeMs} ${about.ctimeMs};`);
  }
  return hash.digest('hex');
}

function touch(path: string): void {
  try { const now = Date.now() / 1000; utimesSync(path, now, now); } catch { /* read-only: it is not removed either */ }
}

function removeOld(path: string): void {
  const folder = dirname(path);
  const files = readdirSync(folder).filter((name) => name.endsWith(KIND.code)).map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs })).sort((a, b) => b.at - a.at);
  for (const { name } of files.slice(FILES_MAX)) for (const kind of Object.values(KIND)) rmSync(join(folder, name.replace(KIND.code, kind)), { force: true });
}
