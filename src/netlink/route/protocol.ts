/** NETLINK_ROUTE for the connection and for `TULLE_DEBUG=netlink`: names of its messages, and how each one is read. */
import type { Message } from '../message.ts';
import type { DecodedMessage, NetlinkProtocol } from '../protocol.ts';
import { addressMessage } from './address.ts';
import * as constants from './constants.ts';
import { decodeLinkInfo } from './link-kind.ts';
import { linkMessage } from './link-message.ts';
import { neighborMessage } from './neighbor.ts';
import { netconfMessage } from './netconf.ts';
import { nexthopMessage } from './nexthop.ts';
import { decodeEncap, routeMessage } from './route.ts';
import { ruleMessage } from './rule.ts';
import { trafficMessage } from './traffic-control.ts';

const MESSAGE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants).flatMap(([name, value]) =>
    /^RTM_(NEW|DEL|GET)[A-Z]+$/.test(name) ? [[value, name]] : [],
  ),
);

/** By what follows `RTM_NEW`, `RTM_DEL` and `RTM_GET`. */
const READERS: Readonly<Record<string, (payload: Uint8Array) => DecodedMessage>> = {
  LINK: readLink,
  ADDR: payload => addressMessage.decode(payload),
  ROUTE: readRoute,
  NEIGH: payload => neighborMessage.decode(payload),
  RULE: payload => ruleMessage.decode(payload),
  NEXTHOP: payload => nexthopMessage.decode(payload),
  NETCONF: payload => netconfMessage.decode(payload),
  QDISC: payload => trafficMessage.decode(payload),
  TFILTER: payload => trafficMessage.decode(payload),
};

export const ROUTE_PROTOCOL: NetlinkProtocol = {
  number: 0,
  messageName: type => MESSAGE_NAMES.get(type),
  decode({ type, payload }: Message) {
    const object = MESSAGE_NAMES.get(type)?.replace(/^RTM_.../, '') ?? '';
    return READERS[object]?.(payload);
  },
};

/** The kind of a link decides how its data is read. */
function readLink(payload: Uint8Array): DecodedMessage {
  const { header, attributes } = linkMessage.decode(payload);
  const info = decodeLinkInfo(attributes.info?.kind, attributes.info?.data);
  return { header, attributes: info === undefined ? attributes : { ...attributes, info } };
}

/** The type of a lightweight tunnel decides how its state is read. */
function readRoute(payload: Uint8Array): DecodedMessage {
  const { header, attributes } = routeMessage.decode(payload);
  const encap = decodeEncap(attributes.encapType, attributes.encap);
  return { header, attributes: encap === undefined ? attributes : { ...attributes, encap } };
}
