/** Socket addresses as bind(2) and sendmsg(2) take them: struct sockaddr_in and sockaddr_in6. */
import type { Family, Ip } from '../base/ip.ts';
import { HOST_IS_LITTLE } from './packet-memory.ts';

/** AF_INET and AF_INET6, include/linux/socket.h. */
export const SOCKET_FAMILIES = { ipv4: 2, ipv6: 10 } as const satisfies Record<Family, number>;

/** Offsets in struct sockaddr_in and sockaddr_in6, include/uapi/linux/in.h and in6.h. */
export const SOCKADDR = {
  ipv4: { length: 16, address: 4 },
  ipv6: { length: 28, address: 8 },
} as const;

export function socketAddress(ip: Ip, port: number): Uint8Array {
  const { length, address } = SOCKADDR[ip.family];
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, SOCKET_FAMILIES[ip.family], HOST_IS_LITTLE);
  view.setUint16(2, port);
  bytes.set(ip.bytes, address);
  return bytes;
}
