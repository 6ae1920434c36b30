/**
 * Connections that the kernel tracks: listed, changed and deleted, without conntrack(8). A connection has two tuples, as its first
 * packet looked and as answers look; where an address was changed they do not mirror each other:
 *
 *     original  192.0.2.2:4711 -> 192.0.2.1:8080      what the client sent
 *     reply     10.88.0.2:80   -> 192.0.2.2:4711      what the container answers
 */
import { defined } from '../../base/defined.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { type AttributeTable, type AttributeType, attributes, type Encodable, one } from '../attribute.ts';
import { ip, nested, u8, u16be, u32, u32be } from '../attribute-types.ts';
import { MessageCodec } from '../message.ts';
import type { Change, Query } from '../protocol.ts';
import * as constants from './constants.ts';
import { conntrackType, nfgenmsg } from './header.ts';

export interface ConnectionTuple {
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface TrackedConnection {
  /** IPPROTO_*. */
  readonly protocol: number;
  readonly original: ConnectionTuple;
  readonly reply: ConnectionTuple;
  /** By which the kernel tells it from a later one with the same tuples. */
  readonly id?: number;
  readonly zone?: number;
}

/** Which connections are listed, decided in the kernel where it can (Linux 5.8): others may come as well. */
export interface ConnectionFilter {
  readonly family: Family;
  /** IPPROTO_*. */
  readonly protocol: number;
  /** To which the first packet went. */
  readonly port?: number;
}

const ipAttributes = attributes({
  ipv4Source: one(constants.CTA_IP_V4_SRC, ip),
  ipv4Destination: one(constants.CTA_IP_V4_DST, ip),
  ipv6Source: one(constants.CTA_IP_V6_SRC, ip),
  ipv6Destination: one(constants.CTA_IP_V6_DST, ip),
});

const protocolAttributes = attributes({
  number: one(constants.CTA_PROTO_NUM, u8),
  sourcePort: one(constants.CTA_PROTO_SRC_PORT, u16be),
  destinationPort: one(constants.CTA_PROTO_DST_PORT, u16be),
});

const tupleAttributes = attributes({
  ip: one(constants.CTA_TUPLE_IP, nested(ipAttributes)),
  protocol: one(constants.CTA_TUPLE_PROTO, nested(protocolAttributes)),
});

type Tuple = typeof tupleAttributes extends AttributeTable<infer Fields> ? Encodable<Fields> : never;

/** Flags of one direction, and which of them are meant: struct nf_ct_tcp_flags. */
const flagsOfDirection: AttributeType<{ readonly flags: number; readonly mask: number }> = {
  encode: (writer, { flags, mask }) => writer.u8(flags).u8(mask),
  decode: (reader, length) => (length === 2 ? { flags: reader.u8(), mask: reader.u8() } : undefined),
};

const tcpAttributes = attributes({
  state: one(constants.CTA_PROTOINFO_TCP_STATE, u8),
  originalFlags: one(constants.CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, flagsOfDirection),
  replyFlags: one(constants.CTA_PROTOINFO_TCP_FLAGS_REPLY, flagsOfDirection),
});

const protocolInfoAttributes = attributes({
  tcp: one(constants.CTA_PROTOINFO_TCP, nested(tcpAttributes)),
});

const filterAttributes = attributes({
  original: one(constants.CTA_FILTER_ORIG_FLAGS, u32),
});

export const conntrackMessage = new MessageCodec(
  'nfgenmsg',
  nfgenmsg,
  attributes({
    original: one(constants.CTA_TUPLE_ORIG, nested(tupleAttributes)),
    reply: one(constants.CTA_TUPLE_REPLY, nested(tupleAttributes)),
    protocolInfo: one(constants.CTA_PROTOINFO, nested(protocolInfoAttributes)),
    timeout: one(constants.CTA_TIMEOUT, u32be),
    id: one(constants.CTA_ID, u32be),
    zone: one(constants.CTA_ZONE, u16be),
    filter: one(constants.CTA_FILTER, nested(filterAttributes)),
  }),
);

const PROTOCOL_FAMILY = {
  ipv4: constants.NFPROTO_IPV4,
  ipv6: constants.NFPROTO_IPV6,
} as const satisfies Record<Family, number>;

const headerOf = (family: Family) => ({ family: PROTOCOL_FAMILY[family], version: 0, resource: 0 });

/** Asks for connections. Not by address: kernels up to 6.18 compare those of IPv6 the wrong way round. */
export function askConnections({ family, protocol, port }: ConnectionFilter): Change {
  const flags =
    constants.CTA_FILTER_PROTO_NUM | (port === undefined ? 0 : constants.CTA_FILTER_PROTO_DST_PORT);
  const original = { protocol: { number: protocol, ...defined({ destinationPort: port }) } };
  return {
    what: `list connections of ${family}, protocol ${protocol}`,
    type: conntrackType(constants.IPCTNL_MSG_CT_GET),
    flags: 0,
    write: writer =>
      conntrackMessage.write(writer, headerOf(family), { original, filter: { original: flags } }),
  };
}

/** @throws when it is applied NetlinkError ENOENT where it is gone already */
export function deleteConnection({ protocol, original, id, zone }: TrackedConnection): Change {
  return {
    what: `delete the connection ${inWords(original)}`,
    type: conntrackType(constants.IPCTNL_MSG_CT_DELETE),
    flags: 0,
    write: writer =>
      conntrackMessage.write(writer, headerOf(original.source.family), {
        original: encodeTuple(protocol, original),
        ...defined({ id, zone }),
      }),
  };
}

/**
 * Has a tracked TCP connection go on when its packets have not been seen for a while. Without it what comes then is
 * outside of the window that is known, and INVALID (tcp_in_window, net/netfilter/nf_conntrack_proto_tcp.c). Asked for
 * again once that has happened, it takes two more things off an entry whose window never moves again:
 *
 * - MAXACK_SET: a RST 2 GiB ahead of the last acknowledgement looks as if it were behind it, and is INVALID for all that
 *   BE_LIBERAL says;
 * - DATA_UNACKNOWLEDGED: an idle connection would be forgotten after 5 minutes instead of 5 days.
 *
 * An entry that is in step gets both again from its next packet. State, timeout and everything else stay. The
 * tuple may be that of either direction.
 *
 * @param timeout seconds from now until it is forgotten if no packet comes; as it was unless given
 * @throws when it is applied NetlinkError ENOENT where nothing with these addresses and ports is tracked
 */
export function acceptAnyWindow(tuple: ConnectionTuple, timeout?: number): Change {
  const direction = {
    flags: constants.IP_CT_TCP_FLAG_BE_LIBERAL,
    mask:
      constants.IP_CT_TCP_FLAG_BE_LIBERAL |
      constants.IP_CT_TCP_FLAG_MAXACK_SET |
      constants.IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED,
  };
  return {
    what: `accept any window of the connection ${inWords(tuple)}`,
    type: conntrackType(constants.IPCTNL_MSG_CT_NEW),
    // Without NLM_F_CREATE: what is not tracked stays so.
    flags: 0,
    write: writer =>
      conntrackMessage.write(writer, headerOf(tuple.source.family), {
        original: encodeTuple(IPPROTO_TCP, tuple),
        protocolInfo: { tcp: { originalFlags: direction, replyFlags: direction } },
        ...defined({ timeout }),
      }),
  };
}

/** Asks for one TCP connection, by the tuple of either direction. */
export const askConnection = (tuple: ConnectionTuple): Query => ({
  what: `look up the connection ${inWords(tuple)}`,
  type: conntrackType(constants.IPCTNL_MSG_CT_GET),
  payload: conntrackMessage.encode(headerOf(tuple.source.family), {
    original: encodeTuple(IPPROTO_TCP, tuple),
  }),
});

/** What is known of a TCP connection that nothing has ended. */
export interface EstablishedConnection {
  /** Seconds until it is forgotten if no packet comes. */
  readonly timeout: number;
  /** Data was sent that has not been acknowledged, as far as was seen: then the timeout is shorter. */
  readonly isUnacknowledged: boolean;
}

/** undefined for one of another state. @throws CodecError */
export function decodeEstablished(payload: Uint8Array): EstablishedConnection | undefined {
  const { protocolInfo, timeout = 0 } = conntrackMessage.decode(payload).attributes;
  const { state, originalFlags, replyFlags } = protocolInfo?.tcp ?? {};
  if (state !== constants.TCP_CONNTRACK_ESTABLISHED) return undefined;
  const flags = (originalFlags?.flags ?? 0) | (replyFlags?.flags ?? 0);
  return { timeout, isUnacknowledged: (flags & constants.IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED) !== 0 };
}

const IPPROTO_TCP = 6;

const inWords = ({ source, destination, sourcePort, destinationPort }: ConnectionTuple) =>
  `${source}:${sourcePort} to ${destination}:${destinationPort}`;

const encodeTuple = (
  protocol: number,
  { source, destination, sourcePort, destinationPort }: ConnectionTuple,
): Tuple => ({
  ip: { [`${source.family}Source`]: source, [`${source.family}Destination`]: destination },
  protocol: { number: protocol, sourcePort, destinationPort },
});

/** Empty for one of a protocol without ports. @throws CodecError */
export function decodeConnection(payload: Uint8Array): TrackedConnection[] {
  const { original, reply, id, zone } = conntrackMessage.decode(payload).attributes;
  const [there, back] = [tupleOf(original), tupleOf(reply)];
  const protocol = original?.protocol?.number;
  if (there === undefined || back === undefined || protocol === undefined) return [];
  return [{ protocol, original: there, reply: back, ...defined({ id, zone }) }];
}

function tupleOf(tuple: Tuple | undefined): ConnectionTuple | undefined {
  const { ipv4Source, ipv4Destination, ipv6Source, ipv6Destination } = tuple?.ip ?? {};
  const { sourcePort, destinationPort } = tuple?.protocol ?? {};
  const [source, destination] = [ipv4Source ?? ipv6Source, ipv4Destination ?? ipv6Destination];
  return source === undefined ||
    destination === undefined ||
    sourcePort === undefined ||
    destinationPort === undefined
    ? undefined
    : { source, destination, sourcePort, destinationPort };
}
