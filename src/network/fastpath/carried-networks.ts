/** What the networks of this host are to the fast path: their tunnels, and where their containers are. */
import { defined } from '../../base/defined.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { DesiredVxlan } from '../../dataplane/desired-link.ts';
import { networksOf } from '../../subnet/config/config.ts';
import type { ActivePlan } from '../active-plan.ts';
import type { SegmentScope } from '../segment/segment-scope.ts';
import { noTunnel, OBSTACLES } from './obstacle.ts';
import type { CarriedNetwork } from './plan.ts';

/** Name of the overlay in reports; no L2 network can have it. */
export const OVERLAY_NAME = 'overlay';

export function carriedOverlay(active: ActivePlan | undefined): CarriedNetwork {
  if (active === undefined)
    return { name: OVERLAY_NAME, tunnels: [], addresses: [], obstacle: OBSTACLES.waiting };
  const { plan, host, lease } = active;
  const devices = host.links.filter(link => link.kind === 'vxlan');
  const usable = devices.filter(device => device.local?.family === 'ipv4' && !device.gbp);
  const obstacle =
    plan.config.fastPath === 'off'
      ? OBSTACLES.offByConfig
      : usable.length > 0
        ? undefined
        : obstacleOf(devices, plan.backend.type);
  const block = lease.subnet.ipv4;
  return {
    name: OVERLAY_NAME,
    tunnels: usable.map(({ name: link, port, vni }) => ({ link, port, vni })),
    uplink: plan.underlay.link,
    addresses: networksOf(plan.config),
    ...defined({ block, obstacle: obstacle ?? (block === undefined ? OBSTACLES.ipv6 : undefined) }),
  };
}

/** Why none of the devices can be left out on the way. */
function obstacleOf(devices: readonly DesiredVxlan[], backend: string) {
  if (devices.length === 0) return noTunnel(backend);
  return devices.some(({ gbp }) => gbp) ? OBSTACLES.gbp : OBSTACLES.ipv6;
}

/** undefined until it is made on this host. */
export function carriedSegment({ plan, snapshot }: SegmentScope): CarriedNetwork | undefined {
  if (plan === undefined) return undefined;
  const { name, vni, port, subnets } = snapshot.segment;
  const obstacle =
    plan.family === 'ipv6' ? OBSTACLES.outerIpv6 : subnets.ipv4 === undefined ? OBSTACLES.ipv6 : undefined;
  const tunnel = plan.host.links.find(link => link.kind === 'vxlan');
  return {
    name,
    bridge: plan.links.bridge,
    tunnels: [{ link: plan.links.tunnel, port, vni }],
    addresses: valuesOf<Prefix>(subnets),
    ...defined({ uplink: tunnel && { index: tunnel.underlayIndex }, obstacle }),
  };
}
