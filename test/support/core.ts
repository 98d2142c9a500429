/** A board with bare cores for unit tests: RAM at 0x4000_0000, the vCPU blocks in a region of kind `l0`, registers at reset. */

import { type Board, type EngineName, type Features, type Outgoing, type Stage2Answer, blockAddress, vncrPage } from '../../machines/aarch64/board.ts';
import { UNWIND } from '../../machines/aarch64/exception.ts';
import { BLOCK_BYTES, type Core, Power, Pstate, Word } from '../../machines/aarch64/state.ts';
import { slot } from '../../machines/aarch64/sysregs.ts';
import { type Memory, type RegionSpec, createMemory, regionNamed, writeWord } from '../../machines/memory/memory.ts';

export const RAM = 0x4000_0000;
/** A UART-like device page. */
export const DEVICE = 0x900_0000;

export interface BareOptions {
  readonly cores?: number;
  readonly el2?: 'kvm' | 'guest' | 'none';
  readonly features?: Partial<Features>;
  readonly ramBytes?: number;
  readonly engine?: EngineName;
  readonly regions?: readonly RegionSpec[];
  /** Answers for `el2: 'kvm'`; default: the identity over everything, 4 KiB pages, all permissions. */
  readonly stage2?: (vttbr: bigint, ipa: number) => Stage2Answer;
  /** Exception level to start in, with SP_ELx selected; default the highest implemented that a guest may use (EL1 under kvm). */
  readonly el?: 0 | 1 | 2;
}

export interface Bare {
  readonly board: Board;
  readonly memory: Memory;
  /** The first core. */
  readonly core: Core;
  readonly cores: readonly Core[];
}

const identity = (_vttbr: bigint, ipa: number): Stage2Answer => ({ ok: true, pa: ipa - (ipa % 4096), bytes: 4096, read: true, write: true, execute: true, level: 3 });

/** A new board with `options.cores` (1) cores. */
export function bareCore(options: BareOptions = {}): Bare {
  const count = options.cores ?? 1;
  const el2 = options.el2 ?? 'guest';
  const memory = createMemory([
    { name: 'vcpus', base: blockAddress(0), bytes: count * BLOCK_BYTES, kind: 'l0' },
    { name: 'vncr', base: vncrPage(0), bytes: count * 4096, kind: 'l0' },
    { name: 'ram', base: RAM, bytes: options.ramBytes ?? 0x40_0000, kind: 'ram' },
    ...(options.regions ?? []),
  ]);
  const board: Board = {
    memory, cores: [], el2, now: 0, counterHz: 62_500_000, outbox: [] as Outgoing[], events: [], footprint: undefined, engine: options.engine ?? 'reference', execution: undefined,
    features: { nv: 2, vhe: true, e2h: 'writable', fgt: true, ecv: true, hcx: true, pauth: 'qarma5', listRegisters: 4, paBits: 48, ...options.features },
    deviceAt: (pa) => (pa >= DEVICE && pa < DEVICE + 4096 ? { to: 'uart', offset: pa - DEVICE } : undefined),
    stage2: options.stage2 ?? identity,
  };
  const blocks = regionNamed(memory, 'vcpus');
  for (let index = 0; index < count; index++) {
    const offset = blocks.offset + index * BLOCK_BYTES;
    const core: Core = {
      index, board, attention: true, end: undefined, translation: undefined, deviceReplies: [],
      words: new BigUint64Array(memory.bytes.buffer, offset, BLOCK_BYTES / 8),
      ints: new Int32Array(memory.bytes.buffer, offset, BLOCK_BYTES / 4),
    };
    board.cores.push(core);
    const el = options.el ?? (el2 === 'guest' ? 2 : 1);
    core.words[Word.PSTATE] = BigInt(Pstate.D | Pstate.A | Pstate.I | Pstate.F | (el << 2) | (el === 0 ? 0 : 1));
    core.words[Word.POWER] = BigInt(Power.ON);
    core.words[Word.PC] = BigInt(RAM);
    // RES1 bits of the SCTLRs; MMU, caches and alignment checks off.
    set(core, 'SCTLR_EL1', 0x30d0_0980n);
    set(core, 'SCTLR_EL2', 0x30c5_0830n);
    set(core, 'HCR_EL2', 1n << 31n);
    set(core, 'MPIDR_EL1', 0x8000_0000n | BigInt(index));
  }
  return { board, memory, core: board.cores[0]!, cores: board.cores };
}

/** Sets system register `name`, bypassing every check. */
export function set(core: Core, name: string, value: bigint): void {
  core.words[slot(name)] = value;
}

/** System register `name`. */
export const get = (core: Core, name: string): bigint => core.words[slot(name)]!;

/** Puts A64 instruction words at physical address `pa`. */
export function program(memory: Memory, pa: number, words: readonly number[]): void {
  for (let index = 0; index < words.length; index += 2) writeWord(memory, pa + 4 * index, BigInt(words[index]!) | (BigInt(words[index + 1] ?? 0) << 32n));
}

/** What `act` did: 'done', the end of the run it unwound to ('device', 'firmware', …), or the exception it took as `EL1 ec=25 iss=7`, iss in hexadecimal. */
export function outcome(core: Core, act: () => unknown): string {
  try {
    act();
    return 'done';
  } catch (error) {
    if (error !== UNWIND) throw error;
    if (core.end !== undefined && core.end.type !== 'exit') return core.end.type;
    return taken(core);
  }
}

/** The synchronous exception taken last, by the level the core is at now. */
export function taken(core: Core): string {
  const el = (core.ints[2 * Word.PSTATE]! >> 2) & 3;
  const esr = get(core, `ESR_EL${el}`);
  return `EL${el} ec=${(esr >> 26n).toString(16).padStart(2, '0')} iss=${(esr & 0x1ff_ffffn).toString(16)}`;
}

/** Sets PSTATE: exception level, SP selection (ELxh unless EL0 or told), and other bits. */
export function setPstate(core: Core, el: number, more = 0, sp = el === 0 ? 0 : 1): void {
  core.words[Word.PSTATE] = BigInt(((el << 2) | sp | more) >>> 0);
}
