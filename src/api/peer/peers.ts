/**
 * The other hosts of a network, to be asked: directly, and through a third host where one is not reached from here. A host
 * that others reach and this one does not is what a check is for.
 */
import { untilAborted } from '../../base/abort.ts';
import { valuesOf } from '../../base/per-family.ts';
import type { PeerStatus } from '../status.ts';
import type { CredentialReader } from './credentials.ts';
import { Exchange, type PeerRoute } from './exchange.ts';
import type { PeerConnectOptions, PeerTarget } from './peer-connection.ts';
import { PeerError } from './peer-error.ts';
import type { PeerRequest } from './peer-protocol.ts';
import { Turns } from './turns.ts';

/** Milliseconds that the direct way gets before others are tried beside it. */
const HEAD_START = 400;
/** Of hundreds of hosts: each takes some milliseconds of one processor, and the last should not wait longer than it may. */
const HANDSHAKES_AT_ONCE = 16;
/** Hosts that are asked to pass a request on: one may not reach the other host either, or be down itself. */
const MOST_RELAYS = 3;

/** A host as the own agent knows it. */
export type KnownPeer = Pick<PeerStatus, 'key' | 'hostId' | 'hostName' | 'publicIp' | 'subnet' | 'peerApi'>;

/** How a message calls a host. */
export const nameOfPeer = ({ hostName, hostId, publicIp, key }: KnownPeer): string =>
  hostName ?? valuesOf(publicIp)[0] ?? hostId ?? key;

/** Where a host is asked. @throws PeerError NO_PEER_API with the reason */
export function targetOf(peer: KnownPeer): PeerTarget {
  const { hostId, peerApi, publicIp } = peer;
  const name = nameOfPeer(peer);
  const addresses = valuesOf<string>(publicIp);
  if (hostId === undefined) {
    throw new PeerError('NO_PEER_API', `${name} runs flannel, which cannot be asked`);
  }
  if (peerApi === undefined || addresses.length === 0) {
    throw new PeerError('NO_PEER_API', `the agent of ${name} offers no peer API`, {
      hint: `\`tulle status\` on ${name} says why; it needs a certificate, which \`tulle up\` gets`,
    });
  }
  return { hostId, name, addresses, port: peerApi.port };
}

export class Peers {
  readonly #all: readonly KnownPeer[];
  readonly #credentials: CredentialReader;
  readonly #handshakes = new Turns(HANDSHAKES_AT_ONCE);

  constructor(peers: readonly KnownPeer[], credentials: CredentialReader) {
    this.#all = peers;
    this.#credentials = credentials;
  }

  /**
   * A request to a host, by the first way that it is ready on. The direct way counts a little more.
   *
   * @param signal ends it, also after it was opened
   * @throws PeerError with the reason of the direct way; `signal.reason`
   */
  async open(peer: KnownPeer, request: PeerRequest, signal: AbortSignal): Promise<Exchange> {
    const target = targetOf(peer);
    // Without it no way is open.
    this.#credentials.read();
    const over = new AbortController();
    let isReached = false;
    const onReached = () => void (isReached = true);
    const direct = this.#attempt({ first: target }, request, { signal, over: over.signal, onReached });
    const others = this.#relays(target).map(first => async () => {
      await headStart(direct, () => isReached, signal);
      over.signal.throwIfAborted();
      return this.#attempt({ first, to: target }, request, { signal, over: over.signal });
    });
    const attempts = [direct, ...others.map(begin => begin())];
    try {
      const chosen = await untilAborted(Promise.any(attempts), signal);
      for (const attempt of attempts) {
        attempt.then(exchange => exchange !== chosen && exchange[Symbol.dispose]()).catch(() => undefined);
      }
      return chosen;
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof AggregateError ? reasonOf(error.errors) : error;
    } finally {
      over.abort();
    }
  }

  /** @param over given up, because another way was faster; one that was chosen goes on */
  async #attempt(
    route: PeerRoute,
    request: PeerRequest,
    { over, ...options }: Pick<PeerConnectOptions, 'signal' | 'onReached'> & { readonly over: AbortSignal },
  ): Promise<Exchange> {
    const turns = this.#handshakes;
    const exchange = Exchange.open(route, request, { ...options, turns, credentials: this.#credentials });
    try {
      return await untilAborted(exchange, over);
    } catch (error) {
      exchange.then(late => late[Symbol.dispose]()).catch(() => undefined);
      throw error;
    }
  }

  /** Hosts that may reach the other one, at random so that no host is asked by all. */
  #relays({ hostId }: PeerTarget): PeerTarget[] {
    const able = this.#all.filter(peer => peer.hostId !== hostId && peer.hostId && peer.peerApi);
    const start = able.length === 0 ? 0 : Math.floor(Math.random() * able.length);
    const turned = [...able.slice(start), ...able.slice(0, start)];
    return turned.slice(0, MOST_RELAYS).map(targetOf);
  }
}

/** Until the direct way has failed, or has had its time to reach the host; a host that was reached is waited for. */
async function headStart(
  direct: Promise<Exchange>,
  isReached: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>(resolve => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(() => isReached() || end(), HEAD_START);
    // Where it succeeds nobody waits for the others any more.
    direct.then(end, end);
    signal.addEventListener('abort', end, { once: true });
  });
}

/** What the direct way says; what a host that was reached says counts more. */
function reasonOf(errors: readonly unknown[]): unknown {
  const isWord = (error: unknown) => error instanceof PeerError && error.code === 'REFUSED';
  const [direct, ...others] = errors;
  return isWord(direct) ? direct : (others.find(isWord) ?? direct);
}
