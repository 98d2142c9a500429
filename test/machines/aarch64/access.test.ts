/** The order of checks before a system register is reached, each test naming the rule of the Arm ARM that it shows. */

import { beforeEach, describe, expect, test } from 'vitest';
import { effectiveHcr, msrImmediate, nvx, readSystemRegister, systemInstruction, systemIss } from '../../../machines/aarch64/access.ts';
import { vncrPage } from '../../../machines/aarch64/board.ts';
import { Pstate, Word } from '../../../machines/aarch64/state.ts';
import { packEncoding, resetSystemRegisters } from '../../../machines/aarch64/sysregs.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { RAM, type Bare, type BareOptions, bareCore, get, set } from '../../support/core.ts';
import { attempt, encodingOf, mrs, msr, sys } from '../../support/system-access.ts';

const RW = 1n << 31n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;
const NV = 1n << 42n;
const NV1 = 1n << 43n;
const AT = 1n << 44n;
const NV2 = 1n << 45n;
const TVM = 1n << 26n;
const TRVM = 1n << 30n;

let t: Bare;
const start = (options: BareOptions = {}): void => {
  t = bareCore({ ramBytes: 0x1_0000, ...options });
  resetSystemRegisters(t.core.words, t.board, 0);
  if (t.board.el2 === 'kvm') set(t.core, 'VNCR_EL2', BigInt(vncrPage(0)));
};
/** The state of a FEAT_NV machine at EL1, as L0 programs it. */
const underNv = (bits: bigint, options: BareOptions = {}): void => {
  start({ el2: 'kvm', el: 1, ...options });
  set(t.core, 'HCR_EL2', RW | bits);
};
const el = (level: 0 | 1 | 2): void => { t.core.words[Word.PSTATE] = (t.core.words[Word.PSTATE]! & ~0xcn) | BigInt(level << 2); };

describe('UNDEFINED', () => {
  beforeEach(() => start({ el2: 'guest', el: 2 }));

  test('an EL1 register at EL0 and an EL2 register at EL1 are UNDEFINED', () => {
    el(0);
    expect(mrs(t.core, 'SCTLR_EL1')).toBe('UNDEFINED');
    el(1);
    expect(mrs(t.core, 'SCTLR_EL1')).toBeTypeOf('bigint');
    expect(mrs(t.core, 'HCR_EL2')).toBe('UNDEFINED');
    expect(msr(t.core, 'TPIDR_EL2', 1n)).toBe('UNDEFINED');
  });
  test('what EL0 may not read of the feature ID space traps with EC 0x18 (FEAT_IDST), at EL2 under TGE', () => {
    el(0);
    for (const name of ['ID_AA64PFR0_EL1', 'MIDR_EL1', 'CLIDR_EL1', 'S3_0_C0_C7_7']) expect(mrs(t.core, name)).toBe(`EL1: MRS X0, ${name}`);
    // op1 = 2, and what has no register: UNDEFINED as ever.
    expect(mrs(t.core, 'CSSELR_EL1')).toBe('UNDEFINED');
    set(t.core, 'HCR_EL2', RW | (1n << 27n));
    expect(mrs(t.core, 'ID_AA64PFR0_EL1')).toBe('EL2: MRS X0, ID_AA64PFR0_EL1');
  });
  test('a write to a read-only register and a read of a write-only one are UNDEFINED', () => {
    expect(msr(t.core, 'MIDR_EL1', 1n)).toBe('UNDEFINED');
    expect(mrs(t.core, 'ICC_EOIR1_EL1')).toBe('UNDEFINED');
    expect(msr(t.core, 'CurrentEL', 0n)).toBe('UNDEFINED');
  });
  test('registers of absent features are UNDEFINED at every level', () => {
    for (const name of ['ZCR_EL1', 'PMCR_EL0', 'MPAM1_EL1', 'ERXFR_EL1', 'SCR_EL3', 'TRCPRGCTLR', 'DACR32_EL2', 'SCXTNUM_EL1', 'FPMR']) expect(`${name} ${String(mrs(t.core, name))}`).toBe(`${name} UNDEFINED`);
  });
  test('SP_EL2 has no accessor below EL3', () => {
    expect(mrs(t.core, 'SP_EL2')).toBe('UNDEFINED');
  });
  test('SP_EL0 is UNDEFINED while it is the stack pointer in use (PSTATE.SP 0)', () => {
    expect(mrs(t.core, 'SP_EL0')).toBe(0n);
    t.core.words[Word.PSTATE] = t.core.words[Word.PSTATE]! & ~1n;
    expect(mrs(t.core, 'SP_EL0')).toBe('UNDEFINED');
    expect(mrs(t.core, 'SP_EL1')).toBe(0n);
  });
  test('an encoding that nothing has, and SYSL, are UNDEFINED', () => {
    expect(attempt(t.core, () => readSystemRegister(t.core, packEncoding(3, 0, 1, 9, 7), 0))).toBe('UNDEFINED');
    expect(attempt(t.core, () => systemInstruction(t.core, packEncoding(1, 0, 1, 0, 0), 0n, 0))).toBe('UNDEFINED');
    expect(attempt(t.core, () => systemInstruction(t.core, encodingOf('TLBI VMALLE1'), 0n, 0, true))).toBe('UNDEFINED');
  });
  test('the ID register space is allocated whole: names we lack read as zero', () => {
    expect(attempt(t.core, () => readSystemRegister(t.core, packEncoding(3, 0, 0, 7, 7), 0))).toBe(0n);
    expect(attempt(t.core, () => readSystemRegister(t.core, packEncoding(3, 0, 0, 0, 1), 0))).toBe('UNDEFINED');
  });
  test('without EL2 its registers are UNDEFINED, and CNTFRQ_EL0 is written at EL1, the highest level', () => {
    el(1);
    expect(msr(t.core, 'CNTFRQ_EL0', 5n)).toBe('UNDEFINED');
    el(2);
    expect(msr(t.core, 'CNTFRQ_EL0', 5n)).toBe('done');
    start({ el2: 'none', el: 1 });
    expect(mrs(t.core, 'VBAR_EL2')).toBe('UNDEFINED');
    expect(msr(t.core, 'CNTFRQ_EL0', 5n)).toBe('done');
  });
  test('list registers above the implemented number are UNDEFINED', () => {
    expect(mrs(t.core, 'ICH_LR3_EL2')).toBe(0n);
    expect(mrs(t.core, 'ICH_LR4_EL2')).toBe('UNDEFINED');
  });
});

describe('HCR_EL2.E2H at EL2', () => {
  beforeEach(() => start({ el2: 'guest', el: 2 }));

  test('_EL12 and _EL02 are UNDEFINED without E2H and reach the EL1 register with it', () => {
    expect(mrs(t.core, 'TCR_EL12')).toBe('UNDEFINED');
    expect(mrs(t.core, 'CNTV_CVAL_EL02')).toBe('UNDEFINED');
    set(t.core, 'HCR_EL2', RW | E2H);
    expect(msr(t.core, 'VBAR_EL12', 0x1800n)).toBe('done');
    expect(get(t.core, 'VBAR_EL1')).toBe(0x1800n);
    expect(msr(t.core, 'CNTV_CVAL_EL02', 77n)).toBe('done');
    expect(get(t.core, 'CNTV_CVAL_EL0')).toBe(77n);
  });
  test('an EL1 name reaches the EL2 register with E2H: SCTLR, CPACR as CPTR, CNTKCTL as CNTHCTL, CNTP_CVAL as CNTHP', () => {
    set(t.core, 'HCR_EL2', RW | E2H);
    for (const [name, reached, value] of [['VBAR_EL1', 'VBAR_EL2', 0x2000n], ['ELR_EL1', 'ELR_EL2', 5n], ['CPACR_EL1', 'CPTR_EL2', 3n << 20n], ['CNTKCTL_EL1', 'CNTHCTL_EL2', 0xc00n], ['CNTP_CVAL_EL0', 'CNTHP_CVAL_EL2', 9n], ['CNTV_CVAL_EL0', 'CNTHV_CVAL_EL2', 8n]] as const) {
      const before = name === 'CPACR_EL1' || name === 'CNTKCTL_EL1' ? 0n : get(t.core, name);
      expect(msr(t.core, name, value)).toBe('done');
      expect(`${reached} ${get(t.core, reached)}`).toBe(`${reached} ${value}`);
      expect(`${name} ${get(t.core, name)}`).toBe(`${name} ${before}`);
      expect(mrs(t.core, name)).toBe(value);
    }
  });
  test('without E2H the EL1 name is the EL1 register', () => {
    expect(msr(t.core, 'VBAR_EL1', 0x2000n)).toBe('done');
    expect(get(t.core, 'VBAR_EL1')).toBe(0x2000n);
    expect(get(t.core, 'VBAR_EL2')).toBe(0n);
  });
  test('the host\'s applications use its timers: CNTV_CVAL_EL0 at EL0 is CNTHV with {E2H,TGE} = {1,1}', () => {
    set(t.core, 'HCR_EL2', RW | E2H | TGE);
    set(t.core, 'CNTHCTL_EL2', 0xf03n);
    el(0);
    expect(msr(t.core, 'CNTV_CVAL_EL0', 42n)).toBe('done');
    expect(get(t.core, 'CNTHV_CVAL_EL2')).toBe(42n);
    set(t.core, 'HCR_EL2', RW | E2H);
    set(t.core, 'CNTKCTL_EL1', 0x303n);
    expect(msr(t.core, 'CNTV_CVAL_EL0', 43n)).toBe('done');
    expect(get(t.core, 'CNTV_CVAL_EL0')).toBe(43n);
  });
  test('E2H is fixed where Features say so, and NV1 is RES0 with E2H RES1', () => {
    start({ el2: 'guest', el: 2, features: { e2h: 'res1' } });
    expect(msr(t.core, 'HCR_EL2', NV | NV1 | NV2)).toBe('done');
    expect(mrs(t.core, 'HCR_EL2')).toBe(RW | E2H | NV | NV2);
    start({ el2: 'guest', el: 2, features: { e2h: 'res0', vhe: false } });
    expect(msr(t.core, 'HCR_EL2', E2H | NV1 | NV)).toBe('done');
    expect(mrs(t.core, 'HCR_EL2')).toBe(RW | NV | NV1);
    expect(mrs(t.core, 'TTBR1_EL2')).toBe('UNDEFINED');
    start({ el2: 'guest', el: 2, features: { nv: 0 } });
    expect(msr(t.core, 'HCR_EL2', (1n << 64n) - 1n)).toBe('done');
    expect((mrs(t.core, 'HCR_EL2') as bigint) & (NV | NV1 | NV2 | AT)).toBe(0n);
  });
});

describe('FEAT_NV at EL1', () => {
  test('EffectiveHCR_EL2_NVx: without NV the others count for nothing', () => {
    underNv(NV1 | NV2);
    expect(nvx(t.core)).toBe(0);
    underNv(NV);
    expect(nvx(t.core)).toBe(0b001);
    underNv(NV | NV1 | NV2);
    expect(nvx(t.core)).toBe(0b111);
    expect(effectiveHcr(t.core)).toBe(RW | NV | NV1 | NV2);
    underNv(NV | NV2, { features: { nv: 1 } });
    expect(nvx(t.core)).toBe(0b001);
    underNv(NV, { features: { nv: 0 } });
    expect(nvx(t.core)).toBe(0);
  });
  test('an EL2 register traps with EC 0x18, naming register, direction and Rt', () => {
    underNv(NV);
    expect(msr(t.core, 'HCR_EL2', 1n, 3)).toBe('EL2: MSR HCR_EL2, X3');
    expect(mrs(t.core, 'VBAR_EL2', 30)).toBe('EL2: MRS X30, VBAR_EL2');
    expect(mrs(t.core, 'SCTLR_EL12', 31)).toBe('EL2: MRS XZR, SCTLR_EL12');
    expect(sys(t.core, 'TLBI ALLE1IS', 0n, 31)).toBe('EL2: TLBI ALLE1IS, XZR');
    expect(sys(t.core, 'AT S1E2R', 0n, 7)).toBe('EL2: AT S1E2R, X7');
  });
  test('the ISS has Op0, Op2, Op1, CRn, Rt, CRm and Direction from bit 20 down', () => {
    const [op0, op1, crn, crm, op2] = [3, 4, 1, 1, 0];
    expect(systemIss(encodingOf('HCR_EL2'), 9, false)).toBe((op0 << 20) | (op2 << 17) | (op1 << 14) | (crn << 10) | (9 << 5) | (crm << 1) | 1);
    expect(systemIss(encodingOf('ICC_SGI1R_EL1'), 0, true)).toBe((3 << 20) | (5 << 17) | (0 << 14) | (12 << 10) | (11 << 1));
  });
  test('what is UNDEFINED at EL2 does not trap by NV', () => {
    underNv(NV | NV2);
    expect(msr(t.core, 'ICH_VTR_EL2', 0n)).toBe('UNDEFINED');
    expect(mrs(t.core, 'ICH_LR5_EL2')).toBe('UNDEFINED');
    expect(mrs(t.core, 'SP_EL2')).toBe('UNDEFINED');
  });
  test('EL0 is not virtual EL2: its accesses stay UNDEFINED', () => {
    underNv(NV | NV2);
    el(0);
    expect(mrs(t.core, 'HCR_EL2')).toBe('UNDEFINED');
    expect(sys(t.core, 'TLBI ALLE1')).toBe('UNDEFINED');
  });
  test('CurrentEL reads EL2', () => {
    underNv(0n);
    expect(mrs(t.core, 'CurrentEL')).toBe(4n);
    underNv(NV);
    expect(mrs(t.core, 'CurrentEL')).toBe(8n);
    underNv(NV | NV2);
    expect(mrs(t.core, 'CurrentEL')).toBe(8n);
  });
  test('NV1 without NV2 traps VBAR_EL1, ELR_EL1 and SPSR_EL1, and nothing else of EL1', () => {
    underNv(NV | NV1);
    for (const name of ['VBAR_EL1', 'ELR_EL1', 'SPSR_EL1']) expect(mrs(t.core, name)).toBe(`EL2: MRS X0, ${name}`);
    for (const name of ['SCTLR_EL1', 'ESR_EL1', 'FAR_EL1', 'TTBR0_EL1', 'MAIR_EL1']) expect(`${name} ${typeof mrs(t.core, name)}`).toBe(`${name} bigint`);
  });
});

const word = (offset: number): bigint => readWord(t.memory, vncrPage(0) + offset);

describe('FEAT_NV2 at EL1', () => {

  test('SPSR, ELR, ESR and FAR_EL2 are the EL1 registers', () => {
    underNv(NV | NV2);
    for (const name of ['SPSR', 'ELR', 'ESR', 'FAR']) {
      expect(msr(t.core, `${name}_EL2`, 0x12_3458n)).toBe('done');
      expect(`${name} ${get(t.core, `${name}_EL1`)}`).toBe(`${name} ${0x12_3458n}`);
      expect(mrs(t.core, `${name}_EL2`)).toBe(0x12_3458n);
    }
  });
  test('an access in Table D8-120 is a load or store of the page at VNCR_EL2, unsanitised', () => {
    underNv(NV | NV2);
    expect(msr(t.core, 'HCR_EL2', (1n << 64n) - 1n)).toBe('done');
    expect(word(0x78)).toBe((1n << 64n) - 1n);
    writeWord(t.memory, vncrPage(0) + 0x110, 0x1234n);
    expect(mrs(t.core, 'SCTLR_EL12')).toBe(0x1234n);
  });
  test('NV1 chooses which name is in memory: _EL12 with 0, _EL1 with 1', () => {
    underNv(NV | NV2);
    expect(msr(t.core, 'TCR_EL1', 0x10n)).toBe('done');
    expect(get(t.core, 'TCR_EL1')).toBe(0x10n);
    expect(msr(t.core, 'TCR_EL12', 0x11n)).toBe('done');
    expect(word(0x120)).toBe(0x11n);
    underNv(NV | NV1 | NV2);
    expect(msr(t.core, 'TCR_EL1', 0x12n)).toBe('done');
    expect(word(0x120)).toBe(0x12n);
    expect(mrs(t.core, 'TCR_EL12')).toBe('EL2: MRS X0, TCR_EL12');
  });
  test('what the table lacks still traps: SCTLR_EL2, VBAR_EL2, CNTHCTL_EL2 and CNTKCTL_EL12', () => {
    underNv(NV | NV2);
    for (const name of ['SCTLR_EL2', 'VBAR_EL2', 'HPFAR_EL2', 'CNTHCTL_EL2', 'CNTKCTL_EL12', 'ICH_VTR_EL2', 'CNTV_TVAL_EL02']) expect(mrs(t.core, name)).toBe(`EL2: MRS X0, ${name}`);
  });
  test('a trap of another kind beats the transformation: TVM and TRVM with NV1 (RDHMDM)', () => {
    underNv(NV | NV1 | NV2 | TVM);
    expect(msr(t.core, 'TTBR0_EL1', 1n, 4)).toBe('EL2: MSR TTBR0_EL1, X4');
    expect(mrs(t.core, 'TTBR0_EL1')).toBe(0n);
    underNv(NV | NV1 | NV2 | TRVM);
    expect(mrs(t.core, 'CONTEXTIDR_EL1')).toBe('EL2: MRS X0, CONTEXTIDR_EL1');
  });
  test('a fine-grained trap beats the transformation', () => {
    underNv(NV | NV1 | NV2);
    set(t.core, 'HFGWTR_EL2', 1n << 38n);
    expect(msr(t.core, 'VBAR_EL1', 0n)).toBe('EL2: MSR VBAR_EL1, X0');
    expect(mrs(t.core, 'VBAR_EL1')).toBe(0n);
    expect(word(0x250)).toBe(0n);
  });
  test('L0 claws the virtual timer back with CNTHCTL_EL2.EL1NVVCT, and only for {NV2,NV1,NV} = 101', () => {
    underNv(NV | NV2);
    set(t.core, 'CNTHCTL_EL2', (1n << 16n) | 0xc03n);
    expect(msr(t.core, 'CNTV_CTL_EL02', 1n)).toBe('EL2: MSR CNTV_CTL_EL02, X0');
    expect(mrs(t.core, 'CNTV_CVAL_EL02')).toBe('EL2: MRS X0, CNTV_CVAL_EL02');
    expect(msr(t.core, 'CNTP_CTL_EL02', 1n)).toBe('done');
    expect(word(0x180)).toBe(1n);
    set(t.core, 'CNTHCTL_EL2', (1n << 15n) | 0xc03n);
    expect(msr(t.core, 'CNTP_CVAL_EL02', 1n)).toBe('EL2: MSR CNTP_CVAL_EL02, X0');
    expect(msr(t.core, 'CNTV_CTL_EL02', 3n)).toBe('done');
    expect(word(0x170)).toBe(3n);
  });
  test('without FEAT_ECV the bits that claw timers back do nothing', () => {
    underNv(NV | NV2, { features: { ecv: false } });
    set(t.core, 'CNTHCTL_EL2', (3n << 15n) | 0xc03n);
    expect(msr(t.core, 'CNTV_CTL_EL02', 1n)).toBe('done');
    expect(word(0x170)).toBe(1n);
  });
  test('EL1TVT beats the transformation of CNTV_CTL_EL0 with NV1', () => {
    underNv(NV | NV1 | NV2);
    set(t.core, 'CNTHCTL_EL2', (1n << 13n) | 0xc03n);
    expect(msr(t.core, 'CNTV_CTL_EL0', 1n)).toBe('EL2: MSR CNTV_CTL_EL0, X0');
    set(t.core, 'CNTHCTL_EL2', 0xc03n);
    expect(msr(t.core, 'CNTV_CTL_EL0', 1n)).toBe('done');
    expect(word(0x170)).toBe(1n);
  });
});

const immediate = (op1: number, crm: number, op2: number): string => attempt(t.core, () => { msrImmediate(t.core, op1, crm, op2); return 'done'; });
const pstate = (): number => t.core.ints[2 * Word.PSTATE]!;

describe('MSR (immediate)', () => {
  beforeEach(() => start({ el2: 'guest', el: 1 }));

  test('DAIFClr and DAIFSet act on the bits they name, and unmasking looks for interrupts', () => {
    t.core.attention = false;
    expect(immediate(3, 0b0010, 7)).toBe('done');
    expect(pstate() & (Pstate.D | Pstate.A | Pstate.I | Pstate.F)).toBe(Pstate.D | Pstate.A | Pstate.F);
    expect(t.core.attention).toBe(true);
    expect(immediate(3, 0b0011, 6)).toBe('done');
    expect(pstate() & Pstate.I).toBe(Pstate.I);
  });
  test('SPSel, PAN and UAO are UNDEFINED at EL0; DIT and SSBS are not', () => {
    expect(immediate(0, 0, 5)).toBe('done');
    expect(pstate() & Pstate.SP).toBe(0);
    expect(immediate(0, 1, 4)).toBe('done');
    expect(pstate() & Pstate.PAN).toBe(Pstate.PAN);
    el(0);
    for (const op2 of [3, 4, 5]) expect(immediate(0, 1, op2)).toBe('UNDEFINED');
    expect(immediate(3, 1, 2)).toBe('done');
    expect(immediate(3, 1, 1)).toBe('done');
    expect(pstate() & (Pstate.DIT | Pstate.SSBS)).toBe(Pstate.DIT | Pstate.SSBS);
  });
  test('at EL0 DAIFSet traps to EL1 unless SCTLR_EL1.UMA, with Rt 31', () => {
    el(0);
    expect(immediate(3, 2, 6)).toBe('EL1: MSR S0_3_C4_C2_6, XZR');
    set(t.core, 'SCTLR_EL1', get(t.core, 'SCTLR_EL1') | (1n << 9n));
    expect(immediate(3, 2, 6)).toBe('done');
  });
  test('TCO and what has no meaning are UNDEFINED', () => {
    expect(immediate(3, 1, 4)).toBe('UNDEFINED');
    expect(immediate(1, 1, 0)).toBe('UNDEFINED');
  });
});

describe('system instructions', () => {
  test('DC ZVA zeroes the 64 bytes that hold the address, and is an Alignment fault on Device memory', () => {
    const DC = 1n << 12n;
    start({ el2: 'kvm', el: 1 });
    for (const at of [0x138, 0x140, 0x178, 0x180]) writeWord(t.memory, RAM + at, 7n);
    expect(sys(t.core, 'DC ZVA', BigInt(RAM) + 0x148n)).toBe('EL1: EC 0x25');
    // HCR_EL2.DC makes EL1's memory Normal with its MMU off.
    set(t.core, 'HCR_EL2', RW | DC | 1n);
    expect(sys(t.core, 'DC ZVA', BigInt(RAM) + 0x148n)).toBe('done');
    expect([0x138, 0x140, 0x178, 0x180].map((at) => readWord(t.memory, RAM + at))).toEqual([7n, 0n, 0n, 7n]);
  });
  test('AT leaves its answer in PAR_EL1', () => {
    start({ el2: 'none', el: 1 });
    expect(sys(t.core, 'AT S1E1R', BigInt(RAM) + 0x123n)).toBe('done');
    expect(get(t.core, 'PAR_EL1') & 1n).toBe(0n);
    expect(get(t.core, 'PAR_EL1') & 0xffff_ffff_f000n).toBe(BigInt(RAM));
  });
  test('EL2\'s TLBI and AT are UNDEFINED at EL1, and so is EL1\'s at EL0', () => {
    start({ el2: 'guest', el: 1 });
    expect(sys(t.core, 'TLBI ALLE2')).toBe('UNDEFINED');
    expect(sys(t.core, 'AT S12E1R')).toBe('UNDEFINED');
    expect(sys(t.core, 'TLBI VMALLE1')).toBe('done');
    el(0);
    expect(sys(t.core, 'TLBI VMALLE1')).toBe('UNDEFINED');
    expect(sys(t.core, 'DC CISW')).toBe('UNDEFINED');
  });
});
