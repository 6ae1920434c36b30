/**
 * The registry on real etcd: what must hold between hosts that know nothing of each other but the store.
 *
 *     host 3 -- proxy --+
 *     host 4 -----------+-- etcd     (each host: a connection, a LeaseHolder, a PeerTracker, a ConfigWatch)
 *     etcdctl ----------+
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { measureJoin } from '../../src/bench/join/join.ts';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { ConfigWatch } from '../../src/subnet/config/config-watch.ts';
import type { HolderEvent } from '../../src/subnet/holder/holder-state.ts';
import { LeaseHolder } from '../../src/subnet/holder/lease-holder.ts';
import { isLease, type Subnet } from '../../src/subnet/lease/lease.ts';
import { PeerTracker, type TrackerEvent } from '../../src/subnet/peers/peers.ts';
import { Registry } from '../../src/subnet/registry.ts';
import { Etcd, needsEtcd } from '../support/etcd.ts';
import { deadline, eventually, within } from '../support/eventually.ts';
import { configOf, hostAttributes, IPV4, KEYS_FLANNEL_REJECTS } from '../support/registry.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const options = { ...needsEtcd, timeout: 200_000 };
/** Tries again at once, and takes no machine that is busy for a store that is gone. */
const timing = { connect: 5_000, retryFirst: 20, retryCap: 200 };
/** Milliseconds; store leases live for some seconds. */
const PATIENCE = 60_000;

const CONFIG_TEXT = '{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan"}}';

/** Everything of one host that speaks to the store; ends what it started. */
class Host implements AsyncDisposable {
  readonly number: number;
  readonly registry: Registry;
  readonly holder: LeaseHolder;
  readonly tracker: PeerTracker;
  readonly config: ConfigWatch;
  readonly leaseEvents: HolderEvent[] = [];
  readonly peerEvents: TrackerEvent[] = [];
  readonly #store: EtcdStore;
  readonly #end = new AbortController();
  readonly #running: Promise<unknown>;
  readonly #peers = new Map<string, string>();
  #changed = Promise.withResolvers<void>();

  constructor(number: number, url: string, { ttl = 60, previous }: { ttl?: number; previous?: Subnet } = {}) {
    this.number = number;
    this.#store = new EtcdStore({ endpoints: [url], timing });
    this.registry = new Registry(this.#store, { prefix: NETWORK_PREFIX, ttl });
    const attributes = hostAttributes(number);
    this.holder = new LeaseHolder(this.registry, {
      config: IPV4,
      attributes,
      ...(previous && { previous }),
      onEvent: event => this.leaseEvents.push(event),
    });
    this.tracker = new PeerTracker(this.registry, {
      config: IPV4,
      self: attributes,
      onEvent: event => {
        this.peerEvents.push(event);
        this.#report();
      },
    });
    this.config = new ConfigWatch(this.registry);
    const { signal } = this.#end;
    this.#running = Promise.all([
      this.holder.run(signal),
      this.tracker.run(signal),
      this.config.run(signal),
      this.#follow(signal),
    ]);
  }

  /** The lease, once it is held and its key is as wanted. */
  async held(wanted: (key: string) => boolean = () => true) {
    const { lease } = await this.holder.state.until(
      ({ lease, ownership }) => ownership === 'held' && lease !== undefined && wanted(lease.key),
      deadline(`host ${this.number} holds a lease`, PATIENCE),
    );
    assert.ok(lease);
    this.tracker.update({ ownKey: lease.key });
    return lease;
  }

  /** Peers by key, with what they publish. */
  get peers(): ReadonlyMap<string, string> {
    return this.#peers;
  }

  /** Returns once `test` holds; looks whenever a peer or a report came. */
  async until(test: () => boolean): Promise<void> {
    const look = async () => {
      while (!test()) await this.#changed.promise;
    };
    await within(`host ${this.number} sees ${String(test)}`, look(), PATIENCE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
    await this.#store[Symbol.asyncDispose]();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for await (const { changed, removed } of this.tracker.changes(signal)) {
      for (const { key, attributes } of changed)
        this.#peers.set(key, JSON.stringify(attributes.backendData?.ipv4));
      for (const key of removed) this.#peers.delete(key);
      this.#report();
    }
  }

  #report(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

const pathOf = (key: string) => `${NETWORK_PREFIX}/subnets/${key}`;
const valueOf = (address: string, vni = 88) =>
  `{"PublicIP":"${address}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":${vni},"VtepMAC":"02:00:00:00:09:09"}}`;

/** What etcd says of a key: value, lease and revisions. */
async function stored(etcd: Etcd, key: string) {
  const { kvs } = JSON.parse(await etcd.ctl('get', '-w', 'json', pathOf(key))) as {
    kvs?: { value: string; lease?: number; mod_revision: number; create_revision: number }[];
  };
  const [kv] = kvs ?? [];
  return kv && { ...kv, value: Buffer.from(kv.value, 'base64').toString() };
}

describe('the registry on etcd', () => {
  test(
    '200 agents that start at once on a /16 all get a lease, none twice, and none gives up',
    options,
    async () => {
      await using etcd = await Etcd.start();
      const { leases, unique, exited, allKnown } = await measureJoin('tulle', {
        endpoint: etcd.url,
        agents: 200,
        signal: deadline('200 agents know each other', 150_000),
      });
      assert.deepEqual({ leases, unique, exited }, { leases: 200, unique: 200, exited: 0 });
      assert.ok(allKnown !== undefined, 'every agent knows every other');
    },
  );

  test(
    'a lease is written as flannel writes it, is renewed without a write, and outlives its agent',
    options,
    async () => {
      await using etcd = await Etcd.start();
      let key: string;
      {
        await using host = new Host(3, etcd.url, { ttl: 10 });
        ({ key } = await host.held());
        const first = await stored(etcd, key);
        assert.equal(
          first?.value,
          '{"PublicIP":"192.168.65.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":88,"VtepMAC":"02:00:00:00:00:03"},"TulleHost":"host-3"}',
        );
        // For longer than its time: each renewal moves the deadline.
        const before = host.holder.state.value.deadline ?? 0;
        await host.holder.state.until(
          state => (state.deadline ?? 0) > before + 10_000,
          deadline('the lease is renewed', PATIENCE),
        );
        assert.deepEqual(await stored(etcd, key), first);
      }
      assert.ok(await stored(etcd, key));
    },
  );

  test('a host that is cut off does not overwrite the one that got its subnet', options, async () => {
    await using etcd = await Etcd.start();
    await using proxy = await TcpProxy.start(etcd.port);
    await using witness = new Host(9, etcd.url);
    await using cutOff = new Host(3, `http://127.0.0.1:${proxy.port}`, { ttl: 5 });
    const lost = await cutOff.held();
    await witness.until(() => witness.peers.has(lost.key));

    await proxy.refuse();
    cutOff.holder.update({
      attributes: { ...hostAttributes(3), backendData: { ipv4: 'written while cut off' } },
    });
    await witness.until(() => !witness.peers.has(lost.key));
    await using heir = new Host(4, etcd.url, { previous: lost.subnet });
    assert.equal((await heir.held()).key, lost.key);
    const before = await stored(etcd, lost.key);
    await cutOff.holder.state.until(
      ({ ownership }) => ownership === 'unconfirmed',
      deadline('the lease counts as unconfirmed', PATIENCE),
    );
    await proxy.listen();

    const other = await cutOff.held(key => key !== lost.key);
    await witness.until(() => witness.peers.get(other.key) === '"written while cut off"');
    assert.deepEqual(await stored(etcd, lost.key), before);
    assert.ok(cutOff.leaseEvents.some(event => event.type === 'lost' && event.cause === 'taken'));
    assert.deepEqual(
      heir.leaseEvents.map(({ type }) => type),
      ['acquired'],
    );
  });

  test(
    'what is malformed is reported once each and changes nothing for the good peers',
    options,
    async () => {
      await using etcd = await Etcd.start();
      await using host = new Host(3, etcd.url);
      const own = await host.held();
      const good = own.key === '10.5.200.0-24' ? '10.5.201.0-24' : '10.5.200.0-24';
      await etcd.ctl('put', pathOf(good), valueOf('192.168.65.20'));
      await host.until(() => host.peers.has(good));

      const bad: readonly (readonly [key: string, value: string])[] = [
        ...KEYS_FLANNEL_REJECTS.map(key => [key, valueOf('192.168.65.21')] as const),
        ['10.5.100.0-24', 'no JSON'],
        ['10.5.101.0-24', '\u0001\u0002\u{1f600}'],
        ['10.5.102.0-24', '{"PublicIP":"1.2.3"}'],
        ['10.6.1.0-24', valueOf('192.168.65.22')],
        ['10.5.103.0-24', valueOf('192.168.65.3')],
        ['10.5.104.0-24', valueOf('127.0.0.1')],
        ['10.5.105.0-24', valueOf('10.5.7.7')],
        [good.replace('.0-24', '.128-25'), valueOf('192.168.65.23')],
      ];
      for (let round = 0; round < 2; round++) {
        for (const [key, value] of bad) await etcd.ctl('put', '--', pathOf(key), value);
      }
      await etcd.ctl('put', pathOf(good), 'garbage over a good lease');
      // Something good after all of it: once it is seen, all of it has been.
      await etcd.ctl('put', pathOf('10.5.220.0-24'), valueOf('192.168.65.24'));
      await host.until(() => host.peers.has('10.5.220.0-24'));

      assert.deepEqual([...host.peers.keys()].sort(), [good, '10.5.220.0-24'].sort());
      const reported = host.peerEvents.flatMap(event => (event.type === 'rejected' ? [event.key] : []));
      assert.deepEqual(reported.sort(), [...bad.map(([key]) => key), good].sort());
      assert.deepEqual(new Set(host.peerEvents.map(({ type }) => type)), new Set(['rejected']));
      assert.deepEqual((await host.held()).key, own.key);
    },
  );

  test('a reservation survives claims, renewals and restarts', options, async () => {
    await using etcd = await Etcd.start();
    const key = '10.5.77.0-24';
    // As flannel's documents say: a put without a lease.
    await etcd.ctl('put', pathOf(key), '{"PublicIP":"192.168.65.3"}');
    for (let round = 0; round < 2; round++) {
      await using host = new Host(3, etcd.url, { ttl: 2 });
      assert.equal((await host.held()).key, key);
      host.holder.update({ attributes: { ...hostAttributes(3), backendData: { ipv4: round } } });
      await host.holder.state.until(
        ({ lease }) => lease?.attributes.backendData?.ipv4 === round,
        deadline(`round ${round} is published`, PATIENCE),
      );
      assert.equal(host.holder.state.value.deadline, undefined);
    }
    const kept = await stored(etcd, key);
    assert.equal(kept?.lease ?? 0, 0);
    assert.match(kept?.value ?? '', /"BackendData":1,"TulleHost":"host-3"/);
  });

  test('a host without lease takes the subnet that another host releases', options, async () => {
    await using etcd = await Etcd.start();
    await using host = new Host(3, etcd.url);
    await host.held();
    await using late = new Host(4, etcd.url);
    await late.held();
    const config = configOf({ Network: '10.9.0.0/28' });
    for (const subnet of ['4', '8', '12'])
      await etcd.ctl('put', pathOf(`10.9.0.${subnet}-30`), valueOf('192.168.65.30'));
    late.holder.update({ config });
    await late.holder.state.until(
      ({ failure }) => failure?.code === 'OUT_OF_SUBNETS',
      deadline('the network is full', PATIENCE),
    );
    await etcd.ctl('del', pathOf('10.9.0.8-30'));
    assert.equal((await late.held(key => key.startsWith('10.9.'))).key, '10.9.0.8-30');
  });

  test('the configuration is read whenever it is written', options, async () => {
    await using etcd = await Etcd.start();
    await using host = new Host(3, etcd.url);
    const reads = (state: string, network?: string) =>
      host.config.reading.until(
        reading =>
          reading.state === state &&
          (reading.state !== 'valid' || `${reading.config.ipv4?.network}` === network),
        deadline(`it reads ${state} ${network}`, PATIENCE),
      );
    await reads('missing');
    await etcd.ctl('put', `${NETWORK_PREFIX}/config`, CONFIG_TEXT);
    await reads('valid', '10.5.0.0/16');
    await etcd.ctl('put', `${NETWORK_PREFIX}/config`, '{"Network":"10.5.0.0/33","SubnetLen":99}');
    const wrong = await reads('invalid');
    assert.deepEqual(wrong.state === 'invalid' && wrong.problems.map(({ path }) => path), [
      'SubnetLen',
      'Network',
    ]);
    await etcd.ctl('put', `${NETWORK_PREFIX}/config`, '{"network":"10.6.0.0/16"}');
    await reads('valid', '10.6.0.0/16');
  });

  test(
    'an outage with a compaction in it: exactly what changed is reported, and the lease is kept',
    options,
    async () => {
      await using etcd = await Etcd.start();
      await using proxy = await TcpProxy.start(etcd.port);
      await using host = new Host(3, `http://127.0.0.1:${proxy.port}`);
      const own = await host.held();
      const [gone, stays, comes] = ['10.5.230.0-24', '10.5.231.0-24', '10.5.232.0-24'] as const;
      for (const key of [gone, stays])
        await etcd.ctl('put', pathOf(key), valueOf(`192.168.65.${key.split('.')[2]}`));
      await host.until(() => host.peers.size === 2);

      await proxy.refuse();
      await host.until(() => host.peerEvents.some(({ type }) => type === 'interrupted'));
      assert.equal(host.peers.size, 2);
      await etcd.ctl('del', pathOf(gone));
      await etcd.ctl('put', pathOf(stays), valueOf('192.168.65.231', 99));
      await etcd.ctl('put', pathOf(comes), valueOf('192.168.65.232'));
      const status = JSON.parse(await etcd.ctl('endpoint', 'status', '-w', 'json')) as {
        Status: { header: { revision: number } };
      }[];
      await etcd.ctl('compact', String(status[0]?.Status.header.revision));
      await proxy.listen();

      await host.until(() => host.peers.has(comes) && !host.peers.has(gone));
      assert.match(host.peers.get(stays) ?? '', /"VNI":99/);
      assert.deepEqual((await host.held()).key, own.key);
      // The connection breaks, and then none is accepted: an interruption may have several reasons.
      assert.match(host.peerEvents.map(({ type }) => type).join(), /^(interrupted,)+resumed$/);
    },
  );

  test('a store that lost everything: every host comes back with the subnet it had', options, async () => {
    await using etcd = await Etcd.start();
    await using first = new Host(3, etcd.url);
    await using second = new Host(4, etcd.url);
    const keys = [(await first.held()).key, (await second.held()).key];
    await first.until(() => first.peers.size === 1);
    await second.until(() => second.peers.size === 1);

    await etcd.restart({ empty: true });
    await eventually('both leases are in the store again', async () => {
      const { leases } = await first.registry.list();
      const found = leases.map(({ key }) => key).toSorted();
      return found.join() === keys.toSorted().join();
    });
    for (const [index, host] of [first, second].entries()) {
      await host.holder.state.until(
        ({ lease, ownership, failure }) =>
          ownership === 'held' && failure === undefined && lease?.key === keys[index],
        deadline(`host ${index} has its lease again`, PATIENCE),
      );
    }
    await first.until(() => first.peers.has(keys[1] ?? ''));
    await second.until(() => second.peers.has(keys[0] ?? ''));
    const found = await first.registry.get(keys[0] ?? '');
    assert.ok(found && isLease(found) && found.attributes.hostId === 'host-3');
  });
});
