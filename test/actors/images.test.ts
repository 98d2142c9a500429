/** What is loaded goes where the file says, and what cannot be loaded is named by file, byte and remedy. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf, checkFits, readFirmware, readImage, symbolAt, type Image } from '../../actors/images.ts';
import { InputError } from '../../actors/input-error.ts';
import { smallElf } from '../support/small-elf.ts';

const BUILT = new URL('../../scenarios/guests/built/', import.meta.url);
const guests = existsSync(BUILT) ? readdirSync(BUILT).filter((name) => name.endsWith('.elf')).toSorted() : [];
const elves: [string, Uint8Array][] = [['small.elf', smallElf()], ...guests.filter((name) => name === 'tiny-hypervisor.elf').map((name): [string, Uint8Array] => [name, readFileSync(new URL(name, BUILT))])];

const patched = (change: (view: DataView, file: Uint8Array) => void): Uint8Array => {
  const file = smallElf();
  change(new DataView(file.buffer), file);
  return file;
};
/** The message that the reader refuses `bytes` with; fails when it accepts them or throws anything else. */
function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.message).not.toMatch(/\n/);
    return error.message;
  }
  throw new Error('it was accepted');
}
const read = (bytes: Uint8Array): Image => readImage(bytes, 'small.elf');

describe('an ELF file', () => {
  test('gives its segments at their physical addresses, with the zeroes after them', () => {
    const image = read(smallElf());
    expect(image).toMatchObject({ kind: 'elf', entry: 0x4008_0000 });
    expect(image.segments.map(({ address, memoryBytes, executable, bytes }) => [address, memoryBytes, executable, bytes.length])).toEqual([
      [0x4008_0000, 32, true, 32], [0x4009_0000, 64, false, 16],
    ]);
  });

  test('linked for a translated address enters at the physical one, and its code ranges are physical', () => {
    const high = 0xffff_8000_0008_0000n;
    const image = read(patched((view) => {
      view.setBigUint64(24, high + 12n, true); // e_entry
      view.setBigUint64(64 + 16, high, true); // p_vaddr of the first segment
      const sections = Number(view.getBigUint64(40, true));
      view.setBigUint64(sections + 64 + 16, high, true); // .text
      const symbols = Number(view.getBigUint64(sections + 3 * 64 + 24, true));
      for (const index of [1, 2, 3, 4, 5, 9]) view.setBigUint64(symbols + index * 24 + 8, high + (view.getBigUint64(symbols + index * 24 + 8, true) - 0x4008_0000n), true);
    }));
    expect(image.entry).toBe(0x4008_000c);
    expect(image.codeRanges.map(({ from, to }) => [from, to])).toEqual([[0x4008_0000, 0x4008_0008], [0x4008_000c, 0x4008_0020]]);
    expect(addressOf(image, 'handler')).toBe(high + 12n);
    expect(symbolAt(image, high + 16n)).toMatchObject({ symbol: { name: 'handler' }, offset: 4 });
  });

  test('tells instructions from the literal pool between them by its mapping symbols', () => {
    expect(read(smallElf()).codeRanges).toEqual([
      { from: 0x4008_0000, to: 0x4008_0008, section: '.text' }, { from: 0x4008_000c, to: 0x4008_0020, section: '.text' },
    ]);
  });

  test('without sections has its executable segments as code, and no symbols', () => {
    const image = read(patched((view) => view.setBigUint64(40, 0n, true)));
    expect(image.codeRanges).toEqual([{ from: 0x4008_0000, to: 0x4008_0020, section: '' }]);
    expect(image.symbols).toEqual([]);
  });

  test('names the symbol that an address belongs to: a sized one within its size, a label up to the next symbol', () => {
    const image = read(smallElf());
    const at = (address: bigint): string | undefined => {
      const found = symbolAt(image, address);
      return found && `${found.symbol.name}+${found.offset}`;
    };
    expect(at(0x4008_0004n)).toBe('_start+4');
    expect(at(0x4008_0010n)).toBe('handler+4');
    expect(at(0x4008_0014n)).toBeUndefined(); // after handler's end, and _start ended where handler began
    expect(at(0x4008_001cn)).toBe('after_handler+4');
    expect(at(0x4009_0008n)).toBe('table+8');
    expect(at(0x5000_0000n)).toBeUndefined();
    expect(at(0x4000n)).toBeUndefined(); // STACK_BYTES is a number, not a place
  });

  test('gives the address of a symbol by name, and says when it has none', () => {
    const image = read(smallElf());
    expect(addressOf(image, 'table')).toBe(0x4009_0000n);
    expect(addressOf(image, 'STACK_BYTES')).toBe(0x4000n);
    expect(refusal(() => addressOf(image, 'elsewhere'))).toMatch(/small\.elf: there is no symbol elsewhere/);
  });

  test.each<[string, (view: DataView, file: Uint8Array) => void, RegExp]>([
    ['a big-endian one', (view) => view.setUint8(5, 2), /small\.elf: byte 0x5: .*ELFDATA2MSB.*ELFDATA2LSB/],
    ['a 32-bit one', (view) => view.setUint8(4, 1), /byte 0x4: .*ELFCLASS32.*ELFCLASS64/],
    ['one for x86-64', (view) => view.setUint16(18, 62, true), /byte 0x12: .*x86-64.*183 \(AArch64\)/],
    ['one for an unknown machine', (view) => view.setUint16(18, 4711, true), /byte 0x12: the machine is 4711; .*AArch64/],
    ['an object file', (view) => view.setUint16(16, 1, true), /byte 0x10: .*ET_REL.*ET_EXEC/],
    ['one without loadable segments', (view) => { view.setUint32(64, 4, true); view.setUint32(120, 4, true); }, /none of the 2 program headers is a loadable segment/],
    ['one without program headers', (view) => view.setUint16(56, 0, true), /byte 0x38: none of the 0 program headers/],
    ['one whose program headers are outside the file', (view) => view.setBigUint64(32, 0x10_0000n, true), /the file ends before the end of the program headers/],
    ['one whose section headers are outside the file', (view) => view.setBigUint64(40, 0x10_0000n, true), /the file ends before the end of the section headers/],
    ['one with a segment outside the file', (view) => view.setBigUint64(64 + 8, 0x10_0000n, true), /byte 0x48: segment 0 .*must lie within the file/],
    ['one with fewer bytes in memory than in the file', (view) => view.setBigUint64(64 + 40, 8n, true), /cannot have fewer in memory/],
    ['one with overlapping segments', (view) => view.setBigUint64(120 + 24, 0x4008_0010n, true), /segments at 0x40080000 \(0x20 bytes\) and 0x40080010 overlap/],
    ['one that enters outside its code', (view) => view.setBigUint64(24, 0x4009_0000n, true), /byte 0x18: the entry point 0x40090000 is in no executable segment/],
    ['one that enters between instructions', (view) => view.setBigUint64(24, 0x4008_0002n, true), /byte 0x18: .*multiple of 4/],
    ['one with a segment beyond any address', (view) => view.setBigUint64(64 + 24, 0xffff_ffff_ffff_0000n, true), /must be below 2\^48/],
  ])('is refused by byte and remedy: %s', (_, change, message) => {
    expect(refusal(() => read(patched(change)))).toMatch(message);
  });

  test.each(elves)('cut short at any byte is refused: %s', (name, bytes) => {
    const sectionEnd = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(40, true)) + 64 * new DataView(bytes.buffer, bytes.byteOffset).getUint16(60, true);
    const step = Math.max(1, Math.floor(sectionEnd / 4000)); // every byte of a small file
    for (let length = 0; length < sectionEnd; length += length < 1024 ? 1 : step) refusal(() => readImage(bytes.subarray(0, length), name));
  });

  test.each(elves)('with random bytes changed is read or refused, never anything else: %s', (name, bytes) => {
    const headers = fc.integer({ min: 0, max: 0xb0 });
    const anywhere = fc.integer({ min: 0, max: bytes.length - 1 });
    const sections = fc.integer({ min: Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(40, true)), max: bytes.length - 1 });
    let refused = 0;
    fc.assert(fc.property(fc.array(fc.tuple(fc.oneof(headers, anywhere, sections), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }), (changes) => {
      const file = bytes.slice();
      for (const [offset, value] of changes) file[offset] = value;
      try {
        const image = readImage(file, name);
        for (const segment of image.segments) expect(segment.bytes.length).toBeLessThanOrEqual(segment.memoryBytes);
        for (const { from, to } of image.codeRanges) expect(from % 4 === 0 && to % 4 === 0 && from < to).toBe(true);
        symbolAt(image, BigInt(image.entry));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        refused += 1;
      }
    }), { numRuns: 1500, seed: 20260901 });
    expect(refused).toBeGreaterThan(100);
  });
});

describe('a board', () => {
  const ram = [{ name: 'ram', base: 0x4000_0000, bytes: 0x10_0000, kind: 'ram' as const }, { name: 'l0', base: 0x6000_0000, bytes: 0x1000, kind: 'l0' as const }];
  test('takes an image that fits its RAM', () => {
    expect(() => checkFits(read(smallElf()), ram)).not.toThrow();
  });
  test('refuses one that does not, by segment and range', () => {
    const small = [{ ...ram[0]!, bytes: 0x9_0000 }];
    expect(refusal(() => checkFits(read(smallElf()), small))).toBe('small.elf: segment 1, 0x40090000 to 0x40090040, does not fit; it must lie within ram 0x40000000 to 0x40090000');
  });
  test('has firmware in flash, other images in RAM only', () => {
    const flash = [{ name: 'flash', base: 0, bytes: 0x400_0000, kind: 'rom' as const }];
    expect(() => checkFits(readFirmware(new Uint8Array(64), 'efi.fd'), flash)).not.toThrow();
    expect(refusal(() => checkFits(readImage(new Uint8Array(64), 'flat.bin', { at: 0 }), flash))).toMatch(/flat\.bin: segment 0/);
  });
});

/** The first page of an arm64 Linux Image. */
const linux = (textOffset: bigint, imageSize: bigint, flags = 0xan): Uint8Array => {
  const file = new Uint8Array(4096);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x1400_0010, true);
  view.setBigUint64(8, textOffset, true);
  view.setBigUint64(16, imageSize, true);
  view.setBigUint64(24, flags, true);
  file.set([0x41, 0x52, 0x4d, 0x64], 56);
  return file;
};

describe('other files', () => {
  test('a Linux Image goes text_offset above 2 MiB, with room for its zeroes', () => {
    expect(readImage(linux(0n, 0x20_0000n), 'Image')).toMatchObject({ kind: 'linux', entry: 0x4020_0000, segments: [{ address: 0x4020_0000, memoryBytes: 0x20_0000 }], codeRanges: [] });
    expect(readImage(linux(0x8_0000n, 0x20_0000n), 'Image').entry).toBe(0x4008_0000);
    expect(readImage(linux(0n, 0n), 'Image', { ramBase: 0x8010_0000 }).entry).toBe(0x8028_0000); // from before 3.17
  });
  test('a Linux Image that cannot run is refused by byte', () => {
    expect(refusal(() => readImage(linux(0n, 4096n, 1n), 'Image'))).toMatch(/Image: byte 0x18: .*big-endian/);
    expect(refusal(() => readImage(linux(0n, 1n << 60n), 'Image'))).toMatch(/Image: byte 0x10: image_size/);
    expect(refusal(() => readImage(linux(2n, 4096n), 'Image'))).toMatch(/Image: byte 0x8: text_offset/);
    expect(refusal(() => readImage(linux(0n, 4096n).subarray(0, 60), 'Image'))).toMatch(/Image: byte 0x3c: .*cut short/);
  });
  test('a flat binary goes where the user says, with code where the user says', () => {
    const image = readImage(new Uint8Array(64), 'flat.bin', { at: 0x4000_0000, code: { from: 0x4000_0000, to: 0x4000_0020 } });
    expect(image).toMatchObject({ kind: 'flat', entry: 0x4000_0000, codeRanges: [{ from: 0x4000_0000, to: 0x4000_0020 }] });
    expect(refusal(() => readImage(new Uint8Array(64), 'flat.bin'))).toMatch(/flat\.bin: byte 0x0: .*needs the address/);
    expect(refusal(() => readImage(new Uint8Array(64), 'flat.bin', { at: 2 }))).toMatch(/multiple of 4/);
    expect(refusal(() => readImage(new Uint8Array(64), 'flat.bin', { at: 0x4000_0000, code: { from: 0x4000_0000, to: 0x4000_0080 } }))).toMatch(/code range/);
  });
  test('an empty file, an oversized flash and a packed kernel are refused with what to do', () => {
    expect(refusal(() => readImage(new Uint8Array(0), 'none'))).toMatch(/none: byte 0x0: the file is empty/);
    expect(refusal(() => readFirmware(new Uint8Array(0), 'none'))).toMatch(/none: byte 0x0: the file is empty/);
    expect(refusal(() => readFirmware(new Uint8Array(65), 'efi.fd', 0, 64))).toMatch(/efi\.fd: byte 0x40: .*64 bytes at 0x0/);
    expect(refusal(() => readImage(Uint8Array.of(0x1f, 0x8b, 8, 0), 'Image.gz'))).toMatch(/Image\.gz: byte 0x0: this is gzip-compressed; .*gunzip/);
  });
  test('a file name cannot put a second line or a terminal escape into the message', () => {
    expect(refusal(() => readImage(new Uint8Array(0), 'a\nb\u001b[31m'))).toMatch(/^a\\x0ab\\x1b\[31m: /);
  });
});
