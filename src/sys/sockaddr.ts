/** Addresses of IP sockets as the kernel reads and writes them. */
import { endianness } from 'node:os';
import { Ip } from '../base/ip.ts';

/** AF_INET and AF_INET6, include/linux/socket.h. */
export const ADDRESS_FAMILIES = { ipv4: 2, ipv6: 10 } as const;

/** struct sockaddr_in6, the longer of the two. */
export const SOCKADDR_SIZE = 28;

const HOST_IS_LITTLE = endianness() === 'LE';

export interface Endpoint {
  readonly ip: Ip;
  readonly port: number;
}

/** struct sockaddr_in or sockaddr_in6: include/uapi/linux/in.h, in6.h. */
export function sockaddrOf({ ip, port }: Endpoint): Uint8Array {
  const isIpv4 = ip.family === 'ipv4';
  const bytes = new Uint8Array(isIpv4 ? 16 : SOCKADDR_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, ADDRESS_FAMILIES[ip.family], HOST_IS_LITTLE);
  view.setUint16(2, port);
  bytes.set(ip.bytes, isIpv4 ? 4 : 8);
  return bytes;
}

/** @param bytes as the kernel filled them in; of one of the two families. */
export function endpointOf(bytes: Uint8Array): Endpoint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isIpv4 = view.getUint16(0, HOST_IS_LITTLE) === ADDRESS_FAMILIES.ipv4;
  return { ip: Ip.fromBytes(isIpv4 ? bytes.slice(4, 8) : bytes.slice(8, 24)), port: view.getUint16(2) };
}
