/** A virtio device as an actor: what reaches it by its transport. Virtio 1.2. */

import type { Out, VirtioMessage } from '../messages.ts';
import { deliver as deliverInput, typeAt } from './console.ts';
import { serve, type Surroundings } from './device.ts';
import type { Work } from './kind.ts';
import { receiveMmio } from './mmio.ts';
import { arrive, deliver as deliverFrames } from './net.ts';
import { receivePci } from './pci.ts';
import type { ConsoleState, NetState, VirtioState } from './state.ts';

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
      return serve(state, surroundings, out, (work) => deliverInput(work as Work<ConsoleState>));
    }
    case 'frame': {
      const { device } = state;
      if (device.kind !== 'net') throw new Error(`a frame for virtio ${state.index}, which is on no network`);
      arrive(device, state.index, message.bytes, out);
      return serve(state, surroundings, out, (work) => deliverFrames(work as Work<NetState>));
    }
  }
}
