/** The reciprocal estimates, by the formulas that the manual's tables are made with. Arm ARM: FPRecipEstimate, FPRSqrtEstimate, FPRecpX, RecipEstimate, RecipSqrtEstimate. */

import type { FloatSize, FloatUnary } from '../../vector-builder.ts';
import { floatSquareRoot } from './arithmetic.ts';
import { Fpsr, INFINITE, ZERO, bitLength, formatOf, infinity, invalid, isNaN, largest, processNaN, roundingOf, unpack, zero, type FloatEnvironment, type Format, type Unpacked } from './format.ts';

/** 1/x in steps of 1/256, for x = `value`/512 from 1/2 up to 1; result 256 to 511. */
export function reciprocalEstimate(value: number): number {
  const quotient = Math.floor(2 ** 19 / (2 * value + 1));
  return (quotient + 1) >> 1;
}

/** 1/√x in steps of 1/256, for x = `value`/512 from 1/4 up to 1; result 256 to 511. */
export function reciprocalSquareRootEstimate(value: number): number {
  const scaled = value < 256 ? 2 * value + 1 : ((value >> 1 << 1) + 1) * 2;
  let root = 512;
  while (scaled * (root + 1) * (root + 1) < 2 ** 28) root += 1;
  return (root + 1) >> 1;
}

/** The exponent field that a number has, below 1 for denormal ones, and its fraction's upper eight bits. */
function normalised(of: Format, value: Unpacked): { field: number; fraction: number } {
  const length = bitLength(value.mantissa);
  const field = length - 1 + value.exponent - of.minimum + 1;
  const shift = BigInt(length - 9);
  return { field, fraction: Number(shift >= 0n ? value.mantissa >> shift : value.mantissa << -shift) & 255 };
}

function reciprocal(of: Format, bits: bigint, env: FloatEnvironment): bigint {
  const value = unpack(of, bits, env);
  if (isNaN(value)) return processNaN(of, bits, value, env);
  const { negative } = value;
  if (value.kind === INFINITE) return zero(of, negative);
  if (value.kind === ZERO) {
    env.flags |= Fpsr.DZC;
    return infinity(of, negative);
  }
  const { field, fraction } = normalised(of, value);
  // Below 2^-16, 2^-128, 2^-1024 the result is beyond the largest number.
  if (field < -1) {
    const rounding = roundingOf(env);
    env.flags |= Fpsr.OFC | Fpsr.IXC;
    return rounding === 'even' || rounding === (negative ? 'minus' : 'plus') ? infinity(of, negative) : largest(of, negative);
  }
  const result = 2 * -of.minimum + 1 - field;
  // Above 2^14, 2^126, 2^1022 it is denormal.
  if (result < 1 && (env.fpcr & of.flush) !== 0) {
    env.flags |= Fpsr.UFC;
    return zero(of, negative);
  }
  let estimate = BigInt(reciprocalEstimate(256 + fraction)) << BigInt(of.fraction - 8);
  // One or two places down, below the normal range.
  if (result < 1) estimate >>= BigInt(1 - result);
  return zero(of, negative) | (BigInt(Math.max(result, 0)) << of.fractionBits) | (result < 1 ? estimate : estimate & of.fractionMask);
}

function reciprocalSquareRoot(of: Format, bits: bigint, env: FloatEnvironment): bigint {
  const value = unpack(of, bits, env);
  if (isNaN(value)) return processNaN(of, bits, value, env);
  if (value.kind === ZERO) {
    env.flags |= Fpsr.DZC;
    return infinity(of, value.negative);
  }
  if (value.negative) return invalid(of, env);
  if (value.kind === INFINITE) return 0n;
  const { field, fraction } = normalised(of, value);
  const scaled = (field & 1) === 0 ? 256 + fraction : (256 + fraction) >> 1;
  const result = Math.floor((3 * -of.minimum + 2 - field) / 2);
  return (BigInt(result) << of.fractionBits) | (BigInt(reciprocalSquareRootEstimate(scaled) & 255) << BigInt(of.fraction - 8));
}

/** FPRecpX: a power of two that brings a number near one: the exponent inverted, of zeros and denormal numbers the largest. */
function reciprocalExponent(of: Format, bits: bigint, env: FloatEnvironment): bigint {
  const value = unpack(of, bits, env);
  if (isNaN(value)) return processNaN(of, bits, value, env);
  const field = Number((bits >> of.fractionBits) & BigInt(of.top));
  return zero(of, value.negative) | (BigInt(field === 0 ? of.top - 1 : of.top ^ field) << of.fractionBits);
}

export function floatUnary(operation: FloatUnary, size: FloatSize, a: bigint, env: FloatEnvironment): bigint {
  switch (operation) {
    case 'square-root': return floatSquareRoot(size, a, env);
    case 'reciprocal-estimate': return reciprocal(formatOf(size), a, env);
    case 'reciprocal-square-root-estimate': return reciprocalSquareRoot(formatOf(size), a, env);
    case 'reciprocal-exponent': return reciprocalExponent(formatOf(size), a, env);
  }
}
