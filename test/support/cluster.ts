/**
 * Hosts for tests of the whole agent: namespaces of their own on one underlay, each with a real agent process, a
 * container, and a way of its own to one etcd that the test can disturb.
 *
 *     h1 192.168.65.3 eth0 ──┐                    agent ── unix socket ── TcpProxy ──┐
 *     h2 192.168.65.4 eth0 ──┼── bridge (fabric)                                     ├── etcd (loopback)
 *                            │                    agent ── unix socket ── TcpProxy ──┘
 *
 * Everything is gone when the test ends.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { NETWORK_PREFIX } from '../../src/console/defaults.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import { Netns } from '../../src/sys/netns.ts';
import { ClusterHost } from './cluster-host.ts';
import { Etcd } from './etcd.ts';

export const CONFIG = { Network: '10.77.0.0/16', Backend: { Type: 'vxlan', VNI: 88, Port: 4789 } };

export class Cluster {
  readonly etcd: Etcd;
  readonly hosts: readonly ClusterHost[];
  /** Where the bridge is, with a port of the name of each host. */
  readonly fabric: Rtnetlink;

  private constructor(etcd: Etcd, hosts: readonly ClusterHost[], fabric: Rtnetlink) {
    this.etcd = etcd;
    this.hosts = hosts;
    this.fabric = fabric;
  }

  /** Hosts and an etcd with the configuration; no agent runs yet. */
  static async start(
    t: TestContext,
    options: {
      readonly hosts?: number;
      readonly config?: object | 'none';
      readonly etcdFlags?: readonly string[];
    } = {},
  ): Promise<Cluster> {
    const { hosts: count = 2, config = CONFIG, etcdFlags = [] } = options;
    // node:test runs its hooks in the order of their registration; teardown goes the other way.
    const teardown = new AsyncDisposableStack();
    t.after(() => teardown.disposeAsync());
    const directory = mkdtempSync(join(tmpdir(), 'tt-cluster-'));
    teardown.defer(() => rmSync(directory, { recursive: true, force: true }));
    const etcd = teardown.use(await Etcd.start({ flags: etcdFlags }));
    using fabricNetns = Netns.anonymous();
    const fabric = teardown.use(connectRoute({ netns: fabricNetns }));
    await fabric.links.add({ name: 'fabric', up: true, info: { kind: 'bridge', multicastSnooping: false } });
    const hosts: ClusterHost[] = [];
    for (let number = 1; number <= count; number++) {
      hosts.push(await ClusterHost.create(teardown, number, fabric, etcd, directory));
    }
    const cluster = new Cluster(etcd, hosts, fabric);
    if (config !== 'none') await cluster.configure(config);
    return cluster;
  }

  host(number: number): ClusterHost {
    return this.hosts[number - 1] ?? assert.fail(`no host ${number}`);
  }

  async configure(config: object | string): Promise<void> {
    const text = typeof config === 'string' ? config : JSON.stringify(config);
    await this.etcd.ctl('put', `${NETWORK_PREFIX}/config`, text);
  }

  /** Writes a lease, or what passes for one. */
  async putLease(key: string, value: object | string): Promise<void> {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    await this.etcd.ctl('put', `${NETWORK_PREFIX}/subnets/${key}`, text);
  }

  async deleteLease(key: string): Promise<void> {
    await this.etcd.ctl('del', `${NETWORK_PREFIX}/subnets/${key}`);
  }

  /** Keys below subnets/, without the path. */
  async leaseKeys(): Promise<string[]> {
    const text = await this.etcd.ctl('get', '--prefix', '--keys-only', `${NETWORK_PREFIX}/subnets/`);
    return text
      .split('\n')
      .filter(line => line !== '')
      .map(line => line.slice(`${NETWORK_PREFIX}/subnets/`.length));
  }

  async leaseValue(key: string): Promise<Record<string, unknown>> {
    const text = await this.etcd.ctl('get', '--print-value-only', `${NETWORK_PREFIX}/subnets/${key}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** Starts all agents and waits until every host reaches every other one. */
  async startAgents(...flags: string[]): Promise<void> {
    for (const host of this.hosts) await host.startAgent(...flags);
    for (const host of this.hosts) await host.untilConnected(this.hosts.length - 1);
  }
}
