/** Our own way to a lease, as an agent goes it. */
import { ConfigWatch } from '../subnet/config/config-watch.ts';
import { LeaseHolder } from '../subnet/holder/lease-holder.ts';
import { PeerTracker } from '../subnet/peers/peers.ts';
import type { JoinedHost, Participant, Participation } from './join-participant.ts';

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
