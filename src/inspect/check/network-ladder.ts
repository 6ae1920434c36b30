/** The ladder of a container on an L2 network: underlay, bridge, and through the network's own tunnel. Pure. */
import type { Ip } from '../../base/ip.ts';
import { outerRungs, rungPair, smallRung } from './ladder.ts';
import type { NetworkTarget } from './network-target.ts';
import type { Rung } from './rung.ts';
import type { CheckSite, PeerSite } from './site.ts';

/** What the overlay's tunnel answers says nothing of that of the network. */
export const networkOuterRungs = (site: CheckSite, peer: PeerSite): Rung[] =>
  outerRungs(site, peer).filter(({ kind }) => kind === 'underlay');

/** @param gateways addresses of the network's bridge on this host */
export const networkOwnRungs = ({ from, bridge }: NetworkTarget, gateways: readonly Ip[]): Rung[] =>
  from.flatMap(({ name, ip }) =>
    gateways
      .filter(({ family }) => family === ip.family)
      .slice(0, 1)
      .flatMap(to =>
        smallRung({ kind: 'gateway', to, source: ip, container: name, target: `its bridge ${bridge}` }),
      ),
  );

/** From the containers of this host to those of the peer: frames through the network's tunnel. */
export const networkInnerRungs = ({ from, to, mtu }: NetworkTarget, peer: PeerSite): Rung[] =>
  to
    .filter(one => one.peer === peer)
    .flatMap(target =>
      from
        .filter(({ ip }) => ip.family === target.ip.family)
        .flatMap(({ name, ip }) =>
          rungPair(
            {
              kind: 'container',
              to: target.ip,
              source: ip,
              container: name,
              target: `${target.name} of ${peer.name}`,
              peer,
            },
            mtu,
          ),
        ),
    );

/** What this check does not look at, one sentence each. */
export function unseenOf({ network, bridge, from, to }: NetworkTarget): string[] {
  const settings = `the settings of the network ${network}${
    bridge === undefined ? '' : ` (bridge ${bridge}, its tunnel, its rules)`
  }: only packets through it were asked for; \`tulle network inspect ${network}\` has what the agent says of it`;
  if (from.length === 0)
    return [
      `no container of this host is on the network ${network}, so nothing could be sent through it: only the way to the host was asked`,
      settings,
    ];
  if (to.length === 0)
    return [
      `no container of another host is on the network ${network}, so nothing could be sent through its tunnel`,
      settings,
    ];
  return [settings];
}
