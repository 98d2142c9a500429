/** The generic timers: offsets by exception level, comparators at the exact nanosecond, and who is told. */

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { counter, nextDeadline, nextEventStreamEdge, pollTimers, timerLines, TIMER_REGISTERS, TIMERS } from '../../../machines/aarch64/generic-timer.ts';
import { Pstate, Word, type Core } from '../../../machines/aarch64/state.ts';
import { bareCore, get, set, type BareOptions } from '../../support/core.ts';

const E2H = 1n << 34n;
const TGE = 1n << 27n;
const read = (core: Core, name: string): bigint => TIMER_REGISTERS[name]!.read!(core);
const write = (core: Core, name: string, value: bigint): void => TIMER_REGISTERS[name]!.write!(core, value);
const enter = (core: Core, el: number): void => { core.words[Word.PSTATE] = BigInt(el << Pstate.EL_SHIFT); };

function at(now: number, options: BareOptions = {}, counterHz = 62_500_000): Core {
  const { core, board } = bareCore(options);
  board.now = now;
  (board as { counterHz: number }).counterHz = counterHz;
  return core;
}

test('at 62.5 MHz the counter ticks every 16 ns', () => {
  expect([0, 15, 16, 31, 32].map((now) => counter(at(now)))).toEqual([0n, 0n, 1n, 1n, 2n]);
});

test('a counter reads through the offsets that its exception level is under, for every EL, E2H, TGE and ECV', () => {
  for (const ecv of [false, true]) for (const el of [0, 1, 2]) for (const hcr of [0n, TGE, E2H, E2H | TGE]) {
    // With TGE set there is no EL1.
    if (el === 1 && (hcr & TGE) !== 0n) continue;
    const core = at(16_000, { features: { ecv } });
    enter(core, el);
    set(core, 'HCR_EL2', hcr);
    set(core, 'CNTHCTL_EL2', 1n << 12n);
    set(core, 'CNTVOFF_EL2', 300n);
    set(core, 'CNTPOFF_EL2', 7n);
    const host = (el === 2 && (hcr & E2H) !== 0n) || (el === 0 && hcr === (E2H | TGE));
    const physical = ecv && el < 2 && !(el === 0 && hcr === (E2H | TGE)) ? 993n : 1000n;
    const where = `EL${el} hcr ${hcr.toString(16)} ecv ${ecv}`;
    for (const name of ['CNTVCT_EL0', 'CNTVCTSS_EL0']) expect(read(core, name), where).toBe(host ? 1000n : 700n);
    for (const name of ['CNTPCT_EL0', 'CNTPCTSS_EL0']) expect(read(core, name), where).toBe(physical);
  }
});

test('a line is low one nanosecond before its deadline and high at it, whatever the frequency, the offset and the comparator', () => {
  fc.assert(fc.property(
    fc.constantFrom(62_500_000, 24_000_000, 19_200_000, 1_000_000_000, 32_768), fc.nat(3), fc.nat(1_000_000_000),
    fc.bigInt({ min: 0n, max: 50_000_000n }), fc.bigInt({ min: -1_000_000n, max: 1_000_000n }),
    (hz, index, now, ahead, offset) => {
      const core = at(now, {}, hz);
      const timer = TIMERS[index]!;
      set(core, 'CNTHCTL_EL2', 1n << 12n);
      const used = index === 0 ? 'CNTPOFF_EL2' : index === 1 ? 'CNTVOFF_EL2' : undefined;
      if (used !== undefined) set(core, used, BigInt.asUintN(64, offset));
      const view = BigInt.asUintN(64, counter(core) - (used === undefined ? 0n : offset));
      const compare = view + ahead + 1n;
      fc.pre(compare < 1n << 64n);
      core.words[timer.compare] = compare;
      core.words[timer.control] = 1n;
      const deadline = nextDeadline(core)!;
      expect(deadline).toBeGreaterThan(now);
      core.board.now = deadline - 1;
      expect(timerLines(core)).toBe(0);
      core.board.now = deadline;
      expect(timerLines(core)).toBe(timer.line);
      expect(nextDeadline(core)).toSatisfy((next) => next === undefined || next > deadline);
    },
  ), { numRuns: 300, seed: 20260 });
});

test('a line that is high falls when an offset above the count makes the view wrap, and nextDeadline says when', () => {
  const core = at(16_000);
  set(core, 'CNTVOFF_EL2', 1005n);
  set(core, 'CNTV_CVAL_EL0', (1n << 64n) - 100n);
  set(core, 'CNTV_CTL_EL0', 1n);
  expect(timerLines(core)).toBe(2);
  expect(nextDeadline(core)).toBe(16 * 1005);
  core.board.now = 16 * 1005;
  expect(timerLines(core)).toBe(0);
});

test('a masked or disabled timer drives no line and has no deadline; ISTATUS shows the condition only while enabled', () => {
  const core = at(1_600);
  set(core, 'CNTP_CVAL_EL0', 50n);
  const seen = [0n, 1n, 2n, 3n].map((control) => {
    write(core, 'CNTP_CTL_EL0', control | 0xf0n);
    return [read(core, 'CNTP_CTL_EL0'), timerLines(core)];
  });
  expect(seen).toEqual([[0n, 0], [5n, 1], [2n, 0], [7n, 0]]);
  set(core, 'CNTP_CVAL_EL0', 500n);
  expect(nextDeadline(core)).toBeUndefined();
  write(core, 'CNTP_CTL_EL0', 1n);
  expect(nextDeadline(core)).toBe(8_000);
});

test('TVAL is a signed 32-bit view of the distance to the comparator', () => {
  const core = at(16_000);
  set(core, 'CNTVOFF_EL2', 300n);
  enter(core, 1);
  write(core, 'CNTV_TVAL_EL0', 0xffff_fff6n);
  expect(get(core, 'CNTV_CVAL_EL0')).toBe(690n);
  expect(read(core, 'CNTV_TVAL_EL0')).toBe(0xffff_fff6n);
  write(core, 'CNTV_TVAL_EL0', 0x1_0000_0064n);
  expect(get(core, 'CNTV_CVAL_EL0')).toBe(800n);
  core.board.now += 160;
  expect(read(core, 'CNTV_TVAL_EL0')).toBe(90n);
  write(core, 'CNTHP_TVAL_EL2', 5n);
  expect(get(core, 'CNTHP_CVAL_EL2')).toBe(1015n);
});

test('on a bare board the redistributor is told each change of a line once', () => {
  const core = at(0);
  write(core, 'CNTV_CVAL_EL0', 10n);
  write(core, 'CNTV_CTL_EL0', 1n);
  expect(core.board.outbox).toEqual([]);
  expect(core.end).toEqual({ type: 'effect' });
  core.attention = false;
  core.board.now = nextDeadline(core)!;
  pollTimers(core);
  pollTimers(core);
  expect(core.board.outbox).toEqual([{ to: 'gicr:0', message: { type: 'irq-line', intid: 27, level: true } }]);
  expect(core.attention).toBe(true);
  write(core, 'CNTV_CTL_EL0', 3n);
  expect(core.board.outbox.at(-1)).toEqual({ to: 'gicr:0', message: { type: 'irq-line', intid: 27, level: false } });
});

test('under L0 a line that rises is seen in the block and told to nobody', () => {
  const core = at(0, { el2: 'kvm' });
  write(core, 'CNTV_CVAL_EL0', 10n);
  write(core, 'CNTV_CTL_EL0', 1n);
  core.attention = false;
  core.board.now = 160;
  pollTimers(core);
  expect([core.words[Word.TIMER_LINES], core.attention, core.board.outbox]).toEqual([2n, true, []]);
});

test('with ECV the physical timer of a guest runs through CNTPOFF_EL2, and not in the host', () => {
  const core = at(16_000);
  write(core, 'CNTHCTL_EL2', 1n << 12n);
  write(core, 'CNTPOFF_EL2', 400n);
  write(core, 'CNTP_CVAL_EL0', 700n);
  write(core, 'CNTP_CTL_EL0', 1n);
  expect([timerLines(core), nextDeadline(core)]).toEqual([0, 16 * 1100]);
  set(core, 'HCR_EL2', E2H | TGE);
  expect(timerLines(core)).toBe(1);
});

test('CNTHCTL_EL2 keeps the bits that its layout has', () => {
  const core = at(0);
  write(core, 'CNTHCTL_EL2', (1n << 64n) - 1n);
  expect(read(core, 'CNTHCTL_EL2')).toBe(0x3_f0ffn);
  set(core, 'HCR_EL2', E2H);
  write(core, 'CNTHCTL_EL2', (1n << 64n) - 1n);
  expect(read(core, 'CNTHCTL_EL2')).toBe(0x3_ffffn);
});

test('the event stream wakes WFE at the next edge of the chosen counter bit', () => {
  const core = at(16 * 21);
  expect(nextEventStreamEdge(core)).toBeUndefined();
  // EVNTEN, bit 3 of the virtual counter, rising: 8, 24, 40.
  set(core, 'CNTKCTL_EL1', (3n << 4n) | 4n);
  expect(nextEventStreamEdge(core)).toBe(16 * 24);
  set(core, 'CNTKCTL_EL1', (3n << 4n) | 12n);
  expect(nextEventStreamEdge(core)).toBe(16 * 32);
  set(core, 'CNTVOFF_EL2', 2n);
  expect(nextEventStreamEdge(core)).toBe(16 * 34);
  core.board.now = 16 * 34;
  expect(nextEventStreamEdge(core)).toBe(16 * 50);
});
