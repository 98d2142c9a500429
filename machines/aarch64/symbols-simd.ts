/** The symbols of Advanced SIMD syntax: vector registers with their arrangement, elements, lists, scalars by size, and immediates. */

import type { Draft } from './draft.ts';
import { bitsAsBytes } from './instructions/vector-permute.ts';
import type { Fields, Letter } from './row.ts';
import { hexadecimal, number, type Symbol } from './symbol.ts';

const LETTERS = ['b', 'h', 's', 'd', 'q'];
const letterOf = (size: number): string => LETTERS[size]!;

/** How many elements of which size, as text: `8b`, `2d`. */
interface Arrangement { text(f: Fields): string; parse(text: string, draft: Draft): boolean }

const shape = (size: number, q: number): string => `${(q ? 16 : 8) >> size}${letterOf(size)}`;
/** Size and q of an arrangement; undefined when there is none of that name. */
function shapeOf(text: string): { size: number; q: number } | undefined {
  const size = LETTERS.indexOf(text.at(-1)!);
  for (const q of [0, 1]) if (size >= 0 && shape(size, q) === text) return { size, q };
  return undefined;
}

/**
 * Arrangements. `T` is by z and q, `P` the one of twice the element and as many bytes, `W` of twice the element in 128 bits; `B`, `H`, `S`, `D` by q alone;
 * anything else is itself.
 */
function arrangement(name: string): Arrangement {
  const fixed = name.length === 1 ? LETTERS.indexOf(name.toLowerCase()) : -1;
  if (name === 'T' || name === 'P') {
    const wider = name === 'P' ? 1 : 0;
    return {
      text: (f) => shape(f.z + wider, f.q),
      parse(text, draft) {
        const found = shapeOf(text);
        return found !== undefined && draft.put('z', found.size - wider) && draft.put('q', found.q);
      },
    };
  }
  if (name === 'W') {
    return {
      text: (f) => shape(f.z + 1, 1),
      parse(text, draft) {
        const found = shapeOf(text);
        return found?.q === 1 && draft.put('z', found.size - 1);
      },
    };
  }
  if (fixed >= 0) {
    return {
      text: (f) => shape(fixed, f.q),
      parse(text, draft) {
        const found = shapeOf(text);
        return found?.size === fixed && draft.put('q', found.q);
      },
    };
  }
  return { text: () => name, parse: (text) => text === name };
}

const put = (letter: string, draft: Draft, value: number): boolean => value < 32 && draft.put(letter as Letter, value);

/** `v3.16b`. With `other` the register stands in two fields. */
const vector = (letter: string, other: string | undefined, name: string): Symbol => {
  const arranged = arrangement(name);
  return {
    pattern: 'v[0-9]+\\.[0-9]+[bhsdq]',
    print: (f) => `v${f[letter as Letter]}.${arranged.text(f)}`,
    parse(text, draft) {
      const [register, shapeText] = text.slice(1).split('.') as [string, string];
      return put(letter, draft, Number(register)) && (other === undefined || put(other, draft, Number(register))) && arranged.parse(shapeText, draft);
    },
  };
};

/** An index in some fields, the most significant first: `qhjj` is q, h and two bits of j. One letter alone has whatever width its field has. */
interface Index { value(f: Fields): number; put(value: number, draft: Draft): boolean }
function index(letters: string): Index {
  const groups = (letters.match(/(.)\1*/g) ?? []).map((run) => ({ letter: run[0] as Letter, width: run.length }));
  if (groups.length === 1) return { value: (f) => f[groups[0]!.letter], put: (value, draft) => draft.put(groups[0]!.letter, value) };
  return {
    value: (f) => groups.reduce((sum, { letter, width }) => sum * 2 ** width + f[letter], 0),
    put(value, draft) {
      let rest = value;
      for (const { letter, width } of groups.toReversed()) {
        if (!draft.put(letter, rest % 2 ** width)) return false;
        rest = Math.floor(rest / 2 ** width);
      }
      return rest === 0;
    },
  };
}

/** `v3.h[5]`. */
const element = (letter: string, size: string, letters: string): Symbol => {
  const place = index(letters);
  return {
    pattern: `v[0-9]+\\.${size}\\[[0-9]+\\]`,
    print: (f) => `v${f[letter as Letter]}.${size}[${place.value(f)}]`,
    parse(text, draft) {
      const [, register, at] = /^v([0-9]+)\..*\[([0-9]+)\]$/.exec(text)!;
      return put(letter, draft, Number(register)) && place.put(Number(at), draft);
    },
  };
};

/**
 * `{v0.8b}`, `{v0.8b, v1.8b}`, `{v0.8b-v2.8b}` where three or more follow one another, with `[i]` behind for one element. Read in either way.
 */
const list = (letter: string, count: number, name: string): Symbol => {
  const [, size, letters] = /^([bhsd])\[([a-z]+)\]$/.exec(name) ?? [];
  const arranged = size === undefined ? arrangement(name) : undefined;
  const place = letters === undefined ? undefined : index(letters);
  const register = (f: Fields, which: number): string => `v${(f[letter as Letter] + which) % 32}.${size ?? arranged!.text(f)}`;
  return {
    pattern: `\\{ ?v[^}]*\\}${place === undefined ? '' : '\\[[0-9]+\\]'}`,
    print(f) {
      const all = Array.from({ length: count }, (_, which) => register(f, which));
      const range = count > 2 && f[letter as Letter] + count <= 32;
      return `{${range ? `${all[0]}-${all.at(-1)}` : all.join(', ')}}${place === undefined ? '' : `[${place.value(f)}]`}`;
    },
    parse(text, draft) {
      const [, inside, at] = /^\{ ?(.*?) ?\}(?:\[([0-9]+)\])?$/.exec(text)!;
      const names = inside!.split(/, | ?- ?/);
      const registers = names.map((each) => /^v([0-9]+)\.([0-9]*[bhsd])$/.exec(each));
      const first = registers[0];
      if (first === null || first === undefined || registers.some((each) => each?.[2] !== first[2])) return false;
      const numbers = registers.map((each) => Number(each![1]));
      const start = numbers[0]!;
      const follows = inside!.includes('-') ? count > 1 && numbers.length === 2 && numbers[1] === (start + count - 1) % 32
        : numbers.length === count && numbers.every((value, which) => value === (start + which) % 32);
      if (!follows || !put(letter, draft, start)) return false;
      return (arranged === undefined ? first[2] === size : arranged.parse(first[2]!, draft)) && (place === undefined || place.put(Number(at), draft));
    },
  };
};

/** A register of a fixed size, `d3`; or with undefined of the size z says, plus `wider`. */
const scalar = (size: string | undefined, wider: number, letter: string): Symbol => ({
  pattern: size === undefined ? '[bhsdq][0-9]+' : `${size}[0-9]+`,
  print: (f) => `${size ?? letterOf(f.z + wider)}${f[letter as Letter]}`,
  parse: (text, draft) => put(letter, draft, Number(text.slice(1))) && (size !== undefined || draft.put('z', LETTERS.indexOf(text[0]!) - wider)),
});

/** The 2 of instructions that use the upper half. */
const upperHalf: Symbol = { pattern: '2?', print: (f) => (f.q ? '2' : ''), parse: (text, draft) => draft.put('q', text === '2' ? 1 : 0) };

/** A number that follows from fields already parsed. */
const known = (value: (f: Fields) => number): Symbol => number((f) => `${value(f)}`, (given, draft) => given === BigInt(value(draft.fields)));

/** `lsl #8` by steps of a byte from `first`, left out when there is no shift. */
const byteShift = (kind: 'lsl' | 'msl', first: number): Symbol => ({
  pattern: `${kind} #[0-9]+`,
  print: (f) => (f.k + first === 0 ? '' : `${kind} #${8 * (f.k + first)}`),
  parse(text, draft) {
    const steps = text === '' ? 0 : Number(text.slice(5)) / 8;
    return Number.isInteger(steps) && steps >= first && draft.put('k', steps - first);
  },
});

const immediate8 = number((f) => hexadecimal(f.i * 32 + f.j), (value, draft) => value >= 0n && value < 256n && draft.put('i', Number(value >> 5n)) && draft.put('j', Number(value & 31n)));

/** 64 bits of whole bytes. */
const byteMask = number((f) => hexadecimal(bitsAsBytes(f)), (given, draft) => {
  const value = BigInt.asUintN(64, given);
  let bits = 0;
  for (let byte = 0; byte < 8; byte += 1) {
    const part = (value >> BigInt(8 * byte)) & 0xffn;
    if (part !== 0n && part !== 0xffn) return false;
    if (part !== 0n) bits |= 1 << byte;
  }
  return draft.put('i', bits >> 5) && draft.put('j', bits & 31);
});

export const SIMD_SYMBOLS: readonly (readonly [RegExp, (...groups: string[]) => Symbol])[] = [
  [/^V([a-z])(?:=([a-z]))?\.([0-9]+[bhsdq]|[BHSDTPW])$/, (letter, other, name) => vector(letter!, other, name!)],
  [/^V([a-z])\.(4?[bhsd])\[([a-z]+)\]$/, (letter, size, letters) => element(letter!, size!, letters!)],
  [/^list ([a-z]) ([1-4]) (.*)$/, (letter, count, name) => list(letter!, Number(count), name!)],
  [/^([BHSDQ])([a-z])$/, (size, letter) => scalar(size!.toLowerCase(), 0, letter!)],
  [/^Z(2?)([a-z])$/, (wider, letter) => scalar(undefined, wider === '' ? 0 : 1, letter!)],
  [/^2$/, () => upperHalf],
  [/^([0-9]+)-i$/, (most) => number((f) => `${Number(most) - f.i}`, (value, draft) => value > 0n && value <= BigInt(most!) && draft.put('i', Number(most) - Number(value)))],
  [/^lane width$/, () => known((f) => 8 << f.z)],
  [/^total ([1-4])$/, (registers) => known((f) => Number(registers) * (f.q ? 16 : 8))],
  [/^total ([1-4]) elements$/, (members) => known((f) => Number(members) * 2 ** f.z)],
  [/^imm8$/, () => immediate8], [/^bytes$/, () => byteMask], [/^lsl k$/, () => byteShift('lsl', 0)], [/^msl k$/, () => byteShift('msl', 1)],
];
