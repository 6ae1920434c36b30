/** Where packets to a peer are lost, in words: only what answers and lost echoes prove. */
import type { PeerHealth } from '../../api/peer-health.ts';
import { defined } from '../../base/defined.ts';
import type { MeshPath } from './mesh-paths.ts';

export interface PlaceFacts {
  /** What carries packets of containers: `VXLAN`. */
  readonly carrier: string;
  /** Bytes of the largest packet that passes, where that was searched. */
  readonly size: number | undefined;
  /** Since when no peer answers this host. */
  readonly cutSince: number | undefined;
  /** A request of the peer that came before this says nothing of now, on the monotonic clock. */
  readonly requestsFrom: number;
  /** When the monotonic clock was 0, in milliseconds since the epoch. */
  readonly epoch: number;
}

/** Of every peer while none answers. */
const NO_ANSWER = 'no peer answers: look at the underlay of this host, and at what drops ICMP on it';

/** undefined before it was asked. */
export function healthOf(path: MeshPath, facts: PlaceFacts): PeerHealth | undefined {
  const { answers, routerMtu, target } = path;
  const { epoch, cutSince, size } = facts;
  const time = (at: number | undefined) =>
    at === undefined ? undefined : new Date(epoch + at).toISOString();
  const { lastAnswer, roundTrip, loss, underlay, state } = answers;
  if (state === 'unasked') return undefined;
  const isCut = cutSince !== undefined && answers.hasAnswered && state !== 'silent';
  const passes =
    state === 'size' ? size : state === 'answers' || state === 'loss' ? (routerMtu ?? target.mtu) : undefined;
  return {
    state: isCut ? 'silent' : state,
    since: new Date(epoch + (isCut ? cutSince : answers.since)).toISOString(),
    ...defined({
      reason: isCut ? NO_ANSWER : reasonOf(path, facts),
      lastAnswer: time(lastAnswer),
      roundTripMs: roundTrip === undefined ? undefined : Math.round(roundTrip * 1000) / 1000,
      lossPercent: loss === undefined || state === 'silent' ? undefined : Math.round(loss * 100),
      pathMtu: isCut ? undefined : passes,
      underlayAnswers: target.isOverlay && !isCut ? underlay : undefined,
    }),
  };
}

function reasonOf(path: MeshPath, facts: PlaceFacts): string | undefined {
  const { answers, target } = path;
  const { size } = facts;
  switch (answers.state) {
    case 'unasked':
    case 'answers':
      return undefined;
    case 'loss':
      return `lost ${Math.round((answers.loss ?? 0) * 100)} %`;
    case 'size':
      return size === undefined
        ? `only large packets are lost: ${target.mtu} bytes do not pass, small ones do`
        : `only large packets are lost: ${size} bytes pass, ${target.mtu} do not`;
    case 'unanswered':
    case 'silent':
      return silence(path, facts);
  }
}

function silence(path: MeshPath, { carrier, requestsFrom }: PlaceFacts): string {
  const { answers, target, lastRequest, lastCarried, obstacle } = path;
  const from = answers.state === 'unanswered' ? requestsFrom : Math.max(requestsFrom, answers.since);
  const isRecent = (at: number | undefined) => at !== undefined && at > from;
  const isUnderlay = target.isOverlay && answers.isUnderlaySince;
  if (isRecent(lastCarried) && isUnderlay)
    return `only ${carrier} is lost, one way: its packets arrive here, and the underlay answers`;
  if (isRecent(lastRequest) && !isUnderlay)
    return 'one way: its packets arrive here, ours are not answered (or its host drops ICMP echo)';
  if (obstacle !== undefined) return `packets to it cannot be sent: ${obstacle}`;
  if (isUnderlay) return `only ${carrier} is lost: the underlay answers`;
  if (answers.state === 'unanswered')
    return 'it has not answered yet: its host is down, or drops ICMP echo and may pass other packets';
  if (!target.isOverlay) return 'its host does not answer';
  return answers.underlayAnswer === undefined
    ? `no answer over ${carrier}; over the underlay there never was one`
    : 'its host does not answer, over the underlay neither';
}
