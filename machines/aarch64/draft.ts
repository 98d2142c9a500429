/** The fields of an instruction as its text gives them, one by one. */

import { noFields, type Letter, type MutableFields } from './row.ts';

/** Fields that a text has determined so far. A field may be given twice if both agree: `cinc x0, x1, eq` sets Rn and Rm. */
export class Draft {
  readonly fields: MutableFields = noFields();
  readonly known = new Set<Letter>();
  /** The width of the last register whose width an option decides later. */
  indexWide = false;

  put(letter: Letter, value: number): boolean {
    if (this.known.has(letter)) return this.fields[letter] === value;
    this.known.add(letter);
    this.fields[letter] = value;
    return true;
  }
}
