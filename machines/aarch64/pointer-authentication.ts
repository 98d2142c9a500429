/** FEAT_PAuth and FEAT_PAuth2: signing, checking and stripping pointers, with its controls and its trap. Arm ARM D8.10; pseudocode AddPAC, Auth, Strip, ComputePAC. */

import type { PointerKey, PointerOperation } from './builder.ts';
import { HcrHigh, hcrHigh, inHost, sctlrIndex } from './controls.ts';
import { fastCode, qarma5 } from './engine/qarma.ts';
import { raise, undefinedInstruction } from './exception.ts';
import { type Core, elOf } from './state.ts';
import { Ec } from './syndrome.ts';
import { slot } from './sysregs.ts';
import { Regime } from './tlb.ts';
import { regimeAt } from './translate.ts';

/**
 * One instruction's operation at the current level. A hint does nothing without the feature; the others are UNDEFINED. Where SCTLR_ELx.En<key> is 0
 * the pointer stays as it is, and nothing traps; HCR_EL2.API traps the rest of EL1 and EL0, and PACGA always. There is no FEAT_FPAC: a pointer that
 * fails its check keeps a difference that makes its use fault.
 */
export function authenticatePointer(core: Core, operation: PointerOperation, pointer: bigint, modifier: bigint): bigint {
  if (core.board.features.pauth === 'none') return operation.hint === true ? pointer : undefinedInstruction(core);
  const el = elOf(core);
  const { act, key } = operation;
  if (act === 'strip') return strip(core, el, pointer, key[0] === 'D');
  if (act !== 'generic' && !enabled(core, el, key)) return pointer;
  if (trapped(core, el)) raise(core, { ec: Ec.PAC_TRAP, iss: 0, target: 2 });
  switch (act) {
    case 'generic': return computeCode(core, pointer, modifier, key) & 0xffff_ffff_0000_0000n;
    case 'sign': return sign(core, el, pointer, modifier, key);
    case 'authenticate': return check(core, el, pointer, modifier, key);
  }
}

/** AUTIA or AUTIB of an address by code at `el`, controls included and traps left out: for ERETAA, and for L0, which does them for its guest. */
export const authenticateAddress = (core: Core, el: number, address: bigint, modifier: bigint, key: PointerKey): bigint =>
  (core.board.features.pauth !== 'none' && enabled(core, el, key) ? check(core, el, address, modifier, key) : address);

/** HCR_EL2.API: the use of pointer authentication below EL2 traps when it is 0. */
export const trapped = (core: Core, el: number): boolean =>
  core.board.el2 !== 'none' && el < 2 && !(el === 0 && inHost(core)) && (hcrHigh(core) & HcrHigh.API) === 0;

/** SCTLR_ELx.EnIA, EnIB, EnDA and EnDB, low half. */
const ENABLES: Readonly<Record<PointerKey, number>> = { IA: 1 << 31, IB: 1 << 30, DA: 1 << 27, DB: 1 << 13, GA: 0 };
const enabled = (core: Core, el: number, key: PointerKey): boolean => (core.ints[sctlrIndex(core, el)]! & ENABLES[key]) !== 0;

const KEYS: Readonly<Record<PointerKey, readonly [low: number, high: number]>> = {
  IA: wordsOf('APIA'), IB: wordsOf('APIB'), DA: wordsOf('APDA'), DB: wordsOf('APDB'), GA: wordsOf('APGA'),
};
function wordsOf(name: string): readonly [number, number] {
  return [slot(`${name}KeyLo_EL1`), slot(`${name}KeyHi_EL1`)];
}

/** The words of a key's low and high half. */
export const keyWords = (key: PointerKey): readonly [low: number, high: number] => KEYS[key];

function computeCode(core: Core, data: bigint, modifier: bigint, key: PointerKey): bigint {
  const [low, high] = KEYS[key];
  const compute = core.board.features.pauth === 'qarma5' ? qarma5 : fastCode;
  return compute(data, modifier, core.words[high]!, core.words[low]!);
}

const TCR_EL1 = slot('TCR_EL1');
const TCR_EL2 = slot('TCR_EL2');
const bitOf = (value: bigint, lsb: number): number => Number((value >> BigInt(lsb)) & 1n);

/** What of the address space a pointer's code depends on: where its field begins, and whether the top byte is a tag. Both by the half that the pointer is of. */
interface Layout { readonly bottom: number; readonly tagged: boolean }

function layout(core: Core, el: number, upper: number, data: boolean): Layout {
  const regime = regimeAt(core, el);
  const tcr = core.words[regime === Regime.EL10 ? TCR_EL1 : TCR_EL2]!;
  const single = regime === Regime.EL2;
  return { bottom: bottomOf(tcr, !single && upper === 1), tagged: single ? tagOf(tcr, 20, 29, data) : halfTag(tcr, upper, data) };
}

/** TBI, which TBID confines to data. */
const tagOf = (tcr: bigint, tbi: number, tbid: number, data: boolean): boolean => bitOf(tcr, tbi) === 1 && (data || bitOf(tcr, tbid) === 0);
const halfTag = (tcr: bigint, half: number, data: boolean): boolean => tagOf(tcr, 37 + half, 51 + half, data);

/** CalculateBottomPACBit: TxSZ within 16 to 39 (no FEAT_TTST, no FEAT_LVA). */
function bottomOf(tcr: bigint, upper: boolean): number {
  const size = Number((tcr >> (upper ? 16n : 0n)) & 0x3fn);
  return 64 - Math.min(39, Math.max(16, size));
}

/** The bit that tells the halves apart. Where a half has tags it is bit 55 for both, since one with a tag and one without could not be told apart. */
function selectBit(core: Core, el: number, pointer: bigint, data: boolean, tagged: boolean): number {
  const regime = regimeAt(core, el);
  const tcr = core.words[regime === Regime.EL10 ? TCR_EL1 : TCR_EL2]!;
  const low = regime === Regime.EL2 ? tagged : halfTag(tcr, 0, data) || halfTag(tcr, 1, data);
  return bitOf(pointer, low ? 55 : 63);
}

const ones = (width: number): bigint => (1n << BigInt(width)) - 1n;
/** The bits of a pointer's code, bit 55 included: 54 to `bottom`, and 63 to 56 where they are no tag. */
const fieldOf = ({ bottom, tagged }: Layout): bigint => (ones(tagged ? 56 : 64) >> BigInt(bottom)) << BigInt(bottom);

/** The pointer without a code: the field as `bit` has it. */
const extended = (pointer: bigint, field: bigint, bit: number): bigint => (bit === 1 ? pointer | field : pointer & ~field);

/** FEAT_PAuth2: the code is added to the field without a carry, whatever was in it, and a check takes it off again. */
function sign(core: Core, el: number, pointer: bigint, modifier: bigint, key: PointerKey): bigint {
  const data = key[0] === 'D';
  const { tagged } = layout(core, el, bitOf(pointer, 55), data);
  const select = selectBit(core, el, pointer, data, tagged);
  const { bottom } = layout(core, el, select, data);
  const field = fieldOf({ bottom, tagged });
  const code = computeCode(core, extended(pointer, field, select), modifier, key);
  return ((pointer ^ (code & field)) & ~(1n << 55n)) | (BigInt(select) << 55n);
}

function check(core: Core, el: number, pointer: bigint, modifier: bigint, key: PointerKey): bigint {
  const upper = bitOf(pointer, 55);
  const field = fieldOf(layout(core, el, upper, key[0] === 'D'));
  return pointer ^ (computeCode(core, extended(pointer, field, upper), modifier, key) & field & ~(1n << 55n));
}

function strip(core: Core, el: number, pointer: bigint, data: boolean): bigint {
  const upper = bitOf(pointer, 55);
  return extended(pointer, fieldOf(layout(core, el, upper, data)), upper);
}

/** What the controls say at the core's level now, for who computes by himself. */
export interface PointerControls {
  /** Whether the function is `fast`. */
  readonly computes: boolean;
  readonly enabled: Readonly<Record<PointerKey, boolean>>;
  readonly trapped: boolean;
  /** For addresses of instructions, then of data: the bit that tells the halves apart when one is signed, and the field of the code by bit 55 (times 2) and that bit. */
  readonly layouts: readonly { readonly selectBit: 55 | 63; readonly fields: readonly bigint[] }[];
}

export function pointerControls(core: Core): PointerControls {
  const el = elOf(core);
  const layouts = [false, true].map((data) => {
    const tagged = [0, 1].map((half) => layout(core, el, half, data).tagged);
    return {
      selectBit: tagged[0] || tagged[1] ? 55 as const : 63 as const,
      fields: [0, 1].flatMap((upper) => [0, 1].map((select) => fieldOf({ bottom: layout(core, el, select, data).bottom, tagged: tagged[upper]! }))),
    };
  });
  return {
    computes: core.board.features.pauth === 'fast', trapped: trapped(core, el), layouts,
    enabled: { IA: enabled(core, el, 'IA'), IB: enabled(core, el, 'IB'), DA: enabled(core, el, 'DA'), DB: enabled(core, el, 'DB'), GA: true },
  };
}
