/** Generic netlink over a netlink connection. */
import { isCode } from '../../base/errors.ts';
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { NetlinkConnection } from '../connection.ts';
import { tracedIfAsked } from '../debug.ts';
import type { OpenTransport } from '../transport.ts';
import {
  decodeFamily,
  encodeFamilyQuery,
  GENERIC_PROTOCOL,
  GENL_ID_CTRL,
  type GenericFamily,
} from './controller.ts';

/** Methods reject with NetlinkError when the kernel refuses, and with SysError when the socket fails. */
export interface GenericNetlink extends AsyncDisposable {
  /** The family with this name; undefined where the kernel has none, even after it looked for a module. */
  family(name: string): Promise<GenericFamily | undefined>;
}

/** The families of one namespace; of the calling thread's own unless another is given. @throws SysError */
export function connectGeneric(options: { readonly netns?: Netns } = {}): GenericNetlink {
  using netns = options.netns?.clone() ?? Netns.current();
  return genericOver(groups => NetlinkSocket.open(netns, groups, GENERIC_PROTOCOL.number));
}

/** The same over any transport. */
export function genericOver(open: OpenTransport): GenericNetlink {
  const connection = new NetlinkConnection(tracedIfAsked(open, GENERIC_PROTOCOL)([]), GENERIC_PROTOCOL);
  return {
    async family(name) {
      const what = `look for the generic netlink family ${name}`;
      const query = { what, type: GENL_ID_CTRL, payload: encodeFamilyQuery(name) };
      try {
        return await connection.get(query, ({ payload }) => decodeFamily(payload));
      } catch (error) {
        if (isCode(error, 'ENOENT')) return undefined;
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}
