/** The architecture's optional features: which the machine has, as the ID registers say and as rows ask. */

import type { Board } from '../board.ts';

/** What decides a row's reset value, its masks and whether it exists: the hardware, never its state. */
export type Hardware = Pick<Board, 'features' | 'el2' | 'counterHz'>;

type Has = (hardware: Hardware) => boolean;

const yes: Has = () => true;
const el2: Has = (hardware) => hardware.el2 !== 'none';

/** Features that some machine of ours has. The ID registers (identification.ts) say the same, and a test compares them. */
const PROVIDED = {
  FEAT_VHE: (hardware) => el2(hardware) && hardware.features.vhe && hardware.features.e2h !== 'res0',
  FEAT_NV: (hardware) => el2(hardware) && hardware.features.nv >= 1,
  FEAT_NV2: (hardware) => el2(hardware) && hardware.features.nv === 2,
  FEAT_FGT: (hardware) => el2(hardware) && hardware.features.fgt,
  FEAT_HCX: (hardware) => el2(hardware) && hardware.features.hcx,
  FEAT_EVT: el2,
  FEAT_ECV: (hardware) => hardware.features.ecv,
  FEAT_PAN: yes,
  FEAT_PAN2: yes,
  FEAT_UAO: yes,
  FEAT_DIT: yes,
  FEAT_SSBS2: yes,
  FEAT_GICv3: (hardware) => hardware.features.gic !== 2,
  FEAT_FP: yes,
  FEAT_AdvSIMD: yes,
  FEAT_FP16: yes,
  FEAT_FHM: yes,
  FEAT_FCMA: yes,
  FEAT_JSCVT: yes,
  FEAT_FRINTTS: yes,
  FEAT_BF16: yes,
  FEAT_AES: yes,
  FEAT_PMULL: yes,
  FEAT_SHA1: yes,
  FEAT_SHA256: yes,
  FEAT_SHA512: yes,
  FEAT_SHA3: yes,
  FEAT_RDM: yes,
  FEAT_DotProd: yes,
  FEAT_I8MM: yes,
  FEAT_PAuth: (hardware) => hardware.features.pauth !== 'none',
  FEAT_BTI: yes,
  FEAT_DPB: yes,
  FEAT_DPB2: yes,
  FEAT_LOR: yes,
  FEAT_LSE2: yes,
  FEAT_FlagM2: yes,
  FEAT_SB: yes,
  FEAT_SPECRES: yes,
  FEAT_IDST: yes,
  FEAT_RAS: yes,
  FEAT_WFxT: yes,
  FEAT_HPDS: yes,
  FEAT_E0PD: yes,
  FEAT_TTCNP: yes,
  FEAT_HAFDBS: yes,
  FEAT_XNX: el2,
  FEAT_S2FWB: el2,
  FEAT_TTL: yes,
  FEAT_TLBIOS: yes,
  FEAT_TLBIRANGE: yes,
  FEAT_PMUv3: (hardware) => hardware.features.pmu === true,
  'EL1 as the highest level': (hardware) => !el2(hardware),
} satisfies Record<string, Has>;

/** Features that no machine of ours has: their registers are UNDEFINED, as on hardware whose ID registers say so. */
const ABSENT = [
  'FEAT_AA32EL1', 'FEAT_AMU', 'FEAT_BRBE', 'FEAT_CCIDX', 'FEAT_CSV2_2', 'FEAT_DoubleFault2', 'FEAT_ETE', 'FEAT_FGT2',
  'FEAT_FPMR', 'FEAT_GCS', 'FEAT_HACDBS', 'FEAT_ITE', 'FEAT_LS64', 'FEAT_MEC', 'FEAT_MPAM', 'FEAT_MTE', 'FEAT_NMI',
  'FEAT_PMUv3_SS', 'FEAT_PMUv3p9', 'FEAT_RME', 'FEAT_RNG', 'FEAT_S1PIE', 'FEAT_SCTLR2', 'FEAT_SEL2', 'FEAT_SME', 'FEAT_SPE', 'FEAT_SPMU', 'FEAT_SVE', 'FEAT_SYSREG128',
  'FEAT_TCR2', 'FEAT_THE', 'FEAT_TRBE', 'FEAT_TRF', 'FEAT_Debugv8p9', 'FEAT_ECV_scaling', 'FEAT_CPP',
  'EL3', 'PMSAv8-R', 'external debugger', 'error records', 'more than 6 event counters', 'breakpoints above 5', 'watchpoints above 3', 'more than 5 priority bits', 'OS-specific Apple register',
] as const;

export type Feature = keyof typeof PROVIDED | (typeof ABSENT)[number] | `list register ${number}`;

/** Whether the hardware has `feature`. `list register n` asks for ICH_LR<n>_EL2. */
export function hasFeature(hardware: Hardware, feature: Feature): boolean {
  if (feature in PROVIDED) return (PROVIDED as Record<string, Has>)[feature]!(hardware);
  if (feature.startsWith('list register ')) return hardware.features.gic !== 2 && Number(feature.slice(14)) < hardware.features.listRegisters;
  return false;
}

/** Every feature name, those provided first. */
export const FEATURE_NAMES: readonly Feature[] = [...(Object.keys(PROVIDED) as Feature[]), ...ABSENT];
