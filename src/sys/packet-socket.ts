/** What sockets of whole frames have in common (packet(7), include/uapi/linux/if_packet.h). */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { SOCK_NONBLOCK, socket } from './libc.ts';
import type { Netns } from './netns.ts';

/** include/linux/socket.h, include/linux/net.h. */
const AF_PACKET = 17;
const SOCK_RAW = 3;

/** struct sockaddr_ll {u16 family, be16 protocol, int ifindex, u16 hatype, u8 pkttype, u8 halen, u8 addr[8]}. */
export const SOCKADDR_LL = { size: 20, ifindex: 4, pkttype: 10 } as const;

/** It receives nothing until it is bound, so that a filter is there before the first frame. @throws SysError EPERM */
export function packetSocket(netns: Netns): number {
  return netns.run(() => socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0));
}

/** @param link its index; 0 for every link. @param protocol an EtherType, or ETH_P_ALL */
export function linkAddress(link: number, protocol: number): Uint8Array {
  const address = new Uint8Array(SOCKADDR_LL.size);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, HOST_IS_LITTLE);
  view.setUint16(2, protocol);
  view.setInt32(SOCKADDR_LL.ifindex, link, HOST_IS_LITTLE);
  return address;
}
