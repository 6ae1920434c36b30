/**
 * A port of this host that nobody else gets while it is held: a socket that is bound to it and nothing more. Nobody can
 * connect to it, and datagrams to it are thrown away in the kernel.
 */
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import { attachFilter, bind, close, getsockname, SOCK_NONBLOCK, setsockopt, socket } from './libc.ts';
import type { Netns } from './netns.ts';
import { SOCKET_FAMILIES, socketAddress } from './socket-address.ts';
import { keep } from './socket-filter.ts';

/** include/linux/net.h. */
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;

/** include/uapi/linux/in.h and in6.h. */
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_IPV6 = 41;
const IPPROTO_SCTP = 132;
const IPV6_V6ONLY = 26;
const SOCKETS = {
  tcp: { type: SOCK_STREAM, protocol: IPPROTO_TCP },
  udp: { type: SOCK_DGRAM, protocol: IPPROTO_UDP },
  sctp: { type: SOCK_STREAM, protocol: IPPROTO_SCTP },
} as const;

export type TransportProtocol = keyof typeof SOCKETS;

export interface HeldPort extends Disposable {
  readonly port: number;
}

/**
 * @param ip unspecified for every address of its family
 * @param port 0 for a free one
 * @throws SysError EADDRINUSE when another program has it, EADDRNOTAVAIL when the address is not one of this host,
 *   EPROTONOSUPPORT where the kernel has no such protocol
 */
export function holdPort(netns: Netns, protocol: TransportProtocol, ip: Ip, port: number): HeldPort {
  const { type, protocol: number } = SOCKETS[protocol];
  const fd = netns.run(() => socket(SOCKET_FAMILIES[ip.family], type | SOCK_NONBLOCK, number));
  try {
    if (ip.family === 'ipv6') setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (protocol === 'udp') attachFilter(fd, [keep(0)]);
    bind(fd, socketAddress(ip, port));
    const bound = port === 0 ? portIn(getsockname(fd, 28)) : port;
    return { port: bound, [Symbol.dispose]: () => close(fd) };
  } catch (error) {
    close(fd);
    if (!(error instanceof SysError)) throw error;
    const path = ip.family === 'ipv4' ? `${ip}:${port}` : `[${ip}]:${port}`;
    throw new SysError(error.op ?? 'bind', error.errno, { path });
  }
}

/** struct sockaddr_in and sockaddr_in6 have it in the same place. */
const portIn = (address: Uint8Array) => new DataView(address.buffer, address.byteOffset).getUint16(2);
