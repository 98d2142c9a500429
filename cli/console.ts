/** Runs a machine with its console: on standard output and a terminal, or typed at by a script. */

import { hasRead, nextInput } from '../actors/console.ts';
import type { Choice } from '../actors/choices.ts';
import type { Outcome, World } from '../actors/world.ts';
import { close, placeOf, take, worldOf } from '../snapshots/history.ts';
import { advanceScript, deadlineOf, startScript, waitingText, type ConsoleScript, type Step } from './console-script.ts';
import { grouped, timeText } from './output.ts';
import type { RunEnd } from './runner.ts';
import { totalsOf, type Session } from './session.ts';
import { HELP, openTerminal } from './terminal.ts';

export interface ConsoleOptions {
  readonly script?: ConsoleScript;
  readonly expect?: string;
  readonly maxInsns?: number;
  readonly maxTimeNs?: number;
  readonly json?: boolean;
}

/** Time between looks at whether Ctrl-C was pressed, and at what was typed; the console is shown as often. */
const SLICE_MS = 25;
/** Nobody types and nothing is shown for so much virtual time: nothing more will come. */
export const SILENCE_NS = 600e9;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Why a run stopped before the machine did. */
type Stop =
  | { readonly why: 'expected' | 'script' | 'interrupted' | 'closed' }
  | { readonly why: 'limit' | 'silence'; readonly reason: string }
  | { readonly why: 'overdue'; readonly step: Step };

/** Runs to power-off, to what is expected, to a limit, to Ctrl-C or to the end of the terminal. The recording is closed, or handed over where the run can go on. */
export async function runConsole(session: Session, options: ConsoleOptions): Promise<RunEnd> {
  const { history } = session;
  const script = options.script ?? EMPTY;
  const state = startScript();
  const output = consoleOutput(options.json === true ? process.stderr : process.stdout);
  const isTerminal = options.script === undefined && process.stdin.isTTY === true;
  const mayBeSilent = isTerminal || options.maxTimeNs !== undefined;
  const typed: number[] = [];
  let interrupted: Stop | undefined;
  const onSignal = (signal: NodeJS.Signals): void => { interrupted = { why: signal === 'SIGHUP' ? 'closed' : 'interrupted' }; };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  const terminal = !isTerminal ? undefined : openTerminal(({ bytes, commands }) => {
    typed.push(...bytes);
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
      const overdue = advanceScript(script, state, { timeNs: world.state.clock, hasRead: hasRead(world, typed.length) }, (bytes) => { typed.push(...bytes); });
      if (overdue !== undefined) stop = { why: 'overdue', step: overdue };
      else if (state.at === script.steps.length && expect === undefined && script.steps.at(-1)?.type === 'expect') stop = { why: 'script' };
      if (stop !== undefined) break;
      const isReady = state.at === script.steps.length && hasRead(world, typed.length);
      const deadline = Math.min(deadlineOf(script, state), options.maxTimeNs ?? Infinity);
      const input = nextInput(world, typed);
      const choice = input ?? limited(history.system.next(world), world, deadline);
      const idleMs = isTerminal && choice?.type === 'advance' ? (choice.timeNs - world.state.clock) / 1e6 : 0;
      if (idleMs > 0) idleSince ??= performance.now();
      const waits = idleMs > 0 && performance.now() - idleSince! < idleMs;
      if (!waits) idleSince = undefined;
      const frame = waits || choice === undefined ? undefined : take(history, choice);
      if (frame === undefined) {
        // The machine waits for nothing but what a person may type.
        if (!isTerminal || world.state.ended !== null) break;
      } else {
        insns += frame.insns;
        if (input !== undefined) soundNs = frame.timeNs;
        for (const event of frame.events) {
          if (event.event !== 'console') continue;
          soundNs = frame.timeNs;
          output.byte(event.byte as number);
          if (state.at < script.steps.length) state.unseen += String(event.text);
          // What the console echoes while input is still being read does not count.
          if (isReady && expect !== undefined) shown = (shown + String(event.text)).slice(-Math.max(4096, expect.length));
        }
        if (expect !== undefined && shown.includes(expect)) stop = { why: 'expected' };
        else if (options.maxInsns !== undefined && insns >= options.maxInsns) stop = { why: 'limit', reason: `--max-insns ${options.maxInsns} was reached` };
        else if (options.maxTimeNs !== undefined && frame.timeNs >= options.maxTimeNs) stop = { why: 'limit', reason: `--max-time ${timeText(options.maxTimeNs)} was reached` };
        else if (!mayBeSilent && frame.timeNs - soundNs > SILENCE_NS) stop = { why: 'silence', reason: `the console was silent for ${timeText(SILENCE_NS)} of virtual time` };
      }
      if (stop !== undefined || (frame !== undefined && performance.now() < sliceEnds)) continue;
      output.flush();
      await new Promise((go) => { if (frame === undefined) setTimeout(go, SLICE_MS); else setImmediate(go); });
      stop = interrupted ?? (output.isClosed() ? { why: 'closed' } : undefined);
      sliceEnds = performance.now() + SLICE_MS;
    }
  } finally {
    output.flush();
    output.end();
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
function limited(choice: Choice | undefined, { state }: World, deadline: number): Choice | undefined {
  if (deadline === Infinity || state.ended !== null) return choice;
  if (choice === undefined) return { type: 'advance', timeNs: Math.max(deadline, state.clock) };
  if (choice.type === 'run') return { ...choice, insns: Math.max(1, Math.min(choice.insns, deadline - state.clock)) };
  return choice.type === 'advance' ? { ...choice, timeNs: Math.max(state.clock, Math.min(choice.timeNs, deadline)) } : choice;
}

interface ConsoleOutput {
  byte(byte: number): void;
  /** Hands over what was shown since the last time. */
  flush(): void;
  /** Whether nobody reads any more. */
  isClosed(): boolean;
  end(): void;
}

/** Bytes in chunks: a write for each of them would take longer than the guest does. When the reader has gone its listener stays: what is printed later fails too. */
function consoleOutput(stream: NodeJS.WriteStream): ConsoleOutput {
  let bytes: number[] = [];
  let isGone = false;
  const onError = (): void => { isGone = true; };
  stream.on('error', onError);
  return {
    byte(byte) { bytes.push(byte); },
    flush() {
      if (bytes.length > 0 && !isGone) stream.write(Buffer.from(bytes));
      bytes = [];
    },
    isClosed: () => isGone,
    end() { if (!isGone) stream.off('error', onError); },
  };
}

function whereText(session: Session): string {
  const { history } = session;
  const place = placeOf(history);
  return `${place.branch}@frame:${place.frame}, ${grouped(totalsOf(history).insns)} instructions, ${timeText(worldOf(history).state.clock)} of virtual time`;
}
