/** Whether a run has to stop before an instruction: its class, or the pages and devices that it is about to touch. */

import type { Decoded } from '../decode.ts';
import type { RunEnd, Stops } from '../exit.ts';
import type { Core } from '../state.ts';

/** The end of the run when `stops` names the decoded instruction at PC; undefined when it may be attempted. */
export function stopBefore(_core: Core, decoded: Decoded, stops: Stops): RunEnd | undefined {
  const stop = decoded.row?.stop;
  if (stop !== undefined && stops.classes.has(stop)) return { type: 'stop', at: stop };
  return undefined;
}
