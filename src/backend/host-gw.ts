/**
 * host-gw as flannel does it (flannel pkg/backend/hostgw): no device and no overhead. Each host is the gateway to the
 * containers behind it, so all hosts must be on one link:
 *
 *     route   peer subnet -> via the peer's underlay address, over the underlay's link
 */
import { ConfigError } from '../base/errors.ts';
import { valuesOf } from '../base/per-family.ts';
import type { PeerPath } from '../dataplane/desired.ts';
import { networksOf } from '../subnet/config/config.ts';
import type { Backend, BackendContext, Underlay } from './backend.ts';
import { type PeerFamily, planPeer } from './peer-plan.ts';
import { Topology } from './topology.ts';
import { fitUnderlay, mtuPartsOf, NO_OVERHEAD } from './underlay-fit.ts';

/** @throws ConfigError with everything that makes this network impossible on this host. */
export function hostGwBackend(context: BackendContext): Backend {
  const { config, underlay } = context;
  const { mtu, leftOut, reduced, problems } = fitUnderlay(context, NO_OVERHEAD);
  if (problems.length > 0) throw new ConfigError('host-gw backend', problems);
  const topology = new Topology(underlay.routes ?? []);
  return {
    type: 'host-gw',
    needsRoutes: true,
    overlayMtu: Math.min(...valuesOf(mtu)),
    mtuParts: mtuPartsOf(underlay, mtu, 'host-gw'),
    leftOut,
    reduced,
    attributes: () => ({ backendType: 'host-gw' }),
    host: () => ({
      networks: networksOf(config),
      links: [existingUnderlay(underlay)],
      addresses: [],
      sysctls: [],
    }),
    peer: lease =>
      planPeer(lease, 'host-gw', mtu, peer =>
        topology.isAdjacent(peer.underlayIp, underlay.link.index)
          ? directPath(peer, underlay)
          : `its address ${peer.underlayIp} is not on the link of ${underlay.link.name}, as host-gw needs it; ` +
            'use vxlan, with DirectRouting for the hosts that are',
      ),
  };
}

/** The link of the underlay, which is used as it is. */
export const existingUnderlay = ({ link }: Underlay) => ({ kind: 'existing', name: link.name }) as const;

/** Straight to the peer's host, which must be on the link of the underlay. */
export function directPath(
  { subnet, underlayIp }: Pick<PeerFamily, 'subnet' | 'underlayIp'>,
  { link }: Underlay,
): PeerPath {
  return {
    link: link.name,
    subnet,
    underlayIp,
    entries: [{ kind: 'route', destination: subnet, gateway: underlayIp }],
  };
}
