/** Byte strings put together and put away behind a checksum. */

import { checksum64 } from '../machines/memory/hash.ts';

/** Bytes behind their checksum. */
export function sealed(bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(8 + bytes.length);
  new DataView(all.buffer).setBigUint64(0, checksum64(bytes), true);
  all.set(bytes, 8);
  return all;
}

/** What `sealed` put away, or undefined when it did not come back whole. */
export function unsealed(all: Uint8Array): Uint8Array | undefined {
  if (all.length < 8) return undefined;
  const bytes = all.slice(8);
  return new DataView(all.buffer, all.byteOffset).getBigUint64(0, true) === checksum64(bytes) ? bytes : undefined;
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}
