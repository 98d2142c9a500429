/** Bit arithmetic on 64-bit words held as bigint, shared by every machine. */

export const MASK64 = 0xffff_ffff_ffff_ffffn;
export const MASK32 = 0xffff_ffffn;

/** The low `width` bits set, `width` from 0 to 64. */
export const mask = (width: number): bigint => (1n << BigInt(width)) - 1n;

/** Bits `high` down to `low` of `value`, shifted down to bit 0. */
export const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & mask(high - low + 1);

/** Bit `index` of `value` as a boolean. */
export const bit = (value: bigint, index: number): boolean => ((value >> BigInt(index)) & 1n) === 1n;

/** `value` with bits `high` down to `low` replaced by `field`. */
export const insert = (value: bigint, high: number, low: number, field: bigint): bigint =>
  (value & ~(mask(high - low + 1) << BigInt(low)) & MASK64) | ((field & mask(high - low + 1)) << BigInt(low));

/** The low `width` bits of `value` as a signed number, returned as an unsigned 64-bit word. */
export const signExtend64 = (value: bigint, width: number): bigint => BigInt.asUintN(64, BigInt.asIntN(width, value));

/** `0x…` with at least `digits` hexadecimal digits. */
export const hex = (value: bigint | number, digits = 1): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** SplitMix64 (Steele, Lea, Flood 2014), whose output is fixed for ever: the state that follows `state`, and the word that it gives. */
export function splitMix64(state: bigint): { readonly state: bigint; readonly word: bigint } {
  const following = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
  const mixed = BigInt.asUintN(64, (following ^ (following >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  const more = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return { state: following, word: more ^ (more >> 31n) };
}
