/**
 * Docker's network driver calls: an endpoint is an attachment under Docker's own id of it. Both ends of its link are made
 * in the namespace of the host, in every version of Docker, and Docker moves the container's end.
 */
import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { byFamily, familiesOf, type PerFamily } from '../../base/per-family.ts';
import type {
  Attachments,
  ContainerAttachment,
  ContainerNetwork,
} from '../../network/attachment/attachments.ts';
import type { PortMapping } from '../../network/attachment/port-mapping.ts';
import { type ClusterNetworks, unknownNetwork } from './cluster-networks.ts';
import { DockerPluginError } from './plugin-errors.ts';
import {
  type CreateEndpointCall,
  type CreateNetworkCall,
  type EndpointCall,
  type ExternalCall,
  type JoinCall,
  PORTMAP_OPTION,
  type PortBinding,
} from './plugin-messages.ts';
import { clusterNameOf, readNetwork } from './plugin-network.ts';
import type { PluginNetworks } from './plugin-networks.ts';
import type { ResolverRoutes } from './resolver-routes.ts';

export interface NetworkDriverParts {
  readonly networks: PluginNetworks;
  readonly cluster: ClusterNetworks;
  readonly attachments: Pick<Attachments, 'find' | 'attach' | 'detach' | 'get'>;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Where the agent of every host answers questions for names. */
  readonly resolver: Ip | undefined;
  readonly routes: Pick<ResolverRoutes, 'take' | 'leave'>;
}

/** libnetwork/types: RouteType. */
const NEXT_HOP = 0;
const CONNECTED = 1;

interface StaticRoute {
  readonly Destination: string;
  readonly RouteType: typeof NEXT_HOP | typeof CONNECTED;
  readonly NextHop?: string;
}

export interface JoinedLink {
  readonly InterfaceName: { readonly SrcName: string; readonly DstPrefix: string };
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
  readonly StaticRoutes: readonly StaticRoute[];
  /** No further link on a bridge of Docker's for the way out. */
  readonly DisableGatewayService: true;
}

export class NetworkDriver {
  readonly #parts: NetworkDriverParts;

  constructor(parts: NetworkDriverParts) {
    this.#parts = parts;
  }

  /** @throws ConfigError, DockerPluginError; where the name is stated, also what comes from making the network */
  async createNetwork(call: CreateNetworkCall): Promise<void> {
    const { networks, cluster } = this.#parts;
    const network = readNetwork(call);
    for (const family of familiesOf(network.pools)) {
      const pool = network.pools[family];
      const owner = pool && networks.ofPool(pool);
      if (
        owner !== undefined &&
        owner.id !== network.id &&
        clusterNameOf(owner) !== network.options.network
      ) {
        throw new DockerPluginError(
          'REFUSED',
          `its subnet is that of the Docker network ${owner.name ?? owner.id}`,
        );
      }
    }
    if (network.options.network !== undefined) {
      try {
        await cluster.join(network);
      } catch (error) {
        cluster.forget(network.id);
        throw error;
      }
    }
    await networks.put(network);
  }

  async deleteNetwork({ NetworkID: id }: { readonly NetworkID: string }): Promise<void> {
    this.#parts.cluster.forget(id);
    await this.#parts.networks.remove(id);
  }

  /** @returns the MAC address where Docker gave none: what it gave may not come back. @throws AttachmentError, DockerPluginError */
  async createEndpoint(
    call: CreateEndpointCall,
    signal: AbortSignal,
  ): Promise<{ readonly MacAddress?: string }> {
    const { attachments, cluster, networks, randomBytes } = this.#parts;
    const { Address, AddressIPv6, MacAddress } = call.Interface;
    const addresses = byFamily(
      ...[Address, AddressIPv6].filter(text => text !== '').map(text => Ip.parse(text.split('/')[0] ?? '')),
    );
    if (familiesOf(addresses).length === 0) {
      throw new DockerPluginError('REFUSED', 'the container has no address', {
        hint: 'create the network with --ipam-driver tulle',
      });
    }
    if (networks.get(call.NetworkID) === undefined) throw unknownNetwork(call.NetworkID);
    const network = await cluster.of(call.NetworkID, signal);
    const mac = MacAddress === '' ? Mac.random(randomBytes) : Mac.parse(MacAddress);
    const id = call.EndpointID;
    const container = id.slice(0, 12);
    await attachments.attach({
      id,
      engine: 'docker',
      network: network.name,
      addresses,
      mac,
      container,
      ports: [],
    });
    // Docker does not ask to remove what it does not know of.
    if (signal.aborted) await attachments.detach(id);
    return MacAddress === '' ? { MacAddress: `${mac}` } : {};
  }

  /** @throws DockerPluginError */
  async join({ EndpointID, NetworkID, SandboxKey }: JoinCall): Promise<JoinedLink> {
    const { attachments, routes } = this.#parts;
    const attachment = this.#attachment(EndpointID);
    const network = attachments.find(attachment.network);
    if (network === undefined) throw unknownNetwork(NetworkID);
    const isFirst = await routes.take(EndpointID, SandboxKey);
    const gateways = gatewaysOf(network, attachment);
    return {
      InterfaceName: { SrcName: attachment.containerLink, DstPrefix: 'eth' },
      ...(gateways.ipv4 && { Gateway: `${gateways.ipv4}` }),
      ...(gateways.ipv6 && { GatewayIPv6: `${gateways.ipv6}` }),
      StaticRoutes: [...overlayRoutes(network, gateways), ...(isFirst ? this.#resolverRoutes(gateways) : [])],
      DisableGatewayService: true,
    };
  }

  /** The link is still in the container then, and goes with the endpoint. */
  async leave({ EndpointID }: EndpointCall): Promise<void> {
    await this.#parts.routes.leave(EndpointID);
  }

  async deleteEndpoint({ EndpointID }: EndpointCall): Promise<void> {
    await this.#parts.routes.leave(EndpointID);
    await this.#parts.attachments.detach(EndpointID);
  }

  /** The way out of its container leads over this endpoint: its ports are published here, and nowhere else. @throws AttachmentError */
  async program({ EndpointID, Options }: ExternalCall): Promise<void> {
    await this.#publish(this.#attachment(EndpointID), Options[PORTMAP_OPTION].map(portMappingOf));
  }

  /** @throws AttachmentError */
  async revoke({ EndpointID }: EndpointCall): Promise<void> {
    const attachment = this.#parts.attachments.get(EndpointID);
    if (attachment !== undefined) await this.#publish(attachment, []);
  }

  async #publish(present: ContainerAttachment, ports: readonly PortMapping[]): Promise<void> {
    if (ports.length === 0 && present.ports.length === 0) return;
    const { id, engine, network, addresses, mac, container } = present;
    await this.#parts.attachments.attach({ id, engine, network, addresses, mac, container, ports });
  }

  #attachment(id: string): ContainerAttachment {
    const found = this.#parts.attachments.get(id);
    if (found !== undefined) return found;
    throw new DockerPluginError(
      'UNKNOWN',
      `no endpoint ${id.slice(0, 12)} is known to the agent of this host`,
    );
  }

  /** Through the gateway, or straight where there is none. */
  #resolverRoutes({ ipv4: gateway }: PerFamily<Ip>): StaticRoute[] {
    const { resolver } = this.#parts;
    if (resolver === undefined) return [];
    const Destination = `${resolver}/32`;
    if (gateway === undefined) return [{ Destination, RouteType: CONNECTED }];
    return [{ Destination, RouteType: NEXT_HOP, NextHop: `${gateway}` }];
  }
}

/** Of the families in which the container has an address. */
const gatewaysOf = (
  { internal, gateways }: ContainerNetwork,
  { addresses }: ContainerAttachment,
): PerFamily<Ip> =>
  internal ? {} : byFamily(...familiesOf(addresses).flatMap(family => gateways[family] ?? []));

/** Where a container's way out leads over another network, the other hosts of the overlay need a way of their own. */
function overlayRoutes({ kind, networks }: ContainerNetwork, gateways: PerFamily<Ip>): StaticRoute[] {
  if (kind !== 'overlay') return [];
  return familiesOf(gateways).flatMap(family => {
    const network = networks[family];
    const route = { Destination: `${network}`, RouteType: NEXT_HOP, NextHop: `${gateways[family]}` } as const;
    return network === undefined ? [] : [route];
  });
}

/** include/uapi/linux/in.h. */
const PROTOCOLS: Readonly<Record<number, PortMapping['protocol']>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

/** @throws DockerPluginError */
export function portMappingOf({ Proto, Port, HostIP, HostPort, HostPortEnd }: PortBinding): PortMapping {
  const protocol = PROTOCOLS[Proto];
  const hostIp = HostIP === '' ? undefined : Ip.tryParse(HostIP);
  if (protocol === undefined || Port === 0 || (HostIP !== '' && hostIp === undefined)) {
    throw new DockerPluginError(
      'REFUSED',
      `a port of protocol ${Proto} at ${HostIP || 'all addresses'} cannot be published`,
    );
  }
  return {
    protocol,
    containerPort: Port,
    // 0.0.0.0 and :: are every address.
    ...(hostIp !== undefined && !hostIp.isUnspecified && { hostIp }),
    ...(HostPort !== 0 && { hostPort: HostPort }),
    ...(HostPortEnd > HostPort && { hostPortEnd: HostPortEnd }),
  };
}
