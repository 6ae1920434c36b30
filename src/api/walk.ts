/**
 * The way of one packet over one host, as the host's own entries decide it: what a trace asks of each host on the way.
 * Nothing is sent for it. Addresses and MACs are canonical text.
 */
import * as v from 'valibot';
import { LAYERS } from './inspection.ts';

const text = v.pipe(v.string(), v.maxLength(4096));
const word = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
const address = v.pipe(v.string(), v.ip());
const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffff));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const list = <const T extends v.GenericSchema>(item: T, most: number) =>
  v.pipe(v.array(item), v.maxLength(most));

/** How a packet goes over the underlay, from the host that sends it to the host that receives it. */
export const Carrier = v.strictObject({
  /** `plain`: as it is; `bridged`: a whole frame of an L2 network, in VXLAN. */
  kind: v.picklist(['plain', 'vxlan', 'bridged', 'udp', 'ipip']),
  /** Outer source, where it is known. */
  from: v.exactOptional(address),
  /** Outer destination; of a plain packet the next hop. */
  to: address,
  port: v.exactOptional(port),
  vni: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffff))),
  /** Destination of the frame within. */
  mac: v.exactOptional(v.pipe(v.string(), v.maxLength(17))),
});
export type Carrier = v.InferOutput<typeof Carrier>;

/** Which packet, and which part of its way. */
export const Walk = v.strictObject({
  from: address,
  to: address,
  protocol: v.picklist(['icmp', 'tcp', 'udp']),
  toPort: v.exactOptional(port),
  /** Of the sender: which flow is meant, where several go there. */
  fromPort: v.exactOptional(port),
  /** The first packet of a connection, which rules may translate. */
  opens: v.exactOptional(v.boolean()),
  /**
   * Of an answer, what connection tracking of this host gives it back: its destination as it comes in, its source as it
   * leaves.
   */
  restored: v.exactOptional(v.strictObject({ from: v.exactOptional(address), to: v.exactOptional(address) })),
  /** Absent for a packet that a container of this host or this host itself sends. */
  carrier: v.exactOptional(Carrier),
});
export type Walk = v.InferOutput<typeof Walk>;

/** What ends the way of a packet, and what a person can do about it. */
export const WalkFault = v.object({ reason: text, remedy: text });
export type WalkFault = v.InferOutput<typeof WalkFault>;

/** One step of a packet, with the entries that decide it. */
export const WalkHop = v.object({
  /** Name of a container, a link, or the host. */
  place: word,
  layer: v.picklist(LAYERS),
  /** What happens, in a sentence or two. */
  story: text,
  /** As `ip`, `bridge` and `sysctl` print them. */
  entries: list(text, 20),
  /** Where the packet is seen when it has made this step: a link of the host, and whether the link receives or sends it. */
  passes: v.exactOptional(v.object({ link: word, direction: v.picklist(['in', 'out']) })),
  /** Its addresses when it has made this step, where this host has changed them. */
  translated: v.exactOptional(v.object({ from: address, to: address })),
  fault: v.exactOptional(WalkFault),
});
export type WalkHop = v.InferOutput<typeof WalkHop>;

/** A flow that the fast path of a host knows, as the container there sees it. */
export const FastFlowReport = v.object({
  protocol: v.picklist(['tcp', 'udp']),
  local: address,
  localPort: port,
  remote: address,
  remotePort: port,
  /** Whether what the container sends, and what it gets, takes the fast path at this moment. */
  sent: v.boolean(),
  delivered: v.boolean(),
  /** Why not both. */
  reason: v.exactOptional(text),
  /** Went the fast path since the flow is known. */
  sentPackets: count,
  sentBytes: count,
  deliveredPackets: count,
  deliveredBytes: count,
});
export type FastFlowReport = v.InferOutput<typeof FastFlowReport>;

/** What the fast path of this host is to packets like this one (docs/guide/fast-path.md). */
export const FastWay = v.object({
  /** `fast`: a flow of these ends goes it now; `ready`: one would, when it is proven; `normal`: none can. */
  state: v.picklist(['fast', 'ready', 'normal']),
  /** For people: the way, or why there is none. */
  text,
  /** Of these ends, those with the most packets. */
  flows: list(FastFlowReport, 5),
});
export type FastWay = v.InferOutput<typeof FastWay>;

export const WalkReport = v.object({
  host: word,
  hops: list(WalkHop, 40),
  /** Of a packet that leaves this host. */
  carrier: v.exactOptional(Carrier),
  /** What the packet is at the end of these hops, where this host has changed it. */
  translated: v.exactOptional(v.object({ from: address, to: address, toPort: v.exactOptional(port) })),
  /** It reaches a program: of a container by this name, or of the host itself. */
  arrives: v.exactOptional(v.object({ container: v.exactOptional(word) })),
  /** Of the host at whose end of the way a container is, where the packet goes through a tunnel. */
  fastPath: v.exactOptional(FastWay),
  /** What could not be read, and why, one sentence each. */
  blind: list(text, 20),
});
export type WalkReport = v.InferOutput<typeof WalkReport>;
