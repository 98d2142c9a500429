/** The GIC virtual interface's registers as values: list register fields, and the status registers that follow from them. Arm IHI 0069, 12.4. */

import { bits } from '../bits.ts';

/** What the status registers are computed from. `listRegisters` has one entry an implemented register. */
export interface VirtualInterface {
  readonly hcr: bigint;
  readonly vmcr: bigint;
  readonly listRegisters: readonly bigint[];
}

/** Bits of ICH_HCR_EL2. */
export const IchHcr = {
  En: 1n << 0n, UIE: 1n << 1n, LRENPIE: 1n << 2n, NPIE: 1n << 3n, VGrp0EIE: 1n << 4n, VGrp0DIE: 1n << 5n, VGrp1EIE: 1n << 6n, VGrp1DIE: 1n << 7n,
  TC: 1n << 10n, TALL0: 1n << 11n, TALL1: 1n << 12n, TDIR: 1n << 14n, EOICOUNT: 0x1fn << 27n,
} as const;
export const EOICOUNT_SHIFT = 27n;

/** Bits of ICH_MISR_EL2. */
export const Misr = { EOI: 1n << 0n, U: 1n << 1n, LRENP: 1n << 2n, NP: 1n << 3n, VGrp0E: 1n << 4n, VGrp0D: 1n << 5n, VGrp1E: 1n << 6n, VGrp1D: 1n << 7n } as const;

/** Fields of ICH_LR<n>_EL2. State is its bits 63 and 62. */
export const Lr = { PENDING: 1n << 62n, ACTIVE: 1n << 63n, STATE: 3n << 62n, HW: 1n << 61n, GROUP1: 1n << 60n, EOI: 1n << 41n, PINTID: 0x1fffn << 32n } as const;
export const LR_PINTID_SHIFT = 32n;
export const LR_PRIORITY_SHIFT = 48n;

export const lrState = (lr: bigint): bigint => lr >> 62n;
export const lrIntid = (lr: bigint): number => Number(lr & 0xffff_ffffn);
export const lrPhysical = (lr: bigint): number => Number(bits(lr, 44, 32));

/** ICH_EISR_EL2: list registers whose EOI asked for maintenance and came (state 0, HW 0, EOI 1). */
export const computeEisr = ({ listRegisters }: Pick<VirtualInterface, 'listRegisters'>): bigint =>
  statusBits(listRegisters, (lr) => lrState(lr) === 0n && (lr & Lr.HW) === 0n && (lr & Lr.EOI) !== 0n);

/** ICH_ELRSR_EL2: list registers free to be used (state 0, and no EOI maintenance outstanding). */
export const computeElrsr = ({ listRegisters }: Pick<VirtualInterface, 'listRegisters'>): bigint =>
  statusBits(listRegisters, (lr) => lrState(lr) === 0n && ((lr & Lr.HW) !== 0n || (lr & Lr.EOI) === 0n));

/** ICH_MISR_EL2: the maintenance conditions that hold. NP counts the pending state 0b01 only: active-and-pending is not "in the pending state" (bug B2 is to count it). */
export function computeMisr(state: VirtualInterface): bigint {
  const { hcr, vmcr, listRegisters } = state;
  const used = listRegisters.filter((lr) => lrState(lr) !== 0n).length;
  const pending = listRegisters.filter((lr) => lrState(lr) === 1n).length;
  const group0 = (vmcr & 1n) !== 0n;
  const group1 = (vmcr & 2n) !== 0n;
  let misr = computeEisr(state) === 0n ? 0n : Misr.EOI;
  if ((hcr & IchHcr.UIE) !== 0n && used <= 1) misr |= Misr.U;
  if ((hcr & IchHcr.LRENPIE) !== 0n && (hcr & IchHcr.EOICOUNT) !== 0n) misr |= Misr.LRENP;
  if ((hcr & IchHcr.NPIE) !== 0n && pending === 0) misr |= Misr.NP;
  if ((hcr & IchHcr.VGrp0EIE) !== 0n && group0) misr |= Misr.VGrp0E;
  if ((hcr & IchHcr.VGrp0DIE) !== 0n && !group0) misr |= Misr.VGrp0D;
  if ((hcr & IchHcr.VGrp1EIE) !== 0n && group1) misr |= Misr.VGrp1E;
  if ((hcr & IchHcr.VGrp1DIE) !== 0n && !group1) misr |= Misr.VGrp1D;
  return misr;
}

/** The maintenance interrupt's level: ICH_HCR_EL2.En and some condition of ICH_MISR_EL2. */
export const maintenanceLevel = (state: VirtualInterface): boolean => (state.hcr & IchHcr.En) !== 0n && computeMisr(state) !== 0n;

function statusBits(listRegisters: readonly bigint[], holds: (lr: bigint) => boolean): bigint {
  return listRegisters.reduce((status, lr, index) => (holds(lr) ? status | (1n << BigInt(index)) : status), 0n);
}
