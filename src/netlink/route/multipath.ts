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
import { RTA_MULTIPATH } from './constants.ts';
import type { Route } from './objects.ts';

const RTNEXTHOP_LENGTH = 8;

/** Indexes of the links that a route leads to, in its own order. @throws CodecError */
export function linksOfRoute({ oif, unknown }: Pick<Route, 'oif' | 'unknown'>): readonly number[] {
  if (oif !== undefined) return [oif];
  const list = unknown.find(({ type }) => type === RTA_MULTIPATH)?.payload;
  if (list === undefined) return [];
  const links: number[] = [];
  const reader = new Reader(list, 'rtnexthop');
  while (reader.remaining >= RTNEXTHOP_LENGTH) {
    const length = reader.u16();
    reader.u16();
    links.push(reader.u32());
    // A length below its own header would be read over and over.
    const padded = Math.max(length, RTNEXTHOP_LENGTH) - RTNEXTHOP_LENGTH + 3;
    reader.skip(Math.min(padded - (padded % 4), reader.remaining));
  }
  return links;
}
