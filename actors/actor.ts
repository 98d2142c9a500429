/** Which machine's handler answers for an address. Every actor of the machine is in this table. */

import type { Board } from '../machines/aarch64/board.ts';
import { receive as receiveFirmwareConfiguration } from '../machines/fw-cfg/fw-cfg.ts';
import type { FirmwareItems } from '../machines/fw-cfg/items.ts';
import { receive as receiveDistributor } from '../machines/gic/distributor.ts';
import { receive as receiveIts } from '../machines/gic/its.ts';
import { receive as receiveMessageFrame } from '../machines/gic/message-frame.ts';
import { receive as receiveRedistributor } from '../machines/gic/redistributor.ts';
import type { Behaviour } from '../machines/kvm/behaviour.ts';
import { kvmMachine } from '../machines/kvm/kvm.ts';
import { receive as receiveGpio } from '../machines/gpio/gpio.ts';
import type { Address, DirectMemory, Message, Out, PcieMessage, VirtioMessage } from '../machines/messages.ts';
import { receive as receiveMmu } from '../machines/mmu/mmu.ts';
import { receive as receivePcie } from '../machines/pci/pcie.ts';
import type { PcieState } from '../machines/pci/state.ts';
import { receive as receiveRtc } from '../machines/rtc/rtc.ts';
import { receive as receiveTimer } from '../machines/timer/timer.ts';
import { receive as receiveUart } from '../machines/uart/uart.ts';
import { receive as receiveVgic } from '../machines/vgic/vgic.ts';
import type { Surroundings } from '../machines/virtio/device.ts';
import { receiveEmpty } from '../machines/virtio/mmio.ts';
import type { VirtioState } from '../machines/virtio/state.ts';
import { receive as receiveVirtio } from '../machines/virtio/virtio.ts';
import { receive as receiveFlash } from './flash.ts';
import { receive as receivePsci } from './psci.ts';
import { receive as receiveVcpu } from './vcpu.ts';

/** A machine's handler: it changes `state`, which is a draft or a copy, and speaks through `out`. */
export type Receive = (state: never, message: never, out: Out, board: Board) => void;

/** The part of an address before the colon. */
export const kindOf = (address: Address): string => {
  const colon = address.indexOf(':');
  return colon < 0 ? address : address.slice(0, colon);
};

/** Actors that have messages all the time and states of no more than some dozens of values: a copy costs less than a draft (docs/decisions/0001-immer.md). */
const SMALL: ReadonlySet<string> = new Set(['uart', 'vcpu', 'kvm', 'vgic', 'timer']);
export const isSmall = (to: Address): boolean => SMALL.has(kindOf(to));

/** A state that may be changed in place. */
export function copyOf(state: unknown): unknown {
  if (typeof state !== 'object' || state === null) return state;
  if (Array.isArray(state)) return state.map(copyOf);
  const copy = { ...(state as Record<string, unknown>) };
  for (const key in copy) if (typeof copy[key] === 'object') copy[key] = copyOf(copy[key]);
  return copy;
}

/**
 * The handlers of a machine whose L0 behaves as `behaviour` says and whose firmware finds `items`, by the kind of address. `surroundings`: what
 * devices that master the bus reach.
 */
export function receivers(behaviour: Behaviour, surroundings: Surroundings, items: FirmwareItems): (to: Address) => (state: unknown, message: Message, out: Out, board: Board) => void {
  const { memory } = surroundings;
  const withMemory = (receive: (state: never, message: never, out: Out, memory: DirectMemory) => void): Receive => (state, message, out) => receive(state, message, out, memory);
  const table: Readonly<Record<string, Receive>> = {
    vcpu: receiveVcpu as Receive, kvm: kvmMachine(behaviour) as Receive, vgic: receiveVgic as Receive, timer: receiveTimer as Receive,
    gicr: withMemory(receiveRedistributor as never), gicd: receiveDistributor as Receive, its: withMemory(receiveIts as never), v2m: receiveMessageFrame as Receive, mmu: receiveMmu as Receive, uart: receiveUart as Receive, psci: receivePsci as Receive,
    flash: receiveFlash as Receive, rtc: receiveRtc as Receive, gpio: receiveGpio as Receive,
    'fw-cfg': ((state, message, out) => receiveFirmwareConfiguration(state, message, out, memory, items)) satisfies Receive,
    virtio: ((state: VirtioState, message: VirtioMessage, out) => receiveVirtio(state, message, out, surroundings)) as Receive, 'virtio-empty': receiveEmpty as Receive,
    pcie: ((state: PcieState, message: PcieMessage, out) => receivePcie(state, message, out, memory)) as Receive,
  };
  return (to) => {
    const receive = table[kindOf(to)];
    if (receive === undefined) throw new Error(`no machine answers for ${to}`);
    return receive as (state: unknown, message: Message, out: Out, board: Board) => void;
  };
}
