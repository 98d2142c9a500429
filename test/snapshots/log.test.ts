/** The log: what was written is read, a cut costs one frame, and damage is found and named. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concat } from '../../snapshots/bytes.ts';
import { CodecError, decode, encode } from '../../snapshots/codec.ts';
import { encodeFrame, encodeHeader, LogError, readLog, type ByteSource, type Entry } from '../../snapshots/log.ts';

const source = (bytes: Uint8Array): ByteSource => ({ name: 'x.log', size: bytes.length, read: (offset, length) => bytes.slice(offset, offset + length) });
const ENTRIES: readonly Entry[] = [
  { kind: 'manifest', value: { semantics: '1', options: { smp: 2 } } },
  { kind: 'moves', value: { first: 0, choices: [{ type: 'run', vcpu: 0, insns: 10_000 }, { type: 'input', bytes: [13] }], sums: Uint32Array.of(1, 2) } },
  { kind: 'print', value: { frame: 2, fingerprint: '00ff' } },
  { kind: 'mark', value: { name: 'here', frame: 1, insns: 3 } },
  { kind: 'patch', value: { frame: 2, patch: { path: 'x0', value: 1n << 63n }, sum: 7 } },
  { kind: 'branch', value: { name: 'b', parent: 'main', frame: 1 } },
  { kind: 'end', value: { frame: 3 } },
];
const FRAMES = ENTRIES.map((entry, sequence) => encodeFrame(entry, sequence));
const LOG = concat([encodeHeader(), ...FRAMES]);
/** The offsets at which 0, 1, 2, … frames are whole. */
const ENDS = FRAMES.reduce((ends, frame) => [...ends, ends.at(-1)! + frame.length], [16]);

const read = (bytes: Uint8Array): { entries: Entry[]; torn: unknown } => {
  const entries: Entry[] = [];
  const { torn } = readLog(source(bytes), (frame) => { entries.push(frame.entry); });
  return { entries, torn };
};
/** The error that reading gives, or undefined. */
function failure(bytes: Uint8Array): LogError | undefined {
  try { read(bytes); return undefined; } catch (error) { if (error instanceof LogError) return error; throw error; }
}

test('what was written is read', () => expect(read(LOG)).toEqual({ entries: ENTRIES, torn: undefined }));

test('a file cut at any byte loses its torn frame and nothing else', () => {
  for (let length = 0; length <= LOG.length; length++) {
    const { entries, torn } = read(LOG.slice(0, length));
    const whole = ENDS.filter((end) => end <= length).length - 1;
    expect(entries).toEqual(ENTRIES.slice(0, Math.max(0, whole)));
    const end = whole < 0 ? 0 : ENDS[whole]!;
    expect(torn).toEqual(length === end ? undefined : { offset: end, bytes: length - end });
  }
});

test('a tail of zeros, as a crash can leave, is torn', () => {
  for (const cut of [ENDS[3]!, ENDS[3]! + 5, ENDS[3]! + 30]) {
    const bytes = concat([LOG.slice(0, cut), new Uint8Array(4096)]);
    expect(read(bytes).entries).toEqual(ENTRIES.slice(0, 3));
  }
});

describe('damage', () => {
  test('one flipped bit anywhere is an error that names the byte of the frame, or a torn last frame', () => {
    for (let at = 0; at < LOG.length; at++) {
      for (const bit of [0, 3, 7]) {
        const bytes = LOG.slice();
        bytes[at]! ^= 1 << bit;
        const frame = ENDS.findIndex((end) => end > at) - 1;
        if (frame === ENTRIES.length - 1) {
          expect(read(bytes)).toEqual({ entries: ENTRIES.slice(0, -1), torn: { offset: ENDS.at(-2)!, bytes: FRAMES.at(-1)!.length } });
          continue;
        }
        const error = failure(bytes);
        expect(error, `byte ${at}`).toBeDefined();
        expect(error!.offset).toBe(frame < 0 ? (at < 8 ? 0 : 8) : ENDS[frame]);
        expect(error!.message).toMatch(frame < 0 ? /^x\.log: byte [08]: / : /whole frames follow/);
      }
    }
  });

  test('bytes that were taken out, put in or doubled in the middle are found', () => {
    fc.assert(fc.property(fc.integer({ min: 16, max: ENDS.at(-2)! - 1 }), fc.integer({ min: 1, max: 90 }), fc.constantFrom('out', 'in', 'double'), (at, length, how) => {
      const middle = how === 'in' ? new Uint8Array(length).fill(0x0a) : LOG.slice(at, at + length);
      const bytes = how === 'out' ? concat([LOG.slice(0, at), LOG.slice(Math.min(at + length, ENDS.at(-2)!))]) : concat([LOG.slice(0, at), middle, LOG.slice(at)]);
      expect(failure(bytes)?.reason).toBe('damaged');
    }), { seed: 3, numRuns: 500 });
  });

  test('another file and a newer version are named for what they are', () => {
    expect(failure(new TextEncoder().encode('{"not": "a log"}'))).toMatchObject({ reason: 'not-a-log', offset: 0, file: 'x.log' });
    expect(failure(concat([encodeHeader(2), ...FRAMES]))).toMatchObject({ reason: 'newer', offset: 8, message: 'x.log: byte 8: the log has format version 2; this build reads version 1: open it with a newer Zeno' });
  });
});

describe('plain values', () => {
  const plain = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n }), fc.string(), fc.boolean(), fc.constant(null), fc.constant(undefined),
      fc.double({ noNaN: true }).filter((value) => !Object.is(value, -0)), fc.uint8Array(), fc.array(tie('value')), fc.dictionary(fc.string().filter((key) => key !== '__proto__'), tie('value'), { noNullPrototype: true })),
  })).value;

  test('come back as they were, and have one encoding whatever was encoded before', () => {
    fc.assert(fc.property(plain, fc.array(plain, { maxLength: 3 }), (value, others) => {
      const bytes = encode(value);
      for (const other of others) encode(other);
      expect(encode(value)).toEqual(bytes);
      expect(decode(bytes)).toEqual(value);
      expect(encode(decode(bytes))).toEqual(bytes);
    }), { seed: 5, numRuns: 300 });
  });

  test.each([
    ['a Map', { a: [new Map()] }, 'a[0] is a Map'], ['a Set', new Set(), 'the value is a Set'], ['a function', { f: () => 1 }, 'f is a function'],
    ['a Date', { at: new Date(0) }, 'at is a Date'], ['a symbol', Symbol('s'), 'the value is a symbol'], ['a wide bigint', { w: 1n << 64n }, 'w is a bigint of more than 64 bits'],
  ])('%s is not state', (_, value, message) => {
    expect(() => encode(value)).toThrow(CodecError);
    expect(() => encode(value)).toThrow(message);
  });
});
