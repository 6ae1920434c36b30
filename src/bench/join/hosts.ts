/** The two procedures by which a host joins in `bench join`, on the same client of the store. */
import { Prefix } from '../../base/prefix.ts';
import type { Watchable } from '../../base/watchable.ts';
import { parseNetworkConfig } from '../../subnet/config/config.ts';
import { ConfigWatch } from '../../subnet/config/config-watch.ts';
import { LeaseHolder } from '../../subnet/holder/lease-holder.ts';
import type { LeaseAttributes } from '../../subnet/lease/lease.ts';
import { PeerTracker } from '../../subnet/peers/peers.ts';
import type { Registry } from '../../subnet/registry.ts';

/** Times of one agent, in milliseconds since the start of all. */
export interface JoinedHost {
  readonly ms: number;
  readonly knewAll?: number;
}

export interface Participant {
  readonly registry: Registry;
  readonly attributes: LeaseAttributes & { readonly hostId: string };
  /** How many peers there will be. */
  readonly others: number;
  /** Milliseconds since the start of all. */
  readonly elapsed: () => number;
  /** How many have their lease. */
  readonly leased: Watchable<number>;
  readonly signal: AbortSignal;
}

export interface Participation {
  /** Undefined for one that gave up. */
  readonly joined: Promise<JoinedHost | undefined>;
  /** Resolves when nothing of it runs any more, after the signal. */
  readonly ended: Promise<unknown>;
}

/**
 * The parts of an agent that speak to the store. An agent follows its peers from the start; here it begins when all
 * have their lease, because all share one processor and would wait for what the others do about their peers.
 */
export function joinLikeTulle(participant: Participant): Participation {
  const { registry, attributes, others, elapsed, leased } = participant;
  const signal = AbortSignal.any([participant.signal]);
  const watch = new ConfigWatch(registry);
  const running: Promise<void>[] = [watch.run(signal)];
  const join = async (): Promise<JoinedHost> => {
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

/** Seconds: a day, flannel's. */
const FLANNEL_TTL = 86_400;
/** Free subnets that flannel collects before it picks one of them. */
const CANDIDATES = 100;

/** flannel's procedure, as its source has it (flannel pkg/subnet/etcd/local_manager.go). */
export function joinLikeFlannel(participant: Participant): Participation {
  const joined = leaseLikeFlannel(participant);
  return { joined, ended: joined.catch(() => undefined) };
}

async function leaseLikeFlannel({ registry, attributes, elapsed }: Participant) {
  const { store } = registry;
  const { kv } = await store.get(registry.configKey);
  const { ipv4 } = parseNetworkConfig(new TextDecoder().decode(kv?.value)).config;
  if (ipv4 === undefined) return undefined;

  const { leases } = await registry.list();
  for (const { storeLease } of leases) await store.timeToLive(storeLease);
  const free: Prefix[] = [];
  for (
    let block = Prefix.of(ipv4.subnetMin, ipv4.subnetLength);
    free.length < CANDIDATES && block.ip.compare(ipv4.subnetMax) <= 0;
    block = Prefix.of(block.last.plus(1), ipv4.subnetLength)
  ) {
    if (!leases.some(({ subnet }) => subnet.ipv4?.overlaps(block))) free.push(block);
  }
  const choice = free[Math.floor(Math.random() * free.length)];
  if (choice === undefined) return undefined;

  const { id } = await store.grant(FLANNEL_TTL);
  const { hostId: _, ...value }: LeaseAttributes = attributes;
  const written = await registry.create({ ipv4: choice }, value, id);
  // Here flannel means to try again, compares with another error than the one it gets, and exits.
  return written.ok ? { ms: elapsed() } : undefined;
}
