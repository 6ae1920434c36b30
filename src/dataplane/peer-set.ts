/** The wanted peers by lease key, and what a change of one of them means for each device. */
import type { DesiredPeer, PeerPath } from './desired.ts';

/** What a peer has over one device: now, and before. */
export interface PathChange {
  readonly link: string;
  readonly path: PeerPath | undefined;
  readonly before: PeerPath | undefined;
}

export class DesiredPeers {
  readonly #peers = new Map<string, DesiredPeer>();

  keys(): IterableIterator<string> {
    return this.#peers.keys();
  }

  get(key: string): DesiredPeer | undefined {
    return this.#peers.get(key);
  }

  /** All peers with a path over this device, with that path. */
  *over(link: string): Generator<readonly [DesiredPeer, PeerPath]> {
    for (const peer of this.#peers.values()) {
      for (const path of peer.paths) if (path.link === link) yield [peer, path];
    }
  }

  /** Returns what changes: nothing when the peer is as it was. */
  set(peer: DesiredPeer): PathChange[] {
    const before = this.#peers.get(peer.key);
    this.#peers.set(peer.key, peer);
    const changes: PathChange[] = [];
    for (const path of peer.paths) {
      const old = pathOver(before, path.link);
      // A new revision alone decides between rival claims, so it is a change, though it writes nothing.
      if (before?.revision === peer.revision && samePath(path, old)) continue;
      changes.push({ link: path.link, path, before: old });
    }
    for (const path of before?.paths ?? []) {
      if (pathOver(peer, path.link) === undefined) {
        changes.push({ link: path.link, path: undefined, before: path });
      }
    }
    return changes;
  }

  delete(key: string): void {
    this.#peers.delete(key);
  }
}

function pathOver(peer: DesiredPeer | undefined, link: string): PeerPath | undefined {
  return peer?.paths.find(path => path.link === link);
}

function samePath(a: PeerPath, b: PeerPath | undefined): boolean {
  return (
    b !== undefined &&
    a.link === b.link &&
    a.subnet.equals(b.subnet) &&
    a.gateway.equals(b.gateway) &&
    a.mac.equals(b.mac) &&
    a.underlayIp.equals(b.underlayIp)
  );
}
