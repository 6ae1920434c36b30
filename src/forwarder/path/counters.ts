/**
 * What has happened to packets, per route and in all, in memory that the packet path writes and another thread reads:
 * asking costs the packet path nothing. Doubles count exactly up to 2^53.
 */

/** Why a packet goes no further, each a stable word. docs/reference/forwarder.md says more. */
export const DROP_REASONS = [
  /** No route holds its destination. */
  'noRoute',
  /** It is for many hosts; those that IPv6 sends by itself on every device among them. */
  'multicast',
  /** Its TTL or hop limit is used up. */
  'hopLimit',
  /** Longer than what fits to that peer, and must not be fragmented. */
  'tooBig',
  /** Not a whole IP packet. */
  'malformed',
  /** The datagram came from an address that is no peer's. */
  'unknownPeer',
  /** The datagram came from a peer, the packet in it from a subnet that is not that peer's. */
  'wrongSource',
  /** The kernel did not take the datagram: no route to the peer, a firewall, no memory. */
  'sendFailed',
  /** The kernel did not take the packet from the device: the device is down. */
  'deviceFailed',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const TRAFFIC = ['sentPackets', 'sentBytes', 'receivedPackets', 'receivedBytes'] as const;
export type TrafficCounter = (typeof TRAFFIC)[number];

/** Position of each counter in the row of a route. */
export const COUNTER = Object.fromEntries(
  [...TRAFFIC, ...DROP_REASONS].map((name, index) => [name, index]),
) as Readonly<Record<TrafficCounter | DropReason, number>>;
const ROW = TRAFFIC.length + DROP_REASONS.length;

/** The row of what belongs to no route. */
export const HOST_SLOT = 0;

/** Bytes are those of packets, without what carries them. */
export interface RouteTraffic extends Readonly<Record<TrafficCounter, number>> {
  /** Reasons that have occurred, and how often. */
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
}

export class Counters {
  readonly shared: SharedArrayBuffer;
  readonly #values: Float64Array;

  /** @param shared of another thread's Counters; default: new ones, for `slots` rows. */
  constructor(slots: number, shared = new SharedArrayBuffer(slots * ROW * 8)) {
    this.shared = shared;
    this.#values = new Float64Array(shared);
  }

  /** @param counter one of COUNTER. */
  add(slot: number, counter: number, count: number): void {
    const at = slot * ROW + counter;
    this.#values[at] = (this.#values[at] as number) + count;
  }

  read(slot: number): RouteTraffic {
    const value = (name: TrafficCounter | DropReason) => this.#values[slot * ROW + COUNTER[name]] ?? 0;
    return {
      sentPackets: value('sentPackets'),
      sentBytes: value('sentBytes'),
      receivedPackets: value('receivedPackets'),
      receivedBytes: value('receivedBytes'),
      drops: Object.fromEntries(
        DROP_REASONS.map(reason => [reason, value(reason)] as const).filter(([, count]) => count > 0),
      ),
    };
  }

  /** For a row that is given to another route. */
  clear(slot: number): void {
    this.#values.fill(0, slot * ROW, (slot + 1) * ROW);
  }
}
