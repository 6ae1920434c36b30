/**
 * Lists of the kernel's objects: the questions to ask and how to read the answers. Filters are the kernel's work; a
 * kernel too old for one sends everything, so they are applied again here.
 */
import { FAMILIES, type Family } from '../../base/ip.ts';
import type { Query } from '../protocol.ts';
import { decodeAddress, encodeAddressQuery } from './address.ts';
import {
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETNETCONF,
  RTM_GETNEXTHOP,
  RTM_GETQDISC,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_GETTFILTER,
} from './constants.ts';
import { decodeLink, encodeLinkQuery } from './link.ts';
import { decodeFdbEntry, decodeNeighbor, encodeFdbQuery, encodeNeighborQuery } from './neighbor.ts';
import { decodeNetconf, encodeNetconfQuery } from './netconf.ts';
import { decodeNexthop, encodeNexthopQuery } from './nexthop.ts';
import type { Address, FdbEntry, Link, Neighbor, Netconf, Nexthop, Route, Rule } from './objects.ts';
import { decodeRoute, encodeRouteQuery } from './route.ts';
import type { RouteFilter } from './rtnetlink.ts';
import { decodeRule, encodeRuleQuery } from './rule.ts';
import {
  decodeFilter,
  decodeQdisc,
  encodeFilterQuery,
  encodeQdiscQuery,
  type Qdisc,
  type TrafficFilter,
} from './traffic-control.ts';

export interface ObjectListing<T> {
  /** The parts of the list. */
  readonly queries: readonly Query[];
  /** undefined for what does not belong to it. @throws CodecError */
  decode(payload: Uint8Array): T | undefined;
}

/** A link that is gone, a table that does not exist and a family the kernel was built without have no entries. */
const ABSENT = ['ENODEV', 'ENOENT', 'ENOTSUP', 'EAFNOSUPPORT'];

function query(what: string, type: number, payload: Uint8Array): Query {
  return { what: `list ${what}`, type, payload, emptyOn: ABSENT };
}

function each(wanted: Family | undefined, ask: (family: Family) => Query): Query[] {
  return (wanted === undefined ? FAMILIES : [wanted]).map(ask);
}

export function links(): ObjectListing<Link> {
  return { queries: [query('links', RTM_GETLINK, encodeLinkQuery(undefined))], decode: decodeLink };
}

export function addresses(filter: {
  readonly index?: number;
  readonly family?: Family;
}): ObjectListing<Address> {
  return {
    queries: [query('addresses', RTM_GETADDR, encodeAddressQuery(filter))],
    decode: payload => only(filter, decodeAddress(payload)),
  };
}

export function routes({ family: wanted, oif, ...filter }: RouteFilter): ObjectListing<Route> {
  const ask = (family: Family) =>
    query(`${family} routes`, RTM_GETROUTE, encodeRouteQuery({ ...filter, oif, family }));
  return {
    queries: each(wanted, ask),
    decode(payload) {
      const route = only(filter, decodeRoute(payload));
      // A route by a next hop object may leave it to the object to say the link.
      const leads = oif === undefined || route?.oif === oif || isByObject(route);
      return leads ? route : undefined;
    },
  };
}

function isByObject(route: Route | undefined): boolean {
  return route?.oif === undefined && route?.nexthopId !== undefined;
}

export function nexthops(filter: { readonly oif?: number } = {}): ObjectListing<Nexthop> {
  return {
    queries: [query('nexthops', RTM_GETNEXTHOP, encodeNexthopQuery(filter))],
    decode: payload => only(filter, decodeNexthop(payload)),
  };
}

export function neighbors({
  index,
  family,
}: {
  readonly index?: number;
  readonly family?: Family;
}): ObjectListing<Neighbor> {
  return {
    queries: [query('neighbors', RTM_GETNEIGH, encodeNeighborQuery({ index, family }))],
    decode(payload) {
      const neighbor = only({ index }, decodeNeighbor(payload));
      return family === undefined || neighbor?.ip.family === family ? neighbor : undefined;
    },
  };
}

/** Entries of a link itself. */
export function fdb(index: number): ObjectListing<FdbEntry> {
  return {
    queries: [query('FDB entries', RTM_GETNEIGH, encodeFdbQuery({ index }))],
    decode: payload => only({ index }, decodeFdbEntry(payload)),
  };
}

/** Entries of the ports of a bridge. */
export function fdbOfPorts(master: number): ObjectListing<FdbEntry> {
  return {
    queries: [query('FDB entries', RTM_GETNEIGH, encodeFdbQuery({ master }))],
    decode(payload) {
      const entry = only({ master }, decodeFdbEntry(payload));
      return entry?.index === master ? undefined : entry;
    },
  };
}

export function rules(family: Family | undefined): ObjectListing<Rule> {
  return {
    queries: each(family, one => query(`${one} rules`, RTM_GETRULE, encodeRuleQuery(one))),
    decode: decodeRule,
  };
}

/** Queues of all links. */
export function qdiscs(): ObjectListing<Qdisc> {
  return { queries: [query('qdiscs', RTM_GETQDISC, encodeQdiscQuery())], decode: decodeQdisc };
}

export function filters(index: number, parent: number): ObjectListing<TrafficFilter> {
  // A link without such a queue has no filters.
  const asked = query('filters', RTM_GETTFILTER, encodeFilterQuery(index, parent));
  return {
    queries: [{ ...asked, emptyOn: [...ABSENT, 'EINVAL', 'EOPNOTSUPP'] }],
    decode: payload => only({ index }, decodeFilter(payload)),
  };
}

export function netconf(): ObjectListing<Netconf> {
  return {
    queries: each(undefined, one => query(`${one} settings`, RTM_GETNETCONF, encodeNetconfQuery(one))),
    decode: decodeNetconf,
  };
}

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
