/**
 * Which of the rungs that broke are causes, and which are only above them. What a rung stands on is broken first, and where
 * something above it holds it is not broken for those who use the network: a host may ignore pings. What loses now and then
 * does not account for a rung that loses everything.
 */
import { FAMILIES, type Family } from '../../../base/ip.ts';
import { lostShare, type RungKind, type RungResult, type RungState, rungState } from '../rung.ts';
import type { Case, PeerCase } from './case.ts';

/** A failure that has one cause, as far as rungs can say. */
export interface Root {
  /** The lowest rung that broke: what is watched and explained. */
  readonly rung: RungResult;
  readonly state: Exclude<RungState, 'ok'>;
  readonly peer?: PeerCase;
  /** All rungs that broke with it, `rung` among them. */
  readonly rungs: readonly RungResult[];
  /** One container of this host reaches nothing of the peer, and the others do. */
  readonly isOfOwn?: boolean;
}

/** Rungs that carry those after them. */
const CARRIERS: readonly RungKind[] = ['underlay', 'tunnel'];

/** Part of the loss above that a rung must have itself to be its cause: probes of both are lost at different moments. */
const LEAST_PART = 0.25;

/** Whether what a rung loses may be why one that stands on it loses what it does. */
export const accountsFor = (below: RungResult, above: RungResult): boolean =>
  lostShare(below) >= LEAST_PART * lostShare(above);

export function rootsOf({ own, peers, asked }: Pick<Case, 'own' | 'peers' | 'asked'>): Root[] {
  const inside = FAMILIES.flatMap(family => ownRoots(own.filter(of(family)), peers));
  const meant = peers.filter(({ peer }) => asked.includes(peer.name));
  const outside = meant.flatMap(peer =>
    FAMILIES.flatMap(family => peerRoots(peer, peer.rungs.filter(of(family)))),
  );
  return [...inside, ...outside.filter(root => !isBehind(root, inside))];
}

const of = (family: Family) => (rung: RungResult) => rung.to.family === family;

/** A container that does not reach its bridge, unless it reaches a peer. */
function ownRoots(rungs: readonly RungResult[], peers: readonly PeerCase[]): Root[] {
  const broken = rungs.filter(rung => rungState(rung) !== 'ok');
  return broken.flatMap(rung => {
    const { container, to } = rung;
    const reaches = peers.some(peer =>
      peer.rungs.some(
        one => one.container === container && one.to.family === to.family && rungState(one) === 'ok',
      ),
    );
    if (rung.kind === 'gateway') return reaches ? [] : [rootOf(rung, [rung])];
    // Between two containers: that one of both does not reach its bridge says it already.
    const isSaid = broken.some(
      one => one.kind === 'gateway' && (one.container === container || one.source?.equals(to)),
    );
    return isSaid ? [] : [rootOf(rung, [rung])];
  });
}

/** What this host's own container does not even bring to the bridge. */
const isBehind = ({ rung }: Root, inside: readonly Root[]): boolean =>
  rung.container !== undefined &&
  inside.some(
    ({ rung: below }) =>
      below.kind === 'gateway' &&
      below.container === rung.container &&
      below.to.family === rung.to.family &&
      accountsFor(below, rung),
  );

function peerRoots(peer: PeerCase, rungs: readonly RungResult[]): Root[] {
  const small = sizeRoots(
    peer,
    rungs.filter(({ size, kind }) => size === 'small' && kind !== 'tcp'),
  );
  // A path that loses small packets loses large ones as well.
  const full = rungs.filter(
    rung =>
      rung.size === 'full' &&
      rungs.some(one => one.size === 'small' && isSame(one, rung) && rungState(one) === 'ok'),
  );
  return [...small, ...sizeRoots(peer, full), ...connectionRoots(peer, rungs)];
}

/** A container that is asked for a connection only when it answers pings. */
const connectionRoots = (peer: PeerCase, rungs: readonly RungResult[]): Root[] =>
  rungs
    .filter(rung => rung.kind === 'tcp' && rungState(rung) === 'broken')
    .map(rung => rootOf(rung, [rung], peer));

const isSame = (one: RungResult, other: RungResult) =>
  one.kind === other.kind && one.container === other.container && one.to.equals(other.to);

/** Of rungs of one size and family. */
function sizeRoots(peer: PeerCase, rungs: readonly RungResult[]): Root[] {
  const carriers = CARRIERS.flatMap(kind => rungs.filter(rung => rung.kind === kind));
  const between = rungs.filter(({ kind }) => kind === 'container');
  const fromHost = rungs.filter(({ kind }) => kind === 'host');
  const users = between.length > 0 ? between : fromHost.length > 0 ? fromHost : carriers.slice(-1);
  const broken = users.filter(rung => rungState(rung) !== 'ok');
  if (broken.length === users.length && broken.length > 0) {
    const [worst] = broken.toSorted((one, other) => lostShare(other) - lostShare(one));
    const lowest = carriers.find((_, at) =>
      carriers.slice(at).every(rung => rungState(rung) !== 'ok' && worst && accountsFor(rung, worst)),
    );
    const rung = lowest ?? worst;
    const all = rungs.filter(one => rungState(one) !== 'ok');
    return rung === undefined ? [] : [rootOf(rung, all, peer)];
  }
  return [...endsOf(broken, users, peer), ...hostRoots(between, fromHost, peer)];
}

/**
 * Some containers, here or there: one root for each. It is the one here when all that it asks broke, and others reach the same
 * peer: not all of them ask all of its containers.
 */
function endsOf(broken: readonly RungResult[], between: readonly RungResult[], peer: PeerCase): Root[] {
  const holding = new Set(between.filter(rung => rungState(rung) === 'ok').map(({ container }) => container));
  const end = ({ container, to }: RungResult) => (holding.has(container) ? `to ${to}` : `from ${container}`);
  return [...Map.groupBy(broken, end).values()].flatMap(rungs =>
    rootOfAll(rungs, peer).map(root => ({ ...root, isOfOwn: !holding.has(root.rung.container) })),
  );
}

/** This host does not reach a container that its containers reach. */
function hostRoots(between: readonly RungResult[], fromHost: readonly RungResult[], peer: PeerCase): Root[] {
  const reached = new Set(between.filter(rung => rungState(rung) === 'ok').map(({ to }) => String(to)));
  const broken = fromHost.filter(rung => rungState(rung) !== 'ok' && reached.has(String(rung.to)));
  return rootOfAll(broken, peer);
}

function rootOfAll(rungs: readonly RungResult[], peer: PeerCase): Root[] {
  const [first] = rungs;
  return first === undefined ? [] : [rootOf(first, rungs, peer)];
}

function rootOf(rung: RungResult, rungs: readonly RungResult[], peer?: PeerCase): Root {
  const state = rungState(rung) === 'lossy' ? 'lossy' : 'broken';
  return { rung, state, rungs, ...(peer !== undefined && { peer }) };
}
