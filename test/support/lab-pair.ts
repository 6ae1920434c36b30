/** The two hosts of a lab, with hands on their agents, their kernels and the lease of each. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import type { Status } from '../../src/api/status.ts';
import { type PerFamily, valuesOf } from '../../src/base/per-family.ts';
import { SUBNET_FILE } from '../../src/console/defaults.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import type { HostRecord, LabRecord } from '../../src/lab/record/record.ts';
import { agentArguments, stopAgent } from '../../src/lab/service/agent.ts';
import { parseHostSubnet } from '../../src/lab/service/subnet-env.ts';
import { type LabRequest, planLab } from '../../src/lab/topology/simple.ts';
import { pingAll } from '../../src/lab/traffic/ping.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { deadline, eventually } from './eventually.ts';
import { agentOf, dumpHost, labName } from './lab.ts';

/** Milliseconds that a program on a host may take. */
const PATIENCE = 60_000;

const LOOK = { anyStatus: true, timeout: PATIENCE } as const;

/** Words for `ping`: one echo of so many bytes, IP header included, in one piece. */
function wholeEcho(size: number, ip: string): string[] {
  const headers = ip.includes(':') ? 40 + 8 : 20 + 8;
  return ['-n', '-c', '1', '-W', '5', '-M', 'do', '-s', `${size - headers}`, ip];
}

export class LabPair implements AsyncDisposable {
  readonly #lab: Lab;
  readonly first: PairHost;
  readonly second: PairHost;

  private constructor(lab: Lab, first: PairHost, second: PairHost) {
    this.#lab = lab;
    this.first = first;
    this.second = second;
  }

  /** A lab of two hosts with one container each, which ends with the test's process at the latest. */
  static async create(request: Pick<LabRequest, 'family' | 'backend'>): Promise<LabPair> {
    const shape = { hosts: 2, containers: 1, runtime: 'namespace', store: 'tulle' } as const;
    const plan = planLab({ ...request, ...shape, name: labName() });
    const lab = await createLab(plan, { signal: deadline('a lab is made', 90_000) });
    const [first, second] = lab.record.hosts;
    assert.ok(first !== undefined && second !== undefined);
    return new LabPair(lab, new PairHost(lab.record, first), new PairHost(lab.record, second));
  }

  /** Waits until each agent has nothing to complain of and reaches the other's host. */
  async whole(): Promise<void> {
    await Promise.all([this.first, this.second].map(host => host.untilPeers(1)));
  }

  /**
   * Waits until every packet between the hosts and containers arrives, in each family of the lab. Nothing says so: a
   * forwarder that starts with another MTU misses a moment.
   */
  async untilReachable(): Promise<void> {
    const { length: families } = valuesOf(this.first.record.subnet);
    await eventually('every packet arrives', async () => {
      const signal = deadline('all pings end');
      const { sent, lost, results } = await pingAll(this.#lab.record, { count: 3, signal });
      assert.deepEqual({ sent, lost }, { sent: 4 * 3 * families, lost: 0 }, JSON.stringify(results));
      return true;
    });
  }

  /** Runs `work`; when it fails, prints what both hosts have. */
  async explaining(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      for (const { host } of [this.first, this.second]) process.stderr.write(`${await dumpHost(host)}\n`);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

export class PairHost {
  readonly record: HostRecord;
  readonly host: LabHost;
  readonly #lab: LabRecord;
  readonly #client: AgentClient;

  constructor(lab: LabRecord, record: HostRecord) {
    this.#lab = lab;
    this.record = record;
    this.host = new LabHost(record.name, record.anchor);
    this.#client = new AgentClient({ socketPath: this.host.path(DEFAULT_SOCKET) });
  }

  /** Of its container. */
  get ip(): PerFamily<string> {
    return this.record.containers[0]?.ip ?? {};
  }

  get containerNetns(): string {
    return this.host.path(this.record.containers[0]?.netns ?? '');
  }

  async killAgent(): Promise<void> {
    await endProcess((await agentOf(this.host)).id, 0);
  }

  async startAgent(...flags: readonly string[]): Promise<void> {
    await this.host.start(TULLE, [...agentArguments(this.#lab), ...flags], 'agent');
  }

  /** Starts an agent with NODE_OPTIONS, by which it may be another version. */
  async startAgentWith(nodeOptions: string): Promise<void> {
    const words = [`NODE_OPTIONS=${nodeOptions}`, TULLE, ...agentArguments(this.#lab)];
    await this.host.start('env', words, 'agent');
  }

  /** Ends it as its service manager would. */
  async stopAgent(): Promise<void> {
    assert.ok(await stopAgent(this.host), `no agent runs on ${this.record.name}`);
  }

  /** Writes the configuration of the network, as a person does. */
  async configure(config: unknown): Promise<void> {
    await this.host.run(TULLE, ['config', 'set', JSON.stringify(config)]);
  }

  status(): Promise<Status> {
    return this.#client.status();
  }

  /** Waits until the agent is content and has so many peers, all reached. */
  async untilPeers(count: number): Promise<Status> {
    const look = async () => {
      const status = await this.#client.status();
      const { agent, conditions, dataplane, peers, store } = status;
      const isContent =
        agent.ready && store.connected && dataplane.inSync && conditions.every(({ ok }) => ok);
      const isReached = peers.length === count && peers.every(({ state }) => state === 'ok');
      return isContent && isReached ? status : undefined;
    };
    return eventually(`${this.record.name} is well and has ${count} peers`, look);
  }

  /** Frees the subnet of a host that does not answer any more. */
  async release(peer: PairHost): Promise<void> {
    const [subnet = ''] = valuesOf(peer.record.subnet);
    const { etcdEndpoint, etcdPrefix } = this.#lab;
    const store = [`--etcd-endpoints=${etcdEndpoint}`, `--etcd-prefix=${etcdPrefix}`];
    await this.host.run(TULLE, ['lease', 'release', subnet, '--force', ...store], { timeout: PATIENCE });
  }

  /**
   * Lines of the kernel's tables that lead to this peer, whatever the backend: routes and next hops of ours, lasting
   * neighbors, forwarding entries. Without ids, which differ each time.
   */
  async waysTo(peer: PairHost): Promise<string[]> {
    const tables = [
      ['ip', '-4', 'route', 'show', 'proto', '77'],
      ['ip', '-6', 'route', 'show', 'proto', '77'],
      ['ip', 'nexthop', 'show', 'protocol', '77'],
      ['ip', 'neigh', 'show', 'nud', 'permanent'],
      ['bridge', 'fdb', 'show'],
    ];
    const texts = await Promise.all(
      tables.map(([program = '', ...args]) => this.host.run(program, args, { timeout: PATIENCE })),
    );
    const bases = valuesOf(peer.record.subnet).map(subnet => subnet.replace(/\/\d+$/, ''));
    const names = new Set([...valuesOf(peer.record.subnet), ...bases, ...valuesOf(peer.record.address)]);
    return texts
      .flatMap(({ stdout }) => stdout.split('\n'))
      .filter(line => line.split(/\s+/).some(word => names.has(word)))
      .map(line => line.replace(/\b(nhid|id) \d+/, '$1').trim())
      .toSorted((a, b) => (a < b ? -1 : 1));
  }

  /** Gives the underlay link this MTU. */
  async setUnderlayMtu(mtu: number): Promise<void> {
    await this.host.run('ip', ['link', 'set', 'dev', 'eth0', 'mtu', `${mtu}`]);
  }

  /** What containers are to use. */
  get containerMtu(): number {
    return parseHostSubnet(readFileSync(this.host.path(SUBNET_FILE), 'utf8')).mtu;
  }

  async untilContainerMtu(mtu: number): Promise<void> {
    const late = deadline(`${this.record.name} has ${mtu} in its subnet file`);
    await waitForFile(this.host.path(SUBNET_FILE), late, text => text.includes(`FLANNEL_MTU=${mtu}\n`));
  }

  /** Whether an echo of so many bytes, IP header included, reaches an address in one piece. */
  async carries(size: number, ip: string): Promise<boolean> {
    const { status } = await this.host.run('ping', wholeEcho(size, ip), LOOK);
    return status === 0;
  }

  /** The same from its container: 'arrives', or that its own link is too small, or that nothing comes back. */
  async fateOfEcho(size: number, ip: string): Promise<'arrives' | 'too long' | 'lost'> {
    const words = ['netns', 'exec', this.record.containers[0]?.name ?? '', 'ping', ...wholeEcho(size, ip)];
    const { status, stdout, stderr } = await this.host.run('ip', words, LOOK);
    if (status === 0) return 'arrives';
    return /message too long/i.test(stdout + stderr) ? 'too long' : 'lost';
  }

  /** The route of the kernel to the containers of a peer. */
  async routeTo(peer: PairHost): Promise<string> {
    const { stdout } = await this.host.run('ip', ['route', 'show', peer.record.subnet.ipv4 ?? ''], LOOK);
    return stdout.trim();
  }
}
