/** FEAT_BTI: what indirect branches leave in PSTATE.BTYPE, and where they may land in guarded pages (Arm ARM D8.4.3; the tables of BTI, PACIASP and BR). */

import { expect, test } from 'vitest';
import { assemble } from '../../../machines/aarch64/assemble.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Word } from '../../../machines/aarch64/state.ts';
import { RAM, bareCore, get, program, set, setPstate } from '../../support/core.ts';
import { S1, map, tablesAt } from '../../support/tables.ts';

const GUARDED = 1n << 50n;
const TARGET = RAM + 0x2000;
const BT0 = 1n << 35n;
const BT1 = 1n << 36n;

interface Options { readonly el?: 0 | 1; readonly from?: bigint; readonly to?: bigint; readonly sctlr?: bigint }

/** `branch` at RAM by X16 or X0 or X30, its target TARGET; both pages mapped one to one, guarded or not. */
function branching(branch: string, landing: string, { el = 1, from = 0n, to = GUARDED, sctlr = 0n }: Options = {}): Core {
  const { core, memory } = bareCore({ el2: 'none', el: 1 });
  const tables = tablesAt(memory, RAM + 0x10_0000);
  const leaf = S1.AF | S1.INNER | (el === 0 ? S1.USER : 0n);
  map(tables, RAM, RAM, leaf | from);
  map(tables, TARGET, TARGET, leaf | to);
  set(core, 'TCR_EL1', 16n | (16n << 16n) | (5n << 32n));
  set(core, 'MAIR_EL1', 0xffn);
  set(core, 'TTBR0_EL1', BigInt(tables.root));
  set(core, 'VBAR_EL1', BigInt(RAM + 0x8000));
  set(core, 'SCTLR_EL1', 1n | sctlr);
  setPstate(core, el);
  program(memory, RAM, [assemble(branch, BigInt(RAM))]);
  program(memory, TARGET, [assemble(landing, BigInt(TARGET))]);
  for (const register of [0, 16, 17, 30]) core.words[register] = BigInt(TARGET);
  run(core, 1);
  return core;
}
const btype = (core: Core): number => (core.ints[2 * Word.PSTATE]! >> 10) & 3;

test.each([
  ['br x0', 0n, 1], ['br x0', GUARDED, 3], ['br x16', GUARDED, 1], ['br x17', GUARDED, 1], ['blr x0', 0n, 2], ['blr x16', GUARDED, 2], ['ret', GUARDED, 0],
  ['braaz x0', GUARDED, 3], ['braaz x0', 0n, 1], ['braaz x17', GUARDED, 1], ['blraaz x0', GUARDED, 2], ['retaa', GUARDED, 0], ['b 0x40002000', GUARDED, 0],
])('%s from a page with GP %#x leaves BTYPE %i', (branch, from, type) => {
  const core = branching(branch, 'bti jc', { from });
  expect([core.words[Word.PC], btype(core)]).toEqual([BigInt(TARGET), type]);
});

/** Which branches may land on what in a guarded page: BR by X16 (1), BLR (2), BR in a guarded page (3). */
test.each([
  ['nop', []], ['bti', []], ['bti c', [1, 2]], ['bti j', [1, 3]], ['bti jc', [1, 2, 3]], ['paciasp', [1, 2, 3]], ['pacibsp', [1, 2, 3]], ['autiasp', []], ['paciaz', []], ['brk #0', [1, 2, 3]], ['hlt #0', [1, 2, 3]],
] as const)('%s takes branches of types %o', (landing, accepted) => {
  for (const [type, branch] of [[1, 'br x16'], [2, 'blr x0'], [3, 'br x0']] as const) {
    const core = branching(branch, landing, { from: GUARDED });
    run(core, 1);
    const syndrome = get(core, 'ESR_EL1');
    const fault = syndrome >> 26n === 0x0dn;
    expect(`${branch}: ${fault ? 'fault' : 'lands'}`).toBe(`${branch}: ${(accepted as readonly number[]).includes(type) ? 'lands' : 'fault'}`);
    if (!fault) continue;
    expect([syndrome & 0x1ff_ffffn, get(core, 'ELR_EL1'), (get(core, 'SPSR_EL1') >> 10n) & 3n, btype(core)]).toEqual([BigInt(type), BigInt(TARGET), BigInt(type), 0]);
  }
});

test('SCTLR_EL1.BT1, and BT0 at EL0, keep jumps of type 3 off PACIASP', () => {
  for (const [el, bit, faults] of [[1, BT1, true], [1, BT0, false], [0, BT0, true], [0, BT1, false], [0, 0n, false]] as const) {
    const core = branching('br x0', 'paciasp', { el, from: GUARDED, sctlr: bit });
    run(core, 1);
    expect(`EL${el} ${bit}: ${get(core, 'ESR_EL1') >> 26n === 0x0dn}`).toBe(`EL${el} ${bit}: ${faults}`);
  }
});

test('in a page that is not guarded every instruction takes every branch, and clears BTYPE', () => {
  const core = branching('blr x0', 'nop', { to: 0n });
  run(core, 1);
  expect([core.words[Word.PC], btype(core)]).toEqual([BigInt(TARGET + 4), 0]);
});

test('BRK behind a branch saves BTYPE in SPSR_EL1, and ERET brings it back', () => {
  const core = branching('blr x0', 'brk #1', {});
  run(core, 1);
  expect((get(core, 'SPSR_EL1') >> 10n) & 3n).toBe(2n);
  // ERET to an instruction that does not take calls.
  program(core.board.memory, RAM + 0x8200, [assemble('eret')]);
  set(core, 'SCTLR_EL1', 0n);
  run(core, 1);
  expect(btype(core)).toBe(2);
});

test('an interrupt behind a branch saves BTYPE, so that the check is done when it is over', () => {
  const core = branching('blr x0', 'nop', {});
  core.words[Word.PSTATE] = core.words[Word.PSTATE]! & ~0x3c0n;
  core.words[Word.SERROR] = 2n;
  core.attention = true;
  set(core, 'VBAR_EL1', BigInt(RAM));
  program(core.board.memory, RAM + 0x380, [assemble('nop')]);
  run(core, 1);
  expect([(get(core, 'SPSR_EL1') >> 10n) & 3n, get(core, 'ELR_EL1')]).toEqual([2n, BigInt(TARGET)]);
});
