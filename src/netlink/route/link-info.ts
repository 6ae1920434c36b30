/** Link kinds between LinkInfo and the contents of IFLA_LINKINFO. */
import { defined } from '../../base/defined.ts';
import { unreachable } from '../../base/errors.ts';
import { attributes, one } from '../attribute.ts';
import { bytes } from '../attribute-types.ts';
import { VETH_INFO_PEER } from './constants.ts';
import {
  bridgeAttributes,
  MACVLAN_MODES,
  macvlanAttributes,
  TUN_TYPES,
  tunAttributes,
  vxlanAttributes,
} from './link-kind.ts';
import { ANY_LINK, linkMessage } from './link-message.ts';
import type { LinkInfo, VethInfo, VxlanInfo } from './objects.ts';

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
    default:
      return { kind: 'other', name: kind, data };
  }
}

/** The address families of `local` and `group` choose between attributes. */
function encodeVxlan(info: VxlanInfo): Uint8Array {
  const { local, group, ...rest } = info;
  return vxlanAttributes.toBytes({
    ...rest,
    local: local?.family === 'ipv4' ? local : undefined,
    local6: local?.family === 'ipv6' ? local : undefined,
    group: group?.family === 'ipv4' ? group : undefined,
    group6: group?.family === 'ipv6' ? group : undefined,
  });
}

function decodeVxlan(data: Uint8Array): VxlanInfo {
  const { local, local6, group, group6, ...rest } = vxlanAttributes.fromBytes(data, 'vxlan');
  return defined({ kind: 'vxlan' as const, ...rest, local: local ?? local6, group: group ?? group6 });
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
