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

/** A number in text, decimal or hexadecimal. */
export const NUMBER = '-?(?:0x[0-9a-f]+|[0-9]+)';

export const hexadecimal = (value: number | bigint): string => `0x${value.toString(16)}`;
export const parseNumber = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text));

/** A number computed from fields, and the fields from it. */
export function number(print: (f: Fields, address: bigint) => string, parse: (value: bigint, draft: Draft, address: bigint) => boolean): Symbol {
  return { pattern: NUMBER, print, parse: (text, draft, address) => parse(parseNumber(text), draft, address) };
}
