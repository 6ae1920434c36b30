/**
 * A lab for faults: hosts as `tulle lab up` makes them, each with a real agent and a container, and a store that
 * every agent reaches on a way of its own. The test process holds the store and those ways in its hands.
 *
 *              fabric: bridge `underlay`, 192.168.65.0/24
 *                  |                          |
 *     eth0 192.168.65.3            eth0 192.168.65.4 ...
 *     docker1                      docker2
 *       agent                        agent
 *       | 127.0.0.1:2379             | 127.0.0.1:2379
 *       v                            v
 *     TcpProxy                     TcpProxy         one end in the host, one in the test's own namespace
 *       |                            |
 *       +------------> store <-------+              etcd or `tulle store`, on the test's loopback
 *
 *     c1 --- docker0 --- flannel.88 ==VNI 88, UDP 4789== flannel.88 --- docker0 --- c1
 *
 * After each fault the world must be whole again, which is asked of every host's agent and of every host's kernel.
 */
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { Fabric } from '../../src/lab/host/fabric.ts';
import { Site } from '../../src/lab/host/site.ts';
import { agentArguments } from '../../src/lab/service/agent.ts';
import { type LabPlan } from '../../src/lab/topology/plan.ts';
import { planLab } from '../../src/lab/topology/simple.ts';
import { EtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { Etcd } from '../support/etcd.ts';
import { deadline, eventually } from '../support/eventually.ts';
import { dumpHost, labName } from '../support/lab.ts';
import type { StoreServer } from '../support/store-server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { TulleStore } from '../support/tulle-store.ts';
import { FaultHost } from './fault-host.ts';
import { SteadyPing } from './steady-ping.ts';

/** Subnets from 188.172.200.0 on are the tests' own: no agent leases them. */
export const CONFIG = {
  Network: '188.172.0.0/16',
  SubnetMax: '188.172.199.0',
  Backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
};
/** Where every agent finds its own way to the store. */
export const STORE_PORT = 2379;

/** Small enough to be filled, large enough for a cluster of this size. */
const QUOTA = '--quota-backend-bytes=4194304';

/** A store that a test can fill. */
export function openStore(kind: StoreKind): Promise<StoreServer> {
  const options = { flags: [QUOTA] };
  return kind === 'etcd' ? Etcd.start(options) : TulleStore.start(options);
}

export type StoreKind = 'etcd' | 'tulle';

export interface FaultLabOptions {
  readonly hosts?: number;
  readonly store?: StoreKind;
  /** A store that the test has made. */
  readonly open?: () => Promise<StoreServer>;
  /** What hosts call each other, and the store: their /etc/hosts, besides localhost. */
  readonly names?: string;
  /** Further flags of every agent. */
  readonly flags?: readonly string[];
  /** Milliseconds that a status may take to become as it should be, where 45 s are too short. */
  readonly patience?: number;
}

/** A lab for the tests of this `describe`: created before them, and gone after them. */
export function useFaultLab(options: FaultLabOptions = {}): FaultLab {
  const lab = new FaultLab(options);
  before(() => lab.create());
  after(() => lab[Symbol.asyncDispose]());
  return lab;
}

export class FaultLab implements AsyncDisposable {
  readonly #options: FaultLabOptions;
  readonly #resources = new AsyncDisposableStack();
  readonly hosts: FaultHost[] = [];
  /** A new cable from the fabric to this host, whose former one is gone. */
  readonly #plugs: (() => Promise<void>)[] = [];
  #store: StoreServer | undefined;
  #fabric: Fabric | undefined;
  #isBroken = false;

  /** Nothing is made before `create`, so that a test can arrange for the end first. */
  constructor(options: FaultLabOptions = {}) {
    this.#options = options;
  }

  get store(): StoreServer {
    return this.#store ?? assert.fail('the lab was not created');
  }

  host(number: number): FaultHost {
    return this.hosts[number - 1] ?? assert.fail(`no host ${number}`);
  }

  async create(signal: AbortSignal = deadline('every host of the lab has a subnet', 150_000)): Promise<void> {
    const { hosts: count = 2, store = 'etcd', open = () => openStore(store), names = '' } = this.#options;
    this.#store = this.#resources.use(await open());
    const plan: LabPlan = {
      ...planLab({ name: labName(), hosts: count, containers: 1, runtime: 'namespace', store }),
      etcdEndpoint: `${new URL(this.store.url).protocol}//127.0.0.1:${STORE_PORT}`,
    };
    await this.configure();

    const { fabric, anchor } = await Fabric.make(plan);
    this.#resources.use(anchor);
    this.#fabric = this.#resources.use(fabric);
    for (const hostPlan of plan.hosts) {
      const site = this.#resources.use(await Site.prepare(hostPlan, fabric, `127.0.0.1 localhost\n${names}`));
      this.#resources.defer(() => site.anchor.release());
      this.#plugs.push(() => fabric.plugIn(hostPlan, site));
      const proxy = this.#resources.use(
        await TcpProxy.start(this.store.port, { port: STORE_PORT, netns: site.netns }),
      );
      const flags = [...agentArguments(plan), ...(this.#options.flags ?? [])];
      this.hosts.push(new FaultHost(site, proxy, flags, this.#options.patience));
    }
    await Promise.all(this.hosts.map(host => host.populate(signal)));
    await this.whole();
  }

  /** Ends everything: agents, namespaces, store. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  /** Gives a host an uplink of the usual name and address again, as a new link, after the former one was deleted. */
  async replug(number: number): Promise<void> {
    await this.#plugs[number - 1]?.();
  }

  /** Pulls the cable of a host out of the fabric, or puts it back: its interface stays up without a carrier. */
  async setCarrier(number: number, on: boolean): Promise<void> {
    await this.#fabric?.route.links.change(this.host(number).name, { up: on });
  }

  /** Writes the network's configuration. */
  async configure(config: object = CONFIG): Promise<void> {
    await this.store.ctl('put', `${NETWORK_PREFIX}/config`, JSON.stringify(config));
  }

  /** Makes the store forget its history. */
  async compact(): Promise<void> {
    const status = await this.store.ctl('endpoint', 'status', '--write-out=json');
    const [{ Status }] = JSON.parse(status) as [{ Status: { header: { revision: number } } }];
    await this.store.ctl('compact', `${Status.header.revision}`);
  }

  /** Writes until the store refuses. @throws with its words */
  async fill(): Promise<never> {
    const value = 'x'.repeat(100_000);
    for (let index = 0; index < 100; index++) await this.store.ctl('put', '/big', value);
    assert.fail('the store is never full');
  }

  /** What a person does about a full store. */
  async makeRoom(): Promise<void> {
    await this.store.ctl('del', '/big');
    await this.compact();
    await this.store.ctl('defrag');
    await this.store.ctl('alarm', 'disarm');
  }

  /**
   * Writes the lease of a host that does not exist, 192.168.65.`number`, and returns its key.
   *
   * @param ttl seconds; without it the lease never ends.
   */
  async putLease(
    number: number,
    { ttl, value = {} }: { ttl?: number; value?: object } = {},
  ): Promise<string> {
    const key = `188.172.${number}.0-24`;
    const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;
    const lease = {
      PublicIP: `192.168.65.${number}`,
      BackendType: 'vxlan',
      BackendData: { VNI: 88, VtepMAC: mac },
      ...value,
    };
    const flags: string[] = [];
    if (ttl !== undefined) {
      const granted = await this.store.ctl('lease', 'grant', `${ttl}`);
      flags.push(`--lease=${/^lease ([0-9a-f]+) granted/.exec(granted)?.[1]}`);
    }
    await this.store.ctl('put', ...flags, `${NETWORK_PREFIX}/subnets/${key}`, JSON.stringify(lease));
    return key;
  }

  async deleteLease(key: string): Promise<void> {
    await this.store.ctl('del', `${NETWORK_PREFIX}/subnets/${key}`);
  }

  /** Writes and deletes leases in one transaction. */
  async transact(
    steps: readonly (readonly ['put', string, object] | readonly ['delete', string])[],
  ): Promise<void> {
    await using client = new EtcdStore({ endpoints: [this.store.url] });
    const success = steps.map(([step, key, value]) => {
      const path = `${NETWORK_PREFIX}/subnets/${key}`;
      return step === 'put'
        ? ({ op: step, key: path, value: Buffer.from(JSON.stringify(value)), lease: 0n } as const)
        : ({ op: step, key: path } as const);
    });
    await client.transact({ compare: [], success, failure: [] });
  }

  /** Keys below subnets/, without the path. */
  async leaseKeys(): Promise<string[]> {
    const text = await this.store.ctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/subnets/`);
    return text
      .split('\n')
      .flatMap(line => (line === '' ? [] : [line.slice(`${NETWORK_PREFIX}/subnets/`.length)]));
  }

  async leaseValue(key: string): Promise<Record<string, unknown>> {
    const text = await this.store.ctl('get', '--print-value-only', `${NETWORK_PREFIX}/subnets/${key}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** Lets the container of the first host talk to that of the second, until the caller has enough. */
  ping(): Promise<SteadyPing> {
    return SteadyPing.begin(this.host(1).containerNetns, this.host(2).containerAddress);
  }

  /**
   * Applies a fault to a lab that is whole while containers talk, and waits until it is whole again, with no agent ended but
   * by `body`. An agent that was started just before reports conditions as failed that it has not checked yet.
   * Returns how many packets of the containers were lost. None is a verdict; how many more says how busy the machine is.
   */
  async survive(body: () => Promise<void>): Promise<number> {
    assert.ok(!this.#isBroken, 'the lab did not survive an earlier fault');
    try {
      await this.whole();
      await using ping = await this.ping();
      await body();
      await this.whole();
      for (const host of this.hosts) host.assertLives();
      const { lost } = await ping.toll();
      return lost;
    } catch (error) {
      this.#isBroken = true;
      for (const { host } of this.hosts) process.stderr.write(`${await dumpHost(host)}\n`);
      throw error;
    }
  }

  /** Waits until every agent is ready and in sync, and every kernel has what it should have. */
  async whole(): Promise<void> {
    await Promise.all(this.hosts.map(host => host.untilWhole(this.hosts.length - 1)));
    // What one host has just become, its peers may learn a moment later.
    await eventually('every kernel is right', async () => {
      await Promise.all(
        this.hosts.map(host => host.assertKernel(this.hosts.filter(other => other !== host))),
      );
      return true;
    });
  }
}
