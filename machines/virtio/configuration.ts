/** A device's own configuration space, which takes accesses of any size. Virtio 1.2, 2.5. */

import type { Out } from '../messages.ts';
import { kindOf } from './device.ts';
import type { VirtioState } from './state.ts';

/** Zero beyond its end. */
export function readConfiguration({ device }: VirtioState, offset: number, bytes: number): bigint {
  const all = kindOf(device).configuration(device);
  let value = 0n;
  for (let index = bytes - 1; index >= 0; index--) value = (value << 8n) | BigInt(all[offset + index] ?? 0);
  return value;
}

export function writeConfiguration({ device }: VirtioState, offset: number, bytes: number, value: bigint, out: Out): void {
  for (let index = 0; index < bytes; index++) kindOf(device).configure?.(device, offset + index, Number((value >> BigInt(8 * index)) & 0xffn), out);
}
