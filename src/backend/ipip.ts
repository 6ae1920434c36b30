/**
 * ipip as flannel does it (flannel pkg/backend/ipip): IPv4 packets in IPv4 (RFC 2003), over one device that has no far
 * end of its own. The next hop of a route, taken for reachable over the device, is the outer destination:
 *
 *     route   peer subnet -> via the peer's underlay address dev flannel.ipip onlink
 */

import { defined } from '../base/defined.ts';
import { ConfigError, type Problem } from '../base/errors.ts';
import { Fields } from '../base/fields.ts';
import type { DesiredIpip } from '../dataplane/desired-link.ts';
import { CONFIG_KEYS, networksOf } from '../subnet/config/config.ts';
import type { Backend, BackendContext } from './backend.ts';
import { baseAddress } from './base-address.ts';
import { directPath, existingUnderlay } from './host-gw.ts';
import { looseFilter } from './loose-filter.ts';
import { unusedOptions } from './options.ts';
import { type PeerFamily, planPeer } from './peer-plan.ts';
import { Topology } from './topology.ts';
import { fitUnderlay, mtuPartsOf } from './underlay-fit.ts';

const LINK = 'flannel.ipip';

/** An outer IPv4 header. */
const OVERHEAD = { ipv4: 20, ipv6: 20 } as const;

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function ipipBackend(context: BackendContext): Backend {
  const { config, underlay } = context;
  const problems: Problem[] = [];
  const { directRouting } = parseIpipOptions(config.backend.options, problems);
  if (config.ipv6 !== undefined) {
    problems.push({
      path: CONFIG_KEYS.ipv6.network,
      message: 'cannot be carried by ipip, which puts IPv4 into IPv4',
      hint: 'turn IPv6 off, or use vxlan',
    });
  }
  const { mtu, leftOut, reduced, ...fit } = fitUnderlay(context, OVERHEAD);
  problems.push(...fit.problems);
  const { ipv4: overlayMtu } = mtu;
  if (problems.length > 0 || overlayMtu === undefined) throw new ConfigError('ipip backend', problems);
  const link: DesiredIpip = {
    kind: 'ipip',
    name: LINK,
    mtu: overlayMtu,
    underlayIndex: 0,
    ...defined({ local: underlay.ip.ipv4 }),
  };
  const topology = new Topology(underlay.routes ?? []);
  return {
    type: 'ipip',
    needsRoutes: directRouting,
    overlayMtu,
    mtuParts: mtuPartsOf(underlay, mtu, 'IP'),
    leftOut,
    reduced,
    attributes: () => ({ backendType: 'ipip' }),
    host({ ipv4 }) {
      const addresses = ipv4 === undefined ? [] : [baseAddress(LINK, ipv4)];
      return {
        networks: networksOf(config),
        links: [link, ...(directRouting ? [existingUnderlay(underlay)] : [])],
        addresses,
        sysctls: directRouting ? addresses.flatMap(looseFilter) : [],
      };
    },
    peer: lease =>
      planPeer(lease, 'ipip', { ipv4: link }, peer =>
        directRouting && topology.isAdjacent(peer.underlayIp, underlay.link.index)
          ? directPath(peer, underlay)
          : tunnelPath(peer),
      ),
  };
}

const tunnelPath = ({ subnet, underlayIp }: PeerFamily) => ({
  link: LINK,
  subnet,
  underlayIp,
  entries: [{ kind: 'route', destination: subnet, gateway: underlayIp, onlink: true }] as const,
});

/** Appends to `problems` whatever is wrong, and to `warnings` what has no effect. */
export function parseIpipOptions(
  options: Readonly<Record<string, unknown>>,
  problems: Problem[],
  warnings: Problem[] = [],
): { readonly directRouting: boolean } {
  const fields = new Fields(options, 'Backend', problems);
  const directRouting = fields.flag('DirectRouting') ?? false;
  warnings.push(...unusedOptions(fields, 'ipip'));
  return { directRouting };
}
