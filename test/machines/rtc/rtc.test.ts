/** The real time clock: what a guest driver sees as virtual time goes by. */

import { expect, test } from 'vitest';
import { describeRtc } from '../../../machines/rtc/describe.ts';
import { receive } from '../../../machines/rtc/rtc.ts';
import { initialRtc, rtcFaults } from '../../../machines/rtc/state.ts';
import type { RtcMessage } from '../../../machines/messages.ts';
import { recorder } from '../gic/recorder.ts';

const DR = 0, MR = 4, LR = 8, CR = 0xc, IMSC = 0x10, RIS = 0x14, MIS = 0x18, ICR = 0x1c;
const SECOND = 1e9;

function clock(dateSeconds: number) {
  const state = initialRtc(dateSeconds);
  const kept = recorder();
  let now = 0;
  let alarm: number | undefined;
  const say = (message: RtcMessage): void => {
    receive(state, message, { ...kept, now, alarm: (name, deadline) => { expect(name).toBe('match'); alarm = deadline; } });
    expect(rtcFaults(state)).toEqual([]);
  };
  return {
    state,
    alarm: () => alarm,
    advance: (ns: number) => {
      now += ns;
      if (alarm === undefined || now < alarm) return;
      alarm = undefined;
      say({ type: 'alarm', name: 'match' });
    },
    write: (offset: number, value: number) => say({ type: 'write', from: 'vcpu:0', offset, bytes: 4, value: BigInt(value) }),
    read: (offset: number, bytes = 4): number => {
      say({ type: 'read', from: 'vcpu:0', offset, bytes });
      return Number(kept.sent.splice(kept.sent.findIndex(({ to }) => to === 'vcpu:0'), 1)[0]!.message['value']);
    },
    lines: () => kept.take().map(({ to, message }) => [to, message['intid'], message['level']]),
    events: kept.events,
  };
}

test('it counts virtual seconds from the date of boot, and from what is written to it', () => {
  const rtc = clock(1000);
  expect(rtc.read(DR)).toBe(1000);
  rtc.advance(2.5 * SECOND);
  expect(rtc.read(DR)).toBe(1002);
  rtc.write(LR, 0xffff_ffff);
  expect([rtc.read(DR), rtc.read(LR)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  rtc.advance(SECOND);
  expect(rtc.read(DR)).toBe(0);
  rtc.write(CR, 0);
  expect(rtc.read(CR)).toBe(1);
});

test('the line rises in the second that was asked for, and falls when it is cleared', () => {
  const rtc = clock(1000);
  rtc.write(IMSC, 1);
  rtc.advance(0.5 * SECOND);
  rtc.write(MR, 1003);
  expect(rtc.alarm()).toBe(3 * SECOND);
  rtc.advance(2.5 * SECOND - 1);
  expect([rtc.read(RIS), rtc.lines()]).toEqual([0, []]);
  rtc.advance(1);
  expect([rtc.lines(), rtc.read(DR), rtc.read(RIS), rtc.read(MIS)]).toEqual([[['gicd', 34, true]], 1003, 1, 1]);
  rtc.write(ICR, 1);
  expect([rtc.lines(), rtc.read(RIS)]).toEqual([[['gicd', 34, false]], 0]);
});

test('a match that is set to now is one, a masked one is kept from the line, and setting the clock moves it', () => {
  const rtc = clock(1000);
  rtc.write(MR, 1000);
  expect([rtc.read(RIS), rtc.read(MIS), rtc.lines(), rtc.alarm()]).toEqual([1, 0, [], undefined]);
  rtc.write(IMSC, 1);
  expect(rtc.lines()).toEqual([['gicd', 34, true]]);
  rtc.write(ICR, 1);
  rtc.write(MR, 1010);
  rtc.write(LR, 1008);
  expect(rtc.alarm()).toBe(2 * SECOND);
  expect(describeRtc(rtc.state, 0)).toBe('RTC: 1008 s since 1970, match at 1010, raised 0, unmasked 1, line low');
});

test('it says that it is a PL031, and what is no register reads as zero and is told', () => {
  const rtc = clock(0);
  expect([0xfe0, 0xfe4, 0xfe8, 0xfec, 0xff0, 0xff4, 0xff8, 0xffc].map((offset) => rtc.read(offset))).toEqual([0x31, 0x10, 4, 0, 0xd, 0xf0, 5, 0xb1]);
  expect(rtc.read(0x20)).toBe(0);
  expect(rtc.events).toEqual([{ event: 'rtc_unknown_register', access: 'read', offset: 0x20, bytes: 4 }]);
});
