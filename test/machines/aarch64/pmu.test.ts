/** The Performance Monitors, each case by its rule. Arm ARM D13; pseudocode CountPMUEvents, IncrementEventCounter, CheckForPMUOverflow. */

import { describe, expect, test } from 'vitest';
import { PMU_INTID, attemptsToOverflow, pollCounters } from '../../../machines/aarch64/pmu.ts';
import { run } from '../../../machines/aarch64/run.ts';
import { type Core, Word } from '../../../machines/aarch64/state.ts';
import { resetSystemRegisters, slot } from '../../../machines/aarch64/sysregs.ts';
import { type BareOptions, RAM, bareCore, get, program, set, setPstate } from '../../support/core.ts';
import { OFF, RESULTS, keep, load, runProgram, words } from '../../support/guest-program.ts';
import { mrs, msr } from '../../support/system-access.ts';

const E = 1n;
const Pmcr = { E, P: 2n, C: 4n, DP: 1n << 5n, LC: 1n << 6n, LP: 1n << 7n };
const Mdcr = { HPME: 1n << 7n, HPMD: 1n << 17n, HCCD: 1n << 23n, HLP: 1n << 26n };
const Filter = { P: 1n << 31n, U: 1n << 30n, NSH: 1n << 27n };
const C = 1n << 31n;
const N = 6n;
const INST_RETIRED = 0x08n;
const CPU_CYCLES = 0x11n;
const CHAIN = 0x1en;
const RW = 1n << 31n;
const TGE_E2H = (1n << 27n) | (1n << 34n);
const ALL_LEVELS = Filter.NSH;

interface Setting extends BareOptions { readonly code?: string; readonly registers?: Readonly<Record<string, bigint>> }

/** A core with a PMU at `el`, its program at RAM and vectors of EL1 and EL2 that return behind what they were called for. */
function start(setting: Setting = {}): Core {
  const { core, memory } = bareCore({ ...setting, features: { pmu: true, ...setting.features } });
  resetSystemRegisters(core.words, core.board, 0);
  set(core, 'HCR_EL2', RW);
  set(core, 'VBAR_EL1', BigInt(RAM + 0x1000));
  set(core, 'VBAR_EL2', BigInt(RAM + 0x2000));
  for (const [name, value] of Object.entries(setting.registers ?? {})) set(core, name, value);
  setPstate(core, setting.el ?? 2);
  program(memory, RAM, words(setting.code ?? `${'nop; '.repeat(200)}nop`, RAM));
  return core;
}

/** Does MSR as an attempt of its own, so that what follows is counted from the next instruction on. */
function write(core: Core, name: string, value: bigint): void {
  expect(`${name} ${msr(core, name, value)}`).toBe(`${name} done`);
  core.words[Word.ATTEMPTED] = core.words[Word.ATTEMPTED]! + 1n;
  core.end = undefined;
}
const read = (core: Core, name: string): bigint => mrs(core, name) as bigint;

describe('identification', () => {
  test('PMUv3p5 with six counters, four common events that count and the three stall events, which stay at 0', () => {
    const core = start();
    expect((read(core, 'ID_AA64DFR0_EL1') >> 8n) & 15n).toBe(6n);
    expect(read(core, 'PMCR_EL0')).toBe((N << 11n) | Pmcr.LC);
    expect([read(core, 'PMCEID0_EL0'), read(core, 'PMCEID1_EL0'), read(core, 'PMMIR_EL1')]).toEqual([0x4002_0101n, 0x1000_0018n, 0n]);
    expect(read(core, 'MDCR_EL2') & 31n).toBe(N);
  });

  test('without the feature its registers are UNDEFINED', () => {
    const core = start({ features: { pmu: false } });
    for (const name of ['PMCR_EL0', 'PMCCNTR_EL0', 'PMEVCNTR0_EL0', 'PMINTENSET_EL1']) expect(`${name} ${String(mrs(core, name))}`).toBe(`${name} UNDEFINED`);
    expect((read(core, 'ID_AA64DFR0_EL1') >> 8n) & 15n).toBe(0n);
  });

  test('counters beyond PMCR_EL0.N are UNDEFINED', () => {
    const core = start();
    for (const name of ['PMEVCNTR6_EL0', 'PMEVTYPER30_EL0']) expect(`${name} ${String(mrs(core, name))}`).toBe(`${name} UNDEFINED`);
  });
});

describe('cycles and instructions', () => {
  test('the cycle counter counts attempts, from the instruction behind its enable to the one before its reading', () => {
    const core = start({ el: 1, code: 'msr PMCNTENSET_EL0, x0; msr PMCR_EL0, x1; mrs x2, PMCCNTR_EL0; nop; nop; mrs x3, PMCCNTR_EL0; msr PMCR_EL0, xzr; nop; mrs x4, PMCCNTR_EL0' });
    core.words[0] = C;
    core.words[1] = E;
    while (core.words[Word.PC] !== BigInt(RAM + 36)) run(core, 9);
    expect(core.words.slice(2, 5)).toEqual(BigUint64Array.of(0n, 3n, 5n));
  });

  test('INST_RETIRED leaves out what took an exception for itself, and counts SVC and ERET', () => {
    // EL1: two plain, SVC (vector: ERET), UDF (vector 2 instructions more), at the end one that reads.
    const vector = 'mrs x9, ESR_EL1; lsr x9, x9, #26; cbnz x9, {back}; mrs x9, ELR_EL1; add x9, x9, #4; msr ELR_EL1, x9; back: eret';
    const core = start({ el: 1, code: 'nop; nop; svc #0; udf #0; brk #0; nop', registers: { PMCR_EL0: E, PMCNTENSET_EL0: 3n, PMEVTYPER0_EL0: INST_RETIRED, PMEVTYPER1_EL0: CPU_CYCLES } });
    set(core, 'PMCR_EL0', 0n);
    program(core.board.memory, RAM + 0x1200, words(vector, RAM + 0x1200));
    write(core, 'PMCR_EL0', E);
    // nop nop svc | mrs lsr cbnz eret | udf | mrs lsr cbnz mrs add msr eret
    run(core, 3 + 4 + 1 + 7);
    expect(core.words[Word.PC]).toBe(BigInt(RAM + 16));
    expect([read(core, 'PMEVCNTR0_EL0'), read(core, 'PMEVCNTR1_EL0')]).toEqual([14n, 15n]);
  });

  test('a run in pieces counts as a run in one', () => {
    const values = [1, 7, 40].map((piece) => {
      const core = start({ el: 1, registers: { PMCNTENSET_EL0: C | 1n, PMEVTYPER0_EL0: INST_RETIRED } });
      write(core, 'PMCR_EL0', E);
      for (let left = 40; left > 0; left -= piece) run(core, Math.min(piece, left));
      return [read(core, 'PMCCNTR_EL0'), read(core, 'PMEVCNTR0_EL0')];
    });
    expect(values).toEqual([[40n, 40n], [40n, 40n], [40n, 40n]]);
  });

  test('what is switched on from outside, by a patch, counts from its first look on', () => {
    const core = start({ el: 1 });
    run(core, 20);
    set(core, 'PMCNTENSET_EL0', C);
    set(core, 'PMCR_EL0', E);
    expect(read(core, 'PMCCNTR_EL0')).toBe(0n);
    run(core, 5);
    expect(read(core, 'PMCCNTR_EL0')).toBe(5n);
  });

  test('SW_INCR counts writes of PMSWINC_EL0, to the counters that have it', () => {
    const core = start({ el: 1, registers: { PMCR_EL0: E, PMCNTENSET_EL0: 7n, PMEVTYPER1_EL0: CPU_CYCLES, PMEVTYPER2_EL0: Filter.P } });
    write(core, 'PMSWINC_EL0', 0b1111n);
    write(core, 'PMSWINC_EL0', 0b0001n);
    expect([0, 2, 3].map((n) => read(core, `PMEVCNTR${n}_EL0`))).toEqual([2n, 0n, 0n]);
  });
});

describe('what counts at which level (CountPMUEvents)', () => {
  const on = { PMCR_EL0: E, PMCNTENSET_EL0: C | 0x3fn };
  test.each([
    // filter, MDCR_EL2 beside HPMN = 6, PMCR_EL0; whether event counter 0 and the cycle counter count at EL0, EL1, EL2
    ['no filter: not EL2', 0n, 0n, E, [true, true, false], [true, true, false]],
    ['P', Filter.P, 0n, E, [true, false, false], [true, false, false]],
    ['U', Filter.U, 0n, E, [false, true, false], [false, true, false]],
    ['NSH', Filter.NSH, 0n, E, [true, true, true], [true, true, true]],
    ['NSH, U and P: EL2 alone', Filter.NSH | Filter.P | Filter.U, 0n, E, [false, false, true], [false, false, true]],
    ['HPMD keeps event counters from EL2', Filter.NSH, Mdcr.HPMD, E, [true, true, false], [true, true, true]],
    ['HPMD with PMCR_EL0.DP: the cycle counter too', Filter.NSH, Mdcr.HPMD, E | Pmcr.DP, [true, true, false], [true, true, false]],
    ['HCCD keeps the cycle counter from EL2', Filter.NSH, Mdcr.HCCD, E, [true, true, true], [true, true, false]],
    ['PMCR_EL0.E clear', Filter.NSH, Mdcr.HPME, 0n, [false, false, false], [false, false, false]],
  ] as const)('%s', (_, filter, mdcr, pmcr, events, cycles) => {
    const cores = ([0, 1, 2] as const).map((el) => {
      const core = start({ el: 2, registers: { ...on, PMCR_EL0: 0n, MDCR_EL2: N | mdcr, PMUSERENR_EL0: 15n, PMEVTYPER0_EL0: filter | CPU_CYCLES, PMCCFILTR_EL0: filter } });
      write(core, 'PMCR_EL0', pmcr);
      setPstate(core, el);
      run(core, 5);
      return core;
    });
    const counted = (name: string): boolean[] => cores.map((core) => read(core, name) === 5n);
    expect(counted('PMEVCNTR0_EL0')).toEqual(events);
    expect(counted('PMCCNTR_EL0')).toEqual(cycles);
  });

  test('counters from HPMN on are EL2\'s: HPME, not E, and HPMD does not hold for them', () => {
    const core = start({ el: 2, registers: { PMCNTENSET_EL0: 0x3fn, MDCR_EL2: 4n | Mdcr.HPMD, PMEVTYPER3_EL0: ALL_LEVELS | CPU_CYCLES, PMEVTYPER4_EL0: ALL_LEVELS | CPU_CYCLES } });
    write(core, 'MDCR_EL2', 4n | Mdcr.HPMD | Mdcr.HPME);
    run(core, 5);
    expect([read(core, 'PMEVCNTR3_EL0'), read(core, 'PMEVCNTR4_EL0')]).toEqual([0n, 5n]);
  });

  test('a change of level in the middle of a run is accounted for, the instruction that makes it included', () => {
    // EL0: nop, SVC; EL1 vector: nop, ERET; EL0: nop. The counters: EL0 alone, EL1 alone.
    const core = start({ el: 0, code: 'nop; svc #0; nop; nop', registers: { PMCNTENSET_EL0: 3n, PMEVTYPER0_EL0: Filter.P | INST_RETIRED, PMEVTYPER1_EL0: Filter.U | INST_RETIRED } });
    program(core.board.memory, RAM + 0x1400, words('nop; eret', RAM + 0x1400));
    setPstate(core, 1);
    write(core, 'PMCR_EL0', E);
    setPstate(core, 0);
    run(core, 5);
    set(core, 'PMUSERENR_EL0', 15n);
    expect([read(core, 'PMEVCNTR0_EL0'), read(core, 'PMEVCNTR1_EL0')]).toEqual([3n, 2n]);
  });
});

describe('overflow', () => {
  test.each([
    // IncrementEventCounter: PMCR_EL0.LP, MDCR_EL2.HLP and HPMN, value before; PMOVSSET and the value 10 attempts later
    ['32 bits, the upper half goes on counting', 0, 0n, N, 0xffff_fffan, 1n, 0x1_0000_0004n],
    ['64 bits with PMCR_EL0.LP: not at 32', 0, Pmcr.LP, N, 0xffff_fffan, 0n, 0x1_0000_0004n],
    ['64 bits with PMCR_EL0.LP', 0, Pmcr.LP, N, 0xffff_ffff_ffff_fffan, 1n, 4n],
    ['EL2\'s counters by MDCR_EL2.HLP', 1, Pmcr.LP, 1n | Mdcr.HPME, 0xffff_fffan, 2n, 0x1_0000_0004n],
    ['EL2\'s counters with MDCR_EL2.HLP', 1, 0n, 1n | Mdcr.HPME | Mdcr.HLP, 0xffff_fffan, 0n, 0x1_0000_0004n],
  ] as const)('%s', (_, n, lp, mdcr, before, flags, after) => {
    const core = start({ el: 2, registers: { PMCNTENSET_EL0: 3n, MDCR_EL2: mdcr & ~Mdcr.HPME, [`PMEVTYPER${n}_EL0`]: ALL_LEVELS | CPU_CYCLES, [`PMEVCNTR${n}_EL0`]: before } });
    if (n === 1) write(core, 'PMCR_EL0', lp);
    write(core, n === 1 ? 'MDCR_EL2' : 'PMCR_EL0', n === 1 ? mdcr : E | lp);
    run(core, 10);
    expect([read(core, 'PMOVSSET_EL0'), read(core, `PMEVCNTR${n}_EL0`)]).toEqual([flags, after]);
  });

  test('the cycle counter overflows at 64 bits: PMCR_EL0.LC is RES1', () => {
    const core = start({ el: 1, registers: { PMCNTENSET_EL0: C, PMCCNTR_EL0: 0xffff_fffen } });
    write(core, 'PMCR_EL0', E);
    run(core, 5);
    expect([read(core, 'PMOVSSET_EL0'), read(core, 'PMCCNTR_EL0')]).toEqual([0n, 0x1_0000_0003n]);
    write(core, 'PMCCNTR_EL0', 0xffff_ffff_ffff_fffen);
    run(core, 5);
    expect([read(core, 'PMOVSSET_EL0'), read(core, 'PMCCNTR_EL0')]).toEqual([C, 3n]);
  });

  test('an odd counter with CHAIN counts the overflows of the even one below it', () => {
    const core = start({ el: 1, registers: { PMCNTENSET_EL0: 0xcn, PMEVTYPER2_EL0: CPU_CYCLES, PMEVTYPER3_EL0: CHAIN, PMEVCNTR2_EL0: 0xffff_fffen, PMEVCNTR3_EL0: 0xffff_ffffn } });
    write(core, 'PMCR_EL0', E);
    run(core, 5);
    expect([read(core, 'PMEVCNTR3_EL0'), read(core, 'PMOVSSET_EL0')]).toEqual([0x1_0000_0000n, 0b1100n]);
  });

  test('PMOVSCLR_EL0 clears, PMOVSSET_EL0 sets', () => {
    const core = start({ el: 1 });
    write(core, 'PMOVSSET_EL0', 0b11n | C);
    write(core, 'PMOVSCLR_EL0', 0b01n);
    expect([read(core, 'PMOVSSET_EL0'), read(core, 'PMOVSCLR_EL0')]).toEqual([C | 2n, C | 2n]);
  });
});

describe('the interrupt (CheckForPMUOverflow)', () => {
  const lines = (core: Core): unknown[] => core.board.outbox.filter(({ message }) => message.type === 'irq-line').map(({ to, message }) => [to, message.intid, message.level]);

  test('comes at the very attempt at which an enabled counter overflows', () => {
    const core = start({ el: 1, registers: { PMCNTENSET_EL0: 1n, PMINTENSET_EL1: 1n, PMEVTYPER0_EL0: CPU_CYCLES, PMEVCNTR0_EL0: 0xffff_fff6n } });
    write(core, 'PMCR_EL0', E);
    expect(attemptsToOverflow(core)).toBe(10);
    expect(run(core, 100)).toEqual({ attempted: 10, end: { type: 'effect' } });
    pollCounters(core);
    expect(lines(core)).toEqual([['gicr:0', PMU_INTID, true]]);
    // 2^32 more to the next.
    expect(run(core, 100)).toMatchObject({ attempted: 100, end: { type: 'budget' } });
  });

  test('of instructions retired waits for those that retire', () => {
    const core = start({ el: 1, code: 'nop; nop; udf #0; nop', registers: { PMCNTENSET_EL0: 1n, PMINTENSET_EL1: 1n, PMEVTYPER0_EL0: INST_RETIRED, PMEVCNTR0_EL0: 0xffff_fffcn } });
    program(core.board.memory, RAM + 0x1200, words('nop; nop; nop', RAM + 0x1200));
    write(core, 'PMCR_EL0', E);
    let attempted = 0;
    for (let runs = 0; runs < 5 && core.board.outbox.length === 0; runs++) {
      attempted += run(core, 100).attempted;
      pollCounters(core);
    }
    expect([attempted, read(core, 'PMEVCNTR0_EL0')]).toEqual([5, 0x1_0000_0000n]);
  });

  test('is a level: overflow, interrupt enable and E, of either owner', () => {
    const core = start({ el: 2, registers: { MDCR_EL2: 4n } });
    const step = (name: string, value: bigint): boolean => {
      write(core, name, value);
      return core.words[Word.PMU_LINE] === 1n;
    };
    expect([
      step('PMOVSSET_EL0', 1n), step('PMINTENSET_EL1', 1n), step('PMCR_EL0', E), step('PMINTENCLR_EL1', 1n), step('PMINTENSET_EL1', 1n), step('PMOVSCLR_EL0', 1n),
      step('PMOVSSET_EL0', 1n << 4n), step('PMINTENSET_EL1', 1n << 4n), step('MDCR_EL2', 4n | Mdcr.HPME), step('MDCR_EL2', 4n), step('MDCR_EL2', 5n),
    ]).toEqual([false, false, true, false, true, false, false, false, true, false, true]);
    expect(lines(core).length).toBe(7);
  });

  test('under L0 nobody is told', () => {
    const core = start({ el2: 'kvm', el: 1 });
    expect(attemptsToOverflow(core)).toBe(Infinity);
    run(core, 5);
    expect(lines(core)).toEqual([]);
  });
});

describe('who may access what', () => {
  test('EL1 sees the counters below MDCR_EL2.HPMN', () => {
    const core = start({ el: 2, registers: { MDCR_EL2: 3n, PMCNTENSET_EL0: C | 0x3fn } });
    expect([read(core, 'PMCNTENSET_EL0'), (read(core, 'PMCR_EL0') >> 11n) & 31n]).toEqual([C | 0x3fn, N]);
    setPstate(core, 1);
    expect([read(core, 'PMCNTENSET_EL0'), (read(core, 'PMCR_EL0') >> 11n) & 31n]).toEqual([C | 7n, 3n]);
    write(core, 'PMCNTENCLR_EL0', C | 0x3fn);
    expect(get(core, 'PMCNTENSET_EL0')).toBe(0x38n);
    expect([mrs(core, 'PMEVCNTR2_EL0'), mrs(core, 'PMEVCNTR3_EL0'), msr(core, 'PMEVTYPER5_EL0', 0n)]).toEqual([0n, 'EL2: MRS X0, PMEVCNTR3_EL0', 'EL2: MSR PMEVTYPER5_EL0, X0']);
    write(core, 'PMSELR_EL0', 4n);
    expect(mrs(core, 'PMXEVCNTR_EL0')).toBe('EL2: MRS X0, PMXEVCNTR_EL0');
  });

  test('PMCR_EL0.P resets EL1\'s counters from EL1 and all from EL2; C the cycle counter', () => {
    const counters = { PMEVCNTR0_EL0: 5n, PMEVCNTR5_EL0: 6n, PMCCNTR_EL0: 7n };
    const core = start({ el: 1, registers: { MDCR_EL2: 3n, ...counters } });
    write(core, 'PMCR_EL0', Pmcr.P);
    expect(Object.keys(counters).map((name) => get(core, name))).toEqual([0n, 6n, 7n]);
    setPstate(core, 2);
    write(core, 'PMCR_EL0', Pmcr.P | Pmcr.C);
    expect(Object.keys(counters).map((name) => get(core, name))).toEqual([0n, 0n, 0n]);
    expect(read(core, 'PMCR_EL0')).toBe((N << 11n) | Pmcr.LC);
  });

  test('PMSELR_EL0 chooses what PMXEVTYPER_EL0 and PMXEVCNTR_EL0 reach; 31 the cycle counter\'s filter', () => {
    const core = start({ el: 2 });
    write(core, 'PMSELR_EL0', 2n);
    write(core, 'PMXEVTYPER_EL0', Filter.U | CPU_CYCLES | (1n << 20n));
    write(core, 'PMXEVCNTR_EL0', 99n);
    expect([read(core, 'PMEVTYPER2_EL0'), read(core, 'PMXEVTYPER_EL0'), read(core, 'PMEVCNTR2_EL0'), read(core, 'PMXEVCNTR_EL0')]).toEqual([Filter.U | CPU_CYCLES, Filter.U | CPU_CYCLES, 99n, 99n]);
    write(core, 'PMSELR_EL0', 31n);
    write(core, 'PMXEVTYPER_EL0', Filter.P | CPU_CYCLES);
    expect([read(core, 'PMCCFILTR_EL0'), read(core, 'PMXEVTYPER_EL0')]).toEqual([Filter.P, Filter.P]);
    write(core, 'PMSELR_EL0', 9n);
    write(core, 'PMXEVCNTR_EL0', 1n);
    expect([read(core, 'PMXEVCNTR_EL0'), read(core, 'PMXEVTYPER_EL0')]).toEqual([0n, 0n]);
  });

  const EL0_ACCESSES: readonly (readonly [string, 'read' | 'write', bigint])[] = [
    ['PMCR_EL0', 'read', 1n], ['PMCNTENSET_EL0', 'write', 1n], ['PMOVSCLR_EL0', 'read', 1n], ['PMXEVTYPER_EL0', 'read', 1n], ['PMEVTYPER1_EL0', 'write', 1n], ['PMCCFILTR_EL0', 'read', 1n], ['PMCEID0_EL0', 'read', 1n],
    ['PMSWINC_EL0', 'write', 3n], ['PMCCNTR_EL0', 'read', 5n], ['PMCCNTR_EL0', 'write', 1n], ['PMSELR_EL0', 'read', 9n], ['PMSELR_EL0', 'write', 9n],
    ['PMEVCNTR1_EL0', 'read', 9n], ['PMXEVCNTR_EL0', 'read', 9n], ['PMEVCNTR1_EL0', 'write', 1n], ['PMXEVCNTR_EL0', 'write', 1n],
  ];
  test.each(EL0_ACCESSES)('EL0 %s %s is allowed by PMUSERENR_EL0', (name, direction, enables) => {
    const access = (user: bigint, more: Readonly<Record<string, bigint>> = {}): string => {
      const core = start({ el: 0, registers: { PMUSERENR_EL0: user, ...more } });
      return String(direction === 'read' ? typeof mrs(core, name) === 'bigint' ? 'done' : mrs(core, name) : msr(core, name, 0n));
    };
    const trapped = `${direction === 'read' ? 'MRS X0, ' : 'MSR '}${name}${direction === 'read' ? '' : ', X0'}`;
    for (const bit of [1n, 2n, 4n, 8n]) expect(`${bit} ${access(bit)}`).toBe(`${bit} ${(bit & enables) !== 0n ? 'done' : `EL1: ${trapped}`}`);
    expect(access(0n, { HCR_EL2: RW | TGE_E2H })).toBe(`EL2: ${trapped}`);
    expect(access(15n, { MDCR_EL2: N | (1n << 6n) })).toBe(`EL2: ${trapped}`);
  });

  test('EL0 reads PMUSERENR_EL0 always and never writes it', () => {
    const core = start({ el: 0 });
    expect([mrs(core, 'PMUSERENR_EL0'), msr(core, 'PMUSERENR_EL0', 1n)]).toEqual([0n, 'UNDEFINED']);
  });

  test('MDCR_EL2.TPMCR traps PMCR_EL0 alone, HDFGRTR_EL2 and HDFGWTR_EL2 by register', () => {
    const core = start({ el: 1, registers: { MDCR_EL2: N | (1n << 5n) } });
    expect([mrs(core, 'PMCR_EL0'), mrs(core, 'PMSELR_EL0')]).toEqual(['EL2: MRS X0, PMCR_EL0', 0n]);
    set(core, 'MDCR_EL2', N);
    set(core, 'HDFGRTR_EL2', (1n << 12n) | (1n << 58n));
    set(core, 'HDFGWTR_EL2', (1n << 21n) | (1n << 57n));
    expect(['PMEVCNTR0_EL0', 'PMXEVCNTR_EL0', 'PMCEID1_EL0', 'PMCR_EL0', 'PMUSERENR_EL0'].filter((name) => typeof mrs(core, name) === 'string')).toEqual(['PMEVCNTR0_EL0', 'PMXEVCNTR_EL0', 'PMCEID1_EL0']);
    expect(['PMEVCNTR0_EL0', 'PMCR_EL0', 'PMUSERENR_EL0', 'PMSWINC_EL0'].filter((name) => msr(core, name, 0n) !== 'done')).toEqual(['PMCR_EL0', 'PMUSERENR_EL0']);
  });
});

describe('on the board', () => {
  /** Overflows the cycle counter 40 cycles from its enable, waits until the redistributor has the interrupt pending (GICR_ISPENDR0), and keeps the count and the overflow. */
  const program = `${load('x28', RESULTS)}; ${load('x1', 0x080b_0200)}; ${load('x2', 1n << 31n)}; movz x4, #0x800, lsl #16; msr PMCCFILTR_EL0, x4
    movn x3, #39; msr PMCCNTR_EL0, x3; msr PMCNTENSET_EL0, x2; msr PMINTENSET_EL1, x2; movz x3, #1; msr PMCR_EL0, x3
    again: mrs x6, PMCCNTR_EL0; mrs x5, PMOVSSET_EL0; cbz x5, {again}
    ldr w0, [x1]; ubfx x0, x0, #23, #1; ${keep('x0')}; ${keep('x6')}; mrs x5, PMOVSSET_EL0; ${keep('x5')}
    msr PMOVSCLR_EL0, x2; ldr w0, [x1]; ubfx x0, x0, #23, #1; ${keep('x0')}; ${OFF}`;

  test.each([1, 7, 1000])('an overflow is pending at the redistributor at the next instruction, and gone when it is cleared: quantum %i', (quantum) => {
    const ran = runProgram(program, { el2: 'guest', l1: 'both', quantum });
    // The last count before it was all ones.
    expect(ran.results(4)).toEqual([1n, (1n << 64n) - 1n, C, 0n]);
  });

  test('a vCPU that starts again has no interrupt pending of its life before', () => {
    const core = start({ el: 2 });
    write(core, 'PMOVSSET_EL0', 1n);
    write(core, 'PMINTENSET_EL1', 1n);
    write(core, 'PMCR_EL0', E);
    core.words[slot('PMCR_EL0')] = 0n;
    pollCounters(core);
    expect(core.board.outbox.map(({ message }) => message.level)).toEqual([true, false]);
  });
});
