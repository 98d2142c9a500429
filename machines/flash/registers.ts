/** What the flash's chips say of themselves, and their commands, as rows. JEDEC JESD68.01 (CFI), Intel's basic and extended command set. */

import type { FlashMode } from './state.ts';

/** Read identifiers: manufacturer Intel, and the device that QEMU's board has. */
export const IDENTIFIERS: readonly number[] = [0x89, 0x18];

/** Bits of the status register. */
export const Status = { READY: 0x80, ERASE_FAILED: 0x20, PROGRAM_FAILED: 0x10 } as const;

/** The first write of a command: the mode that it brings. Any other is no command and leads to the array, as 0xff does. */
export const COMMANDS: Readonly<Record<number, FlashMode>> = {
  0x10: 'program', 0x40: 'program', 0x20: 'erase', 0x28: 'erase', 0x50: 'array', 0x60: 'lock', 0x70: 'status', 0x90: 'id', 0x98: 'query', 0xe8: 'count', 0xff: 'array',
};
export const CLEAR_STATUS = 0x50;
/** The second write of an erase, an unlock or a buffered write. */
export const CONFIRM = 0xd0;
/** The second write of a lock. */
export const LOCK = 0x01;

/** The query table of one chip, from word 0x10: 32 MiB in 256 sectors of 128 KiB. Values as QEMU's board has them. */
export const QUERY_FIRST = 0x10;
export const QUERY: readonly number[] = [
  0x51, 0x52, 0x59, // 0x10: "QRY"
  0x01, 0x00, 0x31, 0x00, // 0x13: Intel's extended command set, and where its own table lies
  0x00, 0x00, 0x00, 0x00, // 0x17: no other command set
  0x45, 0x55, 0x00, 0x00, // 0x1b: Vcc from 4.5 to 5.5 V, no Vpp
  0x07, 0x07, 0x0a, 0x00, 0x04, 0x04, 0x04, 0x00, // 0x1f: times of program, buffered write, erase; typical, then how much more at most
  0x19, // 0x27: 2^25 bytes
  0x02, 0x00, // 0x28: 8 and 16 bits wide
  0x0b, 0x00, // 0x2a: a buffer of 2^11 bytes
  0x01, // 0x2c: sectors of one size
  0xff, 0x00, 0x00, 0x02, // 0x2d: 256 of them, 512 times 256 bytes
  0x50, 0x52, 0x49, 0x31, 0x30, // 0x31: "PRI", version 1.0
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 0x36: no optional features
  0x01, // 0x3f: one protection field
];
