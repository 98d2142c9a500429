/** Ethernet frames as a guest with the first network device's address sends them. */

import { PEER_IP, PEER_MAC } from '../../machines/virtio/echo-peer.ts';

export const OURS: readonly number[] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
export const OUR_IP: readonly number[] = [10, 0, 2, 15];

export const ethernet = (to: readonly number[], type: number, payload: readonly number[]): number[] => [...to, ...OURS, type >> 8, type & 0xff, ...payload];

/** Who has `ip`? */
export const arpRequest = (ip: readonly number[]): number[] => ethernet([255, 255, 255, 255, 255, 255], 0x0806, [0, 1, 8, 0, 6, 4, 0, 1, ...OURS, ...OUR_IP, 0, 0, 0, 0, 0, 0, ...ip]);

/** The Internet checksum of bytes (RFC 1071). */
export function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** An IPv4 datagram for the peer. */
export function datagram(protocol: number, content: readonly number[], change: (header: number[]) => void = () => {}): number[] {
  const length = 20 + content.length;
  const header = [0x45, 0, length >> 8, length & 0xff, 0, 1, 0x40, 0, 64, protocol, 0, 0, ...OUR_IP, ...PEER_IP];
  change(header);
  const sum = checksum(header);
  header[10] = sum >> 8;
  header[11] = sum & 0xff;
  return ethernet(PEER_MAC, 0x0800, [...header, ...content]);
}
