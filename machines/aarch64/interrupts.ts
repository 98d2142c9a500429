/** Which interrupt a core takes next: pending physical and virtual interrupts, their routing and their masks. Arm ARM D1.3.6. */

import { Hcr, e2h, hcrLow } from './controls.ts';
import { physicalInterruptPending, virtualInterruptPending } from './cpu-interface.ts';
import type { Vector } from './exit.ts';
import { type Core, Pstate, Word } from './state.ts';

export interface DueInterrupt {
  readonly vector: Vector;
  readonly target: 1 | 2;
  readonly virtual: boolean;
}

/**
 * The interrupt that is taken before the next instruction, or undefined. Order, ours: physical FIQ, physical IRQ (as L0's exits),
 * physical SError, virtual FIQ, virtual IRQ, virtual SError.
 */
export function maskedOrTaken(core: Core): DueInterrupt | undefined {
  const pstate = core.ints[2 * Word.PSTATE]!;
  const el = (pstate >> 2) & 3;
  const pending = physicalInterruptPending(core);
  if (pending !== undefined) {
    // What is physical is L0's where it owns EL2: always an exit.
    if (core.board.el2 === 'kvm') {
      if (el < 2) return { vector: pending, target: 2, virtual: false };
    } else {
      const target = physicalTarget(core, el, pending === 'fiq' ? Hcr.FMO : Hcr.IMO, pstate & (pending === 'fiq' ? Pstate.F : Pstate.I));
      if (target !== undefined) return { vector: pending, target, virtual: false };
    }
  }
  const serror = core.ints[2 * Word.SERROR]!;
  if ((serror & 2) !== 0) {
    const target = physicalTarget(core, el, Hcr.AMO, pstate & Pstate.A);
    if (target !== undefined) return { vector: 'serror', target, virtual: false };
  }
  const vector = virtualVector(core, el, pstate);
  return vector === undefined ? undefined : { vector, target: 1, virtual: true };
}

/** The level that takes a physical interrupt now, or undefined where it is masked or its target is lower. `route` is FMO, IMO or AMO; `masked` the PSTATE bit. */
function physicalTarget(core: Core, el: number, route: number, masked: number): 1 | 2 | undefined {
  const hcr = hcrLow(core);
  const tge = (hcr & Hcr.TGE) !== 0;
  // With TGE = 1 the effective value of FMO, IMO and AMO is 1 for E2H = 0; for E2H = 1 the interrupts go to EL2 all the same.
  const target = tge || (hcr & route) !== 0 ? 2 : 1;
  if (target < el) return undefined;
  // To a higher level PSTATE does not mask, except that host applications ({E2H, TGE} = {1, 1}) run under the host's masks.
  if (target === 2 && el < 2 && !(tge && e2h(core))) return 2;
  return masked !== 0 ? undefined : target;
}

/** Virtual interrupts are taken at EL0 and EL1 with TGE = 0, each when its route bit is set and PSTATE does not mask it. */
function virtualVector(core: Core, el: number, pstate: number): Vector | undefined {
  const hcr = hcrLow(core);
  if (el === 2 || (hcr & Hcr.TGE) !== 0 || (hcr & (Hcr.FMO | Hcr.IMO | Hcr.AMO)) === 0) return undefined;
  const listed = virtualInterruptPending(core);
  if ((hcr & Hcr.FMO) !== 0 && ((hcr & Hcr.VF) !== 0 || listed === 'fiq') && (pstate & Pstate.F) === 0) return 'fiq';
  if ((hcr & Hcr.IMO) !== 0 && ((hcr & Hcr.VI) !== 0 || listed === 'irq') && (pstate & Pstate.I) === 0) return 'irq';
  if (virtualSerrorPending(core, hcr) && (pstate & Pstate.A) === 0) return 'serror';
  return undefined;
}

const virtualSerrorPending = (core: Core, hcr: number): boolean => (hcr & Hcr.AMO) !== 0 && ((hcr & Hcr.VSE) !== 0 || (core.ints[2 * Word.SERROR]! & 1) !== 0);

/** InterruptPending(): a physical interrupt, or at EL0 or EL1 a virtual one, pends whatever PSTATE masks. It completes WFI and WFE. */
export function interruptPending(core: Core): boolean {
  if (physicalInterruptPending(core) !== undefined) return true;
  if ((core.ints[2 * Word.SERROR]! & 2) !== 0) return true;
  // Virtual interrupts count as if nothing masked them.
  return virtualVector(core, (core.ints[2 * Word.PSTATE]! >> 2) & 3, 0) !== undefined;
}
