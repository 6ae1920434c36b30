/** The tunnels of the host that a connection to the kernel is bound to, with what was kept of them. */
import { randomBytes } from 'node:crypto';
import { DOCKER_SOCKET, DockerApi } from '../../docker/docker-api.ts';
import type { Netns } from '../../sys/netns.ts';
import { boundUdpPorts } from '../../sys/udp-ports.ts';
import { BridgeFinder } from './attachment.ts';
import type { KeptTunnels } from './kept.ts';
import { type TunnelParts, Tunnels } from './tunnels.ts';

/** Milliseconds. A person waits for the answer, and other tunnels do. */
const DOCKER_PATIENCE = 5_000;

type Given = Omit<TunnelParts, 'bridges' | 'boundPorts' | 'randomBytes'> & {
  /** That of the connection. */
  readonly netns: Netns;
};

export function openTunnels({ netns, ...parts }: Given, kept: KeptTunnels): Tunnels {
  const known = kept.tunnels.flatMap(({ request: { attach }, bridge }) =>
    attach === undefined || bridge === undefined ? [] : [[attach, bridge] as const],
  );
  const bridges = new BridgeFinder(new DockerApi(DOCKER_SOCKET, DOCKER_PATIENCE), known);
  return new Tunnels({ ...parts, bridges, boundPorts: () => boundUdpPorts(netns), randomBytes }, kept);
}
