/**
 * Routes with several next hops, as far as they are read here: RTA_MULTIPATH is a list of struct rtnexthop, each
 * followed by attributes of its own (include/uapi/linux/rtnetlink.h).
 *
 *      0        2       3      4               8            length
 *     +--------+-------+------+---------------+---- ... -----+
 *     | length | flags | hops | link index    | attributes   |
 *     +--------+-------+------+---------------+---- ... -----+
 */
import { Reader } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import type { Ip } from '../../base/ip.ts';
import { attributes, one } from '../attribute.ts';
import { ip } from '../attribute-types.ts';
import { RTA_GATEWAY, RTA_MULTIPATH } from './constants.ts';
import type { Route } from './objects.ts';

const RTNEXTHOP_LENGTH = 8;

export interface RouteNexthop {
  readonly oif: number;
  readonly gateway?: Ip;
  /** Share of the packets, beside the weights of the others; from 1. */
  readonly weight: number;
  /** RTNH_F_*. */
  readonly flags: number;
}

const nexthopAttributes = attributes({ gateway: one(RTA_GATEWAY, ip) });

/** The next hops of a route that has several, in its own order; none for any other route. @throws CodecError */
export function nexthopsOfRoute({ unknown }: Pick<Route, 'unknown'>): readonly RouteNexthop[] {
  const list = unknown.find(({ type }) => type === RTA_MULTIPATH)?.payload;
  if (list === undefined) return [];
  const nexthops: RouteNexthop[] = [];
  const reader = new Reader(list, 'rtnexthop');
  while (reader.remaining >= RTNEXTHOP_LENGTH) {
    const start = reader.offset;
    const [length, flags, hops, oif] = [reader.u16(), reader.u8(), reader.u8(), reader.u32()];
    // A length below its own header would be read over and over.
    const end = Math.min(start + Math.max(length, RTNEXTHOP_LENGTH), list.byteLength);
    const { gateway } = nexthopAttributes.decode(reader, end);
    nexthops.push(defined({ oif, gateway, weight: hops + 1, flags }));
    reader.seek(Math.min((end + 3) & ~3, list.byteLength));
  }
  return nexthops;
}

/** Indexes of the links that a route leads to, in its own order. @throws CodecError */
export function linksOfRoute(route: Pick<Route, 'oif' | 'unknown'>): readonly number[] {
  return route.oif === undefined ? nexthopsOfRoute(route).map(({ oif }) => oif) : [route.oif];
}
