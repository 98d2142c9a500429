/** The banks of flash on the board: their cells in linear memory, which are memory to the cores as long as no command is under way. */

import type { Board } from '../machines/aarch64/board.ts';
import { forgetAll, type Translation } from '../machines/aarch64/tlb.ts';
import { receive as receiveCommand } from '../machines/flash/flash.ts';
import { readsCells, type FlashState } from '../machines/flash/state.ts';
import { regionNamed, type Region } from '../machines/memory/memory.ts';
import type { DirectMemory, FlashMessage, Out } from '../machines/messages.ts';
import { storeDirectly } from './direct-memory.ts';

/** The name of a bank's region. */
export const flashRegion = (bank: number): string => `flash:${bank}`;

/** The bank's device, and what its change of mode means for those who read there: cores drop their translations, L0 its maps. */
export function receive(state: FlashState, message: FlashMessage, out: Out, board: Board): void {
  const region = regionNamed(board.memory, flashRegion(state.bank));
  const were = readsCells(state);
  receiveCommand(state, message, out, cellsOf(board, region));
  const are = readsCells(state);
  if (are === were) return;
  region.hidden = !are;
  for (const core of board.cores) if (core.translation !== undefined) forgetAll(core.translation as Translation);
  if (board.el2 === 'kvm') out.send('mmu', { type: 'memory-slot', ipa: region.base, present: are });
}

/** A World came into linear memory: its banks are as its devices say. Translations are not there yet. */
export function showFlash(board: Board, actors: Readonly<Record<string, unknown>>): void {
  for (const bank of [0, 1]) regionNamed(board.memory, flashRegion(bank)).hidden = !readsCells(actors[`flash:${bank}`] as FlashState);
}

function cellsOf(board: Board, region: Region): DirectMemory {
  const { memory } = board;
  return {
    read: (offset, bytes) => memory.bytes.slice(region.offset + offset, region.offset + Math.min(offset + bytes, region.bytes)),
    write: (offset, bytes) => {
      storeDirectly(board, region, offset, bytes.subarray(0, region.bytes - offset));
      return true;
    },
  };
}
