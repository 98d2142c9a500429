/** GICv2's distributor as rows: what all PEs share, and what is banked by PE. Arm IHI 0048B, 4.3. One Security state. */

import { bankRegisters, checked, forgetHolders, identification, IIDR, register, type Register } from './registers.ts';
import { SGIS, type DistributorState, type RedistributorState } from './state.ts';

/** A write of it sends an SGI, which is distributor.ts's. */
export const GICD_SGIR = 0xf00;

/** GICD_TYPER: ITLinesNumber, CPUNumber. No Security Extensions. */
const distributorType = ({ spis, vcpus }: DistributorState): number => spis / 32 | ((vcpus - 1) << 5);

/** What all PEs share: the registers of SPIs, and the few without interrupts. Places that are banked are never asked here. */
export const SHARED_REGISTERS: readonly Register<DistributorState>[] = checked([
  register('GICD_CTLR', 0x000, (state) => BigInt(state.enables), (state, value) => { state.enables = Number(value & 3n); }),
  register('GICD_TYPER', 0x004, (state) => BigInt(distributorType(state))),
  register('GICD_IIDR', 0x008, () => BigInt(IIDR)),
  ...bankRegisters<DistributorState>({
    prefix: 'GICD', base: 0, banks: 32, fixedMode: 0, fixedPending: 0,
    bank: (state, index) => state.banks[index - 1],
    deactivated: forgetHolders,
  }),
  {
    name: 'GICD_ITARGETSR<n>', offset: 0x800, unit: 1, count: 1020, sizes: [1, 4],
    // A single PE is the target of everything: RAZ/WI.
    read: (state, index) => (state.vcpus === 1 ? 0n : BigInt(state.targets![index - 32] ?? 0)),
    write: (state, index, value) => { if (state.vcpus > 1 && index - 32 < state.spis) state.targets![index - 32] = Number(value) & ((1 << state.vcpus) - 1); },
  },
  { name: 'GICD_SGIR', offset: GICD_SGIR, unit: 4, count: 1, sizes: [4] },
  identification('GICD_PIDR<n>', 0xfd0, 2),
]);

/** Bytes of GICD_SPENDSGIR and GICD_CPENDSGIR: the PEs whose SGI pends. */
function sources(name: string, offset: number, changed: (before: number, bits: number) => number): Register<RedistributorState> {
  return {
    name, offset, unit: 1, count: 16, sizes: [1, 4],
    read: (state, index) => BigInt(state.sources![index]!),
    write: (state, index, value) => setSources(state, index, changed(state.sources![index]!, Number(value))),
  };
}

/** An SGI pends while it does from some PE. */
export function setSources({ bank, sources: all }: RedistributorState, intid: number, value: number): void {
  all![intid] = value;
  bank.latched = (value === 0 ? bank.latched & ~(1 << intid) : bank.latched | (1 << intid)) >>> 0;
}

/** What each PE has for itself: the registers of INTIDs 0 to 31. */
export const BANKED_REGISTERS: readonly Register<RedistributorState>[] = checked([
  // An SGI pends by GICD_SGIR and GICD_SPENDSGIR alone.
  ...bankRegisters<RedistributorState>({ prefix: 'GICD', base: 0, banks: 1, fixedMode: SGIS, fixedPending: SGIS, bank: (state) => state.bank }),
  // These interrupts have one target, the PE itself. Where it is the only one: RAZ.
  { name: 'GICD_ITARGETSR<n>', offset: 0x800, unit: 1, count: 32, sizes: [1, 4], read: (state) => (state.index === 0 && state.last ? 0n : 1n << BigInt(state.index)) },
  sources('GICD_CPENDSGIR<n>', 0xf10, (before, bits) => before & ~bits),
  sources('GICD_SPENDSGIR<n>', 0xf20, (before, bits) => before | bits),
]);

/** Whether an access at `offset` concerns the PE's own part. */
export const isBanked = (offset: number): boolean => BANKED_REGISTERS.some((row) => offset >= row.offset && offset < row.offset + row.unit * row.count);
