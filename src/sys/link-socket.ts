/**
 * Sockets of servers that are for one link alone (SO_BINDTODEVICE, socket(7)): what comes in by another link does not reach
 * them, whatever address it is for, and what they send leaves by this link, also where no route leads there.
 */
import type { Ip } from '../base/ip.ts';
import { SysError } from './errors.ts';
import { bind, close, SOCK_NONBLOCK, setsockopt, setsockoptBytes, socket } from './libc.ts';
import { SOCKET_FAMILIES, socketAddress } from './socket-address.ts';

/** include/linux/net.h. */
const KINDS = { tcp: 1, udp: 2 } as const;

/** include/uapi/asm-generic/socket.h, linux/in.h and in6.h. */
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BINDTODEVICE = 25;
const FREEBIND = { ipv4: { level: 0, option: 15 }, ipv6: { level: 41, option: 78 } } as const;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/**
 * A bound descriptor in the namespace of the calling thread. The address need not be there yet (IP_FREEBIND): that of a
 * bridge comes a moment after the bridge.
 *
 * @throws SysError EADDRINUSE, ENODEV
 */
export function bindToLink(kind: keyof typeof KINDS, ip: Ip, port: number, link: string): number {
  const fd = socket(SOCKET_FAMILIES[ip.family], KINDS[kind] | SOCK_NONBLOCK, 0);
  try {
    setsockoptBytes(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(link));
    const { level, option } = FREEBIND[ip.family];
    setsockopt(fd, level, option, 1);
    if (ip.family === 'ipv6') setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (kind === 'tcp') setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, socketAddress(ip, port));
    return fd;
  } catch (error) {
    close(fd);
    if (!(error instanceof SysError)) throw error;
    const path = `${ip.family === 'ipv4' ? ip : `[${ip}]`}:${port} on ${link}`;
    const hint = error.code === 'EADDRINUSE' ? 'another program listens there: see `ss -lntup`' : undefined;
    throw new SysError(error.op ?? 'bind', error.errno, { path, ...(hint === undefined ? {} : { hint }) });
  }
}
