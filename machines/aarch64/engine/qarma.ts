/** The two functions that pointer authentication codes are computed by: QARMA5-64, which is the architecture's, and a fast one of our choice. */

const CELLS = 16;
/** Where each cell of a shuffled word comes from, lowest cell first. Arm ARM: PACCellShuffle. */
const SHUFFLE: readonly number[] = [13, 6, 11, 0, 7, 12, 1, 10, 8, 3, 14, 5, 2, 9, 4, 15];
const INVERSE_SHUFFLE: readonly number[] = SHUFFLE.map((_, cell) => SHUFFLE.indexOf(cell));
/** The same for the tweak (TweakShuffle), some of whose cells go through a shift register on the way. */
const TWEAK: readonly number[] = [4, 5, 6, 7, 11, 2, 3, 8, 12, 13, 14, 15, 0, 1, 10, 9];
const TWEAK_ROTATED: ReadonlySet<number> = new Set([2, 4, 7, 11, 12, 14, 15]);
const SUBSTITUTE: readonly number[] = [11, 6, 8, 15, 12, 0, 9, 14, 3, 7, 4, 5, 13, 2, 1, 10];
const INVERSE_SUBSTITUTE: readonly number[] = SUBSTITUTE.map((_, cell) => SUBSTITUTE.indexOf(cell));
/** A step of the shift register of four bits. */
const ROTATED: readonly number[] = Array.from({ length: 16 }, (_, cell) => (cell >> 1) | (((cell ^ (cell >> 1)) & 1) << 3));

const ROUND_CONSTANTS = [0n, 0x1319_8a2e_0370_7344n, 0xa409_3822_299f_31d0n, 0x082e_fa98_ec4e_6c89n, 0x4528_21e6_38d0_1377n].map((constant) => cells(constant));
const ALPHA = cells(0xc0ac_29b7_c97c_50ddn);
const ROUNDS = 4;

/** A word as sixteen cells of four bits, lowest first. */
function cells(word: bigint): Uint8Array {
  const result = new Uint8Array(CELLS);
  let low = Number(BigInt.asUintN(32, word)), high = Number(word >> 32n);
  for (let cell = 0; cell < 8; cell++) {
    result[cell] = low & 15;
    result[cell + 8] = high & 15;
    low >>>= 4;
    high >>>= 4;
  }
  return result;
}

function wordOf(state: Uint8Array): bigint {
  let low = 0, high = 0;
  for (let cell = 7; cell >= 0; cell--) {
    low = (low << 4) | state[cell]!;
    high = (high << 4) | state[cell + 8]!;
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

function addCells(state: Uint8Array, other: Uint8Array): void {
  for (let cell = 0; cell < CELLS; cell++) state[cell]! ^= other[cell]!;
}

const spare = new Uint8Array(CELLS);

function move(state: Uint8Array, from: readonly number[]): void {
  spare.set(state);
  for (let cell = 0; cell < CELLS; cell++) state[cell] = spare[from[cell]!]!;
}

function map(state: Uint8Array, table: readonly number[]): void {
  for (let cell = 0; cell < CELLS; cell++) state[cell] = table[state[cell]!]!;
}

/** PACMult: each column of four cells times the circulant matrix of rotations 0, 1, 2, 1, where 0 stands for nothing. It is its own inverse. */
function multiply(state: Uint8Array): void {
  spare.set(state);
  for (let cell = 0; cell < CELLS; cell++) {
    const once = spare[(cell + 4) & 15]! ^ spare[(cell + 12) & 15]!;
    const twice = spare[(cell + 8) & 15]!;
    state[cell] = ((once << 1) & 15) | (once >> 3);
    state[cell]! ^= ((twice << 2) & 15) | (twice >> 2);
  }
}

function advance(tweak: Uint8Array): void {
  move(tweak, TWEAK);
  for (const cell of TWEAK_ROTATED) tweak[cell] = ROTATED[tweak[cell]!]!;
}

/** The tweaks of all rounds: the way back uses them in the opposite order. */
function tweaksOf(modifier: bigint): Uint8Array[] {
  const tweaks = [cells(modifier)];
  for (let round = 0; round <= ROUNDS; round++) {
    const next = tweaks[round]!.slice();
    advance(next);
    tweaks.push(next);
  }
  return tweaks;
}

/**
 * QARMA5-64 with its sbox 2: 64 bits from 64 of data and of modifier under a key of 128 bits. Arm ARM: ComputePAC; R. Avanzi, "The QARMA
 * Block Cipher Family", 2017. `keyHigh` is the paper's whitening key w0, `keyLow` its core key k0.
 */
export function qarma5(data: bigint, modifier: bigint, keyHigh: bigint, keyLow: bigint): bigint {
  const outer = cells(keyHigh);
  const core = cells(keyLow);
  const outerSecond = cells(((keyHigh & 1n) << 63n) | (keyHigh >> 1n) ^ (keyHigh >> 63n));
  const tweaks = tweaksOf(modifier);
  const state = cells(data);
  addCells(state, outer);
  for (let round = 0; round <= ROUNDS; round++) {
    addCells(state, core);
    addCells(state, tweaks[round]!);
    addCells(state, ROUND_CONSTANTS[round]!);
    if (round > 0) {
      move(state, SHUFFLE);
      multiply(state);
    }
    map(state, SUBSTITUTE);
  }
  const last = tweaks[ROUNDS + 1]!;
  addCells(state, outerSecond);
  addCells(state, last);
  move(state, SHUFFLE);
  multiply(state);
  map(state, SUBSTITUTE);
  move(state, SHUFFLE);
  multiply(state);
  addCells(state, core);
  move(state, INVERSE_SHUFFLE);
  map(state, INVERSE_SUBSTITUTE);
  multiply(state);
  move(state, INVERSE_SHUFFLE);
  addCells(state, outer);
  addCells(state, last);
  for (let round = ROUNDS; round >= 0; round--) {
    map(state, INVERSE_SUBSTITUTE);
    if (round > 0) {
      multiply(state);
      move(state, INVERSE_SHUFFLE);
    }
    addCells(state, core);
    addCells(state, tweaks[round]!);
    addCells(state, ROUND_CONSTANTS[round]!);
    addCells(state, ALPHA);
  }
  addCells(state, outerSecond);
  return wordOf(state);
}

const PRIMES = [0x9e37_79b1_85eb_ca87n, 0xc2b2_ae3d_27d4_eb4fn, 0x1656_67b1_9e37_79f9n, 0x85eb_ca77_c2b2_ae63n] as const;
const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotateLeft = (value: bigint, distance: bigint): bigint => wrap(value << distance) | (value >> (64n - distance));
const mix = (lane: bigint, input: bigint): bigint => wrap(rotateLeft(wrap(lane + input * PRIMES[1]), 31n) * PRIMES[0]);

/**
 * The IMPLEMENTATION DEFINED function: XXH64 (Y. Collet) over one stripe of data, modifier and key with seed 1, without the length. It is the one
 * that QEMU has, so that the two can be compared; a mixer of numbers, no cipher.
 */
export function fastCode(data: bigint, modifier: bigint, keyHigh: bigint, keyLow: bigint): bigint {
  const lanes = [
    mix(wrap(1n + PRIMES[0] + PRIMES[1]), data), mix(wrap(1n + PRIMES[1]), modifier), mix(1n, keyLow), mix(wrap(1n - PRIMES[0]), keyHigh),
  ] as const;
  let hash = wrap(rotateLeft(lanes[0], 1n) + rotateLeft(lanes[1], 7n) + rotateLeft(lanes[2], 12n) + rotateLeft(lanes[3], 18n));
  for (const lane of lanes) hash = wrap((hash ^ mix(0n, lane)) * PRIMES[0] + PRIMES[3]);
  hash = wrap((hash ^ (hash >> 33n)) * PRIMES[1]);
  hash = wrap((hash ^ (hash >> 29n)) * PRIMES[2]);
  return hash ^ (hash >> 32n);
}
