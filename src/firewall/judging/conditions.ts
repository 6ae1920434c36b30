/**
 * Whether a rule of nftables can be met by a packet that would take the fast path: TCP or UDP over IPv4, of a flow that was
 * seen in both directions, with ACK and without SYN, FIN and RST, with addresses of the overlay at both ends; or by one of a
 * tunnel, which hosts send to each other: UDP over IPv4 to one of its ports. What is not understood may be met.
 */
import { defined } from '../../base/defined.ts';
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import * as constants from '../../netlink/netfilter/constants.ts';
import type { ReadExpression } from '../../netlink/netfilter/expression.ts';

/** What is known of the packets in question. */
export interface FastTraffic {
  /** Addresses that containers and hosts have on it; unknown ones unless given. */
  readonly prefixes?: readonly Prefix[];
  /** UDP ports of tunnels; none unless given. */
  readonly ports?: readonly number[];
}

/** Of the flows of containers, or what these are in between hosts. */
export type Packets =
  | ({ readonly of: 'flow' } & Pick<FastTraffic, 'prefixes'>)
  | ({ readonly of: 'tunnel' } & Required<Pick<FastTraffic, 'ports'>>);

/** Both kinds, as far as there are any. */
export const packetsOf = ({ prefixes, ports = [] }: FastTraffic): readonly Packets[] => [
  { of: 'flow', ...defined({ prefixes }) },
  ...(ports.length > 0 ? [{ of: 'tunnel' as const, ports }] : []),
];

const [TCP, UDP] = [6, 17];
const ETHERTYPE_IPV4 = 0x0800;
/** In the first byte of a MAC: broadcast or multicast. */
const GROUP = 0x01;
/** Of TCP, in the byte 13 of its header: SYN, FIN, RST; and ACK, which all other packets have. */
const [FIRST_AND_LAST, ACK] = [0x07, 0x10];
/** Those that only some packets of a connection have: PSH, URG, ECE, CWR. */
const PASSING_FLAGS = 0xe8;
/**
 * NF_CT_STATE_BIT, include/uapi/linux/netfilter/nf_conntrack_common.h: established; untracked; and new, as packets of a
 * tunnel stay, which are answered from other ports.
 */
const STATES = { flow: 0x02 | 0x40, tunnel: 0x02 | 0x40 | 0x08 };
/** Of the word of IPv4 with the offset of fragments: where whole packets have zeros. */
const FRAGMENT_BITS = 0x3fff;
/** Explicit congestion notification, the last bits of TOS (RFC 3168). */
const ECN = 0x03;
/**
 * XT_CONNTRACK_STATE of struct xt_conntrack_mtinfo3, include/uapi/linux/netfilter/xt_conntrack.h, and where it has what.
 */
const XT_CONNTRACK = { flags: 146, inverted: 148, states: 150, hasState: 1 };

type Loaded = Extract<ReadExpression, { kind: 'meta' | 'payload' | 'ct' }> & { readonly mask?: Uint8Array };

export function mayBeMet(expressions: readonly ReadExpression[], packets: Packets): boolean {
  const isMatched = expressions.every(
    step => step.kind !== 'match' || mayMatch(step.name, step.info, STATES[packets.of]),
  );
  return isMatched && comparisons(expressions).every(one => mayCompare(one, packets));
}

/** Whether a rule looks at bits of a header that packets of one flow do not have in common. */
export const looksAtPassingBits = (expressions: readonly ReadExpression[]): boolean =>
  comparisons(expressions).some(({ loaded }) => {
    const mask = loaded.mask ?? Uint8Array.of(0xff, 0xff);
    const field = fieldOf(loaded);
    if (field === 'tcp flags') return ((mask[0] ?? 0) & PASSING_FLAGS) !== 0;
    if (field === 'tos') return ((mask[0] ?? 0) & ECN) !== 0;
    // Whether the packet may be cut.
    return field === 'fragment' && (number(mask) & ~FRAGMENT_BITS) !== 0;
  });

interface Comparison extends Pick<Extract<ReadExpression, { kind: 'compare' }>, 'operator' | 'value'> {
  readonly loaded: Loaded;
}

/** What a rule compares with values that it has. */
function comparisons(expressions: readonly ReadExpression[]): Comparison[] {
  const registers = new Map<number, Loaded>();
  return expressions.flatMap((step): Comparison[] => {
    if (step.kind === 'meta' || step.kind === 'payload' || step.kind === 'ct') {
      if (step.into !== undefined) registers.set(step.into, step);
    } else if (step.kind === 'mask') {
      const loaded = registers.get(step.from);
      if (loaded === undefined) registers.delete(step.into);
      else registers.set(step.into, { ...loaded, mask: step.mask });
    } else if (step.kind === 'compare') {
      const loaded = registers.get(step.from);
      if (loaded !== undefined) return [{ ...step, loaded }];
    }
    return [];
  });
}

function mayCompare({ loaded, operator, value }: Comparison, packets: Packets): boolean {
  if (operator === 'order') return true;
  const isEqual = operator === 'equal';
  switch (fieldOf(loaded)) {
    case 'protocol':
      return !isEqual || value[0] === UDP || (packets.of === 'flow' && value[0] === TCP);
    case 'nfproto':
      return !isEqual || value[0] === constants.NFPROTO_IPV4;
    case 'ethertype':
      return !isEqual || number(value) === ETHERTYPE_IPV4;
    case 'tcp flags': {
      const wanted = value[0] ?? 0;
      const mask = loaded.mask?.[0] ?? 0xff;
      if (isEqual) return (wanted & FIRST_AND_LAST) === 0 && (mask & ACK) === (wanted & ACK);
      return (wanted & FIRST_AND_LAST) !== 0 || (mask & ~FIRST_AND_LAST) !== 0;
    }
    case 'fragment': {
      const mask = loaded.mask === undefined ? 0xffff : number(loaded.mask);
      // Zeros, where it only looks at those.
      return (mask & ~FRAGMENT_BITS) !== 0 || isEqual === (number(value) === 0);
    }
    case 'state':
      return isEqual || (stateBits(loaded.mask) & STATES[packets.of]) !== 0 || stateBits(value) !== 0;
    case 'destination MAC':
      return !isEqual || ((value[0] ?? 0) & GROUP) === 0;
    case 'address':
      return !isEqual || packets.of === 'tunnel' || mayHave(value, loaded.mask, packets.prefixes);
    case 'destination port':
      return packets.of === 'flow' || packets.ports.some(port => isEqual === (port === number(value)));
    case 'tos':
    case undefined:
      return true;
  }
}

type Field =
  | 'protocol'
  | 'nfproto'
  | 'ethertype'
  | 'tcp flags'
  | 'state'
  | 'address'
  | 'destination MAC'
  | 'destination port'
  | 'fragment'
  | 'tos';

function fieldOf(loaded: Loaded): Field | undefined {
  if (loaded.kind === 'ct') return loaded.key === constants.NFT_CT_STATE ? 'state' : undefined;
  if (loaded.kind === 'meta') return META_FIELDS.get(loaded.key);
  const { base, offset, length } = loaded;
  if (base === constants.NFT_PAYLOAD_TRANSPORT_HEADER) {
    if (offset === 2 && length === 2 && loaded.mask === undefined) return 'destination port';
    return offset === 13 ? 'tcp flags' : undefined;
  }
  if (base === constants.NFT_PAYLOAD_LL_HEADER) {
    if (offset === 0) return 'destination MAC';
    return offset === 12 && length === 2 ? 'ethertype' : undefined;
  }
  if (base !== constants.NFT_PAYLOAD_NETWORK_HEADER) return undefined;
  if (offset === 9 && length === 1) return 'protocol';
  if (offset === 1 && length === 1) return 'tos';
  if (offset === 6 && length === 2) return 'fragment';
  return (offset === 12 || offset === 16) && length <= 4 ? 'address' : undefined;
}

const META_FIELDS: ReadonlyMap<number, Field> = new Map([
  [constants.NFT_META_L4PROTO, 'protocol'],
  [constants.NFT_META_NFPROTO, 'nfproto'],
  [constants.NFT_META_PROTOCOL, 'ethertype'],
] as const);

/** Of bytes as the network has them. */
const number = (bytes: Uint8Array) => bytes.reduce((sum, byte) => sum * 256 + byte, 0);

/** One word, in the order of this host. */
function stateBits(bytes: Uint8Array | undefined): number {
  return bytes?.byteLength === 4 ? (new Uint32Array(bytes.slice().buffer)[0] ?? 0) : -1;
}

/** Whether addresses that begin with these bytes are among those of the overlay. */
function mayHave(
  value: Uint8Array,
  mask: Uint8Array | undefined,
  prefixes: readonly Prefix[] | undefined,
): boolean {
  if (prefixes === undefined) return true;
  const bytes = new Uint8Array(4);
  bytes.set(value);
  const length = mask === undefined ? value.byteLength * 8 : lengthOf(mask);
  if (length === undefined) return true;
  const compared = Prefix.of(Ip.fromBytes(bytes), length);
  return prefixes.some(prefix => prefix.family === 'ipv4' && prefix.overlaps(compared));
}

/** undefined for a mask that is none of a prefix. */
function lengthOf(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, byte => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}

/** Matches of iptables that nftables has no words for. */
function mayMatch(name: string, info: Uint8Array, states: number): boolean {
  if (name !== 'conntrack' || info.byteLength < XT_CONNTRACK.states + 2) return true;
  const word = (at: number) => new Uint16Array(info.slice(at, at + 2).buffer)[0] ?? 0;
  if ((word(XT_CONNTRACK.flags) & XT_CONNTRACK.hasState) === 0) return true;
  const isInverted = (word(XT_CONNTRACK.inverted) & XT_CONNTRACK.hasState) !== 0;
  return isInverted || (word(XT_CONNTRACK.states) & states) !== 0;
}
