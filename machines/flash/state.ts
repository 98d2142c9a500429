/** The state of one bank of flash: two 16-bit chips side by side with Intel's command set, as QEMU's virt board has them. Cells lie in linear memory. */

/** Bytes of a bank, and of a sector of both chips. */
export const BANK_BYTES = 0x400_0000;
export const SECTOR_BYTES = 0x4_0000;
/** Bytes of the write buffers of both chips. */
export const BUFFER_BYTES = 4096;

/**
 * What reads give and what a write means. `array`: the cells. `status`, `id`, `query`: those. `program`, `erase`, `lock`: the second write of the command comes next.
 * `count`, `fill`, `confirm`: how many words a buffered write has, the words, and its end. In all but `array`, `id` and `query` reads give the status.
 */
export type FlashMode = 'array' | 'status' | 'id' | 'query' | 'program' | 'erase' | 'lock' | 'count' | 'fill' | 'confirm';

export interface FlashState {
  readonly bank: number;
  /** Programming and erasing fail. */
  readonly readOnly: boolean;
  mode: FlashMode;
  /** The status register of each chip: bit 7 ready, 5 erase failed, 4 program failed. */
  status: number;
  /** Words still to come in a buffered write, less one. */
  left: number;
  /** The sector that an erase waits to be confirmed for. */
  sector: number;
  /** A buffered write: offsets in the bank, and words of `bytes` bytes, in the order in which they came. */
  buffer: { readonly offset: number; readonly bytes: number; readonly value: number }[];
}

export const initialFlash = (bank: number, readOnly: boolean): FlashState => ({ bank, readOnly, mode: 'array', status: 0x80, left: 0, sector: 0, buffer: [] });

/** Whether reads give the cells: they are memory then, and code that lies there can run. */
export const readsCells = (state: FlashState): boolean => state.mode === 'array';

/** Sentences about what does not hold, none when all is well. */
export function flashFaults(state: FlashState): string[] {
  const faults: string[] = [];
  if (state.buffer.length > BUFFER_BYTES) faults.push(`the write buffer holds ${state.buffer.length} words`);
  if (state.buffer.length > 0 && state.mode !== 'fill' && state.mode !== 'confirm') faults.push(`the write buffer is not empty in mode ${state.mode}`);
  if (state.sector % SECTOR_BYTES !== 0 || state.sector >= BANK_BYTES) faults.push(`sector ${state.sector} is none`);
  return faults;
}
