/**
 * Whether a rule of nftables can be met by a packet that would take the fast path: TCP or UDP over IPv4, of a flow that was
 * seen in both directions, without SYN, FIN and RST, with addresses of the overlay at both ends. What is not understood may
 * be met.
 */
import { Ip } from '../../base/ip.ts';
import { Prefix } from '../../base/prefix.ts';
import * as constants from '../../netlink/netfilter/constants.ts';
import type { ReadExpression } from '../../netlink/netfilter/expression.ts';

/** What is known of the packets in question. */
export interface FastTraffic {
  /** Addresses that containers and hosts have on it; unknown ones unless given. */
  readonly prefixes?: readonly Prefix[];
}

const [TCP, UDP] = [6, 17];
const ETHERTYPE_IPV4 = 0x0800;
/** In the first byte of a MAC: broadcast or multicast. */
const GROUP = 0x01;
/** Of TCP, in the byte 13 of its header: SYN, FIN, RST. */
const FIRST_AND_LAST = 0x07;
/** NF_CT_STATE_BIT, include/uapi/linux/netfilter/nf_conntrack_common.h: established; untracked. */
const OF_FAST_FLOWS = 0x02 | 0x40;
/**
 * XT_CONNTRACK_STATE of struct xt_conntrack_mtinfo3, include/uapi/linux/netfilter/xt_conntrack.h, and where it has what.
 */
const XT_CONNTRACK = { flags: 146, inverted: 148, states: 150, hasState: 1 };

type Loaded = Extract<ReadExpression, { kind: 'meta' | 'payload' | 'ct' }> & { readonly mask?: Uint8Array };

export function mayBeMet(expressions: readonly ReadExpression[], traffic: FastTraffic = {}): boolean {
  const registers = new Map<number, Loaded>();
  for (const step of expressions) {
    if (step.kind === 'meta' || step.kind === 'payload' || step.kind === 'ct') {
      if (step.into !== undefined) registers.set(step.into, step);
    } else if (step.kind === 'mask') {
      const loaded = registers.get(step.from);
      if (loaded === undefined) registers.delete(step.into);
      else registers.set(step.into, { ...loaded, mask: step.mask });
    } else if (step.kind === 'compare') {
      const loaded = registers.get(step.from);
      if (loaded !== undefined && !mayCompare(loaded, step, traffic)) return false;
    } else if (step.kind === 'match' && !mayMatch(step.name, step.info)) return false;
  }
  return true;
}

type Comparison = Extract<ReadExpression, { kind: 'compare' }>;

function mayCompare(loaded: Loaded, { operator, value }: Comparison, traffic: FastTraffic): boolean {
  if (operator === 'order') return true;
  const isEqual = operator === 'equal';
  switch (fieldOf(loaded)) {
    case 'protocol':
      return !isEqual || value[0] === TCP || value[0] === UDP;
    case 'nfproto':
      return !isEqual || value[0] === constants.NFPROTO_IPV4;
    case 'ethertype':
      return !isEqual || number(value) === ETHERTYPE_IPV4;
    case 'tcp flags': {
      const wanted = (value[0] ?? 0) & FIRST_AND_LAST;
      const seen = (loaded.mask?.[0] ?? 0xff) & ~FIRST_AND_LAST;
      return isEqual ? wanted === 0 : wanted !== 0 || seen !== 0;
    }
    case 'state':
      return isEqual ? true : (stateBits(loaded.mask) & OF_FAST_FLOWS) !== 0 || stateBits(value) !== 0;
    case 'destination MAC':
      return !isEqual || ((value[0] ?? 0) & GROUP) === 0;
    case 'address':
      return !isEqual || mayHave(value, loaded.mask, traffic.prefixes);
    case undefined:
      return true;
  }
}

type Field = 'protocol' | 'nfproto' | 'ethertype' | 'tcp flags' | 'state' | 'address' | 'destination MAC';

function fieldOf(loaded: Loaded): Field | undefined {
  if (loaded.kind === 'ct') return loaded.key === constants.NFT_CT_STATE ? 'state' : undefined;
  if (loaded.kind === 'meta') return META_FIELDS.get(loaded.key);
  const { base, offset, length } = loaded;
  if (base === constants.NFT_PAYLOAD_TRANSPORT_HEADER) return offset === 13 ? 'tcp flags' : undefined;
  if (base === constants.NFT_PAYLOAD_LL_HEADER) {
    if (offset === 0) return 'destination MAC';
    return offset === 12 && length === 2 ? 'ethertype' : undefined;
  }
  if (base !== constants.NFT_PAYLOAD_NETWORK_HEADER) return undefined;
  if (offset === 9 && length === 1) return 'protocol';
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
function mayMatch(name: string, info: Uint8Array): boolean {
  if (name !== 'conntrack' || info.byteLength < XT_CONNTRACK.states + 2) return true;
  const word = (at: number) => new Uint16Array(info.slice(at, at + 2).buffer)[0] ?? 0;
  if ((word(XT_CONNTRACK.flags) & XT_CONNTRACK.hasState) === 0) return true;
  const isInverted = (word(XT_CONNTRACK.inverted) & XT_CONNTRACK.hasState) !== 0;
  return isInverted || (word(XT_CONNTRACK.states) & OF_FAST_FLOWS) !== 0;
}
