/** Which machine's handler answers for an address. Every actor of the machine is in this table. */

import type { Board } from '../machines/aarch64/board.ts';
import { receive as receiveFirmwareConfiguration } from '../machines/fw-cfg/fw-cfg.ts';
import type { FirmwareItems } from '../machines/fw-cfg/items.ts';
import { receive as receiveDistributor } from '../machines/gic/distributor.ts';
import { receive as receiveRedistributor } from '../machines/gic/redistributor.ts';
import type { Behaviour } from '../machines/kvm/behaviour.ts';
import { kvmMachine } from '../machines/kvm/kvm.ts';
import type { Address, Message, Out } from '../machines/messages.ts';
import { receive as receiveGpio } from '../machines/gpio/gpio.ts';
import { receive as receiveMmu } from '../machines/mmu/mmu.ts';
import { receive as receiveRtc } from '../machines/rtc/rtc.ts';
import { receive as receiveTimer } from '../machines/timer/timer.ts';
import { receive as receiveUart } from '../machines/uart/uart.ts';
import { receive as receiveVgic } from '../machines/vgic/vgic.ts';
import { directMemory } from './direct-memory.ts';
import { receive as receiveFlash } from './flash.ts';
import { receive as receivePsci } from './psci.ts';
import { receive as receiveVcpu } from './vcpu.ts';

/** A machine's handler: it changes `state`, which is a draft, and speaks through `out`. */
export type Receive = (state: never, message: never, out: Out, board: Board) => void;

/** The part of an address before the colon. */
export const kindOf = (address: Address): string => {
  const colon = address.indexOf(':');
  return colon < 0 ? address : address.slice(0, colon);
};

/** The handlers of a machine whose L0 behaves as `behaviour` says and whose firmware finds `items`, by the kind of address. */
export function receivers(behaviour: Behaviour, items: FirmwareItems): (to: Address) => (state: unknown, message: Message, out: Out, board: Board) => void {
  const table: Readonly<Record<string, Receive>> = {
    vcpu: receiveVcpu as Receive, kvm: kvmMachine(behaviour) as Receive, vgic: receiveVgic as Receive, timer: receiveTimer as Receive,
    gicr: receiveRedistributor as Receive, gicd: receiveDistributor as Receive, mmu: receiveMmu as Receive, uart: receiveUart as Receive, psci: receivePsci as Receive,
    flash: receiveFlash as Receive, rtc: receiveRtc as Receive, gpio: receiveGpio as Receive,
    'fw-cfg': ((state, message, out, board) => receiveFirmwareConfiguration(state, message, out, directMemory(board), items)) satisfies Receive,
  };
  return (to) => {
    const receive = table[kindOf(to)];
    if (receive === undefined) throw new Error(`no machine answers for ${to}`);
    return receive as (state: unknown, message: Message, out: Out, board: Board) => void;
  };
}
