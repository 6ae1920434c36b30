/** What the kernel announces of its network configuration: the multicast groups of rtnetlink, and their messages. */
import { announcements } from '../announcements.ts';
import type { Message } from '../message.ts';
import type { NetlinkTransport } from '../transport.ts';
import { decodeAddress } from './address.ts';
import {
  AF_BRIDGE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNETCONF,
  RTM_DELNEXTHOP,
  RTM_DELQDISC,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_DELTFILTER,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNETCONF,
  RTM_NEWNEXTHOP,
  RTM_NEWQDISC,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTM_NEWTFILTER,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_NETCONF,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
  RTNLGRP_LINK,
  RTNLGRP_NEIGH,
  RTNLGRP_NEXTHOP,
  RTNLGRP_TC,
} from './constants.ts';
import { decodeLink, decodePortOfBridge } from './link.ts';
import { decodeFdbEntry, decodeNeighbor } from './neighbor.ts';
import { decodeNetconf } from './netconf.ts';
import { decodeNexthop } from './nexthop.ts';
import { decodeRoute } from './route.ts';
import type { EventGroup, KernelEvent } from './rtnetlink.ts';
import { decodeRule } from './rule.ts';
import { decodeTrafficChange } from './traffic-control.ts';

/** Multicast groups behind each of ours. */
export const GROUPS: Readonly<Record<EventGroup, readonly number[]>> = {
  link: [RTNLGRP_LINK],
  address: [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
  route: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
  nexthop: [RTNLGRP_NEXTHOP],
  neighbor: [RTNLGRP_NEIGH],
  rule: [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE],
  netconf: [RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF],
  traffic: [RTNLGRP_TC],
};

/** The events of a transport that has joined its groups already, and is closed at the end. */
export const events = (transport: NetlinkTransport, signal: AbortSignal): AsyncIterable<KernelEvent> =>
  announcements(transport, signal, decodeKernelEvent);

/** undefined for what is no event, or is about a family that has no place in ours. @throws CodecError */
export function decodeKernelEvent({ type, payload }: Message): KernelEvent | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      // A bridge announces its ports with messages of its own family; their end is not the end of the link.
      if (payload[0] === AF_BRIDGE) return portEvent(payload, type === RTM_DELLINK);
      return { type: 'link', gone: type === RTM_DELLINK, link: decodeLink(payload) };
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(payload);
      return address && { type: 'address', gone: type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(payload);
      return route && { type: 'route', gone: type === RTM_DELROUTE, route };
    }
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP: {
      const nexthop = decodeNexthop(payload);
      return nexthop && { type: 'nexthop', gone: type === RTM_DELNEXTHOP, nexthop };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const gone = type === RTM_DELNEIGH;
      const entry = decodeFdbEntry(payload);
      if (entry !== undefined) return { type: 'fdb', gone, entry };
      const neighbor = decodeNeighbor(payload);
      return neighbor && { type: 'neighbor', gone, neighbor };
    }
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const rule = decodeRule(payload);
      return rule && { type: 'rule', gone: type === RTM_DELRULE, rule };
    }
    case RTM_NEWNETCONF:
    case RTM_DELNETCONF: {
      const netconf = decodeNetconf(payload);
      return netconf && { type: 'netconf', gone: type === RTM_DELNETCONF, netconf };
    }
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
      return { type: 'traffic', ...decodeTrafficChange(payload) };
    default:
      return undefined;
  }
}

function portEvent(payload: Uint8Array, gone: boolean): KernelEvent | undefined {
  const found = decodePortOfBridge(payload);
  return found && { type: 'port', gone, ...found };
}
