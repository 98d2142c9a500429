/** Instruction words as text, from the rows' syntax: the preferred form of the manual, as objdump prints it. */

import { ROWS } from './a64.ts';
import { decode } from './decode.ts';
import type { Row } from './row.ts';
import { compile, type CompiledForm } from './syntax.ts';

/**
 * The text of `word`, an unsigned 32-bit number, at `address`; targets are absolute. A word without a row, one left
 * unallocated, one of a hole, and one with bits that should be other are printed as `.inst 0x…`.
 */
export function disassemble(word: number, address = 0n): string {
  const { row, fields } = decode(word);
  if (row !== undefined && ((word ^ row.shouldValue) & row.shouldMask) === 0) {
    for (const form of formsOf(row)) if (form.matches(fields)) return form.print(fields, address);
  }
  return `.inst 0x${word.toString(16).padStart(8, '0')}`;
}

const compiled = new Map<Row, readonly CompiledForm[]>(ROWS.map((row) => [row, row.forms.map((form) => compile(row, form))]));

/** The forms of a row, compiled when this file is loaded so that an unknown symbol stops the program at once. */
export const formsOf = (row: Row): readonly CompiledForm[] => compiled.get(row)!;
