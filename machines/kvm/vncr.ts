/** L0's VNCR page of each vCPU: where VNCR-backed virtual registers live, under every mechanism. Linux: asm/vncr_mapping.h, kvm_host.h. */

import { vncrPage, type Board } from '../aarch64/board.ts';
import { registerByName, sanitise, SYSTEM_REGISTERS } from '../aarch64/sysregs.ts';
import { readWord, writeWord } from '../memory/memory.ts';
import type { KvmState } from './state.ts';
import { virtualHardware } from './virtual-hardware.ts';

const offsetByName = new Map<string, number>();
for (const row of SYSTEM_REGISTERS) if (row.vncr !== undefined) offsetByName.set(row.name, row.vncr);

/** The byte offset of `name` in the VNCR page, or undefined where it is not VNCR-backed. EL1 names mean the registers that L1 keeps for its guest. */
export const vncrOffset = (name: string): number | undefined => offsetByName.get(name);

/** A VNCR-backed virtual register of vCPU `index`. Throws RangeError for a register without a place in the page. */
export const readVncr = (board: Board, index: number, name: string): bigint => readWord(board.memory, vncrPage(index) + place(name));

/**
 * The same as L1's hardware would hold it: when L1 writes to the page nothing looks at RES0 and RES1 bits, so that L0 does whenever it
 * reads. Linux: kvm_vcpu_apply_reg_masks.
 */
export const readPage = (state: Pick<KvmState, 'index' | 'mechanism' | 'flavour'>, board: Board, name: string): bigint =>
  sanitise(registerByName(name)!, virtualHardware(state, board), state.mechanism !== 'none' && state.flavour === 'vhe', readVncr(board, state.index, name));

export const writeVncr = (board: Board, index: number, name: string, value: bigint): void =>
  writeWord(board.memory, vncrPage(index) + place(name), value);

function place(name: string): number {
  const offset = offsetByName.get(name);
  if (offset === undefined) throw new RangeError(`${name} is not in the VNCR page`);
  return offset;
}
