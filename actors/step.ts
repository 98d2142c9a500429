/** The only function that moves the World: it carries out one choice and says what happened. */

import { produce } from 'immer';
import { pollTimers } from '../machines/aarch64/generic-timer.ts';
import { pollCounters } from '../machines/aarch64/pmu.ts';
import { setEvent } from '../machines/aarch64/exception.ts';
import { profiledRun } from '../machines/aarch64/profiled-run.ts';
import { BLOCK_BYTES, Power, Word } from '../machines/aarch64/state.ts';
import { STEP_COST_NS } from '../machines/kvm/costs.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import { markDirty } from '../machines/memory/memory.ts';
import type { Address, LanMessage, Message, Out } from '../machines/messages.ts';
import { copyOf, isSmall } from './actor.ts';
import type { PsciState } from './psci.ts';
import { earliest, inward, l0Works, outward, SLICE_INSNS, type Choice } from './choices.ts';
import { levelNow, ofMachine } from './events.ts';
import { atClock, reached } from './machines.ts';
import { restart } from './reset.ts';
import type { VcpuState } from './vcpu.ts';
import { deviceOf } from './virtio-devices.ts';
import { assertLive, CONSOLE_TAIL, enter, together, type ArmedAlarm, type Engine, type Envelope, type Several, type World, type WorldEvent, type WorldState } from './world.ts';

/** What one step did. `timeNs` is the clock after it; `insns` the instructions attempted in it. */
export interface Frame {
  readonly choice: Choice;
  readonly timeNs: number;
  readonly insns: number;
  readonly events: readonly WorldEvent[];
}

/** A World in the making: what `step` changes before it becomes the next World. */
interface Draft {
  readonly engine: Engine;
  actors: Record<string, unknown>;
  mailbox: Envelope[];
  alarms: readonly ArmedAlarm[];
  clock: number;
  turn: WorldState['turn'];
  inputBytes: number;
  console: string;
  ended: WorldState['ended'];
  readonly seed: number;
  readonly variants: readonly string[];
  readonly events: WorldEvent[];
  /** Frames for the other machines on the segment. */
  readonly sent: Uint8Array[];
}

interface Stepped { readonly world: World; readonly frame: Frame }

/** Carries out `choice`. Consumes `world`, unless it was kept. Throws when it was spent, or when the choice cannot be taken. */
export function step(world: World, choice: Choice): Stepped {
  enter(world);
  assertLive(world);
  return world.several === undefined ? moved(world, choice) : stepAmong(world.several, choice);
}

/** One machine's step; then the others come to the same instant, and hear what it sent. The turn goes on when the vCPU's is used up, or it waits. */
function stepAmong({ machines, turn }: Several, choice: Choice): Stepped {
  const { machine, own } = inward({ machines, turn }, choice);
  const index = machine.engine.options.machine;
  const { world: one, frame, sent } = moved(machine, own);
  const { clock, turn: { left } } = one.state;
  const events = [...frame.events];
  const frames = machines.map((): Uint8Array[] => []);
  for (const bytes of sent) for (const to of reached(machines, index, bytes)) frames[to]!.push(bytes);
  const after = machines.map((other, at) => {
    if (at === index) return one;
    return laterAt(other, clock, frames[at]!, events);
  });
  const ran = own.type === 'run' || own.type === 'slice';
  return { world: together(after, !ran ? turn : left > 0 ? index : (index + 1) % machines.length), frame: { ...frame, choice: outward(frame.choice, machine), events } };
}

/** The machine at `clock`: what came to be due has happened, then `frames` arrived at its network device. Events of that are added to `events`. */
function laterAt(machine: World, clock: number, frames: readonly Uint8Array[], events: WorldEvent[]): World {
  const due = machine.state.ended === null ? earliest(machine) : undefined;
  const isDue = due !== undefined && due <= clock;
  const later = isDue ? machine : atClock(machine, clock);
  if (!isDue && frames.length === 0) return later;
  const draft = draftOf(later);
  whole(draft, () => {
    if (isDue) advance(draft, clock);
    for (const bytes of frames) post(draft, deviceOf(draft.actors, 'net')!, { type: 'frame', bytes });
    drain(draft);
  });
  events.push(...draft.events);
  return live(draft);
}

/** One machine's step. */
function moved(world: World, choice: Choice): Stepped & { readonly sent: readonly Uint8Array[] } {
  const { engine } = world;
  const draft = draftOf(world);
  const done = whole(draft, () => perform(draft, choice));
  if (engine.options.reboot && draft.ended === null && (draft.actors.psci as PsciState).power === 'reset') reset(draft);
  const after = live(draft);
  return { world: after, frame: { choice: done.choice, timeNs: after.state.clock, insns: done.insns, events: draft.events }, sent: draft.sent };
}

function draftOf({ engine, state }: World): Draft {
  engine.board.now = state.clock;
  return { ...state, engine, actors: { ...state.actors }, mailbox: [...state.mailbox], events: [], sent: [] };
}

/** The World that a draft becomes, which is then the one in linear memory. */
function live(draft: Draft): World {
  const { engine } = draft;
  return engine.live = { engine, state: finished(draft), tree: undefined };
}

/** The machine starts again; what was on its way goes with it. */
function reset(draft: Draft): void {
  draft.actors = { ...restart(draft.engine, draft.actors) };
  draft.mailbox = [];
  draft.alarms = [];
  draft.turn = { vcpu: 0, left: draft.engine.options.quantum };
}

/** A step that fails has changed memory: the world is spent, or has to be restored. */
function whole<Result>(draft: Draft, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    draft.engine.live = undefined;
    throw error;
  }
}

function perform(draft: Draft, choice: Choice): { choice: Choice; insns: number } {
  switch (choice.type) {
    case 'run': return runVcpu(draft, choice.vcpu, choice.insns, false);
    case 'slice': return runVcpu(draft, choice.vcpu, SLICE_INSNS, true);
    case 'l0': workL0(draft, choice.vcpu, choice.steps); break;
    case 'preempt':
      post(draft, `kvm:${choice.vcpu}`, { type: 'preempt' });
      drain(draft);
      break;
    case 'deliver': deliverOne(draft); break;
    case 'advance': advance(draft, choice.timeNs); break;
    case 'input':
      if (choice.port === undefined) {
        draft.inputBytes += choice.bytes.length;
        post(draft, 'uart', { type: 'input', bytes: choice.bytes });
      } else {
        const console = deviceOf(draft.actors, 'console');
        if (console === undefined) throw new RangeError('this machine has no virtio console');
        post(draft, console, { type: 'input', bytes: choice.bytes, port: choice.port });
      }
      drain(draft);
      break;
  }
  return { choice, insns: 0 };
}

/** Runs a vCPU and delivers what it said. The frame's choice is a `run` of exactly the instructions attempted. */
function runVcpu(draft: Draft, index: number, insns: number, explore: boolean): { choice: Choice; insns: number } {
  const { engine } = draft;
  const { board } = engine;
  const core = board.cores[index]!;
  const vcpu = draft.actors[`vcpu:${index}`] as VcpuState;
  core.deviceReplies.length = 0;
  core.deviceReplies.push(...vcpu.replies);
  for (let at = 0; at < BLOCK_BYTES; at += 4096) markDirty(board.memory, core.words.byteOffset + at);
  const { attempted, end } = profiledRun(core, insns, explore ? engine.stops : undefined);
  draft.clock += attempted;
  board.now = draft.clock;
  const quantumLeft = (index === draft.turn.vcpu && draft.turn.left > 0 ? draft.turn.left : engine.options.quantum) - attempted;
  draft.turn = { vcpu: index, left: end.type === 'wait' ? 0 : Math.max(0, quantumLeft) };
  const waiting = end.type === 'device' ? 'device' : end.type === 'firmware' ? 'firmware' : 'nothing';
  if (waiting !== 'nothing' || vcpu.replies.length > 0) {
    // Replies belong to one instruction: they stay while it is attempted again and again, and go when something was attempted.
    const replies = attempted > 0 ? [] : vcpu.replies;
    draft.actors[`vcpu:${index}`] = { ...vcpu, waiting, replies, readAt: waiting === 'device' ? deviceAddress(draft, index) : 0 };
  }
  collect(draft);
  if (end.type === 'exit') post(draft, `kvm:${index}`, { type: 'exit', vector: end.vector });
  if (end.type === 'hole') {
    // Virtual EL2 is EL2 to those who look at it.
    const el = end.el === 1 && engine.options.el2 === 'kvm' && (draft.actors[`kvm:${index}`] as KvmState).hyp ? 2 : end.el;
    emit(draft, { event: 'hole', vcpu: index, what: end.what, word: end.word, pc: end.pc, el, level: levelNow(engine, draft, index) });
  }
  poll(draft);
  drain(draft);
  if (!explore) return { choice: { type: 'run', vcpu: index, insns }, insns: attempted };
  // The run that repeats this one: an instruction that only asked a device, or an interrupt taken, needs a budget beyond what was attempted.
  const beyond = end.type === 'device' || (end.type === 'exit' && end.vector !== 'sync') ? 1 : 0;
  return { choice: { type: 'run', vcpu: index, insns: attempted + beyond }, insns: attempted };
}

/** The physical address behind the device read that the core has just asked for: where its actor lies on the board. */
function deviceAddress(draft: Draft, index: number): number {
  const { board } = draft.engine;
  const asked = board.outbox.find(({ message }) => message.type === 'read' && message.from === `vcpu:${index}`);
  return Number(asked?.message.pa ?? 0);
}

/** L0's steps for one vCPU, each with its cost, back to back or one at a time. */
function workL0(draft: Draft, index: number, steps: number): void {
  const { engine } = draft;
  if (draft.turn.vcpu !== index) draft.turn = { vcpu: index, left: engine.options.quantum };
  const stepsMax = steps === 0 ? Infinity : steps;
  let done = 0;
  // A machine that is off does nothing more, wherever L0 is in its work: one step at a time would end there too.
  while (done < stepsMax && endOf(draft) === null && l0Works(engine, draft as unknown as WorldState, index)) {
    const kvm = draft.actors[`kvm:${index}`] as KvmState;
    draft.clock += STEP_COST_NS[kvm.work[0]!.step];
    engine.board.now = draft.clock;
    post(draft, `kvm:${index}`, { type: 'step' });
    drain(draft);
    poll(draft);
    drain(draft);
    done++;
  }
  if (done === 0) throw new Error(`L0 has nothing to do for vcpu${index}`);
}

/** Moves the clock to `timeNs` and lets everything due happen: alarms in order, timer lines, event streams. */
function advance(draft: Draft, timeNs: number): void {
  if (timeNs < draft.clock) throw new RangeError(`the clock is at ${draft.clock} ns and cannot go back to ${timeNs}`);
  const before = earliest(draftWorld(draft));
  draft.clock = timeNs;
  draft.engine.board.now = timeNs;
  while (draft.alarms.length > 0 && draft.alarms[0]!.deadlineNs <= timeNs) {
    const [alarm, ...rest] = draft.alarms as [ArmedAlarm, ...ArmedAlarm[]];
    draft.alarms = rest;
    post(draft, alarm.to, { type: 'alarm', name: alarm.name });
    drain(draft);
  }
  if (before !== undefined) for (const core of draft.engine.board.cores) if (core.ints[2 * Word.POWER] === Power.WFE) { setEvent(core); markDirty(draft.engine.board.memory, core.words.byteOffset); }
  poll(draft);
  drain(draft);
}

/** Brings every core's timer lines up to date with the clock. */
function poll(draft: Draft): void {
  const { board } = draft.engine;
  for (const core of board.cores) {
    if (core.ints[2 * Word.POWER] === Power.OFF) continue;
    const lines = core.words[Word.TIMER_LINES];
    pollTimers(core);
    pollCounters(core);
    if (core.words[Word.TIMER_LINES] !== lines) markDirty(board.memory, core.words.byteOffset);
  }
  collect(draft);
}

/** Takes what the cores said since the last time. */
function collect(draft: Draft): void {
  const { board } = draft.engine;
  for (const { to, message } of board.outbox) draft.mailbox.push({ to: to as Address, message: message as unknown as Message });
  board.outbox.length = 0;
  for (const { at, ...event } of board.events) emit(draft, { ...event, at });
  board.events.length = 0;
}

function post(draft: Draft, to: Address, message: Message): void {
  draft.mailbox.push({ to, message });
}

/** Delivers messages, oldest first, until none is left. */
function drain(draft: Draft): void {
  const { profile } = draft.engine.board;
  if (profile === undefined || draft.mailbox.length === 0) {
    while (draft.mailbox.length > 0) deliverOne(draft);
    return;
  }
  const began = profile.clock();
  for (; draft.mailbox.length > 0; profile.counts.messages++) deliverOne(draft);
  profile.ms.messages += profile.clock() - began;
}

function deliverOne(draft: Draft): void {
  const envelope = draft.mailbox.shift();
  if (envelope === undefined) throw new Error('there is no message to deliver');
  const { engine } = draft;
  const { to, message } = envelope;
  const state = draft.actors[to];
  if (state === undefined) {
    if (to !== 'lan') throw new Error(`${message.type} for ${to}, which is not on this machine`);
    // Where the World has one machine, nobody is there to hear it.
    draft.sent.push((message as LanMessage).bytes);
    return;
  }
  const out: Out = {
    now: draft.clock,
    send: (receiver, said) => { draft.mailbox.push({ to: receiver, message: said as Message }); },
    alarm: (name, deadlineNs) => { draft.alarms = arm(draft.alarms, to, name, deadlineNs); },
    event: (event, fields) => { emit(draft, { event, ...fields }); },
  };
  if (isSmall(to)) {
    const copy = copyOf(state);
    engine.receive(to, copy, message, out, draft.variants);
    draft.actors[to] = copy;
  } else draft.actors[to] = produce(state, (working: unknown) => { engine.receive(to, working, message, out, draft.variants); });
  collect(draft);
}

/** Alarms with this one armed anew or disarmed, by deadline, then actor and name. */
function arm(alarms: readonly ArmedAlarm[], to: Address, name: string, deadlineNs: number | undefined): readonly ArmedAlarm[] {
  const others = alarms.filter((alarm) => alarm.to !== to || alarm.name !== name);
  if (deadlineNs === undefined) return others.length === alarms.length ? alarms : others;
  const key = (alarm: ArmedAlarm): string => `${alarm.to} ${alarm.name}`;
  return [...others, { to, name, deadlineNs }].sort((a, b) => a.deadlineNs - b.deadlineNs || (key(a) < key(b) ? -1 : 1));
}

function emit(draft: Draft, said: { readonly event: string; readonly [field: string]: unknown }): void {
  const event = ofMachine(said, draft.engine.options);
  draft.events.push({ timeNs: draft.clock, ...event });
  // A named port's stream is no text for people.
  if (event.event === 'console' && event.byte !== undefined) draft.console = (draft.console + String(event.text)).slice(-CONSOLE_TAIL);
  if (event.event === 'hole' && draft.ended === null) {
    const place = `0x${BigInt(event.pc as bigint).toString(16)} (EL${String(event.el)} of ${String(event.level ?? 'L1')})`;
    const what = event.word === undefined ? String(event.what) : `${String(event.what)}, word 0x${Number(event.word).toString(16).padStart(8, '0')},`;
    draft.ended = { by: 'hole', reason: `vcpu${String(event.vcpu)} reached ${what} at ${place}, which has no row` };
  }
}

const draftWorld = (draft: Draft): World => ({ engine: draft.engine, state: draft as unknown as WorldState, tree: undefined });

function finished(draft: Draft): WorldState {
  const ended = endOf(draft);
  const { actors, mailbox, alarms, clock, turn, inputBytes, console, seed, variants } = draft;
  return { actors, mailbox, alarms, clock, turn, inputBytes, console, ended, seed, variants };
}

/** Why nothing more can happen, or null. */
function endOf(draft: Draft): WorldState['ended'] {
  const { power } = draft.actors.psci as PsciState;
  return draft.ended ?? (power === 'on' ? null : { by: power, reason: power === 'off' ? 'the guest powered the machine off' : 'the guest reset the machine' });
}
