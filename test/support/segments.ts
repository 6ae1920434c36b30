/** What tests of L2 networks share: one database, an administrator, and hosts with a connection each. */
import { Ip } from '../../src/base/ip.ts';
import { Mac } from '../../src/base/mac.ts';
import { byFamily } from '../../src/base/per-family.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import type { IpamEvent } from '../../src/ipam/connection.ts';
import { HostAddresses } from '../../src/ipam/host-addresses.ts';
import type { Store } from '../../src/store/store.ts';
import { addSegment } from '../../src/subnet/segment/administration.ts';
import type { SegmentRequest } from '../../src/subnet/segment/check-segment.ts';
import { SegmentPresence } from '../../src/subnet/segment/presence.ts';
import type { EndpointConflict } from '../../src/subnet/segment/presence-plan.ts';
import type { Segment, SegmentEndpoint, SegmentMember } from '../../src/subnet/segment/segment.ts';
import { SegmentRegistry } from '../../src/subnet/segment/segment-registry.ts';
import { type SegmentEvent, SegmentWatch } from '../../src/subnet/segment/segment-watch.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { MemoryDatabase } from '../../src/testing/memory-database.ts';
import { MemoryStore } from '../../src/testing/memory-store.ts';

export const macOf = (number: number) => Mac.fromKey(0x02_00_00_00_00_00 + number);

/** The host with this number on a network. */
export function memberOf(number: number): SegmentMember {
  const addresses = byFamily(Ip.parse('192.168.65.0').plus(number));
  return { hostId: `host-${number}`, hostName: `docker${number}`, addresses, mac: macOf(0xff00 + number) };
}

/** A container of the host with this number. */
export function endpointOf(
  number: number,
  ip: string,
  container = `c${ip.split(/[.:]/).at(-1)}`,
): SegmentEndpoint {
  const address = Ip.parse(ip);
  const mac = macOf(number * 0x10000 + Number(address.toBigInt() & 0xffffn));
  return { ip: address, mac, hostId: `host-${number}`, hostName: `docker${number}`, container };
}

export const registryOf = (store: Store, random = () => 0) =>
  new SegmentRegistry(store, { prefix: NETWORK_PREFIX, random });

/** All that the agent of one host has, running until it is disposed of. */
export class SegmentHostFixture<Of extends Store = Store> implements AsyncDisposable {
  readonly store: Of;
  readonly registry: SegmentRegistry;
  readonly watch: SegmentWatch;
  readonly presence: SegmentPresence;
  readonly addresses: HostAddresses;
  readonly events: SegmentEvent[] = [];
  readonly ipamEvents: IpamEvent[] = [];
  readonly conflicts: EndpointConflict[] = [];
  readonly #end = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(
    number: number,
    store: Of,
    { clock, directory = '' }: { readonly clock?: ManualClock; readonly directory?: string } = {},
  ) {
    this.store = store;
    this.registry = registryOf(store);
    const common = { ...(clock && { clock }) };
    this.watch = new SegmentWatch(this.registry, { ...common, onEvent: event => this.events.push(event) });
    this.presence = new SegmentPresence(this.registry, this.watch, {
      ...common,
      hostId: `host-${number}`,
      onConflict: conflict => this.conflicts.push(conflict),
    });
    this.addresses = new HostAddresses({
      registry: this.registry,
      watch: this.watch,
      presence: this.presence,
      directory,
      host: { hostId: `host-${number}`, hostName: `docker${number}` },
      onEvent: event => this.ipamEvents.push(event),
    });
    const parts = [this.watch, this.presence, ...(directory === '' ? [] : [this.addresses])];
    this.#running = Promise.all(parts.map(part => part.run(this.#end.signal)));
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
    await this.store[Symbol.asyncDispose]();
  }
}

export class SegmentFixture {
  readonly clock = new ManualClock();
  readonly database = new MemoryDatabase(this.clock);
  /** The tests' own connection, which is never disturbed. */
  readonly store = new MemoryStore(this.database);
  readonly registry = registryOf(this.store);

  add(request: Partial<SegmentRequest> = {}): Promise<Segment> {
    return addSegment(
      this.registry,
      { name: 'blue', subnets: ['10.9.0.0/16'], ...request },
      { random: () => 0 },
    );
  }

  /** @param directory of its state; without one it gives no addresses out */
  host(number: number, directory = ''): SegmentHostFixture<MemoryStore> {
    return new SegmentHostFixture(number, new MemoryStore(this.database), { clock: this.clock, directory });
  }

  /** Puts what another program writes below `networks/`. */
  async put(key: string, value: object | string): Promise<void> {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    await this.store.put(`${this.registry.keys.directory}${key}`, new TextEncoder().encode(text));
  }

  /** The keys below `networks/`. */
  async keys(): Promise<readonly string[]> {
    const { directory } = this.registry.keys;
    return (await this.store.list(directory)).kvs.map(({ key }) => key.slice(directory.length));
  }
}
