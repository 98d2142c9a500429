/** Memory as devices reach it: what they write is seen by the cores as any other store is. */

import type { Board } from '../machines/aarch64/board.ts';
import { breakMonitor } from '../machines/aarch64/monitor.ts';
import { descriptorStored } from '../machines/aarch64/tlb.ts';
import { PAGE_BYTES, readBytes, regionAt, writeBytes, type Region } from '../machines/memory/memory.ts';
import type { DirectMemory } from '../machines/messages.ts';

/** The board's RAM for its devices. Flash and L0's pages are not in their reach. */
export function directMemory(board: Board): DirectMemory {
  const { memory } = board;
  const ramAt = (pa: number, bytes: number): Region | undefined => {
    const region = regionAt(memory, pa);
    return region?.kind === 'ram' && pa + bytes <= region.base + region.bytes ? region : undefined;
  };
  return {
    read: (pa, bytes) => (ramAt(pa, bytes) === undefined ? undefined : readBytes(memory, pa, bytes)),
    write: (pa, bytes) => {
      const region = ramAt(pa, bytes.length);
      if (region !== undefined) storeDirectly(board, region, pa - region.base, bytes);
      return region !== undefined;
    },
  };
}

/** Stores `bytes` at `offset` of `region`: monitors open, and translations made from descriptors there are dropped. */
export function storeDirectly(board: Board, region: Region, offset: number, bytes: Uint8Array): void {
  const { memory } = board;
  const pa = region.base + offset;
  writeBytes(memory, pa, bytes);
  for (const core of board.cores) breakMonitor(core, pa, bytes.length);
  const from = region.offset + offset;
  for (let at = from; at < from + bytes.length; at += PAGE_BYTES - (at % PAGE_BYTES)) {
    if (memory.holdsDescriptors[at >>> 12] !== 0) descriptorStored(board, at, Math.min(from + bytes.length - at, PAGE_BYTES - (at % PAGE_BYTES)));
  }
}
