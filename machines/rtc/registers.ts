/** The PL031's registers as rows: offset, what a read gives and a write does. Arm DDI 0224, chapter 3. */

import { secondsAt, setSeconds, type RtcState } from './state.ts';

export interface RtcRegister {
  readonly name: string;
  readonly offset: number;
  /** Absent: reads as zero. */
  readonly read?: (state: RtcState, nowNs: number) => number;
  /** Absent: writes are ignored. */
  readonly write?: (state: RtcState, value: number, nowNs: number) => void;
}

const constant = (name: string, offset: number, value: number): RtcRegister => ({ name, offset, read: () => value });

export const RTC_REGISTERS: readonly RtcRegister[] = [
  { name: 'RTCDR', offset: 0x000, read: secondsAt },
  { name: 'RTCMR', offset: 0x004, read: (state) => state.match, write: (state, value) => { state.match = value; } },
  {
    name: 'RTCLR', offset: 0x008, read: (state) => state.load,
    write: (state, value, nowNs) => {
      state.load = value;
      setSeconds(state, value, nowNs);
    },
  },
  // Once enabled it stays enabled, and our board's is from the start, as QEMU's.
  constant('RTCCR', 0x00c, 1),
  { name: 'RTCIMSC', offset: 0x010, read: (state) => state.mask, write: (state, value) => { state.mask = value & 1; } },
  { name: 'RTCRIS', offset: 0x014, read: (state) => state.raw },
  { name: 'RTCMIS', offset: 0x018, read: (state) => state.raw & state.mask },
  { name: 'RTCICR', offset: 0x01c, write: (state, value) => { if ((value & 1) !== 0) state.raw = 0; } },
  // Part 0x031, designer Arm, revision 0; then the component's preamble.
  ...[0x31, 0x10, 0x04, 0x00].map((value, index) => constant(`RTCPeriphID${index}`, 0xfe0 + 4 * index, value)),
  ...[0x0d, 0xf0, 0x05, 0xb1].map((value, index) => constant(`RTCPCellID${index}`, 0xff0 + 4 * index, value)),
];
