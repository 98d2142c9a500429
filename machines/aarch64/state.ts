/** The state of one vCPU: its block of 64-bit words in linear memory, and the derived things around it that are not state. */

import { markDirty } from '../memory/memory.ts';
import type { Core } from './board.ts';
import { slot } from './sysregs.ts';

export type { Core } from './board.ts';

/** Bytes of one vCPU block: two pages. */
export const BLOCK_BYTES = 8192;

/** Words of the block below the system registers (FIRST_SYSTEM_WORD). */
export const Word = {
  /** X0 to X30 are words 0 to 30. */
  X: 0,
  PC: 32,
  /** N:Z:C:V in bits 3 to 0. */
  NZCV: 33,
  /** PSTATE without the flags, in the layout of SPSR_EL2: M[4:0], F, I, A, D, BTYPE, SSBS, IL, SS, PAN, UAO, DIT, TCO. */
  PSTATE: 34,
  /** Local exclusive monitor: physical address of the marked granule plus 1, 0 when open. */
  MONITOR: 35,
  /** Bytes marked by the exclusive load. */
  MONITOR_BYTES: 36,
  /** Instructions attempted by this vCPU since reset. */
  ATTEMPTED: 37,
  /** PowerState: 0 off, 1 running, 2 waiting for interrupt (WFI), 3 waiting for event (WFE), 4 halted at a hole. */
  POWER: 38,
  /** The event register of WFE and SEV, 0 or 1. */
  EVENT: 39,
  /** Timer lines as the generic timers drive them, one bit a timer (generic-timer.ts). */
  TIMER_LINES: 40,
  /** Requests to take a host interrupt that L0 owns: bit 0 a kick by another vCPU; others by board.ts. `el2: 'kvm'` only. */
  HOST_INTERRUPTS: 41,
  /** The GIC's offer to this CPU interface: highest-priority pending physical interrupt as intid | priority << 24 | group << 32 | 1 << 40, 0 when none. */
  OFFER: 42,
  /** Physical interrupts forwarded to a guest and still active, one bit a timer: not signalled again until deactivated. */
  FORWARDED: 43,
  /** Pending virtual SError, bit 0. Pending physical SError, bit 1. */
  SERROR: 44,
  /** The virtual nanosecond at which WFIT or WFET ends its wait; 0: none. */
  WAIT_UNTIL: 45,
  /** Words 46 to 63 are spare; the CPU interface keeps state without a register in 48 to 55 (cpu-interface.ts). */
  CPU_INTERFACE: 48,
  /** V0 to V31, two words each, low half first: the last 512 bytes of the block's first 7680. */
  VECTOR: 896,
} as const;

export const Power = { OFF: 0, ON: 1, WFI: 2, WFE: 3, HALTED: 4 } as const;

/** Bits of the PSTATE word and of SPSR_ELx. */
export const Pstate = { SP: 1, EL_SHIFT: 2, F: 1 << 6, I: 1 << 7, A: 1 << 8, D: 1 << 9, BTYPE_SHIFT: 10, SSBS: 1 << 12, IL: 1 << 20, SS: 1 << 21, PAN: 1 << 22, UAO: 1 << 23, DIT: 1 << 24, TCO: 1 << 25 } as const;

/** Writes word `word` of the block and notes that the block changed. For everybody but the engines, which mark the block themselves after a run. */
export function setRegister(core: Core, word: number, value: bigint): void {
  core.words[word] = value;
  const block = core.words.byteOffset + word * 8;
  markDirty(core.board.memory, block);
}

export const elOf = (core: Core): number => (core.ints[2 * Word.PSTATE]! >> 2) & 3;

/** The word that holds the stack pointer selected by PSTATE.EL and PSTATE.SP. */
export function stackWord(core: Core): number {
  const pstate = core.ints[2 * Word.PSTATE]!;
  return (pstate & 1) === 0 ? SP_EL0 : SP_BY_EL[(pstate >> 2) & 3]!;
}

const SP_EL0 = slot('SP_EL0');
const SP_BY_EL: readonly number[] = [SP_EL0, slot('SP_EL1'), slot('SP_EL2')];
