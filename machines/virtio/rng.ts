/** The entropy device: bytes drawn from the world's seed, so that a replay draws the same. Virtio 1.2, 5.4. */

import { MASK64 } from '../bits.ts';
import type { Kind } from './kind.ts';
import { lengthOf, part, pieces, store } from './queue.ts';
import type { RngState } from './state.ts';

/** A device need not fill a buffer. */
const DRAW_BYTES_MAX = 1 << 16;

export const rng: Kind<RngState> = {
  deviceId: 4,
  features: () => 0n,
  configuration: () => new Uint8Array(0),
  notified(work, index) {
    for (let chain = work.take(index); chain !== undefined; chain = work.take(index)) {
      const room = part(chain.writable, 0, DRAW_BYTES_MAX);
      for (const { address, bytes } of pieces(room)) store(work.memory, address, draw(work.device, bytes));
      work.give(index, chain, lengthOf(room));
    }
  },
  // What was drawn stays drawn: a reset does not repeat it.
  reset: () => {},
};

export const initialRng = (seed: number): RngState => ({ kind: 'rng', seed, drawn: 0 });

/** The next `bytes` bytes: word n is SplitMix64's nth (Steele, Lea, Flood 2014) behind the seed mixed with a number of this device's own. */
function draw(device: RngState, bytes: number): Uint8Array {
  const words = new BigUint64Array(Math.ceil(bytes / 8));
  const start = mix(BigInt.asUintN(64, BigInt(device.seed)) ^ DOMAIN);
  for (let index = 0; index < words.length; index++) words[index] = mix(start + GAMMA * BigInt(++device.drawn));
  return new Uint8Array(words.buffer, 0, bytes);
}

const DOMAIN = 0x7669_7274_696f_0004n;
const GAMMA = 0x9e37_79b9_7f4a_7c15n;

function mix(word: bigint): bigint {
  let value = word & MASK64;
  value = ((value ^ (value >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & MASK64;
  value = ((value ^ (value >> 27n)) * 0x94d0_49bb_1331_11ebn) & MASK64;
  return value ^ (value >> 31n);
}
