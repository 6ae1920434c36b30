/**
 * Settings of a link that are sysctls too: struct netconfmsg, include/uapi/linux/netconf.h. The kernel announces a
 * change of them however it came about, which it does for few sysctls (devinet_conf_proc in net/ipv4/devinet.c and
 * addrconf_sysctl_forward in net/ipv6/addrconf.c).
 *
 *      0      1          4
 *     +------+----------+
 *     |family| 0        |
 *     +------+----------+
 */
import type { Writer } from '../../base/bytes.ts';
import { defined } from '../../base/defined.ts';
import type { Family } from '../../base/ip.ts';
import { attributes, one } from '../attribute.ts';
import { i32 } from '../attribute-types.ts';
import { MessageCodec, type Struct } from '../message.ts';
import {
  NETCONFA_FORWARDING,
  NETCONFA_IFINDEX,
  NETCONFA_PROXY_NEIGH,
  NETCONFA_RP_FILTER,
} from './constants.ts';
import { familyNumber, familyOf } from './family.ts';
import type { Netconf } from './objects.ts';

interface NetconfHeader {
  readonly family: number;
}

const netconfmsg: Struct<NetconfHeader> = {
  encode: (writer, { family }) => writer.u8(family).zeros(3),
  decode(reader) {
    const family = reader.u8();
    reader.skip(3);
    return { family };
  },
};

export const netconfMessage = new MessageCodec(
  'netconfmsg',
  netconfmsg,
  attributes({
    index: one(NETCONFA_IFINDEX, i32),
    forwarding: one(NETCONFA_FORWARDING, i32),
    rpFilter: one(NETCONFA_RP_FILTER, i32),
    proxyNeighbors: one(NETCONFA_PROXY_NEIGH, i32),
  }),
);

export function writeNetconf(writer: Writer, { family, ...settings }: Netconf): void {
  netconfMessage.write(writer, { family: familyNumber(family) }, settings);
}

/** undefined for a family that is not ours (MPLS), or without a link. @throws CodecError */
export function decodeNetconf(payload: Uint8Array): Netconf | undefined {
  const { header, attributes: found } = netconfMessage.decode(payload);
  const family = familyOf(header.family);
  if (family === undefined || found.index === undefined) return undefined;
  return defined({ ...found, family, index: found.index });
}

/** The request for the settings of all links. */
export const encodeNetconfQuery = (family: Family): Uint8Array =>
  netconfMessage.encode({ family: familyNumber(family) }, {});
