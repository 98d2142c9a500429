/** Runs a machine with its console: on standard output and a terminal, or typed at by a script. */

import { closeSync, fstatSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { consolesOf, hasRead, nextInput, type Console } from '../actors/console.ts';
import { InputError } from '../actors/input-error.ts';
import { endedOf } from '../actors/machines.ts';
import type { Choice } from '../actors/choices.ts';
import type { Outcome, World } from '../actors/world.ts';
import { close, placeOf, take, worldOf } from '../snapshots/history.ts';
import { advanceScript, deadlineOf, showScript, startScript, waitingText, type ConsoleScript, type Step } from './console-script.ts';
import { grouped, isGone, outputRefused, timeText } from './output.ts';
import type { RunEnd } from './runner.ts';
import { totalsOf, type Session } from './session.ts';
import { HELP, openTerminal } from './terminal.ts';

export interface ConsoleOptions {
  readonly script?: ConsoleScript;
  /** The console that is standard output's and the terminal's, that a script begins at and `expect` looks at. */
  readonly terminal: string;
  /** What else gets what consoles print, by console. */
  readonly logs: Readonly<Record<string, ConsoleOutput>>;
  readonly expect?: string;
  readonly maxInsns?: number;
  readonly maxTimeNs?: number;
  readonly json?: boolean;
}

/** Time between looks at whether Ctrl-C was pressed, and at what was typed; the console is shown as often. */
const SLICE_MS = 25;
/** Nobody types and nothing is shown for so much virtual time: nothing more will come. */
export const SILENCE_NS = 600e9;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** Characters searched for what is expected, the expected text's own length aside. */
const SHOWN_MAX = 4096;

/** Why a run stopped before the machine did. */
type Stop =
  | { readonly why: 'expected' | 'script' | 'interrupted' | 'closed' }
  | { readonly why: 'limit' | 'silence'; readonly reason: string }
  | { readonly why: 'overdue'; readonly step: Step };

/** Runs to power-off, to what is expected, to a limit, to Ctrl-C or to the end of the terminal. The recording is closed, or handed over where the run can go on. */
export async function runConsole(session: Session, options: ConsoleOptions): Promise<RunEnd> {
  const { history } = session;
  const script = options.script ?? EMPTY;
  const state = startScript(options.terminal);
  const consoles: readonly Typing[] = consolesOf(worldOf(history)).map((console) => ({ ...console, typed: [], given: 0 }));
  const at = Object.fromEntries(consoles.map((console) => [console.name, console]));
  const type = (console: string, bytes: Iterable<number>): void => { for (const byte of bytes) at[console]!.typed.push(byte); };
  const output = consoleOutput(options.json === true ? process.stderr : process.stdout, options.json === true ? 'standard error' : 'standard output');
  const outputs = [output, ...Object.values(options.logs)];
  const isTerminal = options.script === undefined && process.stdin.isTTY === true;
  const mayBeSilent = isTerminal || options.maxTimeNs !== undefined;
  let interrupted: Stop | undefined;
  const onSignal = (signal: NodeJS.Signals): void => { interrupted = { why: signal === 'SIGHUP' ? 'closed' : 'interrupted' }; };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  const terminal = !isTerminal ? undefined : openTerminal(({ bytes, commands }) => {
    type(options.terminal, bytes);
    for (const command of commands) {
      if (command === 'leave') interrupted = { why: 'interrupted' };
      else process.stderr.write(command === 'help' ? HELP : `\r\n(${whereText(session)})\r\n`);
    }
  }, () => { interrupted = { why: 'closed' }; });
  const expect = options.expect === undefined ? undefined : Buffer.from(options.expect, 'utf8').toString('latin1');
  let shown = '';
  let insns = 0;
  let soundNs = 0;
  /** Since when a person has waited for the machine's next alarm. */
  let idleSince: number | undefined;
  let stop: Stop | undefined;
  try {
    for (let sliceEnds = performance.now() + SLICE_MS; stop === undefined;) {
      const world = worldOf(history);
      const overdue = advanceScript(script, state, { timeNs: world.state.clock, hasRead: (console) => hasReadAll(world, at[console]!) }, type);
      if (overdue !== undefined) stop = { why: 'overdue', step: overdue };
      else if (state.at === script.steps.length && expect === undefined && script.steps.at(-1)?.type === 'expect') stop = { why: 'script' };
      if (stop !== undefined) break;
      const isReady = state.at === script.steps.length && consoles.every((console) => console.typed.length === 0 || hasReadAll(world, console));
      const deadline = Math.min(deadlineOf(script, state), options.maxTimeNs ?? Infinity);
      const input = inputFor(world, consoles);
      const choice = input?.choice ?? limited(history.system.next(world), world, deadline);
      const idleMs = isTerminal && choice?.type === 'advance' ? (choice.timeNs - world.state.clock) / 1e6 : 0;
      if (idleMs > 0) idleSince ??= performance.now();
      const waits = idleMs > 0 && performance.now() - idleSince! < idleMs;
      if (!waits) idleSince = undefined;
      const frame = waits || choice === undefined ? undefined : take(history, choice);
      if (frame === undefined) {
        // The machine waits for nothing but what a person may type.
        if (!isTerminal || endedOf(world) !== null) break;
      } else {
        insns += frame.insns;
        if (input !== undefined) {
          soundNs = frame.timeNs;
          input.at.given += input.choice.bytes.length;
        }
        for (const event of frame.events) {
          if (event.event !== 'console') continue;
          soundNs = frame.timeNs;
          const [console, text] = [String(event.console), String(event.text)];
          options.logs[console]?.text(text);
          if (state.at < script.steps.length) showScript(state, console, text);
          if (console !== options.terminal) continue;
          output.text(text);
          // What the console echoes while input is still being read does not count.
          if (isReady && expect !== undefined) shown = (shown + text).slice(-Math.max(SHOWN_MAX, expect.length));
        }
        if (expect !== undefined && shown.includes(expect)) stop = { why: 'expected' };
        else if (options.maxInsns !== undefined && insns >= options.maxInsns) stop = { why: 'limit', reason: `--max-insns ${options.maxInsns} was reached` };
        else if (options.maxTimeNs !== undefined && frame.timeNs >= options.maxTimeNs) stop = { why: 'limit', reason: `--max-time ${timeText(options.maxTimeNs)} was reached` };
        else if (!mayBeSilent && frame.timeNs - soundNs > SILENCE_NS) stop = { why: 'silence', reason: `the console was silent for ${timeText(SILENCE_NS)} of virtual time` };
      }
      if (stop !== undefined || (frame !== undefined && performance.now() < sliceEnds)) continue;
      for (const each of outputs) each.flush();
      await new Promise((go) => { if (frame === undefined) setTimeout(go, SLICE_MS); else setImmediate(go); });
      stop = interrupted ?? (output.isClosed() ? { why: 'closed' } : undefined);
      sliceEnds = performance.now() + SLICE_MS;
    }
    for (const each of outputs) each.flush();
  } finally {
    for (const each of outputs) each.end();
    for (const signal of SIGNALS) process.off(signal, onSignal);
    terminal?.restore();
  }
  const judged = session.opened.judge(worldOf(history));
  const outcome = outcomeOf(judged, stop, script, script.steps[state.at], options.expect);
  const by = stop === undefined ? 'end' : stop.why === 'interrupted' || stop.why === 'closed' ? 'interrupt' : 'until';
  if (by === 'end') close(history);
  else session.recording?.line(history.branch).sync();
  return {
    ...outcome, by: outcome.outcome === 'failed' || stop?.why === 'silence' ? 'end' : by, broken: undefined, vcpu: undefined, nested: 0, place: placeOf(history),
    ...totalsOf(history), fingerprint: history.system.fingerprint(worldOf(history)),
  };
}

const EMPTY: ConsoleScript = { name: '', isScript: false, steps: [] };

function outcomeOf(judged: Outcome, stop: Stop | undefined, script: ConsoleScript, step: Step | undefined, expect: string | undefined): Outcome {
  const ended = stop === undefined ? judged.reason : 'reason' in stop ? stop.reason : '';
  switch (stop?.why) {
    case 'interrupted': return { outcome: 'stopped', reason: 'interrupted' };
    case 'closed': return { outcome: 'stopped', reason: 'the terminal was closed' };
    case 'expected': return { outcome: 'passed', reason: `the console shows ${JSON.stringify(expect)}` };
    case 'script': return { outcome: 'passed', reason: `${script.name} was carried out` };
    case 'overdue': return { outcome: 'failed', reason: `${waitingText(script, stop.step)} in the time that it was given` };
    default:
  }
  if (script.isScript && step !== undefined && script.steps.slice(script.steps.indexOf(step)).some(({ type }) => type === 'expect')) return { outcome: 'failed', reason: `${waitingText(script, step)}: ${ended}` };
  if (expect !== undefined) return { outcome: 'failed', reason: `the console never showed ${JSON.stringify(expect)}: ${ended}` };
  return stop === undefined ? judged : { outcome: 'stopped', reason: ended };
}

/** `choice`, cut so that the clock does not pass `deadline`; a machine with nothing to do goes there. */
function limited(choice: Choice | undefined, world: World, deadline: number): Choice | undefined {
  const { state } = world;
  if (deadline === Infinity || endedOf(world) !== null) return choice;
  if (choice === undefined) return { type: 'advance', timeNs: Math.max(deadline, state.clock) };
  if (choice.type === 'run') return { ...choice, insns: Math.max(1, Math.min(choice.insns, deadline - state.clock)) };
  return choice.type === 'advance' ? { ...choice, timeNs: Math.max(state.clock, Math.min(choice.timeNs, deadline)) } : choice;
}

/** A console, what is typed at it from boot on, and how many bytes of that the guest was given. */
interface Typing extends Console { readonly typed: number[]; given: number }

const hasReadAll = (world: World, console: Typing): boolean => hasRead(world, console.typed.length, console, console.given);

/** What can be given to the guest now: of several consoles the first comes first. */
function inputFor(world: World, consoles: readonly Typing[]): { readonly at: Typing; readonly choice: Extract<Choice, { type: 'input' }> } | undefined {
  for (const at of consoles) {
    const choice = nextInput(world, at.typed, at, at.given);
    if (choice !== undefined) return { at, choice };
  }
  return undefined;
}

/** Texts are bytes, as Latin-1. */
export interface ConsoleOutput {
  text(text: string): void;
  /** Hands over what was shown since the last time. Throws InputError where it is refused. */
  flush(): void;
  /** Hands over the rest, if that can be done. */
  end(): void;
}

/** Texts in chunks: a write for each character would take longer than the guest does. When the reader has gone its listener stays: what is printed later fails too. */
function consoleOutput(stream: NodeJS.WriteStream, name: string): ConsoleOutput & { /** Whether nobody reads any more. */ isClosed(): boolean } {
  let waiting = '';
  let last = '\n';
  let failure: Error | undefined;
  const onError = (error: Error): void => { failure ??= error; };
  stream.on('error', onError);
  const write = (): void => {
    if (waiting !== '' && failure === undefined) stream.write(Buffer.from(waiting, 'latin1'));
    last = waiting.at(-1) ?? last;
    waiting = '';
  };
  return {
    text(text) { waiting += text; },
    flush() {
      if (failure !== undefined && !isGone(failure)) throw new InputError(outputRefused(failure, name));
      write();
    },
    isClosed: () => failure !== undefined && isGone(failure),
    end() {
      write();
      if (failure !== undefined) return;
      // What is told next on a terminal does not go behind half a line of the guest's.
      if (stream.isTTY && last !== '\n') stream.write('\n');
      stream.off('error', onError);
    },
  };
}

/** The file that `--console-log CONSOLE=FILE` asks for. What it held before goes when the run has begun. Throws InputError where it cannot be written. */
export function fileOutput(console: string, path: string): ConsoleOutput {
  let waiting = '';
  const refused = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw new InputError(`--console-log ${console}=${path}: ${(error as Error).message}`);
    }
  };
  const file = refused(() => openSync(path, 'a'));
  let hasBegun = false;
  const flush = (): void => refused(() => {
    const text = waiting;
    waiting = '';
    if (!hasBegun && fstatSync(file).isFile()) ftruncateSync(file);
    hasBegun = true;
    if (text !== '') writeFileSync(file, text, 'latin1');
  });
  return {
    text(text) { waiting += text; },
    flush,
    end() {
      try { flush(); } catch { /* what ended the run is told */ }
      closeSync(file);
    },
  };
}

function whereText(session: Session): string {
  const { history } = session;
  const place = placeOf(history);
  return `${place.branch}@frame:${place.frame}, ${grouped(totalsOf(history).insns)} instructions, ${timeText(worldOf(history).state.clock)} of virtual time`;
}
