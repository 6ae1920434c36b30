/**
 * What makes a link the kind it is: the attributes inside IFLA_INFO_DATA, one table per kind
 * (include/uapi/linux/if_link.h; veth.h).
 */
import type { Reader, Writer } from '../../base/bytes.ts';
import { type AttributeType, attributes, one } from '../attribute.ts';
import { bool, flag, ip, u8, u16be, u32, u32be } from '../attribute-types.ts';
import {
  IFLA_BR_AGEING_TIME,
  IFLA_BR_FORWARD_DELAY,
  IFLA_BR_MCAST_SNOOPING,
  IFLA_BR_STP_STATE,
  IFLA_BR_VLAN_FILTERING,
  IFLA_MACVLAN_MODE,
  IFLA_TUN_GROUP,
  IFLA_TUN_MULTI_QUEUE,
  IFLA_TUN_OWNER,
  IFLA_TUN_PERSIST,
  IFLA_TUN_PI,
  IFLA_TUN_TYPE,
  IFLA_TUN_VNET_HDR,
  IFLA_VXLAN_AGEING,
  IFLA_VXLAN_COLLECT_METADATA,
  IFLA_VXLAN_DF,
  IFLA_VXLAN_GBP,
  IFLA_VXLAN_GPE,
  IFLA_VXLAN_GROUP,
  IFLA_VXLAN_GROUP6,
  IFLA_VXLAN_ID,
  IFLA_VXLAN_L2MISS,
  IFLA_VXLAN_L3MISS,
  IFLA_VXLAN_LABEL,
  IFLA_VXLAN_LEARNING,
  IFLA_VXLAN_LIMIT,
  IFLA_VXLAN_LINK,
  IFLA_VXLAN_LOCAL,
  IFLA_VXLAN_LOCAL6,
  IFLA_VXLAN_LOCALBYPASS,
  IFLA_VXLAN_PORT,
  IFLA_VXLAN_PORT_RANGE,
  IFLA_VXLAN_PROXY,
  IFLA_VXLAN_REMCSUM_NOPARTIAL,
  IFLA_VXLAN_REMCSUM_RX,
  IFLA_VXLAN_REMCSUM_TX,
  IFLA_VXLAN_RSC,
  IFLA_VXLAN_TOS,
  IFLA_VXLAN_TTL,
  IFLA_VXLAN_TTL_INHERIT,
  IFLA_VXLAN_UDP_CSUM,
  IFLA_VXLAN_UDP_ZERO_CSUM6_RX,
  IFLA_VXLAN_UDP_ZERO_CSUM6_TX,
  IFLA_VXLAN_VNIFILTER,
} from './constants.ts';

/** struct ifla_vxlan_port_range: both in network order. */
const portRange: AttributeType<{ readonly low: number; readonly high: number }> = {
  encode: (writer: Writer, { low, high }) => writer.u16be(low).u16be(high),
  decode: (reader: Reader, length) =>
    length === 4 ? { low: reader.u16be(), high: reader.u16be() } : undefined,
};

export const vxlanAttributes = attributes({
  id: one(IFLA_VXLAN_ID, u32),
  group: one(IFLA_VXLAN_GROUP, ip),
  group6: one(IFLA_VXLAN_GROUP6, ip),
  local: one(IFLA_VXLAN_LOCAL, ip),
  local6: one(IFLA_VXLAN_LOCAL6, ip),
  link: one(IFLA_VXLAN_LINK, u32),
  ttl: one(IFLA_VXLAN_TTL, u8),
  ttlInherit: one(IFLA_VXLAN_TTL_INHERIT, flag),
  tos: one(IFLA_VXLAN_TOS, u8),
  df: one(IFLA_VXLAN_DF, u8),
  label: one(IFLA_VXLAN_LABEL, u32be),
  learning: one(IFLA_VXLAN_LEARNING, bool),
  proxy: one(IFLA_VXLAN_PROXY, bool),
  rsc: one(IFLA_VXLAN_RSC, bool),
  l2miss: one(IFLA_VXLAN_L2MISS, bool),
  l3miss: one(IFLA_VXLAN_L3MISS, bool),
  ageing: one(IFLA_VXLAN_AGEING, u32),
  limit: one(IFLA_VXLAN_LIMIT, u32),
  portRange: one(IFLA_VXLAN_PORT_RANGE, portRange),
  port: one(IFLA_VXLAN_PORT, u16be),
  udpCsum: one(IFLA_VXLAN_UDP_CSUM, bool),
  udpZeroCsum6Tx: one(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, bool),
  udpZeroCsum6Rx: one(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, bool),
  remcsumTx: one(IFLA_VXLAN_REMCSUM_TX, bool),
  remcsumRx: one(IFLA_VXLAN_REMCSUM_RX, bool),
  remcsumNoPartial: one(IFLA_VXLAN_REMCSUM_NOPARTIAL, flag),
  collectMetadata: one(IFLA_VXLAN_COLLECT_METADATA, bool),
  vnifilter: one(IFLA_VXLAN_VNIFILTER, bool),
  localbypass: one(IFLA_VXLAN_LOCALBYPASS, bool),
  gbp: one(IFLA_VXLAN_GBP, flag),
  gpe: one(IFLA_VXLAN_GPE, flag),
});

export const bridgeAttributes = attributes({
  forwardDelay: one(IFLA_BR_FORWARD_DELAY, u32),
  ageingTime: one(IFLA_BR_AGEING_TIME, u32),
  stpState: one(IFLA_BR_STP_STATE, u32),
  vlanFiltering: one(IFLA_BR_VLAN_FILTERING, bool),
  multicastSnooping: one(IFLA_BR_MCAST_SNOOPING, bool),
});

export const tunAttributes = attributes({
  owner: one(IFLA_TUN_OWNER, u32),
  group: one(IFLA_TUN_GROUP, u32),
  type: one(IFLA_TUN_TYPE, u8),
  packetInformation: one(IFLA_TUN_PI, bool),
  vnetHeader: one(IFLA_TUN_VNET_HDR, bool),
  persist: one(IFLA_TUN_PERSIST, bool),
  multiQueue: one(IFLA_TUN_MULTI_QUEUE, bool),
});

export const macvlanAttributes = attributes({ mode: one(IFLA_MACVLAN_MODE, u32) });

/** enum macvlan_mode. */
export const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;

/** IFF_TUN and IFF_TAP of include/uapi/linux/if_tun.h. */
export const TUN_TYPES = { tun: 1, tap: 2 } as const;
