/** A vGIC on a board, and a vCPU that takes and ends interrupts through its CPU interface. */

import type { Features } from '../../../machines/aarch64/board.ts';
import { CPU_INTERFACE, virtualInterruptPending } from '../../../machines/aarch64/cpu-interface.ts';
import { Lr } from '../../../machines/aarch64/list-registers.ts';
import type { Core } from '../../../machines/aarch64/state.ts';
import type { OfferedInterrupt, VgicMessage } from '../../../machines/messages.ts';
import { initialVgic, type VgicState } from '../../../machines/vgic/state.ts';
import { receive } from '../../../machines/vgic/vgic.ts';
import { get, set } from '../../support/core.ts';
import { bench, type Bench } from '../../support/l0.ts';

export type VgicBench = Bench<VgicState, VgicMessage>;

/** VMCR with both groups enabled and every priority let through, and with EOIs that only drop the priority. */
export const OPEN = 0xf84c_000bn;
export const OPEN_EOIMODE = OPEN | (1n << 9n);

/** A vGIC of which L1's interface is open to all. */
export function vgic(features: Partial<Features> = {}, vmcr = OPEN): VgicBench {
  const t = bench<VgicState, VgicMessage>(receive, { ...initialVgic(0), vmcr }, { features });
  // IMO and FMO: EL1 has the virtual interface.
  set(t.core, 'HCR_EL2', 0x18n);
  return t;
}

export const interrupt = (intid: number, more: Partial<OfferedInterrupt> = {}): OfferedInterrupt =>
  ({ intid, priority: 0x80, group: 1, pending: true, active: false, level: intid >= 16, ...more });

export const listRegister = (core: Core, index: number): bigint => get(core, `ICH_LR${index}_EL2`);
export const listState = (lr: bigint): string => ['invalid', 'pending', 'active', 'pending and active'][Number(lr >> 62n)]!;

/** The vCPU's reads of IAR1 and writes of EOIR1 and DIR. 1023: nothing to take. */
export const take = (core: Core): number => Number(CPU_INTERFACE.ICC_IAR1_EL1!.read!(core));
export const end = (core: Core, intid: number): void => CPU_INTERFACE.ICC_EOIR1_EL1!.write!(core, BigInt(intid));
export const deactivate = (core: Core, intid: number): void => CPU_INTERFACE.ICC_DIR_EL1!.write!(core, BigInt(intid));
export const signalled = (core: Core): boolean => virtualInterruptPending(core) !== undefined;

export const PENDING = Lr.PENDING;
export const ACTIVE = Lr.ACTIVE;
/** A list register as L1 writes it: Group 1, priority 0x80. */
export const l1Lr = (intid: number, state: bigint, more = 0n): bigint => state | Lr.GROUP1 | (0x80n << 48n) | BigInt(intid) | more;
