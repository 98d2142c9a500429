/** Kernels as distributions pack them: gzip (Image.gz, vmlinuz), and EFI zboot images with a gzip or zstd payload. */

import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { badByte, InputError } from '../actors/input-error.ts';

/** More than any image; a few bytes can unpack to anything. */
const UNPACKED_BYTES_MAX = 2 ** 30;

/** What `bytes` holds when it is packed in a way that is known here, and `bytes` itself otherwise. Throws InputError when it is damaged. */
export function unpackImage(bytes: Uint8Array, name: string): Uint8Array {
  const payload = zbootPayload(bytes, name);
  // A zboot image holds the kernel itself; a gzip file may hold a zboot image.
  if (payload !== undefined) return payload;
  return hasMagic(bytes, 0, GZIP) ? unpackImage(unpacked(() => gunzipSync(bytes, LIMIT), name), name) : bytes;
}

const GZIP = [0x1f, 0x8b];
const LIMIT = { maxOutputLength: UNPACKED_BYTES_MAX };

/**
 * The kernel inside an EFI zboot image. Linux: drivers/firmware/efi/libstub/zboot-header.S. "MZ", "zimg" at byte 4, the payload's
 * offset and size at 8 and 12, and the name of its compression at 24.
 */
function zbootPayload(bytes: Uint8Array, name: string): Uint8Array | undefined {
  if (!hasMagic(bytes, 0, [0x4d, 0x5a]) || !hasMagic(bytes, 4, [0x7a, 0x69, 0x6d, 0x67])) return undefined;
  if (bytes.length < 56) throw badByte(name, bytes.length, `the header of an EFI zboot image has 56 bytes, the file ${bytes.length}`, 'is it cut short?');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [from, size] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (from + size > bytes.length) throw badByte(name, bytes.length, `the file ends before the zboot payload, bytes ${from} to ${from + size - 1}`, 'is it cut short?');
  const packed = bytes.subarray(from, from + size);
  const compression = new TextDecoder('latin1').decode(bytes.subarray(24, 56)).replace(/\0.*$/s, '');
  if (compression.startsWith('gzip')) return unpacked(() => gunzipSync(packed, LIMIT), name);
  // Where the format does not tell the size, four bytes behind it do.
  if (compression.startsWith('zstd')) return unpacked(() => zstdDecompressSync(packed.subarray(0, -4), LIMIT), name);
  throw badByte(name, 24, `the zboot payload is packed with ${JSON.stringify(compression)}`, 'gzip and zstd are unpacked; give the Image inside it (arch/arm64/boot/Image)');
}

function unpacked(work: () => Uint8Array, name: string): Uint8Array {
  try {
    return new Uint8Array(work());
  } catch (error) {
    throw new InputError(`${name}: it cannot be unpacked: ${WHY[(error as NodeJS.ErrnoException).code ?? ''] ?? (error as Error).message}`);
  }
}

/** By zlib's code, where its own words say less. */
const WHY: Readonly<Record<string, string>> = {
  Z_BUF_ERROR: 'it ends in the middle of what is packed; is it cut short?',
  ERR_BUFFER_TOO_LARGE: `more than ${UNPACKED_BYTES_MAX} bytes come out of it`,
};

const hasMagic = (bytes: Uint8Array, offset: number, magic: readonly number[]): boolean => magic.every((byte, index) => bytes[offset + index] === byte);
