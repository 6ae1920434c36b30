/** Questions to the fake kernel: lists with their filters, one link, one route. */

import type { Message } from '../../netlink/message.ts';
import { addressMessage } from '../../netlink/route/address.ts';
import {
  AF_BRIDGE,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETNEIGH,
  RTM_GETNEXTHOP,
  RTM_GETROUTE,
  RTM_GETRULE,
} from '../../netlink/route/constants.ts';
import { familyOf } from '../../netlink/route/family.ts';
import { neighborMessage } from '../../netlink/route/neighbor.ts';
import { nexthopMessage } from '../../netlink/route/nexthop.ts';
import { routeMessage } from '../../netlink/route/route.ts';
import { ruleMessage } from '../../netlink/route/rule.ts';
import { findLink } from './fake-links.ts';
import { decodeLinkRequest } from './fake-messages.ts';
import { FakeRefusal } from './fake-refusal.ts';
import { lookUpRoute } from './fake-routing.ts';
import { type Announcement, type FakeState, linkByIndex } from './fake-state.ts';

/** The one object a request asks for. @throws FakeRefusal */
export function answer(state: FakeState, { type, payload }: Message): Announcement {
  if (type === RTM_GETLINK) {
    return { type: 'link', gone: false, link: findLink(state, decodeLinkRequest(payload)) };
  }
  const { destination } = routeMessage.decode(payload).attributes;
  if (type !== RTM_GETROUTE || destination === undefined) throw new FakeRefusal('EOPNOTSUPP');
  return { type: 'route', gone: false, route: lookUpRoute(state, destination) };
}

/** The objects of a list that its filters let through. @throws FakeRefusal */
export function list(state: FakeState, { type, payload }: Message): Announcement[] {
  switch (type) {
    case RTM_GETLINK:
      return Array.from(state.links.values(), link => ({ type: 'link', gone: false, link }));
    case RTM_GETADDR: {
      const { index, family } = addressMessage.decode(payload).header;
      if (index !== 0) linkByIndex(state, index);
      return state.addresses
        .filter(address => (index === 0 || index === address.index) && sameFamily(family, address.family))
        .map(address => ({ type: 'address', gone: false, address }));
    }
    case RTM_GETROUTE: {
      const { header, attributes: asked } = routeMessage.decode(payload);
      return state.routes
        .filter(
          route =>
            sameFamily(header.family, route.family) &&
            (asked.table ?? route.table) === route.table &&
            (header.protocol || route.protocol) === route.protocol &&
            (asked.oif ?? route.oif) === route.oif,
        )
        .map(route => ({ type: 'route', gone: false, route }));
    }
    case RTM_GETNEXTHOP: {
      const { oif: asked } = nexthopMessage.decode(payload).attributes;
      return state.nexthops
        .filter(({ oif }) => asked === undefined || asked === oif)
        .map(nexthop => ({ type: 'nexthop', gone: false, nexthop }));
    }
    case RTM_GETNEIGH:
      return listNeighbors(state, payload);
    case RTM_GETRULE: {
      const { family } = ruleMessage.decode(payload).header;
      return state.rules
        .filter(rule => sameFamily(family, rule.family))
        .map(rule => ({ type: 'rule', gone: false, rule }));
    }
    default:
      throw new FakeRefusal('EOPNOTSUPP');
  }
}

function listNeighbors(state: FakeState, payload: Uint8Array): Announcement[] {
  const { header, attributes: asked } = neighborMessage.decode(payload);
  if (header.family === AF_BRIDGE) {
    const index = asked.master ?? header.index;
    linkByIndex(state, index);
    return state.fdb
      .filter(entry => (asked.master === undefined ? entry.index === index : entry.master === index))
      .map(entry => ({ type: 'fdb', gone: false, entry }));
  }
  return state.neighbors
    .filter(({ index, ip }) => (asked.ifindex ?? index) === index && sameFamily(header.family, ip.family))
    .map(neighbor => ({ type: 'neighbor', gone: false, neighbor }));
}

/** @param asked AF_UNSPEC means any. */
function sameFamily(asked: number, family: string): boolean {
  return asked === 0 || familyOf(asked) === family;
}
