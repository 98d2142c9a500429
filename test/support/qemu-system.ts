/** One small program, here and on qemu-system-aarch64: it says what it found over the UART, and the two are compared byte by byte. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Features } from '../../machines/aarch64/board.ts';
import { run } from '../../machines/aarch64/run.ts';
import { Word } from '../../machines/aarch64/state.ts';
import { writeBytes } from '../../machines/memory/memory.ts';
import { bareCore, set } from './core.ts';
import { load, words } from './guest-program.ts';

export const QEMU_SYSTEM = 'qemu-system-aarch64';
export const hasQemuSystem = spawnSync(QEMU_SYSTEM, ['--version']).status === 0;

/** Where a program is loaded and starts: behind the device tree that QEMU puts at the start of RAM. */
export const AT = 0x4020_0000;

/** `level`: 1 without an EL2, 2 with. X22 is the UART's; `say` tells the eight bytes of X0 and loses X1, X2 and X30. */
export interface SystemProgram {
  readonly text: string;
  readonly level: 1 | 2;
  /** Words of 64 bits by their offset from AT. */
  readonly data?: ReadonlyMap<number, bigint>;
}

export const SAY = 'say: mov x1, x0; movz x2, #8\nbyte: strb w1, [x22]; lsr x1, x1, #8; sub x2, x2, #1; cbnz x2, {byte}; ret';
export const BEGIN_SAYING = `msr NZCV, xzr; ${load('x22', 0x900_0000)}`;
export const off = (level: 1 | 2): string => `${load('x0', 0x8400_0008)}\n${level === 1 ? 'hvc' : 'smc'} #0`;

function imageOf({ text, data }: SystemProgram): Uint8Array {
  const code = new Uint8Array(Uint32Array.from(words(text, AT)).buffer);
  const end = Math.max(code.length, ...[...(data?.keys() ?? [])].map((offset) => offset + 8));
  const image = new Uint8Array(end);
  image.set(code);
  const view = new DataView(image.buffer);
  for (const [offset, value] of data ?? []) view.setBigUint64(offset, value, true);
  return image;
}

/** What the program says on QEMU, as 64-bit words in hexadecimal. */
export function onQemu(program: SystemProgram, cpu: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-qemu-'));
  try {
    const [image, serial] = [join(folder, 'image'), join(folder, 'serial')];
    writeFileSync(image, imageOf(program));
    execFileSync(QEMU_SYSTEM, [
      '-machine', `virt,virtualization=${program.level === 2 ? 'on' : 'off'}`, '-cpu', cpu, '-nodefaults', '-display', 'none', '-monitor', 'none', '-serial', `file:${serial}`,
      '-device', `loader,file=${image},addr=${AT},force-raw=on`, '-device', `loader,addr=${AT},cpu-num=0`,
    ], { timeout: 60_000, stdio: ['ignore', 'ignore', 'pipe'] });
    return wordsOf(readFileSync(serial));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** And here, on a bare board. Throws when it does not end within ten million instructions. */
export function onOurs(program: SystemProgram, features: Partial<Features> = {}): string[] {
  const { core, memory, board } = bareCore({ el2: program.level === 1 ? 'none' : 'guest', features, ramBytes: 0x100_0000 });
  writeBytes(memory, AT, imageOf(program));
  if (program.level === 1) set(core, 'VBAR_EL1', 0n);
  core.words[Word.PC] = BigInt(AT);
  for (let attempted = 0; ;) {
    const result = run(core, 1_000_000);
    attempted += result.attempted;
    if (result.end.type === 'firmware') break;
    if ((result.end.type !== 'effect' && result.end.type !== 'budget') || attempted > 10_000_000) throw new Error(`the program ended at ${core.words[Word.PC]!.toString(16)} by ${result.end.type}`);
  }
  return wordsOf(Uint8Array.from(board.outbox.filter(({ to }) => to === 'uart').map(({ message }) => Number(message['value']))));
}

function wordsOf(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: Math.floor(bytes.length / 8) }, (_, index) => view.getBigUint64(8 * index, true).toString(16));
}
