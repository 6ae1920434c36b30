/** An L2 network as a Docker network of the driver `bridge`: what it should be, and whether one is so. Pure. */
import { Ip } from '../../../base/ip.ts';
import { Mac } from '../../../base/mac.ts';
import { familiesOf, type PerFamily } from '../../../base/per-family.ts';
import type { Prefix } from '../../../base/prefix.ts';
import { BRIDGE_OPTION } from '../../../docker/docker-api.ts';
import type { DockerNetworkState, NewDockerNetwork } from '../../../docker/docker-messages.ts';
import { isContainerName } from '../../../subnet/segment/segment.ts';
import type { AttachedEndpoint } from '../endpoints/local-endpoints.ts';
import type { SegmentSite } from '../endpoints/segment-site.ts';

/** Its value is the id of the L2 network: the proof that a Docker network is ours, and of which one. */
const NETWORK_LABEL = 'tulle.network';

/**
 * @param ranges out of which Docker gives addresses on this host; one for each family of the network.
 * Masquerade is left to the firewall of the agent. Without a gateway nothing leaves the network, so that for Docker it
 * is internal; Docker then takes an address of the range for the bridge.
 */
export function planDockerNetwork(
  { segment, bridge, mtu }: SegmentSite,
  ranges: PerFamily<Prefix>,
): NewDockerNetwork {
  const families = familiesOf(segment.subnets);
  return {
    Name: segment.name,
    CheckDuplicate: true,
    Driver: 'bridge',
    Internal: segment.internal || segment.gateways.ipv4 === undefined,
    EnableIPv6: families.includes('ipv6'),
    IPAM: {
      Driver: 'default',
      Config: families.map(family => {
        const gateway = segment.gateways[family];
        return {
          Subnet: `${segment.subnets[family]}`,
          IPRange: `${ranges[family]}`,
          ...(gateway === undefined ? {} : { Gateway: `${gateway}` }),
        };
      }),
    },
    Options: {
      [BRIDGE_OPTION]: bridge,
      'com.docker.network.driver.mtu': `${mtu}`,
      'com.docker.network.bridge.enable_ip_masquerade': 'false',
    },
    Labels: { [NETWORK_LABEL]: segment.id },
  };
}

/** The id of the L2 network that a Docker network is; undefined for one that is not ours. */
export function segmentIdOf({ Labels, Driver }: DockerNetworkState): string | undefined {
  return Driver === 'bridge' ? (Labels[NETWORK_LABEL] ?? undefined) : undefined;
}

/** Why a Docker network is not what it should be; undefined when it is. */
export function differenceOf(present: DockerNetworkState, wanted: NewDockerNetwork): string | undefined {
  for (const [name, value] of Object.entries(wanted.Options)) {
    if (present.Options[name] !== value)
      return `${name} is ${present.Options[name] ?? 'not set'}, not ${value}`;
  }
  if (present.Internal !== wanted.Internal) return `it is ${present.Internal ? '' : 'not '}internal`;
  for (const { Subnet, IPRange, Gateway } of wanted.IPAM.Config) {
    const config = present.IPAM.Config.find(one => one.Subnet === Subnet);
    if (config === undefined) return `it has no subnet ${Subnet}`;
    if (config.IPRange !== IPRange)
      return `its range is ${config.IPRange || 'the whole subnet'}, not ${IPRange}`;
    if (Gateway !== undefined && config.Gateway !== Gateway) return `its gateway is ${config.Gateway}`;
  }
  return undefined;
}

/** What Docker has attached to a network. */
export function containersOn({ Containers }: DockerNetworkState): readonly AttachedEndpoint[] {
  return Object.entries(Containers).flatMap(([id, { Name, MacAddress, IPv4Address, IPv6Address }]) => {
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(MacAddress)) return [];
    const mac = Mac.parse(MacAddress);
    const ips = [IPv4Address, IPv6Address].flatMap(text => Ip.tryParse(text.split('/')[0] ?? '') ?? []);
    return ips.map(ip => ({ ip, mac, container: nameOf(id, Name) }));
  });
}

/** Docker sets no bound to a name, and has none yet for a container that it is about to start. */
function nameOf(id: string, name: string): string {
  const cut = name.slice(0, MOST_NAME);
  return isContainerName(cut) ? cut : id.slice(0, 12) || 'container';
}

const MOST_NAME = 128;
