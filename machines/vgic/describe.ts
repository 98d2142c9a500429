/** The vGIC of one vCPU as text, a line a fact. */

import { interruptsInEffect } from './ap-list.ts';
import type { VgicState } from './state.ts';

export function describeVgic(state: VgicState): string[] {
  const interrupts = interruptsInEffect(state).map(({ intid, priority, pending, active }) => `${intid}@${priority}${pending ? ' pending' : ''}${active ? ' active' : ''}`);
  return [
    `context: ${state.loaded}${state.live ? ', list registers filled' : ''}`,
    `interrupts: ${interrupts.join(', ') || 'none'}`,
    ...state.used.map(({ intid, pending, active, line }, index) => `LR${index}: ${intid}${pending ? ' pending' : ''}${active ? ' active' : ''}${line < 0 ? '' : ' HW'}`),
    ...(state.overflow.length > 0 ? [`active outside list registers: ${state.overflow.join(', ')}`] : []),
    ...(state.lrMap === 0 ? [] : [`L1's list registers in the hardware: ${[...state.lrMap.toString(2)].reverse().flatMap((set, index) => (set === '1' ? [index] : [])).join(', ')}`]),
    ...state.unconfirmed.map(({ intid, expected }) => `${intid}: waits for offers with active ${expected.join(', ')}`),
    `maintenance interrupt ${state.maintenanceIntid}: ${state.maintenance ? 'high' : 'low'}`,
  ];
}
