/** MRS, MSR and SYS by name in tests, and how they ended in the words of the tests. */

import { readSystemRegister, systemInstruction, writeSystemRegister } from '../../machines/aarch64/access.ts';
import { describeSystemAccess } from '../../machines/aarch64/describe.ts';
import { UNWIND } from '../../machines/aarch64/exception.ts';
import { OPERATIONS } from '../../machines/aarch64/registers/operations.ts';
import { type Core, Word, elOf } from '../../machines/aarch64/state.ts';
import { registerByName } from '../../machines/aarch64/sysregs.ts';
import { get } from './core.ts';

/** The encoding of a register, or of a system instruction as `TLBI VAE1IS`. */
export function encodingOf(name: string): number {
  const row = registerByName(name) ?? OPERATIONS.find((operation) => operation.name === name);
  if (!row) throw new RangeError(`no row is called ${name}`);
  return row.encoding;
}

/** MRS: the value, or how it was stopped. */
export const mrs = (core: Core, name: string, rt = 0): bigint | string => attempt(core, () => readSystemRegister(core, encodingOf(name), rt));

/** MSR: 'done', or how it was stopped. */
export const msr = (core: Core, name: string, value: bigint, rt = 0): string => attempt(core, () => { writeSystemRegister(core, encodingOf(name), value, rt); return 'done'; });

/** TLBI, AT, DC, IC: 'done', or how it was stopped. */
export const sys = (core: Core, name: string, value = 0n, rt = 0): string => attempt(core, () => { systemInstruction(core, encodingOf(name), value, rt); return 'done'; });

/**
 * Runs one instruction's worth of work. An exception gives `UNDEFINED`, `EL2: MSR HCR_EL2, X3` for a trapped access and
 * `EL1: EC 0x25` for others; afterwards the core is where it was, with its registers as the exception left them.
 */
export function attempt<T>(core: Core, act: () => T): T | string {
  const pstate = core.ints[2 * Word.PSTATE]!;
  const pc = core.words[Word.PC]!;
  core.end = undefined;
  try {
    return act();
  } catch (error) {
    if (error !== UNWIND) throw error;
    const { end } = core as { readonly end: Core['end'] };
    if (end?.type === 'hole') return `hole: ${end.what}`;
    const level = elOf(core);
    const syndrome = get(core, level === 2 ? 'ESR_EL2' : 'ESR_EL1');
    const ec = Number(syndrome >> 26n);
    core.ints[2 * Word.PSTATE] = pstate;
    core.words[Word.PC] = pc;
    core.end = undefined;
    if (ec === 0) return 'UNDEFINED';
    return ec === 0x18 ? `EL${level}: ${describeSystemAccess(Number(syndrome & 0x1ff_ffffn))}` : `EL${level}: EC 0x${ec.toString(16)}`;
  }
}

