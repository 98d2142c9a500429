/** A guest of a few instructions that drives a block device over virtio-mmio by hand, polling. */

import { load } from './guest-program.ts';

/** Of the last slot, where a single device sits. */
export const DEVICE = 0x0a00_3e00;
/** Descriptors, rings, header and status byte. */
const QUEUE = 0x4010_0000;
const [AVAILABLE, USED, HEADER, STATUS] = [QUEUE + 0x400, QUEUE + 0x800, QUEUE + 0xc00, QUEUE + 0xd00];
const SIZE = 8;

const store = (offset: number, value: number): string => `movz w2, #0x${(value & 0xffff).toString(16)}\nmovk w2, #0x${(value >>> 16).toString(16)}, lsl #16\nstr w2, [x20, #${offset}]`;

/** Sets the device up, with a queue of eight. X20 to X23 are its own from there on. */
export const SET_UP = `
${load('x20', DEVICE)}; ${load('x21', QUEUE)}; ${load('x22', HEADER)}; movz x23, #0
${[[0x70, 0], [0x70, 3], [0x24, 1], [0x20, 1], [0x70, 11], [0x30, 0], [0x38, SIZE], [0x80, QUEUE], [0x84, 0], [0x90, AVAILABLE], [0x94, 0], [0xa0, USED], [0xa4, 0], [0x44, 1], [0x70, 15]].map(([offset, value]) => store(offset!, value!)).join('\n')}`;

/** The subroutine `request`: X0 type, X1 sector, X2 data, X3 bytes, X4 flags of the data's descriptor (2: the device writes it). X0 is the status byte. */
export const REQUEST = `
request:
str w0, [x22]; str wzr, [x22, #4]; str x1, [x22, #8]
str x22, [x21]; movz w5, #16; str w5, [x21, #8]; movz w5, #1; movk w5, #1, lsl #16; str w5, [x21, #12]
str x2, [x21, #16]; str w3, [x21, #24]; orr w5, w4, #1; movk w5, #2, lsl #16; str w5, [x21, #28]
${load('x5', STATUS)}; str x5, [x21, #32]; movz w5, #1; str w5, [x21, #40]; movz w5, #2; str w5, [x21, #44]
and x5, x23, #${SIZE - 1}; add x5, x21, x5, lsl #1; movz w6, #0; strh w6, [x5, #${AVAILABLE - QUEUE + 4}]
add x23, x23, #1
strh w23, [x21, #${AVAILABLE - QUEUE + 2}]
str wzr, [x20, #0x50]
done: ldrh w5, [x21, #${USED - QUEUE + 2}]; and w6, w23, #0xffff; sub w5, w5, w6; cbnz w5, {done}
ldr w5, [x20, #0x60]; str w5, [x20, #0x64]
${load('x5', STATUS)}; ldrb w0, [x5]
ret`;
