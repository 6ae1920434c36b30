/**
 * From a tunnel and what the host has to the state of the data plane. Pure, and made again whenever the host changes: what
 * is missing now may be there later.
 */

import { VXLAN_OVERHEAD } from '../../backend/vxlan.ts';
import { defined } from '../../base/defined.ts';
import type { Problem } from '../../base/errors.ts';
import type { Mac } from '../../base/mac.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { Prefix } from '../../base/prefix.ts';
import type { DesiredHost } from '../../dataplane/desired.ts';
import { RTN_LOCAL, RTN_UNICAST } from '../../netlink/route/constants.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { TunnelFacts } from './facts.ts';
import type { TunnelSpec } from './spec.ts';

export interface TunnelPlan {
  readonly host: DesiredHost;
  readonly mtu: number;
  /** The bridge that the link becomes a port of. */
  readonly bridge?: string;
}

/** @param mac of the link. @returns what the data plane should have, or everything that this host lacks for it. */
export function planTunnel(spec: TunnelSpec, facts: TunnelFacts, mac: Mac): TunnelPlan | readonly Problem[] {
  const problems: Problem[] = [];
  const lacks = (path: keyof TunnelSpec, value: unknown, message: string, hint?: string) =>
    void problems.push({ path, value, message, ...defined({ hint }) });

  const underlay = underlayOf(spec, facts, lacks);
  if (spec.local !== undefined && !facts.addresses.some(({ ip }) => ip.equals(spec.local))) {
    lacks('local', spec.local.toString(), 'is no address of this host');
  }
  const { attachment } = facts;
  if (attachment !== undefined && 'message' in attachment) {
    lacks('attach', spec.attach, attachment.message, attachment.hint);
  }
  const bridge = attachment !== undefined && 'bridge' in attachment ? attachment.bridge : undefined;
  const mtu = mtuOf(spec, facts, underlay, lacks);
  if (problems.length > 0 || mtu === undefined) return problems;

  const { name, vni, remote, local, port, learning, ttl, addresses } = spec;
  return {
    mtu,
    ...defined({ bridge }),
    host: {
      networks: addresses.map(({ ip, length }) => Prefix.of(ip, length)),
      links: [
        {
          kind: 'vxlan',
          name,
          vni,
          remote,
          port,
          learning,
          mtu,
          mac,
          gbp: false,
          // Without a link that was named, the routes choose one for every packet.
          underlayIndex: spec.dev === undefined ? 0 : (underlay?.index ?? 0),
          ...defined({ local, ttl, master: bridge }),
        },
      ],
      addresses: addresses.map(address => ({ link: name, address })),
      sysctls: [],
    },
  };
}

export const isPlan = (planned: TunnelPlan | readonly Problem[]): planned is TunnelPlan =>
  !Array.isArray(planned);

type Lacks = (path: keyof TunnelSpec, value: unknown, message: string, hint?: string) => void;

/** The link that outer packets leave over. */
function underlayOf({ name, dev, remote }: TunnelSpec, facts: TunnelFacts, lacks: Lacks): Link | undefined {
  const { links, way, overDev } = facts;
  const text = remote.toString();
  const over = (index: number | undefined) => links.find(link => link.index === index);
  const chosen = over(way?.oif);
  if (way?.type === RTN_LOCAL) {
    lacks('remote', text, 'is an address of this host', 'name the other one');
    return undefined;
  }
  if (way !== undefined && way.type !== RTN_UNICAST) {
    lacks('remote', text, 'is no address of one host');
    return undefined;
  }
  if (chosen?.name === name) {
    lacks(
      'remote',
      text,
      `is reached over ${name} itself`,
      'a tunnel needs a way of its own to the other host',
    );
    return undefined;
  }
  if (dev === undefined) {
    if (chosen === undefined)
      lacks('remote', text, 'this host has no route to it', `try \`ip route get ${text}\``);
    return chosen;
  }
  const link = links.find(other => other.name === dev);
  if (link === undefined) lacks('dev', dev, 'this host has no such link');
  else if (dev === name) lacks('dev', dev, 'is the tunnel itself');
  else if (!link.up) lacks('dev', dev, 'is down', `\`ip link set ${dev} up\``);
  else if (
    !remote.isMulticast &&
    chosen !== link &&
    !overDev.some(
      ({ destination, family }) => family === remote.family && (destination?.contains(remote) ?? true),
    )
  ) {
    const now = chosen === undefined ? 'this host has no route to it' : `it is reached over ${chosen.name}`;
    lacks(
      'remote',
      text,
      `no route leads to it over ${dev}: ${now}`,
      `try \`ip route get ${text} oif ${dev}\``,
    );
  } else return link;
  return undefined;
}

/** What was asked for, if the underlay carries it, or else the most that it carries. */
function mtuOf(
  spec: TunnelSpec,
  { way }: TunnelFacts,
  underlay: Link | undefined,
  lacks: Lacks,
): number | undefined {
  if (underlay === undefined) return undefined;
  const { family } = spec.remote;
  const ofRoute = way?.oif === underlay.index ? way.mtu : undefined;
  const carried = Math.min(underlay.mtu ?? 0, ofRoute ?? Number.POSITIVE_INFINITY);
  const most = carried - VXLAN_OVERHEAD[family];
  const needsIpv6 = spec.attach !== undefined || spec.addresses.some(({ ip }) => ip.family === 'ipv6');
  const least = LEAST_MTU[needsIpv6 ? 'ipv6' : 'ipv4'];
  if (most < least) {
    lacks(
      'dev',
      underlay.name,
      `its MTU of ${carried} leaves ${most} for the tunnel, which needs ${least}`,
      'raise it',
    );
    return undefined;
  }
  if (spec.mtu !== undefined && spec.mtu > most) {
    lacks(
      'mtu',
      spec.mtu,
      `${underlay.name} carries ${carried}, which leaves ${most} in the tunnel`,
      `want at most ${most}`,
    );
    return undefined;
  }
  return spec.mtu ?? most;
}
