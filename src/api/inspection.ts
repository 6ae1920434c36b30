/**
 * What one host says of itself when a check or a trace asks: the same words whether the command runs on that host or asks
 * its agent from another (docs/reference/inspection.md). Addresses, prefixes and MACs are canonical text.
 */
import * as v from 'valibot';

const text = v.pipe(v.string(), v.maxLength(4096));
const word = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const list = <const T extends v.GenericSchema>(item: T, most: number) =>
  v.pipe(v.array(item), v.maxLength(most));

/** Where on the way of a packet, or beside it, a cause is. */
export const LAYERS = [
  'container',
  'bridge',
  'firewall',
  'nat',
  'routing',
  'neighbor',
  'tunnel',
  'underlay',
  'mtu',
  'limits',
  'docker',
  'agent',
  'store',
  'identity',
] as const;
export type FindingLayer = (typeof LAYERS)[number];

/** error: packets are lost by it; warning: some may be, or will be; info: a remark. */
export const FINDING_SEVERITIES = ['error', 'warning', 'info'] as const;

/** One cause, with what to do about it. */
export const Finding = v.object({
  /** Stable: `CONTAINER_NO_DEFAULT_ROUTE`. One of `docs/reference/findings.md`. */
  code: v.pipe(word, v.regex(/^[A-Z][A-Z0-9_]*$/)),
  severity: v.picklist(FINDING_SEVERITIES),
  /** Name of the host where the cause is, and where the remedy is applied. */
  host: word,
  layer: v.picklist(LAYERS),
  /** One sentence for people: what is wrong, and what it does to packets. */
  reason: text,
  /** What was read or measured, one line each, in the words of the tool that a person would use. */
  evidence: list(text, 50),
  /** A command, or a sentence where none is enough. */
  remedy: text,
  /** `tulle check --fix` on that host does it. */
  fixable: v.boolean(),
});
export type Finding = v.InferOutput<typeof Finding>;

/** A container or namespace of the host, as it was found there. */
export const InspectedContainer = v.object({
  name: word,
  /** In the container, without prefix lengths. */
  addresses: list(word, 64),
  /** Name of the host's end of its link; absent where it has none. */
  hostLink: v.exactOptional(word),
  /** Name of the bridge that the link is a port of. */
  bridge: v.exactOptional(word),
});
export type InspectedContainer = v.InferOutput<typeof InspectedContainer>;

/** An address and the MAC address that has it. */
const UnderlayStation = v.object({ ip: word, mac: word });
export type UnderlayStation = v.InferOutput<typeof UnderlayStation>;

/** What a host says of itself without a packet being sent. */
export const InspectionReport = v.object({
  host: word,
  /** Milliseconds since 1970 on its clock. */
  time: count,
  /** Absent where no agent answers there. */
  agent: v.exactOptional(v.object({ version: word, state: word })),
  /** Its own block, bridge, tunnel and underlay addresses: what the ladder of probes climbs. */
  subnets: list(word, 16),
  bridgeAddresses: list(word, 64),
  underlayAddresses: list(word, 64),
  /** MAC addresses on the underlay: by which this host has its own addresses, and by which it sends to peers. */
  underlayMacs: v.exactOptional(
    v.object({ own: list(UnderlayStation, 64), peers: list(UnderlayStation, 10_000) }),
  ),
  containers: list(InspectedContainer, 10_000),
  findings: list(Finding, 1000),
  /** What could not be read, and why, one sentence each. */
  blind: list(text, 100),
});
export type InspectionReport = v.InferOutput<typeof InspectionReport>;

/** A probe, as every host on its way knows it again. */
export const Flow = v.strictObject({
  from: word,
  to: word,
  protocol: v.picklist(['icmp', 'tcp', 'udp']),
  /** Identifier of the echo (ICMP). */
  id: v.exactOptional(v.pipe(count, v.maxValue(0xffff))),
  fromPort: v.exactOptional(v.pipe(count, v.maxValue(0xffff))),
  toPort: v.exactOptional(v.pipe(count, v.maxValue(0xffff))),
});
export type Flow = v.InferOutput<typeof Flow>;

/**
 * Which packet: there, back, an ICMP error about one of both, or an ARP or neighbor discovery message about an address
 * that they need.
 */
export const PACKETS = ['request', 'reply', 'error', 'neighbor'] as const;

/** What a link is on this host; `port`: of a bridge, which a container is behind. */
export const POINTS = ['port', 'bridge', 'tunnel', 'uplink', 'other'] as const;

/** Packets of a flow that passed a link. */
export const Sighting = v.object({
  link: word,
  point: v.picklist(POINTS),
  /** `in`: received by the link; `out`: sent over it. */
  direction: v.picklist(['in', 'out']),
  packet: v.picklist(PACKETS),
  /** In a tunnel's packet: VXLAN, flannel's udp. */
  encapsulated: v.boolean(),
  count,
  /** Addresses as they were there, where they are not those of the flow: they were translated. */
  translated: v.exactOptional(text),
  /** For an error: what it says, and which address sent it. */
  error: v.exactOptional(text),
});
export type Sighting = v.InferOutput<typeof Sighting>;

/** Packets of a flow that the kernel has dropped, by its own reason. */
export const Drop = v.object({
  /** Of include/net/dropreason-core.h: `IP_RPFILTER`. */
  reason: word,
  /** The function of the kernel, where it is known. */
  place: v.exactOptional(word),
  link: v.exactOptional(word),
  /** Name of the container whose namespace it was in; absent for the host's own. */
  container: v.exactOptional(word),
  packet: v.picklist(PACKETS),
  count,
  /** Where traffic control has dropped them: the programs there, `tulle_receive (id 12) at the ingress of eth0`. */
  programs: v.exactOptional(list(text, 10)),
});
export type Drop = v.InferOutput<typeof Drop>;

/** Where the rules of netfilter let a packet of the flow end. */
export const FilterVerdict = v.object({
  packet: v.picklist(PACKETS),
  end: v.picklist(['dropped', 'rejected', 'translated']),
  /** `ip filter DOCKER-USER`, `bridge`, `iptables-legacy filter FORWARD`. */
  chain: text,
  /** Text of the rule, or of the policy. */
  rule: text,
  /** Of the base chain: `forward`. */
  hook: v.exactOptional(word),
  /** Name of the container whose rules they are; absent for the host's own. */
  container: v.exactOptional(word),
  /** The command that takes the rule away; absent for a policy, and for rules of a container and of Tulle. */
  removal: v.exactOptional(text),
});
export type FilterVerdict = v.InferOutput<typeof FilterVerdict>;

/** A rule of netfilter that has let a packet of the flow pass. */
export const FilterPass = v.object({
  packet: v.picklist(PACKETS),
  chain: text,
  rule: text,
  hook: v.exactOptional(word),
  container: v.exactOptional(word),
});
export type FilterPass = v.InferOutput<typeof FilterPass>;

/** A counter of the kernel that moved meanwhile: `Udp InCsumErrors`, `flannel.88 rx_dropped`. */
export const CounterChange = v.object({
  name: word,
  by: count,
  /** Name of the container whose namespace it is of; absent for the host's own. */
  container: v.exactOptional(word),
});
export type CounterChange = v.InferOutput<typeof CounterChange>;

/** An address that was asked for with ARP or neighbor solicitation, and nobody answered. */
export const SilentAddress = v.object({
  address: word,
  /** Which asked, and over which link. */
  askedBy: word,
  link: word,
  point: v.picklist(POINTS),
  /** How often. */
  count,
});
export type SilentAddress = v.InferOutput<typeof SilentAddress>;

/** What a host has seen of a flow between two moments. */
export const Observation = v.object({
  host: word,
  sightings: list(Sighting, 500),
  drops: list(Drop, 500),
  verdicts: list(FilterVerdict, 100),
  passed: v.exactOptional(list(FilterPass, 100)),
  /** Those that the flow needs, and that did not answer while it was watched. */
  silent: list(SilentAddress, 100),
  counters: list(CounterChange, 500),
  /** What could not be watched, and why, one sentence each. */
  blind: list(text, 20),
});
export type Observation = v.InferOutput<typeof Observation>;
