/** Plain values to bytes and back: one msgpack encoder, whose bytes depend on the value alone. */

import { Packr } from 'msgpackr';

// Records would make the bytes depend on what was encoded before.
const packr = new Packr({ useRecords: false, moreTypes: true });

/**
 * The bytes of a plain value: null, undefined, booleans, numbers, bigints, strings, arrays, typed arrays and plain objects.
 * Keys are written in the object's own order, which is the order in which its shape declares them.
 * Throws CodecError, with the path, on anything else.
 */
export function encode(value: unknown): Uint8Array {
  assertPlain(value, '');
  return new Uint8Array(packr.pack(value));
}

/** The value of `encode`'s bytes. Throws CodecError when they are not that. Arrays of bytes are copies. */
export function decode(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(new Uint8Array(bytes));
  } catch (error) {
    throw new CodecError(`${bytes.length} bytes do not decode: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export class CodecError extends Error { override readonly name = 'CodecError'; }

function assertPlain(value: unknown, path: string): void {
  if (value === null) return;
  const type = typeof value;
  if (type === 'function' || type === 'symbol') throw refusal(path, `a ${type}`);
  if (type === 'bigint' && ((value as bigint) >= 1n << 64n || (value as bigint) < -(1n << 63n))) throw refusal(path, 'a bigint of more than 64 bits');
  if (type !== 'object') return;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) assertPlain(value[index], `${path}[${index}]`);
    return;
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw refusal(path, `a ${(value as object).constructor?.name ?? 'foreign object'}`);
  for (const key of Object.keys(value as object)) assertPlain((value as Record<string, unknown>)[key], path === '' ? key : `${path}.${key}`);
}

const refusal = (path: string, what: string): CodecError =>
  new CodecError(`${path === '' ? 'the value' : path} is ${what}: state is plain objects, arrays, typed arrays, numbers, 64-bit bigints, strings and booleans`);
