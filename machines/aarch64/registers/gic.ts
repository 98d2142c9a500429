/** The GICv3 CPU interface: physical ICC_*, virtual ICV_* (the same encodings) and the hypervisor's ICH_* registers. Behaviour is in cpu-interface.ts. */

import { sysreg as row } from './row.ts';
import type { Fields, SystemRegister } from './row.ts';

const SGI: Fields = { Aff3: [48, 8], RS: [44, 4], IRM: 40, Aff2: [32, 8], INTID: [24, 4], Aff1: [16, 8], TargetList: [0, 16] };
const LR: Fields = { State: [62, 2], HW: 61, Group: 60, NMI: 59, Priority: [48, 8], pINTID: [32, 13], vINTID: [0, 32] };
const HCR: Fields = {
  EOIcount: [27, 5], DVIM: 15, TDIR: 14, TSEI: 13, TALL1: 12, TALL0: 11, TC: 10, vSGIEOICount: 8,
  VGrp1DIE: 7, VGrp1EIE: 6, VGrp0DIE: 5, VGrp0EIE: 4, NPIE: 3, LRENPIE: 2, UIE: 1, En: 0,
};

/** With GICv2 they are UNDEFINED, and their words hold the state of its memory-mapped interface. */
const sysreg: typeof row = (name, encoding, more) => row(name, encoding, { needs: 'FEAT_GICv3', ...more });

export const GIC: readonly SystemRegister[] = [
  sysreg('ICC_PMR_EL1', [3, 0, 4, 6, 0], { fields: { Priority: [0, 8] }, writable: 0xf8n }),
  sysreg('ICC_IAR0_EL1', [3, 0, 12, 8, 0], { access: 'R' }),
  sysreg('ICC_EOIR0_EL1', [3, 0, 12, 8, 1], { access: 'W' }),
  sysreg('ICC_HPPIR0_EL1', [3, 0, 12, 8, 2], { access: 'R' }),
  sysreg('ICC_BPR0_EL1', [3, 0, 12, 8, 3], { fields: { BinaryPoint: [0, 3] }, writable: 7n }),
  // Five bits of priority: 32 preemption levels, one active-priorities register a group.
  ...[0, 1, 2, 3].map((n) => sysreg(`ICC_AP0R${n}_EL1`, [3, 0, 12, 8, 4 + n], n === 0 ? { writable: 0xffff_ffffn } : { needs: 'more than 5 priority bits' })),
  ...[0, 1, 2, 3].map((n) => sysreg(`ICC_AP1R${n}_EL1`, [3, 0, 12, 9, n], n === 0 ? { writable: 0xffff_ffffn } : { needs: 'more than 5 priority bits' })),
  sysreg('ICC_DIR_EL1', [3, 0, 12, 11, 1], { access: 'W', fields: { INTID: [0, 24] } }),
  sysreg('ICC_RPR_EL1', [3, 0, 12, 11, 3], { access: 'R' }),
  sysreg('ICC_SGI1R_EL1', [3, 0, 12, 11, 5], { access: 'W', fields: SGI }),
  sysreg('ICC_ASGI1R_EL1', [3, 0, 12, 11, 6], { access: 'W', fields: SGI }),
  sysreg('ICC_SGI0R_EL1', [3, 0, 12, 11, 7], { access: 'W', fields: SGI }),
  sysreg('ICC_IAR1_EL1', [3, 0, 12, 12, 0], { access: 'R' }),
  sysreg('ICC_EOIR1_EL1', [3, 0, 12, 12, 1], { access: 'W' }),
  sysreg('ICC_HPPIR1_EL1', [3, 0, 12, 12, 2], { access: 'R' }),
  sysreg('ICC_BPR1_EL1', [3, 0, 12, 12, 3], { writable: 7n }),
  sysreg('ICC_CTLR_EL1', [3, 0, 12, 12, 4]),
  // No memory-mapped legacy interface: SRE, DFB and DIB are RAO/WI, and with them ICC_SRE_EL2.Enable.
  sysreg('ICC_SRE_EL1', [3, 0, 12, 12, 5], { writable: 0n, res1: 7n, reset: 7n, fields: { DIB: 2, DFB: 1, SRE: 0 } }),
  sysreg('ICC_IGRPEN0_EL1', [3, 0, 12, 12, 6], { writable: 1n, fields: { Enable: 0 } }),
  sysreg('ICC_IGRPEN1_EL1', [3, 0, 12, 12, 7], { writable: 1n, fields: { Enable: 0 } }),
  ...[0, 1, 2, 3].map((n) => sysreg(`ICH_AP0R${n}_EL2`, [3, 4, 12, 8, n], { vncr: 0x480 + 8 * n, ...(n === 0 ? { writable: 0xffff_ffffn } : { needs: 'more than 5 priority bits' }) })),
  ...[0, 1, 2, 3].map((n) => sysreg(`ICH_AP1R${n}_EL2`, [3, 4, 12, 9, n], { vncr: 0x4a0 + 8 * n, ...(n === 0 ? { writable: 0xffff_ffffn } : { needs: 'more than 5 priority bits' }) })),
  sysreg('ICC_SRE_EL2', [3, 4, 12, 9, 5], { writable: 0n, res1: 0xfn, reset: 0xfn, fields: { Enable: 3, DIB: 2, DFB: 1, SRE: 0 } }),
  sysreg('ICH_HCR_EL2', [3, 4, 12, 11, 0], { vncr: 0x4c0, fields: HCR, writable: 0xf800_7cffn }),
  sysreg('ICH_VTR_EL2', [3, 4, 12, 11, 1], { access: 'R', fields: { PRIbits: [29, 3], PREbits: [26, 3], IDbits: [23, 3], SEIS: 22, A3V: 21, nV4: 20, TDS: 19, DVIM: 18, ListRegs: [0, 5] } }),
  sysreg('ICH_MISR_EL2', [3, 4, 12, 11, 2], { access: 'R', fields: { VGrp1D: 7, VGrp1E: 6, VGrp0D: 5, VGrp0E: 4, NP: 3, LRENP: 2, U: 1, EOI: 0 } }),
  sysreg('ICH_EISR_EL2', [3, 4, 12, 11, 3], { access: 'R' }),
  sysreg('ICH_ELRSR_EL2', [3, 4, 12, 11, 5], { access: 'R' }),
  // Out of reset UNKNOWN; ours is what zero reads as: the least binary points, and VFIQEn, which SRE makes RAO.
  sysreg('ICH_VMCR_EL2', [3, 4, 12, 11, 7], {
    vncr: 0x4c8, reset: (hardware) => (hardware.features.gic === 2 ? 0x4c_0000n : 0x4c_0008n), fields: { VPMR: [24, 8], VBPR0: [21, 3], VBPR1: [18, 3], VEOIM: 9, VCBPR: 4, VFIQEn: 3, VAckCtl: 2, VENG1: 1, VENG0: 0 },
  }),
  ...Array.from({ length: 16 }, (_, n) => sysreg(`ICH_LR${n}_EL2`, [3, 4, 12, 12 + (n >> 3), n & 7], { vncr: 0x400 + 8 * n, needs: `list register ${n}`, fields: LR })),
];
