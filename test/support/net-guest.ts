/** A guest of a few instructions that drives a network device by hand, doing what a plan in its memory says: each machine of a World has its own. */

import { applyPatch, type Edit } from '../../actors/patch.ts';
import { machinesOf, type World } from '../../actors/world.ts';
import { readBytes } from '../../machines/memory/memory.ts';
import { load, machine, type ProgramOptions } from './guest-program.ts';
import { DEVICE } from './virtio-guest.ts';

/** Pairs of words: what to do, and with what. */
const PLAN = 0x4011_0000;
/** Two queues: descriptors, available ring and used ring, a page each. */
const [RECEIVE, TRANSMIT] = [0x4012_0000, 0x4013_0000];
const [AVAILABLE, USED] = [0x1000, 0x2000];
const SIZE = 128;
/** Received frames, each behind its header, and those to be sent. */
const [BUFFERS, FRAMES] = [0x4014_0000, 0x4019_0000];
const BUFFER_BYTES = 2048, HEADER_BYTES = 12;

/** What a machine does, one after the other; behind the last it powers off. */
export type Deed =
  /** Sends the frame of this number. */
  | { readonly send: number }
  /** Has given the device so many buffers in all. */
  | { readonly post: number }
  /** Waits until so many frames have come in all. */
  | { readonly await: number }
  | { readonly spin: number }
  /** The virtual timer's line rises when the count is so high. */
  | { readonly timer: number }
  /** The machine starts again as it was booted, without a plan, so that it powers off. */
  | { readonly reset: 1 }
  /** Waits for an interrupt, which its GIC lets none through. */
  | { readonly sleep: 1 };
const DEEDS = ['off', 'send', 'post', 'await', 'spin', 'timer', 'reset', 'sleep'] as const;

const store = (offset: number, value: number): string => `${load('x2', value)}\nstr w2, [x20, #${offset}]`;
const queue = (index: number, at: number): string => [[0x30, index], [0x38, SIZE], [0x80, at], [0x84, 0], [0x90, at + AVAILABLE], [0x94, 0], [0xa0, at + USED], [0xa4, 0], [0x44, 1]].map(([offset, value]) => store(offset!, value!)).join('\n');

const PROGRAM = `
${load('x20', DEVICE)}; ${load('x21', RECEIVE + AVAILABLE)}; ${load('x22', RECEIVE + USED)}; ${load('x23', TRANSMIT + AVAILABLE)}; ${load('x24', PLAN)}
${[[0x70, 0], [0x70, 3], [0x24, 1], [0x20, 1], [0x70, 11]].map(([offset, value]) => store(offset!, value!)).join('\n')}
${queue(0, RECEIVE)}
${queue(1, TRANSMIT)}
${store(0x70, 15)}
next: ldr x0, [x24], #8; ldr x1, [x24], #8
cbz x0, {off}
sub x0, x0, #1; cbz x0, {send}
sub x0, x0, #1; cbz x0, {post}
sub x0, x0, #1; cbz x0, {await}
sub x0, x0, #1; cbz x0, {spin}
sub x0, x0, #1; cbz x0, {timer}
sub x0, x0, #1; cbz x0, {reset}
wfi; b {next}
send: ldrh w4, [x23, #2]; and w5, w4, #${SIZE - 1}; add x5, x23, x5, lsl #1; strh w1, [x5, #4]; add w4, w4, #1; strh w4, [x23, #2]; movz w6, #1; str w6, [x20, #0x50]; b {next}
post: strh w1, [x21, #2]; str wzr, [x20, #0x50]; b {next}
await: ldrh w4, [x22, #2]; sub w5, w4, w1; cbnz w5, {await}; b {next}
spin: sub x1, x1, #1; cbnz x1, {spin}; b {next}
timer: msr CNTV_CVAL_EL0, x1; movz x1, #1; msr CNTV_CTL_EL0, x1; b {next}
reset: ${load('x0', 0x8400_0009)}; hvc #0
off: ${load('x0', 0x8400_0008)}; hvc #0
stop: b {stop}`;

const words = (...values: readonly number[]): Uint8Array => new Uint8Array(BigUint64Array.from(values, BigInt).buffer);

/** A World of as many machines as there are plans, the frames of all in the memory of each. Turns are short, so that each has its device soon. */
export function network(plans: readonly (readonly Deed[])[], frames: readonly (readonly number[])[], options: ProgramOptions = {}): World {
  const world = machine(PROGRAM, { el2: 'none', l1: 'both', quantum: 50, ...options, devices: { net: 'mmio', ...options.devices }, machines: plans.length });
  const descriptor = (address: number, bytes: number, flags: number): number[] => [address, bytes + flags * 2 ** 32];
  const edits = plans.flatMap((plan, index): Edit[] => {
    const put = (address: number, bytes: Uint8Array): Edit => ({ type: 'memory', address, bytes, ...(index > 0 && { machine: index }) });
    return [
      put(PLAN, words(...plan.flatMap((deed) => { const [[name, value]] = Object.entries(deed) as [[(typeof DEEDS)[number], number]]; return [DEEDS.indexOf(name), value]; }), 0, 0)),
      put(RECEIVE, words(...Array.from({ length: SIZE }, (_, slot) => descriptor(BUFFERS + slot * BUFFER_BYTES, BUFFER_BYTES, 2)).flat())),
      put(RECEIVE + AVAILABLE + 4, new Uint8Array(Uint16Array.from({ length: SIZE }, (_, slot) => slot).buffer)),
      ...frames.flatMap((frame, number) => [
        put(TRANSMIT + 16 * number, words(...descriptor(FRAMES + number * BUFFER_BYTES, HEADER_BYTES + frame.length, 0))),
        put(FRAMES + number * BUFFER_BYTES + HEADER_BYTES, Uint8Array.from(frame)),
      ]),
    ];
  });
  return applyPatch(world, edits);
}

/** The frames that machine `index` of the live `world` has been given, in order. */
export function received(world: World, index: number): number[][] {
  const { memory } = machinesOf(world)[index]!.engine.board;
  const ring = readBytes(memory, RECEIVE + USED, 4 + 8 * SIZE);
  const view = new DataView(ring.buffer, ring.byteOffset);
  return Array.from({ length: view.getUint16(2, true) }, (_, at) => {
    const [head, bytes] = [view.getUint32(4 + 8 * at, true), view.getUint32(8 + 8 * at, true)];
    return [...readBytes(memory, BUFFERS + head * BUFFER_BYTES + HEADER_BYTES, bytes - HEADER_BYTES)];
  });
}

export const macOf = (machine: number): number[] => [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + machine];
/** A frame of a type that nobody answers. */
export const frameTo = (to: readonly number[], from: number, last = 0): number[] => [...to, ...macOf(from), 0x88, 0xb5, ...Array.from({ length: 46 }, () => 0x5a), last];
