/** Options that several verbs have, and how their values are read. */

import { Option } from 'commander';
import { RAM_BYTES_MAX } from '../actors/boot.ts';
import { InputError } from '../actors/input-error.ts';
import { ENGINE, ENGINES } from '../machines/aarch64/board.ts';
import { NAME_BYTES } from '../machines/fw-cfg/items.ts';
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

/** NAME=FILE, put with those before it. */
export function firmwareFile(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [, name, path] = /^([\x21-\x3c\x3e-\x7e]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined || name.length >= NAME_BYTES) throw new InputError(`--fw-cfg ${text}: write NAME=FILE with a name of at most ${NAME_BYTES - 1} characters, such as opt/org.example/words=words.txt`);
  if (name in before) throw new InputError(`--fw-cfg ${text}: there is a file of that name already`);
  return { ...before, [name]: path };
}

/** CONSOLE=FILE, put with those before it. */
export function consoleLog(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [, name, path] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || path === undefined) throw new InputError(`--console-log ${text}: write CONSOLE=FILE, such as hvc0=hvc0.txt`);
  if (name in before) throw new InputError(`--console-log ${text}: ${name} has a file already`);
  return { ...before, [name]: path };
}

/** 2026-01-01, 2026-01-01T12:30:00Z, or seconds since 1970. */
export function dateSeconds(text: string): number {
  const [, year, month, day, hours = '00', minutes = '00', seconds = '00'] = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})Z?)?$/.exec(text) ?? [];
  const value = year === undefined ? (/^\d+$/.test(text) ? Number(text) : NaN) : Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hours), Number(minutes), Number(seconds)) / 1000;
  // Date.UTC takes the 31st of February for a day in March.
  const isDate = year === undefined || new Date(value * 1000).toISOString() === `${year}-${month}-${day}T${hours}:${minutes}:${seconds}.000Z`;
  if (!(value >= 0 && value < 2 ** 32 && isDate)) throw new InputError(`--date ${text}: write 2026-01-01 or 2026-01-01T12:30:00Z, from 1970 to 2105, or seconds since 1970`);
  return value;
}

/** 512M, 1G, 65536K or a number of bytes. */
export function memorySize(text: string): number {
  const [, digits, unit] = /^(\d+)([KMG]?)$/i.exec(text) ?? [];
  const bytes = digits === undefined ? NaN : Number(digits) * { '': 1, K: 1 << 10, M: 1 << 20, G: 1 << 30 }[unit!.toUpperCase() as '' | 'K' | 'M' | 'G'];
  if (!Number.isSafeInteger(bytes) || bytes < 1 << 20 || bytes % 4096 !== 0 || bytes > RAM_BYTES_MAX) throw new InputError(`--mem ${text}: it must be from 1M to 3G, a multiple of 4096 bytes, such as 512M`);
  return bytes;
}
