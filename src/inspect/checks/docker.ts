/** Docker against the lease of this host: its daemon, and the subnets of its bridges. */
import { existsSync } from 'node:fs';
import { messageOf } from '../../base/errors.ts';
import { Prefix } from '../../base/prefix.ts';
import { BRIDGE_OPTION, DockerError } from '../../docker/docker-api.ts';
import type { DockerNetworkState, ListedContainer } from '../../docker/docker-messages.ts';
import type { Address, Link } from '../../netlink/route/objects.ts';
import type { Container } from '../host/containers.ts';
import type { HostReader } from '../host/host-reader.ts';
import type { Members } from '../host/members.ts';
import type { HostOverlay } from '../host/overlay.ts';
import { type Cause, commandText, HERE } from './check.ts';

export interface DockerFacts extends Members {
  readonly overlay: HostOverlay;
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly containers: readonly Container[];
  /** As Docker lists those that run; empty where it does not answer. */
  readonly listed: readonly ListedContainer[];
  readonly peers: readonly Prefix[];
  readonly daemon: DaemonState;
}

/** What dockerd answers. */
export type DaemonState =
  | { readonly networks: readonly DockerNetworkState[]; readonly failure?: never }
  /** It was here, and does not answer. */
  | { readonly failure: string; readonly networks?: never }
  /** This host has no Docker. */
  | 'absent';

/** dockerd makes it when it starts, and leaves it. */
const TRACE_OF_DOCKER = '/run/docker/netns';

export async function checkDocker(host: HostReader): Promise<Cause[]> {
  const overlay = await host.overlay();
  if (overlay === undefined) return [];
  const [members, links, addresses, containers, listed, peers, daemon] = await Promise.all([
    host.members(),
    host.links(),
    host.addresses(),
    host.containers(),
    host.dockerContainers().catch(() => []),
    host.peerSubnets(),
    daemonState(host),
  ]);
  return judgeDocker({ ...members, overlay, links, addresses, containers, listed, peers, daemon });
}

async function daemonState(host: HostReader): Promise<DaemonState> {
  try {
    return { networks: await host.dockerNetworks() };
  } catch (error) {
    if (!(error instanceof DockerError)) throw error;
    // On a busy host the error may be that of the deadline.
    const isAbsent = !existsSync(host.dockerSocket) && !existsSync(TRACE_OF_DOCKER);
    return isAbsent ? 'absent' : { failure: messageOf(error) };
  }
}

export function judgeDocker(facts: DockerFacts): Cause[] {
  return [
    ...judgeDaemon(facts),
    ...judgeBridgeSubnets(facts),
    ...judgeDefaultBridge(facts),
    ...judgeDisconnected(facts),
  ];
}

/** Names that dockerd gives to bridges. */
const DOCKERS = /^(docker0|br-[0-9a-f]{12})$/;

function judgeDaemon({ daemon, bridges }: DockerFacts): Cause[] {
  const ours = bridges.find(({ link }) => DOCKERS.test(link.name));
  if (daemon === 'absent' || daemon.failure === undefined || ours === undefined) return [];
  return [
    {
      code: 'DOCKER_STOPPED',
      severity: 'warning',
      layer: 'docker',
      reason: `dockerd does not answer: containers behind ${ours.link.name} that still run are reached, and none can be started`,
      evidence: [daemon.failure],
      remedy: 'systemctl start docker  # journalctl -u docker shows why it ended',
    },
  ];
}

/** A bridge with addresses of another host, or of a subnet that this host had. */
function judgeBridgeSubnets({ overlay, links, addresses, peers, daemon }: DockerFacts): Cause[] {
  const own = overlay.subnets;
  return links
    .filter(({ info }) => info?.kind === 'bridge')
    .flatMap(bridge =>
      addresses
        .filter(({ index, ip }) => index === bridge.index && isOverlays(ip, overlay))
        .map((address): Cause => {
          const block = Prefix.of(address.ip, address.length);
          const network = networkOf(bridge, daemon);
          const isDockers = network !== undefined || DOCKERS.test(bridge.name);
          const isTaken = peers.some(peer => peer.overlaps(block));
          const who =
            network === undefined ? bridge.name : `${bridge.name} (network ${network.Name} of Docker)`;
          return {
            code: isDockers ? 'DOCKER_SUBNET' : 'FORMER_SUBNET',
            severity: 'error',
            layer: 'docker',
            reason: `${who} has ${address.ip}/${address.length}, which is not in ${own.join(' or ')}, the subnet of ${HERE}: ${isTaken ? 'packets for the host that has it stay here' : 'containers behind it cannot talk to other hosts'}`,
            evidence: [`${bridge.name}: ${address.ip}/${address.length}`, `leased: ${own.join(', ')}`],
            remedy: remedyFor(network, overlay),
          };
        }),
    );
}

const isOverlays = (ip: Address['ip'], { networks, subnets }: HostOverlay) =>
  networks.some(network => network.contains(ip)) && !subnets.some(block => block.contains(ip));

const BRIDGE_PREFIX = 12;

function networkOf({ name }: Link, daemon: DaemonState): DockerNetworkState | undefined {
  if (daemon === 'absent') return undefined;
  return daemon.networks?.find(
    ({ Id, Options }) => Options?.[BRIDGE_OPTION] === name || name === `br-${Id.slice(0, BRIDGE_PREFIX)}`,
  );
}

const bip = ({ gateways }: HostOverlay) => gateways.map(({ ip, length }) => `${ip}/${length}`).join(', ');

function remedyFor(network: DockerNetworkState | undefined, overlay: HostOverlay): string {
  const isDefault = network === undefined || network.Name === 'bridge';
  if (isDefault)
    return `tulle docker configure --restart ("bip": "${bip(overlay)}" in daemon.json), and restart the containers`;
  return `docker network rm ${network.Name}, and make it anew with a subnet outside ${overlay.networks.join(' and ')}`;
}

/** Docker runs containers, and no bridge of the host has the subnet that was leased for them. */
function judgeDefaultBridge({
  overlay,
  bridges,
  links,
  addresses,
  containers,
  daemon,
}: DockerFacts): Cause[] {
  const bridge = links.find(({ name }) => name === 'docker0');
  if (bridge === undefined || bridges.length > 0 || daemon === 'absent') return [];
  const isUsed = containers.some(({ links: ends }) => ends.some(end => end.bridge?.index === bridge.index));
  // A host may be there for its L2 networks alone.
  const hasSegments = links.some(({ name }) => name.startsWith('tb-'));
  const address = addresses.find(({ index, family }) => index === bridge.index && family === 'ipv4');
  if (!isUsed || hasSegments || address === undefined || isOverlays(address.ip, overlay)) return [];
  return [
    {
      code: 'DOCKER_SUBNET',
      severity: 'warning',
      layer: 'docker',
      reason: `docker0 has ${address.ip}/${address.length} and not the subnet of ${HERE}: its containers are not on the overlay`,
      evidence: [`docker0: ${address.ip}/${address.length}`, `leased: ${overlay.subnets.join(', ')}`],
      remedy: remedyFor(undefined, overlay),
    },
  ];
}

/** Modes that leave a container without a network of its own on purpose. */
const WITHOUT_NETWORK = /^(?:|none|host|container:.*)$/;

/** A container that was made for a network, and is on none. */
function judgeDisconnected({ listed }: DockerFacts): Cause[] {
  return listed.flatMap(({ Id, Names, HostConfig, NetworkSettings }): Cause[] => {
    const mode = HostConfig?.NetworkMode ?? '';
    const isOnNone = Object.keys(NetworkSettings?.Networks ?? {}).length === 0;
    if (WITHOUT_NETWORK.test(mode) || !isOnNone) return [];
    const network = mode === 'default' ? 'bridge' : mode;
    const name = Names[0]?.replace(/^\//, '') ?? Id.slice(0, 12);
    return [
      {
        code: 'CONTAINER_NO_NETWORK',
        severity: 'warning',
        layer: 'container',
        reason: `the container ${name} was made for the network ${network} of Docker, and is on no network: it reaches nobody`,
        evidence: [`docker inspect ${name}: NetworkMode ${mode}, Networks {}`],
        remedy: commandText(['docker', 'network', 'connect', network, name]),
      },
    ];
  });
}
