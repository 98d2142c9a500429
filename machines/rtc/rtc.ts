/** The PL031 real time clock: it counts virtual seconds from the date that the machine was booted with, and its match is an alarm. Arm DDI 0224. */

import type { Out, RtcMessage } from '../messages.ts';
import { RTC_REGISTERS } from './registers.ts';
import { matchNs, type RtcState } from './state.ts';

/** SPI 2, as on QEMU's virt board. */
export const RTC_INTID = 34;

/** Changes `state` in place. RTCRIS is set in the second in which RTCDR comes to equal RTCMR, masked or not; a match that is set to now is one. */
export function receive(state: RtcState, message: RtcMessage, out: Out): void {
  switch (message.type) {
    case 'read': {
      const value = registerOf(message, out)?.read?.(state, out.now) ?? 0;
      out.send(message.from, { type: 'device-reply', offset: message.offset, bytes: message.bytes, value: BigInt.asUintN(8 * message.bytes, BigInt(value)) });
      break;
    }
    case 'write': {
      const row = registerOf(message, out);
      row?.write?.(state, Number(message.value & 0xffff_ffffn), out.now);
      if (row !== undefined && MOVES_MATCH.has(row.name)) arm(state, out);
      break;
    }
    case 'alarm': state.raw = 1; break;
  }
  const line = (state.raw & state.mask) !== 0;
  if (line === state.line) return;
  state.line = line;
  out.send('gicd', { type: 'irq-line', intid: RTC_INTID, level: line });
}

/** Writes to these change when the match comes. */
const MOVES_MATCH = new Set(['RTCMR', 'RTCLR']);

/** The counter goes round in 136 years: there is one match ahead at most. */
function arm(state: RtcState, out: Out): void {
  const at = matchNs(state, out.now);
  out.alarm('match', at > out.now ? at : undefined);
  if (at === out.now) state.raw = 1;
}

/** Registers are 32 bits apart and take accesses of 1, 2 and 4 bytes at their address. */
function registerOf(message: RtcMessage & { readonly type: 'read' | 'write' }, out: Out) {
  const row = message.bytes <= 4 ? RTC_REGISTERS.find((candidate) => candidate.offset === message.offset) : undefined;
  if (row === undefined) out.event('rtc_unknown_register', { access: message.type, offset: message.offset, bytes: message.bytes });
  return row;
}
