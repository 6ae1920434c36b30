/** Whether peers answer, in words. */
import { HEALTH_STATES, type HealthState, type PeerHealth } from '../api/peer-health.ts';
import type { PeerStatus } from '../api/status.ts';
import { valuesOf } from '../base/per-family.ts';
import { formatDuration, formatNumber } from '../console/format.ts';
import { paint, type Style } from '../console/output.ts';

const STYLE: Readonly<Record<HealthState, Style>> = {
  answers: 'green',
  loss: 'yellow',
  size: 'yellow',
  silent: 'red',
  unanswered: 'yellow',
};

/** Worst last. */
const RANK: readonly HealthState[] = ['answers', 'unanswered', 'loss', 'size', 'silent'];

const since = (time: string, now: number) => formatDuration(Math.max(0, now - Date.parse(time)));

/** Of the family that answers worst; undefined where nothing is known. */
export function worstHealth({ health = {} }: PeerStatus): PeerHealth | undefined {
  return valuesOf<PeerHealth>(health).reduce<PeerHealth | undefined>(
    (worst, one) =>
      worst === undefined || RANK.indexOf(one.state) > RANK.indexOf(worst.state) ? one : worst,
    undefined,
  );
}

/** `answers`, `lost 30 %`, `silent for 12 s`. @param now milliseconds since the epoch */
export function peerHealth(peer: PeerStatus, now: number): string | undefined {
  const health = worstHealth(peer);
  return health && paint(STYLE[health.state], words(health, now));
}

function words({ state, since: from, lossPercent }: PeerHealth, now: number): string {
  switch (state) {
    case 'answers':
      return 'answers';
    case 'loss':
      return lossPercent === undefined ? 'loses some' : `lost ${lossPercent} %`;
    case 'size':
      return 'only small';
    case 'silent':
      return `silent for ${since(from, now)}`;
    case 'unanswered':
      return 'never answered';
  }
}

/** Where packets are lost; undefined where none are. A rate alone is in the column beside it. */
export function healthReason(peer: PeerStatus): string | undefined {
  const health = worstHealth(peer);
  return health?.state === 'loss' ? undefined : health?.reason;
}

/** All that is known, for one peer: `answers in 0.21 ms, 1450 bytes pass`. */
export function healthText(peer: PeerStatus, now: number): string | undefined {
  const health = worstHealth(peer);
  if (health === undefined) return undefined;
  const { state, reason, lastAnswer, roundTripMs, pathMtu, underlayAnswers } = health;
  const isAnswering = state === 'answers' || state === 'loss' || state === 'size';
  const parts = [
    paint(STYLE[state], words(health, now)) +
      (isAnswering && roundTripMs !== undefined ? ` in ${roundTripMs.toFixed(2)} ms` : ''),
    state === 'loss' ? undefined : reason,
    isAnswering || lastAnswer === undefined ? undefined : `last answer ${since(lastAnswer, now)} ago`,
    pathMtu === undefined ? undefined : `${pathMtu} bytes pass`,
    !isAnswering && underlayAnswers === true ? 'its host answers over the underlay' : undefined,
  ];
  return parts.filter(part => part !== undefined).join(', ');
}

/** `all answer`; `97 answer, 2 silent`. undefined where nothing is known. */
export function healthTotals(peers: readonly PeerStatus[]): string | undefined {
  const states = peers.map(peer => worstHealth(peer)?.state);
  if (states.every(state => state === undefined)) return undefined;
  if (states.every(state => state === 'answers')) return 'all answer';
  const count = (wanted: HealthState) => states.filter(state => state === wanted).length;
  const parts = HEALTH_STATES.map(state => [state, count(state)] as const)
    .filter(([state, many]) => many > 0 || state === 'answers')
    .map(
      ([state, many]) =>
        `${formatNumber(many)} ${paint(STYLE[state], many === 1 ? ONE[state] : MANY[state])}`,
    );
  const unknown = states.filter(state => state === undefined).length;
  return [...parts, ...(unknown > 0 ? [`${formatNumber(unknown)} not asked yet`] : [])].join(', ');
}

const ONE: Readonly<Record<HealthState, string>> = {
  answers: 'answers',
  loss: 'loses packets',
  size: 'loses large packets',
  silent: 'silent',
  unanswered: 'never answered',
};
const MANY: Readonly<Record<HealthState, string>> = {
  ...ONE,
  answers: 'answer',
  loss: 'lose packets',
  size: 'lose large packets',
};

/** Those that need a person come first: smaller for what is worse. */
export const healthRank = (peer: PeerStatus): number => -RANK.indexOf(worstHealth(peer)?.state ?? 'answers');
