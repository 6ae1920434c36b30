/**
 * Asks for a TCP connection, which any host answers: with one where a program listens, with a refusal where none does. Rules
 * that let pings pass may drop it.
 */
import { outOfPatience } from '../base/abort.ts';
import { systemClock } from '../base/clock.ts';
import type { Ip } from '../base/ip.ts';
import { SysError } from '../sys/errors.ts';
import { bind, close, connect, getsockopt, SOCK_NONBLOCK, socket } from '../sys/libc.ts';
import type { Netns } from '../sys/netns.ts';
import { writable } from '../sys/readiness.ts';
import { SOCKET_FAMILIES, socketAddress } from '../sys/socket-address.ts';
import type { ProbeResult } from './prober.ts';

/** include/linux/net.h, include/uapi/asm-generic/socket.h. */
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_ERROR = 4;

/** include/uapi/asm-generic/errno.h: Node has no name for it. */
const EINPROGRESS = 115;

const ANSWERS = ['ECONNREFUSED', 'ECONNRESET'];

export interface TcpProbe {
  readonly netns: Netns;
  readonly source: Ip;
  /** 0 for any. */
  readonly sourcePort: number;
  readonly to: Ip;
  readonly port: number;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Never rejects because of the network. @throws SysError for a source that is not there; signal.reason */
export async function probeTcp(probe: TcpProbe, signal: AbortSignal): Promise<ProbeResult> {
  const { netns, source, sourcePort, to, port, timeout } = probe;
  const began = systemClock.monotonic();
  const fd = netns.run(() => socket(SOCKET_FAMILIES[to.family], SOCK_STREAM | SOCK_NONBLOCK, 0));
  try {
    bind(fd, socketAddress(source, sourcePort));
    const until = AbortSignal.any([signal, outOfPatience(timeout)]);
    const errno = await outcomeOf(fd, to, port, until);
    signal.throwIfAborted();
    if (errno === undefined) return { outcome: 'silent' };
    const error = new SysError('connect', errno);
    if (errno === 0 || ANSWERS.includes(error.code))
      return { outcome: 'answered', ms: systemClock.monotonic() - began };
    return { outcome: 'unreachable', reason: error.message };
  } finally {
    close(fd);
  }
}

/** 0 for a connection, undefined when there is no answer in time. */
async function outcomeOf(fd: number, to: Ip, port: number, until: AbortSignal): Promise<number | undefined> {
  try {
    connect(fd, socketAddress(to, port));
    return 0;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.errno !== EINPROGRESS) return error.errno;
  }
  try {
    await writable(fd, until);
  } catch (error) {
    if (until.aborted) return undefined;
    throw error;
  }
  return new DataView(getsockopt(fd, SOL_SOCKET, SO_ERROR, 4).buffer).getInt32(0, true);
}
