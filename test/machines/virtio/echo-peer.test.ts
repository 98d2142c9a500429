/** The echo peer: ARP, ICMP echo and UDP come back as they should, with right sums, and nothing else does. */

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { answerTo, PEER_IP, PEER_MAC } from '../../../machines/virtio/echo-peer.ts';
import { arpRequest, checksum, datagram, ethernet, OUR_IP, OURS } from '../../support/frames.ts';

const ask = (frame: readonly number[]): number[] | undefined => { const answer = answerTo(Uint8Array.from(frame)); return answer && Array.from(answer); };

test('it says where it is to who asks for it', () => {
  expect(ask(arpRequest(PEER_IP))).toEqual([...OURS, ...PEER_MAC, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, ...PEER_MAC, ...PEER_IP, ...OURS, ...OUR_IP]);
  expect(ask(arpRequest([10, 0, 2, 3]))).toBeUndefined();
});

const payload = fc.array(fc.nat(255), { maxLength: 200 });

test('an echo request comes back as a reply with the same data, and its sums are right', () => {
  fc.assert(fc.property(payload, (data) => {
    const icmp = [8, 0, 0, 0, 0x12, 0x34, 0, 1, ...data];
    const sum = checksum(icmp);
    [icmp[2], icmp[3]] = [sum >> 8, sum & 0xff];
    const answer = ask(datagram(1, icmp))!;
    expect([answer.slice(26, 30), answer.slice(30, 34), checksum(answer.slice(14, 34)), answer[34], checksum(answer.slice(34)), answer.slice(38)]).toEqual([[...PEER_IP], [...OUR_IP], 0, 0, 0, icmp.slice(4)]);
  }));
});

test('a UDP datagram comes back from the port it went to, and its sum is right', () => {
  fc.assert(fc.property(payload, (data) => {
    const length = 8 + data.length;
    const udp = [0x30, 0x39, 0, 7, length >> 8, length & 0xff, 0, 0, ...data];
    const pseudo = (from: readonly number[], to: readonly number[]): number[] => [...from, ...to, 0, 17, length >> 8, length & 0xff];
    const sum = checksum([...pseudo(OUR_IP, PEER_IP), ...udp]);
    [udp[6], udp[7]] = [sum >> 8, sum & 0xff];
    const answer = ask(datagram(17, udp))!;
    expect([answer.slice(34, 38), checksum([...pseudo(PEER_IP, OUR_IP), ...answer.slice(34)]), answer.slice(42)]).toEqual([[0, 7, 0x30, 0x39], 0, data]);
  }));
});

test.each<[string, number[]]>([
  ['another host', ethernet([2, 0, 0, 0, 0, 1], 0x0806, arpRequest(PEER_IP).slice(14))],
  ['another address', datagram(1, [8, 0, 0, 0, 0, 0, 0, 0], (header) => { header[19] = 9; })],
  ['a reply', datagram(1, [0, 0, 0, 0, 0, 0, 0, 0])],
  ['TCP', datagram(6, Array.from({ length: 20 }, () => 0))],
  ['a fragment', datagram(17, [0, 1, 0, 2, 0, 8, 0, 0], (header) => { header[6] = 0x20; })],
  ['a length beyond the frame', datagram(17, [0, 1, 0, 2, 0, 8, 0, 0], (header) => { header[3] = 200; })],
  ['IPv6', datagram(17, [0, 1, 0, 2, 0, 8, 0, 0], (header) => { header[0] = 0x65; })],
  ['half an ARP request', arpRequest(PEER_IP).slice(0, 30)],
])('%s has no answer', (_, frame) => { expect(ask(frame)).toBeUndefined(); });

test('no bytes trouble it', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(0x0800, 0x0806, 0x86dd), (noise, type) => {
    const frame = Uint8Array.from([...PEER_MAC, ...OURS, type >> 8, type & 0xff, ...noise]);
    expect([undefined, frame.length]).toContain(answerTo(frame)?.length);
    answerTo(noise);
  }), { numRuns: 2000 });
});
