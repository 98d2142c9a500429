/**
 * L2's interrupts: L1's list registers, which are memory (the VNCR page), copied into the hardware's before L2 runs and
 * folded back after; and the maintenance interrupt that L1's virtual interface raises. Linux: vgic/vgic-v3-nested.c.
 */

import type { Board } from '../aarch64/board.ts';
import { IchHcr, LR_PINTID_SHIFT, Lr, Misr, computeMisr, lrPhysical, maintenanceLevel } from '../aarch64/list-registers.ts';
import type { Core } from '../aarch64/state.ts';
import type { Out } from '../messages.ts';
import { deactivate } from './ap-list.ts';
import {
  hardwareControl, hardwareListRegister, l1Control, l1Interface, l1ListRegister, setHardwareControl, setHardwareListRegister, setL1Control,
  setL1ListRegister, turnOff, type ControlName,
} from './interface.ts';
import { hardwareMapping } from './list-registers.ts';
import type { VgicState } from './state.ts';

const STATUS: readonly ControlName[] = ['ICH_VMCR_EL2', 'ICH_AP0R0_EL2', 'ICH_AP1R0_EL2'];

/** The hardware list register that holds L1's register `index`: the number of L1's registers below it that are there. */
export const rank = (lrMap: number, index: number): number => {
  let count = 0;
  for (let below = 0; below < index; below++) count += (lrMap >> below) & 1;
  return count;
};

/** Fills the hardware from L1's registers. Only list registers in use go there, packed. */
export function flushNested(state: VgicState, board: Board, core: Core): void {
  const own = l1Interface(board, state.index);
  state.lrMap = 0;
  let filled = 0;
  for (const [index, lr] of own.listRegisters.entries()) {
    if ((lr & Lr.STATE) === 0n) continue;
    setHardwareListRegister(core, filled++, shadowOf(state, lr));
    state.lrMap |= 1 << index;
  }
  for (let index = filled; index < own.listRegisters.length; index++) if (hardwareListRegister(core, index) !== 0n) setHardwareListRegister(core, index, 0n);
  for (const name of STATUS) setHardwareControl(core, name, l1Control(board, state.index, name));
  // What L1 has been told already does not interrupt again before it goes away: L1 may have the interrupt masked, and L2 must get on.
  setHardwareControl(core, 'ICH_HCR_EL2', own.hcr & ~enablesOf(state.maintenance ? computeMisr(own) : 0n));
  state.live = true;
  core.attention = true;
}

/** The enables in ICH_HCR_EL2 of the conditions in `misr`. EOI's are in list registers that are empty, which are not in the hardware. */
const enablesOf = (misr: bigint): bigint => misr & (Misr.U | Misr.LRENP | Misr.NP | Misr.VGrp0E | Misr.VGrp0D | Misr.VGrp1E | Misr.VGrp1D);

/** L1's list register as the hardware gets it. The physical interrupt that L1 names is one of L1's; only those behind a hardware timer have one of L0's. */
function shadowOf(state: VgicState, lr: bigint): bigint {
  if ((lr & Lr.HW) === 0n) return lr;
  const mapping = hardwareMapping(state, lrPhysical(lr));
  const bare = lr & ~(Lr.PINTID | Lr.HW);
  return mapping === undefined ? bare : bare | Lr.HW | (BigInt(mapping.physical) << LR_PINTID_SHIFT);
}

/** Folds the hardware back into L1's registers and turns it off. */
export function syncNested(state: VgicState, board: Board, core: Core, out: Out): void {
  for (let index = 0; index < board.features.listRegisters; index++) {
    if ((state.lrMap & (1 << index)) === 0) continue;
    const hardware = hardwareListRegister(core, rank(state.lrMap, index));
    const lr = (l1ListRegister(board, state.index, index) & ~Lr.STATE) | (hardware & Lr.STATE);
    setL1ListRegister(board, state.index, index, lr);
    // The end of L2's interrupt is the end of the L1 interrupt behind it.
    if ((lr & Lr.HW) !== 0n && (lr & Lr.STATE) === 0n) deactivate(state, out, lrPhysical(lr));
  }
  for (const name of STATUS) setL1Control(board, state.index, name, hardwareControl(core, name));
  const hcr = l1Control(board, state.index, 'ICH_HCR_EL2');
  setL1Control(board, state.index, 'ICH_HCR_EL2', (hcr & ~IchHcr.EOICOUNT) | (hardwareControl(core, 'ICH_HCR_EL2') & IchHcr.EOICOUNT));
  state.lrMap = 0;
  state.live = false;
  turnOff(core);
}

/** Drives L1's maintenance interrupt by the state of L1's registers, on every entry and exit: L1 changes them in memory, unseen. Linux: vgic_v3_nested_update_mi. */
export function updateMaintenance(state: VgicState, board: Board, out: Out): void {
  const level = maintenanceLevel(l1Interface(board, state.index));
  if (level === state.maintenance) return;
  state.maintenance = level;
  out.send(`gicr:${state.index}`, { type: 'irq-line', intid: state.maintenanceIntid, level });
}
