/**
 * How a cluster comes up: many hosts start at the same moment and want a subnet each, from one real etcd.
 *
 *     tulle    our registry as an agent runs it: configuration, lease, renewal, peers
 *     flannel  flannel's procedure: list, one call for the age of each lease, a random one of the first hundred
 *              free subnets, one attempt to create it; who loses ends (flannel pkg/subnet/etcd/local_manager.go)
 *
 * All hosts are simulated in this process, each with a connection of its own.
 */
import { Ip } from '../../base/ip.ts';
import { Watchable } from '../../base/watchable.ts';
import { EtcdStore } from '../../store/etcd/etcd-store.ts';
import type { Store } from '../../store/store.ts';
import { formatSubnet, type LeaseAttributes, overlaps } from '../../subnet/lease/lease.ts';
import { Registry } from '../../subnet/registry.ts';
import { type Distribution, distributionOf } from '../distribution.ts';
import { joinLikeFlannel, joinLikeTulle } from './hosts.ts';

/** Named as the shapes of `bench program`: whose procedure it is. */
export const JOIN_SHAPES = ['tulle', 'flannel'] as const;
export type JoinShape = (typeof JOIN_SHAPES)[number];

/** Room for 255 hosts, so that 200 collide. */
const BENCH_NETWORK = { Network: '10.5.0.0/16', Backend: { Type: 'vxlan' } } as const;

export interface JoinResult {
  readonly shape: JoinShape;
  readonly agents: number;
  /** Leases in the store afterwards. */
  readonly leases: number;
  /** Those of them that overlap no other. */
  readonly unique: number;
  /** Agents that gave up. */
  readonly exited: number;
  /** Milliseconds from the start of all to the lease of each. */
  readonly ms: Distribution | undefined;
  /** Milliseconds from the start of all until every agent knew every other. */
  readonly allKnown?: number;
}

export interface JoinOptions {
  readonly endpoint: string;
  readonly agents: number;
  readonly signal: AbortSignal;
}

export async function measureJoin(shape: JoinShape, options: JoinOptions): Promise<JoinResult> {
  const { endpoint, agents, signal } = options;
  await using observer = new EtcdStore({ endpoints: [endpoint] });
  const registry = new Registry(observer, { prefix: `/bench/${shape}` });
  await observer.put(registry.configKey, new TextEncoder().encode(JSON.stringify(BENCH_NETWORK)));

  const stores: Store[] = Array.from({ length: agents }, () => new EtcdStore({ endpoints: [endpoint] }));
  const end = new AbortController();
  const either = AbortSignal.any([signal, end.signal]);
  const joining = shape === 'tulle' ? joinLikeTulle : joinLikeFlannel;
  const leased = new Watchable(0);
  const started = performance.now();
  const running = stores.map((store, number) =>
    joining({
      registry: new Registry(store, { prefix: `/bench/${shape}` }),
      attributes: attributesOf(number),
      others: agents - 1,
      elapsed: () => performance.now() - started,
      leased,
      signal: either,
    }),
  );
  try {
    const joined = await Promise.all(running.map(({ joined: each }) => each));
    const { leases } = await registry.list();
    const done = joined.filter(each => each !== undefined);
    const knewAll = done.map(each => each.knewAll).filter(time => time !== undefined);
    const unique = leases.filter(
      lease => !leases.some(other => other.key !== lease.key && overlaps(other.subnet, lease.subnet)),
    );
    return {
      shape,
      agents,
      leases: leases.length,
      unique: new Set(unique.map(({ subnet }) => formatSubnet(subnet))).size,
      exited: agents - done.length,
      ms: done.length === 0 ? undefined : distributionOf(done.map(({ ms }) => ms)),
      ...(knewAll.length === agents ? { allKnown: Math.round(Math.max(...knewAll)) } : {}),
    };
  } finally {
    end.abort();
    await Promise.all(running.map(({ ended }) => ended));
    await Promise.all(stores.map(store => store[Symbol.asyncDispose]()));
  }
}

function attributesOf(number: number): LeaseAttributes & { readonly hostId: string } {
  const mac = number.toString(16).padStart(4, '0');
  return {
    publicIp: { ipv4: Ip.parse('192.168.0.1').plus(number) },
    backendType: 'vxlan',
    backendData: { ipv4: { VNI: 1, VtepMAC: `02:00:00:00:${mac.slice(0, 2)}:${mac.slice(2)}` } },
    hostId: `bench-${number}`,
  };
}
