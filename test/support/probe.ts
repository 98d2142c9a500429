/** What a guest hypervisor sees of each exception: a program that goes from case to case and writes down every vector that it comes through. */

import { BEGIN, BELOW, keep, load, OFF, RESULTS, runProgram, type ProgramOptions } from './guest-program.ts';

/** `setup` runs in (virtual) EL2 before the ERET to `code`, with `spsr`. HCR_EL2 is RW, E2H as the flavour has it, and `hcr`. */
export interface Case { readonly name: string; readonly code: string; readonly spsr: number; readonly hcr?: bigint; readonly setup?: string }

/** One exception: the vector, syndrome, SPSR, where the ELR points from the start of the case's code, and PSTATE in the handler. */
export interface Seen {
  readonly el: 1 | 2; readonly vector: string; readonly esr: string; readonly spsr: string; readonly elr: number | string; readonly far: string; readonly hpfar: string;
  readonly daif: string; readonly spsel: string; readonly pan: string; readonly ssbs: string; readonly currentEl: string;
}

const MARK = 0x5eed_0000_0000n;
const VECTOR_OFFSETS = Array.from({ length: 16 }, (_, index) => 0x80 * index);
/** Instructions of a case. */
const CODE_BYTES = 0x100;
const HPFAR_ZERO = 'movz x20, #0';

const record = (el: 1 | 2): string => [
  keep('x19'), ...[`mrs x20, ESR_EL${el}`, `mrs x20, SPSR_EL${el}`, `mrs x20, ELR_EL${el}`, `mrs x20, FAR_EL${el}`, el === 2 ? 'mrs x20, HPFAR_EL2' : HPFAR_ZERO, 'mrs x20, DAIF', 'mrs x20, SPSel', 'mrs x20, PAN', 'mrs x20, SSBS', 'mrs x20, CurrentEL']
    .map((read) => `${read}\n${keep('x20')}`),
].join('\n');
const WORDS = 11;

const vectors = (el: 1 | 2): string => VECTOR_OFFSETS.map((offset) => `.org 0x${(0x8000 + offset).toString(16)}\n${load('x19', MARK + BigInt(0x1000 * el + offset))}\nb {record}`).join('\n');

/** Runs the cases on one machine. An exception to EL2 ends a case; one to EL1 is written down, and then ends it by HVC. */
export function probe(cases: readonly Case[], options: ProgramOptions): Seen[][] {
  const base = (1n << 31n) | (options.l1 === 'nvhe' ? 0n : 1n << 34n);
  const text = [
    BEGIN, 'b {start}', `record: ${record(2)}\nbr x25`, 'start:',
    ...cases.flatMap((each, index) => [
      load('x0', base | (each.hcr ?? 0n)), 'msr HCR_EL2, x0', load('x0', BELOW + CODE_BYTES * index), 'msr ELR_EL2, x0', load('x0', each.spsr), 'msr SPSR_EL2, x0',
      `msr ESR_EL2, xzr; msr FAR_EL2, xzr; msr HPFAR_EL2, xzr`, each.setup ?? '', `bl {go}`, 'movz x20, #0xffff', keep('x20'),
    ]),
    OFF, 'go: mov x25, x30; eret', vectors(2),
  ].join('\n');
  const codeEnd = CODE_BYTES * cases.length;
  if (codeEnd > 0x8000) throw new RangeError('too many cases');
  const below = [
    ...cases.map((each, index) => `.org 0x${(CODE_BYTES * index).toString(16)}\n${each.code}`), `.org 0x${codeEnd.toString(16)}`, vectors(1), '.org 0x8800', `record: ${record(1)}\nhvc #0x1ead`,
  ].join('\n');
  const { word } = runProgram(text, { ...options, below });
  const hex = (value: bigint): string => value.toString(16);
  const lists: Seen[][] = [];
  let list: Seen[] = [];
  for (let at = RESULTS; lists.length < cases.length;) {
    if (word(at) === 0xffffn) {
      lists.push(list);
      list = [];
      at += 8;
      continue;
    }
    const [mark, esr, spsr, elr, far, hpfar, daif, spsel, pan, ssbs, currentEl] = Array.from({ length: WORDS }, (_, index) => word(at + 8 * index)) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint];
    if (mark >> 16n !== MARK >> 16n) throw new Error(`${cases[lists.length]!.name}: 0x${hex(mark)} where a vector is written down`);
    const start = BELOW + CODE_BYTES * lists.length;
    const from = Number(elr) - start;
    const far0 = far >= BigInt(start) && far < BigInt(start + CODE_BYTES) ? `code+${far - BigInt(start)}` : hex(far);
    list.push({
      el: mark & 0x2000n ? 2 : 1, vector: hex(mark & 0xfffn), esr: hex(esr), spsr: hex(spsr), elr: from >= 0 && from < CODE_BYTES ? from : hex(elr), far: far0, hpfar: hex(hpfar),
      daif: hex(daif), spsel: hex(spsel), pan: hex(pan), ssbs: hex(ssbs), currentEl: hex(currentEl),
    });
    at += 8 * WORDS;
  }
  return lists;
}

/** The vectors that EL1 has for `probe`, for the setup of a case in which L2 takes an exception itself. */
export const el1Vectors = (l1: 'vhe' | 'nvhe'): string => `${load('x1', BELOW + 0x8000)}\nmsr VBAR_EL1${l1 === 'vhe' ? '2' : ''}, x1`;
