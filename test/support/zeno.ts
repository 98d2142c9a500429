/** The command line as its users have it: spawned, or in this process where only what it says matters, with what it printed and its exit status. */

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../cli/main.ts';

export const ZENO = join(import.meta.dirname, '../../cli/zeno.js');

export interface Spoken { readonly status: number | null; readonly out: string; readonly err: string }

export interface ZenoOptions { readonly cwd?: string; readonly env?: Readonly<Record<string, string>>; readonly node?: string }

/** Runs `zeno WORDS` to its end, as a process. */
export function spawned(words: readonly string[], options: ZenoOptions = {}): Spoken {
  const { status, stdout, stderr } = spawnSync(options.node ?? process.execPath, [ZENO, ...words], { encoding: 'utf8', maxBuffer: 1 << 28, cwd: options.cwd, env: { ...process.env, NO_COLOR: '1', ...options.env } });
  return { status, out: stdout, err: stderr };
}

/** The same in this process: quicker, since its code is warm. One at a time. */
export async function zeno(words: readonly string[]): Promise<Spoken> {
  const [write, writeError, before] = [process.stdout.write, process.stderr.write, process.exitCode];
  let [out, err] = ['', ''];
  process.stdout.write = ((text: string) => { out += text; return true; }) as typeof process.stdout.write;
  process.stderr.write = ((text: string) => { err += text; return true; }) as typeof process.stderr.write;
  process.exitCode = 0;
  try {
    await main(words);
    return { status: Number(process.exitCode), out, err };
  } finally {
    process.stdout.write = write;
    process.stderr.write = writeError;
    process.exitCode = before;
  }
}

/** Its one object. Throws when it prints anything else. */
export const zenoJson = async <Value = Record<string, unknown>>(words: readonly string[]): Promise<Value> => JSON.parse((await zeno([...words, '--json'])).out) as Value;

/** Its objects, one to a line. */
export const zenoLines = async <Value = Record<string, unknown>>(words: readonly string[]): Promise<Value[]> =>
  (await zeno([...words, '--json'])).out.trim().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Value);

/** Starts `zeno WORDS` and sends `signal` when its output has `text`. */
export function zenoInterrupted(words: readonly string[], text: string, signal: NodeJS.Signals): Promise<Spoken> {
  let sent = false;
  return zenoBeside(words, (out, child) => {
    if (sent || !out.includes(text)) return;
    sent = true;
    child.kill(signal);
  });
}

/** Runs `zeno WORDS` to its end as a process, while this one goes on; `look` sees what has been printed so far. */
export function zenoBeside(words: readonly string[], look?: (out: string, child: ChildProcess) => void): Promise<Spoken> {
  const child = spawn(process.execPath, [ZENO, ...words], { env: { ...process.env, NO_COLOR: '1' } });
  let [out, err] = ['', ''];
  child.stderr.on('data', (chunk: Buffer) => { err += chunk.toString(); });
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
    look?.(out, child);
  });
  return new Promise((resolve) => { child.on('close', (status) => { resolve({ status, out, err }); }); });
}

/** A directory that goes away with the process. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'zeno-'));
  process.on('exit', () => { rmSync(directory, { recursive: true, force: true }); });
  return directory;
}

/** Writes files into `directory`: gives their paths. */
export const fileIn = (directory: string) => (name: string, bytes: Uint8Array | string): string => {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
};
