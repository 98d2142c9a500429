/** An `Out` that keeps what a machine says, and memory for its DMA, for tests of one machine. */

import type { DirectMemory, Out } from '../../../machines/messages.ts';

export interface Recorder extends Out {
  readonly sent: { readonly to: string; readonly message: { readonly type: string; readonly [field: string]: unknown } }[];
  readonly events: { readonly event: string; readonly [field: string]: unknown }[];
  /** What was sent since the last call. */
  take(): Recorder['sent'];
}

export function recorder(): Recorder {
  const sent: Recorder['sent'] = [];
  const events: Recorder['events'] = [];
  return {
    now: 0, sent, events,
    send: (to, message) => { sent.push({ to, message: message as unknown as Recorder['sent'][number]['message'] }); },
    alarm: () => { throw new Error('no alarm was expected'); },
    event: (event, fields) => { events.push({ event, ...fields }); },
    take: () => sent.splice(0),
  };
}

/** `bytes` of RAM from physical address `base`, zero. */
export function flatMemory(base: number, bytes: number): DirectMemory & { readonly bytes: Uint8Array; readonly view: DataView } {
  const ram = new Uint8Array(bytes);
  const holds = (pa: number, length: number): boolean => pa >= base && pa + length <= base + bytes;
  return {
    bytes: ram, view: new DataView(ram.buffer),
    read: (pa, length) => (holds(pa, length) ? ram.slice(pa - base, pa - base + length) : undefined),
    write: (pa, what) => {
      if (holds(pa, what.length)) ram.set(what, pa - base);
      return holds(pa, what.length);
    },
  };
}

export const noMemory: DirectMemory = flatMemory(0, 0);
