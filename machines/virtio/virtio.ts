/** A virtio device as an actor: what reaches it by its transport. Virtio 1.2. */

import type { Out, VirtioMessage } from '../messages.ts';
import { deliver, typeAt } from './console.ts';
import { serve, type Surroundings } from './device.ts';
import type { Work } from './kind.ts';
import { receiveMmio } from './mmio.ts';
import { receivePci } from './pci.ts';
import type { ConsoleState, VirtioState } from './state.ts';

/** Changes `state` in place, and RAM and disks through `surroundings`. What a driver does wrong becomes an event and DEVICE_NEEDS_RESET. */
export function receive(state: VirtioState, message: VirtioMessage, out: Out, surroundings: Surroundings): void {
  switch (message.type) {
    case 'read': case 'write':
      if (state.transport.kind === 'mmio') return receiveMmio(state, message, out, surroundings);
      return receivePci(state, state.transport, message, out, surroundings);
    case 'bus-master':
      if (state.transport.kind === 'pci') state.transport.busMaster = message.on;
      return;
    case 'input': {
      const { device } = state;
      if (device.kind !== 'console') throw new Error(`input for virtio ${state.index}, which is no console`);
      typeAt(device, message.port, message.bytes);
      return serve(state, surroundings, out, (work) => deliver(work as Work<ConsoleState>));
    }
  }
}
