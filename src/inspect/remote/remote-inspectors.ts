/** The other hosts of a network as inspectors, from what the own agent knows of them. */
import { CredentialReader, joinedFiles } from '../../api/peer/credentials.ts';
import { PeerError } from '../../api/peer/peer-error.ts';
import { type KnownPeer, nameOfPeer, Peers, targetOf } from '../../api/peer/peers.ts';
import type { Status } from '../../api/status.ts';
import { STATE_DIRECTORY } from '../../console/defaults.ts';
import { RemoteInspector } from './remote-inspector.ts';

/** A peer, and its inspector or why there is none. */
export type RemoteHost =
  | {
      readonly peer: KnownPeer;
      readonly name: string;
      readonly inspector: RemoteInspector;
      readonly reason?: never;
    }
  | {
      readonly peer: KnownPeer;
      readonly name: string;
      readonly inspector?: never;
      readonly reason: PeerError;
    };

/** One for each host among the peers, a host that is moving to another subnet once. */
export function remoteHosts({ peers, peerApi }: Pick<Status, 'peers' | 'peerApi'>): RemoteHost[] {
  const all = new Peers(peers, new CredentialReader(peerApi?.files ?? joinedFiles(STATE_DIRECTORY)));
  const known = new Map(peers.map(peer => [peer.hostId ?? peer.key, peer]));
  return Array.from(known.values(), peer => {
    const name = nameOfPeer(peer);
    try {
      targetOf(peer);
      return { peer, name, inspector: new RemoteInspector(peer, all) };
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      return { peer, name, reason: error };
    }
  });
}
