/** Access to the two virtual interfaces of a vCPU: the hardware's ICH registers, and L1's in the VNCR page. */

import { vncrPage, type Board } from '../aarch64/board.ts';
import { CPU_INTERFACE, pollMaintenance } from '../aarch64/cpu-interface.ts';
import type { VirtualInterface } from '../aarch64/list-registers.ts';
import { setRegister, type Core } from '../aarch64/state.ts';
import { slot } from '../aarch64/sysregs.ts';
import { readWord, writeWord } from '../memory/memory.ts';

export const LIST_REGISTERS_MAX = 16;
const LR_NAMES: readonly string[] = Array.from({ length: LIST_REGISTERS_MAX }, (_, index) => `ICH_LR${index}_EL2`);
const LR_WORDS: readonly number[] = LR_NAMES.map(slot);

/** ICH registers of the hardware that hold what a guest's CPU interface is doing. */
export type ControlName = 'ICH_HCR_EL2' | 'ICH_VMCR_EL2' | 'ICH_AP0R0_EL2' | 'ICH_AP1R0_EL2';
const CONTROL_WORDS: Readonly<Record<ControlName, number>> = {
  ICH_HCR_EL2: slot('ICH_HCR_EL2'), ICH_VMCR_EL2: slot('ICH_VMCR_EL2'), ICH_AP0R0_EL2: slot('ICH_AP0R0_EL2'), ICH_AP1R0_EL2: slot('ICH_AP1R0_EL2'),
};

/** Offsets in the VNCR page. Arm ARM, table D8-120. */
const VNCR_LR0 = 0x400;
const VNCR_CONTROL: Readonly<Record<ControlName, number>> = { ICH_HCR_EL2: 0x4c0, ICH_VMCR_EL2: 0x4c8, ICH_AP0R0_EL2: 0x480, ICH_AP1R0_EL2: 0x4a0 };

export const hardwareControl = (core: Core, name: ControlName): bigint => core.words[CONTROL_WORDS[name]]!;
export const hardwareListRegister = (core: Core, index: number): bigint => core.words[LR_WORDS[index]!]!;

/** Writes a hardware register as MSR would, so that bits it does not have stay clear whatever L1 left in its page. */
export function setHardwareControl(core: Core, name: ControlName, value: bigint): void {
  write(core, name, CONTROL_WORDS[name], value);
}

export function setHardwareListRegister(core: Core, index: number, value: bigint): void {
  write(core, LR_NAMES[index]!, LR_WORDS[index]!, value);
}

function write(core: Core, name: string, word: number, value: bigint): void {
  CPU_INTERFACE[name]!.write!(core, value);
  // The row stores without noting the block as changed, as an engine's write may.
  setRegister(core, word, core.words[word]!);
}

/** Empties the list registers and turns the interface off; what the CPU interface itself holds (VMCR, active priorities) stays. */
export function turnOff(core: Core): void {
  setHardwareControl(core, 'ICH_HCR_EL2', 0n);
  for (let index = 0; index < core.board.features.listRegisters; index++) {
    if (hardwareListRegister(core, index) !== 0n) setHardwareListRegister(core, index, 0n);
  }
  pollMaintenance(core);
  core.attention = true;
}

export const l1Control = (board: Board, vcpu: number, name: ControlName): bigint => readWord(board.memory, vncrPage(vcpu) + VNCR_CONTROL[name]);
export const l1ListRegister = (board: Board, vcpu: number, index: number): bigint => readWord(board.memory, vncrPage(vcpu) + VNCR_LR0 + 8 * index);

/** Writes L1's register where it differs, so that a page that does not change is not captured again. */
export function setL1Control(board: Board, vcpu: number, name: ControlName, value: bigint): void {
  if (l1Control(board, vcpu, name) !== value) writeWord(board.memory, vncrPage(vcpu) + VNCR_CONTROL[name], value);
}

export function setL1ListRegister(board: Board, vcpu: number, index: number, value: bigint): void {
  if (l1ListRegister(board, vcpu, index) !== value) writeWord(board.memory, vncrPage(vcpu) + VNCR_LR0 + 8 * index, value);
}

/** L1's virtual interface as its page has it: what ICH_MISR_EL2 and its siblings are computed from. */
export function l1Interface(board: Board, vcpu: number): VirtualInterface {
  return {
    hcr: l1Control(board, vcpu, 'ICH_HCR_EL2'), vmcr: l1Control(board, vcpu, 'ICH_VMCR_EL2'),
    listRegisters: Array.from({ length: board.features.listRegisters }, (_, index) => l1ListRegister(board, vcpu, index)),
  };
}
