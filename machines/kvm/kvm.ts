/** L0 for one vCPU: an exit becomes a queue of named steps, and each `step` message does one. Linux: arm.c (kvm_arch_vcpu_ioctl_run), handle_exit.c. */

import type { Board } from '../aarch64/board.ts';
import { EFFECTS } from '../aarch64/effects.ts';
import { returnTo } from '../aarch64/exception.ts';
import { Power, setRegister, Word } from '../aarch64/state.ts';
import { IMPLEMENTED_REGISTERS, resetValue, slot } from '../aarch64/sysregs.ts';
import { MASK64, signExtend64 } from '../bits.ts';
import type { KvmMessage, Out } from '../messages.ts';
import type { Behaviour } from './behaviour.ts';
import { loadContext, putContext } from './context.ts';
import { activateTraps, Hcr, routesInterrupts, stage2Enabled, virtualInterrupts } from './controls.ts';
import { setX } from './exit.ts';
import { handleExit } from './handle-exit.ts';
import { guestPc, guestPstate, setGuestPc, takeToVirtualEl2 } from './inject.ts';
import { finishNestedEret } from './nested-eret.ts';
import { finishFault, exitFields } from './fault.ts';
import { checkKvm, type KvmState, type Step } from './state.ts';
import { halt } from './sys-regs.ts';
import { virtualHardware } from './virtual-hardware.ts';
import { readPage, writeVncr } from './vncr.ts';

/** The handler of L0's per-vCPU actor, with the right behaviour or with known bugs in it. */
export function kvmMachine(behaviour: Behaviour): (state: KvmState, message: KvmMessage, out: Out, board: Board) => void {
  return (state, message, out, board) => {
    switch (message.type) {
      case 'exit': return beginExit(state, board, message.vector, out);
      case 'step': return doStep(state, board, out);
      case 'kick': return kick(state, board, behaviour, out);
      case 'preempt': return behaviour.preempt(state, out);
      case 'power-on': return powerOn(state, board, message, out);
      case 'power-on-reply': state.reply = { type: 'power-on', value: message.result }; return;
      case 'device-reply': state.reply = { type: 'device', value: message.value }; return;
      case 'register-value': state.reply = { type: 'register', value: message.value }; return;
      case 'vgic-pending': state.interruptPending = message.pending; return;
      case 'fault-handled': return finishFault(state, board, message.result, out);
      case 'mmu-done': return;
    }
  };
}

/** Whether L0 has something to do for the vCPU now. */
export const hasWork = (state: KvmState): boolean => state.work.length > 0;

function beginExit(state: KvmState, board: Board, vector: 'sync' | 'irq' | 'fiq' | 'serror', out: Out): void {
  checkKvm(state);
  state.mode = 'host';
  state.vector = vector;
  state.exits++;
  const nested = !state.hyp && stage2Enabled(state, board);
  if (nested) state.nestedExits++;
  out.event('kvm_exit', { ...exitFields(state, board, vector), exit: state.exits, nested: nested ? state.nestedExits : 0 });
  state.work.push({ step: 'sync' }, { step: 'handle' });
  const core = board.cores[state.index]!;
  setRegister(core, Word.HOST_INTERRUPTS, core.words[Word.HOST_INTERRUPTS]! & ~1n);
}

function doStep(state: KvmState, board: Board, out: Out): void {
  const step = state.work.shift();
  if (step === undefined) throw new Error(`kvm:${state.index} has no work to step`);
  const own = state.index;
  // Below virtual EL2, a plain guest included, the hardware's comparators are the EL1 timers.
  const timerNested = !state.hyp;
  const nested = routesInterrupts(state, board);
  const core = board.cores[own]!;
  switch (step.step) {
    case 'sync':
      out.send(`vgic:${own}`, { type: 'sync', nested });
      out.send(`timer:${own}`, { type: 'sync', nested: timerNested });
      return;
    case 'handle': {
      const follow = handleExit(state, board, out);
      state.work.push(...follow, { step: 'flush' }, { step: 'enter' });
      return;
    }
    case 'finish-read': {
      const width = step.bytes * 8;
      const read = state.reply!.value;
      const value = step.signExtend ? signExtend64(read, width) & (step.wide ? MASK64 : 0xffff_ffffn) : BigInt.asUintN(width, read);
      setX(core, step.register, value);
      state.reply = null;
      return;
    }
    case 'finish-register':
      setX(core, step.register, state.reply!.value);
      state.reply = null;
      return;
    case 'finish-power-on':
      setX(core, 0, state.reply!.value);
      state.reply = null;
      return;
    case 'finish-fault': return;
    case 'put':
      out.send(`vgic:${own}`, { type: 'put', nested });
      out.send(`timer:${own}`, { type: 'put', nested: timerNested, blocking: step.blocking });
      if (!step.blocking) {
        out.send('mmu', { type: 'put', vcpu: own });
        takeBackSerror(state, board);
        putContext(state, board);
      }
      return;
    case 'nested-eret': return finishNestedEret(state, board, step);
    case 'inject': {
      const from = guestPstate(state, core);
      state.hyp = true;
      takeToVirtualEl2(state, board, step.exception, from);
      return;
    }
    case 'load': {
      loadContext(state, board);
      activateTraps(state, board);
      // Under FEAT_NV2 L1 writes its guest's MDSCR_EL1 to memory, where nothing looks at it before it is switched on here.
      const unmodelled = EFFECTS.MDSCR_EL1!.unmodelled!(core, core.words[slot('MDSCR_EL1')]!);
      if (unmodelled !== undefined) state.work.unshift(...halt(state, board, out, unmodelled, guestPc(core)));
      load(state, board, out);
      return;
    }
    case 'wait-prepare':
      // From here on until the vCPU runs again a wake-up may be asked for (KVM: kvm_vcpu_wfi sets IN_WFI and puts the vGIC).
      state.inWait = true;
      state.wakeRequested = true;
      out.send(`timer:${own}`, { type: 'put', nested: timerNested, blocking: true, ...(step.untilNs === undefined ? {} : { untilNs: step.untilNs }) });
      out.send(`vgic:${own}`, { type: 'query-pending' });
      state.work.unshift({ step: 'wait-check' });
      return;
    case 'wait-check':
      state.work.unshift({ step: state.interruptPending || pendsVirtually(state, board) ? 'wait-finish' : 'wait-block' });
      return;
    case 'wait-block':
      if (state.kicked) {
        state.work.unshift({ step: 'wait-finish' });
        return;
      }
      state.mode = 'blocked';
      // What follows the wait stays queued behind the wake-up: hasWork is asked only of a vCPU that is not blocked.
      return;
    case 'wait-finish':
      state.inWait = false;
      state.wakeRequested = false;
      state.mode = 'host';
      out.send(`timer:${own}`, { type: 'load', nested: timerNested });
      return;
    case 'flush':
      // A kick from here on is for what the list registers do not have yet: `enter` looks again.
      state.kicked = false;
      out.send(`timer:${own}`, { type: 'flush', nested: timerNested });
      out.send(`vgic:${own}`, { type: 'flush', nested });
      return;
    case 'halt':
      state.work.length = 0;
      state.mode = 'off';
      return;
    case 'power-off':
      // CPU_OFF: the steps that would have gone back into the guest are dropped with the context.
      out.send(`vgic:${own}`, { type: 'put', nested });
      out.send(`timer:${own}`, { type: 'put', nested: timerNested, blocking: false });
      out.send('mmu', { type: 'put', vcpu: own });
      setRegister(core, Word.POWER, BigInt(Power.OFF));
      state.work.length = 0;
      state.loaded = false;
      state.mode = 'off';
      return;
    case 'enter': return enter(state, board, out);
  }
}

/** A virtual SError that was taken has cleared HCR_EL2.VSE of the hardware, and so L1's. Linux: hyp/switch.h (___deactivate_traps). */
function takeBackSerror(state: KvmState, board: Board): void {
  if (state.hyp || state.mechanism === 'none') return;
  const hcr = readPage(state, board, 'HCR_EL2');
  if ((virtualInterrupts(hcr) & Hcr.VSE & ~board.cores[state.index]!.words[slot('HCR_EL2')]!) !== 0n) writeVncr(board, state.index, 'HCR_EL2', hcr & ~Hcr.VSE);
}

/** HCR_EL2.VI, VF and VSE of L1 make interrupts pend for L2 without the vGIC. */
const pendsVirtually = (state: KvmState, board: Board): boolean =>
  !state.hyp && state.mechanism !== 'none' && virtualInterrupts(readPage(state, board, 'HCR_EL2')) !== 0n;

function load(state: KvmState, board: Board, out: Out): void {
  const own = state.index;
  const below = state.mechanism !== 'none' && !state.hyp;
  const stage2 = !state.hyp && stage2Enabled(state, board);
  out.send('mmu', {
    type: 'load', vcpu: own, nested: below, stage2Enabled: stage2,
    vttbr: below ? readPage(state, board, 'VTTBR_EL2') : 0n, vtcr: below ? readPage(state, board, 'VTCR_EL2') : 0n,
  });
  out.send(`vgic:${own}`, { type: 'load', nested: routesInterrupts(state, board), l2: !state.hyp });
  out.send(`timer:${own}`, { type: 'load', nested: !state.hyp });
}

/** The last step: into the guest, unless an interrupt for L1 has to be taken to virtual EL2 first or a kick came. */
function enter(state: KvmState, board: Board, out: Out): void {
  const core = board.cores[state.index]!;
  if (state.interruptPending && routesInterrupts(state, board)) {
    out.event('kvm_inject_nested_exception', { vcpu: state.index, type: 'irq', pc: guestPc(core) });
    state.interruptPending = false;
    state.work.push({ step: 'put', blocking: false }, { step: 'inject', exception: { type: 'irq', esr: 0n } }, { step: 'load' }, { step: 'flush' }, { step: 'enter' });
    return;
  }
  if (state.kicked) {
    state.work.push({ step: 'flush' }, { step: 'enter' });
    return;
  }
  // L0's own ERET: it reinstates of SPSR_EL2 what PSTATE has, opens the monitor and sets the event register.
  returnTo(core, Number(core.words[slot('SPSR_EL2')]! & 0xffff_ffffn), core.words[slot('ELR_EL2')]!);
  setRegister(core, Word.POWER, BigInt(Power.ON));
  state.mode = 'guest';
  out.event('kvm_entry', { vcpu: state.index, pc: core.words[Word.PC]!, pstate: guestPstate(state, core) });
}

function kick(state: KvmState, board: Board, behaviour: Behaviour, out: Out): void {
  if (state.mode === 'blocked' && !behaviour.wake(state, out)) return;
  if (state.mode === 'host' && state.inWait && !behaviour.wake(state, out)) return;
  state.kicked = true;
  if (state.mode === 'blocked') {
    state.mode = 'host';
    state.work.unshift({ step: 'wait-finish' });
  } else if (state.mode === 'guest') {
    const core = board.cores[state.index]!;
    setRegister(core, Word.HOST_INTERRUPTS, core.words[Word.HOST_INTERRUPTS]! | 1n);
    core.attention = true;
  }
}

/** PSCI CPU_ON: reset, then start at `entry` in the highest exception level that the guest has. */
function powerOn(state: KvmState, board: Board, message: Extract<KvmMessage, { type: 'power-on' }>, out: Out): void {
  const answer = (result: bigint): void => out.send(message.from, { type: 'power-on-reply', result });
  if (state.mode !== 'off') return answer(0xffff_ffff_ffff_fffcn);
  startVcpu(state, board, message.entry, message.context);
  answer(0n);
}

/** Resets the vCPU and queues its first entry. */
export function startVcpu(state: KvmState, board: Board, entry: bigint, context: bigint): void {
  const core = board.cores[state.index]!;
  state.mode = 'host';
  state.hyp = state.mechanism !== 'none';
  resetVirtual(state, board);
  for (let register = 0; register < 31; register++) setX(core, register, register === 0 ? context : 0n);
  setGuestPc(core, entry);
  setRegister(core, slot('SPSR_EL2'), 0x3c5n);
  setRegister(core, Word.PSTATE, 0x3c9n);
  // AFFINITY_INFO says ON from here on, before the first entry.
  setRegister(core, Word.POWER, BigInt(Power.ON));
  const steps: Step[] = [{ step: 'load' }, { step: 'flush' }, { step: 'enter' }];
  state.work.push(...steps);
}

/** Gives the virtual registers their values out of reset, as the rows have them for the hardware that the guest sees. */
function resetVirtual(state: KvmState, board: Board): void {
  const hardware = virtualHardware(state, board);
  for (const row of IMPLEMENTED_REGISTERS) {
    if (row.alias !== undefined || (row.el === 2 && state.mechanism === 'none')) continue;
    const value = resetValue(row, hardware, state.index);
    if (row.vncr !== undefined) writeVncr(board, state.index, row.name, value);
    else if (row.name in state.registers) state.registers[row.name] = value;
  }
}
