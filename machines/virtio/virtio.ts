/** A virtio device as an actor: what reaches it by its transport. Virtio 1.2. */

import type { Out, VirtioMessage } from '../messages.ts';
import type { Surroundings } from './device.ts';
import { receiveMmio } from './mmio.ts';
import type { VirtioState } from './state.ts';

/** Changes `state` in place, and RAM and disks through `surroundings`. What a driver does wrong becomes an event and DEVICE_NEEDS_RESET. */
export function receive(state: VirtioState, message: VirtioMessage, out: Out, surroundings: Surroundings): void {
  switch (message.type) {
    case 'read': case 'write': return receiveMmio(state, message, out, surroundings);
    case 'input': return;
  }
}
