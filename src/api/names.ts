/** Names of containers as the API speaks of them. */
import * as v from 'valibot';

const text = v.string();

/** What one address of a network is called. */
export const NamedContainer = v.object({
  /** `default` is the overlay. */
  network: text,
  address: text,
  /** That of the container first, then its aliases. */
  names: v.array(text),
  hostId: text,
  /** Absent where the host has none. */
  hostName: v.exactOptional(text),
});
export type NamedContainer = v.InferOutput<typeof NamedContainer>;

/** Of the whole cluster, in the order of networks and addresses: `GET /v1/names`. */
export const NameList = v.array(NamedContainer);
export type NameList = v.InferOutput<typeof NameList>;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** How containers of this host get answers about names (docs/guide/names.md). */
export const ResolverReport = v.object({
  /** Where, as `10.9.0.1 on tb-blue`; empty while nobody can ask. */
  listening: v.array(text),
  /** Why it does not answer at all. */
  reason: v.exactOptional(text),
  /** Servers that are asked for what the cluster does not know. */
  upstream: v.array(text),
  /** Names of the cluster that are known here. */
  names: count,
  /** Questions since the agent started: answered from these names, by other servers, by nobody; and what was no question. */
  questions: v.object({ own: count, forwarded: count, failed: count, malformed: count }),
});
export type ResolverReport = v.InferOutput<typeof ResolverReport>;
