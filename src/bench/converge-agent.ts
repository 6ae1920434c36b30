/**
 * A real agent: the program as it is installed, in namespaces of its own.
 *
 *     [ bench ]                    [ host ]
 *     store on loopback <── door ──> tulle agent      the door is a unix socket: paths know no network namespaces
 *                                    eth0 192.168.65.4, and nobody on the other end
 *
 * Whatever happens to us, nothing of it stays: the host ends with its anchor.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SUBNET_FILE } from '../cli/places.ts';
import { agentArguments } from '../lab/agent.ts';
import { Anchor } from '../lab/anchor.ts';
import { furnish, LabHost, TULLE } from '../lab/host.ts';
import { Netns } from '../sys/netns.ts';
import { endProcess, type ProcessId } from '../sys/pidfd.ts';
import { writeSysctl } from '../sys/sysctl.ts';
import { waitForFile } from '../sys/wait-file.ts';
import { PREFIX } from './converge-cluster.ts';
import { untilRoutes } from './converge-routes.ts';
import { OWN_ADDRESS, World } from './program-world.ts';

/** Milliseconds that an agent gets until it has a lease and every route is there. */
const PATIENCE = 180_000;
const LOG = 'agent';

export class AgentProcess implements AsyncDisposable {
  readonly world: World;
  readonly process: ProcessId;
  /** On `performance.now()`. */
  readonly started = performance.now();
  readonly #host: LabHost;
  readonly #resources: AsyncDisposableStack;

  private constructor(world: World, process: ProcessId, host: LabHost, resources: AsyncDisposableStack) {
    this.world = world;
    this.process = process;
    this.#host = host;
    this.#resources = resources;
  }

  /** @param number of the agent, from 0: no two have one address. */
  static async start(endpoint: string, number = 0): Promise<AgentProcess> {
    await using resources = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), 'tulle-bench-'));
    resources.defer(() => rm(directory, { recursive: true }));
    const door = join(directory, 'store.sock');
    resources.use(await openDoor(door, new URL(endpoint)));
    const anchor = resources.use(await Anchor.drop({ host: true }));
    const host = new LabHost('bench', anchor.id);
    await furnish(host, '127.0.0.1 localhost\n');
    const address = OWN_ADDRESS.plus(number + 1);
    const world = resources.use(await World.within(Netns.open(host.netnsFile), address));
    // As on every host that runs containers.
    writeSysctl('net/ipv4/ip_forward', '1', world.netns);
    const args = agentArguments({ etcdEndpoint: `unix://${door}`, etcdPrefix: PREFIX });
    const agent = await host.start(TULLE, args, LOG);
    resources.defer(() => endProcess(agent));
    return new AgentProcess(world, agent, host, resources.move());
  }

  /**
   * Resolves when the agent has a lease and its kernel a route to each of so many peers.
   *
   * @throws Error with the agent's last words when it takes too long; `signal.reason`.
   */
  async ready(peers: number, signal: AbortSignal): Promise<void> {
    const patience = AbortSignal.timeout(PATIENCE);
    const either = AbortSignal.any([signal, patience]);
    try {
      await Promise.all([
        waitForFile(this.#host.path(SUBNET_FILE), either),
        untilRoutes(this.world.rtnetlink, peers, either),
      ]);
    } catch (error) {
      if (signal.aborted || !patience.aborted) throw error;
      const words = readFileSync(this.#host.logFile(LOG), 'utf8').trimEnd().split('\n').at(-1);
      throw new Error(`no route to ${peers} peers within ${PATIENCE / 1000} s; the agent says: ${words}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** A unix socket that leads to a TCP port of this side. */
async function openDoor(path: string, { hostname, port }: URL): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer(inside => {
    const outside = connect(Number(port), hostname);
    for (const [socket, other] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
      socket.pipe(other);
    }
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
