/** The immediates of the logical instructions: DecodeBitMasks of the Arm ARM, as a table over N:immr:imms. */

import { MASK64, mask } from '../../bits.ts';

/** The 64-bit word that N, immr and imms stand for; undefined for a reserved combination. A 32-bit form has N 0 and uses the low half. */
export function bitmaskImmediate(N: number, immr: number, imms: number): bigint | undefined {
  return TABLE[(N << 12) | (immr << 6) | imms];
}

/** N, immr and imms whose word is `value`, for a 64-bit or (value in the low half) a 32-bit form; undefined when there is none. */
export function encodeBitmask(value: bigint, wide: boolean): { N: number; r: number; j: number } | undefined {
  if (!wide && value >> 32n !== 0n) return undefined;
  const code = codes().get(wide ? value : value | (value << 32n));
  if (code === undefined || (!wide && code >> 12 === 1)) return undefined;
  return { N: code >> 12, r: (code >> 6) & 63, j: code & 63 };
}

function decode(N: number, immr: number, imms: number): bigint | undefined {
  const combined = (N << 6) | (~imms & 63);
  if (combined < 2) return undefined;
  const size = 2 ** (31 - Math.clz32(combined));
  const ones = imms & (size - 1);
  const rotation = immr & (size - 1);
  if (ones === size - 1) return undefined;
  const element = mask(ones + 1);
  const rotated = ((element >> BigInt(rotation)) | (element << BigInt(size - rotation))) & mask(size);
  let word = 0n;
  for (let at = 0; at < 64; at += size) word |= rotated << BigInt(at);
  return word & MASK64;
}

const TABLE: readonly (bigint | undefined)[] = Array.from({ length: 8192 }, (_, code) => decode(code >> 12, (code >> 6) & 63, code & 63));

let byValue: Map<bigint, number> | undefined;

/** One code a value: the one with the unused bits of immr clear, which has the lowest immr. */
function codes(): Map<bigint, number> {
  if (byValue === undefined) {
    byValue = new Map();
    for (const [code, value] of TABLE.entries()) if (value !== undefined && !byValue.has(value)) byValue.set(value, code);
  }
  return byValue;
}
