/** The generic timers: their arithmetic is in generic-timer.ts. */

import { sysreg } from './row.ts';
import type { Fields, SystemRegister } from './row.ts';

const CTL: Fields = { ISTATUS: 2, IMASK: 1, ENABLE: 0 };
const CNTKCTL: Fields = { EVNTIS: 17, EL0PTEN: 9, EL0VTEN: 8, EVNTI: [4, 4], EVNTDIR: 3, EVNTEN: 2, EL0VCTEN: 1, EL0PCTEN: 0 };
const CNTHCTL: Fields = { EVNTIS: 17, EL1NVVCT: 16, EL1NVPCT: 15, EL1TVCT: 14, EL1TVT: 13, ECV: 12, EVNTI: [4, 4], EVNTDIR: 3, EVNTEN: 2, EL1PCEN: 1, EL1PCTEN: 0 };
const CNTHCTL_E2H: Fields = {
  EVNTIS: 17, EL1NVVCT: 16, EL1NVPCT: 15, EL1TVCT: 14, EL1TVT: 13, ECV: 12, EL1PTEN: 11, EL1PCTEN: 10, EL0PTEN: 9, EL0VTEN: 8, EVNTI: [4, 4],
  EVNTDIR: 3, EVNTEN: 2, EL0VCTEN: 1, EL0PCTEN: 0,
};

export const TIMER: readonly SystemRegister[] = [
  // EVNTIS exists with FEAT_ECV.
  sysreg('CNTKCTL_EL1', [3, 0, 14, 1, 0], { e2h: 'CNTHCTL_EL2', fields: CNTKCTL, writable: (hardware) => (hardware.features.ecv ? 0x2_03ffn : 0x3ffn) }),
  sysreg('CNTKCTL_EL12', [3, 5, 14, 1, 0], { alias: 'CNTKCTL_EL1', needs: 'FEAT_VHE' }),
  sysreg('CNTFRQ_EL0', [3, 3, 14, 0, 0], { writeEl: 'highest', writable: 0xffff_ffffn, reset: (hardware) => BigInt(hardware.counterHz) }),
  sysreg('CNTPCT_EL0', [3, 3, 14, 0, 1], { access: 'R' }),
  sysreg('CNTVCT_EL0', [3, 3, 14, 0, 2], { access: 'R' }),
  sysreg('CNTPCTSS_EL0', [3, 3, 14, 0, 5], { access: 'R', needs: 'FEAT_ECV' }),
  sysreg('CNTVCTSS_EL0', [3, 3, 14, 0, 6], { access: 'R', needs: 'FEAT_ECV' }),
  sysreg('CNTP_TVAL_EL0', [3, 3, 14, 2, 0], { e2h: 'CNTHP_TVAL_EL2' }),
  sysreg('CNTP_CTL_EL0', [3, 3, 14, 2, 1], { vncr: 0x180, vncrNv1: 1, e2h: 'CNTHP_CTL_EL2', fields: CTL }),
  sysreg('CNTP_CVAL_EL0', [3, 3, 14, 2, 2], { vncr: 0x178, vncrNv1: 1, e2h: 'CNTHP_CVAL_EL2' }),
  sysreg('CNTV_TVAL_EL0', [3, 3, 14, 3, 0], { e2h: 'CNTHV_TVAL_EL2' }),
  sysreg('CNTV_CTL_EL0', [3, 3, 14, 3, 1], { vncr: 0x170, vncrNv1: 1, e2h: 'CNTHV_CTL_EL2', fields: CTL }),
  sysreg('CNTV_CVAL_EL0', [3, 3, 14, 3, 2], { vncr: 0x168, vncrNv1: 1, e2h: 'CNTHV_CVAL_EL2' }),
  sysreg('CNTVOFF_EL2', [3, 4, 14, 0, 3], { vncr: 0x60 }),
  sysreg('CNTPOFF_EL2', [3, 4, 14, 0, 6], { vncr: 0x1a8, needs: 'FEAT_ECV' }),
  // RESET: EL1PCTEN and EL1PCEN are UNKNOWN with EL2 present; 0 traps, which no hypervisor relies on.
  sysreg('CNTHCTL_EL2', [3, 4, 14, 1, 0], {
    fields: CNTHCTL, fieldsE2h: CNTHCTL_E2H,
    writable: (hardware, e2h) => (e2h ? 0xfffn : 0xffn) | (hardware.features.ecv ? 0x3_f000n : 0n),
  }),
  sysreg('CNTHP_TVAL_EL2', [3, 4, 14, 2, 0]),
  sysreg('CNTHP_CTL_EL2', [3, 4, 14, 2, 1], { fields: CTL }),
  sysreg('CNTHP_CVAL_EL2', [3, 4, 14, 2, 2]),
  sysreg('CNTHV_TVAL_EL2', [3, 4, 14, 3, 0], { needs: 'FEAT_VHE' }),
  sysreg('CNTHV_CTL_EL2', [3, 4, 14, 3, 1], { needs: 'FEAT_VHE', fields: CTL }),
  sysreg('CNTHV_CVAL_EL2', [3, 4, 14, 3, 2], { needs: 'FEAT_VHE' }),
  sysreg('CNTP_TVAL_EL02', [3, 5, 14, 2, 0], { alias: 'CNTP_TVAL_EL0', needs: 'FEAT_VHE' }),
  sysreg('CNTP_CTL_EL02', [3, 5, 14, 2, 1], { alias: 'CNTP_CTL_EL0', vncr: 0x180, vncrNv1: 0, needs: 'FEAT_VHE' }),
  sysreg('CNTP_CVAL_EL02', [3, 5, 14, 2, 2], { alias: 'CNTP_CVAL_EL0', vncr: 0x178, vncrNv1: 0, needs: 'FEAT_VHE' }),
  sysreg('CNTV_TVAL_EL02', [3, 5, 14, 3, 0], { alias: 'CNTV_TVAL_EL0', needs: 'FEAT_VHE' }),
  sysreg('CNTV_CTL_EL02', [3, 5, 14, 3, 1], { alias: 'CNTV_CTL_EL0', vncr: 0x170, vncrNv1: 0, needs: 'FEAT_VHE' }),
  sysreg('CNTV_CVAL_EL02', [3, 5, 14, 3, 2], { alias: 'CNTV_CVAL_EL0', vncr: 0x168, vncrNv1: 0, needs: 'FEAT_VHE' }),
];
