/** Floating-point arithmetic, each operation exact and then rounded once. Arm ARM: FPAdd, FPMul, FPDiv, FPSqrt, FPMulAdd, FPMax, FPCompare and their kin. */

import type { FloatBinary, FloatComparison, FloatSize } from '../../vector-builder.ts';
import {
  FINITE, Fpsr, INFINITE, QUIET, SIGNALLING, ZERO, bitLength, formatOf, infinity, invalid, isNaN, powerOfTwo, processNaN, processNaNs, round, roundingOf, unpack, zero,
  type FloatEnvironment, type Format, type Unpacked,
} from './format.ts';

/** a + b, or a - b: subtracting is not adding the negated, since NaNs keep their sign. */
function sum(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment, subtract: boolean): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [a, left], [b, right]);
  if (nan !== undefined) return nan;
  return addExact(of, left, subtract ? { ...right, negative: !right.negative } : right, env);
}

/** The sum of two numbers, neither a NaN. An exact zero of opposite signs is positive, negative when rounding towards minus infinity. */
function addExact(of: Format, a: Unpacked, b: Unpacked, env: FloatEnvironment): bigint {
  if (a.kind === INFINITE && b.kind === INFINITE && a.negative !== b.negative) return invalid(of, env);
  if (a.kind === INFINITE) return infinity(of, a.negative);
  if (b.kind === INFINITE) return infinity(of, b.negative);
  if (a.kind === ZERO && b.kind === ZERO && a.negative === b.negative) return zero(of, a.negative);
  const { mantissa, exponent } = sumOf(a, b);
  if (mantissa === 0n) return zero(of, roundingOf(env) === 'minus');
  return round(of, mantissa < 0n, mantissa < 0n ? -mantissa : mantissa, exponent, env, 'current');
}

/** The exact sum of two finite numbers or zeros, with its sign. */
export function sumOf(a: Unpacked, b: Unpacked): { mantissa: bigint; exponent: number } {
  const left = a.negative ? -a.mantissa : a.mantissa;
  const right = b.negative ? -b.mantissa : b.mantissa;
  if (left === 0n) return { mantissa: right, exponent: b.exponent };
  if (right === 0n) return { mantissa: left, exponent: a.exponent };
  const exponent = Math.min(a.exponent, b.exponent);
  return { mantissa: (left << BigInt(a.exponent - exponent)) + (right << BigInt(b.exponent - exponent)), exponent };
}

/** The product of two numbers of which neither is a NaN and that is not zero by infinity. */
export function productOf(a: Unpacked, b: Unpacked): Unpacked {
  const kind = a.kind === INFINITE || b.kind === INFINITE ? INFINITE : a.kind === ZERO || b.kind === ZERO ? ZERO : FINITE;
  return { kind, negative: a.negative !== b.negative, mantissa: a.mantissa * b.mantissa, exponent: a.exponent + b.exponent };
}

export const zeroByInfinity = (a: Unpacked, b: Unpacked): boolean => (a.kind === ZERO && b.kind === INFINITE) || (a.kind === INFINITE && b.kind === ZERO);

export function floatMultiply(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment, extended = false): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [a, left], [b, right]);
  if (nan !== undefined) return nan;
  // FPMulX: two, of the product's sign.
  if (zeroByInfinity(left, right)) return extended ? powerOfTwo(of, left.negative !== right.negative, 1) : invalid(of, env);
  const product = productOf(left, right);
  if (product.kind === INFINITE) return infinity(of, product.negative);
  if (product.kind === ZERO) return zero(of, product.negative);
  return round(of, product.negative, product.mantissa, product.exponent, env, 'current');
}

export function floatDivide(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [a, left], [b, right]);
  if (nan !== undefined) return nan;
  if (left.kind === right.kind && left.kind !== FINITE) return invalid(of, env);
  const negative = left.negative !== right.negative;
  if (left.kind === INFINITE || right.kind === ZERO) {
    if (left.kind !== INFINITE) env.flags |= Fpsr.DZC;
    return infinity(of, negative);
  }
  if (left.kind === ZERO || right.kind === INFINITE) return zero(of, negative);
  // At least two bits of quotient below the fraction, then one that says whether anything is left.
  const extra = Math.max(of.fraction + 3 + bitLength(right.mantissa) - bitLength(left.mantissa), 0);
  const dividend = left.mantissa << BigInt(extra);
  const quotient = dividend / right.mantissa;
  const sticky = quotient * right.mantissa === dividend ? 0n : 1n;
  return round(of, negative, (quotient << 1n) | sticky, left.exponent - right.exponent - extra - 1, env, 'current');
}

export function floatSquareRoot(size: FloatSize, a: bigint, env: FloatEnvironment): bigint {
  const of = formatOf(size);
  const value = unpack(of, a, env);
  if (isNaN(value)) return processNaN(of, a, value, env);
  if (value.kind === ZERO) return zero(of, value.negative);
  if (value.negative) return invalid(of, env);
  if (value.kind === INFINITE) return infinity(of, false);
  // An even exponent, and a root with two bits more than the fraction takes.
  let shift = Math.max(2 * (of.fraction + 3) - bitLength(value.mantissa), 0);
  if (((value.exponent - shift) & 1) !== 0) shift += 1;
  const radicand = value.mantissa << BigInt(shift);
  const root = squareRoot(radicand);
  const sticky = root * root === radicand ? 0n : 1n;
  return round(of, false, (root << 1n) | sticky, (value.exponent - shift) / 2 - 1, env, 'current');
}

/** The integer square root, by Newton's method from a power of two above it. */
export function squareRoot(value: bigint): bigint {
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** FPMulAdd. Zero by infinity is invalid even when the addend is a quiet NaN, and then gives the default NaN. */
export function floatMultiplyAdd(size: FloatSize, addend: bigint, a: bigint, b: bigint, env: FloatEnvironment): bigint {
  const of = formatOf(size);
  const third = unpack(of, addend, env), left = unpack(of, a, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [addend, third], [a, left], [b, right]);
  if (third.kind === QUIET && zeroByInfinity(left, right)) return invalid(of, env);
  if (nan !== undefined) return nan;
  if (zeroByInfinity(left, right)) return invalid(of, env);
  return addExact(of, third, productOf(left, right), env);
}

/** FPMax and FPMin. Of zeros of both signs the maximum is +0 and the minimum -0. */
function extreme(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment, maximum: boolean): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [a, left], [b, right]);
  if (nan !== undefined) return nan;
  const order = compare(left, right);
  const chosen = (maximum ? order > 0 : order < 0) ? left : right;
  if (chosen.kind === ZERO) return zero(of, maximum ? left.negative && right.negative : left.negative || right.negative);
  return chosen === left ? a : b;
}

/** FPMaxNum and FPMinNum: a quiet NaN beside a number counts as the infinity that loses. */
function extremeNumber(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment, maximum: boolean): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env).kind, right = unpack(of, b, env).kind;
  const loser = infinity(of, maximum);
  return extreme(size, left === QUIET && right !== QUIET ? loser : a, right === QUIET && left !== QUIET ? loser : b, env, maximum);
}

/** The sign of a - b for numbers that are no NaNs; zeros are equal. */
function compare(a: Unpacked, b: Unpacked): number {
  const left = rank(a), right = rank(b);
  if (left !== right) return left - right;
  if (a.kind !== FINITE) return 0;
  const { mantissa } = sumOf(a, { ...b, negative: !b.negative });
  return mantissa === 0n ? 0 : mantissa < 0n ? -1 : 1;
}

/** -2 to 2: minus infinity, negative, zero, positive, infinity. */
const rank = ({ kind, negative }: Unpacked): number => (kind === ZERO ? 0 : (kind === INFINITE ? 2 : 1) * (negative ? -1 : 1));

const LESS = 0b1000n, EQUAL = 0b0110n, GREATER = 0b0010n, UNORDERED = 0b0011n;

/** FPCompare: N:Z:C:V. */
export function floatCompare(size: FloatSize, a: bigint, b: bigint, signalling: boolean, env: FloatEnvironment): bigint {
  const of = formatOf(size);
  const left = unpack(of, a, env), right = unpack(of, b, env);
  if (isNaN(left) || isNaN(right)) {
    if (signalling || left.kind === SIGNALLING || right.kind === SIGNALLING) env.flags |= Fpsr.IOC;
    return UNORDERED;
  }
  const order = compare(left, right);
  return order < 0 ? LESS : order > 0 ? GREATER : EQUAL;
}

/** FPCompareEQ, FPCompareGT, FPCompareGE: the last two are invalid for any NaN. */
export function floatTest(comparison: FloatComparison, size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment): boolean {
  const flags = floatCompare(size, a, b, comparison !== 'equal', env);
  return flags === EQUAL ? comparison !== 'greater' : flags === GREATER && comparison !== 'equal';
}

/** FPRecipStepFused, 2 - a * b, and FPRSqrtStepFused, (3 - a * b) / 2, rounded once. `a` is negated first, and a NaN in it comes out so. */
function step(size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment, squareRootStep: boolean): bigint {
  const of = formatOf(size);
  const negated = a ^ of.sign;
  const left = unpack(of, negated, env), right = unpack(of, b, env);
  const nan = processNaNs(of, env, [negated, left], [b, right]);
  if (nan !== undefined) return nan;
  // Two, or one and a half.
  if (zeroByInfinity(left, right)) return squareRootStep ? powerOfTwo(of, false, 0) | of.quiet : powerOfTwo(of, false, 1);
  const product = productOf(left, right);
  if (product.kind === INFINITE) return infinity(of, product.negative);
  const { mantissa, exponent } = sumOf({ kind: FINITE, negative: false, mantissa: squareRootStep ? 3n : 2n, exponent: 0 }, product);
  if (mantissa === 0n) return zero(of, roundingOf(env) === 'minus');
  return round(of, mantissa < 0n, mantissa < 0n ? -mantissa : mantissa, squareRootStep ? exponent - 1 : exponent, env, 'current');
}

export function floatBinary(operation: FloatBinary, size: FloatSize, a: bigint, b: bigint, env: FloatEnvironment): bigint {
  switch (operation) {
    case 'add': return sum(size, a, b, env, false);
    case 'subtract': return sum(size, a, b, env, true);
    case 'multiply': return floatMultiply(size, a, b, env);
    case 'multiply-extended': return floatMultiply(size, a, b, env, true);
    case 'divide': return floatDivide(size, a, b, env);
    case 'maximum': return extreme(size, a, b, env, true);
    case 'minimum': return extreme(size, a, b, env, false);
    case 'maximum-number': return extremeNumber(size, a, b, env, true);
    case 'minimum-number': return extremeNumber(size, a, b, env, false);
    case 'reciprocal-step': return step(size, a, b, env, false);
    case 'reciprocal-square-root-step': return step(size, a, b, env, true);
  }
}
