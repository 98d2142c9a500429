/** The arithmetic of BFDOT and BFMMLA without FEAT_EBF16, which asks FPCR nothing and sets nothing. Arm ARM: BFDotAdd, BFMul, BFAdd, BFUnpack, BFRound. */

import { productOf, sumOf, zeroByInfinity } from './arithmetic.ts';
import { BRAIN, Fpcr, INFINITE, SINGLE, ZERO, bitLength, defaultNaN, infinity, isNaN, unpack, zero, type FloatEnvironment, type Format, type Unpacked } from './format.ts';

/** addend + (a0 * b0 + a1 * b1), each product and sum rounded to odd. Element 0 of a pair is in its low half. */
export function brainDot(addend: bigint, a: bigint, b: bigint): bigint {
  const product = (place: bigint): bigint => multiply((a >> place) & 0xffffn, (b >> place) & 0xffffn);
  return add(addend, add(product(0n), product(16n)));
}

/** Denormal numbers are zeros; every NaN stands for the default one. */
const flushing: FloatEnvironment = { fpcr: Fpcr.FZ, flags: 0 };
const take = (of: Format, bits: bigint): Unpacked => unpack(of, bits, flushing);

function multiply(a: bigint, b: bigint): bigint {
  const left = take(BRAIN, a), right = take(BRAIN, b);
  if (isNaN(left) || isNaN(right) || zeroByInfinity(left, right)) return defaultNaN(SINGLE);
  const { kind, negative, mantissa, exponent } = productOf(left, right);
  if (kind === INFINITE) return infinity(SINGLE, negative);
  return kind === ZERO ? zero(SINGLE, negative) : roundToOdd(negative, mantissa, exponent);
}

function add(a: bigint, b: bigint): bigint {
  const left = take(SINGLE, a), right = take(SINGLE, b);
  if (isNaN(left) || isNaN(right)) return defaultNaN(SINGLE);
  if (left.kind === INFINITE || right.kind === INFINITE) {
    if (left.kind === right.kind && left.negative !== right.negative) return defaultNaN(SINGLE);
    return infinity(SINGLE, left.kind === INFINITE ? left.negative : right.negative);
  }
  if (left.kind === ZERO && right.kind === ZERO && left.negative === right.negative) return zero(SINGLE, left.negative);
  const { mantissa, exponent } = sumOf(left, right);
  return mantissa === 0n ? 0n : roundToOdd(mantissa < 0n, mantissa < 0n ? -mantissa : mantissa, exponent);
}

/** BFRound: below the normal range a zero, beyond it an infinity. */
function roundToOdd(negative: boolean, mantissa: bigint, exponent: number): bigint {
  const scale = bitLength(mantissa) - 1 + exponent;
  if (scale < SINGLE.minimum) return zero(SINGLE, negative);
  if (scale > 1 - SINGLE.minimum) return infinity(SINGLE, negative);
  const drop = scale - SINGLE.fraction - exponent;
  let units = drop <= 0 ? mantissa << BigInt(-drop) : mantissa >> BigInt(drop);
  if (drop > 0 && units << BigInt(drop) !== mantissa) units |= 1n;
  return zero(SINGLE, negative) | (BigInt(scale - SINGLE.minimum + 1) << SINGLE.fractionBits) | (units & SINGLE.fractionMask);
}
