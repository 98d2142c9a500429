/** TLBI instructions of virtual EL2: L1 invalidates what it thinks the hardware holds of its tables, which is the shadows and the real TLBs. Linux: sys_regs.c, nested.c. */

import type { Board } from '../aarch64/board.ts';
import { slot as wordOf } from '../aarch64/sysregs.ts';
import { invalidateTlb } from '../aarch64/translate.ts';
import { vncrPage } from '../aarch64/board.ts';
import { bit, bits } from '../bits.ts';
import { readWord } from '../memory/memory.ts';
import type { MmuMessage, Out } from '../messages.ts';
import { slotsWithVmid, unmapAll, unmapRange } from './shadow.ts';
import { firstEndingAfter, vttbrOf } from './stage2.ts';
import { CANONICAL, type MmuState, type ShadowSlot } from './state.ts';

type Tlbi = Extract<MmuMessage, { type: 'tlbi' }>;

const VTTBR_EL2 = wordOf('VTTBR_EL2');
/** Offset of HCR_EL2 in the VNCR page. */
const VNCR_HCR = 0x078;

/**
 * Does `operation` (the Arm name, with or without `TLBI `). Inner and outer shareable forms and the local ones are the same
 * here: L0 runs guests with HCR_EL2.FB, so all are broadcast. Throws RangeError for an operation that is none.
 */
export function invalidate(state: MmuState, board: Board, out: Out, { vcpu, operation, value, vmid }: Tlbi): void {
  const name = operation.replace(/^TLBI /, '').replace(/NXS$/, '').replace(/(IS|OS)$/, '');
  if (name === 'ALLE1') return everySlot(state).forEach((slot) => unmapAll(state, board, out, slot));
  if (name === 'VMALLS12E1') return slotsWithVmid(state, vmid).forEach((slot) => unmapAll(state, board, out, slot));
  if (/^R?IPAS2L?E1$/.test(name)) {
    for (const slot of slotsWithVmid(state, vmid)) {
      const range = name.startsWith('R') ? rangeOf(value) : addressOf(state.slots[slot]!, value);
      unmapRange(state, board, out, slot, range.ipa, range.bytes);
    }
    return;
  }
  // Virtual EL2's own regime is EL1&0 of the canonical map.
  const own = OWN_REGIME[name];
  if (own !== undefined) return stage1(board, vcpu, CANONICAL, own, value);
  if (!STAGE1.test(name)) throw new RangeError(`no TLBI operation is called ${operation}`);
  // A VHE host with TGE means its own regime by these. TGE is looked at alone and its guests' entries go as well: E2H may be RES1, and then the page need not say so.
  if (bit(readWord(board.memory, vncrPage(vcpu) + VNCR_HCR), 27)) stage1(board, vcpu, CANONICAL, name, value);
  for (const slot of slotsWithVmid(state, vmid)) stage1(board, vcpu, slot, name, value);
}

const STAGE1 = /^(VMALLE1|ASIDE1|R?VAA?L?E1)$/;
/** The EL1 operation that does for EL1&0 what an EL2 operation does for EL2. All ASIDs: an EL2 regime without VHE has none. */
const OWN_REGIME: Readonly<Record<string, string>> = { ALLE2: 'VMALLE1', VAE2: 'VAAE1', VALE2: 'VAALE1', RVAE2: 'RVAAE1', RVALE2: 'RVAALE1' };

const everySlot = (state: MmuState): number[] => state.slots.flatMap(({ valid }, index) => (valid ? [index] : []));

/** The real instruction, under the VMID of the slot: KVM enters that VMID, executes it and comes back. */
function stage1(board: Board, vcpu: number, slot: number, name: string, value: bigint): void {
  const core = board.cores[vcpu]!;
  const saved = core.words[VTTBR_EL2]!;
  core.words[VTTBR_EL2] = vttbrOf(slot);
  invalidateTlb(core, `${name}IS`, value);
  core.words[VTTBR_EL2] = saved;
}

interface IpaRange { readonly ipa: number; readonly bytes: number }

/** RIPAS2E1: BaseADDR, NUM, SCALE and TG of Xt. Its TTL is a hint that only narrows. */
function rangeOf(value: bigint): IpaRange {
  const shift = PAGE_SHIFTS[Number(bits(value, 47, 46))] ?? 12;
  return { ipa: Number(bits(value, 36, 0)) * 2 ** shift, bytes: (Number(bits(value, 43, 39)) + 1) * 2 ** (5 * Number(bits(value, 45, 44)) + 1 + shift) };
}

/** TTL[3:2] and TG of Xt as log2 of a granule. 0 is reserved or no hint. */
const PAGE_SHIFTS: readonly (number | undefined)[] = [undefined, 12, 14, 16];

/**
 * IPAS2E1: one address, and how much L1 maps by the entry behind it. The TTL in Xt says so; else what a shadow entry nearby
 * was made from; else it is the largest block there is. Linux: compute_tlb_inval_range.
 */
function addressOf(slot: ShadowSlot, value: bigint): IpaRange {
  const ipa = Number(bits(value, 35, 0)) * 4096;
  const around = (bytes: number): IpaRange => ({ ipa: ipa - (ipa % bytes), bytes });
  const hinted = PAGE_SHIFTS[Number(bits(value, 47, 46))];
  const hintedLevel = Number(bits(value, 45, 44));
  if (hinted !== undefined && hintedLevel >= leastLevel(hinted)) return around(sizeAt(hinted, hintedLevel));
  const shift = [12, 16, 14, 12][Number(bits(slot.vtcr, 15, 14))]!;
  for (let level = leastLevel(shift); level < 3; level++) {
    const range = around(sizeAt(shift, level));
    if (entriesIn(slot, range).some((entry) => entry.level === level)) return range;
  }
  return entriesIn(slot, around(sizeAt(shift, 3))).length > 0 ? around(sizeAt(shift, 3)) : around(sizeAt(shift, leastLevel(shift)));
}

/** The level of the largest block: 1 GiB, 32 MiB or 512 MiB. */
const leastLevel = (pageShift: number): number => (pageShift === 12 ? 1 : 2);
const sizeAt = (pageShift: number, level: number): number => 2 ** (pageShift + (pageShift - 3) * (3 - level));

function entriesIn({ entries }: ShadowSlot, { ipa, bytes }: IpaRange) {
  const first = firstEndingAfter(entries, ipa);
  let last = first;
  while (last < entries.length && entries[last]!.ipa < ipa + bytes) last++;
  return entries.slice(first, last);
}
