/** A Docker network of this plugin of which the record of this host is lost, read from Docker itself. Pure. */
import type { DockerNetworkState } from '../../docker/docker-messages.ts';
import { GENERIC_OPTION, INTERNAL_OPTION, IPV6_OPTION, type IpamData } from './plugin-messages.ts';
import { ADDRESS_SPACE, type PluginNetwork, readNetwork } from './plugin-network.ts';

/** @throws ConfigError for one that this plugin would not have made */
export function adoptNetwork(state: DockerNetworkState): PluginNetwork {
  const { Config } = state.IPAM;
  const data: IpamData[] = Config.map(({ Subnet, Gateway, AuxiliaryAddresses }) => ({
    AddressSpace: ADDRESS_SPACE,
    Pool: Subnet,
    Gateway,
    AuxAddresses: AuxiliaryAddresses ?? {},
  }));
  const network = readNetwork({
    NetworkID: state.Id,
    Options: {
      [GENERIC_OPTION]: state.Options,
      [INTERNAL_OPTION]: state.Internal,
      [IPV6_OPTION]: state.EnableIPv6,
    },
    IPv4Data: data.filter(({ Pool }) => !Pool.includes(':')),
    IPv6Data: data.filter(({ Pool }) => Pool.includes(':')),
  });
  return { ...network, name: state.Name };
}
