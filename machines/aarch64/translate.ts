/** Address translation of a core. */
import type { Core } from './state.ts';
/** AArch64.BranchAddr: `target` with the tag byte that TBI ignores replaced. */
export function branchAddress(_core: Core, target: bigint): bigint { return target; }
/** Notices changed translation controls. */
export function invalidateContext(core: Core): void { core.translation = undefined; }
/** TLBI. `operation` is the Arm name without `TLBI `, e.g. `VAE1IS`. */
export function invalidateTlb(core: Core, _operation: string, _value: bigint): void { core.translation = undefined; }
/** AT. `operation` is the Arm name without `AT `, e.g. `S1E1R`. Returns PAR_EL1. */
export function addressTranslate(_core: Core, _operation: string, va: bigint): bigint { return (va & 0xffff_ffff_f000n) | 0x800n; }
