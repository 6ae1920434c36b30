/**
 * The data of each kind of link (IFLA_INFO_DATA): its attributes, include/uapi/linux/if_link.h, if_tunnel.h and veth.h,
 * between messages and LinkInfo.
 */
import { defined } from '../../base/defined.ts';
import { unreachable } from '../../base/errors.ts';
import { attributes, one } from '../attribute.ts';
import { bool, bytes, flag, ip, u8, u16, u16be, u32 } from '../attribute-types.ts';
import {
  IFLA_BR_AGEING_TIME,
  IFLA_BR_FORWARD_DELAY,
  IFLA_BR_MCAST_SNOOPING,
  IFLA_BR_STP_STATE,
  IFLA_BR_VLAN_FILTERING,
  IFLA_IPTUN_COLLECT_METADATA,
  IFLA_IPTUN_ENCAP_DPORT,
  IFLA_IPTUN_ENCAP_FLAGS,
  IFLA_IPTUN_ENCAP_SPORT,
  IFLA_IPTUN_ENCAP_TYPE,
  IFLA_IPTUN_FWMARK,
  IFLA_IPTUN_LINK,
  IFLA_IPTUN_LOCAL,
  IFLA_IPTUN_PMTUDISC,
  IFLA_IPTUN_PROTO,
  IFLA_IPTUN_REMOTE,
  IFLA_IPTUN_TOS,
  IFLA_IPTUN_TTL,
  IFLA_MACVLAN_FLAGS,
  IFLA_MACVLAN_MODE,
  IFLA_TUN_GROUP,
  IFLA_TUN_MULTI_QUEUE,
  IFLA_TUN_OWNER,
  IFLA_TUN_PERSIST,
  IFLA_TUN_PI,
  IFLA_TUN_TYPE,
  IFLA_TUN_VNET_HDR,
  VETH_INFO_PEER,
} from './constants.ts';
import type { LinkInfo, VethInfo } from './link-info.ts';
import { ANY_LINK, linkMessage } from './link-message.ts';
import { decodeVxlan, encodeVxlan } from './vxlan.ts';

const bridgeAttributes = attributes({
  forwardDelay: one(IFLA_BR_FORWARD_DELAY, u32),
  ageingTime: one(IFLA_BR_AGEING_TIME, u32),
  stpState: one(IFLA_BR_STP_STATE, u32),
  vlanFiltering: one(IFLA_BR_VLAN_FILTERING, bool),
  multicastSnooping: one(IFLA_BR_MCAST_SNOOPING, bool),
});

const tunAttributes = attributes({
  owner: one(IFLA_TUN_OWNER, u32),
  group: one(IFLA_TUN_GROUP, u32),
  type: one(IFLA_TUN_TYPE, u8),
  packetInformation: one(IFLA_TUN_PI, bool),
  vnetHeader: one(IFLA_TUN_VNET_HDR, bool),
  persist: one(IFLA_TUN_PERSIST, bool),
  multiQueue: one(IFLA_TUN_MULTI_QUEUE, bool),
});

const macvlanAttributes = attributes({
  mode: one(IFLA_MACVLAN_MODE, u32),
  flags: one(IFLA_MACVLAN_FLAGS, u16),
});

const ipipAttributes = attributes({
  link: one(IFLA_IPTUN_LINK, u32),
  local: one(IFLA_IPTUN_LOCAL, ip),
  remote: one(IFLA_IPTUN_REMOTE, ip),
  ttl: one(IFLA_IPTUN_TTL, u8),
  tos: one(IFLA_IPTUN_TOS, u8),
  pmtuDiscovery: one(IFLA_IPTUN_PMTUDISC, bool),
  protocol: one(IFLA_IPTUN_PROTO, u8),
  fwmark: one(IFLA_IPTUN_FWMARK, u32),
  collectMetadata: one(IFLA_IPTUN_COLLECT_METADATA, flag),
  encapType: one(IFLA_IPTUN_ENCAP_TYPE, u16),
  encapFlags: one(IFLA_IPTUN_ENCAP_FLAGS, u16),
  encapSourcePort: one(IFLA_IPTUN_ENCAP_SPORT, u16be),
  encapDestinationPort: one(IFLA_IPTUN_ENCAP_DPORT, u16be),
});

/** enum macvlan_mode. */
const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 } as const;

/** IFF_TUN and IFF_TAP of include/uapi/linux/if_tun.h. */
const TUN_TYPES = { tun: 1, tap: 2 } as const;

/** The peer is a whole link message of its own. */
const vethAttributes = attributes({ peer: one(VETH_INFO_PEER, bytes) });

interface KindAndData {
  readonly kind: string;
  readonly data: Uint8Array | undefined;
}

export function encodeLinkInfo(info: LinkInfo): KindAndData {
  switch (info.kind) {
    case 'vxlan':
      return { kind: 'vxlan', data: encodeVxlan(info) };
    case 'veth':
      return { kind: 'veth', data: info.peer && encodePeer(info.peer) };
    case 'bridge':
      return { kind: 'bridge', data: orNothing(bridgeAttributes.toBytes(info)) };
    case 'tun': {
      const type = info.type && TUN_TYPES[info.type];
      return { kind: 'tun', data: orNothing(tunAttributes.toBytes({ ...info, type })) };
    }
    case 'macvlan': {
      const mode = info.mode && MACVLAN_MODES[info.mode];
      return { kind: 'macvlan', data: orNothing(macvlanAttributes.toBytes({ ...info, mode })) };
    }
    case 'ipip':
      return { kind: 'ipip', data: orNothing(ipipAttributes.toBytes(info)) };
    case 'wireguard':
      return { kind: 'wireguard', data: undefined };
    case 'other':
      return { kind: info.name, data: info.data };
    default:
      return unreachable(info);
  }
}

/** @param kind absent for a physical device. @throws CodecError */
export function decodeLinkInfo(
  kind: string | undefined,
  data: Uint8Array = new Uint8Array(),
): LinkInfo | undefined {
  switch (kind) {
    case undefined:
      return undefined;
    case 'vxlan':
      return decodeVxlan(data);
    case 'veth': {
      const { peer } = vethAttributes.fromBytes(data, 'veth');
      return defined({ kind, peer: peer && decodePeer(peer) });
    }
    case 'bridge':
      return { kind, ...bridgeAttributes.fromBytes(data, 'bridge') };
    case 'tun': {
      const { type, ...rest } = tunAttributes.fromBytes(data, 'tun');
      return defined({ kind, ...rest, type: keyOf(TUN_TYPES, type) });
    }
    case 'macvlan': {
      const { mode, ...rest } = macvlanAttributes.fromBytes(data, 'macvlan');
      return defined({ kind, ...rest, mode: keyOf(MACVLAN_MODES, mode) });
    }
    case 'ipip':
      return { kind, ...ipipAttributes.fromBytes(data, 'ipip') };
    case 'wireguard':
      return { kind };
    default:
      return { kind: 'other', name: kind, data };
  }
}

type Peer = NonNullable<VethInfo['peer']>;

function encodePeer(peer: Peer): Uint8Array {
  return vethAttributes.toBytes({ peer: linkMessage.encode(ANY_LINK, peer) });
}

function decodePeer(payload: Uint8Array): Peer {
  const { name, mac, mtu, netnsFd } = linkMessage.decode(payload).attributes;
  return defined({ name, mac, mtu, netnsFd });
}

function orNothing(data: Uint8Array): Uint8Array | undefined {
  return data.byteLength === 0 ? undefined : data;
}

function keyOf<T extends Readonly<Record<string, number>>>(
  table: T,
  value: number | undefined,
): keyof T | undefined {
  return Object.keys(table).find(key => table[key] === value);
}
