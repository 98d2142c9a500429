/** Recognises what a file to be loaded is (ELF, arm64 Linux Image, flat binary, firmware) and says where its bytes go. */

import { hex } from '../machines/bits.ts';
import type { RegionSpec } from '../machines/memory/memory.ts';
import { readElf, type CodeRange, type ImageSymbol, type Segment } from './elf.ts';
import { badByte, InputError } from './input-error.ts';

export type { CodeRange, ImageSymbol, Segment } from './elf.ts';

export interface Image {
  /** The file's name as the user gave it. */
  readonly name: string;
  readonly kind: 'elf' | 'linux' | 'flat' | 'firmware';
  /** Physical address of the first instruction. */
  readonly entry: number;
  /** The whole file. */
  readonly file: Uint8Array;
  /** By ascending address, without overlap. Their `bytes` are views of the file. */
  readonly segments: readonly Segment[];
  /** By ascending address. */
  readonly symbols: readonly ImageSymbol[];
  /** What is known to be instructions. Empty for anything but ELF unless `code` was given: a flat file does not say. */
  readonly codeRanges: readonly CodeRange[];
}

export interface ImageOptions {
  /** Where a flat binary goes: a physical address, a multiple of 4. A file that is neither ELF nor Linux Image needs it. */
  readonly at?: number;
  /** Start of RAM, from which a Linux Image is placed. 0x4000_0000 unless given. */
  readonly ramBase?: number;
  /** The physical range of a flat binary or Linux Image that is instructions. */
  readonly code?: { readonly from: number; readonly to: number };
}

/** Reads `bytes`, called `name`, as what it is. Throws InputError with the byte at fault when it is malformed or cannot be recognised. */
export function readImage(bytes: Uint8Array, name: string, options: ImageOptions = {}): Image {
  if (bytes.length === 0) throw badByte(name, 0, 'the file is empty', 'it must be an ELF file, an arm64 Linux Image or a flat binary');
  if (startsWith(bytes, 0, [0x7f, 0x45, 0x4c, 0x46])) return { name, kind: 'elf', file: bytes, ...readElf(bytes, name) };
  if (startsWith(bytes, LINUX_MAGIC_OFFSET, LINUX_MAGIC)) return linuxImage(bytes, name, options);
  for (const packed of PACKED) if (startsWith(bytes, packed.offset, packed.magic)) throw badByte(name, packed.offset, `this is ${packed.what}`, packed.right);
  if (options.at !== undefined) return flatImage(bytes, name, options.at, options.code);
  throw badByte(name, 0, 'this is neither an ELF file (7f 45 4c 46) nor an arm64 Linux Image ("ARMd" at byte 0x38)', 'a flat binary needs the address where it goes');
}

export const FLASH_BANK_BYTES = 0x400_0000;

/** Reads `bytes` as the contents of a flash bank of `bankBytes` at `at`, where the processor starts. */
export function readFirmware(bytes: Uint8Array, name: string, at = 0, bankBytes = FLASH_BANK_BYTES): Image {
  if (bytes.length === 0) throw badByte(name, 0, 'the file is empty', 'firmware must hold at least the first instruction');
  if (bytes.length > bankBytes) throw badByte(name, bankBytes, `the file has ${bytes.length} bytes`, `firmware must fit the flash bank of ${bankBytes} bytes at ${hex(at)}`);
  return { ...flatImage(bytes, name, at, undefined), kind: 'firmware' };
}

/** Checks that every segment of `image` lies within one of the board's memories. Throws InputError that names the segment and the memories. */
export function checkFits(image: Image, regions: readonly RegionSpec[]): void {
  const usable = regions.filter((region) => region.kind === 'ram' || (region.kind === 'rom' && image.kind === 'firmware'));
  for (const [index, segment] of image.segments.entries()) {
    const end = segment.address + segment.memoryBytes;
    if (usable.some((region) => segment.address >= region.base && end <= region.base + region.bytes)) continue;
    const memories = usable.map((region) => `${region.name} ${hex(region.base)} to ${hex(region.base + region.bytes)}`).join(', ');
    throw new InputError(`${image.name}: segment ${index}, ${hex(segment.address)} to ${hex(end)}, does not fit; it must lie within ${memories === '' ? 'memory, and the board has none' : memories}`);
  }
}

/** The symbol that linked address `address` belongs to, and how far into it: the nearest one at or below that covers it. A label covers what follows it, within its segment. */
export function symbolAt(image: Image, address: bigint): { readonly symbol: ImageSymbol; readonly offset: number } | undefined {
  const segment = image.segments.find((candidate) => address >= candidate.virtualAddress && address < candidate.virtualAddress + BigInt(candidate.memoryBytes));
  if (segment === undefined) return undefined;
  const { symbols } = image;
  let low = 0, high = symbols.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (symbols[middle]!.address <= address) low = middle + 1;
    else high = middle;
  }
  let label: ImageSymbol | undefined;
  let pastSymbol = false;
  for (let index = low - 1; index >= 0; index -= 1) {
    const symbol = symbols[index]!;
    if (symbol.address < segment.virtualAddress) break;
    if (symbol.type === 'constant') continue;
    // A label gives way only to a symbol with a size that starts at the same address.
    if (label !== undefined && symbol.address < label.address) break;
    if (symbol.size > 0 && address < symbol.address + BigInt(symbol.size)) return { symbol, offset: Number(address - symbol.address) };
    if (symbol.size > 0) pastSymbol = true;
    // A label ends where the next symbol begins, even one that is over by now.
    else if (!pastSymbol) label = symbol;
  }
  return label && { symbol: label, offset: Number(address - label.address) };
}

/** The linked address (or value) of the symbol called `name`. Throws InputError when the image has none. */
export function addressOf(image: Image, name: string): bigint {
  const symbol = image.symbols.find((candidate) => candidate.name === name);
  if (symbol === undefined) throw new InputError(`${image.name}: there is no symbol ${name}; ${image.symbols.length === 0 ? 'the image has no symbols' : `the image has ${image.symbols.length} others`}`);
  return symbol.address;
}

const LINUX_MAGIC_OFFSET = 56;
const LINUX_MAGIC = [0x41, 0x52, 0x4d, 0x64];
const TWO_MIB = 0x20_0000;

/**
 * Linux: Documentation/arch/arm64/booting.rst, "Call the kernel image". The image goes `text_offset` bytes above a 2 MiB boundary
 * of RAM and takes `image_size` bytes from there. Like QEMU we leave the first 2 MiB of RAM alone when text_offset is below 4096
 * (QEMU keeps its boot code there), so that addresses agree when the two are compared.
 */
function linuxImage(bytes: Uint8Array, name: string, { ramBase = 0x4000_0000, code }: ImageOptions): Image {
  if (bytes.length < 64) throw badByte(name, bytes.length, `the Linux Image header has 64 bytes, the file ${bytes.length}`, 'is it cut short?');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const imageSize = view.getBigUint64(16, true);
  const flags = view.getBigUint64(24, true);
  if ((flags & 1n) !== 0n) throw badByte(name, 24, 'the Linux Image is big-endian (flags bit 0)', 'it must be little-endian (CONFIG_CPU_LITTLE_ENDIAN)');
  // Kernels before 3.17 left image_size 0; their text_offset is then to be taken as 0x80000.
  const textOffset = imageSize === 0n ? 0x8_0000n : view.getBigUint64(8, true);
  if (textOffset >= BigInt(2 ** 32) || textOffset % 4n !== 0n) throw badByte(name, 8, `text_offset is ${hex(textOffset)}`, 'it must be a multiple of 4 below 2^32');
  if (imageSize > BigInt(2 ** 48)) throw badByte(name, 16, `image_size is ${hex(imageSize)}`, 'it must be below 2^48');
  assertWhole(bytes, view, name);
  const base = Math.ceil(ramBase / TWO_MIB) * TWO_MIB + (textOffset < 4096n ? TWO_MIB : 0);
  const address = base + Number(textOffset);
  return oneSegment('linux', bytes, name, address, Math.max(Number(imageSize), bytes.length), code);
}

/** An Image with an EFI stub says how long its file is: its PE headers name the bytes of each section. Microsoft: PE Format, "Section Table". */
function assertWhole(bytes: Uint8Array, view: DataView, name: string): void {
  const header = view.getUint32(60, true);
  if (startsWith(bytes, 0, [0x4d, 0x5a]) && header + 24 > bytes.length) throw badByte(name, bytes.length, `the file ends before its PE header, at ${hex(header)}`, 'is it cut short?');
  if (!startsWith(bytes, header, [0x50, 0x45, 0, 0]) || header + 24 > bytes.length) return;
  const table = header + 24 + view.getUint16(header + 20, true);
  for (let index = 0; index < view.getUint16(header + 6, true); index++) {
    const at = table + 40 * index;
    const end = at + 40 > bytes.length ? at + 40 : view.getUint32(at + 16, true) + view.getUint32(at + 20, true);
    if (end > bytes.length) throw badByte(name, bytes.length, `the file ends before section ${index} of its PE headers, which ends at ${hex(end)}`, 'is it cut short?');
  }
}

function flatImage(bytes: Uint8Array, name: string, at: number, code: ImageOptions['code']): Image {
  if (!Number.isInteger(at) || at < 0 || at % 4 !== 0 || at + bytes.length > 2 ** 48) throw new InputError(`${name}: a flat binary of ${bytes.length} bytes cannot go to ${hex(at)}; the address must be a multiple of 4 below 2^48`);
  return oneSegment('flat', bytes, name, at, bytes.length, code);
}

function oneSegment(kind: Image['kind'], bytes: Uint8Array, name: string, address: number, memoryBytes: number, code: ImageOptions['code']): Image {
  if (code && !(code.from % 4 === 0 && code.to % 4 === 0 && code.from >= address && code.from < code.to && code.to <= address + bytes.length)) {
    throw new InputError(`${name}: the code range ${hex(code.from)} to ${hex(code.to)} is wrong; it must lie within the file's ${hex(address)} to ${hex(address + bytes.length)}, in multiples of 4`);
  }
  return {
    name, kind, file: bytes, entry: address, symbols: [], codeRanges: code ? [{ from: code.from, to: code.to, section: '' }] : [],
    segments: [{ address, virtualAddress: BigInt(address), bytes, memoryBytes, executable: true }],
  };
}

/** What people hand over instead of an image, and what to do about it. */
const PACKED: readonly { readonly offset: number; readonly magic: readonly number[]; readonly what: string; readonly right: string }[] = [
  { offset: 0, magic: [0x1f, 0x8b], what: 'gzip-compressed', right: 'give the unpacked file (gunzip)' },
  { offset: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: 'xz-compressed', right: 'give the unpacked file (unxz)' },
  { offset: 0, magic: [0x28, 0xb5, 0x2f, 0xfd], what: 'zstd-compressed', right: 'give the unpacked file (unzstd)' },
  { offset: 0, magic: [0x42, 0x5a, 0x68], what: 'bzip2-compressed', right: 'give the unpacked file (bunzip2)' },
  { offset: 4, magic: [0x7a, 0x69, 0x6d, 0x67], what: 'an EFI zboot image (a compressed kernel)', right: 'give the Image inside it (arch/arm64/boot/Image)' },
  { offset: 0, magic: [0x27, 0x05, 0x19, 0x56], what: 'a U-Boot uImage', right: 'give the Image inside it' },
  { offset: 0, magic: [0xd0, 0x0d, 0xfe, 0xed], what: 'a device tree or FIT image', right: 'a device tree goes with --dtb' },
];

function startsWith(bytes: Uint8Array, offset: number, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[offset + index] === byte);
}
