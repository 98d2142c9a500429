/** The fine-grained trap registers: which bit traps what is in traps.ts. */

import { sysreg } from './row.ts';
import type { SystemRegister } from './row.ts';

/** A bit that traps nothing here still keeps what is written: hypervisors compute and compare whole values. `writable` leaves out what no version of the architecture allocates. */
export const FINE_GRAINED: readonly SystemRegister[] = [
  sysreg('HFGRTR_EL2', [3, 4, 1, 1, 4], { vncr: 0x1b8, needs: 'FEAT_FGT', writable: 0xfff7_ffff_ffff_ffffn }),
  sysreg('HFGWTR_EL2', [3, 4, 1, 1, 5], { vncr: 0x1c0, needs: 'FEAT_FGT', writable: 0xfff7_baff_e9db_39fbn }),
  sysreg('HFGITR_EL2', [3, 4, 1, 1, 6], { vncr: 0x1c8, needs: 'FEAT_FGT', writable: 0xdfff_ffff_ffff_ffffn, fields: { ERET: 51, SVC_EL1: 53, SVC_EL0: 52 } }),
  sysreg('HDFGRTR_EL2', [3, 4, 3, 1, 4], { vncr: 0x1d0, needs: 'FEAT_FGT', writable: 0xfffd_fb3f_ffcf_feffn }),
  sysreg('HDFGWTR_EL2', [3, 4, 3, 1, 5], { vncr: 0x1d8, needs: 'FEAT_FGT', writable: 0x73f7_763b_bfbf_fdbfn }),
  sysreg('HAFGRTR_EL2', [3, 4, 3, 1, 6], { vncr: 0x1e8, needs: 'FEAT_AMU' }),
  sysreg('HDFGRTR2_EL2', [3, 4, 3, 1, 0], { vncr: 0x1a0, needs: 'FEAT_FGT2' }),
  sysreg('HDFGWTR2_EL2', [3, 4, 3, 1, 1], { vncr: 0x1b0, needs: 'FEAT_FGT2' }),
  sysreg('HFGRTR2_EL2', [3, 4, 3, 1, 2], { vncr: 0x2c0, needs: 'FEAT_FGT2' }),
  sysreg('HFGWTR2_EL2', [3, 4, 3, 1, 3], { vncr: 0x2c8, needs: 'FEAT_FGT2' }),
  sysreg('HFGITR2_EL2', [3, 4, 3, 1, 7], { vncr: 0x310, needs: 'FEAT_FGT2' }),
];
