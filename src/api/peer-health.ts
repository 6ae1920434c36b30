/** Whether a peer answers this host, in the status document. */
import * as v from 'valibot';

const time = v.pipe(v.string(), v.isoTimestamp());
const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/**
 * answers     echoes as large as packets of containers come back
 * loss        some do
 * size        small ones do
 * silent      it answered, and does not now: `reason` says what is known of where they are lost
 * unanswered  it has not answered since this agent asks: it is down, or its host drops echoes and may well pass packets
 */
export const HEALTH_STATES = ['answers', 'loss', 'size', 'silent', 'unanswered'] as const;

/** Whether a peer answers this host: what the kernel entries are worth. */
export const PeerHealth = v.object({
  state: v.picklist(HEALTH_STATES),
  since: time,
  /** Why the state is not `answers`: `only large packets are lost`. */
  reason: v.exactOptional(text),
  lastAnswer: v.exactOptional(time),
  /** Milliseconds there and back, smoothed. */
  roundTripMs: v.exactOptional(v.number()),
  /** Of the last echoes, in percent. */
  lossPercent: v.exactOptional(count),
  /** Bytes of the largest packet between containers that passes. */
  pathMtu: v.exactOptional(count),
  /** Whether the peer's host answers without the tunnel. */
  underlayAnswers: v.exactOptional(v.boolean()),
});

export type PeerHealth = v.InferOutput<typeof PeerHealth>;
export type HealthState = (typeof HEALTH_STATES)[number];
