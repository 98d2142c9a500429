/** Sums of plain values: 128 bits over their encoded form, cached by identity for immutable ones. */

import { hash128, hashText } from '../machines/memory/hash.ts';
import { encode } from './codec.ts';

/** 32 hexadecimal digits for a plain value. */
export const hashValue = (value: unknown): string => hashText(hash128(encode(value), 8));

const sums = new WeakMap<object, string>();

/** As hashValue, remembered for the object's identity: only for values that are never changed in place. */
export function hashImmutable(value: object): string {
  let sum = sums.get(value);
  if (sum === undefined) sums.set(value, sum = hashValue(value));
  return sum;
}

/** One sum of several, in the order given; e.g. of hashTree and of each actor's state. */
export const combine = (parts: readonly string[]): string => hashText(hash128(new TextEncoder().encode(parts.join('\n')), 9));
