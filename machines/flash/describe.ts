/** A flash bank's state as one line of text. */

import { hex } from '../bits.ts';
import type { FlashState } from './state.ts';

export function describeFlash(state: FlashState): string {
  const buffered = state.buffer.length === 0 ? '' : `, ${state.buffer.length} words in the write buffer`;
  return `flash ${state.bank}: ${state.readOnly ? 'read-only' : 'writable'}, reads give ${READS[state.mode] ?? `the status (in ${state.mode})`}, status ${hex(state.status, 2)}${buffered}`;
}

const READS: Readonly<Record<string, string>> = { array: 'its cells', status: 'the status', id: 'identifiers', query: 'the query table' };
