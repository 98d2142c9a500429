/** Reads an AArch64 ELF file: its loadable segments by physical address, its symbols, and which ranges of it are instructions. */

import { hex } from '../machines/bits.ts';
import { badByte, type InputError } from './input-error.ts';

/** A run of bytes to put at physical address `address`; the rest, up to `memoryBytes`, is zero. */
export interface Segment {
  readonly address: number;
  /** The address that the image's symbols use for its first byte; the same as `address` except in images linked for a translated address. */
  readonly virtualAddress: bigint;
  readonly bytes: Uint8Array;
  readonly memoryBytes: number;
  readonly executable: boolean;
}

export interface ImageSymbol {
  readonly name: string;
  /** As linked: a virtual address (or, for a `constant`, any value). */
  readonly address: bigint;
  /** Bytes; 0 when the file does not say. */
  readonly size: number;
  /** `label` has no type of its own (assembly); `constant` is an absolute symbol, which names no place in the image. */
  readonly type: 'function' | 'object' | 'label' | 'constant';
}

/** Instructions from physical address `from` up to, not including, `to`; both multiples of 4. */
export interface CodeRange {
  readonly from: number;
  readonly to: number;
  /** The section they are in, or '' where the file has no sections. */
  readonly section: string;
}

export interface Elf {
  readonly entry: number;
  readonly segments: readonly Segment[];
  readonly symbols: readonly ImageSymbol[];
  readonly codeRanges: readonly CodeRange[];
}

/** Characters in the longest name that is believed. */
const NAME_MAX = 32768;

/** Addresses beyond this do not exist on any board here (48 physical address bits). */
const PHYSICAL_END = 2 ** 48;

/** Reads ELF64, little-endian, AArch64, ET_EXEC or ET_DYN. Throws InputError, with the byte at fault, for anything else. Source: System V gABI chapters 4 and 5; AAELF64 for mapping symbols. */
export function readElf(bytes: Uint8Array, name: string): Elf {
  const file = new ElfFile(bytes, name);
  const header = readHeader(file);
  const segments = readSegments(file, header);
  const sections = readSections(file, header);
  const { symbols, mapping } = readSymbols(file, sections);
  const linked = file.word(24, 'the entry point');
  const entry = physicalOf(segments.filter((segment) => segment.executable), linked);
  if (entry === undefined) throw file.error(24, `the entry point ${hex(linked)} is in no executable segment`, 'it must be the address of the first instruction');
  if (entry % 4 !== 0) throw file.error(24, `the entry point ${hex(linked)} is not a multiple of 4`, 'instructions are');
  return { entry, segments, symbols, codeRanges: findCode(sections, mapping, segments) };
}

/** The physical address of the linked address `address`, or undefined where no segment holds it. */
function physicalOf(segments: readonly Segment[], address: bigint): number | undefined {
  for (const segment of segments) {
    const into = address - segment.virtualAddress;
    if (into >= 0n && into < BigInt(segment.memoryBytes)) return segment.address + Number(into);
  }
  return undefined;
}

/** Bounds-checked little-endian reads that say what they were after. */
class ElfFile {
  readonly bytes: Uint8Array;
  readonly name: string;
  readonly #view: DataView;

  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  error(offset: number, wrong: string, right: string): InputError {
    return badByte(this.name, offset, wrong, right);
  }

  /** Throws unless the file holds `length` bytes at `offset`. */
  need(offset: number, length: number, what: string): void {
    if (offset + length > this.bytes.length) {
      throw this.error(this.bytes.length, `the file ends before ${what} (${length} bytes at ${hex(offset)})`, `it must have at least ${offset + length} bytes: is it cut short?`);
    }
  }

  byte(offset: number, what: string): number { this.need(offset, 1, what); return this.#view.getUint8(offset); }
  half(offset: number, what: string): number { this.need(offset, 2, what); return this.#view.getUint16(offset, true); }
  single(offset: number, what: string): number { this.need(offset, 4, what); return this.#view.getUint32(offset, true); }
  word(offset: number, what: string): bigint { this.need(offset, 8, what); return this.#view.getBigUint64(offset, true); }

  /** A 64-bit field that is an offset or size: anything above 2^48 cannot be meant. */
  size(offset: number, what: string): number {
    const value = this.word(offset, what);
    if (value > BigInt(PHYSICAL_END)) throw this.error(offset, `${what} is ${hex(value)}`, 'it must be below 2^48');
    return Number(value);
  }

  /** The zero-terminated string at `offset` of the table that covers [from, to). */
  text(from: number, to: number, offset: number, at: number, what: string): string {
    if (offset >= to - from && offset !== 0) throw this.error(at, `${what} starts at byte ${offset} of a string table of ${to - from}`, 'it must lie within the table');
    let end = from + offset;
    while (end < to && this.bytes[end] !== 0) end += 1;
    if (end - from - offset > NAME_MAX) throw this.error(at, `${what} has more than ${NAME_MAX} characters`, 'a name of that length cannot be meant');
    if (end === to && to > from) throw this.error(at, `${what} runs past the end of its string table`, 'it must end with a zero byte');
    let text = '';
    for (let position = from + offset; position < end; position += 1) text += String.fromCharCode(this.bytes[position]!);
    return text;
  }
}

interface Header { readonly programOffset: number; readonly programCount: number; readonly sectionOffset: number; readonly sectionCount: number; readonly nameSection: number }

const MACHINES: Readonly<Record<number, string>> = {
  2: 'SPARC', 3: 'x86 (i386)', 8: 'MIPS', 20: 'PowerPC', 21: 'PowerPC 64', 22: 'S/390', 40: 'Arm (AArch32)', 43: 'SPARC V9', 50: 'IA-64', 62: 'x86-64', 243: 'RISC-V', 247: 'BPF', 258: 'LoongArch',
};
const TYPES: Readonly<Record<number, string>> = { 0: 'ET_NONE', 1: 'ET_REL, an object file that is not linked', 4: 'ET_CORE, a core dump' };
const PROGRAM_HEADER_BYTES = 56;
const SECTION_HEADER_BYTES = 64;

function readHeader(file: ElfFile): Header {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  for (const [offset, expected] of magic.entries()) {
    const found = file.byte(offset, 'the ELF header');
    if (found !== expected) throw file.error(offset, `the byte is ${hex(found, 2)}`, `an ELF file has ${hex(expected, 2)} there`);
  }
  const fileClass = file.byte(4, 'the ELF header');
  if (fileClass !== 2) throw file.error(4, `the file class is ${fileClass}${fileClass === 1 ? ' (ELFCLASS32, 32-bit)' : ''}`, 'it must be 2 (ELFCLASS64)');
  const encoding = file.byte(5, 'the ELF header');
  if (encoding !== 1) throw file.error(5, `the data encoding is ${encoding}${encoding === 2 ? ' (ELFDATA2MSB, big-endian)' : ''}`, 'it must be 1 (ELFDATA2LSB, little-endian)');
  const ident = file.byte(6, 'the ELF header');
  if (ident !== 1) throw file.error(6, `the ELF version is ${ident}`, 'it must be 1');
  const type = file.half(16, 'the ELF header');
  if (type !== 2 && type !== 3) throw file.error(16, `the file type is ${type}${TYPES[type] === undefined ? '' : ` (${TYPES[type]})`}`, 'it must be 2 (ET_EXEC) or 3 (ET_DYN)');
  const machine = file.half(18, 'the ELF header');
  if (machine !== 183) throw file.error(18, `the machine is ${machine}${MACHINES[machine] === undefined ? '' : ` (${MACHINES[machine]})`}`, 'it must be 183 (AArch64)');
  file.need(0, 64, 'the end of the ELF header');

  const programOffset = file.size(32, 'the offset of the program headers');
  const sectionOffset = file.size(40, 'the offset of the section headers');
  const programCount = file.half(56, 'the number of program headers');
  if (programCount > 0) {
    const entryBytes = file.half(54, 'the size of a program header');
    if (entryBytes !== PROGRAM_HEADER_BYTES) throw file.error(54, `a program header has ${entryBytes} bytes`, `it must have ${PROGRAM_HEADER_BYTES}`);
    file.need(programOffset, programCount * PROGRAM_HEADER_BYTES, 'the end of the program headers');
  }
  const sectionCount = sectionOffset === 0 ? 0 : file.half(60, 'the number of section headers');
  if (sectionCount > 0) {
    const entryBytes = file.half(58, 'the size of a section header');
    if (entryBytes !== SECTION_HEADER_BYTES) throw file.error(58, `a section header has ${entryBytes} bytes`, `it must have ${SECTION_HEADER_BYTES}`);
    file.need(sectionOffset, sectionCount * SECTION_HEADER_BYTES, 'the end of the section headers');
  }
  return { programOffset, programCount, sectionOffset, sectionCount, nameSection: file.half(62, 'the index of the section names') };
}

function readSegments(file: ElfFile, header: Header): Segment[] {
  const segments: Segment[] = [];
  for (let index = 0; index < header.programCount; index += 1) {
    const at = header.programOffset + index * PROGRAM_HEADER_BYTES;
    const what = `program header ${index}`;
    if (file.single(at, what) !== 1) continue; // PT_LOAD
    const memoryBytes = file.size(at + 40, `${what}'s size in memory`);
    if (memoryBytes === 0) continue;
    const offset = file.size(at + 8, `${what}'s file offset`);
    const address = file.size(at + 24, `${what}'s physical address`);
    const fileBytes = file.size(at + 32, `${what}'s size in the file`);
    if (fileBytes > memoryBytes) throw file.error(at + 32, `${what} has ${fileBytes} bytes in the file and ${memoryBytes} in memory`, 'it cannot have fewer in memory');
    if (address + memoryBytes > PHYSICAL_END) throw file.error(at + 24, `${what} ends at ${hex(address + memoryBytes)}`, 'it must end below 2^48');
    if (offset + fileBytes > file.bytes.length) {
      throw file.error(at + 8, `segment ${index} is at bytes ${hex(offset)} to ${hex(offset + fileBytes)} of a file of ${hex(file.bytes.length)} bytes`, 'it must lie within the file: is it cut short?');
    }
    segments.push({
      address, virtualAddress: file.word(at + 16, `${what}'s virtual address`), memoryBytes,
      bytes: file.bytes.subarray(offset, offset + fileBytes), executable: (file.single(at + 4, what) & 1) !== 0,
    });
  }
  if (segments.length === 0) throw file.error(56, `none of the ${header.programCount} program headers is a loadable segment`, 'at least one must be (PT_LOAD with a size above 0)');
  const sorted = segments.toSorted((a, b) => a.address - b.address);
  for (const [index, segment] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next && segment.address + segment.memoryBytes > next.address) {
      throw file.error(header.programOffset, `the segments at ${hex(segment.address)} (${hex(segment.memoryBytes)} bytes) and ${hex(next.address)} overlap`, 'each needs physical addresses of its own');
    }
  }
  return sorted;
}

interface Section {
  readonly index: number; readonly header: number; readonly name: string; readonly type: number; readonly flags: number;
  readonly address: bigint; readonly offset: number; readonly bytes: number; readonly link: number;
}
const PROGBITS = 1, SYMTAB = 2, STRTAB = 3, NOBITS = 8, DYNSYM = 11;
const ALLOCATED = 2, INSTRUCTIONS = 4;

function readSections(file: ElfFile, header: Header): Section[] {
  const sections: (Section & { nameOffset: number })[] = [];
  for (let index = 0; index < header.sectionCount; index += 1) {
    const at = header.sectionOffset + index * SECTION_HEADER_BYTES;
    const what = `section header ${index}`;
    const type = file.single(at + 4, what);
    const unused = type === 0; // SHT_NULL: the other fields mean nothing
    const offset = unused ? 0 : file.size(at + 24, `${what}'s file offset`);
    const bytes = unused ? 0 : file.size(at + 32, `${what}'s size`);
    if (type !== NOBITS && offset + bytes > file.bytes.length) {
      throw file.error(at + 24, `section ${index} is at bytes ${hex(offset)} to ${hex(offset + bytes)} of a file of ${hex(file.bytes.length)} bytes`, 'it must lie within the file: is it cut short?');
    }
    sections.push({
      index, header: at, name: '', type, flags: Number(file.word(at + 8, what) & 0xffffn), address: file.word(at + 16, what), offset, bytes,
      link: file.single(at + 40, what), nameOffset: file.single(at, what),
    });
  }
  const names = sections[header.nameSection];
  if (sections.length === 0 || header.nameSection === 0) return sections;
  if (names === undefined || names.type !== STRTAB) throw file.error(62, `the section names are said to be in section ${header.nameSection}, which is no string table`, `it must be a string table among the ${sections.length} sections`);
  return sections.map((section) => ({ ...section, name: file.text(names.offset, names.offset + names.bytes, section.nameOffset, section.header, `the name of section ${section.index}`) }));
}

/** A mapping symbol (AAELF64): from `address` on, its section holds instructions ($x) or data ($d). */
interface Mapping { readonly section: number; readonly address: bigint; readonly code: boolean }

const SYMBOL_BYTES = 24;
const SECTION_ABSOLUTE = 0xfff1, SECTION_RESERVED = 0xff00;

function readSymbols(file: ElfFile, sections: readonly Section[]): { symbols: ImageSymbol[]; mapping: Mapping[] } {
  const symbols: ImageSymbol[] = [], mapping: Mapping[] = [];
  const table = sections.find((section) => section.type === SYMTAB) ?? sections.find((section) => section.type === DYNSYM);
  if (table === undefined) return { symbols, mapping };
  const strings = sections[table.link];
  if (strings === undefined || strings.type !== STRTAB) throw file.error(table.header + 40, `the symbol table's names are said to be in section ${table.link}, which is no string table`, `it must be a string table among the ${sections.length} sections`);
  if (table.bytes % SYMBOL_BYTES !== 0) throw file.error(table.header + 32, `the symbol table has ${table.bytes} bytes`, `it must have a multiple of ${SYMBOL_BYTES}`);
  for (let index = 1; index < table.bytes / SYMBOL_BYTES; index += 1) {
    const at = table.offset + index * SYMBOL_BYTES;
    const what = `symbol ${index}`;
    const section = file.half(at + 6, what);
    const type = file.byte(at + 4, what) & 0xf;
    if (section === 0 || type > 2) continue; // undefined; or a section, a file, thread-local
    const name = file.text(strings.offset, strings.offset + strings.bytes, file.single(at, what), at, `the name of ${what}`);
    if (name === '') continue;
    const address = file.word(at + 8, what);
    if (/^\$[xd](\.|$)/.test(name)) mapping.push({ section, address, code: name[1] === 'x' });
    else {
      const absolute = section === SECTION_ABSOLUTE;
      if (!absolute && section >= SECTION_RESERVED) continue; // common and processor-specific: not in a linked image
      const size = file.word(at + 16, what);
      symbols.push({ name, address, size: size > BigInt(PHYSICAL_END) ? 0 : Number(size), type: absolute ? 'constant' : (['label', 'object', 'function'] as const)[type]! });
    }
  }
  symbols.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { symbols, mapping };
}

/**
 * Where the instructions are. In an executable section, from each $x up to the next $d; before the first mapping symbol there is
 * no code. An executable section without mapping symbols is code throughout, and so are the executable segments of a file
 * without sections: their literal pools cannot be told apart.
 */
function findCode(sections: readonly Section[], mapping: readonly Mapping[], segments: readonly Segment[]): CodeRange[] {
  const ranges: CodeRange[] = [];
  const add = (from: bigint, to: bigint, section: string): void => {
    for (const segment of segments) {
      if (!segment.executable) continue;
      const start = from > segment.virtualAddress ? from : segment.virtualAddress;
      const limit = segment.virtualAddress + BigInt(segment.bytes.length);
      const end = to < limit ? to : limit;
      if (start >= end) continue;
      const shift = BigInt(segment.address) - segment.virtualAddress;
      const range = { from: Math.ceil(Number(start + shift) / 4) * 4, to: Math.floor(Number(end + shift) / 4) * 4, section };
      const last = ranges.at(-1);
      if (last && last.section === section && last.to === range.from) ranges[ranges.length - 1] = { ...last, to: range.to };
      else if (range.from < range.to) ranges.push(range);
    }
  };
  if (sections.length === 0) for (const segment of segments) add(segment.virtualAddress, segment.virtualAddress + BigInt(segment.bytes.length), '');
  for (const section of sections) {
    if (section.type !== PROGBITS || (section.flags & (ALLOCATED | INSTRUCTIONS)) !== (ALLOCATED | INSTRUCTIONS)) continue;
    const end = section.address + BigInt(section.bytes);
    // A stable sort: of two symbols at one address, the later in the table holds.
    const marks = mapping.filter((mark) => mark.section === section.index && mark.address >= section.address && mark.address < end)
      .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    if (marks.length === 0) add(section.address, end, section.name);
    for (const [index, mark] of marks.entries()) if (mark.code) add(mark.address, marks[index + 1]?.address ?? end, section.name);
  }
  return ranges.sort((a, b) => a.from - b.from);
}
