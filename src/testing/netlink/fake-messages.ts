/** The fake kernel's side of the messages: its objects as it sends them, link requests as it reads them. */
import { Writer, written } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../../netlink/attribute.ts';
import { text } from '../../netlink/attribute-types.ts';
import { NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ERROR, NLMSGERR_ATTR_MSG } from '../../netlink/constants.ts';
import { type Message, writeMessage } from '../../netlink/message.ts';
import { writeAddress } from '../../netlink/route/address.ts';
import { decodeBridgePort, encodeBridgePort } from '../../netlink/route/bridge-port.ts';
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
} from '../../netlink/route/constants.ts';
import { decodeLinkInfo, encodeLinkInfo } from '../../netlink/route/link-kind.ts';
import { linkMessage } from '../../netlink/route/link-message.ts';
import { writeFdbEntry, writeNeighbor } from '../../netlink/route/neighbor.ts';
import { writeNetconf } from '../../netlink/route/netconf.ts';
import { writeNexthop } from '../../netlink/route/nexthop.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { writeRoute } from '../../netlink/route/route.ts';
import { writeRule } from '../../netlink/route/rule.ts';
import type { LinkRequest } from './fake-links.ts';
import type { FakeRefusal } from './fake-refusal.ts';
import type { Announcement } from './fake-state.ts';

/** Types of the messages for an object, and for its removal. */
const TYPES = {
  link: [RTM_NEWLINK, RTM_DELLINK],
  port: [RTM_NEWLINK, RTM_DELLINK],
  address: [RTM_NEWADDR, RTM_DELADDR],
  route: [RTM_NEWROUTE, RTM_DELROUTE],
  nexthop: [RTM_NEWNEXTHOP, RTM_DELNEXTHOP],
  neighbor: [RTM_NEWNEIGH, RTM_DELNEIGH],
  fdb: [RTM_NEWNEIGH, RTM_DELNEIGH],
  rule: [RTM_NEWRULE, RTM_DELRULE],
  netconf: [RTM_NEWNETCONF, RTM_DELNETCONF],
} as const satisfies Record<Announcement['type'], readonly [present: number, gone: number]>;

/** Type and payload of the message for an object, as an announcement or as part of a list. */
export function encodeAnnouncement(event: Announcement): Pick<Message, 'type' | 'payload'> {
  const [present, gone] = TYPES[event.type];
  return { type: event.gone ? gone : present, payload: written(writer => writeObject(writer, event)) };
}

function writeObject(writer: Writer, event: Announcement): void {
  switch (event.type) {
    case 'link':
      return writeLink(writer, event.link);
    case 'port':
      return linkMessage.write(
        writer,
        { family: AF_BRIDGE, type: 1, index: event.index, flags: 0, change: 0 },
        { protocolInfo: encodeBridgePort(event.port) },
      );
    case 'address':
      return writeAddress(writer, event.address);
    case 'route':
      return writeRoute(writer, event.route);
    case 'nexthop':
      return writeNexthop(writer, event.nexthop);
    case 'neighbor':
      return writeNeighbor(writer, event.neighbor);
    case 'fdb':
      return writeFdbEntry(writer, event.entry);
    case 'rule':
      return writeRule(writer, event.rule);
    case 'netconf':
      return writeNetconf(writer, event.netconf);
  }
}

function writeLink(writer: Writer, link: Link): void {
  const { name, mac, mtu, lower, master, txQueueLength, operState, alias, group, altNames, netnsId } = link;
  linkMessage.write(
    writer,
    { family: 0, type: link.type, index: link.index, flags: link.flags, change: 0 },
    {
      name,
      mac,
      mtu,
      lower,
      master,
      txQueueLength,
      operState,
      alias,
      group,
      netnsId,
      properties: altNames && { altNames },
      info: infoOf(link),
    },
  );
}

function infoOf({ info, port }: Link) {
  const ofPort = port && { portKind: 'bridge', portData: encodeBridgePort(port) };
  return info === undefined ? ofPort : { ...encodeLinkInfo(info), ...ofPort };
}

/** @throws CodecError */
export function decodeLinkRequest(payload: Uint8Array): LinkRequest {
  const { header, attributes: asked } = linkMessage.decode(payload);
  const { name, altName, mtu, mac, master, lower, txQueueLength, alias, group } = asked;
  return defined({
    index: header.index,
    flags: header.flags,
    change: header.change,
    name,
    altName,
    mtu,
    mac,
    master,
    lower,
    txQueueLength,
    alias,
    group,
    info: decodeLinkInfo(asked.info?.kind, asked.info?.data),
    port: asked.info?.portData && decodeBridgePort(asked.info.portData),
  });
}

const ackAttributes = attributes({ words: one(NLMSGERR_ATTR_MSG, text) });

/** Yes, or no with the reason; the refused request itself is not sent back. */
export function encodeAcknowledgement(request: Message, refusal?: FakeRefusal): Message {
  const { type, flags, sequence, port, payload } = request;
  const words = refusal?.message || undefined;
  const writer = new Writer().i32(-(refusal?.errno ?? 0));
  const answered = new Writer();
  writeMessage(answered, { type, flags, sequence, port, payload });
  writer.bytes(answered.finish().subarray(0, 16));
  ackAttributes.encode(writer, { words });
  return {
    type: NLMSG_ERROR,
    flags: NLM_F_CAPPED | (words === undefined ? 0 : NLM_F_ACK_TLVS),
    sequence,
    port,
    payload: writer.finish(),
  };
}
