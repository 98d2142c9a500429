/** An `Out` that keeps what a machine says, for tests of one machine. */

import type { Out } from '../../../machines/messages.ts';

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
