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
  | { readonly step: 'nested-eret' }
  | { readonly step: 'inject'; readonly exception: NestedException }
  | { readonly step: 'load' }
  | { readonly step: 'wait-prepare' }
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
  /** Virtual registers that are neither in the VNCR page nor, at the moment, in the hardware. Keys in the order of RESET_REGISTERS. */
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
}

/** Virtual registers with no place in the VNCR page, with their values at vCPU reset. The others reset to zero where they live. */
export const RESET_REGISTERS: readonly (readonly [string, bigint])[] = [
  ['SCTLR_EL2', 0x30c5_0830n], ['ACTLR_EL2', 0n], ['HACR_EL2', 0n], ['CPTR_EL2', 0n], ['MDCR_EL2', 0n], ['TTBR0_EL2', 0n], ['TTBR1_EL2', 0n], ['TCR_EL2', 0x8080_0000n],
  ['AFSR0_EL2', 0n], ['AFSR1_EL2', 0n], ['ESR_EL2', 0n], ['FAR_EL2', 0n], ['HPFAR_EL2', 0n], ['MAIR_EL2', 0n], ['AMAIR_EL2', 0n], ['VBAR_EL2', 0n],
  ['CONTEXTIDR_EL2', 0n], ['ELR_EL2', 0n], ['SPSR_EL2', 0n], ['SP_EL2', 0n], ['CNTHCTL_EL2', 0n], ['CNTKCTL_EL1', 0n], ['RVBAR_EL2', 0n], ['ICC_SRE_EL2', 0xfn], ['VDISR_EL2', 0n], ['VSESR_EL2', 0n],
  ['DBGVCR32_EL2', 0n], ['IFSR32_EL2', 0n], ['DACR32_EL2', 0n], ['FPEXC32_EL2', 0n],
];

export function initialKvm(index: number, mechanism: Mechanism, flavour: Flavour): KvmState {
  return {
    index, mechanism, flavour, mode: 'off', hyp: false, loaded: false, vector: 'sync', registers: Object.fromEntries(RESET_REGISTERS), work: [], reply: null,
    inWait: false, wakeRequested: false, kicked: false, interruptPending: false, exits: 0, nestedExits: 0,
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
