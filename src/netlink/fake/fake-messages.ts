/** The fake kernel's side of the messages: its objects as it tells them, link requests as it reads them. */
import { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { attributes, one } from '../attribute.ts';
import { text } from '../attribute-types.ts';
import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ERROR,
  NLMSGERR_ATTR_MSG,
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
} from '../constants.ts';
import { type Message, writeMessage } from '../message.ts';
import type { Link } from '../objects.ts';
import { encodeAddress } from '../route/address.ts';
import { decodeLinkInfo, encodeLinkInfo } from '../route/link-info.ts';
import { linkMessage } from '../route/link-message.ts';
import { encodeFdbEntry, encodeNeighbor } from '../route/neighbor.ts';
import { encodeNetconf } from '../route/netconf.ts';
import { encodeNexthop } from '../route/nexthop.ts';
import { encodeRoute } from '../route/route.ts';
import { encodeRule } from '../route/rule.ts';
import type { LinkRequest } from './fake-links.ts';
import type { Announcement } from './fake-state.ts';
import type { Refusal } from './refusal.ts';

/** Type and payload of the message that tells an object, as an announcement or as part of a list. */
export function encodeAnnouncement(event: Announcement): Pick<Message, 'type' | 'payload'> {
  switch (event.type) {
    case 'link':
      return { type: event.gone ? RTM_DELLINK : RTM_NEWLINK, payload: encodeLink(event.link) };
    case 'address':
      return { type: event.gone ? RTM_DELADDR : RTM_NEWADDR, payload: encodeAddress(event.address) };
    case 'route':
      return { type: event.gone ? RTM_DELROUTE : RTM_NEWROUTE, payload: encodeRoute(event.route) };
    case 'nexthop':
      return { type: event.gone ? RTM_DELNEXTHOP : RTM_NEWNEXTHOP, payload: encodeNexthop(event.nexthop) };
    case 'neighbor':
      return { type: event.gone ? RTM_DELNEIGH : RTM_NEWNEIGH, payload: encodeNeighbor(event.neighbor) };
    case 'fdb':
      return { type: event.gone ? RTM_DELNEIGH : RTM_NEWNEIGH, payload: encodeFdbEntry(event.entry) };
    case 'rule':
      return { type: event.gone ? RTM_DELRULE : RTM_NEWRULE, payload: encodeRule(event.rule) };
    case 'netconf':
      return { type: event.gone ? RTM_DELNETCONF : RTM_NEWNETCONF, payload: encodeNetconf(event.netconf) };
  }
}

function encodeLink(link: Link): Uint8Array {
  const { name, mac, mtu, lower, master, txQueueLength, operState, alias, altNames, netnsId, info } = link;
  return linkMessage.encode(
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
      netnsId,
      properties: altNames && { altNames },
      info: info && encodeLinkInfo(info),
      unknown: link.unknown,
    },
  );
}

/** @throws CodecError */
export function decodeLinkRequest(payload: Uint8Array): LinkRequest {
  const { header, attributes: asked } = linkMessage.decode(payload);
  const { name, altName, mtu, mac, master, lower, txQueueLength, alias } = asked;
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
    info: decodeLinkInfo(asked.info?.kind, asked.info?.data),
  });
}

const ackAttributes = attributes({ words: one(NLMSGERR_ATTR_MSG, text) });

/** Yes, or no with the reason; the refused request itself is not sent back. */
export function encodeAcknowledgement(request: Message, refusal?: Refusal): Message {
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
