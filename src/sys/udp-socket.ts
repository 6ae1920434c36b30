/** UDP sockets of the packet path: non-blocking descriptors, with batching in the kernel where it has that (udp(7)). */
import { isCode } from '../base/errors.ts';
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import { bind, close, SOCK_NONBLOCK, setsockopt, socket } from './libc.ts';
import { SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** include/linux/socket.h. */
const SOCK_DGRAM = 2;

/** include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;

/** include/uapi/linux/in6.h and udp.h. */
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SOL_UDP = 17;
const UDP_GRO = 104;

/** Only what is queued takes memory; a burst of some super-packets fits. */
const BUFFER = 8 << 20;

export interface UdpOptions {
  /** Let the kernel hand over many datagrams of one sender as one message (UDP_GRO, since Linux 5.0). */
  readonly gro?: boolean;
}

/** @returns a descriptor bound to the address; an IPv6 socket is for IPv6 alone. @throws SysError EADDRINUSE, ... */
export function openUdpSocket(ip: Ip, port: number, { gro = false }: UdpOptions = {}): number {
  const fd = socket(SOCKET_FAMILIES[ip.family], SOCK_DGRAM | SOCK_NONBLOCK, 0);
  try {
    if (ip.family === 'ipv6') setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (gro) optional(() => setsockopt(fd, SOL_UDP, UDP_GRO, 1), 'ENOPROTOOPT');
    for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE])
      optional(() => setsockopt(fd, SOL_SOCKET, option, BUFFER), 'EPERM');
    bindTo(fd, ip, port);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

const BIND_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there: see `ss -lunp`',
  EADDRNOTAVAIL: 'the address must be one of this host',
};

function bindTo(fd: number, ip: Ip, port: number): void {
  try {
    bind(fd, socketAddress(ip, port));
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const hint = BIND_HINTS[error.code];
    const path = ip.family === 'ipv4' ? `${ip}:${port}` : `[${ip}]:${port}`;
    throw new SysError('bind', error.errno, { path, ...(hint === undefined ? {} : { hint }) });
  }
}

/** Does without what this kernel does not have, or we may not. */
function optional(set: () => void, ...codes: string[]): void {
  try {
    set();
  } catch (error) {
    if (!isCode(error, ...codes)) throw error;
  }
}
