/**
 * Tunnels between two hosts as the API speaks of them. Addresses, prefixes and MACs are text. The bounds here keep a
 * request small; what it means is checked where it is used (src/network/tunnel/spec.ts).
 */
import * as v from 'valibot';

const text = v.string();
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
/** No word of a request is longer: names have 15 characters, addresses 50, names of Docker networks 128. */
const word = v.pipe(v.string(), v.maxLength(128));

/** Body of `POST /v1/tunnels`. */
export const TunnelRequest = v.strictObject({
  /** Of the link. */
  name: word,
  vni: v.number(),
  /** Address of the other host. Either this or `group`. */
  remote: v.exactOptional(word),
  /** Multicast group that all hosts of the tunnel listen to; needs `dev`. */
  group: v.exactOptional(word),
  /** Underlay link; absent: the routes of this host choose. */
  dev: v.exactOptional(word),
  /** Source address of the outer packets; absent: the routes of this host choose. */
  local: v.exactOptional(word),
  /** UDP port. */
  port: v.number(),
  /** `10.0.0.106/24` each. */
  addresses: v.pipe(v.array(word), v.maxLength(64)),
  /** Docker network by name, or bridge, that the link becomes a port of. */
  attach: v.exactOptional(word),
  learning: v.boolean(),
  /** Bytes; absent: what the underlay carries. */
  mtu: v.exactOptional(v.number()),
  /** Of the outer header. */
  ttl: v.exactOptional(v.number()),
});
export type TunnelRequest = v.InferOutput<typeof TunnelRequest>;

/** A link whose MTU was lowered to that of the tunnel, until the tunnel is deleted. */
const FittedMember = v.object({
  name: text,
  /** `host`, or what the namespace is known by: `container 4026532301`. */
  where: text,
  /** MTU before. */
  was: count,
});

/** A tunnel as it is: what was asked for, and what the kernel has. */
export const TunnelReport = v.object({
  ...TunnelRequest.entries,
  /** `agent`: over restarts; `once`: until it is deleted or the host is restarted. */
  kept: v.picklist(['agent', 'once']),
  /** waiting: this host lacks what it needs, and the agent continues by itself; failed: the kernel or another program refuses. */
  state: v.picklist(['up', 'waiting', 'failed']),
  reason: v.exactOptional(text),
  hint: v.exactOptional(text),
  /** As the kernel has it; absent while there is none. */
  device: v.exactOptional(
    v.object({
      index: count,
      up: v.boolean(),
      mtu: count,
      mac: text,
      addresses: v.array(text),
      bridge: v.exactOptional(text),
    }),
  ),
  counters: v.exactOptional(
    v.object({
      receivedPackets: count,
      receivedBytes: count,
      receiveErrors: count,
      receiveDrops: count,
      sentPackets: count,
      sentBytes: count,
      sendErrors: count,
      sendDrops: count,
    }),
  ),
  fdb: v.exactOptional(
    v.object({
      entries: count,
      /** The first of them. */
      learned: v.array(v.object({ mac: text, host: v.exactOptional(text) })),
    }),
  ),
  fitted: v.array(FittedMember),
  /** What a person should know about it, one sentence each. */
  notes: v.array(text),
});
export type TunnelReport = v.InferOutput<typeof TunnelReport>;

/** Answer of `GET /v1/tunnels`. */
export const TunnelList = v.array(TunnelReport);
