/**
 * Announcements of the kernel. The socket is read only when the consumer asks for more, so a slow consumer fills the
 * kernel's bounded buffer, not our memory; what is lost then is reported as an `overrun` event.
 */
import { setImmediate } from 'node:timers/promises';
import { isCode } from '../../base/errors.ts';
import { type Message, readMessages } from '../message.ts';
import { type NetlinkTransport, RECEIVE_SIZE } from '../transport.ts';
import { decodeAddress } from './address.ts';
import {
  AF_BRIDGE,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNEIGH,
  RTM_DELNETCONF,
  RTM_DELNEXTHOP,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNEIGH,
  RTM_NEWNETCONF,
  RTM_NEWNEXTHOP,
  RTM_NEWROUTE,
  RTM_NEWRULE,
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
} from './constants.ts';
import { decodeLink, decodePortOfBridge } from './link.ts';
import { decodeFdbEntry, decodeNeighbor } from './neighbor.ts';
import { decodeNetconf } from './netconf.ts';
import { decodeNexthop } from './nexthop.ts';
import { decodeRoute } from './route.ts';
import type { EventGroup, KernelEvent } from './rtnetlink.ts';
import { decodeRule } from './rule.ts';

/** Multicast groups behind each of ours. */
export const GROUPS: Readonly<Record<EventGroup, readonly number[]>> = {
  link: [RTNLGRP_LINK],
  address: [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
  route: [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE],
  nexthop: [RTNLGRP_NEXTHOP],
  neighbor: [RTNLGRP_NEIGH],
  rule: [RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE],
  netconf: [RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF],
};

/** Datagrams, of one event each, read in one go before other work gets its turn. */
const DATAGRAMS_PER_TURN = 64;

/** The events of a transport that has joined its groups already, and is closed at the end. */
export function events(transport: NetlinkTransport, signal: AbortSignal): AsyncIterable<KernelEvent> {
  const closeUnused = () => transport[Symbol.dispose]();
  signal.addEventListener('abort', closeUnused, { once: true });
  return generate();

  async function* generate(): AsyncGenerator<KernelEvent, void> {
    signal.removeEventListener('abort', closeUnused);
    using socket = transport;
    const buffer = new Uint8Array(RECEIVE_SIZE);
    for (let received = 1; !signal.aborted; received++) {
      if (received % DATAGRAMS_PER_TURN === 0) await setImmediate();
      let length: number | undefined;
      try {
        length = socket.receive(buffer);
      } catch (error) {
        if (!isCode(error, 'ENOBUFS')) throw error;
        yield { type: 'overrun' };
        continue;
      }
      if (length === undefined) {
        yield { type: 'idle' };
        await untilReadable(socket, signal);
        continue;
      }
      for (const message of readMessages(buffer.subarray(0, length))) {
        const event = decodeKernelEvent(message);
        if (event !== undefined && !signal.aborted) yield event;
      }
    }
  }
}

async function untilReadable(socket: NetlinkTransport, signal: AbortSignal): Promise<void> {
  try {
    await socket.readable(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

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
    default:
      return undefined;
  }
}

function portEvent(payload: Uint8Array, gone: boolean): KernelEvent | undefined {
  const found = decodePortOfBridge(payload);
  return found && { type: 'port', gone, ...found };
}
