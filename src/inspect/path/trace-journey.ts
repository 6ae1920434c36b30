/** A trace as a whole: the entries of both hosts, a packet that both watch, and where it ends. */
import type { Finding } from '../../api/inspection.ts';
import type { Clock } from '../../base/clock.ts';
import type { Netns } from '../../sys/netns.ts';
import type { Inspector } from '../inspector/inspector.ts';
import { type BrokenHop, type JudgedJourney, judgeJourney } from './broken-hop.ts';
import {
  type FastHost,
  type JourneyLeg,
  type JourneyRequest,
  type WalkedJourney,
  walkJourney,
} from './journey.ts';
import { type Measured, measurePacket, type SentPacket } from './measure.ts';

export interface TraceRequest extends Omit<JourneyRequest, 'near' | 'far'> {
  readonly near?: Inspector;
  readonly far?: Inspector;
  /** Where the packet leaves from; or why none is sent. */
  readonly source: { readonly netns: Netns } | { readonly reason: string };
  readonly clock: Clock;
}

export interface TraceResult extends JudgedJourney {
  readonly legs: readonly Pick<JourneyLeg, 'packet' | 'from' | 'to'>[];
  /** Absent where no packet was sent, and why. */
  readonly sent?: SentPacket;
  readonly unmeasured?: string;
  /** What the fast path of each host is to it. */
  readonly fastPath: readonly FastHost[];
  readonly unasked: readonly { readonly host: string; readonly reason: string }[];
  readonly blind: readonly string[];
}

/** @throws SysError without the right to send; `signal.reason` */
export async function traceJourney(request: TraceRequest, signal: AbortSignal): Promise<TraceResult> {
  const { near, far, source } = request;
  const watchers = [...new Set([near, far])].filter(host => host !== undefined);
  const [walked, measured] = await Promise.all([
    walkJourney(request, signal),
    'netns' in source ? measurePacket({ ...request, netns: source.netns, watchers }, signal) : undefined,
  ]);
  const judged = judgeJourney(walked, measured);
  const broken = judged.broken && (await explained(judged.broken, watchers, signal));
  return {
    hops: judged.hops,
    ...(broken !== undefined && { broken }),
    ...(judged.isHidden && { isHidden: true }),
    legs: walked.legs.map(({ packet, from, to }) => ({ packet, from, to })),
    ...(measured === undefined
      ? { unmeasured: 'reason' in source ? source.reason : '' }
      : { sent: measured.sent }),
    fastPath: walked.legs.flatMap(({ fastPath = [] }) => fastPath),
    unasked: merged(walked, measured),
    blind: [
      ...walked.blind,
      ...(measured?.observations ?? []).flatMap(({ host, blind }) =>
        blind.map(sentence => `${host}: ${sentence}`),
      ),
    ],
  };
}

/** Each host once. */
function merged({ unasked }: WalkedJourney, measured: Measured | undefined): TraceResult['unasked'] {
  const all = [...unasked, ...(measured?.unwatched ?? [])];
  return [...new Map(all.map(one => [one.host, one])).values()];
}

/** A place alone is no cause: what that host says of itself may be one. */
async function explained(
  broken: BrokenHop,
  hosts: readonly Inspector[],
  signal: AbortSignal,
): Promise<BrokenHop> {
  const host = hosts.find(one => one.host === broken.host);
  if (broken.isPlaceOnly !== true || host === undefined) return broken;
  const report = await host.look(signal).catch(() => undefined);
  signal.throwIfAborted();
  const errors = (report?.findings ?? []).filter(({ severity }) => severity === 'error');
  const near = errors.filter(({ layer }) => layer === broken.layer);
  const [finding] = near.length > 0 ? near : errors.length === 1 ? errors : [];
  return finding === undefined ? broken : { ...broken, reason: textOf(finding), remedy: finding.remedy };
}

const textOf = ({ code, reason }: Finding): string => `${reason} (${code})`;
