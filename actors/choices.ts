/** What may happen next in a World: the default choice, and under exploration all of them, in a stated order. */

import { nextDeadline, nextEventStreamEdge } from '../machines/aarch64/generic-timer.ts';
import { interruptPending } from '../machines/aarch64/interrupts.ts';
import { Power, Word, type Core } from '../machines/aarch64/state.ts';
import { hasWork } from '../machines/kvm/kvm.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { type VcpuState } from './vcpu.ts';
import { endedOf } from './machines.ts';
import { actorOf, type Engine, type Several, type World, type WorldState } from './world.ts';

/**
 * What may happen. vCPUs count over the machines of a World: vCPU j of machine k is k times a machine's vCPUs, plus j. `machine` is absent
 * where it is 0.
 */
export type Choice =
  /** vCPU `vcpu` attempts at most `insns` instructions; it stops earlier when it exits, waits or has to speak. */
  | { readonly type: 'run'; readonly vcpu: number; readonly insns: number }
  /** As `run`, up to the next of the engine's stops. Exploration only: logged as the `run` that it turned out to be. */
  | { readonly type: 'slice'; readonly vcpu: number }
  /** L0 does `steps` steps of its work for `vcpu`; 0 means all. */
  | { readonly type: 'l0'; readonly vcpu: number; readonly steps: number }
  /** The host's scheduler takes the processor from L0's work for `vcpu`, and gives it back. */
  | { readonly type: 'preempt'; readonly vcpu: number }
  /** The oldest message is delivered. */
  | { readonly type: 'deliver'; readonly machine?: number }
  /** The clock moves to `timeNs` and what is due then at the machine happens. */
  | { readonly type: 'advance'; readonly timeNs: number; readonly machine?: number }
  /** Bytes arrive at the serial port, or at port `port` of the virtio console. */
  | { readonly type: 'input'; readonly bytes: readonly number[]; readonly port?: number; readonly machine?: number };

/** Longest run of one choice under exploration: a stop comes long before. */
export const SLICE_INSNS = 1_000_000;

/** The default choice: L0's work first, then the vCPU whose turn it is, then the clock. Undefined: the machine is off, or nothing can ever happen. */
export function next(world: World): Choice | undefined {
  if (world.several !== undefined) return nextAmong(world, world.several);
  if (world.state.ended !== null) return undefined;
  const owed = owedBy(world);
  if (owed !== undefined) return owed;
  const due = earliest(world);
  if (due !== undefined && due <= world.state.clock) return { type: 'advance', timeNs: world.state.clock };
  return running(world, due) ?? (due === undefined ? dozing(world) : { type: 'advance', timeNs: due });
}

/**
 * The default of several machines: what one of them owes, or what is due at one, the lowest machine first; then the machine whose turn it is
 * runs until anything is due at any of them; then the clock.
 */
function nextAmong(world: World, { machines, turn }: Several): Choice | undefined {
  if (endedOf(world) !== null) return undefined;
  const { clock } = world.state;
  let soonest: { readonly machine: World; readonly at: number } | undefined;
  for (const machine of machines) {
    if (machine.state.ended !== null) continue;
    const owed = owedBy(machine);
    if (owed !== undefined) return outward(owed, machine);
    const at = earliest(machine);
    if (at !== undefined && at <= clock) return outward({ type: 'advance', timeNs: clock }, machine);
    if (at !== undefined && (soonest === undefined || at < soonest.at)) soonest = { machine, at };
  }
  const inTurn = from(machines, turn).filter(({ state }) => state.ended === null);
  for (const machine of inTurn) {
    const run = running(machine, soonest?.at);
    if (run !== undefined) return outward(run, machine);
  }
  if (soonest !== undefined) return outward({ type: 'advance', timeNs: soonest.at }, soonest.machine);
  for (const machine of inTurn) {
    const run = dozing(machine);
    if (run !== undefined) return outward(run, machine);
  }
  return undefined;
}

/** What a machine does before anything else: a message, or L0's work. */
function owedBy({ state, engine }: World): Choice | undefined {
  if (state.mailbox.length > 0) return { type: 'deliver' };
  const working = firstFrom(engine, state, (index) => l0Works(engine, state, index));
  return working === undefined ? undefined : { type: 'l0', vcpu: working, steps: 0 };
}

/** The run of the vCPU whose turn it is, up to the end of its turn or to `due`. Undefined: none of a machine's can run. */
function running({ state, engine }: World, due: number | undefined): Choice | undefined {
  const vcpu = firstFrom(engine, state, (index) => runnable(engine, state, index));
  if (vcpu === undefined) return undefined;
  const left = vcpu === state.turn.vcpu && state.turn.left > 0 ? state.turn.left : engine.options.quantum;
  return { type: 'run', vcpu, insns: due === undefined ? left : Math.min(left, due - state.clock) };
}

/** Where nobody runs and nothing is armed, only a vCPU in WFE may go on by itself (Arm ARM D1.6.1: wake-ups without an event are allowed). */
function dozing({ state, engine }: World): Choice | undefined {
  const vcpu = firstFrom(engine, state, (index) => inEvent(engine, state, index));
  return vcpu === undefined ? undefined : { type: 'run', vcpu, insns: engine.options.quantum };
}

/** The machines in the order of their turns. */
const from = (machines: readonly World[], turn: number): readonly World[] => [...machines.slice(turn), ...machines.slice(0, turn)];

/** A machine's own choice as its World has it. */
export function outward(choice: Choice, { engine }: World): Choice {
  const { machine, vcpus } = engine.options;
  if (machine === 0) return choice;
  return 'vcpu' in choice ? { ...choice, vcpu: choice.vcpu + machine * vcpus } : { ...choice, machine };
}

/** The machine that a World's choice is for, and the choice as that machine has it. Throws RangeError where there is no such machine. */
export function inward({ machines }: Several, choice: Choice): { readonly machine: World; readonly own: Choice } {
  const { vcpus } = machines[0]!.engine.options;
  const index = 'vcpu' in choice ? Math.floor(choice.vcpu / vcpus) : choice.machine ?? 0;
  const machine = machines[index];
  if (machine === undefined) throw new RangeError(`there is no machine ${index}: there are 0 to ${machines.length - 1}`);
  return { machine, own: 'vcpu' in choice ? { ...choice, vcpu: choice.vcpu % vcpus } : choice };
}

/**
 * Every choice: for each vCPU, from the one whose turn it is, its next L0 step or its run up to the next stop; then
 * preemptions of L0 on its way into a wait; the clock only when nobody can run.
 */
export function choices(world: World): readonly Choice[] {
  const { state, engine, several } = world;
  if (several !== undefined) return choicesAmong(world, several);
  if (state.ended !== null) return [];
  if (state.mailbox.length > 0) return [{ type: 'deliver' }];
  const found: Choice[] = [];
  for (let step = 0; step < engine.options.vcpus; step++) {
    const vcpu = (state.turn.vcpu + step) % engine.options.vcpus;
    if (l0Works(engine, state, vcpu)) found.push({ type: 'l0', vcpu, steps: 1 });
    else if (runnable(engine, state, vcpu)) found.push({ type: 'slice', vcpu });
  }
  for (let step = 0; step < engine.options.vcpus; step++) {
    const vcpu = (state.turn.vcpu + step) % engine.options.vcpus;
    if (preemptible(engine, state, vcpu)) found.push({ type: 'preempt', vcpu });
  }
  if (found.some((choice) => choice.type !== 'preempt')) return found;
  const only = next(world);
  // Nothing but vCPUs in WFE: any of them may go on first.
  if (only?.type === 'run') return Array.from({ length: engine.options.vcpus }, (_, vcpu) => vcpu).filter((vcpu) => inEvent(engine, state, vcpu)).map((vcpu) => ({ ...only, vcpu }));
  return only === undefined ? found : [only, ...found];
}

/** The choices of several machines: those of each, from the one whose turn it is; the clock moves only when nobody can run. */
function choicesAmong(world: World, { machines, turn }: Several): readonly Choice[] {
  if (endedOf(world) !== null) return [];
  const waiting = machines.find(({ state }) => state.ended === null && state.mailbox.length > 0);
  if (waiting !== undefined) return [outward({ type: 'deliver' }, waiting)];
  const all = from(machines, turn).flatMap((machine) => choices(machine).map((choice) => outward(choice, machine)));
  const preemptions = all.filter(({ type }) => type === 'preempt');
  const moves = all.filter(({ type }) => type === 'l0' || type === 'slice');
  if (moves.length > 0) return [...moves, ...preemptions];
  const only = next(world);
  // Nothing but vCPUs in WFE, or the clock.
  return only?.type === 'run' ? all.filter(({ type }) => type === 'run') : only === undefined ? preemptions : [only, ...preemptions];
}

/** The earliest instant at which something is due: an alarm, a timer of a vCPU that is on, an edge of its event stream. */
export function earliest(world: World): number | undefined {
  const { state, engine } = world;
  let at = state.alarms[0]?.deadlineNs;
  for (const core of engine.board.cores) {
    if (!hardwareTimersCount(engine, state, core)) continue;
    at = sooner(at, nextDeadline(core));
    // A time that has come makes the vCPU runnable.
    if (core.words[Word.WAIT_UNTIL]! > BigInt(state.clock)) at = sooner(at, Number(core.words[Word.WAIT_UNTIL]));
    if (core.ints[2 * Word.POWER] === Power.WFE) at = sooner(at, nextEventStreamEdge(core));
  }
  return at;
}

/** Whether L0 has work for a vCPU that it can do now. */
export function l0Works(engine: Engine, state: WorldState, index: number): boolean {
  if (engine.options.el2 !== 'kvm') return false;
  const kvm = actorOf<KvmState>(state, `kvm:${index}`);
  return kvm.mode === 'host' && hasWork(kvm);
}

/** Whether a vCPU can attempt instructions. */
export function runnable(engine: Engine, state: WorldState, index: number): boolean {
  const core = engine.board.cores[index]!;
  const power = core.ints[2 * Word.POWER]!;
  if (power === Power.OFF || power === Power.HALTED) return false;
  if (engine.options.el2 === 'kvm' && actorOf<KvmState>(state, `kvm:${index}`).mode !== 'guest') return false;
  if (actorOf<VcpuState>(state, `vcpu:${index}`).waiting !== 'nothing') return false;
  if (power === Power.ON) return true;
  const until = core.words[Word.WAIT_UNTIL]!;
  return interruptPending(core) || (until !== 0n && state.clock >= Number(until)) || (power === Power.WFE && core.ints[2 * Word.EVENT] !== 0);
}

const inEvent = (engine: Engine, state: WorldState, index: number): boolean =>
  engine.board.cores[index]!.ints[2 * Word.POWER] === Power.WFE && (engine.options.el2 !== 'kvm' || actorOf<KvmState>(state, `kvm:${index}`).mode === 'guest');

/** L0 can be preempted on its way into a wait, where the wake-up request matters; elsewhere preemption changes nothing in this model. */
function preemptible(engine: Engine, state: WorldState, index: number): boolean {
  if (engine.options.el2 !== 'kvm') return false;
  const kvm = actorOf<KvmState>(state, `kvm:${index}`);
  return kvm.mode === 'host' && kvm.inWait && (kvm.work[0]?.step === 'wait-check' || kvm.work[0]?.step === 'wait-block');
}

/** Under L0 a vCPU's hardware timers run while its context is loaded and it is in the guest. */
function hardwareTimersCount(engine: Engine, state: WorldState, core: Core): boolean {
  const power = core.ints[2 * Word.POWER];
  if (power === Power.OFF || power === Power.HALTED) return false;
  return engine.options.el2 !== 'kvm' || actorOf<KvmState>(state, `kvm:${core.index}`).mode === 'guest';
}

/** The first vCPU, from the one whose turn it is (or the next, when its quantum is used up), for which `test` holds. */
function firstFrom(engine: Engine, state: WorldState, test: (index: number) => boolean): number | undefined {
  const { vcpus } = engine.options;
  const start = state.turn.left > 0 ? state.turn.vcpu : (state.turn.vcpu + 1) % vcpus;
  for (let step = 0; step < vcpus; step++) {
    const index = (start + step) % vcpus;
    if (test(index)) return index;
  }
  return undefined;
}

const sooner = (a: number | undefined, b: number | undefined): number | undefined => (a === undefined ? b : b === undefined ? a : Math.min(a, b));

export function describeChoice(choice: Choice): string {
  switch (choice.type) {
    case 'run': return `run vcpu${choice.vcpu} for ${choice.insns}`;
    case 'slice': return `run vcpu${choice.vcpu} to its next stop`;
    case 'l0': return choice.steps === 0 ? `L0 works for vcpu${choice.vcpu}` : `L0 step for vcpu${choice.vcpu}`;
    case 'preempt': return `preempt L0 for vcpu${choice.vcpu}`;
    case 'deliver': return `deliver a message${whereText(choice)}`;
    case 'advance': return `clock to ${choice.timeNs} ns${whereText(choice)}`;
    case 'input': return `${choice.bytes.length} bytes at ${choice.port === undefined ? 'the console' : `port ${choice.port} of the virtio console`}${whereText(choice)}`;
  }
}

const whereText = ({ machine }: { readonly machine?: number }): string => (machine === undefined ? '' : `, machine ${machine}`);
