/** Between formats, and between them and integers. Arm ARM: FPConvert, FPConvertBF, FPToFixed, FPToFixedJS, FixedToFP, FPRoundInt, FPRoundIntN. */

import type { FloatSize, Rounding } from '../../vector-builder.ts';
import {
  BRAIN, FINITE, Fpcr, Fpsr, INFINITE, SIGNALLING, SINGLE, ZERO, defaultNaN, formatOf, infinity, isNaN, processNaN, round, roundingOf, roundsUp, unpack, zero,
  type FloatEnvironment, type Format, type Unpacked,
} from './format.ts';

/** FPConvert. Under FPCR.AHP half precision has neither infinities nor NaNs: to it they are invalid. */
export function floatConvert(from: FloatSize, to: FloatSize, a: bigint, rounding: Rounding, env: FloatEnvironment): bigint {
  return convert(formatOf(from), formatOf(to), a, rounding, env, to === 16 && (env.fpcr & Fpcr.AHP) !== 0);
}

/** FPConvertBF: single precision to BFloat16. */
export const floatToBrain = (a: bigint, env: FloatEnvironment): bigint => convert(SINGLE, BRAIN, a, 'current', env, false);

function convert(source: Format, target: Format, a: bigint, rounding: Rounding, env: FloatEnvironment, alternative: boolean): bigint {
  const value = unpack(source, a, env, true);
  const { kind, negative } = value;
  if (isNaN(value)) {
    if (kind === SIGNALLING || alternative) env.flags |= Fpsr.IOC;
    if (alternative) return zero(target, negative);
    if ((env.fpcr & Fpcr.DN) !== 0) return defaultNaN(target);
    // The payload keeps its most significant bits.
    const widening = target.fractionBits - source.fractionBits;
    return infinity(target, negative) | target.quiet | (widening >= 0n ? value.mantissa << widening : value.mantissa >> -widening);
  }
  if (kind === INFINITE) {
    if (!alternative) return infinity(target, negative);
    env.flags |= Fpsr.IOC;
    return zero(target, negative) | (target.sign - 1n);
  }
  if (kind === ZERO) return zero(target, negative);
  return round(target, negative, value.mantissa, value.exponent, env, rounding, true);
}

/** The magnitude of value * 2^`fraction`, rounded to an integer, and whether it was one. */
function toIntegral(value: Unpacked, fraction: number, rounding: Rounding, env: FloatEnvironment): { magnitude: bigint; exact: boolean } {
  const exponent = value.exponent + fraction;
  if (exponent >= 0) return { magnitude: value.mantissa << BigInt(exponent), exact: true };
  const unit = 1n << BigInt(-exponent);
  const rest = value.mantissa & (unit - 1n);
  const magnitude = value.mantissa >> BigInt(-exponent);
  const up = roundsUp(rounding === 'current' ? roundingOf(env) : rounding, value.negative, (magnitude & 1n) === 1n, rest, unit >> 1n);
  return { magnitude: up ? magnitude + 1n : magnitude, exact: rest === 0n };
}

/** FPRoundInt; FPRoundIntN with `integerBits`, where NaNs and infinities too are out of range. */
export function floatRound(size: FloatSize, a: bigint, rounding: Rounding, exact: boolean, integerBits: 32 | 64 | undefined, env: FloatEnvironment): bigint {
  const of = formatOf(size);
  const value = unpack(of, a, env);
  const { kind, negative } = value;
  if (kind === ZERO) return zero(of, negative);
  if (kind !== FINITE) {
    if (integerBits !== undefined) return outOfRange(of, integerBits, env);
    return kind === INFINITE ? infinity(of, negative) : processNaN(of, a, value, env);
  }
  const integral = toIntegral(value, 0, rounding, env);
  if (integerBits !== undefined) {
    const limit = 1n << BigInt(integerBits - 1);
    if (integral.magnitude > (negative ? limit : limit - 1n)) return outOfRange(of, integerBits, env);
  }
  if (exact && !integral.exact) env.flags |= Fpsr.IXC;
  // It fits: a number with a fraction has fewer bits before the point than the format has in all.
  return integral.magnitude === 0n ? zero(of, negative) : round(of, negative, integral.magnitude, 0, env, 'zero');
}

/** The most negative integer, as a floating-point number. */
function outOfRange(of: Format, integerBits: number, env: FloatEnvironment): bigint {
  env.flags |= Fpsr.IOC;
  return of.sign | (BigInt(integerBits - 1 - of.minimum + 1) << of.fractionBits);
}

/** FPToFixed: saturating; NaN gives zero. Saturation and NaN are Invalid Operation and nothing else. */
export function floatToInteger(size: FloatSize, a: bigint, width: number, signed: boolean, fraction: number, rounding: Rounding, env: FloatEnvironment): bigint {
  const value = unpack(formatOf(size), a, env);
  const { kind, negative } = value;
  if (isNaN(value)) {
    env.flags |= Fpsr.IOC;
    return 0n;
  }
  const top = 1n << BigInt(signed ? width - 1 : width);
  const limit = negative ? (signed ? top : 0n) : top - 1n;
  const integral = kind === INFINITE ? { magnitude: limit + 1n, exact: true } : kind === ZERO ? { magnitude: 0n, exact: true } : toIntegral(value, fraction, rounding, env);
  if (integral.magnitude > limit) env.flags |= Fpsr.IOC;
  else if (!integral.exact) env.flags |= Fpsr.IXC;
  const magnitude = integral.magnitude > limit ? limit : integral.magnitude;
  return BigInt.asUintN(width, negative ? -magnitude : magnitude);
}

/** FixedToFP. Zero is positive. */
export function integerToFloat(size: FloatSize, a: bigint, width: number, signed: boolean, fraction: number, env: FloatEnvironment): bigint {
  const integer = signed ? BigInt.asIntN(width, a) : BigInt.asUintN(width, a);
  if (integer === 0n) return 0n;
  return round(formatOf(size), integer < 0n, integer < 0n ? -integer : integer, -fraction, env, 'current');
}

/** FPToFixedJS: rounded towards zero, modulo 2^32; and whether the number was an integer of 32 bits, -0 not being one. */
export function floatToJavaScript(a: bigint, env: FloatEnvironment): readonly [bigint, boolean] {
  const value = unpack(formatOf(64), a, env);
  if (isNaN(value) || value.kind === INFINITE) {
    env.flags |= Fpsr.IOC;
    return [0n, false];
  }
  // Only +0 itself: a denormal number that was flushed is not exact.
  if (value.kind === ZERO) return [0n, a === 0n];
  const { magnitude, exact } = toIntegral(value, 0, 'zero', env);
  const integer = value.negative ? -magnitude : magnitude;
  const fits = BigInt.asIntN(32, integer) === integer;
  if (!fits) env.flags |= Fpsr.IOC;
  else if (!exact) env.flags |= Fpsr.IXC;
  return [BigInt.asUintN(32, integer), fits && exact];
}
