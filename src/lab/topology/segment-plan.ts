/** A segment of the underlay, read and checked. */

import { defined } from '../../base/defined.ts';
import { LEAST_MTU } from '../../base/mtu.ts';
import { byFamily, type PerFamily } from '../../base/per-family.ts';
import { Prefix } from '../../base/prefix.ts';
import { type Checks, listOf } from './checks.ts';
import type { UnderlaySegment } from './topology.ts';

/** Milliseconds. Longer ones break what a lab's own programs wait for. */
const DELAY_BOUNDS = [0, 10_000] as const;

export interface SegmentPlan {
  readonly name: string;
  readonly subnets: PerFamily<Prefix>;
  readonly mtu?: number;
  /** Percent of frames, in each direction; above 0. */
  readonly loss?: number;
  /** Milliseconds, one way; above 0. */
  readonly delay?: number;
}

export function planUnderlaySegment(name: string, given: UnderlaySegment, checks: Checks): SegmentPlan {
  const path = `segments.${name}`;
  checks.name(path, name);
  checks.mtu(`${path}.mtu`, given.mtu);
  checks.number(`${path}.loss`, given.loss, [0, 100], ' percent');
  checks.number(`${path}.delay`, given.delay, DELAY_BOUNDS, ' ms');
  const subnets: Prefix[] = [];
  for (const text of listOf(given.subnet)) {
    const subnet = checks.read(`${path}.subnet`, text, each => Prefix.parse(each));
    if (subnet === undefined) continue;
    if (subnets.some(({ family }) => family === subnet.family)) {
      checks.fail(`${path}.subnet`, text, 'is the second one of its family', 'make another segment for it');
    }
    if (subnet.family === 'ipv6' && (given.mtu ?? LEAST_MTU.ipv6) < LEAST_MTU.ipv6) {
      checks.fail(`${path}.mtu`, given.mtu, `is less than IPv6 needs, ${LEAST_MTU.ipv6}`);
    }
    subnets.push(subnet);
  }
  return {
    name,
    subnets: byFamily(...subnets),
    ...defined({ mtu: given.mtu, loss: given.loss || undefined, delay: given.delay || undefined }),
  };
}
