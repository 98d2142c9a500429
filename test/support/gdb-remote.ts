/** A client of the gdb remote protocol, and a QEMU system emulator that serves it: stopped, stepped, and asked for its registers. */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const QEMU_SYSTEM = ['/usr/bin/qemu-system-aarch64', '/usr/local/bin/qemu-system-aarch64'].find((path) => existsSync(path));

export interface Gdb {
  /** Sends a packet and gives the answer's text. Throws when QEMU is gone. */
  ask(packet: string): string;
  close(): void;
}

/**
 * Starts QEMU, stopped, with `args`, and connects. Packets go through two named pipes and are waited for: half the time of a socket, and
 * no other part of the program runs between a step and its answer. After `secondsMax` QEMU is ended, since one that waits for an interrupt never answers. Throws when
 * QEMU does not come up.
 */
export function startQemu(args: readonly string[], secondsMax: number): Gdb {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-gdb-'));
  const path = join(folder, 'gdb');
  execFileSync('mkfifo', [`${path}.in`, `${path}.out`]);
  const errors = openSync(join(folder, 'errors'), 'w');
  const child = spawn('timeout', ['--signal=KILL', String(secondsMax), QEMU_SYSTEM!, '-S', '-chardev', `pipe,id=gdb,path=${path}`, '-gdb', 'chardev:gdb', ...args], { stdio: ['ignore', 'ignore', errors] });
  closeSync(errors);
  child.on('error', () => {});
  const said = (): string => readFileSync(join(folder, 'errors'), 'utf8');
  const input = openWhenServed(`${path}.out`, child, said);
  const output = openSync(`${path}.in`, constants.O_WRONLY);
  const gdb = client(input, output, said, () => {
    // `timeout` passes it on.
    child.kill('SIGTERM');
    rmSync(folder, { recursive: true, force: true });
  });
  gdb.ask('qSupported');
  // Acknowledgements cost a write each.
  gdb.ask('QStartNoAckMode');
  gdb.acknowledge = false;
  return gdb;
}

/** The reading end, opened once QEMU has the writing one: an end of file then says that QEMU is gone. */
function openWhenServed(path: string, child: ChildProcess, said: () => string): number {
  const probe = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const byte = Buffer.alloc(1);
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    try {
      if (readSync(probe, byte, 0, 1, null) > 0) break;
    } catch {
      // Nothing to read yet from a writer that is there.
      const input = openSync(path, constants.O_RDONLY);
      closeSync(probe);
      return input;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
  closeSync(probe);
  child.kill('SIGTERM');
  throw new Error(`QEMU did not open its gdb port: ${said()}`);
}

function client(input: number, output: number, said: () => string, end: () => void): Gdb & { acknowledge: boolean } {
  const buffer = Buffer.alloc(1 << 20);
  let from = 0, to = 0;
  const gdb = {
    acknowledge: true,
    ask(packet: string): string {
      writeSync(output, `$${packet}#${checksum(packet)}`);
      for (;;) {
        const start = buffer.indexOf(DOLLAR, from);
        const hash = start < 0 || start >= to ? -1 : buffer.indexOf(HASH, start);
        if (hash >= 0 && hash + 2 < to) {
          const text = buffer.toString('latin1', start + 1, hash);
          from = hash + 3;
          if (from === to) from = to = 0;
          if (gdb.acknowledge) writeSync(output, '+');
          return text.includes('*') || text.includes('}') ? expanded(text) : text;
        }
        if (to === buffer.length) throw new Error('an answer is longer than the buffer');
        const count = readSync(input, buffer, to, buffer.length - to, null);
        if (count === 0) throw new Error(`QEMU is gone: ${said()}`);
        to += count;
      }
    },
    close(): void {
      end();
      closeSync(input);
      closeSync(output);
    },
  };
  return gdb;
}

const DOLLAR = 0x24, HASH = 0x23;

function checksum(packet: string): string {
  let sum = 0;
  for (let at = 0; at < packet.length; at += 1) sum = (sum + packet.charCodeAt(at)) & 255;
  return sum.toString(16).padStart(2, '0');
}

/** Undoes run lengths (`x*` and a count) and escapes (`}`). */
function expanded(text: string): string {
  let result = '';
  for (let at = 0; at < text.length; at += 1) {
    const one = text[at]!;
    if (one === '*') result += result.at(-1)!.repeat(text.charCodeAt(++at) - 29);
    else if (one === '}') result += String.fromCharCode(text.charCodeAt(++at) ^ 0x20);
    else result += one;
  }
  return result;
}

/** An object that is transferred in parts: `features`, `target.xml`. */
export function transfer(gdb: Gdb, object: string, annex: string): string {
  let text = '';
  for (;;) {
    const answer = gdb.ask(`qXfer:${object}:read:${annex}:${text.length.toString(16)},ffb`);
    text += answer.slice(1);
    if (answer.startsWith('l')) return text;
    if (!answer.startsWith('m')) throw new Error(`no ${object} ${annex}: ${answer}`);
  }
}

/** Little-endian hexadecimal bytes as a number. */
export const valueOf = (hex: string): bigint => BigInt(`0x${hex.match(/../g)!.reverse().join('')}`);

/** A number as `bytes` little-endian hexadecimal bytes. */
export const hexOf = (value: bigint, bytes: number): string => value.toString(16).padStart(2 * bytes, '0').match(/../g)!.reverse().join('');
