/** What `--input FILE` says: bytes to type, or a script of what to wait for and what to type. The format is told in docs/BOOT.md. */

import { InputError } from '../actors/input-error.ts';

export interface ConsoleScript {
  /** The file, as the user named it. */
  readonly name: string;
  readonly steps: readonly Step[];
  /** False: a plain file, whose bytes are typed as they are. */
  readonly isScript: boolean;
}

/** `line` counts from 1. Texts are bytes, as Latin-1. Times are virtual. */
export type Step =
  | { readonly type: 'expect'; readonly line: number; readonly text: string }
  | { readonly type: 'send'; readonly line: number; readonly text: string }
  | { readonly type: 'wait'; readonly line: number; readonly ns: number }
  /** How long each `expect` behind it may take. */
  | { readonly type: 'timeout'; readonly line: number; readonly ns: number }
  /** Which console each `expect` and `send` behind it is at. */
  | { readonly type: 'console'; readonly line: number; readonly name: string };

/** Reads `bytes` of the file called `name`. It is a script when the first line that is not empty and no comment begins as a step does. Throws InputError that names the line. */
export function readScript(bytes: Uint8Array, name: string): ConsoleScript {
  const text = latin1.decode(bytes);
  const lines = text.split(/\r?\n/).map((words, index) => ({ words: words.trim(), line: index + 1 })).filter(({ words }) => words !== '' && !words.startsWith('#'));
  const isScript = lines.length > 0 && BEGINS.test(lines[0]!.words);
  if (!isScript) return { name, isScript, steps: text === '' ? [] : [{ type: 'send', line: 1, text }] };
  return { name, isScript, steps: lines.map(({ words, line }) => stepOf(words, line, name)) };
}

const STEP = /^(?:(expect|send)\s+"((?:[^"\\]|\\.)*)"|(wait|timeout)\s+(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)|console\s+(\S+))$/;
/** What nobody types: a step, or an attempt at one, whose fault is to be told. */
const BEGINS = /^(?:(?:expect|send)\s+["']|(?:wait|timeout)\s+\d|console\s+\S+$)/;

function stepOf(words: string, line: number, name: string): Step {
  const [, says, quoted, waits, digits, unit, console] = STEP.exec(words) ?? [];
  if (says !== undefined) {
    const text = unescaped(quoted!, line, name);
    if (text === '') throw new InputError(`${name}: line ${line}: ${says} needs a text that is not empty`);
    return { type: says as 'expect' | 'send', line, text };
  }
  if (waits !== undefined) {
    const ns = Math.round(Number(digits) * UNIT_NS[unit as keyof typeof UNIT_NS]);
    if (!Number.isSafeInteger(ns)) throw new InputError(`${name}: line ${line}: ${words}: a time is at most ${Math.floor(Number.MAX_SAFE_INTEGER / UNIT_NS.h)}h`);
    return { type: waits as 'wait' | 'timeout', line, ns };
  }
  if (console !== undefined) return { type: 'console', line, name: console };
  throw new InputError(`${name}: line ${line}: ${JSON.stringify(words.length > SHOWN ? `${words.slice(0, SHOWN)}…` : words)} is none of expect "TEXT", send "TEXT", wait 100ms, timeout 30s, console NAME and # a comment`);
}

/** Characters of a line that are shown when it is none. */
const SHOWN = 60;

export const UNIT_NS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 } as const;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', e: '\u001b', '\\': '\\', '"': '"' };

function unescaped(quoted: string, line: number, name: string): string {
  return quoted.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (whole, code: string) => {
    const text = code.length === 3 ? String.fromCharCode(parseInt(code.slice(1), 16)) : ESCAPES[code];
    if (text === undefined) throw new InputError(`${name}: line ${line}: ${whole} is no escape: there are \\n \\r \\t \\e \\\\ \\" and \\x1b`);
    return text;
  });
}

// Not TextDecoder('latin1'), which is windows-1252: bytes are to come back as they were.
const latin1 = { decode: (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1') };

/** Where a script is. */
export interface ScriptState {
  /** The next step; the number of steps when all are done. */
  at: number;
  /** The console that `expect` and `send` are at. */
  console: string;
  /** What each console showed and no `expect` has met, by name. */
  readonly unseen: Record<string, string>;
  /** The virtual time at which the step began. */
  sinceNs: number;
  /** How long an `expect` may take. */
  timeoutNs: number;
  /** Whether the bytes of the `send` at hand were handed over. */
  isSent: boolean;
}

/** At its first step, and at `console`. */
export const startScript = (console: string): ScriptState => ({ at: 0, console, unseen: {}, sinceNs: 0, timeoutNs: Infinity, isSent: false });

/** Characters of a console that are searched, at least. */
const UNSEEN_MAX = 1 << 20;

/** Tells the script what a console showed. */
export function showScript(state: ScriptState, console: string, text: string): void {
  const unseen = (state.unseen[console] ?? '') + text;
  state.unseen[console] = unseen.length > 2 * UNSEEN_MAX ? unseen.slice(-UNSEEN_MAX) : unseen;
}

/** What the machine says at an instant. */
export interface Instant {
  readonly timeNs: number;
  /** Whether the guest has read all that was handed over for a console. */
  hasRead(console: string): boolean;
}

/** Does the steps that can be done at `now`; `type` hands over bytes to be typed at a console. Returns the step whose time is over, if one is. */
export function advanceScript(script: ConsoleScript, state: ScriptState, now: Instant, type: (console: string, bytes: Uint8Array) => void): Step | undefined {
  for (let step = script.steps[state.at]; step !== undefined; step = script.steps[state.at]) {
    switch (step.type) {
      case 'expect': {
        const unseen = state.unseen[state.console] ?? '';
        const found = unseen.indexOf(step.text);
        if (found < 0) {
          // What cannot be the beginning of a match is let go.
          state.unseen[state.console] = unseen.slice(-step.text.length);
          return now.timeNs - state.sinceNs >= state.timeoutNs ? step : undefined;
        }
        state.unseen[state.console] = unseen.slice(found + step.text.length);
        break;
      }
      case 'send':
        if (!state.isSent) {
          state.isSent = true;
          type(state.console, Buffer.from(step.text, 'latin1'));
          return undefined;
        }
        if (!now.hasRead(state.console)) return undefined;
        break;
      case 'wait':
        if (now.timeNs - state.sinceNs < step.ns) return undefined;
        break;
      case 'timeout': state.timeoutNs = step.ns; break;
      case 'console': state.console = step.name; break;
    }
    state.at++;
    state.isSent = false;
    state.sinceNs = now.timeNs;
  }
  return undefined;
}

/** The virtual time at which a `wait` or the time of an `expect` is over: a machine with nothing to do goes there. */
export function deadlineOf(script: ConsoleScript, state: ScriptState): number {
  const step = script.steps[state.at];
  return step?.type === 'wait' ? state.sinceNs + step.ns : step?.type === 'expect' ? state.sinceNs + state.timeoutNs : Infinity;
}

/** What a step that is not done waits for, for people. */
export function waitingText(script: ConsoleScript, step: Step): string {
  switch (step.type) {
    case 'expect': return `${script.name}: line ${step.line}: the console never showed ${JSON.stringify(step.text)}`;
    case 'send': return `${script.name}: line ${step.line}: the guest did not read ${JSON.stringify(step.text)}`;
    default: return `${script.name}: line ${step.line}: the run ended before its time`;
  }
}
