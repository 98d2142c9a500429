/** The network device, on a segment with the echo peer and the network devices of the World's other machines. Virtio 1.2, 5.1. */

import type { Out } from '../messages.ts';
import { answerTo, ETHERNET_BYTES, isPeers } from './echo-peer.ts';
import type { Kind, Work } from './kind.ts';
import { gather, lengthOf, part, scatter } from './queue.ts';
import type { NetState } from './state.ts';

const Feature = { MAC: 1n << 5n, STATUS: 1n << 16n } as const;
const RECEIVE = 0, TRANSMIT = 1;
export const NET_QUEUES = 2;
/** struct virtio_net_hdr of Virtio 1.0 and later. */
const HEADER_BYTES = 12;
/** Offset of num_buffers in it. */
const BUFFERS = 10;
/** The longest frame: 64 KiB of IP behind an Ethernet header with a VLAN tag. */
const FRAME_BYTES_MAX = 65_553;
/** Frames that wait for the driver's buffers; more are lost, as on any network. */
const BACKLOG_FRAMES = 64;
/** The link is up. */
const LINK_UP = 1;

export const net: Kind<NetState> = {
  deviceId: 1,
  features: () => Feature.MAC | Feature.STATUS,
  configuration: ({ mac }) => Uint8Array.from([...mac, LINK_UP, 0]),
  notified(work, index) {
    if (index === TRANSMIT) transmit(work);
    deliver(work);
  },
  reset(device) { device.backlog = []; },
};

/** Machine 0's has the address that QEMU gives its first. */
export const initialNet = (machine: number): NetState => ({ kind: 'net', mac: [0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + machine], backlog: [] });

/** A frame arrives from the segment or the peer: it waits for the driver to take it, where there is room. */
export function arrive(device: NetState, index: number, frame: Uint8Array, out: Out): void {
  if (device.backlog.length >= BACKLOG_FRAMES) lose(index, frame.length, 'nobody takes what waits already', out);
  else device.backlog.push([...frame]);
}

function transmit(work: Work<NetState>): void {
  const { device, out } = work;
  for (let chain = work.take(TRANSMIT); chain !== undefined; chain = work.take(TRANSMIT)) {
    const bytes = lengthOf(chain.readable) - HEADER_BYTES;
    const frame = bytes < 0 || bytes > FRAME_BYTES_MAX ? undefined : gather(work.memory, part(chain.readable, HEADER_BYTES));
    work.give(TRANSMIT, chain, 0);
    out.event('virtio_net_transmit', { device: work.index, bytes, sent: frame !== undefined });
    if (frame === undefined || frame.length < ETHERNET_BYTES) continue;
    if (!isPeers(frame)) out.send('lan', { type: 'frame', bytes: frame });
    const answer = answerTo(frame);
    if (answer !== undefined) arrive(device, work.index, answer, out);
  }
}

/** Gives the driver what waits, as long as it has buffers. */
export function deliver(work: Work<NetState>): void {
  const { device, out, index } = work;
  while (device.backlog.length > 0) {
    const chain = work.take(RECEIVE);
    if (chain === undefined) return;
    const frame = device.backlog.shift()!;
    const bytes = new Uint8Array(HEADER_BYTES + frame.length);
    bytes[BUFFERS] = 1;
    bytes.set(frame, HEADER_BYTES);
    const fits = bytes.length <= lengthOf(chain.writable);
    if (fits) {
      scatter(work.memory, chain.writable, bytes);
      out.event('virtio_net_receive', { device: index, bytes: frame.length });
    } else lose(index, frame.length, 'the buffer for it is too short', out);
    work.give(RECEIVE, chain, fits ? bytes.length : 0);
  }
}

const lose = (index: number, bytes: number, why: string, out: Out): void => out.event('virtio_net_lost', { device: index, bytes, why });
