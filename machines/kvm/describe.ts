/** L0's state for one vCPU as text: what it is doing, and the guest's registers as the guest would see them, wherever they are now. */

import { hex } from '../bits.ts';
import type { Board } from '../aarch64/board.ts';
import { describeRegister } from '../aarch64/describe.ts';
import { Word } from '../aarch64/state.ts';
import { registerByName } from '../aarch64/sysregs.ts';
import { CONTEXT, readVirtual } from './context.ts';
import { Hcr } from './controls.ts';
import { levelOf } from './fault.ts';
import { guestPc, guestPstate } from './inject.ts';
import type { KvmState } from './state.ts';
import { readPage, vncrOffset } from './vncr.ts';

/** Virtual EL2's registers that L1 runs its guest by; those of its own EL2 context follow from CONTEXT. */
const CONTROLS = ['HCR_EL2', 'VTTBR_EL2', 'VTCR_EL2', 'HPFAR_EL2', 'CNTVOFF_EL2', 'ICH_HCR_EL2', 'ICH_VMCR_EL2', ...Array.from({ length: 4 }, (_, index) => `ICH_LR${index}_EL2`)];

export function describeKvm(state: KvmState, board: Board): string[] {
  const { pc, pstate } = guestNow(state, board);
  const { el1, el2 } = virtualRegisters(state, board);
  const e2h = state.mechanism !== 'none' && (readPage(state, board, 'HCR_EL2') & Hcr.E2H) !== 0n;
  const lines = (subject: string, registers: readonly VirtualRegister[]): string[] => {
    const shown = registers.filter(({ value }) => value !== 0n);
    return shown.length === 0 ? [] : [`  ${subject}`, ...shown.map(({ name, value }) => `    ${describeRegister(name, value, e2h)}`)];
  };
  return [
    `kvm:${state.index} ${modeText(state)}, ${contextName(state, board)}${state.loaded ? '' : ', not in the hardware'}; ${state.exits} exits, ${state.nestedExits} of them from L2`,
    ...(state.work.length === 0 ? [] : [`  to do: ${state.work.map((step) => step.step).join(', ')}`]),
    `  the guest's PC ${hex(pc, 16)}, PSTATE ${hex(pstate)}`,
    ...lines('virtual EL2', el2),
    ...lines(state.mechanism === 'none' ? 'EL1' : "virtual EL1 (L2's)", el1),
  ];
}

/** PC and PSTATE of the guest, as it would read them. */
export function guestNow(state: KvmState, board: Board): { readonly pc: bigint; readonly pstate: bigint } {
  const core = board.cores[state.index]!;
  // In the guest the hardware's own hold; while L0 works, what it will return with.
  if (state.mode === 'guest') return { pc: core.words[Word.PC]!, pstate: (core.words[Word.NZCV]! << 28n) | core.words[Word.PSTATE]! };
  return { pc: guestPc(core), pstate: guestPstate(state, core) };
}

export interface VirtualRegister { readonly name: string; readonly value: bigint }

/** The guest's EL1 and EL2 system registers by name. EL1 means what the guest hypervisor keeps for its guest. */
export function virtualRegisters(state: KvmState, board: Board): { readonly el1: readonly VirtualRegister[]; readonly el2: readonly VirtualRegister[] } {
  const read = (name: string): VirtualRegister => ({ name, value: readVirtual(state, board, name) });
  const el1 = CONTEXT.filter(({ el1: name }) => isKept(state, name)).map((row) => read(row.el1));
  if (state.mechanism === 'none') return { el1, el2: [] };
  const own = CONTEXT.flatMap((row) => (row.el2 !== undefined && isKept(state, row.el2) ? [read(row.el2)] : []));
  return { el1, el2: [...CONTROLS.filter((name) => registerByName(name) !== undefined && isKept(state, name)).map(read), ...own] };
}

const isKept = (state: KvmState, name: string): boolean => vncrOffset(name) !== undefined || name in state.registers;

function modeText(state: KvmState): string {
  switch (state.mode) {
    case 'off': return 'off';
    case 'guest': return 'in the guest';
    case 'host': return `L0 works (exit by ${state.vector})${state.inWait ? ', on its way into a wait' : ''}`;
    case 'blocked': return 'blocked until a wake-up';
  }
}

/** Whose registers the hardware holds, or would hold. */
function contextName(state: KvmState, board: Board): string {
  if (state.mechanism === 'none') return "the guest's EL1";
  if (state.hyp) return 'L1 in virtual EL2';
  return levelOf(state, board) === 'L2' ? 'L2' : "L1's own EL1";
}
