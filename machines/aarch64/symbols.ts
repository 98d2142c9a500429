/** The symbols of instruction syntax: how each prints fields as text, and reads text back into fields. */

import type { Draft } from './draft.ts';
import { encodeBitmask, bitmaskImmediate } from './instructions/bitmask.ts';
import { signed } from './instructions/common.ts';
import { takesRegister } from './instructions/system.ts';
import { OPERATIONS, operationByEncoding } from './registers/operations.ts';
import type { Fields, Letter } from './row.ts';
import { NUMBER, hexadecimal, number, parseNumber, type Symbol } from './symbol.ts';
import { SIMD_SYMBOLS } from './symbols-simd.ts';
import { VECTOR_SYMBOLS } from './symbols-vector.ts';
import { SYSTEM_REGISTERS, encodingName, packEncoding, unpackEncoding } from './sysregs.ts';

/** The symbol that `spec` names: the text between the angle brackets of a form. Throws RangeError when there is none. */
export function symbol(spec: string): Symbol {
  for (const [expression, make] of SYMBOLS) {
    const match = expression.exec(spec);
    if (match !== null) return make(...(match.slice(1) as string[]));
  }
  throw new RangeError(`no symbol of instruction syntax is written <${spec}>`);
}

const MASK64 = 0xffff_ffff_ffff_ffffn;
const REGISTER = '[xw](?:[0-9]+|zr)|w?sp';

/** A register by number: `zr` or `sp` for 31. */
const registerName = (wide: boolean, register: number, stackPointer: boolean): string =>
  register !== 31 ? `${wide ? 'x' : 'w'}${register}` : stackPointer ? (wide ? 'sp' : 'wsp') : wide ? 'xzr' : 'wzr';

function parseRegister(text: string, stackPointer: boolean): { wide: boolean; register: number } | undefined {
  if (text === 'sp' || text === 'wsp') return stackPointer ? { wide: text === 'sp', register: 31 } : undefined;
  const wide = text.startsWith('x');
  if (text.endsWith('zr')) return stackPointer ? undefined : { wide, register: 31 };
  const register = Number(text.slice(1));
  return register <= 30 ? { wide, register } : undefined;
}

/** A general register. Width `R` is by s, `Y` by y inverted, else fixed. */
function register(width: string, letter: string, stackPointer: boolean, put: (draft: Draft, value: number) => boolean, value: (f: Fields) => number = (f) => f[letter as Letter]): Symbol {
  return {
    pattern: REGISTER,
    print: (f) => registerName(width === 'X' || (width === 'R' && f.s === 1) || (width === 'Y' && f.y === 0), value(f), stackPointer),
    parse(text, draft) {
      const parsed = parseRegister(text, stackPointer);
      if (parsed === undefined) return false;
      const { wide } = parsed;
      const fits = width === 'R' ? draft.put('s', wide ? 1 : 0) : width === 'Y' ? draft.put('y', wide ? 0 : 1) : wide === (width === 'X');
      return fits && put(draft, parsed.register);
    },
  };
}

const put = (letter: string) => (draft: Draft, value: number): boolean => draft.put(letter as Letter, value);

/** Bytes a unit of a scale: `3` is 8, `2s` is 4 or 8 by the width. */
const unit = (scale: string, s: number): number => 2 ** (Number(scale[0]) + (scale.endsWith('s') ? s : 0));

/** A value in `width` bits, two's complement when signed; undefined when it does not fit. */
function toField(value: bigint, width: number, isSigned: boolean): number | undefined {
  const limit = 1n << BigInt(isSigned ? width - 1 : width);
  if (value >= limit || value < (isSigned ? -limit : 0n)) return undefined;
  return Number(BigInt.asUintN(width, value));
}

function offset(width: number, scale: string, isSigned: boolean, optional: boolean): Symbol {
  const value = (f: Fields): number => (isSigned ? signed(f.i, width) : f.i) * unit(scale, f.s);
  return {
    pattern: NUMBER,
    print: (f) => (optional && f.i === 0 ? '' : `${value(f)}`),
    parse(text, draft) {
      if (text === '') return draft.put('i', 0);
      const bytes = parseNumber(text);
      const scaling = BigInt(unit(scale, draft.fields.s));
      if (bytes % scaling !== 0n) return false;
      const field = toField(bytes / scaling, width, isSigned);
      return field !== undefined && draft.put('i', field);
    },
  };
}

const SHIFTS = ['lsl', 'lsr', 'asr', 'ror'];
const EXTENDS = ['uxtb', 'uxth', 'uxtw', 'uxtx', 'sxtb', 'sxth', 'sxtw', 'sxtx'];
const CONDITIONS = ['eq', 'ne', 'cs', 'cc', 'mi', 'pl', 'vs', 'vc', 'hi', 'ls', 'ge', 'lt', 'gt', 'le', 'al', 'nv'];
const CONDITION_SYNONYMS: Readonly<Record<string, number>> = { hs: 2, lo: 3 };
const BARRIERS: readonly (string | undefined)[] = [
  undefined, 'oshld', 'oshst', 'osh', undefined, 'nshld', 'nshst', 'nsh', undefined, 'ishld', 'ishst', 'ish', undefined, 'ld', 'st', 'sy'];
const PREFETCH = ['pld', 'pli', 'pst'].flatMap((type) => ['l1', 'l2', 'l3', 'slc'].flatMap((target) => ['keep', 'strm'].map((policy) => type + target + policy)));

const prefetchName = (operation: number): string | undefined => (PREFETCH[operation]?.includes('slc') ? undefined : PREFETCH[operation]);

/** A shift of a register, or nothing for LSL by 0. */
const shift: Symbol = {
  pattern: `(?:lsl|lsr|asr|ror) #${NUMBER}`,
  print: (f) => (f.k === 0 && f.i === 0 ? '' : `${SHIFTS[f.k]} #${f.i}`),
  parse(text, draft) {
    if (text === '') return draft.put('k', 0) && draft.put('i', 0);
    const [kind, amount] = text.split(' #') as [string, string];
    return draft.put('k', SHIFTS.indexOf(kind)) && draft.put('i', Number(amount));
  },
};

/** The immediate shifted left by a multiple of `step`, or not. */
const leftShift = (step: number): Symbol => ({
  pattern: `lsl #${NUMBER}`,
  print: (f) => (f.h === 0 ? '' : `lsl #${f.h * step}`),
  parse: (text, draft) => draft.put('h', text === '' ? 0 : Number(text.slice(5)) / step),
});

/** The extend of an added register. LSL where the stack pointer takes part as `places` say, and nothing then for 0. */
const extend = (places: string): Symbol => {
  const usesSp = (f: Fields): boolean => f.n === 31 || (places === 'd n' && f.d === 31);
  return {
    pattern: `[a-z]+(?: #${NUMBER})?`,
    print(f) {
      const plain = usesSp(f) && f.p === (f.s ? 3 : 2);
      if (plain) return f.i === 0 ? '' : `lsl #${f.i}`;
      return f.i === 0 ? EXTENDS[f.p]! : `${EXTENDS[f.p]} #${f.i}`;
    },
    parse(text, draft) {
      const [name = 'lsl', amount = '0'] = text === '' ? [] : text.split(' #');
      const plain = name === 'lsl';
      if (plain && !usesSp(draft.fields)) return false;
      const option = plain ? (draft.fields.s ? 3 : 2) : EXTENDS.indexOf(name);
      if (option < 0 || draft.indexWide !== ((option & 3) === 3 && draft.fields.s === 1)) return false;
      return draft.put('p', option) && draft.put('i', Number(amount));
    },
  };
};

/** The extend of an index register: scaled by the access size or not. */
const index = (scale: string): Symbol => ({
  pattern: `[a-z]+(?: #${NUMBER})?`,
  print(f) {
    const amount = Math.log2(unit(scale, f.s));
    if (f.p === 3) return f.h === 0 ? '' : `lsl #${amount}`;
    return f.h === 0 ? EXTENDS[f.p]! : `${EXTENDS[f.p]} #${amount}`;
  },
  parse(text, draft) {
    const [name = 'lsl', amount] = text === '' ? [] : text.split(' #');
    const option = name === 'lsl' ? 3 : EXTENDS.indexOf(name);
    if (option < 0 || (option === 3 && name === 'uxtx') || draft.indexWide !== ((option & 1) === 1)) return false;
    if (amount !== undefined && 2 ** Number(amount) !== unit(scale, draft.fields.s)) return false;
    return draft.put('p', option) && draft.put('h', amount === undefined ? 0 : 1);
  },
});

const condition = (letter: string, inverted: boolean): Symbol => ({
  pattern: '[a-z]{2}',
  print: (f) => CONDITIONS[f[letter as Letter] ^ Number(inverted)]!,
  parse(text, draft) {
    const code = CONDITION_SYNONYMS[text] ?? CONDITIONS.indexOf(text);
    return code >= 0 && draft.put(letter as Letter, code ^ Number(inverted));
  },
});

const widthOf = (f: Fields): number => (f.s ? 64 : 32);

/** Lowest bit and width of a bitfield, where imms and immr say it: moved down to bit 0, or up from it. */
const field = (down: boolean): Symbol => ({
  pattern: `#${NUMBER}, #${NUMBER}`,
  print: (f) => (down ? `#${f.r}, #${f.j - f.r + 1}` : `#${widthOf(f) - f.r}, #${f.j + 1}`),
  parse(text, draft) {
    const [low, width] = text.split(', ').map((part) => Number(part.slice(1))) as [number, number];
    if (width < 1 || low < 0 || low + width > widthOf(draft.fields)) return false;
    if (down) return draft.put('r', low) && draft.put('j', low + width - 1);
    return low > 0 && draft.put('r', widthOf(draft.fields) - low) && draft.put('j', width - 1);
  },
});

/** Prints nothing: a field that follows from those parsed before. */
const derived = (letter: string, value: (f: Fields) => number): Symbol => ({
  pattern: '', print: () => '', parse: (_text, draft) => draft.put(letter as Letter, value(draft.fields)),
});

const fitsWidth = (value: bigint, s: number): boolean => value >= 0n && value >> (s ? 64n : 32n) === 0n;

/** The hw and imm16 that make `value` by MOVZ; undefined when there are none. */
function wideMove(value: bigint, s: number): { h: number; i: number } | undefined {
  for (let h = 0; h < (s ? 4 : 2); h += 1) {
    const distance = BigInt(16 * h);
    if (((value >> distance) & 0xffffn) << distance === value) return { h, i: Number(value >> distance) };
  }
  return undefined;
}

const movedWide = (inverted: boolean): Symbol => {
  const value = (f: Fields): bigint => {
    const plain = BigInt(f.i) << BigInt(16 * f.h);
    return BigInt.asUintN(widthOf(f), inverted ? ~plain : plain);
  };
  return number((f) => hexadecimal(value(f)), (given, draft) => {
    const width = widthOf(draft.fields);
    const wanted = given < 0n ? BigInt.asUintN(width, given) : given;
    if (!fitsWidth(wanted, draft.fields.s)) return false;
    const made = wideMove(inverted ? BigInt.asUintN(width, ~wanted) : wanted, draft.fields.s);
    return made !== undefined && draft.put('h', made.h) && draft.put('i', made.i);
  });
};

const bitmask = number(
  (f) => hexadecimal(BigInt.asUintN(widthOf(f), bitmaskImmediate(f.N, f.r, f.j) ?? 0n)),
  (given, draft) => {
    const value = given < 0n ? BigInt.asUintN(widthOf(draft.fields), given) : given;
    const code = encodeBitmask(value, draft.fields.s === 1);
    return code !== undefined && draft.put('N', code.N) && draft.put('r', code.r) && draft.put('j', code.j);
  },
);

/** A branch target or literal: an address `width` bits of words away. */
const label = (width: number): Symbol => number(
  (f, address) => hexadecimal((address + BigInt(signed(f.i, width) * 4)) & MASK64),
  (target, draft, address) => {
    const distance = BigInt.asIntN(64, target - address);
    const value = distance % 4n === 0n ? toField(distance / 4n, width, true) : undefined;
    return value !== undefined && draft.put('i', value);
  },
);

/** ADR and ADRP: 21 bits, the low two apart. */
const relative = (shiftBits: bigint): Symbol => number(
  (f, address) => hexadecimal((((address >> shiftBits) << shiftBits) + (BigInt(signed(f.h * 4 + f.k, 21)) << shiftBits)) & MASK64),
  (target, draft, address) => {
    const distance = BigInt.asIntN(64, target - ((address >> shiftBits) << shiftBits));
    if (distance & ((1n << shiftBits) - 1n)) return false;
    const value = toField(distance >> shiftBits, 21, true);
    return value !== undefined && draft.put('k', value & 3) && draft.put('h', value >>> 2);
  },
);

/** Acquire and release in a mnemonic. With `L` alone only release can be written. */
const order = (letters: string): Symbol => ({
  pattern: letters === 'L' ? 'l?' : '(?:al|a|l)?',
  print: (f) => (letters === 'L' || f.A === 0 ? '' : 'a') + (f.L === 0 ? '' : 'l'),
  parse: (text, draft) => draft.put('L', text.endsWith('l') ? 1 : 0) && draft.put('A', text.startsWith('a') ? 1 : 0),
});

const systemRegister: Symbol = {
  pattern: '[a-z][a-z0-9_]*',
  print: (f) => encodingName(0x8000 + f.i).toLowerCase(),
  parse(text, draft) {
    const generic = /^s([23])_([0-7])_c([0-9]+)_c([0-9]+)_([0-7])$/.exec(text);
    if (generic !== null) {
      const [op0, op1, crn, crm, op2] = generic.slice(1).map(Number) as [number, number, number, number, number];
      return crn < 16 && crm < 16 && draft.put('i', packEncoding(op0, op1, crn, crm, op2) - 0x8000);
    }
    const row = ROW_BY_TEXT.get(text);
    return row !== undefined && row.encoding >= 0x8000 && draft.put('i', row.encoding - 0x8000);
  },
};

/** Register names as text has them, in lower case. */
const ROW_BY_TEXT = new Map(SYSTEM_REGISTERS.map((row) => [row.name.toLowerCase(), row]));

/** A named operation of SYS, with its register. Without a register it holds for XZR only. */
const systemOperation: Symbol = {
  pattern: '(?:at|dc|ic|tlbi|cfp|dvp|cpp) [a-z0-9]+(?:, x(?:[0-9]+|zr))?',
  print(f) {
    const operation = operationByEncoding(0x4000 + f.i)!;
    return operation.name.toLowerCase() + (takesRegister(operation.name) ? `, ${registerName(true, f.t, false)}` : '');
  },
  parse(text, draft) {
    const [name, target] = text.split(', ') as [string, string?];
    const operation = OPERATIONS.find((candidate) => candidate.name.toLowerCase() === name);
    if (operation === undefined || takesRegister(operation.name) !== (target !== undefined)) return false;
    const parsed = target === undefined ? 31 : parseRegister(target, false)?.register;
    return parsed !== undefined && draft.put('i', operation.encoding - 0x4000) && draft.put('t', parsed);
  },
};

const systemEncoding: Symbol = {
  pattern: '#[0-7], c[0-9]+, c[0-9]+, #[0-7]',
  print(f) {
    const [, op1, crn, crm, op2] = unpackEncoding(0x4000 + f.i);
    return `#${op1}, C${crn}, C${crm}, #${op2}`;
  },
  parse(text, draft) {
    const [op1, crn, crm, op2] = text.split(', ').map((part) => Number(part.slice(1))) as [number, number, number, number];
    return crn < 16 && crm < 16 && draft.put('i', packEncoding(1, op1, crn, crm, op2) - 0x4000);
  },
};

const optionalRegister = (letter: string, absent: number): Symbol => ({
  pattern: 'x(?:[0-9]+|zr)',
  print: (f) => (f[letter as Letter] === absent ? '' : registerName(true, f[letter as Letter], false)),
  parse(text, draft) {
    const parsed = text === '' ? absent : parseRegister(text, false)?.register;
    return parsed !== undefined && draft.put(letter as Letter, parsed);
  },
});

const twoDigits = (value: number): string => `#0x${value.toString(16).padStart(2, '0')}`;

const barrier: Symbol = {
  pattern: `[a-z]+|#${NUMBER}`,
  print: (f) => BARRIERS[f.i] ?? twoDigits(f.i),
  parse(text, draft) {
    const option = text.startsWith('#') ? Number(text.slice(1)) : BARRIERS.indexOf(text);
    return option >= 0 && draft.put('i', option);
  },
};

const prefetch: Symbol = {
  pattern: `[a-z0-9]+|#${NUMBER}`,
  print: (f) => prefetchName(f.t) ?? twoDigits(f.t),
  parse(text, draft) {
    const operation = text.startsWith('#') ? Number(text.slice(1)) : PREFETCH.indexOf(text);
    return operation >= 0 && draft.put('t', operation);
  },
};

/** The bit number of TBZ: its top bit is the register's width. A w register takes bits below 32, an x register any. */
const testedBit = number((f) => `${f.s * 32 + f.b}`, (value, draft) => {
  if (value < 0n || value > 63n || (value > 31n && draft.fields.s === 0)) return false;
  draft.fields.s = Number(value >> 5n);
  return draft.put('b', Number(value & 31n));
});

const unsigned = (letter: string, print: (value: number) => string, first = 0): Symbol =>
  number((f) => print(f[letter as Letter] + first), (value, draft) => value >= BigInt(first) && draft.put(letter as Letter, Number(value) - first));

const SYMBOLS: readonly (readonly [RegExp, (...groups: string[]) => Symbol])[] = [
  [/^([RXWY])([a-z])$/, (width, letter) => register(width!, letter!, false, put(letter!))],
  [/^([RXW])([a-z])\|SP$/, (width, letter) => register(width!, letter!, true, put(letter!))],
  [/^R([a-z])\+1$/, (letter) => register('R', letter!, false, (draft, value) => value === draft.fields[letter as Letter] + 1 || (value === 31 && draft.fields[letter as Letter] === 30), (f) => f[letter as Letter] + 1)],
  [/^R([a-z])=([a-z])$/, (letter, other) => register('R', letter!, false, (draft, value) => draft.put(letter as Letter, value) && draft.put(other as Letter, value))],
  [/^X([a-z])=([0-9]+)$/, (letter, absent) => optionalRegister(letter!, Number(absent))],
  // In an addition a w register has every option; as an index it has those of words.
  [/^Rm by (s )?p$/, (sized) => ({
    pattern: REGISTER,
    print: (f) => registerName((f.p & 3) === 3 && (sized === undefined || f.s === 1), f.m, false),
    parse(text, draft) {
      const parsed = parseRegister(text, false);
      if (parsed === undefined) return false;
      draft.indexWide = parsed.wide;
      return draft.put('m', parsed.register);
    },
  })],
  [/^([a-z])$/, (letter) => unsigned(letter!, String)],
  [/^([a-z]):hex$/, (letter) => unsigned(letter!, hexadecimal)],
  [/^i\+([0-9]+):hex$/, (first) => unsigned('i', hexadecimal, Number(first))],
  [/^i=15$/, () => ({
    pattern: NUMBER, print: (f) => (f.i === 15 ? '' : hexadecimal(f.i)), parse: (text, draft) => draft.put('i', text === '' ? 15 : Number(text)),
  })],
  [/^split h i$/, () => ({
    pattern: NUMBER,
    print: (f) => (f.h === 0 && f.i === 0 ? '' : `${signed(f.h * 512 + f.i, 10) * 8}`),
    parse(text, draft) {
      const value = text === '' ? 0n : parseNumber(text);
      const field = value % 8n === 0n ? toField(value / 8n, 10, true) : undefined;
      return field !== undefined && draft.put('h', field >> 9) && draft.put('i', field & 511);
    },
  })],
  [/^i:9$/, () => offset(9, '0', true, false)],
  [/^signed ([0-9]+) (\S+)$/, (width, scale) => offset(Number(width), scale!, true, true)],
  [/^scaled 7 (\S+)$/, (scale) => offset(7, scale!, true, false)],
  [/^scaled 12 (\S+)$/, (scale) => offset(12, scale!, false, true)],
  [/^shift12 h$/, () => leftShift(12)], [/^shift16 h$/, () => leftShift(16)], [/^(?:shift|rotate) k i$/, () => shift],
  [/^extend (d n|n)$/, (places) => extend(places!)], [/^index p h (\S+)$/, (scale) => index(scale!)],
  [/^cond ([a-z])$/, (letter) => condition(letter!, false)], [/^inverse ([a-z])$/, (letter) => condition(letter!, true)],
  [/^field down$/, () => field(true)], [/^field up$/, () => field(false)],
  [/^left shift$/, () => number((f) => `${widthOf(f) - f.r}`, (value, draft) => {
    const width = widthOf(draft.fields);
    return value > 0n && value < BigInt(width) && draft.put('r', width - Number(value)) && draft.put('j', width - Number(value) - 1);
  })],
  [/^top j$/, () => derived('j', (f) => widthOf(f) - 1)], [/^sf N$/, () => derived('N', (f) => f.s)],
  [/^movz$/, () => movedWide(false)], [/^movn$/, () => movedWide(true)], [/^bitmask$/, () => bitmask],
  [/^label ([0-9]+)$/, (width) => label(Number(width))], [/^address$/, () => relative(0n)], [/^page$/, () => relative(12n)],
  [/^bit$/, () => testedBit], [/^order (.*)$/, (letters) => order(letters!)],
  [/^system register$/, () => systemRegister], [/^system operation$/, () => systemOperation], [/^system encoding$/, () => systemEncoding],
  [/^barrier$/, () => barrier], [/^prefetch$/, () => prefetch], ...SIMD_SYMBOLS, ...VECTOR_SYMBOLS,
  [/^optional immediate$/, () => ({
    pattern: `(?: #${NUMBER})?`, print: (f) => (f.i === 0 ? '' : ` #${hexadecimal(f.i)}`), parse: (text, draft) => draft.put('i', text === '' ? 0 : Number(text.slice(2))),
  })],
];
