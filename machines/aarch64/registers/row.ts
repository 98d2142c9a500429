/** What a system register's row holds, and the helpers that the row files write rows with. */

import type { Feature, Hardware } from './features.ts';

/** Fields by Arm's name: the bit of a one-bit field, or [lowest bit, width]. */
export type Fields = Readonly<Record<string, number | readonly [lsb: number, width: number]>>;

/** op0, op1, CRn, CRm, op2, in the order in which the Arm ARM prints them. */
export type Encoding = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

/** One system register. `encoding` packs op0:op1:CRn:CRm:op2 as MRS and MSR hold them (2+3+4+4+3 bits). */
export interface SystemRegister {
  readonly name: string;
  readonly encoding: number;
  readonly access: 'RW' | 'R' | 'W';
  /** Lowest Exception level that may access it; 3 when no implemented level may (the register still has storage). */
  readonly el: 0 | 1 | 2 | 3;
  /** Lowest Exception level that may write it, where that is higher than `el`. `highest` is the highest one implemented. */
  readonly writeEl?: 1 | 2 | 'highest';
  /** Byte offset in the VNCR_EL2 page, where FEAT_NV2 turns EL1 accesses into memory accesses (Arm ARM D8.14.6, Table D8-120). */
  readonly vncr?: number;
  /** Whether HCR_EL2.NV1 must be 0 or 1 for that; absent when it does not matter. */
  readonly vncrNv1?: 0 | 1;
  /** This encoding is another way to the register of that name (the _EL12 and _EL02 encodings): no storage of its own. */
  readonly alias?: string;
  /** The register accessed instead from EL2 when HCR_EL2.E2H is 1. */
  readonly e2h?: string;
  /** The EL1 register accessed instead from EL1 under NV2 (SPSR, ELR, ESR and FAR_EL2). */
  readonly nv2?: string;
  /** With NV and NV1 set and NV2 clear, an EL1 access traps to EL2. */
  readonly nv1Trap?: true;
  /** The feature without which the encoding is UNDEFINED. */
  readonly needs?: Feature;
  /** An access is trapped as a floating-point instruction is: by CPACR_EL1.FPEN and CPTR_EL2, with their exception class. */
  readonly floatingPoint?: true;
  /** A deliberate gap: an access that reaches the register ends the run by name. Says why. */
  readonly hole?: string;
  readonly fields?: Fields;
  /** Fields of the layout used when HCR_EL2.E2H is 1, where that differs. */
  readonly fieldsE2h?: Fields;
  /** Bits that keep what is written; the others keep `res1`. All 64 when absent. */
  readonly writable?: bigint | ((hardware: Hardware, e2h: boolean) => bigint);
  /** Bits that read as one whatever is written. */
  readonly res1?: bigint | ((hardware: Hardware, e2h: boolean) => bigint);
  /** Value out of reset; 0 when absent. Where the Arm ARM says UNKNOWN the value is our choice. */
  readonly reset?: bigint | ((hardware: Hardware, index: number) => bigint);
}

type Optional = Omit<SystemRegister, 'name' | 'encoding' | 'access' | 'el'> & Partial<Pick<SystemRegister, 'access' | 'el'>>;

/** Packs the five fields of a system register or system instruction encoding into 16 bits. */
export const packEncoding = (op0: number, op1: number, crn: number, crm: number, op2: number): number =>
  (op0 << 14) | (op1 << 11) | (crn << 7) | (crm << 3) | op2;

/** The five fields of a packed encoding. */
export const unpackEncoding = (encoding: number): Encoding =>
  [encoding >> 14, (encoding >> 11) & 7, (encoding >> 7) & 15, (encoding >> 3) & 15, encoding & 7];

/** The lowest Exception level that op1 names (Arm ARM C5.1.3): 0, 1, 2 → EL1; 3 → EL0; 4, 5 → EL2; 6, 7 → EL3 or Secure. */
export const elOfOp1 = (op1: number): 0 | 1 | 2 | 3 => (op1 === 3 ? 0 : op1 < 3 ? 1 : op1 < 6 ? 2 : 3);

/** A register's row. Read and write, at the level that op1 names, unless `more` says otherwise. */
export function sysreg(name: string, encoding: Encoding, more: Optional = {}): SystemRegister {
  return { name, encoding: packEncoding(...encoding), access: 'RW', el: elOfOp1(encoding[1]), ...more };
}

/** The mask of the bits that `fields` cover, all or those named. */
export function fieldBits(fields: Fields, names: readonly string[] = Object.keys(fields)): bigint {
  let bits = 0n;
  for (const name of names) {
    const place = fields[name];
    if (place === undefined) throw new RangeError(`no field is called ${name}`);
    const [lsb, width] = typeof place === 'number' ? [place, 1] : place;
    bits |= ((1n << BigInt(width)) - 1n) << BigInt(lsb);
  }
  return bits;
}
