/**
 * Routes: struct rtmsg, include/uapi/linux/rtnetlink.h.
 *
 *      0      1       2       3      4      5        6      7      8               12
 *     +------+-------+-------+------+------+--------+------+------+---------------+
 *     |family|dst len|src len| tos  |table |protocol|scope |type  | flags         |
 *     +------+-------+-------+------+------+--------+------+------+---------------+
 *
 * A table above 255 only fits into RTA_TABLE.
 */
import type { Reader, Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { ADDRESS_BITS, type Family, type Ip } from '../../base/ip.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, ip, nested, nestedBytes, u8, u16, u16be, u32, u64be } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  LWTUNNEL_ENCAP_IP,
  LWTUNNEL_ENCAP_IP6,
  LWTUNNEL_IP_DST,
  LWTUNNEL_IP_FLAGS,
  LWTUNNEL_IP_ID,
  LWTUNNEL_IP_SRC,
  LWTUNNEL_IP_TOS,
  LWTUNNEL_IP_TTL,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RT_TABLE_UNSPEC,
  RTA_CACHEINFO,
  RTA_DPORT,
  RTA_DST,
  RTA_ENCAP,
  RTA_ENCAP_TYPE,
  RTA_GATEWAY,
  RTA_IIF,
  RTA_IP_PROTO,
  RTA_MARK,
  RTA_METRICS,
  RTA_NH_ID,
  RTA_OIF,
  RTA_PREF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_SRC,
  RTA_TABLE,
  RTA_UID,
  RTAX_MTU,
  RTM_F_FIB_MATCH,
  RTM_F_LOOKUP_TABLE,
  RTN_ANYCAST,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
  RTPROT_BOOT,
} from './constants.ts';
import { familyNumber, familyOf, prefixOf } from './family.ts';
import type { IpEncap, Route } from './objects.ts';
import type { RoutedPacket } from './rtnetlink.ts';

export interface RouteHeader {
  readonly family: number;
  readonly destinationLength: number;
  readonly sourceLength: number;
  readonly tos: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

const ANY_ROUTE: RouteHeader = {
  family: 0,
  destinationLength: 0,
  sourceLength: 0,
  tos: 0,
  table: 0,
  protocol: 0,
  scope: 0,
  type: 0,
  flags: 0,
};

const rtmsg: Struct<RouteHeader> = {
  encode(writer: Writer, header: RouteHeader) {
    writer.u8(header.family).u8(header.destinationLength).u8(header.sourceLength).u8(header.tos);
    writer.u8(header.table).u8(header.protocol).u8(header.scope).u8(header.type).u32(header.flags);
  },
  decode: (reader: Reader) => ({
    family: reader.u8(),
    destinationLength: reader.u8(),
    sourceLength: reader.u8(),
    tos: reader.u8(),
    table: reader.u8(),
    protocol: reader.u8(),
    scope: reader.u8(),
    type: reader.u8(),
    flags: reader.u32(),
  }),
};

const encapAttributes = attributes({
  id: one(LWTUNNEL_IP_ID, u64be),
  destination: one(LWTUNNEL_IP_DST, ip),
  source: one(LWTUNNEL_IP_SRC, ip),
  ttl: one(LWTUNNEL_IP_TTL, u8),
  tos: one(LWTUNNEL_IP_TOS, u8),
  flags: one(LWTUNNEL_IP_FLAGS, u16be),
});

const metricAttributes = attributes({ mtu: one(RTAX_MTU, u32) });

export const routeMessage = new MessageCodec(
  'rtmsg',
  rtmsg,
  attributes({
    destination: one(RTA_DST, ip),
    source: one(RTA_SRC, ip),
    iif: one(RTA_IIF, u32),
    gateway: one(RTA_GATEWAY, ip),
    oif: one(RTA_OIF, u32),
    priority: one(RTA_PRIORITY, u32),
    preferredSource: one(RTA_PREFSRC, ip),
    metrics: one(RTA_METRICS, nested(metricAttributes)),
    cacheInfo: one(RTA_CACHEINFO, bytes),
    table: one(RTA_TABLE, u32),
    mark: one(RTA_MARK, u32),
    preference: one(RTA_PREF, u8),
    encapType: one(RTA_ENCAP_TYPE, u16),
    encap: one(RTA_ENCAP, nestedBytes),
    uid: one(RTA_UID, u32),
    ipProtocol: one(RTA_IP_PROTO, u8),
    toPort: one(RTA_DPORT, u16be),
    nexthopId: one(RTA_NH_ID, u32),
  }),
);

type RouteFields = Partial<Omit<Route, 'family'>> & { readonly family?: Family };

/** The message that creates or replaces a route; what is absent gets the defaults of `ip route`. */
export function writeRoute(writer: Writer, route: RouteFields): void {
  write(writer, route, {
    table: RT_TABLE_MAIN,
    protocol: RTPROT_BOOT,
    type: RTN_UNICAST,
    scope: defaultScope(route),
  });
}

/** The message that deletes routes; what is absent matches anything, but the table is the main one. */
export function writeRouteSelector(writer: Writer, route: RouteFields): void {
  write(writer, route, { table: RT_TABLE_MAIN, protocol: 0, type: 0, scope: RT_SCOPE_NOWHERE });
}

function write(
  writer: Writer,
  route: RouteFields,
  otherwise: Required<Pick<Route, 'table' | 'protocol' | 'type' | 'scope'>>,
): void {
  const { destination, encap } = route;
  const { table = otherwise.table, protocol = otherwise.protocol } = route;
  const { type = otherwise.type, scope = otherwise.scope } = route;
  const family = routeFamily(route);
  routeMessage.write(
    writer,
    {
      ...ANY_ROUTE,
      family: familyNumber(family),
      destinationLength: destination?.length ?? 0,
      tos: route.tos ?? 0,
      table: table > 255 ? RT_TABLE_UNSPEC : table,
      protocol,
      scope: family === 'ipv6' ? RT_SCOPE_UNIVERSE : scope,
      type,
      flags: route.flags ?? 0,
    },
    {
      destination: destination?.length === 0 ? undefined : destination?.ip,
      gateway: route.gateway,
      oif: route.oif,
      priority: route.priority,
      preferredSource: route.preferredSource,
      metrics: route.mtu === undefined ? undefined : { mtu: route.mtu },
      table: table > 255 ? table : undefined,
      encapType: encap && (encap.destination.family === 'ipv4' ? LWTUNNEL_ENCAP_IP : LWTUNNEL_ENCAP_IP6),
      encap: encap && encapAttributes.toBytes(encap),
      nexthopId: route.nexthopId,
      unknown: route.unknown,
    },
  );
}

/** The message that asks which route a packet would take. */
export function encodeRouteLookup(
  destination: Ip,
  { source, iif, oif, mark, protocol, toPort, entry = false }: RoutedPacket = {},
): Uint8Array {
  const bits = ADDRESS_BITS[destination.family];
  // IPv6 answers with the table in any case, and refuses the flag (net/ipv6/route.c, inet6_rtm_valid_getroute_req).
  const flags = destination.family === 'ipv4' ? RTM_F_LOOKUP_TABLE : 0;
  return routeMessage.encode(
    {
      ...ANY_ROUTE,
      family: familyNumber(destination.family),
      destinationLength: bits,
      sourceLength: source === undefined ? 0 : bits,
      flags: entry ? flags | RTM_F_FIB_MATCH : flags,
    },
    { destination, source, iif, oif, mark, ipProtocol: protocol, toPort },
  );
}

/** @throws RangeError when nothing decides the family. */
function routeFamily({ family, destination, gateway, preferredSource }: RouteFields): Family {
  const known = family ?? destination?.family ?? gateway?.family ?? preferredSource?.family;
  if (known === undefined) throw new RangeError('a default route needs a family or a gateway');
  return known;
}

/** Of an IPv4 route: how far away its destinations are. */
function defaultScope({ type = RTN_UNICAST, gateway, nexthopId }: RouteFields): number {
  switch (type) {
    case RTN_LOCAL:
      return RT_SCOPE_HOST;
    case RTN_BROADCAST:
    case RTN_MULTICAST:
    case RTN_ANYCAST:
      return RT_SCOPE_LINK;
    case RTN_UNICAST:
      return gateway === undefined && nexthopId === undefined ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    default:
      return RT_SCOPE_UNIVERSE;
  }
}

/** undefined for a route of another family. @throws CodecError */
export function decodeRoute(payload: Uint8Array): Route | undefined {
  const { header, attributes: found } = routeMessage.decode(payload);
  const family = familyOf(header.family);
  if (family === undefined) return undefined;
  const encap = decodeEncap(found.encapType, found.encap);
  return defined({
    destination: prefixOf(found.destination, header.destinationLength),
    family,
    table: found.table ?? header.table,
    protocol: header.protocol,
    scope: header.scope,
    type: header.type,
    flags: header.flags,
    tos: header.tos === 0 ? undefined : header.tos,
    gateway: found.gateway,
    oif: found.oif,
    priority: found.priority,
    preferredSource: found.preferredSource,
    nexthopId: found.nexthopId,
    mtu: found.metrics?.mtu,
    encap,
    unknown: found.unknown,
  });
}

/** undefined for a tunnel that does not run over IP, or one without a destination. */
export function decodeEncap(type: number | undefined, payload: Uint8Array | undefined): IpEncap | undefined {
  if (payload === undefined || (type !== LWTUNNEL_ENCAP_IP && type !== LWTUNNEL_ENCAP_IP6)) return undefined;
  const {
    id = 0n,
    destination,
    source,
    ttl,
    tos,
    flags,
  } = encapAttributes.fromBytes(payload, 'tunnel state');
  return destination && defined({ id, destination, source, ttl, tos, flags });
}

/** The request for a list of routes; its filters are fields and attributes. */
export function encodeRouteQuery(filter: {
  family: Family;
  table?: number | undefined;
  protocol?: number | undefined;
  oif?: number | undefined;
}): Uint8Array {
  const { family, table, protocol = 0, oif } = filter;
  return routeMessage.encode({ ...ANY_ROUTE, family: familyNumber(family), protocol }, { table, oif });
}
