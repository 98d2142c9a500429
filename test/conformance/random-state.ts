/** The state that the user-level oracle gives an instruction and takes from it: one record of 64-bit words, and random ones. */

/** Where each part of a record lies, in words. Vectors and sandbox begin at multiples of 16 bytes. */
export const Part = {
  /** X0 to X30. */
  X: 0,
  SP: 31,
  /** N, Z, C and V in bits 31 to 28. */
  NZCV: 32,
  FPSR: 33,
  FPCR: 34,
  /** 0 where the code came to its end; else where it stopped, with a `Stop` in bits 63 to 56. */
  STOP: 35,
  /** V0 to V31, two words each, low half first. */
  V: 36,
  SANDBOX: 100,
} as const;
export const RECORD_WORDS = 164;
export const RECORD_BYTES = RECORD_WORDS * 8;
export const SANDBOX_BYTES = (RECORD_WORDS - Part.SANDBOX) * 8;

/** Linux's signal for an exception; for ours beside them: what only we can do wrong. */
export const Stop = { ILLEGAL: 4, TRAP: 5, ALIGNMENT: 7, ADDRESS: 11, HOLE: 0xfc, THROWN: 0xfd, ASTRAY: 0xfe } as const;

/** Bits of FPCR that are drawn: AHP, DN, FZ, RMode, FZ16. Never AH, FIZ and NEP, which need FEAT_AFP, nor the trap enables. */
export const FPCR_BITS = 0x07c8_0000;
/** QC and the cumulative exception flags. */
export const FPSR_BITS = 0x0800_009f;

/** `count` random states, one record after the other. */
export function randomStates(count: number, random: () => number): BigUint64Array {
  const states = new BigUint64Array(count * RECORD_WORDS);
  for (let index = 0; index < count; index += 1) {
    const state = states.subarray(index * RECORD_WORDS, (index + 1) * RECORD_WORDS);
    for (let word = 0; word < 32; word += 1) state[word] = integer(random);
    state[Part.NZCV] = BigInt(random() & 15) << 28n;
    state[Part.FPSR] = BigInt(random() & random() & FPSR_BITS);
    // Most code runs with FPCR 0, and every mode but rounding hides others: each is off more often than on.
    state[Part.FPCR] = random() % 4 === 0 ? 0n : BigInt(random() & (random() | (3 << 22)) & FPCR_BITS);
    for (let register = 0; register < 32; register += 1) {
      const lane = LANES[random() % LANES.length]!;
      for (let half = 0; half < 2; half += 1) state[Part.V + 2 * register + half] = vectorHalf(lane, random);
    }
    for (let word = Part.SANDBOX; word < RECORD_WORDS; word += 1) {
      const kind = random() % 3;
      state[word] = kind === 0 ? integer(random) : kind === 1 ? vectorHalf(LANES[random() % LANES.length]!, random) : anything(random);
    }
  }
  return states;
}

const anything = (random: () => number): bigint => (BigInt(random()) << 32n) | BigInt(random());

/** Values where integer arithmetic has its edges, among random ones. */
export function integer(random: () => number): bigint {
  switch (random() % 12) {
    case 0: return BigInt(random() % 70);
    case 1: return BigInt.asUintN(64, -BigInt(random() % 70));
    case 2: return BigInt.asUintN(64, (1n << BigInt(random() % 64)) - BigInt(random() % 3));
    case 3: return BigInt(random());
    case 4: return EDGES[random() % EDGES.length]!;
    default: return anything(random);
  }
}
const EDGES = [0n, 1n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn] as const;

/** Formats by their widths: total, exponent, fraction. BFloat16 stands beside half precision. A width of 0 is an integer. */
interface Format { readonly width: 16 | 32 | 64; readonly exponent: number; readonly fraction: number }
const HALF: Format = { width: 16, exponent: 5, fraction: 10 };
const BRAIN: Format = { width: 16, exponent: 8, fraction: 7 };
const SINGLE: Format = { width: 32, exponent: 8, fraction: 23 };
const DOUBLE: Format = { width: 64, exponent: 11, fraction: 52 };
const LANES: readonly (Format | undefined)[] = [HALF, HALF, BRAIN, SINGLE, SINGLE, SINGLE, DOUBLE, DOUBLE, DOUBLE, undefined, undefined];

function vectorHalf(format: Format | undefined, random: () => number): bigint {
  if (format === undefined) return integer(random);
  let half = 0n;
  for (let at = 0; at < 64; at += format.width) half |= float(format, random) << BigInt(at);
  return half;
}

/** Values where floating-point arithmetic has its edges, among random ones. */
function float({ exponent: exponentBits, fraction: fractionBits, width }: Format, random: () => number): bigint {
  const top = 2 ** exponentBits - 1;
  const bias = top >> 1;
  const ones = (1n << BigInt(fractionBits)) - 1n;
  const quiet = 1n << BigInt(fractionBits - 1);
  const any = anything(random) & ones;
  const make = (exponent: number, fraction: bigint): bigint =>
    (BigInt(random() & 1) << BigInt(width - 1)) | (BigInt(Math.max(0, Math.min(top, exponent))) << BigInt(fractionBits)) | (fraction & ones);
  switch (random() % 16) {
    case 0: return make(0, 0n);
    // Subnormal: the least, the greatest, any.
    case 1: return make(0, [1n, ones, any, any >> BigInt(random() % fractionBits)][random() % 4]!);
    case 2: return make(top, 0n);
    case 3: return make(top, quiet | any);
    case 4: return make(top, (any & ~quiet) | 1n);
    // Near overflow and near underflow.
    case 5: return make(top - 1 - random() % 3, random() % 2 === 0 ? ones : any);
    case 6: return make(1 + random() % (fractionBits + 2), random() % 3 === 0 ? 0n : any);
    // Small integers, halves and quarters.
    case 7: case 8: return make(bias + random() % 4, (any >> BigInt(fractionBits - Math.min(3, fractionBits))) << BigInt(fractionBits - Math.min(3, fractionBits)));
    // About the largest integers of 16, 32 and 64 bits.
    case 9: return make(bias + [14, 15, 16, 30, 31, 32, 62, 63, 64][random() % 9]!, [0n, ones, any][random() % 3]!);
    // Of like size, so that sums cancel and products stay in range.
    case 10: case 11: return make(bias - 3 + random() % 7, any);
    case 12: return make(bias, [0n, 1n, ones, quiet][random() % 4]!);
    default: return make(random() % (top + 1), any);
  }
}
