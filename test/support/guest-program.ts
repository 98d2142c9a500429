/** Guests of a few instructions for tests: text with labels to an image, a machine around it, and what it left in its registers and memory. */

import { boot, type BootOptions } from '../../actors/boot.ts';
import type { Choice } from '../../actors/choices.ts';
import { readImage } from '../../actors/images.ts';
import type { VirtioOptions } from '../../actors/virtio-devices.ts';
import type { World, WorldEvent } from '../../actors/world.ts';
import { assemble } from '../../machines/aarch64/assemble.ts';
import { registerByName } from '../../machines/aarch64/sysregs.ts';
import type { Flavour, Mechanism } from '../../machines/kvm/state.ts';
import { readWord } from '../../machines/memory/memory.ts';
import { systemOf } from '../../snapshots/machine.ts';

/** Where a program is loaded and starts: in virtual EL2, in EL2, or in EL1 for a plain guest. */
export const CODE = 0x4008_0000;
/** Where code goes that the paravirtual mechanism must leave alone: what L1 runs. */
export const BELOW = 0x400a_0000;
/** Where programs leave what they found. */
export const RESULTS = 0x4020_0000;
/** What a program's own vectors put where an instruction was UNDEFINED. */
export const UNDEFINED = 0xbadn;

export interface ProgramOptions {
  readonly el2?: BootOptions['el2'];
  readonly nested?: Mechanism;
  /** `both` on a bare board only. */
  readonly l1?: Flavour | 'both';
  readonly vcpus?: number;
  /** Code at BELOW. */
  readonly below?: string;
  /** Most steps before the run is given up. */
  readonly stepsMax?: number;
  readonly quantum?: number;
  readonly engine?: BootOptions['engine'];
  readonly gic?: BootOptions['gic'];
  readonly devices?: VirtioOptions;
  readonly machines?: number;
  readonly seed?: number;
  readonly reboot?: boolean;
}

/** A line an instruction or a `label:`; `{label}` is its address. `mrs` and `msr` take every register that has a row. Several instructions on a line go between semicolons. */
export function words(text: string, at: number): number[] {
  const lines = text.replaceAll(/(\w+):/g, '$1:\n').split(/[\n;]/).map((line) => line.replace(/\/\/.*$/, '').trim()).filter((line) => line !== '');
  const labels = new Map<string, number>();
  let address = at;
  for (const line of lines) {
    const label = /^(\w+):$/.exec(line);
    const align = /^\.org (0x[0-9a-f]+)$/.exec(line);
    if (label) labels.set(label[1]!, address);
    else if (align) address = at + Number(align[1]);
    else address += 4;
  }
  const result: number[] = [];
  for (const line of lines) {
    if (line.endsWith(':')) continue;
    const align = /^\.org (0x[0-9a-f]+)$/.exec(line);
    if (align) {
      while (result.length < Number(align[1]) / 4) result.push(NOP);
      continue;
    }
    const resolved = line.replaceAll(/\{(\w+)([+-]\d+)?\}/g, (_, name: string, offset?: string) => {
      const found = labels.get(name);
      if (found === undefined) throw new RangeError(`no label is called ${name}`);
      return `0x${(found + Number(offset ?? 0)).toString(16)}`;
    });
    result.push(instruction(resolved, BigInt(at + 4 * result.length)));
  }
  return result;
}

const NOP = 0xd503_201f;

function instruction(line: string, address: bigint): number {
  const mrs = /^mrs (x\d+|xzr), (\w+)$/.exec(line);
  if (mrs) return (0xd520_0000 | (encodingOf(mrs[2]!) << 5) | rt(mrs[1]!)) >>> 0;
  const msr = /^msr (\w+), (x\d+|xzr)$/.exec(line);
  if (msr) return (0xd500_0000 | (encodingOf(msr[1]!) << 5) | rt(msr[2]!)) >>> 0;
  return assemble(line, address);
}

const rt = (name: string): number => (name === 'xzr' ? 31 : Number(name.slice(1)));

function encodingOf(name: string): number {
  const row = registerByName(name) ?? registerByName(name.toUpperCase());
  if (row === undefined) throw new RangeError(`no row is called ${name}`);
  return row.encoding;
}

/** `register` gets `value`. */
export const load = (register: string, value: number | bigint): string => {
  const all = BigInt.asUintN(64, BigInt(value));
  const parts = [0, 1, 2, 3].map((part) => `${part === 0 ? 'movz' : 'movk'} ${register}, #0x${((all >> BigInt(16 * part)) & 0xffffn).toString(16)}, lsl #${16 * part}`);
  return parts.join('\n');
};

/** Keeps `register` as the next result; X28 is where. */
export const keep = (register: string): string => `str ${register}, [x28], #8`;

/** PSCI SYSTEM_OFF by SMC. */
export const OFF = `${load('x0', 0x8400_0008)}\nsmc #0`;

/** At the start of virtual EL2: results begin, and vectors at CODE + 0x8000. */
export const BEGIN = `${load('x28', RESULTS)}\n${load('x27', CODE + 0x8000)}\nmsr VBAR_EL2, x27`;

/** Vectors at CODE + 0x8000: an instruction of EL2's own that was UNDEFINED leaves UNDEFINED in X0 and is passed over; what comes from below goes to `lower`, an interrupt of either to `irq`. */
export const VECTORS = `
.org 0x8000
b {same}
.org 0x8200
same: mrs x26, ELR_EL2; add x26, x26, #4; msr ELR_EL2, x26; movz x0, #0xbad; eret
.org 0x8280
b {irq}
.org 0x8400
b {lower}
.org 0x8480
b {irq}`;

export interface Ran {
  readonly world: World;
  /** Words from RESULTS on. */
  results(count: number): bigint[];
  word(address: number): bigint;
  readonly events: readonly WorldEvent[];
  readonly choices: readonly Choice[];
}

const bytesOf = (...parts: readonly (readonly [at: number, words: readonly number[]])[]): Uint8Array => {
  const end = Math.max(...parts.map(([at, code]) => at + 4 * code.length));
  const view = new DataView(new ArrayBuffer(end - CODE));
  for (const [at, code] of parts) for (const [index, word] of code.entries()) view.setUint32(at - CODE + 4 * index, word, true);
  return new Uint8Array(view.buffer);
};

/** A machine about to start `text`. */
export function machine(text: string, options: ProgramOptions = {}): World {
  const own = words(text, CODE);
  const parts: [number, readonly number[]][] = [[CODE, own]];
  if (options.below !== undefined) parts.push([BELOW, words(options.below, BELOW)]);
  const el2 = options.el2 ?? 'kvm';
  return boot({
    vcpus: options.vcpus ?? 1, memoryBytes: 4 << 20, el2, nested: el2 === 'kvm' ? (options.nested ?? 'nv2') : 'none', l1: options.l1 ?? 'vhe', ...(options.quantum ? { quantum: options.quantum } : {}),
    ...(options.engine ? { engine: options.engine } : {}), ...(options.gic ? { gic: options.gic } : {}), ...options.devices, ...(options.machines ? { machines: options.machines } : {}), ...(options.seed === undefined ? {} : { seed: options.seed }), ...(options.reboot === undefined ? {} : { reboot: options.reboot }),
    kernel: readImage(bytesOf(...parts), 'program', { at: CODE, code: { from: CODE, to: CODE + 4 * own.length } }),
  }).world;
}

const SYSTEM = systemOf();
const INSNS_MAX = 1_000_000;

/** Runs `world` until it ends, or nothing can happen any more. Throws when it takes too long or reaches a hole. */
export function finish(world: World, stepsMax = 20_000): Ran {
  const events: WorldEvent[] = [];
  const choices: Choice[] = [];
  let insns = 0;
  for (let steps = 0; ; steps++) {
    const choice = SYSTEM.next(world);
    if (choice === undefined) break;
    if (steps === stepsMax || insns > INSNS_MAX) throw new Error(`the program did not end in ${steps} steps, ${insns} instructions`);
    const done = SYSTEM.step(world, choice);
    world = done.world;
    insns += done.frame.insns;
    events.push(...done.frame.events);
    choices.push(done.frame.choice);
  }
  if (world.state.ended?.by === 'hole') throw new Error(world.state.ended.reason);
  const last = world;
  const word = (address: number): bigint => readWord(last.engine.board.memory, address);
  return { world, word, results: (count) => Array.from({ length: count }, (_, index) => word(RESULTS + 8 * index)), events, choices };
}

/** Boots and runs a program. */
export const runProgram = (text: string, options: ProgramOptions = {}): Ran => finish(machine(text, options), options.stepsMax);
