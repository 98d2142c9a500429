/** Identification registers: what the processor says it is and has, derived from Features. */

import { hasFeature, type Hardware } from './features.ts';
import { sysreg } from './row.ts';
import type { Encoding, Fields, SystemRegister } from './row.ts';

/**
 * Arm's implementer code with the part number of its Architecture Envelope Model: a processor that is a model, that no
 * operating system has errata for. Ours is not Arm's model; the number only says "plain architecture, no workarounds".
 */
export const MIDR = 0x410f_d0f0n;

/** MPIDR_EL1 of vCPU `index`: 16 to a cluster as on QEMU's virt board with GICv3, RES1 bit 31. */
export const mpidr = (index: number): bigint => 0x8000_0000n | (BigInt(index >> 4) << 8n) | BigInt(index & 15);

/** PIPT, 64-byte lines; IDC and DIC: no cache maintenance is needed for instruction coherence, since there are no caches. */
const CTR = 0xb444_c004n;

const nibbles = (names: string): Fields => {
  const list = names.split(' ');
  return Object.fromEntries(list.flatMap((name, position) => (name === '-' ? [] : [[name, [60 - 4 * position, 4] as const]])));
};

/** An ID register of four-bit fields, named from bit 63 down (`-`: none), with the values that are not 0. */
function identification(name: string, encoding: Encoding, names: string, values: Record<string, number | ((hardware: Hardware) => number)>): SystemRegister {
  const fields = nibbles(names);
  const reset = (hardware: Hardware): bigint => {
    let value = 0n;
    for (const [field, has] of Object.entries(values)) {
      const place = fields[field];
      if (typeof place !== 'object') throw new Error(`${name} has no field ${field}`);
      value |= BigInt(typeof has === 'number' ? has : has(hardware)) << BigInt(place[0]);
    }
    return value;
  };
  return sysreg(name, encoding, { access: 'R', fields, reset });
}

/** AArch32 identification registers read as zero: no Exception level implements AArch32, which leaves them UNKNOWN. */
const aarch32 = (name: string, crm: number, op2: number): SystemRegister => sysreg(name, [3, 0, 0, crm, op2], { access: 'R' });

export const IDENTIFICATION: readonly SystemRegister[] = [
  sysreg('MIDR_EL1', [3, 0, 0, 0, 0], {
    access: 'R', reset: MIDR, fields: { Implementer: [24, 8], Variant: [20, 4], Architecture: [16, 4], PartNum: [4, 12], Revision: [0, 4] },
  }),
  sysreg('MPIDR_EL1', [3, 0, 0, 0, 5], {
    access: 'R', reset: (_, index) => mpidr(index), fields: { Aff3: [32, 8], U: 30, MT: 24, Aff2: [16, 8], Aff1: [8, 8], Aff0: [0, 8] },
  }),
  sysreg('REVIDR_EL1', [3, 0, 0, 0, 6], { access: 'R' }),

  aarch32('ID_PFR0_EL1', 1, 0), aarch32('ID_PFR1_EL1', 1, 1), aarch32('ID_DFR0_EL1', 1, 2), aarch32('ID_AFR0_EL1', 1, 3),
  aarch32('ID_MMFR0_EL1', 1, 4), aarch32('ID_MMFR1_EL1', 1, 5), aarch32('ID_MMFR2_EL1', 1, 6), aarch32('ID_MMFR3_EL1', 1, 7),
  aarch32('ID_ISAR0_EL1', 2, 0), aarch32('ID_ISAR1_EL1', 2, 1), aarch32('ID_ISAR2_EL1', 2, 2), aarch32('ID_ISAR3_EL1', 2, 3),
  aarch32('ID_ISAR4_EL1', 2, 4), aarch32('ID_ISAR5_EL1', 2, 5), aarch32('ID_MMFR4_EL1', 2, 6), aarch32('ID_ISAR6_EL1', 2, 7),
  aarch32('MVFR0_EL1', 3, 0), aarch32('MVFR1_EL1', 3, 1), aarch32('MVFR2_EL1', 3, 2), aarch32('ID_PFR2_EL1', 3, 4),
  aarch32('ID_DFR1_EL1', 3, 5), aarch32('ID_MMFR5_EL1', 3, 6),

  // No speculation happens here, which CSV2 and CSV3 state; FP and AdvSIMD 1: with half precision.
  identification('ID_AA64PFR0_EL1', [3, 0, 0, 4, 0], 'CSV3 CSV2 RME DIT AMU MPAM SEL2 SVE RAS GIC AdvSIMD FP EL3 EL2 EL1 EL0', {
    CSV3: 1, CSV2: 1, DIT: 1, RAS: 2, GIC: (hardware) => (hardware.features.gic === 2 ? 0 : 1), AdvSIMD: 1, FP: 1, EL2: (hardware) => (hardware.el2 === 'none' ? 0 : 1), EL1: 1, EL0: 1,
  }),
  identification('ID_AA64PFR1_EL1', [3, 0, 0, 4, 1], 'PFAR DF2 MTEX THE GCS MTE_frac NMI CSV2_frac RNDR_trap SME - MPAM_frac RAS_frac MTE SSBS BT', { SSBS: 2, BT: 1 }),
  sysreg('ID_AA64PFR2_EL1', [3, 0, 0, 4, 2], { access: 'R' }),
  sysreg('ID_AA64ZFR0_EL1', [3, 0, 0, 4, 4], { access: 'R' }),
  sysreg('ID_AA64SMFR0_EL1', [3, 0, 0, 4, 5], { access: 'R' }),
  sysreg('ID_AA64FPFR0_EL1', [3, 0, 0, 4, 7], { access: 'R' }),
  // Breakpoints 6, watchpoints 4, context-aware 2; PMUv3p5 where there is a PMU; no trace, SPE; OS Double Lock not implemented (0xf).
  identification('ID_AA64DFR0_EL1', [3, 0, 0, 5, 0], 'HPMN0 ExtTrcBuff BRBE MTPMU TraceBuffer TraceFilt DoubleLock PMSVer CTX_CMPs SEBEP WRPs PMSS BRPs PMUVer TraceVer DebugVer', {
    DoubleLock: 0xf, CTX_CMPs: 1, WRPs: 3, BRPs: 5, PMUVer: (hardware) => (hasFeature(hardware, 'FEAT_PMUv3') ? 6 : 0), DebugVer: (hardware) => (hardware.features.fgt ? 9 : hasFeature(hardware, 'FEAT_VHE') ? 7 : 6),
  }),
  sysreg('ID_AA64DFR1_EL1', [3, 0, 0, 5, 1], { access: 'R' }),
  sysreg('ID_AA64DFR2_EL1', [3, 0, 0, 5, 2], { access: 'R' }),
  sysreg('ID_AA64AFR0_EL1', [3, 0, 0, 5, 4], { access: 'R' }),
  sysreg('ID_AA64AFR1_EL1', [3, 0, 0, 5, 5], { access: 'R' }),
  identification('ID_AA64ISAR0_EL1', [3, 0, 0, 6, 0], 'RNDR TLB TS FHM DP SM4 SM3 SHA3 RDM TME Atomic CRC32 SHA2 SHA1 AES -', {
    TLB: 2, TS: 2, FHM: 1, DP: 1, SHA3: 1, RDM: 1, Atomic: 2, CRC32: 1, SHA2: 2, SHA1: 1, AES: 2,
  }),
  identification('ID_AA64ISAR1_EL1', [3, 0, 0, 6, 1], 'LS64 XS I8MM DGH BF16 SPECRES SB FRINTTS GPI GPA LRCPC FCMA JSCVT API APA DPB', {
    I8MM: 1, BF16: 1, SPECRES: 1, SB: 1, FRINTTS: 1, LRCPC: 2, FCMA: 1, JSCVT: 1, DPB: 2,
    APA: (hardware) => (hardware.features.pauth === 'qarma5' ? 3 : 0), GPA: (hardware) => (hardware.features.pauth === 'qarma5' ? 1 : 0),
    API: (hardware) => (hardware.features.pauth === 'fast' ? 3 : 0), GPI: (hardware) => (hardware.features.pauth === 'fast' ? 1 : 0),
  }),
  identification('ID_AA64ISAR2_EL1', [3, 0, 0, 6, 2], 'ATS1A LUT CSSC RPRFM - PRFMSLC SYSINSTR_128 SYSREG_128 CLRBHB PAC_frac BC MOPS APA3 GPA3 RPRES WFxT', { WFxT: 2 }),
  sysreg('ID_AA64ISAR3_EL1', [3, 0, 0, 6, 3], { access: 'R' }),
  // Granules: 4 KiB and 64 KiB are supported by 0, 16 KiB by 1; stage 2 says 2 (FEAT_GTG).
  identification('ID_AA64MMFR0_EL1', [3, 0, 0, 7, 0], 'ECV FGT - - ExS TGran4_2 TGran64_2 TGran16_2 TGran4 TGran64 TGran16 BigEndEL0 SNSMem BigEnd ASIDBits PARange', {
    ECV: (hardware) => (hasFeature(hardware, 'FEAT_ECV') ? 2 : 0), FGT: (hardware) => (hasFeature(hardware, 'FEAT_FGT') ? 1 : 0),
    TGran16: 1, ...Object.fromEntries(['TGran4_2', 'TGran64_2', 'TGran16_2'].map((field) => [field, (hardware: Hardware) => (hardware.el2 === 'none' ? 0 : 2)])), ASIDBits: 2, PARange: (hardware) => ({ 40: 2, 44: 4, 48: 5 })[hardware.features.paBits] ?? 2,
  }),
  identification('ID_AA64MMFR1_EL1', [3, 0, 0, 7, 1], 'ECBHB CMOW TIDCP1 nTLBPA AFP HCX ETS TWED XNX SpecSEI PAN LO HPDS VH VMIDBits HAFDBS', {
    HCX: (hardware) => (hasFeature(hardware, 'FEAT_HCX') ? 1 : 0), PAN: 2, LO: 1, HPDS: 1, VH: (hardware) => (hasFeature(hardware, 'FEAT_VHE') ? 1 : 0), VMIDBits: 2, HAFDBS: 2,
    XNX: (hardware) => (hasFeature(hardware, 'FEAT_XNX') ? 1 : 0),
  }),
  identification('ID_AA64MMFR2_EL1', [3, 0, 0, 7, 2], 'E0PD EVT BBM TTL - FWB IDS AT ST NV CCIDX VARange IESB LSM UAO CnP', {
    EVT: (hardware) => (hasFeature(hardware, 'FEAT_EVT') ? 2 : 0), E0PD: 1, BBM: 2, TTL: 1, FWB: (hardware) => (hasFeature(hardware, 'FEAT_S2FWB') ? 1 : 0), IDS: 1, AT: 1, UAO: 1, CnP: 1,
    NV: (hardware) => (hasFeature(hardware, 'FEAT_NV2') ? 2 : hasFeature(hardware, 'FEAT_NV') ? 1 : 0),
  }),
  sysreg('ID_AA64MMFR3_EL1', [3, 0, 0, 7, 3], { access: 'R' }),
  // E2H0: 0 E2H may be 0; 0b1110 (NI_NV1): E2H is RES1 and NV1 RES0. NV_frac 0: plain FEAT_NV is there with NV2.
  identification('ID_AA64MMFR4_EL1', [3, 0, 0, 7, 4], '- - - - SRMASK - E3DSE - RMEGDI E2H0 NV_frac FGWTE3 HACDBS ASID2 EIESB PoPS', {
    E2H0: (hardware) => (hasFeature(hardware, 'FEAT_VHE') && hardware.features.e2h === 'res1' ? 0b1110 : 0),
  }),

  // Level 1 separate (3), level 2 unified (4); coherency point after level 2.
  sysreg('CCSIDR_EL1', [3, 1, 0, 0, 0], { access: 'R', fields: { NumSets: [13, 15], Associativity: [3, 10], LineSize: [0, 3] } }),
  sysreg('CLIDR_EL1', [3, 1, 0, 0, 1], {
    access: 'R', reset: (2n << 24n) | (1n << 27n) | (1n << 21n) | (4n << 3n) | 3n,
    fields: { ICB: [30, 3], LoUU: [27, 3], LoC: [24, 3], LoUIS: [21, 3], Ctype3: [6, 3], Ctype2: [3, 3], Ctype1: [0, 3] },
  }),
  sysreg('CCSIDR2_EL1', [3, 1, 0, 0, 2], { access: 'R', needs: 'FEAT_CCIDX' }),
  sysreg('AIDR_EL1', [3, 1, 0, 0, 7], { access: 'R' }),
  sysreg('CSSELR_EL1', [3, 2, 0, 0, 0], { writable: 0xfn, fields: { Level: [1, 3], InD: 0 } }),
  sysreg('CTR_EL0', [3, 3, 0, 0, 1], {
    access: 'R', reset: CTR,
    fields: { TminLine: [32, 6], DIC: 29, IDC: 28, CWG: [24, 4], ERG: [20, 4], DminLine: [16, 4], L1Ip: [14, 2], IminLine: [0, 4] },
  }),
  // DC ZVA clears 64 bytes; DZP is computed (effects.ts).
  sysreg('DCZID_EL0', [3, 3, 0, 0, 7], { access: 'R', reset: 4n, fields: { DZP: 4, BS: [0, 4] } }),
];
