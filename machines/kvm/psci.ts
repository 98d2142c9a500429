/** PSCI 1.1 and SMCCC 1.1 discovery: what a firmware call asks for. Arm DEN0022, DEN0028. Linux: psci.c, hypercalls.c. */

export const PSCI_SUCCESS = 0n;
export const NOT_SUPPORTED = 0xffff_ffff_ffff_ffffn;
export const INVALID_PARAMETERS = 0xffff_ffff_ffff_fffen;
export const ALREADY_ON = 0xffff_ffff_ffff_fffcn;

export type FirmwareRequest =
  | { readonly type: 'answer'; readonly value: bigint }
  | { readonly type: 'cpu-on'; readonly target: number; readonly entry: bigint; readonly context: bigint }
  | { readonly type: 'cpu-off' }
  | { readonly type: 'cpu-suspend' }
  | { readonly type: 'affinity-info'; readonly target: number }
  | { readonly type: 'power'; readonly request: 'off' | 'reset' };

type Handler = (args: readonly bigint[], vcpus: number) => FirmwareRequest;
const FUNCTIONS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [0x8400_0000, () => answer(0x1_0001n)],
  [0x8400_0001, () => ({ type: 'cpu-suspend' })],
  [0xc400_0001, () => ({ type: 'cpu-suspend' })],
  [0x8400_0002, () => ({ type: 'cpu-off' })],
  [0x8400_0003, cpuOn],
  [0xc400_0003, cpuOn],
  [0x8400_0004, affinityInfo],
  [0xc400_0004, affinityInfo],
  // MIGRATE_INFO_TYPE: no Trusted OS that needs migrating.
  [0x8400_0006, () => answer(2n)],
  [0x8400_0008, () => ({ type: 'power', request: 'off' })],
  [0x8400_0009, () => ({ type: 'power', request: 'reset' })],
  [0x8400_000a, (a) => answer(FUNCTIONS.has(Number(BigInt.asUintN(32, a[1]!))) ? PSCI_SUCCESS : NOT_SUPPORTED)],
  // SMCCC_VERSION: 1.1.
  [0x8000_0000, () => answer(0x1_0001n)],
  [0x8000_0001, () => answer(NOT_SUPPORTED)],
]);

/** What the call with arguments X0 to X3 asks of a machine with `vcpus` vCPUs. Unknown functions answer NOT_SUPPORTED. */
export function firmwareCall(args: readonly bigint[], vcpus: number): FirmwareRequest {
  const called = Number(BigInt.asUintN(32, args[0]!));
  const handler = FUNCTIONS.get(called);
  // The SMC32 form of a function has 32-bit arguments (SMCCC: bit 30 is the SMC64 convention).
  const given = (called & 0x4000_0000) === 0 ? args.map((argument) => BigInt.asUintN(32, argument)) : args;
  return handler ? handler(given, vcpus) : answer(NOT_SUPPORTED);
}

const answer = (value: bigint): FirmwareRequest => ({ type: 'answer', value });

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
