/** Floating point at its edges, each by the rule of the manual that decides it: results and cumulative flags, worked out by hand. */

import { describe, expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { decode } from '../../../machines/aarch64/decode.ts';
import { probe } from '../../../machines/aarch64/engine/probe.ts';
import { floatBinary, floatMultiplyAdd, squareRoot } from '../../../machines/aarch64/engine/float/arithmetic.ts';
import { brainDot } from '../../../machines/aarch64/engine/float/brain.ts';
import { floatConvert, floatRound, floatToBrain, floatToInteger, floatToJavaScript, integerToFloat } from '../../../machines/aarch64/engine/float/convert.ts';
import { floatUnary, reciprocalEstimate, reciprocalSquareRootEstimate } from '../../../machines/aarch64/engine/float/estimate.ts';
import { Fpcr, Fpsr, type FloatEnvironment } from '../../../machines/aarch64/engine/float/format.ts';
import { ReferenceEngine } from '../../../machines/aarch64/engine/reference.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import { bareCore, get, set } from '../../support/core.ts';
import { mrs, msr } from '../../support/system-access.ts';

const { IOC, DZC, OFC, UFC, IXC, IDC } = Fpsr;
const { FZ, FZ16, DN, AHP } = Fpcr;
const PLUS = 1 << 22, MINUS = 2 << 22, TOWARDS_ZERO = 3 << 22;

// Single precision by its bits.
const ONE = 0x3f80_0000n, TWO = 0x4000_0000n, INF = 0x7f80_0000n, MAX = 0x7f7f_ffffn, QNAN = 0x7fc0_0001n, SNAN = 0x7f80_0002n, DEFAULT = 0x7fc0_0000n, TINY = 1n, MIN_NORMAL = 0x0080_0000n;
const minus = (value: bigint): bigint => value | 0x8000_0000n;

type Act = (env: FloatEnvironment) => unknown;
/** What the act gives under FPCR, and the flags that it leaves. */
type Claim = readonly [rule: string, fpcr: number, act: Act, result: unknown, flags: number];

function claims(name: string, rows: readonly Claim[]): void {
  describe(name, () => {
    test.each(rows)('%s', (_rule, fpcr, act, result, flags) => {
      const env = { fpcr, flags: 0 };
      const show = (value: unknown): unknown => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value);
      expect([show(act(env)), env.flags]).toEqual([show(result), flags]);
    });
  });
}

const binary = (operation: Parameters<typeof floatBinary>[0], a: bigint, b: bigint): Act => (env) => floatBinary(operation, 32, a, b, env);
const fused = (addend: bigint, a: bigint, b: bigint): Act => (env) => floatMultiplyAdd(32, addend, a, b, env);
const unary = (operation: Parameters<typeof floatUnary>[0], a: bigint): Act => (env) => floatUnary(operation, 32, a, env);

claims('FPRound', [
  // 2^-126 * (1 - 2^-24) lies half way below the smallest normal number and rounds up to it.
  ['underflow is found before rounding, even when the result is normal', 0, binary('multiply', 0x3f7f_ffffn, MIN_NORMAL), MIN_NORMAL, UFC | IXC],
  ['a denormal result that is exact is no underflow', 0, binary('multiply', 0x3f00_0000n, MIN_NORMAL), 0x0040_0000n, 0],
  ['FZ flushes what is below the normal range before rounding, and sets UFC alone', FZ, binary('multiply', 0xbf7f_ffffn, MIN_NORMAL), minus(0n), UFC],
  ['overflow to nearest gives infinity', 0, binary('add', MAX, MAX), INF, OFC | IXC],
  ['overflow towards zero gives the largest number', TOWARDS_ZERO, binary('add', MAX, MAX), MAX, OFC | IXC],
  ['overflow towards plus infinity of a negative number gives the largest', PLUS, binary('add', minus(MAX), minus(MAX)), minus(MAX), OFC | IXC],
  ['overflow towards minus infinity of a negative number gives infinity', MINUS, binary('add', minus(MAX), minus(MAX)), minus(INF), OFC | IXC],
  ['ties go to even', 0, binary('add', 0x4b80_0000n, ONE), 0x4b80_0000n, IXC],
]);

claims('FPUnpack', [
  ['FZ makes a denormal operand zero and sets IDC, not IXC', FZ, binary('add', TINY, ONE), ONE, IDC],
  ['without FZ it counts', PLUS, binary('add', TINY, ONE), 0x3f80_0001n, IXC],
  ['FZ sets IDC when the other operand is a NaN', FZ, binary('add', TINY, QNAN), QNAN, IDC],
  ['FZ16 makes a half-precision one zero and sets nothing', FZ16, (env) => floatBinary('add', 16, 1n, 0x3c00n, env), 0x3c00n, 0],
  ['FZ is not for half precision', FZ | PLUS, (env) => floatBinary('add', 16, 1n, 0x3c00n, env), 0x3c01n, IXC],
  ['AHP is for conversions only', AHP, (env) => floatBinary('add', 16, 0x7c00n, 0x3c00n, env), 0x7c00n, 0],
]);

claims('FPProcessNaNs', [
  ['a signalling NaN goes before a quiet one', 0, binary('add', QNAN, SNAN), 0x7fc0_0002n, IOC],
  ['of two quiet ones the first', 0, binary('multiply', QNAN, minus(DEFAULT)), QNAN, 0],
  ['DN gives the default NaN', DN, binary('multiply', minus(QNAN), ONE), DEFAULT, 0],
  ['FPSub leaves the sign of a NaN', 0, binary('subtract', ONE, minus(QNAN)), minus(QNAN), 0],
  ['FPRecipStepFused negates its first operand, a NaN too', 0, binary('reciprocal-step', QNAN, ONE), minus(QNAN), 0],
  ['FPProcessNaNs3: the addend comes first', 0, fused(QNAN, 0x7fc0_0005n, ONE), QNAN, 0],
  ['FPProcessNaNs3: but a signalling factor before it', 0, fused(QNAN, ONE, SNAN), 0x7fc0_0002n, IOC],
]);

claims('FPAdd, FPMul, FPDiv, FPSqrt', [
  ['infinities of opposite signs', 0, binary('add', INF, minus(INF)), DEFAULT, IOC],
  ['an exact zero is positive', 0, binary('subtract', ONE, ONE), 0n, 0],
  ['but negative when rounding towards minus infinity', MINUS, binary('subtract', ONE, ONE), minus(0n), 0],
  ['zeros of one sign keep it', PLUS, binary('add', minus(0n), minus(0n)), minus(0n), 0],
  ['zero by infinity', 0, binary('multiply', 0n, INF), DEFAULT, IOC],
  ['FPMulX: zero by infinity is two', 0, binary('multiply-extended', 0n, minus(INF)), minus(TWO), 0],
  ['a number by zero', 0, binary('divide', ONE, minus(0n)), minus(INF), DZC],
  ['infinity by zero is no division by zero', 0, binary('divide', INF, 0n), INF, 0],
  ['zero by zero', 0, binary('divide', 0n, 0n), DEFAULT, IOC],
  ['a flushed divisor is a zero', FZ, binary('divide', ONE, TINY), INF, DZC | IDC],
  ['the root of a negative number', 0, unary('square-root', minus(ONE)), DEFAULT, IOC],
  ['the root of minus zero', 0, unary('square-root', minus(0n)), minus(0n), 0],
  ['the root of two', 0, unary('square-root', TWO), 0x3fb5_04f3n, IXC],
]);

claims('FPMulAdd', [
  ['zero by infinity is invalid beside a quiet NaN', 0, fused(QNAN, 0n, INF), DEFAULT, IOC],
  ['infinities that cancel', 0, fused(minus(INF), INF, ONE), DEFAULT, IOC],
  // (1 + 2^-23) * (1 - 2^-23) - 1 = -2^-46.
  ['one rounding', 0, fused(minus(ONE), 0x3f80_0001n, 0x3f7f_fffen), 0xa880_0000n, 0],
]);

claims('FPMax, FPMin, FPMaxNum, FPMinNum', [
  ['of zeros the maximum is positive', 0, binary('maximum', minus(0n), 0n), 0n, 0],
  ['of zeros the minimum is negative', 0, binary('minimum', 0n, minus(0n)), minus(0n), 0],
  ['a NaN wins', 0, binary('maximum', ONE, QNAN), QNAN, 0],
  ['a quiet NaN loses to a number', 0, binary('maximum-number', QNAN, minus(ONE)), minus(ONE), 0],
  ['a signalling one does not', 0, binary('minimum-number', SNAN, ONE), 0x7fc0_0002n, IOC],
]);

claims('FPRecipEstimate, FPRSqrtEstimate, FPRecpX, the fused steps', [
  ['of one', 0, unary('reciprocal-estimate', ONE), 0x3f7f_8000n, 0],
  ['of zero', 0, unary('reciprocal-estimate', minus(0n)), minus(INF), DZC],
  ['below 2^-128 it overflows', 0, unary('reciprocal-estimate', 0x000f_ffffn), INF, OFC | IXC],
  ['and towards zero gives the largest', TOWARDS_ZERO, unary('reciprocal-estimate', 0x000f_ffffn), MAX, OFC | IXC],
  // 2^-128 itself has the exponent field -1: 253 + 1.
  ['at 2^-128 it does not', 0, unary('reciprocal-estimate', 0x0020_0000n), 0x7f00_0000n | 0x7f_8000n, 0],
  ['above 2^126 it is denormal', 0, unary('reciprocal-estimate', 0x7f00_0000n), 0x0020_0000n | 0x1f_e000n, 0],
  ['which FZ flushes', FZ, unary('reciprocal-estimate', 0x7f00_0000n), 0n, UFC],
  ['root of one', 0, unary('reciprocal-square-root-estimate', ONE), 0x3f7f_8000n, 0],
  ['root of minus zero', 0, unary('reciprocal-square-root-estimate', minus(0n)), minus(INF), DZC],
  ['root of a negative number', 0, unary('reciprocal-square-root-estimate', minus(ONE)), DEFAULT, IOC],
  ['exponent of one', 0, unary('reciprocal-exponent', 0x3fc0_0000n), TWO, 0],
  ['exponent of a denormal number', 0, unary('reciprocal-exponent', minus(TINY)), 0xff00_0000n, 0],
  ['exponent of infinity', 0, unary('reciprocal-exponent', INF), 0n, 0],
  ['2 - zero by infinity', 0, binary('reciprocal-step', 0n, INF), TWO, 0],
  ['(3 - zero by infinity) / 2', 0, binary('reciprocal-square-root-step', INF, minus(0n)), 0x3fc0_0000n, 0],
  ['(3 - 1) / 2', 0, binary('reciprocal-square-root-step', ONE, ONE), ONE, 0],
]);

test('the estimates are between 256 and 511, and as near as nine bits come', () => {
  for (let value = 256; value < 512; value += 1) {
    expect(Math.abs(reciprocalEstimate(value) - 2 ** 17 / (value + 0.5))).toBeLessThanOrEqual(0.51);
    expect([reciprocalEstimate(value) >= 256, reciprocalEstimate(value) <= 511]).toEqual([true, true]);
  }
  expect([128, 255, 256, 511].map(reciprocalSquareRootEstimate)).toEqual([511, 362, 361, 256]);
});

const DOUBLE_ONE = 0x3ff0_0000_0000_0000n;
claims('FPConvert', [
  ['a payload keeps its most significant bits', 0, (env) => floatConvert(32, 16, 0xffd2_3456n, 'current', env), 0xfe91n, 0],
  ['a signalling NaN becomes quiet', 0, (env) => floatConvert(64, 32, 0x7ff0_0000_0000_0001n, 'current', env), DEFAULT, IOC],
  ['FZ16 does not flush what is converted from', FZ16, (env) => floatConvert(16, 32, 1n, 'current', env), 0x3380_0000n, 0],
  ['nor to', FZ16 | FZ, (env) => floatConvert(32, 16, 0x3380_0000n, 'current', env), 1n, 0],
  ['FZ flushes single precision', FZ, (env) => floatConvert(32, 64, TINY, 'current', env), 0n, IDC],
  ['AHP: an infinity is the largest number, and invalid', AHP, (env) => floatConvert(32, 16, minus(INF), 'current', env), 0xffffn, IOC],
  ['AHP: a NaN is zero, and invalid', AHP, (env) => floatConvert(32, 16, QNAN, 'current', env), 0n, IOC],
  ['AHP: 65536 is a number', AHP, (env) => floatConvert(32, 16, 0x4780_0000n, 'current', env), 0x7c00n, 0],
  ['AHP: overflow is Invalid Operation alone', AHP, (env) => floatConvert(32, 16, 0x4800_0000n, 'current', env), 0x7fffn, IOC],
  ['AHP: from half precision too', AHP, (env) => floatConvert(16, 32, 0x7e00n, 'current', env), 0x47c0_0000n, 0],
  ['FCVTXN rounds to odd', 0, (env) => floatConvert(64, 32, DOUBLE_ONE + 1n, 'odd', env), 0x3f80_0001n, IXC],
  ['and never to infinity', 0, (env) => floatConvert(64, 32, 0x7fe0_0000_0000_0000n, 'odd', env), MAX, OFC | IXC],
  ['BFCVT rounds to nearest even', 0, (env) => floatToBrain(0x3f81_8000n, env), 0x3f82n, IXC],
  ['BFCVT makes a NaN quiet', 0, (env) => floatToBrain(SNAN, env), 0x7fc0n, IOC],
  ['BFCVT flushes by FZ', FZ, (env) => floatToBrain(minus(TINY), env), 0x8000n, IDC],
]);

claims('FPToFixed, FixedToFP, FPToFixedJS', [
  ['saturation is Invalid Operation alone', 0, (env) => floatToInteger(32, 0x4f00_0000n, 32, true, 0, 'zero', env), 0x7fff_ffffn, IOC],
  ['the most negative integer fits', 0, (env) => floatToInteger(32, 0xcf00_0000n, 32, true, 0, 'zero', env), 0x8000_0000n, 0],
  ['a NaN is zero', 0, (env) => floatToInteger(32, QNAN, 64, true, 0, 'zero', env), 0n, IOC],
  ['-1/2 to unsigned is an inexact zero', 0, (env) => floatToInteger(32, 0xbf00_0000n, 32, false, 0, 'zero', env), 0n, IXC],
  ['-1/2 rounded down to unsigned is below zero', 0, (env) => floatToInteger(32, 0xbf00_0000n, 32, false, 0, 'minus', env), 0n, IOC],
  ['ties away from zero', 0, (env) => floatToInteger(32, 0xc020_0000n, 32, true, 0, 'away', env), 0xffff_fffdn, IXC],
  ['fraction bits', 0, (env) => floatToInteger(32, 0x3fa0_0000n, 32, true, 2, 'zero', env), 5n, 0],
  ['2^64 - 1 rounds up', 0, (env) => integerToFloat(64, 0xffff_ffff_ffff_ffffn, 64, false, 0, env), 0x43f0_0000_0000_0000n, IXC],
  ['zero is positive', MINUS, (env) => integerToFloat(32, 0n, 32, true, 5, env), 0n, 0],
  ['an integer is too much for half precision', 0, (env) => integerToFloat(16, 65520n, 32, true, 0, env), 0x7c00n, OFC | IXC],
  ['JS: modulo 2^32, Invalid Operation', 0, (env) => floatToJavaScript(0x41f0_0000_0010_0000n, env)[0], 1n, IOC],
  ['JS: -0 is no integer', 0, (env) => floatToJavaScript(1n << 63n, env)[1], false, 0],
  ['JS: +0 is', 0, (env) => floatToJavaScript(0n, env)[1], true, 0],
  ['JS: infinity is zero', 0, (env) => floatToJavaScript(0x7ff0_0000_0000_0000n, env)[0], 0n, IOC],
]);

claims('FPRoundInt, FPRoundIntN', [
  ['-1/2 to nearest is minus zero', 0, (env) => floatRound(32, 0xbf00_0000n, 'even', false, undefined, env), minus(0n), 0],
  ['FRINTX reports what is inexact', 0, (env) => floatRound(32, 0x3fc0_0000n, 'current', true, undefined, env), TWO, IXC],
  ['2^31 is out of range', 0, (env) => floatRound(32, 0x4f00_0000n, 'zero', true, 32, env), 0xcf00_0000n, IOC],
  ['-2^31 is not', 0, (env) => floatRound(32, 0xcf00_0000n, 'zero', true, 32, env), 0xcf00_0000n, 0],
  ['a NaN is', 0, (env) => floatRound(64, 0x7ff8_0000_0000_0000n, 'zero', true, 64, env), 0xc3e0_0000_0000_0000n, IOC],
]);

claims('BFDotAdd', [
  ['sums round to odd, and set nothing', 0, () => brainDot(0n, 0x3080_3f80n, 0x3f80_3f80n), 0x3f80_0001n, 0],
  ['denormal factors are zeros', 0, () => brainDot(0n, 0x007fn, 0x7f00n), 0n, 0],
  ['every NaN gives the default one', 0, () => brainDot(minus(QNAN), 0n, 0n), DEFAULT, 0],
  ['what is too large is infinity', TOWARDS_ZERO, () => brainDot(0n, 0x7f00n, 0x7f00n), INF, 0],
]);

test('integer roots are the largest whose square is not beyond', () => {
  for (let bits = 1n; bits < 130n; bits += 1n) {
    for (const value of [1n << bits, (1n << bits) - 1n, (1n << bits) + 1n]) {
      const root = squareRoot(value);
      expect(root * root <= value && (root + 1n) * (root + 1n) > value).toBe(true);
    }
  }
});

describe('instructions', () => {
  const world = (): ReturnType<typeof bareCore>['core'] => {
    const { core } = bareCore({ el: 1, el2: 'none' });
    set(core, 'CPACR_EL1', 3n << 20n);
    return core;
  };
  const execute = (core: ReturnType<typeof world>, text: string): void => {
    const { semantics, fields } = decode(assemble(text));
    semantics(new ReferenceEngine(core), fields);
  };

  test('FCCMP whose condition does not hold compares nothing', () => {
    const core = world();
    core.words[Word.VECTOR + 2] = SNAN;
    core.words[Word.NZCV] = 0n;
    execute(core, 'fccmpe s1, s1, #0x5, eq');
    expect([core.words[Word.NZCV], get(core, 'FPSR')]).toEqual([5n, 0n]);
    execute(core, 'fccmpe s1, s1, #0x5, vs');
    expect([core.words[Word.NZCV], get(core, 'FPSR')]).toEqual([3n, 1n]);
  });

  test('a scalar clears what is above it, and flags accumulate', () => {
    const core = world();
    core.words[Word.VECTOR] = ~0n & 0xffff_ffff_ffff_ffffn;
    core.words[Word.VECTOR + 1] = 5n;
    core.words[Word.VECTOR + 2] = ONE;
    set(core, 'FPSR', 1n << 27n);
    execute(core, 'fdiv s0, s1, s3');
    expect([core.words[Word.VECTOR], core.words[Word.VECTOR + 1], get(core, 'FPSR')]).toEqual([INF, 0n, (1n << 27n) | 2n]);
  });

  test('FCMGT of a quiet NaN is invalid and FCMEQ is not', () => {
    const core = world();
    core.words[Word.VECTOR + 2] = QNAN;
    execute(core, 'fcmeq s0, s1, s1');
    expect([core.words[Word.VECTOR], get(core, 'FPSR')]).toEqual([0n, 0n]);
    execute(core, 'fcmgt s0, s1, s1');
    expect([core.words[Word.VECTOR], get(core, 'FPSR')]).toEqual([0n, 1n]);
  });

  test('FMLAL takes half precision as it is: AHP does nothing, FZ16 flushes without a flag, FZ does not flush', () => {
    const core = world();
    const product = (fpcr: number, half: bigint): bigint => {
      set(core, 'FPCR', BigInt(fpcr));
      core.words[Word.VECTOR] = 0n;
      core.words[Word.VECTOR + 2] = half;
      core.words[Word.VECTOR + 4] = 0x3c00n;
      execute(core, 'fmlal v0.2s, v1.2h, v2.2h');
      return core.words[Word.VECTOR]!;
    };
    expect([product(AHP, 0x7c00n), product(FZ16, 1n), product(FZ, 1n), product(0, 0x83ffn)]).toEqual([INF, 0n, 0x3380_0000n, 0xb87f_c000n]);
    expect(get(core, 'FPSR')).toBe(0n);
  });

  test('finding what an instruction accesses sets no flags', () => {
    const core = world();
    core.words[Word.VECTOR + 2] = SNAN;
    expect(probe(core, decode(assemble('fadd s0, s1, s1')))).toEqual([]);
    expect(get(core, 'FPSR')).toBe(0n);
  });

  test('FMOV (immediate) is read and written as objdump does', () => {
    expect(assemble('fmov d0, #1.0')).toBe(assemble('fmov d0, #1.000000000000000000e+00'));
    expect(() => assemble('fmov d0, #0.3')).toThrow(SyntaxError);
    expect(() => assemble('fmov v0.2d, #1.0')).not.toThrow();
    expect(() => assemble('fmov v0.1d, #1.0')).toThrow(SyntaxError);
  });
});

describe('FPCR and FPSR', () => {
  test('keep what has a function: no trap enables, no vectors of AArch32', () => {
    const { core } = bareCore({ el: 1, el2: 'none' });
    set(core, 'CPACR_EL1', 3n << 20n);
    for (const name of ['FPCR', 'FPSR']) expect(msr(core, name, (1n << 64n) - 1n)).toBe('done');
    expect([mrs(core, 'FPCR'), mrs(core, 'FPSR')]).toEqual([0x07c8_0000n, 0x0800_009fn]);
  });

  test('trap as floating-point instructions do: CPACR_EL1.FPEN first, then CPTR_EL2', () => {
    const { core } = bareCore({ el: 1, el2: 'kvm' });
    for (const name of ['FPCR', 'FPSR']) {
      set(core, 'CPACR_EL1', 0n);
      set(core, 'CPTR_EL2', 1n << 10n);
      expect([mrs(core, name), msr(core, name, 0n)]).toEqual(['EL1: EC 0x7', 'EL1: EC 0x7']);
      set(core, 'CPACR_EL1', 3n << 20n);
      expect([mrs(core, name), msr(core, name, 0n)]).toEqual(['EL2: EC 0x7', 'EL2: EC 0x7']);
      set(core, 'CPTR_EL2', 0n);
      expect([mrs(core, name), msr(core, name, 0n)]).toEqual([0n, 'done']);
    }
  });
});
