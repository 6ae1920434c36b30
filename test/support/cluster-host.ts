/** One host of a Cluster: a namespace with an uplink, an agent in a process of its own, and containers. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { TestContext } from 'node:test';
import { AgentClient } from '../../src/api/client.ts';
import type { PeerState, Status } from '../../src/api/status.ts';
import { Mac } from '../../src/base/mac.ts';
import { type InterfaceAddress, parseInterfaceAddress } from '../../src/base/prefix.ts';
import { filesBeside } from '../../src/console/defaults.ts';
import { stopForwarder } from '../../src/forwarder/managed-forwarder.ts';
import { connectRoute } from '../../src/netlink/route/connect.ts';
import type { Rtnetlink } from '../../src/netlink/route/rtnetlink.ts';
import { ensureBridge } from '../../src/sandbox/bridge.ts';
import { attach } from '../../src/sandbox/endpoint.ts';
import { Netns } from '../../src/sys/netns.ts';
import { type Exit, type RunningProcess, run, start } from '../../src/sys/process.ts';
import { writeSysctl } from '../../src/sys/sysctl.ts';
import { lostEchoes } from './echoes.ts';
import type { Etcd } from './etcd.ts';
import { eventually, within } from './eventually.ts';
import { TcpProxy } from './tcp-proxy.ts';

const TULLE = join(import.meta.dirname, '../../bin/tulle');

export class ClusterHost {
  readonly name: string;
  readonly address: string;
  readonly netns: Netns;
  readonly ip: Rtnetlink;
  /** This host's way to etcd. */
  readonly store: TcpProxy;
  readonly directory: string;
  readonly client: AgentClient;
  #agent: RunningProcess | undefined;

  private constructor(
    name: string,
    address: string,
    netns: Netns,
    ip: Rtnetlink,
    store: TcpProxy,
    directory: string,
  ) {
    this.name = name;
    this.address = address;
    this.netns = netns;
    this.ip = ip;
    this.store = store;
    this.directory = directory;
    this.client = new AgentClient({ socketPath: join(directory, `${name}.sock`) });
  }

  static async create(
    teardown: AsyncDisposableStack,
    number: number,
    fabric: Rtnetlink,
    etcd: Etcd,
    directory: string,
  ): Promise<ClusterHost> {
    const name = `h${number}`;
    const address = `192.168.65.${number + 2}`;
    const netns = teardown.use(Netns.anonymous());
    const ip = teardown.use(connectRoute({ netns }));
    const bridge = await fabric.links.get('fabric');
    await fabric.links.add({
      name,
      up: true,
      master: bridge?.index ?? 0,
      info: { kind: 'veth', peer: { name: 'eth0', netnsFd: netns.fd } },
    });
    await ip.links.change('lo', { up: true });
    await ip.links.change('eth0', { up: true });
    writeSysctl('net/ipv4/ip_forward', '1', netns);
    const store = teardown.use(await TcpProxy.start(etcd.port, join(directory, `${name}.etcd`)));
    const host = new ClusterHost(name, address, netns, ip, store, directory);
    teardown.defer(() => host.endPrograms());
    await host.addAddress(`${address}/24`);
    return host;
  }

  async addAddress(text: string): Promise<void> {
    await this.ip.addresses.replace({ ...parseInterfaceAddress(text), index: await this.linkIndex('eth0') });
  }

  async removeAddress(text: string): Promise<void> {
    await this.ip.addresses.delete({ ...parseInterfaceAddress(text), index: await this.linkIndex('eth0') });
  }

  async linkIndex(name: string): Promise<number> {
    return (await this.ip.links.get(name))?.index ?? assert.fail(`${this.name} has no ${name}`);
  }

  get subnetFile(): string {
    return join(this.directory, `${this.name}.env`);
  }

  get stateDirectory(): string {
    return join(this.directory, this.name);
  }

  /** What the agent logged, over all of its lives. */
  log(): string {
    return readFileSync(join(this.directory, `${this.name}.log`), 'utf8');
  }

  /** Starts the agent and waits until it answers. @throws when it ends instead, with the end of its log */
  async startAgent(...flags: string[]): Promise<void> {
    const before = this.#agent;
    const agent = await this.launchAgent({ flags });
    const ended = agent.exited.then(exit => {
      throw new Error(`the agent ended with ${JSON.stringify(exit)}: ${this.log().slice(-500)}`);
    });
    const answers = eventually(`${this.name} answers`, async () => {
      return (await this.client.status()).pid === agent.pid;
    });
    try {
      await Promise.race([answers, ended]);
    } catch (error) {
      agent.kill('SIGKILL');
      await agent.exited;
      // One that was running is still to be ended.
      this.#agent = before;
      throw error;
    }
  }

  /** Starts the agent and waits for nothing. @param options `nodeOptions` as in the variable NODE_OPTIONS */
  async launchAgent(
    options: { readonly flags?: readonly string[]; readonly nodeOptions?: string } = {},
  ): Promise<RunningProcess> {
    const { flags = [], nodeOptions = '' } = options;
    this.#agent = await start(
      TULLE,
      [
        'agent',
        '--iface=eth0',
        `--etcd-endpoints=unix://${join(this.directory, `${this.name}.etcd`)}`,
        `--socket=${join(this.directory, `${this.name}.sock`)}`,
        `--state-dir=${this.stateDirectory}`,
        `--subnet-file=${this.subnetFile}`,
        ...flags,
      ],
      {
        logFile: join(this.directory, `${this.name}.log`),
        namespaces: { net: `/proc/${process.pid}/fd/${this.netns.fd}` },
        env: { ...process.env, NODE_OPTIONS: nodeOptions },
      },
    );
    return this.#agent;
  }

  get agent(): RunningProcess {
    return this.#agent ?? assert.fail(`no agent on ${this.name}`);
  }

  get agentPid(): number {
    return this.agent.pid;
  }

  /** Asks the agent to end and waits for it; its exit status. */
  async stopAgent(): Promise<number | undefined> {
    this.#agent?.kill('SIGTERM');
    return (await this.#ended())?.status;
  }

  /** The forwarder of a backend that needs one outlives its agent. */
  async endPrograms(): Promise<void> {
    await this.killAgent();
    await stopForwarder(filesBeside(join(this.directory, `${this.name}.sock`)).control);
  }

  async killAgent(): Promise<void> {
    this.#agent?.kill('SIGKILL');
    await this.#ended();
  }

  async #ended(): Promise<Exit | undefined> {
    return this.#agent && within(`the agent of ${this.name} ends`, this.#agent.exited);
  }

  /** Waits until the status satisfies `test`, and returns it. */
  async until(what: string, test: (status: Status) => boolean): Promise<Status> {
    return eventually(`${this.name}: ${what}`, async () => {
      const status = await this.client.status();
      return test(status) ? status : undefined;
    });
  }

  /** Waits until the agent is ready and this many peers are programmed. */
  untilConnected(peers: number): Promise<Status> {
    return this.until(`${peers} peers are ok`, status => {
      return status.agent.ready && countOf(status, 'ok') === peers && status.dataplane.inSync;
    });
  }

  /** What the fast path has at the links of so many containers is in place; or it is known that there is none. */
  untilAtLinks(containers: number): Promise<Status> {
    return this.until(`the links of ${containers} containers are as wanted`, ({ fastPath, dataplane }) => {
      const isKnown = fastPath?.networks.every(({ obstacle, links, without }) =>
        obstacle === undefined
          ? links.length + without.length >= containers
          : !['WAITING', 'NO_CONTAINERS'].includes(obstacle.code),
      );
      return dataplane.inSync && isKnown !== false;
    });
  }

  async subnet(): Promise<InterfaceAddress> {
    const text = /^FLANNEL_SUBNET=(.*)$/m.exec(readFileSync(this.subnetFile, 'utf8'))?.[1];
    return parseInterfaceAddress(text ?? assert.fail('no FLANNEL_SUBNET'));
  }

  /** Attaches a container to a bridge with the first address of the subnet, as Docker does. */
  async addContainer(t: TestContext): Promise<Container> {
    const gateway = await this.subnet();
    await ensureBridge(this.ip, {
      name: 'docker0',
      mac: Mac.random(randomBytes),
      addresses: [gateway],
      mtu: 1450,
    });
    const netns = Netns.anonymous();
    t.after(() => netns[Symbol.dispose]());
    await using route = connectRoute({ netns });
    const address = { ip: gateway.ip.plus(1), length: gateway.length };
    await attach(
      this.ip,
      { netns, route },
      {
        hostLink: 'veth-c1',
        bridge: 'docker0',
        sandboxLink: 'eth0',
        addresses: [address],
        routes: [{ gateway: gateway.ip }],
        mtu: 1450,
      },
    );
    return new Container(netns, address.ip.toString());
  }

  /** A command of the host, in words without quoting. */
  async shell(command: string): Promise<string> {
    const [program = '', ...args] = command.split(' ');
    return this.run(program, args);
  }

  /** What a program prints that runs on the host. */
  async run(program: string, args: readonly string[]): Promise<string> {
    const namespaces = { net: `/proc/${process.pid}/fd/${this.netns.fd}` };
    return (await run(program, args, { namespaces })).stdout;
  }
}

export class Container {
  readonly address: string;
  readonly #netns: Netns;

  constructor(netns: Netns, address: string) {
    this.#netns = netns;
    this.address = address;
  }

  /** Sends so many echo requests, so many milliseconds apart, and counts the answers. */
  async ping(
    to: Container,
    options: { readonly count?: number; readonly interval?: number } = {},
  ): Promise<Pings> {
    const { count = 3, interval = 10 } = options;
    const from = `/proc/${process.pid}/fd/${this.#netns.fd}`;
    const lost = await lostEchoes({ from, to: to.address, count, interval });
    return { sent: count, received: count - lost };
  }
}

export interface Pings {
  readonly sent: number;
  readonly received: number;
}

export function countOf(status: Status, state: PeerState): number {
  return status.peers.filter(peer => peer.state === state).length;
}
