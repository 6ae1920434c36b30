/**
 * The message about a link: struct ifinfomsg, include/uapi/linux/rtnetlink.h.
 *
 *      0      1      2       4               8               12              16
 *     +------+------+-------+---------------+---------------+---------------+
 *     |family| 0    | type  | ifindex       | flags         | change mask   |
 *     +------+------+-------+---------------+---------------+---------------+
 *
 * A request changes those flags that are set in its change mask. A request without an index finds its link by name.
 */
import { attributes, many, one } from '../attribute.ts';
import { mac, nested, nestedBytes, text, u8, u32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  IFLA_ADDRESS,
  IFLA_ALT_IFNAME,
  IFLA_EXT_MASK,
  IFLA_GROUP,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_INFO_SLAVE_DATA,
  IFLA_INFO_SLAVE_KIND,
  IFLA_LINK,
  IFLA_LINK_NETNSID,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_NEW_IFINDEX,
  IFLA_NEW_NETNSID,
  IFLA_OPERSTATE,
  IFLA_PROP_LIST,
  IFLA_PROTINFO,
  IFLA_TARGET_NETNSID,
  IFLA_TXQLEN,
  IFLA_XDP,
  IFLA_XDP_ATTACHED,
  IFLA_XDP_PROG_ID,
} from './constants.ts';

export interface LinkHeader {
  readonly family: number;
  /** ARPHRD_*. */
  readonly type: number;
  readonly index: number;
  readonly flags: number;
  readonly change: number;
}

export const ANY_LINK: LinkHeader = { family: 0, type: 0, index: 0, flags: 0, change: 0 };

export const linkHeader: Struct<LinkHeader> = {
  encode: (writer, { family, type, index, flags, change }) =>
    writer.u8(family).u8(0).u16(type).u32(index).u32(flags).u32(change),
  decode(reader) {
    const family = reader.u8();
    reader.skip(1);
    return { family, type: reader.u16(), index: reader.u32(), flags: reader.u32(), change: reader.u32() };
  },
};

export const linkMessage = new MessageCodec(
  'ifinfomsg',
  linkHeader,
  attributes({
    name: one(IFLA_IFNAME, text),
    altName: one(IFLA_ALT_IFNAME, text),
    properties: one(IFLA_PROP_LIST, nested(attributes({ altNames: many(IFLA_ALT_IFNAME, text) }))),
    mac: one(IFLA_ADDRESS, mac),
    mtu: one(IFLA_MTU, u32),
    lower: one(IFLA_LINK, u32),
    master: one(IFLA_MASTER, u32),
    protocolInfo: one(IFLA_PROTINFO, nestedBytes),
    txQueueLength: one(IFLA_TXQLEN, u32),
    operState: one(IFLA_OPERSTATE, u8),
    alias: one(IFLA_IFALIAS, text),
    group: one(IFLA_GROUP, u32),
    netnsFd: one(IFLA_NET_NS_FD, u32),
    netnsId: one(IFLA_LINK_NETNSID, u32),
    newNetnsId: one(IFLA_NEW_NETNSID, u32),
    targetNetnsId: one(IFLA_TARGET_NETNSID, u32),
    newIndex: one(IFLA_NEW_IFINDEX, u32),
    extMask: one(IFLA_EXT_MASK, u32),
    xdp: one(
      IFLA_XDP,
      nested(attributes({ attached: one(IFLA_XDP_ATTACHED, u8), programId: one(IFLA_XDP_PROG_ID, u32) })),
    ),
    info: one(
      IFLA_LINKINFO,
      nested(
        attributes({
          kind: one(IFLA_INFO_KIND, text),
          data: one(IFLA_INFO_DATA, nestedBytes),
          portKind: one(IFLA_INFO_SLAVE_KIND, text),
          portData: one(IFLA_INFO_SLAVE_DATA, nestedBytes),
        }),
      ),
    ),
  }),
);
