/** What a symbol of instruction syntax is: a way to print fields as text, and to read text back into fields. */

import type { Draft } from './draft.ts';
import type { Fields } from './row.ts';

/** `parse` returns whether the text is a value of the symbol that agrees with what the draft knows. An absent optional part is parsed as ''. */
export interface Symbol {
  /** Regular expression source for the text, without capturing groups. */
  readonly pattern: string;
  print(f: Fields, address: bigint): string;
  parse(text: string, draft: Draft, address: bigint): boolean;
}
