/** The data of a vxlan link: IFLA_VXLAN_*, include/uapi/linux/if_link.h. */
import type { Reader, Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import { type AttributeType, attributes, one } from '../attribute.ts';
import { bool, flag, ip, u8, u16be, u32, u32be } from '../attribute-types.ts';
import {
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
import type { VxlanInfo } from './link-info.ts';

/** struct ifla_vxlan_port_range: both in network order. */
const portRange: AttributeType<{ readonly low: number; readonly high: number }> = {
  encode: (writer: Writer, { low, high }) => writer.u16be(low).u16be(high),
  decode: (reader: Reader, length) =>
    length === 4 ? { low: reader.u16be(), high: reader.u16be() } : undefined,
};

const vxlanAttributes = attributes({
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

/** The address families of `local` and `group` choose between attributes. */
export function encodeVxlan(info: VxlanInfo): Uint8Array {
  const { local, group, ...rest } = info;
  return vxlanAttributes.toBytes({
    ...rest,
    local: local?.family === 'ipv4' ? local : undefined,
    local6: local?.family === 'ipv6' ? local : undefined,
    group: group?.family === 'ipv4' ? group : undefined,
    group6: group?.family === 'ipv6' ? group : undefined,
  });
}

/** @throws CodecError */
export function decodeVxlan(data: Uint8Array): VxlanInfo {
  const { local, local6, group, group6, ...rest } = vxlanAttributes.fromBytes(data, 'vxlan');
  return defined({ kind: 'vxlan' as const, ...rest, local: local ?? local6, group: group ?? group6 });
}
