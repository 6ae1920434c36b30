/**
 * The bridge that a tunnel is attached to, by its own name or by that of the Docker network it belongs to. Docker is asked
 * over its unix socket (Engine API, GET /networks/NAME), and is not needed again for a bridge that is there.
 */
import process from 'node:process';
import { isCode, messageOf } from '../../base/errors.ts';
import type { Link } from '../../netlink/route/objects.ts';

export const DOCKER_SOCKET = '/run/docker.sock';

/** The bridge and, if it is Docker's, its network; or why there is none. */
export type Attachment =
  | { readonly bridge: string; readonly dockerNetwork?: string }
  | { readonly message: string; readonly hint?: string };

/** What `GET /networks/NAME` says; only what is used here. */
export interface DockerNetwork {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
}

/** undefined when Docker has no network of this name. @throws Error when it does not answer */
export type AskDocker = (name: string) => Promise<DockerNetwork | undefined>;

export class BridgeFinder {
  readonly #ask: AskDocker;
  /** Bridges of Docker networks by the networks' names, as Docker has said. */
  readonly #known: Map<string, string>;

  /** @param known of an earlier run: a network keeps its bridge's name. */
  constructor(ask: AskDocker, known: Iterable<readonly [string, string]> = []) {
    this.#ask = ask;
    this.#known = new Map(known);
  }

  /** The bridge that Docker has named for its network, if it was asked. */
  knownBridge(network: string): string | undefined {
    return this.#known.get(network);
  }

  async find(name: string, links: readonly Link[]): Promise<Attachment> {
    const isThere = (bridge: string) =>
      links.some(link => link.name === bridge && link.info?.kind === 'bridge');
    const known = this.#known.get(name);
    if (known !== undefined && isThere(known)) return { bridge: known, dockerNetwork: name };
    if (isThere(name)) return { bridge: name };
    if (links.some(link => link.name === name)) return { message: 'this link is no bridge' };
    let network: DockerNetwork | undefined;
    try {
      network = await this.#ask(name);
    } catch (error) {
      return {
        message: 'this host has no such bridge, and Docker cannot be asked for a network of this name',
        hint: isCode(error, 'ENOENT', 'ECONNREFUSED') ? 'Docker does not run' : messageOf(error),
      };
    }
    if (network === undefined) {
      return {
        message: 'neither a bridge nor a Docker network of this host has this name',
        hint: '`ip link show type bridge` and `docker network ls` list them',
      };
    }
    if (network.driver !== 'bridge') {
      return { message: `this Docker network has the driver ${network.driver}, and no bridge of this host` };
    }
    const bridge = bridgeOf(network);
    if (!isThere(bridge)) return { message: `the bridge ${bridge} of this Docker network is not there` };
    this.#known.set(name, bridge);
    return { bridge, dockerNetwork: name };
  }
}

/** Docker's names (libnetwork, drivers/bridge). */
const bridgeOf = ({ id, options }: DockerNetwork) =>
  options['com.docker.network.bridge.name'] ?? `br-${id.slice(0, 12)}`;

/** Milliseconds. */
const PATIENCE = 5_000;
/** Bytes; a network with a thousand containers has 200,000. */
const MOST_OF_AN_ANSWER = 8 << 20;

/** Asks the Docker at this socket. */
export function dockerAt(socketPath: string): AskDocker {
  return async name => {
    const { status, body } = await get(socketPath, `/networks/${encodeURIComponent(name)}`);
    if (status === 404) return undefined;
    const answer = JSON.parse(body) as Record<string, unknown>;
    if (status !== 200) throw new Error(`Docker answers ${status}: ${String(answer['message'])}`);
    const { Name, Id, Driver, Options } = answer;
    if (typeof Name !== 'string' || typeof Id !== 'string' || typeof Driver !== 'string') {
      throw new Error('Docker describes the network in a form that is not known');
    }
    return { name: Name, id: Id, driver: Driver, options: textsOf(Options) };
  };
}

const textsOf = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries(value ?? {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );

function get(socketPath: string, path: string): Promise<{ readonly status: number; readonly body: string }> {
  // Importing it would load the HTTP client of Node, 2 MB, in every agent.
  const { request } = process.getBuiltinModule('node:http');
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, agent: false, headers: { host: 'docker' } }, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        body += piece;
        if (body.length > MOST_OF_AN_ANSWER) call.destroy(new Error('the answer of Docker is too long'));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    call.setTimeout(PATIENCE, () => call.destroy(new Error('Docker does not answer')));
    call.on('error', reject);
    call.end();
  });
}
