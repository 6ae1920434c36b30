/**
 * A lab of three hosts whose backend changes while their containers talk: the agents one by one, what a kernel may have of a
 * backend, and how many packets are lost meanwhile.
 *
 *     docker1 c1 <--> c1 docker2        each arrow: 50 echoes a second
 *         ^             ^
 *         +-> docker3 <-+
 */
import assert from 'node:assert/strict';
import { AgentClient } from '../../src/api/client.ts';
import { DEFAULT_SOCKET } from '../../src/api/messages.ts';
import type { Status } from '../../src/api/status.ts';
import { LabHost, TULLE } from '../../src/lab/host/host.ts';
import { type HostRecord, type LabRecord, requireRecord } from '../../src/lab/record/record.ts';
import { agentArguments } from '../../src/lab/service/agent.ts';
import { endProcess } from '../../src/sys/pidfd.ts';
import { waitForFile } from '../../src/sys/wait-file.ts';
import { KNOWN_STATE } from '../faults/fault-host.ts';
import { SteadyPing } from '../faults/steady-ping.ts';
import { deadline, eventually } from './eventually.ts';
import { agentOf, dumpHost, lab, labName, programsOf } from './lab.ts';

/** What a host has of a backend in its kernel, and nothing else. */
interface Footprint {
  readonly backend: Readonly<Record<string, unknown>>;
  /** Of packets between containers. */
  readonly mtu: number;
  readonly devices: readonly string[];
  /** The link of the routes to peers. */
  readonly link: string;
  readonly hasForwarder: boolean;
  /** The entries of VXLAN are there, also while the routes lead elsewhere. */
  readonly hasVxlanEntries: boolean;
}

const FOOTPRINTS = {
  vxlan: {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789 },
    mtu: 1450,
    devices: ['flannel.88'],
    link: 'flannel.88',
    hasForwarder: false,
    hasVxlanEntries: true,
  },
  'vxlan with DirectRouting': {
    backend: { Type: 'vxlan', VNI: 88, Port: 4789, DirectRouting: true },
    mtu: 1450,
    devices: ['flannel.88'],
    link: 'eth0',
    hasForwarder: false,
    hasVxlanEntries: false,
  },
  'host-gw': {
    backend: { Type: 'host-gw' },
    mtu: 1500,
    devices: [],
    link: 'eth0',
    hasForwarder: false,
    hasVxlanEntries: false,
  },
  udp: {
    backend: { Type: 'udp' },
    mtu: 1472,
    devices: ['flannel0'],
    link: 'flannel0',
    hasForwarder: true,
    hasVxlanEntries: false,
  },
  // On one link the best way is the direct one.
  auto: {
    backend: { Type: 'auto', VNI: 88, Port: 4789 },
    mtu: 1450,
    devices: ['flannel.88', 'flannel0'],
    link: 'eth0',
    hasForwarder: true,
    hasVxlanEntries: true,
  },
} as const satisfies Record<string, Footprint>;

export type BackendName = keyof typeof FOOTPRINTS;

export class BackendHost {
  readonly record: HostRecord;
  readonly host: LabHost;
  readonly client: AgentClient;
  readonly #arguments: readonly string[];

  constructor(record: HostRecord, agentFlags: readonly string[]) {
    this.record = record;
    this.host = new LabHost(record.name, record.anchor);
    this.client = new AgentClient({ socketPath: this.host.path(DEFAULT_SOCKET) });
    this.#arguments = agentFlags;
  }

  get container(): { readonly netns: string; readonly ip: string } {
    const [container] = this.record.containers;
    return { netns: this.host.path(container?.netns ?? ''), ip: container?.ip.ipv4 ?? '' };
  }

  async sh(script: string): Promise<string> {
    return (await this.host.run('sh', ['-c', script])).stdout.trim();
  }

  /** Waits until the next agent of this host will know that this one uses this backend. */
  async untilKnown(name: BackendName): Promise<void> {
    const config = Buffer.from(configOf(name)).toString('base64');
    const patience = deadline(`${this.record.name} has its configuration on its disk`);
    await waitForFile(this.host.path(KNOWN_STATE), patience, text => text.includes(`"config":"${config}"`));
  }

  async killAgent(): Promise<void> {
    await endProcess((await agentOf(this.host)).id, 0);
  }

  async startAgent(): Promise<void> {
    await this.host.start(TULLE, this.#arguments, 'agent');
    await this.until('its agent answers', () => true);
  }

  until(what: string, test: (status: Status) => boolean): Promise<Status> {
    let last: Status | undefined;
    const look = async () => {
      last = await this.client.status();
      return test(last) ? last : undefined;
    };
    return eventually(`${this.record.name}: ${what}`, look).catch((error: unknown) => {
      process.stderr.write(`${this.record.name}: ${JSON.stringify(last, undefined, 1)}\n`);
      throw error;
    });
  }

  /** Waits until it uses this backend, whether peers have followed or not. */
  untilIn(name: BackendName): Promise<Status> {
    const { type } = backendOf(name);
    return this.until(`it uses ${type}`, ({ backend, warnings }) => {
      const isPreparing = warnings.some(({ text }) => / is being prepared/.test(text));
      return backend?.type === type && !isPreparing;
    });
  }

  /** Waits until all peers have followed to this backend. */
  untilAlone(name: BackendName, peers: number): Promise<Status> {
    const { type } = backendOf(name);
    return this.until(
      `all is well over ${type} alone`,
      ({ agent, backend, warnings, peers: list, dataplane }) =>
        agent.ready &&
        backend?.type === type &&
        warnings.every(({ code }) => code !== 'NETWORK_CHANGING') &&
        dataplane.inSync &&
        list.filter(({ state }) => state === 'ok').length === peers,
    );
  }

  /** What the kernel has of any backend, in the words of iproute2. */
  async traces() {
    const lines = async (script: string) =>
      (await this.sh(script))
        .split('\n')
        .filter(line => line !== '')
        .sort();
    return {
      devices: await lines("ip -o link | cut -d: -f2 | grep -o 'flannel[^@ ]*' || true"),
      routes: await lines(
        "ip route | grep '^188' | grep -v docker0 | sed 's/nhid [0-9]* //; s/ src [^ ]*//; s/ *$//' || true",
      ),
      nexthops: await lines("ip nexthop | grep -o 'dev [^ ]*' | uniq -c | sed 's/^ *//' || true"),
      neighbors: await lines(
        "ip neigh show nud permanent | cut -d' ' -f3 | sort | uniq -c | sed 's/^ *//' || true",
      ),
      fdb: await lines("bridge fdb | grep ' dst ' | grep -o 'dev [^ ]*' | uniq -c | sed 's/^ *//' || true"),
      forwarders: programsOf(this.host).filter(({ words }) => words.includes('forwarder')).length,
      forwarderFiles: await lines("ls /run/tulle | grep -v '[.]log$' | grep forwarder || true"),
      subnetFile: await lines('grep MTU /run/flannel/subnet.env'),
    };
  }
}

const configOf = (name: BackendName) =>
  JSON.stringify({ Network: '188.172.0.0/16', Backend: FOOTPRINTS[name].backend });

function backendOf(name: BackendName): { readonly type: string } {
  return { type: FOOTPRINTS[name].backend.Type };
}

export class BackendLab implements AsyncDisposable {
  readonly #name = labName();
  hosts: readonly BackendHost[] = [];
  #record: LabRecord | undefined;

  async create(name: BackendName): Promise<void> {
    const backend = JSON.stringify(FOOTPRINTS[name].backend);
    const { status, stderr } = await lab(
      ['up', '--name', this.#name, '--hosts=3', '--containers=1', '--backend-config', backend, '--json'],
      { timeout: 120_000 },
    );
    assert.equal(status, 0, stderr);
    this.#record = requireRecord(this.#name);
    const flags = agentArguments(this.#record);
    this.hosts = this.#record.hosts.map(record => new BackendHost(record, flags));
  }

  host(number: number): BackendHost {
    return this.hosts[number - 1] ?? assert.fail(`no host ${number}`);
  }

  /** Writes the configuration of the network, as a person does. */
  async configure(name: BackendName): Promise<void> {
    await this.host(1).host.run(TULLE, ['config', 'set', configOf(name)]);
  }

  /** How many packets between the containers of all hosts are lost until `body` has ended. */
  async lossDuring(body: () => Promise<void>): Promise<number> {
    await using stack = new AsyncDisposableStack();
    const pings: SteadyPing[] = [];
    for (const [index, { container }] of this.hosts.entries()) {
      const next = this.hosts[(index + 1) % this.hosts.length]?.container ?? assert.fail();
      pings.push(stack.use(await SteadyPing.begin(container.netns, next.ip)));
    }
    try {
      await body();
      const tolls = await Promise.all(pings.map(ping => ping.toll()));
      return tolls.reduce((sum, { lost }) => sum + lost, 0);
    } catch (error) {
      for (const { host } of this.hosts) process.stderr.write(`${await dumpHost(host)}\n`);
      throw error;
    }
  }

  /** Waits until all hosts use this backend alone, and nothing of another one is left in any kernel. */
  async assertOnly(name: BackendName): Promise<void> {
    const peers = this.hosts.length - 1;
    await Promise.all(this.hosts.map(host => host.untilAlone(name, peers)));
    for (const host of this.hosts) {
      const others = this.hosts.filter(other => other !== host);
      await eventually(`${host.record.name} has ${name} and nothing else`, async () => {
        assert.deepEqual(await host.traces(), tracesOfOnly(name, others));
        return true;
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await lab(['down', '--name', this.#name]);
  }
}

/** What `traces` finds on a host with these peers, over one backend. */
function tracesOfOnly(name: BackendName, peers: readonly BackendHost[]) {
  const { devices, link, mtu, hasForwarder, hasVxlanEntries }: Footprint = FOOTPRINTS[name];
  const hasGateway = link !== 'flannel0';
  const isTunnel = link === 'flannel.88';
  const count = `${peers.length} `;
  const route = ({ record }: BackendHost) => {
    const subnet = record.subnet.ipv4 ?? '';
    const [base] = subnet.split('/');
    if (isTunnel) return `${subnet} via ${base} dev ${link} proto 77 onlink`;
    return hasGateway
      ? `${subnet} via ${record.address.ipv4} dev ${link} proto 77`
      : `${subnet} dev ${link} proto 77 scope link`;
  };
  return {
    devices,
    routes: peers.map(route).sort(),
    nexthops: hasGateway ? [`${count}dev ${link}`] : [],
    neighbors: hasVxlanEntries ? [`${count}flannel.88`] : [],
    fdb: hasVxlanEntries ? [`${count}dev flannel.88`] : [],
    forwarders: hasForwarder ? 1 : 0,
    forwarderFiles: hasForwarder ? ['agent-forwarder.sock', 'agent-forwarder.sock.pid'] : [],
    subnetFile: [`FLANNEL_MTU=${mtu}`],
  };
}
