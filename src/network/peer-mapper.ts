/**
 * The peers of this host: each lease, and what the backend in use makes of it for the data plane. One changed
 * lease among thousands costs one mapping; a changed backend maps all of them again.
 *
 * A peer whose lease this host cannot use is reached as before: it may be ahead on the way to another configuration, and
 * still has its former device.
 */
import type { PeerHealth } from '../api/peer-health.ts';
import type { PeerStatus } from '../api/status.ts';
import type { Backend } from '../backend/backend.ts';
import type { Ip } from '../base/ip.ts';
import { familiesOf, mapFamilies, type PerFamily } from '../base/per-family.ts';
import type { NetworkScope } from '../dataplane/data-plane.ts';
import type { DesiredPeer } from '../dataplane/desired.ts';
import { isSamePath, type Lease, type RejectedLease } from '../subnet/lease/lease.ts';
import type { HostSenders } from './host-senders.ts';
import type { PathMtus, PathTarget } from './path-mtu/path-mtus.ts';
import { overlayTargets, pathTargets, withSize } from './path-mtu/path-targets.ts';
import type { PeerMove } from './peer-report.ts';
import type { Ways } from './ways/ways.ts';

type PeerScope = Pick<NetworkScope, 'setPeer' | 'setPeers' | 'removePeer' | 'peerReport'>;

/** @param problems none when there were some. @param isReached as it said before, or for one of its families. */
type OnPeerProblems = (key: string, problems: readonly string[], isReached: boolean) => void;

/** What chooses among several ways to a peer. */
type PeerChoices = Pick<Ways, 'set' | 'chosen' | 'status'>;

const NO_CHOICES: PeerChoices = { set: () => undefined, chosen: () => ({}), status: () => ({}) };

/** What knows how large a packet may be. */
type PeerSizes = Pick<PathMtus, 'set' | 'sizes'>;

/** What knows which hosts may send. */
type PeerSenders = Pick<HostSenders, 'setPeer' | 'removePeer'>;

const NO_SENDERS: PeerSenders = { setPeer: () => undefined, removePeer: () => undefined };

const NO_SIZES: PeerSizes = { set: () => undefined, sizes: () => ({}) };

/** What knows whether peers answer. */
interface PeerAnswers {
  set(key: string, targets: PerFamily<PathTarget>, name: string): void;
  status(key: string): PerFamily<PeerHealth>;
}

const NO_ANSWERS: PeerAnswers = { set: () => undefined, status: () => ({}) };

/** Why no packet gets over a link that is in place; undefined when nothing stops it. */
type LinkObstacle = (link: string) => string | undefined;

export class PeerMapper {
  readonly #dataPlane: PeerScope;
  readonly #onProblem: OnPeerProblems;
  readonly #leases = new Map<string, Lease>();
  /** Why the backend made nothing, or not everything, of a lease; most peers have no entry. */
  readonly #problems = new Map<string, readonly string[]>();
  /** The last lease of which something could be made, where that is not the present one. */
  readonly #former = new Map<string, Lease>();
  readonly #ways: PeerChoices;
  readonly #mtus: PeerSizes;
  readonly #senders: PeerSenders;
  readonly #answers: PeerAnswers;
  #backend: Backend | undefined;

  /** @param onProblem called once when a peer has problems, again when it has others, and with none when they are over */
  constructor(
    dataPlane: PeerScope,
    onProblem: OnPeerProblems,
    probes: {
      readonly ways?: PeerChoices;
      readonly mtus?: PeerSizes;
      readonly answers?: PeerAnswers;
      readonly senders?: PeerSenders;
    } = {},
  ) {
    this.#dataPlane = dataPlane;
    this.#ways = probes.ways ?? NO_CHOICES;
    this.#mtus = probes.mtus ?? NO_SIZES;
    this.#senders = probes.senders ?? NO_SENDERS;
    this.#answers = probes.answers ?? NO_ANSWERS;
    this.#onProblem = onProblem;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** Of the peers, as they are now. */
  leases(): Iterable<Lease> {
    return this.#leases.values();
  }

  /** Keys of the leases that satisfy `test`. */
  keysOf(test: (lease: Lease) => boolean): string[] {
    return Array.from(this.#leases.values())
      .filter(test)
      .map(({ key }) => key);
  }

  /** Where tunnel packets of the peers come from, as the backend in use has it. */
  underlayAddresses(): Ip[] {
    const backend = this.#backend;
    if (backend === undefined) return [];
    return Array.from(this.#leases.values()).flatMap(lease =>
      backend
        .peer(lease)
        .paths.flatMap(({ underlayIp, receivesOnly = false }) => (receivesOnly ? [] : [underlayIp])),
    );
  }

  /** Leases of the last run, by which peers are reached whose present ones cannot be used. To be called before the first change. */
  remember(leases: Iterable<Lease>): void {
    for (const lease of leases) this.#former.set(lease.key, lease);
  }

  /** Maps every lease with this backend from now on. */
  use(backend: Backend): void {
    this.#backend = backend;
    for (const key of this.#former.keys()) if (!this.#leases.has(key)) this.#former.delete(key);
    this.#dataPlane.setPeers(Array.from(this.#leases.values(), lease => this.#consider(backend, lease)));
  }

  /** Maps one lease again: other ways to the peer are chosen. */
  again(key: string): void {
    const lease = this.#leases.get(key);
    if (lease !== undefined && this.#backend !== undefined)
      this.#dataPlane.setPeer(this.#plan(this.#backend, lease));
  }

  /** Takes over leases that are new or differ from before, and forgets those that are gone. @returns what is worth an event */
  change(changed: Iterable<Lease>, gone: Iterable<string>): PeerMove[] {
    const moves: PeerMove[] = [];
    for (const lease of changed) {
      const before = this.#leases.get(lease.key);
      if (before === undefined) moves.push({ kind: 'added', lease });
      else if (!isSamePath(before.attributes, lease.attributes)) moves.push({ kind: 'changed', lease });
      if (before !== undefined && !this.#former.has(lease.key)) this.#former.set(lease.key, before);
      this.#leases.set(lease.key, lease);
      if (this.#backend !== undefined) this.#dataPlane.setPeer(this.#consider(this.#backend, lease));
    }
    for (const key of gone) {
      const lease = this.#leases.get(key);
      if (lease !== undefined) moves.push({ kind: 'removed', lease });
      this.#leases.delete(key);
      this.#problems.delete(key);
      this.#former.delete(key);
      this.#ways.set(key, {});
      this.#mtus.set(key, {});
      this.#senders.removePeer(key);
      this.#answers.set(key, {}, key);
      if (this.#backend !== undefined) this.#dataPlane.removePeer(key);
    }
    return moves;
  }

  /**
   * One entry per key, in key order. A key that was a good lease before it was rejected stays in use as that.
   * @param obstacle of links that need more than the kernel
   */
  status(rejected: Iterable<RejectedLease>, obstacle: LinkObstacle = () => undefined): PeerStatus[] {
    const peers = new Map(
      Array.from(this.#leases.values(), lease => [lease.key, this.#statusOf(lease, obstacle)]),
    );
    for (const { key, reason } of rejected) {
      const inUse = peers.get(key);
      peers.set(
        key,
        inUse === undefined
          ? { key, subnet: {}, publicIp: {}, state: 'rejected', reason, desired: [], actual: [] }
          : { ...inUse, state: 'rejected', reason: `${reason}; its previous data stays in use` },
      );
    }
    return [...peers.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** A lease, or a backend, that was not there before. */
  #consider(backend: Backend, lease: Lease): DesiredPeer {
    this.#ways.set(lease.key, backend.ways?.(lease) ?? {});
    return this.#plan(backend, lease);
  }

  #plan(backend: Backend, lease: Lease): DesiredPeer {
    const { paths, problems, provisional = paths } = backend.peer(lease, this.#ways.chosen(lease.key));
    const isKnown = this.#problems.get(lease.key)?.join() === problems.join();
    const { key, modRevision: revision } = lease;
    if (problems.length > 0) this.#problems.set(key, problems);
    else if (this.#problems.delete(key)) this.#onProblem(key, [], true);
    const isSaid = paths.length > 0 || problems.length === 0;
    if (isSaid) this.#former.delete(key);
    const former = this.#former.get(key);
    const used = isSaid ? paths : former === undefined ? provisional : backend.peer(former).paths;
    if (problems.length > 0 && !isKnown) this.#onProblem(key, problems, used.length > 0);
    // Before anything is made for it: it may send as soon as its lease is there.
    this.#senders.setPeer(lease, used);
    const targets = pathTargets(used, backend.overlayMtu);
    this.#mtus.set(key, targets);
    this.#answers.set(key, overlayTargets(targets, this.#ways.status(key)), nameOfPeer(lease));
    const sizes = this.#mtus.sizes(key);
    return { key, revision, paths: used.map(path => withSize(path, sizes[path.subnet.family])) };
  }

  #statusOf({ key, subnet, attributes }: Lease, obstacle: LinkObstacle): PeerStatus {
    const { publicIp, hostId, hostName, backendType, peerApiPort: port } = attributes;
    const report = this.#dataPlane.peerReport(key);
    const problems = this.#problems.get(key) ?? [];
    const unreachable = problems.length > 0 && (report?.desired.length ?? 0) === 0;
    const ways = this.#ways.status(key);
    const health = this.#answers.status(key);
    const links = report?.links ?? [];
    const obstacles = links.map(obstacle).filter(reason => reason !== undefined);
    const reasons = [...(report?.reason === undefined ? [] : [report.reason]), ...obstacles, ...problems];
    const state = report?.state === 'ok' && obstacles.length > 0 ? 'pending' : (report?.state ?? 'pending');
    return {
      key,
      subnet: mapFamilies(subnet, String),
      publicIp: mapFamilies(publicIp, String),
      ...(hostId === undefined ? {} : { hostId }),
      ...(hostName === undefined ? {} : { hostName }),
      ...(backendType === undefined ? {} : { backendType }),
      ...(port === undefined ? {} : { peerApi: { port } }),
      ...(familiesOf(ways).length > 0 && { ways }),
      ...(links.length > 0 && { links: [...links] }),
      ...(familiesOf(health).length > 0 && { health }),
      state: unreachable ? 'unreachable' : state,
      ...(reasons.length === 0 ? {} : { reason: reasons.join('; ') }),
      desired: [...(report?.desired ?? [])],
      actual: [...(report?.actual ?? [])],
    };
  }
}

/** What a person calls the peer's host. */
const nameOfPeer = ({ key, attributes: { hostName } }: Lease): string => hostName ?? key;
