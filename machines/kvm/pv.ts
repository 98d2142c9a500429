/** The ARMv8.0 paravirtual mechanism: an L1 hypervisor's EL2 instructions become HVC #imm16 when its image is loaded, and L0 reads them back out of imm16. */

import { hex } from '../bits.ts';
import { packEncoding, SYSTEM_REGISTERS } from '../aarch64/sysregs.ts';

/**
 * On ARMv8.0 an EL2 register accessed at EL1 is UNDEFINED, which L0 never sees, and ERET at EL1 does not trap. HVC always reaches L0, so
 * each such instruction is replaced by an HVC whose immediate says what it was. L0 then does what it would have done for a FEAT_NV trap,
 * with one difference: HVC's preferred return address is already the next instruction.
 *
 *     15   13 12            5 4        0
 *    +-------+---------------+----------+
 *    | class | index         | Rt       |     HVC: 0xd400_0002 | imm16 << 5
 *    +-------+---------------+----------+
 *
 * Published: columbia/nesting-pub, arch/arm64/include/asm/kvm_nested_pv_encoding.h; its indices are in PUBLISHED_*. What it lacks has rows
 * of ours, in indices that it leaves free, in OUR_*.
 */
export type PvOperation =
  /** Not a paravirtual operation: an HVC like any other. */
  | { readonly kind: 'none' }
  /** `SMC #0`, the PSCI conduit of a guest that starts at EL2. */
  | { readonly kind: 'psci' }
  /** `encoding` as sysregs.ts packs it. MRS never has `rt` 31; MSR with `rt` 31 writes zero. */
  | { readonly kind: 'mrs' | 'msr'; readonly register: string; readonly encoding: number; readonly rt: number }
  /** In the published encoding; nothing that we rewrite needs it, since PSTATE's fields act on virtual EL2 as they are. */
  | { readonly kind: 'msr-immediate'; readonly register: string; readonly encoding: number; readonly immediate: number }
  /** `key`: ERETAA or ERETAB, which are ours: 2 and 3 in the index that the published class leaves zero. */
  | { readonly kind: 'eret'; readonly key?: 'IA' | 'IB' }
  /** `operation` as the Arm ARM names it: `ALLE1IS`, `S12E1R`. `rt` is 31 where the instruction takes no address. */
  | { readonly kind: 'tlbi' | 'at'; readonly operation: string; readonly encoding: number; readonly rt: number }
  /** The L1 hypervisor's own `HVC #imm`. */
  | { readonly kind: 'hvc'; readonly immediate: number }
  /** `0xe02e` prints X0 and X1, `0xeeee` is BUG(). */
  | { readonly kind: 'debug'; readonly immediate: number }
  /** A class that is ours or published with an index that has no row: no rewritten image holds it. */
  | { readonly kind: 'unknown'; readonly immediate: number };

/** What imm16 of an HVC from virtual EL2 stands for. From vEL1 and L2 an HVC is always itself: ask only for virtual EL2. */
export function decodePv(imm16: number): PvOperation {
  const index = (imm16 >> 5) & 0xff, rt = imm16 & 31;
  switch ((imm16 >> 13) & 7) {
    case PLAIN: return imm16 === PSCI_IMMEDIATE ? { kind: 'psci' } : { kind: 'none' };
    case MRS: return rt === 31 ? { kind: 'unknown', immediate: imm16 } : registerOperation('mrs', imm16);
    case MSR: return registerOperation('msr', imm16);
    case MSR_IMMEDIATE: {
      const register = registerByIndex.get(index);
      return register === undefined || rt > 15 ? { kind: 'unknown', immediate: imm16 } : { kind: 'msr-immediate', register: register.name, encoding: register.encoding, immediate: rt };
    }
    case ERET: return ERETS[imm16 & 0x1fff] ?? { kind: 'unknown', immediate: imm16 };
    case TLBI: {
      const row = operationByIndex.get(index);
      // The published form of an operation without an address has Rt 0; the instruction has Rt 31.
      if (row === undefined || (!row.address && rt !== 0)) return { kind: 'unknown', immediate: imm16 };
      return { kind: row.kind, operation: row.name, encoding: row.encoding, rt: row.address ? rt : 31 };
    }
    case HVC: return { kind: 'hvc', immediate: imm16 & 0x1fff };
    default: return { kind: 'debug', immediate: imm16 };
  }
}

function registerOperation(kind: 'mrs' | 'msr', imm16: number): PvOperation {
  const register = registerByIndex.get((imm16 >> 5) & 0xff);
  return register === undefined ? { kind: 'unknown', immediate: imm16 } : { kind, register: register.name, encoding: register.encoding, rt: imm16 & 31 };
}

/** `vhe`: L1 runs with E2H=1, so that its plain *_EL1 names mean its own registers. `nvhe`: with E2H=0, so that they mean its guest's. */
export type PvFlavour = 'vhe' | 'nvhe';

/** 32-bit little-endian words by address, 4-byte aligned. */
export interface Words { read(address: number): number; write(address: number, word: number): void }

export interface RewrittenWord { readonly address: number; readonly before: number; readonly after: number; /** `MRS X0, HCR_EL2`. */ readonly name: string }
export interface RefusedWord { readonly address: number; readonly before: number; readonly name: string; /** Why it stays as it is. */ readonly reason: string }

/**
 * Rewrites every EL2 instruction in `ranges` and lists each, in order of address. The ranges must hold instructions only, of code that
 * runs at virtual EL2: code of a guest inside the same image (its ERET, its VBAR_EL1) must be left out of them. One that cannot be
 * expressed is left as it is, and listed as refused; at virtual EL2 it is then UNDEFINED. Rewriting a second time changes the HVCs that the
 * first time wrote, so do it once, at load.
 */
export function rewrite(words: Words, ranges: readonly { readonly from: number; readonly to: number }[], flavour: PvFlavour): { readonly rewritten: readonly RewrittenWord[]; readonly refused: readonly RefusedWord[] } {
  const rewritten: RewrittenWord[] = [], refused: RefusedWord[] = [];
  for (const { from, to } of ranges) {
    for (let address = Math.ceil(from / 4) * 4; address + 4 <= to; address += 4) {
      const before = words.read(address) >>> 0;
      const change = paravirtualize(before, flavour);
      if (change === undefined) continue;
      if (change.after === undefined) refused.push({ address, before, name: change.name, reason: change.reason });
      else {
        words.write(address, change.after);
        rewritten.push({ address, before, after: change.after, name: change.name });
      }
    }
  }
  return { rewritten, refused };
}

export type Paravirtualized = { readonly name: string; readonly after: number } | { readonly name: string; readonly after: undefined; readonly reason: string };

/** What one instruction word becomes, or why it cannot; undefined for one that means the same at EL1 as at EL2, or traps there on ARMv8.0. */
export function paravirtualize(word: number, flavour: PvFlavour): Paravirtualized | undefined {
  if (word === 0xd69f_03e0) return { name: 'ERET', after: hvc(ERET << 13) };
  if (word === 0xd69f_0bff) return { name: 'ERETAA', after: hvc((ERET << 13) | 2) };
  if (word === 0xd69f_0fff) return { name: 'ERETAB', after: hvc((ERET << 13) | 3) };
  if (((word & 0xffe0_001f) >>> 0) === 0xd400_0002) {
    const immediate = (word >>> 5) & 0xffff;
    return immediate > 0x1fff ? refuse(`HVC #${hex(immediate)}`, 'the encoding has 13 bits for the immediate') : { name: `HVC #${hex(immediate)}`, after: hvc((HVC << 13) | immediate) };
  }
  if (((word & 0xffe0_001f) >>> 0) === 0xd400_0003) {
    const immediate = (word >>> 5) & 0xffff;
    return immediate === 0 ? { name: 'SMC #0x0', after: hvc(PSCI_IMMEDIATE) } : refuse(`SMC #${hex(immediate)}`, 'the encoding has PSCI by SMC #0 only');
  }
  if (((word & 0xffc0_0000) >>> 0) !== 0xd500_0000) return undefined; // the System group: MRS, MSR, SYS, SYSL, hints, barriers
  const rt = word & 31;
  const encoding = (word >>> 5) & 0xffff;
  const op0 = (word >>> 19) & 3;
  const read = (word & 0x20_0000) !== 0;
  if (op0 >= 2) return registerAccess(encoding, read, rt, flavour);
  if (op0 === 1 && !read) return systemOperation(encoding, rt);
  return undefined;
}

function registerAccess(encoding: number, read: boolean, rt: number, flavour: PvFlavour): Paravirtualized | undefined {
  const row = registerByEncoding.get(encoding);
  const x = rt === 31 ? 'XZR' : `X${rt}`;
  const op1 = (encoding >> 11) & 7;
  if (row === undefined) {
    // EL2 registers and the EL1 and EL0 ones seen from E2H have op1 4 and 5; the guests' ID registers hide the features of these.
    if (op1 !== 4 && op1 !== 5) return undefined;
    const register = nameByEncoding.get(encoding) ?? generic(encoding);
    return refuse(read ? `MRS ${x}, ${register}` : `MSR ${register}, ${x}`, `there is no index for ${register}`);
  }
  if (row.when !== 'always' && row.when !== flavour) return undefined;
  const name = read ? `MRS ${x}, ${row.name}` : `MSR ${row.name}, ${x}`;
  if (read && row.access === 'W') return refuse(name, 'the register is write-only: the instruction is UNDEFINED at EL2 too');
  if (!read && row.access === 'R') return refuse(name, 'the register is read-only: the instruction is UNDEFINED at EL2 too');
  if (read && rt === 31) return refuse(name, 'MRS to XZR must never be emitted: L0 has no register to put the value in');
  return { name, after: hvc(((read ? MRS : MSR) << 13) | (row.index << 5) | rt) };
}

function systemOperation(encoding: number, rt: number): Paravirtualized | undefined {
  const row = operationByEncoding.get(encoding);
  if (row !== undefined) {
    const name = `${row.kind.toUpperCase()} ${row.name}${row.address ? `, ${rt === 31 ? 'XZR' : `X${rt}`}` : ''}`;
    return { name, after: hvc((TLBI << 13) | (row.index << 5) | (row.address ? rt : 0)) };
  }
  return ((encoding >> 11) & 7) === 4 ? refuse(`SYS ${generic(encoding)}`, 'there is no index for this EL2 operation') : undefined;
}

const refuse = (name: string, reason: string): Paravirtualized => ({ name, after: undefined, reason });
const hvc = (imm16: number): number => (0xd400_0002 | (imm16 << 5)) >>> 0;
const generic = (encoding: number): string => `S${encoding >> 14}_${(encoding >> 11) & 7}_C${(encoding >> 7) & 15}_C${(encoding >> 3) & 15}_${encoding & 7}`;

/**
 * SPSR_EL1.M as the hardware holds it while virtual EL2 runs on EL1, from SPSR_EL2.M as L1 knows it, and back: EL1 and EL2 change places.
 * The hardware writes EL1 there when virtual EL2 takes an exception to itself, where L1 must find EL2; a value that L1 writes for its
 * guest, with EL1 in it, must be told from that. So L0 stores what L1 writes with the two exchanged, exchanges them again when L1 reads,
 * and does so for ERET. FEAT_NV needs none of this: its SPSR_EL1 says EL2 (HCR_EL2.NV1 = 0), or traps.
 */
export function exchangeEl1AndEl2(spsr: bigint): bigint {
  const level = (spsr >> 2n) & 7n; // M[4:2]: AArch64 state and the exception level
  return level === 1n || level === 2n ? spsr ^ 0b1100n : spsr;
}

/** Classes, imm16 bits 15:13. */
const PLAIN = 0, MRS = 1, MSR = 2, MSR_IMMEDIATE = 3, ERET = 4, TLBI = 5, HVC = 6;
const PSCI_IMMEDIATE = 1;
const ERETS: Readonly<Record<number, PvOperation>> = { 0: { kind: 'eret' }, 2: { kind: 'eret', key: 'IA' }, 3: { kind: 'eret', key: 'IB' } };

/** When an access is rewritten. `never`: the index is published, and on ARMv8.0 the access does the right thing at EL1, or a trap that ARMv8.0 has reaches L0. */
type When = 'always' | PvFlavour | 'never';

/**
 * The published register indices: KVM's enum vcpu_sysreg of that tree. Under `nvhe` the plain *_EL1 names mean the L2 context.
 * Not rewritten although they have an index: MPIDR_EL1 (VMPIDR_EL2 answers), TPIDR_EL1, CNTKCTL_EL1 and PAR_EL1 (no FEAT_NV traps them
 * either: L0 switches them), MDSCR_EL1 (MDCR_EL2.TDA traps it). SP_EL2 is no register that code at EL2 can name.
 */
export const PUBLISHED_REGISTERS: readonly (readonly [index: number, name: string, when: When])[] = [
  [1, 'MPIDR_EL1', 'never'], [3, 'SCTLR_EL1', 'nvhe'], [5, 'CPACR_EL1', 'nvhe'], [6, 'TTBR0_EL1', 'nvhe'], [7, 'TTBR1_EL1', 'nvhe'],
  [8, 'TCR_EL1', 'nvhe'], [9, 'ESR_EL1', 'nvhe'], [10, 'AFSR0_EL1', 'nvhe'], [11, 'AFSR1_EL1', 'nvhe'], [12, 'FAR_EL1', 'nvhe'],
  [13, 'MAIR_EL1', 'nvhe'], [14, 'VBAR_EL1', 'nvhe'], [15, 'CONTEXTIDR_EL1', 'nvhe'], [18, 'TPIDR_EL1', 'never'], [19, 'AMAIR_EL1', 'nvhe'],
  [20, 'CNTKCTL_EL1', 'never'], [21, 'PAR_EL1', 'never'], [22, 'MDSCR_EL1', 'never'],
  [99, 'VPIDR_EL2', 'always'], [100, 'VMPIDR_EL2', 'always'], [101, 'SCTLR_EL2', 'always'], [102, 'ACTLR_EL2', 'always'], [103, 'HCR_EL2', 'always'],
  [104, 'MDCR_EL2', 'always'], [105, 'CPTR_EL2', 'always'], [106, 'HSTR_EL2', 'always'], [107, 'HACR_EL2', 'always'], [108, 'TTBR0_EL2', 'always'],
  [109, 'TTBR1_EL2', 'always'], [110, 'TCR_EL2', 'always'], [111, 'VTTBR_EL2', 'always'], [112, 'VTCR_EL2', 'always'], [115, 'ESR_EL2', 'always'],
  [116, 'FAR_EL2', 'always'], [117, 'HPFAR_EL2', 'always'], [118, 'MAIR_EL2', 'always'], [119, 'AMAIR_EL2', 'always'], [120, 'VBAR_EL2', 'always'],
  [124, 'TPIDR_EL2', 'always'], [125, 'CNTVOFF_EL2', 'always'], [126, 'CNTHCTL_EL2', 'always'],
  // SPSR_EL1 under `vhe` too, although it means L1's own: the hardware's says EL1 where L1 must find EL2 (exchangeEl1AndEl2).
  [128, 'SP_EL1', 'always'], [129, 'ELR_EL1', 'nvhe'], [130, 'SPSR_EL1', 'always'],
  [131, 'SPSR_EL2', 'always'], [132, 'ELR_EL2', 'always'], [133, 'SP_EL2', 'never'],
];

const run = (first: number, when: When, ...names: readonly string[]): (readonly [number, string, When])[] => names.map((name, position) => [first + position, name, when]);
const numbered = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, number) => `${prefix}${number}_EL2`);

/** Our register indices, from 134 on: what a hypervisor of today reaches for and the published table lacks. Numbers once given stay. */
export const OUR_REGISTERS: readonly (readonly [index: number, name: string, when: When])[] = [
  // It would say EL1.
  ...run(134, 'always', 'CurrentEL'),
  ...run(135, 'always', 'SCTLR_EL12', 'CPACR_EL12', 'TTBR0_EL12', 'TTBR1_EL12', 'TCR_EL12', 'SPSR_EL12', 'ELR_EL12', 'AFSR0_EL12', 'AFSR1_EL12', 'ESR_EL12',
    'FAR_EL12', 'MAIR_EL12', 'AMAIR_EL12', 'VBAR_EL12', 'CONTEXTIDR_EL12', 'CNTKCTL_EL12'),
  ...run(151, 'always', 'CNTP_TVAL_EL02', 'CNTP_CTL_EL02', 'CNTP_CVAL_EL02', 'CNTV_TVAL_EL02', 'CNTV_CTL_EL02', 'CNTV_CVAL_EL02'),
  // With E2H=0 these are the EL1 timers, which belong to L2 while it runs; with E2H=1 they are virtual EL2's own.
  ...run(157, 'nvhe', 'CNTP_TVAL_EL0', 'CNTP_CTL_EL0', 'CNTP_CVAL_EL0', 'CNTV_TVAL_EL0', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0'),
  ...run(163, 'always', 'CNTHP_TVAL_EL2', 'CNTHP_CTL_EL2', 'CNTHP_CVAL_EL2', 'CNTHV_TVAL_EL2', 'CNTHV_CTL_EL2', 'CNTHV_CVAL_EL2', 'CNTPOFF_EL2'),
  ...run(170, 'always', 'ICC_SRE_EL2', 'ICH_HCR_EL2', 'ICH_VTR_EL2', 'ICH_MISR_EL2', 'ICH_EISR_EL2', 'ICH_ELRSR_EL2', 'ICH_VMCR_EL2'),
  ...run(177, 'always', ...numbered('ICH_AP0R', 4), ...numbered('ICH_AP1R', 4)),
  ...run(185, 'always', ...numbered('ICH_LR', 16)),
  ...run(201, 'always', 'AFSR0_EL2', 'AFSR1_EL2', 'CONTEXTIDR_EL2', 'RVBAR_EL2', 'RMR_EL2', 'VDISR_EL2', 'VSESR_EL2', 'VNCR_EL2', 'VSTTBR_EL2'),
  ...run(210, 'always', 'HCRX_EL2', 'HFGRTR_EL2', 'HFGWTR_EL2', 'HFGITR_EL2', 'HDFGRTR_EL2', 'HDFGWTR_EL2', 'HAFGRTR_EL2', 'HFGRTR2_EL2', 'HFGWTR2_EL2', 'HFGITR2_EL2', 'HDFGRTR2_EL2', 'HDFGWTR2_EL2'),
  // AArch32 state of guests: a hypervisor saves it without asking.
  ...run(222, 'always', 'SPSR_irq', 'SPSR_abt', 'SPSR_und', 'SPSR_fiq', 'DACR32_EL2', 'IFSR32_EL2', 'FPEXC32_EL2', 'DBGVCR32_EL2'),
];

type OperationRow = readonly [index: number, name: string, kind: 'tlbi' | 'at', op1: number, crm: number, op2: number, address: boolean];

/** The published TLBI indices. CRn is 8 for TLBI and 7 for AT; `address` tells whether Rt holds one. */
export const PUBLISHED_OPERATIONS: readonly OperationRow[] = [
  [1, 'IPAS2E1IS', 'tlbi', 4, 0, 1, true], [2, 'VMALLE1IS', 'tlbi', 0, 3, 0, false], [3, 'VMALLS12E1IS', 'tlbi', 4, 3, 6, false],
  [4, 'ALLE2', 'tlbi', 4, 7, 0, false], [5, 'ALLE1IS', 'tlbi', 4, 3, 4, false], [6, 'VMALLE1', 'tlbi', 0, 7, 0, false],
];

/**
 * Ours. The EL1 TLBIs and AT S1E1*, S1E0* are rewritten under both flavours: at EL1 they would act on virtual EL2's own translations,
 * where L1 means its guest's unless HCR_EL2.{E2H,TGE} are both 1, which L0 knows and we do not. (FEAT_NV machines have HCR_EL2.AT for
 * that; HCR_EL2.TTLB exists on ARMv8.0, and with it L0 sees the TLBIs of code that was not rewritten.)
 */
export const OUR_OPERATIONS: readonly OperationRow[] = [
  [7, 'ALLE1', 'tlbi', 4, 7, 4, false], [8, 'ALLE2IS', 'tlbi', 4, 3, 0, false], [9, 'VMALLS12E1', 'tlbi', 4, 7, 6, false],
  [10, 'IPAS2E1', 'tlbi', 4, 4, 1, true], [11, 'IPAS2LE1', 'tlbi', 4, 4, 5, true], [12, 'IPAS2LE1IS', 'tlbi', 4, 0, 5, true],
  [13, 'VAE2', 'tlbi', 4, 7, 1, true], [14, 'VAE2IS', 'tlbi', 4, 3, 1, true], [15, 'VALE2', 'tlbi', 4, 7, 5, true], [16, 'VALE2IS', 'tlbi', 4, 3, 5, true],
  [17, 'VAE1', 'tlbi', 0, 7, 1, true], [18, 'VAE1IS', 'tlbi', 0, 3, 1, true], [19, 'ASIDE1', 'tlbi', 0, 7, 2, true], [20, 'ASIDE1IS', 'tlbi', 0, 3, 2, true],
  [21, 'VAAE1', 'tlbi', 0, 7, 3, true], [22, 'VAAE1IS', 'tlbi', 0, 3, 3, true], [23, 'VALE1', 'tlbi', 0, 7, 5, true], [24, 'VALE1IS', 'tlbi', 0, 3, 5, true],
  [25, 'VAALE1', 'tlbi', 0, 7, 7, true], [26, 'VAALE1IS', 'tlbi', 0, 3, 7, true],
  // FEAT_TLBIOS and FEAT_TLBIRANGE.
  ...([['VMALLE1', 0, 0], ['VAE1', 0, 1], ['ASIDE1', 0, 2], ['VAAE1', 0, 3], ['VALE1', 0, 5], ['VAALE1', 0, 7], ['ALLE2', 4, 0], ['VAE2', 4, 1], ['ALLE1', 4, 4], ['VALE2', 4, 5], ['VMALLS12E1', 4, 6]] as const)
    .map(([name, op1, op2], position): OperationRow => [27 + position, `${name}OS`, 'tlbi', op1, 1, op2, !/ALL[ES]/.test(name)]),
  [38, 'IPAS2E1OS', 'tlbi', 4, 4, 0, true], [39, 'IPAS2LE1OS', 'tlbi', 4, 4, 4, true],
  ...([['RVAE1', 0, 1], ['RVAAE1', 0, 3], ['RVALE1', 0, 5], ['RVAALE1', 0, 7], ['RVAE2', 4, 1], ['RVALE2', 4, 5]] as const)
    .flatMap(([name, op1, op2], position) => ([['', 6], ['IS', 2], ['OS', 5]] as const).map(([suffix, crm], form): OperationRow => [40 + 3 * position + form, name + suffix, 'tlbi', op1, crm, op2, true])),
  [58, 'RIPAS2E1', 'tlbi', 4, 4, 2, true], [59, 'RIPAS2E1IS', 'tlbi', 4, 0, 2, true], [60, 'RIPAS2E1OS', 'tlbi', 4, 4, 3, true],
  [61, 'RIPAS2LE1', 'tlbi', 4, 4, 6, true], [62, 'RIPAS2LE1IS', 'tlbi', 4, 0, 6, true], [63, 'RIPAS2LE1OS', 'tlbi', 4, 4, 7, true],
  [64, 'S1E2R', 'at', 4, 8, 0, true], [65, 'S1E2W', 'at', 4, 8, 1, true], [66, 'S12E1R', 'at', 4, 8, 4, true], [67, 'S12E1W', 'at', 4, 8, 5, true],
  [68, 'S12E0R', 'at', 4, 8, 6, true], [69, 'S12E0W', 'at', 4, 8, 7, true], [70, 'S1E1R', 'at', 0, 8, 0, true], [71, 'S1E1W', 'at', 0, 8, 1, true],
  [72, 'S1E0R', 'at', 0, 8, 2, true], [73, 'S1E0W', 'at', 0, 8, 3, true], [74, 'S1E1RP', 'at', 0, 9, 0, true], [75, 'S1E1WP', 'at', 0, 9, 1, true],
];

interface RegisterRow { readonly index: number; readonly name: string; readonly encoding: number; readonly access: 'RW' | 'R' | 'W'; readonly when: When }
interface Operation { readonly index: number; readonly name: string; readonly kind: 'tlbi' | 'at'; readonly encoding: number; readonly address: boolean }

const nameByEncoding = new Map(SYSTEM_REGISTERS.map((row) => [row.encoding, row.name]));
const registerByIndex = new Map<number, RegisterRow>();
const registerByEncoding = new Map<number, RegisterRow>();
const operationByIndex = new Map<number, Operation>();
const operationByEncoding = new Map<number, Operation>();

function add<Row extends { readonly index: number; readonly encoding: number; readonly name: string }>(byIndex: Map<number, Row>, byEncoding: Map<number, Row>, row: Row): void {
  const clash = byIndex.get(row.index) ?? byEncoding.get(row.encoding);
  if (clash || row.index > 0xff) throw new Error(`paravirtual index ${row.index} (${row.name}) ${clash ? `clashes with ${clash.index} (${clash.name})` : 'has more than 8 bits'}`);
  byIndex.set(row.index, row);
  byEncoding.set(row.encoding, row);
}

for (const [index, name, when] of [...PUBLISHED_REGISTERS, ...OUR_REGISTERS]) {
  const register = SYSTEM_REGISTERS.find((row) => row.name === name);
  if (!register) throw new Error(`paravirtual index ${index} names ${name}, which has no row in sysregs.ts`);
  add(registerByIndex, registerByEncoding, { index, name, encoding: register.encoding, access: register.access, when });
}
for (const [index, name, kind, op1, crm, op2, address] of [...PUBLISHED_OPERATIONS, ...OUR_OPERATIONS]) {
  add(operationByIndex, operationByEncoding, { index, name, kind, encoding: packEncoding(1, op1, kind === 'tlbi' ? 8 : 7, crm, op2), address });
}
