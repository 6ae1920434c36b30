/** How every host of the cluster is, asked from one of them. */
import * as v from 'valibot';
import { isCode, messageOf } from '../../base/errors.ts';
import { Status } from '../status.ts';
import type { CredentialReader } from './credentials.ts';
import { bodyText } from './exchange.ts';
import { PeerError } from './peer-error.ts';
import { LONGEST_PEER_STATUS } from './peer-protocol.ts';
import { type KnownPeer, Peers } from './peers.ts';

/** What a host says of itself, or why it says nothing. */
export type PeerAnswer =
  | {
      readonly peer: KnownPeer;
      readonly status: Status;
      /** Name of the host that it was asked through. */
      readonly via?: string;
    }
  | { readonly peer: KnownPeer; readonly status?: never; readonly reason: PeerError };

/**
 * Asks all hosts at once.
 * @param patience milliseconds for each
 * @throws `signal.reason`
 */
export async function askAllHosts(
  all: readonly KnownPeer[],
  credentials: CredentialReader,
  patience: number,
  signal: AbortSignal,
): Promise<PeerAnswer[]> {
  const peers = new Peers(all, credentials);
  // A host that is moving to another subnet has two leases.
  const hosts = new Map(all.map(peer => [peer.hostId ?? peer.key, peer]));
  return Promise.all(
    Array.from(hosts.values(), async (peer): Promise<PeerAnswer> => {
      const until = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
      try {
        return await statusOf(peers, peer, until);
      } catch (error) {
        signal.throwIfAborted();
        return { peer, reason: asPeerError(error, patience) };
      }
    }),
  );
}

async function statusOf(peers: Peers, peer: KnownPeer, signal: AbortSignal): Promise<PeerAnswer> {
  using exchange = await peers.open(peer, 'status', signal);
  const text = await bodyText(await exchange.incoming(), LONGEST_PEER_STATUS);
  const { first, to } = exchange.route;
  const { name } = to ?? first;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PeerError('PROTOCOL', `the answer of ${name} is not JSON`, { cause });
  }
  const parsed = v.safeParse(Status, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new PeerError('PROTOCOL', `the answer of ${name}: ${v.getDotPath(issue) ?? ''}: ${issue.message}`, {
      hint: 'the two hosts may have different versions of Tulle',
    });
  }
  return { peer, status: parsed.output, ...(to !== undefined && { via: first.name }) };
}

function asPeerError(error: unknown, patience: number): PeerError {
  if (error instanceof PeerError) return error;
  const isLate = error instanceof Error && error.name === 'TimeoutError';
  const why = isLate || isCode(error, 'ABORT_ERR') ? `no answer within ${patience} ms` : messageOf(error);
  return new PeerError('TIMEOUT', why, { cause: error });
}
