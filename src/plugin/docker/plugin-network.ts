/** A Docker network of this plugin, as CreateNetwork stated it, and what of the cluster it is. Pure. */
import { ConfigError, type Problem } from '../../base/errors.ts';
import { type Family, Ip } from '../../base/ip.ts';
import { mapFamilies, type PerFamily, perFamily, valuesOf } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import type { NetworkWish } from '../../network/attachment/attachments.ts';
import { type DockerNetworkOptions, parseNetworkOptions } from './docker-options.ts';
import {
  type CreateNetworkCall,
  GENERIC_OPTION,
  INTERNAL_OPTION,
  IPV6_OPTION,
  type IpamData,
} from './plugin-messages.ts';
import { isToken, type PoolId } from './pool-id.ts';

/** The address space of both scopes: Docker keeps what it asked of another IPAM driver under another name. */
export const ADDRESS_SPACE = 'tulle';

export interface PluginNetwork {
  /** Docker's id of it. */
  readonly id: string;
  /** Its name in Docker; absent until Docker told. */
  readonly name?: string;
  readonly options: DockerNetworkOptions;
  readonly internal: boolean;
  readonly ipv6: boolean;
  /** Where Docker gets its addresses. */
  readonly pools: PerFamily<PoolId>;
  /** As Docker has them; none of a pool without subnet. */
  readonly gateways: PerFamily<Ip>;
  /** `--aux-address`: addresses that no container may get. */
  readonly reserved: readonly Ip[];
}

/** The name in the cluster; undefined until it is known. */
export const clusterNameOf = ({
  options,
  name,
}: Pick<PluginNetwork, 'options' | 'name'>): string | undefined => options.network ?? name;

/** What the cluster should have for it. */
export function wishOf(network: PluginNetwork, name: string): NetworkWish {
  const { pools, gateways, internal, ipv6, options } = network;
  return {
    name,
    subnets: mapFamilies(pools, pool => ('subnet' in pool ? pool.subnet : undefined)),
    // Docker asks for a gateway where none was named, too, and is given the first address; an internal network has none.
    gateways: internal ? {} : gateways,
    ipv6,
    internal,
    ...(options.mtu !== undefined && { mtu: options.mtu }),
  };
}

/** @throws ConfigError with every problem */
export function readNetwork(call: CreateNetworkCall): PluginNetwork {
  const { [GENERIC_OPTION]: given, [INTERNAL_OPTION]: internal, [IPV6_OPTION]: ipv6 } = call.Options;
  const options = parseNetworkOptions(given);
  const problems: Problem[] = [];
  const data: { readonly [Key in Family]: readonly IpamData[] } = {
    ipv4: call.IPv4Data,
    ipv6: call.IPv6Data,
  };
  const read = perFamily(family => {
    const [first, ...more] = data[family];
    if (more.length > 0) {
      problems.push({
        path: '--subnet',
        value: more[0]?.Pool,
        message: `a network has one subnet of ${family === 'ipv4' ? 'IPv4' : 'IPv6'}`,
      });
    }
    return first === undefined ? undefined : readPool(family, first, problems);
  });
  if (valuesOf(read).length === 0 && problems.length === 0) {
    problems.push({ path: 'IPv4Data', message: 'a network needs addresses' });
  }
  if (problems.length > 0) throw new ConfigError('docker network create', problems);
  return {
    id: call.NetworkID,
    options,
    internal,
    ipv6: ipv6 || read.ipv6 !== undefined,
    pools: mapFamilies(read, ({ pool }) => pool),
    gateways: mapFamilies(read, ({ gateway }) => gateway),
    reserved: valuesOf(read).flatMap(one => one.reserved),
  };
}

interface ReadPool {
  readonly pool: PoolId;
  readonly gateway: Ip | undefined;
  readonly reserved: readonly Ip[];
}

function readPool(family: Family, data: IpamData, problems: Problem[]): ReadPool | undefined {
  if (data.AddressSpace !== ADDRESS_SPACE) {
    problems.push({
      path: '--ipam-driver',
      message: "has to be tulle, so that a container gets an address that is this host's to give",
      hint: 'docker network create -d tulle --ipam-driver tulle NAME',
    });
    return undefined;
  }
  const subnet = Prefix.tryParse(data.Pool);
  const gateway = data.Gateway === '' ? undefined : Ip.tryParse(data.Gateway.split('/')[0] ?? '');
  const auxiliary = Object.values(data.AuxAddresses).map(text => Ip.tryParse(text.split('/')[0] ?? ''));
  const reserved = auxiliary.filter(ip => ip !== undefined);
  const isWrong = [subnet, gateway, ...reserved].some(one => one !== undefined && one.family !== family);
  const isGatewayWrong = gateway === undefined && data.Gateway !== '';
  if (subnet === undefined || isWrong || isGatewayWrong || reserved.length < auxiliary.length) {
    problems.push({ path: 'IpamData', value: data, message: 'is not what Docker sends' });
    return undefined;
  }
  if (gateway !== undefined && isToken(gateway)) {
    return { pool: { family, token: gateway }, gateway: undefined, reserved: [] };
  }
  return { pool: { family, subnet }, gateway, reserved };
}
