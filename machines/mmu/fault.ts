/** Stage-2 faults: whether L1's tables, L0's map or a device is behind one, and filling a shadow. Linux: mmu.c (kvm_handle_guest_abort), nested.c (kvm_walk_nested_s2). */

import type { Board } from '../aarch64/board.ts';
import { updateStage2, walkStage2 } from '../aarch64/translate.ts';
import type { FaultResult, MmuMessage, Out } from '../messages.ts';
import { map } from './shadow.ts';
import { BLOCK, lookupCanonical } from './stage2.ts';
import type { MmuState, ShadowSlot } from './state.ts';

type Fault = Extract<MmuMessage, { type: 'fault' }>;

const PAGE = 4096;
/** Fault status code of a Permission fault, level 0. */
const PERMISSION = 0x0c;

/** L1's stage 2 of `slot` walked for `ipa`, in software. L1's tables are little-endian: the canonical map is an identity, so they are walked in place. */
export const walkL1 = (board: Board, slot: Pick<ShadowSlot, 'vttbr' | 'vtcr'>, ipa: number) =>
  walkStage2(board.memory, { vttbr: slot.vttbr, vtcr: slot.vtcr, paBits: board.features.paBits }, ipa);

/** What becomes of a fault. Where no memory is, `device` is the answer: kvm knows whether a device is there or an external abort. */
export function handleFault(state: MmuState, board: Board, out: Out, { vcpu, ipa, access, user, nested, vttbr, vtcr }: Fault): FaultResult {
  if (!nested) return behindL1(state, ipa, access) ? { outcome: 'mapped' } : { outcome: 'device', ipa };
  const index = state.current[vcpu]!;
  const slot = state.slots[index];
  if (slot === undefined || !slot.enabled || slot.vttbr !== (vttbr & ~1n) || slot.vtcr !== vtcr) throw new Error(`mmu: vCPU ${vcpu} faults below a stage 2 that it has not loaded`);
  const walk = walkL1(board, slot, ipa);
  if (!walk.ok) return { outcome: 'inject', fsc: walk.fsc, ipa };
  if (!allows(walk, access, user)) return { outcome: 'inject', fsc: PERMISSION | walk.level, ipa };
  // L1's flags in its own tables: L0 is the hardware that keeps them.
  const writes = access === 'write' || access === 'update';
  updateStage2(board.cores[vcpu]!, walk, writes);
  if (!behindL1(state, walk.pa, access)) return { outcome: 'device', ipa: walk.pa };
  const host = lookupCanonical(state, walk.pa);
  if (!host.ok) throw new Error('mmu: memory without a mapping');
  const bytes = walk.bytes >= BLOCK && host.bytes >= BLOCK ? BLOCK : PAGE;
  const entry = {
    ipa: ipa - (ipa % bytes), pa: host.pa - (host.pa % bytes), bytes, level: walk.level,
    // What is writable and clean is mapped to be written when it has been.
    read: walk.read && host.read, write: walk.write && host.write && (writes || walk.update?.clean !== true), execute: walk.execute && host.execute, executeUser: walk.executeUser && host.execute,
  };
  map(state, board, index, entry);
  out.event('shadow_mmu_map', { vcpu_id: vcpu, slot: index, ...entry });
  return { outcome: 'mapped' };
}

/** Whether the guest's map has memory at L1's physical address, and lets this access at it. A store to flash is for its device. */
function behindL1(state: MmuState, ipa: number, access: Fault['access']): boolean {
  const host = lookupCanonical(state, ipa);
  return host.ok && allows({ ...host, executeUser: host.execute }, access, false);
}

function allows(rights: { readonly read: boolean; readonly write: boolean; readonly execute: boolean; readonly executeUser: boolean }, access: Fault['access'], user: boolean): boolean {
  switch (access) {
    case 'read': return rights.read;
    case 'write': return rights.write;
    case 'update': return rights.read && rights.write;
    case 'fetch': return user ? rights.executeUser : rights.execute;
  }
}
