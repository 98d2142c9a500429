/** Whether a run has to stop before an instruction: its class, or the pages and devices that it is about to touch. */

import type { Decoded } from '../decode.ts';
import type { RunEnd, Stops } from '../exit.ts';
import { elOf, type Core } from '../state.ts';
import { READ, WRITE, regimeAt, translate } from '../translate.ts';
import { probe } from './probe.ts';

const PAGE_BYTES = 4096;

/**
 * The end of the run when `stops` names the decoded instruction at PC; undefined when it may be attempted. Pages are those
 * of data accesses; instruction fetches, table walks and the VNCR page do not stop a run. Permissions are taken as
 * the privileged ones, so that a run may stop before an access that then faults, and never passes one that does not.
 */
export function stopBefore(core: Core, decoded: Decoded, stops: Stops): RunEnd | undefined {
  const stop = decoded.row?.stop;
  if (stop !== undefined && stops.classes.has(stop)) return { type: 'stop', at: stop };
  const devices = stops.classes.has('device');
  if ((!devices && stops.pages.size === 0) || !mayAccessMemory(decoded)) return undefined;
  const regime = regimeAt(core, elOf(core));
  for (const { address, bytes, kind } of probe(core, decoded)) {
    for (const va of pagesOf(address, bytes)) {
      const entry = translate(core, va, kind === 'read' ? READ : WRITE, regime, true, false, true, false, false);
      if (entry === undefined) continue;
      const page = Math.floor(entry.pa / PAGE_BYTES);
      if (stops.pages.has(page)) return { type: 'stop', at: 'page', page };
      if (devices && (entry.linear < 0 || (entry.rom && kind === 'write')) && core.board.deviceAt(entry.pa + Number(va & 0xfffn), core.index) !== undefined) return { type: 'stop', at: 'device' };
    }
  }
  return undefined;
}

/** The loads and stores group of the top-level encoding table (op0 x1x0), and SYS for DC ZVA. */
const mayAccessMemory = ({ word, row }: Decoded): boolean => (word & 0x0a00_0000) === 0x0800_0000 || row?.name === 'SYS';

/** One address in each page that `bytes` at `address` touch. */
function pagesOf(address: bigint, bytes: number): readonly bigint[] {
  const last = BigInt.asUintN(64, address + BigInt(bytes - 1));
  return address >> 12n === last >> 12n ? [address] : [address, last & ~0xfffn];
}
