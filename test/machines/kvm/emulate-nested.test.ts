/** Each control that L1 sets, alone, gives L1 exactly the accesses of L2 that its rows name, as on a bare board. */

import { describe, expect, test } from 'vitest';
import { systemIss } from '../../../machines/aarch64/access.ts';
import { OPERATIONS } from '../../../machines/aarch64/registers/operations.ts';
import { fieldBits } from '../../../machines/aarch64/registers/row.ts';
import { IMPLEMENTED_REGISTERS, registerByName } from '../../../machines/aarch64/sysregs.ts';
import { TRAPS } from '../../../machines/aarch64/traps.ts';
import type { Flavour, Mechanism } from '../../../machines/kvm/state.ts';
import { BEGIN, BELOW, load, OFF, RESULTS, runProgram, VECTORS, type ProgramOptions } from '../../support/guest-program.ts';

const FLAVOURS: readonly Flavour[] = ['vhe', 'nvhe'];
const MECHANISMS: readonly Mechanism[] = ['nv2', 'nv', 'pv'];

/** What L2 does: reads and writes of what EL1 has, with X1 zero or what was just read, and every system instruction of EL1. */
interface Access { readonly name: string; readonly text: string; readonly iss: number }
const UNTOUCHED = /^(SPSel|DAIF|PAN|UAO|VBAR_EL1|SCTLR_EL1|CNT.*TVAL|CNT.*CTL_EL0|MDSCR_EL1|RMR_EL1|SP_EL0|DBG.*|ICC_SRE_EL1)$/;
/** Of the identification registers, which all trap alike, and to L0 whatever L1 says, a few stand for all. CNT*SS is FEAT_ECV's, which L0 has and does not show. */
const isSpared = (name: string): boolean => (/^(ID_|MVFR|S3_0_C0_)/.test(name) && !/^(ID_AA64PFR0_EL1|ID_PFR0_EL1|MVFR1_EL1|S3_0_C0_C7_7)$/.test(name)) || /^CNT.CTSS/.test(name);
const ACCESSES: readonly Access[] = [
  ...IMPLEMENTED_REGISTERS.filter((row) => row.el <= 1 && !isSpared(row.name) && row.alias === undefined && row.hole === undefined && !row.name.startsWith('DBGB') && !row.name.startsWith('DBGW')).flatMap((row) => [
    ...(row.access === 'W' ? [] : [{ name: row.name, text: `mrs x1, ${row.name}`, iss: systemIss(row.encoding, 1, false) }]),
    ...(row.access === 'R' || UNTOUCHED.test(row.name) || (row.writeEl ?? 1) !== 1 ? [] : [{ name: row.name, text: `msr ${row.name}, x1`, iss: systemIss(row.encoding, 1, true) }]),
    ...(row.name === 'SCTLR_EL1' ? [{ name: row.name, text: 'msr SCTLR_EL1, x10', iss: systemIss(row.encoding, 10, true) }] : []),
    ...(row.name === 'VBAR_EL1' ? [{ name: row.name, text: 'msr VBAR_EL1, x9', iss: systemIss(row.encoding, 9, true) }] : []),
  ]),
  ...OPERATIONS.filter((operation) => operation.el <= 1).map((operation) => ({ name: operation.name, text: `.inst 0x${((0xd500_0000 | (operation.encoding << 5) | 8) >>> 0).toString(16)}`, iss: systemIss(operation.encoding, 8, true) })),
  // HCR_EL2.TIDCP: IMPLEMENTATION DEFINED.
  { name: 'S3_0_C15_C0_0', text: '.inst 0xd538f001', iss: systemIss(0xc780, 1, false) },
];
const nameOf = new Map(ACCESSES.map(({ name, iss }) => [iss, `${(iss & 1) === 1 ? 'read' : 'write'} ${name}`]));

const L2 = [
  load('x8', RESULTS + 0x10_0000), load('x9', BELOW + 0x8000), load('x10', 0x30d0_0980), 'msr VBAR_EL1, x9',
  ...ACCESSES.flatMap(({ text }) => ['movz x1, #0', text]),
  'hvc #0',
  // Whatever is UNDEFINED is passed over.
  ...[0, 0x200].flatMap((offset) => [`.org 0x${(0x8000 + offset).toString(16)}`, 'mrs x2, ELR_EL1; add x2, x2, #4; msr ELR_EL1, x2; eret']),
].join('\n');

interface Control { readonly name: string; readonly register: string; readonly bit: number; readonly set: boolean }
const field = (name: string): number => {
  const [register, which] = name.split('.') as [string, string];
  const fields = registerByName(register)!.fields!;
  const bits = fieldBits(fields, [which]);
  return bits.toString(2).length - 1;
};
const control = (name: string): Control => ({ name, register: name.split('.')[0]!, bit: field(name), set: true });
const HCR = ['TVM', 'TRVM', 'TACR', 'TID1', 'TID2', 'TID3', 'TID4', 'TIDCP', 'TSW', 'TPCP', 'TPU', 'TOCU', 'TICAB', 'TDZ', 'TTLB', 'TTLBIS', 'TTLBOS', 'TLOR', 'TERR', 'IMO', 'FMO'].map((name) => control(`HCR_EL2.${name}`));
const MDCR = ['TDA', 'TDE', 'TDOSA', 'TDRA', 'TPM'].map((name) => control(`MDCR_EL2.${name}`));
const ICH = ['TC', 'TALL0', 'TALL1', 'TDIR'].map((name) => control(`ICH_HCR_EL2.${name}`));
const FGT = ['HFGRTR_EL2', 'HFGWTR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2', 'HFGITR_EL2'].flatMap((register) =>
  [...new Set(TRAPS.filter(({ control: name, names }) => name.startsWith(`${register}[`) && ACCESSES.some((access) => names.includes(access.name))).map(({ control: name }) => Number(/\d+(?=\]$)/.exec(name)![0])))].map((bit) => ({ name: `${register}[${bit}]`, register, bit, set: true })));

/** CNTHCTL_EL2 opens where its bits are 1; where they are in each layout. */
const timers = (l1: Flavour): Control[] =>
  (['EL1PCTEN', 'EL1PTEN'] as const).map((name, place) => ({ name: `CNTHCTL_EL2.${name}`, register: 'CNTHCTL_EL2', bit: (l1 === 'vhe' ? 10 : 0) + place, set: false }));

function controlsOf(l1: Flavour, fgt: boolean): Control[] {
  return [...HCR, { name: 'HCR_EL2.APK', register: 'HCR_EL2', bit: 40, set: false }, ...MDCR, ...ICH, { name: 'CPTR_EL2.TCPAC', register: 'CPTR_EL2', bit: 31, set: true }, ...timers(l1), ...(fgt ? [control('MDCR_EL2.TDCC'), ...FGT] : [])];
}

const END = 0xffffn;

/** L1 sets one control after another and runs L2 under each: the ISS of each trap of L2, a list for each control. */
function forwarded(l1: Flavour, controls: readonly Control[], options: ProgramOptions): string[][] {
  const quiet: Readonly<Record<string, bigint>> = {
    // API and APK trap at 0.
    HCR_EL2: (1n << 31n) | (3n << 40n) | (l1 === 'vhe' ? 1n << 34n : 0n), CNTHCTL_EL2: l1 === 'vhe' ? 0xc00n : 3n, CPTR_EL2: l1 === 'vhe' ? 3n << 20n : 0x33ffn & ~(1n << 10n),
  };
  const text = [
    BEGIN, ...Object.entries(quiet).map(([name, value]) => `${load('x0', value)}\nmsr ${name}, x0`), 'b {start}',
    'enter: mov x25, x30', load('x0', BELOW), 'msr ELR_EL2, x0', load('x0', 0x3c5), 'msr SPSR_EL2, x0; eret',
    'lower: mrs x20, ESR_EL2; lsr x21, x20, #26; cmp x21, #0x16; b.eq {done}; str x20, [x28], #8',
    'mrs x20, ELR_EL2; add x20, x20, #4; msr ELR_EL2, x20; movz x1, #0; eret',
    `done: movz x20, #0xffff; str x20, [x28], #8; br x25`,
    'irq: b {irq}',
    'start:',
    ...controls.flatMap(({ register, bit, set }) => {
      const value = quiet[register] ?? 0n;
      // ICH_HCR_EL2 rules over L2's interface where L1 routes interrupts; without that L2's interface is L1's (Linux: vgic_state_is_nested).
      const routed = `${load('x0', quiet.HCR_EL2! | (register === 'ICH_HCR_EL2' ? 0x18n : 0n))}\nmsr HCR_EL2, x0`;
      return [routed, load('x0', set ? value | (1n << BigInt(bit)) : value & ~(1n << BigInt(bit))), `msr ${register}, x0; bl {enter}`, load('x0', value), `msr ${register}, x0`];
    }),
    OFF, VECTORS,
  ].join('\n');
  const { word } = runProgram(text, { ...options, l1, below: L2, stepsMax: 400_000 });
  const lists: string[][] = [];
  let list: string[] = [];
  for (let at = RESULTS; lists.length < controls.length; at += 8) {
    const found = word(at);
    if (found === END) {
      lists.push(list);
      list = [];
    } else if (found >> 26n === 0x18n) list.push(nameOf.get(Number(found & 0x1ff_ffffn)) ?? found.toString(16));
    else throw new Error(`${controls[lists.length]!.name}: L1 took an exception with ESR 0x${found.toString(16)}`);
  }
  return lists;
}

/** What the rows say for one control: TDE and TDA are in several rows by what they imply. */
const IMPLIED: Readonly<Record<string, readonly string[]>> = {
  'MDCR_EL2.TDE': ['MDCR_EL2.TDA', 'MDCR_EL2.TDCC', 'MDCR_EL2.TDOSA', 'MDCR_EL2.TDRA'], 'MDCR_EL2.TDA': ['MDCR_EL2.TDA', 'MDCR_EL2.TDCC'],
};
function byRows(name: string): string[] {
  const names = IMPLIED[name] ?? [name];
  const rows = TRAPS.filter((row) => names.includes(row.control));
  if (name === 'HCR_EL2.TIDCP') return ['read S3_0_C15_C0_0'];
  return ACCESSES.filter((access) => rows.some((row) => row.names.includes(access.name) && (row.direction === 'any' || row.direction === ((access.iss & 1) === 1 ? 'read' : 'write')))).map(({ iss }) => nameOf.get(iss)!);
}

describe.each(FLAVOURS)('under an L1 of the %s flavour', (l1) => {
  // Once is enough of FEAT_FGT's bits.
  const fgt = l1 === 'vhe';
  const bare = forwarded(l1, controlsOf(l1, fgt), { el2: 'guest' });

  test('a bare board traps by each control what its rows name and the guest has, and nothing else', () => {
    const wrong = controlsOf(l1, fgt).flatMap(({ name }, index) => {
      const rows = byRows(name);
      // What is UNDEFINED does not trap: features that are not there. HCR_EL2.{IMO,FMO} stand beside ICH_HCR_EL2's.
      const extra = bare[index]!.filter((access) => !rows.includes(access) && !(name.startsWith('ICH_HCR') && byRows('HCR_EL2.IMO').includes(access)));
      return extra.length > 0 ? [`${name}: ${extra.join(', ')}`] : [];
    });
    expect(wrong).toEqual([]);
    expect(bare.filter((list) => list.length === 0).length).toBeLessThan(bare.length / 2);
  });

  test.each(MECHANISMS)('%s forwards by each control what a bare board traps, and nothing else', (nested) => {
    const controls = controlsOf(l1, fgt && nested === 'nv2');
    const found = forwarded(l1, controls, { nested });
    expect(Object.fromEntries(controls.map(({ name }, index) => [name, found[index]]))).toEqual(Object.fromEntries(controls.map(({ name }, index) => [name, bare[index]])));
  });
});
