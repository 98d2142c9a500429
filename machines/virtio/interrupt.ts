/** How a virtio device's interrupts leave it. Virtio 1.2, 2.3, 4.1.5, 4.2.3. */

import type { Out } from '../messages.ts';
import { Interrupt, NO_VECTOR, type VirtioState } from './state.ts';

/** Buffers of queue `cause` were used, or the configuration changed. */
export function raise(state: VirtioState, cause: number | 'configuration', out: Out): void {
  const { transport, index } = state;
  state.interruptStatus |= cause === 'configuration' ? Interrupt.CONFIGURATION : Interrupt.QUEUE;
  tellLine(state, out);
  if (transport.kind === 'mmio') return;
  const vector = cause === 'configuration' ? transport.configurationVector : transport.queueVectors[cause]!;
  if (vector !== NO_VECTOR) out.send('pcie', { type: 'vector', device: index, vector });
}

/** Tells about the line when it changed: it is high while the interrupt status says anything. */
export function tellLine({ transport, index, interruptStatus }: VirtioState, out: Out): void {
  const level = interruptStatus !== 0;
  if (transport.line === level) return;
  transport.line = level;
  if (transport.kind === 'mmio') out.send('gicd', { type: 'irq-line', intid: transport.intid, level });
  else out.send('pcie', { type: 'intx', device: index, level });
}
