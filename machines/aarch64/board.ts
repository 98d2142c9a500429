/** A vCPU as an object, and what it is wired to: memory, the other vCPUs, devices, L0's stage-2 maps, the clock, and the outbox of what it says. */

import type { Memory } from '../memory/memory.ts';
import type { RunEnd } from './exit.ts';
import type { Profile } from './profile.ts';

/** The hardware's optional parts. Each decides ID registers and which rows exist. */
export interface Features {
  /** 0: Armv8.0 without FEAT_NV; 1: FEAT_NV; 2: FEAT_NV2. */
  readonly nv: 0 | 1 | 2;
  /** FEAT_VHE. */
  readonly vhe: boolean;
  /** HCR_EL2.E2H: `writable`, or RES1 or RES0 as newer cores and KVM's flavours have it. */
  readonly e2h: 'writable' | 'res1' | 'res0';
  readonly fgt: boolean;
  readonly ecv: boolean;
  readonly hcx: boolean;
  /** FEAT_PAuth: absent, by QARMA5, or by a fast function of our own (IMPLEMENTATION DEFINED). */
  readonly pauth: 'none' | 'qarma5' | 'fast';
  /** FEAT_PMUv3p5. Absent: no PMU. */
  readonly pmu?: boolean;
  /** The GIC architecture's version. With 2 its CPU interface is memory-mapped, and there are no system registers. Absent: 3. */
  readonly gic?: 2 | 3;
  /** List registers implemented, 1 to 16. */
  readonly listRegisters: number;
  /** Physical address bits: 40, 44 or 48. */
  readonly paBits: number;
}

/** Something a core says to an actor. The world delivers it after the run, in order. */
export interface Outgoing {
  readonly to: string;
  readonly message: { readonly type: string; readonly [field: string]: unknown };
}

/** Something that happened, for the timeline. `event` is a KVM tracepoint's name where one exists. */
export interface CoreEvent {
  readonly event: string;
  readonly vcpu: number;
  /** Instructions attempted in the current run before it happened. */
  readonly at: number;
  readonly [field: string]: unknown;
}

/** A translation by one of L0's stage-2 maps. Sizes in bytes, addresses physical. */
export type Stage2Answer =
  | { readonly ok: true; readonly pa: number; readonly bytes: number; readonly read: boolean; readonly write: boolean; readonly execute: boolean; /** At EL0; absent: as `execute`. */ readonly executeUser?: boolean; readonly level: number }
  | { readonly ok: false; readonly level: number };

/** One vCPU. Only `words` is state (state.ts); the rest is wiring and caches that can be rebuilt from it. */
export interface Core {
  readonly index: number;
  readonly board: Board;
  /** The block as 64-bit words; `ints` is the same memory as signed 32-bit halves (low half of word w at 2 * w). */
  readonly words: BigUint64Array;
  readonly ints: Int32Array;
  /** Set when something may have changed which interrupt is taken next: the run loop looks again before the next instruction. */
  attention: boolean;
  /** Derived: instructions are attempted with the checks of self-hosted debug (debug-checks.ts), and data accesses go past the fast path. */
  checked: boolean;
  /** Why the current run has to end after the instruction in hand; the run loop takes and clears it. */
  end: RunEnd | undefined;
  /** Derived translation state, owned by translate.ts and tlb.ts; undefined means to be rebuilt. */
  translation: unknown;
  /** Device reads answered for the instruction in hand, in order: it runs again and consumes them (memory-access.ts). State is in the actor. */
  deviceReplies: { readonly pa: number; readonly bytes: number; readonly value: bigint }[];
}

/**
 * Is told of each MRS, MSR, SYS and ERET that a core completes by itself, while PC is still at it; `encoding` is 0 for ERET, and `value` what was read or written, for
 * ERET the address. Those that L0 completes are told by the events `kvm_sys_access` and `kvm_nested_eret`. Wiring, not state: it must change nothing.
 */
export type Observer = (core: Core, kind: 'read' | 'write' | 'eret', encoding: number, value: bigint) => void;

/** What executes instructions. All attempt the same ones, so that a recording made on one replays on another. */
export const ENGINES = ['reference', 'interpreter', 'translator'] as const;
export type EngineName = (typeof ENGINES)[number];
/** The one that a machine has unless it is told. */
export const ENGINE: EngineName = 'translator';

export interface Board {
  readonly engine: EngineName;
  /** The engine's code and caches for this board, made when first needed (run.ts). */
  execution: unknown;
  /** Code from an earlier run, and what this one makes for a later one (engine/kept-code.ts): set before the first instruction, if at all. */
  keptCode?: unknown;
  readonly memory: Memory;
  readonly cores: Core[];
  readonly features: Features;
  /** Who owns EL2: L0 (an exception to EL2 ends the run as an exit), the guest (it vectors through VBAR_EL2), or nobody (no EL2). */
  readonly el2: 'kvm' | 'guest' | 'none';
  /** Virtual nanoseconds at the instruction in hand. */
  now: number;
  /** Frequency of the system counter in Hz; 62,500,000 as on QEMU's virt board. */
  readonly counterHz: number;
  readonly outbox: Outgoing[];
  readonly events: CoreEvent[];
  /** Whether a physical address belongs to a device, as vCPU `vcpu` sees it: its actor's address and the offset in it. */
  deviceAt(pa: number, vcpu: number): { readonly to: string; readonly offset: number } | undefined;
  /** `el2: 'kvm'`: L0's map named by the hardware VTTBR_EL2, asked for an intermediate physical address. */
  stage2(vttbr: bigint, ipa: number): Stage2Answer;
  observe?: Observer | undefined;
  /** Set by who wants to know where time goes. */
  profile?: Profile | undefined;
  /** Pages touched since the run began, when the run was given stops: physical page numbers. */
  footprint: { readonly read: Set<number>; readonly written: Set<number> } | undefined;
}

/** Physical addresses of what only L0 and the hardware see, above every guest physical map: the vCPU blocks and one VNCR page a vCPU. */
const VNCR_PAGES_BASE = 0xe000_0000_0000;
const BLOCKS_BASE = 0xf000_0000_0000;

/** Physical address of L0's VNCR page for vCPU `index`: KVM's `vncr_array`, where the VNCR-backed virtual registers live under every mechanism. */
export const vncrPage = (index: number): number => VNCR_PAGES_BASE + index * 4096;

/** Physical address of the block of vCPU `index` (state.ts, BLOCK_BYTES apart). */
export const blockAddress = (index: number): number => BLOCKS_BASE + index * 8192;
