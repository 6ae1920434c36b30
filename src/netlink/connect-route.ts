/** Rtnetlink over a netlink connection: its objects over messages, bound to a namespace. */
import process from 'node:process';
import { CodecError, isCode } from '../base/errors.ts';
import type { Family } from '../base/ip.ts';
import { NetlinkSocket } from '../sys/netlink-socket.ts';
import { Netns } from '../sys/netns.ts';
import { change } from './change.ts';
import { NetlinkConnection } from './connection.ts';
import {
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETNEXTHOP,
  RTM_GETROUTE,
  RTM_GETRULE,
} from './constants.ts';
import { traced } from './debug.ts';
import type { Message } from './message.ts';
import { decodeAddress, encodeAddressQuery } from './route/address.ts';
import { FAMILIES } from './route/family.ts';
import { decodeLink, encodeLinkQuery } from './route/link.ts';
import { decodeFdbEntry, decodeNeighbor, encodeFdbQuery, encodeNeighborQuery } from './route/neighbor.ts';
import { decodeNexthop, encodeNexthopQuery } from './route/nexthop.ts';
import { decodeRoute, encodeRouteLookup, encodeRouteQuery } from './route/route.ts';
import { decodeRule, encodeRuleQuery } from './route/rule.ts';
import type { Change, Rtnetlink } from './rtnetlink.ts';
import type { OpenTransport } from './transport.ts';
import { events, GROUPS } from './watch.ts';

/**
 * The kernel's network configuration of one namespace; of the calling thread's own unless another is given. The
 * connection stays bound to it, also when the given handle is closed.
 * @throws SysError
 */
export function connectRoute(options: { readonly netns?: Netns } = {}): Rtnetlink {
  const netns = options.netns?.clone() ?? Netns.current();
  try {
    return rtnetlinkOver(
      groups => NetlinkSocket.open(netns, groups),
      () => netns[Symbol.dispose](),
    );
  } catch (error) {
    netns[Symbol.dispose]();
    throw error;
  }
}

/** The same over any transport. @param onClose runs when the connection is disposed of. */
export function rtnetlinkOver(
  openTransport: OpenTransport,
  onClose: () => void = () => undefined,
): Rtnetlink {
  const open: OpenTransport = debugEnabled()
    ? groups => traced(openTransport(groups), line => process.stderr.write(`${line}\n`))
    : openTransport;
  const transport = open([]);
  const connection = new NetlinkConnection(transport);
  const closing = new AbortController();

  const apply = (changes: readonly Change[]) => connection.apply(changes);
  const applyOne = async (one: Change) => {
    const [error] = await connection.apply([one]);
    if (error !== undefined) throw error;
  };
  const list = <T>(
    what: string,
    type: number,
    payload: Uint8Array,
    decode: (message: Message) => T | undefined,
  ) => absentIsEmpty(connection.dump({ what: `list ${what}`, type, payload }, decode));
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
      list: () =>
        list('links', RTM_GETLINK, encodeLinkQuery(undefined), ({ payload }) => decodeLink(payload)),
      get: getLink,
      add: link => applyOne(change.addLink(link)),
      async change(nameOrIndex, to) {
        // In a request with a name but no index, the name says which link is meant, so it cannot be the new one.
        const renamed = to.name !== undefined && typeof nameOrIndex === 'string';
        const index = renamed ? (await getLink(nameOrIndex))?.index : undefined;
        return applyOne(change.changeLink(index ?? nameOrIndex, to));
      },
      delete: nameOrIndex => applyOne(change.deleteLink(nameOrIndex)),
    },
    addresses: {
      list: (filter = {}) =>
        list('addresses', RTM_GETADDR, encodeAddressQuery(filter), ({ payload }) =>
          only(filter, decodeAddress(payload)),
        ),
      replace: address => applyOne(change.replaceAddress(address)),
      delete: address => applyOne(change.deleteAddress(address)),
    },
    routes: {
      list: ({ family: wanted, ...filter } = {}) =>
        eachFamily(wanted, family =>
          list(`${family} routes`, RTM_GETROUTE, encodeRouteQuery({ ...filter, family }), ({ payload }) =>
            only(filter, decodeRoute(payload)),
          ),
        ),
      async lookup(destination) {
        const payload = encodeRouteLookup(destination);
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
          await connection.dump(query, () => undefined);
          return true;
        } catch (error) {
          if (isCode(error, 'ENOTSUP')) return false;
          throw error;
        }
      },
      list: () =>
        list('nexthops', RTM_GETNEXTHOP, encodeNexthopQuery(), ({ payload }) => decodeNexthop(payload)),
      replace: nexthop => applyOne(change.replaceNexthop(nexthop)),
      delete: id => applyOne(change.deleteNexthop(id)),
    },
    neighbors: {
      list: (filter = {}) =>
        list('neighbors', RTM_GETNEIGH, encodeNeighborQuery(filter), ({ payload }) => {
          const neighbor = decodeNeighbor(payload);
          return filter.family === undefined || neighbor?.ip.family === filter.family
            ? only({ index: filter.index }, neighbor)
            : undefined;
        }),
      replace: neighbor => applyOne(change.replaceNeighbor(neighbor)),
      delete: neighbor => applyOne(change.deleteNeighbor(neighbor)),
    },
    fdb: {
      async list(index) {
        const listFdb = (query: Uint8Array) =>
          list('FDB entries', RTM_GETNEIGH, query, ({ payload }) => decodeFdbEntry(payload));
        const own = await listFdb(encodeFdbQuery({ index }));
        const ofPorts = await listFdb(encodeFdbQuery({ master: index }));
        return [
          ...own.filter(entry => entry.index === index),
          ...ofPorts.filter(entry => entry.index !== index && entry.master === index),
        ];
      },
      replace: entry => applyOne(change.replaceFdb(entry)),
      append: entry => applyOne(change.appendFdb(entry)),
      delete: entry => applyOne(change.deleteFdb(entry)),
    },
    rules: {
      list: wanted =>
        eachFamily(wanted, family =>
          list(`${family} rules`, RTM_GETRULE, encodeRuleQuery(family), ({ payload }) => decodeRule(payload)),
        ),
      add: rule => applyOne(change.addRule(rule)),
      delete: rule => applyOne(change.deleteRule(rule)),
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
      onClose();
    },
  };
}

function debugEnabled(): boolean {
  return process.env['TULLE_DEBUG']?.split(',').includes('netlink') === true;
}

/** A kernel too old to filter sends everything. */
function only<T extends object>(
  filter: { readonly [Key in keyof T]?: T[Key] | undefined },
  value: T | undefined,
): T | undefined {
  if (value === undefined) return undefined;
  for (const key in filter) {
    if (filter[key] !== undefined && filter[key] !== value[key]) return undefined;
  }
  return value;
}

async function eachFamily<T>(
  wanted: Family | undefined,
  list: (family: Family) => Promise<T[]>,
): Promise<T[]> {
  if (wanted !== undefined) return list(wanted);
  const lists: T[][] = [];
  for (const family of FAMILIES) lists.push(await list(family));
  return lists.flat();
}

/** A link that is gone, a table nobody made and a family the kernel was built without have no entries. */
async function absentIsEmpty<T>(listed: Promise<T[]>): Promise<T[]> {
  try {
    return await listed;
  } catch (error) {
    if (isCode(error, 'ENODEV', 'ENOENT', 'ENOTSUP', 'EAFNOSUPPORT')) return [];
    throw error;
  }
}
