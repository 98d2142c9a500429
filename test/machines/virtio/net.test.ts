/** The network device and its echo peer as a driver sees them. */

import { expect, test } from 'vitest';
import { PEER_IP, PEER_MAC } from '../../../machines/virtio/echo-peer.ts';
import { initialNet, NET_QUEUES } from '../../../machines/virtio/net.ts';
import { driver, RAM, REGISTER } from '../../support/virtio-driver.ts';
import { arpRequest, datagram, ethernet, OURS } from '../../support/frames.ts';

const [SEND, RECEIVE] = [RAM, RAM + 0x10000];
const BUFFER = 2048;

function card() {
  const d = driver(initialNet(0), NET_QUEUES);
  expect(d.negotiate(d.offered())).toBe(true);
  for (const index of [0, 1]) d.setUp(index, 128);
  d.go();
  let slot = 0;
  return {
    ...d,
    post(bytes = BUFFER): void {
      d.offer(0, d.chain(0, [slot], [{ address: RECEIVE + BUFFER * slot, bytes, write: true }]));
      slot++;
      d.notify(0);
    },
    send(frame: ArrayLike<number>): void {
      d.put(SEND, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...Array.from(frame)]);
      d.offer(1, d.chain(1, [0, 1], [{ address: SEND, bytes: 12 }, { address: SEND + 12, bytes: frame.length }]));
      d.notify(1);
    },
    received: (): number[][] => d.used(0).map(({ head, written }) => Array.from(d.bytes(RECEIVE + BUFFER * head, written))),
  };
}

test('it is device 1, with its address and a link that is up', () => {
  const d = card();
  expect([d.read(REGISTER.deviceId), ...Array.from({ length: 6 }, (_, at) => d.read(0x100 + at, 1)), d.read(0x106, 2)]).toEqual([1, ...OURS, 1]);
});

test('a frame comes back behind a header of one buffer, in a buffer that was posted', () => {
  const d = card();
  d.post();
  d.send(arpRequest(PEER_IP));
  const [answer] = d.received();
  expect(answer!.slice(0, 12)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  expect(answer!.slice(12, 24)).toEqual([...OURS, ...PEER_MAC]);
  expect([d.used(1), d.lines()]).toEqual([[{ head: 0, written: 0 }], [true]]);
});

test('answers wait for buffers, the oldest first, until there are too many', () => {
  const d = card();
  for (let number = 0; number < 70; number++) d.send(datagram(17, [0, 7, 0, number + 1, 0, 9, 0, 0, number]));
  expect(d.events().filter(({ event }) => event === 'virtio_net_lost')).toHaveLength(6);
  for (let number = 0; number < 65; number++) d.post();
  expect(d.received().map((answer) => answer.at(-1))).toEqual(Array.from({ length: 64 }, (_, number) => number));
});

test('a buffer that is too short loses its frame and no other', () => {
  const d = card();
  d.post(20);
  d.post();
  d.send(arpRequest(PEER_IP));
  d.send(arpRequest(PEER_IP));
  expect(d.received().map((answer) => answer.length)).toEqual([0, 12 + 42]);
});

test('frames of no sense go out and nowhere', () => {
  const d = card();
  d.post();
  d.send([]);
  d.send([1, 2, 3]);
  d.send(ethernet(PEER_MAC, 0x86dd, Array.from({ length: 60 }, () => 0)));
  d.offer(1, d.chain(1, [0], [{ address: SEND, bytes: 5 }]));
  d.notify(1);
  expect([d.received(), d.used(1).length, d.events().map(({ sent }) => sent)]).toEqual([[], 4, [true, true, true, false]]);
});

test('a reset empties what waits', () => {
  const d = card();
  d.send(arpRequest(PEER_IP));
  d.write(REGISTER.status, 0);
  expect(d.state.device).toMatchObject({ backlog: [] });
});
