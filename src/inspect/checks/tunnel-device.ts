/** A device of the overlay against what it should be. Pure. */
import type { Ip } from '../../base/ip.ts';
import type { Mac } from '../../base/mac.ts';
import type { VxlanInfo } from '../../netlink/route/link-info.ts';
import type { Link } from '../../netlink/route/objects.ts';
import { linkLine, type NameOf } from '../../netlink/text/link.ts';
import { type Cause, HERE } from './check.ts';

/** A device as it should be; what is absent is not known. */
export interface WantedDevice {
  readonly name: string;
  readonly vni?: number;
  readonly port?: number;
  readonly mac?: Mac;
  /** Addresses that peers take its packets from, by its lease; the one there may be of a router before the host. */
  readonly sources?: readonly Ip[];
  /** Largest packet that the network was made for. */
  readonly mtu?: number;
}

interface Around {
  readonly nameOf: NameOf;
  /** Addresses that this host should have on the underlay. */
  readonly ips: readonly Ip[];
  /** All that it has. */
  readonly own: readonly Ip[];
  readonly underlay: Link | undefined;
}

const REPAIR = 'start the agent, which makes it anew';

export function deviceCauses(wanted: WantedDevice, link: Link | undefined, around: Around): Cause[] {
  const { name } = wanted;
  const cut = { severity: 'error', layer: 'tunnel' } as const;
  if (link === undefined) {
    return [
      {
        ...cut,
        code: 'TUNNEL_MISSING',
        reason: `${name}, the device of the overlay, does not exist: containers of ${HERE} are cut off from other hosts`,
        evidence: [`ip link show ${name}: Device "${name}" does not exist.`],
        remedy: REPAIR,
      },
    ];
  }
  const evidence = [linkLine(link, around.nameOf)];
  if (!link.up) {
    return [
      {
        ...cut,
        code: 'TUNNEL_DOWN',
        reason: `${name}, the device of the overlay, is down: containers of ${HERE} are cut off from other hosts`,
        evidence,
        // Its routes and next hops have gone with it.
        remedy: `ip link set dev ${name} up, and restart the agent, which makes its routes again`,
        fix: [['ip', 'link', 'set', 'dev', name, 'up']],
      },
    ];
  }
  if (link.info?.kind !== 'vxlan') return [];
  return [...identityCauses(wanted, link, link.info, around), ...mtuCauses(wanted, link, link.info, around)];
}

function identityCauses(
  { name, vni, port, mac, sources = [] }: WantedDevice,
  link: Link,
  { id, port: sendsTo, local }: VxlanInfo,
  { nameOf, ips, own }: Around,
): Cause[] {
  const common = {
    severity: 'error' as const,
    layer: 'tunnel' as const,
    evidence: [linkLine(link, nameOf)],
    remedy: REPAIR,
  };
  const causes: Cause[] = [];
  if (vni !== undefined && id !== undefined && id !== vni) {
    const reason = `${name} has the VNI ${id}, and the lease of ${HERE} says ${vni}: peers drop its frames`;
    causes.push({ ...common, code: 'VNI_MISMATCH', reason });
  }
  if (port !== undefined && sendsTo !== undefined && sendsTo !== port) {
    const reason = `${name} sends to UDP port ${sendsTo}, and the lease of ${HERE} says ${port}: peers do not listen there`;
    causes.push({ ...common, code: 'PORT_MISMATCH', reason });
  }
  if (mac !== undefined && link.mac !== undefined && !link.mac.equals(mac)) {
    const reason = `${name} has the MAC address ${link.mac}, and the lease of ${HERE} says ${mac}: it drops the frames of peers`;
    causes.push({ ...common, code: 'TUNNEL_MAC', reason });
  }
  const isOfFamily = ({ family }: Ip) => family === local?.family;
  // The link may have others beside the one that peers know.
  const leased = sources.filter(isOfFamily).filter(ip => own.some(each => each.equals(ip)));
  const ofFamily = leased.length > 0 ? leased : ips.filter(isOfFamily);
  if (local !== undefined && ofFamily.length > 0 && !ofFamily.some(ip => ip.equals(local))) {
    const reason = `${name} sends from ${local}, which is not the address of ${HERE} on the underlay (${ofFamily.join(', ')})`;
    causes.push({ ...common, code: 'TUNNEL_LOCAL', reason });
  }
  return causes;
}

/** Bytes around a frame's packet: outer IP, UDP, VXLAN, Ethernet (RFC 7348). */
const OVERHEAD = { ipv4: 50, ipv6: 70 } as const;

function mtuCauses(
  { name, mtu: wanted }: WantedDevice,
  link: Link,
  { local }: VxlanInfo,
  { nameOf, underlay }: Around,
): Cause[] {
  const mtu = link.mtu ?? 0;
  const carried = (underlay?.mtu ?? Infinity) - OVERHEAD[local?.family ?? 'ipv4'];
  const lines = [linkLine(link, nameOf), ...(underlay === undefined ? [] : [linkLine(underlay, nameOf)])];
  const common = {
    code: 'TUNNEL_MTU',
    severity: 'warning' as const,
    layer: 'mtu' as const,
    evidence: lines,
  };
  if (mtu > carried) {
    return [
      {
        ...common,
        code: 'UNDERLAY_MTU',
        reason: `${underlay?.name} carries ${carried} bytes of ${name}, which takes ${mtu}: larger packets are lost or refused`,
        remedy: `ip link set dev ${underlay?.name} mtu ${mtu + OVERHEAD[local?.family ?? 'ipv4']}, where what it is connected to carries that`,
      },
    ];
  }
  if (wanted === undefined || mtu >= wanted) return [];
  return [
    {
      ...common,
      reason: `${name} takes packets of ${mtu} bytes, and containers send up to ${wanted}: larger ones are refused`,
      remedy: `ip link set dev ${name} mtu ${wanted}`,
      fix: [['ip', 'link', 'set', 'dev', name, 'mtu', `${wanted}`]],
    },
  ];
}
