/** Options that several verbs have, and how their values are read. */

import { Option } from 'commander';
import { InputError } from '../actors/input-error.ts';
import { ENGINE, ENGINES } from '../machines/aarch64/board.ts';
import { UNIT_NS } from './console-script.ts';

/** A reader of whole numbers from `least` on. */
export const wholeNumber = (option: string, least = 0) => (text: string): number => {
  const value = /^0[xX][0-9a-fA-F]+$|^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < least) throw new InputError(`${option} ${text}: it must be a whole number${least > 0 ? ` from ${least} on` : ''}`);
  return value;
};

export const seedOption = (): Option => new Option('--seed <n>', 'seed of what is random').argParser(wholeNumber('--seed')).default(0);

/** No part of what is recorded: a recording made on one engine replays on another. */
export const engineOption = (): Option => new Option('--engine <name>', 'what executes instructions').choices([...ENGINES]).default(ENGINE);

export const jsonOption = (what = 'one object a line'): Option => new Option('--json', what);

/** A reader of times such as 60s, 500ms or 2m, in milliseconds of the clock on the wall. */
export function wallTime(text: string): number {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? [];
  if (digits === undefined) throw new InputError(`--budget ${text}: it must be a time such as 60s, 500ms or 2m`);
  return Number(digits) * { ms: 1, s: 1000, m: 60_000 }[unit as 'ms' | 's' | 'm'];
}

/** A reader of virtual times such as 1.5ms, 60s or 2h, in nanoseconds. */
export const virtualTime = (option: string) => (text: string): number => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)$/.exec(text) ?? [];
  const ns = digits === undefined ? 0 : Math.round(Number(digits) * UNIT_NS[unit as keyof typeof UNIT_NS]);
  if (ns < 1 || !Number.isSafeInteger(ns)) throw new InputError(`${option} ${text}: it must be a time such as 1.5ms, 60s or 2h`);
  return ns;
};
