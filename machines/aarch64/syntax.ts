/** The manual's notation for instructions: forms with symbols in angle brackets, compiled into a printer and a parser. */

import { Draft } from './draft.ts';
import type { Fields, Form, Letter, Row } from './row.ts';
import type { Symbol } from './symbol.ts';
import { symbol } from './symbols.ts';

/** A form ready to use. `print` gives the text of fields at an address; `parse` fills a draft, or gives undefined when the text is not of this form. */
export interface CompiledForm {
  readonly row: Row;
  /** The mnemonic up to its first symbol. */
  readonly stem: string;
  matches(f: Fields): boolean;
  print(f: Fields, address: bigint): string;
  parse(text: string, address: bigint): Draft | undefined;
}

interface Part {
  /** Text before the symbol, printed only with it when `optional`. */
  readonly lead: string;
  readonly optional: boolean;
  readonly symbol: Symbol | undefined;
}

/** Compiles one form of a row. Throws on an unknown symbol. */
export function compile(row: Row, form: Form): CompiledForm {
  const parts = partsOf(form.text);
  const fixed = Object.entries(form.fixed) as [Letter, number][];
  let expression: RegExp | undefined;
  return {
    row,
    stem: (parts[0]!.optional ? '' : parts[0]!.lead).split(' ')[0]!,
    matches: (f) => fixed.every(([letter, value]) => f[letter] === value) && (form.when === undefined || form.when(f)),
    print(f, address) {
      let text = '';
      for (const part of parts) {
        const printed = part.symbol?.print(f, address) ?? '';
        if (!part.optional || printed !== '') text += part.lead + printed;
      }
      return text;
    },
    parse(text, address) {
      expression ??= new RegExp(`^${parts.map(expressionOf).join('')}$`);
      const match = expression.exec(text);
      if (match === null) return undefined;
      const draft = new Draft();
      for (const [letter, value] of fixed) draft.put(letter, value);
      let group = 1;
      for (const part of parts) if (part.symbol !== undefined && !part.symbol.parse(match[group++] ?? '', draft, address)) return undefined;
      return form.when === undefined || form.when(draft.fields) ? draft : undefined;
    },
  };
}

/** Splits `add <Rd>, <Rn><, shift k i>` into its parts. A symbol that starts with `, ` or a space is optional, together with that and a `#` behind it. */
function partsOf(text: string): readonly Part[] {
  const parts: Part[] = [];
  let literal = '';
  for (const piece of text.split(/(<[^>]*>)/)) {
    if (!piece.startsWith('<')) { literal += piece; continue; }
    const [, lead, spec] = /^<((?:, | )?#?)(.*)>$/.exec(piece)!;
    if (lead === '') parts.push({ lead: literal, optional: false, symbol: symbol(spec!) });
    else {
      if (literal !== '') parts.push({ lead: literal, optional: false, symbol: undefined });
      parts.push({ lead: lead!, optional: true, symbol: symbol(spec!) });
    }
    literal = '';
  }
  if (literal !== '') parts.push({ lead: literal, optional: false, symbol: undefined });
  return parts;
}

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

function expressionOf(part: Part): string {
  const body = escape(part.lead) + (part.symbol === undefined ? '' : `(${part.symbol.pattern})`);
  return part.optional ? `(?:${body})?` : body;
}
