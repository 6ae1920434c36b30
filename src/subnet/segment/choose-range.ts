/**
 * Which range of a subnet the next host gets.
 *
 *     10.9.0.0/16 in ranges of /24
 *     | 10.9.0.0/24 | 10.9.1.0/24 | 10.9.2.0/24 | ... | 10.9.255.0/24 |
 *       by hand       the first to lease
 *
 * The first is never leased: it has the gateway, and addresses that are given by hand from it can never be what a host
 * gives out that is cut off from the store.
 */
import { ADDRESS_BITS, FAMILY_LABELS, type Family } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import type { Segment } from './segment.ts';
import { SegmentError } from './segment-error.ts';
import type { SegmentKey } from './segment-key.ts';

/** Ranges among which one is drawn when several hosts want one at the same moment. */
const CANDIDATES = 64;

/**
 * A free range; one in which no container has an address already, if there is any.
 *
 * @param keys what is in the store of this segment, whatever the values
 * @param random at least 0 and less than 1: which one of several
 * @throws SegmentError EXHAUSTED_RANGES, or NOT_FOUND without a subnet of this family
 */
export function chooseRange(
  { name, subnets, rangeLengths }: Segment,
  family: Family,
  keys: readonly SegmentKey[],
  random: () => number,
): Prefix {
  const [subnet, length] = [subnets[family], rangeLengths[family]];
  if (subnet === undefined || length === undefined) {
    throw new SegmentError('NOT_FOUND', `the network ${name} has no ${FAMILY_LABELS[family]} subnet`);
  }
  const ranges = keys.flatMap(key =>
    key.kind === 'range' && key.block.family === family ? [key.block] : [],
  );
  const addresses = keys.flatMap(key =>
    key.kind === 'endpoint' && key.ip.family === family ? [Prefix.ofOne(key.ip)] : [],
  );
  const taken = new Cells(subnet, length, ranges);
  const used = new Cells(subnet, length, [...ranges, ...addresses]);
  const free = used.free(CANDIDATES);
  const candidates = free.length > 0 ? free : taken.free(CANDIDATES);
  const chosen = candidates[Math.floor(random() * candidates.length)];
  if (chosen !== undefined) return chosen;
  throw new SegmentError(
    'EXHAUSTED_RANGES',
    `every /${length} of ${subnet} in the network ${name} is leased`,
    {
      hint: `give back the range of a host that will not return: tulle network release ${name} HOST`,
    },
  );
}

/** The ranges of a subnet by number, and those that are not free; blocks may be larger than a range, or smaller. */
class Cells {
  readonly #subnet: Prefix;
  readonly #length: number;
  /** First and last number of each, in order. */
  readonly #spans: readonly (readonly [bigint, bigint])[];

  constructor(subnet: Prefix, length: number, taken: readonly Prefix[]) {
    this.#subnet = subnet;
    this.#length = length;
    this.#spans = taken
      .filter(block => subnet.overlaps(block))
      .map(block => [this.#numberOf(block.ip.toBigInt()), this.#numberOf(block.last.toBigInt())] as const)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }

  /** The first `most` free ones after the first of all. */
  free(most: number): readonly Prefix[] {
    const free: Prefix[] = [];
    const end = 1n << BigInt(this.#length - this.#subnet.length);
    let next = 1n;
    for (const [first, last] of [...this.#spans, [end, end] as const]) {
      for (; next < first && free.length < most; next++) free.push(this.#range(next));
      if (last >= next) next = last + 1n;
      if (free.length === most) break;
    }
    return free;
  }

  #range(number: bigint): Prefix {
    return Prefix.of(this.#subnet.ip.plus(number << this.#hostBits), this.#length);
  }

  /** Negative for what is before the subnet. */
  #numberOf(address: bigint): bigint {
    return (address - this.#subnet.ip.toBigInt()) >> this.#hostBits;
  }

  get #hostBits(): bigint {
    return BigInt(ADDRESS_BITS[this.#subnet.family] - this.#length);
  }
}
