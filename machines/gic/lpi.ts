/** A PE's LPIs: which pend, their configuration in the guest's memory, and their pending table there. Arm IHI 0069, 5.1. */

import type { DirectMemory, OfferedInterrupt } from '../messages.ts';
import { FIRST_LPI, INTID_BITS, type PendingLpi, type RedistributorState } from './state.ts';

/** The LPI configuration and pending tables hold this many INTIDs. Fewer than 14 bits are no LPIs at all. */
const idsOf = (state: RedistributorState): number => 2 ** Math.min(Number(state.propbaser & 0x1fn) + 1, INTID_BITS);
const configurationTable = (state: RedistributorState): number => Number(state.propbaser & 0x000f_ffff_ffff_f000n);
const pendingTable = (state: RedistributorState): number => Number(state.pendbaser & 0x000f_ffff_ffff_0000n);

const isLpi = (state: RedistributorState, intid: number): boolean => intid >= FIRST_LPI && intid < idsOf(state);

/** Its entry of the configuration table: Enable in bit 0, priority in bits 7 to 2. What is not in RAM is disabled. */
function configured(state: RedistributorState, memory: DirectMemory, intid: number): PendingLpi {
  const entry = memory.read(configurationTable(state) + intid - FIRST_LPI, 1)?.[0] ?? 0;
  return { intid, enabled: (entry & 1) !== 0, priority: entry & 0xf8 };
}

/** The place of `intid` in the list, or of the first above it. */
function placeOf(lpis: readonly PendingLpi[], intid: number): number {
  let from = 0;
  for (let to = lpis.length; from < to;) {
    const middle = (from + to) >> 1;
    if (lpis[middle]!.intid < intid) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Returns whether it begins to pend. What is no LPI of this redistributor, or comes while LPIs are disabled, is lost. */
export function setLpi(state: RedistributorState, memory: DirectMemory, intid: number): boolean {
  if (!state.lpisEnabled || !isLpi(state, intid)) return false;
  const at = placeOf(state.lpis, intid);
  if (state.lpis[at]?.intid === intid) return false;
  state.lpis.splice(at, 0, configured(state, memory, intid));
  return true;
}

/** Returns whether it was pending. */
export function clearLpi(state: RedistributorState, intid: number): boolean {
  const at = placeOf(state.lpis, intid);
  if (state.lpis[at]?.intid !== intid) return false;
  state.lpis.splice(at, 1);
  return true;
}

/** Reads the configuration of `intid` again, or of all that pend. */
export function invalidateLpis(state: RedistributorState, memory: DirectMemory, intid: number | undefined): void {
  for (const lpi of state.lpis) if (intid === undefined || lpi.intid === intid) Object.assign(lpi, configured(state, memory, lpi.intid));
}

/** GICR_CTLR.EnableLPIs was set: takes over the pending table, which with GICR_PENDBASER.PTZ is known to be zero. Its first KiB, where no LPIs are, is left alone. */
export function takePendingTable(state: RedistributorState, memory: DirectMemory): void {
  state.lpis = [];
  const table = state.pendingTableZero ? undefined : memory.read(pendingTable(state) + FIRST_LPI / 8, Math.max(0, idsOf(state) - FIRST_LPI) / 8);
  for (const [index, byte] of (table ?? []).entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) state.lpis.push(configured(state, memory, FIRST_LPI + 8 * index + bit));
  }
}

/** GICR_CTLR.EnableLPIs was cleared: the pending table in memory has what pends again. Returns false where it is not in RAM. */
export function givePendingTable(state: RedistributorState, memory: DirectMemory): boolean {
  const table = new Uint8Array(Math.max(0, idsOf(state) - FIRST_LPI) / 8);
  for (const { intid } of state.lpis) table[(intid - FIRST_LPI) >> 3]! |= 1 << (intid & 7);
  state.lpis = [];
  return memory.write(pendingTable(state) + FIRST_LPI / 8, table);
}

/** Those that may be signalled. LPIs are in Group 1, edge-triggered, and never active. */
export const lpisOffered = (state: RedistributorState): OfferedInterrupt[] =>
  state.lpis.filter(({ enabled }) => enabled).map(({ intid, priority }) => ({ intid, priority, group: 1, pending: true, active: false, level: false }));
