/** What an instruction row is: its Arm name, bit pattern, semantics and syntax, and the masks that derive from the pattern. */

import { hex } from '../bits.ts';
import type { StopClass } from './exit.ts';
import type { VectorBuilder } from './vector-builder.ts';

/**
 * Letters of bit patterns. Fixed by use: d Rd, n Rn, m Rm, a Ra, t Rt, u Rt2, e Rs, s sf, c cond, i the immediate,
 * h a second part of it, k a shift type, p an extend option, z size, N, r immr, j imms, A acquire, L release.
 */
export const LETTERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'y', 'z', 'A', 'L', 'N'] as const;
export type Letter = (typeof LETTERS)[number];

/** The fields of one instruction word, unsigned; letters that the row lacks are 0. */
export type Fields = { readonly [L in Letter]: number };
export type MutableFields = { -readonly [L in Letter]: number };

export type Semantics = <V, B, Q>(b: VectorBuilder<V, B, Q>, f: Fields) => void;

/** One way to write an instruction: its text in the manual's notation (syntax.ts), and where an alias holds. */
export interface Form {
  readonly text: string;
  /** Fields that this alias fixes. */
  readonly fixed: Readonly<Partial<Fields>>;
  /** When the alias is the preferred text, given that the fixed fields hold. */
  readonly when: ((f: Fields) => boolean) | undefined;
}

interface Span { readonly letter: Letter; readonly lsb: number; readonly width: number }

export interface Row {
  readonly name: string;
  readonly pattern: string;
  /** Fixed bits and their values, unsigned 32-bit numbers. */
  readonly mask: number;
  readonly value: number;
  /** Bits that the manual prints as (0) or (1): not looked at in decoding, produced in assembling. */
  readonly shouldMask: number;
  readonly shouldValue: number;
  readonly spans: readonly Span[];
  readonly semantics: Semantics;
  /** Forms in the order in which they are tried, aliases first. Empty for a hole: it is printed as data. */
  readonly forms: readonly Form[];
  readonly stop: StopClass | undefined;
  /** True for field values that the manual leaves unallocated: UNDEFINED. */
  readonly unallocated: ((f: Fields) => boolean) | undefined;
  readonly hole: string | undefined;
}

export interface RowOptions {
  readonly stop?: StopClass;
  readonly unallocated?: (f: Fields) => boolean;
}

/** A row. `pattern` has 32 places, most significant first: 0, 1, (0), (1), x for any, or a field's letter. Throws on a malformed pattern. */
export function instruction(name: string, pattern: string, semantics: Semantics, syntax: string | readonly (string | Form)[], options: RowOptions = {}): Row {
  const forms = (typeof syntax === 'string' ? [syntax] : syntax).map((form) => (typeof form === 'string' ? { text: form, fixed: {}, when: undefined } : form));
  return { name, ...readPattern(name, pattern), semantics, forms, stop: options.stop, unallocated: options.unallocated, hole: undefined };
}

/** A form that holds when the `fixed` fields have these values, and `when` is true. */
export function alias(text: string, fixed: Readonly<Partial<Fields>>, when?: (f: Fields) => boolean): Form {
  return { text, fixed, when };
}

/** A deliberate gap: executing a matching word ends the run and says `what`. */
export function hole(what: string, pattern: string): Row {
  return { name: `${what} ${pattern}`, ...readPattern(what, pattern), semantics: (b) => b.hole(what), forms: [], stop: undefined, unallocated: undefined, hole: what };
}

/** The fields of `word` by `row`. */
export function fieldsOf(row: Row, word: number): MutableFields {
  const fields = noFields();
  for (const { letter, lsb, width } of row.spans) fields[letter] = (word >>> lsb) & (2 ** width - 1);
  return fields;
}

/** The word that `row` has with these fields; undefined when a value does not fit its field. */
export function encode(row: Row, fields: Readonly<Partial<Fields>>): number | undefined {
  let word = (row.value | row.shouldValue) >>> 0;
  for (const { letter, lsb, width } of row.spans) {
    const value = fields[letter] ?? 0;
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** width) return undefined;
    word = (word | (value << lsb)) >>> 0;
  }
  return word;
}

/** All letters, in one order, so that every fields object has one shape. */
export function noFields(): MutableFields {
  return { a: 0, b: 0, c: 0, d: 0, e: 0, f: 0, g: 0, h: 0, i: 0, j: 0, k: 0, m: 0, n: 0, p: 0, q: 0, r: 0, s: 0, t: 0, u: 0, v: 0, w: 0, y: 0, z: 0, A: 0, L: 0, N: 0 };
}

function readPattern(name: string, pattern: string): Pick<Row, 'pattern' | 'mask' | 'value' | 'shouldMask' | 'shouldValue' | 'spans'> {
  const places = pattern.replaceAll(' ', '').match(/\([01]\)|[01a-zA-Z]/g) ?? [];
  if (places.length !== 32) throw new Error(`the pattern of ${name} has ${places.length} places, not 32: ${pattern}`);
  let mask = 0, value = 0, shouldMask = 0, shouldValue = 0;
  const spans: { letter: Letter; lsb: number; width: number }[] = [];
  for (const [index, place] of places.entries()) {
    const bit = 2 ** (31 - index);
    if (place === '0' || place === '1') { mask += bit; if (place === '1') value += bit; }
    else if (place === '(0)' || place === '(1)') { shouldMask += bit; if (place === '(1)') shouldValue += bit; }
    else if (place !== 'x') {
      const open = spans.at(-1);
      if (open?.letter === place && open.lsb === 32 - index) { open.lsb -= 1; open.width += 1; continue; }
      const letter = LETTERS.find((known) => known === place);
      if (letter === undefined || spans.some((span) => span.letter === place)) throw new Error(`the pattern of ${name} uses ${place} twice, or not as a field: ${pattern}`);
      spans.push({ letter, lsb: 31 - index, width: 1 });
    }
  }
  return { pattern, mask, value, shouldMask, shouldValue, spans };
}

/** Whether some word matches both rows: they agree wherever both are fixed. Exact, since patterns are conjunctions of bits. */
export function overlap(one: Row, other: Row): boolean {
  return ((one.value ^ other.value) & one.mask & other.mask) === 0;
}

/** Throws, naming the rows, when two rows share a word. */
export function refuseOverlaps(rows: readonly Row[]): void {
  for (const [index, one] of rows.entries()) {
    for (let next = index + 1; next < rows.length; next += 1) {
      const other = rows[next]!;
      if (overlap(one, other)) throw new Error(`rows ${one.name} and ${other.name} share the word ${hex((one.value | other.value) >>> 0, 8)}`);
    }
  }
}
