/** The fast path as the status document has it (docs/guide/fast-path.md). */
import * as v from 'valibot';

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Why packets take the normal path. */
export const FastPathObstacle = v.object({
  /** Stable: `OFF_BY_CONFIG`. */
  code: text,
  text,
});
export type FastPathObstacle = v.InferOutput<typeof FastPathObstacle>;

/** Of the flows that are known now; each has packets that took the fast path, since it is known. */
export const FastPathCounts = v.object({
  /** Whose packets take the fast path at this moment. */
  flows: count,
  sentPackets: count,
  sentBytes: count,
  receivedPackets: count,
  receivedBytes: count,
});
export type FastPathCounts = v.InferOutput<typeof FastPathCounts>;

/** What was decided of a network on this host. */
const FastPathNetwork = v.object({
  /** `overlay`, or the name of an L2 network. */
  name: text,
  /** Links of containers that have it. */
  links: v.array(text),
  /** Links of containers that do not. */
  without: v.array(v.object({ link: text, ...FastPathObstacle.entries })),
  /** Why it is not used at all. */
  obstacle: v.exactOptional(FastPathObstacle),
});
export type FastPathNetwork = v.InferOutput<typeof FastPathNetwork>;

export const FastPathStatus = v.object({
  /** Whether packets of some container can go it. */
  used: v.boolean(),
  /** Why none can; where some can, what keeps it from being everywhere. */
  obstacle: v.exactOptional(FastPathObstacle),
  /** Why packets of TCP take the normal path while others do not. */
  tcpObstacle: v.exactOptional(text),
  networks: v.array(v.object({ ...FastPathNetwork.entries, ...FastPathCounts.entries })),
  /** Packets between containers and tunnels that took the normal path, by reason, since the programs run. */
  normalPackets: v.record(text, count),
});
export type FastPathStatus = v.InferOutput<typeof FastPathStatus>;

/** Of a peer: the flows with its containers, or why there are none. */
export const PeerFastPath = v.object({
  ...FastPathCounts.entries,
  obstacle: v.exactOptional(FastPathObstacle),
});
export type PeerFastPath = v.InferOutput<typeof PeerFastPath>;
