/** Flannel's way to a lease, as its source has it, on the same store client as ours. */
import { Prefix } from '../base/prefix.ts';
import { parseNetworkConfig } from '../subnet/config/config.ts';
import type { LeaseAttributes } from '../subnet/lease/lease.ts';
import type { Participant, Participation } from './join-participant.ts';

/** Seconds: 24 hours. */
const TTL = 86_400;
/** Free subnets that flannel collects before it picks one of them. */
const CANDIDATES = 100;

export function joinLikeFlannel(participant: Participant): Participation {
  const joined = join(participant);
  return { joined, ended: joined.catch(() => undefined) };
}

async function join({ registry, attributes, elapsed }: Participant) {
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

  const { id } = await store.grant(TTL);
  const { hostId: _, ...value }: LeaseAttributes = attributes;
  const written = await registry.create({ ipv4: choice }, value, id);
  // Here flannel means to try again, compares with another error than the one it gets, and exits.
  return written.ok ? { ms: elapsed() } : undefined;
}
