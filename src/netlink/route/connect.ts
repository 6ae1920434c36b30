/** Rtnetlink over a netlink connection: its objects over messages, bound to a namespace. */
import { CodecError, isCode } from '../../base/errors.ts';
import { NetlinkSocket } from '../../sys/netlink-socket.ts';
import { Netns } from '../../sys/netns.ts';
import { NetlinkConnection } from '../connection.ts';
import { tracedIfAsked } from '../debug.ts';
import type { Change, ListReader } from '../protocol.ts';
import type { OpenTransport } from '../transport.ts';
import { change } from './change.ts';
import { RTM_GETLINK, RTM_GETNEXTHOP, RTM_GETNSID, RTM_GETROUTE } from './constants.ts';
import { decodeCounters, encodeCountersQuery } from './counters.ts';
import { decodeLink, encodeLinkQuery } from './link.ts';
import type { ObjectListing } from './listings.ts';
import * as listings from './listings.ts';
import { decodeNetnsId, encodeNetnsIdQuery } from './netns-id.ts';
import { encodeNexthopQuery } from './nexthop.ts';
import { ROUTE_PROTOCOL } from './protocol.ts';
import { decodeRoute, encodeRouteLookup } from './route.ts';
import type { Rtnetlink } from './rtnetlink.ts';
import { events, GROUPS } from './watch.ts';

/**
 * The kernel's network configuration of one namespace; of the calling thread's own unless another is given. The
 * connection stays bound to it, also when the given handle is closed.
 * @param options.aside requests are handed over in another thread: for changes that the kernel takes long for
 * @throws SysError
 */
export function connectRoute(options: { readonly netns?: Netns; readonly aside?: boolean } = {}): Rtnetlink {
  const netns = options.netns?.clone() ?? Netns.current();
  try {
    return rtnetlinkOver(groups => NetlinkSocket.open(netns, groups, ROUTE_PROTOCOL.number), {
      aside: options.aside ?? false,
      onClose: () => netns[Symbol.dispose](),
    });
  } catch (error) {
    netns[Symbol.dispose]();
    throw error;
  }
}

/** The same over any transport. @param onClose runs when the connection is disposed of. */
export function rtnetlinkOver(
  openTransport: OpenTransport,
  { aside = false, onClose }: { readonly aside?: boolean; readonly onClose?: () => void } = {},
): Rtnetlink {
  const open = tracedIfAsked(openTransport, ROUTE_PROTOCOL);
  const transport = open([]);
  const connection = new NetlinkConnection(transport, ROUTE_PROTOCOL, { aside });
  const closing = new AbortController();

  const apply = (changes: readonly Change[]) => connection.apply(changes);
  const applyOne = async (one: Change) => {
    const [error] = await connection.apply([one]);
    if (error !== undefined) throw error;
  };
  const read = <T>({ queries, decode }: ObjectListing<T>, reader: ListReader<T>) =>
    connection.dump(queries, {
      begin: () => reader.begin(),
      each({ payload }) {
        const item = decode(payload);
        if (item !== undefined) reader.each(item);
      },
    });
  const list = async <T>(listing: ObjectListing<T>) => {
    let items: T[] = [];
    await read(listing, {
      begin() {
        items = [];
      },
      each: item => items.push(item),
    });
    return items;
  };
  const getLink = async (nameOrIndex: string | number) => {
    const query = {
      what: `get link ${nameOrIndex}`,
      type: RTM_GETLINK,
      payload: encodeLinkQuery(nameOrIndex),
    };
    try {
      return await connection.get(query, ({ payload }) => decodeLink(payload));
    } catch (error) {
      if (isCode(error, 'ENODEV')) return undefined;
      throw error;
    }
  };

  return {
    links: {
      list: () => list(listings.links()),
      get: getLink,
      async counters(index) {
        const what = `read the counters of link ${index}`;
        const query = { what, type: RTM_GETLINK, payload: encodeCountersQuery(index) };
        try {
          return await connection.get(query, ({ payload }) => decodeCounters(payload));
        } catch (error) {
          if (isCode(error, 'ENODEV')) return undefined;
          throw error;
        }
      },
      add: link => applyOne(change.addLink(link)),
      async change(nameOrIndex, to) {
        // In a request with a name but no index, the name says which link is meant, so it cannot be the new one.
        const renamed = to.name !== undefined && typeof nameOrIndex === 'string';
        const index = renamed ? (await getLink(nameOrIndex))?.index : undefined;
        return applyOne(change.changeLink(index ?? nameOrIndex, to));
      },
      delete: (nameOrIndex, inside) => applyOne(change.deleteLink(nameOrIndex, inside)),
      deleteGroup: group => applyOne(change.deleteLinksOf(group)),
    },
    addresses: {
      list: (filter = {}) => list(listings.addresses(filter)),
      replace: address => applyOne(change.replaceAddress(address)),
      delete: address => applyOne(change.deleteAddress(address)),
    },
    routes: {
      list: (filter = {}) => list(listings.routes(filter)),
      read: (filter, reader) => read(listings.routes(filter), reader),
      async lookup(destination, packet) {
        const payload = encodeRouteLookup(destination, packet);
        const query = { what: `look up the route to ${destination}`, type: RTM_GETROUTE, payload };
        const route = await connection.get(query, message => decodeRoute(message.payload));
        if (route === undefined) throw new CodecError('route lookup', 0, 'a route', 'none');
        return route;
      },
      replace: route => applyOne(change.replaceRoute(route)),
      delete: route => applyOne(change.deleteRoute(route)),
    },
    nexthops: {
      async supported() {
        const query = { what: 'look for nexthops', type: RTM_GETNEXTHOP, payload: encodeNexthopQuery() };
        try {
          await connection.dump([query], { begin: () => undefined, each: () => undefined });
          return true;
        } catch (error) {
          if (isCode(error, 'ENOTSUP')) return false;
          throw error;
        }
      },
      list: () => list(listings.nexthops()),
      read: (filter, reader) => read(listings.nexthops(filter), reader),
      replace: nexthop => applyOne(change.replaceNexthop(nexthop)),
      delete: id => applyOne(change.deleteNexthop(id)),
    },
    neighbors: {
      list: (filter = {}) => list(listings.neighbors(filter)),
      read: (filter, reader) => read(listings.neighbors(filter), reader),
      replace: neighbor => applyOne(change.replaceNeighbor(neighbor)),
      delete: neighbor => applyOne(change.deleteNeighbor(neighbor)),
    },
    fdb: {
      list: async index => [
        ...(await list(listings.fdb(index))),
        ...(await list(listings.fdbOfPorts(index))),
      ],
      read: ({ index }, reader) => read(listings.fdb(index), reader),
      replace: entry => applyOne(change.replaceFdb(entry)),
      append: entry => applyOne(change.appendFdb(entry)),
      delete: entry => applyOne(change.deleteFdb(entry)),
    },
    rules: {
      list: family => list(listings.rules(family)),
      add: rule => applyOne(change.addRule(rule)),
      delete: rule => applyOne(change.deleteRule(rule)),
    },
    traffic: {
      qdiscs: () => list(listings.qdiscs()),
      filters: (index, parent) => list(listings.filters(index, parent)),
      addClsact: index => applyOne(change.addClsact(index)),
      deleteClsact: index => applyOne(change.deleteClsact(index)),
      setProgram: filter => applyOne(change.setProgramFilter(filter)),
      deleteFilter: filter => applyOne(change.deleteFilter(filter)),
    },
    netconf: { list: () => list(listings.netconf()) },
    netnsId(fd) {
      const query = { what: 'look for a namespace', type: RTM_GETNSID, payload: encodeNetnsIdQuery(fd) };
      return connection.get(query, ({ payload }) => decodeNetnsId(payload));
    },
    apply,
    watch(groups, signal, { exceptOwn = false } = {}) {
      const listener = open(groups.flatMap(group => GROUPS[group]));
      if (exceptOwn) listener.ignore(transport.port);
      return events(listener, AbortSignal.any([signal, closing.signal]));
    },
    get writes() {
      return connection.writes;
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error('the netlink connection is closed'));
      await connection[Symbol.asyncDispose]();
      onClose?.();
    },
  };
}
