/** Which control bit traps which system register or system instruction: coarse traps, fine-grained traps and EL0's controls, as rows. */

import { Hcr, HcrHigh, e2h, hcrHigh, hcrLow, inHost, sctlrIndex } from './controls.ts';
import { bitOf, bitTest } from './fields.ts';
import { OPERATIONS } from './registers/operations.ts';
import { type Core, elOf } from './state.ts';
import { RESERVED_IDENTIFICATION, SYSTEM_REGISTERS, slot } from './sysregs.ts';

export type Direction = 'read' | 'write' | 'any';

/** One control. Registers by name; system instructions as `TLBI VAE1IS`, and they count as writes. */
export interface TrapRow {
  /** The field as the Arm ARM names it. */
  readonly control: string;
  readonly direction: Direction;
  readonly names: readonly string[];
  /** `EL0`: a control over EL0 of EL1, or of the host: the exception goes where EL0's exceptions go. `EL2`: over EL1 and guest EL0, to EL2. */
  readonly kind: 'EL0' | 'EL2' | 'fine';
  /** Whether the control says "trap" now. */
  readonly traps: (core: Core) => boolean;
}

const read = 'read';
const write = 'write';
const any = 'any';

/** A bit that traps when it is 1. */
const trap = (control: string, direction: Direction, names: readonly string[], traps: (core: Core) => boolean = bitTest(control)): TrapRow =>
  ({ control, direction, names, kind: 'EL2', traps });

/** A control of EL0's accesses. */
const trapEl0 = (control: string, direction: Direction, names: readonly string[], traps: (core: Core) => boolean): TrapRow =>
  ({ control, direction, names, kind: 'EL0', traps });

const either = (...conditions: ((core: Core) => boolean)[]) => (core: Core): boolean => conditions.some((condition) => condition(core));

/** The SCTLR that governs EL0: SCTLR_EL1, or SCTLR_EL2 for the host's applications. The bit traps when it is 0. */
const sctlrClear = (lsb: number) => (core: Core): boolean => ((core.ints[sctlrIndex(core, 0)]! >>> lsb) & 1) === 0;

const CNTKCTL = 2 * slot('CNTKCTL_EL1');
const CPTR = 2 * slot('CPTR_EL2');
const CNTHCTL = 2 * slot('CNTHCTL_EL2');
/** EL0's timer enables: CNTKCTL_EL1, or CNTHCTL_EL2 for the host's applications, which has them in the same bits. All of `bits` clear traps. */
const timerClear = (bits: number) => (core: Core): boolean => (core.ints[inHost(core) ? CNTHCTL : CNTKCTL]! & bits) === 0;

/** CNTHCTL_EL2.{EL1PCEN or EL1PTEN, EL1PCTEN}: bits 1 and 0, and bits 11 and 10 with E2H. 0 traps. */
const el1TimerClear = (place: 0 | 1) => (core: Core): boolean => ((core.ints[CNTHCTL]! >>> (e2h(core) ? 10 + place : place)) & 1) === 0;
/** The FEAT_ECV bits of CNTHCTL_EL2, which have no effect without it. */
const ecvBit = (control: string) => {
  const set = bitTest(control);
  return (core: Core): boolean => core.board.features.ecv && set(core);
};
/** EL1NVPCT and EL1NVVCT count only for {NV2, NV1, NV} = {1, 0, 1} with TGE = 0. */
const nvTimer = (control: string) => {
  const set = ecvBit(control);
  const mask = HcrHigh.NV | HcrHigh.NV1 | HcrHigh.NV2;
  return (core: Core): boolean => set(core) && (hcrHigh(core) & mask) === (HcrHigh.NV | HcrHigh.NV2) && (hcrLow(core) & Hcr.TGE) === 0;
};

const numbered = (count: number, ...patterns: string[]): string[] => patterns.flatMap((pattern) => Array.from({ length: count }, (_, n) => pattern.replace('#', String(n))));
const namesOf = (names: string): string[] => names.trim().split(/\s+/);
const operations = (kind: string, names: string): string[] => namesOf(names).map((name) => `${kind} ${name}`);
const TLBI_EL1 = operations('TLBI', 'VMALLE1 VAE1 ASIDE1 VAAE1 VALE1 VAALE1 RVAE1 RVAAE1 RVALE1 RVAALE1');
const withSuffix = (suffix: string): string[] => TLBI_EL1.map((name) => name + suffix);

const VM_CONTROLS = namesOf('SCTLR_EL1 TTBR0_EL1 TTBR1_EL1 TCR_EL1 ESR_EL1 FAR_EL1 AFSR0_EL1 AFSR1_EL1 MAIR_EL1 AMAIR_EL1 CONTEXTIDR_EL1 PIR_EL1 PIRE0_EL1 POR_EL0 POR_EL1 TCR2_EL1 SCTLR2_EL1');
const CACHE_IDS = namesOf('CCSIDR_EL1 CCSIDR2_EL1 CLIDR_EL1 CSSELR_EL1');
const IDENTIFICATION = /^(ID_|MVFR|S3_0_C0_C[1-7]_)/;
const NAMED = [...SYSTEM_REGISTERS, ...RESERVED_IDENTIFICATION];
const DEBUG = [
  ...namesOf('MDSCR_EL1 OSECCR_EL1 DBGCLAIMSET_EL1 DBGCLAIMCLR_EL1 DBGAUTHSTATUS_EL1'), ...numbered(16, 'DBGBVR#_EL1', 'DBGBCR#_EL1', 'DBGWVR#_EL1', 'DBGWCR#_EL1'),
];
const DEBUG_CHANNEL = namesOf('MDCCSR_EL0 MDCCINT_EL1 OSDTRRX_EL1 OSDTRTX_EL1 DBGDTR_EL0 DBGDTRRX_EL0');
const OS_LOCK = namesOf('OSLAR_EL1 OSLSR_EL1 OSDLR_EL1 DBGPRCR_EL1');
const PMU = [
  ...namesOf('PMCNTENSET_EL0 PMCNTENCLR_EL0 PMOVSSET_EL0 PMOVSCLR_EL0 PMCEID0_EL0 PMCEID1_EL0 PMSWINC_EL0 PMSELR_EL0 PMCCNTR_EL0 PMUSERENR_EL0'),
  ...namesOf('PMINTENSET_EL1 PMINTENCLR_EL1 PMMIR_EL1 PMCCFILTR_EL0 PMXEVTYPER_EL0 PMXEVCNTR_EL0 PMCR_EL0'), ...numbered(31, 'PMEVCNTR#_EL0', 'PMEVTYPER#_EL0'),
];
const AMU = [
  ...namesOf('AMUSERENR_EL0 AMCFGR_EL0 AMCGCR_EL0 AMCNTENCLR0_EL0 AMCNTENCLR1_EL0 AMCNTENSET0_EL0 AMCNTENSET1_EL0 AMCR_EL0'),
  ...numbered(4, 'AMEVCNTR0#_EL0', 'AMEVTYPER0#_EL0'), ...numbered(16, 'AMEVCNTR1#_EL0', 'AMEVTYPER1#_EL0'),
];
const KEYS = ['APIA', 'APIB', 'APDA', 'APDB', 'APGA'].flatMap((key) => [`${key}KeyLo_EL1`, `${key}KeyHi_EL1`]);
const SGIS = namesOf('ICC_SGI0R_EL1 ICC_SGI1R_EL1 ICC_ASGI1R_EL1');
const TDCC = bitTest('MDCR_EL2.TDCC');
const TDE = bitTest('MDCR_EL2.TDE');

/** Controls over EL0's own accesses, checked first. */
const EL0_CONTROLS: readonly TrapRow[] = [
  trapEl0('SCTLR_EL1.UCT', read, ['CTR_EL0'], sctlrClear(15)),
  trapEl0('SCTLR_EL1.DZE', write, ['DC ZVA'], sctlrClear(14)),
  trapEl0('SCTLR_EL1.UCI', write, operations('DC', 'CVAU CIVAC CVAC CVAP CVADP'), sctlrClear(26)),
  trapEl0('SCTLR_EL1.UCI', write, ['IC IVAU'], sctlrClear(26)),
  trapEl0('SCTLR_EL1.EnRCTX', write, namesOf('CFP_RCTX DVP_RCTX CPP_RCTX').map((name) => name.replace('_', ' ')), sctlrClear(10)),
  // SCTLR_EL2 has no UMA: the host's applications always trap.
  trapEl0('SCTLR_EL1.UMA', any, ['DAIF'], (core) => inHost(core) || sctlrClear(9)(core)),
  trapEl0('MDSCR_EL1.TDCC', any, ['MDCCSR_EL0', 'DBGDTR_EL0', 'DBGDTRRX_EL0'], bitTest('MDSCR_EL1.TDCC')),
  trapEl0('CNTKCTL_EL1.EL0PCTEN', read, ['CNTPCT_EL0', 'CNTPCTSS_EL0'], timerClear(1)),
  trapEl0('CNTKCTL_EL1.EL0VCTEN', read, ['CNTVCT_EL0', 'CNTVCTSS_EL0'], timerClear(2)),
  trapEl0('CNTKCTL_EL1.{EL0PCTEN,EL0VCTEN}', read, ['CNTFRQ_EL0'], timerClear(3)),
  trapEl0('CNTKCTL_EL1.EL0PTEN', any, ['CNTP_TVAL_EL0', 'CNTP_CTL_EL0', 'CNTP_CVAL_EL0'], timerClear(1 << 9)),
  trapEl0('CNTKCTL_EL1.EL0VTEN', any, ['CNTV_TVAL_EL0', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0'], timerClear(1 << 8)),
];

/** Traps to EL2 that are not fine-grained. Rows for registers of features we lack say what would trap; UNDEFINED comes first. */
const COARSE: readonly TrapRow[] = [
  trap('HCR_EL2.TVM', write, VM_CONTROLS),
  trap('HCR_EL2.TRVM', read, VM_CONTROLS),
  trap('HCR_EL2.TACR', any, ['ACTLR_EL1']),
  trap('HCR_EL2.TID1', read, ['REVIDR_EL1', 'AIDR_EL1', 'SMIDR_EL1']),
  trap('HCR_EL2.TID2', any, ['CTR_EL0', ...CACHE_IDS]),
  trap('HCR_EL2.TID3', read, NAMED.map((row) => row.name).filter((name) => IDENTIFICATION.test(name))),
  trap('HCR_EL2.TID4', any, CACHE_IDS),
  trap('HCR_EL2.TID5', any, ['GMID_EL1']),
  trap('HCR_EL2.TLOR', any, namesOf('LORSA_EL1 LOREA_EL1 LORN_EL1 LORC_EL1 LORID_EL1')),
  trap('HCR_EL2.TERR', any, namesOf('ERRIDR_EL1 ERRSELR_EL1 ERXADDR_EL1 ERXCTLR_EL1 ERXFR_EL1 ERXMISC0_EL1 ERXMISC1_EL1 ERXMISC2_EL1 ERXMISC3_EL1 ERXSTATUS_EL1')),
  trap('HCR_EL2.APK', any, KEYS, (core) => (hcrHigh(core) & (1 << 8)) === 0),
  trap('HCR_EL2.TSW', write, operations('DC', 'ISW CSW CISW')),
  trap('HCR_EL2.TPCP', write, operations('DC', 'IVAC CIVAC CVAC CVAP CVADP')),
  trap('HCR_EL2.TPU', write, [...operations('IC', 'IVAU IALLU IALLUIS'), 'DC CVAU']),
  trap('HCR_EL2.TOCU', write, [...operations('IC', 'IVAU IALLU'), 'DC CVAU']),
  trap('HCR_EL2.TICAB', write, ['IC IALLUIS']),
  trap('HCR_EL2.TDZ', write, ['DC ZVA']),
  trap('HCR_EL2.TTLB', write, [...TLBI_EL1, ...withSuffix('IS'), ...withSuffix('OS')]),
  trap('HCR_EL2.TTLBIS', write, withSuffix('IS')),
  trap('HCR_EL2.TTLBOS', write, withSuffix('OS')),
  trap('HCR_EL2.AT', write, operations('AT', 'S1E1R S1E1W S1E0R S1E0W S1E1RP S1E1WP')),
  trap('HCR_EL2.IMO', write, SGIS),
  trap('HCR_EL2.FMO', write, SGIS),
  trap('ICH_HCR_EL2.TC', any, ['ICC_CTLR_EL1', 'ICC_DIR_EL1', 'ICC_PMR_EL1', 'ICC_RPR_EL1', ...SGIS]),
  trap('ICH_HCR_EL2.TDIR', write, ['ICC_DIR_EL1']),
  trap('ICH_HCR_EL2.TALL0', any, namesOf('ICC_AP0R0_EL1 ICC_AP0R1_EL1 ICC_AP0R2_EL1 ICC_AP0R3_EL1 ICC_BPR0_EL1 ICC_EOIR0_EL1 ICC_HPPIR0_EL1 ICC_IAR0_EL1 ICC_IGRPEN0_EL1')),
  trap('ICH_HCR_EL2.TALL1', any, namesOf('ICC_AP1R0_EL1 ICC_AP1R1_EL1 ICC_AP1R2_EL1 ICC_AP1R3_EL1 ICC_BPR1_EL1 ICC_EOIR1_EL1 ICC_HPPIR1_EL1 ICC_IAR1_EL1 ICC_IGRPEN1_EL1')),
  // Bit 31 in both layouts of CPTR_EL2; TTA is bit 20, or 28 with E2H.
  trap('CPTR_EL2.TCPAC', any, ['CPACR_EL1']),
  trap('CPTR_EL2.TAM', any, AMU),
  trap('CPTR_EL2.TTA', any, SYSTEM_REGISTERS.filter((row) => row.encoding >> 11 === 0b10_001).map((row) => row.name), (core) => ((core.ints[CPTR]! >>> (e2h(core) ? 28 : 20)) & 1) === 1),
  trap('MDCR_EL2.TDA', any, DEBUG, either(bitTest('MDCR_EL2.TDA'), TDE)),
  trap('MDCR_EL2.TDCC', any, DEBUG_CHANNEL, either(bitTest('MDCR_EL2.TDA'), TDE, (core) => core.board.features.fgt && TDCC(core))),
  trap('MDCR_EL2.TDOSA', any, OS_LOCK, either(bitTest('MDCR_EL2.TDOSA'), TDE)),
  trap('MDCR_EL2.TDRA', any, ['MDRAR_EL1'], either(bitTest('MDCR_EL2.TDRA'), TDE)),
  trap('MDCR_EL2.TPM', any, PMU),
  trap('MDCR_EL2.TPMCR', any, ['PMCR_EL0']),
  trap('CNTHCTL_EL2.EL1PCTEN', read, ['CNTPCT_EL0', 'CNTPCTSS_EL0'], el1TimerClear(0)),
  trap('CNTHCTL_EL2.EL1PTEN', any, ['CNTP_TVAL_EL0', 'CNTP_CTL_EL0', 'CNTP_CVAL_EL0'], el1TimerClear(1)),
  trap('CNTHCTL_EL2.EL1TVT', any, ['CNTV_TVAL_EL0', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0'], ecvBit('CNTHCTL_EL2.EL1TVT')),
  trap('CNTHCTL_EL2.EL1TVCT', read, ['CNTVCT_EL0', 'CNTVCTSS_EL0'], ecvBit('CNTHCTL_EL2.EL1TVCT')),
  trap('CNTHCTL_EL2.EL1NVPCT', any, ['CNTP_CTL_EL02', 'CNTP_CVAL_EL02'], nvTimer('CNTHCTL_EL2.EL1NVPCT')),
  trap('CNTHCTL_EL2.EL1NVVCT', any, ['CNTV_CTL_EL02', 'CNTV_CVAL_EL02'], nvTimer('CNTHCTL_EL2.EL1NVVCT')),
];

/** A fine-grained trap register: bit by register or instruction, all trapping at 1 (the `n` bits, which trap at 0, belong to features we lack). */
type FineGrained = Readonly<Record<string, number | readonly string[]>>;

const HFGRTR: FineGrained = {
  AFSR0_EL1: 0, AFSR1_EL1: 1, AIDR_EL1: 2, AMAIR_EL1: 3, APDAKeyLo_EL1: 4, APDAKeyHi_EL1: 4, APDBKeyLo_EL1: 5, APDBKeyHi_EL1: 5, APGAKeyLo_EL1: 6, APGAKeyHi_EL1: 6,
  APIAKeyLo_EL1: 7, APIAKeyHi_EL1: 7, APIBKeyLo_EL1: 8, APIBKeyHi_EL1: 8, CCSIDR_EL1: 9, CLIDR_EL1: 10, CONTEXTIDR_EL1: 11, CPACR_EL1: 12, CSSELR_EL1: 13,
  CTR_EL0: 14, DCZID_EL0: 15, ESR_EL1: 16, FAR_EL1: 17, ISR_EL1: 18, LORC_EL1: 19, LOREA_EL1: 20, LORID_EL1: 21, LORN_EL1: 22, LORSA_EL1: 23,
  MAIR_EL1: 24, MIDR_EL1: 25, MPIDR_EL1: 26, PAR_EL1: 27, REVIDR_EL1: 28, SCTLR_EL1: 29, SCXTNUM_EL1: 30, SCXTNUM_EL0: 31, TCR_EL1: 32,
  TPIDR_EL1: 33, TPIDRRO_EL0: 34, TPIDR_EL0: 35, TTBR0_EL1: 36, TTBR1_EL1: 37, VBAR_EL1: 38, ICC_IGRPEN0_EL1: 39, ICC_IGRPEN1_EL1: 39,
  ERRIDR_EL1: 40, ERRSELR_EL1: 41, ERXFR_EL1: 42, ERXCTLR_EL1: 43, ERXSTATUS_EL1: 44, ERXMISC0_EL1: 45, ERXMISC1_EL1: 45, ERXADDR_EL1: 49,
};
const HDFGRTR: FineGrained = {
  ...Object.fromEntries(numbered(16, 'DBGBCR#_EL1').map((name) => [name, 0])), ...Object.fromEntries(numbered(16, 'DBGBVR#_EL1').map((name) => [name, 1])),
  ...Object.fromEntries(numbered(16, 'DBGWCR#_EL1').map((name) => [name, 2])), ...Object.fromEntries(numbered(16, 'DBGWVR#_EL1').map((name) => [name, 3])),
  MDSCR_EL1: 4, DBGCLAIMSET_EL1: 5, DBGCLAIMCLR_EL1: 5, DBGAUTHSTATUS_EL1: 6, DBGPRCR_EL1: 7, OSLSR_EL1: 9, OSECCR_EL1: 10, OSDLR_EL1: 11,
};
/** Bits that only HDFGWTR_EL2 has. */
const HDFGWTR: FineGrained = { OSLAR_EL1: 8 };
const HFGITR: FineGrained = {
  'IC IALLUIS': 0, 'IC IALLU': 1, 'IC IVAU': 2, 'DC IVAC': 3, 'DC ISW': 4, 'DC CSW': 5, 'DC CISW': 6, 'DC CVAU': 7, 'DC CVAP': 8, 'DC CVADP': 9, 'DC CIVAC': 10, 'DC ZVA': 11,
  'AT S1E1R': 12, 'AT S1E1W': 13, 'AT S1E0R': 14, 'AT S1E0W': 15, 'AT S1E1RP': 16, 'AT S1E1WP': 17,
  'TLBI VMALLE1OS': 18, 'TLBI VAE1OS': 19, 'TLBI ASIDE1OS': 20, 'TLBI VAAE1OS': 21, 'TLBI VALE1OS': 22, 'TLBI VAALE1OS': 23,
  'TLBI RVAE1OS': 24, 'TLBI RVAAE1OS': 25, 'TLBI RVALE1OS': 26, 'TLBI RVAALE1OS': 27,
  'TLBI VMALLE1IS': 28, 'TLBI VAE1IS': 29, 'TLBI ASIDE1IS': 30, 'TLBI VAAE1IS': 31, 'TLBI VALE1IS': 32, 'TLBI VAALE1IS': 33,
  'TLBI RVAE1IS': 34, 'TLBI RVAAE1IS': 35, 'TLBI RVALE1IS': 36, 'TLBI RVAALE1IS': 37, 'TLBI RVAE1': 38, 'TLBI RVAAE1': 39, 'TLBI RVALE1': 40, 'TLBI RVAALE1': 41,
  'TLBI VMALLE1': 42, 'TLBI VAE1': 43, 'TLBI ASIDE1': 44, 'TLBI VAAE1': 45, 'TLBI VALE1': 46, 'TLBI VAALE1': 47, 'CFP RCTX': 48, 'DVP RCTX': 49, 'CPP RCTX': 50, 'DC CVAC': 54,
};

function fineGrained(register: string, direction: Direction, bits: FineGrained): TrapRow[] {
  return Object.entries(bits).map(([name, bit]) => {
    const set = bitOf(register, bit as number);
    return { control: `${register}[${String(bit)}]`, direction, names: [name], kind: 'fine', traps: (core) => core.board.features.fgt && set(core) };
  });
}

/** Every trap, in the order of checks: EL0's controls, coarse traps, fine-grained traps (shared/reference/data/README.md; Arm ARM accessors). */
export const TRAPS: readonly TrapRow[] = [
  ...EL0_CONTROLS, ...COARSE,
  ...fineGrained('HFGRTR_EL2', read, HFGRTR), ...fineGrained('HFGWTR_EL2', write, HFGRTR),
  ...fineGrained('HDFGRTR_EL2', read, HDFGRTR), ...fineGrained('HDFGWTR_EL2', write, { ...HDFGRTR, ...HDFGWTR }),
  ...fineGrained('HFGITR_EL2', write, HFGITR),
];

const known = new Set([...NAMED.map((row) => row.name), ...OPERATIONS.map((operation) => operation.name)]);
for (const row of TRAPS) for (const name of row.names) if (!known.has(name)) throw new Error(`${row.control} traps ${name}, which has no row`);

/** The traps of one register or system instruction for one direction, in order. */
export function trapsOf(name: string, direction: 'read' | 'write'): readonly TrapRow[] {
  return TRAPS.filter((row) => (row.direction === direction || row.direction === any) && row.names.includes(name));
}

/** Where an access traps: undefined nowhere, 'default' where EL0's exceptions go, 2 to EL2. `rows` are the access's own. */
export function trapTarget(core: Core, rows: readonly TrapRow[]): 'default' | 2 | undefined {
  if (rows.length === 0) return undefined;
  const el = elOf(core);
  if (el === 2) return undefined;
  // With {E2H, TGE} = {1, 1} EL2's traps leave the host's applications alone.
  const toEl2 = core.board.el2 !== 'none' && !(el === 0 && inHost(core));
  for (const row of rows) {
    if (row.kind === 'EL0') {
      if (el === 0 && row.traps(core)) return 'default';
    } else if (toEl2 && row.traps(core)) return 2;
  }
  return undefined;
}
