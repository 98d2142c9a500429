/** PSCI and SMCCC: what each call asks for, and what it does on a machine under L0, by SMC for a hypervisor and by HVC for a plain guest. */

import { describe, expect, test } from 'vitest';
import { drawRandom, firmwareCall, initialEntropy, INVALID_PARAMETERS, NOT_REQUIRED, NOT_SUPPORTED } from '../../../machines/kvm/psci.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, keep, load, OFF, runProgram, VECTORS } from '../../support/guest-program.ts';

const call = (...args: bigint[]) => firmwareCall([...args, 0n, 0n, 0n].slice(0, 4), 2);

describe('a call', () => {
  test.each<[string, bigint[], unknown]>([
    ['PSCI_VERSION is 1.1', [0x8400_0000n], { type: 'answer', value: 0x1_0001n }],
    ['CPU_SUSPEND', [0xc400_0001n], { type: 'cpu-suspend' }],
    ['CPU_OFF', [0x8400_0002n], { type: 'cpu-off' }],
    ['CPU_ON', [0xc400_0003n, 1n, 0x1_4000_0000n, 7n], { type: 'cpu-on', target: 1, entry: 0x1_4000_0000n, context: 7n }],
    ['CPU_ON in its 32-bit form has 32-bit arguments', [0x8400_0003n, 0xffff_ffff_0000_0001n, 0x1_4000_0000n, 0xf_0000_0007n], { type: 'cpu-on', target: 1, entry: 0x4000_0000n, context: 7n }],
    ['CPU_ON of a vCPU that there is not', [0xc400_0003n, 2n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['CPU_ON of another cluster', [0xc400_0003n, 0x100n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['CPU_ON of another Aff3', [0xc400_0003n, 1n << 32n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['AFFINITY_INFO', [0xc400_0004n, 1n], { type: 'affinity-info', target: 1 }],
    ['AFFINITY_INFO of nobody', [0xc400_0004n, 0xffn], { type: 'answer', value: INVALID_PARAMETERS }],
    ['MIGRATE_INFO_TYPE: no Trusted OS', [0x8400_0006n], { type: 'answer', value: 2n }],
    ['SYSTEM_OFF', [0x8400_0008n], { type: 'power', request: 'off' }],
    ['SYSTEM_RESET', [0x8400_0009n], { type: 'power', request: 'reset' }],
    ['CPU_SUSPEND with reserved bits in its power state', [0xc400_0001n, 0x8000_0000n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['CPU_SUSPEND of a power-down', [0xc400_0001n, 0x1_0000n, 0x4000_0000n, 7n], { type: 'cpu-suspend' }],
    ['SYSTEM_RESET2, warm', [0x8400_0012n, 0n], { type: 'power', request: 'reset' }],
    ['SYSTEM_RESET2 of the vendor', [0xc400_0012n, 0x8000_0000n], { type: 'power', request: 'reset' }],
    ['SYSTEM_RESET2 of a type that there is not', [0xc400_0012n, 1n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['PSCI_FEATURES of SMCCC_VERSION', [0x8400_000an, 0x8000_0000n], { type: 'answer', value: 0n }],
    ['PSCI_FEATURES of CPU_SUSPEND: the original format of power states', [0x8400_000an, 0xc400_0001n], { type: 'answer', value: 0n }],
    ['PSCI_FEATURES of what is not PSCI', [0x8400_000an, 0x8400_0050n], { type: 'answer', value: NOT_SUPPORTED }],
    ['SMCCC_ARCH_FEATURES of itself', [0x8000_0001n, 0x8000_0001n], { type: 'answer', value: 0n }],
    ['SMCCC_ARCH_FEATURES of WORKAROUND_1, which this core can do without', [0x8000_0001n, 0x8000_8000n], { type: 'answer', value: 1n }],
    ['SMCCC_ARCH_FEATURES of WORKAROUND_2', [0x8000_0001n, 0x8000_7fffn], { type: 'answer', value: NOT_REQUIRED }],
    ['SMCCC_ARCH_FEATURES of WORKAROUND_3', [0x8000_0001n, 0x8000_3fffn], { type: 'answer', value: 1n }],
    ['SMCCC_ARCH_FEATURES of SOC_ID: the board has no name', [0x8000_0001n, 0x8000_0002n], { type: 'answer', value: NOT_SUPPORTED }],
    ['WORKAROUND_1 does nothing', [0x8000_8000n], { type: 'answer', value: 0n }],
    ['TRNG_VERSION is 1.0', [0x8400_0050n], { type: 'answer', value: 0x1_0000n }],
    ['TRNG_FEATURES of RND64', [0x8400_0051n, 0xc400_0053n], { type: 'answer', value: 0n }],
    ['TRNG_FEATURES of what is not TRNG', [0x8400_0051n, 0x8400_0000n], { type: 'answer', value: NOT_SUPPORTED }],
    ['TRNG_RND64 of all the bits there can be', [0xc400_0053n, 192n], { type: 'random', bits: 192, width: 64 }],
    ['TRNG_RND64 of one more', [0xc400_0053n, 193n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['TRNG_RND32 of none', [0x8400_0053n, 0n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['TRNG_RND32 of more than fits', [0x8400_0053n, 97n], { type: 'answer', value: INVALID_PARAMETERS }],
    ['PSCI_FEATURES of CPU_ON', [0x8400_000an, 0xc400_0003n], { type: 'answer', value: 0n }],
    ['PSCI_FEATURES of what there is not', [0x8400_000an, 0x8400_000fn], { type: 'answer', value: NOT_SUPPORTED }],
    ['SMCCC_VERSION is 1.1', [0x8000_0000n], { type: 'answer', value: 0x1_0001n }],
    ['any other function', [0xc600_0000n], { type: 'answer', value: NOT_SUPPORTED }],
    ['a function is named by W0', [0xffff_ffff_8400_0000n], { type: 'answer', value: 0x1_0001n }],
  ])('%s', (_, args, request) => expect(call(...args)).toEqual(request));
});

test('TRNG_GET_UUID has four words, the first not what says that there is none', () => {
  const request = call(0x8400_0052n);
  const all = request.type === 'answer' ? [request.value, ...(request.more ?? [])] : [];
  expect(all.map((word) => word >> 32n)).toEqual([0n, 0n, 0n, 0n]);
  expect(all[0]).not.toBe(0xffff_ffffn);
});

describe('random bits', () => {
  const draw = (seed: number, stream: number, bits: number, width: 32 | 64) => drawRandom(initialEntropy(seed, stream), { type: 'random', bits, width });
  test('are as many as were asked for, the lowest in X3', () => {
    const [x1, x2, x3] = draw(1, 0, 70, 64).values as [bigint, bigint, bigint];
    expect([x1, x2 >> 6n, x2 === 0n && x3 === 0n]).toEqual([0n, 0n, false]);
    expect(draw(1, 0, 96, 32).values.map((word) => word >> 32n)).toEqual([0n, 0n, 0n]);
    expect(draw(1, 0, 1, 32).values.slice(0, 2)).toEqual([0n, 0n]);
  });
  test('are the same from the same seed, others from another, for another vCPU and the next time', () => {
    const values = (seed: number, stream: number) => draw(seed, stream, 192, 64).values.join();
    expect(values(1, 0)).toBe(values(1, 0));
    const next = drawRandom(draw(1, 0, 192, 64).entropy, { type: 'random', bits: 192, width: 64 }).values.join();
    expect(new Set([values(1, 0), values(2, 0), values(1, 1), next]).size).toBe(4);
  });
});

const CPU_ON = 0xc400_0003, CPU_OFF = 0x8400_0002, AFFINITY_INFO = 0xc400_0004;
const settings: [Mechanism, Flavour][] = [['none', 'nvhe'], ['nv2', 'vhe'], ['nv', 'nvhe'], ['pv', 'nvhe']];

/** The conduit of a guest: SMC where it has EL2, HVC where it has not. */
function psci(nested: Mechanism) {
  const conduit = nested === 'none' ? 'hvc #0' : 'smc #0';
  const of = (name: number, ...args: (number | string)[]): string =>
    [load('x0', name), ...args.map((argument, index) => (typeof argument === 'number' ? load(`x${index + 1}`, argument) : argument)), conduit, keep('x0')].join('\n');
  return { of, begin: nested === 'none' ? `${BEGIN.split('\n').slice(0, 4).join('\n')}` : BEGIN, off: nested === 'none' ? OFF.replace('smc', 'hvc') : OFF };
}

describe.each(settings)('under %s for %s', (nested, l1) => {
  const { of, begin, off } = psci(nested);
  const run = (text: string) => runProgram(`${begin}\n${text}\nlower: irq: b {irq}\n${VECTORS}`, { nested, l1, vcpus: 2, quantum: 200 });

  test('a vCPU is off, turned on once, on before it has run, turns itself off, and starts as from reset again', () => {
    const { results, word } = run([
      of(AFFINITY_INFO, 1), of(CPU_ON, 0, 0, 0), of(CPU_ON, 1, 'adr x2, {second}', 0x55), of(AFFINITY_INFO, 1), of(CPU_ON, 1, 'adr x2, {second}', 0x66),
      load('x10', 0x4021_0000), 'str x10, [x10, #0x100]; wait: ldr x11, [x10]; cbz x11, {wait}', load('x12', AFFINITY_INFO), 'gone: mov x0, x12; movz x1, #1; ' + (nested === 'none' ? 'hvc #0' : 'smc #0') + '; cbz x0, {gone}', keep('x0'),
      of(CPU_ON, 1, 'adr x2, {second}', 0x77), 'again: ldr x11, [x10, #0x20]; cbz x11, {again}', off,
      // The other: what it found in X0 and in SCTLR and TPIDR, which it then spoils; the second time 0x20 further on.
      'second:', load('x10', 0x4021_0000), 'cmp x0, #0x55; b.eq {first}; add x10, x10, #0x20', `first: mrs x1, SCTLR_EL1; str x1, [x10, #8]; mrs x1, ${nested === 'none' ? 'VBAR_EL1' : 'VBAR_EL2'}; str x1, [x10, #16]; mrs x1, CurrentEL; str x1, [x10, #24]; str x0, [x10]`,
      load('x1', 0x4021_0100), 'stay: ldr x2, [x1]; cbz x2, {stay}', load('x1', 0x4009_0000), `msr ${nested === 'none' ? 'VBAR_EL1' : 'VBAR_EL2'}, x1`, load('x0', CPU_OFF), nested === 'none' ? 'hvc #0' : 'smc #0', 'b {second}',
    ].join('\n'));
    const ALREADY_ON = 0xffff_ffff_ffff_fffcn;
    expect(results(7)).toEqual([1n, ALREADY_ON, 0n, 0n, ALREADY_ON, 1n, 0n]);
    const lives = [0x4021_0000, 0x4021_0020].map((at) => [0, 8, 16, 24].map((offset) => word(at + offset)));
    expect(lives[0]![0]).toBe(0x55n);
    expect(lives[1]![0]).toBe(0x77n);
    expect(lives[0]!.slice(1)).toEqual([lives[0]![1], 0n, nested === 'none' ? 4n : 8n]);
    expect(lives[1]!.slice(1)).toEqual(lives[0]!.slice(1));
  });

  test('random bits come in X1 to X3', () => {
    const { results } = run(`${of(0xc400_0053, 192)}\n${keep('x1')}\n${keep('x2')}\n${keep('x3')}\n${of(0x8400_0053, 33)}\n${keep('x1')}\n${keep('x2')}\n${off}`);
    const [status, a, b, c, status32, zero, high] = results(7);
    expect([status, status32, zero, high! >> 1n]).toEqual([0n, 0n, 0n, 0n]);
    expect(new Set([0n, a, b, c]).size).toBe(4);
  });

  test('SYSTEM_OFF ends the run', () => expect(run(off).world.state.ended).toMatchObject({ by: 'off' }));
});

test.each(['kvm', 'guest'] as const)('SMC with an immediate is no firmware call, under %s', (el2) => {
  const { results } = runProgram(`${BEGIN}\n${load('x0', 0x8400_0000)}\nsmc #1\n${keep('x0')}\n${OFF}\nlower: irq: b {irq}\n${VECTORS}`, { el2 });
  expect(results(1)).toEqual([NOT_SUPPORTED]);
});

test.each([['none', 'hvc #0'], ['guest', 'smc #0']] as const)('the bare board answers as L0 does: el2 %s by %s', (el2, conduit) => {
  const asks: [number, number][] = [[0x8400_0000, 0], [0x8400_000a, 0x8400_0012], [0x8000_0000, 0], [0x8000_0001, 0x8000_7fff], [0x8400_0006, 0], [0xc400_0004, 0], [0xc400_0004, 1], [0xc400_0053, 192], [0x8400_0040, 0]];
  const text = asks.map(([name, argument]) => `${load('x0', name)}\n${load('x1', argument)}\nmovz x2, #0\n${conduit}\n${keep('x0')}`).join('\n');
  const { results, world } = runProgram(`${load('x28', 0x4020_0000)}\n${text}\n${keep('x1')}\n${load('x0', 0xc400_0053)}\n${load('x1', 64)}\n${conduit}\n${keep('x3')}\n${load('x0', 0x8400_0008)}\n${conduit}`, { el2, vcpus: 2 });
  expect(results(9)).toEqual([0x1_0001n, 0n, 0x1_0001n, NOT_REQUIRED, 2n, 0n, 1n, 0n, NOT_SUPPORTED]);
  expect(results(11)[10]).not.toBe(0n);
  expect(world.state.ended).toMatchObject({ by: 'off' });
});
