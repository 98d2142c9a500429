/** Which vector and floating-point operations have WebAssembly instructions, and which are the reference engine's. */

import type { FloatBinary, FloatSize, Lane, LaneOperation, LaneUnary, Rounding } from '../vector-builder.ts';
import { Op, Simd } from './wasm/code.ts';

export const BY_LANE: Readonly<Partial<Record<LaneOperation, Readonly<Partial<Record<Lane, number>>>>>> = {
  add: { 8: Simd.i8x16_add, 16: Simd.i16x8_add, 32: Simd.i32x4_add, 64: Simd.i64x2_add },
  subtract: { 8: Simd.i8x16_sub, 16: Simd.i16x8_sub, 32: Simd.i32x4_sub, 64: Simd.i64x2_sub },
  multiply: { 16: Simd.i16x8_mul, 32: Simd.i32x4_mul, 64: Simd.i64x2_mul },
  'signed-maximum': { 8: Simd.i8x16_max_s, 16: Simd.i16x8_max_s, 32: Simd.i32x4_max_s },
  'signed-minimum': { 8: Simd.i8x16_min_s, 16: Simd.i16x8_min_s, 32: Simd.i32x4_min_s },
  'unsigned-maximum': { 8: Simd.i8x16_max_u, 16: Simd.i16x8_max_u, 32: Simd.i32x4_max_u },
  'unsigned-minimum': { 8: Simd.i8x16_min_u, 16: Simd.i16x8_min_u, 32: Simd.i32x4_min_u },
  'saturating-add-signed': { 8: Simd.i8x16_add_sat_s, 16: Simd.i16x8_add_sat_s },
  'saturating-add-unsigned': { 8: Simd.i8x16_add_sat_u, 16: Simd.i16x8_add_sat_u },
  'saturating-subtract-signed': { 8: Simd.i8x16_sub_sat_s, 16: Simd.i16x8_sub_sat_s },
  'saturating-subtract-unsigned': { 8: Simd.i8x16_sub_sat_u, 16: Simd.i16x8_sub_sat_u },
  'rounding-average-unsigned': { 8: Simd.i8x16_avgr_u, 16: Simd.i16x8_avgr_u },
  equal: { 8: Simd.i8x16_eq, 16: Simd.i16x8_eq, 32: Simd.i32x4_eq, 64: Simd.i64x2_eq },
  'greater-signed': { 8: Simd.i8x16_gt_s, 16: Simd.i16x8_gt_s, 32: Simd.i32x4_gt_s, 64: Simd.i64x2_gt_s },
  'greater-unsigned': { 8: Simd.i8x16_gt_u, 16: Simd.i16x8_gt_u, 32: Simd.i32x4_gt_u },
};
export const UNARY: Readonly<Partial<Record<LaneUnary, Readonly<Partial<Record<Lane, number>>>>>> = {
  negate: { 8: Simd.i8x16_neg, 16: Simd.i16x8_neg, 32: Simd.i32x4_neg, 64: Simd.i64x2_neg },
  absolute: { 8: Simd.i8x16_abs, 16: Simd.i16x8_abs, 32: Simd.i32x4_abs, 64: Simd.i64x2_abs },
  'count-ones': { 8: Simd.i8x16_popcnt },
};
/** Whether the operation is emitted; the others are the reference engine's. Of 64-bit elements, maxima and unsigned comparisons are made of others. */
export const hasLanes = (operation: LaneOperation, lane: Lane): boolean =>
  BY_LANE[operation]?.[lane] !== undefined || (lane === 64 && (operation === 'greater-unsigned' || /m(ax|in)imum$/.test(operation))) || (lane === 8 && operation === 'multiply');
export const hasLanesUnary = (operation: LaneUnary, lane: Lane): boolean => UNARY[operation]?.[lane] !== undefined;

export const ARITHMETIC = {
  add: [Op.f32_add, Op.f64_add], subtract: [Op.f32_sub, Op.f64_sub], multiply: [Op.f32_mul, Op.f64_mul], 'multiply-extended': [Op.f32_mul, Op.f64_mul], divide: [Op.f32_div, Op.f64_div],
} as const;
/** WebAssembly's minimum and maximum: of zeros, the negative one is less, as Arm has it. */
export const EXTREMA = {
  maximum: [Op.f32_max, Op.f64_max], minimum: [Op.f32_min, Op.f64_min], 'maximum-number': [Op.f32_max, Op.f64_max], 'minimum-number': [Op.f32_min, Op.f64_min],
} as const;
export const COMPARISONS = { equal: [Op.f32_eq, Op.f64_eq], greater: [Op.f32_gt, Op.f64_gt], 'greater-or-equal': [Op.f32_ge, Op.f64_ge] } as const;
export const ROUNDINGS: Readonly<Partial<Record<Rounding, readonly [number, number]>>> = {
  current: [Op.f32_nearest, Op.f64_nearest], even: [Op.f32_nearest, Op.f64_nearest], plus: [Op.f32_ceil, Op.f64_ceil], minus: [Op.f32_floor, Op.f64_floor], zero: [Op.f32_trunc, Op.f64_trunc],
};

/** Which operations have a fast form; the others are the reference engine's always. */
export const hasFloatBinary = (operation: FloatBinary, size: FloatSize): boolean => size !== 16 && (operation in ARITHMETIC || operation in EXTREMA);
export const hasFloatRounding = (size: FloatSize, rounding: Rounding): boolean => size !== 16 && ROUNDINGS[rounding] !== undefined;
