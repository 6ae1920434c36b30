/** Containers that Docker has given an address of the overlay, and that have no link with it: somebody has deleted it. */
import { systemClock } from '../../base/clock.ts';
import { Ip } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';
import type { ListedContainer } from '../../docker/docker-messages.ts';
import type { Link } from '../../netlink/route/objects.ts';
import type { Container } from '../host/containers.ts';
import { HostReader } from '../host/host-reader.ts';
import { type Cause, commandText } from './check.ts';

export interface DockerLinkFacts {
  /** As Docker lists those that run; empty where it does not answer. */
  readonly listed: readonly ListedContainer[];
  /** Names of networks of Docker whose containers have a veth pair. */
  readonly bridged: readonly string[];
  /** Of the host. */
  readonly links: readonly Link[];
  readonly containers: readonly Pick<Container, 'links' | 'allLinks'>[];
  /** Of all containers. */
  readonly held: readonly string[];
  /** Of this host. */
  readonly subnets: readonly Prefix[];
}

/** Milliseconds: Docker lists a container that ends a little longer than it has links, and one that starts may be seen without. */
const MOMENT = 300;

export async function checkDockerLinks(host: HostReader): Promise<Cause[]> {
  const first = judgeDockerLinks(await factsOf(host));
  if (first.length === 0) return [];
  await systemClock.sleep(MOMENT);
  await using again = HostReader.open({ netns: host.netns, dockerSocket: host.dockerSocket });
  const subnets = (await host.overlay())?.subnets ?? [];
  const still = judgeDockerLinks({ ...(await factsOf(again)), subnets });
  return still.filter(({ reason }) => first.some(cause => cause.reason === reason));
}

async function factsOf(host: HostReader): Promise<DockerLinkFacts> {
  const [overlay, listed, networks, containers, links] = await Promise.all([
    host.overlay(),
    host.dockerContainers().catch(() => []),
    host.dockerNetworks().catch(() => []),
    host.containers(),
    host.links(),
  ]);
  const addresses = await Promise.all(containers.map(({ inside }) => inside.addresses().catch(() => [])));
  const held = addresses.flat().map(({ ip }) => `${ip}`);
  const bridged = networks.filter(({ Driver }) => Driver === 'bridge').map(({ Name }) => Name);
  return { listed, bridged, links, containers, held, subnets: overlay?.subnets ?? [] };
}

export function judgeDockerLinks({
  listed,
  bridged,
  links,
  containers,
  held,
  subnets,
}: DockerLinkFacts): Cause[] {
  const known = new Set(containers.flatMap(one => one.links.map(({ outer }) => outer.index)));
  // What cannot be entered from here may have any address; a pair on no bridge may be the uplink.
  if (
    links.some(
      ({ info, netnsId, master, index }) =>
        info?.kind === 'veth' && netnsId !== undefined && master !== undefined && !known.has(index),
    )
  )
    return [];
  const macs = new Set(containers.flatMap(({ allLinks }) => allLinks.map(({ mac }) => `${mac}`)));
  return listed.flatMap(({ Id, Names, NetworkSettings }) =>
    Object.entries(NetworkSettings?.Networks ?? {}).flatMap(
      ([network, { IPAddress, MacAddress }]): Cause[] => {
        const ip = Ip.tryParse(IPAddress);
        if (ip === undefined || !bridged.includes(network) || !subnets.some(block => block.contains(ip)))
          return [];
        if (held.includes(`${ip}`) || macs.has(MacAddress.toLowerCase())) return [];
        const name = Names[0]?.replace(/^\//, '') ?? Id.slice(0, 12);
        return [
          {
            code: 'CONTAINER_NO_NETWORK',
            severity: 'warning',
            layer: 'container',
            reason: `the container ${name} has ${ip} on the network ${network} of Docker, and its link is gone: it reaches nobody`,
            evidence: [
              `docker inspect ${name}: ${network}, ${ip}, ${MacAddress}`,
              'no link of a container has either',
            ],
            remedy: commandText(['docker', 'restart', name]),
          },
        ];
      },
    ),
  );
}
