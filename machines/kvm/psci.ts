/** PSCI 1.1, SMCCC 1.1 and TRNG 1.0: what a firmware call asks for. Arm DEN0022, DEN0028, DEN0098. Linux: psci.c, hypercalls.c, trng.c. */

import { mask, splitMix64 } from '../bits.ts';

export const PSCI_SUCCESS = 0n;
export const NOT_SUPPORTED = 0xffff_ffff_ffff_ffffn;
export const INVALID_PARAMETERS = 0xffff_ffff_ffff_fffen;
export const ALREADY_ON = 0xffff_ffff_ffff_fffcn;
/** SMCCC's NOT_REQUIRED. */
export const NOT_REQUIRED = 0xffff_ffff_ffff_fffen;

export type FirmwareRequest =
  /** `value` is for X0, `more` for X1 and up. */
  | { readonly type: 'answer'; readonly value: bigint; readonly more?: readonly bigint[] }
  | { readonly type: 'cpu-on'; readonly target: number; readonly entry: bigint; readonly context: bigint }
  | { readonly type: 'cpu-off' }
  | { readonly type: 'cpu-suspend' }
  | { readonly type: 'affinity-info'; readonly target: number }
  /** TRNG_RND: so many bits for X1 to X3, each `width` wide. */
  | { readonly type: 'random'; readonly bits: number; readonly width: 32 | 64 }
  | { readonly type: 'power'; readonly request: 'off' | 'reset' };

type Handler = (args: readonly bigint[], vcpus: number) => FirmwareRequest;

const PSCI: readonly (readonly [number, Handler])[] = [
  [0x8400_0000, () => answer(0x1_0001n)],
  [0x8400_0001, cpuSuspend],
  [0xc400_0001, cpuSuspend],
  [0x8400_0002, () => ({ type: 'cpu-off' })],
  [0x8400_0003, cpuOn],
  [0xc400_0003, cpuOn],
  [0x8400_0004, affinityInfo],
  [0xc400_0004, affinityInfo],
  // MIGRATE_INFO_TYPE: no Trusted OS that needs migrating.
  [0x8400_0006, () => answer(2n)],
  [0x8400_0008, () => ({ type: 'power', request: 'off' })],
  [0x8400_0009, () => ({ type: 'power', request: 'reset' })],
  [0x8400_000a, (a) => answer(PSCI_FEATURES.has(named(a[1]!)) ? PSCI_SUCCESS : NOT_SUPPORTED)],
  [0x8400_0012, systemReset2],
  [0xc400_0012, systemReset2],
];

const SMCCC_VERSION = 0x8000_0000;
const SMCCC_ARCH_FEATURES = 0x8000_0001;
// Fixes of cores that speculate. Ours does not: WORKAROUND_1 and _3 may be called and do nothing, WORKAROUND_2 is not required.
const WORKAROUND_1 = 0x8000_8000;
const WORKAROUND_2 = 0x8000_7fff;
const WORKAROUND_3 = 0x8000_3fff;
const UNAFFECTED = 1n;

/** SMCCC_ARCH_FEATURES: what it says of each function. SMCCC_ARCH_SOC_ID is not among them: the board has no name. */
const ARCHITECTURE_FEATURES: Readonly<Record<number, bigint>> = {
  [SMCCC_VERSION]: PSCI_SUCCESS, [SMCCC_ARCH_FEATURES]: PSCI_SUCCESS, [WORKAROUND_1]: UNAFFECTED, [WORKAROUND_2]: NOT_REQUIRED, [WORKAROUND_3]: UNAFFECTED,
};

const SMCCC: readonly (readonly [number, Handler])[] = [
  [SMCCC_VERSION, () => answer(0x1_0001n)],
  [SMCCC_ARCH_FEATURES, (a) => answer(ARCHITECTURE_FEATURES[named(a[1]!)] ?? NOT_SUPPORTED)],
  [WORKAROUND_1, () => answer(PSCI_SUCCESS)],
  [WORKAROUND_2, () => answer(PSCI_SUCCESS)],
  [WORKAROUND_3, () => answer(PSCI_SUCCESS)],
];

/** TRNG_GET_UUID's: ours, a version 4 UUID that names this generator. */
const TRNG_UUID = [0x3f1d_9b52n, 0x4e0a_c871n, 0x66d3_0b9an, 0x2c75_e418n];

const TRNG: readonly (readonly [number, Handler])[] = [
  [0x8400_0050, () => answer(0x1_0000n)],
  [0x8400_0051, (a) => answer(TRNG_FUNCTIONS.has(named(a[1]!)) ? PSCI_SUCCESS : NOT_SUPPORTED)],
  [0x8400_0052, () => answer(TRNG_UUID[0]!, TRNG_UUID.slice(1))],
  [0x8400_0053, (a) => random(a[1]!, 32)],
  [0xc400_0053, (a) => random(a[1]!, 64)],
];

const FUNCTIONS: ReadonlyMap<number, Handler> = new Map([...PSCI, ...SMCCC, ...TRNG]);
/** PSCI_FEATURES tells of PSCI's functions, and whether SMCCC's version can be asked for. */
const PSCI_FEATURES: ReadonlySet<number> = new Set([...PSCI.map(([number]) => number), SMCCC_VERSION]);
const TRNG_FUNCTIONS: ReadonlySet<number> = new Set(TRNG.map(([number]) => number));

/** What the call with arguments X0 to X3 asks of a machine with `vcpus` vCPUs. Unknown functions answer NOT_SUPPORTED. */
export function firmwareCall(args: readonly bigint[], vcpus: number): FirmwareRequest {
  const called = named(args[0]!);
  const handler = FUNCTIONS.get(called);
  // The SMC32 form of a function has 32-bit arguments (SMCCC: bit 30 is the SMC64 convention).
  const given = (called & 0x4000_0000) === 0 ? args.map((argument) => BigInt.asUintN(32, argument)) : args;
  return handler ? handler(given, vcpus) : answer(NOT_SUPPORTED);
}

/** A function by its number in a W register. */
const named = (argument: bigint): number => Number(BigInt.asUintN(32, argument));

const answer = (value: bigint, more?: readonly bigint[]): FirmwareRequest => ({ type: 'answer', value, ...(more && { more }) });

/** The generator of a machine with `seed` for stream `stream`: one of the board's, and one for each of L0's vCPUs. */
export const initialEntropy = (seed: number, stream: number): bigint => splitMix64((BigInt(stream) << 32n) ^ BigInt.asUintN(32, BigInt(seed)) ^ 0x7472_6e67_0000_0000n).word;

/** X1 to X3 for TRNG_RND: the lowest bits in X3, as many as were asked for, the rest zero; and the generator behind them. */
export function drawRandom(entropy: bigint, { bits, width }: Extract<FirmwareRequest, { type: 'random' }>): { readonly entropy: bigint; readonly values: readonly bigint[] } {
  const values: bigint[] = [];
  let state = entropy;
  for (let left = bits; values.length < 3; left -= width) {
    const next = splitMix64(state);
    state = next.state;
    values.unshift(next.word & mask(Math.min(Math.max(left, 0), width)));
  }
  return { entropy: state, values };
}

function random(count: bigint, width: 32 | 64): FirmwareRequest {
  return count === 0n || count > BigInt(3 * width) ? answer(INVALID_PARAMETERS) : { type: 'random', bits: Number(count), width };
}

/** The vCPU index of an MPIDR affinity value, or -1: 16 a cluster in Aff0, clusters in Aff1. */
const targetOf = (affinity: bigint, vcpus: number): number => {
  const index = Number(affinity & 0xffn) + 16 * Number((affinity >> 8n) & 0xffn);
  return (affinity & 0xff_00ff_0000n) === 0n && Number(affinity & 0xffn) < 16 && index < vcpus ? index : -1;
};

function cpuOn(args: readonly bigint[], vcpus: number): FirmwareRequest {
  const target = targetOf(args[1]!, vcpus);
  return target < 0 ? answer(INVALID_PARAMETERS) : { type: 'cpu-on', target, entry: args[2]!, context: args[3]! };
}

function affinityInfo(args: readonly bigint[], vcpus: number): FirmwareRequest {
  const target = targetOf(args[1]!, vcpus);
  return target < 0 ? answer(INVALID_PARAMETERS) : { type: 'affinity-info', target };
}

/**
 * CPU_SUSPEND: power levels in bits 25 and 24, a power-down in bit 16, the rest of what is not the state's ID is reserved. A power-down may be taken as a standby
 * (DEN0022, 5.4.5), and both QEMU and KVM do so: the caller goes on behind the call when an interrupt pends.
 */
function cpuSuspend(args: readonly bigint[]): FirmwareRequest {
  return (BigInt.asUintN(32, args[1]!) & 0xfcfe_0000n) !== 0n ? answer(INVALID_PARAMETERS) : { type: 'cpu-suspend' };
}

/** SYSTEM_RESET2: the architecture has one type, a warm reset, which is as a cold one here; types from bit 31 on are the vendor's, and so ours. */
function systemReset2(args: readonly bigint[]): FirmwareRequest {
  const type = BigInt.asUintN(32, args[1]!);
  return type === 0n || type >= 0x8000_0000n ? { type: 'power', request: 'reset' } : answer(INVALID_PARAMETERS);
}
