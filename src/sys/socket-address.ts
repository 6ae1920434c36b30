/** Socket addresses as bind(2), sendmsg(2) and recvfrom(2) have them: struct sockaddr_in, sockaddr_in6 and sockaddr_un. */
import { HOST_IS_LITTLE } from '../base/bytes.ts';
import { type Family, Ip } from '../base/ip.ts';

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

/** The IP address in one that the kernel has filled in; of one of the two families. */
export function addressIn(bytes: Uint8Array): Ip {
  const family = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0, HOST_IS_LITTLE);
  const isIpv4 = family === SOCKET_FAMILIES.ipv4;
  const { address } = SOCKADDR[isIpv4 ? 'ipv4' : 'ipv6'];
  return Ip.fromBytes(bytes.slice(address, address + (isIpv4 ? 4 : 16)));
}

/** include/linux/socket.h. */
export const AF_UNIX = 1;

/** sizeof(sun_path), include/uapi/linux/un.h. */
const MAX_PATH = 108;

/**
 * struct sockaddr_un: family, path. A leading `@` is an abstract name, written with a zero byte. Undefined for a path that
 * is relative, or longer than the kernel takes.
 */
export function unixAddress(path: string): Uint8Array | undefined {
  const bytes = new TextEncoder().encode(path);
  if (!/^[/@]./.test(path) || bytes.byteLength >= MAX_PATH) return undefined;
  const abstract = path.startsWith('@');
  const address = new Uint8Array(2 + bytes.byteLength + (abstract ? 0 : 1));
  new DataView(address.buffer).setUint16(0, AF_UNIX, HOST_IS_LITTLE);
  address.set(bytes, 2);
  if (abstract) address[2] = 0;
  return address;
}
