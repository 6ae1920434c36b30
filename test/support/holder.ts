/** Lease holders on a store in memory, for tests: their events and questions are recorded. */
import assert from 'node:assert/strict';
import type { HolderEvent } from '../../src/subnet/holder/holder-state.ts';
import { type HolderOptions, LeaseHolder } from '../../src/subnet/holder/lease-holder.ts';
import { addressOf, isLease, type Lease } from '../../src/subnet/lease/lease.ts';
import { hostAttributes, IPV4, type RegistryFixture } from './registry.ts';

const running: { stop: () => Promise<void> }[] = [];

/** Ends every holder that was started: for `afterEach`. */
export async function stopHolders(): Promise<void> {
  for (const { stop } of running.splice(0)) await stop();
}

/** An event in one line, as a test compares it. */
function describeEvent(event: HolderEvent): string {
  switch (event.type) {
    case 'acquired':
      return `acquired ${event.lease.key} by ${event.origin}`;
    case 'lost':
      return `lost ${event.lease.key}: ${event.cause}${event.by ? ` by ${addressOf(event.by.attributes)}` : ''}`;
    case 'published':
    case 'reserved':
    case 'overwritten':
    case 'conflict':
    case 'claimed':
    case 'unconfirmed':
      return `${event.type} ${event.lease.key}`;
    case 'waiting':
    case 'store-failed':
    case 'store-recovered':
      return event.type;
  }
}

/** A host with a connection of its own, whose holder runs until the test is over. */
export async function startHolder(
  fixture: RegistryFixture,
  number: number,
  options: Partial<HolderOptions> & { ttl?: number } = {},
) {
  const { store, registry } = fixture.connect(options.ttl);
  const events: string[] = [];
  const calls: string[] = [];
  store.interfere(op => {
    calls.push(op);
    return 'pass';
  });
  const holder = new LeaseHolder(registry, {
    config: IPV4,
    attributes: hostAttributes(number),
    clock: fixture.clock,
    random: () => 0.5,
    onEvent: event => events.push(describeEvent(event)),
    ...options,
  });
  const end = new AbortController();
  const ended = holder.run(end.signal);
  const stop = async () => {
    end.abort();
    await ended;
  };
  running.push({ stop });
  await fixture.clock.advance(0);
  return { store, registry, holder, events, calls, stop, lease: () => holder.state.value.lease };
}

export async function startWithLease(
  fixture: RegistryFixture,
  number: number,
  options?: Parameters<typeof startHolder>[2],
) {
  const host = await startHolder(fixture, number, options);
  const lease = host.lease();
  assert.ok(lease);
  host.events.splice(0);
  host.calls.splice(0);
  return { ...host, first: lease };
}

/** The lease as the store has it. */
export const stored = async (fixture: RegistryFixture, key: string): Promise<Lease> => {
  const found = await fixture.registry.get(key);
  assert.ok(found && isLease(found));
  return found;
};
