/** What people call a container, where the file of its namespace does not say so: Docker's names. */
import { basename } from 'node:path';
import type { ListedContainer } from '../../docker/docker-messages.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';

/** What is known of a container in its namespace. */
export interface Unnamed {
  /** Of its namespace. */
  readonly path: string;
  /** Ends of its veth pairs inside. */
  readonly links: readonly Pick<Link, 'mac'>[];
  readonly addresses: readonly Pick<Address, 'ip'>[];
}

/**
 * `c1` of `ip netns` or Docker; otherwise what leads to it: `sandbox 1f2e3d4c5b6a` (Docker does not answer), `process 812`.
 * Docker's list knows MAC and IP address, and no namespace; one of both is enough, the other may have been changed.
 */
export function containerName(
  { path, links, addresses }: Unnamed,
  docker: readonly ListedContainer[],
): string {
  if (path.startsWith('/run/netns/')) return basename(path);
  const macs = new Set(links.flatMap(({ mac }) => mac?.toString() ?? []));
  const ips = new Set(addresses.map(({ ip }) => ip.toString()));
  const networksOf = ({ NetworkSettings }: ListedContainer) => Object.values(NetworkSettings?.Networks ?? {});
  const known =
    docker.find(one => networksOf(one).some(({ MacAddress }) => macs.has(MacAddress))) ??
    docker.find(one =>
      networksOf(one).some(
        ({ IPAddress, GlobalIPv6Address }) => ips.has(IPAddress) || ips.has(GlobalIPv6Address),
      ),
    );
  const [name] = known?.Names ?? [];
  if (name !== undefined) return name.replace(/^\//, '');
  const [, pid] = /^\/proc\/(\d+)\/ns\/net$/.exec(path) ?? [];
  return pid === undefined ? `sandbox ${basename(path)}` : `process ${pid}`;
}
