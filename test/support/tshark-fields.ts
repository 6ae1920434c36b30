/**
 * What Wireshark calls each field of our layers. The types want every field of every layer here, so that one which the
 * decoder learns cannot be left out of the comparison.
 */
import type { Ip } from '../../src/base/ip.ts';
import {
  type Icmpv6Layer,
  type Ipv6ExtensionLayer,
  type Layer,
  type LayerName,
  type TcpFlag,
} from '../../src/inspect/decode/layers.ts';

/** `undefined` where a layer does not have the field under this name. */
type FieldValue = string | number | boolean | undefined;

/** One name, when the value is as ours; else names with what the value is there. */
type Naming<L, V> = string | Readonly<Record<string, (value: V, layer: L) => FieldValue>>;

type LayerNaming<L> = {
  readonly [Key in keyof Required<Omit<L, 'layer' | 'quoted'>>]: Naming<L, NonNullable<L[Key]>>;
};

/** Layers that have no fields for Wireshark: it only has what comes after them. */
type Nameless = 'flannel-udp' | 'payload' | 'problem';

type LayerNamed<Name extends LayerName> = Extract<Layer, { layer: Name }>;

/** IEEE 802.3, clause 3.2.6: what is below is a length. */
const LEAST_TYPE = 0x0600;

const ofType = (type: number) => (target: Ip, layer: Icmpv6Layer) =>
  layer.type === type ? `${target}` : undefined;

const ofKind = (kind: Ipv6ExtensionLayer['kind']) => (next: number, layer: Ipv6ExtensionLayer) =>
  layer.kind === kind ? next : undefined;

/** Wireshark shows fragment offsets as they are in the header. */
const UNIT = 8;

/** RFC 9293, section 3.1, and RFC 9768: said once more, so that the decoder's own table is compared too. */
const FLAG_BITS: Readonly<Record<TcpFlag, number>> = {
  FIN: 0x01,
  SYN: 0x02,
  RST: 0x04,
  PSH: 0x08,
  ACK: 0x10,
  URG: 0x20,
  ECE: 0x40,
  CWR: 0x80,
  AE: 0x100,
};

const NAMES: { readonly [Name in Exclude<LayerName, Nameless>]: LayerNaming<LayerNamed<Name>> } = {
  ethernet: {
    source: 'eth.src',
    destination: 'eth.dst',
    type: {
      'eth.type': type => (type >= LEAST_TYPE ? type : undefined),
      'eth.len': type => (type < LEAST_TYPE ? type : undefined),
    },
  },
  vlan: { id: 'vlan.id', priority: 'vlan.priority', type: 'vlan.etype' },
  arp: {
    operation: 'arp.opcode',
    senderMac: 'arp.src.hw_mac',
    sender: 'arp.src.proto_ipv4',
    targetMac: 'arp.dst.hw_mac',
    target: 'arp.dst.proto_ipv4',
  },
  ipv4: {
    source: 'ip.src',
    destination: 'ip.dst',
    ttl: 'ip.ttl',
    protocol: 'ip.proto',
    tos: 'ip.dsfield',
    id: 'ip.id',
    headerLength: 'ip.hdr_len',
    totalLength: 'ip.len',
    dontFragment: 'ip.flags.df',
    moreFragments: 'ip.flags.mf',
    fragmentOffset: { 'ip.frag_offset': offset => offset / UNIT },
    checksum: 'ip.checksum',
  },
  ipv6: {
    source: 'ipv6.src',
    destination: 'ipv6.dst',
    hopLimit: 'ipv6.hlim',
    nextHeader: 'ipv6.nxt',
    payloadLength: 'ipv6.plen',
    trafficClass: 'ipv6.tclass',
    flowLabel: 'ipv6.flow',
  },
  'ipv6-extension': {
    // The layers themselves are compared too.
    kind: {},
    nextHeader: {
      'ipv6.hopopts.nxt': ofKind('hop-by-hop'),
      'ipv6.routing.nxt': ofKind('routing'),
      'ipv6.fraghdr.nxt': ofKind('fragment'),
      'ah.next_header': ofKind('authentication'),
      'ipv6.dstopts.nxt': ofKind('destination'),
    },
    fragment: {
      'ipv6.fraghdr.ident': ({ id }) => id,
      'ipv6.fraghdr.more': ({ more }) => more,
      'ipv6.fraghdr.offset': ({ offset }) => offset / UNIT,
    },
  },
  icmp: {
    type: 'icmp.type',
    code: 'icmp.code',
    checksum: 'icmp.checksum',
    id: 'icmp.ident',
    sequence: 'icmp.seq',
    mtu: 'icmp.mtu',
    gateway: 'icmp.redir_gw',
  },
  icmpv6: {
    type: 'icmpv6.type',
    code: 'icmpv6.code',
    checksum: 'icmpv6.checksum',
    id: 'icmpv6.echo.identifier',
    sequence: 'icmpv6.echo.sequence_number',
    mtu: 'icmpv6.mtu',
    target: {
      'icmpv6.nd.ns.target_address': ofType(135),
      'icmpv6.nd.na.target_address': ofType(136),
    },
    mac: 'icmpv6.opt.linkaddr',
  },
  tcp: {
    sourcePort: 'tcp.srcport',
    destinationPort: 'tcp.dstport',
    // The raw one is missing in what an ICMP error quotes; both are the same without relative numbers.
    sequence: 'tcp.seq',
    acknowledgement: 'tcp.ack_raw',
    flags: {
      'tcp.flags': flags => flags.reduce((bits, flag) => bits | FLAG_BITS[flag], 0),
    },
    window: 'tcp.window_size_value',
    checksum: 'tcp.checksum',
    mss: 'tcp.options.mss_val',
  },
  udp: {
    sourcePort: 'udp.srcport',
    destinationPort: 'udp.dstport',
    length: 'udp.length',
    checksum: 'udp.checksum',
  },
  // Wireshark's flags include the first 8 reserved bits.
  vxlan: { vni: 'vxlan.vni', flags: { 'vxlan.flags': flags => flags << 8 } },
};

const namings = (name: string): [string, Naming<unknown, unknown>][] =>
  Object.entries((NAMES as Record<string, LayerNaming<unknown>>)[name] ?? {});

/** Wireshark's names of all fields, each with the layer of ours that has it. */
export const FIELD_LAYERS: ReadonlyMap<string, LayerName> = new Map(
  (Object.keys(NAMES) as LayerName[]).flatMap(layer =>
    namings(layer)
      .flatMap(([, naming]) => (typeof naming === 'string' ? [naming] : Object.keys(naming)))
      .map(name => [name, layer] as const),
  ),
);

/** The fields of these layers by Wireshark's names, each with its values from the outside in. */
export function fieldsOf(layers: readonly Layer[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const add = (name: string, value: FieldValue) => {
    if (value !== undefined) found.set(name, [...(found.get(name) ?? []), plain(String(value))]);
  };
  for (const layer of layers)
    for (const [key, naming] of namings(layer.layer)) {
      const value = (layer as unknown as Record<string, FieldValue>)[key];
      if (value === undefined) continue;
      if (typeof naming === 'string') add(naming, value);
      else for (const [name, convert] of Object.entries(naming)) add(name, convert(value, layer));
    }
  return found;
}

/** Numbers come in both bases, and flags as words or digits. */
export function plain(text: string): string {
  if (/^(true|false)$/i.test(text)) return /true/i.test(text) ? '1' : '0';
  return /^(0x[0-9a-f]+|\d+)$/.test(text) ? String(Number(text)) : text;
}

/** What Wireshark calls our layers in `frame.protocols`; others of its names are of what we have no layers for. */
const PROTOCOLS: Readonly<Record<string, LayerName | `ipv6-extension ${Ipv6ExtensionLayer['kind']}`>> = {
  eth: 'ethernet',
  ieee8021ad: 'vlan',
  vlan: 'vlan',
  arp: 'arp',
  ip: 'ipv4',
  ipv6: 'ipv6',
  'ipv6.hopopts': 'ipv6-extension hop-by-hop',
  'ipv6.routing': 'ipv6-extension routing',
  'ipv6.fraghdr': 'ipv6-extension fragment',
  'ipv6.dstopts': 'ipv6-extension destination',
  ah: 'ipv6-extension authentication',
  icmp: 'icmp',
  icmpv6: 'icmpv6',
  tcp: 'tcp',
  udp: 'udp',
  vxlan: 'vxlan',
};

/** @param protocols `eth`, `ethertype`, `ip`, `udp`, `vxlan`, ... */
export const stackOfProtocols = (protocols: readonly string[]): string[] =>
  protocols.flatMap(name => PROTOCOLS[name] ?? []);

const isNameless = ({ layer }: Layer) =>
  layer === 'flannel-udp' || layer === 'payload' || layer === 'problem';

export const stackOf = (layers: readonly Layer[]): string[] =>
  layers
    .filter(layer => !isNameless(layer))
    .map(layer => (layer.layer === 'ipv6-extension' ? `${layer.layer} ${layer.kind}` : layer.layer));
