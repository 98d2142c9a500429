/** Access descriptors, one object for each combination, and base addresses: what all load and store rows share. */

import type { Builder } from '../builder.ts';
import type { Access, Bytes } from '../memory-access.ts';

export const PLAIN: Access = {};

export type Order = 'plain' | 'acquire' | 'release' | 'unprivileged';
const ORDERS: readonly Order[] = ['plain', 'acquire', 'release', 'unprivileged'];

/** A transfer of one general register, which a stage-2 abort describes in ISS: register, 64-bit or not, sign-extended or not. */
export function transfer(order: Order, srt: number, sf: boolean, sse: boolean): Access {
  return TRANSFERS[((ORDERS.indexOf(order) * 2 + Number(sf)) * 2 + Number(sse)) * 32 + srt]!;
}

/** Exclusive or atomic access with the given ordering, of one element or of 16 bytes. */
export const exclusiveAccess = (acquire: number, release: number): Access => EXCLUSIVES[acquire * 2 + release]!;
export const exclusivePairAccess = (acquire: number, release: number): Access => EXCLUSIVE_PAIRS[acquire * 2 + release]!;
export const atomicAccess = (acquire: number, release: number): Access => ATOMICS[acquire * 2 + release]!;
export const atomicPairAccess = (acquire: number, release: number): Access => ATOMIC_PAIRS[acquire * 2 + release]!;

const TRANSFERS: readonly Access[] = ORDERS.flatMap((order) => [false, true].flatMap((sf) => [false, true].flatMap((sse) =>
  Array.from({ length: 32 }, (_, srt): Access => ({ ...(order === 'plain' ? {} : { [order]: true }), syndrome: { srt, sf, sse } })))));

const orderings = (rest: Access): readonly Access[] => [0, 1, 2, 3].map((code) => ({ ...rest, acquire: (code & 2) !== 0, release: (code & 1) !== 0 }));
const EXCLUSIVES = orderings({ exclusive: true });
const EXCLUSIVE_PAIRS = orderings({ exclusive: true, alignment: 16 });
const ATOMICS = orderings({ atomic: true });
const ATOMIC_PAIRS = orderings({ atomic: true, alignment: 16 });

/** The base register as an address; the stack pointer has to be aligned. */
export const base = <V, B>(b: Builder<V, B>, register: number): V => (register === 31 ? b.alignedStackPointer() : b.x(register));

/** Writes an updated base address back. */
export function writeBack<V, B>(b: Builder<V, B>, register: number, address: V): void {
  if (register === 31) b.setStackPointer(address);
  else b.setX(register, address);
}

/** `address` plus a constant. */
export const displaced = <V, B>(b: Builder<V, B>, address: V, offset: number): V => (offset === 0 ? address : b.add(address, b.number(offset)));

/** A load's result sign-extended from its size to 64 bits, or to 32 and zero-extended. */
export function signLoaded<V, B>(b: Builder<V, B>, value: V, bytes: Bytes, wide: boolean): V {
  if (bytes === 8) return value;
  const extended = b.signExtend(value, bytes === 1 ? 8 : bytes === 2 ? 16 : 32);
  return wide ? extended : b.zeroExtend(extended, 32);
}
