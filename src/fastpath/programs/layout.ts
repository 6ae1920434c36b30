/**
 * What the programs of the fast path and the agent share: the layouts of their maps, and what a flow says to the agent.
 * Another layout needs another LAYOUT_VERSION: then an agent that finds maps of an older one makes new maps.
 */

import { Ip } from '../../base/ip.ts';
import { Mac } from '../../base/mac.ts';
import type { MapOptions } from '../../bpf/map.ts';
import { type LayoutValue, MemoryLayout } from '../../bpf/memory-layout.ts';

/** `tull`, the first word of the configuration. */
export const CONFIG_MAGIC = 0x7475_6c6c;
export const LAYOUT_VERSION = 1;

/** UDP ports that one agent has tunnels at: of the overlay, of L2 networks, and of an overlay that is handed over. */
export const MOST_PORTS = 4;

/** The only value of map `config`, key 0. */
export const CONFIG_LAYOUT = new MemoryLayout('config', {
  magic: 'u32',
  version: 'u32',
  /** Whose programs they are. */
  owner: 'u64',
  /** What was proven in another generation is proven no more. Begins at 1. */
  generation: 'u64',
  /** MOST_PORTS ports in the network's byte order; 0 is none. */
  ports: 2 * MOST_PORTS,
});

/**
 * A flow as the container sees it, in the bytes that packets have: what a packet is looked up by. 16 bytes, so that the
 * kernel hashes it in one round less, and programs compare it by two words.
 */
export const FLOW_KEY = new MemoryLayout('flow key', {
  local: 'be32',
  remote: 'be32',
  localPort: 'be16',
  remotePort: 'be16',
  /** 24 bits. */
  vni: 3,
  protocol: 'u8',
});

/** Outer Ethernet 14, IP 20, UDP 8, VXLAN 8, inner Ethernet 14. */
export const TEMPLATE_SIZE = 64;
export const ETHERNET_SIZE = 14;

/** Packets of a direction that must have been proven before one takes the fast path. */
export const WANTED_SEEN = 8;

/**
 * Fields come in the order of who writes them: the first part is read for each packet and seldom written, `sentPackets`
 * is written by the processors that send, `deliveredPackets` by those that receive. A gap of a cache line is between them,
 * wherever a line begins: otherwise each packet would take the line from the other processor.
 */
export const FLOW_LAYOUT = new MemoryLayout('flow', {
  /**
   * The key once more, in front of all that a packet takes from here. An entry of an LRU map that was deleted may be
   * another flow's at once, under the eyes of a program that still reads it: one that has taken its template looks at this
   * last, and drops the packet if it has changed. (The kernel writes a value from its beginning to its end. Processors that
   * order their writes less strictly than x86 may show the middle first: there it makes the case rarer, and no more.)
   */
  identity: FLOW_KEY.size,
  generation: 'u64',
  /** Proven until then, by ktime_get_coarse_ns (CLOCK_MONOTONIC_COARSE). */
  sentUntil: 'u64',
  deliveredUntil: 'u64',
  /** Link indexes; 0 is none. */
  uplink: 'u32',
  hostEnd: 'u32',
  /** Of the socket buffer, as at the uplink. */
  priority: 'u32',
  /** Longest IP packet, or segment of one, that has passed since the proof began. Bytes. */
  sentLongest: 'u16',
  deliveredLongest: 'u16',
  /** Proven packets, up to WANTED_SEEN. With `cleared` and the zero they are one word for the programs. */
  sentSeen: 'u8',
  deliveredSeen: 'u8',
  /** 1: conntrack takes any TCP sequence number of it; or the flow is no TCP. */
  cleared: 'u8',
  readyZero: 'u8',
  /** Taken off the TTL on the way over this host: 0 or 1. */
  sentHops: 'u8',
  deliveredHops: 'u8',
  /** TOS without the two bits of ECN. */
  sentDscp: 'u8',
  deliveredDscp: 'u8',
  /**
   * The outer headers and the inner Ethernet header as the kernel sent them; 0 in it: both lengths, identification, ECN and
   * UDP checksum. The IP checksum is the folded sum of the rest of the header, not complemented.
   */
  template: TEMPLATE_SIZE,
  /** Ethernet header of frames to the container. */
  delivered: ETHERNET_SIZE,
  /** Before it was proven. */
  sentTtl: 'u8',
  deliveredTtl: 'u8',

  /** TTL and TOS of a packet that took the normal path and has not been seen behind it; TTL 0: there is none. */
  sentPendingTtl: 'u8',
  sentPendingTos: 'u8',
  deliveredPendingTtl: 'u8',
  deliveredPendingTos: 'u8',
  /** Fast bytes of both directions, in 64 MiB, at the last record of this flow in `unproven`. */
  reported: 'u32',
  /** No record in `unproven` before that time. */
  askAt: 'u64',
  /** MAC address that the container sends from. */
  sender: 6,
  senderZero: 2,
  gap: 40,

  /** Took the fast path: IP packets (segments count one each), and their bytes. */
  sentPackets: 'u64',
  sentBytes: 'u64',
  secondGap: 64,
  deliveredPackets: 'u64',
  deliveredBytes: 'u64',
});

/** Key of map `tunnels`: what `sent` takes for a packet of a tunnel of ours. */
const TUNNEL_KEY = new MemoryLayout('tunnel', { port: 'be16', zero: 'u16', vniAndZero: 'be32' });

export interface Tunnel {
  /** UDP. */
  readonly port: number;
  readonly vni: number;
}

export const tunnelKey = ({ port, vni }: Tunnel): Uint8Array =>
  TUNNEL_KEY.encode({ port, vniAndZero: vni * 256 });

/** Bytes of the ring buffer: a record is a flow's key, with 8 bytes of the kernel's before it. */
const RING_SIZE = 1 << 16;

/** By the names that programs know them by. `unproven` has keys of flows that the agent is asked to clear. */
export const MAPS = {
  flows: map('lru hash', 'tulle_flows', FLOW_KEY.size, FLOW_LAYOUT.size, 65_536),
  cleared: map('lru hash', 'tulle_cleared', FLOW_KEY.size, 4, 4096),
  tunnels: map('hash', 'tulle_tunnels', TUNNEL_KEY.size, 1, 1024),
  config: map('array', 'tulle_config', 4, CONFIG_LAYOUT.size, 1),
  reasons: map('per-cpu array', 'tulle_reasons', 4, 8, 32),
  unproven: map('ring buffer', 'tulle_unproven', 0, 0, RING_SIZE),
} as const satisfies Record<string, MapOptions>;

function map(
  type: MapOptions['type'],
  name: string,
  keySize: number,
  valueSize: number,
  entries: number,
): MapOptions {
  return { type, name, keySize, valueSize, entries };
}

/** Why packets of tunnels did not take the fast path: names by their index in map `reasons`. */
export const REASONS = [
  'no flow',
  'fragment or options',
  'length',
  'TTL',
  'mark or VLAN',
  'TCP flags',
  'UDP segments',
  'generation',
  'unproven',
  'expired',
  'other link',
  'other addresses',
  'DSCP',
  'too long',
  'congestion',
  'no room',
  'template changed',
] as const;
export type Reason = (typeof REASONS)[number];

/** What the agent knows of a flow. */
export interface FastFlow {
  readonly vni: number;
  readonly protocol: 'tcp' | 'udp';
  readonly local: Ip;
  readonly remote: Ip;
  readonly localPort: number;
  readonly remotePort: number;
  /** Outer destination address. */
  readonly peer: Ip;
  readonly gateway: Mac;
  /** Link indexes; hostEnd is 0 before the first proof. */
  readonly uplink: number;
  readonly hostEnd: number;
  /** All of the entry, as it is in the map. */
  readonly state: Readonly<LayoutValue<FlowTypes>>;
}
type FlowTypes = typeof FLOW_LAYOUT extends MemoryLayout<infer Types> ? Types : never;

const IPPROTO_TCP = 6;

/** What is asked for is read then: an agent counts tens of thousands of flows. */
class FlowEntry implements FastFlow {
  readonly state: FastFlow['state'];
  readonly #key: Readonly<ReturnType<typeof FLOW_KEY.decode>>;

  constructor(key: Uint8Array, value: Uint8Array) {
    this.#key = FLOW_KEY.view(key);
    this.state = FLOW_LAYOUT.view(value);
  }

  get vni(): number {
    return this.#key.vni.reduce((number, byte) => number * 256 + byte, 0);
  }
  get protocol(): 'tcp' | 'udp' {
    return this.#key.protocol === IPPROTO_TCP ? 'tcp' : 'udp';
  }
  get local(): Ip {
    return Ip.fromKey(this.#key.local);
  }
  get remote(): Ip {
    return Ip.fromKey(this.#key.remote);
  }
  get localPort(): number {
    return this.#key.localPort;
  }
  get remotePort(): number {
    return this.#key.remotePort;
  }
  get peer(): Ip {
    return Ip.fromBytes(this.state.template.subarray(30, 34));
  }
  get gateway(): Mac {
    return Mac.fromBytes(this.state.template.subarray(0, 6));
  }
  get uplink(): number {
    return this.state.uplink;
  }
  get hostEnd(): number {
    return this.state.hostEnd;
  }
}

/** @throws CodecError */
export const decodeFlow = (key: Uint8Array, value: Uint8Array): FastFlow => new FlowEntry(key, value);

/** Whether packets of the flow take the fast path, in each direction. @param now CLOCK_MONOTONIC, ns */
export function isFast(
  { state }: FastFlow,
  generation: bigint,
  now: bigint,
): { readonly sent: boolean; readonly delivered: boolean } {
  const ready =
    state.generation === generation &&
    state.sentSeen >= WANTED_SEEN &&
    state.deliveredSeen >= WANTED_SEEN &&
    state.cleared === 1;
  return { sent: ready && state.sentUntil > now, delivered: ready && state.deliveredUntil > now };
}
