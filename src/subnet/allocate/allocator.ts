/**
 * Which free subnet a host asks for. The search starts at a place made from the host's identity, so that a host
 * gets the same subnet again when it is still free, and hosts that start at the same moment rarely want the
 * same one; from there it goes on to the next free one. Who loses a race starts its next try elsewhere, for
 * hosts that collided once would otherwise walk on side by side.
 */
import { createHash } from 'node:crypto';
import { ADDRESS_BITS } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import { subnetCount } from '../config/config.ts';
import type { FamilyConfig } from '../config/family-config.ts';
import type { BlockMap } from '../lease/block-map.ts';

/**
 * The first free subnet from the host's starting place on, or undefined when all of them are taken.
 *
 * @param attempt 0 for the first try, one more for each race lost.
 */
export function allocate(
  family: FamilyConfig,
  taken: BlockMap<unknown>,
  hostId: string,
  attempt = 0,
): Prefix | undefined {
  const count = subnetCount(family);
  const size = 1n << BigInt(ADDRESS_BITS[family.network.family] - family.subnetLength);
  const first = family.subnetMin.toBigInt();
  const start = startingPlace(hostId, attempt) % count;
  for (let step = 0n; step < count; ) {
    const slot = (start + step) % count;
    const subnet = Prefix.of(family.subnetMin.plus(slot * size), family.subnetLength);
    const obstacle = taken.overlaps(subnet)[0]?.block;
    if (obstacle === undefined) return subnet;
    // A block that is larger than a subnet is left behind at once, up to the end of the range.
    const behind = (obstacle.last.toBigInt() - first) / size + 1n;
    step += (behind < count ? behind : count) - slot;
  }
  return undefined;
}

/** A number that looks random and is always the same for this host and attempt. */
function startingPlace(hostId: string, attempt: number): bigint {
  return createHash('sha256').update(`${hostId}/${attempt}`).digest().readBigUInt64BE();
}
