/** Coarse traps, fine-grained traps and EL0's controls: which bit stops which access, at which level, in both E2H layouts. */

import { beforeEach, describe, expect, test } from 'vitest';
import { readSystemRegister } from '../../../machines/aarch64/access.ts';
import { fieldMask } from '../../../machines/aarch64/fields.ts';
import { Word } from '../../../machines/aarch64/state.ts';
import { hasFeature } from '../../../machines/aarch64/registers/features.ts';
import { OPERATIONS } from '../../../machines/aarch64/registers/operations.ts';
import { packEncoding, registerByName, resetSystemRegisters } from '../../../machines/aarch64/sysregs.ts';
import { TRAPS } from '../../../machines/aarch64/traps.ts';
import { type Bare, type BareOptions, bareCore, get, set } from '../../support/core.ts';
import { attempt, mrs, msr, sys } from '../../support/system-access.ts';

const RW = 1n << 31n;
const E2H = 1n << 34n;
const TGE = 1n << 27n;

let t: Bare;
const start = (options: BareOptions = {}): void => {
  t = bareCore({ ramBytes: 0x1_0000, el2: 'guest', el: 1, ...options });
  resetSystemRegisters(t.core.words, t.board, 0);
  set(t.core, 'CNTHCTL_EL2', 3n);
};
const el = (level: 0 | 1 | 2): void => { t.core.words[Word.PSTATE] = (t.core.words[Word.PSTATE]! & ~0xcn) | BigInt(level << 2); };
/** Sets fields of one register to 1 on top of what it holds. */
const on = (...names: string[]): void => {
  for (const name of names) {
    const register = name.slice(0, name.indexOf('.'));
    set(t.core, register, get(t.core, register) | fieldMask(name));
  }
};
const stops = (outcome: bigint | string): boolean => typeof outcome === 'string' && outcome.startsWith('EL2: ');

beforeEach(() => start());

const maintenanceTrapped = (...fields: string[]): string[] => {
  start();
  on(...fields.map((field) => `HCR_EL2.${field}`));
  return ['DC ISW', 'DC CSW', 'DC CISW', 'DC IVAC', 'DC CVAC', 'DC CIVAC', 'DC CVAU', 'DC ZVA', 'IC IALLU', 'IC IALLUIS', 'IC IVAU'].filter((name) => stops(sys(t.core, name, 0x4000_0000n)));
};

const implementationDefined = (): unknown => attempt(t.core, () => readSystemRegister(t.core, packEncoding(3, 0, 15, 2, 1), 0));

describe('HCR_EL2', () => {
  test('TVM traps writes of the virtual memory controls, TRVM reads, and neither the other', () => {
    on('HCR_EL2.TVM');
    expect(msr(t.core, 'SCTLR_EL1', 0n, 2)).toBe('EL2: MSR SCTLR_EL1, X2');
    expect(stops(mrs(t.core, 'SCTLR_EL1'))).toBe(false);
    start();
    on('HCR_EL2.TRVM');
    for (const name of ['SCTLR_EL1', 'TTBR0_EL1', 'TTBR1_EL1', 'TCR_EL1', 'ESR_EL1', 'FAR_EL1', 'AFSR0_EL1', 'AFSR1_EL1', 'MAIR_EL1', 'AMAIR_EL1', 'CONTEXTIDR_EL1']) {
      expect(mrs(t.core, name)).toBe(`EL2: MRS X0, ${name}`);
      expect(msr(t.core, name, 0n)).toBe('done');
    }
    expect(stops(mrs(t.core, 'VBAR_EL1'))).toBe(false);
  });
  test('TID3 traps the whole space of ID registers, the reserved ones too, but not MIDR, CTR or REVIDR', () => {
    on('HCR_EL2.TID3');
    for (const name of ['ID_AA64PFR0_EL1', 'ID_AA64MMFR4_EL1', 'ID_ISAR0_EL1', 'MVFR2_EL1']) expect(mrs(t.core, name)).toBe(`EL2: MRS X0, ${name}`);
    expect(attempt(t.core, () => readSystemRegister(t.core, packEncoding(3, 0, 0, 7, 7), 5))).toBe('EL2: MRS X5, S3_0_C0_C7_7');
    for (const name of ['MIDR_EL1', 'MPIDR_EL1', 'REVIDR_EL1', 'CTR_EL0', 'CLIDR_EL1']) expect(mrs(t.core, name)).toBeTypeOf('bigint');
  });
  test('TID1 traps REVIDR and AIDR; TID2 the cache identity with CTR; TID4 without CTR', () => {
    on('HCR_EL2.TID1');
    expect(stops(mrs(t.core, 'AIDR_EL1'))).toBe(true);
    start();
    on('HCR_EL2.TID2');
    for (const name of ['CTR_EL0', 'CCSIDR_EL1', 'CLIDR_EL1', 'CSSELR_EL1']) expect(stops(mrs(t.core, name))).toBe(true);
    expect(stops(msr(t.core, 'CSSELR_EL1', 0n))).toBe(true);
    start();
    on('HCR_EL2.TID4');
    expect(stops(mrs(t.core, 'CTR_EL0'))).toBe(false);
    expect(stops(mrs(t.core, 'CLIDR_EL1'))).toBe(true);
  });
  test('TACR traps ACTLR_EL1', () => {
    on('HCR_EL2.TACR');
    expect(stops(mrs(t.core, 'ACTLR_EL1')) && stops(msr(t.core, 'ACTLR_EL1', 0n))).toBe(true);
  });
  test('TTLB traps every TLBI of EL1, TTLBIS only those that are broadcast', () => {
    on('HCR_EL2.TTLB');
    expect(sys(t.core, 'TLBI VAE1', 0n, 1)).toBe('EL2: TLBI VAE1, X1');
    expect(stops(sys(t.core, 'TLBI VMALLE1IS'))).toBe(true);
    start();
    on('HCR_EL2.TTLBIS');
    expect(sys(t.core, 'TLBI VAE1')).toBe('done');
    expect(stops(sys(t.core, 'TLBI VAE1IS'))).toBe(true);
  });
  test('TSW, TPCP, TPU, TOCU, TICAB and TDZ split cache maintenance between them', () => {
    expect(maintenanceTrapped()).toEqual([]);
    expect(maintenanceTrapped('TSW')).toEqual(['DC ISW', 'DC CSW', 'DC CISW']);
    expect(maintenanceTrapped('TPCP')).toEqual(['DC IVAC', 'DC CVAC', 'DC CIVAC']);
    expect(maintenanceTrapped('TPU')).toEqual(['DC CVAU', 'IC IALLU', 'IC IALLUIS', 'IC IVAU']);
    expect(maintenanceTrapped('TOCU')).toEqual(['DC CVAU', 'IC IALLU', 'IC IVAU']);
    expect(maintenanceTrapped('TICAB')).toEqual(['IC IALLUIS']);
    expect(maintenanceTrapped('TDZ')).toEqual(['DC ZVA']);
  });
  test('AT traps EL1\'s address translation', () => {
    on('HCR_EL2.AT');
    for (const name of ['AT S1E1R', 'AT S1E0W', 'AT S1E1RP']) expect(stops(sys(t.core, name))).toBe(true);
  });
  test('TIDCP traps the IMPLEMENTATION DEFINED space at EL1, which is UNDEFINED otherwise', () => {
    expect(implementationDefined()).toBe('UNDEFINED');
    on('HCR_EL2.TIDCP');
    expect(implementationDefined()).toBe('EL2: MRS X0, S3_0_C15_C2_1');
    el(2);
    expect(implementationDefined()).toBe('UNDEFINED');
  });
  test('no EL2 trap reaches EL2 itself, nor a core without EL2', () => {
    on('HCR_EL2.TVM', 'HCR_EL2.TID3', 'HCR_EL2.TTLB');
    el(2);
    expect(msr(t.core, 'SCTLR_EL1', 0n)).toBe('done');
    expect(mrs(t.core, 'ID_AA64PFR0_EL1')).toBeTypeOf('bigint');
    expect(sys(t.core, 'TLBI VMALLE1')).toBe('done');
    start({ el2: 'none' });
    on('HCR_EL2.TVM');
    expect(msr(t.core, 'SCTLR_EL1', 0n)).toBe('done');
  });
});

describe('CPTR_EL2, MDCR_EL2', () => {
  test('TCPAC, bit 31 in both layouts, traps CPACR_EL1', () => {
    for (const e2h of [0n, E2H]) {
      start();
      set(t.core, 'HCR_EL2', RW | e2h);
      expect(stops(mrs(t.core, 'CPACR_EL1'))).toBe(false);
      set(t.core, 'CPTR_EL2', 1n << 31n);
      expect(mrs(t.core, 'CPACR_EL1')).toBe('EL2: MRS X0, CPACR_EL1');
    }
  });
  test('TTA moves from bit 20 to bit 28 with E2H', () => {
    const row = TRAPS.find((trap) => trap.control === 'CPTR_EL2.TTA')!;
    const set20 = (): boolean => { set(t.core, 'CPTR_EL2', 1n << 20n); return row.traps(t.core); };
    const set28 = (): boolean => { set(t.core, 'CPTR_EL2', 1n << 28n); return row.traps(t.core); };
    expect([set20(), set28()]).toEqual([true, false]);
    set(t.core, 'HCR_EL2', RW | E2H);
    expect([set20(), set28()]).toEqual([false, true]);
    expect(row.names).toContain('TRCPRGCTLR');
  });
  test('TDA traps debug registers, TDOSA the OS Lock, TDRA MDRAR, and TDE all of them', () => {
    const names = ['MDSCR_EL1', 'DBGBCR0_EL1', 'OSLSR_EL1', 'MDRAR_EL1', 'MDCCSR_EL0'];
    const trapped = (field: string): string[] => {
      start();
      on(`MDCR_EL2.${field}`);
      return names.filter((name) => stops(mrs(t.core, name)));
    };
    expect(trapped('TDA')).toEqual(['MDSCR_EL1', 'DBGBCR0_EL1', 'MDCCSR_EL0']);
    expect(trapped('TDOSA')).toEqual(['OSLSR_EL1']);
    expect(trapped('TDRA')).toEqual(['MDRAR_EL1']);
    expect(trapped('TDCC')).toEqual(['MDCCSR_EL0']);
    expect(trapped('TDE')).toEqual(names);
  });
});

describe('timers', () => {
  test('CNTHCTL_EL2.EL1PCTEN and EL1PCEN are bits 0 and 1, and bits 10 and 11 with E2H', () => {
    const open = (value: bigint): [boolean, boolean] => {
      set(t.core, 'CNTHCTL_EL2', value);
      return [!stops(mrs(t.core, 'CNTPCT_EL0')), !stops(mrs(t.core, 'CNTP_CTL_EL0'))];
    };
    expect(open(0n)).toEqual([false, false]);
    expect(open(1n)).toEqual([true, false]);
    expect(open(2n)).toEqual([false, true]);
    expect(open(0xc00n)).toEqual([false, false]);
    set(t.core, 'HCR_EL2', RW | E2H);
    expect(open(3n)).toEqual([false, false]);
    expect(open(1n << 10n)).toEqual([true, false]);
    expect(open(1n << 11n)).toEqual([false, true]);
  });
  test('EL1TVT and EL1TVCT trap the virtual timer and counter, with FEAT_ECV only', () => {
    set(t.core, 'CNTHCTL_EL2', 3n | (1n << 13n));
    for (const name of ['CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'CNTV_TVAL_EL0']) expect(mrs(t.core, name)).toBe(`EL2: MRS X0, ${name}`);
    expect(stops(mrs(t.core, 'CNTVCT_EL0'))).toBe(false);
    set(t.core, 'CNTHCTL_EL2', 3n | (1n << 14n));
    expect(mrs(t.core, 'CNTVCTSS_EL0')).toBe('EL2: MRS X0, CNTVCTSS_EL0');
    expect(stops(mrs(t.core, 'CNTV_CTL_EL0'))).toBe(false);
    start({ features: { ecv: false } });
    set(t.core, 'CNTHCTL_EL2', 3n | (3n << 13n));
    expect(stops(mrs(t.core, 'CNTV_CTL_EL0')) || stops(mrs(t.core, 'CNTVCT_EL0'))).toBe(false);
    expect(mrs(t.core, 'CNTVCTSS_EL0')).toBe('UNDEFINED');
  });
  test('EL0 asks CNTKCTL_EL1 first, whose trap goes to EL1, then CNTHCTL_EL2', () => {
    el(0);
    expect(mrs(t.core, 'CNTVCT_EL0', 4)).toBe('EL1: MRS X4, CNTVCT_EL0');
    expect(mrs(t.core, 'CNTFRQ_EL0')).toBe('EL1: MRS X0, CNTFRQ_EL0');
    set(t.core, 'CNTKCTL_EL1', 3n);
    expect(mrs(t.core, 'CNTVCT_EL0')).toBeTypeOf('bigint');
    expect(mrs(t.core, 'CNTFRQ_EL0')).toBeTypeOf('bigint');
    set(t.core, 'CNTHCTL_EL2', 2n);
    expect(mrs(t.core, 'CNTPCT_EL0')).toBe('EL2: MRS X0, CNTPCT_EL0');
  });
  test('the host\'s applications ask CNTHCTL_EL2.EL0VCTEN, and their trap goes to EL2', () => {
    set(t.core, 'HCR_EL2', RW | E2H | TGE);
    set(t.core, 'CNTKCTL_EL1', 3n);
    set(t.core, 'CNTHCTL_EL2', 1n);
    el(0);
    expect(mrs(t.core, 'CNTVCT_EL0')).toBe('EL2: MRS X0, CNTVCT_EL0');
    expect(mrs(t.core, 'CNTPCT_EL0')).toBeTypeOf('bigint');
  });
});

const interfaceTrapped = (field: string): string[] => {
  start();
  on(`ICH_HCR_EL2.${field}`);
  return ['ICC_PMR_EL1', 'ICC_CTLR_EL1', 'ICC_RPR_EL1', 'ICC_DIR_EL1', 'ICC_SGI1R_EL1', 'ICC_IAR0_EL1', 'ICC_IGRPEN0_EL1', 'ICC_IAR1_EL1', 'ICC_BPR1_EL1', 'ICC_IGRPEN1_EL1']
    .filter((name) => stops(name.includes('DIR') || name.includes('SGI') ? msr(t.core, name, 0n) : mrs(t.core, name)));
};

describe('GIC', () => {
  test('ICH_HCR_EL2.TC traps the common registers, TALL0 and TALL1 those of a group, TDIR ICC_DIR', () => {
    expect(interfaceTrapped('TC')).toEqual(['ICC_PMR_EL1', 'ICC_CTLR_EL1', 'ICC_RPR_EL1', 'ICC_DIR_EL1', 'ICC_SGI1R_EL1']);
    expect(interfaceTrapped('TALL0')).toEqual(['ICC_IAR0_EL1', 'ICC_IGRPEN0_EL1']);
    expect(interfaceTrapped('TALL1')).toEqual(['ICC_IAR1_EL1', 'ICC_BPR1_EL1', 'ICC_IGRPEN1_EL1']);
    expect(interfaceTrapped('TDIR')).toEqual(['ICC_DIR_EL1']);
  });
  test('a guest under HCR_EL2.IMO or FMO cannot send SGIs: the write traps', () => {
    on('HCR_EL2.IMO');
    expect(msr(t.core, 'ICC_SGI1R_EL1', 0n, 8)).toBe('EL2: MSR ICC_SGI1R_EL1, X8');
    start();
    on('HCR_EL2.FMO');
    expect(stops(msr(t.core, 'ICC_SGI0R_EL1', 0n))).toBe(true);
  });
});

describe('EL0', () => {
  test('SCTLR_EL1.UCT, UCI and DZE open CTR_EL0, cache maintenance and DC ZVA to EL0; closed, the trap goes to EL1', () => {
    el(0);
    expect(mrs(t.core, 'CTR_EL0')).toBe('EL1: MRS X0, CTR_EL0');
    expect(sys(t.core, 'DC CVAU', 0x4000_0000n)).toBe('EL1: DC CVAU, X0');
    expect(sys(t.core, 'IC IVAU', 0x4000_0000n)).toBe('EL1: IC IVAU, X0');
    expect(sys(t.core, 'DC ZVA', 0x4000_0000n)).toBe('EL1: DC ZVA, X0');
    on('SCTLR_EL1.UCT', 'SCTLR_EL1.UCI');
    expect(mrs(t.core, 'CTR_EL0')).toBeTypeOf('bigint');
    expect(sys(t.core, 'DC CVAU', 0x4000_0000n)).toBe('done');
    on('HCR_EL2.TID2', 'HCR_EL2.TPU');
    expect(mrs(t.core, 'CTR_EL0')).toBe('EL2: MRS X0, CTR_EL0');
    expect(sys(t.core, 'DC CVAU', 0x4000_0000n)).toBe('EL2: DC CVAU, X0');
  });
  test('with {E2H,TGE} = {1,1} EL2\'s traps leave EL0 alone and SCTLR_EL2 governs it', () => {
    set(t.core, 'HCR_EL2', RW | E2H | TGE);
    on('HCR_EL2.TID2');
    set(t.core, 'SCTLR_EL1', 0n);
    el(0);
    expect(mrs(t.core, 'CTR_EL0')).toBe('EL2: MRS X0, CTR_EL0');
    on('SCTLR_EL2.UCT');
    expect(mrs(t.core, 'CTR_EL0')).toBeTypeOf('bigint');
  });
  test('DAIF at EL0 needs SCTLR_EL1.UMA', () => {
    el(0);
    expect(mrs(t.core, 'DAIF')).toBe('EL1: MRS X0, DAIF');
    on('SCTLR_EL1.UMA');
    expect(mrs(t.core, 'DAIF')).toBe(0x3c0n);
  });
});

describe('FEAT_FGT', () => {
  test('reads ask HFGRTR_EL2, writes HFGWTR_EL2, instructions HFGITR_EL2, debug HDFGRTR_EL2', () => {
    set(t.core, 'HFGRTR_EL2', 1n << 33n);
    expect(mrs(t.core, 'TPIDR_EL1')).toBe('EL2: MRS X0, TPIDR_EL1');
    expect(msr(t.core, 'TPIDR_EL1', 1n)).toBe('done');
    set(t.core, 'HFGWTR_EL2', 1n << 33n);
    expect(msr(t.core, 'TPIDR_EL1', 1n)).toBe('EL2: MSR TPIDR_EL1, X0');
    set(t.core, 'HFGITR_EL2', 1n << 42n);
    expect(sys(t.core, 'TLBI VMALLE1')).toBe('EL2: TLBI VMALLE1, X0');
    set(t.core, 'HDFGRTR_EL2', 1n << 4n);
    expect(mrs(t.core, 'MDSCR_EL1')).toBe('EL2: MRS X0, MDSCR_EL1');
    set(t.core, 'HDFGWTR_EL2', 1n << 8n);
    expect(msr(t.core, 'OSLAR_EL1', 0n)).toBe('EL2: MSR OSLAR_EL1, X0');
  });
  test('EL0 is trapped too, outside the host', () => {
    set(t.core, 'HFGRTR_EL2', 1n << 35n);
    el(0);
    expect(mrs(t.core, 'TPIDR_EL0')).toBe('EL2: MRS X0, TPIDR_EL0');
    set(t.core, 'HCR_EL2', RW | E2H | TGE);
    expect(mrs(t.core, 'TPIDR_EL0')).toBe(0n);
  });
  test('a machine without FEAT_FGT has neither the registers nor the traps', () => {
    start({ features: { fgt: false } });
    set(t.core, 'HFGRTR_EL2', 1n << 33n);
    expect(mrs(t.core, 'TPIDR_EL1')).toBe(0n);
    el(2);
    expect(mrs(t.core, 'HFGRTR_EL2')).toBe('UNDEFINED');
  });
});

test('each trap bit by itself stops each access that its row names, and clear it stops none of them', () => {
  /** Bits that trap at 0, or only in a state of FEAT_NV: they have tests of their own. */
  const others = /APK|EL1PCTEN|EL1PTEN|EL1NV/;
  let accesses = 0;
  set(t.core, 'HCR_EL2', get(t.core, 'HCR_EL2') | (1n << 40n));
  for (const row of TRAPS) {
    if (row.kind === 'EL0' || others.test(row.control)) continue;
    const place = /^(\w+)\[(\d+)\]$/.exec(row.control);
    const register = place?.[1] ?? row.control.slice(0, row.control.indexOf('.'));
    const mask = place ? 1n << BigInt(place[2]!) : fieldMask(row.control);
    for (const name of row.names) {
      const needs = registerByName(name)?.needs ?? OPERATIONS.find((operation) => operation.name === name)?.needs;
      if (needs !== undefined && !hasFeature(t.board, needs)) continue;
      for (const direction of ['read', 'write'] as const) {
        if (row.direction !== 'any' && row.direction !== direction) continue;
        const operation = OPERATIONS.some((candidate) => candidate.name === name);
        const access = registerByName(name)?.access;
        if (access === (direction === 'read' ? 'W' : 'R') || (operation && direction === 'read')) continue;
        if (registerByName(name)?.writeEl !== undefined && direction === 'write') continue;
        const attemptIt = (): bigint | string => (operation ? sys(t.core, name, 0x4000_0000n) : direction === 'read' ? mrs(t.core, name) : msr(t.core, name, 0n));
        accesses++;
        set(t.core, register, get(t.core, register) | mask);
        expect(`${row.control}: ${String(attemptIt())}`).toMatch(/: EL2: /);
        set(t.core, register, get(t.core, register) & ~mask);
        expect(`${row.control}: ${String(attemptIt())}`).not.toMatch(/: EL2: /);
      }
    }
  }
  console.log(`traps: ${accesses} accesses stopped by one bit each`);
  expect(accesses).toBeGreaterThan(350);
});
