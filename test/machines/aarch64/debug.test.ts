/** Self-hosted debug: breakpoints, watchpoints and software step, each by its rule. Arm ARM D2; pseudocode AArch64.CheckBreakpoint, CheckWatchpoint, CheckSoftwareStep and below them. */

import { describe, expect, test } from 'vitest';
import { needsCheckedExecution } from '../../../machines/aarch64/debug.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Pstate, Word, elOf } from '../../../machines/aarch64/state.ts';
import { resetSystemRegisters } from '../../../machines/aarch64/sysregs.ts';
import { readWord, writeWord } from '../../../machines/memory/memory.ts';
import { type BareOptions, RAM, bareCore, get, program, set, setPstate, taken } from '../../support/core.ts';
import { words } from '../../support/guest-program.ts';

const DATA = 0x4001_0000;
const TABLE = 0x4004_0000;
const SPSR_SS = 1n << 21n;
const Mdscr = { SS: 1n, TDCC: 1n << 12n, KDE: 1n << 13n, MDE: 1n << 15n };
const Mdcr = { TDE: 1n << 8n };
const Hcr = { RW: 1n << 31n, TGE: 1n << 27n, E2H: 1n << 34n, NV: 1n << 42n, NV2: 1n << 45n };
const VBAR1 = 0x4002_0000n;
const VBAR2 = 0x4003_0000n;

interface Setting extends BareOptions {
  readonly code?: string;
  readonly registers?: Readonly<Record<string, bigint>>;
  /** General registers. */
  readonly x?: Readonly<Record<number, bigint>>;
  readonly pstate?: number;
  /** EL1's memory is Normal: unaligned accesses and DC ZVA are fine. */
  readonly normal?: boolean;
}

/** A core at RAM with the OS Lock open, PSTATE.D clear and its registers as told. */
function start(setting: Setting): Core {
  const { core, memory } = bareCore(setting);
  resetSystemRegisters(core.words, core.board, 0);
  set(core, 'HCR_EL2', Hcr.RW);
  set(core, 'OSLSR_EL1', 8n);
  set(core, 'VBAR_EL1', VBAR1);
  set(core, 'VBAR_EL2', VBAR2);
  if (setting.normal === true) {
    // One 1 GiB block at level 1: 39-bit addresses, 4 KiB granule, inner shareable, attribute 0.
    writeWord(memory, TABLE + 8, 0x4000_0701n);
    for (const [name, value] of [['MAIR_EL1', 0xffn], ['TCR_EL1', 0x5_0080_3519n], ['TTBR0_EL1', BigInt(TABLE)], ['SCTLR_EL1', 0x30d0_0981n]] as const) set(core, name, value);
  }
  for (const [name, value] of Object.entries(setting.registers ?? {})) set(core, name, value);
  for (const [number, value] of Object.entries(setting.x ?? {})) core.words[Number(number)] = value;
  setPstate(core, setting.el ?? 1, setting.pstate ?? 0);
  program(memory, RAM, words(setting.code ?? 'nop; nop; nop; nop', RAM));
  return core;
}

/** Runs at most `insns` and says where the core came to: the exception with its vector's instruction not attempted, or `pc+n`. */
function outcome(core: Core, insns = 4): string {
  for (let left = insns; left > 0; left--) {
    const before = core.words[Word.PC]!;
    run(core, 1);
    const pc = core.words[Word.PC]!;
    if (pc >= VBAR1 && pc < VBAR2 + 0x800n && before < VBAR1) return `${taken(core)} at +${(get(core, `ELR_EL${elOf(core)}`) - BigInt(RAM)).toString()}`;
  }
  return `+${(core.words[Word.PC]! - BigInt(RAM)).toString()}`;
}

const control = (fields: { bt?: bigint; lbn?: bigint; ssc?: bigint; hmc?: bigint; pmc?: bigint; e?: bigint }): bigint =>
  ((fields.bt ?? 0n) << 20n) | ((fields.lbn ?? 0n) << 16n) | ((fields.ssc ?? 0n) << 14n) | ((fields.hmc ?? 0n) << 13n) | (0xfn << 5n) | ((fields.pmc ?? 3n) << 1n) | (fields.e ?? 1n);
const watch = (fields: { mask?: bigint; wt?: bigint; lbn?: bigint; ssc?: bigint; hmc?: bigint; bas?: bigint; lsc?: bigint; pac?: bigint; e?: bigint }): bigint =>
  ((fields.mask ?? 0n) << 24n) | ((fields.wt ?? 0n) << 20n) | ((fields.lbn ?? 0n) << 16n) | ((fields.ssc ?? 0n) << 14n) | ((fields.hmc ?? 0n) << 13n) | ((fields.bas ?? 0xffn) << 5n) | ((fields.lsc ?? 3n) << 3n) | ((fields.pac ?? 3n) << 1n) | (fields.e ?? 1n);
const AT4 = BigInt(RAM + 4);
const ON = Mdscr.MDE | Mdscr.KDE;

describe('where debug exceptions are taken from and to (AArch64.GenerateDebugExceptionsFrom, AArch64.DebugTarget)', () => {
  const HOST = Hcr.RW | Hcr.TGE | Hcr.E2H;
  test.each([
    // el, KDE, D, HCR_EL2, MDCR_EL2, OS Lock, outcome
    ['EL0 to EL1, whatever KDE and D', 0, 0n, Pstate.D, Hcr.RW, 0n, 8n, 'EL1 ec=30 iss=22 at +4'],
    ['EL1 to itself without KDE', 1, 0n, 0, Hcr.RW, 0n, 8n, '+16'],
    ['EL1 to itself with KDE', 1, Mdscr.KDE, 0, Hcr.RW, 0n, 8n, 'EL1 ec=31 iss=22 at +4'],
    ['EL1 to itself with KDE, masked by PSTATE.D', 1, Mdscr.KDE, Pstate.D, Hcr.RW, 0n, 8n, '+16'],
    ['EL1 under MDCR_EL2.TDE, whatever KDE and D', 1, 0n, Pstate.D, Hcr.RW, Mdcr.TDE, 8n, 'EL2 ec=30 iss=22 at +4'],
    ['EL0 under MDCR_EL2.TDE', 0, 0n, 0, Hcr.RW, Mdcr.TDE, 8n, 'EL2 ec=30 iss=22 at +4'],
    ['EL0 under HCR_EL2.TGE', 0, 0n, 0, HOST, 0n, 8n, 'EL2 ec=30 iss=22 at +4'],
    ['EL2 while EL1 is the target', 2, Mdscr.KDE, 0, Hcr.RW, 0n, 8n, '+16'],
    ['EL2 as the target with KDE', 2, Mdscr.KDE, 0, Hcr.RW, Mdcr.TDE, 8n, 'EL2 ec=31 iss=22 at +4'],
    ['EL2 as the target by TGE', 2, Mdscr.KDE, 0, HOST, 0n, 8n, 'EL2 ec=31 iss=22 at +4'],
    ['EL2 as the target without KDE', 2, 0n, 0, Hcr.RW, Mdcr.TDE, 8n, '+16'],
    ['EL2 as the target, masked by PSTATE.D', 2, Mdscr.KDE, Pstate.D, Hcr.RW, Mdcr.TDE, 8n, '+16'],
    ['nowhere with the OS Lock locked', 0, Mdscr.KDE, 0, Hcr.RW, Mdcr.TDE, 0xan, '+16'],
  ] as const)('%s', (_, el, kde, pstate, hcr, mdcr, lock, expected) => {
    const core = start({ el, pstate, registers: { MDSCR_EL1: Mdscr.MDE | kde, HCR_EL2: hcr, MDCR_EL2: mdcr, OSLSR_EL1: lock, DBGBVR2_EL1: AT4, DBGBCR2_EL1: control({ hmc: 1n, pmc: 3n }) } });
    expect(needsCheckedExecution(core)).toBe(expected !== '+16');
    expect(outcome(core)).toBe(expected);
  });

  test('without EL2 the target is EL1', () => {
    const core = start({ el2: 'none', el: 1, registers: { MDSCR_EL1: ON, MDCR_EL2: Mdcr.TDE, DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({}) } });
    expect(outcome(core)).toBe('EL1 ec=31 iss=22 at +4');
  });

  test('MDSCR_EL1.MDE enables breakpoints and watchpoints', () => {
    const core = start({ el: 0, code: 'ldr x0, [x1]; nop', x: { 1: BigInt(DATA) }, registers: { MDSCR_EL1: 0n, DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({}), DBGWVR0_EL1: BigInt(DATA), DBGWCR0_EL1: watch({}) } });
    expect(needsCheckedExecution(core)).toBe(false);
    expect(outcome(core, 2)).toBe('+8');
  });

  test.each([
    ['MSR MDSCR_EL1', 'msr MDSCR_EL1, x0', { MDSCR_EL1: 0n }, ON],
    ['MSR DBGBCR0_EL1', 'msr DBGBCR0_EL1, x0', { DBGBCR0_EL1: 0n }, control({})],
    ['MSR DAIFClr', 'msr daifclr, #8', {}, 0n],
    ['MSR DAIF', 'msr DAIF, x0', {}, 0n],
    ['MSR OSLAR_EL1', 'msr OSLAR_EL1, x0', { OSLSR_EL1: 0xan }, 0n],
  ] as const)('%s takes effect at the next instruction of the same run', (name, text, registers, value) => {
    const core = start({ el: 1, pstate: name.includes('DAIF') ? Pstate.D : 0, code: `${text}; nop; nop`, x: { 0: value }, registers: { MDSCR_EL1: ON, DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({}), ...registers } });
    expect(run(core, 2)).toMatchObject({ attempted: 2 });
    expect(taken(core)).toBe('EL1 ec=31 iss=22');
    expect(get(core, 'ELR_EL1')).toBe(AT4);
  });

  test('MDCR_EL2.TDE written at EL2 brings its exceptions there in the same run', () => {
    const core = start({ el: 2, code: 'msr MDCR_EL2, x0; nop; nop', x: { 0: Mdcr.TDE }, registers: { MDSCR_EL1: ON, DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({ hmc: 1n, ssc: 3n, pmc: 0n }) } });
    run(core, 2);
    expect(taken(core)).toBe('EL2 ec=31 iss=22');
  });
});

describe('breakpoints', () => {
  test.each([
    // AArch64.StateMatch, CheckValidStateMatch: HMC, SSC, PMC; matches at EL0, EL1, EL2
    ['EL0', 0n, 0n, 2n, [true, false, false]],
    ['EL1', 0n, 0n, 1n, [false, true, false]],
    ['EL1 and EL0', 0n, 0n, 3n, [true, true, false]],
    ['EL2 and EL1', 1n, 0n, 1n, [false, true, true]],
    ['EL2, EL1 and EL0', 1n, 0n, 3n, [true, true, true]],
    ['EL2 alone', 1n, 3n, 0n, [false, false, true]],
    ['reserved: nothing', 0n, 0n, 0n, [false, false, false]],
    ['reserved: HMC without EL1', 1n, 0n, 2n, [false, false, false]],
    ['reserved: Non-secure alone, without EL3', 0n, 1n, 3n, [false, false, false]],
    ['reserved: Secure alone, without EL3', 0n, 2n, 3n, [false, false, false]],
    ['reserved: Secure EL2', 0n, 3n, 0n, [false, false, false]],
  ] as const)('HMC, SSC and PMC choose the levels: %s', (_, hmc, ssc, pmc, levels) => {
    const matches = [0, 1, 2].map((el) => {
      // TDE and KDE let every level take one.
      const core = start({ el: el as 0 | 1 | 2, registers: { MDSCR_EL1: ON, MDCR_EL2: Mdcr.TDE, DBGBVR5_EL1: AT4, DBGBCR5_EL1: control({ hmc, ssc, pmc }) } });
      return outcome(core) === `EL2 ec=${el === 2 ? 31 : 30} iss=22 at +4`;
    });
    expect(matches).toEqual(levels);
  });

  test.each([
    // AArch64.BreakpointValueMatch: BT, number, MDCR/HCR, CONTEXTIDR_EL1, DBGBVR of the context breakpoint, matches
    ['address, VA[1:0] ignored', 0n, 0, AT4 | 3n, true],
    ['address, a tag ignored', 0n, 0, AT4 | (0x5an << 56n), true],
    ['address, another', 0n, 0, AT4 + 0x100n, false],
    ['linked address, linked to a context that matches', 1n, 0, AT4, true],
    ['context ID on a breakpoint that is not context-aware', 2n, 3, 7n, false],
    ['context ID', 2n, 4, 7n, true],
    ['another context ID', 2n, 4, 8n, false],
    ['linked context ID alone', 3n, 4, 7n, false],
    ['address mismatch, which is AArch32\'s', 4n, 5, AT4, false],
    ['CONTEXTIDR_EL1', 6n, 5, 7n, true],
    ['VMID, eight bits', 8n, 5, 0x1205n << 32n, true],
    ['another VMID', 8n, 5, 0x1206n << 32n, false],
    ['VMID and context ID', 10n, 5, (5n << 32n) | 7n, true],
    ['VMID and another context ID', 10n, 5, (5n << 32n) | 8n, false],
    ['CONTEXTIDR_EL2', 12n, 5, 9n << 32n, true],
    ['another CONTEXTIDR_EL2', 12n, 5, 8n << 32n, false],
    ['both context IDs', 14n, 5, (9n << 32n) | 7n, true],
    ['both, one of them another', 14n, 5, (9n << 32n) | 6n, false],
  ] as const)('BT chooses what is compared: %s', (_, bt, n, value, matches) => {
    const core = start({
      el: 1, registers: {
        MDSCR_EL1: ON, CONTEXTIDR_EL1: 7n, CONTEXTIDR_EL2: 9n, VTTBR_EL2: 0x3405n << 48n, [`DBGBVR${n}_EL1`]: value, [`DBGBCR${n}_EL1`]: control({ bt, lbn: 5n }),
        ...(bt === 1n ? { DBGBVR5_EL1: 7n, DBGBCR5_EL1: control({ bt: 3n }) } : {}),
      },
    });
    expect(outcome(core)).toBe(matches ? `EL1 ec=31 iss=22 at +${bt < 2n ? 4 : 0}` : '+16');
  });

  test.each([
    ['16-bit VMIDs where VTCR_EL2.VS says so', { VTCR_EL2: 1n << 19n, VTTBR_EL2: 0x3405n << 48n, DBGBVR5_EL1: 0x1205n << 32n, DBGBCR5_EL1: control({ bt: 8n }) }, 1, false],
    ['the host compares CONTEXTIDR_EL2', { HCR_EL2: Hcr.RW | Hcr.TGE | Hcr.E2H, CONTEXTIDR_EL1: 1n, CONTEXTIDR_EL2: 7n, DBGBVR5_EL1: 7n, DBGBCR5_EL1: control({ bt: 2n, hmc: 1n }) }, 2, true],
    ['EL2 without E2H has no context of its own', { MDCR_EL2: Mdcr.TDE, CONTEXTIDR_EL1: 7n, DBGBVR5_EL1: 7n, DBGBCR5_EL1: control({ bt: 2n, hmc: 1n }) }, 2, false],
    ['a link to a breakpoint that is not context-aware', { DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({ bt: 1n, lbn: 3n }), DBGBVR3_EL1: 0n, DBGBCR3_EL1: control({ bt: 3n }) }, 1, false],
    ['a link to a disabled one', { DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({ bt: 1n, lbn: 4n }), DBGBVR4_EL1: 0n, DBGBCR4_EL1: control({ bt: 3n, e: 0n }) }, 1, false],
    ['a link to one that is not for linking', { DBGBVR0_EL1: AT4, DBGBCR0_EL1: control({ bt: 1n, lbn: 4n }), DBGBVR4_EL1: 0n, DBGBCR4_EL1: control({ bt: 2n, e: 1n, pmc: 2n }) }, 1, false],
  ] as const)('%s', (_, registers, el, matches) => {
    const core = start({ el, registers: { MDSCR_EL1: ON, ...registers } });
    expect(outcome(core).includes('iss=22')).toBe(matches);
  });

  test('come after the Instruction Abort and before Illegal Execution state and the instruction itself (Arm ARM D1.3.5.3)', () => {
    const registers = { MDSCR_EL1: ON, DBGBVR0_EL1: BigInt(RAM), DBGBCR0_EL1: control({}) };
    expect(outcome(start({ el: 1, pstate: Pstate.IL, registers }))).toBe('EL1 ec=31 iss=22 at +0');
    expect(outcome(start({ el: 1, code: 'svc #1', registers }))).toBe('EL1 ec=31 iss=22 at +0');
    const core = start({ el: 1, registers: { ...registers, DBGBVR0_EL1: 0x1000n } });
    core.words[Word.PC] = 0x1000n;
    run(core, 1);
    expect(taken(core)).toBe('EL1 ec=21 iss=10');
    core.words[Word.PC] = 0x1002n;
    setPstate(core, 1);
    run(core, 1);
    expect(taken(core)).toBe('EL1 ec=22 iss=0');
  });

  test('BRK needs no enable, and goes to the debug target', () => {
    expect(outcome(start({ el: 1, pstate: Pstate.D, code: 'brk #5', registers: { OSLSR_EL1: 0xan } }))).toBe('EL1 ec=3c iss=5 at +0');
    expect(outcome(start({ el: 1, code: 'brk #5', registers: { MDCR_EL2: Mdcr.TDE } }))).toBe('EL2 ec=3c iss=5 at +0');
  });
});

describe('watchpoints', () => {
  const at = (offset: number): bigint => BigInt(DATA + offset);
  test.each([
    // AArch64.WatchpointByteMatch: DBGWVR offset, control, instruction, offset of X1; FAR offset or none
    ['a doubleword, its first byte', 0, { bas: 0xffn }, 'ldrb w0, [x1]', 0, 0],
    ['a doubleword, its last byte', 0, { bas: 0xffn }, 'ldrb w0, [x1]', 7, 7],
    ['the byte behind it', 0, { bas: 0xffn }, 'ldrb w0, [x1]', 8, undefined],
    ['the byte before it', 8, { bas: 0xffn }, 'ldrb w0, [x1]', 7, undefined],
    ['one byte of it by BAS', 0, { bas: 0x10n }, 'ldrb w0, [x1]', 4, 4],
    ['another byte of it', 0, { bas: 0x10n }, 'ldrb w0, [x1]', 5, undefined],
    ['an access that only covers the byte: FAR is the byte watched', 0, { bas: 0x10n }, 'ldr x0, [x1]', 0, 4],
    ['an access that runs into it', 8, { bas: 0x1n }, 'ldr x0, [x1]', 4, 8],
    ['a word at an odd word: BAS[7:4] is ignored', 4, { bas: 0xffn }, 'ldr w0, [x1]', 8, undefined],
    ['a word at an odd word', 4, { bas: 0xfn }, 'ldrh w0, [x1]', 6, 6],
    ['no byte', 0, { bas: 0n }, 'ldr x0, [x1]', 0, undefined],
    ['MASK 3: a doubleword', 0, { mask: 3n }, 'ldrb w0, [x1]', 7, 7],
    ['MASK 6: 64 bytes, the last', 64, { mask: 6n }, 'ldrb w0, [x1]', 127, 127],
    ['MASK 6: not the next', 64, { mask: 6n }, 'ldrb w0, [x1]', 128, undefined],
    ['MASK 6: not the one before', 64, { mask: 6n }, 'ldrb w0, [x1]', 63, undefined],
    ['MASK 2, reserved: disabled', 0, { mask: 2n }, 'ldr x0, [x1]', 0, undefined],
    ['LSC 1: loads', 0, { lsc: 1n }, 'ldr x0, [x1]', 0, 0],
    ['LSC 1: not stores', 0, { lsc: 1n }, 'str x0, [x1]', 0, undefined],
    ['LSC 2: not loads', 0, { lsc: 2n }, 'ldr x0, [x1]', 0, undefined],
    ['a pair, its second half', 8, { lsc: 1n }, 'ldp x2, x3, [x1]', 0, 8],
    ['an address tag does not matter', 0, {}, 'ldr x0, [x1]', 0, 0],
  ] as const)('%s', (_, base, fields, code, offset, far) => {
    const core = start({ el: 1, normal: true, code: `${code}; nop`, x: { 1: at(offset) }, registers: { MDSCR_EL1: ON, DBGWVR1_EL1: at(base), DBGWCR1_EL1: watch(fields) } });
    expect(outcome(core, 2)).toBe(far === undefined ? '+8' : 'EL1 ec=35 iss=22 at +0');
    if (far !== undefined) expect(get(core, 'FAR_EL1')).toBe(at(far));
  });

  test.each([
    ['a store', 'str x0, [x1]', 0, 2n, 0x62],
    ['a pair of stores, its second half', 'stp x0, x0, [x1, #-8]', 0, 2n, 0x62],
    ['a load exclusive', 'ldxr x0, [x1]', 0, 1n, 0x22],
    ['a swap, seen as a load', 'swp x0, x0, [x1]', 0, 3n, 0x22],
    ['a swap where loads are not watched', 'swp x0, x0, [x1]', 0, 2n, 0x62],
    ['DC ZVA, over its 64 bytes', 'dc zva, x1', 8, 2n, 0x62],
    ['DC IVAC, as cache maintenance', 'dc ivac, x1', 8, 2n, 0x162],
    ['DC CIVAC, which is not watched', 'dc civac, x1', 0, 3n, undefined],
    ['IC IVAU, which is not watched', 'ic ivau, x1', 0, 3n, undefined],
  ] as const)('%s reports WnR and CM (ESR_ELx, ISS of a Watchpoint exception)', (_, code, ahead, lsc, iss) => {
    const core = start({ el: 1, normal: true, code: `${code}; nop`, x: { 0: 0x77n, 1: at(ahead) }, registers: { MDSCR_EL1: ON, DBGWVR3_EL1: at(0), DBGWCR3_EL1: watch({ lsc }) } });
    writeWord(core.board.memory, DATA, 1n);
    expect(outcome(core, 2)).toBe(iss === undefined ? '+8' : `EL1 ec=35 iss=${iss.toString(16)} at +0`);
    // Nothing was done.
    expect([core.words[0], readWord(core.board.memory, DATA)]).toEqual([0x77n, 1n]);
    if (iss !== undefined) expect(get(core, 'FAR_EL1')).toBe(at(0));
  });

  test('a store exclusive whose monitor passes is watched, and stores nothing', () => {
    const core = start({ el: 1, code: 'ldxr x0, [x1]; stxr w2, x3, [x1]; ldr x4, [x1]', x: { 1: at(0), 3: 5n }, registers: { MDSCR_EL1: ON, DBGWVR0_EL1: at(0), DBGWCR0_EL1: watch({ lsc: 2n }) } });
    expect(outcome(core, 3)).toBe('EL1 ec=35 iss=62 at +4');
    set(core, 'DBGWCR0_EL1', 0n);
    core.words[Word.PC] = BigInt(RAM + 8);
    run(core, 1);
    expect(core.words[4]).toBe(0n);
  });

  test.each([
    // PAC by the level that the access acts as.
    ['LDR at EL1, PAC EL1', 1, 'ldr x0, [x1]', { pac: 1n }, true],
    ['LDR at EL1, PAC EL0', 1, 'ldr x0, [x1]', { pac: 2n }, false],
    ['LDTR at EL1 acts as EL0', 1, 'ldtr x0, [x1]', { pac: 2n }, true],
    ['LDTR at EL1, PAC EL1', 1, 'ldtr x0, [x1]', { pac: 1n }, false],
    ['LDR at EL0, PAC EL0', 0, 'ldr x0, [x1]', { pac: 2n }, true],
    ['linked to a context that matches', 1, 'ldr x0, [x1]', { wt: 1n, lbn: 4n }, true],
    ['linked to another context', 1, 'ldr x0, [x1]', { wt: 1n, lbn: 5n }, false],
    ['disabled', 1, 'ldr x0, [x1]', { e: 0n }, false],
  ] as const)('%s', (_, el, code, fields, hit) => {
    const core = start({
      el, code: `${code}; nop`, x: { 1: at(0) },
      registers: { MDSCR_EL1: ON, CONTEXTIDR_EL1: 3n, DBGBVR4_EL1: 3n, DBGBCR4_EL1: control({ bt: 3n }), DBGBVR5_EL1: 4n, DBGBCR5_EL1: control({ bt: 3n }), DBGWVR0_EL1: at(0), DBGWCR0_EL1: watch(fields) },
    });
    expect(outcome(core, 2)).toBe(hit ? `EL1 ec=${el === 1 ? 35 : 34} iss=22 at +0` : '+8');
  });

  test('come after the Data Abort of the same access', () => {
    const core = start({ el: 1, code: 'ldr x0, [x1]', x: { 1: at(1) }, registers: { MDSCR_EL1: ON, SCTLR_EL1: 0x30d0_0982n, DBGWVR0_EL1: at(0), DBGWCR0_EL1: watch({}) } });
    expect(outcome(core, 1)).toBe('EL1 ec=25 iss=21 at +0');
  });

  test('catch an access to a page that was accessed before, and let go of it again', () => {
    const core = start({ el: 1, code: 'ldr x0, [x1]; msr DBGWCR0_EL1, x2; ldr x0, [x1]; nop', x: { 1: at(0), 2: watch({}) }, registers: { MDSCR_EL1: ON, DBGWVR0_EL1: at(0) } });
    run(core, 3);
    expect([taken(core), get(core, 'ELR_EL1')]).toEqual(['EL1 ec=35 iss=22', BigInt(RAM + 8)]);
    set(core, 'DBGWCR0_EL1', 0n);
    setPstate(core, 1);
    core.words[Word.PC] = BigInt(RAM + 8);
    expect([run(core, 2).attempted, core.words[Word.PC]]).toEqual([2, BigInt(RAM + 16)]);
  });

  test('an access of FEAT_NV2 to the VNCR page is EL2\'s, and its exception too, with ISS.VNCR', () => {
    const registers = { HCR_EL2: Hcr.RW | Hcr.NV | Hcr.NV2, VNCR_EL2: at(0), MDSCR_EL1: ON, MDCR_EL2: Mdcr.TDE, DBGWVR0_EL1: at(0x1c0), DBGWCR0_EL1: watch({ hmc: 1n, ssc: 3n, pac: 0n, mask: 12n }) };
    const code = 'mrs x0, TPIDR_EL2; nop';
    expect(outcome(start({ el: 1, code, registers }), 2)).toBe('EL2 ec=35 iss=2022 at +0');
    expect(outcome(start({ el: 1, code, registers: { ...registers, MDSCR_EL1: Mdscr.MDE } }), 2)).toBe('+8');
    expect(outcome(start({ el: 1, code, registers: { ...registers, DBGWCR0_EL1: watch({ mask: 12n }) } }), 2)).toBe('+8');
  });
});

describe('software step', () => {
  const STEP = Mdscr.SS | Mdscr.KDE;
  /** From EL2 by ERET to EL1 at RAM + 16 with SPSR_EL2. */
  const descend = (spsr: bigint, code: string, more: Setting['registers'] = {}, el: 1 | 2 = 2): Core =>
    start({ el, pstate: Pstate.D, code: `eret; nop; nop; nop; ${code}; nop; nop`, x: { 1: BigInt(DATA) }, registers: { [`SPSR_EL${el}`]: spsr, [`ELR_EL${el}`]: BigInt(RAM + 16), MDSCR_EL1: STEP, ...more } });

  test.each([
    // SPSR, instruction at +16, what follows
    ['one instruction', 5n | SPSR_SS, 'nop', 'EL1 ec=33 iss=1000022 at +20'],
    ['none with SPSR_ELx.SS = 0: ISV = 0', 5n, 'nop', 'EL1 ec=33 iss=22 at +16'],
    ['a branch, to its target', 5n | SPSR_SS, 'b {next}; nop; next: nop', 'EL1 ec=33 iss=1000022 at +24'],
    ['a load exclusive: EX = 1', 5n | SPSR_SS, 'ldxr x0, [x1]', 'EL1 ec=33 iss=1000062 at +20'],
    ['a store exclusive: EX = 0', 5n | SPSR_SS, 'stxr w0, x2, [x1]', 'EL1 ec=33 iss=1000022 at +20'],
    ['a WFI, which does not wait', 5n | SPSR_SS, 'wfi', 'EL1 ec=33 iss=1000022 at +20'],
    ['an instruction that masks debug exceptions: no exception', 5n | SPSR_SS, 'msr daifset, #8', '+28'],
  ] as const)('steps %s (AArch64.CheckSoftwareStep, SSAdvance)', (_, spsr, code, expected) => {
    expect(outcome(descend(spsr, code), 4)).toBe(expected);
  });

  test('SPSR_ELx.SS of the step exception is 0', () => {
    const core = descend(5n | SPSR_SS, 'nop');
    outcome(core, 5);
    expect(get(core, 'SPSR_EL1') & SPSR_SS).toBe(0n);
  });

  test.each([
    ['debug exceptions are disabled at the target: KDE', 5n | SPSR_SS, { MDSCR_EL1: Mdscr.SS }, 0n],
    ['they are masked at the target by SPSR.D', 5n | SPSR_SS | 0x200n, {}, 0n],
    ['step is off', 5n | SPSR_SS, { MDSCR_EL1: Mdscr.KDE }, 0n],
    ['the OS Lock is locked', 5n | SPSR_SS, { OSLSR_EL1: 0xan }, 0n],
    ['the return enables them', 5n | SPSR_SS, {}, SPSR_SS],
    ['EL2 is the target: always, at EL1', 0x205n | SPSR_SS, { MDSCR_EL1: Mdscr.SS, MDCR_EL2: Mdcr.TDE }, SPSR_SS],
    ['to EL0: always', 0x200n | SPSR_SS, { MDSCR_EL1: Mdscr.SS }, SPSR_SS],
  ] as const)('an exception return sets PSTATE.SS from SPSR (DebugExceptionReturnSS): %s', (_, spsr, more, expected) => {
    const core = descend(spsr, 'nop', more);
    run(core, 1);
    expect(core.words[Word.PSTATE]! & SPSR_SS).toBe(expected);
  });

  test('a return from where debug exceptions are enabled clears it: the step is pending at once', () => {
    const core = start({ el: 1, code: 'eret', pstate: Pstate.SS, registers: { SPSR_EL1: 5n | SPSR_SS, ELR_EL1: BigInt(RAM + 16), MDSCR_EL1: STEP } });
    run(core, 1);
    expect(core.words[Word.PSTATE]! & SPSR_SS).toBe(0n);
    expect(outcome(core, 1)).toBe('EL1 ec=33 iss=22 at +16');
  });

  test('an illegal return keeps the level and steps there by its own rule', () => {
    // From EL1 with debug masked to EL2, which is illegal: EL1 stays, with D from SPSR.
    const core = descend(9n | SPSR_SS, 'nop', {}, 1);
    run(core, 1);
    expect([elOf(core), core.ints[2 * Word.PSTATE]! & (Pstate.IL | Pstate.SS)]).toEqual([1, Pstate.IL | Pstate.SS]);
  });

  test.each([
    // What the stepped instruction's own exception leaves in SPSR.SS: 1 where the instruction is not done, 0 where it is.
    ['UNDEFINED', 'udf #0', 'EL1 ec=00 iss=0 at +16', SPSR_SS],
    ['BRK', 'brk #1', 'EL1 ec=3c iss=1 at +16', SPSR_SS],
    ['a Data Abort', 'ldr x0, [x30]', 'EL1 ec=25 iss=10 at +16', SPSR_SS],
    ['SVC', 'svc #2', 'EL1 ec=15 iss=2 at +20', 0n],
    ['HVC', 'hvc #3', 'EL2 ec=16 iss=3 at +20', 0n],
  ] as const)('the instruction that is stepped takes its own exception: %s', (_, code, expected, ss) => {
    const core = descend(5n | SPSR_SS, code);
    core.words[30] = 0x8000_0000n;
    expect(outcome(core, 5)).toBe(expected);
    expect(get(core, `SPSR_EL${elOf(core)}`) & SPSR_SS).toBe(ss);
    expect(core.words[Word.PSTATE]! & SPSR_SS).toBe(0n);
  });

  test('an exception to a level where step is on is pending there at once, with ISV = 0', () => {
    // EL0 stepped by EL2: the SVC goes to EL1, whose first instruction is not attempted.
    const core = descend(0n | SPSR_SS, 'svc #0', { MDCR_EL2: Mdcr.TDE, MDSCR_EL1: Mdscr.SS });
    run(core, 3);
    expect([taken(core), get(core, 'ELR_EL2'), get(core, 'ESR_EL1') >> 26n]).toEqual(['EL2 ec=32 iss=22', VBAR1 + 0x400n, 0x15n]);
  });

  test('comes before everything else of the next instruction, and a breakpoint on the stepped one comes first', () => {
    const core = descend(5n | SPSR_SS, 'br x30', { MDSCR_EL1: STEP | Mdscr.MDE, DBGBVR0_EL1: BigInt(RAM + 16), DBGBCR0_EL1: control({}) });
    core.words[30] = 0x1n;
    expect(outcome(core, 5)).toBe('EL1 ec=31 iss=22 at +16');
    // The instruction was not done: its step is still to come.
    expect(get(core, 'SPSR_EL1') & SPSR_SS).toBe(SPSR_SS);
    set(core, 'DBGBCR0_EL1', 0n);
    core.words[Word.PC] = BigInt(RAM);
    set(core, 'SPSR_EL2', get(core, 'SPSR_EL1'));
    set(core, 'ELR_EL2', BigInt(RAM + 16));
    setPstate(core, 2, Pstate.D);
    run(core, 3);
    // To an address that is not aligned, which the next instruction would have faulted on.
    expect([taken(core), get(core, 'ELR_EL1')]).toEqual(['EL1 ec=33 iss=1000022', 1n]);
  });

  test('a run of a single instruction at a time sees the same', () => {
    const whole = descend(5n | SPSR_SS, 'nop');
    const parts = descend(5n | SPSR_SS, 'nop');
    run(whole, 3);
    for (let count = 0; count < 3; count++) run(parts, 1);
    expect(parts.words).toEqual(whole.words);
  });
});

test('the traps of MDCR_EL2 come before the registers: TDA, TDE', () => {
  for (const mdcr of [1n << 9n, 1n << 8n]) {
    const core = start({ el: 1, code: 'msr MDSCR_EL1, x0', registers: { MDCR_EL2: mdcr } });
    expect(outcome(core, 1)).toMatch(/^EL2 ec=18 /);
  }
});
