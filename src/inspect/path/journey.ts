/** The journey of a packet and of its answer, over both hosts: what each of them says, one after the other. */
import type { Carrier, FastWay, Walk, WalkHop, WalkReport } from '../../api/walk.ts';
import { messageOf } from '../../base/errors.ts';
import type { Ip } from '../../base/ip.ts';

/** A hop, and on which host it is. */
export interface JourneyHop extends WalkHop {
  readonly host: string;
  /** The address of who asks is another one there, and its port may be: the packet may not be known again. */
  readonly isMasked?: true;
}

/** The fast path of one host. */
export interface FastHost extends FastWay {
  readonly host: string;
}

/** One direction. */
export interface JourneyLeg {
  readonly packet: 'request' | 'reply';
  readonly from: Ip;
  readonly to: Ip;
  readonly hops: readonly JourneyHop[];
  /** Of a request: what the fast path is to it on each host, first that of the sender. */
  readonly fastPath?: readonly FastHost[];
  /** By its entries the packet reaches a program. */
  readonly arrives: boolean;
}

/** A host that can be asked for its part. */
export interface WalkedHost {
  readonly host: string;
  walk(walk: Walk, signal: AbortSignal): Promise<WalkReport>;
}

export interface JourneyRequest {
  readonly from: Ip;
  readonly to: Ip;
  readonly protocol: Walk['protocol'];
  readonly toPort?: number;
  /** Of the flow that is meant, where several go there. */
  readonly fromPort?: number;
  /** Of the sender and of the receiver, the same where both are on one host; absent where it cannot be asked. */
  readonly near?: WalkedHost;
  readonly far?: WalkedHost;
}

export interface WalkedJourney {
  readonly legs: readonly JourneyLeg[];
  /** Hosts that have not said their part, and why. */
  readonly unasked: readonly { readonly host: string; readonly reason: string }[];
  readonly blind: readonly string[];
}

/** @throws `signal.reason` */
export async function walkJourney(request: JourneyRequest, signal: AbortSignal): Promise<WalkedJourney> {
  const unasked = new Map<string, string>();
  const blind: string[] = [];
  const ask = async (host: WalkedHost | undefined, walk: Walk): Promise<WalkReport | undefined> => {
    if (host === undefined || unasked.has(host.host)) return undefined;
    try {
      const report = await host.walk(walk, signal);
      blind.push(...report.blind.map(sentence => `${host.host}: ${sentence}`));
      return report;
    } catch (error) {
      signal.throwIfAborted();
      unasked.set(host.host, messageOf(error));
      return undefined;
    }
  };
  const { near, far } = request;
  const there = walkRequest(ask, request);
  const back = there.then(walked => walkReply(ask, request, walked));
  const legs = await Promise.all([there, back]);
  const [{ onward }] = legs;
  if (onward !== undefined)
    blind.push(`${(far ?? near)?.host}: the packet goes on to ${onward}, which was not asked`);
  return {
    legs: legs.map(({ leg }) => leg),
    unasked: Array.from(unasked, ([host, reason]) => ({ host, reason })),
    blind: [...new Set(blind)],
  };
}

type Ask = (host: WalkedHost | undefined, walk: Walk) => Promise<WalkReport | undefined>;

/** A packet as it is where it is asked about. */
interface Ends {
  readonly from: string;
  readonly to: string;
  readonly toPort?: number;
}

interface Walked {
  readonly leg: JourneyLeg;
  /** As it left the sender, and as it came to its end. */
  readonly left: Ends;
  readonly end: Ends;
  readonly carrier?: Carrier | undefined;
  /** Where the last host that was asked has sent it. */
  readonly onward?: string;
}

async function walkRequest(ask: Ask, request: JourneyRequest): Promise<Walked> {
  const { from, to, protocol, toPort, fromPort, near, far } = request;
  const ends: Ends = { from: String(from), to: String(to), ...(toPort !== undefined && { toPort }) };
  const flow = { protocol, opens: true, ...(fromPort !== undefined && { fromPort }) };
  const sent = await ask(near, { ...ends, ...flow });
  const left = sent?.translated ?? ends;
  const carrier = sent?.carrier;
  const received =
    carrier === undefined || far === near ? undefined : await ask(far, { ...left, ...flow, carrier });
  const onward = received?.carrier?.to;
  return {
    leg: {
      packet: 'request',
      from,
      to,
      hops: [
        ...hopsOf(sent, ends, hop => hop.from !== ends.from),
        ...hopsOf(received, left, hop => hop.from !== ends.from),
      ],
      arrives: (received ?? sent)?.arrives !== undefined,
      fastPath: [sent, received].flatMap(report =>
        report?.fastPath === undefined ? [] : [{ host: report.host, ...report.fastPath }],
      ),
    },
    left,
    end: received?.translated ?? left,
    carrier,
    ...(onward !== undefined && { onward }),
  };
}

/** Each host gives back what it has changed of the request. */
async function walkReply(
  ask: Ask,
  { from, to, protocol, near, far }: JourneyRequest,
  { left, end, carrier: there }: Walked,
): Promise<Walked> {
  const isOne = far === near;
  const begin: Ends = { from: end.to, to: end.from };
  // Of the host that the request came to last, as it came there.
  const middle: Ends = isOne ? { from: String(to), to: String(from) } : { from: left.to, to: left.from };
  const sent = await ask(far, { ...begin, protocol, ...restoring(begin, middle) });
  const carrier = sent === undefined ? mirrored(there) : sent.carrier;
  const last: Ends = { from: String(to), to: String(from) };
  const received =
    carrier === undefined || isOne
      ? undefined
      : await ask(near, { ...middle, protocol, carrier, ...restoring(middle, last) });
  const isMasked = (hop: Ends) => hop.to !== last.to;
  return {
    leg: {
      packet: 'reply',
      from: to,
      to: from,
      hops: [...hopsOf(sent, begin, isMasked), ...hopsOf(received, middle, isMasked)],
      arrives: (received ?? sent)?.arrives !== undefined,
    },
    left: middle,
    end: last,
    carrier,
  };
}

function restoring(now: Ends, then: Ends): Pick<Walk, 'restored'> {
  const restored = {
    ...(now.from !== then.from && { from: then.from }),
    ...(now.to !== then.to && { to: then.to }),
  };
  return Object.keys(restored).length === 0 ? {} : { restored };
}

const hopsOf = (
  report: WalkReport | undefined,
  ends: Ends,
  isMasked: (ends: Ends) => boolean,
): JourneyHop[] =>
  (report?.hops ?? []).map(hop => ({
    ...hop,
    host: report?.host ?? '',
    ...(isMasked(hop.translated ?? ends) && { isMasked: true }),
  }));

/** The answer comes the way that the packet went, as far as one host alone can say. */
function mirrored(there: Carrier | undefined): Carrier | undefined {
  if (there === undefined) return undefined;
  const { mac: _, from, to, ...carrier } = there;
  return from === undefined ? { ...carrier, to } : { ...carrier, from: to, to: from };
}
