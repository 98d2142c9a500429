/** Fused multiply-add of doubles in WebAssembly, which has none: exact products and sums in two parts, and one rounding to odd before the last to nearest. */

import { Code, F64, I64, Op } from './wasm/code.ts';

/** Exponent fields of factors and addends for which no part of the computation leaves the range of normal numbers. */
const FACTOR_MIN = 0x3ff - 400, FACTOR_MAX = 0x3ff + 400;
const ADDEND_MIN = 0x3ff - 850, ADDEND_MAX = 0x3ff + 900;

/**
 * Bits of addend + a * b, rounded once to nearest even; all ones, a NaN, where an operand is out of range. Parameters: addend, a, b, as bits.
 * Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums": with rounding to odd between, two roundings are as one.
 */
export function multiplyAdd(): Uint8Array {
  const code = new Code(3);
  const [addend, a, b] = [0, 1, 2];
  const number = (): number => code.keep(F64);
  const operate = (one: number, other: number, operation: number): number => {
    code.get(one); code.get(other); code.op(operation);
    return number();
  };
  const sum = (one: number, other: number): number => operate(one, other, Op.f64_add);
  const difference = (one: number, other: number): number => operate(one, other, Op.f64_sub);
  const product = (one: number, other: number): number => operate(one, other, Op.f64_mul);
  const inRange = (bits: number, least: number, greatest: number): void => {
    code.get(bits); code.i64(52n); code.op(Op.i64_shr_u); code.i64(0x7ffn); code.op(Op.i64_and); code.i64(BigInt(least)); code.op(Op.i64_sub); code.i64(BigInt(greatest - least)); code.op(Op.i64_lt_u);
  };
  /** The error of `total` = one + other. Knuth's two-sum. */
  const errorOfSum = (one: number, other: number, total: number): number => {
    const second = difference(total, one);
    return sum(difference(one, difference(total, second)), difference(other, second));
  };
  /** Two halves of 26 bits. Veltkamp. */
  const halves = (value: number): readonly [number, number] => {
    code.get(value); code.f64(134_217_729); code.op(Op.f64_mul);
    const scaled = number();
    const high = difference(scaled, difference(scaled, value));
    return [high, difference(value, high)];
  };

  // A factor of zero, and the other finite: nothing is rounded.
  const isZero = (bits: number): void => { code.get(bits); code.i64(1n); code.op(Op.i64_shl); code.op(Op.i64_eqz); };
  const isFinite = (bits: number): void => { code.get(bits); code.i64(0x7ffn << 52n); code.op(Op.i64_and); code.i64(0x7ffn << 52n); code.op(Op.i64_ne); };
  isZero(a); isFinite(b); code.op(Op.i32_and); isZero(b); isFinite(a); code.op(Op.i32_and); code.op(Op.i32_or);
  code.if();
  for (const bits of [a, b]) { code.get(bits); code.op(Op.f64_reinterpret_i64); }
  code.op(Op.f64_mul); code.get(addend); code.op(Op.f64_reinterpret_i64); code.op(Op.f64_add); code.op(Op.i64_reinterpret_f64); code.op(Op.return);
  code.end();
  inRange(a, FACTOR_MIN, FACTOR_MAX); inRange(b, FACTOR_MIN, FACTOR_MAX); code.op(Op.i32_and);
  inRange(addend, ADDEND_MIN, ADDEND_MAX); isZero(addend); code.op(Op.i32_or); code.op(Op.i32_and);
  code.op(Op.i32_eqz);
  code.if(); code.i64(-1n); code.op(Op.return); code.end();

  const [c, x, y] = [addend, a, b].map((bits) => { code.get(bits); code.op(Op.f64_reinterpret_i64); return number(); }) as [number, number, number];
  // x * y = high + low, exactly. Dekker.
  const high = product(x, y);
  const [xHigh, xLow] = halves(x);
  const [yHigh, yLow] = halves(y);
  const low = sum(sum(sum(difference(product(xHigh, yHigh), high), product(xHigh, yLow)), product(xLow, yHigh)), product(xLow, yLow));
  // c + low = upper + rest; high + upper = head + tail: the whole is head + tail + rest.
  const upper = sum(c, low);
  const rest = errorOfSum(c, low, upper);
  const head = sum(high, upper);
  const tail = errorOfSum(high, upper, head);
  // tail + rest, rounded to odd: where it is not exact and even, to the neighbour on the side of the error.
  const small = sum(tail, rest);
  const error = errorOfSum(tail, rest, small);
  code.get(small); code.op(Op.i64_reinterpret_f64);
  const bits = code.keep(I64);
  code.get(error); code.f64(0); code.op(Op.f64_ne); code.get(bits); code.op(Op.i32_wrap_i64); code.i32(1); code.op(Op.i32_and); code.op(Op.i32_eqz); code.op(Op.i32_and);
  code.if();
  // Away from zero when the error has the sum's sign.
  code.get(bits);
  code.i64(1n); code.i64(-1n);
  code.get(error); code.f64(0); code.op(Op.f64_gt); code.get(bits); code.i64(0n); code.op(Op.i64_ge_s); code.op(Op.i32_eq);
  code.op(Op.select);
  code.op(Op.i64_add); code.set(bits);
  code.end();
  code.get(head); code.get(bits); code.op(Op.f64_reinterpret_i64); code.op(Op.f64_add); code.op(Op.i64_reinterpret_f64);
  return code.finish();
}
