/** The rules of the firewall as the status document has them, and what they have refused. */
import * as v from 'valibot';

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const FirewallStatus = v.object({
  masquerade: v.boolean(),
  forward: v.boolean(),
  /** `nftables` or `iptables`. */
  mode: v.exactOptional(text),
  ok: v.boolean(),
  lastError: v.exactOptional(text),
  /** Tunnel packets that were refused since the filter was made; absent while none is. */
  refused: v.exactOptional(
    v.object({
      /** From addresses that no peer has; and with an inner source that is another host's. */
      strangers: count,
      sources: count,
      /** Addresses of strangers in the last hour. */
      recent: v.array(text),
    }),
  ),
});
export type FirewallStatus = v.InferOutput<typeof FirewallStatus>;
