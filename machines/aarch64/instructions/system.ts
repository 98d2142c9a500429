/** System registers and instructions, exceptions, barriers and hints. */

import type { Builder, Exception } from '../builder.ts';
import { alias, instruction, type Fields, type Form, type Row } from '../row.ts';
import { nothing } from './common.ts';
import { operationByEncoding } from '../registers/operations.ts';

const register = { stop: 'system-register' } as const;
const barrier = { stop: 'barrier' } as const;

/** SYS has a name for this operation; one without a register is named with XZR only. */
function namedOperation(f: Fields): boolean {
  const operation = operationByEncoding(0x4000 + f.i);
  return operation !== undefined && (takesRegister(operation.name) || f.t === 31);
}

/** Whether the manual writes a system instruction with a register: those for all entries have none. */
export const takesRegister = (name: string): boolean => !/^(?:TLBI V?MALL|TLBI ALL|IC IALLU)/.test(name);

const REGISTERS: readonly Row[] = [
  instruction('MSR (register)', '1101010100 0 1 iiiiiiiiiiiiiii ttttt', (b, f) => b.writeSystemRegister(0x8000 + f.i, b.x(f.t), f.t), 'msr <system register>, <Xt>', register),
  instruction('MRS', '1101010100 1 1 iiiiiiiiiiiiiii ttttt', (b, f) => b.setX(f.t, b.readSystemRegister(0x8000 + f.i, f.t)), 'mrs <Xt>, <system register>', register),
  instruction('SYS', '1101010100 0 01 iiiiiiiiiiiiii ttttt', (b, f) => { b.systemInstruction(0x4000 + f.i, b.x(f.t), f.t, false); }, [
    alias('<system operation>', {}, (f) => namedOperation(f)), 'sys <system encoding><, Xt=31>'], register),
  instruction('SYSL', '1101010100 1 01 iiiiiiiiiiiiii ttttt', (b, f) => b.setX(f.t, b.systemInstruction(0x4000 + f.i, b.number(0), f.t, true)), 'sysl <Xt>, <system encoding>', register),
];

/** MSR (immediate): the PSTATE field, op1 and op2. Which of them exist is for access.ts to say. */
const PSTATE_FIELDS: readonly Row[] = ([
  ['UAO', 0, 3], ['PAN', 0, 4], ['SPSel', 0, 5], ['SSBS', 3, 1], ['DIT', 3, 2], ['TCO', 3, 4], ['DAIFSet', 3, 6], ['DAIFClr', 3, 7],
] as const).map(([name, op1, op2]) =>
  instruction(`MSR (immediate) ${name}`, `1101010100 0 00 ${binary(op1, 3)} 0100 iiii ${binary(op2, 3)} 11111`, (b, f) => b.setPstateField(op1, f.i, op2), `msr ${name.toLowerCase()}, #<i:hex>`, register));

const FLAGS: readonly Row[] = [
  instruction('CFINV', '1101010100 0 00 000 0100 (0)(0)(0)(0) 000 11111', (b) => b.setFlags(b.exclusiveOr(b.flags(), b.number(2))), 'cfinv'),
  // FEAT_FlagM2: between Arm's flags of a floating-point comparison and the ones in which an alternative format has them. N, Z, C, V from bit 3 down.
  instruction('XAFLAG', '1101010100 0 00 000 0100 (0)(0)(0)(0) 001 11111', (b) => {
    const [, z, c] = flagBits(b);
    const notC = b.exclusiveOr(c, b.number(1));
    const notZ = b.exclusiveOr(z, b.number(1));
    b.setFlags(joinFlags(b, b.and(notC, notZ), b.and(z, c), b.or(c, z), b.and(notC, z)));
  }, 'xaflag'),
  instruction('AXFLAG', '1101010100 0 00 000 0100 (0)(0)(0)(0) 010 11111', (b) => {
    const [, z, c, v] = flagBits(b);
    b.setFlags(joinFlags(b, b.number(0), b.or(z, v), b.and(c, b.exclusiveOr(v, b.number(1))), b.number(0)));
  }, 'axflag'),
];

/** N, Z, C and V, each 0 or 1. */
const flagBits = <V, B>(b: Builder<V, B>): readonly [V, V, V, V] => {
  const flags = b.flags();
  const bit = (place: number): V => b.and(b.shiftRight(flags, b.number(place)), b.number(1));
  return [bit(3), bit(2), bit(1), bit(0)];
};
const joinFlags = <V, B>(b: Builder<V, B>, n: V, z: V, c: V, v: V): V =>
  b.or(b.or(b.shiftLeft(n, b.number(3)), b.shiftLeft(z, b.number(2))), b.or(b.shiftLeft(c, b.number(1)), v));

const EXCEPTIONS: readonly Row[] = ([
  ['SVC', '000', '01', 'supervisor-call'], ['HVC', '000', '10', 'hypervisor-call'], ['SMC', '000', '11', 'secure-monitor-call'], ['BRK', '001', '00', 'breakpoint'], ['HLT', '010', '00', 'halt'],
] as const satisfies readonly (readonly [string, string, string, Exception])[]).map(([name, opc, ll, kind]) =>
  instruction(name, `11010100 ${opc} iiiiiiiiiiiiiiii 000 ${ll}`, (b, f) => b.except(kind, f.i), `${name.toLowerCase()} #<i:hex>`));

/** UNDEFINED wherever Debug state is not entered; the assembler knows them. */
const UNDEFINED: readonly Row[] = [
  ...(['01', '10', '11'] as const).map((ll, index) =>
    instruction(`DCPS${index + 1}`, `11010100 101 iiiiiiiiiiiiiiii 000 ${ll}`, (b) => b.undefinedInstruction(), `dcps${index + 1}<optional immediate>`)),
  instruction('UDF', '0000000000000000 iiiiiiiiiiiiiiii', (b) => b.undefinedInstruction(), 'udf #<i>'),
];

const BARRIERS: readonly Row[] = [
  instruction('CLREX', '11010101000000110011 iiii 010 11111', (b) => b.clearExclusive(), 'clrex< #i=15>', { stop: 'exclusive' }),
  instruction('DSB', '11010101000000110011 iiii 100 11111', (b) => b.barrier('DSB'), [alias('ssbb', { i: 0 }), alias('pssbb', { i: 4 }), 'dsb <barrier>'], barrier),
  instruction('DMB', '11010101000000110011 iiii 101 11111', (b) => b.barrier('DMB'), 'dmb <barrier>', barrier),
  instruction('ISB', '11010101000000110011 iiii 110 11111', (b) => b.barrier('ISB'), 'isb< #i=15>', barrier),
  instruction('SB', '11010101000000110011 (0)(0)(0)(0) 111 11111', (b) => b.barrier('SB'), 'sb', barrier),
];

/** CRm:op2 of hints without effect here. */
const HINT_NAMES: readonly (readonly [number, string])[] = [[17, 'psb csync'], [18, 'tsb csync'], [20, 'csdb'], [22, 'clearbhb']];

const hint = (name: string, number: number, semantics: Row['semantics']): Row =>
  instruction(name, `11010101000000110010 ${binary(number, 7)} 11111`, semantics, name.toLowerCase());

/** The rest of the hint space, cut so that no row overlaps a named one, those of pointer authentication among them: unallocated hints do nothing. */
const HINT_SPACE: readonly Row[] = [
  ...[9, 11, 13, 15, 33, 35, 37, 39].map((number) => binary(number, 7)), '0010 001', '0010 01i', '0010 1ii', '0101 iii', '011i iii', '1iii iii',
].map((bits) => {
  const first = Number.parseInt(bits.replaceAll(' ', '').replaceAll('i', '0'), 2);
  const count = 2 ** (bits.split('i').length - 1);
  const named: Form[] = HINT_NAMES.filter(([number]) => number >= first && number < first + count).map(([number, text]) => alias(text, { i: number - first }));
  if (count === 1) return instruction(`HINT ${first}`, `11010101000000110010 ${bits} 11111`, nothing, [...named, `hint #0x${first.toString(16)}`]);
  return instruction(`HINT ${first} to ${first + count - 1}`, `11010101000000110010 ${bits} 11111`, nothing, [...named, `hint #<i+${first}:hex>`]);
});

/** FEAT_WFxT: the wait ends when the virtual count reaches Xt, too. */
const TIMED_WAITS: readonly Row[] = [
  instruction('WFET', '11010101000000110001 0000 000 ttttt', (b, f) => b.waitForEvent({ count: b.x(f.t), register: f.t }), 'wfet <Xt>'),
  instruction('WFIT', '11010101000000110001 0000 001 ttttt', (b, f) => b.waitForInterrupt({ count: b.x(f.t), register: f.t }), 'wfit <Xt>'),
];

const HINTS: readonly Row[] = [
  hint('NOP', 0, nothing), hint('YIELD', 1, nothing),
  hint('WFE', 2, (b) => b.waitForEvent()), hint('WFI', 3, (b) => b.waitForInterrupt()),
  hint('DGH', 6, nothing), hint('ESB', 16, (b) => b.barrier('ESB')),
  // What a branch may land on is looked at where it lands (branch-target.ts).
  instruction('BTI', '11010101000000110010 0100 ii0 11111', nothing, [alias('bti', { i: 0 }), alias('bti c', { i: 1 }), alias('bti j', { i: 2 }), alias('bti jc', { i: 3 })]),
  hint('SEV', 4, (b) => b.sendEvent(false)), hint('SEVL', 5, (b) => b.sendEvent(true)),
  ...HINT_SPACE,
];

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, '0');
}

export const SYSTEM: readonly Row[] = [...REGISTERS, ...PSTATE_FIELDS, ...FLAGS, ...EXCEPTIONS, ...UNDEFINED, ...BARRIERS, ...TIMED_WAITS, ...HINTS];
