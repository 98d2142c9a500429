/** The instruction rows among themselves, and against Arm's table of encodings. */

import { expect, test } from 'vitest';
import { ROWS } from '../../../machines/aarch64/a64.ts';
import { instruction, overlap, refuseOverlaps } from '../../../machines/aarch64/row.ts';
import { armEncodings, type Encoding } from '../../support/a64-encodings.ts';

const encodings = armEncodings();
const nothing = (): void => {};

test('no word belongs to two rows', () => {
  expect(() => refuseOverlaps(ROWS)).not.toThrow();
  expect(new Set(ROWS.map((row) => row.name)).size).toBe(ROWS.length);
});

test('a row that overlaps another is refused by name', () => {
  const thief = instruction('THIEF', '1 0 0 100010 0 000000000000 00000 ddddd', nothing, 'thief <Xd>');
  expect(() => refuseOverlaps([...ROWS, thief])).toThrow(/ADD \(immediate\) and THIEF share the word 0x91000000/);
});

test('a pattern that is not 32 places, or uses a letter twice, is refused', () => {
  expect(() => instruction('SHORT', '1 0 0', nothing, 'short')).toThrow(/3 places, not 32/);
  expect(() => instruction('TWICE', `d 0 ${'0'.repeat(29)} d`, nothing, 'twice')).toThrow(/uses d twice/);
});

/** Mnemonics of encodings that a row covers under another name than its own first word. */
const COVERED_BY: Readonly<Record<string, RegExp>> = {
  HINT: /^(NOP|YIELD|WFE|WFI|SEVL?|DGH|ESB|BTI|XPACLRI|(PAC|AUT)I[AB](1716|SP|Z)|HINT \d.*)$/, MSR_SI: /^(MSR \(immediate\)|CFINV|[AX]{2}FLAG)/, RPRFM: /^PRFM \(register\)/, B_only_condbranch: /^B\.cond$/,
  // Hints with a name of their own.
  hints: /^HINT \d/,
};

const mnemonic = (name: string): string => name.split(/[ (_.]/)[0]!;

/** The row's name for an encoding's: the orderings of atomics are fields of one row. */
function belongs(encoding: Encoding, rowName: string): boolean {
  const theirs = encoding.name.split('_')[0]!;
  if (encoding.group === 'control/hints' && (COVERED_BY['hints']!.test(rowName) || COVERED_BY['HINT']!.test(rowName))) return true;
  for (const [prefix, expression] of Object.entries(COVERED_BY)) if (encoding.name.startsWith(prefix)) return expression.test(rowName);
  if (encoding.group === 'ldst/memop' || encoding.group.startsWith('ldst/comswap')) return theirs.replace(/^(CASP?|SWP|LD(?:ADD|CLR|EOR|SET|[SU]MAX|[SU]MIN))(?:AL|A|L)?([BH]?)$/, '$1$2') === rowName;
  // RETAASPPCR with Rm = 31 is RETAA.
  return theirs.replace(/SPPCR$/, '') === mnemonic(rowName);
}

test.skipIf(encodings === undefined)('every row takes words of its own instruction only, and of at least one (needs ../shared/reference/data)', () => {
  const stolen: string[] = [];
  const alone: string[] = [];
  for (const row of ROWS.filter((candidate) => candidate.hole === undefined)) {
    const theirs = encodings!.filter(({ mask, value }) => ((value ^ row.value) & mask & row.mask) === 0);
    if (theirs.length === 0) alone.push(row.name);
    for (const encoding of theirs) if (!belongs(encoding, row.name)) stolen.push(`${row.name} takes ${encoding.name}`);
  }
  expect({ stolen, alone }).toEqual({ stolen: [], alone: [] });
});

/** What later extensions added and this processor does not implement: UNDEFINED, as it should be. By group or name, with the feature. */
const ABSENT: readonly (readonly [RegExp, string])[] = [
  [/compbranch_(imm|regs)/, 'FEAT_CMPBR'], [/BC_only/, 'FEAT_HBC'], [/RETA[AB]SPPC|AUTI[AB]SPPC|64LR_dp_1src/, 'FEAT_PAuth_LR'], [/^(TEXIT|TENTER|TSTART|TTEST|TCHANGE)/, 'FEAT_TME and its successors'],
  [/SYSP|MSRR|MRRS/, 'FEAT_D128'],
  [/minmax_imm/, 'FEAT_CSSC'], [/^(CTZ|CNT|ABS|[SU]M(AX|IN))_(32|64)_dp_/, 'FEAT_CSSC'], [/PT_64/, 'FEAT_CPA'], [/_unpriv$/, 'FEAT_LSUI'],
  [/ldapstl_writeback|ldiappstilp/, 'FEAT_LRCPC3'], [/ldst_gcs/, 'FEAT_GCS'], [/^(STTN?P|LDTN?P)_64/, 'FEAT_LSUI'], [/memcms|memset_go/, 'FEAT_MOPS'],
  [/^(RCW|ST64B|LD64B)|rcwcomswap/, 'FEAT_THE, FEAT_LS64'], [/memop_128/, 'FEAT_LSE128'],
];

test.skipIf(encodings === undefined)('every base encoding is a row, a hole, or of a feature that is absent by name (needs ../shared/reference/data)', () => {
  const partly: string[] = [];
  for (const encoding of encodings!.filter(({ group }) => /^(control|dpimm|dpreg|ldst|reserved|simd_dp)/.test(group))) {
    const size = 2 ** (32 - bitCount(encoding.mask));
    // Rows share no word, so that the parts of the encoding that they take add up.
    let taken = 0;
    for (const row of ROWS) if (((row.value ^ encoding.value) & row.mask & encoding.mask) === 0) taken += 2 ** (32 - bitCount(row.mask | encoding.mask));
    const absent = ABSENT.some(([expression]) => expression.test(encoding.name) || expression.test(encoding.group));
    if (taken !== size && !absent) partly.push(`${encoding.name}: ${taken} of ${size} words`);
  }
  expect(partly).toEqual([
    // FEAT_XS.
    'DSB_BOn_barriers: 0 of 4 words',
    // PSTATE fields without a row.
    expect.stringMatching(/^MSR_SI_pstate: /),
  ]);
});

test('holes and rows together leave no SIMD, SVE or SME word to be mistaken for UNDEFINED', () => {
  for (const word of [0x1e20_2820, 0x4e20_1c00, 0x3dc0_0000, 0xad40_0000, 0x0420_0000, 0x8000_0000]) {
    expect(ROWS.filter((row) => ((row.value ^ word) & row.mask) === 0).map((row) => row.hole)).toHaveLength(1);
  }
  expect(overlap(ROWS[0]!, ROWS[0]!)).toBe(true);
});

const bitCount = (value: number): number => (value >>> 0).toString(2).replaceAll('0', '').length;
