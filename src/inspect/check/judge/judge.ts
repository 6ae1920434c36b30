/** Findings out of all that is known: the cause of what is broken first, then what is wrong beside it. Pure. */
import type { Finding, InspectionReport } from '../../../api/inspection.ts';
import type { Ip } from '../../../base/ip.ts';
import { bySeverity, type FixableFinding } from '../../checks/check.ts';
import { isOk, lostShare, type RungResult, rungState } from '../rung.ts';
import { acrossHosts } from './across.ts';
import type { Around } from './by-way.ts';
import type { Case, PeerCase, WatchedRung } from './case.ts';
import { concerned, explains, isOfAll, type NamesInText } from './explain.ts';
import { fastFindings } from './fast.ts';
import { measured } from './measured.ts';
import { evidenceFor } from './passage.ts';
import { type Place, placeOf } from './place.ts';
import { type Root, rootsOf } from './roots.ts';
import type { Ports } from './way.ts';

export interface Judgement {
  /** No finding that loses packets. */
  readonly ok: boolean;
  /** The most likely cause of what is broken first. */
  readonly findings: readonly FixableFinding[];
}

export function judge(known: Case): Judgement {
  const { site, report, peers } = known;
  const named = namesIn(known);
  const stated: FixableFinding[] = [
    ...report.findings,
    ...peers.flatMap(peer => peer.report?.findings ?? []),
    ...acrossHosts(known),
    ...fastFindings(known.fast ?? [], site.host),
  ];
  const failures = rootsOf(known).map(root => {
    const watched = known.watched.find(({ rung }) => rung === root.rung);
    const way = { here: site.host, isDirect: isDirect(root.peer, known), ports: portsOf(root, known) };
    const place = watched && placeOf(watched, way);
    const { others } = aroundOf(root, watched, known);
    const isPart = others === 'all' || others === 'some';
    const weights = stated.map(finding =>
      isPart && isOfAll(finding, root, place, named) ? 0 : explains(finding, root, place, named),
    );
    return { root, watched, place, weights };
  });
  const reach = stated.map((finding, at) =>
    failures
      .filter(({ weights }) => (weights[at] ?? 0) > 0)
      .reduce((sum, { root }) => sum + concerned(finding, root, named), 0),
  );
  const causes: FixableFinding[] = [];
  const unexplained: Unexplained[] = [];
  /** Questions that broke by a cause, each as much as it lost: what loses a little comes after what loses everything. */
  const impact = new Map<string, number>();
  for (const { root, watched, place, weights } of failures) {
    const [best] = stated
      .map((finding, at) => ({ finding, weight: weights[at] ?? 0, reach: reach[at] ?? 0 }))
      .filter(({ weight }) => weight > 0)
      // Of those that explain it as well, the cause of the most failures.
      .toSorted((one, other) => other.weight - one.weight || other.reach - one.reach);
    const around = aroundOf(root, watched, known);
    if (best !== undefined) {
      causes.push(proven(best.finding, root, place, around));
    } else if (!isMeant(root, place)) {
      unexplained.push({ finding: measured(root, place, around), root, place });
    }
    const key = keyOf(best?.finding ?? unexplained.at(-1)?.finding);
    impact.set(
      key,
      root.rungs.reduce((sum, rung) => sum + lostShare(rung), impact.get(key) ?? 0),
    );
  }
  // The one that most of it broke by comes first.
  const impactOf = (cause: Finding) => impact.get(keyOf(cause)) ?? 0;
  causes.push(...together(located(unexplained, failures)));
  causes.sort((one, other) => impactOf(other) - impactOf(one));
  const rest = stated.filter(finding => !causes.some(cause => isSame(cause, finding)));
  const ordered = rest.toSorted(bySeverity);
  const findings = merged([...causes, ...ordered]);
  return { ok: findings.every(({ severity }) => severity !== 'error'), findings };
}

/** A container may keep its ports closed: only a rule outside of it, which was seen to drop, is a cause. */
const isMeant = ({ rung }: Root, place: Place | undefined): boolean =>
  rung.kind === 'tcp' &&
  place?.verdicts.some(({ container, end }) => container === undefined && end !== 'translated') !== true;

interface Failure {
  readonly root: Root;
  /** Absent where nobody has watched. */
  readonly place: Place | undefined;
}

interface Unexplained extends Failure {
  readonly finding: Finding;
}

/**
 * Without what nobody has watched, where something else that was lost beside it was: where it ends is not known, and most likely
 * it is the same place. By itself it is reported.
 */
function located(all: readonly Unexplained[], failures: readonly Failure[]): Unexplained[] {
  const known = failures.filter(({ place }) => place !== undefined);
  return all.filter(
    ({ root: { rung, peer }, place }) =>
      place !== undefined ||
      !known.some(({ root }) =>
        rung.container === undefined
          ? root.peer === peer
          : root.rung.container === rung.container || (peer !== undefined && root.peer === peer),
      ),
  );
}

/** What ends at the same place for several peers is one finding, which names them; a rule that was seen to drop says all. */
function together(all: readonly Unexplained[]): Finding[] {
  const byRule = all.filter(({ place }) => place?.verdicts.some(({ end }) => end !== 'translated') === true);
  const others = all.filter(one => !byRule.includes(one));
  return [...byRule.map(({ finding }) => finding), ...byPlace(others)];
}

function byPlace(all: readonly Unexplained[]): Finding[] {
  const groups = Map.groupBy(all, ({ finding: { code, host }, place, root }) =>
    JSON.stringify([
      code,
      host,
      root.rung.kind,
      place?.packet,
      place?.segments.map(({ segment }) => segment),
    ]),
  );
  return [...groups.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    const names = [
      ...new Set(others.map(({ root }) => root.peer?.peer.name).filter(name => name !== undefined)),
    ].filter(name => name !== first.root.peer?.peer.name);
    if (names.length === 0) return [first, ...others].map(({ finding }) => finding);
    const named = names.slice(0, 5).join(', ');
    const rest = names.length > 5 ? ` and ${names.length - 5} more` : '';
    const { finding } = first;
    return [{ ...finding, reason: `${finding.reason}; the same with ${named}${rest}` }];
  });
}

/** A finding that explains what is broken loses packets, whatever it looked like, and what was measured is its evidence. */
function proven(
  finding: FixableFinding,
  root: Root,
  place: Place | undefined,
  around: Around,
): FixableFinding {
  const seen = evidenceFor(root, place, around.site).filter(line => !finding.evidence.includes(line));
  // That pings get no answer does not mean that anything else is lost.
  const severity = finding.code.endsWith('IGNORES_ECHO') ? finding.severity : 'error';
  return { ...finding, severity, evidence: [...finding.evidence, ...seen].slice(0, 50) };
}

const keyOf = (finding: Pick<Finding, 'code' | 'host'> | undefined) => `${finding?.code} ${finding?.host}`;

const isSame = (a: Finding, b: Finding) => a.code === b.code && a.host === b.host && a.reason === b.reason;

/** The same cause of several failures, or as seen by two hosts, is one finding. */
function merged(findings: readonly FixableFinding[]): FixableFinding[] {
  const found: FixableFinding[] = [];
  for (const finding of findings) {
    const at = found.findIndex(one => isSame(one, finding));
    const known = found[at];
    if (known === undefined) found.push(finding);
    else
      found[at] = { ...known, evidence: [...new Set([...known.evidence, ...finding.evidence])].slice(0, 50) };
  }
  return found;
}

/** Packets for it leave by the underlay's link as they are. */
function isDirect(peer: PeerCase | undefined, { site }: Case): boolean {
  const { links = [] } = peer?.peer ?? {};
  return links.length > 0 && links.every(link => link === site.underlayLink);
}

/** The links of the containers at both ends: by their addresses. */
function portsOf({ rung, peer }: Root, { report }: Case): Ports {
  const linkOf = (one: InspectionReport | undefined, address: Ip | undefined) =>
    one?.containers.find(({ addresses }) => addresses.includes(String(address)))?.hostLink;
  return {
    near: rung.container === undefined ? undefined : linkOf(report, rung.source),
    far: linkOf(peer === undefined ? report : peer.report, rung.to),
  };
}

function aroundOf(
  { peer, rung, state }: Root,
  watched: WatchedRung | undefined,
  { site, peers }: Case,
): Around {
  // Where packets are lost now and then, a host that loses some as well does not hold.
  const isHolding = (one: RungResult) => (state === 'lossy' ? isOk(one) : rungState(one) !== 'broken');
  // That small packets pass says nothing of large ones.
  const isLike = ({ kind, size }: RungResult) => kind === rung.kind && size === rung.size;
  const others = peers.filter(one => one !== peer && one.rungs.some(isLike));
  const answering = others.filter(one => one.rungs.some(other => isLike(other) && isHolding(other)));
  return {
    site,
    flows: flowsOf(rung, peer, others),
    others:
      others.length === 0
        ? undefined
        : answering.length === 0
          ? 'none'
          : answering.length === others.length
            ? 'all'
            : 'some',
    isWatched: watched?.here !== undefined && (watched.there !== undefined || rung.peer === undefined),
    unwatched: watched?.unwatched ?? peer?.unasked,
  };
}

/** Whether flows in the tunnel to one peer end differently. */
function flowsOf(
  { size, to }: RungResult,
  peer: PeerCase | undefined,
  others: readonly PeerCase[],
): Around['flows'] {
  const flows = (one: PeerCase) =>
    one.rungs.filter(rung => rung.kind !== 'underlay' && rung.size === size && rung.to.family === to.family);
  const isBroken = (rung: RungResult) => rungState(rung) === 'broken';
  if (peer === undefined || flows(peer).every(isBroken)) return undefined;
  return { isOfAll: others.length > 0 && others.every(one => flows(one).some(isBroken)) };
}

function namesIn({ site, report, peers }: Case): NamesInText {
  const containersOf = (one: Case['report']) =>
    new Map(one.containers.map(({ name, addresses }) => [name, [name, ...addresses]] as const));
  return {
    here: site.host,
    containers: new Map([
      [site.host, containersOf(report)] as const,
      ...peers.flatMap(({ peer, report: its }) =>
        its === undefined ? [] : [[peer.name, containersOf(its)] as const],
      ),
    ]),
    peers: new Map(
      site.peers.map(peer => [
        peer.name,
        [...peer.names, ...Object.values(peer.subnets).map(({ ip }) => String(ip))],
      ]),
    ),
  };
}
