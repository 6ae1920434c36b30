/**
 * A real agent: the program as it is installed, in namespaces of its own.
 *
 *     [ bench ]                    [ host ]
 *     store on loopback <─ socket ─> tulle agent      a unix socket, whose path is the same in every network namespace
 *                                    eth0 192.168.65.4, and no host on the other end
 *
 * The host ends with its anchor, also when this process is killed.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentPaths, SUBNET_FILE } from '../../console/defaults.ts';
import { PROTOCOL } from '../../dataplane/tables/entry.ts';
import { Anchor } from '../../lab/host/anchor.ts';
import { makeDisks, prepareHost } from '../../lab/host/files.ts';
import { LabHost, TULLE } from '../../lab/host/host.ts';
import { agentArguments } from '../../lab/service/agent.ts';
import { Netns } from '../../sys/netns.ts';
import { endProcess, type ProcessId } from '../../sys/pidfd.ts';
import { writeSysctl } from '../../sys/sysctl.ts';
import { waitForFile } from '../../sys/wait-file.ts';
import { BenchHost, OWN_ADDRESS } from '../program/bench-host.ts';
import { PREFIX } from './cluster.ts';
import { untilRoutes } from './routes.ts';

/** Milliseconds that an agent gets until it has a lease and every route is there. */
const TIMEOUT = 180_000;
const LOG = 'agent';

/** What runs on a host, and is measured. */
export interface HostProgram {
  readonly name: string;
  /** The routing protocol of its routes. */
  readonly protocol: number;
  readonly program: string;
  readonly args: (endpoint: string) => readonly string[];
  /** What the program expects to find. */
  readonly prepare?: (benchHost: BenchHost) => Promise<unknown>;
}

export const AGENT: HostProgram = {
  name: 'agent',
  protocol: PROTOCOL,
  program: TULLE,
  args: etcdEndpoint => agentArguments({ etcdEndpoint, etcdPrefix: PREFIX }),
};

export class AgentProcess implements AsyncDisposable {
  readonly benchHost: BenchHost;
  /** The way to the store; it may be shut. */
  readonly store: SocketForwarder;
  readonly #what: HostProgram;
  readonly #host: LabHost;
  readonly #resources: AsyncDisposableStack;
  #process: ProcessId;
  #started = performance.now();

  private constructor(
    what: HostProgram,
    benchHost: BenchHost,
    store: SocketForwarder,
    process: ProcessId,
    host: LabHost,
    resources: AsyncDisposableStack,
  ) {
    this.#what = what;
    this.benchHost = benchHost;
    this.store = store;
    this.#process = process;
    this.#host = host;
    this.#resources = resources;
  }

  /** @param number of the host, from 0: no two have one address. */
  static async start(endpoint: string, number = 0, what = AGENT): Promise<AgentProcess> {
    await using resources = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'tulle-bench-'));
    resources.defer(() => rm(directory, { recursive: true }));
    const store = resources.use(new SocketForwarder(join(directory, 'store.sock'), new URL(endpoint)));
    await store.open();
    const anchor = resources.use(await Anchor.drop({ host: true }));
    const host = new LabHost('bench', anchor.id);
    await makeDisks(anchor.id);
    await prepareHost(host, '127.0.0.1 localhost\n');
    const address = OWN_ADDRESS.plus(number + 1);
    const benchHost = resources.use(await BenchHost.within(Netns.open(host.netnsFile), address));
    // As on every host that runs containers.
    writeSysctl('net/ipv4/ip_forward', '1', benchHost.netns);
    await what.prepare?.(benchHost);
    const process = await host.start(what.program, what.args(store.url), LOG);
    return new AgentProcess(what, benchHost, store, process, host, resources.move());
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** When the program was started, on `performance.now()`. */
  get started(): number {
    return this.#started;
  }

  /** The routing protocol of its routes. */
  get protocol(): number {
    return this.#what.protocol;
  }

  /** The agent's API, as one finds it from here. */
  get socketPath(): string {
    return this.#host.path(agentPaths(PREFIX).socket);
  }

  /** Milliseconds from the start of the program until its subnet file is there. */
  async subnetTime(signal: AbortSignal): Promise<number> {
    await waitForFile(this.#host.path(SUBNET_FILE), signal);
    return performance.now() - this.#started;
  }

  /** Another process in place of the one before. The host, its kernel and its disk stay as they are. */
  async restart(): Promise<void> {
    await endProcess(this.#process);
    this.#started = performance.now();
    this.#process = await this.#host.start(this.#what.program, this.#what.args(this.store.url), LOG);
  }

  /**
   * Resolves when the agent has a lease and its kernel a route to each of so many peers.
   *
   * @throws Error with the last line of the agent's log when it takes too long; `signal.reason`.
   */
  async ready(peers: number, signal: AbortSignal): Promise<void> {
    const timeout = AbortSignal.timeout(TIMEOUT);
    const either = AbortSignal.any([signal, timeout]);
    try {
      await Promise.all([
        waitForFile(this.#host.path(SUBNET_FILE), either),
        untilRoutes(this.benchHost.rtnetlink, this.#what.protocol, peers, either),
      ]);
    } catch (error) {
      if (signal.aborted || !timeout.aborted) throw error;
      const words = readFileSync(this.#host.logFile(LOG), 'utf8').trimEnd().split('\n').at(-1);
      throw new Error(
        `no route to ${peers} peers within ${TIMEOUT / 1000} s; the ${this.#what.name} says: ${words}`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#process);
    await this.#resources.disposeAsync();
  }
}

/** A unix socket that leads to a TCP port of this side, while it is open. */
class SocketForwarder implements AsyncDisposable {
  readonly path: string;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(path: string, target: URL) {
    this.path = path;
    this.#target = target;
  }

  get url(): string {
    return `unix://${this.path}`;
  }

  async open(): Promise<void> {
    this.#server = createServer(inside => this.#join(inside));
    this.#server.listen(this.path);
    await once(this.#server, 'listening');
  }

  /** Ends every connection; the next ones are refused. */
  async shut(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shut();
  }

  #join(inside: Socket): void {
    const outside = connect(Number(this.#target.port), this.#target.hostname);
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => this.#sockets.delete(socket));
      socket.pipe(other);
    }
  }
}
