/** Rounds of AES and of the SHA family on 128-bit vectors, as the instructions of these names do them. Tables are computed when this file is loaded. */

import { MASK32, MASK64 } from '../../bits.ts';
import type { CipherOperation } from '../vector-builder.ts';

/**
 * What the instruction `operation` writes to Vd: `a` is Vd, `b` Vn, `c` Vm; for those that only read Vn (AESMC, AESIMC, SHA1H) it is `a`.
 * Arm ARM: the pseudocode of each instruction; FIPS 197 and FIPS 180-4 define what they compute.
 */
export function cipher(operation: CipherOperation, a: bigint, b: bigint, c: bigint): bigint {
  switch (operation) {
    case 'AESE': return substitute(a ^ b, SUBSTITUTION, 5);
    case 'AESD': return substitute(a ^ b, INVERSE_SUBSTITUTION, 13);
    case 'AESMC': return mixColumns(a, [2, 3, 1, 1]);
    case 'AESIMC': return mixColumns(a, [14, 11, 13, 9]);
    case 'SHA1C': return sha1Hash(a, b, c, choose);
    case 'SHA1P': return sha1Hash(a, b, c, (x, y, z) => x ^ y ^ z);
    case 'SHA1M': return sha1Hash(a, b, c, majority);
    case 'SHA1H': return rotateRight(32, a & MASK32, 2);
    case 'SHA1SU0': return (((b & MASK64) << 64n) | (a >> 64n)) ^ a ^ c;
    case 'SHA1SU1': return sha1Schedule(a ^ (b >> 32n));
    case 'SHA256H': return sha256Hash(a, b, c)[0];
    case 'SHA256H2': return sha256Hash(b, a, c)[1];
    case 'SHA256SU0': return sha256Schedule0(a, b);
    case 'SHA256SU1': return sha256Schedule1(a, b, c);
    case 'SHA512H': return sha512Hash1(a, b, c);
    case 'SHA512H2': return sha512Hash0(a, b, c);
    case 'SHA512SU0': return pack(64, [0, 1].map((e) => element(64, a, e) + lowSigma(64, e === 0 ? a >> 64n : b & MASK64, 1, 8, 7)));
    case 'SHA512SU1': return pack(64, [0, 1].map((e) => element(64, a, e) + lowSigma(64, element(64, b, e), 19, 61, 6) + element(64, c, e)));
  }
}

const element = (width: 32 | 64, vector: bigint, index: number): bigint => BigInt.asUintN(width, vector >> BigInt(width * index));
const pack = (width: 8 | 32 | 64, elements: readonly bigint[]): bigint => elements.reduce((vector, value, index) => vector | (BigInt.asUintN(width, value) << BigInt(width * index)), 0n);
const rotateRight = (width: 32 | 64, value: bigint, amount: number): bigint => BigInt.asUintN(width, (value >> BigInt(amount)) | (value << BigInt(width - amount)));
const choose = (x: bigint, y: bigint, z: bigint): bigint => ((y ^ z) & x) ^ z;
const majority = (x: bigint, y: bigint, z: bigint): bigint => (x & y) | ((x | y) & z);

// ---- AES: bytes are columns of four, byte i is row i % 4 of column i / 4 ------------------------------------------------------------------

/** The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function product(x: number, y: number): number {
  let result = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    result = (result << 1) ^ ((result & 0x80) !== 0 ? 0x11b : 0);
    if ((y >> bit) & 1) result ^= x;
  }
  return result;
}

/** The S-box: the inverse in the field (its 254th power), then an affine map over bits. */
const SUBSTITUTION: readonly number[] = Array.from({ length: 256 }, (_, value) => {
  let inverse = 1;
  for (let power = 0; power < 254; power += 1) inverse = product(inverse, value);
  const doubled = inverse * 0x101;
  return (inverse ^ (doubled >> 4) ^ (doubled >> 5) ^ (doubled >> 6) ^ (doubled >> 7) ^ 0x63) & 0xff;
});
const INVERSE_SUBSTITUTION: readonly number[] = Array.from({ length: 256 }, (_, value) => SUBSTITUTION.indexOf(value));

const bytesOf = (vector: bigint): readonly number[] => Array.from({ length: 16 }, (_, index) => Number((vector >> BigInt(8 * index)) & 0xffn));

/** Shifts the rows and substitutes each byte: row r moves by r columns, so that byte i comes from byte i * step. */
function substitute(vector: bigint, table: readonly number[], step: 5 | 13): bigint {
  const bytes = bytesOf(vector);
  return pack(8, bytes.map((_, index) => BigInt(table[bytes[(index * step) % 16]!]!)));
}

/** Each column times the circulant matrix whose first row is `row`. */
function mixColumns(vector: bigint, row: readonly number[]): bigint {
  const bytes = bytesOf(vector);
  return pack(8, bytes.map((_, index) => {
    const column = index - (index % 4);
    let sum = 0;
    for (let place = 0; place < 4; place += 1) sum ^= product(bytes[column + ((index + place) % 4)]!, row[place]!);
    return BigInt(sum);
  }));
}

// ---- SHA ---------------------------------------------------------------------------------------------------------------------------------

/** Four rounds of SHA-1 on a, b, c, d in `abcd` and e; the result is the new a, b, c, d. */
function sha1Hash(abcd: bigint, e: bigint, schedule: bigint, mix: (x: bigint, y: bigint, z: bigint) => bigint): bigint {
  let state = [element(32, abcd, 0), element(32, abcd, 1), element(32, abcd, 2), element(32, abcd, 3), element(32, e, 0)] as const;
  for (let round = 0; round < 4; round += 1) {
    const [x0, x1, x2, x3, y] = state;
    const next = BigInt.asUintN(32, y + rotateRight(32, x0, 27) + mix(x1, x2, x3) + element(32, schedule, round));
    state = [next, x0, rotateRight(32, x1, 2), x2, x3];
  }
  return pack(32, state.slice(0, 4));
}

function sha1Schedule(words: bigint): bigint {
  const rotated = [0, 1, 2, 3].map((index) => rotateRight(32, element(32, words, index), 31));
  return pack(32, [rotated[0]!, rotated[1]!, rotated[2]!, rotated[3]! ^ rotateRight(32, rotated[0]!, 31)]);
}

const sigma = (width: 32 | 64, value: bigint, first: number, second: number, third: number): bigint => rotateRight(width, value, first) ^ rotateRight(width, value, second) ^ rotateRight(width, value, third);
/** As `sigma`, where the third is a shift: the functions of the message schedules. */
const lowSigma = (width: 32 | 64, value: bigint, first: number, second: number, shift: number): bigint => rotateRight(width, value, first) ^ rotateRight(width, value, second) ^ (value >> BigInt(shift));

/** Four rounds of SHA-256 on a..d in `abcd` and e..h in `efgh`. */
function sha256Hash(abcd: bigint, efgh: bigint, schedule: bigint): readonly [abcd: bigint, efgh: bigint] {
  let x = [0, 1, 2, 3].map((index) => element(32, abcd, index));
  let y = [0, 1, 2, 3].map((index) => element(32, efgh, index));
  for (let round = 0; round < 4; round += 1) {
    const t = y[3]! + sigma(32, y[0]!, 6, 11, 25) + choose(y[0]!, y[1]!, y[2]!) + element(32, schedule, round);
    const e = BigInt.asUintN(32, t + x[3]!);
    const a = BigInt.asUintN(32, t + sigma(32, x[0]!, 2, 13, 22) + majority(x[0]!, x[1]!, x[2]!));
    x = [a, x[0]!, x[1]!, x[2]!];
    y = [e, y[0]!, y[1]!, y[2]!];
  }
  return [pack(32, x), pack(32, y)];
}

function sha256Schedule0(words: bigint, next: bigint): bigint {
  const following = ((next & MASK32) << 96n) | (words >> 32n);
  return pack(32, [0, 1, 2, 3].map((index) => element(32, words, index) + lowSigma(32, element(32, following, index), 7, 18, 3)));
}

/** The last two words depend on the first two. */
function sha256Schedule1(words: bigint, middle: bigint, last: bigint): bigint {
  const shifted = ((last & MASK32) << 96n) | (middle >> 32n);
  const result: bigint[] = [];
  for (let index = 0; index < 4; index += 1) {
    const from = index < 2 ? element(32, last, index + 2) : result[index - 2]!;
    result.push(BigInt.asUintN(32, element(32, words, index) + element(32, shifted, index) + lowSigma(32, from, 17, 19, 10)));
  }
  return pack(32, result);
}

function sha512Hash1(w: bigint, x: bigint, y: bigint): bigint {
  const [x0, x1, y0, y1] = [x & MASK64, x >> 64n, y & MASK64, y >> 64n];
  const high = BigInt.asUintN(64, choose(y1, x0, x1) + sigma(64, y1, 14, 18, 41) + (w >> 64n));
  const middle = BigInt.asUintN(64, high + y0);
  return pack(64, [choose(middle, y1, x0) + sigma(64, middle, 14, 18, 41) + (w & MASK64), high]);
}

function sha512Hash0(w: bigint, x: bigint, y: bigint): bigint {
  const [x0, y0, y1] = [x & MASK64, y & MASK64, y >> 64n];
  const high = BigInt.asUintN(64, majority(x0, y1, y0) + sigma(64, y0, 28, 34, 39) + (w >> 64n));
  return pack(64, [majority(high, y0, y1) + sigma(64, high, 28, 34, 39) + (w & MASK64), high]);
}
