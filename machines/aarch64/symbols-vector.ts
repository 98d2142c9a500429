/** The symbols of vector and floating-point registers: scalars, arrangements, elements, floating-point immediates. */

import { expandImmediate } from './instructions/float-scalar.ts';
import type { Fields, Letter } from './row.ts';
import type { Symbol } from './symbol.ts';

type Choice = readonly [text: string, fields: Readonly<Partial<Fields>>];

/** Arrangements by the fields that choose them. Any other name, as `4s`, is an arrangement itself. */
const ARRANGEMENTS: Readonly<Record<string, readonly Choice[]>> = {
  // One element size, 64 or 128 bits by Q.
  h: [['4h', { q: 0 }], ['8h', { q: 1 }]], s: [['2s', { q: 0 }], ['4s', { q: 1 }]], d: [['2d', { q: 1 }]], halves: [['2h', { q: 0 }], ['4h', { q: 1 }]],
  // Single and double precision by sz; the size field of complex numbers.
  f: [['2s', { z: 0, q: 0 }], ['4s', { z: 0, q: 1 }], ['2d', { z: 1, q: 1 }]],
  c: [['4h', { z: 1, q: 0 }], ['8h', { z: 1, q: 1 }], ['2s', { z: 2, q: 0 }], ['4s', { z: 2, q: 1 }], ['2d', { z: 3, q: 1 }]],
  // Both sides of a conversion between formats; both elements of a pair.
  wide: [['4s', { z: 0 }], ['2d', { z: 1 }]], narrow: [['4h', { z: 0, q: 0 }], ['8h', { z: 0, q: 1 }], ['2s', { z: 1, q: 0 }], ['4s', { z: 1, q: 1 }]], pair: [['2s', { z: 0 }], ['2d', { z: 1 }]],
};

const holds = (f: Fields, fields: Choice[1]): boolean => Object.entries(fields).every(([letter, value]) => f[letter as Letter] === value);

const vectorNumber = (text: string): number | undefined => (Number(text) < 32 ? Number(text) : undefined);

/** A vector register, bare or with an arrangement. */
function vector(letter: string, arrangement: string | undefined): Symbol {
  const choices = arrangement === undefined ? [] : (ARRANGEMENTS[arrangement] ?? [[arrangement, {}]]);
  return {
    pattern: arrangement === undefined ? 'v[0-9]+' : 'v[0-9]+\\.[0-9]+[bhsd]',
    print: (f) => `v${f[letter as Letter]}${arrangement === undefined ? '' : `.${choices.find(([, fields]) => holds(f, fields))?.[0] ?? '?'}`}`,
    parse(text, draft) {
      const [number, given] = text.slice(1).split('.') as [string, string?];
      const register = vectorNumber(number);
      if (register === undefined || !draft.put(letter as Letter, register)) return false;
      if (given === undefined) return true;
      const choice = choices.find(([name]) => name === given);
      return choice !== undefined && Object.entries(choice[1]).every(([field, value]) => draft.put(field as Letter, value));
    },
  };
}

/** An element: `h[hLy]` is a half whose index has the bits H, L and M, highest first. */
const element = (letter: string, kind: string, bits: string): Symbol => ({
  pattern: `v[0-9]+\\.${kind}\\[[0-9]+\\]`,
  print: (f) => `v${f[letter as Letter]}.${kind}[${[...bits].reduce((index, bit) => 2 * index + f[bit as Letter], 0)}]`,
  parse(text, draft) {
    const [, number, index] = /^v([0-9]+)\.\w+\[([0-9]+)\]$/.exec(text) as unknown as [string, string, string];
    const register = vectorNumber(number);
    if (register === undefined || Number(index) >= 2 ** bits.length || !draft.put(letter as Letter, register)) return false;
    return [...bits].every((bit, place) => draft.put(bit as Letter, (Number(index) >> (bits.length - 1 - place)) & 1));
  },
});

/** Prefixes by ftype, or by sz. */
const PREFIXES = 'sd?h';

/** A floating-point register: of the size that z says (`F`), or a fixed one. */
const scalar = (kind: string, letter: string): Symbol => ({
  pattern: '[hsd][0-9]+',
  print: (f) => `${kind === 'F' ? PREFIXES[f.z]! : kind.toLowerCase()}${f[letter as Letter]}`,
  parse(text, draft) {
    const register = vectorNumber(text.slice(1));
    if (register === undefined) return false;
    const fits = kind === 'F' ? draft.put('z', PREFIXES.indexOf(text[0]!)) : text[0] === kind.toLowerCase();
    return fits && draft.put(letter as Letter, register);
  },
});

/** The value of an eight-bit immediate. */
const immediateValue = (imm8: number): number => {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, expandImmediate(64, imm8));
  return view.getFloat64(0);
};

/** A floating-point immediate: eight bits in i, or three in i and five in j. */
const immediate = (split: boolean): Symbol => ({
  pattern: '-?[0-9]+(?:\\.[0-9]+)?(?:e[+-]?[0-9]+)?',
  print: (f) => immediateValue(split ? 32 * f.i + f.j : f.i).toExponential(18).replace(/e([+-])(\d)$/, 'e$10$2'),
  parse(text, draft) {
    for (let imm8 = 0; imm8 < 256; imm8 += 1) {
      if (immediateValue(imm8) === Number(text)) return split ? draft.put('i', imm8 >> 5) && draft.put('j', imm8 & 31) : draft.put('i', imm8);
    }
    return false;
  },
});

/** A number that counts from a field: `first - i`, or `first + step * r`. */
const counted = (letter: Letter, toText: (field: number) => number, toField: (value: number) => number): Symbol => ({
  pattern: '[0-9]+', print: (f) => String(toText(f[letter])),
  parse(text, draft) {
    const field = toField(Number(text));
    return Number.isInteger(field) && field >= 0 && draft.put(letter, field);
  },
});

/** One of two endings of a mnemonic, by Q. */
const byQ = (off: string, on: string): Symbol => ({
  pattern: `${off}|${on}`, print: (f) => (f.q === 1 ? on : off), parse: (text, draft) => draft.put('q', text === on ? 1 : 0),
});

export const VECTOR_SYMBOLS: readonly (readonly [RegExp, (...groups: string[]) => Symbol])[] = [
  [/^([FHSD])([a-z])$/, (kind, letter) => scalar(kind!, letter!)],
  [/^V([a-z])$/, (letter) => vector(letter!, undefined)],
  [/^V([a-z])\.([a-z0-9]+)$/, (letter, arrangement) => vector(letter!, arrangement!)],
  [/^V([a-z])\.([a-z0-9]+)\[([a-zA-Z]+)\]$/, (letter, kind, bits) => element(letter!, kind!, bits!)],
  [/^float i(j?)$/, (split) => immediate(split !== '')],
  [/^fraction ([0-9]+)$/, (first) => counted('i', (field) => Number(first) - field, (value) => Number(first) - value)],
  [/^rotation ([0-9]+) ([0-9]+)$/, (step, first) => counted('r', (field) => Number(first) + Number(step) * field, (value) => (value - Number(first)) / Number(step))],
  [/^2 q$/, () => byQ('', '2')], [/^b or t$/, () => byQ('b', 't')],
];
