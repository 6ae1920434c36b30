/**
 * Docker's IPAM calls. A pool without `--subnet` is all addresses for Docker, which then has nothing to compare it with; the
 * addresses are those of the network that this host gives, with the length of its subnet, and Docker takes both from the
 * answer. The gateway is the same on every host.
 */
import { type Family, Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Attachments } from '../../network/attachment/attachments.ts';
import type { ClusterNetworks } from './cluster-networks.ts';
import { parsePoolOptions } from './docker-options.ts';
import { DockerPluginError } from './plugin-errors.ts';
import {
  ADDRESS_TYPE_OPTION,
  type AddressCall,
  GATEWAY_OPTION,
  MAC_OPTION,
  type RequestPoolCall,
} from './plugin-messages.ts';
import { clusterNameOf } from './plugin-network.ts';
import type { PluginNetworks } from './plugin-networks.ts';
import { AUTO_POOL, drawToken, formatPoolId, isToken, type PoolId, parsePoolId } from './pool-id.ts';

export interface IpamDriverParts {
  readonly networks: PluginNetworks;
  readonly cluster: ClusterNetworks;
  readonly attachments: Pick<Attachments, 'networks' | 'reserve' | 'release'>;
  readonly randomBytes: (count: number) => Uint8Array;
}

export interface PoolAnswer {
  readonly PoolID: string;
  readonly Pool: string;
  readonly Data: Readonly<Record<string, string>>;
}

export interface AddressAnswer {
  /** `10.9.1.2/16`. */
  readonly Address: string;
  readonly Data: Readonly<Record<string, string>>;
}

export class IpamDriver {
  readonly #parts: IpamDriverParts;

  constructor(parts: IpamDriverParts) {
    this.#parts = parts;
  }

  /** @throws ConfigError, DockerPluginError */
  requestPool({ Pool, SubPool, Options, V6 }: RequestPoolCall): PoolAnswer {
    const family: Family = V6 ? 'ipv6' : 'ipv4';
    const network = parsePoolOptions(Options);
    const named = { family, ...(network !== undefined && { network }) };
    if (SubPool !== '') {
      throw new DockerPluginError('REFUSED', `--ip-range ${SubPool} cannot be kept`, {
        hint: 'each host leases ranges of the network from the store, and gives addresses out of these; leave it out',
      });
    }
    if (Pool === '') {
      const token = this.#unusedToken(family);
      return {
        PoolID: formatPoolId({ ...named, token }),
        Pool: AUTO_POOL[family],
        Data: { [GATEWAY_OPTION]: `${token}/${family === 'ipv4' ? 8 : 64}` },
      };
    }
    const subnet = Prefix.tryParse(Pool);
    if (subnet === undefined || subnet.family !== family || subnet.length === 0) {
      throw new DockerPluginError(
        'REFUSED',
        `--subnet ${Pool} is not a subnet of ${family === 'ipv4' ? 'IPv4' : 'IPv6'}`,
      );
    }
    const pool: PoolId = { ...named, subnet };
    const owner = this.#parts.networks.ofPool(pool);
    if (owner !== undefined && clusterNameOf(owner) !== network) {
      throw new DockerPluginError(
        'REFUSED',
        `${subnet} is the subnet of the Docker network ${owner.name ?? owner.id}`,
        {
          hint: 'one network can be two of Docker where both state its name: --ipam-opt tulle.network=NAME',
        },
      );
    }
    return { PoolID: formatPoolId(pool), Pool: `${subnet}`, Data: {} };
  }

  /** @throws DockerPluginError, AttachmentError and what comes from making the network */
  async requestAddress(call: AddressCall, signal: AbortSignal): Promise<AddressAnswer> {
    const pool = parsePoolId(call.PoolID);
    const ip = this.#wanted(call, pool);
    const mac = call.Options[MAC_OPTION];
    if (call.Options[ADDRESS_TYPE_OPTION] === GATEWAY_OPTION) return this.#gateway(pool, ip);
    // An address that no container may get (--aux-address): it is held when the network is there.
    if (ip !== undefined && mac === undefined && 'subnet' in pool) return answer(ip, pool.subnet.length);
    const owner = this.#parts.networks.ofPool(pool);
    if (owner === undefined) {
      throw new DockerPluginError(
        'UNKNOWN',
        'no Docker network of this pool is known to the agent of this host',
        {
          hint: 'remove the network from Docker and create it again',
        },
      );
    }
    const network = await this.#parts.cluster.of(owner.id, signal);
    const subnet = network.subnets[pool.family];
    if (subnet === undefined) {
      throw new DockerPluginError(
        'REFUSED',
        `the network ${network.name} has no addresses of ${pool.family}`,
      );
    }
    const station = mac === undefined ? Mac.random(this.#parts.randomBytes) : Mac.parse(mac);
    const given = await this.#parts.attachments.reserve(network.name, {
      family: pool.family,
      ...(ip !== undefined && { ip }),
      mac: station,
      engine: 'docker',
      container: `${station}`,
      keep: owner.options.keep && !isDrawn(station),
    });
    // Nobody will ever give back what nobody was told of.
    if (signal.aborted) await this.#parts.attachments.release(network.name, given);
    return answer(given, subnet.length);
  }

  /** Whatever it is: of an address that was never given there is nothing to do. */
  async releaseAddress(call: AddressCall): Promise<void> {
    const pool = parsePoolId(call.PoolID);
    const ip = Ip.tryParse(call.Address);
    const owner = this.#parts.networks.ofPool(pool);
    const name = pool.network ?? (owner && clusterNameOf(owner));
    if (ip === undefined || isToken(ip) || name === undefined) return;
    await this.#parts.attachments.release(name, ip);
  }

  /** That of the network where the cluster has it; else the one that is asked for, or the first address. */
  #gateway(pool: PoolId, wanted: Ip | undefined): AddressAnswer {
    if (!('subnet' in pool)) return answer(pool.token, pool.family === 'ipv4' ? 8 : 64);
    const { subnet, family } = pool;
    const network = this.#parts.attachments
      .networks()
      .find(({ kind, subnets }) => kind === 'segment' && subnets[family]?.equals(subnet) === true);
    return answer(wanted ?? network?.gateways[family] ?? subnet.ip.plus(1), subnet.length);
  }

  #wanted({ Address }: AddressCall, pool: PoolId): Ip | undefined {
    if (Address === '') return undefined;
    const ip = Ip.tryParse(Address);
    if (ip === undefined || ip.family !== pool.family) {
      throw new DockerPluginError(
        'REFUSED',
        `${Address} is no address of ${pool.family === 'ipv4' ? 'IPv4' : 'IPv6'}`,
      );
    }
    if ('subnet' in pool && !pool.subnet.contains(ip)) {
      throw new DockerPluginError('REFUSED', `${ip} is outside of the subnet ${pool.subnet}`);
    }
    return ip;
  }

  #unusedToken(family: Family): Ip {
    for (;;) {
      const token = drawToken(family, this.#parts.randomBytes);
      if (this.#parts.networks.ofPool({ family, token }) === undefined) return token;
    }
  }
}

const answer = (ip: Ip, length: number): AddressAnswer => ({ Address: `${ip}/${length}`, Data: {} });

/** Docker gives every container a MAC address of its own each time, and these begin so: it is nothing to go by. */
const isDrawn = (mac: Mac) => `${mac}`.startsWith('02:42:');
