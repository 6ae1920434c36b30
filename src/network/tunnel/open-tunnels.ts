/** The tunnels of the host that a connection to the kernel is bound to, with what was kept of them. */
import { randomBytes } from 'node:crypto';
import type { Netns } from '../../sys/netns.ts';
import { boundUdpPorts } from '../../sys/udp-ports.ts';
import { BridgeFinder, DOCKER_SOCKET, dockerAt } from './attachment.ts';
import type { KeptTunnels } from './kept.ts';
import { type TunnelParts, Tunnels } from './tunnels.ts';

type Given = Omit<TunnelParts, 'bridges' | 'boundPorts' | 'randomBytes'> & {
  /** That of the connection. */
  readonly netns: Netns;
};

export function openTunnels({ netns, ...parts }: Given, kept: KeptTunnels): Tunnels {
  const known = kept.tunnels.flatMap(({ request: { attach }, bridge }) =>
    attach === undefined || bridge === undefined ? [] : [[attach, bridge] as const],
  );
  const bridges = new BridgeFinder(dockerAt(DOCKER_SOCKET), known);
  return new Tunnels({ ...parts, bridges, boundPorts: () => boundUdpPorts(netns), randomBytes }, kept);
}
