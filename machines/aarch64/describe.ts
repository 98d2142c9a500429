/** A core's state as text: general registers, PSTATE, and system registers by field. */

import { hex } from '../bits.ts';
import { e2h, hcrHigh, hcrLow } from './controls.ts';
import { fieldsOf } from './fields.ts';
import { GICC, GICH } from './memory-mapped-interface.ts';
import { operationByEncoding } from './registers/operations.ts';
import { type Core, Power, Pstate, Word, elOf, stackWord } from './state.ts';
import { describeSyndrome } from './syndrome.ts';
import { IMPLEMENTED_REGISTERS, encodingName, packEncoding, registerByName, resetValue, slot } from './sysregs.ts';

/** What is shown of every core, by subject. Zero values are left out, except where zero says something. */
const SHOWN: readonly (readonly [subject: string, names: readonly string[]])[] = [
  ['EL1', ['SCTLR_EL1', 'TCR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'MAIR_EL1', 'VBAR_EL1', 'ESR_EL1', 'FAR_EL1', 'ELR_EL1', 'SPSR_EL1', 'CPACR_EL1', 'TPIDR_EL1']],
  ['EL2', ['HCR_EL2', 'SCTLR_EL2', 'TCR_EL2', 'TTBR0_EL2', 'TTBR1_EL2', 'VTCR_EL2', 'VTTBR_EL2', 'VNCR_EL2', 'VBAR_EL2', 'ESR_EL2', 'FAR_EL2', 'HPFAR_EL2', 'ELR_EL2', 'SPSR_EL2', 'CPTR_EL2', 'MDCR_EL2', 'TPIDR_EL2']],
  ['fine-grained traps', ['HFGRTR_EL2', 'HFGWTR_EL2', 'HFGITR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2']],
  ['timers', ['CNTHCTL_EL2', 'CNTKCTL_EL1', 'CNTVOFF_EL2', 'CNTPOFF_EL2', 'CNTP_CTL_EL0', 'CNTP_CVAL_EL0', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'CNTHP_CTL_EL2', 'CNTHP_CVAL_EL2', 'CNTHV_CTL_EL2', 'CNTHV_CVAL_EL2']],
  ['debug', ['MDSCR_EL1', ...[0, 1, 2, 3, 4, 5].flatMap((n) => [`DBGBVR${n}_EL1`, `DBGBCR${n}_EL1`]), ...[0, 1, 2, 3].flatMap((n) => [`DBGWVR${n}_EL1`, `DBGWCR${n}_EL1`])]],
  ['PMU', ['PMCR_EL0', 'PMCNTENSET_EL0', 'PMINTENSET_EL1', 'PMOVSSET_EL0', 'PMUSERENR_EL0', 'PMCCNTR_EL0', 'PMCCFILTR_EL0', ...[0, 1, 2, 3, 4, 5].flatMap((n) => [`PMEVCNTR${n}_EL0`, `PMEVTYPER${n}_EL0`])]],
  ['GIC', ['ICC_PMR_EL1', 'ICC_IGRPEN0_EL1', 'ICC_IGRPEN1_EL1', 'ICC_CTLR_EL1', 'ICC_AP0R0_EL1', 'ICC_AP1R0_EL1', 'ICH_HCR_EL2', 'ICH_VMCR_EL2', 'ICH_AP0R0_EL2', 'ICH_AP1R0_EL2', ...Array.from({ length: 16 }, (_, n) => `ICH_LR${n}_EL2`)]],
];

/** What is shown of GICv2's interface in place of the system registers. To read these has no effect. */
const SHOWN_OF_GICV2: readonly (readonly [frame: string, registers: typeof GICC, names: readonly string[]])[] = [
  ['GICC', GICC, ['CTLR', 'PMR', 'BPR', 'ABPR', 'APR0', 'NSAPR0']], ['GICH', GICH, ['HCR', 'VMCR', 'APR', ...Array.from({ length: 16 }, (_, n) => `LR${n}`)]],
];

const POWER = Object.fromEntries(Object.entries(Power).map(([name, value]) => [value, name.toLowerCase()]));

/** The core as lines of text. Addresses and values are hexadecimal; a register's fields follow its value where it has any that are set. */
export function describeCore(core: Core): string[] {
  const { words } = core;
  const lines = [
    `vcpu:${core.index} ${levelName(core)} ${POWER[Number(words[Word.POWER]!)] ?? '?'}, ${words[Word.ATTEMPTED]!} instructions attempted`,
    `  PC ${hex(words[Word.PC]!, 16)}  SP ${hex(words[stackWord(core)]!, 16)}  ${describePstate(core)}`,
  ];
  for (let register = 0; register < 31; register += 4) {
    const row = Array.from({ length: Math.min(4, 31 - register) }, (_, place) => `${`X${register + place}`.padStart(3)} ${hex(words[Word.X + register + place]!, 16)}`);
    lines.push(`  ${row.join('  ')}`);
  }
  lines.push(`  SP_EL0 ${hex(words[slot('SP_EL0')]!, 16)}  SP_EL1 ${hex(words[slot('SP_EL1')]!, 16)}  SP_EL2 ${hex(words[slot('SP_EL2')]!, 16)}`);
  for (const [subject, names] of SHOWN) {
    if (core.board.el2 === 'none' && (subject === 'EL2' || subject === 'fine-grained traps')) continue;
    if (subject === 'GIC' && core.board.features.gic === 2) {
      lines.push(`  ${subject}`, ...describeGicv2(core));
      continue;
    }
    // What a register holds out of reset says nothing about debug and the PMU.
    const quiet = subject === 'debug' || subject === 'PMU';
    const shown = names.filter((name) => words[slot(name)] !== (quiet ? resetValue(registerByName(name)!, core.board, core.index) : 0n));
    if (shown.length === 0) continue;
    lines.push(`  ${subject}`);
    for (const name of shown) lines.push(`    ${describeRegister(name, words[slot(name)]!, e2h(core))}`);
  }
  return lines;
}

function describeGicv2(core: Core): string[] {
  return SHOWN_OF_GICV2.filter(([frame]) => frame === 'GICC' || core.board.el2 !== 'none').flatMap(([frame, registers, names]) => names.flatMap((name) => {
    const value = registers[name]!.read!(core);
    return value === 0n ? [] : [`    ${frame}_${name} ${hex(value, 8)}`];
  }));
}

/** `NAME 0x… FIELD=1 FIELD=0x3`: the fields that are not 0, by name, from the highest bit down. `e2h` takes the layout of HCR_EL2.E2H = 1. */
export function describeRegister(name: string, value: bigint, e2hLayout = false): string {
  const head = `${name} ${hex(value, 16)}`;
  if (name.startsWith('ESR_EL')) return `${head} ${describeSyndrome(value)}${(value >> 26n) === 0x18n ? ` ${describeSystemAccess(Number(value & 0x1ff_ffffn))}` : ''}`;
  const fields = fieldsOf(registerByName(name)?.alias ?? name, value, e2hLayout)
    .filter((field) => field.value !== 0n)
    .map((field) => (field.width === 1 ? field.name : `${field.name}=${hex(field.value)}`));
  return fields.length === 0 ? head : `${head} ${fields.join(' ')}`;
}

/** The instruction that ISS of EC 0x18 reports: `MRS X3, SCTLR_EL1`, `MSR SCTLR_EL1, X3`, `TLBI VAE1IS, X3`. */
export function describeSystemAccess(iss: number): string {
  const encoding = packEncoding((iss >> 20) & 3, (iss >> 14) & 7, (iss >> 10) & 15, (iss >> 1) & 15, (iss >> 17) & 7);
  const rt = (iss >> 5) & 31;
  const register = rt === 31 ? 'XZR' : `X${rt}`;
  const operation = operationByEncoding(encoding);
  if (operation) return `${operation.name}, ${register}`;
  return (iss & 1) === 1 ? `MRS ${register}, ${encodingName(encoding)}` : `MSR ${encodingName(encoding)}, ${register}`;
}

/** Every system register with storage whose value is not its neighbour's in `before`: what changed, as text. */
export function describeChanges(before: BigUint64Array, core: Core): string[] {
  const lines: string[] = [];
  for (const row of IMPLEMENTED_REGISTERS) {
    if (row.alias !== undefined) continue;
    const word = slot(row.name);
    if (before[word] !== core.words[word]) lines.push(`${describeRegister(row.name, before[word]!, e2h(core))} → ${describeRegister(row.name, core.words[word]!, e2h(core)).slice(row.name.length + 1)}`);
  }
  return lines;
}

/** `EL1h`, or `vEL2h` where FEAT_NV shows EL1 as EL2. */
function levelName(core: Core): string {
  const pstate = core.ints[2 * Word.PSTATE]!;
  const virtual = elOf(core) === 1 && (hcrHigh(core) & (1 << 10)) !== 0;
  return `${virtual ? 'vEL2' : `EL${elOf(core)}`}${(pstate & Pstate.SP) === 0 ? 't' : 'h'}${elOf(core) < 2 && (hcrLow(core) & (1 << 27)) !== 0 ? ' TGE' : ''}`;
}

/** Letters by the bits from `top` down: capital when set. */
const letters = (text: string, value: number, top: number): string => [...text].map((letter, place) => (((value >>> (top - place)) & 1) === 1 ? letter : letter.toLowerCase())).join('');

/** Flags and masks: a letter that is set in capitals, clear in small. */
function describePstate(core: Core): string {
  const pstate = core.ints[2 * Word.PSTATE]!;
  const flags = core.ints[2 * Word.NZCV]!;
  const others = (['IL', 'SS', 'PAN', 'UAO', 'DIT', 'SSBS', 'TCO'] as const).filter((name) => (pstate & Pstate[name]) !== 0);
  const btype = (pstate >> Pstate.BTYPE_SHIFT) & 3;
  return `${letters('NZCV', flags, 3)} ${letters('DAIF', pstate, 9)}${btype === 0 ? '' : ` BTYPE=${btype}`}${others.length > 0 ? ` ${others.join(' ')}` : ''}`;
}
