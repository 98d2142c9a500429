/** Puts function bodies together into the bytes of a WebAssembly module. */

import { Code, type ValueType } from './code.ts';

export interface Signature { readonly parameters: readonly ValueType[]; readonly results: readonly ValueType[] }
export interface FunctionImport { readonly name: string; readonly type: number }
export interface DefinedFunction { readonly type: number; readonly body: Uint8Array; readonly exportName?: string }

/**
 * A module with a memory `env.memory`, a table of (ref null `tableType`), imported functions, and `functions`, which are numbered after
 * the imports. The table is `env.table`, or with `tableEntries` one of its own that it exports as `table`: a table of one exact
 * type, whose calls check no signature, can be made by a module only. Each of `elements` goes into the table from its `start` on.
 */
export function moduleBytes(parts: {
  readonly types: readonly Signature[]; readonly tableType: number; readonly imports: readonly FunctionImport[]; readonly functions: readonly DefinedFunction[];
  readonly tableEntries?: number;
  readonly elements?: readonly { readonly start: number; readonly functions: readonly number[] }[];
}): Uint8Array<ArrayBuffer> {
  const out = new Code(0);
  for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
  section(out, 1, (at) => {
    at.unsigned(parts.types.length);
    for (const { parameters, results } of parts.types) {
      at.byte(0x60);
      at.unsigned(parameters.length);
      for (const type of parameters) at.byte(type);
      at.unsigned(results.length);
      for (const type of results) at.byte(type);
    }
  });
  section(out, 2, (at) => {
    at.unsigned((parts.tableEntries === undefined ? 2 : 1) + parts.imports.length);
    name(at, 'env'); name(at, 'memory'); at.byte(2); at.byte(0); at.unsigned(1);
    if (parts.tableEntries === undefined) { name(at, 'env'); name(at, 'table'); at.byte(1); at.byte(0x63); at.signed(parts.tableType); at.byte(0); at.unsigned(1); }
    for (const { name: text, type } of parts.imports) { name(at, 'env'); name(at, text); at.byte(0); at.unsigned(type); }
  });
  section(out, 3, (at) => {
    at.unsigned(parts.functions.length);
    for (const { type } of parts.functions) at.unsigned(type);
  });
  if (parts.tableEntries !== undefined) {
    section(out, 4, (at) => { at.unsigned(1); at.byte(0x63); at.signed(parts.tableType); at.byte(0); at.unsigned(parts.tableEntries!); });
  }
  const exported = parts.functions.map((one, index) => ({ ...one, index: parts.imports.length + index })).filter(({ exportName }) => exportName !== undefined);
  section(out, 7, (at) => {
    at.unsigned(exported.length + (parts.tableEntries === undefined ? 0 : 1));
    if (parts.tableEntries !== undefined) { name(at, 'table'); at.byte(1); at.unsigned(0); }
    for (const { exportName, index } of exported) { name(at, exportName!); at.byte(0); at.unsigned(index); }
  });
  const { elements = [] } = parts;
  section(out, 9, (at) => {
    at.unsigned(elements.length);
    for (const { start, functions } of elements) {
      // Active, table 0, element expressions of a given reference type.
      at.unsigned(6); at.unsigned(0); at.i32(start); at.end();
      at.byte(0x63); at.signed(parts.tableType);
      at.unsigned(functions.length);
      for (const index of functions) { at.byte(0xd2); at.unsigned(index); at.end(); }
    }
  });
  const bodyBytes = parts.functions.reduce((sum, { body }) => sum + body.length, 0);
  reserve(out, bodyBytes + SECTION_BYTES);
  section(out, 10, (at) => {
    reserve(at, bodyBytes + SECTION_BYTES);
    at.unsigned(parts.functions.length);
    for (const { body } of parts.functions) append(at, body);
  });
  const bytes = out.bytes.slice(0, out.length) as Uint8Array<ArrayBuffer>;
  out.free();
  return bytes;
}

function section(out: Code, id: number, write: (at: Code) => void): void {
  const at = new Code(0);
  write(at);
  out.byte(id);
  out.unsigned(at.length);
  append(out, at.bytes.subarray(0, at.length));
  at.free();
}

/** What a section has beside what is in it, at most. */
const SECTION_BYTES = 16;

/** Room for so many bytes more. */
function reserve(out: Code, bytes: number): void {
  if (out.length + bytes <= out.bytes.length) return;
  const grown = new Uint8Array(out.length + bytes);
  grown.set(out.bytes.subarray(0, out.length));
  out.bytes = grown;
}

function append(out: Code, bytes: Uint8Array): void {
  if (out.length + bytes.length > out.bytes.length) reserve(out, out.length + 2 * bytes.length);
  out.bytes.set(bytes, out.length);
  out.length += bytes.length;
}

function name(at: Code, text: string): void {
  at.unsigned(text.length);
  for (const character of text) at.byte(character.charCodeAt(0));
}
