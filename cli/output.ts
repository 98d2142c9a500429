/** What the verbs print: text for people in aligned columns and colour, objects for programs one to a line, and the progress of long work. */

import { stripVTControlCharacters } from 'node:util';

/** Colours of the terminal that means: NO_COLOR (https://no-color.org) and FORCE_COLOR win over what the stream is. */
const coloured = (stream: { isTTY?: boolean }): boolean =>
  (process.env.NO_COLOR ? false : process.env.FORCE_COLOR ? process.env.FORCE_COLOR !== '0' : stream.isTTY === true);

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], blue: [34, 39], magenta: [35, 39], cyan: [36, 39] } as const;
export type Colour = keyof typeof CODES;

/** `text` in a colour, where standard output shows colours. */
export function paint(colour: Colour, text: string): string {
  const [on, off] = CODES[colour];
  return coloured(process.stdout) ? `\u001b[${on}m${text}\u001b[${off}m` : text;
}

export function print(text = ''): void {
  clearLine();
  process.stdout.write(`${text}\n`);
}
/** Whether a stream's reader is not there any more: a pipe that was closed, a terminal that was. */
export const isGone = (error: NodeJS.ErrnoException): boolean => error.code === 'EPIPE' || error.code === 'EIO';

/** What to say of an error of a stream that has a reader. */
export const outputRefused = (error: Error, name = 'standard output'): string => `${name} cannot be written: ${error.message}`;

/** One line on standard error, for people. */
export function note(text: string): void {
  clearLine();
  process.stderr.write(`zeno: ${text.replaceAll('\n', '; ')}\n`);
}

/** One object on one line: 64-bit values as "0x…", numbers above 2^53 as strings. */
export const printJson = (value: unknown): void => print(jsonText(value));

export const jsonText = (value: unknown): string => JSON.stringify(value, (_, inner: unknown) => {
  if (typeof inner === 'bigint') return `0x${BigInt.asUintN(64, inner).toString(16)}`;
  if (typeof inner === 'number' && Number.isInteger(inner) && !Number.isSafeInteger(inner)) return String(inner);
  return ArrayBuffer.isView(inner) && !(inner instanceof DataView) ? [...(inner as unknown as Iterable<unknown>)] : inner;
});

/** The width of a text on the terminal, colours left out. */
export const widthOf = (text: string): number => stripVTControlCharacters(text).length;

/** Rows as aligned columns. A column whose name starts with `>` is flushed right. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const heads = columns.map((column) => column.replace(/^>/, ''));
  const widths = heads.map((head, index) => Math.max(widthOf(head), ...rows.map((row) => widthOf(row[index] ?? ''))));
  const line = (cells: readonly string[], colour?: Colour): string => cells.map((cell, index) => {
    const space = ' '.repeat(widths[index]! - widthOf(cell));
    const shown = colour ? paint(colour, cell) : cell;
    return columns[index]!.startsWith('>') ? space + shown : index === cells.length - 1 ? shown : shown + space;
  }).join('  ').trimEnd();
  return [...(heads.some((head) => head !== '') ? [line(heads, 'bold')] : []), ...rows.map((row) => line(row))].join('\n');
}

/** 1234567 as 1,234,567. */
export const grouped = (value: number | bigint): string => value.toString().replace(/\B(?=(\d{3})+$)/g, ',');

/** A virtual time as people say it: 842 ns, 12.3 µs, 325.029 µs. */
export function timeText(ns: number): string {
  if (ns < 1000) return `${ns} ns`;
  if (ns < 1e6) return `${trimmed(ns / 1e3)} µs`;
  return ns < 1e9 ? `${trimmed(ns / 1e6)} ms` : `${trimmed(ns / 1e9)} s`;
}
const trimmed = (value: number): string => value.toFixed(3).replace(/\.?0+$/, '');

/** A value of an event or a register as people read it: addresses and 64-bit values in hexadecimal. */
export function valueText(value: unknown): string {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value === 'string') return /^[\w.:#/+-]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return jsonText(value);
  return String(value);
}

/** A line on standard error that is redrawn in place; nothing where that is not a terminal. Of several under way the one begun last is shown. */
export interface Progress {
  /** `done` of `total` units of work; `total` undefined: nobody knows. */
  update(done: number, total?: number): void;
  /** Takes the line away, before other text is printed. */
  clear(): void;
  /** Takes it away for good. */
  end(): void;
}

const REDRAW_MS = 100;
/** Work shorter than this shows nothing. */
const QUIET_MS = 500;
const BAR_CELLS = 24;

const underWay: Progress[] = [];
let isDrawn = false;

function clearLine(): void {
  if (isDrawn) process.stderr.write('\r\u001b[K');
  isDrawn = false;
}

export function progress(what: string, unit: string): Progress {
  if (process.stderr.isTTY !== true) return { update() {}, clear() {}, end() {} };
  const started = performance.now();
  let drawn = 0;
  const self: Progress = {
    update(done, total) {
      const now = performance.now();
      if (now - started < QUIET_MS || now - drawn < REDRAW_MS || underWay.at(-1) !== self) return;
      drawn = now;
      const seconds = (now - started) / 1000;
      const share = total === undefined || total === 0 ? undefined : Math.min(1, done / total);
      const bar = share === undefined ? '' : `▕${'█'.repeat(Math.round(share * BAR_CELLS)).padEnd(BAR_CELLS, '░')}▏ ${Math.floor(share * 100)}%, `;
      const left = share === undefined || share === 0 ? '' : `, ${Math.ceil(seconds * (1 / share - 1))} s left`;
      process.stderr.write(`\r\u001b[K${what} ${bar}${grouped(done)} ${unit}, ${grouped(Math.round(done / seconds))}/s${left}`);
      isDrawn = true;
    },
    clear: clearLine,
    end() {
      clearLine();
      const at = underWay.indexOf(self);
      if (at >= 0) underWay.splice(at, 1);
    },
  };
  underWay.push(self);
  return self;
}
