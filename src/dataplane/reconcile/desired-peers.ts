/** The desired peers by lease key, and what a change of one of them means for each path and each link. */
import type { DesiredPeer, PathEntry, PeerPath } from '../desired.ts';
import { isSameCommand } from '../tables/commands.ts';

/** A path of a peer, which its link and subnet identify: as it is desired now, and as it was before. */
export interface PathChange {
  readonly link: string;
  readonly path: PeerPath | undefined;
  readonly before: PeerPath | undefined;
}

export class DesiredPeers {
  readonly #peers = new Map<string, DesiredPeer>();
  /** How many paths there are over each link. */
  readonly #counts = new Map<string, number>();

  keys(): IterableIterator<string> {
    return this.#peers.keys();
  }

  get(key: string): DesiredPeer | undefined {
    return this.#peers.get(key);
  }

  /** Names of the links that paths lead over, with the number of these. */
  links(): IterableIterator<[string, number]> {
    return this.#counts.entries();
  }

  /** All paths over this link, with their peers. */
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
      const old = before && samePlace(before, path);
      if (old === undefined) this.#count(path.link, 1);
      // A new revision alone decides who of several peers has an entry, so it is a change, though it writes nothing.
      if (before?.revision === peer.revision && old !== undefined && equal(path, old)) continue;
      changes.push({ link: path.link, path, before: old });
    }
    for (const path of before?.paths ?? []) {
      if (samePlace(peer, path) !== undefined) continue;
      this.#count(path.link, -1);
      changes.push({ link: path.link, path: undefined, before: path });
    }
    return changes;
  }

  /** Returns what changes. */
  delete(key: string): PathChange[] {
    const { paths = [] } = this.#peers.get(key) ?? {};
    this.#peers.delete(key);
    return paths.map(before => {
      this.#count(before.link, -1);
      return { link: before.link, path: undefined, before };
    });
  }

  #count(link: string, change: number): void {
    const count = (this.#counts.get(link) ?? 0) + change;
    if (count === 0) this.#counts.delete(link);
    else this.#counts.set(link, count);
  }
}

/** The peer's path over the same link for the same subnet. */
function samePlace({ paths }: DesiredPeer, { link, subnet }: PeerPath): PeerPath | undefined {
  return paths.find(other => other.link === link && other.subnet.equals(subnet));
}

function equal(a: PeerPath, b: PeerPath): boolean {
  return (
    a.underlayIp.equals(b.underlayIp) &&
    a.entries.length === b.entries.length &&
    a.entries.every((entry, index) => sameEntry(entry, b.entries[index]))
  );
}

function sameEntry(a: PathEntry, b: PathEntry | undefined): boolean {
  switch (a.kind) {
    case 'fdb':
      return b?.kind === a.kind && a.mac.equals(b.mac) && a.destination.equals(b.destination);
    case 'bridge-fdb':
      return b?.kind === a.kind && a.mac.equals(b.mac);
    case 'neighbor':
      return b?.kind === a.kind && a.ip.equals(b.ip) && a.mac.equals(b.mac);
    case 'route':
      return (
        b?.kind === a.kind &&
        a.destination.equals(b.destination) &&
        a.gateway?.key === b.gateway?.key &&
        (a.onlink ?? false) === (b.onlink ?? false) &&
        a.mtu === b.mtu &&
        a.source?.key === b.source?.key
      );
    case 'command':
      return b?.kind === a.kind && a.subnet.equals(b.subnet) && isSameCommand(a, b);
    case 'tunnel':
      return (
        b?.kind === a.kind &&
        a.subnet.equals(b.subnet) &&
        a.destination.equals(b.destination) &&
        a.port === b.port
      );
  }
}
