/** Text to instruction words, from the rows' syntax. */

import { ROWS } from './a64.ts';
import { decode } from './decode.ts';
import { formsOf } from './disassemble.ts';
import { encode } from './row.ts';
import type { CompiledForm } from './syntax.ts';

/**
 * The word of one instruction at `address`; branch targets and literals are absolute numbers. `.inst` and `.word` give a
 * word as it is; a comment (`//`, `;`) is dropped. Throws SyntaxError when no row has such a form.
 */
export function assemble(text: string, address = 0n): number {
  const line = text.replace(/(?:\/\/|;).*$/, '').trim().toLowerCase().replaceAll(/\s+/g, ' ').replaceAll(/ ?, ?/g, ', ').replaceAll('[ ', '[').replaceAll(' ]', ']');
  const data = /^\.(?:inst|word) (0x[0-9a-f]+|[0-9]+)$/.exec(line);
  if (data !== null) return Number(data[1]) >>> 0;
  const mnemonic = line.split(' ')[0]!;
  for (let length = mnemonic.length; length >= 0; length -= 1) {
    for (const form of byStem.get(mnemonic.slice(0, length)) ?? []) {
      const draft = form.parse(line, address);
      const word = draft === undefined ? undefined : encode(form.row, draft.fields);
      if (word !== undefined && decode(word).row === form.row) return word;
    }
  }
  throw new SyntaxError(`no instruction is written: ${text.trim()}`);
}

/** Forms by the part of their mnemonic that is fixed, in the order of the rows. */
const byStem = new Map<string, CompiledForm[]>();
for (const row of ROWS) {
  for (const form of formsOf(row)) {
    const forms = byStem.get(form.stem);
    if (forms === undefined) byStem.set(form.stem, [form]);
    else forms.push(form);
  }
}
