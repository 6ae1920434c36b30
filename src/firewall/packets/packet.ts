/**
 * A kind of packet that an overlay needs to pass, and conditions of rules on it. A condition is asked about a whole kind
 * (all packets from this host's subnet to other hosts, say), and about rules of other programs, so there are
 * four answers.
 */
import type { Family } from '../../base/ip.ts';
import type { Prefix } from '../../base/prefix.ts';

/** What is known of every packet of a kind; what is absent differs from packet to packet. */
export interface Packet {
  /** In words, for messages: `tunnel packets from peers`. */
  readonly name: string;
  readonly family: Family;
  /** Each packet is from one of these, and for one of those; empty where they are not known yet. */
  readonly source: readonly Prefix[];
  readonly destination: readonly Prefix[];
  /** Names of the links it may come in on and go out by; empty for none, absent where that is not known. */
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  /** Absent for any. */
  readonly protocol?: 'udp' | 'tcp' | 'icmp' | 'ipv6-icmp';
  readonly destinationPorts?: readonly number[];
  readonly mark: number;
  /** A question for a MAC address and the answer to it, instead of a packet of IP. */
  readonly isArp?: true;
  /** Whether it is for an address of the host itself; absent where that is not known. */
  readonly isForHost?: boolean;
  /** Prefix length of what one host has: a rule about less than that is meant for single hosts, and ignored. */
  readonly hostLength: number;
}

/**
 * Whether a condition holds: for all packets of a kind; for none; for all of at least one host; for some of them, by
 * protocol or by what went before; or the rule does not say.
 */
export type PathAnswer = 'yes' | 'no' | 'host' | 'some' | 'unknown';

export interface PacketCondition {
  readonly not: boolean;
  readonly on:
    | { readonly field: 'source' | 'destination'; readonly prefixes: readonly Prefix[] }
    /** Names of links; a `*` at the end stands for any rest. */
    | { readonly field: 'input' | 'output'; readonly names: readonly string[] }
    | { readonly field: 'protocol'; readonly names: readonly string[] }
    /** What a frame carries, as nft calls it: `ip`, `ip6`, `arp`. */
    | { readonly field: 'frame'; readonly names: readonly string[] }
    | { readonly field: 'destinationPort'; readonly ranges: readonly (readonly [number, number])[] }
    /** States of connection tracking, lower case. Only new connections are asked about. */
    | { readonly field: 'state'; readonly states: readonly string[] }
    | { readonly field: 'mark'; readonly mask: number; readonly value: number }
    /** The destination is an address of the host itself. */
    | { readonly field: 'local' }
    | { readonly field: 'traffic' }
    | { readonly field: 'unknown' };
}

/** Whether a rule with these conditions applies to the packets. */
export function answerAll(conditions: readonly PacketCondition[], packet: Packet): PathAnswer {
  const answers = conditions.map(condition => answer(condition, packet));
  const worst = (['no', 'unknown', 'some', 'host'] as const).find(each => answers.includes(each));
  return worst ?? 'yes';
}

/** Whether one of the conditions picks these packets out by where they come from or go to. */
export function isAbout(conditions: readonly PacketCondition[], packet: Packet): boolean {
  return conditions.some(({ not, on }) => {
    if (not || !['source', 'destination', 'input', 'output', 'mark'].includes(on.field)) return false;
    return ['yes', 'host', 'unknown'].includes(answer({ not, on }, packet)) && !isEverything(on);
  });
}

const isEverything = (on: PacketCondition['on']): boolean =>
  'prefixes' in on && on.prefixes.some(({ length }) => length === 0);

function answer({ not, on }: PacketCondition, packet: Packet): PathAnswer {
  const plain = answerPlain(on, packet);
  if (!not || plain === 'some' || plain === 'unknown') return plain;
  // What holds for one host does not hold for the others.
  return ({ yes: 'no', no: 'yes', host: 'host' } as const)[plain];
}

const FRAMES: Readonly<Record<Family, string>> = { ipv4: 'ip', ipv6: 'ip6' };

function answerPlain(on: PacketCondition['on'], packet: Packet): PathAnswer {
  switch (on.field) {
    case 'source':
    case 'destination':
      // Of a header that it does not have.
      if (packet.isArp) return 'no';
      return answerAddress(on.prefixes, packet[on.field], packet.hostLength);
    case 'input':
    case 'output':
      return answerLink(on.names, packet[on.field]);
    case 'frame':
      return on.names.includes(packet.isArp ? 'arp' : FRAMES[packet.family]) ? 'yes' : 'no';
    case 'protocol':
      if (packet.isArp) return 'no';
      if (packet.protocol === undefined) return 'some';
      return on.names.includes(packet.protocol) ? 'yes' : 'no';
    case 'destinationPort':
      return answerPort(on.ranges, packet.destinationPorts);
    case 'state':
      return on.states.includes('new') ? 'yes' : 'no';
    case 'mark':
      return (packet.mark & on.mask) === on.value ? 'yes' : 'no';
    case 'local':
      return packet.isForHost === undefined ? 'unknown' : packet.isForHost ? 'yes' : 'no';
    case 'traffic':
      return 'some';
    case 'unknown':
      return 'unknown';
  }
}

function answerAddress(wanted: readonly Prefix[], actual: readonly Prefix[], hostLength: number): PathAnswer {
  if (actual.length === 0) return 'unknown';
  if (actual.every(block => wanted.some(prefix => prefix.contains(block)))) return 'yes';
  const overlapping = wanted.filter(prefix => actual.some(block => prefix.overlaps(block)));
  if (overlapping.length === 0) return 'no';
  return overlapping.some(({ length }) => length <= hostLength) ? 'host' : 'some';
}

function answerLink(wanted: readonly string[], actual: readonly string[] | undefined): PathAnswer {
  if (actual === undefined) return 'unknown';
  const matching = actual.filter(name => wanted.some(pattern => isNamed(name, pattern)));
  if (matching.length === 0) return 'no';
  return matching.length === actual.length ? 'yes' : 'some';
}

const isNamed = (name: string, pattern: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

const MOST_PORT = 65_535;

function answerPort(wanted: readonly (readonly [number, number])[], actual?: readonly number[]): PathAnswer {
  if (actual === undefined)
    return wanted.some(([low, high]) => low <= 1 && high >= MOST_PORT) ? 'yes' : 'some';
  const isWanted = (port: number) => wanted.some(([low, high]) => low <= port && port <= high);
  if (actual.every(isWanted)) return 'yes';
  return actual.some(isWanted) ? 'some' : 'no';
}
