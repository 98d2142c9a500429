/** The system instructions that have names: TLBI, AT, DC and IC operations as rows. */

/** One named SYS operation. `encoding` packs op0:op1:CRn:CRm:op2 as system registers do (op0 is 1). */
export interface Operation {
  /** The mnemonic and the operation as the manual prints them: `TLBI VMALLE1IS`. */
  readonly name: string;
  readonly encoding: number;
  /** Whether it takes a register. */
  readonly register: boolean;
}

type Place = readonly [op1: number, crn: number, crm: number, op2: number];

const operation = (name: string, [op1, crn, crm, op2]: Place, register = true): Operation =>
  ({ name, encoding: 0x4000 | (op1 << 11) | (crn << 7) | (crm << 3) | op2, register });

/** TLBI by virtual address or for a whole regime: one operation local, one Inner Shareable, one Outer Shareable. */
const TLBI: readonly Operation[] = ([
  ['VMALLE1', 0, 0, false], ['VAE1', 0, 1, true], ['ASIDE1', 0, 2, true], ['VAAE1', 0, 3, true], ['VALE1', 0, 5, true], ['VAALE1', 0, 7, true],
  ['ALLE2', 4, 0, false], ['VAE2', 4, 1, true], ['ALLE1', 4, 4, false], ['VALE2', 4, 5, true], ['VMALLS12E1', 4, 6, false],
  ['ALLE3', 6, 0, false], ['VAE3', 6, 1, true], ['VALE3', 6, 5, true],
] as const).flatMap(([name, op1, op2, register]) => ([['', 7], ['IS', 3], ['OS', 1]] as const).map(([where, crm]) => operation(`TLBI ${name}${where}`, [op1, 8, crm, op2], register)));

/** TLBI by range (FEAT_TLBIRANGE). */
const TLBI_RANGE: readonly Operation[] = ([
  ['RVAE1', 0, 1], ['RVAAE1', 0, 3], ['RVALE1', 0, 5], ['RVAALE1', 0, 7], ['RVAE2', 4, 1], ['RVALE2', 4, 5], ['RVAE3', 6, 1], ['RVALE3', 6, 5],
] as const).flatMap(([name, op1, op2]) => ([['', 6], ['IS', 2], ['OS', 5]] as const).map(([where, crm]) => operation(`TLBI ${name}${where}`, [op1, 8, crm, op2])));

export const OPERATIONS: readonly Operation[] = [
  ...TLBI, ...TLBI_RANGE,
  operation('TLBI IPAS2E1IS', [4, 8, 0, 1]), operation('TLBI IPAS2E1', [4, 8, 4, 1]), operation('TLBI IPAS2E1OS', [4, 8, 4, 0]),
  operation('TLBI IPAS2LE1IS', [4, 8, 0, 5]), operation('TLBI IPAS2LE1', [4, 8, 4, 5]), operation('TLBI IPAS2LE1OS', [4, 8, 4, 4]),
  operation('TLBI RIPAS2E1IS', [4, 8, 0, 2]), operation('TLBI RIPAS2E1', [4, 8, 4, 2]), operation('TLBI RIPAS2E1OS', [4, 8, 4, 3]),
  operation('TLBI RIPAS2LE1IS', [4, 8, 0, 6]), operation('TLBI RIPAS2LE1', [4, 8, 4, 6]), operation('TLBI RIPAS2LE1OS', [4, 8, 4, 7]),
  operation('AT S1E1R', [0, 7, 8, 0]), operation('AT S1E1W', [0, 7, 8, 1]), operation('AT S1E0R', [0, 7, 8, 2]), operation('AT S1E0W', [0, 7, 8, 3]),
  operation('AT S1E1RP', [0, 7, 9, 0]), operation('AT S1E1WP', [0, 7, 9, 1]),
  operation('AT S1E2R', [4, 7, 8, 0]), operation('AT S1E2W', [4, 7, 8, 1]),
  operation('AT S12E1R', [4, 7, 8, 4]), operation('AT S12E1W', [4, 7, 8, 5]), operation('AT S12E0R', [4, 7, 8, 6]), operation('AT S12E0W', [4, 7, 8, 7]),
  operation('AT S1E3R', [6, 7, 8, 0]), operation('AT S1E3W', [6, 7, 8, 1]),
  operation('DC ZVA', [3, 7, 4, 1]), operation('DC IVAC', [0, 7, 6, 1]), operation('DC ISW', [0, 7, 6, 2]),
  operation('DC CVAC', [3, 7, 10, 1]), operation('DC CSW', [0, 7, 10, 2]), operation('DC CVAU', [3, 7, 11, 1]), operation('DC CVAP', [3, 7, 12, 1]), operation('DC CVADP', [3, 7, 13, 1]),
  operation('DC CIVAC', [3, 7, 14, 1]), operation('DC CISW', [0, 7, 14, 2]),
  operation('IC IALLUIS', [0, 7, 1, 0], false), operation('IC IALLU', [0, 7, 5, 0], false), operation('IC IVAU', [3, 7, 5, 1]),
];

const byEncoding = new Map(OPERATIONS.map((row) => [row.encoding, row]));
const byName = new Map(OPERATIONS.map((row) => [row.name.toLowerCase(), row]));
if (byEncoding.size !== OPERATIONS.length || byName.size !== OPERATIONS.length) throw new Error('two rows of the system operations clash');

/** The operation of an encoding, or undefined where none has a name. */
export const operationOf = (encoding: number): Operation | undefined => byEncoding.get(encoding);
/** The operation called `name`, in any case. */
export const operationNamed = (name: string): Operation | undefined => byName.get(name.toLowerCase());
