/**
 * How a cluster comes up: many hosts start at the same moment and want a subnet each, from one real etcd.
 *
 *     tulle    our registry as an agent runs it: configuration, lease, renewal, peers
 *     flannel  flannel's procedure: list, one call for the age of each lease, a random one of the first hundred
 *              free subnets, one attempt to create it; who loses ends (flannel pkg/subnet/etcd/local_manager.go)
 *
 * All hosts are simulated in this process, each with a connection of its own.
 */
import { Ip } from '../base/ip.ts';
import { Latest } from '../base/latest.ts';
import { EtcdStore } from '../store/etcd/etcd-store.ts';
import type { Store } from '../store/store.ts';
import { ConfigWatch } from '../subnet/config-watch.ts';
import { formatSubnet, type LeaseAttributes, overlaps } from '../subnet/lease.ts';
import { LeaseHolder } from '../subnet/lease-holder.ts';
import { PeerTracker } from '../subnet/peers.ts';
import { Registry } from '../subnet/registry.ts';
import { type Distribution, distributionOf } from './distribution.ts';
import { joinLikeFlannel } from './join-flannel.ts';

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

/** Times of one agent, in milliseconds since the start of all. */
interface Joined {
  readonly ms: number;
  readonly knewAll?: number;
}

export async function measureJoin(shape: JoinShape, options: JoinOptions): Promise<JoinResult> {
  const { endpoint, agents, signal } = options;
  await using observer = new EtcdStore({ endpoints: [endpoint] });
  const registry = new Registry(observer, { prefix: `/bench/${shape}` });
  await observer.put(registry.configKey, new TextEncoder().encode(JSON.stringify(BENCH_NETWORK)));

  const stores: Store[] = Array.from({ length: agents }, () => new EtcdStore({ endpoints: [endpoint] }));
  const end = new AbortController();
  const either = AbortSignal.any([signal, end.signal]);
  const joining = shape === 'tulle' ? joinAsAgent : joinLikeFlannel;
  const leased = new Latest(0);
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

export interface Participant {
  readonly registry: Registry;
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  /** How many peers there will be. */
  readonly others: number;
  /** Milliseconds since the start of all. */
  readonly elapsed: () => number;
  /** How many have their lease. */
  readonly leased: Latest<number>;
  readonly signal: AbortSignal;
}

export interface Participation {
  /** Undefined for one that gave up. */
  readonly joined: Promise<Joined | undefined>;
  /** Resolves when nothing of it runs any more, after the signal. */
  readonly ended: Promise<unknown>;
}

/**
 * The parts of an agent that speak to the store. An agent follows its peers from the start; here it begins when all
 * have their lease, because all share one processor and would wait for what the others do about their peers.
 */
function joinAsAgent(participant: Participant): Participation {
  const { registry, attributes, others, elapsed, leased } = participant;
  const signal = AbortSignal.any([participant.signal]);
  const watch = new ConfigWatch(registry);
  const running: Promise<void>[] = [watch.run(signal)];
  const join = async (): Promise<Joined> => {
    const reading = await watch.reading.until(({ state }) => state === 'valid', signal);
    if (reading.state !== 'valid') throw new Error('no configuration');
    const holder = new LeaseHolder(registry, { config: reading.config, attributes });
    running.push(holder.run(signal));
    await holder.state.until(({ ownership }) => ownership === 'held', signal);
    const ms = elapsed();
    leased.set(leased.value + 1);
    await leased.until(count => count === others + 1, signal);
    const tracker = new PeerTracker(registry, { config: reading.config, self: attributes });
    running.push(tracker.run(signal));
    await untilAllKnown(tracker, others, signal);
    return { ms, knewAll: elapsed() };
  };
  const joined = join();
  return { joined, ended: joined.catch(() => undefined).then(() => Promise.all(running)) };
}

async function untilAllKnown(tracker: PeerTracker, others: number, signal: AbortSignal): Promise<void> {
  const known = new Set<string>();
  if (others === 0) return;
  for await (const { changed, removed } of tracker.changes(signal)) {
    for (const { key } of changed) known.add(key);
    for (const key of removed) known.delete(key);
    if (known.size >= others) return;
  }
  signal.throwIfAborted();
}

function attributesOf(number: number): LeaseAttributes & { readonly hostId: string } {
  const mac = number.toString(16).padStart(4, '0');
  return {
    publicIp: Ip.parse('192.168.0.1').plus(number),
    backendType: 'vxlan',
    backendData: { VNI: 1, VtepMAC: `02:00:00:00:${mac.slice(0, 2)}:${mac.slice(2)}` },
    hostId: `bench-${number}`,
  };
}
