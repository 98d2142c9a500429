/** Memory as devices reach it: what they write is seen by the cores as any other store is. */

import type { Board } from '../machines/aarch64/board.ts';
import { breakMonitor } from '../machines/aarch64/monitor.ts';
import { descriptorStored } from '../machines/aarch64/tlb.ts';
import { PAGE_BYTES, readBytes, regionAt, writeBytes } from '../machines/memory/memory.ts';
import type { DirectMemory } from '../machines/messages.ts';

/** The board's RAM for its devices. Flash and L0's pages are not in their reach. */
export function directMemory(board: Board): DirectMemory {
  const { memory } = board;
  const inRam = (pa: number, bytes: number): boolean => {
    const region = regionAt(memory, pa);
    return region?.kind === 'ram' && pa + bytes <= region.base + region.bytes;
  };
  return {
    read: (pa, bytes) => (inRam(pa, bytes) ? readBytes(memory, pa, bytes) : undefined),
    write: (pa, bytes) => {
      if (!inRam(pa, bytes.length)) return false;
      writeBytes(memory, pa, bytes);
      for (const core of board.cores) breakMonitor(core, pa, bytes.length);
      const region = regionAt(memory, pa)!;
      const from = region.offset + (pa - region.base);
      for (let at = from; at < from + bytes.length; at += PAGE_BYTES - (at % PAGE_BYTES)) {
        if (memory.holdsDescriptors[at >>> 12] !== 0) descriptorStored(board, at, Math.min(from + bytes.length - at, PAGE_BYTES - (at % PAGE_BYTES)));
      }
      return true;
    },
  };
}
