/** The log format: append-only, checksummed frames behind a versioned header, which a cut at any byte costs one frame. */

import { checksum64 } from '../machines/memory/hash.ts';
import { decode, encode } from './codec.ts';

/*
 * File    = header frame*
 * Header  = magic (8 bytes) version (u32) sum of the 12 bytes before it (u32)
 * Frame   = marker (u32) length of payload (u32) sequence number (u24) kind (u8) xxh64 of the 8 bytes before it and the payload (u64) payload
 * Payload = msgpack (codec.ts) of the kind's entry. All numbers are little-endian.
 *
 * The marker lets a reader find the next frame behind a damaged one, which is how a torn tail is told from damage.
 */

/** PNG's trick: a byte above 127 and a line ending, so that a transfer as text is noticed at the first read. */
const MAGIC = Uint8Array.from([0x89, 0x5a, 0x45, 0x4e, 0x4f, 0x0d, 0x0a, 0x1a]);
export const LOG_VERSION = 1;
export const HEADER_BYTES = 16;
const FRAME_HEADER_BYTES = 20;
const MARKER = 0x314e_5a0a;
/** A length above this is damage, and a longer entry is refused when it is written. */
export const PAYLOAD_BYTES_MAX = 1 << 26;

export interface EntryOf {
  manifest: unknown;
  /** The choices of frames `first` to first+choices.length-1, and a u32 sum of what each did. */
  moves: { readonly first: number; readonly choices: readonly unknown[]; readonly sums: Uint32Array };
  print: { readonly frame: number; readonly fingerprint: string };
  mark: { readonly name: string; readonly frame: number; readonly insns: number };
  branch: { readonly name: string; readonly parent: string; readonly frame: number };
  patch: { readonly frame: number; readonly patch: unknown; readonly sum: number };
  end: { readonly frame: number };
}
export type Kind = keyof EntryOf;
export type Entry = { [K in Kind]: { readonly kind: K; readonly value: EntryOf[K] } }[Kind];

/** Codes in the file. A code is never given another meaning. */
const CODES: Readonly<Record<Kind, number>> = { manifest: 1, moves: 2, print: 3, mark: 4, branch: 5, patch: 6, end: 7 };
const KINDS = new Map<number, Kind>(Object.entries(CODES).map(([kind, code]) => [code, kind as Kind]));

/** Bytes that can be read at any offset; a read past the end is short. */
export interface ByteSource {
  /** What errors call it. */
  readonly name: string;
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
}

/** A frame of the file: `offset` of its first byte and of the first byte after it. */
export interface LogFrame { readonly entry: Entry; readonly offset: number; readonly end: number; readonly sequence: number; readonly sum: bigint }

/** What is wrong with a log, where, and what would be right. */
export class LogError extends Error {
  override readonly name = 'LogError';
  readonly reason: 'not-a-log' | 'newer' | 'damaged';
  readonly file: string;
  readonly offset: number;
  constructor(reason: LogError['reason'], file: string, offset: number, message: string) {
    super(`${file}: byte ${offset}: ${message}`);
    this.reason = reason;
    this.file = file;
    this.offset = offset;
  }
}

/** The first bytes of a log. */
export function encodeHeader(version = LOG_VERSION): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  const view = new DataView(header.buffer);
  view.setUint32(8, version, true);
  view.setUint32(12, Number(checksum64(header.subarray(0, 12)) & 0xffff_ffffn), true);
  return header;
}

/** The bytes of one frame. `sequence` counts the frames of the file from 0. */
export function encodeFrame(entry: Entry, sequence: number): Uint8Array {
  const payload = encode(entry.value);
  if (payload.length > PAYLOAD_BYTES_MAX) throw new RangeError(`a ${entry.kind} of ${payload.length} bytes does not fit in a log frame of ${PAYLOAD_BYTES_MAX}`);
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint32(0, MARKER, true);
  view.setUint32(4, payload.length, true);
  view.setUint32(8, (sequence % (1 << 24)) | (CODES[entry.kind] << 24), true);
  view.setBigUint64(12, frameSum(frame), true);
  return frame;
}

/** What follows the last whole frame of a file that was cut. */
export interface Torn { readonly offset: number; readonly bytes: number }

/**
 * Reads frames from `from` (0: the header first), calling `visit` for each. Returns where the valid frames end, and what
 * torn bytes follow. Throws LogError for another file, a newer version, or damage with valid frames behind it.
 */
export function readLog(source: ByteSource, visit: (frame: LogFrame) => void, from = 0, sequence = 0): { readonly end: number; readonly sequence: number; readonly torn: Torn | undefined } {
  let offset = from;
  if (offset === 0) {
    if (!readHeader(source)) return { end: 0, sequence: 0, torn: source.size === 0 ? undefined : { offset: 0, bytes: source.size } };
    offset = HEADER_BYTES;
  }
  for (let next = sequence; ; next++) {
    if (offset === source.size) return { end: offset, sequence: next, torn: undefined };
    const frame = frameAt(source, offset, next);
    if (frame === undefined) {
      const behind = findFrame(source, offset);
      const remedy = `restore the file from a copy, or cut it to ${offset} bytes to keep what comes before`;
      if (behind === offset) throw new LogError('damaged', source.name, offset, `log frame ${next} should be here and another one is: bytes are missing before it; ${remedy}`);
      if (behind !== undefined) throw new LogError('damaged', source.name, offset, `bytes ${offset} to ${behind - 1} are damaged: log frame ${next} should be here, and whole frames follow; ${remedy}`);
      return { end: offset, sequence: next, torn: { offset, bytes: source.size - offset } };
    }
    visit(frame);
    offset = frame.end;
  }
}

/** The frame that starts at `offset`. Throws LogError when it is not whole: the index said that it is there. */
export function readFrame(source: ByteSource, offset: number): LogFrame {
  const frame = frameAt(source, offset, undefined);
  if (frame === undefined) throw new LogError('damaged', source.name, offset, 'a whole frame should be here, with the checksum of its bytes; restore the file from a copy');
  return frame;
}

/** True when the header is whole and right, false when the file was cut inside it. Throws LogError when it is another file's, or a newer version's. */
export function readHeader(source: ByteSource): boolean {
  const right = encodeHeader();
  const header = source.read(0, HEADER_BYTES);
  const same = (from: number, to: number): boolean => header.subarray(from, to).every((byte, index) => byte === right[from + index]);
  if (!same(0, 8)) throw new LogError('not-a-log', source.name, 0, `this is not a Zeno log: it should start with the bytes ${[...MAGIC].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`);
  if (header.length < HEADER_BYTES) {
    if (source.size >= HEADER_BYTES || !same(0, header.length)) throw new LogError('damaged', source.name, 8, 'the header is damaged');
    return false;
  }
  const view = new DataView(header.buffer, header.byteOffset);
  const version = view.getUint32(8, true);
  if (view.getUint32(12, true) !== Number(checksum64(header.subarray(0, 12)) & 0xffff_ffffn)) throw new LogError('damaged', source.name, 8, `the header's version and checksum do not agree: version ${LOG_VERSION} should be here`);
  if (version !== LOG_VERSION) throw new LogError('newer', source.name, 8, `the log has format version ${version}; this build reads version ${LOG_VERSION}: open it with a newer Zeno`);
  return true;
}

function frameAt(source: ByteSource, offset: number, sequence: number | undefined): LogFrame | undefined {
  const header = source.read(offset, FRAME_HEADER_BYTES);
  if (header.length < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(header.buffer, header.byteOffset);
  const length = view.getUint32(4, true);
  const word = view.getUint32(8, true);
  if (view.getUint32(0, true) !== MARKER || length > source.size - offset - FRAME_HEADER_BYTES) return undefined;
  if (sequence !== undefined && word % (1 << 24) !== sequence % (1 << 24)) return undefined;
  const bytes = source.read(offset, FRAME_HEADER_BYTES + length);
  const sum = view.getBigUint64(12, true);
  if (bytes.length < FRAME_HEADER_BYTES + length || frameSum(bytes) !== sum) return undefined;
  const kind = KINDS.get(word >>> 24);
  if (kind === undefined) throw new LogError('newer', source.name, offset, `there is a log frame of kind ${word >>> 24} here; this build knows kinds 1 to ${KINDS.size}: open it with a newer Zeno`);
  return { entry: { kind, value: decode(bytes.subarray(FRAME_HEADER_BYTES)) } as Entry, offset, end: offset + bytes.length, sequence: word % (1 << 24), sum };
}

/** The checksum of a frame: of all its bytes but the marker and the checksum itself. */
function frameSum(frame: Uint8Array): bigint {
  const summed = new Uint8Array(frame.length - 12);
  summed.set(frame.subarray(4, 12));
  summed.set(frame.subarray(FRAME_HEADER_BYTES), 8);
  return checksum64(summed);
}

const SEARCH_BYTES = 1 << 16;

/** The offset of the first whole frame at or after `from`. */
function findFrame(source: ByteSource, from: number): number | undefined {
  for (let base = from; base < source.size; base += SEARCH_BYTES) {
    // Three more bytes, for a marker across the border.
    const bytes = source.read(base, SEARCH_BYTES + 3);
    for (let at = bytes.indexOf(MARKER & 0xff); at >= 0 && at < SEARCH_BYTES; at = bytes.indexOf(MARKER & 0xff, at + 1)) {
      if (frameAt(source, base + at, undefined) !== undefined) return base + at;
    }
  }
  return undefined;
}
