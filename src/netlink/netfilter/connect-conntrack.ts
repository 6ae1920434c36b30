/** A connection to the part of the kernel that tracks connections, for many of them at once. */
import { isCode } from '../../base/errors.ts';
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import type { Netns } from '../../sys/netns.ts';
import { NetlinkConnection } from '../connection.ts';
import { NetlinkError } from '../errors.ts';
import { acceptAnyWindow, askConnection, type ConnectionTuple, decodeEstablished } from './conntrack.ts';
import { NETFILTER_PROTOCOL } from './protocol.ts';

export interface Conntrack extends AsyncDisposable {
  /**
   * See `acceptAnyWindow`.
   *
   * @returns one result for each, undefined where it is done: ENOENT where it is not tracked, EPERM without
   *   CAP_NET_ADMIN, EINVAL or EPROTONOSUPPORT where the kernel has no ctnetlink
   * @throws SysError
   */
  acceptAnyWindow(tuples: readonly ConnectionTuple[]): Promise<(NetlinkError | undefined)[]>;
  /**
   * Gives a connection the timeout of an idle one, if it is to be forgotten as one that waits for an acknowledgement.
   *
   * @param timeout seconds. @returns whether it was. @throws NetlinkError, SysError
   */
  keepIdle(tuple: ConnectionTuple, timeout: number): Promise<boolean>;
}

/** include/uapi/asm-generic/errno.h. */
const EPROTONOSUPPORT = 93;

/** @throws SysError */
export function connectConntrack(netns: Netns): Conntrack {
  const socket = openSocket(netns);
  if (socket === undefined)
    return {
      acceptAnyWindow: refuseAll,
      keepIdle: async () => false,
      [Symbol.asyncDispose]: async () => undefined,
    };
  const connection = new NetlinkConnection(socket, NETFILTER_PROTOCOL);
  return {
    acceptAnyWindow: tuples => connection.apply(tuples.map(tuple => acceptAnyWindow(tuple))),
    keepIdle: (tuple, timeout) => keepIdle(connection, tuple, timeout),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

async function keepIdle(
  connection: NetlinkConnection,
  tuple: ConnectionTuple,
  timeout: number,
): Promise<boolean> {
  try {
    const found = await connection.get(askConnection(tuple), ({ payload }) => decodeEstablished(payload));
    if (found === undefined || !found.isUnacknowledged || found.timeout >= timeout) return false;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
  const [error] = await connection.apply([acceptAnyWindow(tuple, timeout)]);
  if (error !== undefined && error.code !== 'ENOENT') throw error;
  return error === undefined;
}

/** undefined where the kernel has no netfilter. */
function openSocket(netns: Netns): NetlinkSocket | undefined {
  try {
    return NetlinkSocket.open(netns, [], NETFILTER_PROTOCOL.number);
  } catch (error) {
    if (isCode(error, 'EPROTONOSUPPORT')) return undefined;
    throw error;
  }
}

const refuseAll: Conntrack['acceptAnyWindow'] = async tuples =>
  tuples.map(tuple => new NetlinkError('socket', acceptAnyWindow(tuple).what, EPROTONOSUPPORT));
