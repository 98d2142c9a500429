/** The state of L0 for one vCPU: what KVM keeps in `struct kvm_vcpu`, as plain data, with its reset value. */

import type { KvmAddress } from '../messages.ts';

/** How the guest hypervisor's EL2 is virtualised; `none`: a plain guest at EL1. */
export type Mechanism = 'none' | 'pv' | 'nv' | 'nv2';
/** The two kinds of virtual EL2 that KVM offers. */
export type Flavour = 'vhe' | 'nvhe';

/**
 * One step of L0's work. The queue of steps in `KvmState.work` is L0's program counter: exploration may stop between any
 * two, and a step that asked another actor something finds the answer in `KvmState.reply` when the next one runs.
 */
export type Step =
  | { readonly step: 'sync' }
  | { readonly step: 'handle' }
  | { readonly step: 'finish-read'; readonly register: number; readonly bytes: number; readonly signExtend: boolean; readonly wide: boolean }
  | { readonly step: 'finish-fault' }
  | { readonly step: 'finish-register'; readonly register: number }
  | { readonly step: 'finish-power-on' }
  | { readonly step: 'put'; readonly blocking: boolean }
  | { readonly step: 'nested-eret'; readonly address: bigint }
  | { readonly step: 'inject'; readonly exception: NestedException }
  | { readonly step: 'load' }
  /** `untilNs`: WFIT's time, in virtual nanoseconds. */
  | { readonly step: 'wait-prepare'; readonly untilNs?: number }
  | { readonly step: 'wait-check' }
  | { readonly step: 'wait-block' }
  | { readonly step: 'wait-finish' }
  | { readonly step: 'flush' }
  | { readonly step: 'power-off' }
  | { readonly step: 'halt' }
  | { readonly step: 'enter' };

/** An exception that L0 takes to virtual EL2 on the guest's behalf. */
export interface NestedException {
  readonly type: 'sync' | 'irq' | 'serror';
  readonly esr: bigint;
  /** FAR_EL2, where the exception sets it. */
  readonly far?: bigint;
  /** HPFAR_EL2, where the exception sets it. */
  readonly hpfar?: bigint;
}

export interface KvmState {
  readonly index: number;
  readonly mechanism: Mechanism;
  readonly flavour: Flavour;
  /** `off`: not started. `guest`: the hardware runs it. `host`: L0 works for it. `blocked`: waits for a wake-up. */
  mode: 'off' | 'guest' | 'host' | 'blocked';
  /** The hardware's EL1 registers hold virtual EL2's (KVM's VCPU_HYP_CONTEXT); false in L1's or L2's EL1 and EL0. */
  hyp: boolean;
  /** The vCPU's context is in the hardware (between load and put). */
  loaded: boolean;
  /** Virtual registers that are neither in the VNCR page nor, at the moment, in the hardware. Keys in the order of KEPT_REGISTERS. */
  registers: Record<string, bigint>;
  /** Which vector the exit in hand came through. */
  vector: 'sync' | 'irq' | 'fiq' | 'serror';
  /** What is still to be done before the vCPU runs again, first step first. */
  work: Step[];
  /** The last answer of another actor to this vCPU's work. */
  reply: { readonly type: string; readonly value: bigint } | null;
  /** KVM's IN_WFI flag: set from the decision to wait until the vCPU runs again. */
  inWait: boolean;
  /** The wake-up request (doorbell) that L0 leaves when the vCPU blocks: without it nothing wakes the vCPU. */
  wakeRequested: boolean;
  /** A wake-up or kick came since it was last looked at. */
  kicked: boolean;
  /** The vGIC says that an interrupt for this vCPU's own hypervisor (L1) could be taken. */
  interruptPending: boolean;
  /** Exits to L0 by this vCPU, and those of them taken from L2. Totals, left out of the search key. */
  exits: number;
  nestedExits: number;
  /** The generator behind TRNG_RND. */
  entropy: bigint;
}

/** Virtual registers with no place in the VNCR page. A vCPU's reset gives them the values that their rows say. */
export const KEPT_REGISTERS: readonly string[] = [
  'SCTLR_EL2', 'ACTLR_EL2', 'HACR_EL2', 'CPTR_EL2', 'MDCR_EL2', 'TTBR0_EL2', 'TTBR1_EL2', 'TCR_EL2', 'AFSR0_EL2', 'AFSR1_EL2', 'ESR_EL2', 'FAR_EL2', 'HPFAR_EL2', 'MAIR_EL2',
  'AMAIR_EL2', 'VBAR_EL2', 'CONTEXTIDR_EL2', 'ELR_EL2', 'SPSR_EL2', 'SP_EL2', 'CNTHCTL_EL2', 'CNTKCTL_EL1', 'RVBAR_EL2', 'RMR_EL2', 'ICC_SRE_EL2', 'DISR_EL1',
  'DBGVCR32_EL2', 'IFSR32_EL2', 'DACR32_EL2', 'FPEXC32_EL2', 'OSLSR_EL1',
];

export function initialKvm(index: number, mechanism: Mechanism, flavour: Flavour, entropy: bigint): KvmState {
  return {
    index, mechanism, flavour, mode: 'off', hyp: false, loaded: false, vector: 'sync', registers: Object.fromEntries(KEPT_REGISTERS.map((name) => [name, 0n])), work: [], reply: null,
    inWait: false, wakeRequested: false, kicked: false, interruptPending: false, exits: 0, nestedExits: 0, entropy,
  };
}

/** Throws when the state contradicts itself: checked before an exit is handled and after a restore. */
export function checkKvm(state: KvmState): void {
  const fail = (what: string): never => { throw new Error(`kvm:${state.index}: ${what}`); };
  if (state.mode === 'guest' && state.work.length > 0) fail(`in the guest with work left (${state.work[0]!.step})`);
  if (state.mode === 'guest' && !state.loaded) fail('in the guest without its context loaded');
  if (state.mode === 'blocked' && !state.inWait) fail('blocked outside a wait');
  if (state.hyp && state.mechanism === 'none') fail('in virtual EL2 without nesting');
}

export const kvmAddress = (index: number): KvmAddress => `kvm:${index}`;
