/** Kernels as distributions pack them, unpacked or refused. */

import { gzipSync, zstdCompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { readImage } from '../../actors/images.ts';
import { unpackImage } from '../../cli/unpack.ts';

const KERNEL = new Uint8Array(5000).map((_, index) => (index * 2_654_435_761) >>> 11);

/** An EFI zboot image around `payload`. */
function zboot(payload: Uint8Array, compression: string): Uint8Array {
  const bytes = new Uint8Array(512 + payload.length);
  bytes.set(Buffer.from('MZ\0\0zimg'));
  const view = new DataView(bytes.buffer);
  view.setUint32(8, 512, true);
  view.setUint32(12, payload.length, true);
  bytes.set(Buffer.from(compression), 24);
  bytes.set(payload, 512);
  return bytes;
}
const withLength = (packed: Uint8Array): Uint8Array => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(KERNEL.length);
  return Buffer.concat([packed, length]);
};

test('gzip, zboot of gzip and zstd, and gzip around a zboot image are unpacked; anything else stays', () => {
  expect(unpackImage(gzipSync(KERNEL), 'Image.gz')).toEqual(KERNEL);
  expect(unpackImage(zboot(gzipSync(KERNEL), 'gzip'), 'vmlinuz')).toEqual(KERNEL);
  expect(unpackImage(zboot(withLength(zstdCompressSync(KERNEL)), 'zstd22'), 'vmlinuz')).toEqual(KERNEL);
  expect(unpackImage(gzipSync(zboot(gzipSync(KERNEL), 'gzip')), 'vmlinuz.gz')).toEqual(KERNEL);
  expect(unpackImage(KERNEL, 'Image')).toBe(KERNEL);
});

test.each<[string, () => Uint8Array, RegExp]>([
  ['a gzip file that is cut', () => gzipSync(KERNEL).subarray(0, 1000), /^k: it cannot be unpacked: it ends in the middle of what is packed; is it cut short\?$/],
  ['a gzip file with a wrong byte', () => gzipSync(KERNEL).map((byte, index) => (index === 100 ? byte ^ 0xff : byte)), /^k: it cannot be unpacked: /],
  ['a zboot image whose zstd payload is cut', () => zboot(zstdCompressSync(KERNEL).subarray(0, 1000), 'zstd22'), /^k: it cannot be unpacked: it ends in the middle/],
  ['a zboot image that is cut', () => zboot(gzipSync(KERNEL), 'gzip').subarray(0, 1000), /^k: byte 0x3e8: the file ends before the zboot payload/],
  ['a zboot image cut in its header', () => zboot(gzipSync(KERNEL), 'gzip').subarray(0, 40), /^k: byte 0x28: the header of an EFI zboot image has 56 bytes/],
  ['a zboot image of lzma', () => zboot(KERNEL, 'lzma'), /^k: byte 0x18: the zboot payload is packed with "lzma"/],
])('%s is refused', (_, bytes, line) => {
  expect(() => unpackImage(bytes(), 'k')).toThrow(line);
});

test('an Image with an EFI stub that is cut short is refused, by its PE sections', () => {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  image.set(Buffer.from('ARMd'), 56);
  view.setBigUint64(16, 8192n, true);
  view.setUint32(60, 64, true);
  image.set(Buffer.from('PE\0\0'), 64);
  view.setUint16(64 + 6, 1, true);
  view.setUint16(64 + 20, 0, true);
  view.setUint32(64 + 24 + 16, 4096 - 512, true);
  view.setUint32(64 + 24 + 20, 512, true);
  expect(readImage(image, 'Image')).toMatchObject({ kind: 'linux', segments: [{ memoryBytes: 8192 }] });
  expect(() => readImage(image.subarray(0, 4095), 'Image')).toThrow(/^Image: byte 0xfff: the file ends before section 0 of its PE headers, which ends at 0x1000/);
  expect(() => readImage(image.subarray(0, 100), 'Image')).toThrow(/the file ends before section 0 of its PE headers/);
  image.set(Buffer.from('MZ'));
  for (const cut of [64, 87]) expect(() => readImage(image.subarray(0, cut), 'Image')).toThrow(/^Image: byte 0x[0-9a-f]+: the file ends before its PE header, at 0x40; is it cut short/);
});
