/** From an instruction word to its row and fields. */

import { ROWS } from './a64.ts';
import { fieldsOf, type Fields, type Row, type Semantics } from './row.ts';

/** A decoded word. `row` is undefined, and `semantics` raises UNDEFINED, where nothing is allocated. */
export interface Decoded {
  readonly word: number;
  readonly row: Row | undefined;
  readonly fields: Fields;
  readonly semantics: Semantics;
}

/** The row whose pattern matches `word`, allocated or not; undefined when there is none. */
export function rowOf(word: number): Row | undefined {
  for (const row of BUCKETS[(word >>> 21) & 255]!) if (((word ^ row.value) & row.mask) === 0) return row;
  return undefined;
}

/** Decodes `word`, an unsigned 32-bit number. */
export function decode(word: number): Decoded {
  const row = rowOf(word);
  if (row === undefined) return { word, row: undefined, fields: NO_FIELDS, semantics: undefinedInstruction };
  const fields = fieldsOf(row, word);
  if (row.unallocated?.(fields)) return { word, row: undefined, fields, semantics: undefinedInstruction };
  return { word, row, fields, semantics: row.semantics };
}

const undefinedInstruction: Semantics = (b) => b.undefinedInstruction();
const NO_FIELDS = fieldsOf(ROWS[0]!, 0);

/** The rows that can match a word with given bits 28 to 21, in the order of a64.ts (which does not matter: no two rows share a word). */
const BUCKETS: readonly (readonly Row[])[] = Array.from({ length: 256 }, (_, index) => {
  const key = index << 21;
  const keyMask = 255 << 21;
  return ROWS.filter((row) => ((key ^ row.value) & row.mask & keyMask) === 0);
});
