/** 64-bit and 128-bit xxHash sums of bytes: the one place that loads the WebAssembly hash. */

import xxhash from 'xxhash-wasm';

const { h64Raw } = await xxhash();

/** A 128-bit sum: two 64-bit xxHash sums under different seeds. For look-up and comparison, not against an adversary. */
export interface Hash { readonly high: bigint; readonly low: bigint }

/** What an all-zero page, or a subtree of such pages, hashes to by definition. */
export const ZERO_HASH: Hash = { high: 0n, low: 0n };

const HIGH_SEED = 0x5a65_6e6f_0000_0000n;

/** Sum of `bytes`. `domain` (0 to 255) keeps sums of different kinds of thing apart. */
export const hash128 = (bytes: Uint8Array, domain = 0): Hash =>
  ({ high: h64Raw(bytes, HIGH_SEED + BigInt(domain)), low: h64Raw(bytes, BigInt(domain)) });

/** 64-bit sum of `bytes`, for checking that stored bytes came back. */
export const checksum64 = (bytes: Uint8Array): bigint => h64Raw(bytes, 0n);

/** 32 hexadecimal digits. */
export const hashText = (hash: Hash): string => hash.high.toString(16).padStart(16, '0') + hash.low.toString(16).padStart(16, '0');
