/** GICv2m: what a device or a PE writes there pends an SPI. */

import { expect, test } from 'vitest';
import { describeMessageFrame } from '../../../machines/gic/describe.ts';
import { receive } from '../../../machines/gic/message-frame.ts';
import { initialMessageFrame } from '../../../machines/gic/state.ts';
import type { MessageFrameMessage } from '../../../machines/messages.ts';
import { recorder } from './recorder.ts';

function stage() {
  const out = recorder();
  return { out, say: (message: MessageFrameMessage) => receive(initialMessageFrame(), message, out) };
}
const pulse = (intid: number) => [true, false].map((level) => ({ to: 'gicd', message: { type: 'irq-line', intid, level } }));

test.each<[string, number, bigint]>([['V2M_MSI_TYPER has QEMU\'s 64 SPIs from INTID 80 on', 0x008, 0x50_0040n], ['V2M_MSI_SETSPI_NS is write-only', 0x040, 0n], ['V2M_PIDR2', 0xfe8, 0x2bn]])('%s', (_, offset, value) => {
  const { out, say } = stage();
  say({ type: 'read', from: 'vcpu:1', offset, bytes: 4 });
  expect([out.sent, out.events]).toEqual([[{ to: 'vcpu:1', message: { type: 'device-reply', offset, bytes: 4, value } }], []]);
});

test.each<[string, MessageFrameMessage]>([
  ['a function', { type: 'msi', deviceId: 8, eventId: 143 }], ['a PE', { type: 'write', from: 'vcpu:0', offset: 0x40, bytes: 4, value: 143n }],
])('what %s writes there is an edge of the SPI', (_, message) => {
  const { out, say } = stage();
  say(message);
  expect(out.sent).toEqual(pulse(143));
});

test('an INTID of somebody else is lost, and told', () => {
  const { out, say } = stage();
  for (const eventId of [33, 79, 144]) say({ type: 'msi', deviceId: 8, eventId });
  expect([out.sent, out.events]).toEqual([[], [33, 79, 144].map((irq) => ({ event: 'v2m_lost_interrupt', irq }))]);
  expect(describeMessageFrame(initialMessageFrame())).toBe('GICv2m: message interrupts 80 to 143');
});
