/** Reasons of the kernel for a drop (include/net/dropreason-core.h) that name one cause, and what to do about it. Pure. */
import type { Drop, Finding } from '../../api/inspection.ts';

export interface DropCause extends Pick<Finding, 'code' | 'layer'> {
  /** Matches the reason. */
  readonly pattern: RegExp;
  /** Matches the function of the kernel, where a reason alone has several causes. */
  readonly place?: RegExp;
  /** Ends `docker1 drops packets on eth0`. */
  readonly why: string;
  /** @param link where it was dropped */
  readonly remedyOn: (link: string) => string;
}

export const DROP_CAUSES: readonly DropCause[] = [
  {
    pattern: /^IP_RPFILTER$/,
    code: 'STRICT_RP_FILTER',
    layer: 'routing',
    why: 'by reverse path filtering: their source is not reached over the link that they came in by',
    remedyOn: link =>
      `ip route get SOURCE shows the link of the way back; sysctl -w net.ipv4.conf.${link}.rp_filter=2 asks only whether there is one`,
  },
  {
    pattern: /^VXLAN_VNI_NOT_FOUND$/,
    code: 'VNI_MISMATCH',
    layer: 'tunnel',
    why: 'because no tunnel there has their VNI',
    remedyOn: () => 'ip -d link show type vxlan',
  },
  {
    pattern: /^NETFILTER_DROP$/,
    code: 'FIREWALL_DROP',
    layer: 'firewall',
    why: 'by a rule of netfilter that could not be followed',
    // The legacy ones of frames and of ARP are in tables of their own, which nothing else prints.
    remedyOn: () =>
      'nft list ruleset; iptables-save -c; ebtables-legacy -L --Lc; arptables-legacy -L -v: the rule whose counter grows with a ping',
  },
  {
    // net/ipv4/ip_forward.c and net/ipv6/ip6_output.c give it to what has no hop left, which they answer with an ICMP error.
    pattern: /^IP_INHDR$/,
    place: /^ip6?_forward$/,
    code: 'TTL_EXCEEDED',
    layer: 'routing',
    why: 'because their TTL has run out: a rule sets a small one, or they go round in a loop',
    remedyOn: () =>
      `nft list ruleset; iptables-save -t mangle: a rule with 'ttl set' or '-j TTL'; ip route get ADDRESS shows a loop`,
  },
  {
    pattern: /^TC_/,
    code: 'TC_DROP',
    layer: 'underlay',
    why: 'by traffic control',
    remedyOn: link =>
      `bpftool net show dev ${link}; tc filter show dev ${link} ingress; tc filter show dev ${link} egress; tc qdisc show dev ${link}`,
  },
  {
    pattern: /^QDISC_/,
    code: 'TC_DROP',
    layer: 'underlay',
    why: 'by a queueing discipline',
    remedyOn: link => `tc -s qdisc show dev ${link}`,
  },
  {
    pattern: /^XFRM_/,
    code: 'IPSEC_POLICY',
    layer: 'firewall',
    why: 'by a policy of IPsec: it blocks them, or wants them encrypted, and there is no state for that',
    remedyOn: () => 'ip xfrm policy; ip xfrm state; ip xfrm policy delete removes one',
  },
  {
    pattern: /^XDP/,
    code: 'XDP_PROGRAM',
    layer: 'underlay',
    why: 'by an XDP program',
    remedyOn: link => `ip link show dev ${link}: the line prog/xdp`,
  },
];

type PlacedDrop = Pick<Drop, 'reason' | 'place'>;

export const isDropOf = ({ pattern, place }: DropCause, drop: PlacedDrop): boolean =>
  pattern.test(drop.reason) && (place === undefined || place.test(drop.place ?? ''));

/** undefined for a drop that may have many causes. */
export const causeOfDrop = (drop: PlacedDrop): DropCause | undefined =>
  DROP_CAUSES.find(cause => isDropOf(cause, drop));
