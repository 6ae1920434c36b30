/** Whether the resolver of this host is wanted. */
import { readFileSync } from 'node:fs';
import { RESOLVER_IP } from './resolver-plan.ts';

/** `auto`: as soon as this host has a network whose containers can be called by name, or Docker gives its address out. */
export const RESOLVER_MODES = ['auto', 'on', 'off'] as const;
export type ResolverMode = (typeof RESOLVER_MODES)[number];

const DAEMON_JSON = '/etc/docker/daemon.json';

/** @param networks how many networks this host has */
export function isResolverWanted(mode: ResolverMode, networks: number): boolean {
  return mode === 'on' || (mode === 'auto' && (networks > 0 || isGivenOut()));
}

/** Whether containers of Docker have the resolver's address as their server, whatever network they are on. */
function isGivenOut(): boolean {
  try {
    return readFileSync(DAEMON_JSON, 'utf8').includes(`"${RESOLVER_IP}"`);
  } catch {
    return false;
  }
}
