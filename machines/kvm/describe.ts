/** L0's state of one vCPU as text, a line a fact. */

import type { Board } from '../aarch64/board.ts';
import { hex } from '../bits.ts';
import type { KvmState } from './state.ts';
import { vcpuMode } from './vcpu.machine.ts';

export function describeKvm(state: KvmState, board: Board): string[] {
  const registers = Object.entries(state.registers).filter(([, value]) => value !== 0n).map(([name, value]) => `${name} ${hex(value)}`);
  const flags = [state.inWait && 'in WFI', state.wakeRequested && 'wake-up requested', state.kicked && 'kicked', state.interruptPending && 'interrupt pending for L1'].filter((flag) => flag !== false);
  return [
    `${vcpuMode(state, board)}: ${state.mechanism}, ${state.flavour}, ${state.hyp ? 'virtual EL2' : 'EL1 and EL0'}${state.loaded ? ' in the hardware' : ' put away'}`,
    `exits: ${state.exits}, of L2 ${state.nestedExits}`,
    ...(state.mode === 'host' ? [`work: ${state.work.map(({ step }) => step).join(', ')}`] : []),
    ...(flags.length > 0 ? [flags.join(', ')] : []),
    ...(registers.length > 0 ? [`virtual registers outside the VNCR page: ${registers.join(', ')}`] : []),
  ];
}
