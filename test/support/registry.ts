/** What tests of the registry share: a network, hosts, and a store in memory with a clock that is moved by hand. */
import { Ip } from '../../src/base/ip.ts';
import { byFamily } from '../../src/base/per-family.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { type NetworkConfig, parseNetworkConfig } from '../../src/subnet/config/config.ts';
import { encodeAttributes } from '../../src/subnet/lease/attributes.ts';
import { addressOf, type LeaseAttributes } from '../../src/subnet/lease/lease.ts';
import { Registry } from '../../src/subnet/registry.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { MemoryDatabase } from '../../src/testing/memory-database.ts';
import { MemoryStore } from '../../src/testing/memory-store.ts';

export const configOf = (json: object): NetworkConfig => parseNetworkConfig(JSON.stringify(json)).config;

export const IPV4 = configOf({ Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } });
export const DUAL = configOf({
  Network: '10.5.0.0/16',
  EnableIPv6: true,
  IPv6Network: 'fd00:5::/48',
  Backend: { Type: 'vxlan' },
});
/** Three subnets. */
export const SMALL = configOf({ Network: '10.5.0.0/28', Backend: { Type: 'vxlan' } });

/** The attributes of the host with this number. */
export function hostAttributes(number: number): LeaseAttributes & { readonly hostId: string } {
  return {
    publicIp: byFamily(Ip.parse('192.168.65.0').plus(number)),
    backendType: 'vxlan',
    backendData: { ipv4: { VNI: 88, VtepMAC: `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` } },
    hostId: `host-${number}`,
  };
}

/** As flannel writes them: without our own member. */
export function flannelAttributes(number: number): LeaseAttributes {
  const { hostId: _, ...attributes } = hostAttributes(number);
  return attributes;
}

/** Names below `subnets` that are no lease keys, as flannel's own tests have them (pkg/subnet/subnet_test.go). */
export const KEYS_FLANNEL_REJECTS = [
  '10',
  '10.12.13.0',
  '10.12.13-24',
  '10.12.13.300-24',
  '10.12.13.0-24hi',
  '&2001::-56',
  '10.12.13.0-24&:12:13:-56',
  '10.12.13.0-24&20011::-56',
  '10.12.13.0-24&2001-56',
  '10.12.13.0-24&2001::',
  '10.12.13.0-24&2001::-56hi',
] as const;

export const encodeText = (text: string) => new TextEncoder().encode(text);

export class RegistryFixture {
  readonly clock = new ManualClock();
  readonly database = new MemoryDatabase(this.clock);
  /** The tests' own connection, which is never disturbed. */
  readonly store = new MemoryStore(this.database);
  readonly registry = new Registry(this.store, { prefix: NETWORK_PREFIX });

  /** A connection of a host's own, to be cut off and interfered with. */
  connect(ttl = 86_400): { store: MemoryStore; registry: Registry } {
    const store = new MemoryStore(this.database);
    return { store, registry: new Registry(store, { prefix: NETWORK_PREFIX, ttl }) };
  }

  /** Puts what another program writes below `subnets`; with a `ttl` it hangs on a store lease of its own. */
  async put(key: string, value: LeaseAttributes | string, ttl?: number): Promise<bigint> {
    const bytes = typeof value === 'string' ? encodeText(value) : encodeAttributes(value);
    const lease = ttl === undefined ? 0n : (await this.store.grant(ttl)).id;
    await this.store.put(this.registry.pathOf(key), bytes, { lease });
    return lease;
  }

  /** The keys of all leases, and with each who has it. */
  async owners(): Promise<Record<string, string>> {
    const { leases } = await this.registry.list();
    return Object.fromEntries(
      leases.map(({ key, attributes }) => [key, attributes.hostId ?? `${addressOf(attributes)}`]),
    );
  }
}
