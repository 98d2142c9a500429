/** Floating-point formats: what a number's bits say, and how an exact value becomes bits again. Arm ARM: FPUnpack, FPRound, FPProcessNaNs. */

import type { FloatSize, Rounding } from '../../vector-builder.ts';

/** What an operation obeys, and where it notes its exceptions: bits of FPCR, and the cumulative bits of FPSR. */
export interface FloatEnvironment {
  readonly fpcr: number;
  flags: number;
}

export const Fpcr = { FZ16: 1 << 19, RMODE_SHIFT: 22, FZ: 1 << 24, DN: 1 << 25, AHP: 1 << 26 } as const;
/** Invalid Operation, Divide by Zero, Overflow, Underflow, Inexact, Input Denormal. */
export const Fpsr = { IOC: 1, DZC: 1 << 1, OFC: 1 << 2, UFC: 1 << 3, IXC: 1 << 4, IDC: 1 << 7, QC: 1 << 27 } as const;

/** A binary format. A normal number is 1.fraction times 2 to the exponent, which is `minimum` at least. */
export interface Format {
  readonly bits: number;
  readonly fraction: number;
  readonly minimum: number;
  /** The exponent field of infinities and NaNs. */
  readonly top: number;
  readonly fractionBits: bigint;
  readonly fractionMask: bigint;
  /** Exponent all ones, fraction zero. */
  readonly infinity: bigint;
  /** The most significant bit of the fraction: a NaN that has it is quiet. */
  readonly quiet: bigint;
  readonly sign: bigint;
  /** The bit of FPCR that flushes denormal numbers. */
  readonly flush: number;
}

function format(bits: number, exponent: number, flush: number): Format {
  const fraction = bits - 1 - exponent;
  const top = 2 ** exponent - 1;
  return {
    bits, fraction, top, flush, minimum: 2 - 2 ** (exponent - 1), fractionBits: BigInt(fraction), fractionMask: (1n << BigInt(fraction)) - 1n,
    infinity: BigInt(top) << BigInt(fraction), quiet: 1n << BigInt(fraction - 1), sign: 1n << BigInt(bits - 1),
  };
}

const HALF = format(16, 5, Fpcr.FZ16);
export const SINGLE = format(32, 8, Fpcr.FZ);
const DOUBLE = format(64, 11, Fpcr.FZ);
/** BFloat16: single precision with 7 bits of fraction. */
export const BRAIN = format(16, 8, Fpcr.FZ);

export const formatOf = (size: FloatSize): Format => (size === 64 ? DOUBLE : size === 32 ? SINGLE : HALF);

export const ZERO = 0, FINITE = 1, INFINITE = 2, QUIET = 3, SIGNALLING = 4;

/** A number taken apart: a finite one is `mantissa` times 2 to the `exponent`, not normalised. */
export interface Unpacked {
  readonly kind: typeof ZERO | typeof FINITE | typeof INFINITE | typeof QUIET | typeof SIGNALLING;
  readonly negative: boolean;
  readonly mantissa: bigint;
  readonly exponent: number;
}

export const isNaN = (value: Unpacked): boolean => value.kind >= QUIET;

/**
 * FPUnpack: denormal numbers are flushed as FPCR says; of single and double precision ones that sets IDC, of half precision ones nothing.
 * `conversion` (FPUnpackCV): half precision ones are kept, and FPCR.AHP holds.
 */
export function unpack(of: Format, bits: bigint, env: FloatEnvironment, conversion = false): Unpacked {
  const negative = (bits & of.sign) !== 0n;
  const fraction = bits & of.fractionMask;
  const field = Number((bits >> of.fractionBits) & BigInt(of.top));
  if (field === 0) {
    const flushed = fraction !== 0n && (env.fpcr & of.flush) !== 0 && !(conversion && of === HALF);
    if (flushed && of !== HALF) env.flags |= Fpsr.IDC;
    if (flushed || fraction === 0n) return { kind: ZERO, negative, mantissa: 0n, exponent: 0 };
    return { kind: FINITE, negative, mantissa: fraction, exponent: of.minimum - of.fraction };
  }
  if (field === of.top && !(conversion && of === HALF && (env.fpcr & Fpcr.AHP) !== 0)) {
    const kind = fraction === 0n ? INFINITE : (fraction & of.quiet) !== 0n ? QUIET : SIGNALLING;
    return { kind, negative, mantissa: fraction, exponent: 0 };
  }
  return { kind: FINITE, negative, mantissa: fraction | (of.fractionMask + 1n), exponent: field - 1 + of.minimum - of.fraction };
}

export const zero = (of: Format, negative: boolean): bigint => (negative ? of.sign : 0n);
export const infinity = (of: Format, negative: boolean): bigint => (negative ? of.sign | of.infinity : of.infinity);
export const largest = (of: Format, negative: boolean): bigint => infinity(of, negative) - 1n;
/** A power of two within the normal range. */
export const powerOfTwo = (of: Format, negative: boolean, exponent: number): bigint => zero(of, negative) | (BigInt(exponent - of.minimum + 1) << of.fractionBits);
/** FPDefaultNaN: positive and quiet, nothing else. */
export const defaultNaN = (of: Format): bigint => of.infinity | of.quiet;

/** The result of an operation that has none: the default NaN, and Invalid Operation. */
export function invalid(of: Format, env: FloatEnvironment): bigint {
  env.flags |= Fpsr.IOC;
  return defaultNaN(of);
}

/** FPProcessNaN: the NaN made quiet, or the default one under FPCR.DN. */
export function processNaN(of: Format, bits: bigint, value: Unpacked, env: FloatEnvironment): bigint {
  if (value.kind === SIGNALLING) env.flags |= Fpsr.IOC;
  return (env.fpcr & Fpcr.DN) !== 0 ? defaultNaN(of) : bits | of.quiet;
}

/** FPProcessNaNs and FPProcessNaNs3: the first signalling NaN, else the first quiet one; undefined when there is none. */
export function processNaNs(of: Format, env: FloatEnvironment, ...operands: readonly (readonly [bits: bigint, value: Unpacked])[]): bigint | undefined {
  const found = operands.find(([, value]) => value.kind === SIGNALLING) ?? operands.find(([, value]) => value.kind === QUIET);
  return found && processNaN(of, found[0], found[1], env);
}

/** FPCR.RMode as a name: to nearest, towards plus infinity, minus infinity, zero. */
export const roundingOf = (env: FloatEnvironment): Rounding => MODES[(env.fpcr >> Fpcr.RMODE_SHIFT) & 3]!;
const MODES: readonly Rounding[] = ['even', 'plus', 'minus', 'zero'];

/** The number of bits that a positive number takes. */
export function bitLength(value: bigint): number {
  if (value < 0x1_0000_0000n) return 32 - Math.clz32(Number(value));
  const digits = value.toString(16);
  return 4 * digits.length - Math.clz32(Number(`0x${digits[0]!}`)) + 28;
}

/** Whether a positive or negative number with `rest` over a unit of `2 * half` grows away from zero. `away` ties away from zero. */
export function roundsUp(rounding: Rounding, negative: boolean, odd: boolean, rest: bigint, half: bigint): boolean {
  if (rest === 0n) return false;
  switch (rounding) {
    case 'even': return rest > half || (rest === half && odd);
    case 'away': return rest >= half;
    case 'plus': return !negative;
    case 'minus': return negative;
    default: return false;
  }
}

/**
 * FPRound: the number nearest to `mantissa` (positive) times 2 to the `exponent` by `rounding`. Underflow is found before rounding: the exact value is
 * below the normal range and does not fit. A flushed result sets UFC and nothing else. `conversion` (FPRoundCV): FPCR.AHP holds, FPCR.FZ16 does not.
 */
export function round(of: Format, negative: boolean, mantissa: bigint, exponent: number, env: FloatEnvironment, rounding: Rounding, conversion = false): bigint {
  const mode = rounding === 'current' ? roundingOf(env) : rounding;
  const scale = bitLength(mantissa) - 1 + exponent;
  const denormal = scale < of.minimum;
  if (denormal && (env.fpcr & of.flush) !== 0 && !(conversion && of === HALF)) {
    env.flags |= Fpsr.UFC;
    return zero(of, negative);
  }
  let field = denormal ? 0 : scale - of.minimum + 1;
  const drop = (denormal ? of.minimum : scale) - of.fraction - exponent;
  let units = mantissa;
  let inexact = false;
  if (drop <= 0) units <<= BigInt(-drop);
  else {
    const rest = mantissa & ((1n << BigInt(drop)) - 1n);
    units >>= BigInt(drop);
    inexact = rest !== 0n;
    if (denormal && inexact) env.flags |= Fpsr.UFC;
    if (mode === 'odd') { if (inexact) units |= 1n; }
    else if (roundsUp(mode, negative, (units & 1n) === 1n, rest, 1n << BigInt(drop - 1))) {
      units += 1n;
      // Up from the largest denormal number, or to the next power of two.
      if (field === 0 && units > of.fractionMask) field = 1;
      else if (units >> of.fractionBits === 2n) { field += 1; units >>= 1n; }
    }
  }
  const alternative = conversion && of === HALF && (env.fpcr & Fpcr.AHP) !== 0;
  if (alternative ? field > of.top : field >= of.top) {
    if (alternative) {
      env.flags |= Fpsr.IOC;
      return zero(of, negative) | (of.sign - 1n);
    }
    env.flags |= Fpsr.OFC | Fpsr.IXC;
    const toInfinity = mode === 'even' || mode === 'away' || mode === (negative ? 'minus' : 'plus');
    return toInfinity ? infinity(of, negative) : largest(of, negative);
  }
  if (inexact) env.flags |= Fpsr.IXC;
  return zero(of, negative) | (BigInt(field) << of.fractionBits) | (units & of.fractionMask);
}
