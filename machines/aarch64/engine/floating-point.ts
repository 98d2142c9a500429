/** Whether an FP or Advanced SIMD instruction traps before it is looked at further. Arm ARM: AArch64.CheckFPAdvSIMDEnabled. */

import { e2h, inHost, tge } from '../controls.ts';
import { raise, type SyncException } from '../exception.ts';
import { elOf, type Core } from '../state.ts';
import { Ec } from '../syndrome.ts';
import { slot } from '../sysregs.ts';

const CPACR_EL1 = 2 * slot('CPACR_EL1');
const CPTR_EL2 = 2 * slot('CPTR_EL2');

/** ISS of EC 0x07 from AArch64: CV set, COND AL. */
const ISS = 0x1e0_0000;
/** CPTR_EL2.TFP with E2H 0. */
const TFP = 1 << 10;

/** The trap of CPACR_EL1.FPEN or CPTR_EL2 on FP and Advanced SIMD now; undefined where they may execute. */
export function floatingPointTrap(core: Core): SyncException | undefined {
  const el = elOf(core);
  if (el < 2 && !inHost(core) && trapsAt(core.ints[CPACR_EL1]!, el === 0)) return el === 0 && tge(core) ? TO_HOST : TO_EL1;
  if (core.board.el2 === 'none') return undefined;
  const cptr = core.ints[CPTR_EL2]!;
  return (e2h(core) ? trapsAt(cptr, el === 0 && tge(core)) : (cptr & TFP) !== 0) ? TO_EL2 : undefined;
}

/** Raises that trap. */
export function checkFloatingPoint(core: Core): void {
  const trap = floatingPointTrap(core);
  if (trap !== undefined) raise(core, trap);
}

const TO_HOST: SyncException = { ec: Ec.UNKNOWN, iss: 0, target: 2 };
const TO_EL1: SyncException = { ec: Ec.FP_ACCESS, iss: ISS, target: 1 };
const TO_EL2: SyncException = { ec: Ec.FP_ACCESS, iss: ISS, target: 2 };

/** FPEN, bits 21 and 20: x0 traps, 01 traps `user`, 11 does not. */
function trapsAt(control: number, user: boolean): boolean {
  const fpen = (control >> 20) & 3;
  return (fpen & 1) === 0 || (fpen === 1 && user);
}
