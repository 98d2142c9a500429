/** The timeline's events as the verbs show them: numbered as positions count, with the exit and the nested exit that each belongs to. */

import type { WorldEvent } from '../actors/world.ts';
import { framesOf, worldOf } from '../snapshots/history.ts';
import { eachEvent } from '../snapshots/timeline.ts';
import type { ZenoHistory } from './session.ts';

export interface TimelineEntry {
  readonly frame: number;
  readonly timeNs: number;
  /** Of several; undefined where there is one. */
  readonly machine: number | undefined;
  /** Counted over the machines. Undefined: no vCPU's (the machine was switched off). */
  readonly vcpu: number | undefined;
  /** The level that the vCPU was at: for an exit where it was taken from, then L0 until the entry. */
  readonly level: 'L0' | 'L1' | 'L2' | undefined;
  readonly event: string;
  /** The number of the exit to L0 that this is, or that this vCPU made last: what `exit:N` means. 0: none yet. */
  readonly exit: number;
  /** As `exit`, for exits of L2: the nested exit that this is part of; 0 when the vCPU has entered L2 again since, or never was there. */
  readonly nested: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Fields that entries have by themselves, and a tracepoint's spelling of them. */
const OWN = new Set(['event', 'timeNs', 'machine', 'vcpu', 'vcpu_id', 'level', 'exit', 'nested']);

/** Names the events of the run of `history` one after the other, from its start. */
export function numbering(history: ZenoHistory): (frame: number, event: WorldEvent, vcpu: number | undefined) => TimelineEntry {
  const { several, engine: { options: { vcpus } } } = worldOf(history);
  let exits = 0;
  let nestedExits = 0;
  const lastExit = new Map<number, number>();
  const openNested = new Map<number, number>();
  const inHost = new Set<number>();
  const below = new Set<number>();
  return (frame, event, choiceVcpu) => {
    const machine = several && ((event.machine ?? 0) as number);
    // What a frame of one machine brings about at another is no vCPU's.
    const isOwn = choiceVcpu !== undefined && (machine === undefined || Math.floor(choiceVcpu / vcpus) === machine);
    const vcpu = (event.vcpu ?? event.vcpu_id ?? (isOwn ? choiceVcpu : undefined)) as number | undefined;
    const fields = Object.fromEntries(Object.entries(event).filter(([key]) => !OWN.has(key)));
    let level: TimelineEntry['level'] = vcpu === undefined ? undefined : inHost.has(vcpu) ? 'L0' : below.has(vcpu) ? 'L2' : 'L1';
    let nested = vcpu === undefined ? 0 : (openNested.get(vcpu) ?? 0);
    if (vcpu !== undefined) {
      switch (event.event) {
        case 'kvm_exit':
          lastExit.set(vcpu, ++exits);
          inHost.add(vcpu);
          level = event.level as 'L1' | 'L2';
          if (level === 'L2') {
            nested = ++nestedExits;
            openNested.set(vcpu, nested);
            below.add(vcpu);
          }
          break;
        case 'kvm_inject_nested_exception': below.delete(vcpu); break;
        case 'kvm_nested_eret': if (goesBelow(event.spsr as bigint, event.hcr as bigint)) below.add(vcpu); break;
        case 'kvm_entry':
          inHost.delete(vcpu);
          // The entry into L2 is the last event of the nested exit.
          if (below.has(vcpu)) openNested.delete(vcpu);
          level = below.has(vcpu) ? 'L2' : 'L1';
          break;
        // What vCPUs, the GIC and the serial port do by themselves keeps the level where the vCPU was.
        default: break;
      }
    }
    return { frame, timeNs: event.timeNs, machine, vcpu, level, event: event.event, exit: vcpu === undefined ? 0 : (lastExit.get(vcpu) ?? 0), nested, fields };
  };
}

const HCR_TGE = 1n << 27n;

/** Whether an ERET of virtual EL2 leaves it, and leaves a VHE host's EL0 alone. */
const goesBelow = (spsr: bigint, hcr: bigint): boolean => (spsr & 0xcn) !== 8n && !((spsr & 0xcn) === 0n && (hcr & HCR_TGE) !== 0n);

/** Calls `visit` with the entries of frames `from` to before `to` of the cursor's branch, numbered from its start, until it returns false. The cursor stays. */
export function eachEntry(history: ZenoHistory, from: number, to: number, visit: (entry: TimelineEntry) => boolean | void, progress?: (frame: number, frames: number) => void): void {
  const name = numbering(history);
  const end = Math.min(to, framesOf(history));
  eachEvent(history, 0, end, ({ frame, vcpu, event }) => {
    progress?.(frame, end);
    const entry = name(frame, event, vcpu);
    return frame < from ? undefined : visit(entry);
  });
}

/** As JSON has it: the keys that every entry has, then the event's own. */
export const entryJson = ({ frame, timeNs, machine, vcpu, level, event, exit, nested, fields }: TimelineEntry): Record<string, unknown> =>
  ({ frame, timeNs, ...(machine !== undefined && { machine }), vcpu: vcpu ?? null, level: level ?? null, event, exit, nested, ...fields });
