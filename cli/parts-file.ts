/**
 * Files of typed arrays, for what may be lost: the SHA-256 of all that follows; the length of the head (4 bytes, little-endian); the head, as JSON: of each part its name, and its
 * type and bytes or its value; the arrays, each aligned, so that they can be used where they are.
 */

import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

export type Parts = Readonly<Record<string, Uint8Array | Int32Array | Uint32Array | readonly string[] | number | string>>;
type Part = readonly [name: string, type: keyof typeof TYPES, bytes: number] | readonly [name: string, value: readonly string[] | number | string];
const SUM_BYTES = 32;
const TYPES = { Uint8Array, Int32Array, Uint32Array } as const;
const ALIGNMENT = 8;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const sumOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** What is in the file at `path`, and its sum in hexadecimal; undefined where there is none, or where it is damaged. */
export function readParts(path: string): { readonly parts: Parts; readonly sum: string } | undefined {
  try {
    const { buffer, byteOffset, length } = readFileSync(path);
    const file = byteOffset % ALIGNMENT === 0 ? new Uint8Array(buffer, byteOffset, length) : new Uint8Array(buffer.slice(byteOffset, byteOffset + length));
    const sum = sumOf(file.subarray(SUM_BYTES));
    if (!sum.equals(file.subarray(0, SUM_BYTES))) return undefined;
    const headBytes = new DataView(file.buffer, file.byteOffset).getUint32(SUM_BYTES, true);
    const head = JSON.parse(Buffer.from(file.subarray(SUM_BYTES + 4, SUM_BYTES + 4 + headBytes)).toString()) as readonly Part[];
    let at = aligned(SUM_BYTES + 4 + headBytes);
    const parts = Object.fromEntries(head.map(([name, type, bytes]) => {
      if (bytes === undefined) return [name, type];
      const from = at;
      at = aligned(at + bytes);
      const Type = TYPES[type as keyof typeof TYPES];
      return [name, new Type(file.buffer as ArrayBuffer, file.byteOffset + from, bytes / Type.BYTES_PER_ELEMENT)];
    })) as Parts;
    return { parts, sum: sum.toString('hex') };
  } catch {
    return undefined;
  }
}

/** Writes a file and the folders above it: by renaming, so that others that read or write it see it whole. Throws what the system refuses. */
export function writeParts(path: string, parts: Parts): void {
  const head = Buffer.from(JSON.stringify(Object.entries(parts).map(([name, value]) => (ArrayBuffer.isView(value) ? [name, value.constructor.name, value.byteLength] : [name, value]))));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  const chunks: Uint8Array[] = [length, head];
  let bytes = SUM_BYTES + 4 + head.length;
  for (const value of Object.values(parts)) {
    if (!ArrayBuffer.isView(value)) continue;
    chunks.push(Buffer.alloc(aligned(bytes) - bytes), new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    bytes = aligned(bytes) + value.byteLength;
  }
  const sum = createHash('sha256');
  for (const chunk of chunks) sum.update(chunk);
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  // One by one: put together they would take as much memory again.
  writeFileSync(temporary, sum.digest());
  for (const chunk of chunks) appendFileSync(temporary, chunk);
  renameSync(temporary, path);
}
