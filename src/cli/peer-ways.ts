/** How a peer is reached where the backend chooses among several ways, in words: which one, and why no better one. */
import type { PeerStatus, Status } from '../api/status.ts';
import type { WayStatus } from '../api/way-status.ts';
import { FAMILIES, FAMILY_LABELS } from '../base/ip.ts';
import { familiesOf } from '../base/per-family.ts';
import { formatDuration } from '../console/format.ts';

/** One text, for each family where there are two: `VXLAN (UDP 4789): no answer over the direct route for 12 s`. */
export function waysText({ ways = {} }: PeerStatus, now: number): string | undefined {
  const families = familiesOf(ways);
  const texts = FAMILIES.flatMap(family => {
    const way = ways[family];
    if (way === undefined) return [];
    const why = whyNotBetter(way, now);
    const text = `${way.name} for ${duration(way.since, now)}${why === undefined ? '' : `: ${why}`}`;
    return [families.length > 1 ? `${FAMILY_LABELS[family]} over ${text}` : text];
  });
  return texts.length === 0 ? undefined : texts.join('; ');
}

/** Why a peer is not reached over the best way there is; undefined when it is. */
export function waysReason({ ways = {} }: PeerStatus, now: number): string | undefined {
  const reasons = FAMILIES.flatMap(family => {
    const way = ways[family];
    const why = way && whyNotBetter(way, now);
    return why === undefined ? [] : [why];
  });
  return reasons.length === 0 ? undefined : [...new Set(reasons)].join('; ');
}

/** What a peer is called that leaves no choice, beside others that do. */
export function withoutChoice({ ways, state }: PeerStatus, { backend }: Status): string | undefined {
  return backend?.type === 'auto' && ways === undefined && state === 'ok'
    ? 'its lease names no other way'
    : undefined;
}

function whyNotBetter({ inUse, others, silentSince }: WayStatus, now: number): string | undefined {
  const silent =
    silentSince === undefined ? [] : [`no answer over any way for ${duration(silentSince, now)}`];
  // The next better one first: those before it in the list are better still.
  const better = others.slice(0, RANK[inUse]).toReversed();
  const reasons = better.map(({ name, obstacle, failedSince }) => {
    if (obstacle !== undefined) return `${name} is not possible: ${obstacle}`;
    return failedSince === undefined
      ? `${name} is not tried yet`
      : `no answer over ${name} for ${duration(failedSince, now)}`;
  });
  const all = [...silent, ...reasons];
  return all.length === 0 ? undefined : all.join('; ');
}

/** How many are better. */
const RANK: Readonly<Record<WayStatus['inUse'], number>> = { direct: 0, vxlan: 1, udp: 2 };

const duration = (since: string, now: number) => formatDuration(Math.max(0, now - Date.parse(since)));
