/** The actor around one vCPU's core: its power, and what it waits for. The core itself is a block of linear memory. */

import type { Board } from '../machines/aarch64/board.ts';
import { receiveOffer, WIRES } from '../machines/aarch64/cpu-interface.ts';
import { BLOCK_BYTES, Power, setRegister, Word, type Core } from '../machines/aarch64/state.ts';
import { resetSystemRegisters, slot } from '../machines/aarch64/sysregs.ts';
import { accessInterface } from '../machines/gic/interface-frames.ts';
import { markDirty } from '../machines/memory/memory.ts';
import type { Out, VcpuMessage } from '../machines/messages.ts';

export interface VcpuState {
  readonly index: number;
  /** What the instruction in hand waits for. */
  waiting: 'nothing' | 'device' | 'firmware';
  /** Device reads answered for the instruction in hand, by physical address: it runs again and consumes them in order. */
  replies: { readonly pa: number; readonly bytes: number; readonly value: bigint }[];
  /** Physical address of the device read that is waited for. */
  readAt: number;
}

export const initialVcpu = (index: number): VcpuState => ({ index, waiting: 'nothing', replies: [], readAt: 0 });

export function receive(state: VcpuState, message: VcpuMessage, out: Out, board: Board): void {
  const core = board.cores[state.index]!;
  switch (message.type) {
    case 'device-reply':
      state.replies.push({ pa: state.readAt, bytes: message.bytes, value: message.value });
      state.waiting = 'nothing';
      return;
    case 'firmware-reply':
      for (const [register, value] of [message.value, ...message.more].entries()) setRegister(core, Word.X + register, value);
      state.waiting = 'nothing';
      return;
    case 'offer':
      receiveOffer(core, message);
      markDirty(board.memory, core.words.byteOffset);
      return;
    case 'read': case 'write':
      accessInterface(core, message, out);
      markBlock(core);
      return;
    case 'start':
      restart(core);
      startCore(core, board.el2 === 'none' ? 1 : 2, message.entry, message.context);
      state.waiting = 'nothing';
      out.event('vcpu_start', { vcpu: state.index, pc: message.entry });
      return;
    case 'stop':
      setRegister(core, Word.POWER, BigInt(Power.OFF));
      return;
  }
}

/** Notes that any word of the block may have changed. */
function markBlock({ board, words }: Core): void {
  for (let at = 0; at < BLOCK_BYTES; at += 4096) markDirty(board.memory, words.byteOffset + at);
}

/** Every register of the block at its reset value; powered off. */
export function resetCore(core: Core): void {
  markBlock(core);
  core.words.fill(0n);
  resetSystemRegisters(core.words, core.board, core.index);
  core.words[slot('VMPIDR_EL2')] = core.words[slot('MPIDR_EL1')]!;
  core.words[slot('VPIDR_EL2')] = core.words[slot('MIDR_EL1')]!;
  core.translation = undefined;
  core.attention = true;
}

/** Resets a core of a machine that runs: interrupts that pend for it go on pending. */
function restart(core: Core): void {
  const wires = WIRES.map((word) => [word, core.words[word]!] as const);
  resetCore(core);
  for (const [word, value] of wires) core.words[word] = value;
}

/** PC, X0 and PSTATE (ELxh, all masked) of a core that starts. */
export function startCore(core: Core, el: 1 | 2, entry: bigint, context: bigint): void {
  setRegister(core, Word.PC, entry);
  setRegister(core, Word.X, context);
  setRegister(core, Word.PSTATE, BigInt(0x3c1 | (el << 2)));
  setRegister(core, Word.POWER, BigInt(Power.ON));
}
