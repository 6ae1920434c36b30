/**
 * Which hop of a journey breaks it, from the entries and from what was seen of a packet. What was seen counts more: an entry
 * that should stop a packet which has passed has not. Pure.
 */
import type {
  Drop,
  FilterPass,
  FilterVerdict,
  Finding,
  Observation,
  Sighting,
} from '../../api/inspection.ts';
import type { WalkFault } from '../../api/walk.ts';
import { defined } from '../../base/defined.ts';
import { causeOfDrop } from '../drops/drop-causes.ts';
import type { JourneyHop, JourneyLeg, WalkedJourney } from './journey.ts';
import type { Measured } from './measure.ts';

export interface SeenHop extends Omit<JourneyHop, 'fault'> {
  /** From 1, over both directions. */
  readonly number: number;
  readonly packet: JourneyLeg['packet'];
  /** Whether a packet was seen that had made this step; absent where no host watched. */
  readonly seen?: boolean;
  /** Rules of netfilter that decided here. */
  readonly rules: readonly DecidingRule[];
}

export type DecidingRule = Omit<FilterPass, 'packet'> & {
  readonly verdict: 'accepted' | FilterVerdict['end'];
};

export interface BrokenHop extends WalkFault {
  readonly number: number;
  readonly host: string;
  readonly place: string;
  readonly layer: Finding['layer'];
  /** Where it ends was measured, and nothing that says why. */
  readonly isPlaceOnly?: true;
}

type Cause = WalkFault & Pick<BrokenHop, 'isPlaceOnly'>;

export interface JudgedJourney {
  readonly hops: readonly SeenHop[];
  /** Nothing came back, which need not, and behind a translation the packet is not known again. */
  readonly isHidden?: true;
  readonly broken?: BrokenHop;
}

interface Step {
  readonly hop: SeenHop;
  readonly fault: WalkFault | undefined;
}

export function judgeJourney({ legs }: WalkedJourney, measured: Measured | undefined): JudgedJourney {
  const observations = measured?.observations ?? [];
  const steps = stepsOf(legs, observations);
  const hops = steps.map(({ hop }) => hop);
  if (measured !== undefined && hasArrived(measured, hops)) return { hops };
  const reached = steps.findLastIndex(({ hop }) => hop.seen === true);
  const rest = steps.slice(reached + 1);
  const at = rest.findIndex(({ hop, fault }) => fault !== undefined || hop.seen === false);
  const next = rest[at];
  if (isAnswer(next) && mayHaveArrived(hops, measured)) return { hops, isHidden: true };
  if (next === undefined) return { hops, ...afterAll(steps, measured) };
  const before = steps[reached];
  // A request that comes to its end and causes no answer is lost there.
  const end = rest.slice(0, at).findLast(({ hop }) => hop.packet === 'request');
  const isTurn = next.hop.packet === 'reply' && end !== undefined;
  const step = next.fault !== undefined ? next : isTurn ? end : (linkOf(next, rest[at + 1]) ?? next);
  const { number, host, place, layer } = step.hop;
  const cause = step.fault ?? measuredCause(step.hop, before?.hop, observations, measured);
  return { hops, broken: { number, host, place, layer, ...cause } };
}

/** A packet that is not seen at the link that it is sent over ends at that link, where the next entries say why. */
function linkOf({ hop }: Step, next: Step | undefined): Step | undefined {
  const isThere = next?.hop.host === hop.host && next.hop.place === hop.passes?.link;
  return isThere && next.fault !== undefined ? next : undefined;
}

function stepsOf(legs: readonly JourneyLeg[], observations: readonly Observation[]): Step[] {
  let number = 0;
  return legs.flatMap(({ packet, hops }) =>
    hops.map(({ fault, ...hop }) => {
      number++;
      const view = observations.find(({ host }) => host === hop.host);
      const wasSeen = view && hop.passes && view.sightings.some(isAt(hop.passes, packet));
      const seen = hop.isMasked === true && wasSeen === false ? undefined : wasSeen;
      const rules = view === undefined ? [] : rulesAt(hop, packet, view);
      return { fault, hop: { ...hop, number, packet, rules, ...(seen !== undefined && { seen }) } };
    }),
  );
}

/** Those of the tunnel's packets are where these are sent and received. */
function rulesAt(
  hop: JourneyHop,
  packet: JourneyLeg['packet'],
  { verdicts, passed = [] }: Observation,
): DecidingRule[] {
  const all = [
    ...passed.map(one => ({ rule: one, verdict: 'accepted' as const })),
    ...verdicts.map(one => ({ rule: one, verdict: one.end })),
  ];
  const outer = hop.passes?.direction === 'in' ? 'input' : 'output';
  return all
    .filter(({ rule: { packet: of, hook = '', container } }) => {
      if (of !== packet) return false;
      if (container !== undefined) return hop.layer === 'container' && container === hop.place;
      if (hop.layer === 'underlay') return hook === outer;
      return hop.layer === 'routing' && hook !== 'input' && hook !== 'output';
    })
    .map(({ rule: { chain, rule, hook, container }, verdict }) => ({
      verdict,
      chain,
      rule,
      ...defined({ hook, container }),
    }));
}

const isAt = (point: NonNullable<JourneyHop['passes']>, packet: JourneyLeg['packet']) => (one: Sighting) =>
  one.packet === packet && one.link === point.link && one.direction === point.direction;

/** A program need not answer a datagram: that it was handed over is enough. */
function hasArrived({ sent, observations }: Measured, hops: readonly SeenHop[]): boolean {
  if (sent.outcome === 'answered' || sent.outcome === 'closed') return true;
  if (sent.outcome !== 'silent' || sent.protocol !== 'udp') return false;
  const last = hops.findLast(({ packet, seen }) => packet === 'request' && seen !== undefined);
  const isDropped = observations.some(({ drops }) => drops.some(({ packet }) => packet === 'request'));
  return (
    last?.seen === true &&
    last.passes?.direction === 'out' &&
    !isDropped &&
    !hops.some(({ packet, isMasked }) => packet === 'request' && isMasked) &&
    hops.some(({ packet, layer }) => packet === 'request' && layer === 'container')
  );
}

/** Nothing of the request is wrong. */
const isAnswer = (next: Step | undefined): boolean =>
  next === undefined || (next.hop.packet === 'reply' && next.fault === undefined);

function mayHaveArrived(hops: readonly SeenHop[], measured: Measured | undefined): boolean {
  if (measured?.sent.protocol !== 'udp' || measured.sent.outcome !== 'silent') return false;
  const isEnded = measured.observations.some(
    ({ drops, verdicts }) => drops.length > 0 || verdicts.some(({ end }) => end !== 'translated'),
  );
  return !isEnded && hops.some(({ isMasked }) => isMasked);
}

/** Everything that can be looked at is as it should be. */
function afterAll(steps: readonly Step[], measured: Measured | undefined): Pick<JudgedJourney, 'broken'> {
  const last = steps.at(-1)?.hop;
  if (measured === undefined || last === undefined) return {};
  const { number, host, place, layer } = last;
  const before = steps.findLast(({ hop }) => hop.seen !== undefined)?.hop;
  return {
    broken: { number, host, place, layer, ...measuredCause(last, before, measured.observations, measured) },
  };
}

/** What was seen where the packet ended: a rule, the kernel's reason, nobody who answers; or else between which points. */
function measuredCause(
  hop: SeenHop,
  before: SeenHop | undefined,
  observations: readonly Observation[],
  measured: Measured | undefined,
): Cause {
  const hosts = new Set([hop.host, before?.host]);
  const views = observations.filter(({ host }) => hosts.has(host));
  const isAbout = ({ packet }: Pick<Drop, 'packet'>) => packet === hop.packet || packet === 'neighbor';
  for (const { host, verdicts, drops, silent } of views) {
    const verdict = verdicts.find(one => isAbout(one) && one.end !== 'translated');
    if (verdict !== undefined) return ruleFault(host, verdict);
    const drop = drops.find(one => isAbout(one) && one.reason !== 'NOT_SPECIFIED') ?? drops.find(isAbout);
    if (drop !== undefined) return dropFault(host, drop);
    const [unanswered] = silent;
    if (unanswered !== undefined)
      return {
        reason: `Nothing answers for ${unanswered.address}, which ${host} asks for on ${unanswered.link}.`,
        remedy: `tulle check ${unanswered.address}`,
      };
  }
  const said = measured?.sent.reason;
  if (hop.layer === 'container' && hop.passes === undefined)
    return {
      reason: `The packet comes to ${hop.place} of ${hop.host}, and no answer leaves it.`,
      remedy: `tulle check ${hop.host}`,
      isPlaceOnly: true,
    };
  const point = (one: SeenHop) => `${one.passes?.link ?? one.place} of ${one.host}`;
  if (before?.packet === 'request' && hop.packet === 'reply' && before.host === hop.host)
    return {
      reason: `It left by ${point(before)}, and no answer came in by ${point(hop)}: it is lost on the underlay or on the other host, which was not asked.`,
      remedy: 'run `tulle check` on the other host',
      isPlaceOnly: true,
    };
  const where =
    before === undefined || point(before) === point(hop)
      ? `It is lost before ${point(hop)}`
      : `It is lost between ${point(before)} and ${point(hop)}`;
  return {
    reason: `${where}${said === undefined ? '' : ` (${said})`}.`,
    remedy: `tulle check ${hop.host}`,
    isPlaceOnly: true,
  };
}

function ruleFault(host: string, { end, chain, rule, container, removal }: FilterVerdict): WalkFault {
  const whose = container === undefined ? host : `${container} on ${host}`;
  return {
    reason: `A rule of ${whose} ${end === 'rejected' ? 'rejects' : 'drops'} it, in ${chain}: ${rule}`,
    remedy: removal ?? 'delete the rule, or let packets of the overlay pass before it',
  };
}

function dropFault(host: string, drop: Drop): WalkFault {
  const { reason, place, link, container, programs = [] } = drop;
  const whose = container === undefined ? host : `${container} on ${host}`;
  const where = [link && `on ${link}`, place && `in ${place}`].filter(Boolean).join(', ');
  return {
    reason: `The kernel of ${whose} drops it${where === '' ? '' : ` ${where}`}: ${reason}${programs.length === 0 ? '' : ` by ${programs.join(' or ')}`}.`,
    remedy: causeOfDrop(drop)?.remedyOn(link ?? 'LINK') ?? `tulle check ${host}`,
  };
}
