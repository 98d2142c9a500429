/** System instructions (SYS): TLB maintenance, address translation and cache maintenance, by Arm's name. */

import type { Feature } from './features.ts';
import { elOfOp1, packEncoding } from './row.ts';
import type { Encoding } from './row.ts';

export interface Operation {
  /** `TLBI VAE1IS`, `AT S1E1R`, `DC ZVA`, `IC IVAU`, `CFP RCTX`. */
  readonly name: string;
  readonly kind: 'TLBI' | 'AT' | 'DC' | 'IC' | 'CFP' | 'DVP' | 'CPP';
  /** The name without its kind. */
  readonly operation: string;
  readonly encoding: number;
  /** Lowest Exception level. */
  readonly el: 0 | 1 | 2 | 3;
  readonly needs?: Feature;
}

function row(kind: Operation['kind'], operation: string, encoding: Encoding, needs?: Feature): Operation {
  return { name: `${kind} ${operation}`, kind, operation, encoding: packEncoding(...encoding), el: elOfOp1(encoding[1]), ...(needs && { needs }) };
}

/** TLB maintenance comes in threes: this PE, Inner Shareable (IS), Outer Shareable (OS, FEAT_TLBIOS). Each place is [CRm, op2]. */
function tlbi(operation: string, op1: number, local: readonly [number, number], inner: readonly [number, number], outer: readonly [number, number], needs?: Feature): Operation[] {
  const at = (suffix: string, [crm, op2]: readonly [number, number], feature?: Feature): Operation => row('TLBI', operation + suffix, [1, op1, 8, crm, op2], feature);
  return [at('', local, needs), at('IS', inner, needs), at('OS', outer, needs ?? 'FEAT_TLBIOS')];
}
const byAddress = (operation: string, op1: number, op2: number): Operation[] => tlbi(operation, op1, [7, op2], [3, op2], [1, op2]);
const byRange = (operation: string, op1: number, op2: number): Operation[] => tlbi(operation, op1, [6, op2], [2, op2], [5, op2], 'FEAT_TLBIRANGE');

export const OPERATIONS: readonly Operation[] = [
  ...byAddress('VMALLE1', 0, 0), ...byAddress('VAE1', 0, 1), ...byAddress('ASIDE1', 0, 2), ...byAddress('VAAE1', 0, 3), ...byAddress('VALE1', 0, 5), ...byAddress('VAALE1', 0, 7),
  ...byAddress('ALLE2', 4, 0), ...byAddress('VAE2', 4, 1), ...byAddress('ALLE1', 4, 4), ...byAddress('VALE2', 4, 5), ...byAddress('VMALLS12E1', 4, 6),
  ...tlbi('IPAS2E1', 4, [4, 1], [0, 1], [4, 0]), ...tlbi('IPAS2LE1', 4, [4, 5], [0, 5], [4, 4]),
  ...byRange('RVAE1', 0, 1), ...byRange('RVAAE1', 0, 3), ...byRange('RVALE1', 0, 5), ...byRange('RVAALE1', 0, 7), ...byRange('RVAE2', 4, 1), ...byRange('RVALE2', 4, 5),
  ...tlbi('RIPAS2E1', 4, [4, 2], [0, 2], [4, 3], 'FEAT_TLBIRANGE'), ...tlbi('RIPAS2LE1', 4, [4, 6], [0, 6], [4, 7], 'FEAT_TLBIRANGE'),

  row('AT', 'S1E1R', [1, 0, 7, 8, 0]), row('AT', 'S1E1W', [1, 0, 7, 8, 1]), row('AT', 'S1E0R', [1, 0, 7, 8, 2]), row('AT', 'S1E0W', [1, 0, 7, 8, 3]),
  row('AT', 'S1E1RP', [1, 0, 7, 9, 0], 'FEAT_PAN2'), row('AT', 'S1E1WP', [1, 0, 7, 9, 1], 'FEAT_PAN2'),
  row('AT', 'S1E2R', [1, 4, 7, 8, 0]), row('AT', 'S1E2W', [1, 4, 7, 8, 1]),
  row('AT', 'S12E1R', [1, 4, 7, 8, 4]), row('AT', 'S12E1W', [1, 4, 7, 8, 5]), row('AT', 'S12E0R', [1, 4, 7, 8, 6]), row('AT', 'S12E0W', [1, 4, 7, 8, 7]),

  row('IC', 'IALLUIS', [1, 0, 7, 1, 0]), row('IC', 'IALLU', [1, 0, 7, 5, 0]), row('IC', 'IVAU', [1, 3, 7, 5, 1]),
  row('DC', 'IVAC', [1, 0, 7, 6, 1]), row('DC', 'ISW', [1, 0, 7, 6, 2]), row('DC', 'CSW', [1, 0, 7, 10, 2]), row('DC', 'CISW', [1, 0, 7, 14, 2]),
  row('DC', 'ZVA', [1, 3, 7, 4, 1]), row('DC', 'CVAC', [1, 3, 7, 10, 1]), row('DC', 'CVAU', [1, 3, 7, 11, 1]), row('DC', 'CIVAC', [1, 3, 7, 14, 1]),
  // FEAT_SPECRES: nothing is predicted here, so that nothing is to be forgotten.
  row('CFP', 'RCTX', [1, 3, 7, 3, 4]), row('DVP', 'RCTX', [1, 3, 7, 3, 5]), row('CPP', 'RCTX', [1, 3, 7, 3, 7]),
  row('DC', 'CVAP', [1, 3, 7, 12, 1], 'FEAT_DPB'), row('DC', 'CVADP', [1, 3, 7, 13, 1], 'FEAT_DPB2'),
];

const byEncoding = new Map(OPERATIONS.map((operation) => [operation.encoding, operation]));
if (byEncoding.size !== OPERATIONS.length) throw new Error('two system instructions share an encoding');

/** The system instruction of an encoding, or undefined where nothing is allocated. */
export const operationByEncoding = (encoding: number): Operation | undefined => byEncoding.get(encoding);
