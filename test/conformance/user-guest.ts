/** The program in which qemu-aarch64 runs blocks of random instructions: its ELF image, and what it writes. */

import { spawn } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { executable } from '../support/executable.ts';
import { words } from '../support/guest-program.ts';
import { Part, RECORD_BYTES, SANDBOX_BYTES } from './random-state.ts';
import type { Item, Unit } from './random-words.ts';

export const QEMU = ['/usr/bin/qemu-aarch64', '/usr/local/bin/qemu-aarch64'].find((path) => existsSync(path));

/** The image is one segment, readable, writable and executable, at one address in both worlds: header, runner, variables, sandbox, blocks, states, tasks. The outcomes' room follows it. */
export const IMAGE = 0x4080_0000;
const CODE = IMAGE + 0x1000;
const VARIABLES = IMAGE + 0x2000;
export const SANDBOX = IMAGE + 0x3000;
const SIGNAL_STACK = IMAGE + 0x4000;
const SIGNAL_STACK_BYTES = 0x8000;
const BLOCKS = SIGNAL_STACK + SIGNAL_STACK_BYTES;

export interface Block { readonly units: readonly Unit[] }
/** One run of a block from a state: both by index. */
export interface Task { readonly block: number; readonly state: number }

export interface Image {
  readonly bytes: Uint8Array;
  readonly blocks: readonly { readonly address: number; readonly words: number }[];
  /** Where every block goes when it is done. */
  readonly after: number;
}

/** Lays everything out. */
export function makeImage(blocks: readonly Block[], states: BigUint64Array, tasks: readonly Task[]): Image {
  const { program, after } = runner(0, 0, 0);
  const placed: { address: number; words: number }[] = [];
  const code: number[] = [];
  for (const block of blocks) {
    const address = BLOCKS + 4 * code.length;
    const made = placeBlock(block, address, after);
    code.push(...made.words);
    placed.push({ address, words: made.length });
  }
  const statesAt = align(BLOCKS + 4 * code.length);
  const tasksAt = align(statesAt + states.byteLength);
  const end = align(tasksAt + 16 * tasks.length);
  const bytes = new Uint8Array(end - IMAGE);
  const view = new DataView(bytes.buffer);
  const put = (at: number, list: readonly number[]): void => { for (const [index, word] of list.entries()) view.setUint32(at - IMAGE + 4 * index, word, true); };
  put(CODE, runner(tasksAt, tasks.length, end).program);
  if (program.length * 4 > VARIABLES - CODE) throw new Error('the runner is longer than its page');
  put(BLOCKS, code);
  bytes.set(new Uint8Array(states.buffer, states.byteOffset, states.byteLength), statesAt - IMAGE);
  for (const [index, { block, state }] of tasks.entries()) {
    view.setBigUint64(tasksAt - IMAGE + 16 * index, BigInt(placed[block]!.address), true);
    view.setBigUint64(tasksAt - IMAGE + 16 * index + 8, BigInt(statesAt + state * RECORD_BYTES), true);
  }
  return { bytes, blocks: placed, after };
}

const align = (address: number): number => Math.ceil(address / 4096) * 4096;

/** The words of a block at `address`: entry, the units, exit, constants. `length` is without the constants. */
function placeBlock({ units }: Block, address: number, after: number): { words: readonly number[]; length: number } {
  const items: readonly Item[] = units.flatMap((unit) => unit.items);
  const length = items.length + 3;
  const constantsAt = address + 4 * (length + (length & 1));
  const constants: bigint[] = [];
  const constant = (value: bigint): number => constantsAt + 8 * (constants.push(value) - 1);
  const body = items.map((item, index) => (typeof item === 'number' ? item : item(address + 4 * (index + 1), constant)));
  const out = address + 4 * (length - 1);
  const list = [MRS_X30_TPIDR, ...body, MSR_TPIDR_X30, (0x1400_0000 | (((after - out) >> 2) & 0x3ff_ffff)) >>> 0, ...(length & 1 ? [0] : [])];
  for (const value of constants) list.push(Number(value & 0xffff_ffffn), Number(value >> 32n));
  return { words: list, length };
}

/** X30 goes through TPIDR_EL0 on the way in and out, since the other registers all belong to the block. */
const MRS_X30_TPIDR = 0xd53b_d05e, MSR_TPIDR_X30 = 0xd51b_d05e;

const SIGNALS = [4, 5, 7, 8, 11];
/** Places of the variables; the list of `struct sigaction` and the stack's description follow them. */
const CURSOR = VARIABLES, OUT = VARIABLES + 8, STOP = VARIABLES + 16, ACTION = VARIABLES + 32, STACK = VARIABLES + 96;
/** Offsets in the frame of a signal: `struct ucontext`, uc_mcontext. */
const UC_X30 = 184 + 8 * 30, UC_PC = 440;

const move = (register: string, value: number): string => `movz ${register}, #${value & 0xffff}; movk ${register}, #${value >>> 16}, lsl #16`;
const inst = (word: number): string => `.inst ${word >>> 0}`;
/** LDP and STP of Q registers, in words, since the runner must not need what it tests. */
const pairQ = (load: boolean, first: number, base: number, offset: number): string => inst((load ? 0xad40_0000 : 0xad00_0000) + (((offset / 16) & 0x7f) << 15) + ((first + 1) << 10) + (base << 5) + first);
const NZCV = 's3_3_c4_c2_0', FPCR = 's3_3_c4_c4_0', FPSR = 's3_3_c4_c4_1', TPIDR = 's3_3_c13_c0_2';
const system = (read: boolean, name: string, register: number): string => {
  const [, op0, op1, crn, crm, op2] = /^s(\d)_(\d)_c(\d+)_c(\d+)_(\d)$/.exec(name)!.map(Number) as [number, number, number, number, number, number];
  return inst((read ? 0xd520_0000 : 0xd500_0000) + (op0 << 19) + (op1 << 16) + (crn << 12) + (crm << 8) + (op2 << 5) + register);
};

/** For each task: loads the state, enters the block, stores the state after; then writes everything out and exits. Signals end a block. */
function runner(tasksAt: number, count: number, outcomes: number): { program: readonly number[]; after: number } {
  const copy = (from: string, to: string): string => `${move('x8', SANDBOX_BYTES / 32)}; ${from}${to}copy: ldp x10, x11, [x6], #16; ldp x12, x13, [x6], #16; stp x10, x11, [x7], #16; stp x12, x13, [x7], #16; subs x8, x8, #1; b.ne {${from}${to}copy}`;
  const lines = [
    `${move('x0', CURSOR)}; ${move('x1', tasksAt)}; str x1, [x0]; ${move('x1', outcomes)}; str x1, [x0, #8]`,
    // sigaltstack and the handlers: SA_SIGINFO, SA_ONSTACK, SA_NODEFER.
    `${move('x0', STACK)}; ${move('x1', SIGNAL_STACK)}; str x1, [x0]; ${move('x1', SIGNAL_STACK_BYTES)}; str x1, [x0, #16]; movz x1, #0; movz x8, #132; svc #0`,
    `${move('x1', ACTION)}; adr x2, {signal}; str x2, [x1]; ${move('x2', 0x4800_0004)}; str x2, [x1, #8]`,
    ...SIGNALS.map((signal) => `movz x0, #${signal}; ${move('x1', ACTION)}; movz x2, #0; movz x3, #8; movz x8, #134; svc #0`),
    'b {next}',
    // x0: the signal, x2: the context. The stop is kept, and the block left.
    `signal: ldr x3, [x2, #${UC_PC}]; bfi x3, x0, #56, #8; ${move('x4', STOP)}; str x3, [x4]; ldr x3, [x2, #${UC_X30}]; ${system(false, TPIDR, 3)}; adr x3, {after}; str x3, [x2, #${UC_PC}]; ret`,
    `after: ${move('x30', OUT)}; ldr x30, [x30]`,
    ...Array.from({ length: 15 }, (_, pair) => `stp x${2 * pair}, x${2 * pair + 1}, [x30, #${16 * pair}]`),
    `${system(true, TPIDR, 0)}; str x0, [x30, #240]; mov x0, sp; str x0, [x30, #${8 * Part.SP}]; ${system(true, NZCV, 0)}; str x0, [x30, #${8 * Part.NZCV}]`,
    `${system(true, FPSR, 0)}; str x0, [x30, #${8 * Part.FPSR}]; ${system(true, FPCR, 0)}; str x0, [x30, #${8 * Part.FPCR}]`,
    `${move('x1', STOP)}; ldr x0, [x1]; str x0, [x30, #${8 * Part.STOP}]; str xzr, [x1]`,
    ...Array.from({ length: 16 }, (_, pair) => pairQ(false, 2 * pair, 30, 8 * Part.V + 32 * pair)),
    `${move('x6', SANDBOX)}; add x7, x30, #${8 * Part.SANDBOX}; ${copy('out', '')}; ${move('x0', OUT)}; str x7, [x0]`,
    `next: ${move('x0', CURSOR)}; ldr x1, [x0]; ${move('x2', tasksAt + 16 * count)}; cmp x1, x2; b.eq {finish}`,
    'ldp x3, x4, [x1], #16; str x1, [x0]',
    `add x6, x4, #${8 * Part.SANDBOX}; ${move('x7', SANDBOX)}; ${copy('in', '')}`,
    ...Array.from({ length: 16 }, (_, pair) => pairQ(true, 2 * pair, 4, 8 * Part.V + 32 * pair)),
    `ldr x0, [x4, #${8 * Part.NZCV}]; ${system(false, NZCV, 0)}; ldr x0, [x4, #${8 * Part.FPSR}]; ${system(false, FPSR, 0)}; ldr x0, [x4, #${8 * Part.FPCR}]; ${system(false, FPCR, 0)}`,
    `ldr x0, [x4, #240]; ${system(false, TPIDR, 0)}; ldr x0, [x4, #${8 * Part.SP}]; mov sp, x0; clrex; mov x30, x3; mov x29, x4`,
    ...Array.from({ length: 14 }, (_, pair) => `ldp x${2 * pair}, x${2 * pair + 1}, [x29, #${16 * pair}]`),
    'ldp x28, x29, [x29, #224]; br x30',
    `finish: ${move('x19', outcomes)}; ${move('x20', count * RECORD_BYTES)}`,
    'write: movz x0, #1; mov x1, x19; mov x2, x20; movz x8, #64; svc #0; cmp x0, #0; b.le {failed}; add x19, x19, x0; subs x20, x20, x0; b.ne {write}; movz x0, #0; b {exit}',
    'failed: movz x0, #1; exit: movz x8, #93; svc #0',
  ];
  const text = lines.join('\n');
  const at = text.slice(0, text.indexOf('after:'));
  return { program: words(text, CODE), after: CODE + 4 * words(at.replaceAll('{next}', '{signal}').replaceAll('{after}', '{signal}'), CODE).length };
}

/** Runs an image of `count` tasks under qemu-aarch64: a promise of the outcomes, one record a task. What it writes goes to a file, so that it never waits for us. */
export async function runQemu({ bytes }: Image, count: number): Promise<BigUint64Array> {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-oracle-'));
  try {
    const path = join(folder, 'blocks.elf');
    writeFileSync(path, executable(bytes, { at: IMAGE, entry: CODE, roomBytes: count * RECORD_BYTES }));
    chmodSync(path, 0o755);
    const outcomes = join(folder, 'outcomes');
    const file = openSync(outcomes, 'w');
    const child = spawn(QEMU!, ['-cpu', 'max,pauth=off', path], { stdio: ['ignore', file, 'inherit'] });
    closeSync(file);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (status, by) => resolve([status, by]));
    });
    const output = readFileSync(outcomes);
    if (code !== 0 || output.length !== count * RECORD_BYTES) throw new Error(`qemu-aarch64 wrote ${output.length} bytes for ${count} tasks and ended with ${code ?? signal}`);
    return new BigUint64Array(output.buffer.slice(output.byteOffset, output.byteOffset + output.length));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
