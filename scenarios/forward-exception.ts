/** Does an exception that L1 forwards reach L2's vector, on every vCPU? */

import type { WorldEvent } from '../actors/world.ts';
import { readVncr } from '../machines/kvm/vncr.ts';
import { hex } from '../machines/bits.ts';
import type { Scenario, ZenoClaims } from './scenario.ts';

/** PSTATE after an exception to EL1: EL1h, D, A, I and F masked. */
const EL1H_MASKED = 0x3c5n;
const MODE_AND_MASKS = 0x3dfn;
const VECTORS_BYTES = 0x800n;

/**
 * Checked whenever L1 returns to L2. An exception that L1 emulates is one in the registers that it loads for L2: ELR_EL1 the
 * interrupted instruction, SPSR_EL1 the state before, PSTATE that of a handler just entered. The hardware would have gone to
 * the vector; L2 sent to the interrupted instruction itself, in the handler's state, is an exception that got lost. The World has
 * no memory of what L1 was told at the exit, so the registers are all that is looked at: an L2 whose handler branches to the
 * very instruction that trapped, without ERET, would be blamed. None of ours does. EL1 names mean what L1 keeps for its
 * guest in its VNCR page.
 */
const arrives: NonNullable<ZenoClaims['always']>[number] = {
  name: "an exception that L1 forwards arrives at L2's vector",
  check(world, frame) {
    for (const event of frame.events) {
      if (event.event !== 'kvm_nested_eret') continue;
      const wrong = lost(event, (name) => readVncr(world.engine.board, event.vcpu as number, name));
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  },
};

function lost(event: WorldEvent, virtual: (name: string) => bigint): string | undefined {
  const [elr, spsr] = [event.elr as bigint, event.spsr as bigint];
  const [interrupted, before, vectors] = [virtual('ELR_EL1'), virtual('SPSR_EL1'), virtual('VBAR_EL1')];
  const handlerState = (spsr & MODE_AND_MASKS) === EL1H_MASKED && (before & MODE_AND_MASKS) !== EL1H_MASKED;
  if (!handlerState || elr !== interrupted || (elr >= vectors && elr < vectors + VECTORS_BYTES)) return undefined;
  return `vcpu${String(event.vcpu)} returns to L2 at ${hex(elr)}, the instruction that trapped, and not to a vector at ${hex(vectors)}`;
}

const scenario: Scenario = {
  name: 'forward-exception', payload: 'forward-exception', vcpus: 2, question: "Does an exception that L1 forwards reach L2's vector, on every vCPU?",
  claims: { always: [arrives] },
};
export default scenario;
