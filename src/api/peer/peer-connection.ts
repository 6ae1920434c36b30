/** A connection to another host that has shown the right certificate: nothing is sent before. */
import type { Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { outOfPatience } from '../../base/abort.ts';
import { isCode, messageOf } from '../../base/errors.ts';
import type { CredentialReader } from './credentials.ts';
import { isPeerCaller, judgeCertificate } from './judge-certificate.ts';
import { PeerError } from './peer-error.ts';
import { PEER_LIMITS } from './peer-protocol.ts';
import type { Turns } from './turns.ts';

/** Where a host answers, and who it must be. */
export interface PeerTarget {
  readonly hostId: string;
  /** For messages. */
  readonly name: string;
  /** Its public addresses, at least one. */
  readonly addresses: readonly string[];
  /** TCP. */
  readonly port: number;
}

export interface PeerConnectOptions {
  readonly credentials: CredentialReader;
  readonly signal: AbortSignal;
  /** Handshakes take processor time: of many, some at a time. */
  readonly turns?: Turns;
  /** The host has accepted a connection; what it says on it is another matter. */
  readonly onReached?: () => void;
}

/**
 * Connects to the first address that answers, all at once.
 * @throws PeerError; `signal.reason`
 */
export async function connectPeer(target: PeerTarget, options: PeerConnectOptions): Promise<TLSSocket> {
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const attempts = target.addresses.map(address => connectAddress(target, address, { ...options, signal }));
  try {
    const socket = await Promise.any(attempts);
    for (const attempt of attempts) {
      attempt.then(other => other !== socket && other.destroy()).catch(() => undefined);
    }
    return socket;
  } catch (error) {
    options.signal.throwIfAborted();
    throw error instanceof AggregateError ? error.errors[0] : error;
  } finally {
    over.abort();
  }
}

async function connectAddress(
  target: PeerTarget,
  address: string,
  { credentials, signal, turns, onReached }: PeerConnectOptions,
): Promise<TLSSocket> {
  const where = `${target.name} at ${address} port ${target.port}`;
  const { authorities, context } = credentials.read();
  const below = process.getBuiltinModule('node:net').connect({ host: address, port: target.port });
  // What comes after this is what comes after a handshake.
  below.on('error', () => undefined);
  try {
    await settled(below, 'connect', signal);
    onReached?.();
    using _turn = await turns?.take(signal);
    const options: ConnectionOptions = {
      socket: below,
      secureContext: context,
      // Judged below, before anything is sent: by host id, which is no name of DNS.
      rejectUnauthorized: false,
    };
    // An import statement would load more of it than is used (src/agent/servers/http.ts).
    const socket = process.getBuiltinModule('node:tls').connect(options);
    socket.on('error', () => undefined);
    await settled(socket, 'secureConnect', signal);
    const shown = socket.getPeerX509Certificate();
    const found = shown && judgeCertificate(shown, authorities, Date.now());
    if (found === undefined) throw notTheHost(where, 'shows no certificate');
    if (!isPeerCaller(found)) throw notTheHost(where, `shows a certificate that ${found.reason}`);
    if (found.kind !== 'host' || found.name !== target.hostId)
      throw notTheHost(where, `shows the certificate of ${found.kind} ${found.name}`);
    return socket;
  } catch (error) {
    below.destroy();
    throw describe(where, error);
  }
}

/** Until a step of a connection is done. @throws what went wrong; TimeoutError; `signal.reason` */
function settled(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const until = AbortSignal.any([signal, outOfPatience(PEER_LIMITS.connect)]);
    const end = (error?: unknown) => {
      until.removeEventListener('abort', onAbort);
      socket.off(event, end).off('error', end).off('close', onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onAbort = () => end(until.reason);
    const onClose = () => end(new Error('it closes the connection'));
    if (until.aborted) return onAbort();
    until.addEventListener('abort', onAbort, { once: true });
    socket.once(event, end).once('error', end).once('close', onClose);
  });
}

const notTheHost = (where: string, what: string) =>
  new PeerError('NOT_THE_HOST', `who answers for ${where} ${what}`, {
    hint: 'see whether the address belongs to another machine, and the clocks of both hosts',
  });

function describe(where: string, error: unknown): Error {
  if (error instanceof PeerError) return error;
  if (isCode(error, 'ECONNREFUSED')) {
    return new PeerError('NOT_LISTENING', `${where} refuses connections`, {
      hint: 'see whether the agent runs there',
      cause: error,
    });
  }
  const isSilent = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
  const why = isSilent
    ? `does not answer within ${PEER_LIMITS.connect} ms`
    : `is not reached: ${messageOf(error)}`;
  // A cause that only repeats the deadline is noise.
  return new PeerError('UNREACHABLE', `${where} ${why}`, isSilent ? {} : { cause: error });
}
