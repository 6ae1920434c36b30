/** The ways to a peer, where the backend chooses among several, as the status document has them. */
import * as v from 'valibot';

const time = v.pipe(v.string(), v.isoTimestamp());
const text = v.string();

const wayType = v.picklist(['direct', 'vxlan', 'udp']);

/** How one family of a peer is reached where the backend chooses (auto), and why not better. */
export const WayStatus = v.object({
  inUse: wayType,
  /** For people: `VXLAN (UDP 4789)`. */
  name: text,
  since: time,
  /** Whether the peer's host answers over it; absent before it was asked. */
  answers: v.exactOptional(v.boolean()),
  /** Since when it answers over no way at all. */
  silentSince: v.exactOptional(time),
  others: v.array(
    v.object({
      type: wayType,
      name: text,
      /** Why it is not possible: `it is behind the router 192.168.65.1`. */
      obstacle: v.exactOptional(text),
      /** Since when the peer does not answer over it. */
      failedSince: v.exactOptional(time),
    }),
  ),
});
export type WayStatus = v.InferOutput<typeof WayStatus>;
