/** The GIC's state as text: one line a frame, then one line an interrupt that is set up or not at rest. */

import { hex } from '../bits.ts';
import { pendingBits } from './bank.ts';
import { routedToAny } from './registers.ts';
import { queueBytes, type Bank, type DistributorState, type ItsState, type MessageFrameState, type RedistributorState } from './state.ts';

export function describeDistributor(state: DistributorState): string {
  const lines = [`GICD: ${state.vcpus} PEs, ${state.spis} SPIs, Group 0 ${onOff(state.enables & 1)}, Group 1 ${onOff(state.enables & 2)}`];
  for (const [position, bank] of state.banks.entries()) {
    lines.push(...describeBank(bank, 32 * (position + 1), (intid) => {
      const holder = state.activeOn[intid - 32]!;
      return `to ${destination(state, intid)}${holder < 0 ? '' : `, held by PE ${holder}`}`;
    }));
  }
  return lines.join('\n');
}

function destination({ routes, targets }: DistributorState, intid: number): string {
  if (targets !== undefined) return pes(targets[intid - 32]!);
  const route = routes[intid - 32]!;
  return routedToAny(route) ? 'any PE' : `affinity ${hex(route)}`;
}

/** A bit a PE, in words. */
function pes(bits: number): string {
  const named = Array.from({ length: 8 }, (_, pe) => pe).filter((pe) => (bits & (1 << pe)) !== 0);
  return named.length === 0 ? 'nobody' : `PE ${named.join(' and ')}`;
}

export const describeMessageFrame = ({ firstIntid, count }: MessageFrameState): string => `GICv2m: message interrupts ${firstIntid} to ${firstIntid + count - 1}`;

export function describeRedistributor(state: RedistributorState): string {
  const offered = state.offered.map((interrupt) => `${interrupt.intid}${interrupt.active ? ' active' : ''}`).join(', ');
  const offers = `offers ${offered === '' ? 'nothing' : offered} to ${state.listener}`;
  const { sources } = state;
  if (sources !== undefined) return [`GICD for PE ${state.index}: ${offers}`, ...describeBank(state.bank, 0, (intid) => ((sources[intid] ?? 0) === 0 ? '' : `from ${pes(sources[intid]!)}`))].join('\n');
  return [
    `GICR ${state.index}: ${state.asleep ? 'asleep' : 'awake'}, ${offers}`,
    ...describeBank(state.bank, 0, () => ''),
    `  LPIs ${state.lpisEnabled ? 'enabled' : 'disabled'}, configuration at ${hex(state.propbaser & ADDRESS)}, pending table at ${hex(state.pendbaser & ADDRESS)}`,
    ...state.lpis.map(({ intid, enabled, priority }) => `  ${intid}: pending, ${enabled ? 'enabled' : 'disabled'}, Group 1, priority ${hex(priority, 2)}, edge`),
  ].join('\n');
}

const ADDRESS = 0x000f_ffff_ffff_f000n;

export function describeIts(state: ItsState): string {
  const bytes = queueBytes(state.cbaser);
  return [
    `ITS: ${state.enabled ? 'on' : 'off'}${state.stalled ? ', stalled' : ''}`,
    bytes === 0 ? '  no command queue' : `  command queue: ${bytes / 32} commands at ${hex(state.cbaser & ADDRESS)}, carried out to ${hex(state.creadr)}, written to ${hex(state.cwriter)}`,
    ...state.basers.map((baser, index) => `  ${index === 0 ? 'device' : 'collection'} table: ${baser >> 63n === 0n ? 'none' : `GITS_BASER${index} ${hex(baser, 16)}${(baser & (1n << 62n)) === 0n ? '' : ', two levels'}`}`),
  ].join('\n');
}

/** The state of one interrupt by the name that the architecture gives it. */
export function lifecycle(bank: Bank, index: number): 'inactive' | 'pending' | 'active' | 'active and pending' {
  const pending = (pendingBits(bank) & (1 << index)) !== 0;
  if ((bank.active & (1 << index)) === 0) return pending ? 'pending' : 'inactive';
  return pending ? 'active and pending' : 'active';
}

const onOff = (bit: number): string => (bit === 0 ? 'off' : 'on');

function describeBank(bank: Bank, first: number, more: (intid: number) => string): string[] {
  const lines: string[] = [];
  for (let index = 0; index < 32; index++) {
    const enabled = (bank.enabled & (1 << index)) !== 0;
    const state = lifecycle(bank, index);
    if (!enabled && state === 'inactive') continue;
    const parts = [
      state, enabled ? 'enabled' : 'disabled', `Group ${(bank.group >>> index) & 1}`, `priority ${hex(bank.priorities[index]!, 2)}`,
      ((bank.edge >>> index) & 1) === 0 ? `level ${((bank.line >>> index) & 1) === 0 ? 'low' : 'high'}` : 'edge', more(first + index),
    ];
    lines.push(`  ${first + index}: ${parts.filter((part) => part !== '').join(', ')}`);
  }
  return lines;
}
