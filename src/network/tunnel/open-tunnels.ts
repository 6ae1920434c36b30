/** The tunnels of the host that a connection to the kernel is bound to, with what was kept of them. */
import { randomBytes } from 'node:crypto';
import { BridgeFinder, DOCKER_SOCKET, dockerAt } from './attachment.ts';
import type { KeptTunnels } from './kept.ts';
import { type TunnelParts, Tunnels } from './tunnels.ts';

export function openTunnels(parts: Omit<TunnelParts, 'bridges' | 'randomBytes'>, kept: KeptTunnels): Tunnels {
  const known = kept.tunnels.flatMap(({ request: { attach }, bridge }) =>
    attach === undefined || bridge === undefined ? [] : [[attach, bridge] as const],
  );
  return new Tunnels(
    { ...parts, bridges: new BridgeFinder(dockerAt(DOCKER_SOCKET), known), randomBytes },
    kept,
  );
}
