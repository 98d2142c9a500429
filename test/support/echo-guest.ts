/** A guest of a few instructions that echoes what is typed, as a flat binary for `zeno boot`. */

import { assemble } from '../../machines/aarch64/assemble.ts';

/** Where `zeno boot` puts a flat kernel. */
export const FLAT_KERNEL = 0x4008_0000;

/** The bytes of `lines`, linked for there. */
export function flatBinary(lines: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(4 * lines.length);
  lines.forEach((line, index) => new DataView(bytes.buffer).setUint32(4 * index, assemble(line, BigInt(FLAT_KERNEL + 4 * index)), true));
  return bytes;
}

/** Prints `>`, echoes each character, and powers off (PSCI SYSTEM_OFF) after an `!`. */
export const ECHO: readonly string[] = [
  'movz x1, #0x900, lsl #16', 'mov w2, #0x3e', 'str w2, [x1]',
  // 0x4008000c: until UARTFR.RXFE is 0.
  'ldr w2, [x1, #24]', 'tbnz w2, #4, 0x4008000c', 'ldr w2, [x1]', 'str w2, [x1]', 'cmp w2, #0x21', 'b.ne 0x4008000c',
  'movz w0, #0x8400, lsl #16', 'orr w0, w0, #8', 'smc #0', 'b 0x40080030',
];
