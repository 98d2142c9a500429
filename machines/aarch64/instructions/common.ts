/** Operand helpers that the semantics of many rows share. */

import { mask } from '../../bits.ts';
import type { Builder } from '../builder.ts';
import type { Fields, Semantics } from '../row.ts';

/** X[n] or W[n], zero-extended; register 31 is zero. */
export const get = <V, B>(b: Builder<V, B>, wide: number, register: number): V =>
  wide ? b.x(register) : b.zeroExtend(b.x(register), 32);

/** Writes X[n] or W[n]. */
export const set = <V, B>(b: Builder<V, B>, wide: number, register: number, value: V): void =>
  b.setX(register, wide ? value : b.zeroExtend(value, 32));

/** As `get`, where register 31 is the stack pointer. */
export function getOrSp<V, B>(b: Builder<V, B>, wide: number, register: number): V {
  const value = register === 31 ? b.stackPointer() : b.x(register);
  return wide ? value : b.zeroExtend(value, 32);
}

/** As `set`, where register 31 is the stack pointer. */
export function setOrSp<V, B>(b: Builder<V, B>, wide: number, register: number, value: V): void {
  const word = wide ? value : b.zeroExtend(value, 32);
  if (register === 31) b.setStackPointer(word);
  else b.setX(register, word);
}

/** The low `width` bits of `value` as a signed number. */
export const signed = (value: number, width: number): number => (value >= 2 ** (width - 1) ? value - 2 ** width : value);

/** `value` sign-extended from `width` bits, 1 to 64. */
export function signExtendFrom<V, B>(b: Builder<V, B>, value: V, width: number): V {
  if (width === 64) return value;
  if (width === 8 || width === 16 || width === 32) return b.signExtend(value, width);
  const distance = b.number(64 - width);
  return b.shiftRightSigned(b.shiftLeft(value, distance), distance);
}

/** Rotates the low 32 bits of `value`, which is zero-extended; the result is zero-extended. */
export function rotateRight32<V, B>(b: Builder<V, B>, value: V, amount: V): V {
  const doubled = b.or(value, b.shiftLeft(value, b.number(32)));
  return b.zeroExtend(b.shiftRight(doubled, b.and(amount, b.number(31))), 32);
}

/** ShiftReg of the manual: kinds LSL, LSR, ASR, ROR. `value` comes from `get`; `amount` is below the width. */
export function shift<V, B>(b: Builder<V, B>, wide: number, value: V, kind: number, amount: V): V {
  if (kind === 0) return wide ? b.shiftLeft(value, amount) : b.zeroExtend(b.shiftLeft(value, amount), 32);
  if (kind === 1) return b.shiftRight(value, amount);
  if (kind === 2) return wide ? b.shiftRightSigned(value, amount) : b.zeroExtend(b.shiftRightSigned(b.signExtend(value, 32), amount), 32);
  return wide ? b.rotateRight(value, amount) : rotateRight32(b, value, amount);
}

/** Rm, shifted by a constant. */
export function shiftedRegister<V, B>(b: Builder<V, B>, f: Fields): V {
  const value = get(b, f.s, f.m);
  return f.i === 0 ? value : shift(b, f.s, value, f.k, b.number(f.i));
}

/** ExtendReg of the manual: UXTB, UXTH, UXTW, UXTX, SXTB, SXTH, SXTW, SXTX, then shifted left. */
export function extendedRegister<V, B>(b: Builder<V, B>, register: number, option: number, amount: number): V {
  const value = b.x(register);
  const size = option & 3;
  let extended = value;
  if (size !== 3) {
    const width = size === 0 ? 8 : size === 1 ? 16 : 32;
    extended = option & 4 ? b.signExtend(value, width) : b.zeroExtend(value, width);
  }
  return amount === 0 ? extended : b.shiftLeft(extended, b.number(amount));
}

/** The low n bits set, n from 0 to 64. */
export const MASKS: readonly bigint[] = Array.from({ length: 65 }, (_, width) => mask(width));

export const nothing: Semantics = () => {};
