/** The status and control registers of floating point and Advanced SIMD. */

import { sysreg } from './row.ts';
import type { SystemRegister } from './row.ts';

export const SIMD: readonly SystemRegister[] = [
  sysreg('FPCR', [3, 3, 4, 4, 0], { writable: 0x07c8_0000n, fields: { AHP: 26, DN: 25, FZ: 24, RMode: [22, 2], FZ16: 19 } }),
  sysreg('FPSR', [3, 3, 4, 4, 1], { writable: 0x0800_009fn, fields: { QC: 27, IDC: 7, IXC: 4, UFC: 3, OFC: 2, DZC: 1, IOC: 0 } }),
];
