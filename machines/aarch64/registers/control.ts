/** Control, translation, exception and thread registers of EL0, EL1 and EL2, with the _EL12 encodings. */

import { hasFeature, type Hardware } from './features.ts';
import { MIDR, mpidr } from './identification.ts';
import { fieldBits, sysreg } from './row.ts';
import type { Fields, SystemRegister } from './row.ts';

const SPSR: Fields = {
  N: 31, Z: 30, C: 29, V: 28, TCO: 25, DIT: 24, UAO: 23, PAN: 22, SS: 21, IL: 20, SSBS: 12, BTYPE: [10, 2], D: 9, A: 8, I: 7, F: 6, M: [0, 5],
};
const ESR: Fields = { ISS2: [32, 24], EC: [26, 6], IL: 25, ISS: [0, 25] };
const MAIR: Fields = { Attr7: [56, 8], Attr6: [48, 8], Attr5: [40, 8], Attr4: [32, 8], Attr3: [24, 8], Attr2: [16, 8], Attr1: [8, 8], Attr0: [0, 8] };
const TTBR: Fields = { ASID: [48, 16], BADDR: [1, 47], CnP: 0 };

const SCTLR: Fields = {
  DSSBS: 44, BT1: 36, BT0: 35, EnIA: 31, EnIB: 30, LSMAOE: 29, nTLSMD: 28, EnDA: 27, UCI: 26, EE: 25, E0E: 24, SPAN: 23, EIS: 22, IESB: 21, TSCXT: 20, WXN: 19,
  nTWE: 18, nTWI: 16, UCT: 15, DZE: 14, EnDB: 13, I: 12, EOS: 11, EnRCTX: 10, UMA: 9, SED: 8, ITD: 7, nAA: 6, CP15BEN: 5, SA0: 4, SA: 3, C: 2, A: 1, M: 0,
};
const { UMA: _, BT1: __, ...SCTLR_SHARED } = SCTLR;
const SCTLR_EL2: Fields = { ...SCTLR_SHARED, BT: 36 };
/** EE and E0E are RES0: the machine is little-endian (ID_AA64MMFR0_EL1.BigEnd 0). The AArch32 controls are fixed. */
const SCTLR_WRITABLE = fieldBits(SCTLR, ['DSSBS', 'BT1', 'BT0', 'EnRCTX', 'nAA', 'UCI', 'SPAN', 'WXN', 'nTWE', 'nTWI', 'UCT', 'DZE', 'I', 'UMA', 'SA0', 'SA', 'C', 'A', 'M']);
const SCTLR_RES1 = fieldBits(SCTLR, ['LSMAOE', 'nTLSMD', 'EIS', 'TSCXT', 'EOS', 'SED', 'ITD']);
/** SCTLR_EL2 of the EL2 regime, without EL0: Arm ARM D24.2.167, E2H 0. */
const SCTLR_NO_HOST_WRITABLE = fieldBits(SCTLR, ['DSSBS', 'BT1', 'nAA', 'WXN', 'I', 'SA', 'C', 'A', 'M']);
const SCTLR_NO_HOST_RES1 = 0x30c5_0830n;
const KEY_ENABLES = fieldBits(SCTLR, ['EnIA', 'EnIB', 'EnDA', 'EnDB']);
const keyEnables = (hardware: Hardware): bigint => (hasFeature(hardware, 'FEAT_PAuth') ? KEY_ENABLES : 0n);

const TCR: Fields = {
  DS: 59, E0PD1: 56, E0PD0: 55, NFD1: 54, NFD0: 53, TBID1: 52, TBID0: 51, HPD1: 42, HPD0: 41, HD: 40, HA: 39, TBI1: 38, TBI0: 37, AS: 36,
  IPS: [32, 3], TG1: [30, 2], SH1: [28, 2], ORGN1: [26, 2], IRGN1: [24, 2], EPD1: 23, A1: 22, T1SZ: [16, 6],
  TG0: [14, 2], SH0: [12, 2], ORGN0: [10, 2], IRGN0: [8, 2], EPD0: 7, T0SZ: [0, 6],
};
const TCR_WRITABLE = fieldBits(TCR, [
  'E0PD1', 'E0PD0', 'HPD1', 'HPD0', 'HD', 'HA', 'TBI1', 'TBI0', 'AS', 'IPS', 'TG1', 'SH1', 'ORGN1', 'IRGN1', 'EPD1', 'A1', 'T1SZ', 'TG0', 'SH0', 'ORGN0', 'IRGN0', 'EPD0', 'T0SZ',
]);
/** TBID comes with FEAT_PAuth. */
const tcrWritable = (hardware: Hardware): bigint => TCR_WRITABLE | (hasFeature(hardware, 'FEAT_PAuth') ? fieldBits(TCR, ['TBID1', 'TBID0']) : 0n);
const TCR_EL2: Fields = { TBID: 29, HPD: 24, HD: 22, HA: 21, TBI: 20, PS: [16, 3], TG0: [14, 2], SH0: [12, 2], ORGN0: [10, 2], IRGN0: [8, 2], T0SZ: [0, 6] };

const HCR: Fields = {
  TWEDEL: [60, 4], TWEDEn: 59, TID5: 58, DCT: 57, ATA: 56, TTLBOS: 55, TTLBIS: 54, EnSCXT: 53, TOCU: 52, AMVOFFEN: 51, TICAB: 50, TID4: 49, GPF: 48,
  FIEN: 47, FWB: 46, NV2: 45, AT: 44, NV1: 43, NV: 42, API: 41, APK: 40, MIOCNCE: 38, TEA: 37, TERR: 36, TLOR: 35, E2H: 34, ID: 33, CD: 32,
  RW: 31, TRVM: 30, HCD: 29, TDZ: 28, TGE: 27, TVM: 26, TTLB: 25, TPU: 24, TPCP: 23, TSW: 22, TACR: 21, TIDCP: 20, TSC: 19,
  TID3: 18, TID2: 17, TID1: 16, TID0: 15, TWE: 14, TWI: 13, DC: 12, BSU: [10, 2], FB: 9, VSE: 8, VI: 7, VF: 6, AMO: 5, IMO: 4, FMO: 3, PTW: 2, SWIO: 1, VM: 0,
};
const HCR_ALWAYS = fieldBits(HCR, [
  'TEA', 'TERR', 'TLOR', 'ID', 'CD', 'TRVM', 'HCD', 'TDZ', 'TGE', 'TVM', 'TTLB', 'TPU', 'TPCP', 'TSW', 'TACR', 'TIDCP', 'TSC', 'TID3', 'TID2', 'TID1', 'TID0',
  'TWE', 'TWI', 'DC', 'BSU', 'FB', 'VSE', 'VI', 'VF', 'AMO', 'IMO', 'FMO', 'PTW', 'SWIO', 'VM',
]);

/** RW is RES1: EL1 is AArch64 only. Those of absent features are RES0, MIOCNCE since nothing is cached. */
function hcrWritable(hardware: Hardware): bigint {
  let writable = HCR_ALWAYS;
  const { e2h } = hardware.features;
  if (hasFeature(hardware, 'FEAT_S2FWB')) writable |= fieldBits(HCR, ['FWB']);
  if (hasFeature(hardware, 'FEAT_VHE') && e2h === 'writable') writable |= fieldBits(HCR, ['E2H']);
  if (hasFeature(hardware, 'FEAT_NV')) writable |= fieldBits(HCR, e2h === 'res1' ? ['NV', 'AT'] : ['NV', 'AT', 'NV1']);
  if (hasFeature(hardware, 'FEAT_NV2')) writable |= fieldBits(HCR, ['NV2']);
  if (hasFeature(hardware, 'FEAT_PAuth')) writable |= fieldBits(HCR, ['API', 'APK']);
  if (hasFeature(hardware, 'FEAT_EVT')) writable |= fieldBits(HCR, ['TTLBOS', 'TTLBIS', 'TOCU', 'TICAB', 'TID4']);
  return writable;
}
const hcrRes1 = (hardware: Hardware): bigint =>
  fieldBits(HCR, hasFeature(hardware, 'FEAT_VHE') && hardware.features.e2h === 'res1' ? ['RW', 'E2H'] : ['RW']);

const HCRX: Fields = {
  GCSEn: 22, EnIDCP128: 21, EnSDERR: 20, TMEA: 19, EnSNERR: 18, D128En: 17, PTTWI: 16, SCTLR2En: 15, TCR2En: 14, MSCEn: 11, MCE2: 10, CMOW: 9,
  VFNMI: 8, VINMI: 7, TALLINT: 6, SMPME: 5, FGTnXS: 4, FnXS: 3, EnASR: 2, EnALS: 1, EnAS0: 0,
};

const CPTR: Fields = { TCPAC: 31, TAM: 30, TTA: 20, TSM: 12, TFP: 10, TZ: 8 };
const CPTR_E2H: Fields = { TCPAC: 31, TAM: 30, E0POE: 29, TTA: 28, SMEN: [24, 2], FPEN: [20, 2], ZEN: [16, 2] };
const CPACR: Fields = { E0POE: 29, TTA: 28, SMEN: [24, 2], FPEN: [20, 2], ZEN: [16, 2] };

const FPCR: Fields = { AHP: 26, DN: 25, FZ: 24, RMode: [22, 2], Stride: [20, 2], FZ16: 19, Len: [16, 3], IDE: 15, IXE: 12, UFE: 11, OFE: 10, DZE: 9, IOE: 8 };
const FPSR: Fields = { QC: 27, IDC: 7, IXC: 4, UFC: 3, OFC: 2, DZC: 1, IOC: 0 };

/** The hypervisor keeps HPMN, TPM and TPMCR, which do nothing without a PMU. */
const MDCR: Fields = { TDCC: 27, TTRF: 19, HPMD: 17, TPMS: 14, E2PB: [12, 2], TDRA: 11, TDOSA: 10, TDA: 9, TDE: 8, HPME: 7, TPM: 6, TPMCR: 5, HPMN: [0, 5] };

const VTCR: Fields = {
  NSA: 30, NSW: 29, HD: 22, HA: 21, VS: 19, PS: [16, 3], TG0: [14, 2], SH0: [12, 2], ORGN0: [10, 2], IRGN0: [8, 2], SL0: [6, 2], T0SZ: [0, 6],
};

/** What ESB defers. */
const DISR: Fields = { A: 31, IDS: 24, ISS: [0, 24] };

/** Bits 10:0 of a vector base are RES0. */
const VBAR_WRITABLE = 0xffff_ffff_ffff_f800n;
/** The physical address bits of a field that holds one, from bit `low` up. */
const address = (hardware: Hardware, low: number): bigint => (1n << BigInt(hardware.features.paBits)) - (1n << BigInt(low));

export const CONTROL: readonly SystemRegister[] = [
  // RESET: with EL2 above it SCTLR_EL1 is UNKNOWN; MMU and caches off is the choice that firmware expects.
  sysreg('SCTLR_EL1', [3, 0, 1, 0, 0], { vncr: 0x110, vncrNv1: 1, e2h: 'SCTLR_EL2', fields: SCTLR, writable: (hardware) => SCTLR_WRITABLE | keyEnables(hardware), res1: SCTLR_RES1, reset: SCTLR_RES1 | (1n << 23n) | 0x5_0018n }),
  sysreg('ACTLR_EL1', [3, 0, 1, 0, 1], { vncr: 0x118, writable: 0n }),
  sysreg('CPACR_EL1', [3, 0, 1, 0, 2], { vncr: 0x100, vncrNv1: 1, e2h: 'CPTR_EL2', fields: CPACR, writable: fieldBits(CPACR, ['FPEN']) }),
  sysreg('TTBR0_EL1', [3, 0, 2, 0, 0], { vncr: 0x200, vncrNv1: 1, e2h: 'TTBR0_EL2', fields: TTBR }),
  sysreg('TTBR1_EL1', [3, 0, 2, 0, 1], { vncr: 0x210, vncrNv1: 1, e2h: 'TTBR1_EL2', fields: TTBR }),
  sysreg('TCR_EL1', [3, 0, 2, 0, 2], { vncr: 0x120, vncrNv1: 1, e2h: 'TCR_EL2', fields: TCR, writable: tcrWritable }),
  sysreg('APIAKeyLo_EL1', [3, 0, 2, 1, 0], { needs: 'FEAT_PAuth' }), sysreg('APIAKeyHi_EL1', [3, 0, 2, 1, 1], { needs: 'FEAT_PAuth' }),
  sysreg('APIBKeyLo_EL1', [3, 0, 2, 1, 2], { needs: 'FEAT_PAuth' }), sysreg('APIBKeyHi_EL1', [3, 0, 2, 1, 3], { needs: 'FEAT_PAuth' }),
  sysreg('APDAKeyLo_EL1', [3, 0, 2, 2, 0], { needs: 'FEAT_PAuth' }), sysreg('APDAKeyHi_EL1', [3, 0, 2, 2, 1], { needs: 'FEAT_PAuth' }),
  sysreg('APDBKeyLo_EL1', [3, 0, 2, 2, 2], { needs: 'FEAT_PAuth' }), sysreg('APDBKeyHi_EL1', [3, 0, 2, 2, 3], { needs: 'FEAT_PAuth' }),
  sysreg('APGAKeyLo_EL1', [3, 0, 2, 3, 0], { needs: 'FEAT_PAuth' }), sysreg('APGAKeyHi_EL1', [3, 0, 2, 3, 1], { needs: 'FEAT_PAuth' }),
  sysreg('SPSR_EL1', [3, 0, 4, 0, 0], { vncr: 0x160, vncrNv1: 1, nv1Trap: true, e2h: 'SPSR_EL2', fields: SPSR, writable: 0xffff_ffffn }),
  sysreg('ELR_EL1', [3, 0, 4, 0, 1], { vncr: 0x230, vncrNv1: 1, nv1Trap: true, e2h: 'ELR_EL2' }),
  sysreg('SP_EL0', [3, 0, 4, 1, 0]),
  sysreg('SPSel', [3, 0, 4, 2, 0], { fields: { SP: 0 } }),
  sysreg('CurrentEL', [3, 0, 4, 2, 2], { access: 'R', fields: { EL: [2, 2] } }),
  sysreg('PAN', [3, 0, 4, 2, 3], { needs: 'FEAT_PAN', fields: { PAN: 22 } }),
  sysreg('UAO', [3, 0, 4, 2, 4], { needs: 'FEAT_UAO', fields: { UAO: 23 } }),
  sysreg('AFSR0_EL1', [3, 0, 5, 1, 0], { vncr: 0x128, vncrNv1: 1, e2h: 'AFSR0_EL2', writable: 0n }),
  sysreg('AFSR1_EL1', [3, 0, 5, 1, 1], { vncr: 0x130, vncrNv1: 1, e2h: 'AFSR1_EL2', writable: 0n }),
  sysreg('ESR_EL1', [3, 0, 5, 2, 0], { vncr: 0x138, vncrNv1: 1, e2h: 'ESR_EL2', fields: ESR, writable: (1n << 56n) - 1n }),
  sysreg('ERRIDR_EL1', [3, 0, 5, 3, 0], { access: 'R', needs: 'FEAT_RAS' }),
  sysreg('ERRSELR_EL1', [3, 0, 5, 3, 1], { needs: 'error records' }),
  sysreg('FAR_EL1', [3, 0, 6, 0, 0], { vncr: 0x220, vncrNv1: 1, e2h: 'FAR_EL2' }),
  sysreg('PAR_EL1', [3, 0, 7, 4, 0], { fields: { F: 0 }, reset: 0x800n }),
  sysreg('MAIR_EL1', [3, 0, 10, 2, 0], { vncr: 0x140, vncrNv1: 1, e2h: 'MAIR_EL2', fields: MAIR }),
  sysreg('AMAIR_EL1', [3, 0, 10, 3, 0], { vncr: 0x148, vncrNv1: 1, e2h: 'AMAIR_EL2', writable: 0n }),
  // No LORegion is there: LORID_EL1 says so, and the others are RES0.
  sysreg('LORSA_EL1', [3, 0, 10, 4, 0], { writable: 0n }), sysreg('LOREA_EL1', [3, 0, 10, 4, 1], { writable: 0n }), sysreg('LORN_EL1', [3, 0, 10, 4, 2], { writable: 0n }),
  sysreg('LORC_EL1', [3, 0, 10, 4, 3], { writable: 0n }), sysreg('LORID_EL1', [3, 0, 10, 4, 7], { access: 'R' }),
  sysreg('VBAR_EL1', [3, 0, 12, 0, 0], { vncr: 0x250, vncrNv1: 1, nv1Trap: true, e2h: 'VBAR_EL2', writable: VBAR_WRITABLE }),
  sysreg('RVBAR_EL1', [3, 0, 12, 0, 1], { access: 'R', needs: 'EL1 as the highest level' }),
  sysreg('RMR_EL1', [3, 0, 12, 0, 2], { needs: 'EL1 as the highest level', writable: 0n, res1: 1n, reset: 1n, fields: { RR: 1, AA64: 0 } }),
  sysreg('ISR_EL1', [3, 0, 12, 1, 0], { access: 'R', fields: { A: 8, I: 7, F: 6 } }),
  sysreg('DISR_EL1', [3, 0, 12, 1, 1], { needs: 'FEAT_RAS', fields: DISR, writable: fieldBits(DISR) }),
  sysreg('CONTEXTIDR_EL1', [3, 0, 13, 0, 1], { vncr: 0x108, vncrNv1: 1, e2h: 'CONTEXTIDR_EL2', writable: 0xffff_ffffn, fields: { PROCID: [0, 32] } }),
  sysreg('TPIDR_EL1', [3, 0, 13, 0, 4]),

  sysreg('NZCV', [3, 3, 4, 2, 0], { fields: { N: 31, Z: 30, C: 29, V: 28 } }),
  sysreg('DAIF', [3, 3, 4, 2, 1], { fields: { D: 9, A: 8, I: 7, F: 6 } }),
  sysreg('DIT', [3, 3, 4, 2, 5], { needs: 'FEAT_DIT', fields: { DIT: 24 } }),
  sysreg('SSBS', [3, 3, 4, 2, 6], { needs: 'FEAT_SSBS2', fields: { SSBS: 12 } }),
  // No exception is trapped, which leaves the enables RES0; Stride and Len are of AArch32. RESET: UNKNOWN by the manual.
  sysreg('FPCR', [3, 3, 4, 4, 0], { needs: 'FEAT_FP', floatingPoint: true, fields: FPCR, writable: fieldBits(FPCR, ['AHP', 'DN', 'FZ', 'RMode', 'FZ16']) }),
  sysreg('FPSR', [3, 3, 4, 4, 1], { needs: 'FEAT_FP', floatingPoint: true, fields: FPSR, writable: fieldBits(FPSR) }),
  sysreg('TPIDR_EL0', [3, 3, 13, 0, 2]),
  sysreg('TPIDRRO_EL0', [3, 3, 13, 0, 3], { writeEl: 1 }),

  sysreg('VPIDR_EL2', [3, 4, 0, 0, 0], { vncr: 0x88, reset: MIDR, writable: 0xffff_ffffn }),
  sysreg('VMPIDR_EL2', [3, 4, 0, 0, 5], {
    vncr: 0x50, reset: (_hardware, index) => mpidr(index), writable: 0xff_41ff_ffffn, res1: 0x8000_0000n,
    fields: { Aff3: [32, 8], U: 30, MT: 24, Aff2: [16, 8], Aff1: [8, 8], Aff0: [0, 8] },
  }),
  sysreg('SCTLR_EL2', [3, 4, 1, 0, 0], {
    fields: SCTLR_EL2, reset: SCTLR_NO_HOST_RES1,
    writable: (hardware, e2h) => (e2h ? SCTLR_WRITABLE & ~fieldBits(SCTLR, ['UMA']) : SCTLR_NO_HOST_WRITABLE) | keyEnables(hardware), res1: (_hardware, e2h) => (e2h ? SCTLR_RES1 : SCTLR_NO_HOST_RES1),
  }),
  sysreg('ACTLR_EL2', [3, 4, 1, 0, 1], { writable: 0n }),
  sysreg('HCR_EL2', [3, 4, 1, 1, 0], { vncr: 0x78, fields: HCR, writable: hcrWritable, res1: hcrRes1, reset: hcrRes1 }),
  sysreg('MDCR_EL2', [3, 4, 1, 1, 1], {
    fields: MDCR,
    writable: (hardware) => fieldBits(MDCR, ['TDRA', 'TDOSA', 'TDA', 'TDE', 'TPM', 'TPMCR', 'HPMN', ...(hasFeature(hardware, 'FEAT_FGT') ? ['TDCC'] : [])]),
  }),
  sysreg('CPTR_EL2', [3, 4, 1, 1, 2], {
    fields: CPTR, fieldsE2h: CPTR_E2H, reset: (hardware) => (hardware.features.e2h === 'res1' ? 0n : 0x33ffn),
    writable: (_hardware, e2h) => (e2h ? fieldBits(CPTR_E2H, ['TCPAC', 'FPEN']) : fieldBits(CPTR, ['TCPAC', 'TFP'])),
    res1: (_hardware, e2h) => (e2h ? 0n : 0x33ffn),
  }),
  sysreg('HSTR_EL2', [3, 4, 1, 1, 3], { vncr: 0x80, writable: 0xffffn }),
  sysreg('HACR_EL2', [3, 4, 1, 1, 7], { writable: 0n }),
  // Every field of HCRX_EL2 belongs to a feature that we lack.
  sysreg('HCRX_EL2', [3, 4, 1, 2, 2], { vncr: 0xa0, needs: 'FEAT_HCX', fields: HCRX, writable: 0n }),
  sysreg('TTBR0_EL2', [3, 4, 2, 0, 0], { fields: TTBR }),
  sysreg('TTBR1_EL2', [3, 4, 2, 0, 1], { needs: 'FEAT_VHE', fields: TTBR }),
  sysreg('TCR_EL2', [3, 4, 2, 0, 2], {
    fields: TCR_EL2, fieldsE2h: TCR,
    writable: (hardware, e2h) => (e2h ? tcrWritable(hardware) : fieldBits(TCR_EL2, ['HPD', 'HD', 'HA', 'TBI', 'PS', 'TG0', 'SH0', 'ORGN0', 'IRGN0', 'T0SZ', ...(hasFeature(hardware, 'FEAT_PAuth') ? ['TBID'] : [])])),
    res1: (_hardware, e2h) => (e2h ? 0n : 0x8080_0000n), reset: (hardware) => (hardware.features.e2h === 'res1' ? 0n : 0x8080_0000n),
  }),
  sysreg('VTTBR_EL2', [3, 4, 2, 1, 0], { vncr: 0x20, fields: { VMID: [48, 16], BADDR: [1, 47], CnP: 0 } }),
  sysreg('VTCR_EL2', [3, 4, 2, 1, 2], {
    vncr: 0x40, fields: VTCR, writable: fieldBits(VTCR, ['HD', 'HA', 'VS', 'PS', 'TG0', 'SH0', 'ORGN0', 'IRGN0', 'SL0', 'T0SZ']), res1: 0x8000_0000n, reset: 0x8000_0000n,
  }),
  sysreg('VNCR_EL2', [3, 4, 2, 2, 0], { vncr: 0xb0, needs: 'FEAT_NV2', writable: 0xffff_ffff_ffff_f000n, fields: { RESS: [57, 7], BADDR: [12, 45] } }),
  sysreg('SPSR_EL2', [3, 4, 4, 0, 0], { nv2: 'SPSR_EL1', fields: SPSR, writable: 0xffff_ffffn }),
  sysreg('ELR_EL2', [3, 4, 4, 0, 1], { nv2: 'ELR_EL1' }),
  sysreg('SP_EL1', [3, 4, 4, 1, 0], { vncr: 0x240 }),
  sysreg('AFSR0_EL2', [3, 4, 5, 1, 0], { writable: 0n }),
  sysreg('AFSR1_EL2', [3, 4, 5, 1, 1], { writable: 0n }),
  sysreg('ESR_EL2', [3, 4, 5, 2, 0], { nv2: 'ESR_EL1', fields: ESR, writable: (1n << 56n) - 1n }),
  sysreg('VSESR_EL2', [3, 4, 5, 2, 3], { vncr: 0x508, needs: 'FEAT_RAS', fields: { IDS: 24, ISS: [0, 24] }, writable: 0x1ff_ffffn }),
  sysreg('FAR_EL2', [3, 4, 6, 0, 0], { nv2: 'FAR_EL1' }),
  sysreg('HPFAR_EL2', [3, 4, 6, 0, 4], { fields: { NS: 63, FIPA: [4, 44] }, writable: (hardware) => (address(hardware, 12) >> 8n) }),
  sysreg('MAIR_EL2', [3, 4, 10, 2, 0], { fields: MAIR }),
  sysreg('AMAIR_EL2', [3, 4, 10, 3, 0], { writable: 0n }),
  sysreg('VBAR_EL2', [3, 4, 12, 0, 0], { writable: VBAR_WRITABLE }),
  // EL2 is the highest level: RVBAR holds the reset vector, RMR says AArch64 and ignores the reset request.
  sysreg('RVBAR_EL2', [3, 4, 12, 0, 1], { access: 'R' }),
  sysreg('RMR_EL2', [3, 4, 12, 0, 2], { writable: 0n, res1: 1n, reset: 1n, fields: { RR: 1, AA64: 0 } }),
  sysreg('VDISR_EL2', [3, 4, 12, 1, 1], { vncr: 0x500, needs: 'FEAT_RAS', fields: DISR, writable: fieldBits(DISR) }),
  sysreg('CONTEXTIDR_EL2', [3, 4, 13, 0, 1], { needs: 'FEAT_VHE', writable: 0xffff_ffffn }),
  sysreg('TPIDR_EL2', [3, 4, 13, 0, 2], { vncr: 0x90 }),
  sysreg('SP_EL2', [3, 6, 4, 1, 0]),

  ...(
    [
      ['SCTLR', 1, 0, 0, 0x110], ['CPACR', 1, 0, 2, 0x100], ['TTBR0', 2, 0, 0, 0x200], ['TTBR1', 2, 0, 1, 0x210], ['TCR', 2, 0, 2, 0x120],
      ['SPSR', 4, 0, 0, 0x160], ['ELR', 4, 0, 1, 0x230], ['AFSR0', 5, 1, 0, 0x128], ['AFSR1', 5, 1, 1, 0x130], ['ESR', 5, 2, 0, 0x138],
      ['FAR', 6, 0, 0, 0x220], ['MAIR', 10, 2, 0, 0x140], ['AMAIR', 10, 3, 0, 0x148], ['VBAR', 12, 0, 0, 0x250], ['CONTEXTIDR', 13, 0, 1, 0x108],
    ] as const
  ).map(([name, crn, crm, op2, vncr]) => sysreg(`${name}_EL12`, [3, 5, crn, crm, op2], { alias: `${name}_EL1`, vncr, vncrNv1: 0, needs: 'FEAT_VHE' })),
];
