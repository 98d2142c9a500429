/** Effective values of the control bits that exceptions and translation ask for, as numbers so that no access pays for bigint arithmetic. */

import { slot } from './sysregs.ts';
import { type Core, Word } from './state.ts';

/** Bits 31 to 0 of HCR_EL2. */
export const Hcr = {
  VM: 1, PTW: 1 << 2, FMO: 1 << 3, IMO: 1 << 4, AMO: 1 << 5, VF: 1 << 6, VI: 1 << 7, VSE: 1 << 8,
  DC: 1 << 12, TWI: 1 << 13, TWE: 1 << 14, TSC: 1 << 19, TGE: 1 << 27, HCD: 1 << 29,
} as const;

/** Bits 63 to 32 of HCR_EL2, bit 32 being 1. */
export const HcrHigh = { E2H: 1 << 2, TEA: 1 << 5, APK: 1 << 8, API: 1 << 9, NV: 1 << 10, NV1: 1 << 11, AT: 1 << 12, NV2: 1 << 13, FWB: 1 << 14 } as const;

/** Bits of SCTLR_ELx that exceptions and translation use; SSBS and above are in the high half. */
export const Sctlr = {
  M: 1, A: 1 << 1, C: 1 << 2, SA: 1 << 3, SA0: 1 << 4, NAA: 1 << 6, I: 1 << 12, NTWI: 1 << 16, NTWE: 1 << 18, WXN: 1 << 19, SPAN: 1 << 23, E0E: 1 << 24, EE: 1 << 25,
} as const;
/** SCTLR_ELx.DSSBS, bit 44. */
export const SCTLR_HIGH_DSSBS = 1 << 12;

const HCR_LOW = 2 * slot('HCR_EL2');
const HCR_HIGH = HCR_LOW + 1;
const SCTLR_EL1 = 2 * slot('SCTLR_EL1');
const SCTLR_EL2 = 2 * slot('SCTLR_EL2');

/** Behave as 0 while TGE is 1: SWIO, PTW, VF, VI, VSE, FB, TID1, TID3, TSC, TACR, TSW, TTLB, TVM, HCD, TRVM. */
const IGNORED_BY_TGE = 0x666d_03c6;
/** And while {E2H, TGE} is {1, 1}: VM, FMO, IMO, AMO, BSU, DC, TWI, TWE, TID0, TID2, TPCP, TPU, TDZ. */
const IGNORED_BY_HOST = IGNORED_BY_TGE | 0x1182_fc39;

/** HCR_EL2 bits 31 to 0 as they take effect under TGE (FMO, IMO and AMO keep what was written for E2H = 0: interrupts.ts routes by TGE); all zero without EL2. */
export function hcrLow(core: Core): number {
  if (core.board.el2 === 'none') return 0;
  const low = core.ints[HCR_LOW]!;
  if ((low & Hcr.TGE) === 0) return low;
  return low & ~(e2h(core) ? IGNORED_BY_HOST : IGNORED_BY_TGE);
}

/** HCR_EL2 bits 63 to 32 as they take effect: NV, NV1 and NV2 only where implemented and only under NV, E2H as the board fixes it. */
export function hcrHigh(core: Core): number {
  const { el2, features } = core.board;
  if (el2 === 'none') return 0;
  let high = core.ints[HCR_HIGH]!;
  // L0 owns the register under 'kvm' and means what it writes there; the flavour in `features` is what it shows L1.
  if (el2 === 'guest') {
    if (!features.vhe || features.e2h === 'res0') high &= ~HcrHigh.E2H;
    else if (features.e2h === 'res1') high = (high | HcrHigh.E2H) & ~HcrHigh.NV1;
  }
  // NV = 0 with NV1 = 1 is CONSTRAINED UNPREDICTABLE: we behave as {0, 0}. NV2 has no effect without NV (Arm ARM, HCR_EL2.NV2).
  if (features.nv === 0 || (high & HcrHigh.NV) === 0) return high & ~(HcrHigh.NV | HcrHigh.NV1 | HcrHigh.NV2);
  if (features.nv === 1) return high & ~HcrHigh.NV2;
  return high;
}

/** HCR_EL2.TGE. */
export const tge = (core: Core): boolean => (hcrLow(core) & Hcr.TGE) !== 0;

/** HCR_EL2.E2H as it takes effect. */
export const e2h = (core: Core): boolean => (hcrHigh(core) & HcrHigh.E2H) !== 0;

/** ELIsInHost(EL0): {E2H, TGE} = {1, 1}. */
export const inHost = (core: Core): boolean => tge(core) && e2h(core);

/** Index into `core.ints` of the low half of the SCTLR_ELx that governs exception level `el` (S1TranslationRegime). */
export const sctlrIndex = (core: Core, el: number): number => (el === 2 || (el === 0 && inHost(core)) ? SCTLR_EL2 : SCTLR_EL1);

/** The PSTATE word as a number. */
export const pstateOf = (core: Core): number => core.ints[2 * Word.PSTATE]!;
