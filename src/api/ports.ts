/** Ports of this host that lead to containers, as `GET /v1/ports` lists them: in the order of the host's ports. */
import * as v from 'valibot';

const text = v.string();
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

/** One in one address family. */
export const PortOnHost = v.object({
  protocol: v.picklist(['tcp', 'udp', 'sctp']),
  /** Absent: every address of this host. */
  hostAddress: v.exactOptional(text),
  hostPort: port,
  container: text,
  network: text,
  /** Of the container. */
  address: text,
  containerPort: port,
  /** ISO 8601. */
  since: text,
  /** Whether the agent holds the port; another program may have taken it while no agent ran. */
  held: v.boolean(),
});
export type PortOnHost = v.InferOutput<typeof PortOnHost>;
export const PortsOnHost = v.array(PortOnHost);
