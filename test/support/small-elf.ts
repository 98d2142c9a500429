/** A small AArch64 ELF put together by hand, so that tests of images need no built guest. */

/** Two segments: code at 0x4008_0000 (with a literal pool inside, told by mapping symbols) and data at 0x4009_0000, 16 bytes in the file and 64 in memory. */
export function smallElf(): Uint8Array {
  const text = new Uint8Array(32);
  const code = new DataView(text.buffer);
  [0xd53c_1100, 0xd69f_03e0, 0x1122_3344, 0xd53c_1100, 0xd503_201f, 0xd503_201f, 0xd503_201f, 0xd65f_03c0].forEach((word, index) => code.setUint32(index * 4, word, true));
  const data = new Uint8Array(16).fill(0xaa);

  const strings: number[] = [0];
  const string = (value: string): number => {
    const offset = strings.length;
    strings.push(...new TextEncoder().encode(value), 0);
    return offset;
  };
  const symbols = [
    symbol(0, 0n, 0, 0, 0), symbol(string('$x'), 0x4008_0000n, 0, 0, 1), symbol(string('$d.pool'), 0x4008_0008n, 0, 0, 1), symbol(string('$x.after'), 0x4008_000cn, 0, 0, 1),
    symbol(string('_start'), 0x4008_0000n, 0, 0, 1), symbol(string('handler'), 0x4008_000cn, 8, 2, 1), symbol(string('table'), 0x4009_0000n, 16, 1, 2),
    symbol(string('STACK_BYTES'), 0x4000n, 0, 0, 0xfff1), symbol(string('elsewhere'), 0n, 0, 0, 0), symbol(string('after_handler'), 0x4008_0018n, 0, 0, 1),
  ];
  const names = { text: string('.text'), data: string('.data'), symtab: string('.symtab'), strtab: string('.strtab') };

  const textAt = 0x100, dataAt = textAt + text.length, symbolsAt = dataAt + data.length, stringsAt = symbolsAt + symbols.length * 24;
  const sectionsAt = Math.ceil((stringsAt + strings.length) / 8) * 8;
  const file = new Uint8Array(sectionsAt + 5 * 64);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 183, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, 0x4008_0000n, true);
  view.setBigUint64(32, 64n, true);
  view.setBigUint64(40, BigInt(sectionsAt), true);
  [64, 56, 2, 64, 5, 4].forEach((value, index) => view.setUint16(52 + index * 2, value, true));

  const program = (index: number, flags: number, offset: number, address: bigint, fileBytes: number, memoryBytes: number): void => {
    const at = 64 + index * 56;
    view.setUint32(at, 1, true);
    view.setUint32(at + 4, flags, true);
    [BigInt(offset), address, address, BigInt(fileBytes), BigInt(memoryBytes), 4096n].forEach((value, field) => view.setBigUint64(at + 8 + field * 8, value, true));
  };
  program(0, 5, textAt, 0x4008_0000n, text.length, text.length);
  program(1, 6, dataAt, 0x4009_0000n, data.length, 64);

  const section = (index: number, name: number, type: number, flags: bigint, address: bigint, offset: number, bytes: number, link: number): void => {
    const at = sectionsAt + index * 64;
    view.setUint32(at, name, true);
    view.setUint32(at + 4, type, true);
    [flags, address, BigInt(offset), BigInt(bytes)].forEach((value, field) => view.setBigUint64(at + 8 + field * 8, value, true));
    view.setUint32(at + 40, link, true);
  };
  section(1, names.text, 1, 6n, 0x4008_0000n, textAt, text.length, 0);
  section(2, names.data, 1, 3n, 0x4009_0000n, dataAt, data.length, 0);
  section(3, names.symtab, 2, 0n, 0n, symbolsAt, symbols.length * 24, 4);
  section(4, names.strtab, 3, 0n, 0n, stringsAt, strings.length, 0);

  file.set(text, textAt);
  file.set(data, dataAt);
  for (const [index, bytes] of symbols.entries()) file.set(bytes, symbolsAt + index * 24);
  file.set(strings, stringsAt);
  return file;
}

function symbol(name: number, address: bigint, size: number, type: number, section: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, name, true);
  view.setUint8(4, type);
  view.setUint16(6, section, true);
  view.setBigUint64(8, address, true);
  view.setBigUint64(16, BigInt(size), true);
  return bytes;
}
