/** Advanced SIMD: which words are allocated, ciphers by published examples, memory at its edges, and the assembler's notation. Values at large are checked against QEMU (conformance/vector-oracle). */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { decode } from '../../../machines/aarch64/decode.ts';
import { disassemble } from '../../../machines/aarch64/disassemble.ts';
import { cipher } from '../../../machines/aarch64/engine/cipher.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { Word, type Core } from '../../../machines/aarch64/state.ts';
import { type Memory, readBytes, readWord, writeWord } from '../../../machines/memory/memory.ts';
import { randomNumbers } from '../../conformance/user-oracle.ts';
import { armEncodings } from '../../support/a64-encodings.ts';
import { RAM, bareCore, get, program, set, taken } from '../../support/core.ts';

// ---- allocation ------------------------------------------------------------------------------------------------------------------------------

const OBJDUMP = 'aarch64-linux-gnu-objdump';
const installed = spawnSync(OBJDUMP, ['--version']).status === 0;

/** Arm's encodings of vectors: op0 is x111, or x1x0 (loads and stores) with bit 26. Those of memory copies share bit 26. */
const encodings = armEncodings()?.filter(({ group, value }) => {
  const op0 = (value >>> 25) & 15;
  return !group.startsWith('ldst/mem') && ((op0 & 7) === 7 || ((op0 & 5) === 4 && (value & 0x0400_0000) !== 0));
});
/** Features that are absent and known to objdump. */
const ABSENT = /^(SM3|SM4)/;

test.skipIf(!installed || encodings === undefined)(`of random words in the space of each vector encoding, those have a row that objdump knows (needs ${OBJDUMP} and ../shared/reference/data)`, () => {
  const random = randomNumbers(11);
  const samples = encodings!.flatMap(({ name, mask, value }) => Array.from({ length: 100 }, () => ({ name, word: ((random() & ~mask) | value) >>> 0 })));
  const known = objdumpKnows(samples.map(({ word }) => word));
  const differing = samples.flatMap(({ name, word }, index) => ((decode(word).row !== undefined) === (known[index]! && !ABSENT.test(name)) ? [] : [`${name}: ${word.toString(16)}`]));
  expect(differing).toEqual([]);
  expect(samples.length).toBeGreaterThan(100_000);
});

function objdumpKnows(words: readonly number[]): readonly boolean[] {
  const folder = mkdtempSync(join(tmpdir(), 'zeno-objdump-'));
  try {
    const path = join(folder, 'words.bin');
    writeFileSync(path, new Uint8Array(Uint32Array.from(words).buffer));
    const output = execFileSync(OBJDUMP, ['-D', '-z', '-b', 'binary', '-maarch64', path], { maxBuffer: 2 ** 28 }).toString();
    return output.split('\n').filter((line) => /^\s*[0-9a-f]+:\t/.test(line)).map((line) => !line.includes('\t.inst'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each([
  ['ADD of one doubleword as a vector', 0x0ee1_8400], ['SHADD of doublewords', 0x4ee1_0400], ['PMUL of halves', 0x2e61_9c00], ['MUL by an element of a byte', 0x0f01_8000], ['SQDMULH of bytes', 0x0e21_b400],
  ['DUP from no size', 0x0e00_0400], ['EXT beyond eight bytes', 0x2e01_4020], ['ADDV of two words', 0x0eb1_b820], ['LD2 of one doubleword', 0x0c40_8c00], ['a shift narrowing with immh 0', 0x0f00_8c20],
  ['SM3PARTW1', 0xce6a_c0cb], ['SM4E', 0xcec0_8449], ['LD1 of a doubleword with S', 0x0d40_9400], ['an index register extended from a byte', 0x3ca0_0820],
])('%s is UNDEFINED', (_what, word) => expect(decode(word).row).toBeUndefined());

// ---- ciphers ---------------------------------------------------------------------------------------------------------------------------------

/** Bytes in the order of memory as a vector. */
const vectorOf = (hexadecimal: string): bigint => BigInt(`0x${(hexadecimal.match(/../g) ?? []).reverse().join('')}`);

test('AES-128 of FIPS 197, appendix B, from its rounds; and backwards', () => {
  // The key schedule by the S-box alone: AESE with a zero key substitutes four equal columns.
  const substituteWord = (word: bigint): bigint => cipher('AESE', word * (2n ** 96n + 2n ** 64n + 2n ** 32n + 1n), 0n, 0n) & 0xffff_ffffn;
  const rotate = (word: bigint): bigint => ((word >> 8n) | (word << 24n)) & 0xffff_ffffn;
  const words = [0, 1, 2, 3].map((index) => (vectorOf('2b7e151628aed2a6abf7158809cf4f3c') >> BigInt(32 * index)) & 0xffff_ffffn);
  let constant = 1n;
  for (let index = 4; index < 44; index += 1) {
    let word = words[index - 1]!;
    if (index % 4 === 0) {
      word = substituteWord(rotate(word)) ^ constant;
      constant = constant < 0x80n ? constant << 1n : (constant << 1n) ^ 0x11bn;
    }
    words.push(words[index - 4]! ^ word);
  }
  const keys = Array.from({ length: 11 }, (_, round) => [0, 1, 2, 3].reduce((key, index) => key | (words[4 * round + index]! << BigInt(32 * index)), 0n));
  const plain = vectorOf('3243f6a8885a308d313198a2e0370734');
  let state = plain;
  for (let round = 0; round < 9; round += 1) state = cipher('AESMC', cipher('AESE', state, keys[round]!, 0n), 0n, 0n);
  const encrypted = cipher('AESE', state, keys[9]!, 0n) ^ keys[10]!;
  expect(encrypted).toBe(vectorOf('3925841d02dc09fbdc118597196a0b32'));
  state = cipher('AESD', encrypted, keys[10]!, 0n);
  for (let round = 9; round > 0; round -= 1) state = cipher('AESD', cipher('AESIMC', state, 0n, 0n), cipher('AESIMC', keys[round]!, 0n, 0n), 0n);
  expect(state ^ keys[0]!).toBe(plain);
});

/** One padded block of a short message, as vectors of big-endian words. */
function block(message: string, wordBytes: 4 | 8): readonly bigint[] {
  const bytes = new Uint8Array(16 * wordBytes);
  bytes.set(new TextEncoder().encode(message));
  bytes[message.length] = 0x80;
  bytes[bytes.length - 1] = message.length * 8;
  const words = Array.from({ length: 16 }, (_, index) => bytes.slice(index * wordBytes, (index + 1) * wordBytes).reduce((word, byte) => (word << 8n) | BigInt(byte), 0n));
  return packed(words, wordBytes);
}
const packed = (words: readonly bigint[], wordBytes: 4 | 8): readonly bigint[] => {
  const each = 16 / wordBytes;
  return Array.from({ length: words.length / each }, (_, index) => words.slice(index * each, (index + 1) * each).reduce((vector, word, place) => vector | (word << BigInt(8 * wordBytes * place)), 0n));
};
const lanes = (vector: bigint, width: number): readonly bigint[] => Array.from({ length: 128 / width }, (_, index) => BigInt.asUintN(width, vector >> BigInt(width * index)));
const addLanes = (a: bigint, b: bigint, width: 32 | 64): bigint => packed(lanes(a, width).map((word, index) => BigInt.asUintN(width, word + lanes(b, width)[index]!)), width === 32 ? 4 : 8)[0]!;
const text = (words: readonly bigint[], digits: number): string => words.map((word) => word.toString(16).padStart(digits, '0')).join('');
const digest = (name: string, message: string): string => createHash(name).update(message).digest('hex');

/** The first fractional bits of a root of a prime. */
function rootBits(prime: bigint, root: 2 | 3, bits: number): bigint {
  let low = 0n, high = 1n << BigInt(bits + 8);
  const target = prime << BigInt(bits * root);
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** BigInt(root) <= target) low = middle;
    else high = middle;
  }
  return BigInt.asUintN(bits, low);
}
const PRIMES = Array.from({ length: 420 }, (_, value) => value).filter((value) => value > 1 && Array.from({ length: value - 2 }, (_, less) => less + 2).every((less) => value % less !== 0)).map(BigInt);

test('SHA-1 of "abc" by its instructions', () => {
  const initial = [0x6745_2301n, 0xefcd_ab89n, 0x98ba_dcfen, 0x1032_5476n];
  const start = packed(initial, 4)[0]!;
  const schedule = [...block('abc', 4)];
  for (let index = 4; index < 20; index += 1) schedule.push(cipher('SHA1SU1', cipher('SHA1SU0', schedule[index - 4]!, schedule[index - 3]!, schedule[index - 2]!), schedule[index - 1]!, 0n));
  let state = start, e = 0xc3d2_e1f0n;
  for (let round = 0; round < 20; round += 1) {
    const part = Math.floor(round / 5);
    const constant = [0x5a82_7999n, 0x6ed9_eba1n, 0x8f1b_bcdcn, 0xca62_c1d6n][part]!;
    const next = cipher((['SHA1C', 'SHA1P', 'SHA1M', 'SHA1P'] as const)[part]!, state, e, addLanes(schedule[round]!, packed(Array.from({ length: 4 }, () => constant), 4)[0]!, 32));
    e = cipher('SHA1H', state & 0xffff_ffffn, 0n, 0n);
    state = next;
  }
  expect(text([...lanes(addLanes(state, start, 32), 32), BigInt.asUintN(32, e + 0xc3d2_e1f0n)], 8)).toBe(digest('sha1', 'abc'));
});

test('SHA-256 of "abc" by its instructions', () => {
  const constants = packed(PRIMES.slice(0, 64).map((prime) => rootBits(prime, 3, 32)), 4);
  const start = packed(PRIMES.slice(0, 8).map((prime) => rootBits(prime, 2, 32)), 4);
  const schedule = [...block('abc', 4)];
  for (let index = 4; index < 16; index += 1) schedule.push(cipher('SHA256SU1', cipher('SHA256SU0', schedule[index - 4]!, schedule[index - 3]!, 0n), schedule[index - 2]!, schedule[index - 1]!));
  let [abcd, efgh] = [start[0]!, start[1]!];
  for (let round = 0; round < 16; round += 1) {
    const word = addLanes(schedule[round]!, constants[round]!, 32);
    [abcd, efgh] = [cipher('SHA256H', abcd, efgh, word), cipher('SHA256H2', efgh, abcd, word)];
  }
  expect(text([...lanes(addLanes(abcd, start[0]!, 32), 32), ...lanes(addLanes(efgh, start[1]!, 32), 32)], 8)).toBe(digest('sha256', 'abc'));
});

test('SHA-512 of "abc" by its instructions', () => {
  const constants = packed(PRIMES.slice(0, 80).map((prime) => rootBits(prime, 3, 64)), 8);
  const start = packed(PRIMES.slice(0, 8).map((prime) => rootBits(prime, 2, 64)), 8);
  const schedule = [...block('abc', 8)];
  const swap = (vector: bigint): bigint => (vector >> 64n) | ((vector & (2n ** 64n - 1n)) << 64n);
  const middle = (one: bigint, other: bigint): bigint => (one >> 64n) | ((other & (2n ** 64n - 1n)) << 64n);
  for (let index = 8; index < 40; index += 1) {
    schedule.push(cipher('SHA512SU1', cipher('SHA512SU0', schedule[index - 8]!, schedule[index - 7]!, 0n), schedule[index - 1]!, middle(schedule[index - 4]!, schedule[index - 3]!)));
  }
  let [ab, cd, ef, gh] = start as [bigint, bigint, bigint, bigint];
  for (let round = 0; round < 40; round += 1) {
    const sum = addLanes(gh, swap(addLanes(schedule[round]!, constants[round]!, 64)), 64);
    const part = cipher('SHA512H', sum, middle(ef, gh), middle(cd, ef));
    [ab, cd, ef, gh] = [cipher('SHA512H2', part, cd, ab), ab, addLanes(cd, part, 64), ef];
  }
  expect(text([ab, cd, ef, gh].flatMap((vector, index) => lanes(addLanes(vector, start[index]!, 64), 64)), 16)).toBe(digest('sha512', 'abc'));
});

// ---- memory ----------------------------------------------------------------------------------------------------------------------------------

const DATA = RAM + 0x1000;
/** The page after DATA's, and the one after that, which is not mapped. */
const LAST = RAM + 0x1_0000;

/** One instruction at EL1 with 4 KiB pages mapped one to one below LAST. Data: bytes 0, 1, 2 … at DATA. */
function after(line: string, options: { readonly sctlr?: bigint; readonly base?: number; readonly device?: boolean; readonly cpacr?: bigint } = {}): { core: Core; memory: Memory } {
  const { core, memory } = bareCore({ el: 1, el2: 'none' });
  const [level1, level2, level3] = [RAM + 0x2_0000, RAM + 0x2_1000, RAM + 0x2_2000];
  // Tables are as big-endian as data are.
  const descriptor = (address: number, value: bigint): void => writeWord(memory, address, ((options.sctlr ?? 0n) & EE) === 0n ? value : Buffer.from(value.toString(16).padStart(16, '0'), 'hex').readBigUInt64LE());
  descriptor(level1 + 8, BigInt(level2) | 3n);
  descriptor(level2, BigInt(level3) | 3n);
  for (let page = 0; page < 0x10; page += 1) descriptor(level3 + 8 * page, BigInt(RAM + 0x1000 * page) | 0x703n | (options.device && page === 1 ? 4n : 0n));
  program(memory, RAM, [assemble(line, BigInt(RAM))]);
  for (let word = 0; word < 8; word += 1) writeWord(memory, DATA + 8 * word, 0x0706_0504_0302_0100n + BigInt(word) * 0x0808_0808_0808_0808n);
  set(core, 'TTBR0_EL1', BigInt(level1));
  set(core, 'TCR_EL1', 25n | (1n << 23n) | (5n << 32n));
  // Attribute 0 Normal, 1 Device-nGnRnE.
  set(core, 'MAIR_EL1', 0xffn);
  set(core, 'SCTLR_EL1', 0x30d0_0981n | (options.sctlr ?? 0n));
  set(core, 'CPACR_EL1', options.cpacr ?? 3n << 20n);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x3000));
  core.words[0] = BigInt(options.base ?? DATA);
  for (let index = 0; index < 8; index += 1) core.words[Word.VECTOR + index] = 0xa0a1_a2a3_a4a5_a6a7n + BigInt(index);
  run(core, 1);
  return { core, memory };
}
const A = 2n, EE = 1n << 25n;
const v = (core: Core, register: number): bigint => core.words[Word.VECTOR + 2 * register]! | (core.words[Word.VECTOR + 2 * register + 1]! << 64n);
const exception = (core: Core): string => (core.words[Word.PC] === BigInt(RAM + 4) ? 'done' : taken(core));
const ALIGNMENT = 'EL1 ec=25 iss=21';

test.each<[string, number, bigint, string]>([
  ['ldr q0, [x0]', 8, 0n, 'done'], ['ldr q0, [x0]', 8, A, ALIGNMENT], ['ldr q0, [x0]', 16, A, 'done'], ['str q0, [x0]', 8, A, 'EL1 ec=25 iss=61'], ['ldp q0, q1, [x0]', 16, A, 'done'], ['ldp q0, q1, [x0]', 8, A, ALIGNMENT],
  ['ldr d0, [x0]', 4, A, ALIGNMENT], ['ldr b0, [x0]', 1, A, 'done'], ['ld1 {v0.16b}, [x0]', 1, A, 'done'], ['ld1 {v0.8b}, [x0]', 1, A, 'done'], ['ld1 {v0.8h}, [x0]', 1, A, ALIGNMENT], ['ld1 {v0.8h}, [x0]', 2, A, 'done'],
  ['st4 {v0.4s-v3.4s}, [x0]', 2, A, 'EL1 ec=25 iss=61'], ['st4 {v0.2s-v3.2s}, [x0]', 4, A, 'done'], ['ld1 {v0.d}[1], [x0]', 4, A, ALIGNMENT], ['ld2r {v0.2s, v1.2s}, [x0]', 4, A, 'done'],
])('%s at %i beyond alignment with SCTLR_EL1.A %i: %s', (line, offset, sctlr, expected) => {
  expect(exception(after(line, { base: DATA + offset, sctlr }).core)).toBe(expected);
});

test('on Device memory a Q register is aligned to 16 bytes and structures to their elements', () => {
  const device = (line: string, offset: number): string => exception(after(line, { base: DATA + offset, device: true }).core);
  expect([device('ldr q0, [x0]', 0), device('ldr q0, [x0]', 8), device('ld1 {v0.16b}, [x0]', 1), device('ld1 {v0.2d}, [x0]', 8), device('st1 {v0.2d}, [x0]', 4)]).toEqual(['done', ALIGNMENT, 'done', 'done', 'EL1 ec=25 iss=61']);
});

test('big-endian data reverses a Q register as a whole, and structures element by element', () => {
  const value = (line: string, sctlr = EE): string => v(after(line, { sctlr }).core, 0).toString(16).padStart(32, '0');
  expect(value('ldr q0, [x0]', 0n)).toBe('0f0e0d0c0b0a09080706050403020100');
  expect(value('ldr q0, [x0]')).toBe('000102030405060708090a0b0c0d0e0f');
  expect(value('ld1 {v0.16b}, [x0]')).toBe('0f0e0d0c0b0a09080706050403020100');
  expect(value('ld1 {v0.8h}, [x0]')).toBe('0e0f0c0d0a0b08090607040502030001');
  expect(value('ld1 {v0.2s}, [x0]')).toBe('00000000000000000405060700010203');
  const { memory } = after('st1 {v0.4s}, [x0]', { sctlr: EE });
  expect([...readBytes(memory, DATA, 8)]).toEqual([0xa4, 0xa5, 0xa6, 0xa7, 0xa0, 0xa1, 0xa2, 0xa3]);
});

test('a store that faults in its second page writes nothing, and says where and that it was a write', () => {
  for (const line of ['str q0, [x0]', 'st1 {v0.16b}, [x0]', 'str d0, [x0]']) {
    const { core, memory } = after(line, { base: LAST - 4 });
    expect([exception(core), get(core, 'FAR_EL1'), readWord(memory, LAST - 8)]).toEqual(['EL1 ec=25 iss=47', BigInt(LAST), 0n]);
  }
});

test('a load that faults leaves registers and base as they were', () => {
  for (const line of ['ldr q0, [x0], #16', 'ld4 {v0.16b-v3.16b}, [x0], #64', 'ldp q0, q1, [x0, #-16]!', 'ld2 {v0.b, v1.b}[3], [x0], #2']) {
    const { core } = after(line, { base: line.includes('!') ? LAST : LAST - 1 });
    expect([exception(core), v(core, 0), core.words[0]]).toEqual(['EL1 ec=25 iss=7', 0xa0a1_a2a3_a4a5_a6a8_a0a1_a2a3_a4a5_a6a7n, BigInt(line.includes('!') ? LAST : LAST - 1)]);
  }
});

test('both pages of an unaligned access are read', () => {
  const { core } = after('ldr q0, [x0]', { base: DATA - 8 });
  expect(v(core, 0)).toBe(0x0706_0504_0302_0100_0000_0000_0000_0000n);
});

test('without access to vectors every instruction is trapped before its address is looked at', () => {
  for (const line of ['ldr q0, [x0]', 'st1 {v0.16b}, [x0]', 'add v0.16b, v1.16b, v2.16b', 'aese v0.16b, v1.16b', 'dup v0.4s, w1', 'umov w1, v0.b[1]', 'sqxtn b0, h1', 'movi v0.2d, #0']) {
    expect(exception(after(line, { base: LAST - 1, cpacr: 0n }).core)).toBe('EL1 ec=07 iss=1e00000');
  }
});

test.each([['ldr x1, [x0]', true], ['ldr d1, [x0]', false], ['str q1, [x0]', false], ['ld1 {v0.4s}, [x0]', false], ['ldp q0, q1, [x0]', false]])('a stage-2 abort of %s has a syndrome: %s', (line, has) => {
  const { core, memory } = bareCore({
    el: 1, el2: 'kvm',
    stage2: (_vttbr, ipa) => (ipa >= DATA ? { ok: false, level: 3 } : { ok: true, pa: ipa - (ipa % 4096), bytes: 4096, read: true, write: true, execute: true, level: 3 }),
  });
  program(memory, RAM, [assemble(line)]);
  set(core, 'HCR_EL2', get(core, 'HCR_EL2') | 1n);
  set(core, 'CPACR_EL1', 3n << 20n);
  set(core, 'CPTR_EL2', 0n);
  core.words[0] = BigInt(DATA);
  const { end } = run(core, 1);
  expect(end).toMatchObject({ type: 'exit' });
  expect([get(core, 'ESR_EL2') >> 26n, (get(core, 'ESR_EL2') >> 24n) & 1n]).toEqual([0x24n, has ? 1n : 0n]);
});

// ---- notation --------------------------------------------------------------------------------------------------------------------------------

test.each([
  ['ld1 {v0.16b}, [x1]', 0x4c40_7020], ['ld1 { v0.8b, v1.8b }, [x1], #16', 0x0cdf_a020], ['ld3 {v30.4s, v31.4s, v0.4s}, [sp], x2', 0x4cc2_4bfe], ['st4 {v0.2d-v3.2d}, [x1]', 0x4c00_0c20], ['ld1 {v5.b}[15], [x1], #1', 0x4ddf_1c25],
  ['ld4r {v0.8h, v1.8h, v2.8h, v3.8h}, [x1]', 0x4d60_e420], ['mov v0.16b, v1.16b', 0x4ea1_1c20], ['ins v0.b[3], w1', 0x4e07_1c20], ['umov w0, v1.s[2]', 0x0e14_3c20], ['dup d0, v1.d[1]', 0x5e18_0420], ['not v0.8b, v1.8b', 0x2e20_5820],
  ['movi v0.4s, #0x12, lsl #24', 0x4f00_6640], ['movi d0, #0xff00ff00ff00ff00', 0x2f05_e540], ['mvni v0.2s, #1, msl #16', 0x2f00_d420], ['sshll v0.8h, v1.8b, #0', 0x0f08_a420], ['tbl v0.8b, {v1.16b, v2.16b}, v3.8b', 0x0e03_2020],
  ['sqdmlal2 v0.4s, v1.8h, v15.h[7]', 0x4f7f_3820], ['pmull2 v0.1q, v1.2d, v2.2d', 0x4ee2_e020], ['shll2 v0.2d, v1.4s, #32', 0x6ea1_3820], ['ldr q0, [x1, x2, lsl #4]', 0x3ce2_7820],
])('%s is assembled', (line, word) => {
  expect(assemble(line).toString(16)).toBe(word.toString(16));
  expect(assemble(disassemble(word))).toBe(word);
});

test.each(['add v0.1d, v1.1d, v2.1d', 'mul v0.4s, v1.4s, v16.h[0]', 'mul v0.8h, v1.8h, v16.h[0]', 'ld2 {v0.16b, v2.16b}, [x0]', 'ld1 {v0.16b}, [x0], #8', 'movi d0, #0x12', 'shl v0.8b, v1.8b, #8', 'ext v0.8b, v1.8b, v2.8b, #8', 'add v0.8b, v1.16b, v2.8b', 'movi v0.4s, #1, lsl #4'])('%s is refused', (line) => {
  expect(() => assemble(line)).toThrow(SyntaxError);
});
