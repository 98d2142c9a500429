/** PSCI and SMCCC: what each call asks for, and what it does on a machine under L0, by SMC for a hypervisor and by HVC for a plain guest. */

import { describe, expect, test } from 'vitest';
import { firmwareCall, INVALID_PARAMETERS, NOT_SUPPORTED } from '../../../machines/kvm/psci.ts';
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
    ['PSCI_FEATURES of CPU_ON', [0x8400_000an, 0xc400_0003n], { type: 'answer', value: 0n }],
    ['PSCI_FEATURES of what there is not', [0x8400_000an, 0x8400_000fn], { type: 'answer', value: NOT_SUPPORTED }],
    ['SMCCC_VERSION is 1.1', [0x8000_0000n], { type: 'answer', value: 0x1_0001n }],
    ['any other function', [0xc600_0000n], { type: 'answer', value: NOT_SUPPORTED }],
    ['a function is named by W0', [0xffff_ffff_8400_0000n], { type: 'answer', value: 0x1_0001n }],
  ])('%s', (_, args, request) => expect(call(...args)).toEqual(request));
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

  test('SYSTEM_OFF ends the run', () => expect(run(off).world.state.ended).toMatchObject({ by: 'off' }));
});

test('SMC with an immediate is no firmware call', () => {
  const { results } = runProgram(`${BEGIN}\n${load('x0', 0x8400_0000)}\nsmc #1\n${keep('x0')}\n${OFF}\nlower: irq: b {irq}\n${VECTORS}`, { nested: 'nv2' });
  expect(results(1)).toEqual([NOT_SUPPORTED]);
});
