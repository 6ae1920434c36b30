/**
 * The next free address of a host's ranges. It goes on from the last one that was given out and begins again at the end,
 * so that an address that has just become free, which neighbours may still have in their tables, is used last. The first
 * of a range (10.9.1.0 of 10.9.1.0/24) is as good as any, but looks like none: it is the last of its range.
 */
import type { Ip } from '../base/ip.ts';
import type { Prefix } from '../base/prefix.ts';

/**
 * @param ranges of one family, in order; none overlaps another
 * @param after the last one given out: any address, or none
 * @param isTaken also for what no container can have
 * @returns undefined when all are taken
 */
export function nextFree(
  ranges: readonly Prefix[],
  after: Ip | undefined,
  isTaken: (ip: Ip) => boolean,
): Ip | undefined {
  const at = after === undefined ? -1 : ranges.findIndex(range => range.contains(after));
  if (after === undefined || at < 0) return firstFree(ranges, isTaken);
  const range = ranges[at] as Prefix;
  return (
    freeAfter(after, range.last, isTaken) ??
    firstFree(ranges.slice(at + 1), isTaken) ??
    firstFree(ranges.slice(0, at), isTaken) ??
    firstFree([range], isTaken)
  );
}

function firstFree(ranges: readonly Prefix[], isTaken: (ip: Ip) => boolean): Ip | undefined {
  for (const { ip, last } of ranges) {
    const free = freeAfter(ip, last, isTaken) ?? (isTaken(ip) ? undefined : ip);
    if (free !== undefined) return free;
  }
  return undefined;
}

/** A range of IPv6 has no end that is ever reached: only what is taken is passed. */
function freeAfter(first: Ip, last: Ip, isTaken: (ip: Ip) => boolean): Ip | undefined {
  for (let ip = first; !ip.equals(last); ) {
    ip = ip.plus(1);
    if (!isTaken(ip)) return ip;
  }
  return undefined;
}
