/** The system registers as rows: name, encoding, access and what else the manual tabulates. Storage, look-up and printing derive from them. */

import { ABSENT_REGISTERS } from './registers/absent.ts';
import { CONTROL } from './registers/control.ts';
import { DEBUG } from './registers/debug.ts';
import type { Hardware } from './registers/features.ts';
import { FINE_GRAINED } from './registers/fine-grained.ts';
import { GIC } from './registers/gic.ts';
import { IDENTIFICATION } from './registers/identification.ts';
import { PMU } from './registers/pmu.ts';
import { packEncoding, sysreg, unpackEncoding } from './registers/row.ts';
import type { SystemRegister } from './registers/row.ts';
import { TIMER } from './registers/timer.ts';

export { packEncoding, unpackEncoding };
export type { Hardware, SystemRegister };

/** Registers that some machine of ours has, or that have storage; aliases included. */
export const IMPLEMENTED_REGISTERS: readonly SystemRegister[] = [...DEBUG, ...IDENTIFICATION, ...CONTROL, ...FINE_GRAINED, ...GIC, ...TIMER, ...PMU];

/** Every register that has a name: IMPLEMENTED_REGISTERS, and those of features that we lack, which are UNDEFINED. */
export const SYSTEM_REGISTERS: readonly SystemRegister[] = [...IMPLEMENTED_REGISTERS, ...ABSENT_REGISTERS];

/** First word of a vCPU block that holds a system register; those below are general registers and PSTATE (state.ts). */
export const FIRST_SYSTEM_WORD = 64;
/** Words from here on hold the vector registers (state.ts). */
const END_SYSTEM_WORD = 896;

const byName = new Map<string, SystemRegister>();
const byEncoding = new Map<number, SystemRegister>();
const wordByName = new Map<string, number>();
const nameByWord: string[] = [];

for (const row of SYSTEM_REGISTERS) {
  const clash = byName.get(row.name) ?? byEncoding.get(row.encoding);
  if (clash) throw new Error(`the rows of ${row.name} and ${clash.name} clash`);
  byName.set(row.name, row);
  byEncoding.set(row.encoding, row);
}
for (const row of IMPLEMENTED_REGISTERS) {
  for (const other of [row.alias, row.e2h, row.nv2]) if (other !== undefined && !byName.has(other)) throw new Error(`${row.name} names ${other}, which has no row`);
  if (row.alias !== undefined) continue;
  wordByName.set(row.name, FIRST_SYSTEM_WORD + nameByWord.length);
  nameByWord.push(row.name);
}
// DBGDTRTX_EL0 is what a write to DBGDTRRX_EL0's encoding reaches.
byName.set('DBGDTRTX_EL0', { ...byName.get('DBGDTRRX_EL0')!, name: 'DBGDTRTX_EL0', access: 'W' });

/** op0 = 3, op1 = 0, CRn = 0, CRm = 1 to 7: what has no name reads as zero, and traps by HCR_EL2.TID3 (Arm ARM D22.3.1). */
export const RESERVED_IDENTIFICATION: readonly SystemRegister[] = Array.from({ length: 56 }, (_, place) => [1 + (place >> 3), place & 7] as const)
  .filter(([crm, op2]) => !byEncoding.has(packEncoding(3, 0, 0, crm, op2)))
  .map(([crm, op2]) => sysreg(`S3_0_C0_C${crm}_${op2}`, [3, 0, 0, crm, op2], { access: 'R' }));
for (const row of RESERVED_IDENTIFICATION) {
  byName.set(row.name, row);
  byEncoding.set(row.encoding, row);
}

/** The number of words that the system registers take. */
export const SYSTEM_WORDS = nameByWord.length;
if (FIRST_SYSTEM_WORD + SYSTEM_WORDS > END_SYSTEM_WORD) throw new Error(`${SYSTEM_WORDS} system registers do not fit in the vCPU block`);

/** The word of the vCPU block that stores system register `name`. Throws RangeError for a name without storage. */
export function slot(name: string): number {
  const word = wordByName.get(name);
  if (word === undefined) throw new RangeError(`no system register with storage is called ${name}`);
  return word;
}

/** Whether `name` has storage. */
export const hasSlot = (name: string): boolean => wordByName.has(name);

/** The system register that word `word` of a vCPU block stores, or undefined. */
export const registerOfWord = (word: number): string | undefined => nameByWord[word - FIRST_SYSTEM_WORD];

/** The row of an encoding, reserved identification registers included; undefined where nothing is allocated. */
export const registerByEncoding = (encoding: number): SystemRegister | undefined => byEncoding.get(encoding);

/** The row called `name`, as the Arm ARM spells it. */
export const registerByName = (name: string): SystemRegister | undefined => byName.get(name);

/** The register's name, or `S<op0>_<op1>_C<CRn>_C<CRm>_<op2>`, which every assembler takes. */
export function encodingName(encoding: number): string {
  const row = byEncoding.get(encoding);
  if (row) return row.name;
  const [op0, op1, crn, crm, op2] = unpackEncoding(encoding);
  return `S${op0}_${op1}_C${crn}_C${crm}_${op2}`;
}

/** A register's value out of reset on vCPU `index`. */
export function resetValue(row: SystemRegister, hardware: Hardware, index: number): bigint {
  return typeof row.reset === 'function' ? row.reset(hardware, index) : (row.reset ?? 0n);
}

/** Puts every system register of a vCPU block at its reset value. */
export function resetSystemRegisters(words: BigUint64Array, hardware: Hardware, index: number): void {
  for (const row of IMPLEMENTED_REGISTERS) if (row.alias === undefined) words[slot(row.name)] = resetValue(row, hardware, index);
}

/** What a register holds after `value` is written to it: RES0 and RES1 bits as they are. `e2h` chooses the layout. */
export function sanitise(row: SystemRegister, hardware: Hardware, e2h: boolean, value: bigint): bigint {
  const { writable, res1 } = row;
  let result = value;
  if (writable !== undefined) result &= typeof writable === 'function' ? writable(hardware, e2h) : writable;
  if (res1 !== undefined) result |= typeof res1 === 'function' ? res1(hardware, e2h) : res1;
  return result;
}
