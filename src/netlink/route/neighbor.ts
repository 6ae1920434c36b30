/**
 * Neighbors and FDB entries share messages (RTM_*NEIGH), struct ndmsg and attributes; the family distinguishes them:
 * AF_INET and AF_INET6 map an IP address to a link-layer address, AF_BRIDGE maps a link-layer address to where its
 * frames go. include/uapi/linux/neighbour.h:
 *
 *      0      1              4               8       10     11     12
 *     +------+------+-------+---------------+-------+------+------+
 *     |family| 0    | 0     | ifindex       | state | flags| type |
 *     +------+------+-------+---------------+-------+------+------+
 */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import type { Family } from '../../base/ip.ts';
import { attributes, one } from '../attribute.ts';
import { bytes, ip, mac, u8, u16, u16be, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  AF_BRIDGE,
  NDA_CACHEINFO,
  NDA_DST,
  NDA_IFINDEX,
  NDA_LLADDR,
  NDA_MASTER,
  NDA_PORT,
  NDA_PROBES,
  NDA_PROTOCOL,
  NDA_VLAN,
  NDA_VNI,
  NTF_MASTER,
  NTF_SELF,
  NUD_NOARP,
  NUD_PERMANENT,
  NUD_REACHABLE,
} from './constants.ts';
import { familyNumber, familyOf } from './family.ts';
import type { FdbEntry, Neighbor, NewFdbEntry, NewNeighbor } from './objects.ts';

export interface NeighborHeader {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
  readonly type: number;
}

const ANY_NEIGHBOR: NeighborHeader = { family: 0, index: 0, state: 0, flags: 0, type: 0 };

const ndmsg: Struct<NeighborHeader> = {
  encode: (writer, { family, index, state, flags, type }) =>
    writer.u8(family).zeros(3).u32(index).u16(state).u8(flags).u8(type),
  decode(reader) {
    const family = reader.u8();
    reader.skip(3);
    return { family, index: reader.u32(), state: reader.u16(), flags: reader.u8(), type: reader.u8() };
  },
};

export const neighborMessage = new MessageCodec(
  'ndmsg',
  ndmsg,
  attributes({
    destination: one(NDA_DST, ip),
    mac: one(NDA_LLADDR, mac),
    cacheInfo: one(NDA_CACHEINFO, bytes),
    probes: one(NDA_PROBES, u32),
    vlan: one(NDA_VLAN, u16),
    port: one(NDA_PORT, u16be),
    vni: one(NDA_VNI, u32),
    ifindex: one(NDA_IFINDEX, u32),
    master: one(NDA_MASTER, u32),
    protocol: one(NDA_PROTOCOL, u8),
  }),
);

/** Permanent unless a state is given. */
export function writeNeighbor(
  writer: Writer,
  neighbor: NewNeighbor & Partial<Pick<Neighbor, 'unknown'>>,
): void {
  const { index, ip: destination, mac: address, state = NUD_PERMANENT, flags = 0, protocol } = neighbor;
  neighborMessage.write(
    writer,
    { family: familyNumber(destination.family), index, state, flags, type: 0 },
    { destination, mac: address, protocol, unknown: neighbor.unknown },
  );
}

/** undefined for an entry of another family, an FDB entry above all. @throws CodecError */
export function decodeNeighbor(payload: Uint8Array): Neighbor | undefined {
  const { header, attributes: found } = neighborMessage.decode(payload);
  if (familyOf(header.family) === undefined || found.destination === undefined) return undefined;
  return defined({
    index: header.index,
    ip: found.destination,
    mac: found.mac,
    state: header.state,
    flags: header.flags,
    protocol: found.protocol,
    unknown: found.unknown,
  });
}

/** Permanent and of the link itself unless state and flags say otherwise, as `bridge fdb` does. */
export function writeFdbEntry(
  writer: Writer,
  entry: NewFdbEntry & Partial<Pick<FdbEntry, 'master' | 'unknown'>>,
): void {
  const { index, mac: address, destination, vni, port, via: ifindex, vlan, master, unknown } = entry;
  const { state = 0, flags = 0 } = entry;
  neighborMessage.write(
    writer,
    {
      family: AF_BRIDGE,
      index,
      state: state & (NUD_NOARP | NUD_REACHABLE) ? state : state | NUD_PERMANENT,
      flags: flags & (NTF_SELF | NTF_MASTER) || master !== undefined ? flags : flags | NTF_SELF,
      type: 0,
    },
    { mac: address, destination, vni, port, ifindex, vlan, master, unknown },
  );
}

/** undefined for a neighbor of IP. @throws CodecError */
export function decodeFdbEntry(payload: Uint8Array): FdbEntry | undefined {
  const { header, attributes: found } = neighborMessage.decode(payload);
  if (header.family !== AF_BRIDGE || found.mac === undefined) return undefined;
  return defined({
    index: header.index,
    mac: found.mac,
    state: header.state,
    flags: header.flags,
    destination: found.destination,
    vni: found.vni,
    port: found.port,
    via: found.ifindex,
    vlan: found.vlan,
    master: found.master,
    unknown: found.unknown,
  });
}

/** The request for a list of neighbors; its filters are attributes, not the struct's fields. */
export function encodeNeighborQuery(filter: {
  index?: number | undefined;
  family?: Family | undefined;
}): Uint8Array {
  return neighborMessage.encode(
    { ...ANY_NEIGHBOR, family: familyNumber(filter.family) },
    { ifindex: filter.index },
  );
}

/** The request for the FDB entries of one link, or of all ports of a bridge. */
export function encodeFdbQuery({ index = 0, master }: { index?: number; master?: number }): Uint8Array {
  return neighborMessage.encode({ ...ANY_NEIGHBOR, family: AF_BRIDGE, index }, { master });
}
