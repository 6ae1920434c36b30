/**
 * A check: looks at this host and at those that are meant, climbs their ladders, has both hosts watch what broke, and judges.
 * All of it side by side; only what broke costs more.
 */
import type { InspectedContainer, InspectionReport } from '../../api/inspection.ts';
import { PeerError } from '../../api/peer/peer-error.ts';
import { untilAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';
import { parallel } from '../../base/parallel.ts';
import type { Netns } from '../../sys/netns.ts';
import type { FixableReport } from '../checks/check.ts';
import type { HostReader } from '../host/host-reader.ts';
import { inspectedContainers } from '../host/inspected-containers.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { Climber } from './climb.ts';
import { probeAll } from './fast-probes.ts';
import type { Case, PeerCase, WatchedRung } from './judge/case.ts';
import { withoutChance } from './judge/chance.ts';
import { type Judgement, judge } from './judge/judge.ts';
import { type Root, rootsOf } from './judge/roots.ts';
import { connectionRungs, innerRungs, outerRungs, ownRungs } from './ladder.ts';
import { lookTwice } from './look-twice.ts';
import { networkInnerRungs, networkOuterRungs, networkOwnRungs, unseenOf } from './network-ladder.ts';
import { findNetworkTarget, type KnownNetworks, type NetworkTarget } from './network-target.ts';
import { isOk, type RungResult } from './rung.ts';
import type { CheckSite, PeerSite } from './site.ts';
import { type CheckTarget, findByContainer, findCheckTarget } from './target.ts';
import { watchRoot } from './watch-root.ts';

export interface CheckParts {
  readonly site: CheckSite;
  readonly reader: HostReader;
  readonly here: Inspector;
  /** This host's own report, with what can be fixed. */
  readonly look: (signal: AbortSignal) => Promise<FixableReport>;
  /** Absent where no agent of another host is to be asked. @throws TulleError when that of this peer cannot be asked */
  readonly peerInspector?: (peer: PeerSite) => Inspector;
  /** L2 networks and who is on them; absent where no agent answers. */
  readonly networks?: () => Promise<KnownNetworks>;
  readonly clock: Clock;
  /** Says what is being done. */
  readonly progress: <T>(what: string, work: Promise<T>) => Promise<T>;
}

export interface CheckResult extends Judgement {
  readonly known: Case;
}

/** More peers are asked over the network only; the agents of those that fail are asked. */
const MOST_ASKED = 16;
/** Peers beside the one that is meant, to see whether it is alone. */
const COMPARED = 4;
/** Probes of one rung, for few peers and for many. */
const PROBES = { few: 20, many: 3 } as const;
/** Failures that are watched, and at once. */
const MOST_WATCHED = 8;
const WATCHED_AT_ONCE = 4;
/** Milliseconds for one failure. */
const WATCH_PATIENCE = 8000;
/** Milliseconds for the report of a peer, which takes one second on a host that is at rest. */
const PEER_PATIENCE = 10_000;
/** The same of one that answers no probe. */
const CUT_PATIENCE = 3000;

/** @throws CommandError for an argument that names nothing; SysError without the right to look */
export async function runCheck(
  parts: CheckParts,
  which: string | undefined,
  signal: AbortSignal,
): Promise<CheckResult> {
  const { site, progress } = parts;
  const netns = await namespaces(parts.reader);
  using climber = new Climber(container => netns(container), parts.clock);
  const looking = progress('looking at this host', parts.look(signal));
  // Whoever awaits it sees a failure; what ends before that must not leave it unhandled.
  looking.catch(() => undefined);
  const own = await inspectedContainers(parts.reader);
  const asked = new Map<string, Promise<Answer>>();
  const ask = (peer: PeerSite) => {
    const known = asked.get(peer.name) ?? answerOf(parts, peer, signal);
    asked.set(peer.name, known);
    known.catch(() => undefined);
    return known;
  };
  const network = await networkTarget(parts, which, own);
  const target: CheckTarget =
    network === undefined
      ? (findCheckTarget(site, which, own) ?? (await byContainer(site, which ?? '', ask)))
      : { peers: [...new Set(network.to.map(({ peer }) => peer))] };
  const { peers } = target;
  const isFew = peers.length <= MOST_ASKED;
  const compared = site.peers.filter(peer => !peers.includes(peer)).slice(0, COMPARED);
  const usable = [...peers, ...compared].filter(({ unused }) => unused === undefined);
  if (isFew) for (const peer of peers) void ask(peer);
  const probes = isFew ? PROBES.few : PROBES.many;

  const outer = await progress(
    'asking the peers',
    climber.climb(
      usable.flatMap(peer => (network === undefined ? outerRungs : networkOuterRungs)(site, peer)),
      { probes, signal },
    ),
  );
  const failing = new Set(outer.filter(rung => !isOk(rung)).map(({ peer }) => peer));
  const closer = peers.filter((peer, at) => isFew || (failing.has(peer.name) && at < MOST_ASKED));
  const answers = new Map(
    await progress(
      'asking their agents',
      parallel(closer, { limit: MOST_ASKED, signal }, async peer => {
        const isCut = outer.filter(rung => rung.peer === peer.name).every(rung => !isOk(rung));
        return [peer.name, await (isCut ? soon(ask(peer), parts.clock, signal) : ask(peer))] as const;
      }),
    ),
  );
  const looked = await looking;
  const report =
    network === undefined ? looked : { ...looked, blind: [...looked.blind, ...unseenOf(network)] };
  const from = target.container === undefined ? own : own.filter(({ name }) => name === target.container);
  const meant = usable.filter(peer => !compared.includes(peer));
  const inner =
    network === undefined
      ? [
          ...ownRungs(site, from.length > 1 ? from : own, report.bridgeAddresses),
          ...meant.flatMap(peer =>
            innerRungs(site, peer, { ...insideOf(answers.get(peer.name)), ...wantedOf(target), own: from }),
          ),
        ]
      : [
          ...networkOwnRungs(network, await addressesOf(parts.reader, network.bridge)),
          ...meant.flatMap(peer => networkInnerRungs(network, peer)),
        ];
  const pinged = await progress('asking containers', climber.climb(inner, { probes, signal }));
  const connected = await progress(
    'asking for connections',
    climber.connect(connectionRungs(pinged), signal),
  );
  const climbed = [...pinged, ...connected];
  const inspectors = [...answers].flatMap(([name, { inspector }]) =>
    inspector ? [[name, inspector] as const] : [],
  );
  const probed = await progress(
    'asking along the fast path',
    probeAll([...outer, ...climbed], { ...parts, there: new Map(inspectors), netns, signal }),
  );
  const known: Case = {
    site,
    report,
    own: climbed.filter(({ peer }) => peer === undefined),
    peers: [...peers, ...compared].map(peer =>
      peerCase(peer, [...outer, ...climbed], answers.get(peer.name)),
    ),
    asked: peers.map(({ name }) => name),
    watched: [],
    ...probed,
  };
  const roots = rootsOf(known);
  const watched = await progress('watching what is lost', watchAll(parts, roots, answers, netns, signal));
  const whole = withoutChance({ ...known, watched }, roots);
  return { ...judge(whole), known: whole };
}

interface Answer {
  readonly inspector?: Inspector;
  readonly report?: InspectionReport;
  readonly unasked?: string;
  readonly failure?: string;
}

/** What the agent of a peer says of its host; never rejects but for `signal`. */
async function answerOf({ peerInspector }: CheckParts, peer: PeerSite, signal: AbortSignal): Promise<Answer> {
  if (peerInspector === undefined)
    return {
      unasked: 'the agent of this host does not answer, so it cannot be asked how to reach the others',
    };
  const until = AbortSignal.any([signal, AbortSignal.timeout(PEER_PATIENCE)]);
  try {
    const inspector = peerInspector(peer);
    return { inspector, report: called(peer.name, await lookTwice(inspector, until)) };
  } catch (error) {
    signal.throwIfAborted();
    if (until.aborted) return { unasked: `no answer within ${PEER_PATIENCE / 1000} s`, failure: 'TIMEOUT' };
    return { unasked: messageOf(error), ...(error instanceof PeerError && { failure: error.code }) };
  }
}

/**
 * A host speaks of itself only, and here under the name that this host knows it by: two may call themselves the same, and one
 * that is not to be trusted must not put a finding on another one.
 */
export function called(name: string, report: InspectionReport): InspectionReport {
  return { ...report, host: name, findings: report.findings.map(one => ({ ...one, host: name })) };
}

/** A host that answers nothing is asked through another one, or not at all: that takes no longer. */
const soon = (answer: Promise<Answer>, clock: Clock, signal: AbortSignal): Promise<Answer> =>
  Promise.race([
    answer,
    clock
      .sleep(CUT_PATIENCE, signal)
      .then(() => ({ unasked: 'it answers nothing, and no other host reaches its agent' })),
  ]);

async function byContainer(
  site: CheckSite,
  which: string,
  ask: (peer: PeerSite) => Promise<Answer>,
): Promise<CheckTarget> {
  const peers = site.peers.slice(0, MOST_ASKED);
  const known = await Promise.all(
    peers.map(async peer => [peer.name, (await ask(peer)).report?.containers ?? []] as const),
  );
  return findByContainer(site, which, new Map(known));
}

async function networkTarget(
  { site, networks }: CheckParts,
  which: string | undefined,
  own: readonly InspectedContainer[],
): Promise<NetworkTarget | undefined> {
  if (which === undefined || networks === undefined) return undefined;
  return findNetworkTarget(site, which, own, await networks());
}

/** Of a link, without those that are of the link only. */
async function addressesOf(reader: HostReader, name: string | undefined): Promise<Ip[]> {
  const [links, addresses] = await Promise.all([reader.links(), reader.addresses()]);
  const link = links.find(one => one.name === name);
  return addresses.flatMap(({ ip, index }) => (index === link?.index && !ip.isLinkLocal ? [ip] : []));
}

const insideOf = (answer: Answer | undefined) => ({
  theirs: answer?.report?.containers ?? [],
  bridges: answer?.report?.bridgeAddresses ?? [],
});

const wantedOf = ({ wanted }: CheckTarget) => (wanted === undefined ? {} : { wanted });

function peerCase(peer: PeerSite, rungs: readonly RungResult[], answer: Answer | undefined): PeerCase {
  return {
    peer,
    rungs: rungs.filter(rung => rung.peer === peer.name),
    ...(answer?.report !== undefined && { report: answer.report }),
    ...(answer?.unasked !== undefined && { unasked: answer.unasked }),
    ...(answer?.failure !== undefined && { failure: answer.failure }),
  };
}

async function watchAll(
  parts: CheckParts,
  roots: readonly Root[],
  answers: ReadonlyMap<string, Answer>,
  netns: (container?: string) => Netns,
  signal: AbortSignal,
): Promise<WatchedRung[]> {
  const chosen = roots.slice(0, MOST_WATCHED);
  const watched = await parallel(chosen, { limit: WATCHED_AT_ONCE, signal }, async root => {
    const source = root.rung.source ?? (await sourceOf(parts.reader, root.rung.to));
    if (source === undefined) return [];
    const answer = root.peer && answers.get(root.peer.peer.name);
    const until = AbortSignal.any([signal, AbortSignal.timeout(WATCH_PATIENCE)]);
    const watching = watchRoot(root, {
      here: parts.here,
      there: answer?.inspector,
      unwatched: answer?.unasked,
      netns: netns(root.rung.container),
      source,
      clock: parts.clock,
      signal: until,
    });
    try {
      return [await untilAborted(watching, until)];
    } catch (error) {
      signal.throwIfAborted();
      if (!until.aborted) throw error;
      return [];
    }
  });
  return watched.flat();
}

/** The address that the kernel sends from; undefined where it sends nothing there. */
const sourceOf = async (reader: HostReader, to: Ip): Promise<Ip | undefined> =>
  (await reader.lookup(to)).route?.preferredSource;

async function namespaces(reader: HostReader) {
  const containers = new Map((await reader.containers()).map(({ name, inside }) => [name, inside.netns]));
  return (container?: string) =>
    container === undefined ? reader.netns : (containers.get(container) ?? reader.netns);
}
