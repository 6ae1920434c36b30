/** Sockets that listen for TCP, where a server needs more than Node.js sets (tcp(7)). */
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import { bind, close, SOCK_NONBLOCK, setsockopt, socket } from './libc.ts';
import { SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** include/linux/net.h. */
const SOCK_STREAM = 1;

/** include/uapi/asm-generic/socket.h, linux/in.h, in6.h and tcp.h. */
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

const BIND_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there: see `ss -ltnp`',
  EADDRNOTAVAIL: 'the address must be one of this host',
};

/**
 * A bound descriptor, for a server that listens on it; an IPv6 socket is for IPv6 alone.
 *
 * @param longest bytes of TCP data in one packet, in both directions of each connection: it is announced to the other side
 * @throws SysError EADDRINUSE, EADDRNOTAVAIL
 */
export function bindTcpSocket(ip: Ip, port: number, longest: number): number {
  const fd = socket(SOCKET_FAMILIES[ip.family], SOCK_STREAM | SOCK_NONBLOCK, 0);
  try {
    if (ip.family === 'ipv6') setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, longest);
    bind(fd, socketAddress(ip, port));
    return fd;
  } catch (error) {
    close(fd);
    if (!(error instanceof SysError)) throw error;
    const hint = BIND_HINTS[error.code];
    const path = ip.family === 'ipv4' ? `${ip}:${port}` : `[${ip}]:${port}`;
    throw new SysError(error.op ?? 'bind', error.errno, { path, ...(hint === undefined ? {} : { hint }) });
  }
}
