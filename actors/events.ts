/** Making timeline events out of what cores and machines report, and naming what positions count. */

import { levelOf } from '../machines/kvm/fault.ts';
import type { KvmState } from '../machines/kvm/state.ts';
import type { Engine, WorldEvent, WorldState } from './world.ts';

/** The level at which vCPU `index` runs: L1 and L2 under L0, else by what the board gives guests. */
export function levelNow(engine: Engine, state: Pick<WorldState, 'actors'>, index: number): 'L1' | 'L2' {
  if (engine.options.el2 !== 'kvm') return 'L1';
  return levelOf(state.actors[`kvm:${index}`] as KvmState, engine.board);
}

/** The names that positions count for an event: `exit:N`, `nested:N`, `irq:27#N`. */
export function landmarks(event: WorldEvent): readonly string[] {
  switch (event.event) {
    case 'kvm_exit': return event.level === 'L2' ? ['exit', 'nested'] : ['exit'];
    case 'vgic_update_irq_pending': return [`irq:${String(event.irq)}`];
    default: return [];
  }
}
