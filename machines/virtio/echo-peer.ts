/** The host that is on every network: it answers ARP, echoes ICMP and sends UDP datagrams back. RFC 826, 791, 792, 768. */

/** Locally administered. */
export const PEER_MAC: readonly number[] = [0x5a, 0x45, 0x4e, 0x4f, 0x00, 0x01];
/** 10.0.2.2, where QEMU's own network has its gateway. */
export const PEER_IP: readonly number[] = [10, 0, 2, 2];

/** Of the header: addresses and type. */
export const ETHERNET_BYTES = 14;
const ARP_BYTES = 28;
const BROADCAST: readonly number[] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const EtherType = { IPV4: 0x0800, ARP: 0x0806 } as const;
const Protocol = { ICMP: 1, UDP: 17 } as const;
const UDP_HEADER_BYTES = 8;

/** Whether a frame of a header at least is for the peer and nobody else. */
export const isPeers = (frame: Uint8Array): boolean => equal(frame, PEER_MAC);

/** The peer's answer to an Ethernet frame, or undefined when it has none. */
export function answerTo(frame: Uint8Array): Uint8Array | undefined {
  if (frame.length < ETHERNET_BYTES) return undefined;
  const to = frame.subarray(0, 6);
  if (!equal(to, PEER_MAC) && !equal(to, BROADCAST)) return undefined;
  const answer = frame.slice();
  answer.set(frame.subarray(6, 12), 0);
  answer.set(PEER_MAC, 6);
  const payload = answer.subarray(ETHERNET_BYTES);
  const etherType = half(frame, 12);
  if (etherType === EtherType.ARP) return answerArp(payload) ? answer : undefined;
  if (etherType !== EtherType.IPV4) return undefined;
  return answerIp(payload) ? answer : undefined;
}

/** A request for the peer's address becomes its reply, in place. */
function answerArp(arp: Uint8Array): boolean {
  // Ethernet, IPv4, their address lengths, and a request.
  if (arp.length < ARP_BYTES || half(arp, 0) !== 1 || half(arp, 2) !== EtherType.IPV4 || half(arp, 4) !== 0x0604 || half(arp, 6) !== 1 || !equal(arp.subarray(24, 28), PEER_IP)) return false;
  arp[7] = 2;
  arp.copyWithin(18, 8, 18);
  arp.set(PEER_MAC, 8);
  arp.set(PEER_IP, 14);
  return true;
}

/** A datagram for the peer becomes its answer, in place. Sums stand as they are where addresses and ports only change places. */
function answerIp(ip: Uint8Array): boolean {
  const header = 4 * (ip[0]! & 0xf);
  if (ip.length < 20 || ip[0]! >> 4 !== 4 || header < 20 || half(ip, 2) > ip.length || half(ip, 2) < header || !equal(ip.subarray(16, 20), PEER_IP)) return false;
  // A fragment is not put together.
  if ((half(ip, 6) & 0x3fff) !== 0) return false;
  ip.copyWithin(16, 12, 16);
  ip.set(PEER_IP, 12);
  const content = ip.subarray(header, half(ip, 2));
  switch (ip[9]) {
    case Protocol.ICMP: return answerEcho(content);
    case Protocol.UDP: {
      if (content.length < UDP_HEADER_BYTES) return false;
      const ports = content.slice(0, 4);
      content.set(ports.subarray(2), 0);
      content.set(ports.subarray(0, 2), 2);
      return true;
    }
    default: return false;
  }
}

function answerEcho(icmp: Uint8Array): boolean {
  if (icmp.length < 8 || icmp[0] !== 8 || icmp[1] !== 0) return false;
  // The type goes from 8 to 0, so that the sum's complement grows by as much (RFC 1624).
  const sum = half(icmp, 2) + 0x0800;
  const folded = (sum & 0xffff) + (sum >> 16);
  icmp[0] = 0;
  icmp[2] = folded >> 8;
  icmp[3] = folded & 0xff;
  return true;
}

const half = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
const equal = (bytes: Uint8Array, expected: readonly number[]): boolean => expected.every((byte, at) => bytes[at] === byte);
