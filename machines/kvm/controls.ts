/** What L0 programs into the hardware's EL2 controls before it enters a context: its own needs, and L1's where L2 runs. Linux: hyp/vhe/switch.c. */

import type { Board } from '../aarch64/board.ts';
import { vncrPage } from '../aarch64/board.ts';
import { hasFeature } from '../aarch64/registers/features.ts';
import { setRegister } from '../aarch64/state.ts';
import { registerByName, slot } from '../aarch64/sysregs.ts';
import { bit, bits } from '../bits.ts';
import { readVirtual } from './context.ts';
import type { KvmState } from './state.ts';
import { readPage } from './vncr.ts';

/** Bits of HCR_EL2 that L0 uses. Arm ARM: HCR_EL2. */
export const Hcr = {
  VM: 1n << 0n, SWIO: 1n << 1n, FMO: 1n << 3n, IMO: 1n << 4n, AMO: 1n << 5n, VF: 1n << 6n, VI: 1n << 7n, VSE: 1n << 8n, FB: 1n << 9n, BSU_INNER: 1n << 10n, DC: 1n << 12n,
  TWI: 1n << 13n, TWE: 1n << 14n, TID3: 1n << 18n, TSC: 1n << 19n, TIDCP: 1n << 20n, TACR: 1n << 21n, TSW: 1n << 22n, TTLB: 1n << 25n, TVM: 1n << 26n, TGE: 1n << 27n,
  HCD: 1n << 29n, TRVM: 1n << 30n, RW: 1n << 31n, E2H: 1n << 34n, APK: 1n << 40n, API: 1n << 41n, NV: 1n << 42n, NV1: 1n << 43n, AT: 1n << 44n, NV2: 1n << 45n, FWB: 1n << 46n,
} as const;

const GUEST_HCR = Hcr.VM | Hcr.SWIO | Hcr.FMO | Hcr.IMO | Hcr.AMO | Hcr.FB | Hcr.BSU_INNER | Hcr.TWI | Hcr.TID3 | Hcr.TSC | Hcr.TIDCP | Hcr.TACR | Hcr.TSW | Hcr.RW;

/** Bits of L1's HCR_EL2 that never reach the hardware while L2 runs: L0 owns them, or they select virtual EL2's own regime. */
const NOT_FROM_L1 = Hcr.TGE | Hcr.E2H | Hcr.NV | Hcr.NV1 | Hcr.NV2 | Hcr.FWB | Hcr.HCD | Hcr.RW;

/** CPTR_EL2 with E2H=0: RES1 bits, nothing trapped. */
const CPTR_RES1 = 0x33ffn & ~(1n << 10n);
const CPTR_TCPAC = 1n << 31n;
const CPTR_TFP = 1n << 10n;

/** MDCR_EL2: there is no PMU to give, and the OS lock is emulated. TPM, TDOSA, TDRA. The debug registers (TDA) are left to the guest: nothing of L0's is in them. */
const GUEST_MDCR = (1n << 6n) | (1n << 10n) | (1n << 11n);

/** What L1 may trap of its guest's: TPMCR, TPM, TDE, TDA, TDOSA, TDRA and TDCC. */
const L1_MDCR = (3n << 5n) | (15n << 8n) | (1n << 27n);

/** CNTHCTL_EL2 with E2H=0, and FEAT_ECV's trap bits. */
const Cnthctl = { EL1PCTEN: 1n << 0n, EL1PCEN: 1n << 1n, EL1TVT: 1n << 13n, EL1TVCT: 1n << 14n, EL1NVPCT: 1n << 15n, EL1NVVCT: 1n << 16n } as const;

/** Controls of FEAT_FGT and FEAT_HCX. */
const FINE_GRAINED = ['HFGRTR_EL2', 'HFGWTR_EL2', 'HFGITR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2', 'HCRX_EL2'];

/** Whether L1's stage 2 is in use: L2 runs under a shadow of it. */
export const stage2Enabled = (state: KvmState, board: Board): boolean => state.mechanism !== 'none' && (readPage(state, board, 'HCR_EL2') & (Hcr.VM | Hcr.DC)) !== 0n;

/** Whether L1 takes physical interrupts away from what it runs: KVM's vgic_state_is_nested. */
export const routesInterrupts = (state: KvmState, board: Board): boolean => state.mechanism !== 'none' && !state.hyp && (readPage(state, board, 'HCR_EL2') & (Hcr.IMO | Hcr.FMO)) !== 0n;

/** Writes HCR_EL2 and its siblings for the context that `state.hyp` names. */
export function activateTraps(state: KvmState, board: Board): void {
  const core = board.cores[state.index]!;
  const set = (name: string, value: bigint): void => setRegister(core, slot(name), value);
  set('HCR_EL2', hardwareHcr(state, board));
  set('CPTR_EL2', hardwareCptr(state, board));
  set('MDCR_EL2', state.hyp || state.mechanism === 'none' ? GUEST_MDCR : GUEST_MDCR | (readVirtual(state, board, 'MDCR_EL2') & L1_MDCR));
  set('CNTHCTL_EL2', hardwareCnthctl(state, board));
  set('HSTR_EL2', 0n);
  // L0 has no fine-grained traps of its own; L1's hold for what it runs.
  const below = !state.hyp && state.mechanism !== 'none';
  for (const name of FINE_GRAINED) set(name, below && hasFeature(board, registerByName(name)!.needs!) ? readPage(state, board, name) : 0n);
  set('VNCR_EL2', state.hyp && state.mechanism === 'nv2' ? BigInt(vncrPage(state.index)) : 0n);
  set('VSESR_EL2', below ? readPage(state, board, 'VSESR_EL2') : 0n);
  set('VMPIDR_EL2', below ? readPage(state, board, 'VMPIDR_EL2') : affinity(state.index));
  set('VPIDR_EL2', below ? readPage(state, board, 'VPIDR_EL2') : core.words[slot('MIDR_EL1')]!);
  core.attention = true;
}

/** MPIDR_EL1 of vCPU `index`: 16 a cluster in Aff0, RES1 bit 31. */
export const affinity = (index: number): bigint => 0x8000_0000n | BigInt(((index >> 4) << 8) | (index & 15));

/** What of L1's HCR_EL2 goes to the hardware. A virtual interrupt pends only where L1 routes its kind to virtual EL2, and in the hardware L0 routes all. */
const fromL1 = (hcr: bigint): bigint => hcr & ~NOT_FROM_L1 & ~(hcr & Hcr.IMO ? 0n : Hcr.VI) & ~(hcr & Hcr.FMO ? 0n : Hcr.VF) & ~(hcr & Hcr.AMO ? 0n : Hcr.VSE);

/** Virtual interrupts that L1 has pend for what it runs, without a list register. */
export const virtualInterrupts = (hcr: bigint): bigint => fromL1(hcr) & (Hcr.VI | Hcr.VF | Hcr.VSE);

/** Bits that trap where they are 0: L0 lets its guest have pointer authentication wherever the hardware has it. */
const grantsOf = (board: Board): bigint => (board.features.pauth === 'none' ? 0n : Hcr.API | Hcr.APK);

function hardwareHcr(state: KvmState, board: Board): bigint {
  const grants = grantsOf(board);
  if (state.mechanism === 'none') return GUEST_HCR | grants;
  // L1's traps of what it runs: its own zeros count.
  if (!state.hyp) return GUEST_HCR | fromL1(readPage(state, board, 'HCR_EL2'));
  return hypHcr(state) | grants;
}

function hypHcr(state: KvmState): bigint {
  const nvhe = state.flavour === 'nvhe';
  switch (state.mechanism) {
    // ACTLR_EL1 is memory there, so that nothing has to trap it.
    case 'nv2': return (GUEST_HCR & ~Hcr.TACR) | Hcr.NV | Hcr.NV2 | Hcr.AT | Hcr.TTLB | (nvhe ? Hcr.NV1 : 0n);
    // Without the VNCR page L1's accesses to its guest's EL1 registers must trap one by one.
    case 'nv': return GUEST_HCR | Hcr.NV | Hcr.AT | Hcr.TTLB | (nvhe ? Hcr.NV1 | Hcr.TVM | Hcr.TRVM : 0n);
    case 'pv': case 'none': return GUEST_HCR;
  }
}

function hardwareCptr(state: KvmState, board: Board): bigint {
  if (state.mechanism === 'none') return CPTR_RES1;
  // L2's CPACR_EL1 has no trap of FEAT_NV's own (Arm ARM D8.11, SRHQHT); under FEAT_NV2 it is memory.
  if (state.hyp) return state.flavour === 'nvhe' && state.mechanism === 'nv' ? CPTR_RES1 | CPTR_TCPAC : CPTR_RES1;
  const virtual = readVirtual(state, board, 'CPTR_EL2');
  const trapsFp = state.flavour === 'vhe' ? (bits(virtual, 21, 20) & 1n) === 0n : bit(virtual, 10);
  return CPTR_RES1 | (virtual & CPTR_TCPAC) | (trapsFp ? CPTR_TFP : 0n);
}

function hardwareCnthctl(state: KvmState, board: Board): bigint {
  const open = Cnthctl.EL1PCTEN | Cnthctl.EL1PCEN;
  if (state.mechanism === 'none') return open;
  if (state.hyp) {
    // A VHE hypervisor's CNTP and CNTV are its own timers, on the hardware's; the ones it keeps for its guest (_EL02) are emulated.
    if (state.flavour === 'vhe') return open | (board.features.ecv && state.mechanism === 'nv2' ? Cnthctl.EL1NVPCT | Cnthctl.EL1NVVCT : 0n);
    // An nVHE hypervisor's CNTP and CNTV are its guest's, which are emulated in this context.
    return Cnthctl.EL1PCTEN | (board.features.ecv ? Cnthctl.EL1TVT : 0n);
  }
  const virtual = readVirtual(state, board, 'CNTHCTL_EL2');
  const enables = state.flavour === 'vhe' ? bits(virtual, 11, 10) : bits(virtual, 1, 0);
  return (enables & open) | (board.features.ecv ? virtual & (Cnthctl.EL1TVT | Cnthctl.EL1TVCT) : 0n);
}
