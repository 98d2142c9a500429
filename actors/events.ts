/** Making timeline events out of what cores and machines report, and naming what positions count. */

import { levelOf } from '../machines/kvm/fault.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import type { Engine, MachineOptions, WorldEvent, WorldState } from './world.ts';

/** The level at which vCPU `index` runs: L1 and L2 under L0, else by what the board gives guests. */
export function levelNow(engine: Engine, state: Pick<WorldState, 'actors'>, index: number): 'L1' | 'L2' {
  if (engine.options.el2 !== 'kvm') return 'L1';
  return levelOf(state.actors[`kvm:${index}`] as KvmState, engine.board);
}

/** How a World calls a console of its machine `machine`: those of machine 0 have their names alone. */
export const consoleName = (name: string, machine: number): string => (machine === 0 ? name : `${machine}:${name}`);

/** A machine's event as its World tells it: it says which machine's it is but for machine 0, and vCPUs count over the machines. */
export function ofMachine<Event extends { readonly event: string; readonly [field: string]: unknown }>(event: Event, { machine, vcpus }: MachineOptions): Event {
  if (machine === 0) return event;
  const told: Record<string, unknown> = { ...event, machine };
  const first = machine * vcpus;
  for (const field of VCPU_FIELDS) if (typeof event[field] === 'number') told[field] = event[field] + first;
  if (Array.isArray(event.targets)) told.targets = event.targets.map((vcpu: number) => vcpu + first);
  if (typeof event.console === 'string') told.console = consoleName(event.console, machine);
  return told as Event;
}
const VCPU_FIELDS = ['vcpu', 'vcpu_id'] as const;

/** The names that positions count for an event: `exit:N`, `nested:N`, `irq:27#N`. */
export function landmarks(event: WorldEvent): readonly string[] {
  switch (event.event) {
    case 'kvm_exit': return event.level === 'L2' ? ['exit', 'nested'] : ['exit'];
    case 'vgic_update_irq_pending': return [`irq:${String(event.irq)}`];
    default: return [];
  }
}
