/**
 * When two hosts try which way to each other: each type has its turn, one after the other, at the same time on both hosts,
 * as far as their clocks agree. So a way that works only if both use it (strict rp_filter, or both directions of another
 * one lost) is found, and no message is needed for that.
 *
 *     round     0                        1
 *     turn      direct   vxlan    udp    direct   vxlan    udp
 *     seconds   0        3        6      9        12       15
 *
 * Which rounds a host uses is its own choice, always a power of two apart: the rounds of the one that uses fewer are
 * among those of the other.
 */
import { WAY_TYPES, type WayType } from '../../backend/ways.ts';
import { fnv1a } from '../../base/fnv.ts';

/** Milliseconds. */
const TURN = 3_000;

/** Rounds over which pairs are spread: more than lie between two of any pair. */
const SPREAD = 2 ** 16;

export interface Turn {
  readonly type: WayType;
  readonly round: number;
  /** Milliseconds since it began, and until it ends. */
  readonly passed: number;
  readonly left: number;
}

/** @param now milliseconds since the epoch. @param offset of the pair of hosts: `offsetOf` */
export function turnAt(now: number, offset: number): Turn {
  const count = Math.floor(now / TURN);
  const type = WAY_TYPES[count % WAY_TYPES.length] ?? 'vxlan';
  const round = Math.floor(count / WAY_TYPES.length) + offset;
  const passed = now - count * TURN;
  return { type, round, passed, left: TURN - passed };
}

/** Spreads the pairs over the rounds: the same on both hosts, from the keys of both leases. */
export function offsetOf(own: string, peer: string): number {
  return fnv1a(new TextEncoder().encode(own < peer ? `${own} ${peer}` : `${peer} ${own}`)) % SPREAD;
}
