/** Self-hosted debug registers. What they switch on is in debug.ts; no external debugger is there. */

import { sysreg } from './row.ts';
import type { Fields, SystemRegister } from './row.ts';

const MDSCR: Fields = {
  TFO: 31, RXfull: 30, TXfull: 29, RXO: 27, TXU: 26, INTdis: [22, 2], TDA: 21, SC2: 19, MDE: 15, HDE: 14, KDE: 13, TDCC: 12, ERR: 6, SS: 0,
};
const DBGBCR: Fields = { BT: [20, 4], LBN: [16, 4], SSC: [14, 2], HMC: 13, BAS: [5, 4], PMC: [1, 2], E: 0 };
const DBGWCR: Fields = { MASK: [24, 5], WT: 20, LBN: [16, 4], SSC: [14, 2], HMC: 13, BAS: [5, 8], LSC: [3, 2], PAC: [1, 2], E: 0 };

/** DBGBCR<n>_EL1.BAS is RES1 where nothing is AArch32. */
const BAS = 0x1e0n;

export const DEBUG: readonly SystemRegister[] = [
  sysreg('OSDTRRX_EL1', [2, 0, 0, 0, 2], { writable: 0xffff_ffffn }),
  sysreg('OSDTRTX_EL1', [2, 0, 0, 3, 2], { writable: 0xffff_ffffn }),
  sysreg('MDCCINT_EL1', [2, 0, 0, 2, 0], { writable: 0x6000_0000n, fields: { RX: 30, TX: 29 } }),
  // TFO, RXfull, TXfull, RXO and TXU can be written only while the OS Lock is locked (effects.ts); INTdis, TDA and ERR likewise act on an external debugger.
  sysreg('MDSCR_EL1', [2, 0, 0, 2, 2], { vncr: 0x158, fields: MDSCR, writable: 0x6c28_f041n }),
  sysreg('OSECCR_EL1', [2, 0, 0, 6, 2], { writable: 0xffff_ffffn }),
  ...Array.from({ length: 16 }, (_, n) => [
    sysreg(`DBGBVR${n}_EL1`, [2, 0, 0, n, 4], n > 5 ? { needs: 'breakpoints above 5' } : {}),
    sysreg(`DBGBCR${n}_EL1`, [2, 0, 0, n, 5], n > 5 ? { needs: 'breakpoints above 5' } : { fields: DBGBCR, writable: 0xff_e007n, res1: BAS, reset: BAS }),
    sysreg(`DBGWVR${n}_EL1`, [2, 0, 0, n, 6], n > 3 ? { needs: 'watchpoints above 3' } : { writable: 0xffff_ffff_ffff_fffcn }),
    sysreg(`DBGWCR${n}_EL1`, [2, 0, 0, n, 7], n > 3 ? { needs: 'watchpoints above 3' } : { fields: DBGWCR, writable: 0x1f1f_ffffn }),
  ]).flat(),
  sysreg('MDRAR_EL1', [2, 0, 1, 0, 0], { access: 'R' }),
  sysreg('OSLAR_EL1', [2, 0, 1, 0, 4], { access: 'W' }),
  // OSLM 0b10: the OS Lock is implemented. Locked out of reset.
  sysreg('OSLSR_EL1', [2, 0, 1, 1, 4], { access: 'R', reset: 0xan, fields: { nTT: 2, OSLK: 1 } }),
  // The OS Double Lock is not implemented: RAZ/WI.
  sysreg('OSDLR_EL1', [2, 0, 1, 3, 4], { writable: 0n }),
  sysreg('DBGPRCR_EL1', [2, 0, 1, 4, 4], { writable: 1n }),
  sysreg('DBGCLAIMSET_EL1', [2, 0, 7, 8, 6], { writable: 0xffn }),
  sysreg('DBGCLAIMCLR_EL1', [2, 0, 7, 9, 6], { writable: 0xffn }),
  // Each two-bit field 0b10 would say "implemented, disabled"; 0: not implemented, since nobody can authenticate.
  sysreg('DBGAUTHSTATUS_EL1', [2, 0, 7, 14, 6], { access: 'R' }),
  sysreg('MDCCSR_EL0', [2, 3, 0, 1, 0], { access: 'R' }),
  sysreg('DBGDTR_EL0', [2, 3, 0, 4, 0]),
  // One encoding: read DBGDTRRX_EL0, write DBGDTRTX_EL0. With no debugger nothing arrives and nothing is taken.
  sysreg('DBGDTRRX_EL0', [2, 3, 0, 5, 0], { writable: 0n }),
];
