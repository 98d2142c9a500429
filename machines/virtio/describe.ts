/** A virtio device's state as one line of text. */

import { Status, type DeviceState, type VirtioState } from './state.ts';

export function describeVirtio({ index, device, status, driverFeatures, queues, interruptStatus, transport }: VirtioState): string {
  const bits = Object.entries(Status).filter(([, bit]) => (status & bit) !== 0).map(([name]) => name);
  const ready = queues.flatMap((queue, at) => (queue.ready ? [`${at}: ${queue.taken} of ${queue.size} taken, ${queue.usedIndex} given back`] : []));
  return `virtio ${index} (${what(device)}, ${transport.kind}): ${bits.length === 0 ? 'reset' : bits.join(' ')}, features 0x${driverFeatures.toString(16)}, `
    + `queues ${ready.length === 0 ? 'none' : ready.join('; ')}, interrupt status ${interruptStatus}`;
}

function what(device: DeviceState): string {
  switch (device.kind) {
    case 'block': return `disk ${device.disk} of ${device.sectors} sectors${device.readOnly ? ', read-only' : ''}`;
    case 'console': return `console, ${device.ports.map(({ name, open, input }, port) => `port ${port}${name === '' ? '' : ` (${name})`} ${open ? 'open' : 'closed'}, ${input.length} bytes wait`).join('; ')}`;
    case 'net': return `network ${device.mac.map((byte) => byte.toString(16).padStart(2, '0')).join(':')}, ${device.backlog.length} frames wait`;
    case 'rng': return `entropy, ${device.drawn} words drawn`;
  }
}
