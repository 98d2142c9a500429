/** GICv2m: a frame through which devices pend SPIs by writing their INTIDs, for want of an ITS. Arm Server Base System Architecture, appendix on GICv2m. */

import type { MessageFrameMessage, Out } from '../messages.ts';
import { answerRead, checked, identification, IIDR, register, rowOf, type Register } from './registers.ts';
import type { MessageFrameState } from './state.ts';

/** Write-only: the INTID of the SPI to pend. */
export const SETSPI = 0x040;
const INTID = 0x3ff;

const ROWS: readonly Register<MessageFrameState>[] = checked([
  register('V2M_MSI_TYPER', 0x008, ({ firstIntid, count }) => BigInt((firstIntid << 16) | count)),
  { name: 'V2M_MSI_SETSPI_NS', offset: SETSPI, unit: 4, count: 1, sizes: [2, 4] },
  register('V2M_MSI_IIDR', 0xfcc, () => BigInt(IIDR)),
  identification('V2M_PIDR<n>', 0xfd0, 2),
]);

export function receive(state: MessageFrameState, message: MessageFrameMessage, out: Out): void {
  switch (message.type) {
    case 'read':
      answerRead(ROWS, 'V2M', state, message, out);
      return;
    case 'write':
      if (rowOf(ROWS, 'V2M', message, out)?.offset === SETSPI) pulse(state, Number(message.value) & INTID, out);
      return;
    case 'msi':
      pulse(state, message.eventId & INTID, out);
      return;
  }
}

/** The line goes up and down again, which an edge-triggered SPI keeps. An INTID that is not the frame's is ignored. */
function pulse({ firstIntid, count }: MessageFrameState, intid: number, out: Out): void {
  if (intid < firstIntid || intid >= firstIntid + count) {
    out.event('v2m_lost_interrupt', { irq: intid });
    return;
  }
  for (const level of [true, false]) out.send('gicd', { type: 'irq-line', intid, level });
}
