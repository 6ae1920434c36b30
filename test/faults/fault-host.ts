/** One host of a lab for faults: its agent, its way to the store, its kernel, its container. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { AgentClient } from '../../src/api/client.ts';
import type { AgentEvent } from '../../src/api/messages.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import type { Condition, ConditionName, PeerState, Status } from '../../src/api/status.ts';
import type { Prefix } from '../../src/base/prefix.ts';
import { SUBNET_FILE } from '../../src/console/defaults.ts';
import { type LabHost, TULLE } from '../../src/lab/host/host.ts';
import type { Site } from '../../src/lab/host/site.ts';
import { makeSandboxes } from '../../src/lab/service/sandboxes.ts';
import { type HostSubnet, parseHostSubnet } from '../../src/lab/service/subnet-env.ts';
import { endProcess, isAlive, type ProcessId } from '../../src/sys/pidfd.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { needsRoot } from '../support/capabilities.ts';
import { needsEtcd } from '../support/etcd.ts';
import { deadline, eventually } from '../support/eventually.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';

const AGENT_LOG = 'agent';

export const DEVICE = 'flannel.88';

/** What the store said last; the name has a tag of the network's prefix. */
export const KNOWN_STATE = '/var/lib/tulle/known-a87dabce.json';

/** Options for `describe`. */
export const needsFaultLab = needsRoot.skip === false ? needsEtcd : needsRoot;

export class FaultHost {
  readonly host: LabHost;
  readonly address: string;
  /** This host's way to the store. */
  readonly way: TcpProxy;
  readonly client: AgentClient;
  readonly #site: Site;
  readonly #arguments: readonly string[];
  #containerAddress = '';
  #agent: ProcessId | undefined;

  readonly #patience: number | undefined;

  constructor(site: Site, way: TcpProxy, agentArguments: readonly string[], patience?: number) {
    this.#patience = patience;
    this.#site = site;
    this.host = site.host;
    this.address = `${site.plan.address.ipv4}`;
    this.way = way;
    this.#arguments = agentArguments;
    this.client = new AgentClient({ socketPath: this.host.path(DEFAULT_SOCKET) });
  }

  get name(): string {
    return this.host.name;
  }

  get containerNetns(): string {
    return this.host.path('/run/netns/c1');
  }

  get containerAddress(): string {
    return this.#containerAddress;
  }

  /** Starts the agent for the first time, and a container in the subnet that it leases. */
  async populate(signal: AbortSignal): Promise<void> {
    this.#agent = await this.host.start(TULLE, this.#arguments, AGENT_LOG);
    const subnet = parseHostSubnet(await waitForFile(this.host.path(SUBNET_FILE), signal));
    const [container] = await makeSandboxes(this.host, this.#site.route, ['c1'], subnet);
    this.#containerAddress = container?.ip.ipv4 ?? '';
  }

  /** The agent's process. */
  get agent(): ProcessId {
    return this.#agent ?? assert.fail(`no agent was started on ${this.name}`);
  }

  /** The agent that was started last has not ended. */
  assertLives(): void {
    assert.ok(isAlive(this.agent), `the agent of ${this.name} has ended`);
  }

  async killAgent(): Promise<void> {
    await endProcess(this.agent, 0);
  }

  /** Starts the agent (again) and waits until it answers. */
  async startAgent(...flags: string[]): Promise<void> {
    await this.#start(TULLE, [...this.#arguments, ...flags]);
  }

  /** The same, with these flags that choose the underlay instead of the usual ones. */
  async startAgentAs(flags: readonly string[]): Promise<void> {
    const others = this.#arguments.filter(flag => !flag.startsWith('--iface'));
    await this.#start(TULLE, [...others, ...flags]);
  }

  /** The same, with further variables. */
  async startAgentWith(variables: Readonly<Record<string, string>>): Promise<void> {
    const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    await this.#start('env', [...settings, TULLE, ...this.#arguments]);
  }

  async #start(program: string, args: readonly string[]): Promise<void> {
    this.#agent = await this.host.start(program, args, AGENT_LOG);
    await eventually(`the agent of ${this.name} answers`, () => this.client.status());
  }

  /** What the agent logged, over all of its lives. */
  log(): string {
    return readFileSync(this.host.logFile(AGENT_LOG), 'utf8');
  }

  /** The IPv4 subnet that it leases. */
  get subnet(): Prefix {
    return this.subnetEnv().subnet.ipv4 ?? assert.fail(`${this.name} leases no IPv4 subnet`);
  }

  subnetEnv(): HostSubnet {
    return parseHostSubnet(readFileSync(this.host.path(SUBNET_FILE), 'utf8'));
  }

  /** Gives the uplink this address instead of the one it has. */
  async moveTo(address: string): Promise<void> {
    await this.shell('ip address flush dev eth0 scope global');
    await this.shell(`ip address add ${address}/24 dev eth0`);
  }

  /** Waits until the status satisfies `test`, and returns it. */
  until(what: string, test: (status: Status) => boolean): Promise<Status> {
    const look = async () => {
      const status = await this.client.status();
      return test(status) ? status : undefined;
    };
    return eventually(`${this.name}: ${what}`, look, this.#patience);
  }

  /** Waits until a condition fails, and returns what it says. */
  async untilCondition(name: ConditionName, ok: boolean): Promise<Condition> {
    const find = (status: Status) => status.conditions.find(condition => condition.name === name);
    const status = await this.until(`${name} is ${ok ? '' : 'not '}well`, found => find(found)?.ok === ok);
    return find(status) ?? assert.fail(name);
  }

  /** Waits until this lease is on the agent's disk, for the next one. */
  async untilKnown(key: string): Promise<void> {
    const path = this.host.path(KNOWN_STATE);
    await waitForFile(path, deadline(`${this.name} has ${key} on its disk`), text =>
      text.includes(`/subnets/${key}"`),
    );
  }

  /** Waits until a lease is a peer in this state, or none. */
  async untilPeer(key: string, state: PeerState | 'absent'): Promise<void> {
    await this.until(`${key} is ${state}`, ({ peers }) => {
      return (peers.find(peer => peer.key === key)?.state ?? 'absent') === state;
    });
  }

  /** Waits until this warning is in force (for that reason: it may have been for another), and returns what it says. */
  async untilWarned(code: string, why = /^/): Promise<{ reason: string; hint: string | undefined }> {
    const find = ({ warnings }: Status) =>
      warnings.find(warning => warning.code === code && why.test(warning.text));
    const status = await this.until(`it is warned of ${code} ${why}`, found => find(found) !== undefined);
    const { text = '', hint } = find(status) ?? {};
    return { reason: text, hint };
  }

  /** Everything as wanted, with this many peers. */
  untilWhole(peers: number): Promise<Status> {
    return this.until(`all is well with ${peers} peers`, status => {
      const { agent, conditions, dataplane, store } = status;
      return (
        agent.ready &&
        conditions.every(({ ok }) => ok) &&
        store.connected &&
        !store.cached &&
        dataplane.inSync &&
        dataplane.failed === 0 &&
        countOf(status, 'ok') === peers
      );
    });
  }

  /** Cuts every connection to the store, and waits until the agent has new ones: before it notices, all looks well. */
  async reconnect(): Promise<void> {
    const { accepted } = this.way;
    this.way.reset();
    await this.until('it has connected again', s => this.way.accepted > accepted && s.store.connected);
  }

  /** Events after the one with this id, until `enough` of them have come. */
  async eventsUntil(
    after: number,
    enough: (events: readonly AgentEvent[]) => boolean,
  ): Promise<AgentEvent[]> {
    const events: AgentEvent[] = [];
    const signal = deadline('enough events have come');
    for await (const event of this.client.events({ follow: true, after, signal })) {
      events.push(event);
      if (enough(events)) return events;
    }
    assert.fail(`${this.name}: only these events came:\n${events.map(({ text }) => text).join('\n')}`);
  }

  /** The id of the newest event. */
  async lastEvent(): Promise<number> {
    return (await Array.fromAsync(this.client.events())).at(-1)?.id ?? 0;
  }

  /** What `ip -json` or `bridge -json` say. */
  async json<T>(command: string): Promise<T[]> {
    return JSON.parse((await this.shell(command)) || '[]') as T[];
  }

  /** A command of the host, in words without quoting. */
  async shell(command: string): Promise<string> {
    const [program = '', ...args] = command.split(' ');
    return (await this.host.run(program, args)).stdout;
  }

  /** The kernel has exactly what leads to these peers, by what their own kernels say of themselves. */
  async assertKernel(peers: readonly FaultHost[]): Promise<void> {
    const facts = await Promise.all(peers.map(peer => peer.vtep()));
    const sorted = (texts: readonly string[]) => texts.toSorted((a, b) => (a < b ? -1 : 1));
    const [routes, neighbors, entries, own] = await Promise.all([
      this.json<{ dst: string; gateway: string; flags: string[] }>(`ip -json route show dev ${DEVICE}`),
      this.json<{ dst: string; lladdr: string; state: string[] }>(`ip -json neigh show dev ${DEVICE}`),
      this.json<{ mac: string; dst: string; state: string }>(`bridge -json fdb show dev ${DEVICE}`),
      this.vtep(),
    ]);
    assert.deepEqual(
      {
        routes: sorted(routes.map(({ dst, gateway, flags }) => `${dst} via ${gateway} ${flags.join()}`)),
        neighbors: sorted(neighbors.map(({ dst, lladdr, state }) => `${dst} ${lladdr} ${state.join()}`)),
        entries: sorted(entries.map(({ mac, dst, state }) => `${mac} ${dst} ${state}`)),
        base: own.base,
      },
      {
        routes: sorted(facts.map(({ base }) => `${base}/24 via ${base} onlink`)),
        neighbors: sorted(facts.map(({ base, mac }) => `${base} ${mac} PERMANENT`)),
        entries: sorted(facts.map(({ mac, address }) => `${mac} ${address} permanent`)),
        base: this.subnet.ip.toString(),
      },
      `the kernel of ${this.name}`,
    );
  }

  /** This host's end of the tunnel. */
  async vtep(): Promise<{ base: string; mac: string; address: string }> {
    const [link] = await this.json<{
      address: string;
      operstate: string;
      addr_info: { family: string; local: string }[];
      linkinfo: { info_data: { local: string } };
    }>(`ip -json -details address show dev ${DEVICE}`);
    const base = link?.addr_info.find(({ family }) => family === 'inet')?.local;
    assert.ok(link !== undefined && base !== undefined, `${DEVICE} of ${this.name} has an address`);
    return { base, mac: link.address, address: link.linkinfo.info_data.local };
  }
}

export function countOf(status: Status, state: PeerState): number {
  return status.peers.filter(peer => peer.state === state).length;
}
