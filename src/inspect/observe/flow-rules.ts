/**
 * The rules of nftables that give the packets of a flow the mark of a trace, sorted by what they are: pure. The packets that
 * a tunnel puts around them are marked, too, by what is within. Options of IP within a tunnel are not looked behind.
 */
import type { Drop } from '../../api/inspection.ts';
import { written } from '../../base/bytes.ts';
import type { Family, Ip } from '../../base/ip.ts';
import { type Expression, fieldOfPort, type PacketField } from '../../netlink/netfilter/table.ts';
import type { TunnelPorts } from './flow-filter.ts';
import { ICMP_OF, TCP_PROTOCOL, UDP_PROTOCOL, type WatchedFlow } from './watched-flow.ts';

export interface FlowRule {
  readonly packet: Drop['packet'];
  readonly when: readonly Expression[];
}

/** How a rule says of which family a packet is: a table of inet in its own way, those of frames by EtherType. */
export type FamilyTest = (family: Family) => Expression;

/** include/uapi/linux/netfilter.h, if_ether.h. */
export const byNetfilterFamily: FamilyTest = family => ({
  compare: { meta: 'nfproto' },
  value: Uint8Array.of(family === 'ipv4' ? 2 : 10),
});
export const byEtherType: FamilyTest = family => ({
  compare: { meta: 'protocol' },
  value: fieldOfPort(family === 'ipv4' ? 0x0800 : 0x86dd),
});

/** Where in a packet the IP header of the flow is, and what follows it. */
interface Place {
  readonly ip: (offset: number) => PacketField;
  readonly data: (offset: number) => PacketField;
}

const BARE: Place = {
  ip: offset => ({ header: 'network', offset }),
  data: offset => ({ header: 'transport', offset }),
};

/** Bytes of headers without options. */
const LENGTHS = { ipv4: 20, ipv6: 40 } as const;
const UDP_HEADER = 8;
const ICMP_HEADER = 8;
const VXLAN_HEADER = 8;
const ETHERNET_HEADER = 14;

const OFFSETS = {
  ipv4: { source: 12, destination: 16, protocol: 9 },
  ipv6: { source: 8, destination: 24, protocol: 6 },
} as const;

const FAMILIES = ['ipv4', 'ipv6'] as const;

export function flowRules(flow: WatchedFlow, ports: TunnelPorts, ofFamily: FamilyTest): FlowRule[] {
  const { family } = flow.from;
  const bare = matchesAt(flow, BARE).map(({ packet, when }) => ({
    packet,
    when: [ofFamily(family), protocolIs(protocolOf(flow)), ...when],
  }));
  return [
    ...bare,
    ...tunnelRules(flow, ports, ofFamily),
    ...errorRules(flow, ports, ofFamily),
    ...discoveryRules(flow, ofFamily),
  ];
}

const protocolIs = (number: number): Expression => ({
  compare: { meta: 'l4proto' },
  value: Uint8Array.of(number),
});

const protocolOf = ({ protocol, from }: WatchedFlow) =>
  protocol === 'icmp' ? ICMP_OF[from.family].protocol : protocol === 'tcp' ? TCP_PROTOCOL : UDP_PROTOCOL;

/** A header of IP within what follows the outer one. @param start its offset there */
function matchesInside(flow: WatchedFlow, start: number): FlowRule[] {
  const { family } = flow.from;
  const at = (offset: number): PacketField => ({ header: 'transport', offset });
  const place: Place = {
    ip: offset => at(start + offset),
    data: offset => at(start + LENGTHS[family] + offset),
  };
  // Version 4 and a header without options.
  const version = family === 'ipv4' ? [equal(place.ip(0), Uint8Array.of(0x45))] : [];
  const protocol = equal(place.ip(OFFSETS[family].protocol), Uint8Array.of(protocolOf(flow)));
  return matchesAt(flow, place).map(({ packet, when }) => ({
    packet,
    when: [...version, protocol, ...when],
  }));
}

const equal = (compare: PacketField, value: Uint8Array): Expression => ({ compare, value });

/** Request and reply, as flow-packet.ts knows them again. */
function matchesAt(flow: WatchedFlow, place: Place): FlowRule[] {
  return [
    ...directionAt(flow, place, { packet: 'request', source: flow.from, destination: flow.to }),
    ...directionAt(flow, place, { packet: 'reply', source: flow.to, destination: flow.from }),
  ];
}

interface Direction {
  readonly packet: 'request' | 'reply';
  readonly source: Ip;
  readonly destination: Ip;
}

function directionAt(
  flow: WatchedFlow,
  place: Place,
  { packet, source, destination }: Direction,
): FlowRule[] {
  const { family } = flow.from;
  const from = equal(place.ip(OFFSETS[family].source), source.bytes);
  const to = equal(place.ip(OFFSETS[family].destination), destination.bytes);
  // With a number that its sender chose, one address is enough.
  const addresses = flow.chosen === undefined ? [[from, to]] : [[from], [to]];
  return addresses.map(ends => ({ packet, when: [...numbersAt(flow, place, packet), ...ends] }));
}

function numbersAt(
  { protocol, from, chosen, toPort }: WatchedFlow,
  { data }: Place,
  packet: 'request' | 'reply',
): Expression[] {
  const number = (value: number | undefined, offset: number) =>
    value === undefined ? [] : [equal(data(offset), fieldOfPort(value))];
  if (protocol === 'icmp')
    return [equal(data(0), Uint8Array.of(ICMP_OF[from.family][packet])), ...number(chosen, 4)];
  const [chosenAt, toPortAt] = packet === 'request' ? [0, 2] : [2, 0];
  return chosen === undefined ? number(toPort, toPortAt) : number(chosen, chosenAt);
}

interface TunnelPlace {
  readonly port: number;
  /** Offset of the inner IP header, from that of UDP. */
  readonly inner: number;
}

const tunnelsOf = ({ vxlanPorts, flannelPorts }: TunnelPorts): TunnelPlace[] => [
  ...vxlanPorts.map(port => ({ port, inner: UDP_HEADER + VXLAN_HEADER + ETHERNET_HEADER })),
  ...flannelPorts.map(port => ({ port, inner: UDP_HEADER })),
];

const DESTINATION_PORT = 2;

function tunnelRules(flow: WatchedFlow, ports: TunnelPorts, ofFamily: FamilyTest): FlowRule[] {
  return FAMILIES.flatMap(outer =>
    tunnelsOf(ports).flatMap(({ port, inner }) =>
      matchesInside(flow, inner).map(({ packet, when }) => ({
        packet,
        when: [
          ofFamily(outer),
          protocolIs(UDP_PROTOCOL),
          equal({ header: 'transport', offset: DESTINATION_PORT }, fieldOfPort(port)),
          ...when,
        ],
      })),
    ),
  );
}

/** About a packet of the flow, or about a tunnel's that has one in it. */
function errorRules(flow: WatchedFlow, ports: TunnelPorts, ofFamily: FamilyTest): FlowRule[] {
  const { family } = flow.from;
  const start = (outer: Family) => [ofFamily(outer), protocolIs(ICMP_OF[outer].protocol)];
  const bare = matchesInside(flow, ICMP_HEADER).map(({ when }) => [...start(family), ...when]);
  const tunnelled = FAMILIES.flatMap(outer =>
    tunnelsOf(ports).flatMap(({ port, inner }) => {
      const udp = ICMP_HEADER + LENGTHS[outer];
      const toPort = equal({ header: 'transport', offset: udp + DESTINATION_PORT }, fieldOfPort(port));
      return matchesInside(flow, udp + inner).map(({ when }) => [...start(outer), toPort, ...when]);
    }),
  );
  return [...bare, ...tunnelled].map(when => ({ packet: 'error', when }));
}

/** Neighbor solicitation and advertisement: offset of the target, RFC 4861, section 4.3. */
const DISCOVERY = [135, 136];
const TARGET = 8;

function discoveryRules({ from, to }: WatchedFlow, ofFamily: FamilyTest): FlowRule[] {
  if (from.family !== 'ipv6') return [];
  return DISCOVERY.flatMap(type =>
    [from, to].map((target): FlowRule => {
      const when = [
        ofFamily('ipv6'),
        protocolIs(ICMP_OF.ipv6.protocol),
        equal({ header: 'transport', offset: 0 }, Uint8Array.of(type)),
        equal({ header: 'transport', offset: TARGET }, target.bytes),
      ];
      return { packet: 'neighbor', when };
    }),
  );
}

/** Every ARP message, which are few: for families that see them. */
export const ARP_RULE: FlowRule = {
  packet: 'neighbor',
  when: [{ compare: { meta: 'protocol' }, value: written(writer => writer.u16be(0x0806)) }],
};
